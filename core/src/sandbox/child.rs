//! What the new process does between clone and exec, and what empties a driver's file system. All of it runs in a copy of one thread of the
//! manager: no allocation, no lock, no panic (see `sys.rs`). It must not know why a driver is started.

use std::os::fd::{AsFd, BorrowedFd, RawFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
};
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets, ThreadNameSpaceType};
use rustix::{fs, mount, process, thread};

use super::error::Step;
use super::limits::Identity;
use super::sys::{self, Strings};

/// Bytes of a report: the step's code and the error number.
pub(super) const REPORT_SIZE: usize = 5;

// linux/securebits.h: root is nobody special, changing the user changes no capability, and nothing of this can be undone.
const SECURE_BITS: u64 = {
    let noroot = 1 << 0;
    let no_setuid_fixup = 1 << 2;
    let keep_caps_locked = 1 << 5;
    let no_ambient_raise = 1 << 6;
    noroot
        | noroot << 1
        | no_setuid_fixup
        | no_setuid_fixup << 1
        | keep_caps_locked
        | no_ambient_raise
        | no_ambient_raise << 1
};

/// What the child needs, made by the parent.
pub(super) struct Plan<'a> {
    pub(super) executable: RawFd,
    /// Where a failure is reported.
    pub(super) report: RawFd,
    /// What becomes descriptor 0, 1, 2 and so on.
    pub(super) sources: &'a mut [RawFd],
    pub(super) arguments: &'a Strings<'a>,
    pub(super) environment: &'a Strings<'a>,
    pub(super) limits: &'a [(Resource, Rlimit)],
    /// The user to become; without one it stays the caller's.
    pub(super) identity: Option<Identity>,
    /// In a user namespace: what it holds.
    pub(super) user_map: Option<&'a UserMap>,
}

/// One user and one group, in the form of /proc/PID/uid_map.
pub(super) struct UserMap {
    user: String,
    group: String,
}

impl UserMap {
    /// The caller, by the same numbers.
    pub(super) fn of_caller() -> Self {
        let user = process::geteuid().as_raw();
        let group = process::getegid().as_raw();
        Self { user: format!("{user} {user} 1"), group: format!("{group} {group} 1") }
    }
}

/// Becomes the program. Returns only after a failure, which has been reported.
pub(super) fn run(plan: Plan<'_>) -> i32 {
    let Plan { executable, report, sources, .. } = plan;
    let mut kept = [executable, report];
    if let Err(errno) = sys::arrange(sources, &mut kept) {
        // Nothing of the process is used after this, so that either number will do.
        return failed(report, (Step::Descriptors, errno));
    }
    let [executable, report] = kept;
    let plan = Plan { executable, report, sources: &mut [], ..plan };
    match contain(&plan) {
        Err(failure) => failed(report, failure),
        Ok(()) => {
            sys::reset_signals();
            failed(report, (Step::Exec, sys::execute(executable, plan.arguments, plan.environment)))
        }
    }
}

fn failed(report: RawFd, (step, errno): (Step, Errno)) -> i32 {
    let [a, b, c, d] = errno.raw_os_error().to_ne_bytes();
    sys::report(report, &[step as u8, a, b, c, d]);
    126
}

/// The failure in a report, if it is one.
pub(super) fn parse_report(report: &[u8]) -> Option<(Step, Errno)> {
    let (step, errno) = report.split_first()?;
    // Half a report is still one; of what, is lost.
    let errno = errno.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    let errno = if (1..4096).contains(&errno) { Errno::from_raw_os_error(errno) } else { Errno::IO };
    Some((Step::from_code(*step).unwrap_or(Step::Clone), errno))
}

