//! An Ethernet interface of this machine as a driver sees it: frames in, frames out, and what the host wants of it.
//! It knows nothing of the device behind the driver.
//!
//! The data path is two calls on the driver's own thread. [`EthernetInterface::receive`] hands up a batch of frames
//! straight out of the buffers that the device filled; [`EthernetInterface::transmit`] fills buffers that are about
//! to go to the device. Neither keeps a buffer, allocates or waits.
//!
//! [`tap::Tap`] is a network interface of the Linux kernel, [`memory::MemoryInterface`] one for tests.

pub mod checksum;
pub mod coalesce;
pub mod frame;
pub mod memory;
pub mod scatter;
pub mod segment;
pub mod tap;
#[doc(hidden)]
pub mod testing;
pub mod vnet;

#[cfg(test)]
mod tests;

use std::os::fd::BorrowedFd;

use crate::{MacAddr, Result};

/// A buffer that holds one frame, from the destination address to the last byte before the frame check sequence.
/// A driver's transfer buffers implement it.
pub trait FrameBuffer {
    /// The bytes that are filled in.
    fn frame(&self) -> &[u8];

    /// The bytes that are filled in, to change them.
    fn frame_mut(&mut self) -> &mut [u8];

    /// The whole capacity, initialised, whatever is filled in. A frame with one VLAN tag and an MTU of 1500 needs
    /// 1518 bytes.
    fn space(&mut self) -> &mut [u8];

    /// Declares this many bytes of [`space`](Self::space) filled in. `len` is at most the capacity.
    fn set_len(&mut self, len: usize);
}

/// What became of a batch of frames from the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Received {
    /// Frames that the host took.
    pub delivered: usize,
    /// Frames that it did not: too short for an Ethernet header, the interface is down, or the kernel was out of
    /// memory.
    pub dropped: usize,
}

/// Why [`EthernetInterface::transmit`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transmit {
    /// The host has nothing more to send: wait for [`EthernetInterface::readiness`].
    Drained,
    /// The host may have more, but no free buffer is left, or so much was dropped that other work should have its turn: call again
    /// when there is a buffer, at once if there is one left. There may be no further sign of readiness.
    NoBuffers,
}

/// What the host wants of its interface, for the device's packet filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostWish {
    /// The interface was brought up; while it is not, every received frame is dropped.
    pub up: bool,
    /// Somebody (a capture, a bridge) wants the frames for every station.
    pub promiscuous: bool,
    /// Somebody (a multicast router) wants the frames for every group.
    pub all_multicast: bool,
    /// The largest packet without the Ethernet header that the host will send, in bytes.
    pub mtu: u32,
    /// The station address, which a person may have changed.
    pub mac: MacAddr,
    /// The groups whose frames the host wants, in the kernel's order. Some may be unicast addresses that were added
    /// as such.
    pub multicast: Vec<MacAddr>,
}

impl Default for HostWish {
    fn default() -> Self {
        Self {
            up: false,
            promiscuous: false,
            all_multicast: false,
            mtu: 1500,
            mac: MacAddr::ZERO,
            multicast: Vec::new(),
        }
    }
}

/// What went over an interface since it was opened. "Received" is from the device to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Frames that the host took.
    pub received_frames: u64,
    /// Bytes in them.
    pub received_bytes: u64,
    /// Frames that the host did not take because the interface is down.
    pub received_while_down: u64,
    /// Frames that the host did not take for want of memory, or because its queue was full.
    pub received_overruns: u64,
    /// Frames shorter than an Ethernet header.
    pub received_runts: u64,
    /// Frames that the host called malformed.
    pub received_refused: u64,
    /// Writes that carried the received frames; fewer than frames where segments were merged.
    pub received_writes: u64,
    /// Frames that the host sent, after segmentation.
    pub transmitted_frames: u64,
    /// Bytes in them.
    pub transmitted_bytes: u64,
    /// Superframes that were cut into some of them.
    pub transmitted_superframes: u64,
    /// Superframes whose payload had to be copied, because they were not cut as the one before.
    pub transmitted_copied: u64,
    /// Frames of the host that do not fit into a buffer.
    pub transmitted_oversize: u64,
    /// Frames of the host that contradict themselves.
    pub transmitted_malformed: u64,
}

/// A network interface of the host that a driver serves.
///
/// It belongs to one thread. All calls return at once.
pub trait EthernetInterface {
    /// The name by which the host knows the interface, such as `ecm0`, when it was last asked.
    fn name(&self) -> &str;

    /// Hands frames from the device to the host.
    ///
    /// Frames of one batch may reach the host in one piece where that changes nothing that it could tell, so the
    /// larger the batch the better. The order within a flow is kept. The buffers' contents may be changed; their
    /// lengths are not.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when the interface was deleted. A frame that the host does not take
    /// is no error: it is counted, and the others go on.
    fn receive<B: FrameBuffer>(&mut self, frames: &mut [B]) -> Result<Received>;

    /// Takes frames that the host sends: pops empty buffers from the end of `free`, fills each with one frame, and
    /// pushes them to the end of `ready` in the order of sending, until the host has no more or `free` is empty.
    ///
    /// Checksums are complete. `ready` never gets more elements than `free` loses, so with capacity for all buffers
    /// in both nothing is allocated.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when the interface was deleted. What was pushed before is good.
    fn transmit<B: FrameBuffer>(&mut self, free: &mut Vec<B>, ready: &mut Vec<B>) -> Result<Transmit>;

    /// What becomes readable when the host has frames to send, or when the interface is deleted.
    fn readiness(&self) -> Option<BorrowedFd<'_>>;

    /// Tells the host whether there is a link.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when the interface was deleted.
    fn set_carrier(&mut self, up: bool) -> Result<()>;

    /// Tells the host the speed of the link, in Mbit/s, and whether it is full duplex. It is for show only.
    ///
    /// # Errors
    /// [`Refused`](crate::ErrorKind::Refused) when this process may not; its supervisor may have to.
    fn set_speed(&mut self, mbit: u32, full_duplex: bool) -> Result<()>;

    /// What the host wants at the moment. This also silences [`wish_readiness`](Self::wish_readiness) and
    /// [`wish_may_have_changed`](Self::wish_may_have_changed) until the next change.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when the interface was deleted.
    fn wish(&mut self) -> Result<HostWish>;

    /// What becomes readable when [`wish`](Self::wish) may have another answer.
    fn wish_readiness(&self) -> Option<BorrowedFd<'_>>;

    /// Whether a frame that the host sent tells that its multicast list may be another one: a report of membership
    /// (IGMP, MLD). To be looked at after [`transmit`](Self::transmit); costs nothing. Groups that are joined without
    /// a report, as for LLDP, give no sign at all, so [`wish`](Self::wish) is also to be asked from time to time.
    fn wish_may_have_changed(&self) -> bool;

    /// What went over the interface so far.
    fn counters(&self) -> &Counters;
}
