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
   3  the device was unplugged while it was in use
   4  no such device
   5  more than one device fits
   6  no driver fits the device
   7  a right is missing: root, /dev/net/tun, the device node
   8  the device or a name is in use
   9  the device is broken: its descriptors or answers make no sense, or it stalls what it must not
  11  a driver's manifest is broken; the others are used";

/// Why the command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    cause: Cause,
    text: String,
    hint: Option<String>,
}

/// The causes that scripts can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// None of the others.
    Other,
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
    /// A driver's manifest cannot be used.
    BrokenManifest,
}

impl Failure {
    /// A failure with a sentence for people.
    pub(crate) fn new(cause: Cause, text: impl Into<String>) -> Self {
        Self { cause, text: text.into(), hint: None }
    }

    /// Adds how to mend it.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// How to mend it.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The process's exit code.
    pub(crate) fn code(&self) -> u8 {
        match self.cause {
            Cause::Other => 1,
            Cause::Unplugged => 3,
            Cause::NoSuchDevice => 4,
            Cause::Ambiguous => 5,
            Cause::NoDriver => 6,
            Cause::Right => 7,
            Cause::Busy => 8,
            Cause::BrokenDevice => 9,
            Cause::BrokenManifest => 11,
        }
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
