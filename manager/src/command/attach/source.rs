//! Where a device comes from: this machine or a USB/IP server. It must not know what is done with it.

use outboard_core::usb::transport::Transport;
use outboard_core::usb::transport::usbip::Fate;

use super::local::Local;
use super::remote::Remote;
use crate::exit::Failure;
use crate::matching::Which;
use crate::usbip::{self, Url};

/// One device, wherever it is.
pub(super) enum Source {
    Local(Local),
    Remote(Remote),
}

/// A device that was taken.
pub(super) struct Opened {
    /// The driver that fits it.
    pub(super) driver: Which,
    pub(super) transport: Box<dyn Transport>,
    /// Its bus, and its address there.
    pub(super) place: (u16, u16),
    /// Tells how its connection ended, where it has one.
    pub(super) fate: Option<Fate>,
}

impl Source {
    /// What a person means. A device of this machine must be there, and be one that a driver fits. With `forced` that driver is taken, whatever
    /// the manifests say.
    pub(super) fn find(text: &str, forced: Option<Which>) -> Result<Self, Failure> {
        if Url::is_meant(text) {
            Ok(Self::Remote(Remote::new(usbip::parse(text)?, forced)?))
        } else {
            Ok(Self::Local(Local::find(text, forced)?))
        }
    }

    /// The driver, as far as it is known before the device is taken.
    pub(super) fn driver(&self) -> Option<Which> {
        match self {
            Self::Local(local) => Some(local.driver()),
            Self::Remote(remote) => remote.driver(),
        }
    }

    /// Takes the device.
    pub(super) async fn open(&mut self) -> Result<Opened, Failure> {
        match self {
            Self::Local(local) => local.open(),
            Self::Remote(remote) => remote.open().await,
        }
    }

    /// Takes it again after it was lost, as soon as that can be done; an error means that it never can.
    pub(super) async fn reopen(&mut self) -> Result<Opened, Failure> {
        match self {
            Self::Local(local) => local.open(),
            Self::Remote(remote) => remote.reopen().await,
        }
    }

    /// Whether what was lost may be had again by trying. A device of this machine that comes back is another one to the kernel.
    pub(super) fn comes_back(&self) -> bool {
        matches!(self, Self::Remote(_))
    }

    /// The device in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Local(local) => local.name().to_owned(),
            Self::Remote(remote) => remote.name(),
        }
    }
}
