//! The ioctls of Linux's TUN driver and of network interfaces, as safe functions. The only place of this family with
//! `unsafe`; it decides nothing.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::{Errno, Result};
use rustix::ioctl::{self, Getter, IntegerSetter, Opcode, Setter, Updater, opcode};

use crate::MacAddr;

/// linux/if_tun.h: Ethernet frames.
pub(super) const IFF_TAP: u16 = 0x0002;
/// linux/if_tun.h: start without a carrier (Linux 6.0).
pub(super) const IFF_NO_CARRIER: u16 = 0x0040;
/// linux/if_tun.h: several queues.
pub(super) const IFF_MULTI_QUEUE: u16 = 0x0100;
/// linux/if_tun.h: no header of TUN's own.
pub(super) const IFF_NO_PI: u16 = 0x1000;
/// linux/if_tun.h: a virtio header before each frame.
pub(super) const IFF_VNET_HDR: u16 = 0x4000;
/// linux/if_tun.h: do not attach to an interface that is there already.
pub(super) const IFF_TUN_EXCL: u16 = 0x8000;

/// linux/if_tun.h: what may be left to the reader: checksums, TCP segmentation over IPv4, over IPv6, with ECN.
pub(super) const TUN_F_TCP: u32 = 0x01 | 0x02 | 0x04 | 0x08;
/// linux/if_tun.h: and UDP segmentation (Linux 6.2).
pub(super) const TUN_F_USO: u32 = 0x20 | 0x40;

// linux/if_tun.h.
const TUNSETIFF: Opcode = opcode::write::<i32>(b'T', 202);
const TUNSETPERSIST: Opcode = opcode::write::<i32>(b'T', 203);
const TUNGETFEATURES: Opcode = opcode::read::<u32>(b'T', 207);
const TUNSETOFFLOAD: Opcode = opcode::write::<u32>(b'T', 208);
const TUNGETIFF: Opcode = opcode::read::<u32>(b'T', 210);
const TUNGETVNETHDRSZ: Opcode = opcode::read::<i32>(b'T', 215);
const TUNSETVNETHDRSZ: Opcode = opcode::write::<i32>(b'T', 216);
const TUNSETVNETLE: Opcode = opcode::write::<i32>(b'T', 220);
const TUNSETCARRIER: Opcode = opcode::write::<i32>(b'T', 226);

// linux/sockios.h.
const SIOCSIFMTU: Opcode = 0x8922;
const SIOCSIFHWADDR: Opcode = 0x8924;
const SIOCSIFTXQLEN: Opcode = 0x8943;
const SIOCETHTOOL: Opcode = 0x8946;

/// What serving an interface calls that another process has made; the names are those of the kernel's headers. The last one is rustix's, for
/// the index of a name.
pub(super) const DRIVER_IOCTLS: [(&str, Opcode); 7] = [
    ("TUNGETIFF", TUNGETIFF),
    ("TUNSETOFFLOAD", TUNSETOFFLOAD),
    ("TUNGETVNETHDRSZ", TUNGETVNETHDRSZ),
    ("TUNSETVNETHDRSZ", TUNSETVNETHDRSZ),
    ("TUNSETVNETLE", TUNSETVNETLE),
    ("TUNSETCARRIER", TUNSETCARRIER),
    ("SIOCGIFINDEX", 0x8933),
];

/// linux/if_arp.h.
const ARPHRD_ETHER: u16 = 1;

// linux/ethtool.h.
const ETHTOOL_GLINKSETTINGS: u32 = 0x4c;
const ETHTOOL_SLINKSETTINGS: u32 = 0x4d;
/// Words of the bit masks that `LinkSettings` has room for; Linux 6.18 uses 4.
const MASK_WORDS: usize = 32;

/// linux/if.h: IFNAMSIZ, with the end mark.
pub(super) const NAME_SIZE: usize = 16;

/// `struct ifreq` with a number or an address in its union.
#[repr(C)]
#[derive(Clone, Copy)]
struct Request {
    name: [u8; NAME_SIZE],
    // The union's size and alignment on 64-bit machines; more than it has on others.
    value: [u64; 3],
}

