//! What the process has mapped of the files that it runs: of its own and of the libraries.
//!
//! A start needs much that never comes back: the command line, TOML, the first netlink dumps. The kernel also maps
//! 64 KB around each page that is touched ("fault-around"), though most functions are far shorter. All of it counts as
//! resident. What is given back here stays in the page cache, and the next use maps it again without the disk; but when
//! memory is scarce, the kernel can drop what nobody has mapped first.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::slice;

use libc::dl_phdr_info;

use super::packet;

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
    for mapping in clean() {
        for piece in marked_pieces(&mapping) {
            advise(&piece, libc::MADV_DONTDUMP);
        }
    }
}

/// How many bytes of files the process has resident: of those that it runs, since it maps no others. The rings of packet
/// sockets count as files, and are left out here. The kernel may be wrong by some pages for each processor,
/// proc_pid_statm(5).
pub fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = statm.split(' ').nth(2)?.parse().ok()?;
    Some(pages.checked_mul(page_size())?.saturating_sub(packet::bytes_of_rings()))
}

/// Gives back to the kernel what the process has mapped of its files and has not changed. Takes about a millisecond.
pub fn give_back() {
    for clean in clean() {
        advise(&clean, libc::MADV_DONTNEED);
    }
}

/// What is loaded of these files and can be read from them again at any time; nothing where the kernel does not tell.
fn clean() -> Vec<Addresses> {
    let Ok(pages) = File::open("/proc/self/pagemap") else { return Vec::new() };
    let segments = Segments::of_this_process();
    let mut all = Vec::new();
    for segment in &segments.read_only {
        let mut entries = vec![0; segment.len() / page_size() * ENTRY];
        let at = segment.start / page_size() * ENTRY;
        if pages.read_exact_at(&mut entries, at as u64).is_ok() {
            unchanged(segment.start, &entries, &segments.written, &mut all);
        }
    }
    all
}

/// Every second piece, aligned to its size, from the second on.
fn marked_pieces(mapping: &Addresses) -> impl Iterator<Item = Addresses> + use<> {
    let end = mapping.end;
    let first = mapping.start / PIECE * PIECE + PIECE;
    (first..end).step_by(2 * PIECE).map(move |start| start..end.min(start + PIECE))
}

