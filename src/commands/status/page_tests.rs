//! The status as a person reads it.

use serde_json::{Value, json};

use super::*;

fn page(change: impl FnOnce(&mut Value)) -> Page {
    let mut status = json!({
        "version": "0.1.0", "pid": 4711, "uptime_seconds": 11_530,
        "upstreams": [{
            "interface": "eth0", "ifindex": 2, "mac": "02:00:00:00:00:02", "state": "up",
            "backend": "packet", "counters": { "answered": 12, "dropped": { "absent": 3, "no_range": 40 } },
        }],
        "ranges": [{
            "prefix": "2001:db8:1:2:c::/112", "upstream": "eth0", "interfaces": ["lxcbr0"],
            "interface_count": 1, "follows_kernel": false, "answer": "live", "routes": "range",
            "origin": "config", "state": "serving",
        }],
        "targets": [{
            "address": "2001:db8:1:2:c::5", "state": "live", "interface": "lxcbr0",
            "mac": "02:00:00:00:00:05", "evidence": "probe", "guest": null, "answered": 12,
            "last_seen_seconds": 75,
        }],
        "routes": [], "problems": [], "conflicts": [],
        "totals": { "targets": { "live": 1, "probing": 0, "absent": 2 } },
    });
    change(&mut status);
    let page: Page = serde_json::from_value(status).unwrap();
    Page { is_whole: true, ..page }
}

impl Page {
    /// Without colours.
    fn plain(&self) -> String {
        anstream::adapter::strip_str(&self.text()).collect()
    }
}

#[test]
fn tells_for_how_many_guests_the_kernel_answers() {
    let page = |backend: &str, count: usize| {
        page(|status| {
            status["upstreams"][0]["backend"] = backend.into();
            status["upstreams"][0]["known_in_kernel"] = count.into();
        })
        .plain()
    };
    assert!(page("tc", 1).contains("absent 3; the kernel answers for 1 guest\n"), "{}", page("tc", 1));
    assert!(!page("packet", 0).contains("kernel"));
    let with_ranges = super::tests::page(|status| {
        status["upstreams"][0]["backend"] = "tc".into();
        status["upstreams"][0]["ranges_in_kernel"] = 2.into();
    });
    let words = with_ranges.plain().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("the kernel answers for 0 guests and 2 ranges"), "{words}");
}

#[test]
fn a_range_that_stands_by_is_not_called_served() {
    let page = page(|status| status["ranges"][0]["standby"] = json!(true));
    let text = page.plain();
    assert!(
        !text.contains("serving") && text.contains("2001:db8:1:2:c::/112 on eth0: standing by"),
        "{text}"
    );
}

#[test]
fn reads_like_ip_and_systemctl() {
    let expected = "\
lone64 0.1.0 (pid 4711), up 3h 12min: 1 live guest, 2 absent
upstream eth0 02:00:00:00:00:02 up
    12 answered, 43 not: no_range 40, absent 3
range 2001:db8:1:2:c::/112 on eth0: serving
    lxcbr0; answer live, routes range
lxcbr0: 1 guest
  2001:db8:1:2:c::5  02:00:00:00:00:05  live  1min 15s ago
      seen by probe, 12 answers, fe80::ff:fe00:5%lxcbr0 (EUI-64)
";
    let page = page(|_| {});
    assert_eq!(page.plain(), expected);
    assert_eq!(page.health(), ExitCode::SUCCESS);
}

#[test]
fn begins_with_what_is_wrong_and_is_unhealthy_then() {
    let route = json!({
        "destination": "2001:db8:1:2:c::/112", "interface": "lxcbr0", "kind": "unicast", "state": "conflict",
    });
    let kept_out = page(|status| status["routes"] = json!([route]));
    assert_eq!(kept_out.health(), ExitCode::FAILURE);
    let message = "range 2001:db8:1:2:d::/112: there is no interface lxcbr1 for its guests; `ip link` lists \
                   those there are";
    let both = page(|status| {
        status["routes"] = json!([route]);
        status["problems"] = json!([{ "scope": "range", "message": message }]);
        status["conflicts"] =
            json!([{ "address": "2001:db8:1:2:c::6", "mac": "02:00:00:00:00:66", "answered": false }]);
    });
    assert_eq!(both.health(), ExitCode::FAILURE);
    let text = both.plain();
    let begins: Vec<_> = text.lines().filter_map(|line| line.split(' ').next()).take(6).collect();
    assert_eq!(begins, ["lone64", "problem:", "", "conflict:", "", "route"], "{text}");
}

