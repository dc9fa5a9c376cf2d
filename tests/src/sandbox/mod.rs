//! The hostile driver: its ways out, one line each, and what it is given to try them with. `tests/tests/sandbox` starts it without the sandbox, with the
//! containment of the start alone, and locked down; `sandbox-subject` is the program. It must not know how the sandbox is made.

mod files;
mod kernel;
mod memory;
mod network;
mod passed;
mod privileges;
mod processes;
mod sys;

use std::os::fd::RawFd;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// What the hostile driver is given: descriptors by their numbers, and where the others are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scene {
    /// A pipe for the verdict.
    pub report: RawFd,
    /// A TAP's descriptor.
    pub tun: RawFd,
    /// A route netlink socket in the TAP's network namespace, opened by root.
    pub netlink: RawFd,
    /// A terminal.
    pub terminal: RawFd,
    /// A stream socket whose other end the test has.
    pub socket: RawFd,
    /// A file in memory, writable, that holds this program.
    pub program: RawFd,
    /// The system's root directory, as if the manager had leaked it.
    pub directory: RawFd,
    /// The number of the test's process, as the test sees it.
    pub parent: i32,
    /// The number of a process that belongs to root and waits.
    pub victim: i32,
    /// Where the victim has eight bytes that can be read and written.
    pub victim_address: usize,
    /// A TCP port on the loopback of the test's network namespace.
    pub port: u16,
    /// An abstract socket there.
    pub socket_name: String,
    /// The TAP's name.
    pub interface: String,
    /// Seconds of CPU time to use up. More than the limit by far where there is one: the kernel counts in ticks, of which an emulator loses some.
    pub cpu_time: i64,
}

/// How it is shown that a way out is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Without the sandbox, as root, it works.
    Works,
    /// Without the sandbox the kernel lets it through to where it fails for a reason of its own.
    Reaches(Errno, &'static str),
    /// As [`Works`](Self::Works), or this error, by which a kernel says that it was built without it.
    WorksIfBuilt(Errno),
    /// It cannot be tried without the sandbox, for this reason.
    Impossible(&'static str),
}

/// What stops it if the driver was started contained, and never locked itself down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contained {
    /// The containment alone denies it.
    Denied,
    /// Only the lock-down denies it: it is harmless in namespaces of one's own, or it is what the lock-down is for.
    Open,
}

/// One way out.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// What is tried.
    pub name: &'static str,
    /// Tries it; Ok: it worked.
    pub run: fn(&Scene) -> Result<(), Errno>,
    /// How it is shown that it is one.
    pub control: Control,
    /// Whether the containment alone denies it.
    pub contained: Contained,
}

const fn works(name: &'static str, contained: Contained, run: fn(&Scene) -> Result<(), Errno>) -> Attempt {
    Attempt { name, run, control: Control::Works, contained }
}

const fn works_if_built(
    name: &'static str,
    contained: Contained,
    errno: Errno,
    run: fn(&Scene) -> Result<(), Errno>,
) -> Attempt {
    Attempt { name, run, control: Control::WorksIfBuilt(errno), contained }
}

const fn reaches(
    name: &'static str,
    contained: Contained,
    (errno, why): (Errno, &'static str),
    run: fn(&Scene) -> Result<(), Errno>,
) -> Attempt {
    Attempt { name, run, control: Control::Reaches(errno, why), contained }
}

/// All of them.
pub fn attempts() -> Vec<(&'static str, Attempt)> {
    [
        ("files", files::ATTEMPTS),
        ("processes", processes::ATTEMPTS),
        ("privileges", privileges::ATTEMPTS),
        ("kernel", kernel::ATTEMPTS),
        ("network", network::ATTEMPTS),
        ("descriptors", passed::ATTEMPTS),
        ("memory and quota", memory::ATTEMPTS),
    ]
    .into_iter()
    .flat_map(|(group, attempts)| attempts.iter().map(move |attempt| (group, *attempt)))
    .collect()
}

fn done(result: Result<usize, Errno>) -> Result<(), Errno> {
    result.map(drop)
}

/// What the program says that a way out has turned this one into.
///
/// # Errors
/// Nobody reads it any more.
pub fn escaped(report: RawFd) -> Result<(), Errno> {
    rustix::io::write(sys::fd(report), b"worked").map(drop)
}

/// Writes the verdict.
///
/// # Errors
/// Nobody reads it any more.
pub fn report(scene: &Scene, verdict: &str) -> Result<(), Errno> {
    rustix::io::write(sys::fd(scene.report), verdict.as_bytes()).map(drop)
}

/// Goes where what works in earnest does not change the machine: mounts, host name and System V's objects of one's own.
///
/// # Errors
/// The right is missing.
pub fn own_spaces() -> Result<(), Errno> {
    use rustix::mount::MountPropagationFlags;
    sys::call(libc::SYS_unshare, &[(libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC) as usize])?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
}