fn contain(plan: &Plan<'_>) -> Result<(), (Step, Errno)> {
    let at = |step: Step| move |errno: Errno| (step, errno);
    if let Some(map) = plan.user_map {
        map_user(map).map_err(at(Step::UserNamespace))?;
    }
    process::setsid().map_err(at(Step::Session))?;

    // The namespace is a copy; nothing mounted here must reach the system, and nothing of it must come here.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount::mount_change(c"/", private).map_err(at(Step::PrivateMounts))?;
    sys::restrict_mounts().map_err(at(Step::ReadOnlyMounts))?;
    process::chdir(c"/").map_err(at(Step::PrivateMounts))?;
    rustix::system::sethostname(b"driver").map_err(at(Step::HostName))?;

    for (resource, limit) in plan.limits {
        let limit = Rlimit { current: limit.current, maximum: limit.maximum };
        lower(*resource, limit).map_err(at(Step::Limits))?;
    }

    for capability in 0..64 {
        match sys::prctl(libc::PR_CAPBSET_DROP, capability, 0) {
            Ok(_) => {}
            // Beyond the last one that this kernel knows.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err((Step::BoundingSet, errno)),
        }
    }
    sys::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0)
        .map_err(at(Step::BoundingSet))?;
    sys::prctl(libc::PR_SET_SECUREBITS, SECURE_BITS, 0).map_err(at(Step::SecureBits))?;
    if let Some(identity) = plan.identity {
        thread::set_thread_groups(&[]).map_err(at(Step::Groups))?;
        let (user, group) = (process::Uid::from_raw(identity.id()), process::Gid::from_raw(identity.id()));
        thread::set_thread_res_gid(group, group, group).map_err(at(Step::Identity))?;
        thread::set_thread_res_uid(user, user, user).map_err(at(Step::Identity))?;
    }
    let none = CapabilitySet::empty();
    thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(at(Step::Capabilities))?;
    thread::set_no_new_privs(true).map_err(at(Step::NoNewPrivileges))?;
    // After the change of the user, which would undo it. If the manager died before this, its end of the gate is closed, and the driver
    // ends there.
    process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(at(Step::ParentDeath))
}

/// Sets a limit, or leaves one that is lower already.
fn lower(resource: Resource, limit: Rlimit) -> Result<(), Errno> {
    let now = process::getrlimit(resource);
    let lowest = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let maximum = lowest(now.maximum, limit.maximum);
    process::setrlimit(resource, Rlimit { current: lowest(limit.current, maximum), maximum })
}

fn map_user(map: &UserMap) -> Result<(), Errno> {
    let write = |path: &std::ffi::CStr, text: &[u8]| {
        let file = fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(file, text).map(drop)
    };
    write(c"/proc/self/setgroups", b"deny")?;
    write(c"/proc/self/uid_map", map.user.as_bytes())?;
    write(c"/proc/self/gid_map", map.group.as_bytes())
}

/// In a process of its own: goes where the driver behind `pidfd` is, and puts an empty root in place of the system's, for everybody there.
/// Reports a failure like [`run`].
pub(super) fn empty_root(pidfd: BorrowedFd<'_>, in_user_namespace: bool, report: RawFd) -> i32 {
    match empty(pidfd, in_user_namespace) {
        Ok(()) => 0,
        Err(failure) => failed(report, failure),
    }
}

fn empty(pidfd: BorrowedFd<'_>, in_user_namespace: bool) -> Result<(), (Step, Errno)> {
    let at = |step: Step| move |errno: Errno| (step, errno);
    let mut spaces = ThreadNameSpaceType::MOUNT;
    if in_user_namespace {
        spaces |= ThreadNameSpaceType::USER;
    }
    thread::move_into_thread_name_spaces(pidfd, spaces).map_err(at(Step::EnterMounts))?;

    let made = || {
        let options = mount::fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        mount::fsconfig_set_string(options.as_fd(), c"mode", c"0555")?;
        mount::fsconfig_set_string(options.as_fd(), c"size", c"4k")?;
        mount::fsconfig_set_string(options.as_fd(), c"nr_inodes", c"1")?;
        mount::fsconfig_create(options.as_fd())?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let root = mount::fsmount(options.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        // On top of the root: a mount point that is always there.
        mount::move_mount(root.as_fd(), c"", fs::CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        Ok(root)
    };
    let root = made().map_err(at(Step::EmptyRoot))?;
    process::fchdir(&root).map_err(at(Step::PivotRoot))?;
    // Also moves the root and the working directory of the driver, which are the old root.
    process::pivot_root(c".", c".").map_err(at(Step::PivotRoot))?;
    mount::unmount(c".", UnmountFlags::DETACH).map_err(at(Step::DetachRoot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_comes_back_as_it_was_written() {
        let [a, b, c, d] = Errno::PERM.raw_os_error().to_ne_bytes();
        assert_eq!(parse_report(&[Step::Groups as u8, a, b, c, d]), Some((Step::Groups, Errno::PERM)));
        assert_eq!(parse_report(&[]), None);
        assert_eq!(parse_report(&[Step::Exec as u8]), Some((Step::Exec, Errno::IO)));
        assert_eq!(parse_report(&[255; 9]), Some((Step::Clone, Errno::IO)));
    }
}
