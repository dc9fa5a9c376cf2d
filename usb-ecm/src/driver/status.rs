//! How a driver is doing, as plain numbers for people and tools. It knows neither device nor interface.

use std::fmt;

use outboard_core::MacAddr;
use outboard_core::family::ethernet::Counters;

use crate::machine::{LinkSpeed, Recovery};

/// A snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EcmStatus {
    /// There is a link.
    pub link_up: bool,
    /// The address of the interface.
    pub mac: MacAddr,
    /// The MTU of the interface, in bytes of payload.
    pub mtu: u32,
    /// How fast the link is.
    pub speed: LinkSpeed,
    /// What went over the interface.
    pub traffic: Counters,
    /// What did not.
    pub drops: Drops,
    /// Pipes that failed and were repaired.
    pub recoveries: u64,
    /// The last repair.
    pub last_recovery: Option<Recovery>,
    /// Notifications that made no sense.
    pub bad_notifications: u64,
    /// What a person should know of the device.
    pub notices: Notices,
}

/// Frames that were dropped here, by reason, and transfers without a frame. What the interface dropped is in its [`Counters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Drops {
    /// Transfers from the device without data.
    pub received_empty: u64,
    /// Frames from the device that are shorter than a header.
    pub received_runts: u64,
    /// Frames from the device that are longer than it may send.
    pub received_oversize: u64,
    /// Transfers that brought more than a buffer holds.
    pub received_overflow: u64,
    /// Transfers from the device that failed on the bus, or met a halted endpoint.
    pub received_faults: u64,
    /// Frames from the host while there was no link.
    pub sent_without_link: u64,
    /// Frames from the host that the device must not be sent.
    pub sent_unfit: u64,
    /// Frames to the device that failed twice.
    pub sent_failed: u64,
}

/// Something that a person should know of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Notice {
    /// The device names no usable MAC address; it was given a stable one.
    MacMadeUp,
    /// The device refuses packet filters, and is taken to pass every frame.
    FilterRefused,
    /// A filter request failed otherwise.
    FilterFailed,
    /// The notification endpoint does not work: the link's state is a guess.
    Deaf,
    /// The descriptors are odd; see the log.
    OddDescriptors,
    /// The interface cannot show the speed.
    SpeedNotShown,
    /// The kernel has a driver for the device that does more.
    BetterDriver,
}

const NOTICES: [Notice; 7] = [
    Notice::MacMadeUp,
    Notice::FilterRefused,
    Notice::FilterFailed,
    Notice::Deaf,
    Notice::OddDescriptors,
    Notice::SpeedNotShown,
    Notice::BetterDriver,
];

/// A set of notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Notices(u16);

impl Notices {
    /// Adds one. True: it is new.
    pub(super) fn add(&mut self, notice: Notice) -> bool {
        let new = !self.contains(notice);
        self.0 |= 1 << notice as u16;
        new
    }

    pub(super) fn extend(&mut self, notice: Option<Notice>) {
        if let Some(notice) = notice {
            self.add(notice);
        }
    }

    /// Whether it is among them.
    pub const fn contains(self, notice: Notice) -> bool {
        self.0 >> notice as u16 & 1 != 0
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = Notice> {
        NOTICES.into_iter().filter(move |notice| self.contains(*notice))
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MacMadeUp => {
                "the device names no usable MAC address; it was given a stable, locally administered one"
            }
            Self::FilterRefused => "the device refuses packet filters and is taken to pass every frame",
            Self::FilterFailed => "a packet filter could not be set",
            Self::Deaf => "the notification endpoint does not work; the link's state is a guess",
            Self::OddDescriptors => "the device's descriptors are odd; the log has the details",
            Self::SpeedNotShown => "the interface cannot show the link's speed",
            Self::BetterDriver => "the kernel has a driver of its own for this device, which does more",
        })
    }
}

impl EcmStatus {
    /// One line for people and scripts: `ecm0, 52:54:00:12:34:56, 480 Mbit/s, link up`.
    pub fn line<'a>(&'a self, name: &'a str) -> StatusLine<'a> {
        StatusLine { name, status: self }
    }
}

/// See [`EcmStatus::line`].
#[derive(Debug, Clone, Copy)]
pub struct StatusLine<'a> {
    name: &'a str,
    status: &'a EcmStatus,
}

impl fmt::Display for StatusLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, status: EcmStatus { mac, speed, link_up, .. } } = self;
        let link = if *link_up { "up" } else { "down" };
        write!(f, "{name}, {mac}, {} Mbit/s, link {link}", speed.down_mbit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_a_set() {
        let mut notices = Notices::default();
        assert!(NOTICES.into_iter().all(|notice| notices.add(notice)));
        assert!(!notices.add(Notice::Deaf));
        assert!(notices.iter().eq(NOTICES));
    }
}
