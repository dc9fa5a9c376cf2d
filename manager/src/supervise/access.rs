//! The way to a device, opened afresh for each process that is to drive it: a node of usbfs with the function's interfaces claimed, or a connection to a
//! USB/IP server. It must not know what drives the device.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use outboard_core::host::TransportKind;
use outboard_core::usb::transport::usbfs::grant::{self, Wanted};
use outboard_core::{Error, ErrorKind, Result};

use crate::usbip::{self, Url};

/// A server needs a moment to notice that the last client is gone, before it gives the device to the next.
const AGAIN: Duration = Duration::from_millis(5);
/// How often it is asked.
const TRIES: u32 = 60;

/// What is opened for one process. The descriptor is to be closed as soon as it was passed.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) transport: TransportKind,
    pub(crate) fd: OwnedFd,
}

/// The way to a device.
pub(crate) enum Access {
    /// On this machine.
    Local(Local),
    /// At a server.
    Remote { url: Url, bus_id: String },
    /// Whatever this makes: a device of this process's own.
    Own(Box<dyn FnMut() -> Result<Opened>>),
}

/// A function of a device of this machine.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    pub(crate) node: PathBuf,
    pub(crate) name: String,
    /// The active configuration at its arrival, and the interfaces that it has.
    pub(crate) active: Option<(u8, Vec<u8>)>,
    pub(crate) configuration: u8,
    pub(crate) interfaces: Vec<u8>,
    /// The function is all that there is of the device.
    pub(crate) alone: bool,
    /// What the kernel's drivers get back in the end.
    pub(crate) taken: Vec<u8>,
    pub(crate) switched: bool,
}

impl Access {
    /// Opens it for a process. The last one must be gone.
    ///
    /// # Errors
    /// Unplugged or NotFound: the device is gone. Busy: somebody else has it. What else opening and connecting have.
    pub(crate) async fn open(&mut self) -> Result<Opened> {
        match self {
            Self::Local(local) => local.open(),
            Self::Remote { url, bus_id } => {
                let fd = usbip::connect(url)
                    .await
                    .map_err(|failure| Error::new(ErrorKind::System, "connect", failure.to_string()))?;
                Ok(Opened { transport: TransportKind::UsbIp { bus_id: bus_id.clone() }, fd })
            }
            Self::Own(make) => make(),
        }
    }

    /// Whether the driver's refusal may only mean that the server has not yet noticed the end of the last client; then waits a moment.
    pub(crate) async fn may_be_late(&self, error: &Error, tries: u32) -> bool {
        let late = matches!(self, Self::Remote { .. }) && error.kind() == ErrorKind::Busy && tries < TRIES;
        if late {
            tokio::time::sleep(AGAIN).await;
        }
        late
    }

    /// Gives the device back to the kernel. No process may have it any more.
    pub(crate) fn give_back(&mut self) {
        if let Self::Local(local) = self {
            local.give_back();
        }
    }
}

impl Local {
    fn open(&mut self) -> Result<Opened> {
        let switched = self.switched;
        let active = match &self.active {
            // By the process before.
            Some((_, all)) if switched => Some((self.configuration, &all[..])),
            Some((value, all)) => Some((*value, &all[..])),
            None => None,
        };
        let wanted = Wanted {
            node: &self.node,
            name: &self.name,
            active,
            configuration: self.configuration,
            interfaces: &self.interfaces,
        };
        let granted = grant::grant(&wanted)?;
        self.switched = switched || active.map(|(value, _)| value) != Some(self.configuration);
        for interface in granted.from_kernel_drivers {
            if !self.taken.contains(&interface) {
                self.taken.push(interface);
            }
        }
        let transport = TransportKind::UsbFs { configuration: Some(self.configuration), reset: self.alone };
        Ok(Opened { transport, fd: granted.fd })
    }

    fn give_back(&mut self) {
        match &self.active {
            Some((value, _)) if self.switched => {
                if let Err(error) = grant::restore_configuration(&self.node, &self.name, *value) {
                    tracing::debug!(%error, "the device keeps its configuration");
                }
            }
            _ => grant::give_back(&self.node, &self.name, &std::mem::take(&mut self.taken)),
        }
        self.switched = false;
    }
}
