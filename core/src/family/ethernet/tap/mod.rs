//! A network interface of the Linux kernel: a TAP with a virtio header, so that the kernel leaves checksums and
//! segmentation to us and takes merged segments. It knows nothing of the device behind it.
//!
//! Making one needs CAP_NET_ADMIN in the network namespace. Serving one needs no right at all: everything but
//! [`Tap::set_mtu`] and [`set_speed`](EthernetInterface::set_speed) works in a process that got the descriptors from
//! another one ([`Tap::into_fds`], [`Tap::from_fds`]). While somebody holds the descriptors the interface stays, with
//! its addresses, routes and queue.

mod link;
mod sys;

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use self::link::Link;
use super::coalesce::{self, Coalescer, Group};
use super::frame::ETHERNET_HEADER;
use super::scatter::Scatter;
use super::vnet::VNET_HEADER_SIZE;
use super::{Counters, EthernetInterface, FrameBuffer, HostWish, Received, Transmit};
use crate::{Error, ErrorKind, MacAddr, Result};

/// The ioctls of a driver that was given an interface ([`Tap::from_fds`]), by name and number.
pub(crate) const DRIVER_IOCTLS: &[(&str, u32)] = &sys::DRIVER_IOCTLS;

/// How an interface is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapOptions {
    /// The name, at most 15 bytes; a `%d` in it becomes the lowest free number.
    pub name: String,
    /// The station address; without one the kernel makes one up.
    pub mac: Option<MacAddr>,
    /// The largest packet without the Ethernet header, in bytes, 68 to 65521; the kernel's default is 1500.
    pub mtu: Option<u32>,
    /// Frames that the kernel queues for us before it drops; its default is 1000, which is 12 ms at 1 Gbit/s.
    pub queue_length: Option<u32>,
    /// Whether there is a link from the beginning.
    pub carrier: bool,
    /// Whether checksums and segmentation are left to us, and whether we merge what arrives; see [`Tap::set_offloads`].
    pub offloads: bool,
}

impl Default for TapOptions {
    fn default() -> Self {
        Self {
            name: "ecm%d".into(),
            mac: None,
            mtu: None,
            queue_length: None,
            carrier: false,
            offloads: true,
        }
    }
}

/// The descriptors of a [`Tap`], to be passed to another process.
#[derive(Debug)]
pub struct TapFds {
    /// Of /dev/net/tun, attached to the interface; the interface lives as long as it.
    pub tun: OwnedFd,
    /// Netlink sockets for changes and for questions, and /proc/net/dev_mcast, in this order.
    pub link: [OwnedFd; 3],
}

/// A TAP interface.
#[derive(Debug)]
pub struct Tap {
    name: String,
    tun: OwnedFd,
    link: Link,
    scatter: Scatter,
    coalescer: Box<Coalescer>,
    /// Whether frames that arrive are merged.
    merges: bool,
    counters: Counters,
    /// The address that the interface was made with, until it can be trusted to stay.
    young: Option<(MacAddr, Instant)>,
}

/// How long after its creation udev may still replace an interface's address: it sees that the kernel made one up (addr_assign_type) before
/// we set ours, and puts a persistent one in its place after that (MACAddressPolicy of systemd.link), once. A loaded machine takes seconds.
const YOUTH: Duration = Duration::from_secs(10);

