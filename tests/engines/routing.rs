//! FRR and BIRD: guests of two hosts, which BGP announces to a router.

use std::net::Ipv6Addr;
use std::time::Duration;

use crate::PATIENCE;
use crate::guide::Guide;
use crate::machine::Machine;
use crate::namespace::eventually;
use crate::provider::Provider;
use crate::traffic::Traffic;

crate::cases![guests_of_several_hosts_with_frr, guests_of_several_hosts_with_bird];

/// On the link, so that hosts answer for it too.
const ON_LINK: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 5);

/// On no link.
const ROUTED: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 3, 0, 0, 0, 5);

fn guests_of_several_hosts_with_frr() {
    let site = Site::follow("frr", ON_LINK);
    site.serves("frr");
    site.announces_guests_only("vtysh -c 'show bgp ipv6'");
}

fn guests_of_several_hosts_with_bird() {
    let site = Site::follow("bird", ROUTED);
    site.serves("bird");
    site.announces_guests_only("birdc show route");
    for host in [&site.one, &site.two] {
        let status = host.ask("lone64 status");
        assert!(status.contains("    0 answered"), "nobody asks for what is on no link: {status}");
    }
}

/// Two hosts, and the router between them and everybody else. The guest is called `web`.
struct Site {
    provider: Provider,
    router: Machine,
    one: Machine,
    two: Machine,
    guest: Ipv6Addr,
}

impl Site {
    /// A guide, typed there; the guest is on the first host then.
    fn follow(guide: &str, guest: Ipv6Addr) -> Self {
        let provider = Provider::new();
        let (one, two) = (provider.host("one", 2), provider.host("two", 3));
        let router = provider.router_machine();
        Guide::read(guide).follow(&provider, &one, &|place, lines| match place {
            "hosts" => [&one, &two].into_iter().for_each(|host| _ = host.type_in(lines)),
            "one" => _ = one.type_in(lines),
            "router" => _ = router.type_in(lines),
            place => panic!("there is no place {place:?}"),
        });
        Self { provider, router, one, two, guest }
    }

    /// What guests of several hosts are to be spared, whoever announces them.
    fn serves(&self, daemon: &str) {
        let pids = self.pids();
        self.leads_to("::2");
        self.provider.pings(self.guest);
        for host in [&self.one, &self.two] {
            host.type_in("lone64 doctor");
        }
        // The backstop of the other host is in nobody's way.
        self.is_known_at(&self.two);
        self.two.type_in(&format!("ping -c 1 -W 60 {}", self.guest));
        self.is_followed();
        self.survives_a_restart(daemon);
        self.two.type_in("ip netns del web");
        self.is_reachable_at_its_first_packet();
        self.ends();
        assert_eq!(self.pids(), pids);
        for host in [&self.one, &self.two] {
            assert_eq!(host.warnings(), "", "{}", host.name);
        }
    }

    /// The guest moves to the second host at last.
    fn is_followed(&self) {
        let mut gaps: Vec<Duration> = Vec::new();
        for (from, to) in [(&self.one, &self.two), (&self.two, &self.one), (&self.one, &self.two)] {
            let traffic = Traffic::start(&self.provider.beyond, self.guest);
            from.type_in("ip netns del web");
            to.type_in("sh guest");
            traffic.flows();
            gaps.push(traffic.longest_gap());
        }
        self.leads_to("::3");
        println!("{} moved from host to host within {gaps:?}", self.guest);
    }

    fn survives_a_restart(&self, daemon: &str) {
        let traffic = Traffic::start(&self.provider.beyond, self.guest);
        self.two.type_in(&format!("systemctl restart {daemon}"));
        self.leads_to("::3");
        self.is_known_at(&self.one);
        traffic.flows();
        println!("a restart of {daemon} interrupted the traffic for {:?}", traffic.longest_gap());
    }

    fn is_reachable_at_its_first_packet(&self) {
        self.one.type_in("sh guest");
        eventually("the guest's address is valid", PATIENCE, || {
            let shown = self.one.ask("ip -n web -6 address show dev eth0 scope global");
            (shown.contains(&self.guest.to_string()) && !shown.contains("tentative")).then_some(())
        });
        self.leads_to("::2");
        self.provider.pings(self.guest);
    }

    fn ends(&self) {
        self.one.type_in("ip netns del web");
        eventually("nothing leads to the guest any more", PATIENCE, || {
            let routes = self.routes(&self.router) + &self.routes(&self.one) + &self.routes(&self.two);
            routes.is_empty().then_some(())
        });
    }

    fn announces_guests_only(&self, table: &str) {
        self.one.type_in("sh guest");
        let guest = format!("{}/128", self.guest);
        let announced = eventually("the guest is announced", PATIENCE, || {
            Some(self.router.ask(table)).filter(|announced| announced.contains(&guest))
        });
        // FRR prints its marks (`*>i`) before a prefix without a space.
        let words = announced.split_whitespace().map(|word| word.trim_start_matches(['*', '>', '=', 'i']));
        let prefixes: Vec<_> = words.filter(|word| word.contains("::") && word.contains('/')).collect();
        assert_eq!(prefixes, [guest], "{announced}");
    }

    /// The router has the guest's route from BGP, to the host of this address or its link-local one.
    fn leads_to(&self, host: &str) {
        let number = host.trim_start_matches(':');
        let ways = [format!("via 2001:db8:1:2{host} "), format!("via fe80::ff:fe00:10{number} ")];
        eventually(&format!("the router sends what is for the guest to {host}"), PATIENCE, || {
            let routes = self.routes(&self.router);
            ways.iter().any(|way| routes.contains(way)).then_some(())
        });
    }

    /// The host that does not have the guest knows the way.
    fn is_known_at(&self, host: &Machine) {
        eventually("the other host knows the way", PATIENCE, || {
            self.routes(host).contains(" via ").then_some(())
        });
    }

    fn routes(&self, machine: &Machine) -> String {
        machine.namespace.show(&format!("route show {}", self.guest))
    }

    fn pids(&self) -> [String; 2] {
        [&self.one, &self.two].map(|host| host.main_pid("lone64"))
    }
}
