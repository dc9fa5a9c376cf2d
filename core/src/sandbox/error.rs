//! What failed while a driver process was contained or locked down. It names the step; what a step does is not known here.

use std::fmt;

use rustix::io::Errno;

use crate::Error;

/// A step on the way from the manager to a driver that is locked down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Step {
    /// Opening the program that is to be started.
    OpenProgram,
    /// Making the pipe and the socket through which the new process says how far it got.
    Channel,
    /// Making the process in its namespaces.
    Clone,
    /// Mapping the user into the user namespace.
    UserNamespace,
    /// A session of its own.
    Session,
    /// Cutting the mounts off from those of the system.
    PrivateMounts,
    /// Making all mounts read-only, without devices and set-user-ID programs.
    ReadOnlyMounts,
    /// A host name that tells nothing.
    HostName,
    /// Putting the descriptors at their numbers.
    Descriptors,
    /// Resource limits.
    Limits,
    /// Emptying the bounding and the ambient set of capabilities.
    BoundingSet,
    /// Locking the secure bits.
    SecureBits,
    /// Dropping supplementary groups.
    Groups,
    /// The driver's own user and group.
    Identity,
    /// Emptying the remaining sets of capabilities.
    Capabilities,
    /// no_new_privs.
    NoNewPrivileges,
    /// Dying with the manager.
    ParentDeath,
    /// Executing the program.
    Exec,
    /// Waiting until the program has been loaded.
    Load,
    /// Entering the driver's mount namespace to empty it.
    EnterMounts,
    /// Making the empty root.
    EmptyRoot,
    /// Putting the empty root in place of the system's.
    PivotRoot,
    /// Taking the system's root away.
    DetachRoot,
    /// Taking over the descriptors that the manager passed.
    Inherit,
    /// Looking whether the process is one that can be locked down.
    Precondition,
    /// The process's name.
    Name,
    /// Refusing debuggers and core dumps.
    Undumpable,
    /// Landlock.
    Landlock,
    /// The filter of system calls.
    Filter,
    /// Waiting for the process.
    Wait,
}

impl Step {
    const ALL: [Self; 30] = [
        Self::OpenProgram,
        Self::Channel,
        Self::Clone,
        Self::UserNamespace,
        Self::Session,
        Self::PrivateMounts,
        Self::ReadOnlyMounts,
        Self::HostName,
        Self::Descriptors,
        Self::Limits,
        Self::BoundingSet,
        Self::SecureBits,
        Self::Groups,
        Self::Identity,
        Self::Capabilities,
        Self::NoNewPrivileges,
        Self::ParentDeath,
        Self::Exec,
        Self::Load,
        Self::EnterMounts,
        Self::EmptyRoot,
        Self::PivotRoot,
        Self::DetachRoot,
        Self::Inherit,
        Self::Precondition,
        Self::Name,
        Self::Undumpable,
        Self::Landlock,
        Self::Filter,
        Self::Wait,
    ];

    /// What is being done, as a verb phrase.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenProgram => "open the driver's program",
            Self::Channel => "make the channel to the driver",
            Self::Clone => "create the driver's process in its namespaces",
            Self::UserNamespace => "map the user into the driver's user namespace",
            Self::Session => "give the driver a session of its own",
            Self::PrivateMounts => "cut the driver's mounts off from the system's",
            Self::ReadOnlyMounts => "make the driver's mounts read-only",
            Self::HostName => "hide the host's name from the driver",
            Self::Descriptors => "put the driver's descriptors at their numbers",
            Self::Limits => "limit the driver's resources",
            Self::BoundingSet => "empty the bounding set of the driver's capabilities",
            Self::SecureBits => "lock the driver's secure bits",
            Self::Groups => "drop the supplementary groups",
            Self::Identity => "change to the driver's user",
            Self::Capabilities => "drop all capabilities",
            Self::NoNewPrivileges => "set no_new_privs",
            Self::ParentDeath => "have the driver die with the manager",
            Self::Exec => "execute the driver's program",
            Self::Load => "wait until the driver is loaded",
            Self::EnterMounts => "enter the driver's mount namespace",
            Self::EmptyRoot => "make an empty root for the driver",
            Self::PivotRoot => "put the empty root in place",
            Self::DetachRoot => "take the system's root from the driver",
            Self::Inherit => "take over what the manager passed",
            Self::Precondition => "lock down",
            Self::Name => "set the process's name",
            Self::Undumpable => "refuse debuggers",
            Self::Landlock => "deny the file system and the network with Landlock",
            Self::Filter => "install the filter of system calls",
            Self::Wait => "wait for the driver's process",
        }
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step as u8 == code)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A step that failed, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {reason}")]
pub struct SandboxError {
    step: Step,
    reason: String,
    errno: Option<Errno>,
}

impl SandboxError {
    pub(super) fn new(step: Step, reason: impl Into<String>) -> Self {
        Self { step, reason: reason.into(), errno: None }
    }

    pub(super) fn os(step: Step, errno: Errno) -> Self {
        let error = std::io::Error::from(errno);
        let hint = match (step, errno) {
            (Step::Clone, Errno::PERM) => "; namespaces need root, or user namespaces that users may make",
            (Step::Clone, Errno::INVAL | Errno::NOSYS) => "; Linux 5.13 with all namespaces is needed",
            (Step::Clone, Errno::NOSPC) => "; see /proc/sys/user/max_*_namespaces",
            (Step::Exec, Errno::NOENT) => "; the program's loader is not there, or it is a script",
            (Step::Exec, Errno::AGAIN) => "; another process runs as the driver's user",
            (Step::PivotRoot, Errno::INVAL) => {
                "; the root must be a mount of its own, not an initial RAM disk"
            }
            _ => "",
        };
        Self { step, reason: format!("{error}{hint}"), errno: Some(errno) }
    }

    /// The step that failed.
    pub fn step(&self) -> Step {
        self.step
    }

    /// The operating system's error number, where there was one.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.errno.map(Errno::raw_os_error)
    }
}

impl From<SandboxError> for Error {
    fn from(error: SandboxError) -> Self {
        match error.errno {
            Some(errno) => {
                let os = Self::os(error.step.as_str(), errno.into());
                Self::new(os.kind(), error.step.as_str(), error.reason)
            }
            None => Self::new(crate::ErrorKind::Refused, error.step.as_str(), error.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_one_code_and_one_text() {
        for step in Step::ALL {
            assert_eq!(Step::from_code(step as u8), Some(step));
            assert_eq!(Step::ALL.iter().filter(|other| other.as_str() == step.as_str()).count(), 1);
        }
        assert_eq!(Step::from_code(Step::ALL.len() as u8), None);
    }

    #[test]
    fn an_error_names_the_step_and_what_to_do() {
        let error = SandboxError::os(Step::Exec, Errno::AGAIN);
        assert!(error.to_string().starts_with("execute the driver's program: "), "{error}");
        assert!(error.to_string().ends_with("another process runs as the driver's user"), "{error}");
        assert_eq!(error.raw_os_error(), Some(Errno::AGAIN.raw_os_error()));
        let error = Error::from(SandboxError::os(Step::Clone, Errno::PERM));
        assert_eq!(error.kind(), crate::ErrorKind::Refused);
    }
}
