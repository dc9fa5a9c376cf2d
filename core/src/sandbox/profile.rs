//! What a driver may ask of the kernel once it is locked down: the lists of system calls and ioctls, each with its reason. Plain tables; how they
//! are enforced is not known here.
//!
//! The system calls were found with strace: what the ECM driver does between a dongle and a TAP, and what tokio's current-thread runtime,
//! glibc's allocator, a panic, an abort and the end of `main` do besides. A family or transport brings its ioctls as `DRIVER_IOCTLS`, from the
//! file that makes them.

use crate::family::ethernet::tap;
use crate::usb::transport::usbfs;

/// System calls that any profile may allow, at most.
pub const MAX_CALLS: usize = 20;

/// How a driver reaches its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// A usbfs node that the manager has opened, claimed and taken the privileges from.
    UsbFs {
        /// The driver may reset the port of its device. The kernel allows it only while no other driver has an interface of the device.
        reset: bool,
    },
    /// USB/IP over a stream socket that is connected.
    UsbIp,
    /// A model in the same process, for tests. It needs nothing of the kernel.
    InProcess,
}

/// What a driver vends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// A network interface: a TAP that the manager has made ([`Tap::from_fds`](crate::family::ethernet::tap::Tap::from_fds)).
    Ethernet,
}

/// What a driver is allowed after [`lock_down`](super::lock_down).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// How it reaches its device.
    pub transport: Transport,
    /// What it vends.
    pub family: Family,
    /// The name of the process in `top` and in the kernel's log; the kernel keeps 15 bytes.
    pub name: String,
    /// Leaves core dumps and debuggers to the process's own user; [`Inherited::debuggable`](super::Inherited::debuggable) says what the manager
    /// wants.
    pub debuggable: bool,
}

/// A condition on a call's arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arguments {
    /// Whatever they are.
    Any,
    /// Argument `index` is one of these, in its low 32 bits.
    OneOf {
        /// From 0.
        index: u8,
        /// The values.
        values: &'static [u32],
    },
    /// Argument `index` has none of these bits.
    Without {
        /// From 0.
        index: u8,
        /// The bits.
        bits: u32,
    },
    /// Argument 1 is the number of one of the profile's ioctls; others fail with EACCES, as usbfs itself refuses after DROP_PRIVILEGES.
    Ioctls,
}

/// A system call that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// Its number on this architecture.
    pub number: i64,
    /// With which arguments.
    pub arguments: Arguments,
    /// What a driver needs it for.
    pub reason: &'static str,
}

const fn call(name: &'static str, number: libc::c_long, arguments: Arguments, reason: &'static str) -> Call {
    Call { name, number, arguments, reason }
}

#[cfg(target_arch = "x86_64")]
const EPOLL_WAIT: Call =
    call("epoll_wait", libc::SYS_epoll_wait, Arguments::Any, "the queue waits, for timers too");
#[cfg(not(target_arch = "x86_64"))]
const EPOLL_WAIT: Call =
    call("epoll_pwait", libc::SYS_epoll_pwait, Arguments::Any, "the queue waits, for timers too");

