//! The one error type of the control plane: what went wrong, where, and during which operation, so that a
//! supervisor can match on it and a person can act on it. It knows nothing of transports or drivers; a transfer's
//! own outcome is [`crate::action::Outcome`].

use std::borrow::Cow;
use std::fmt;

/// What a supervisor does next depends on this and on nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The device is gone: unplugged, switched off, or its connection was lost.
    Unplugged,
    /// The device answered STALL (USB 2.0, 8.4.5): it does not support the request or its endpoint is halted.
    Stalled,
    /// The bus failed under the transfer: CRC, bit stuffing, timeout of the transaction, babble.
    Faulted,
    /// The device did not answer in the time that the operation allows.
    TimedOut,
    /// The device said something that the specification does not allow, or that we cannot use.
    Malformed,
    /// Somebody else has what we need: an interface is claimed, a name is taken.
    Busy,
    /// The operating system does not let us: a right is missing.
    Refused,
    /// What was asked for does not exist: a device, an interface, an endpoint, an alternate setting.
    NotFound,
    /// The kernel or the device cannot do this at all.
    Unsupported,
    /// Our own stop or cancel ended it.
    Cancelled,
    /// The operating system failed in a way that is none of the above; the error number is in the text.
    System,
    /// A promise of this program to itself was broken. Always worth a report.
    Bug,
}

impl ErrorKind {
    const ALL: [Self; 12] = [
        Self::Unplugged,
        Self::Stalled,
        Self::Faulted,
        Self::TimedOut,
        Self::Malformed,
        Self::Busy,
        Self::Refused,
        Self::NotFound,
        Self::Unsupported,
        Self::Cancelled,
        Self::System,
        Self::Bug,
    ];

    /// The kind with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// One word for logs and scripts, stable over versions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unplugged => "unplugged",
            Self::Stalled => "stalled",
            Self::Faulted => "faulted",
            Self::TimedOut => "timed-out",
            Self::Malformed => "malformed",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::NotFound => "not-found",
            Self::Unsupported => "unsupported",
            Self::Cancelled => "cancelled",
            Self::System => "system",
            Self::Bug => "bug",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error of the control plane.
///
/// ```
/// use outboard_core::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Malformed, "open pipe", "is 0; a pipe needs at least 1 byte per packet")
///     .device("1-2").interface(1).endpoint(0x82).field("wMaxPacketSize");
/// assert_eq!(
///     error.to_string(),
///     "1-2, interface 1, endpoint 0x82: open pipe: wMaxPacketSize is 0; a pipe needs at least 1 byte per packet"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    // Boxed: errors are rare, results are everywhere.
    inner: Box<Inner>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    operation: Cow<'static, str>,
    reason: Cow<'static, str>,
    device: Option<String>,
    interface: Option<u8>,
    endpoint: Option<u8>,
    field: Option<Cow<'static, str>>,
    os: Option<i32>,
}

