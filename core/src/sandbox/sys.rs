//! The system calls that make and contain a process, where no crate wraps them. The only file of the sandbox with `unsafe`; it decides nothing.
//!
//! What runs between clone and exec runs in a copy of one thread of a process that may have had many: it must not allocate, take a lock or
//! panic. All that it needs is made before.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_long, c_ulong};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::process::Pid;

fn result(value: c_long) -> Result<c_long, Errno> {
    if value >= 0 {
        return Ok(value);
    }
    Err(std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))
}

/// Arguments or environment as exec wants them.
pub(super) struct Strings<'a> {
    pointers: Vec<*const c_char>,
    strings: PhantomData<&'a CStr>,
}

impl<'a> Strings<'a> {
    pub(super) fn new(strings: impl IntoIterator<Item = &'a CStr>) -> Self {
        let mut pointers: Vec<_> = strings.into_iter().map(CStr::as_ptr).collect();
        pointers.push(ptr::null());
        Self { pointers, strings: PhantomData }
    }
}

/// Ends the process if the child's code unwinds or returns.
struct ExitGuard(c_int);

impl Drop for ExitGuard {
    fn drop(&mut self) {
        // SAFETY: ends the process at once, without the parent's exit handlers.
        unsafe { libc::_exit(self.0) }
    }
}

/// Makes a process with a copy of the calling thread, in new namespaces (`flags`: CLONE_NEW*). The child runs `child` with all signals
/// blocked and exits with what it returns. The parent gets its number and a pidfd.
///
/// `child` must keep to what the head of this file says.
pub(super) fn clone_process(flags: c_int, child: impl FnOnce() -> c_int) -> Result<(Pid, OwnedFd), Errno> {
    let mut pidfd: c_int = -1;
    // SAFETY: all-zero is a valid value of this plain structure.
    let mut arguments: libc::clone_args = unsafe { MaybeUninit::zeroed().assume_init() };
    arguments.flags = u64::from(flags.cast_unsigned()) | libc::CLONE_PIDFD as u64;
    arguments.pidfd = (&raw mut pidfd).addr() as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: both are signal sets that the calls fill. Without signals no handler of the parent runs in the child.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    // SAFETY: without CLONE_VM this is a fork: the child has its own copy of everything. `pidfd` outlives the call.
    let cloned =
        result(unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>()) });
    if cloned == Ok(0) {
        // Left by a panic, it exits; otherwise with the child's result.
        let mut guard = ExitGuard(125);
        guard.0 = child();
        drop(guard);
    }
    // SAFETY: the set was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    let pid = Pid::from_raw(cloned? as i32).ok_or(Errno::CHILD)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// In the child: all signals as a fresh program expects them.
pub(super) fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: the default action runs no code of ours. Those that cannot be changed are refused, which is as good.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let mut none = MaybeUninit::uninit();
    // SAFETY: the first call fills the set.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
}

/// In the child: puts `sources[n]` at descriptor n, and has all others closed on exec. `kept` are moved out of the way, and changed to where
/// they are then. `sources` is used for room.
pub(super) fn arrange(sources: &mut [RawFd], kept: &mut [RawFd]) -> Result<(), Errno> {
    let first_free = c_int::try_from(sources.len()).map_err(|_| Errno::INVAL)?;
    for fd in sources.iter_mut().chain(kept) {
        // SAFETY: it makes a new descriptor, which nobody owns in this process; the old one stays.
        *fd = result(unsafe { libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, first_free) }.into())? as RawFd;
    }
    for (number, fd) in (0..).zip(sources.iter()) {
        // SAFETY: the process is a copy that is about to be replaced; no owner of what is at this number runs any more.
        result(unsafe { libc::dup3(*fd, number, 0) }.into())?;
    }
    let flags = libc::CLOSE_RANGE_CLOEXEC as c_int;
    // SAFETY: it only marks descriptors.
    result(unsafe { libc::syscall(libc::SYS_close_range, first_free, c_int::MAX, flags) })?;
    Ok(())
}

/// In the child: becomes the program; returns only if that fails.
pub(super) fn execute(program: RawFd, arguments: &Strings<'_>, environment: &Strings<'_>) -> Errno {
    // SAFETY: both lists end with a null pointer, and `Strings` keeps what they point to alive.
    let failed = result(unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program,
            c"".as_ptr(),
            arguments.pointers.as_ptr(),
            environment.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    });
    failed.err().unwrap_or(Errno::IO)
}

/// In the child: writes a report; there is nobody to tell of a failure.
pub(super) fn report(pipe: RawFd, report: &[u8]) {
    // SAFETY: the slice is readable for its length.
    unsafe { libc::write(pipe, report.as_ptr().cast(), report.len()) };
}

/// Makes every mount below `/` read-only, without set-user-ID programs and devices.
pub(super) fn restrict_mounts() -> Result<(), Errno> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path ends with a null byte, and the structure is readable for the size that is given.
    result(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    })?;
    Ok(())
}

/// prctl with numbers alone: `option` must be one that takes no pointer.
pub(super) fn prctl(option: c_int, value: c_ulong, second: c_ulong) -> Result<c_long, Errno> {
    // SAFETY: the callers in this module use options that take numbers.
    result(unsafe { libc::prctl(option, value, second, 0, 0) }.into())
}

/// Whether the calling thread is the only one of its process.
pub(super) fn is_single_threaded() -> bool {
    // SAFETY: with this flag the kernel only checks; there is nothing that it could take apart.
    unsafe { libc::unshare(libc::CLONE_THREAD) == 0 }
}

/// Crashes have their default end: the runtime's handlers would need system calls to say no more than the signal does.
pub(super) fn crash_by_signal() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: the default action runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Takes over the descriptors `first..first + count` that the parent put there, once in the life of a process.
///
/// # Errors
/// `EALREADY`: they were taken. `EBADF`: one is not open.
pub(super) fn take_passed(first: RawFd, count: RawFd) -> Result<Vec<OwnedFd>, Errno> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::AcqRel) {
        return Err(Errno::ALREADY);
    }
    for number in first..first.saturating_add(count) {
        // SAFETY: it looks at a number and closes or changes nothing.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    }
    // SAFETY: all are open, were made for us before the program began, and are handed out once.
    Ok((first..first + count).map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect())
}