impl Tap {
    /// Makes an interface in the network namespace of the calling thread. It is gone when its descriptors are.
    ///
    /// # Errors
    /// [`Refused`](ErrorKind::Refused) without CAP_NET_ADMIN, [`Busy`](ErrorKind::Busy) when the name is taken,
    /// [`NotFound`](ErrorKind::NotFound) without /dev/net/tun, [`Malformed`](ErrorKind::Malformed) for a name that
    /// no interface can have.
    pub fn create(options: &TapOptions) -> Result<Self> {
        let name = sys::name_bytes(&options.name).ok_or_else(|| {
            Error::new(
                ErrorKind::Malformed,
                "create a network interface",
                format!("{:?} is not a name of 1 to {} bytes", options.name, sys::NAME_SIZE - 1),
            )
        })?;
        let tun = rustix::fs::open(
            "/dev/net/tun",
            OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|error| Error::os("open /dev/net/tun", error.into()))?;
        let operation = || format!("create the network interface {}", options.name);
        let failed = |error: Errno| Error::os(operation(), error.into());
        let mut flags = sys::IFF_TAP | sys::IFF_NO_PI | sys::IFF_VNET_HDR | sys::IFF_TUN_EXCL;
        let features = sys::features(tun.as_fd()).map_err(failed)?;
        if !options.carrier && features & u32::from(sys::IFF_NO_CARRIER) != 0 {
            flags |= sys::IFF_NO_CARRIER;
        }
        sys::create(tun.as_fd(), name, flags).map_err(failed)?;
        if !options.carrier {
            sys::set_carrier(tun.as_fd(), false).map_err(failed)?;
        }
        if let Some(mac) = options.mac {
            sys::set_mac(tun.as_fd(), mac).map_err(failed)?;
        }
        let mut this = Self::from_fd(tun)?;
        this.young = options.mac.map(|mac| (mac, Instant::now()));
        if !options.offloads {
            this.set_offloads(false)?;
        }
        if let Some(mtu) = options.mtu {
            this.set_mtu(mtu)?;
        }
        if let Some(frames) = options.queue_length {
            let frames = i32::try_from(frames).unwrap_or(i32::MAX);
            let name = this.present_name()?;
            sys::set_queue_length(this.link.socket(), name, frames)
                .map_err(|error| this.failed("set the queue length", error))?;
        }
        Ok(this)
    }

    /// Serves an interface that was opened elsewhere, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) when it is no TAP with a virtio header and a single queue,
    /// [`NotFound`](ErrorKind::NotFound) when the interface was deleted or is in another network namespace.
    pub fn from_fd(tun: OwnedFd) -> Result<Self> {
        let name = adopt(&tun)?;
        let link = Link::open(&name)?;
        Ok(Self::new(name, tun, link))
    }

    /// Serves an interface whose descriptors another process passed, whatever network namespace this one is in.
    ///
    /// # Errors
    /// As [`from_fd`](Self::from_fd).
    pub fn from_fds(fds: TapFds) -> Result<Self> {
        let name = adopt(&fds.tun)?;
        let link = Link::from_fds(&name, fds.link)?;
        Ok(Self::new(name, fds.tun, link))
    }

    /// The descriptors, for another process. Frames that were read and not sent are lost.
    pub fn into_fds(self) -> TapFds {
        TapFds { tun: self.tun, link: self.link.into_fds() }
    }

    /// Further descriptors of the same interface. Whoever keeps them keeps the interface, with all that is known of it, when this end is
    /// gone, and can serve it again ([`from_fds`](Self::from_fds)). Only one end may serve it at a time.
    ///
    /// # Errors
    /// System: no descriptor is left.
    pub fn try_clone_fds(&self) -> Result<TapFds> {
        let failed = |error: Errno| self.failed("copy the descriptors", error);
        let tun = rustix::io::fcntl_dupfd_cloexec(&self.tun, 0).map_err(failed)?;
        Ok(TapFds { tun, link: self.link.try_clone_fds().map_err(failed)? })
    }

    fn new(name: String, tun: OwnedFd, link: Link) -> Self {
        Self {
            name,
            tun,
            link,
            scatter: Scatter::default(),
            coalescer: Box::default(),
            merges: true,
            counters: Counters::default(),
            young: None,
        }
    }

    /// Descriptors for a process that is to serve this interface while this end keeps it. They share nothing with ours but the interface itself:
    /// what one side reads of changes, the other still hears.
    ///
    /// # Errors
    /// System: no descriptor is left. NotFound: the interface was deleted.
    pub fn fds_for_server(&self) -> Result<TapFds> {
        let tun = rustix::io::fcntl_dupfd_cloexec(&self.tun, 0)
            .map_err(|error| self.failed("copy the descriptors", error))?;
        let link = Link::open(&self.present_name_text()?)?;
        Ok(TapFds { tun, link: link.into_fds() })
    }

