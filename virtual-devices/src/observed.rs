//! What a network device shows of itself to whoever is behind its wire, so that there can be a page about it: a copy of its state at one moment.
//! It knows neither how the device is attached to its computer nor how it is shown.

use std::time::Instant;

use outboard_core::MacAddr;

/// The state of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Whether there is one.
    pub up: bool,
    /// Towards the computer, in bits per second.
    pub downlink: u64,
    /// From the computer, in bits per second.
    pub uplink: u64,
}

impl Link {
    /// Up, and as fast in both directions.
    pub const fn up(bits_per_second: u64) -> Self {
        Self { up: true, downlink: bits_per_second, uplink: bits_per_second }
    }

    /// Down.
    pub const fn down() -> Self {
        Self { up: false, downlink: 0, uplink: 0 }
    }
}

/// Frames and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames.
    pub frames: u64,
    /// Bytes in them, without FCS.
    pub bytes: u64,
}

/// Frames and bytes by destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByDestination {
    /// To one station.
    pub directed: Traffic,
    /// To a group.
    pub multicast: Traffic,
    /// To everyone.
    pub broadcast: Traffic,
}

impl ByDestination {
    /// Counts a frame of this length.
    pub fn count(&mut self, destination: MacAddr, length: usize) {
        let traffic = if destination.is_broadcast() {
            &mut self.broadcast
        } else if destination.is_multicast() {
            &mut self.multicast
        } else {
            &mut self.directed
        };
        traffic.frames += 1;
        traffic.bytes += length as u64;
    }

    /// All frames.
    pub const fn frames(&self) -> u64 {
        self.directed.frames + self.multicast.frames + self.broadcast.frames
    }

    /// All bytes.
    pub const fn bytes(&self) -> u64 {
        self.directed.bytes + self.multicast.bytes + self.broadcast.bytes
    }
}

/// Which frames from the wire the device passes to its computer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passes {
    /// Every frame.
    pub all: bool,
    /// Every frame to a group.
    pub all_multicast: bool,
    /// Frames to the device's station.
    pub directed: bool,
    /// Frames to everyone.
    pub broadcast: bool,
    /// Frames to these groups; `None`: none that are listed.
    pub groups: Option<Vec<MacAddr>>,
    /// Groups are compared by a hash, so that others pass too.
    pub hashed: bool,
}

/// A device's state at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What it is ("Virtual ECM dongle").
    pub device: String,
    /// What is special about it; empty: nothing.
    pub variant: String,
    /// How it is attached to its computer, for people ("USB, high speed (480 Mbit/s)").
    pub attached: String,
    /// The station whose frames are directed to it.
    pub station: MacAddr,
    /// When its computer took it into operation; `None`: it has not, or no longer.
    pub active_since: Option<Instant>,
    /// The link.
    pub link: Link,
    /// The filter.
    pub passes: Passes,
    /// From the computer to the wire.
    pub transmitted: ByDestination,
    /// From the wire to the computer: what passed the filter and was kept.
    pub received: ByDestination,
    /// Frames of the computer that were not sent.
    pub transmit_errors: u64,
    /// Frames from the wire that are no frames.
    pub receive_errors: u64,
    /// Frames from the wire that were lost because the computer did not fetch those before.
    pub no_buffer: u64,
    /// Frames from the wire that the filter held back.
    pub filtered: u64,
}
