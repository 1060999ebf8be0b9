//! Maps: making them, and their entries.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::{InfoAttributes, bpf, number, owned, short_name};

/// What a map is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct MapShape {
    /// BPF_MAP_TYPE_*.
    pub kind: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    /// BPF_F_*.
    pub flags: u32,
}

/// How an entry is written: BPF_ANY, whether it is there or not, or BPF_EXIST, only where there is one.
pub const ANY: u64 = 0;

/// BPF_MAP_CREATE.
pub fn create_map(shape: MapShape, name: &CStr) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        shape: MapShape,
        inner_map: u32,
        numa_node: u32,
        name: [u8; 16],
    }
    let mut attributes = Attributes { shape, inner_map: 0, numa_node: 0, name: short_name(name) };
    // SAFETY: the command reads no pointer.
    let fd = unsafe { bpf(0, &mut attributes) }?;
    Ok(owned(fd))
}

/// BPF_OBJ_GET_INFO_BY_FD of a map: its shape.
pub fn map_shape(map: BorrowedFd<'_>) -> io::Result<MapShape> {
    // struct bpf_map_info, as far as it is looked at. Of a program or a link the same bytes mean other things.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        kind: u32,
        id: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        flags: u32,
    }
    let mut info = Info::default();
    let length = size_of::<Info>() as u32;
    let mut attributes = InfoAttributes { fd: number(map), length, info: (&raw mut info) as u64 };
    // SAFETY: the kernel writes at most `length` bytes to `info`, which has that size and lives through the call.
    unsafe { bpf(15, &mut attributes) }?;
    let Info { kind, key_size, value_size, max_entries, flags, .. } = info;
    Ok(MapShape { kind, key_size, value_size, max_entries, flags })
}

/// The arguments of BPF_MAP_*_ELEM and BPF_MAP_GET_NEXT_KEY.
#[repr(C)]
struct EntryAttributes {
    map: u32,
    _padding: u32,
    key: u64,
    /// Or the next key.
    value: u64,
    flags: u64,
}

/// A map that is open, and how long its keys and values are: all that a command reads or writes through a pointer.
#[derive(Debug, Clone, Copy)]
pub struct Sized<'a> {
    fd: BorrowedFd<'a>,
    key: usize,
    /// Of all values that there are for a key, one for each processor.
    values: usize,
}

impl<'a> Sized<'a> {
    /// A map whose shape was made by [`create_map`], or read by [`map_shape`], from this very descriptor.
    pub fn new(fd: BorrowedFd<'a>, shape: MapShape) -> Self {
        // BPF_MAP_TYPE_PERCPU_ARRAY: one value for each processor, each rounded up to eight bytes.
        let processors = if shape.kind == 6 { MOST_PROCESSORS } else { 1 };
        let value = (shape.value_size as usize).next_multiple_of(8);
        Self { fd, key: shape.key_size as usize, values: value * processors }
    }

    /// BPF_MAP_LOOKUP_ELEM: the bytes of the value; where there is one for each processor, of all, and zeros for those
    /// that there are not. None where the key is not there.
    pub fn look_up(self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        assert_eq!(key.len(), self.key, "a key of this map");
        let mut value = vec![0_u8; self.values];
        let mut attributes = self.attributes(key, value.as_mut_ptr() as u64, 0);
        // SAFETY: the kernel reads as many bytes as a key of this map has, which `key` has, and writes as many as its
        // values have, for which `value` has room; both live through the call.
        match unsafe { bpf(1, &mut attributes) } {
            Ok(_) => Ok(Some(value)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// BPF_MAP_UPDATE_ELEM.
    pub fn update(self, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
        assert_eq!(key.len(), self.key, "a key of this map");
        assert_eq!(value.len(), self.values, "a value of this map");
        let mut attributes = self.attributes(key, value.as_ptr() as u64, flags);
        // SAFETY: the kernel reads as many bytes as a key and a value of this map have, which `key` and `value` have;
        // both live through the call.
        unsafe { bpf(2, &mut attributes) }.map(|_| ())
    }

    /// BPF_MAP_DELETE_ELEM. True if it was there.
    pub fn delete(self, key: &[u8]) -> io::Result<bool> {
        assert_eq!(key.len(), self.key, "a key of this map");
        let mut attributes = self.attributes(key, 0, 0);
        // SAFETY: the kernel reads as many bytes as a key of this map has, which `key` has; it lives through the call.
        match unsafe { bpf(3, &mut attributes) } {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// BPF_MAP_GET_NEXT_KEY: the key behind this one, or the first one; none behind the last.
    pub fn next_key(self, key: Option<&[u8]>) -> io::Result<Option<Vec<u8>>> {
        assert!(key.is_none_or(|key| key.len() == self.key), "a key of this map");
        let mut next = vec![0_u8; self.key];
        let mut attributes = self.attributes(key.unwrap_or_default(), next.as_mut_ptr() as u64, 0);
        attributes.key = key.map_or(0, |key| key.as_ptr() as u64);
        // SAFETY: the kernel reads as many bytes as a key of this map has, which `key` has unless it is a null pointer,
        // and writes as many, for which `next` has room; both live through the call.
        match unsafe { bpf(4, &mut attributes) } {
            Ok(_) => Ok(Some(next)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn attributes(self, key: &[u8], value: u64, flags: u64) -> EntryAttributes {
        EntryAttributes { map: number(self.fd), _padding: 0, key: key.as_ptr() as u64, value, flags }
    }
}

/// No kernel is built for more: CONFIG_NR_CPUS ends there. So there is always room for what it writes, however many
/// there are, and nobody has to be asked.
const MOST_PROCESSORS: usize = 8192;
