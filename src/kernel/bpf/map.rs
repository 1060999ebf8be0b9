//! The maps that the program and the daemon share.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::BpfError;
use super::call::{self, MapShape, Mapping, Sized};
use crate::wire::program::{Entry, Hits, Map, Verdict};

/// One of the program's maps, open.
#[derive(Debug)]
pub struct ProgramMap {
    map: Map,
    fd: OwnedFd,
    shape: MapShape,
}

impl ProgramMap {
    /// Makes it, empty, for as many entries at most. Memory for entries is taken as they come.
    pub fn create(map: Map, most: u32) -> Result<Self, BpfError> {
        let shape = shape(map, most);
        let fd = call::create_map(shape, name(map)).map_err(|error| BpfError::Map(map.as_str(), error))?;
        Ok(Self { map, fd, shape })
    }

    /// One that is pinned there, if it is of the right kind.
    pub(super) fn pinned(map: Map, path: &Path) -> Result<Self, BpfError> {
        let text = CString::new(path.as_os_str().as_encoded_bytes()).expect("a path has no zero byte");
        let fail = |error| BpfError::Pin(path.to_owned(), error);
        let fd = call::pinned(&text).map_err(fail)?;
        let found = call::map_shape(fd.as_fd()).map_err(fail)?;
        if found != shape(map, found.max_entries) {
            return Err(BpfError::OtherMap(path.to_owned()));
        }
        Ok(Self { map, fd, shape: found })
    }

    /// The same map, by another descriptor.
    pub fn try_clone(&self) -> Result<Self, BpfError> {
        let fd = self.fd.try_clone().map_err(|error| self.failed(error))?;
        Ok(Self { fd, ..*self })
    }

    /// How many entries it takes.
    pub fn capacity(&self) -> u32 {
        self.shape.max_entries
    }

    /// What is there.
    pub fn get(&self, key: &[u8]) -> Result<Option<Entry>, BpfError> {
        let value = self.sized().look_up(key).map_err(|error| self.failed(error))?;
        Ok(value.map(|bytes| Entry::parse(bytes.try_into().expect("an entry's size"))))
    }

    /// What is counted in this slot.
    pub fn hits(&self, slot: u32) -> Result<Option<Hits>, BpfError> {
        let value = self.sized().look_up(&slot.to_ne_bytes()).map_err(|error| self.failed(error))?;
        Ok(value.map(|bytes| Hits::parse(bytes.try_into().expect("a slot's size"))))
    }

    /// Puts an entry there, in the place of the one that may be there.
    pub fn set(&self, key: &[u8], entry: Entry) -> Result<(), BpfError> {
        self.sized().update(key, &entry.bytes(), call::ANY).map_err(|error| self.not_set(error))
    }

    /// Puts all of these there, as [`Self::set`] does, as many as there is room for: how many, and why not all. One system
    /// call, or one for each on a kernel that has no such command.
    pub(super) fn set_all(&self, all: &[(&[u8], Entry)]) -> (usize, Result<(), BpfError>) {
        let keys: Vec<u8> = all.iter().flat_map(|(key, _)| key.iter().copied()).collect();
        let values: Vec<u8> = all.iter().flat_map(|(_, entry)| entry.bytes()).collect();
        let (mut done, result) = self.sized().update_all(&keys, &values);
        if result.as_ref().is_err_and(is_unknown) {
            for (key, entry) in &all[done..] {
                if let Err(error) = self.set(key, *entry) {
                    return (done, Err(error));
                }
                done += 1;
            }
            return (done, Ok(()));
        }
        (done, result.map_err(|error| self.not_set(error)))
    }

    /// Takes away what is there of all of these, as [`Self::remove`] does: how many, and why not all.
    pub(super) fn remove_all(&self, keys: &[&[u8]]) -> (usize, Result<(), BpfError>) {
        let bytes: Vec<u8> = keys.concat();
        let mut done = 0;
        while done < keys.len() {
            let (some, result) = self.sized().delete_all(&bytes[done * self.map.key_size()..]);
            done += some;
            match result {
                Ok(()) => break,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => done += 1,
                Err(error) if is_unknown(&error) => match self.remove(keys[done]) {
                    Ok(()) => done += 1,
                    Err(error) => return (done, Err(error)),
                },
                Err(error) => return (done, Err(self.failed(error))),
            }
        }
        (done, Ok(()))
    }

