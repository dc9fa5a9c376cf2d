//! Ways to the kernel and to the machine as a whole. None of them changes the machine where it works.

use libc::*;

use super::Contained::{Denied, Open};
use super::sys::{address, call, text};
use super::{Attempt, Control, Errno, done, reaches, works, works_if_built};

pub(super) const ATTEMPTS: &[Attempt] = &[
    works("bpf: make a map", Denied, |_| {
        let mut attributes = [2_u32, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        done(call(SYS_bpf, &[0, address(&mut attributes), 48]))
    }),
    works("perf_event_open: of the whole machine", Denied, |_| {
        // PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK.
        let mut attributes = [1_u64 | 64 << 32, 0, 0, 0, 0, 0, 0, 0];
        done(call(
            SYS_perf_event_open,
            &[address(&mut attributes), -1_isize as usize, 0, -1_isize as usize, 0],
        ))
    }),
    works_if_built("userfaultfd, of kernel accesses too", Denied, Errno::NOSYS, |_| {
        done(call(SYS_userfaultfd, &[0]))
    }),
    works_if_built("io_uring_setup", Open, Errno::NOSYS, |_| {
        let mut parameters = [0_u64; 15];
        done(call(SYS_io_uring_setup, &[1, address(&mut parameters)]))
    }),
    Attempt {
        name: "finit_module",
        run: |scene| done(call(SYS_finit_module, &[scene.program as usize, text(c""), 0])),
        control: Control::Impossible(
            "that a module loads is not tried: it would stay; some kernels have none at all",
        ),
        contained: Denied,
    },
    Attempt {
        name: "kexec_load",
        run: |_| done(call(SYS_kexec_load, &[0, 0, 0, 0])),
        control: Control::Impossible(
            "some kernels have no kexec; where they do, it would unload what is there",
        ),
        contained: Denied,
    },
    // What Ctrl-Alt-Del does, as it is.
    works("reboot", Denied, |_| done(call(SYS_reboot, &[0xfee1_dead, 672_274_793, 0x89ab_cdef]))),
    reaches("swapon", Denied, (Errno::NOENT, "there is no such file"), |_| {
        done(call(SYS_swapon, &[text(c"/outboard-sandbox-no-swap"), 0]))
    }),
    works("sethostname", Denied, |_| done(call(SYS_sethostname, &[text(c"escaped"), 7]))),
    works("setdomainname", Denied, |_| done(call(SYS_setdomainname, &[text(c"escaped"), 7]))),
    // No time zone, which is what the kernel has.
    works("settimeofday", Denied, |_| {
        let mut zone = [0_u32; 2];
        done(call(SYS_settimeofday, &[0, address(&mut zone)]))
    }),
    reaches("clock_settime", Denied, (Errno::INVAL, "it is no time"), |_| {
        let mut time = [0, 2_000_000_000_u64];
        done(call(SYS_clock_settime, &[CLOCK_REALTIME as usize, address(&mut time)]))
    }),
    works("syslog: the size of the kernel's log", Denied, |_| done(call(SYS_syslog, &[9, 0, 0]))),
    reaches("acct", Denied, (Errno::NOENT, "there is no such file"), |_| {
        done(call(SYS_acct, &[text(c"/outboard-sandbox-no-file")]))
    }),
    #[cfg(target_arch = "x86_64")]
    works_if_built("iopl: the I/O ports", Denied, Errno::NOSYS, |_| done(call(SYS_iopl, &[3]))),
    #[cfg(target_arch = "x86_64")]
    works_if_built("ioperm: one I/O port", Denied, Errno::NOSYS, |_| done(call(SYS_ioperm, &[0x80, 1, 1]))),
    #[cfg(target_arch = "x86_64")]
    works_if_built("modify_ldt: a segment of 32-bit code", Open, Errno::NOSYS, |_| {
        let mut entry = [0_u32, 0, 0xfffff, 0b101_0101];
        done(call(SYS_modify_ldt, &[1, address(&mut entry), 16]))
    }),
    works("uname: the kernel's version", Open, |_| {
        let mut names = [0_u64; 64];
        done(call(SYS_uname, &[address(&mut names)]))
    }),
    works("sysinfo", Open, |_| {
        let mut information = [0_u64; 32];
        done(call(SYS_sysinfo, &[address(&mut information)]))
    }),
    works("shmget", Open, |_| done(call(SYS_shmget, &[0, 4096, 0o1600]))),
];
