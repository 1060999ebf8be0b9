//! A ring whose other end is this test, in place of the kernel.

use super::*;
use crate::wire::Checksum;

/// What the kernel does.
struct Kernel {
    ring: Ring,
    head: usize,
    now: u32,
}

impl Kernel {
    fn new(next: Next, head: usize) -> Self {
        let slots = Slots::mapped(libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1).unwrap();
        Self { ring: Ring::over(slots, next), head, now: 7 }
    }

    /// Whether there was room for this frame.
    fn write(&mut self, frame: &[u8], length: usize, status: u32) -> bool {
        let slots = &self.ring.slots;
        if slots.filled(self.head).is_some() {
            return false;
        }
        let header = libc::tpacket2_hdr {
            tp_status: 0,
            tp_len: length as u32,
            tp_snaplen: frame.len() as u32,
            tp_mac: 66,
            tp_net: 80,
            tp_sec: self.now,
            tp_nsec: 8,
            tp_vlan_tci: 0,
            tp_vlan_tpid: 0,
            tp_padding: [0; 4],
        };
        self.now += 1;
        // SAFETY: the slot is the kernel's, which is this test.
        unsafe { slots.at(self.head).cast().write(header) };
        // SAFETY: and so are its bytes.
        let bytes = unsafe { std::slice::from_raw_parts_mut(slots.at(self.head).as_ptr(), SLOT) };
        bytes[66..66 + frame.len()].copy_from_slice(frame);
        slots.status(self.head).store(status, Ordering::Release);
        self.head = (self.head + 1) % SLOTS;
        true
    }

    fn write_all(&mut self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            assert!(self.write(&number.to_le_bytes(), size_of::<usize>(), TP_STATUS_USER), "{number}");
        }
    }

    /// All that are read, by their numbers.
    fn read_all(&self) -> Vec<usize> {
        let (mut all, mut batch) = (Vec::new(), RecvBatch::new());
        loop {
            batch.clear();
            let taken = self.ring.take(&mut batch, |_| unreachable!("nothing is in the queue"));
            if let Err(error) = taken {
                assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
                return all;
            }
            let frames = batch.frames().map(|frame| frame.unwrap().0);
            all.extend(frames.map(|frame| usize::from_le_bytes(frame.try_into().unwrap())));
        }
    }
}

#[test]
fn reads_all_frames_in_their_order_again_and_again() {
    let mut kernel = Kernel::new(Next::Known(0), 0);
    for first in (0..3 * SLOTS).step_by(999) {
        kernel.write_all(first..first + 999);
        assert_eq!(kernel.read_all(), Vec::from_iter(first..first + 999));
    }
    assert_eq!(kernel.read_all(), [0; 0]);
}

#[test]
fn has_room_for_as_many_as_there_are_slots() {
    let mut kernel = Kernel::new(Next::Known(0), 0);
    assert!(!kernel.ring.has_more());
    kernel.write_all(0..SLOTS);
    assert!(kernel.ring.has_more());
    assert!(!kernel.write(&[1], 1, TP_STATUS_USER));
    assert_eq!(kernel.read_all(), Vec::from_iter(0..SLOTS));
    kernel.write_all(0..1);
    assert_eq!(kernel.read_all(), [0]);
}

#[test]
fn begins_with_the_oldest_frame_of_a_predecessor() {
    for (head, count) in [(0, 1), (5, 7), (SLOTS - 3, 10), (SLOTS - 1, SLOTS - 1), (17, 0)] {
        let mut kernel = Kernel::new(Next::Unknown, head);
        assert_eq!(kernel.read_all(), [0; 0]);
        kernel.write_all(0..count);
        let oldest = if count > 0 { Next::Known(head) } else { Next::Unknown };
        assert_eq!(kernel.ring.slots.oldest(), oldest);
        assert_eq!(kernel.read_all(), Vec::from_iter(0..count), "{head} {count}");
        kernel.write_all(0..3);
        assert_eq!(kernel.read_all(), [0, 1, 2], "{head} {count}");
    }
}

