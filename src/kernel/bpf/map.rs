//! The maps that the program and the daemon share.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::BpfError;
use super::call::{self, MapShape, Mapping, Sized};
use crate::wire::program::{Map, RECENT, Row, Verdict};

/// One of the program's maps, open.
#[derive(Debug)]
pub struct ProgramMap {
    map: Map,
    fd: OwnedFd,
    shape: MapShape,
}

impl ProgramMap {
    /// Makes it, empty, for as many entries at most. Memory for those of a trie is taken as they come.
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

    /// How many entries it takes.
    pub fn capacity(&self) -> u32 {
        self.shape.max_entries
    }

    /// Until when it says, in nanoseconds since the host started. Of ranges.
    pub fn get(&self, key: &[u8]) -> Result<Option<u64>, BpfError> {
        let value = self.sized().look_up(key).map_err(|error| self.failed(error))?;
        let until = |bytes: Vec<u8>| {
            u64::from_ne_bytes(bytes[8 * Row::UNTIL..][..8].try_into().expect("eight bytes"))
        };
        Ok(value.map(until))
    }

    /// Puts this time there, in the place of the one that may be there. Of ranges.
    pub fn set(&self, key: &[u8], until: u64) -> Result<(), BpfError> {
        let result = self.sized().update(key, &Row::of_range(until), call::ANY);
        result.map_err(|error| match error.raw_os_error() {
            Some(libc::ENOSPC) => BpfError::Full(self.map.as_str()),
            _ => self.failed(error),
        })
    }

    /// The seed that is kept there.
    pub(super) fn seed(&self) -> Result<[u64; 2], BpfError> {
        let value = self.sized().look_up(&SEED_KEY).map_err(|error| self.failed(error))?;
        let value = value.unwrap_or_default();
        let mut numbers =
            value.chunks_exact(8).map(|bytes| u64::from_ne_bytes(bytes.try_into().expect("eight bytes")));
        Ok(std::array::from_fn(|_| numbers.next().unwrap_or_default()))
    }

    /// Keeps this seed there.
    pub(super) fn set_seed(&self, seed: [u64; 2]) -> Result<(), BpfError> {
        let value = seed.map(u64::to_ne_bytes).concat();
        self.sized().update(&SEED_KEY, &value, call::ANY).map_err(|error| self.failed(error))
    }

    /// The rows of all targets, where the program reads and counts them.
    pub(super) fn mapping(&self) -> Result<Mapping, BpfError> {
        let numbers = self.shape.max_entries as usize * Row::NUMBERS;
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

    fn failed(&self, error: io::Error) -> BpfError {
        BpfError::Entry(self.map.as_str(), error)
    }
}

impl AsFd for ProgramMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn shape(map: Map, most: u32) -> MapShape {
    let size = |bytes: usize| u32::try_from(bytes).expect("a small number");
    let (kind, max_entries, flags) = match map {
        Map::Targets => (ARRAY, most, MMAPABLE),
        Map::Ranges => (LPM_TRIE, most, NO_PREALLOC),
        Map::Recent => (ARRAY, RECENT, 0),
        Map::Seed => (ARRAY, 1, 0),
        Map::Verdicts => (PERCPU_ARRAY, size(Verdict::ALL.len()), 0),
    };
    MapShape { kind, key_size: size(map.key_size()), value_size: size(map.value_size()), max_entries, flags }
}

fn name(map: Map) -> &'static CStr {
    match map {
        Map::Targets => c"lone64_targets",
        Map::Ranges => c"lone64_ranges",
        Map::Recent => c"lone64_recent",
        Map::Seed => c"lone64_seed",
        Map::Verdicts => c"lone64_verdicts",
    }
}

/// The key of the one seed.
const SEED_KEY: [u8; 4] = [0; 4];
// linux/bpf.h, enum bpf_map_type.
const ARRAY: u32 = 2;
const PERCPU_ARRAY: u32 = 6;
const LPM_TRIE: u32 = 11;
/// BPF_F_NO_PREALLOC: memory for an entry is taken when it comes.
const NO_PREALLOC: u32 = 1;
/// BPF_F_MMAPABLE (Linux 5.5): its values can be mapped.
const MMAPABLE: u32 = 1 << 10;
