//! rules.md "An answer" and "Reachability probes".
//!
//! [`Link::answered`] checks every field of every answer and that there is no second one.

use std::net::Ipv6Addr;

use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::frame::mac;
use crate::lab::{
    C, D, GUEST, Lab, PLAIN, ROUTER, ROUTER_AT_LARGE, UPSTREAM_GLOBAL, UPSTREAM_LINK_LOCAL, UPSTREAM_MAC, c,
};
use crate::link::Link;
use crate::solicitation::{Asker, Solicitation, option, source_link_layer};

crate::cases![
    answers_multicast_solicitations_for_live_guests_and_for_always,
    answers_unicast_solicitations_with_and_without_the_option,
    sends_the_answer_to_the_option_wherever_it_stands,
    sends_the_answer_to_the_frame_s_source_when_there_is_no_option,
    answers_askers_off_link_at_their_mac,
    answers_every_asker_of_a_guest_that_is_not_known_yet,
    answers_every_retransmission,
    answers_whatever_traffic_class_flow_label_and_reserved_field_hold,
    ignores_options_that_mean_nothing_to_it,
    ignores_padding_behind_the_payload,
    answers_priority_tagged_frames_of_its_own_link,
    sets_the_router_flag_as_configured,
    sets_the_override_flag_as_configured,
    takes_the_source_of_answers_from_the_policy,
];

fn both_modes() -> Settings {
    Settings::default().range(C, "br0", "answer = \"live\"").range(D, "gv1", "answer = \"always\"")
}

fn answers_multicast_solicitations_for_live_guests_and_for_always() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    for asker in [ROUTER, ROUTER_AT_LARGE] {
        for target in [GUEST, PLAIN, Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xd, 0, 0, 0xdead)] {
            link.answered(&Solicitation::multicast(asker, target));
        }
    }
    daemon.stop();
}

fn answers_unicast_solicitations_with_and_without_the_option() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    for asker in [ROUTER, ROUTER_AT_LARGE] {
        for target in [GUEST, PLAIN] {
            let question = Solicitation::unicast(asker, target, UPSTREAM_MAC);
            link.answered(&question);
            link.answered(&question.with(|q| q.options.clear()));
        }
    }
    daemon.stop();
}

fn sends_the_answer_to_the_option_wherever_it_stands() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    let (there, nonce, unknown) = (source_link_layer(mac(0x77)), option(14, &[7; 6]), option(253, &[1; 14]));
    for options in [
        there.clone(),
        [there.clone(), nonce.clone()].concat(),
        [nonce.clone(), there.clone()].concat(),
        [unknown.clone(), there.clone(), nonce.clone()].concat(),
        [unknown, nonce, there].concat(),
    ] {
        let question = Solicitation::multicast(ROUTER, PLAIN).with(|q| q.options = options);
        assert_eq!(question.answer_to().0, mac(0x77));
        link.answered(&question);
    }
}

fn sends_the_answer_to_the_frame_s_source_when_there_is_no_option() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    let stranger = Asker { mac: mac(0x78), ..ROUTER };
    for target in [GUEST, PLAIN] {
        link.answered(&Solicitation::multicast(stranger, target).with(|q| q.options.clear()));
    }
}

fn answers_askers_off_link_at_their_mac() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    let far = Asker { mac: mac(0x79), address: Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1) };
    for target in [GUEST, PLAIN] {
        link.answered(&Solicitation::multicast(far, target));
        link.answered(&Solicitation::unicast(far, target, UPSTREAM_MAC));
    }
}

fn answers_every_asker_of_a_guest_that_is_not_known_yet() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    // All ask before the guest can have replied to the probe, none answers solicitations itself.
    let questions: Vec<_> = (1..=4)
        .map(|n| Asker { mac: mac(0x60 + n), address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x60, n.into()) })
        .map(|asker| Solicitation::multicast(asker, GUEST))
        .collect();
    questions.iter().for_each(|question| link.send(question));
    // In whatever order: `hear` skips what is for others, so every asker gets its own ear.
    let mut heard = Vec::new();
    let deadline = std::time::Instant::now() + PATIENCE;
    while heard.len() < questions.len() {
        let frame = link.receive(deadline).unwrap_or_else(|| panic!("only {} answers", heard.len()));
        if crate::frame::target_of(&frame, crate::frame::ADVERTISEMENT) == Some(GUEST) {
            heard.push(crate::advertisement::Advertisement::parse(&frame).unwrap());
        }
    }
    assert!(link.settle().is_empty(), "one answer for each");
    for question in &questions {
        let mine: Vec<_> = heard.iter().filter(|answer| answer.destination == question.source).collect();
        assert_eq!(mine.len(), 1, "{question:?}");
        mine[0].check(question, UPSTREAM_MAC, &[UPSTREAM_LINK_LOCAL, UPSTREAM_GLOBAL]);
    }
}

fn answers_every_retransmission() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    for target in [GUEST, PLAIN] {
        let question = Solicitation::multicast(ROUTER, target);
        link.answered(&question);
        (0..20).for_each(|_| link.send(&question));
        assert_eq!(link.settle().len(), 20, "{target}");
    }
}

