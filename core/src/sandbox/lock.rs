//! The driver's side: taking over what the manager passed, and giving up everything else. It must not know any driver.

use std::os::fd::{AsFd, OwnedFd};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr,
    RulesetStatus, Scope,
};
use rustix::io::Errno;
use rustix::process::DumpableBehavior;

use super::error::{SandboxError, Step};
use super::filter;
use super::profile::Profile;
use super::sys;
use super::{DEBUGGABLE_VARIABLE, FIRST_PASSED, GATE, GO, LOADED, MAX_PASSED, PASSED_VARIABLE};

/// What a driver process got from its manager.
#[derive(Debug)]
pub struct Inherited {
    /// The passed descriptors, in the manager's order; closed on exec.
    pub fds: Vec<OwnedFd>,
    /// Whether the manager wants this driver to be open to debuggers.
    pub debuggable: bool,
}

/// Tells the manager that the program is loaded, waits until it has taken the file system away, and takes over the passed descriptors. To be
/// called first in `main`, once.
///
/// # Errors
/// At [`Step::Inherit`]: the process was not started by [`Program::spawn`](super::Program::spawn), or this was called before. At
/// [`Step::Load`]: the manager has died, or gave up.
pub fn inherit() -> Result<Inherited, SandboxError> {
    let passed = std::env::var(PASSED_VARIABLE).ok().and_then(|count| count.parse().ok());
    let passed = passed.filter(|count| (0..=MAX_PASSED).contains(count)).ok_or_else(|| {
        SandboxError::new(
            Step::Inherit,
            "no manager started this process; `outboard attach` runs a driver by itself",
        )
    })?;
    let debuggable = std::env::var_os(DEBUGGABLE_VARIABLE).is_some();
    let inherit = |errno| SandboxError::os(Step::Inherit, errno);
    let mut fds = sys::take_passed(GATE, passed + (FIRST_PASSED - GATE)).map_err(inherit)?;
    // Dropped, and so closed, when the manager has answered.
    let gate = fds.remove(0);
    rustix::net::send(gate.as_fd(), LOADED, rustix::net::SendFlags::NOSIGNAL).map_err(inherit)?;
    let mut word = [0; 8];
    let length = rustix::io::retry_on_intr(|| rustix::io::read(&gate, &mut word))
        .map_err(|errno| SandboxError::os(Step::Load, errno))?;
    if word.get(..length) != Some(GO) {
        return Err(SandboxError::new(Step::Load, "the manager is gone"));
    }
    Ok(Inherited { fds, debuggable })
}

/// How much of Landlock this kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landlock {
    /// Version of the kernel's interface; everything that it can deny is denied.
    Enforced(u8),
    /// The kernel was built or booted without it. The empty root and the filter stand alone.
    Missing,
}

/// What holds for the process from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedDown {
    /// The file system and the network are denied.
    pub landlock: Landlock,
    /// System calls that are allowed.
    pub calls: usize,
    /// Ioctls that are allowed.
    pub ioctls: usize,
}

/// Gives up everything but what `profile` allows, for good. To be called on the driver's queue, before it reads the first byte of its device:
/// what the queue itself is made of has to be there already.
///
/// A system call that is not allowed ends the process with SIGSYS ([`Exit::is_violation`](super::Exit::is_violation)).
///
/// # Errors
/// Each names its [`Step`]. The process must end then: it may be locked down in part.
pub fn lock_down(profile: &Profile) -> Result<LockedDown, SandboxError> {
    precondition()?;
    let filters =
        filter::compile(profile).map_err(|error| SandboxError::new(Step::Filter, error.to_string()))?;
    let name = std::ffi::CString::new(profile.name.replace('\0', " ")).unwrap_or_default();
    rustix::thread::set_name(&name).map_err(|errno| SandboxError::os(Step::Name, errno))?;
    if !profile.debuggable {
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .map_err(|errno| SandboxError::os(Step::Undumpable, errno))?;
    }
    sys::crash_by_signal();
    let landlock = landlock().map_err(|error| SandboxError::new(Step::Landlock, error.to_string()))?;
    for filter in &filters {
        seccompiler::apply_filter_all_threads(filter).map_err(filter_error)?;
    }
    Ok(LockedDown { landlock, calls: profile.calls().len(), ioctls: profile.ioctls().len() })
}

fn filter_error(error: seccompiler::Error) -> SandboxError {
    match &error {
        seccompiler::Error::Prctl(os) | seccompiler::Error::Seccomp(os) => {
            SandboxError::os(Step::Filter, Errno::from_io_error(os).unwrap_or(Errno::IO))
        }
        _ => SandboxError::new(Step::Filter, error.to_string()),
    }
}

/// A filter on one thread of many, or on a process with capabilities, would be no lock.
fn precondition() -> Result<(), SandboxError> {
    let refuse = |reason: &str| Err(SandboxError::new(Step::Precondition, reason));
    if !sys::is_single_threaded() {
        return refuse("the process has more than one thread, and all of a driver runs on one");
    }
    let capabilities =
        rustix::thread::capabilities(None).map_err(|errno| SandboxError::os(Step::Precondition, errno))?;
    if !(capabilities.effective | capabilities.permitted | capabilities.inheritable).is_empty() {
        return refuse("the process has capabilities; a driver is started without any");
    }
    Ok(())
}

/// Denies all that this kernel's Landlock knows to deny.
fn landlock() -> Result<Landlock, landlock::RulesetError> {
    let newest = ABI::V10;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))?
        .handle_access(AccessNet::from_all(newest))?
        .scope(Scope::from_all(newest))?
        .create()?
        .restrict_self()?;
    Ok(match (status.ruleset, status.landlock) {
        (
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced,
            LandlockStatus::Available { effective_abi, .. },
        ) => Landlock::Enforced(effective_abi as u8),
        _ => Landlock::Missing,
    })
}
