//! The network interface, which stays while its device is away. It must not know why the device is away.

use std::cell::RefCell;

use outboard_core::family::ethernet::EthernetInterface;
use outboard_core::family::ethernet::tap::{Tap, TapFds, TapOptions};
use outboard_core::{MacAddr, Result};
use outboard_usb_ecm::driver::Vended;

/// Makes the interface for the first service, and gives the same one to those that follow.
pub(super) struct Keeper {
    options: TapOptions,
    /// It is to stay; otherwise it goes with its service.
    keeps: bool,
    kept: RefCell<Option<Kept>>,
}

struct Kept {
    fds: TapFds,
    mac: MacAddr,
    mtu: u32,
}

impl Keeper {
    pub(super) fn new(options: TapOptions, keeps: bool) -> Self {
        Self { options, keeps, kept: RefCell::default() }
    }

    /// There is an interface from a service before.
    pub(super) fn has_interface(&self) -> bool {
        self.kept.borrow().is_some()
    }

    /// The interface for a service. What a person changed of it stays, unless it is another device that is served now.
    ///
    /// # Errors
    /// Those of [`Tap::create`]; NotFound: the interface that was kept was deleted.
    pub(super) fn vend(&self, vended: &Vended) -> Result<Tap> {
        let (mac, mtu) = (vended.mac, vended.mtu);
        let tap = match self.kept.borrow_mut().take() {
            None => Tap::create(&TapOptions { mac: Some(mac), mtu: Some(mtu), ..self.options.clone() })?,
            Some(kept) => {
                let mut tap = Tap::from_fds(kept.fds)?;
                if !self.options.offloads {
                    tap.set_offloads(false)?;
                }
                if kept.mac != mac {
                    tap.set_mac(mac)?;
                }
                if kept.mtu != mtu {
                    tap.set_mtu(mtu)?;
                }
                tap
            }
        };
        if self.keeps {
            *self.kept.borrow_mut() = Some(Kept { fds: tap.try_clone_fds()?, mac, mtu });
        }
        Ok(tap)
    }

    /// The service has ended: the interface stays, without a carrier. Returns its name; `None` if there is none to keep.
    ///
    /// # Errors
    /// NotFound: the interface was deleted.
    pub(super) fn keep(&self) -> Result<Option<String>> {
        let Some(Kept { fds, mac, mtu }) = self.kept.borrow_mut().take() else { return Ok(None) };
        let mut tap = Tap::from_fds(fds)?;
        tap.set_carrier(false)?;
        let name = tap.name().to_owned();
        *self.kept.borrow_mut() = Some(Kept { fds: tap.into_fds(), mac, mtu });
        Ok(Some(name))
    }
}