/// Of all drivers.
const CALLS: [Call; 18] = [
    EPOLL_WAIT,
    call("epoll_ctl", libc::SYS_epoll_ctl, Arguments::Any, "sources come and go"),
    call("read", libc::SYS_read, Arguments::Any, "the queue's eventfd, the manager's messages, netlink"),
    call("write", libc::SYS_write, Arguments::Any, "the same, and the log"),
    call("readv", libc::SYS_readv, Arguments::Any, "frames from the TAP"),
    call("writev", libc::SYS_writev, Arguments::Any, "frames to the TAP"),
    call("pread64", libc::SYS_pread64, Arguments::Any, "the device's descriptors, the multicast list"),
    call("ioctl", libc::SYS_ioctl, Arguments::Ioctls, "transfers, and the interface's carrier"),
    call("close", libc::SYS_close, Arguments::Any, "sources go"),
    call(
        "fcntl",
        libc::SYS_fcntl,
        Arguments::OneOf {
            index: 1,
            values: &[
                libc::F_DUPFD_CLOEXEC as u32,
                libc::F_GETFD as u32,
                libc::F_GETFL as u32,
                libc::F_SETFL as u32,
            ],
        },
        "a source keeps a duplicate of its descriptor",
    ),
    call(
        "mmap",
        libc::SYS_mmap,
        Arguments::Without { index: 2, bits: libc::PROT_EXEC as u32 },
        "memory, and transfer buffers of usbfs",
    ),
    call("munmap", libc::SYS_munmap, Arguments::Any, "gives memory back"),
    call("mremap", libc::SYS_mremap, Arguments::Any, "a large vector grows"),
    call("brk", libc::SYS_brk, Arguments::Any, "memory"),
    call(
        "clock_gettime",
        libc::SYS_clock_gettime,
        Arguments::Any,
        "the time, on machines whose clock the vDSO cannot read",
    ),
    call("getrandom", libc::SYS_getrandom, Arguments::Any, "seeds of hash tables"),
    call(
        "futex",
        libc::SYS_futex,
        Arguments::OneOf { index: 1, values: &[(libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as u32] },
        "the runtime wakes threads that it does not have, as it ends",
    ),
    call("exit_group", libc::SYS_exit_group, Arguments::Any, "the end"),
];

/// Of drivers over USB/IP: several pieces go out in one call that raises no SIGPIPE.
const SENDMSG: Call = call("sendmsg", libc::SYS_sendmsg, Arguments::Any, "USB/IP requests in one piece");

/// What the runtime tries on its way and can do without: these fail, while all that is not allowed kills.
///
/// They are no part of what a driver may do. A panic looks for files to name its frames, an abort for its own thread, and an allocator may have
/// an advice for the kernel; killed for that, the driver would seem to have been broken into.
pub(super) const REFUSED: &[(&str, i64)] = &[
    ("openat", libc::SYS_openat),
    ("readlinkat", libc::SYS_readlinkat),
    #[cfg(target_arch = "x86_64")]
    ("readlink", libc::SYS_readlink),
    ("getcwd", libc::SYS_getcwd),
    ("madvise", libc::SYS_madvise),
    // A transport over a socket says goodbye; the end of the process says it as well.
    ("shutdown", libc::SYS_shutdown),
    // A trace asks where in its file it begins, to cut a block off that a full disk left incomplete; it takes the file for a pipe then.
    ("lseek", libc::SYS_lseek),
    ("ftruncate", libc::SYS_ftruncate),
    ("rt_sigprocmask", libc::SYS_rt_sigprocmask),
    ("rt_sigaction", libc::SYS_rt_sigaction),
    ("sigaltstack", libc::SYS_sigaltstack),
    ("getpid", libc::SYS_getpid),
    ("gettid", libc::SYS_gettid),
    ("tgkill", libc::SYS_tgkill),
];

impl Profile {
    /// The system calls that are allowed.
    pub fn calls(&self) -> Vec<Call> {
        let mut calls = CALLS.to_vec();
        if self.transport == Transport::UsbIp {
            calls.push(SENDMSG);
        }
        calls
    }

    /// The ioctls that are allowed, by name and number.
    pub fn ioctls(&self) -> Vec<(&'static str, u32)> {
        let mut ioctls = match self.transport {
            Transport::UsbFs { reset: false } => usbfs::DRIVER_IOCTLS.to_vec(),
            Transport::UsbFs { reset: true } => {
                let mut ioctls = usbfs::DRIVER_IOCTLS.to_vec();
                ioctls.push(usbfs::RESET_IOCTL);
                ioctls
            }
            Transport::UsbIp | Transport::InProcess => Vec::new(),
        };
        match self.family {
            Family::Ethernet => ioctls.extend(tap::DRIVER_IOCTLS),
        }
        ioctls
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every profile that there is.
    pub(in crate::sandbox) fn all() -> Vec<Profile> {
        let transports = [
            Transport::UsbFs { reset: false },
            Transport::UsbFs { reset: true },
            Transport::UsbIp,
            Transport::InProcess,
        ];
        let profile = |transport| Profile {
            transport,
            family: Family::Ethernet,
            name: "test".into(),
            debuggable: false,
        };
        transports.map(profile).to_vec()
    }

    #[test]
    fn no_profile_has_more_than_twenty_system_calls() {
        for profile in all() {
            let mut numbers: Vec<_> = profile.calls().iter().map(|call| call.number).collect();
            assert!(numbers.len() <= MAX_CALLS, "{profile:?}: {} calls; do without one", numbers.len());
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), profile.calls().len(), "a call is listed twice");
        }
    }

    #[test]
    fn ioctls_are_a_handful_and_none_is_of_another_family() {
        for profile in all() {
            let ioctls = profile.ioctls();
            assert!(ioctls.len() <= 18, "{profile:?}: {} ioctls", ioctls.len());
            let has_usbfs = ioctls.iter().any(|(name, _)| name.starts_with("USBDEVFS_"));
            assert_eq!(has_usbfs, matches!(profile.transport, Transport::UsbFs { .. }));
            let resets = ioctls.iter().any(|(name, _)| *name == "USBDEVFS_RESET");
            assert_eq!(resets, profile.transport == Transport::UsbFs { reset: true });
        }
    }

    #[test]
    fn what_only_the_manager_may_do_is_in_no_profile() {
        let never = [
            "USBDEVFS_SETCONFIGURATION",
            "USBDEVFS_IOCTL",
            "USBDEVFS_DISCONNECT_CLAIM",
            "USBDEVFS_DROP_PRIVILEGES",
            "TUNSETIFF",
            "TUNSETPERSIST",
            "SIOCSIFMTU",
            "SIOCSIFHWADDR",
            "SIOCETHTOOL",
        ];
        for profile in all() {
            assert!(profile.ioctls().iter().all(|(name, _)| !never.contains(name)));
        }
    }

    #[test]
    fn nothing_is_both_allowed_and_refused() {
        for call in all().iter().flat_map(Profile::calls) {
            assert!(REFUSED.iter().all(|(_, number)| *number != call.number), "{}", call.name);
        }
    }
}
