//! The lab of one turn: asker, host and guests, each a namespace of its own.

use std::io;
use std::net::Ipv6Addr;

use lone64::engine::facts::{IfIndex, IfName};
use lone64::kernel::netlink::{NetlinkError, Requests};
use lone64::kernel::netns::Namespace;
use lone64::kernel::sysctl;
use lone64::wire::Mac;

/// Three namespaces and the wires between them. All gone when dropped.
pub struct Lab {
    /// Where the questions come from, with the link [`ASKING`].
    pub asker: Namespace,
    /// Where the responder runs, with [`UPSTREAM`] and [`DOWNSTREAM`].
    pub host: Namespace,
    /// Where the guests are, with the link [`GUESTS`].
    pub guests: Namespace,
}

impl Lab {
    /// Builds it, without any of the delays of Duplicate Address Detection.
    pub fn build() -> io::Result<Self> {
        let lab =
            Self { asker: Namespace::create()?, host: Namespace::create()?, guests: Namespace::create()? };
        for namespace in [&lab.asker, &lab.host, &lab.guests] {
            namespace.run(|| {
                for key in
                    ["conf/all/accept_dad", "conf/default/accept_dad", "conf/default/router_solicitations"]
                {
                    sysctl::write(key, "0").map_err(io::Error::other)?;
                }
                Ok::<_, io::Error>(())
            })?;
        }
        within(&lab.host, async |requests| {
            requests.add_veth(&name(UPSTREAM), &name(ASKING)).await?;
            requests.add_veth(&name(DOWNSTREAM), &name(GUESTS)).await?;
            requests.set_mac(index(UPSTREAM), HOST_MAC).await?;
            requests.set_mac(index(ASKING), ASKER_MAC).await?;
            requests.set_mac(index(GUESTS), GUEST_MAC).await?;
            requests.move_to(index(ASKING), lab.asker.fd()).await?;
            requests.move_to(index(GUESTS), lab.guests.fd()).await?;
            for link in [UPSTREAM, DOWNSTREAM] {
                requests.set_up(index(link)).await?;
            }
            requests.add_address(index(UPSTREAM), HOST, 64).await
        })?;
        // Virtual Ethernet delivers on the sender's CPU: what the asker's kernel did with answers
        // would be charged to the responder, and on a real wire the asker is another machine.
        lab.asker
            .run(|| sysctl::write(&format!("conf/{ASKING}/disable_ipv6"), "1"))
            .map_err(io::Error::other)?;
        within(&lab.asker, async |requests| requests.set_up(index(ASKING)).await)?;
        within(&lab.guests, async |requests| requests.set_up(index(GUESTS)).await)?;
        lab.host.run(|| sysctl::write("conf/all/forwarding", "1")).map_err(io::Error::other)?;
        Ok(lab)
    }
}

/// Runs requests in a namespace.
pub fn within(
    namespace: &Namespace,
    work: impl AsyncFnOnce(Requests) -> Result<(), NetlinkError> + Send,
) -> io::Result<()> {
    namespace.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { work(Requests::open()?).await }).map_err(io::Error::other)
    })
}

/// The number of a link, in the namespace of this thread.
pub fn index(link: &str) -> IfIndex {
    // 0 is no link: the kernel refuses it, and the error names what was to be done.
    IfIndex(nix::net::if_::if_nametoindex(link).unwrap_or(0))
}

fn name(text: &str) -> IfName {
    text.parse().expect("the names below are names")
}

/// The host's interface towards the asker.
pub const UPSTREAM: &str = "up0";
/// The host's interface towards the guests.
pub const DOWNSTREAM: &str = "down0";
/// The asker's end of the wire.
pub const ASKING: &str = "rt0";
/// The guests' end of the wire.
pub const GUESTS: &str = "eth0";

/// The asker, as the provider's router would be.
pub const ASKER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 1);
const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 2);
/// The asker's station.
pub const ASKER_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
/// The host's station on its upstream.
pub const HOST_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);
/// The station of every guest.
pub const GUEST_MAC: Mac = Mac([2, 0, 0, 0, 0, 5]);
