//! The network interface of one driver, which outlives its processes: made once, shaped as the device wants it, and lent to each process. It must not
//! know why a process ended.

use std::time::{Duration, Instant};

use outboard_core::family::ethernet::EthernetInterface;
use outboard_core::family::ethernet::tap::{Tap, TapFds, TapOptions};
use outboard_core::host::{Ethernet, EthernetStatus};
use outboard_core::registry::Vended;
use outboard_core::{Error, ErrorKind, Result};

/// How long the address of a fresh interface is looked after, against udev's; the TAP end knows why.
const YOUTH: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Network {
    tap: Tap,
    /// What a process has asked for. What a person has changed since is theirs.
    shape: Option<Ethernet>,
    shaped: Option<Instant>,
    status: Option<EthernetStatus>,
}

impl Network {
    /// Makes an interface, without an address of its own yet; a `%d` in the name becomes the lowest free number.
    ///
    /// # Errors
    /// Those of [`Tap::create`].
    pub(crate) fn make(name: &str) -> Result<Self> {
        let tap = Tap::create(&TapOptions { name: name.to_owned(), ..TapOptions::default() })?;
        Ok(Self { tap, shape: None, shaped: None, status: None })
    }

    /// Descriptors for a process.
    pub(crate) fn lend(&self) -> Result<TapFds> {
        self.tap.fds_for_server()
    }

    /// Makes the interface what a process says that its device wants; a successor that wants the same changes nothing.
    ///
    /// # Errors
    /// Malformed: no interface can be so.
    pub(crate) fn shape(&mut self, wanted: Ethernet) -> Result<()> {
        // The driver's process is no more to be believed than its device.
        if wanted.mac.octets()[0] & 1 != 0 || wanted.mac.octets() == [0; 6] {
            let reason = format!("{} is no station address", wanted.mac);
            return Err(Error::new(ErrorKind::Malformed, "make the network interface", reason).field("mac"));
        }
        if self.shape.is_none_or(|shape| shape.mac != wanted.mac) {
            self.tap.settle_mac(wanted.mac)?;
            self.shaped = Some(Instant::now());
        }
        if self.shape.is_none_or(|shape| shape.mtu != wanted.mtu) {
            self.tap.set_mtu(wanted.mtu)?;
        }
        self.shape = Some(wanted);
        Ok(())
    }

    /// A process has reported.
    ///
    /// # Errors
    /// Bug: it reports what it never asked for.
    pub(crate) fn reported(&mut self, status: EthernetStatus) -> Result<()> {
        if self.shape.is_none() {
            let reason = "the driver reports an interface that it never asked for";
            return Err(Error::new(ErrorKind::Bug, "read a message", reason));
        }
        let speed = (status.down_mbit, status.up_mbit);
        if self.status.is_none_or(|known| (known.down_mbit, known.up_mbit) != speed) {
            // For show only; where the kernel refuses, nothing is lost.
            let _ = self.tap.set_speed(status.down_mbit, true);
        }
        self.status = Some(status);
        Ok(())
    }

    /// Nobody serves it, and nobody will soon.
    pub(crate) fn leave_alone(&mut self) {
        let _deleted_by_somebody = self.tap.set_carrier(false);
        if let Some(status) = &mut self.status {
            status.link_up = false;
        }
    }

    /// What a successor takes over, if the interface was left as it was.
    pub(crate) fn left_as(&self) -> Option<EthernetStatus> {
        self.status
    }

    /// When it has to be looked after again.
    pub(crate) fn needs_care(&self) -> bool {
        self.shaped.is_some_and(|shaped| shaped.elapsed() < YOUTH)
    }

    /// Looks after it.
    pub(crate) fn care(&mut self) {
        if let Err(error) = self.tap.wish() {
            tracing::debug!(%error, "the interface could not be looked at");
        }
    }

    /// The interface as it is shown, once a process has reported.
    pub(crate) fn vended(&self) -> Option<Vended> {
        let status = self.status?;
        Some(Vended::Network {
            name: self.tap.name().to_owned(),
            mac: status.mac.to_string(),
            mtu: status.mtu,
            link_up: status.link_up,
            down_mbit: status.down_mbit,
            up_mbit: status.up_mbit,
        })
    }
}
