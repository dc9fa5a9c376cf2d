//! The containment of a driver process: what its manager starts it in, and what it gives up before it reads the first byte of its device. It must
//! know no driver and no protocol.
//!
//! # The manager's side
//!
//! ```no_run
//! use outboard_core::sandbox::{Identities, Program};
//! # fn open_node() -> std::os::fd::OwnedFd { unreachable!() }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut identities = Identities::default();
//! let identity = identities.take().ok_or("every user of the range has a driver")?;
//! let starting = Program::this()?
//!     .title("outboard: usb-ecm 1-2")
//!     .argument("driver")
//!     .argument("usb-ecm")
//!     .identity(identity)
//!     .pass(open_node())
//!     .spawn()?;
//! // On a queue: an `InterruptSource` on `starting.readiness()`, and `finish` in its handler.
//! let driver = starting.finish()?;
//! // `driver` is readable when it has ended; `try_wait` then tells how.
//! # Ok(()) }
//! ```
//!
//! 1. [`Program::spawn`] makes the process in mount, network, IPC, PID, UTS and cgroup namespaces of its own (and a user namespace, if the caller
//!    is not root), in a session of its own, as a user of its own without groups, with no capability in any set, locked secure bits,
//!    no_new_privs, resource limits, a clean environment, read-only mounts without devices and set-user-ID programs, and no descriptor but those
//!    that were passed. It dies with the thread that started it.
//! 2. The program is executed, its loader finds its libraries, and its `main` calls [`inherit`].
//! 3. [`Starting::finish`] sends a helper into the driver's mount namespace, which puts an empty, read-only tmpfs in place of the root, and then
//!    lets the driver go on.
//!
//! Why the file system goes after exec and not before: a dynamically linked program needs its loader and libraries at paths. Copying or binding
//! those into a small root would tie us to each distribution's layout, static linking would tie those who write drivers, forking without exec would
//! give a driver the manager's memory and address layout, and leaving CAP_SYS_ADMIN to the driver until it has emptied its own root would
//! make every driver's first instructions root's. So the manager does it from outside: the driver has no right at any time, and cannot go on
//! before it is done.
//!
//! # The driver's side
//!
//! ```no_run
//! use outboard_core::queue::{Clock, DispatchQueue};
//! use outboard_core::sandbox::{Family, Profile, Transport, inherit, lock_down};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let inherited = inherit()?;
//! let profile = Profile {
//!     transport: Transport::UsbFs { reset: false },
//!     family: Family::Ethernet,
//!     name: "ecm 1-2".into(),
//!     debuggable: inherited.debuggable,
//! };
//! DispatchQueue::run("Default", Clock::Real, |_| async move {
//!     lock_down(&profile)?;
//!     // `UsbFs::from_fd`, `Tap::from_fds`, `Service::start`.
//!     Ok::<(), outboard_core::Error>(())
//! })??;
//! # Ok(()) }
//! ```
//!
//! [`lock_down`] denies the file system and the network once more, with Landlock, and installs a filter of at most [`MAX_CALLS`] system calls and the
//! ioctls of its transport and family, by number. Anything else kills the process: in a program that is known to need no more, a call outside of
//! the list is a break-in or our own mistake, and both must be seen. Two exceptions fail with EACCES instead: ioctls, since libraries probe with
//! them and the transport falls back; and the few calls that a panic or an abort makes on its way down.
//!
//! # What a driver that was broken into can still do
//!
//! - **Talk to its own device at will**: every endpoint of the claimed interfaces, and endpoint 0. seccomp sees the number of an ioctl, not the
//!   endpoint behind its pointer. usbfs checks endpoints and standard and class requests against the claimed interfaces, but lets **vendor
//!   requests** through to any interface: a device whose firmware can be replaced by vendor requests can be replaced by its driver.
//! - **Vend what it likes**: send and receive any frame on its network interface, as the device itself could.
//! - **Read what its descriptors show**: netlink sockets that came with a TAP answer questions on the addresses, routes and neighbours of the
//!   manager's network namespace. They change nothing: that takes a capability of both who opened them and who asks.
//! - **Pass its own descriptors** to whom it already has a socket to, over USB/IP (`sendmsg`). Who reads from such a socket without asking
//!   for control messages, as a stream's read or the manager's should, has them closed by the kernel.
//! - **Use up its quota**: memory, descriptors, the CPU (which [`Limits`] does not bound by default; a heartbeat finds it), the bandwidth of its
//!   bus and usbfs's memory, and fill the log that it was given.
//! - **Know** the time, its process's number 1, its own memory, and what the hardware lets everybody see.
//!
//! Enumeration, hubs and usbcore stay in the kernel. So does the kernel's own code behind the allowed calls.
//!
//! # Debugging
//!
//! Root attaches gdb as to any process, with the number from the manager or from `ps`, where the title shows. The program has to be named, and its
//! libraries looked for in gdb's own file system, since the process has none: `gdb -iex 'set sysroot /' PROGRAM -p PID`. The device is served no more
//! while the process stands still, which a manager with a heartbeat has to be told. [`Program::debuggable`] leaves core dumps to the process,
//! and lets its user attach where that is a person.
//!
//! Needs Linux 5.13; Landlock where the kernel has it. Tests: `tests/tests/sandbox` tries more than 150 ways out.

mod child;
mod error;
mod filter;
mod limits;
mod lock;
mod process;
mod profile;
mod program;
mod sys;

use std::os::fd::RawFd;

pub use error::{SandboxError, Step};
pub use limits::{Identities, Identity, Limits};
pub use lock::{Inherited, Landlock, LockedDown, inherit, lock_down};
pub use process::{Exit, Process, Starting};
pub use profile::{Arguments, Call, Family, MAX_CALLS, Profile, Transport};
pub use program::Program;

/// The descriptor over which the driver says that it is loaded, and the manager that the file system is gone.
const GATE: RawFd = 3;

/// The number of the first descriptor that was [passed](Program::pass).
pub const FIRST_PASSED: RawFd = GATE + 1;

/// Descriptors that can be passed at the start.
const MAX_PASSED: RawFd = 32;

/// What the driver says at the gate. With a version: an older program must not wait for what a newer manager does not say.
const LOADED: &[u8] = b"loaded1";

/// What the manager says.
const GO: &[u8] = b"go1";

/// How many descriptors were passed.
const PASSED_VARIABLE: &str = "OUTBOARD_PASSED";

/// Set if the driver is to be open to debuggers.
const DEBUGGABLE_VARIABLE: &str = "OUTBOARD_DEBUGGABLE";
