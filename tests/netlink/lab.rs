//! A namespace with a monitor in it, and the words that the trials share.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::Write;
use std::net::Ipv6Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

use libtest_mimic::Failed;
use lone64::engine::facts::{Fact, IfIndex, IfName, KernelRoute, Link, LinkState, NextHop, RouteKind};
use lone64::kernel::netlink::{Monitor, Notice, Requests};
use lone64::kernel::netns::Namespace;

pub(crate) struct Lab {
    pub(crate) monitor: Monitor,
    pub(crate) requests: Requests,
}

impl Lab {
    pub(crate) async fn fact(&mut self, wanted: impl Fn(&Fact) -> bool) -> Fact {
        self.until(wanted).await.pop().expect("until ends with what was wanted")
    }

    pub(crate) async fn until(&mut self, mut wanted: impl FnMut(&Fact) -> bool) -> Vec<Fact> {
        let mut told = Vec::new();
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            match tokio::time::timeout_at(deadline, self.monitor.next()).await {
                Ok(Notice::Fact(fact)) => {
                    let done = wanted(&fact);
                    told.push(fact);
                    if done {
                        return told;
                    }
                }
                Ok(Notice::Overrun | Notice::GroupShrunk) => {}
                Ok(Notice::Closed) => panic!("closed after {told:?}"),
                Err(_) => panic!("waited in vain; told {told:?}"),
            }
        }
    }

    pub(crate) async fn link(&mut self, wanted: impl Fn(&Link) -> bool) -> Link {
        match self.fact(|fact| matches!(fact, Fact::Link(link) if wanted(link))).await {
            Fact::Link(link) => link,
            other => unreachable!("{other:?}"),
        }
    }

    pub(crate) async fn veth_up(&mut self) -> Result<IfIndex, Failed> {
        self.requests.add_veth(&name("a"), &name("b")).await?;
        let (a, b) = (index("a"), index("b"));
        self.requests.set_up(a).await?;
        self.requests.set_up(b).await?;
        Ok(a)
    }

    /// v1 and v2, each with a carrier and an address.
    pub(crate) async fn two_links(&mut self) -> Result<(), Failed> {
        // No addresses but those of the test, so that nothing is told later of any other.
        std::fs::write("/proc/sys/net/ipv6/conf/default/addr_gen_mode", "1")?;
        self.ip("link add name v1 type veth peer name w1\nlink add name v2 type veth peer name w2")?;
        self.requests.set_up(LOOPBACK).await?;
        let mut without_carrier: BTreeSet<_> = ["v1", "w1", "v2", "w2"].map(index).into();
        for link in &without_carrier {
            self.requests.set_up(*link).await?;
        }
        self.until(|fact| {
            if let Fact::Link(link) = fact
                && link.state == LinkState::Up
            {
                without_carrier.remove(&link.index);
            }
            without_carrier.is_empty()
        })
        .await;
        self.requests.add_address(index("v1"), ip("2001:db8:a::1"), 64).await?;
        self.requests.add_address(index("v2"), ip("2001:db8:c::1"), 64).await?;
        self.fact(|fact| matches!(fact, Fact::Route(r) if r.destination == ip("2001:db8:c::1").into())).await;
        Ok(())
    }

    /// Runs the lines of an `ip -batch`, and returns what the kernel says meanwhile. It says most things
    /// before the request returns; a carrier takes its time.
    pub(crate) fn ip(&mut self, batch: &str) -> Result<Vec<Fact>, Failed> {
        self.ip_that_may_fail(batch)?;
        Ok(self.heard())
    }

    /// The same, and what the kernel says is still to be heard, also if it refused.
    pub(crate) fn ip_that_may_fail(&mut self, batch: &str) -> Result<(), Failed> {
        // A group of next hops has no family, and a rule needs one.
        let family: &[_] = if batch.starts_with("rule") { &["-6"] } else { &[] };
        let mut child = Command::new("ip")
            .args(family)
            .args(["-force", "-batch", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().expect("piped").write_all(batch.as_bytes())?;
        let output = child.wait_with_output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("ip -batch:\n{batch}\n{complaint}").into()) }
    }

    /// What is there already.
    pub(crate) fn heard(&mut self) -> Vec<Fact> {
        let fact = |notice| match notice {
            Notice::Fact(fact) => fact,
            other => panic!("{other:?}"),
        };
        std::iter::from_fn(|| self.monitor.try_next()).map(fact).collect()
    }

    /// The routes of a fresh dump, as a set.
    pub(crate) async fn dumped(&self) -> Result<BTreeSet<KernelRoute>, Failed> {
        Ok(self.routes().await?.into_iter().collect())
    }

    pub(crate) async fn routes(&self) -> Result<Vec<KernelRoute>, Failed> {
        let facts = self.monitor.dump().await?;
        Ok(facts
            .into_iter()
            .filter_map(|fact| match fact {
                Fact::Route(route) => Some(route),
                _ => None,
            })
            .collect())
    }
}

/// Runs a test in a namespace of its own, on a runtime of its own, with a deadline.
pub(crate) fn in_namespace<F>(test: impl FnOnce(Lab) -> F + Send) -> Result<(), Failed>
where
    F: Future<Output = Result<(), Failed>>,
{
    let namespace = Namespace::create()?;
    namespace.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (monitor, requests) = Monitor::start()?;
            tokio::time::timeout(3 * DEADLINE, test(Lab { monitor, requests })).await?
        })
    })
}

pub(crate) fn ours(kind: RouteKind) -> KernelRoute {
    KernelRoute {
        destination: net("2001:db8:1:2:c::/112"),
        kind,
        next_hop: NextHop::OnLink,
        table: 254,
        protocol: 64,
        metric: 1024,
        source: None,
    }
}

pub(crate) fn numbered(number: u32, link: IfIndex) -> KernelRoute {
    let guest = u128::from(ip("2001:db8:1:2:c::")) + u128::from(number);
    KernelRoute { destination: Ipv6Addr::from(guest).into(), ..ours(RouteKind::Unicast(link)) }
}

pub(crate) fn index(link: &str) -> IfIndex {
    IfIndex(nix::net::if_::if_nametoindex(link).expect("a link of this namespace"))
}

pub(crate) fn name(text: &str) -> IfName {
    text.parse().expect("the name of an interface")
}

pub(crate) fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

pub(crate) fn net(text: &str) -> ipnet::Ipv6Net {
    text.parse().expect("a prefix")
}

pub(crate) const LOOPBACK: IfIndex = IfIndex(1);
/// Longer than anything that works takes, on however busy a machine.
const DEADLINE: Duration = Duration::from_secs(60);