/// From the entries of `/proc/self/pagemap` for pages from this address on: those of which this process has no page of its
/// own, neither in memory nor in swap. Adjacent ones as one.
///
/// The dynamic linker writes into a segment and then takes away the right to (RELRO); a debugger writes into all.
fn unchanged(start: usize, entries: &[u8], written: &[Addresses], all: &mut Vec<Addresses>) {
    for (page, entry) in (start..).step_by(page_size()).zip(entries.as_chunks::<ENTRY>().0) {
        let entry = u64::from_ne_bytes(*entry);
        let is_own = entry & IN_SWAP != 0 || entry & IN_MEMORY != 0 && entry & OF_A_FILE == 0;
        if is_own || written.iter().any(|segment| segment.contains(&page)) {
            continue;
        }
        match all.last_mut() {
            Some(last) if last.end == page => last.end = page + page_size(),
            _ => all.push(page..page + page_size()),
        }
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
}

/// Called for the program and each of its libraries.
extern "C" fn gather(object: *mut dl_phdr_info, _size: usize, segments: *mut c_void) -> c_int {
    // SAFETY: it is called by `Segments::of_this_process` only, through dl_iterate_phdr(3), which passes this on.
    let segments = unsafe { &mut *segments.cast::<Segments>() };
    // SAFETY: dl_iterate_phdr(3) describes an object that is loaded, for as long as the call lasts.
    let object = unsafe { &*object };
    // The kernel's own object (vDSO) is of no file.
    let is_the_kernels = kernels_object().is_some_and(|header| header == object.dlpi_addr as usize);
    if object.dlpi_phdr.is_null() || is_the_kernels {
        return 0;
    }
    // SAFETY: the program headers of a loaded object are in memory, and so many.
    let headers = unsafe { slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
    headers.iter().for_each(|header| segments.add(object.dlpi_addr as usize, header));
    0
}

fn advise(addresses: &Addresses, advice: c_int) {
    // SAFETY: both kinds of advice change nothing that can be read there: `unchanged` has found pages that are as
    // in the file, and nothing in the process writes into them. What the kernel does not do is left as it is.
    unsafe { libc::madvise(addresses.start as *mut c_void, addresses.len(), advice) };
}

/// Where the kernel has put its own object, if it has one.
fn kernels_object() -> Option<usize> {
    // SAFETY: getauxval(3) has no condition.
    usize::try_from(unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) }).ok().filter(|at| *at != 0)
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
/// Bytes that `/proc/self/pagemap` has of a page, pagemap(5), and bits of them.
const ENTRY: usize = 8;
const OF_A_FILE: u64 = 1 << 61;
const IN_SWAP: u64 = 1 << 62;
const IN_MEMORY: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    fn only(addresses: Addresses) -> Vec<Addresses> {
        std::iter::once(addresses).collect()
    }

    /// Of pages with these entries, of a segment that begins at the page 16.
    fn found(entries: &[u64], written: &[Addresses]) -> Vec<Addresses> {
        let bytes: Vec<_> = entries.iter().flat_map(|entry| entry.to_ne_bytes()).collect();
        let mut all = Vec::new();
        unchanged(16 * page_size(), &bytes, written, &mut all);
        all.iter().map(|addresses| addresses.start / page_size()..addresses.end / page_size()).collect()
    }

    #[test]
    fn takes_what_is_of_the_file_and_what_is_not_in_memory_and_joins_neighbors() {
        assert_eq!(found(&[IN_MEMORY | OF_A_FILE, 0, IN_MEMORY | OF_A_FILE], &[]), only(16..19));
    }

    #[test]
    fn takes_nothing_that_this_process_has_changed() {
        // Written, and written and swapped out: the kernel would not find it again.
        for own in [IN_MEMORY, IN_SWAP, IN_SWAP | OF_A_FILE] {
            assert_eq!(found(&[0, own, 0, 0], &[]), [16..17, 18..20], "{own:x}");
        }
    }

    #[test]
    fn takes_no_page_of_a_segment_that_is_written() {
        let written = only(18 * page_size()..40 * page_size());
        assert_eq!(found(&[0; 4], &written), only(16..18));
    }

    #[test]
    fn takes_nothing_of_the_kernels_own_object() {
        let object = kernels_object();
        assert!(clean().iter().all(|clean| object.is_none_or(|object| !clean.contains(&object))));
    }

    #[test]
    fn leaves_a_page_that_a_debugger_has_changed() {
        #[inline(never)]
        fn code() -> u32 {
            black_box(7)
        }
        let page = code as *const () as usize / page_size() * page_size();
        assert!(clean().iter().any(|clean| clean.contains(&page)));
        // Written to by another way than this process's own, as a debugger does. The same bytes.
        let memory = File::options().read(true).write(true).open("/proc/self/mem").unwrap();
        let mut byte = [0];
        memory.read_exact_at(&mut byte, page as u64).unwrap();
        memory.write_all_at(&byte, page as u64).unwrap();
        assert!(clean().iter().all(|clean| !clean.contains(&page)));
        give_back();
        assert_eq!(code(), 7);
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
        assert!(clean().iter().all(|clean| !clean.contains(&table)));
        let code = clean as *const () as usize;
        assert!(clean().iter().any(|clean| clean.contains(&code)), "{segments:x?}");
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
        let touched: u64 = clean().into_iter().flat_map(|clean| clean.step_by(page_size())).map(read).sum();
        black_box(touched);
        let before = code();
        map_in_pieces();
        give_back();
        assert!(code() < before / 2, "{} of {before} kB", code());
        let resident = resident().expect("/proc is there") >> 10;
        assert!(resident < before as usize / 2, "{resident} of {before} kB");
    }

    fn read(address: usize) -> u64 {
        // SAFETY: `clean` has found it to be mapped, for as long as the process lives.
        unsafe { (address as *const u8).read_volatile() }.into()
    }
}
