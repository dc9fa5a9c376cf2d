//! Ways to code of one's own in memory, and beyond the quota.

use libc::*;

use super::Contained::{Denied, Open};
use super::sys::{call, touch};
use super::{Attempt, Errno, done, works};

const PAGE: usize = 4096;
const EVERYTHING: usize = (PROT_READ | PROT_WRITE | PROT_EXEC) as usize;
const DATA: usize = (PROT_READ | PROT_WRITE) as usize;
const ANONYMOUS: usize = (MAP_PRIVATE | MAP_ANONYMOUS) as usize;
const NO_FD: usize = usize::MAX;

fn map(length: usize, protection: usize) -> Result<usize, Errno> {
    call(SYS_mmap, &[0, length, protection, ANONYMOUS, NO_FD, 0])
}

/// Runs something from a page that should be executable by now.
fn run(at: usize) {
    #[cfg(target_arch = "x86_64")]
    super::sys::run_code(at);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

pub(super) const ATTEMPTS: &[Attempt] = &[
    works("mmap: writable code", Open, |_| {
        run(map(PAGE, EVERYTHING)?);
        Ok(())
    }),
    works("mmap: code from a file in memory", Open, |scene| {
        let protection = (PROT_READ | PROT_EXEC) as usize;
        done(call(SYS_mmap, &[0, PAGE, protection, MAP_PRIVATE as usize, scene.program as usize, 0]))
    }),
    works("mprotect: data becomes code", Open, |_| {
        let page = map(PAGE, DATA)?;
        call(SYS_mprotect, &[page, PAGE, EVERYTHING])?;
        run(page);
        Ok(())
    }),
    works("pkey_mprotect: data becomes code", Open, |_| {
        let page = map(PAGE, DATA)?;
        call(SYS_pkey_mprotect, &[page, PAGE, EVERYTHING, NO_FD])?;
        run(page);
        Ok(())
    }),
    works("mmap: the page at 0", Denied, |_| {
        let flags = ANONYMOUS | MAP_FIXED as usize;
        done(call(SYS_mmap, &[0, PAGE, DATA, flags, NO_FD, 0]))
    }),
    works("1 GiB of memory", Denied, |_| {
        touch(map(1 << 30, DATA)?, 64 << 20);
        Ok(())
    }),
    works("1 GiB of memory, bit by bit", Denied, |_| {
        for _ in 0..64 {
            map(16 << 20, DATA)?;
        }
        Ok(())
    }),
    works("lock memory", Denied, |_| {
        let page = map(PAGE, DATA)?;
        done(call(SYS_mlock, &[page, PAGE]))
    }),
    works("200 descriptors", Denied, |scene| {
        for _ in 0..200 {
            call(SYS_fcntl, &[scene.socket as usize, F_DUPFD_CLOEXEC as usize, 0])?;
        }
        Ok(())
    }),
    works("raise its own limits", Denied, |_| {
        let mut limit = [1024_u64, 1024];
        done(call(SYS_prlimit64, &[0, RLIMIT_NOFILE as usize, super::sys::address(&mut limit), 0]))
    }),
    works("write a file in memory beyond the limit", Denied, |scene| {
        done(call(SYS_pwrite64, &[scene.program as usize, super::sys::text(c"x"), 1, 100 << 20]))
    }),
    works("CPU time beyond the limit", Denied, |scene| {
        let spent = || rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime).tv_sec;
        while spent() < scene.cpu_time {}
        Ok(())
    }),
    works("a handler for signals", Open, |_| {
        let mut action = [0_u64; 4];
        done(call(SYS_rt_sigaction, &[SIGUSR1 as usize, super::sys::address(&mut action), 0, 8]))
    }),
    works("sleep", Open, |_| {
        let mut time = [0_u64, 1];
        done(call(SYS_nanosleep, &[super::sys::address(&mut time), 0]))
    }),
];