#[test]
fn names_what_nobody_serves_and_is_healthy_all_the_same() {
    let page = page(|status| {
        let lines = "[[range]]\nprefix = \"2001:db8:1:2:d::/80\"\ninterface = \"docker0\"\n";
        status["unserved"] = json!([{
            "prefix": "2001:db8:1:2:d::/80", "interface": "docker0", "upstream": "eth0", "lines": lines,
            "instead": "automatic = true in [[upstream]] serves all such networks",
        }]);
        status["totals"]["unserved"] = json!(1);
    });
    let text = page.plain();
    let begin = "unserved: no range serves 2001:db8:1:2:d::/80 on docker0; these lines do:\n              [[range]]\n";
    assert!(text.lines().nth(1).is_some_and(|line| begin.starts_with(line)), "{text}");
    assert!(text.contains(begin), "{text}");
    assert_eq!(page.health(), ExitCode::SUCCESS);
}

#[test]
fn what_may_do_harm_is_a_note_and_what_is_known_of_the_switches_has_a_line() {
    let page = page(|status| {
        status["notes"] = json!(["word ".repeat(30)]);
        status["upstreams"][0]["mld"] =
            json!({ "querier": "fe80::9", "delivers_all": false, "groups": 1, "waiting": 2 });
    });
    let text = page.plain();
    assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("note: word")), "{text}");
    let line = "    MLD querier fe80::9; 1 group reported, 2 do not fit; no solicitation for\n        another group has arrived\n";
    assert!(text.contains(line), "{text}");
    assert_eq!(page.health(), ExitCode::SUCCESS);
}

#[test]
fn says_what_routers_make_of_the_answers_and_is_healthy_all_the_same() {
    let asker = |source: &str, trying, message: Option<&str>| {
        json!({
            "interface": "eth0", "address": "fe80::1", "mac": "02:00:00:00:00:01", "source": source,
            "gateway": true, "trying": trying, "taken": 3, "not_taken": [], "message": message,
        })
    };
    let page = page(|status| {
        let complaint = Some("takes 3 of 6 guests, and not 2001:db8:1:2:c::6");
        status["askers"] = json!([
            asker("target", false, None),
            asker("scope", true, None),
            asker("scope", false, complaint)
        ]);
        status["upstreams"][0]["gateway_source"] = json!("global");
    });
    let text = page.plain().split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in [
        "asker: fe80::1 (02:00:00:00:00:01) on eth0 accepts answers with source = \"target\", and gets these",
        "asker: fe80::1 (02:00:00:00:00:01) on eth0 does not accept our answers: lone64 tries other sources",
        "asker: fe80::1 (02:00:00:00:00:01) on eth0 takes 3 of 6 guests, and not 2001:db8:1:2:c::6",
        "absent 3; lone64 asks the gateway from a global address",
    ] {
        assert!(text.contains(sentence), "{sentence}\n{text}");
    }
    assert_eq!(page.health(), ExitCode::SUCCESS);
}

#[test]
fn says_what_the_provider_does_not_admit_or_forgets() {
    let page = page(|status| {
        let address = status["targets"][0]["address"].clone();
        status["targets"][0]["upstream"] = json!("not admitted");
        let one =
            |number: u16| json!({ "address": format!("2001:db8::{number:x}"), "message": "is refused" });
        status["not_admitted"] = (0..6).map(one).chain([json!({ "address": address })]).collect();
        status["upstreams"][0]["announced_again_seconds"] = json!(25);
    });
    let text = page.plain().split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in [
        "upstream: not admitted",
        "provider: 2001:db8::3 is refused",
        "provider: 3 more are not admitted",
        "the provider forgets guests: lone64 announces all again each 25s",
    ] {
        assert!(text.contains(sentence), "{sentence}\n{text}");
    }
    assert!(!text.contains("2001:db8::4 is refused"), "{text}");
    assert_eq!(page.health(), ExitCode::SUCCESS);
}