impl Request {
    fn new(name: [u8; NAME_SIZE], value: &[u8]) -> Self {
        let mut words = [0_u64; 3];
        for (word, chunk) in words.iter_mut().zip(value.chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_ne_bytes(bytes);
        }
        Self { name, value: words }
    }
}

/// `struct ifreq` with a pointer in its union.
#[repr(C)]
struct PointerRequest {
    name: [u8; NAME_SIZE],
    pointer: *mut LinkSettings,
    rest: [u64; 2],
}

/// `struct ethtool_link_settings` and the masks behind it.
#[repr(C)]
#[derive(Default)]
struct LinkSettings {
    cmd: u32,
    speed: u32,
    duplex: u8,
    port: u8,
    phy_address: u8,
    autoneg: u8,
    mdio_support: u8,
    eth_tp_mdix: u8,
    eth_tp_mdix_ctrl: u8,
    link_mode_masks_nwords: i8,
    transceiver: u8,
    master_slave_cfg: u8,
    master_slave_state: u8,
    rate_matching: u8,
    reserved: [u32; 7],
    masks: [u32; MASK_WORDS],
    more_masks: [[u32; MASK_WORDS]; 2],
}

/// A name as `ifreq` holds it; `None` when it is empty or too long.
pub(super) fn name_bytes(name: &str) -> Option<[u8; NAME_SIZE]> {
    let mut bytes = [0; NAME_SIZE];
    if name.is_empty() || name.len() >= NAME_SIZE || name.contains('\0') {
        return None;
    }
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Some(bytes)
}

fn text(name: &[u8; NAME_SIZE]) -> String {
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(NAME_SIZE);
    String::from_utf8_lossy(&name[..end]).into_owned()
}

/// TUNGETFEATURES: the IFF_ flags that this kernel knows.
pub(super) fn features(tun: BorrowedFd<'_>) -> Result<u32> {
    // SAFETY: the ioctl writes one unsigned int.
    unsafe { ioctl::ioctl(tun, Getter::<TUNGETFEATURES, u32>::new()) }
}

/// TUNSETIFF: makes an interface of this name or pattern; gives its name.
pub(super) fn create(tun: BorrowedFd<'_>, name: [u8; NAME_SIZE], flags: u16) -> Result<String> {
    let mut request = Request::new(name, &flags.to_ne_bytes());
    // SAFETY: the ioctl reads and writes one `ifreq`, which `Request` has at least the size of.
    unsafe { ioctl::ioctl(tun, Updater::<TUNSETIFF, Request>::new(&mut request))? };
    Ok(text(&request.name))
}

/// TUNGETIFF: name and IFF_ flags of the attached interface; `EBADFD` when there is none.
pub(super) fn attached(tun: BorrowedFd<'_>) -> Result<(String, u16)> {
    let mut request = Request::new([0; NAME_SIZE], &[]);
    // SAFETY: the ioctl writes one `ifreq`, which `Request` has at least the size of.
    unsafe { ioctl::ioctl(tun, Updater::<TUNGETIFF, Request>::new(&mut request))? };
    let [a, b, ..] = request.value[0].to_ne_bytes();
    Ok((text(&request.name), u16::from_ne_bytes([a, b])))
}

/// TUNSETOFFLOAD: what the kernel may leave to the reader.
pub(super) fn set_offload(tun: BorrowedFd<'_>, offload: u32) -> Result<()> {
    // SAFETY: the ioctl takes the flags themselves, not a pointer.
    unsafe { ioctl::ioctl(tun, IntegerSetter::<TUNSETOFFLOAD>::new_usize(offload as usize)) }
}

/// TUNGETVNETHDRSZ: bytes before each frame.
pub(super) fn vnet_header_size(tun: BorrowedFd<'_>) -> Result<i32> {
    // SAFETY: the ioctl writes one int.
    unsafe { ioctl::ioctl(tun, Getter::<TUNGETVNETHDRSZ, i32>::new()) }
}

/// TUNSETVNETHDRSZ.
pub(super) fn set_vnet_header_size(tun: BorrowedFd<'_>, size: i32) -> Result<()> {
    // SAFETY: the ioctl reads one int.
    unsafe { ioctl::ioctl(tun, Setter::<TUNSETVNETHDRSZ, i32>::new(size)) }
}

