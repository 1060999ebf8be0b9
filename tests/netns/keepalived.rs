//! keepalived itself: two hosts with VRRP between them, and contrib/hooks/keepalived as its script.
//!
//! ```text
//! first host  vr0 ──── vr0  second host
//! ```

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::client::status;
use crate::daemon::directory;
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::Mac;
use crate::lab::{C, UPSTREAM_MAC};
use crate::moves::{Cluster, Program, SECOND_MAC};
use crate::namespace::{eventually, took};
use crate::standby::{self, MANY, announces_all, answers_alone, cluster};

crate::cases![a_thousand_addresses_follow_the_master];

const PROGRAM: &str = "/usr/sbin/keepalived";

/// Why it cannot be run here, if so.
pub(crate) fn refusal() -> Option<String> {
    (!Path::new(PROGRAM).exists()).then(|| "keepalived is not installed".to_owned())
}

/// keepalived on one of the hosts.
struct Speaker {
    program: Program,
    /// Where its script writes when it was called as master, in nanoseconds.
    notified: PathBuf,
}

impl Speaker {
    fn start(cluster: &Cluster, at: usize) -> Self {
        let directory = directory();
        let (script, notified) = (directory.join("notify"), directory.join("notified"));
        let text = format!(
            "#!/bin/sh\ncase $* in *MASTER*) date +%s%N >{} ;; esac\n{}",
            notified.display(),
            standby::script(cluster, at)
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
        let config = directory.join("keepalived.conf");
        let text = format!(
            "global_defs {{
    script_user root
    vrrp_version 3
}}
vrrp_instance VI_1 {{
    state BACKUP
    interface vr0
    virtual_router_id 51
    priority {}
    advert_int 0.2
    virtual_ipaddress {{
        fe80::51/64
    }}
    notify \"{} {C}\"
}}
",
            [150, 100][at],
            script.display()
        );
        fs::write(&config, text).unwrap();
        let file = |name: &str| directory.join(name).display().to_string();
        let mut command = Command::new(PROGRAM);
        command.args([
            "--dont-fork",
            "--vrrp",
            "--log-console",
            "--no-syslog",
            "-f",
            &file("keepalived.conf"),
        ]);
        command.args(["-p", &file("keepalived.pid"), "-r", &file("vrrp.pid")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let host = [&cluster.first.host, &cluster.second.host][at];
        Self { program: Program(host.spawn(&mut command), directory.clone()), notified }
    }

    /// Leaves as at a reboot: the other is told.
    fn stop(mut self) {
        kill(Pid::from_raw(self.program.0.id() as i32), Signal::SIGTERM).unwrap();
        self.program.0.wait().unwrap();
    }

    /// How long ago it called its script as master.
    fn since_notify(&self) -> Duration {
        let text = fs::read_to_string(&self.notified).unwrap();
        let notified = SystemTime::UNIX_EPOCH + Duration::from_nanos(text.trim().parse().unwrap());
        notified.elapsed().unwrap_or_default()
    }
}

/// All are announced by this host, and it alone answers.
fn is_master(router: &mut Endpoint, station: Mac, speaker: &Speaker) {
    announces_all(router, station);
    let time = speaker.since_notify();
    took(&format!("{MANY} addresses are announced after keepalived has called its script"), time);
    answers_alone(router, station);
}

fn a_thousand_addresses_follow_the_master() {
    let (cluster, mut router) = cluster();
    cluster.first.host.ip(&format!(
        "link add vr0 type veth peer name vr0 netns {}
         link set vr0 up
         addr add fe80::a1/64 dev vr0 nodad",
        cluster.second.host.path()
    ));
    cluster.second.host.ip("link set vr0 up\naddr add fe80::a2/64 dev vr0 nodad");
    let first = Speaker::start(&cluster, 0);
    is_master(&mut router, UPSTREAM_MAC, &first);
    let second = Speaker::start(&cluster, 1);
    router.heard();
    first.stop();
    // It calls its script at the stop, too.
    eventually("the host that stops has released them", PATIENCE, || {
        status(&cluster.daemons[0])["claims"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    is_master(&mut router, SECOND_MAC, &second);
    // It has the higher priority, and takes over again.
    router.heard();
    let first = Speaker::start(&cluster, 0);
    is_master(&mut router, UPSTREAM_MAC, &first);
    second.stop();
    first.stop();
}