#[test]
fn fits_eighty_columns_at_its_widest() {
    let longest = "2001:1db8:1111:2222:3333:4444:5555:6666";
    let page = page(|status| {
        status["targets"][0]["address"] = json!(longest);
        status["targets"][0]["interface"] = json!("fifteen-bytes-x");
        status["targets"][0]["mac"] = json!("fe:dc:ba:98:76:54");
        status["targets"][0]["evidence"] = json!("neighbor");
        status["targets"][0]["answered"] = json!(u32::MAX);
        status["targets"][0]["last_seen_seconds"] = json!(3599);
        status["ranges"][0]["prefix"] = json!(format!("{longest}/128"));
        status["ranges"][0]["interfaces"] = json!(vec!["fifteen-bytes-x"; 8]);
        status["ranges"][0]["interface_count"] = json!(8);
        status["routes"] = json!([{
            "destination": format!("{longest}/128"), "interface": "fifteen-bytes-x", "kind": "unreachable",
            "state": "conflict",
        }]);
        status["totals"]["targets"]["live"] = json!(65_536);
        status["ranges"][0]["upstream"] = json!("fifteen-bytes-y");
        status["ranges"][0]["gateway"] = json!(longest);
        status["ranges"][0]["proxy_downstream"] = json!(true);
        status["upstreams"][0]["interface"] = json!("fifteen-bytes-y");
        status["upstreams"][0]["mac"] = json!("fe:dc:ba:98:76:54");
        status["upstreams"][0]["state"] = json!("no-carrier");
        let dropped: serde_json::Map<_, _> =
            crate::wire::DropReason::ALL.iter().map(|reason| (reason.to_string(), json!(u32::MAX))).collect();
        status["upstreams"][0]["counters"] = json!({ "answered": u32::MAX, "dropped": dropped });
        status["upstreams"][0]["gateway_source"] = json!("global");
        status["upstreams"][0]["mld"] =
            json!({ "querier": longest, "delivers_all": false, "groups": 65_536, "waiting": 65_536 });
        status["problems"] = json!([{ "message": format!("{longest} ").repeat(9) }]);
        status["notes"] = json!([format!("{longest} ").repeat(9)]);
        status["conflicts"] = json!([
            { "address": longest, "mac": "fe:dc:ba:98:76:54", "answered": false },
            { "address": longest, "mac": "fe:dc:ba:98:76:54", "answered": true },
        ]);
        status["wide_masks"] =
            json!([{ "interface": "fifteen-bytes-x", "guest": longest, "asked_for": longest }]);
        status["next_hops"] = json!([{
            "address": longest, "interface": "fifteen-bytes-x", "state": "probing", "last_seen_seconds": 86_399,
        }]);
        status["askers"] = json!([{
            "interface": "fifteen-bytes-y", "address": longest, "mac": "fe:dc:ba:98:76:54", "source": longest,
            "gateway": true, "trying": false, "message": null,
        }]);
        status["unserved"] = json!([{
            "prefix": format!("{longest}/128"), "interface": "fifteen-bytes-x", "upstream": "fifteen-bytes-y",
            "lines": format!("[[range]]\nprefix = \"{longest}/128\"\ninterface = \"fifteen-bytes-x\"\n"),
            "instead": "word ".repeat(40),
        }]);
        status["totals"]["unserved"] = json!(4_096);
        status["config"] = json!({
            "file": "/etc/lone64/lone64.toml", "files": ["/etc/lone64/lone64.toml"], "loaded_seconds": 86_399,
            "changed_since": true, "last_refusal": null,
        });
    });
    let text = page.plain();
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(text.ends_with("65535 more; `lone64 status --json` lists all\n"), "{text}");
}

#[test]
fn states_and_problems_have_colours() {
    let text = page(|status| status["problems"] = json!([{ "message": "word ".repeat(60) }])).text();
    assert!(text.contains(&bad("problem: ")) && text.contains(&good("serving")), "{text}");
}

#[test]
fn tells_which_configuration_is_in_force_and_whether_it_still_is() {
    let with = |changed: Value, refusal: Value| {
        page(|status| {
            status["config"] = json!({
                "file": "/etc/lone64/lone64.toml",
                "files": ["/etc/lone64/lone64.toml", "/etc/lone64/lone64.d/10-guests.toml"],
                "loaded_seconds": 61, "changed_since": changed, "last_refusal": refusal,
            });
        })
    };
    let same = with(json!(false), Value::Null);
    let line = "config /etc/lone64/lone64.toml with 1 drop-in, loaded 1min 1s ago\n";
    assert!(same.plain().contains(line), "{}", same.plain());
    assert_eq!(same.health(), ExitCode::SUCCESS);
    let changed = with(json!(true), Value::Null);
    let text = changed.plain();
    let second = text.lines().nth(1).unwrap();
    assert!(second.starts_with("config: /etc/lone64/lone64.toml with 1 drop-in has changed;"), "{text}");
    assert_eq!(changed.health(), ExitCode::SUCCESS);
    let refused =
        with(json!(true), json!({ "seconds": 5, "message": "f:1:1: wrong\n  1 | x", "problems": [] }));
    assert!(refused.plain().contains("config: a reload was refused 5s ago"));
    assert!(!refused.plain().contains("has changed;"));
    assert_eq!(refused.health(), ExitCode::FAILURE);
}

#[test]
fn names_files_of_guests_that_have_mistakes() {
    let mistake = json!({ "origin": "/etc/lone64/guests.d/web1.toml", "line": 1, "column": 8, "message": "this is not TOML",
        "help": null });
    let page = page(|status| {
        status["config"] = json!({
            "file": "/etc/lone64/lone64.toml", "files": ["/etc/lone64/lone64.toml"], "loaded_seconds": 61,
            "changed_since": false, "last_refusal": null, "guest_files": vec![mistake; 5],
        });
    });
    let text = page.plain();
    assert_eq!(text.matches("config: /etc/lone64/guests.d/web1.toml: this is not TOML").count(), 4, "{text}");
    assert!(text.contains("`lone64 check` shows all"), "{text}");
}
