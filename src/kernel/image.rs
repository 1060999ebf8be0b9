//! What the process has mapped of the files that it runs: of its own and of the libraries.
//!
//! A start needs much that never comes back: the command line, TOML, the first netlink dumps. The kernel also maps
//! 64 KB around each page that is touched ("fault-around"), though most functions are far shorter. All of it counts as
//! resident. What is given back here stays in the page cache, and the next use maps it again without the disk; but when
//! memory is scarce, the kernel can drop what nobody has mapped first.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::slice;

use libc::dl_phdr_info;

type Addresses = Range<usize>;

/// Lets the kernel map only 16 KB around a page that is touched. Once, before the start has touched much.
///
/// It maps nothing beyond the mapping in which the page is. So each mapping becomes many, which differ in a flag that
/// means nothing here: MADV_DONTDUMP, for pages that a core dump leaves to the file anyway. The first piece of a mapping
/// has the ELF header, which a core dump copies, so it does not get the flag.
pub fn map_in_pieces() {
    if page_size() >= PIECE {
        return;
    }
    for mapping in mapped() {
        for piece in marked_pieces(&mapping) {
            advise(&piece, libc::MADV_DONTDUMP);
        }
    }
}

/// Gives back to the kernel what the process has mapped of its files and has not changed. Takes some milliseconds.
pub fn give_back() {
    for clean in mapped() {
        advise(&clean, libc::MADV_DONTNEED);
    }
}

/// What is mapped of these files and can be read from them again at any time.
fn mapped() -> Vec<Addresses> {
    let Ok(mappings) = File::open("/proc/self/smaps") else { return Vec::new() };
    unchanged(BufReader::new(mappings).lines().map_while(Result::ok), &Segments::of_this_process())
}

/// Every second piece, aligned to its size, from the second on.
fn marked_pieces(mapping: &Addresses) -> impl Iterator<Item = Addresses> + use<> {
    let end = mapping.end;
    let first = mapping.start / PIECE * PIECE + PIECE;
    (first..end).step_by(2 * PIECE).map(move |start| start..end.min(start + PIECE))
}

/// From the lines of `/proc/self/smaps`: the mappings of files that cannot be written, inside segments that never
/// could, of which this process has no page of its own, neither in memory nor in swap. Adjacent ones as one.
///
/// The dynamic linker writes into a segment and then takes away the right to (RELRO); a debugger writes into all.
fn unchanged(lines: impl Iterator<Item = String>, segments: &Segments) -> Vec<Addresses> {
    let mut all: Vec<Addresses> = Vec::new();
    let mut current = None;
    let mut take = |mapping: Option<Mapping>| {
        let Some(mapping) = mapping.filter(|mapping| mapping.is_unchanged(segments)) else { return };
        match all.last_mut() {
            Some(last) if last.end == mapping.addresses.start => last.end = mapping.addresses.end,
            _ => all.push(mapping.addresses),
        }
    };
    for line in lines {
        if let Some(next) = Mapping::parse(&line) {
            take(current.replace(next));
        } else if let Some(mapping) = &mut current {
            mapping.learn(&line);
        }
    }
    take(current);
    all
}

/// One entry of `/proc/self/smaps`, proc_pid_smaps(5).
struct Mapping {
    addresses: Addresses,
    is_of_a_file: bool,
    is_read_only: bool,
    /// Lines that say in so many words that nothing is its own.
    is_none: u32,
}

impl Mapping {
    /// `55d0c0a00000-55d0c0b98000 r--p 00000000 fe:00 1234 /usr/bin/lone64`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        let addresses = address(start)?..address(end)?;
        let rights = words.next()?;
        let (inode, path) = (words.nth(2)?, words.next().unwrap_or_default());
        Some(Self {
            addresses,
            is_of_a_file: inode != "0" && path.starts_with('/'),
            is_read_only: matches!(rights, "r--p" | "r-xp"),
            is_none: 0,
        })
    }

    fn learn(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        if let (Some("Anonymous:" | "Swap:"), Some("0")) = (words.next(), words.next()) {
            self.is_none += 1;
        }
    }

    fn is_unchanged(&self, segments: &Segments) -> bool {
        self.is_of_a_file
            && self.is_read_only
            && self.is_none == 2
            && segments.were_never_written(&self.addresses)
    }
}

