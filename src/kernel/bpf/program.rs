//! The program in the kernel.

use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::{BpfError, ProgramMap, call};
use crate::wire::program::{Map, Program, Rows};

/// The maps of a program.
#[derive(Debug)]
pub struct Maps {
    /// By row.
    pub targets: ProgramMap,
    /// By prefix.
    pub ranges: ProgramMap,
    /// By hash.
    pub recent: ProgramMap,
    /// By verdict.
    pub verdicts: ProgramMap,
    /// The seed of the rows.
    pub seed: ProgramMap,
    rows: Rows,
}

/// A program that the verifier has passed.
#[derive(Debug)]
pub struct LoadedProgram {
    fd: OwnedFd,
}

/// What a trial of the program came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRun {
    /// What it returned.
    pub returned: i32,
    /// The frame as it left it.
    pub frame: Vec<u8>,
    /// How many nanoseconds a run took, on average.
    pub nanoseconds: u32,
}

impl Maps {
    /// Makes them, empty, for at least so many targets, and so many prefixes at most.
    pub fn create(targets: u32, ranges: u32) -> Result<Self, BpfError> {
        let random = RandomState::new();
        let rows = Rows::new(targets, [0, 1].map(|number: u64| random.hash_one(number)));
        let seed = ProgramMap::create(Map::Seed, 1)?;
        seed.set_seed(rows.seed())?;
        Ok(Self {
            targets: ProgramMap::create(Map::Targets, rows.count())?,
            ranges: ProgramMap::create(Map::Ranges, ranges)?,
            recent: ProgramMap::create(Map::Recent, 0)?,
            verdicts: ProgramMap::create(Map::Verdicts, 0)?,
            seed,
            rows,
        })
    }

    /// Those that this opens, if they are maps of one program. None: the table of targets has a size that none is made of.
    pub(super) fn open(open: impl Fn(Map) -> Result<ProgramMap, BpfError>) -> Result<Option<Self>, BpfError> {
        let (targets, seed) = (open(Map::Targets)?, open(Map::Seed)?);
        let Some(rows) = Rows::of_table(targets.capacity(), seed.seed()?) else { return Ok(None) };
        let (ranges, recent) = (open(Map::Ranges)?, open(Map::Recent)?);
        Ok(Some(Self { targets, ranges, recent, verdicts: open(Map::Verdicts)?, seed, rows }))
    }

    /// Where in the table of targets each is. The program has to be made for these.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// One of them.
    pub fn of(&self, map: Map) -> &ProgramMap {
        match map {
            Map::Targets => &self.targets,
            Map::Ranges => &self.ranges,
            Map::Recent => &self.recent,
            Map::Verdicts => &self.verdicts,
            Map::Seed => &self.seed,
        }
    }
}

impl LoadedProgram {
    /// Loads a program that works with these maps. Where the verifier refuses it, the error has its log.
    pub fn load(program: &Program, maps: &Maps) -> Result<Self, BpfError> {
        let slots = program.encode(|map| maps.of(map).as_fd().as_raw_fd());
        let bytes: Vec<_> = slots.into_iter().map(|slot| slot.bytes()).collect();
        // None of the functions that it calls is for programs under the GPL only.
        let load = |log: &mut [u8]| call::load_program(&bytes, c"MIT", c"lone64", log);
        let source = match load(&mut []) {
            Ok(fd) => return Ok(Self { fd }),
            Err(error) => error,
        };
        let mut log = vec![0; LOG];
        // It is loaded if what it lacked, memory say, is there now.
        if let Ok(fd) = load(&mut log) {
            return Ok(Self { fd });
        }
        let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
        Err(BpfError::Load { source, log: String::from_utf8_lossy(&log[..end]).into_owned() })
    }

    /// How many bytes of machine code it is; none where it is interpreted, because the kernel does not compile programs.
    pub fn compiled_length(&self) -> Option<u32> {
        call::compiled_length(self.fd.as_fd()).ok().filter(|length| *length > 0)
    }

    /// Runs it on a frame, so often, as if `lo` had brought it. Nothing is sent.
    pub fn test_run(&self, frame: &[u8], repeat: u32) -> Result<TestRun, BpfError> {
        let mut left = vec![0; frame.len() + ROOM];
        let (returned, length, nanoseconds) =
            call::test_run(self.fd.as_fd(), frame, &mut left, repeat).map_err(BpfError::TestRun)?;
        left.truncate(length);
        Ok(TestRun { returned: returned.cast_signed(), frame: left, nanoseconds })
    }
}

impl AsFd for LoadedProgram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Bytes for what the verifier says. It says what is wrong at the end, and leaves the rest out where there is no room.
const LOG: usize = 1 << 18;
/// As many bytes longer may a frame become.
const ROOM: usize = 64;
