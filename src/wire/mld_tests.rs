//! Queries are read as RFC 3810 says, and reports are written as a switch reads them.

use super::query::max_response;
use super::*;
use crate::wire::Message;
use proptest::prelude::*;

const STATION: Mac = Mac([2, 0, 0, 0, 0, 1]);

fn query() -> MldQuery {
    MldQuery {
        source_mac: Mac([2, 0, 0, 0, 0, 9]),
        source: "fe80::9".parse().expect("an address"),
        version: MldVersion::V2,
        group: None,
        max_response: Duration::from_secs(10),
    }
}

fn bytes(query: &MldQuery) -> Vec<u8> {
    let mut buffer = [0; 200];
    let length = query.emit(&mut buffer);
    buffer[..length].to_vec()
}

/// As the sender would have written it.
fn with_sum(mut frame: Vec<u8>) -> Vec<u8> {
    let (source, destination) = (address_at(&frame, 22), address_at(&frame, 38));
    let message = &frame[HEADERS + EXTENSION..];
    let sum = pnet::packet::util::ipv6_checksum(
        message,
        1,
        &[],
        &source,
        &destination,
        IpNextHeaderProtocols::Icmpv6,
    );
    frame[HEADERS + EXTENSION + 2..][..2].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn every_check_has_its_reason() {
    let good = bytes(&query());
    assert_eq!(Message::parse(&good, STATION), Ok(Message::Query(query())));
    let changed = |at: usize, value: u8| {
        let mut frame = good.clone();
        frame[at] = value;
        Message::parse(&with_sum(frame), STATION)
    };
    assert_eq!(changed(21, 255), Err(DropReason::HopLimit));
    assert_eq!(changed(22, 0x20), Err(DropReason::SourceNotLinkLocal), "RFC 3810 §6.2");
    assert_eq!(changed(HEADERS + 2, 1), Err(DropReason::ExtensionHeader), "no router alert");
    assert_eq!(changed(HEADERS + 1, 1), Err(DropReason::ExtensionHeader), "a longer one");
    assert_eq!(
        changed(HEADERS + EXTENSION + 8, 0x20),
        Err(DropReason::MessageType),
        "a group of one station"
    );
    assert_eq!(changed(14, 0x50), Err(DropReason::IpVersion));
    assert_eq!(Message::parse(&good, query().source_mac), Err(DropReason::OwnFrame));
    let mut wrong = good.clone();
    wrong[HEADERS + EXTENSION + 2] ^= 1;
    assert_eq!(Message::parse(&wrong, STATION), Err(DropReason::Checksum));
    for length in 0..good.len() {
        assert!(Message::parse(&good[..length], STATION).is_err(), "{length}");
    }
    // RFC 3810 §8.1: "Query messages that do not match any of the above conditions [...] MUST be silently ignored".
    let mut between = good.clone();
    between.truncate(good.len() - 2);
    between[19] -= 2;
    assert_eq!(Message::parse(&with_sum(between), STATION), Err(DropReason::MessageTruncated));
}

#[test]
fn long_times_are_a_mantissa_and_an_exponent() {
    for (version, code, milliseconds) in [
        (MldVersion::V2, 10_000, 10_000),
        (MldVersion::V2, 0x7fff, 0x7fff),
        (MldVersion::V2, 0x8000, 0x1000 << 3),
        (MldVersion::V2, 0xffff, 0x1fff << 10),
        (MldVersion::V1, 0xffff, 0xffff),
    ] {
        assert_eq!(max_response(version, code), Duration::from_millis(milliseconds), "{code:#x}");
    }
}

#[test]
fn a_report_is_what_a_switch_reads() {
    let group: Ipv6Addr = "ff02::1:ff00:5".parse().expect("an address");
    let record = |kind| MldRecord { kind, group };
    let mut report = MldReport {
        source_mac: STATION,
        source: "fe80::1".parse().expect("an address"),
        version: MldVersion::V2,
        records: vec![record(MldRecordKind::Begin); MldReport::MOST],
    };
    let mut buffer = [0xff; MldReport::MAX_EMITTED];
    assert_eq!(report.emit(&mut buffer), MldReport::MAX_EMITTED);
    const { assert!(MldReport::MAX_EMITTED <= 14 + 1_280) };
    assert_eq!(buffer[..6], [0x33, 0x33, 0, 0, 0, 0x16]);
    assert_eq!(buffer[20..22], [0, 1], "behind a hop-by-hop header, and no further than this link");
    assert_eq!(buffer[HEADERS..HEADERS + 8], [58, 0, 5, 2, 0, 0, 1, 0]);
    assert_eq!(buffer[HEADERS + 8], 143);
    assert_eq!(buffer[HEADERS + 14..][..6], [0, 61, 4, 0, 0, 0]);
    assert_eq!(with_sum(buffer.to_vec()), buffer);

    report.records.truncate(1);
    assert_eq!(report.emit(&mut buffer), HEADERS + 8 + 28);
    report.version = MldVersion::V1;
    assert_eq!(report.emit(&mut buffer), HEADERS + 8 + 24);
    assert_eq!(buffer[..6], [0x33, 0x33, 0xff, 0, 0, 5], "to the group itself");
    assert_eq!(buffer[HEADERS + 8], 131);
    report.records[0].kind = MldRecordKind::End;
    report.emit(&mut buffer);
    assert_eq!((buffer[5], buffer[HEADERS + 8]), (2, 132));
}

fn guests_report(records: &[(MldRecordKind, &str)]) -> MldReport {
    let records =
        records.iter().map(|(kind, group)| MldRecord { kind: *kind, group: group.parse().expect("a group") });
    MldReport {
        source_mac: Mac([2, 0, 0, 0, 0, 9]),
        source: "fe80::9".parse().expect("an address"),
        version: MldVersion::V2,
        records: records.collect(),
    }
}

fn bytes_of(report: &MldReport) -> Vec<u8> {
    let mut buffer = [0; MldReport::MAX_EMITTED];
    let length = report.emit(&mut buffer);
    buffer[..length].to_vec()
}

#[test]
fn a_guests_report_is_read_as_far_as_it_is_about_its_addresses() {
    use MldRecordKind::{Begin, End, IsListened};
    let solicited = [(Begin, "ff02::1:ff00:5"), (End, "ff02::1:ff00:6"), (IsListened, "ff02::1:ff12:3456")];
    let others = [(Begin, "ff02::fb"), (Begin, "ff02::1:fe00:5"), (IsListened, "ff05::1:ff00:5")];
    let all: Vec<_> = solicited.into_iter().chain(others).collect();
    let sent = guests_report(&all);
    let read = Message::parse(&bytes_of(&sent), STATION);
    assert_eq!(read, Ok(Message::Report(guests_report(&solicited))));
    // RFC 3590 §4: while a guest checks its first address it has none to send from.
    let unspecified = MldReport { source: Ipv6Addr::UNSPECIFIED, ..guests_report(&solicited) };
    assert_eq!(Message::parse(&bytes_of(&unspecified), STATION), Ok(Message::Report(unspecified)));
    let global =
        MldReport { source: "2001:db8::9".parse().expect("an address"), ..guests_report(&solicited) };
    assert_eq!(Message::parse(&bytes_of(&global), STATION), Err(DropReason::SourceNotLinkLocal));
}

/// RFC 3810 §5.2.12, each with and without a source.
#[test]
fn the_type_of_a_record_and_its_sources_say_who_listens() {
    use MldRecordKind::{Begin, End, IsListened};
    let says = |kind: u8, sources: u8| {
        let mut frame = bytes_of(&guests_report(&[(Begin, "ff02::1:ff00:5")]));
        let record = HEADERS + EXTENSION + 8;
        (frame[record], frame[record + 1], frame[record + 3]) = (kind, 1, sources);
        // The sources, and a word of auxiliary data.
        frame.extend(vec![0; 16 * usize::from(sources) + 4]);
        let payload = u16::try_from(frame.len() - HEADERS).expect("a short frame");
        frame[18..20].copy_from_slice(&payload.to_be_bytes());
        match Message::parse(&with_sum(frame), STATION) {
            Ok(Message::Report(report)) => report.records.first().map(|record| record.kind),
            other => panic!("{other:?}"),
        }
    };
    let without: Vec<_> = (0..8).map(|kind| says(kind, 0)).collect();
    assert_eq!(without, [None, Some(End), Some(IsListened), Some(End), Some(Begin), None, None, None]);
    let with: Vec<_> = (0..8).map(|kind| says(kind, 2)).collect();
    let begins = Some(Begin);
    assert_eq!(with, [None, Some(IsListened), Some(IsListened), begins, begins, begins, None, None]);
}

#[test]
fn a_report_that_says_more_than_it_has_is_refused() {
    let mut frame = bytes_of(&guests_report(&[(MldRecordKind::Begin, "ff02::1:ff00:5")]));
    frame[HEADERS + EXTENSION + 7] = 2;
    assert_eq!(Message::parse(&with_sum(frame.clone()), STATION), Err(DropReason::MessageTruncated));
    (frame[HEADERS + EXTENSION + 7], frame[HEADERS + EXTENSION + 8 + 2]) = (1, 0xff);
    assert_eq!(Message::parse(&with_sum(frame), STATION), Err(DropReason::MessageTruncated));
}

proptest! {
    #[test]
    fn a_report_that_is_written_is_read(
        is_v1 in any::<bool>(), records in prop::collection::vec((any::<u32>(), 0usize..3), 1..=MldReport::MOST),
    ) {
        let kinds = [MldRecordKind::IsListened, MldRecordKind::Begin, MldRecordKind::End];
        let records = records.into_iter().map(|(suffix, kind)| MldRecord {
            // The first version knows no difference between the first two.
            kind: if is_v1 && kind == 1 { kinds[0] } else { kinds[kind] },
            group: crate::wire::solicited_node(Ipv6Addr::from_bits(suffix.into())),
        });
        let version = if is_v1 { MldVersion::V1 } else { MldVersion::V2 };
        let records = records.take(if is_v1 { 1 } else { MldReport::MOST }).collect();
        let report = MldReport { version, records, ..guests_report(&[]) };
        prop_assert_eq!(Message::parse(&bytes_of(&report), STATION), Ok(Message::Report(report)));
    }

    #[test]
    fn whatever_stands_in_a_report_it_is_read_or_refused(
        changes in prop::collection::vec((0usize..130, any::<u8>()), 0..8), length in 0usize..=130,
    ) {
        let group = (MldRecordKind::Begin, "ff02::1:ff00:5");
        let mut frame = bytes_of(&guests_report(&[group, group, group]));
        frame.truncate(length);
        for (at, value) in changes {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        let _ = Message::parse_with(Checksum::Pending, &frame, STATION);
    }

    #[test]
    fn what_is_written_is_read(
        is_v1 in any::<bool>(), group in any::<Option<u32>>(), code in any::<u16>(),
    ) {
        let version = if is_v1 { MldVersion::V1 } else { MldVersion::V2 };
        let group = group.map(|low| Ipv6Addr::from_bits(0xff02_u128 << 112 | u128::from(low)));
        let asked = MldQuery { version, group, max_response: max_response(version, code), ..query() };
        prop_assert_eq!(Message::parse(&bytes(&asked), STATION), Ok(Message::Query(asked)));
    }

    #[test]
    fn whatever_stands_in_a_query_it_is_read_or_refused(
        changes in prop::collection::vec((0usize..90, any::<u8>()), 0..8), length in 0usize..=90,
    ) {
        let mut frame = bytes(&query());
        frame.truncate(length);
        for (at, value) in changes {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        let _ = Message::parse(&frame, STATION);
    }
}

#[test]
fn a_query_is_taken_from_any_station_to_the_link_or_to_this_one() {
    let from = MldQuery { source_mac: Mac([0x52, 0x54, 0xab, 0xcd, 0xef, 9]), ..query() };
    let mut frame = bytes(&from);
    assert_eq!(Message::parse(&frame, STATION), Ok(Message::Query(from)));
    frame[..6].copy_from_slice(&STATION.0);
    assert_eq!(Message::parse(&frame, STATION), Ok(Message::Query(from)));
    frame[5] ^= 1;
    assert_eq!(Message::parse(&frame, STATION), Err(DropReason::OtherStation));
}

/// RFC 2710 §3.4 and RFC 3810 §5.1.3: the first version has milliseconds only.
#[test]
fn a_time_that_has_no_code_becomes_the_longest_one_and_the_first_long_one_is_exact() {
    let read = |version, milliseconds| {
        let sent = MldQuery { version, max_response: Duration::from_millis(milliseconds), ..query() };
        match Message::parse(&bytes(&sent), STATION) {
            Ok(Message::Query(query)) => query.max_response.as_millis(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read(MldVersion::V1, 65_535), 65_535);
    assert_eq!(read(MldVersion::V1, 70_000), 65_535);
    assert_eq!(read(MldVersion::V2, 65_528), 65_528);
    assert_eq!(read(MldVersion::V2, 65_536), 65_536);
}

#[test]
fn a_report_of_the_first_version_may_be_longer_but_not_shorter() {
    let records = vec![MldRecord {
        kind: MldRecordKind::IsListened,
        group: "ff02::1:ff00:5".parse().expect("a group"),
    }];
    let sent = MldReport { version: MldVersion::V1, records, ..guests_report(&[]) };
    let mut frame = bytes_of(&sent);
    frame.extend([0; 4]);
    let payload = EXTENSION + V1_LENGTH;
    for length in (payload - 4..payload + 4).filter(|length| *length > EXTENSION) {
        frame[18..20].copy_from_slice(&(length as u16).to_be_bytes());
        let read = Message::parse_with(Checksum::Pending, &frame, STATION);
        let wanted = if length < payload { Err(DropReason::MessageTruncated) } else { Ok(sent.clone()) };
        assert_eq!(read, wanted.map(Message::Report), "{length}");
    }
}

/// RFC 3810 §5.2.6: a record is followed by its sources, and by auxiliary data in words of 32 bits.
#[test]
fn what_follows_a_record_with_auxiliary_data_is_read() {
    use MldRecordKind::{Begin, End};
    let said = [(Begin, "ff02::1:ff00:5"), (End, "ff02::1:ff00:6")];
    let mut frame = bytes_of(&guests_report(&said));
    let first = HEADERS + EXTENSION + 8;
    frame[first + 1] = 2;
    frame.splice(first + RECORD..first + RECORD, [0xa5; 8]);
    let payload = u16::try_from(frame.len() - HEADERS).expect("a short frame");
    frame[18..20].copy_from_slice(&payload.to_be_bytes());
    assert_eq!(Message::parse(&with_sum(frame), STATION), Ok(Message::Report(guests_report(&said))));
}