    /// Sets the station address, and puts it back once if udev replaces it at its first look ([`wish`](EthernetInterface::wish) sees to that).
    ///
    /// # Errors
    /// As [`set_mac`](Self::set_mac).
    pub fn settle_mac(&mut self, mac: MacAddr) -> Result<()> {
        self.set_mac(mac)?;
        self.young = Some((mac, Instant::now()));
        Ok(())
    }

    /// Sets the largest packet without the Ethernet header, in bytes. Needs CAP_NET_ADMIN.
    ///
    /// # Errors
    /// [`Refused`](ErrorKind::Refused) without the right, [`System`](ErrorKind::System) outside of 68 to 65521.
    pub fn set_mtu(&self, mtu: u32) -> Result<()> {
        let name = self.present_name()?;
        sys::set_mtu(self.link.socket(), name, i32::try_from(mtu).unwrap_or(i32::MAX))
            .map_err(|error| self.failed("set the MTU", error))
    }

    /// Whether the kernel leaves checksums and segmentation to us, and whether we merge segments that arrive. They are on to begin with,
    /// also for an interface that another process passed. Without them each frame is a system call of its own in both directions: for
    /// measuring what they bring, and for finding out whether they are to blame. What the kernel has queued already is still cut.
    ///
    /// # Errors
    /// [`System`](ErrorKind::System) when the kernel refuses.
    pub fn set_offloads(&mut self, on: bool) -> Result<()> {
        let result = if on { offload(&self.tun) } else { sys::set_offload(self.tun.as_fd(), 0) };
        result.map_err(|error| self.failed("change the offloads", error))?;
        self.merges = on;
        Ok(())
    }

    /// Sets the station address.
    ///
    /// # Errors
    /// [`System`](ErrorKind::System) for a multicast address.
    pub fn set_mac(&self, mac: MacAddr) -> Result<()> {
        sys::set_mac(self.tun.as_fd(), mac).map_err(|error| self.failed("set the address", error))
    }

    /// Whether the interface stays when the last descriptor is closed.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) when the interface was deleted.
    pub fn set_persistent(&self, persistent: bool) -> Result<()> {
        sys::set_persistent(self.tun.as_fd(), persistent)
            .map_err(|error| self.failed("change the persistence", error))
    }

    /// The name now, which a person may have changed since.
    fn present_name_text(&self) -> Result<String> {
        sys::attached(self.tun.as_fd())
            .map(|(name, _)| name)
            .map_err(|error| self.failed("ask for the name", error))
    }

    fn present_name(&self) -> Result<[u8; sys::NAME_SIZE]> {
        let name = self.present_name_text()?;
        sys::name_bytes(&name).ok_or_else(|| self.failed("ask for the name", Errno::NODEV))
    }

    fn failed(&self, operation: &'static str, error: Errno) -> Error {
        link::gone(&self.name, error)
            .unwrap_or_else(|| Error::os(format!("{operation} of {}", self.name), error.into()))
    }
}

/// Makes sure that a descriptor is what the data path expects, sets what can be set, and gives the interface's name.
fn adopt(tun: &OwnedFd) -> Result<String> {
    let operation = "serve a TAP interface";
    let failed = |error: Errno| {
        link::gone("of this descriptor", error).unwrap_or_else(|| Error::os(operation, error.into()))
    };
    let (name, flags) = sys::attached(tun.as_fd()).map_err(failed)?;
    let wanted = sys::IFF_TAP | sys::IFF_NO_PI | sys::IFF_VNET_HDR;
    if flags & (wanted | sys::IFF_MULTI_QUEUE) != wanted {
        return Err(Error::new(
            ErrorKind::Unsupported,
            operation,
            format!(
                "{name} has flags {flags:#06x}; IFF_TAP, IFF_NO_PI and IFF_VNET_HDR are needed, without queues"
            ),
        ));
    }
    if sys::vnet_header_size(tun.as_fd()).map_err(failed)? != VNET_HEADER_SIZE as i32 {
        sys::set_vnet_header_size(tun.as_fd(), VNET_HEADER_SIZE as i32).map_err(failed)?;
    }
    sys::set_little_endian(tun.as_fd()).map_err(failed)?;
    offload(tun).map_err(failed)?;
    let status = rustix::fs::fcntl_getfl(tun).map_err(failed)?;
    if !status.contains(OFlags::NONBLOCK) {
        rustix::fs::fcntl_setfl(tun, status | OFlags::NONBLOCK).map_err(failed)?;
    }
    Ok(name)
}

