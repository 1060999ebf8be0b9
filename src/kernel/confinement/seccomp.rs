//! A filter of system calls, seccomp(2): what lone64 never asks for fails with EPERM, also for code that has
//! taken it over.
//!
//! It is a list of what is refused, and not of what is allowed, because another version of the libc may make calls that
//! nobody has thought of. The unit of systemd has a list of what is allowed (`SystemCallFilter`).

use std::io;

use super::call;

/// Installs it for this thread and those that it starts, and for what they start.
pub(super) fn install() -> io::Result<()> {
    match ARCHITECTURE {
        Some(architecture) => call::set_filter(&filter(architecture, REFUSED)),
        None => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Loads what it compares, and leaves at the first match.
fn filter(architecture: u32, refused: &[i64]) -> Vec<libc::sock_filter> {
    /// `struct seccomp_data`: the number of the call, then the architecture.
    const NUMBER: u32 = 0;
    const OF_ARCHITECTURE: u32 = 4;
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let step = |code: u32, k: u32, jt: usize, jf: usize| libc::sock_filter {
        code: code as u16,
        // The list is short, and a test installs it.
        jt: u8::try_from(jt).expect("fewer than 256 instructions"),
        jf: u8::try_from(jf).expect("fewer than 256 instructions"),
        k,
    };
    let mut all = vec![step(LOAD, OF_ARCHITECTURE, 0, 0)];
    // To the refusal, which is the last instruction: over the load, the limit, the list and the permission.
    all.push(step(IF_EQUAL, architecture, 0, refused.len() + 3));
    all.push(step(LOAD, NUMBER, 0, 0));
    all.push(step(IF_AT_LEAST, X32, refused.len() + 1, 0));
    for (place, number) in refused.iter().enumerate() {
        all.push(step(IF_EQUAL, *number as u32, refused.len() - place, 0));
    }
    all.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
    all.push(step(RETURN, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, 0, 0));
    all
}

/// `AUDIT_ARCH_*` of linux/audit.h.
const ARCHITECTURE: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xc000_003e)
} else if cfg!(target_arch = "aarch64") {
    Some(0xc000_00b7)
} else {
    None
};

/// On x86-64 the numbers of a second set of calls begin here.
const X32: u32 = 0x4000_0000;

/// Mounts, modules, other kernels, other processes, other namespaces, the clock, keys, swap, io_uring.
const REFUSED: &[i64] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_syslog,
    libc::SYS_personality,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would make of a call: the return value of the filter.
    fn verdict(program: &[libc::sock_filter], architecture: u32, number: u32) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            match u32::from(step.code) & 7 {
                libc::BPF_LD => loaded = if step.k == 4 { architecture } else { number },
                libc::BPF_JMP => {
                    let is_met = match u32::from(step.code) & 0xf0 {
                        libc::BPF_JEQ => loaded == step.k,
                        libc::BPF_JGE => loaded >= step.k,
                        other => panic!("a jump {other:#x}"),
                    };
                    at += usize::from(if is_met { step.jt } else { step.jf });
                }
                libc::BPF_RET => return step.k,
                other => panic!("an instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn refuses_what_is_on_the_list_and_nothing_else() {
        let program = filter(7, REFUSED);
        let refusal = libc::SECCOMP_RET_ERRNO | 1;
        for number in 0..600 {
            let is_refused = REFUSED.contains(&i64::from(number));
            let expected = if is_refused { refusal } else { libc::SECCOMP_RET_ALLOW };
            assert_eq!(verdict(&program, 7, number), expected, "call {number}");
        }
        assert_eq!(verdict(&program, 8, 1), refusal, "another architecture has other numbers");
        assert_eq!(verdict(&program, 7, X32 + 1), refusal, "so has the second set");
    }
}