/// The loaded segments of the program and of its libraries, in whole pages.
#[derive(Debug, Default)]
struct Segments {
    read_only: Vec<Addresses>,
    written: Vec<Addresses>,
}

impl Segments {
    fn of_this_process() -> Self {
        let mut segments = Self::default();
        // SAFETY: dl_iterate_phdr(3) calls `gather` before it returns, with what it was given here: a pointer to a
        // value that nobody else uses meanwhile.
        unsafe { libc::dl_iterate_phdr(Some(gather), (&raw mut segments).cast()) };
        segments
    }

    fn add(&mut self, base: usize, header: &ProgramHeader) {
        let page = page_size();
        let start = base.wrapping_add(header.p_vaddr as usize);
        let end = start.wrapping_add(header.p_memsz as usize);
        let whole = start / page * page..end.next_multiple_of(page);
        match header.p_type {
            libc::PT_GNU_RELRO => self.written.push(whole),
            libc::PT_LOAD if header.p_flags & libc::PF_W != 0 => self.written.push(whole),
            libc::PT_LOAD => self.read_only.push(whole),
            _ => {}
        }
    }

    fn were_never_written(&self, addresses: &Addresses) -> bool {
        let contains = |segment: &Addresses| segment.start <= addresses.start && addresses.end <= segment.end;
        let overlaps = |segment: &Addresses| segment.start < addresses.end && addresses.start < segment.end;
        self.read_only.iter().any(contains) && !self.written.iter().any(overlaps)
    }
}

