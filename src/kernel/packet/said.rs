//! What the kernel says beside a frame: control messages, as cmsg(3) has them. Touches nothing.
//!
//! Two kinds matter: the moment at which the frame was received, and what packet(7) calls `PACKET_AUXDATA`. A
//! frame of a local peer (a veth, a tap, another guest of the same hypervisor) need not have its checksum yet: the
//! sender leaves that to an interface, and there was none on the way. The kernel takes such frames.

use std::time::Duration;

use libc::c_int;

use crate::wire::Checksum;

/// What the kernel said beside one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Said {
    /// When it received the frame, since 1970.
    pub(super) stamp: Option<Duration>,
    /// Whether the sender has computed the checksum.
    pub(super) checksum: Checksum,
}

/// Room for the control messages of one frame, aligned as the kernel writes them.
#[derive(Clone, Copy)]
#[repr(align(8))]
pub(super) struct Control(pub(super) [u8; CONTROL]);

impl Said {
    /// What the status of a slot says, or of a `tpacket_auxdata`.
    pub(super) fn of_status(status: u32) -> Self {
        Self { stamp: None, checksum: checksum(status) }
    }

    /// A moment as the header of a slot has it.
    pub(super) fn moment(seconds: u32, nanoseconds: u32) -> Duration {
        Duration::new(u64::from(seconds), nanoseconds.min(999_999_999))
    }

    /// Reads all that was written.
    pub(super) fn read(control: &[u8]) -> Self {
        let mut said = Self::default();
        for (level, kind, data) in messages(control) {
            match (level, kind) {
                (libc::SOL_SOCKET, SO_TIMESTAMPNS_NEW) => said.stamp = stamp(data),
                (libc::SOL_PACKET, libc::PACKET_AUXDATA) => {
                    let status = data.first_chunk().map(|status| u32::from_ne_bytes(*status));
                    said.checksum = status.map_or_else(Checksum::default, checksum);
                }
                _ => {}
            }
        }
        said
    }
}

/// Each message: a length of one machine word that counts from itself on, level, kind, and the data. The next one
/// begins at a whole word.
fn messages(mut control: &[u8]) -> impl Iterator<Item = (c_int, c_int, &[u8])> {
    std::iter::from_fn(move || {
        let (length, rest) = control.split_first_chunk()?;
        let (level, rest) = rest.split_first_chunk()?;
        let (kind, _) = rest.split_first_chunk()?;
        let length = usize::from_ne_bytes(*length);
        let data = control.get(HEADER..length)?;
        control = control.get(length.next_multiple_of(WORD)..).unwrap_or_default();
        Some((c_int::from_ne_bytes(*level), c_int::from_ne_bytes(*kind), data))
    })
}

/// Seconds and nanoseconds of eight bytes each.
fn stamp(data: &[u8]) -> Option<Duration> {
    let (seconds, rest) = data.split_first_chunk()?;
    let nanoseconds = u32::try_from(i64::from_ne_bytes(*rest.first_chunk()?)).ok()?;
    Some(Duration::new(u64::try_from(i64::from_ne_bytes(*seconds)).ok()?, nanoseconds.min(999_999_999)))
}

/// A `tpacket_auxdata` begins with its status, and so does a slot of a ring. That the kernel has verified a checksum (`TP_STATUS_CSUM_VALID`) is
/// not looked at: to check it again costs less than to be wrong.
fn checksum(status: u32) -> Checksum {
    if status & TP_STATUS_CSUMNOTREADY != 0 { Checksum::Pending } else { Checksum::Written }
}

/// Bytes for the control messages of one frame: a moment takes 32, the rest 40.
pub(super) const CONTROL: usize = 96;
const WORD: usize = size_of::<usize>();
const HEADER: usize = WORD + 2 * size_of::<c_int>();
// asm-generic/socket.h
pub(super) const SO_TIMESTAMPNS_NEW: c_int = 64;
// linux/if_packet.h
const TP_STATUS_CSUMNOTREADY: u32 = 1 << 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: c_int, kind: c_int, data: &[u8]) -> Vec<u8> {
        let length = (HEADER + data.len()).to_ne_bytes();
        let mut bytes = [&length[..], &level.to_ne_bytes(), &kind.to_ne_bytes(), data].concat();
        bytes.resize(bytes.len().next_multiple_of(WORD), 0);
        bytes
    }

    fn auxiliary(status: u32) -> Vec<u8> {
        let data = [&status.to_ne_bytes()[..], &[0xff; 16]].concat();
        message(libc::SOL_PACKET, libc::PACKET_AUXDATA, &data)
    }

    fn moment(seconds: i64, nanoseconds: i64) -> Vec<u8> {
        let data = [seconds.to_ne_bytes(), nanoseconds.to_ne_bytes()].concat();
        message(libc::SOL_SOCKET, SO_TIMESTAMPNS_NEW, &data)
    }

    #[test]
    fn hears_of_a_checksum_that_is_not_computed_whatever_stands_before() {
        let unknown = message(libc::SOL_PACKET, 99, &[1, 2, 3]);
        for before in [Vec::new(), moment(7, 8), unknown] {
            let pending = [before.clone(), auxiliary(1 | TP_STATUS_CSUMNOTREADY)].concat();
            assert_eq!(Said::read(&pending).checksum, Checksum::Pending);
            // Every other bit: TP_STATUS_USER, TP_STATUS_COPY, TP_STATUS_CSUM_VALID, and the rest.
            let written = [before, auxiliary(!TP_STATUS_CSUMNOTREADY)].concat();
            assert_eq!(Said::read(&written).checksum, Checksum::Written);
        }
    }

    #[test]
    fn hears_of_the_moment_beside_the_rest() {
        let stamp = Some(Duration::new(7, 8));
        for control in [moment(7, 8), [moment(7, 8), auxiliary(8)].concat()] {
            assert_eq!(Said::read(&control).stamp, stamp);
        }
        assert_eq!(Said::read(&auxiliary(8)).stamp, None);
        assert_eq!(Said::read(&moment(-1, 0)).stamp, None);
    }

    #[test]
    fn takes_what_is_cut_or_has_no_length_for_nothing() {
        let whole = [moment(7, 8), auxiliary(TP_STATUS_CSUMNOTREADY)].concat();
        for length in 0..moment(7, 8).len() {
            assert_eq!(Said::read(&whole[..length]), Said::default(), "{length}");
        }
        // It ends: none of these goes round and round.
        for length in [0, 1, HEADER - 1, usize::MAX] {
            let mut bytes = auxiliary(TP_STATUS_CSUMNOTREADY);
            bytes[..WORD].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(Said::read(&bytes), Said::default(), "{length}");
        }
    }

    #[test]
    fn has_room_for_all_that_is_asked_for() {
        assert!([moment(7, 8), auxiliary(0)].concat().len() <= CONTROL);
    }
}