/// Shorthand for results with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of this kind during `operation` (a verb phrase: "claim the interface"), because of `reason`.
    pub fn new(
        kind: ErrorKind,
        operation: impl Into<Cow<'static, str>>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                operation: operation.into(),
                reason: reason.into(),
                device: None,
                interface: None,
                endpoint: None,
                field: None,
                os: None,
            }),
        }
    }

    /// An error of the operating system, sorted into our kinds. `EPIPE` is a STALL, `ENODEV` and `ESHUTDOWN` are
    /// an unplug, as usbfs reports them; `EACCES` and `EPERM` are a missing right.
    pub fn os(operation: impl Into<Cow<'static, str>>, error: std::io::Error) -> Self {
        use rustix::io::Errno;
        let number = error.raw_os_error();
        let kind = match number.map(Errno::from_raw_os_error) {
            Some(Errno::NODEV | Errno::SHUTDOWN) => ErrorKind::Unplugged,
            Some(Errno::PIPE) => ErrorKind::Stalled,
            Some(Errno::PROTO | Errno::ILSEQ | Errno::OVERFLOW | Errno::TIME) => ErrorKind::Faulted,
            Some(Errno::TIMEDOUT) => ErrorKind::TimedOut,
            Some(Errno::BUSY) => ErrorKind::Busy,
            Some(Errno::ACCESS | Errno::PERM) => ErrorKind::Refused,
            Some(Errno::NOENT) => ErrorKind::NotFound,
            Some(Errno::NOTTY | Errno::OPNOTSUPP | Errno::NOSYS) => ErrorKind::Unsupported,
            _ => ErrorKind::System,
        };
        let mut this = Self::new(kind, operation, error.to_string());
        this.inner.os = number;
        this
    }

    /// Names the device that this happened on, as `bus-port` (`1-2.3`).
    #[must_use]
    pub fn device(mut self, device: impl Into<String>) -> Self {
        self.inner.device = Some(device.into());
        self
    }

    /// Names the interface (bInterfaceNumber) that this happened on.
    #[must_use]
    pub fn interface(mut self, number: u8) -> Self {
        self.inner.interface = Some(number);
        self
    }

    /// Names the endpoint (bEndpointAddress) that this happened on.
    #[must_use]
    pub fn endpoint(mut self, address: u8) -> Self {
        self.inner.endpoint = Some(address);
        self
    }

    /// Names the field of the descriptor or message that is wrong, as its specification spells it.
    #[must_use]
    pub fn field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.inner.field = Some(field.into());
        self
    }

    /// What kind of trouble this is.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// What was being done.
    pub fn operation(&self) -> &str {
        &self.inner.operation
    }

    /// Why it failed, without the place.
    pub fn reason(&self) -> &str {
        &self.inner.reason
    }

    /// The device, as `bus-port`, where it is known.
    pub fn device_name(&self) -> Option<&str> {
        self.inner.device.as_deref()
    }

    /// The interface number, where it is known.
    pub fn interface_number(&self) -> Option<u8> {
        self.inner.interface
    }

    /// The endpoint address, where it is known.
    pub fn endpoint_address(&self) -> Option<u8> {
        self.inner.endpoint
    }

    /// The field that is wrong, where one is.
    pub fn field_name(&self) -> Option<&str> {
        self.inner.field.as_deref()
    }

    /// The operating system's error number, where there was one.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.inner.os
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { operation, reason, device, interface, endpoint, field, .. } = &*self.inner;
        let mut separator = "";
        if let Some(device) = device {
            write!(f, "{device}")?;
            separator = ", ";
        }
        if let Some(interface) = interface {
            write!(f, "{separator}interface {interface}")?;
            separator = ", ";
        }
        if let Some(endpoint) = endpoint {
            write!(f, "{separator}endpoint {endpoint:#04x}")?;
            separator = ", ";
        }
        if !separator.is_empty() {
            f.write_str(": ")?;
        }
        write!(f, "{operation}: ")?;
        if let Some(field) = field {
            write!(f, "{field} ")?;
        }
        f.write_str(reason)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_a_place_is_only_operation_and_reason() {
        let error = Error::new(ErrorKind::Busy, "claim the interface", "cdc_ether has it");
        assert_eq!(error.to_string(), "claim the interface: cdc_ether has it");
    }

    #[test]
    fn usbfs_numbers_are_sorted() {
        for (number, kind) in [
            (rustix::io::Errno::PIPE, ErrorKind::Stalled),
            (rustix::io::Errno::NODEV, ErrorKind::Unplugged),
            (rustix::io::Errno::PROTO, ErrorKind::Faulted),
            (rustix::io::Errno::ACCESS, ErrorKind::Refused),
            (rustix::io::Errno::INVAL, ErrorKind::System),
        ] {
            let error = Error::os("submit", number.into());
            assert_eq!(error.kind(), kind);
            assert_eq!(error.raw_os_error(), Some(number.raw_os_error()));
        }
    }
}