/// Called for the program and each of its libraries.
extern "C" fn gather(object: *mut dl_phdr_info, _size: usize, segments: *mut c_void) -> c_int {
    // SAFETY: it is called by `Segments::of_this_process` only, through dl_iterate_phdr(3), which passes this on.
    let segments = unsafe { &mut *segments.cast::<Segments>() };
    // SAFETY: dl_iterate_phdr(3) describes an object that is loaded, for as long as the call lasts.
    let object = unsafe { &*object };
    if object.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the program headers of a loaded object are in memory, and so many.
    let headers = unsafe { slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
    headers.iter().for_each(|header| segments.add(object.dlpi_addr as usize, header));
    0
}

fn advise(addresses: &Addresses, advice: c_int) {
    // SAFETY: both kinds of advice change nothing that can be read there: `unchanged` has found mappings that are as
    // in the file, and nothing in the process writes into them. What the kernel does not do is left as it is.
    unsafe { libc::madvise(addresses.start as *mut c_void, addresses.len(), advice) };
}

fn page_size() -> usize {
    // SAFETY: sysconf(3) has no condition.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(PIECE)
}

#[cfg(target_pointer_width = "64")]
type ProgramHeader = libc::Elf64_Phdr;
#[cfg(target_pointer_width = "32")]
type ProgramHeader = libc::Elf32_Phdr;

/// With 65,536 live guests 3.1 MB of the program's 8.7 MB of code are mapped, 2.1 with half the size, and 7.1 with the
/// kernel's 64 KB. Each piece is a mapping, which takes the kernel some 200 bytes.
const PIECE: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    /// One entry, with what this process has of its own in it.
    fn entry(addresses: &str, rights: &str, file: &str, own: &str) -> String {
        format!(
            "{addresses} {rights} 00000000 {file}\nSize: 4 kB\nRss: 4 kB\nAnonymous: {own}\nVmFlags: rd mr mw me\n"
        )
    }

    const PROGRAM: &str = "fe:00 12 /usr/bin/lone64";
    const NOTHING: &str = "0 kB\nSwap: 0 kB";

    fn only(addresses: Addresses) -> Vec<Addresses> {
        std::iter::once(addresses).collect()
    }

    fn found(smaps: &[String]) -> Vec<Addresses> {
        let segments = Segments { read_only: only(0x1000..0x9000), written: only(0x9000..0xb000) };
        unchanged(smaps.concat().lines().map(str::to_owned), &segments)
    }

    #[test]
    fn takes_code_and_constants_of_files_and_joins_neighbors() {
        let smaps = [
            entry("1000-3000", "r--p", PROGRAM, NOTHING),
            entry("3000-8000", "r-xp", PROGRAM, NOTHING),
            entry("8000-9000", "rw-p", PROGRAM, NOTHING),
        ];
        assert_eq!(found(&smaps), only(0x1000..0x8000));
    }

    #[test]
    fn takes_nothing_that_this_process_has_changed_or_may_change() {
        for (rights, file, own) in [
            ("r--p", PROGRAM, "4 kB\nSwap: 0 kB"),
            ("r-xp", PROGRAM, "4 kB\nSwap: 0 kB"),
            // Relocated and swapped out: the kernel would not find it again.
            ("r--p", PROGRAM, "0 kB\nSwap: 4 kB"),
            // A kernel that says less.
            ("r--p", PROGRAM, "0 kB"),
            ("rw-p", PROGRAM, NOTHING),
            ("r--s", PROGRAM, NOTHING),
            ("r-xp", "00:00 0 [vdso]", NOTHING),
            ("r--p", "00:00 0", NOTHING),
        ] {
            assert_eq!(found(&[entry("2000-3000", rights, file, own)]), [], "{rights} {file} {own}");
        }
    }

    #[test]
    fn takes_nothing_outside_the_segments_that_are_never_written() {
        for addresses in ["0-1000", "0-2000", "8000-a000", "9000-a000", "a000-b000", "f000-10000"] {
            assert_eq!(found(&[entry(addresses, "r--p", PROGRAM, NOTHING)]), [], "{addresses}");
        }
    }

    #[test]
    fn knows_what_the_dynamic_linker_has_relocated() {
        let segments = Segments::of_this_process();
        // A table of methods has addresses in it, which are of this run only.
        let relocated: &dyn std::fmt::Debug = &7;
        let table = (&raw const relocated).cast::<[usize; 2]>();
        // SAFETY: a reference to a trait object is two addresses.
        let [_, table] = unsafe { *table };
        assert!(segments.written.iter().any(|segment| segment.contains(&table)), "{segments:x?}");
        assert!(mapped().iter().all(|clean| !clean.contains(&table)));
        let code = mapped as *const () as usize;
        assert!(mapped().iter().any(|clean| clean.contains(&code)), "{segments:x?}");
    }

    #[test]
    fn pieces_end_where_the_mapping_ends_and_leave_its_first_page() {
        let pieces = |mapping: Addresses| marked_pieces(&mapping).collect::<Vec<_>>();
        assert_eq!(pieces(0x1000..0xd000), [0x4000..0x8000, 0xc000..0xd000]);
        assert_eq!(pieces(0x4000..0x10000), only(0x8000..0xc000));
        assert_eq!(pieces(0x1000..0x2000), []);
    }

    #[test]
    fn what_is_given_back_is_there_again_when_it_is_used() {
        map_in_pieces();
        for _ in 0..3 {
            give_back();
            let constant = black_box("as it stands in the file");
            assert_eq!(constant.len(), 24);
            let relocated: Vec<Box<dyn Fn(u8) -> u8>> = vec![Box::new(|n| n + 1), Box::new(|n| n * 2)];
            assert_eq!(relocated.iter().fold(3, |n, step| black_box(step)(n)), 8);
            assert!(std::panic::catch_unwind(|| panic!("unwinds through what was given back")).is_err());
        }
    }

    #[test]
    fn less_is_resident_when_it_was_given_back() {
        let code = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        // Touches every page of every mapping, as a long life would.
        let touched: u64 = mapped().into_iter().flat_map(|clean| clean.step_by(page_size())).map(read).sum();
        black_box(touched);
        let before = code();
        map_in_pieces();
        give_back();
        assert!(code() < before / 2, "{} of {before} kB", code());
    }

    fn read(address: usize) -> u64 {
        // SAFETY: `mapped` has found it to be mapped, for as long as the process lives.
        unsafe { (address as *const u8).read_volatile() }.into()
    }
}
