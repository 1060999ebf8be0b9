//! The text of a scrape.

use std::time::Duration;

use super::*;

/// One with a different number everywhere.
pub(in super::super) fn sample() -> Snapshot {
    let mut upstream = LinkCounters::default();
    upstream.answered = 7;
    let mut answers = Answers::default();
    answers.observe(Duration::from_micros(40));
    answers.observe(Duration::from_millis(3));
    Snapshot {
        upstreams: vec![("up0".to_owned(), upstream)],
        targets: Census { live: 1, probing: 2, absent: 3 },
        programs: vec![("up0".to_owned(), 18)],
        routes: [4, 5, 6, 8],
        probes: 9,
        announcements: 10,
        downstream_answers: 15,
        rivals: 11,
        resyncs: 12,
        problems: 13,
        unserved: 16,
        guests: [41, 2],
        guards: vec![("web1".to_owned(), Breach::Router, 18)],
        moves: [21, 22],
        flapping: 23,
        claims: 7,
        pins: PinCount { kept: 21, kept_out: 1, refused: 2, put_back: 22 },
        not_admitted: 17,
        drops: vec![("up0".to_owned(), 14)],
        answers,
        started: UNIX_EPOCH + Duration::from_millis(1_500),
    }
}

#[test]
fn says_everything_with_its_type() {
    let text = sample().text(Format::OpenMetrics);
    for line in [
        "# TYPE lone64_solicitations counter",
        "lone64_solicitations_total{upstream=\"up0\",verdict=\"answered\"} 7",
        "lone64_solicitations_total{upstream=\"up0\",verdict=\"hop_limit\"} 0",
        "# TYPE lone64_targets gauge",
        "lone64_targets{state=\"absent\"} 3",
        "lone64_program_targets{upstream=\"up0\"} 18",
        "lone64_routes{state=\"conflict\"} 5",
        "lone64_guard_drops_total{guest=\"web1\",reason=\"router_advertisement\"} 18",
        "lone64_problems 13",
        "lone64_pins{state=\"kept\"} 21",
        "lone64_pins{state=\"kept_out\"} 3",
        "lone64_pins_put_back_total 22",
        "lone64_guest_moves_total{direction=\"arrived\"} 21",
        "lone64_guest_moves_total{direction=\"left\"} 22",
        "lone64_flapping_guests 23",
        "# TYPE lone64_unserved_networks gauge",
        "lone64_unserved_networks 16",
        "lone64_not_admitted_targets 17",
        "lone64_probes_total 9",
        "lone64_announcements_total 10",
        "lone64_downstream_answers_total 15",
        "lone64_rival_advertisements_total 11",
        "lone64_netlink_resyncs_total 12",
        "lone64_packet_drops_total{interface=\"up0\"} 14",
        "# TYPE lone64_answer_seconds histogram",
        "# UNIT lone64_answer_seconds seconds",
        "lone64_answer_seconds_bucket{le=\"0.00002\"} 0",
        "lone64_answer_seconds_bucket{le=\"0.00005\"} 1",
        "lone64_answer_seconds_bucket{le=\"0.005\"} 2",
        "lone64_answer_seconds_bucket{le=\"1.0\"} 2",
        "lone64_answer_seconds_bucket{le=\"+Inf\"} 2",
        "lone64_answer_seconds_count 2",
        "lone64_answer_seconds_sum 0.00304",
        "# TYPE lone64_build info",
        concat!("lone64_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "process_start_time_seconds 1.5",
    ] {
        assert!(text.lines().any(|said| said == line), "{line}\nis not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn has_one_verdict_for_each_reason_and_one_for_answers() {
    let text = sample().text(Format::OpenMetrics);
    let verdicts = text.lines().filter(|line| line.starts_with("lone64_solicitations_total{"));
    assert_eq!(verdicts.count(), DropReason::COUNT + 1);
    for reason in DropReason::ALL {
        assert!(text.contains(&format!("verdict=\"{reason}\"")), "{reason}");
    }
}

/// What a scraper would stumble over: samples behind the head of another metric, and names twice.
#[test]
fn keeps_each_metric_together() {
    let text = sample().text(Format::OpenMetrics);
    let mut seen = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            let name = head.split(' ').next().unwrap().to_owned();
            assert!(!seen.contains(&name), "{name} twice");
            seen.push(name);
        } else if !line.starts_with('#') {
            assert!(line.starts_with(seen.last().unwrap().as_str()), "{line}");
        }
    }
}

#[test]
fn takes_every_name_that_an_interface_can_have() {
    let mut odd = sample();
    odd.drops = vec![("a\"b\\c".to_owned(), 1)];
    assert!(odd.text(Format::OpenMetrics).contains(r#"lone64_packet_drops_total{interface="a\"b\\c"} 1"#));
}

#[test]
fn has_no_samples_where_there_is_nothing() {
    let empty = Snapshot { upstreams: Vec::new(), drops: Vec::new(), ..sample() }.text(Format::OpenMetrics);
    assert!(!empty.contains("lone64_solicitations_total{") && !empty.contains("packet_drops_total"));
    assert!(empty.ends_with("# EOF\n"));
}

#[test]
fn says_the_same_in_the_text_format_of_prometheus() {
    let text = sample().text(Format::Text);
    for line in [
        "# HELP lone64_solicitations_total Frames that arrived on an upstream, by verdict.",
        "# TYPE lone64_solicitations_total counter",
        "# TYPE lone64_targets gauge",
        "# TYPE lone64_probes_total counter",
        "# TYPE lone64_answer_seconds histogram",
        "# TYPE lone64_build_info gauge",
        "# TYPE process_start_time_seconds gauge",
    ] {
        assert!(text.lines().any(|said| said == line), "{line}\nis not in\n{text}");
    }
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    let samples = |text: &str| -> Vec<(String, f64)> {
        let lines =
            text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap());
        // How a bound is written is left to each format.
        let mut samples: Vec<_> = lines
            .map(|(series, value)| (series.replace("\"1.0\"", "\"1\""), value.parse().unwrap()))
            .collect();
        samples.sort_by(|(one, _), (other, _)| one.cmp(other));
        samples
    };
    assert_eq!(samples(&text), samples(&sample().text(Format::OpenMetrics)));
}

#[test]
fn has_every_metric_of_the_catalog_in_its_order_with_the_labels_that_it_names() {
    let sample = sample();
    let families = sample.families();
    let metrics: Vec<_> = families.iter().map(|family| family.metric).collect();
    assert_eq!(metrics, catalog::ALL);
    for Family { metric, samples } in &families {
        let labels = match samples {
            Samples::Counts(counts) => counts[0].0.iter().map(|(label, _)| *label).collect(),
            Samples::Seconds(_) | Samples::Histogram(_) => Vec::new(),
        };
        assert_eq!(labels, metric.labels, "{}", metric.name);
        assert!(metric.help.ends_with('.') && !metric.help.contains(['\\', '\n', '"']), "{}", metric.help);
    }
}

#[test]
fn escapes_names_in_the_text_format_too() {
    let odd = Snapshot { drops: vec![("a\"b\\c".to_owned(), 1)], ..sample() };
    assert!(odd.text(Format::Text).contains(r#"lone64_packet_drops_total{interface="a\"b\\c"} 1"#));
}
