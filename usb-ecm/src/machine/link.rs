//! Whether there is a link and how fast it is: from notifications, from traffic, and from silence. It knows no interface.

use std::time::{Duration, Instant};

/// How long a device with a notification endpoint may be silent after the start before its link is taken for up: otherwise
/// nobody would ever send to a device that never notifies (QEMU's usb-net). Linux does not wait at all; the second keeps
/// well-behaved devices without a cable from showing a link first.
pub const GRACE: Duration = Duration::from_secs(1);

/// How long after "no connection" frames may still come that were on their way. Later ones mean that the link is up and its
/// notification was lost.
pub const STRAGGLERS: Duration = Duration::from_secs(1);

/// The speed of a link, for show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkSpeed {
    /// Towards the host, in Mbit/s, at least 1.
    pub down_mbit: u32,
    /// From the host, in Mbit/s, at least 1.
    pub up_mbit: u32,
    /// The device said so (CONNECTION_SPEED_CHANGE); otherwise it is the speed of the bus.
    pub reported: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Link {
    up: bool,
    /// It was up under the driver before.
    resumed: bool,
    /// When silence counts as a link.
    grace: Option<Instant>,
    /// When the device last said that there is none.
    denied: Option<Instant>,
    /// The host has to see the link go down before it sees it up.
    bounce: bool,
    repeated_on_bounces: bool,
    bus: LinkSpeed,
    speed: LinkSpeed,
}

impl Link {
    /// Down, until transfers have been submitted.
    pub(super) fn new(bus_mbit: u32, repeated_on_bounces: bool, resumed: Option<LinkSpeed>) -> Self {
        let bus_mbit = bus_mbit.max(1);
        let bus = LinkSpeed { down_mbit: bus_mbit, up_mbit: bus_mbit, reported: false };
        Self {
            up: false,
            resumed: resumed.is_some(),
            grace: None,
            denied: None,
            bounce: false,
            repeated_on_bounces,
            bus,
            speed: resumed.unwrap_or(bus),
        }
    }

    /// The device can speak from now on; without a notification endpoint it never will, and there is a link.
    pub(super) fn started(&mut self, notifies: bool, now: Instant) {
        self.up = !notifies || self.resumed;
        // A resumed link is one that silence confirms and the first word may deny.
        self.grace = notifies.then(|| now + GRACE);
    }

    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    pub(super) fn speed(&self) -> LinkSpeed {
        self.speed
    }

    /// NETWORK_CONNECTION.
    pub(super) fn connection(&mut self, connected: bool, now: Instant) {
        let assumed = self.grace.take().is_some();
        self.bounce |= connected && self.up && !assumed && self.repeated_on_bounces;
        self.denied = (!connected).then_some(now);
        self.up = connected;
    }

    /// CONNECTION_SPEED_CHANGE. A device that says 0 does not know.
    pub(super) fn speed_change(&mut self, downlink: u32, uplink: u32) {
        let mbit = |bits: u32| if bits == 0 { None } else { Some((bits / 1_000_000).max(1)) };
        self.speed = match (mbit(downlink), mbit(uplink)) {
            (None, None) => self.bus,
            (down, up) => LinkSpeed {
                down_mbit: down.or(up).unwrap_or(1),
                up_mbit: up.or(down).unwrap_or(1),
                reported: true,
            },
        };
    }

    /// Frames came.
    pub(super) fn traffic(&mut self, now: Instant) {
        if !self.up && self.denied.is_none_or(|at| now >= at + STRAGGLERS) {
            self.up = true;
            self.denied = None;
            self.grace = None;
        }
    }

    /// No notification will come any more: only a link that was denied stays down, until traffic shows otherwise.
    pub(super) fn deaf(&mut self) {
        if self.grace.take().is_some() {
            self.up = true;
        }
    }

    pub(super) fn timeout(&mut self, now: Instant) {
        if self.grace.is_some_and(|at| at <= now) {
            self.deaf();
        }
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.grace
    }

    pub(super) fn take_bounce(&mut self) -> bool {
        std::mem::take(&mut self.bounce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(notifies: bool, now: Instant) -> Link {
        let mut link = Link::new(480, false, None);
        assert!(!link.is_up());
        link.started(notifies, now);
        link
    }

    #[test]
    fn a_resumed_link_is_up_at_once_until_the_device_denies_it() {
        let now = Instant::now();
        let was = LinkSpeed { down_mbit: 100, up_mbit: 10, reported: true };
        let mut link = Link::new(480, true, Some(was));
        assert!(!link.is_up(), "nothing runs yet");
        link.started(true, now);
        assert!(link.is_up() && link.speed() == was);
        let mut confirmed = link.clone();
        confirmed.connection(true, now);
        assert!(confirmed.is_up() && !confirmed.take_bounce());
        link.connection(false, now);
        link.timeout(now + 2 * GRACE);
        assert!(!link.is_up());
    }

    #[test]
    fn silence_is_a_link_after_the_grace() {
        let now = Instant::now();
        let mut link = started(true, now);
        assert!(!link.is_up());
        link.timeout(now + GRACE / 2);
        assert!(!link.is_up());
        link.timeout(link.wake_at().unwrap());
        assert!(link.is_up() && link.wake_at().is_none());
        link.connection(false, now + GRACE);
        assert!(!link.is_up(), "a later notification counts");
        assert!(started(false, now).is_up(), "nobody could tell");
    }

    #[test]
    fn a_device_that_denies_its_link_is_believed_until_frames_come_much_later() {
        let now = Instant::now();
        let mut link = started(true, now);
        link.connection(false, now);
        link.timeout(now + GRACE);
        link.traffic(now + STRAGGLERS / 2);
        assert!(!link.is_up());
        link.traffic(now + STRAGGLERS);
        assert!(link.is_up());
    }

    #[test]
    fn speeds_of_zero_are_unknown() {
        let mut link = started(true, Instant::now());
        link.speed_change(100_000_000, 0);
        assert_eq!(link.speed(), LinkSpeed { down_mbit: 100, up_mbit: 100, reported: true });
        link.speed_change(56_000, 20_000_000);
        assert_eq!(link.speed(), LinkSpeed { down_mbit: 1, up_mbit: 20, reported: true });
        link.speed_change(0, 0);
        assert_eq!(link.speed(), LinkSpeed { down_mbit: 480, up_mbit: 480, reported: false });
    }
}
