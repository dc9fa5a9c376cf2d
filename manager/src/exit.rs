//! How the command ends: each cause has its exit code, a sentence, and where there is one the way to mend it. It must not know how
//! the causes come about.

use std::fmt;

use outboard_core::{Error, ErrorKind};

/// What `--help` says about exit codes.
pub(crate) const HELP: &str = "\
Exit codes:
   0  done; the device was given back
   1  something else failed
   2  the command line is wrong
   3  the device was unplugged, or the connection to it lost, while it was in use
   4  no such device
   5  more than one device fits
   6  no driver fits the device
   7  a right is missing: root, /dev/net/tun, the device node
   8  the device or a name is in use
   9  the device is broken: its descriptors or answers make no sense, or it stalls what it must not
  10  the USB/IP server cannot be reached, refuses, or does not speak the protocol
  11  a driver's manifest is broken; the others are used
  12  no manager is running, or it ended";

/// Why the command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    cause: Cause,
    text: String,
    hint: Option<String>,
    /// Somebody was told already, and tells the person.
    told: bool,
}

/// The causes that scripts can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// None of the others.
    Other,
    /// The command line makes no sense.
    CommandLine,
    /// The device went away.
    Unplugged,
    /// There is none.
    NoSuchDevice,
    /// There are several.
    Ambiguous,
    /// Nobody drives it.
    NoDriver,
    /// A right is missing.
    Right,
    /// Somebody else has it.
    Busy,
    /// The device does not do what it says.
    BrokenDevice,
    /// The server that exports the device does not.
    Server,
    /// A driver's manifest cannot be used.
    BrokenManifest,
    /// Nobody to ask.
    NoManager,
}

impl Failure {
    /// A failure with a sentence for people.
    pub(crate) fn new(cause: Cause, text: impl Into<String>) -> Self {
        Self { cause, text: text.into(), hint: None, told: false }
    }

    /// Adds how to mend it.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Marks it as known: it only decides the exit code.
    pub(crate) fn told(mut self) -> Self {
        self.told = true;
        self
    }

    /// Whether it is not to be printed.
    pub(crate) fn is_told(&self) -> bool {
        self.told
    }

    /// How to mend it.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The process's exit code.
    pub(crate) fn code(&self) -> u8 {
        match self.cause {
            Cause::Other => 1,
            Cause::CommandLine => 2,
            Cause::Unplugged => 3,
            Cause::NoSuchDevice => 4,
            Cause::Ambiguous => 5,
            Cause::NoDriver => 6,
            Cause::Right => 7,
            Cause::Busy => 8,
            Cause::BrokenDevice => 9,
            Cause::Server => 10,
            Cause::BrokenManifest => 11,
            Cause::NoManager => 12,
        }
    }

    /// What scripts can tell apart.
    pub(crate) fn cause(&self) -> Cause {
        self.cause
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let cause = match error.kind() {
            ErrorKind::Unplugged => Cause::Unplugged,
            ErrorKind::Refused => Cause::Right,
            ErrorKind::Busy => Cause::Busy,
            ErrorKind::Malformed | ErrorKind::Stalled | ErrorKind::Faulted | ErrorKind::TimedOut => {
                Cause::BrokenDevice
            }
            _ => Cause::Other,
        };
        let failure = Self::new(cause, error.to_string());
        match cause {
            Cause::Right if !rustix::process::geteuid().is_root() => {
                failure.with_hint("Run it as root, for example with sudo.")
            }
            Cause::Right => failure.with_hint(
                "This root is confined: it needs write access to /dev/bus/usb and /dev/net/tun, and CAP_NET_ADMIN (in a container: \
                 --device /dev/bus/usb --device /dev/net/tun --cap-add NET_ADMIN).",
            ),
            Cause::Other if error.kind() == ErrorKind::Bug => {
                failure.with_hint("This is a bug of outboard; please report it with the output of the same command and -vv.")
            }
            _ => failure,
        }
    }
}