    /// The hits of all slots, where the kernel counts them.
    pub(super) fn mapping(&self) -> Result<Mapping, BpfError> {
        let numbers = self.shape.max_entries as usize * (Hits::SIZE / size_of::<u64>());
        Mapping::of(self.fd.as_fd(), numbers).map_err(|error| self.failed(error))
    }

    /// Takes away what is there. Where there is nothing, that is done already.
    pub fn remove(&self, key: &[u8]) -> Result<(), BpfError> {
        self.sized().delete(key).map(|_| ()).map_err(|error| self.failed(error))
    }

    /// Every key. One that comes or goes meanwhile may be missing, or be there.
    pub fn keys(&self) -> Result<Vec<Vec<u8>>, BpfError> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        // Where the key before is gone the kernel begins again at the first one: so there is an end.
        let most = 2 * self.shape.max_entries as usize;
        while keys.len() < most {
            let before = keys.last().map(Vec::as_slice);
            match self.sized().next_key(before).map_err(|error| self.failed(error))? {
                Some(next) => keys.push(next),
                None => break,
            }
        }
        Ok(keys)
    }

    /// How often each verdict was given, on all processors together, in the order of [`Verdict::ALL`].
    pub fn verdicts(&self) -> Result<[u64; Verdict::ALL.len()], BpfError> {
        let mut counts = [0; Verdict::ALL.len()];
        for (count, verdict) in counts.iter_mut().zip(Verdict::ALL) {
            let values = self.sized().look_up(&verdict.key()).map_err(|error| self.failed(error))?;
            let values = values.unwrap_or_default();
            let each = values.chunks_exact(8);
            *count = each.map(|value| u64::from_ne_bytes(value.try_into().expect("eight bytes"))).sum();
        }
        Ok(counts)
    }

    fn sized(&self) -> Sized<'_> {
        Sized::new(self.fd.as_fd(), self.shape)
    }

    fn not_set(&self, error: io::Error) -> BpfError {
        match error.raw_os_error() {
            // A hash says the one, a trie the other.
            Some(libc::E2BIG | libc::ENOSPC) => BpfError::Full(self.map.as_str()),
            _ => self.failed(error),
        }
    }

    fn failed(&self, error: io::Error) -> BpfError {
        BpfError::Entry(self.map.as_str(), error)
    }
}

impl AsFd for ProgramMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether the kernel does not know the command for many at once, for this kind of map.
fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | call::ENOTSUPP))
}

fn shape(map: Map, most: u32) -> MapShape {
    let size = |bytes: usize| u32::try_from(bytes).expect("a small number");
    let (kind, max_entries, flags) = match map {
        // A hash that forgets nothing: a scan cannot push a live target out.
        Map::Targets => (HASH, most, NO_PREALLOC),
        Map::Ranges => (LPM_TRIE, most, NO_PREALLOC),
        Map::Hits => (ARRAY, most, MMAPABLE),
        Map::Verdicts => (PERCPU_ARRAY, size(Verdict::ALL.len()), 0),
    };
    MapShape { kind, key_size: size(map.key_size()), value_size: size(map.value_size()), max_entries, flags }
}

fn name(map: Map) -> &'static CStr {
    match map {
        Map::Targets => c"lone64_targets",
        Map::Ranges => c"lone64_ranges",
        Map::Hits => c"lone64_hits",
        Map::Verdicts => c"lone64_verdicts",
    }
}

// linux/bpf.h, enum bpf_map_type.
const HASH: u32 = 1;
const ARRAY: u32 = 2;
const PERCPU_ARRAY: u32 = 6;
const LPM_TRIE: u32 = 11;
/// BPF_F_NO_PREALLOC: memory for an entry is taken when it comes.
const NO_PREALLOC: u32 = 1;
/// BPF_F_MMAPABLE (Linux 5.5): its values can be mapped.
const MMAPABLE: u32 = 1 << 10;