/// Has the kernel leave us all that it can.
fn offload(tun: &OwnedFd) -> rustix::io::Result<()> {
    // Kernels before 6.2 refuse the bits that they do not know.
    sys::set_offload(tun.as_fd(), sys::TUN_F_TCP | sys::TUN_F_USO)
        .or_else(|_| sys::set_offload(tun.as_fd(), sys::TUN_F_TCP))
}

impl EthernetInterface for Tap {
    fn name(&self) -> &str {
        &self.name
    }

    fn receive<B: FrameBuffer>(&mut self, frames: &mut [B]) -> Result<Received> {
        let Self { tun, coalescer, merges, counters, .. } = self;
        let mut received = Received::default();
        let mut gone = None;
        let write = |slices: &[IoSlice<'_>], Group { frames, bytes }: Group| {
            let count = frames as u64;
            if bytes < ETHERNET_HEADER {
                counters.received_runts += count;
                received.dropped += frames;
                return;
            }
            let result = match gone {
                None => rustix::io::retry_on_intr(|| rustix::io::writev(&*tun, slices)),
                Some(error) => Err(error),
            };
            match result {
                Ok(_) => {
                    counters.received_frames += count;
                    counters.received_bytes += bytes as u64;
                    counters.received_writes += 1;
                    received.delivered += frames;
                    return;
                }
                Err(Errno::IO) => counters.received_while_down += count,
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => counters.received_overruns += count,
                Err(error @ (Errno::BADFD | Errno::NODEV | Errno::NXIO)) => gone = Some(error),
                Err(_) => counters.received_refused += count,
            }
            received.dropped += frames;
        };
        if *merges {
            coalescer.run(frames, write)
        } else {
            coalesce::singly(frames, write)
        }
        match gone {
            Some(error) => Err(self.failed("write to", error)),
            None => Ok(received),
        }
    }

    fn transmit<B: FrameBuffer>(&mut self, free: &mut Vec<B>, ready: &mut Vec<B>) -> Result<Transmit> {
        let Self { tun, scatter, counters, .. } = self;
        scatter
            .transmit(free, ready, counters, |slices| rustix::io::readv(&*tun, slices))
            .map_err(|error| self.failed("read from", error))
    }

    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        Some(self.tun.as_fd())
    }

    fn set_carrier(&mut self, up: bool) -> Result<()> {
        sys::set_carrier(self.tun.as_fd(), up).map_err(|error| self.failed("set the carrier", error))
    }

    fn set_speed(&mut self, mbit: u32, full_duplex: bool) -> Result<()> {
        let name = self.present_name()?;
        sys::set_speed(self.link.socket(), name, mbit, full_duplex)
            .map_err(|error| self.failed("set the speed", error))
    }

    fn wish(&mut self) -> Result<HostWish> {
        self.scatter.clear_membership_report();
        let (name, mut wish) = self.link.wish(&self.name)?;
        self.name = name;
        if let Some((mac, made)) = self.young.filter(|(mac, _)| *mac != wish.mac) {
            // A locally administered address on an interface that nobody has brought up yet is udev's doing, not a person's.
            self.young = None;
            if !wish.up && wish.mac.is_local() && made.elapsed() < YOUTH {
                self.set_mac(mac)?;
                wish.mac = mac;
            }
        }
        Ok(wish)
    }

    fn wish_readiness(&self) -> Option<BorrowedFd<'_>> {
        Some(self.link.doorbell())
    }

    fn wish_may_have_changed(&self) -> bool {
        self.scatter.saw_membership_report()
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }
}