#[test]
fn finds_the_place_again_where_a_full_ring_of_a_predecessor_was_misread() {
    for (head, is_clock_set) in [(9, false), (9, true), (SLOTS - 1, true), (0, true)] {
        let mut kernel = Kernel::new(Next::Unknown, head);
        kernel.write_all(0..SLOTS / 2);
        kernel.now = if is_clock_set { 0 } else { kernel.now };
        kernel.write_all(SLOTS / 2..SLOTS);
        let mut all = kernel.read_all();
        assert_eq!(all.is_sorted(), !is_clock_set);
        all.sort();
        assert_eq!(all, Vec::from_iter(0..SLOTS));
        kernel.write_all(0..3);
        assert_eq!(kernel.read_all(), [0, 1, 2], "{head} {is_clock_set}");
    }
}

#[test]
fn takes_a_frame_that_no_slot_holds_from_the_queue() {
    let mut kernel = Kernel::new(Next::Known(0), 0);
    let (long, lost) = ([1; 190], [2; 190]);
    assert!(kernel.write(&long, 1_000, TP_STATUS_USER | TP_STATUS_COPY));
    assert!(kernel.write(&lost, 1_000, TP_STATUS_USER));
    assert!(kernel.write(&lost, 1_000, TP_STATUS_USER | TP_STATUS_COPY));
    assert!(kernel.write(&[3], 1, TP_STATUS_USER));
    let (mut batch, mut asked) = (RecvBatch::new(), 0);
    let from_queue = |batch: &mut RecvBatch| {
        asked += 1;
        if asked == 2 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        batch.push(Some(&[1; 1_000]), Said::default());
        Ok(())
    };
    kernel.ring.take(&mut batch, from_queue).unwrap();
    let frames: Vec<_> = batch.frames().map(|frame| frame.map(|(frame, _)| frame.len())).collect();
    assert_eq!(frames, [Some(1_000), None, None, Some(1)]);
    assert_eq!(kernel.ring.slots.oldest(), Next::Unknown);
}

#[test]
fn says_what_the_slot_says_beside_the_frame() {
    let mut kernel = Kernel::new(Next::Known(0), 0);
    let mut batch = RecvBatch::new();
    let mut read = |kernel: &Kernel| {
        batch.clear();
        kernel.ring.take(&mut batch, |_| unreachable!()).unwrap();
        let checksum = batch.frames().next().flatten().map(|(_, checksum)| checksum);
        (checksum, batch.stamps().next().flatten())
    };
    const NOT_READY: u32 = 1 << 3;
    assert!(kernel.write(&[0], 1, TP_STATUS_USER | NOT_READY));
    assert_eq!(read(&kernel), (Some(Checksum::Pending), None));
    kernel.ring.stamp(Stamps::On);
    assert!(kernel.write(&[0], 1, TP_STATUS_USER));
    assert_eq!(read(&kernel), (Some(Checksum::Written), Some(std::time::Duration::new(8, 8))));
}

#[test]
fn does_not_read_beyond_a_slot() {
    let ring = Kernel::new(Next::Known(0), 0).ring;
    let header = |mac, length| libc::tpacket2_hdr {
        tp_status: 0,
        tp_len: length,
        tp_snaplen: length,
        tp_mac: mac,
        tp_net: 0,
        tp_sec: 0,
        tp_nsec: 0,
        tp_vlan_tci: 0,
        tp_vlan_tpid: 0,
        tp_padding: [0; 4],
    };
    assert_eq!(ring.slots.frame(SLOTS - 1, &header(66, 190)).map(<[u8]>::len), Some(190));
    for (mac, length) in [(66, 191), (67, 190), (u16::MAX, 1), (0, u32::MAX)] {
        assert_eq!(ring.slots.frame(SLOTS - 1, &header(mac, length)), None, "{mac} {length}");
    }
}
