//! The program on a VLAN interface of the real kernel, by clsact as on every kernel that has it. The kernel takes the tag
//! off a question before the program sees it, and puts it on the answer.

use std::os::fd::AsFd;

use lone64::engine::facts::IfIndex;
use lone64::kernel::bpf::LoadedProgram;
use lone64::kernel::netlink::Requests;

use crate::endpoint::Endpoint;
use crate::frame::sender;
use crate::ingress::{answers, of_guest, scene_of_lab};
use crate::lab::{GUEST, Lab, ROUTER, UPSTREAM_GLOBAL, UPSTREAM_MAC};
use crate::solicitation::Solicitation;

crate::cases![answers_on_a_vlan_and_nowhere_else];

fn answers_on_a_vlan_and_nowhere_else() {
    let lab = Lab::veth();
    lab.host.ip(&format!(
        "addr flush dev up0
         link add link up0 name up0.7 type vlan id 7
         link set up0.7 up
         addr add {UPSTREAM_GLOBAL}/64 dev up0.7 nodad"
    ));
    lab.router.ip("link add link rt0 name rt0.7 type vlan id 7\nlink set rt0.7 up");
    let table = of_guest();
    let program =
        LoadedProgram::load(&scene_of_lab().program_for(table.maps().rows()), table.maps()).unwrap();
    let link = lab.host.run(|| IfIndex(nix::net::if_::if_nametoindex("up0.7").unwrap()));
    lab.host.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            Requests::open().unwrap().put_responder(link, program.as_fd()).await.unwrap();
        });
    });
    let mut router = Endpoint::open(&lab.router, "rt0.7");
    for question in
        [Solicitation::multicast(ROUTER, GUEST), Solicitation::unicast(ROUTER, GUEST, UPSTREAM_MAC)]
    {
        let heard = answers(&mut router, &question);
        assert_eq!(
            heard.iter().map(|frame| sender(frame)).collect::<Vec<_>>(),
            [UPSTREAM_MAC],
            "{question:?}"
        );
    }
}
