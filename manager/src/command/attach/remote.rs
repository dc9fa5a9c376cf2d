//! A device that a USB/IP server exports: imported, judged, and imported again when the connection was lost. It must not know what is done
//! with it.

use std::time::{Duration, Instant};

use outboard_core::usb::transport::Transport;

use super::source::Opened;
use crate::exit::{Cause, Failure};
use crate::matching::{Drivers, Seen, Which};
use crate::usbip::{self, Url};

/// The wait before the first attempt to connect again: a server that was restarted is back at once.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The wait doubles up to this: short enough for a person who plugged a cable in, long enough to go unnoticed for days.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A connection that held for so long makes the waits begin anew.
const STEADY: Duration = Duration::from_secs(10);

/// A device at a server.
pub(super) struct Remote {
    url: Url,
    bus_id: String,
    /// What a person wants, or what fitted the first time.
    driver: Option<Which>,
    forced: bool,
    wait: Duration,
    opened: Option<Instant>,
}

impl Remote {
    pub(super) fn new(url: Url, forced: Option<Which>) -> Result<Self, Failure> {
        let Some(bus_id) = url.bus_id.clone() else {
            let text = format!("{url} names a server, but no device of it");
            return Err(Failure::new(Cause::CommandLine, text).with_hint(format!(
                "`outboard list {url}` shows what it exports; then: outboard attach {url}/BUS-ID"
            )));
        };
        Ok(Self { url, bus_id, driver: forced, forced: forced.is_some(), wait: FIRST_WAIT, opened: None })
    }

    pub(super) fn driver(&self) -> Option<Which> {
        self.driver
    }

    pub(super) fn name(&self) -> String {
        self.url.to_string()
    }

    pub(super) async fn open(&mut self) -> Result<Opened, Failure> {
        let transport = usbip::import(&self.url, &self.bus_id).await?;
        let info = transport.info();
        let seen = Seen {
            port: &self.bus_id,
            // Reading it would take a request, and no built-in driver asks for it.
            serial_number: None,
            speed: info.speed,
            configuration: info.configuration,
            descriptors: &info.descriptors,
        };
        let driver = match self.driver.filter(|_| self.forced) {
            Some(forced) => forced,
            None => self.judge(&seen)?,
        };
        self.driver = Some(driver);
        self.opened = Some(Instant::now());
        let (place, fate) = (transport.place(), Some(transport.fate()));
        Ok(Opened { driver, transport: Box::new(transport), place, fate })
    }

    /// The driver that fits what is there now; after the first time it must be the same.
    fn judge(&self, seen: &Seen<'_>) -> Result<Which, Failure> {
        let verdict = Drivers::read().look_at(seen);
        let text = match verdict.which {
            Some(driver) if self.driver.is_none_or(|known| known == driver) => return Ok(driver),
            Some(_) => format!("{}: another device is there now", self.url),
            None => format!("{}: no driver fits it", self.url),
        };
        Err(Failure::new(Cause::NoDriver, text).with_hint(verdict.reasons.join("\n  ")))
    }

    pub(super) async fn reopen(&mut self) -> Result<Opened, Failure> {
        if self.opened.is_some_and(|opened| opened.elapsed() >= STEADY) {
            self.wait = FIRST_WAIT;
        }
        let mut told = String::new();
        loop {
            tokio::time::sleep(self.wait).await;
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
            let failure = match self.open().await {
                Ok(opened) => return Ok(opened),
                // Another device is there now, or this program cannot go on.
                Err(failure) if matches!(failure.cause(), Cause::NoDriver | Cause::Right) => {
                    return Err(failure);
                }
                Err(failure) => failure.to_string(),
            };
            if failure != told {
                tracing::warn!("{failure}; trying again");
                told = failure;
            }
        }
    }
}
