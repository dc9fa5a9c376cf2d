//! Why a connection ended, for whoever has to explain it or to connect again. It must not know the connection.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use crate::error::{Error, ErrorKind};
use crate::usb::usbip::BadMessage;

/// Why a connection to a USB/IP server ended before we wanted it to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// Between two messages: the server was ended, or the device unplugged from its machine.
    #[error("the server closed the connection")]
    Closed,
    /// Within a message.
    #[error("the server closed the connection in the middle of a message")]
    Cut,
    /// What the server sent makes no sense.
    #[error("the server sent nonsense: {0}")]
    Malformed(#[from] BadMessage),
    /// The server left a request to end a transfer unanswered for [`UNLINK_TIMEOUT`](super::UNLINK_TIMEOUT).
    #[error("the server did not answer in time")]
    Unanswered,
    /// The connection itself failed: reset, no answer from the machine. Has the system's error number.
    #[error("{}", io::Error::from_raw_os_error(*.0))]
    System(i32),
}

impl Loss {
    /// The same as an error of the control plane: a lost connection is an unplug.
    pub fn error(&self, device: &str) -> Error {
        Error::new(ErrorKind::Unplugged, "connection to the USB/IP server", self.to_string()).device(device)
    }
}

/// Tells how the connection of a [`UsbIp`](super::UsbIp) ended, after that has been moved into its device. Clones tell the same.
#[derive(Debug, Clone, Default)]
pub struct Fate {
    loss: Rc<RefCell<Option<Loss>>>,
}

impl Fate {
    /// Why the connection was lost; `None` while it stands, and after we have ended it ourselves.
    pub fn loss(&self) -> Option<Loss> {
        self.loss.borrow().clone()
    }

    pub(super) fn set(&self, loss: Loss) {
        self.loss.borrow_mut().get_or_insert(loss);
    }
}