/// TUNSETVNETLE: little-endian headers, whatever the machine.
pub(super) fn set_little_endian(tun: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the ioctl reads one int.
    unsafe { ioctl::ioctl(tun, Setter::<TUNSETVNETLE, i32>::new(1)) }
}

/// TUNSETCARRIER.
pub(super) fn set_carrier(tun: BorrowedFd<'_>, up: bool) -> Result<()> {
    // SAFETY: the ioctl reads one int.
    unsafe { ioctl::ioctl(tun, Setter::<TUNSETCARRIER, i32>::new(up.into())) }
}

/// TUNSETPERSIST: whether the interface stays when the last descriptor is closed.
pub(super) fn set_persistent(tun: BorrowedFd<'_>, persistent: bool) -> Result<()> {
    // SAFETY: the ioctl takes the flag itself, not a pointer.
    unsafe { ioctl::ioctl(tun, IntegerSetter::<TUNSETPERSIST>::new_usize(persistent.into())) }
}

/// SIOCSIFHWADDR, which TUN's own descriptor answers without any right.
pub(super) fn set_mac(tun: BorrowedFd<'_>, mac: MacAddr) -> Result<()> {
    let mut address = [0; 8];
    address[..2].copy_from_slice(&ARPHRD_ETHER.to_ne_bytes());
    address[2..].copy_from_slice(&mac.octets());
    // SAFETY: the ioctl reads one `ifreq`, which `Request` has at least the size of.
    unsafe {
        ioctl::ioctl(tun, Setter::<SIOCSIFHWADDR, Request>::new(Request::new([0; NAME_SIZE], &address)))
    }
}

/// SIOCSIFMTU, in bytes.
pub(super) fn set_mtu(socket: BorrowedFd<'_>, name: [u8; NAME_SIZE], mtu: i32) -> Result<()> {
    // SAFETY: the ioctl reads one `ifreq`, which `Request` has at least the size of.
    unsafe {
        ioctl::ioctl(socket, Setter::<SIOCSIFMTU, Request>::new(Request::new(name, &mtu.to_ne_bytes())))
    }
}

/// SIOCSIFTXQLEN, in frames.
pub(super) fn set_queue_length(socket: BorrowedFd<'_>, name: [u8; NAME_SIZE], frames: i32) -> Result<()> {
    // SAFETY: the ioctl reads one `ifreq`, which `Request` has at least the size of.
    unsafe {
        ioctl::ioctl(socket, Setter::<SIOCSIFTXQLEN, Request>::new(Request::new(name, &frames.to_ne_bytes())))
    }
}

/// ETHTOOL_SLINKSETTINGS with this speed (Mbit/s) and duplex, and everything else as it was.
pub(super) fn set_speed(
    socket: BorrowedFd<'_>,
    name: [u8; NAME_SIZE],
    mbit: u32,
    full_duplex: bool,
) -> Result<()> {
    let mut settings = LinkSettings { cmd: ETHTOOL_GLINKSETTINGS, ..LinkSettings::default() };
    // The kernel answers the first question with minus the words that its masks have.
    ethtool(socket, name, &mut settings)?;
    let words = settings.link_mode_masks_nwords.checked_neg().ok_or(Errno::OVERFLOW)?;
    if !(1..=MASK_WORDS as i8).contains(&words) {
        return Err(Errno::OVERFLOW);
    }
    settings =
        LinkSettings { cmd: ETHTOOL_GLINKSETTINGS, link_mode_masks_nwords: words, ..LinkSettings::default() };
    ethtool(socket, name, &mut settings)?;
    settings.cmd = ETHTOOL_SLINKSETTINGS;
    settings.speed = mbit;
    settings.duplex = full_duplex.into();
    ethtool(socket, name, &mut settings)
}

fn ethtool(socket: BorrowedFd<'_>, name: [u8; NAME_SIZE], settings: &mut LinkSettings) -> Result<()> {
    let mut request = PointerRequest { name, pointer: settings, rest: [0; 2] };
    // SAFETY: the ioctl reads one `ifreq`, which `PointerRequest` has at least the size of, and reads and writes
    // an `ethtool_link_settings` with three masks of at most `MASK_WORDS` words, for which `LinkSettings` has room.
    unsafe { ioctl::ioctl(socket.as_fd(), Updater::<SIOCETHTOOL, PointerRequest>::new(&mut request)) }
}
