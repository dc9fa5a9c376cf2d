//! Ways to other processes, and to new ones.

use libc::*;

use super::Contained::{Denied, Open};
use super::sys::{address, call, text};
use super::{Attempt, Errno, Scene, done, works};

/// Opens a pidfd and does something with it.
fn with_pidfd(pid: i32, then: impl FnOnce(usize) -> Result<(), Errno>) -> Result<(), Errno> {
    then(call(SYS_pidfd_open, &[pid as usize, 0])?)
}

/// Copies eight bytes between the victim and us.
fn copy(number: i64, scene: &Scene) -> Result<(), Errno> {
    let mut word = 0_u64;
    let mut ours = [address(&mut word), 8];
    let mut theirs = [scene.victim_address, 8];
    done(call(number, &[scene.victim as usize, address(&mut ours), 1, address(&mut theirs), 1, 0]))
}

/// Becomes this program, which then says that it worked.
fn become_program(number: i64, first: &[usize], scene: &Scene) -> Result<(), Errno> {
    let report = std::ffi::CString::new(scene.report.to_string()).unwrap_or_default();
    let mut arguments = [text(c"subject"), text(c"escaped"), text(&report), 0];
    let mut environment = [0_usize];
    let flags = AT_EMPTY_PATH as usize;
    done(call(number, &[first, &[address(&mut arguments), address(&mut environment), flags]].concat()))
}

pub(super) const ATTEMPTS: &[Attempt] = &[
    #[cfg(target_arch = "x86_64")]
    works("fork", Denied, |_| done(super::sys::make_process(SYS_fork, [0, 0]))),
    #[cfg(target_arch = "x86_64")]
    works("vfork", Denied, |_| done(super::sys::make_process(SYS_vfork, [0, 0]))),
    #[cfg(target_arch = "x86_64")]
    works("clone", Denied, |_| done(super::sys::make_process(SYS_clone, [SIGCHLD as usize, 0]))),
    #[cfg(target_arch = "x86_64")]
    works("clone3", Denied, |_| {
        let mut arguments = [0_u64; 8];
        arguments[4] = SIGCHLD as u64;
        done(super::sys::make_process(SYS_clone3, [address(&mut arguments), 64]))
    }),
    works("start a thread", Denied, |_| {
        let thread = std::thread::Builder::new().spawn(|| ());
        let thread = thread.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        thread.join().map_err(|_| Errno::IO)
    }),
    works("execve", Denied, |scene| become_program(SYS_execve, &[text(c"/proc/self/exe")], scene)),
    works("execveat of a file in memory", Open, |scene| {
        become_program(SYS_execveat, &[scene.program as usize, text(c"")], scene)
    }),
    works("ptrace: seize root's process", Denied, |scene| {
        done(call(SYS_ptrace, &[PTRACE_SEIZE as usize, scene.victim as usize]))
    }),
    works("ptrace: be traced", Open, |_| done(call(SYS_ptrace, &[PTRACE_TRACEME as usize]))),
    works("process_vm_readv", Denied, |scene| copy(SYS_process_vm_readv, scene)),
    works("process_vm_writev", Denied, |scene| copy(SYS_process_vm_writev, scene)),
    works("kcmp", Denied, |scene| {
        done(call(SYS_kcmp, &[scene.parent as usize, scene.victim as usize, 1, 0, 0]))
    }),
    works("signal root's process", Denied, |scene| {
        done(call(SYS_kill, &[scene.victim as usize, SIGCONT as usize]))
    }),
    works("signal the manager", Denied, |scene| done(call(SYS_kill, &[scene.parent as usize, 0]))),
    works("signal everybody", Denied, |_| done(call(SYS_kill, &[-1_isize as usize, 0]))),
    works("tgkill", Denied, |scene| {
        done(call(SYS_tgkill, &[scene.victim as usize, scene.victim as usize, SIGCONT as usize]))
    }),
    works("rt_sigqueueinfo", Denied, |scene| {
        let mut information = [0_u32; 32];
        information[2] = -1_i32 as u32;
        done(call(SYS_rt_sigqueueinfo, &[scene.victim as usize, SIGCONT as usize, address(&mut information)]))
    }),
    works("pidfd_open", Denied, |scene| with_pidfd(scene.victim, |_| Ok(()))),
    works("pidfd_getfd: take the manager's stderr", Denied, |scene| {
        with_pidfd(scene.parent, |pidfd| done(call(SYS_pidfd_getfd, &[pidfd, 2, 0])))
    }),
    works("pidfd_send_signal", Denied, |scene| {
        with_pidfd(scene.victim, |pidfd| done(call(SYS_pidfd_send_signal, &[pidfd, SIGCONT as usize])))
    }),
    works("prlimit of root's process", Denied, |scene| {
        let mut limit = [0_u64; 2];
        done(call(SYS_prlimit64, &[scene.victim as usize, RLIMIT_CORE as usize, 0, address(&mut limit)]))
    }),
    works("renice root's process", Denied, |scene| {
        done(call(SYS_setpriority, &[PRIO_PROCESS as usize, scene.victim as usize, 0]))
    }),
    works("move root's process to a CPU", Denied, |scene| {
        let mut all = [u64::MAX; 16];
        done(call(SYS_sched_setaffinity, &[scene.victim as usize, 128, address(&mut all)]))
    }),
    works("real-time priority", Denied, |_| {
        let mut priority = 1_i32;
        done(call(SYS_sched_setscheduler, &[0, SCHED_FIFO as usize, address(&mut priority)]))
    }),
    works("raise its own priority", Denied, |_| done(call(SYS_setpriority, &[0, 0, -1_isize as usize]))),
    works("wait for children", Open, |_| {
        // Without one, the call itself got through.
        match call(SYS_wait4, &[-1_isize as usize, 0, WNOHANG as usize]) {
            Err(Errno::CHILD) => Ok(()),
            other => done(other),
        }
    }),
];
