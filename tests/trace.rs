//! Traces on the virtual clock: an hour of a host, written down, replays to the same outputs.

#![allow(clippy::unwrap_used)]

mod host;

use lone64::engine::{Engine, Input, Output};
use lone64::trace::{End, Entry, FORMAT, Header, Trace, TraceError, replay};

use crate::host::*;

/// What a host of this policy does for an hour, as a daemon would write it down.
fn hour() -> Trace {
    let header = Header::new(announcing(), [17, 4]);
    let mut engine = Engine::new(header.policy.clone(), header.seed);
    let mut entries = Vec::new();
    let mut now = lone64::engine::Time::at(seconds(1));
    let mut hand_in = |engine: &mut Engine, input: Input, now| {
        engine.handle(input.clone(), now);
        let outputs: Vec<_> = std::iter::from_fn(|| engine.poll_output()).collect();
        entries.push(Entry { at: now, input, outputs: Some(outputs.clone()) });
        outputs
    };
    hand_in(&mut engine, Input::Facts(usual_facts()), now);
    hand_in(&mut engine, Input::Synced, now);
    let end = now + seconds(3_600);
    for minute in 0_u16.. {
        let asked = now + seconds(60);
        while let Some(due) = engine.next_timeout().filter(|due| *due < asked) {
            now = due.max(now);
            hand_in(&mut engine, Input::Timeout, now);
        }
        now = asked;
        if now > end {
            break;
        }
        let target = guest(minute % 7);
        for output in hand_in(&mut engine, Input::Solicitation(UP, question(target)), now) {
            if let Output::Solicit(BRIDGE, probe) = output {
                let reply = reply(probe.target, guest_mac(minute % 7));
                hand_in(&mut engine, Input::Advertisement(BRIDGE, reply), now);
            }
        }
    }
    hand_in(&mut engine, Input::Stop, now);
    Trace { header, entries, end: None }
}

fn text(trace: &Trace) -> String {
    let mut text = serde_json::to_string(&trace.header).unwrap() + "\n";
    for entry in &trace.entries {
        text += &(serde_json::to_string(entry).unwrap() + "\n");
    }
    text
}

#[test]
fn an_hour_survives_as_text_and_replays_to_the_same_outputs() {
    let trace = hour();
    let answers = trace.entries.iter().flat_map(|entry| entry.outputs.iter().flatten());
    assert!(answers.filter(|output| matches!(output, Output::Advertise(..))).count() > 50);
    let read = Trace::parse(&text(&trace)).unwrap();
    assert_eq!(read, trace);
    assert_eq!(replay(&read), []);
}

#[test]
fn another_output_is_a_difference_at_its_line() {
    let mut trace = hour();
    let place = trace.entries.iter().position(|entry| {
        entry.outputs.iter().flatten().any(|output| matches!(output, Output::Advertise(..)))
    });
    let place = place.unwrap();
    let real = trace.entries[place].outputs.replace(Vec::new()).unwrap();
    let differences = replay(&trace);
    assert_eq!(differences.len(), 1);
    assert_eq!((differences[0].line, &differences[0].replayed), (place + 2, &real));
    assert!(differences[0].recorded.is_empty());
}

#[test]
fn inputs_of_one_batch_are_handed_in_before_anybody_looks() {
    let mut trace = hour();
    let outputs: Vec<_> =
        trace.entries.iter_mut().take(2).flat_map(|entry| entry.outputs.take().unwrap()).collect();
    trace.entries[1].outputs = Some(outputs);
    assert_eq!(replay(&trace), []);
    assert!(!text(&trace).lines().nth(1).unwrap().contains("outputs"));
}

#[test]
fn reads_one_that_was_cut_off_or_ended_early_and_refuses_what_is_none() {
    let trace = hour();
    let text = text(&trace);
    let cut = Trace::parse(&text[..text.len() - 5]).unwrap();
    assert_eq!(cut.entries.len(), trace.entries.len() - 1);
    let end = serde_json::to_string(&End { end: "full".to_owned() }).unwrap();
    assert_eq!(Trace::parse(&format!("{text}{end}\n")).unwrap().end.as_deref(), Some("full"));
    assert!(matches!(Trace::parse(""), Err(TraceError::Empty)));
    assert!(matches!(Trace::parse("{\"format\":99}\n"), Err(TraceError::Format(99))));
    assert!(matches!(Trace::parse(&format!("{text}x\n")), Err(TraceError::Line { line, .. }) if line > 2));
    assert_eq!(FORMAT, 1, "whoever counts it up keeps a reader of the old one, or says so");
}
