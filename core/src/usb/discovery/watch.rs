//! Arrivals and departures. It compares what is attached with what was, whenever it hears of a change and every few seconds anyway; it
//! must not know what is done about them.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use nusb::hotplug::HotplugWatch;
use tokio::time::Instant;

use super::{Found, Roots};
use crate::error::ErrorKind;

/// How often the tree is read without being told to. Events need udevd, are not heard in most containers, and get lost without a word when
/// too many come at once; this bounds how late a device is noticed then.
pub const RESCAN: Duration = Duration::from_secs(3);

/// What happened to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It was plugged in, or was there when watching began.
    Arrived(Found),
    /// It was unplugged; this is what was known of it when it arrived.
    Departed(Found),
}

/// Arrivals and departures, each told once. Made by [`watch`](super::watch).
///
/// A device that was unplugged and plugged in again between two looks departs and arrives. Which drivers are bound, and the
/// configuration, are those at the arrival: their changes are no events.
pub struct Watch {
    roots: Roots,
    known: BTreeMap<String, Found>,
    pending: VecDeque<Event>,
    /// Where the system lets us hear events.
    hints: Option<HotplugWatch>,
    /// `None`: look at once.
    next_scan: Option<Instant>,
}

impl Watch {
    /// As [`watch`](super::watch) in these trees; without `events`, only by looking every [`RESCAN`].
    pub fn new(roots: Roots, events: bool) -> Self {
        let hints = events.then(nusb::watch_devices).and_then(|watch| {
            watch
                .inspect_err(|error| tracing::debug!(%error, "no events of devices; looking every few seconds instead"))
                .ok()
        });
        Self { roots, known: BTreeMap::new(), pending: VecDeque::new(), hints, next_scan: None }
    }

    /// Waits for the next arrival or departure, on a queue. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return event;
            }
            if let Some(at) = self.next_scan {
                // Either way it is time to look.
                let _ = tokio::time::timeout_at(at, poll_fn(|context| self.poll_hint(context))).await;
            }
            self.look();
            self.next_scan = Some(Instant::now() + RESCAN);
        }
    }

    /// Ready when there was at least one event; takes all that there are, since one look sees the effect of all.
    fn poll_hint(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut heard = false;
        // Bounded, so that a storm of events cannot keep us from looking.
        for _ in 0..1024 {
            let Some(hints) = &mut self.hints else { break };
            match Pin::new(hints).poll_next(context) {
                Poll::Ready(Some(_)) => heard = true,
                Poll::Ready(None) => self.hints = None,
                Poll::Pending => break,
            }
        }
        if heard { Poll::Ready(()) } else { Poll::Pending }
    }

    fn look(&mut self) {
        let found = match self.roots.scan() {
            Ok(found) => found,
            // Without a tree there is no device; it may come with the kernel's module.
            Err(error) if error.kind() == ErrorKind::Unsupported => Vec::new(),
            Err(error) => {
                // Out of descriptors, say: that is no reason to believe that all devices are gone.
                tracing::debug!(%error, "cannot look for devices now");
                return;
            }
        };
        let same = |a: &Found, b: &Found| (a.bus, a.address) == (b.bus, b.address);
        let gone: Vec<String> = self
            .known
            .iter()
            .filter(|(name, old)| !found.iter().any(|new| new.name == **name && same(old, new)))
            .map(|(name, _)| name.clone())
            .collect();
        let departed = gone.iter().filter_map(|name| self.known.remove(name)).map(Event::Departed);
        self.pending.extend(departed);
        for device in found {
            if !self.known.contains_key(&device.name) {
                self.known.insert(device.name.clone(), device.clone());
                self.pending.push_back(Event::Arrived(device));
            }
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("known", &self.known.keys()).finish_non_exhaustive()
    }
}