fn answers_whatever_traffic_class_flow_label_and_reserved_field_hold() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    let plain = Solicitation::multicast(ROUTER, PLAIN);
    link.answered(&plain.clone().with(|q| q.traffic_class = 0xff));
    link.answered(&plain.clone().with(|q| q.traffic_class = 0xe0));
    link.answered(&plain.clone().with(|q| q.flow_label = 0xf_ffff));
    link.answered(&plain.with(|q| q.reserved = 0xffff_ffff));
}

fn ignores_options_that_mean_nothing_to_it() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    let mine = source_link_layer(ROUTER.mac);
    for options in [
        option(2, &mac(0x66)),
        option(14, &[9; 6]),
        option(255, &[9; 62]),
        // Prefix information, redirected header, MTU: nothing that belongs into a solicitation.
        [option(3, &[0xff; 30]), option(4, &[0xff; 46]), option(5, &[0xff; 6])].concat(),
        // Longer than an Ethernet address.
        option(1, &[0x66; 14]),
        (0..20).flat_map(|kind| option(200 + kind, &[kind; 6])).collect(),
        // An option length of 32 and more does not fit eight bits once it is counted in bytes.
        option(253, &[9; 254]),
        // As much as fits an MTU of 1,500 beside the mine of below.
        [option(253, &[9; 1022]), option(254, &[9; 398])].concat(),
    ] {
        let question = Solicitation::multicast(ROUTER, PLAIN);
        link.answered(&question.clone().with(|q| q.options = options.clone()));
        link.answered(&question.clone().with(|q| q.options = [mine.clone(), options.clone()].concat()));
        link.answered(&question.with(|q| q.options = [options.clone(), mine.clone()].concat()));
    }
}

fn ignores_padding_behind_the_payload() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    for padding in [vec![0; 1], vec![0xff; 4], source_link_layer(mac(0x66)), vec![0; 400]] {
        let question = Solicitation::multicast(ROUTER, PLAIN).with(|q| q.padding = padding);
        link.answered(&question);
        // Were padding parsed as options, the last of the list would divert this answer.
        link.answered(&question.with(|q| q.options.clear()));
    }
}

fn answers_priority_tagged_frames_of_its_own_link() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    // VLAN 0 is no VLAN (IEEE 802.1Q): a switch that sets a priority does not move the frame.
    link.answered(&Solicitation::multicast(ROUTER, PLAIN).with(|q| q.tag = Some(5 << 13)));
}

fn sets_the_router_flag_as_configured() {
    for (keys, wanted) in [("router = true", true), ("router = false", false)] {
        let lab = Lab::veth();
        let _daemon = Daemon::start(&lab, both_modes().upstream(keys));
        let mut link = Link::open(&lab);
        assert_eq!(link.answer(&Solicitation::multicast(ROUTER, PLAIN)).router, wanted, "{keys}");
        assert_eq!(link.answer(&Solicitation::unicast(ROUTER, GUEST, UPSTREAM_MAC)).router, wanted, "{keys}");
        assert_eq!(link.answer(&Solicitation::dad(mac(0x61), PLAIN)).router, wanted, "{keys}");
    }
}

fn sets_the_override_flag_as_configured() {
    for (policy, wanted) in [("takeover", false), ("always", true), ("never", false)] {
        let lab = Lab::veth();
        let keys = format!("override = \"{policy}\"\nannounce = false");
        let _daemon = Daemon::start(&lab, both_modes().upstream(&keys));
        let mut link = Link::open(&lab);
        for target in [GUEST, PLAIN] {
            let answer = link.answer(&Solicitation::multicast(ROUTER, target));
            assert_eq!(answer.override_flag, wanted, "{policy}");
        }
    }
}

fn takes_the_source_of_answers_from_the_policy() {
    let other = c(0x99);
    for (policy, local, global) in [
        ("scope", UPSTREAM_LINK_LOCAL, UPSTREAM_GLOBAL),
        ("target", PLAIN, PLAIN),
        ("link-local", UPSTREAM_LINK_LOCAL, UPSTREAM_LINK_LOCAL),
        ("global", UPSTREAM_GLOBAL, UPSTREAM_GLOBAL),
        ("2001:db8:1:2:c::99", other, other),
    ] {
        let lab = Lab::veth();
        lab.host.ip(&format!("addr add {other}/128 dev up0 nodad"));
        // The second address would do for `global`, were it older or its prefix longer matched.
        let _daemon = Daemon::start(&lab, both_modes().upstream(&format!("source = \"{policy}\"")));
        let mut link = Link::open(&lab);
        let from = |link: &mut Link, asker| link.answer(&Solicitation::multicast(asker, PLAIN)).source;
        let globals = [UPSTREAM_GLOBAL, other];
        for (asker, wanted) in [(ROUTER, local), (ROUTER_AT_LARGE, global)] {
            let source = from(&mut link, asker);
            let fits = match policy {
                "global" | "scope" if globals.contains(&wanted) => globals.contains(&source),
                _ => source == wanted,
            };
            assert!(fits, "{policy}: {source} to {}", asker.address);
        }
    }
}
