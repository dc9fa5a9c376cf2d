//! usbmon's ioctls (Linux, Documentation/usb/usbmon.rst; drivers/usb/mon/mon_bin.c). It knows no transfers.
#![allow(unsafe_code)]

use std::fs::File;

use outboard_core::usb::trace::usbmon::LENGTH;
use rustix::io::Errno;
use rustix::ioctl::{self, Getter, IntegerSetter, Opcode, Setter, opcode};

const GROUP: u8 = 0x92;

/// `struct mon_bin_stats`.
#[repr(C)]
struct Statistics {
    queued: u32,
    dropped: u32,
}

/// `struct mon_bin_get`.
#[repr(C)]
struct Get {
    header: *mut u8,
    data: *mut u8,
    room: usize,
}

/// MON_IOCG_STATS.
const STATISTICS: Opcode = opcode::read::<Statistics>(GROUP, 3);
/// MON_IOCT_RING_SIZE.
const RING_SIZE: Opcode = opcode::none(GROUP, 4);
/// MON_IOCX_GETX.
const GET: Opcode = opcode::write::<Get>(GROUP, 10);

/// Gives the ring so many bytes, and forgets what is in it.
pub(super) fn resize(monitor: &File, bytes: usize) -> Result<(), Errno> {
    // SAFETY: this request takes a number.
    unsafe { ioctl::ioctl(monitor, IntegerSetter::<RING_SIZE>::new_usize(bytes)) }
}

/// Records that were lost since this was last asked.
pub(super) fn dropped(monitor: &File) -> Result<u32, Errno> {
    // SAFETY: this request writes the structure that the kernel's source declares for it.
    let statistics = unsafe { ioctl::ioctl(monitor, Getter::<STATISTICS, Statistics>::new()) }?;
    Ok(statistics.dropped)
}

/// The oldest record's header, and how much of its data is in `data` now; `None` if there is none.
pub(super) fn fetch(monitor: &File, data: &mut [u8]) -> Result<Option<([u8; LENGTH], usize)>, Errno> {
    let mut header = [0; LENGTH];
    let get = Get { header: header.as_mut_ptr(), data: data.as_mut_ptr(), room: data.len() };
    // SAFETY: the kernel writes 64 bytes of header and at most `room` bytes of data, and keeps neither pointer.
    match unsafe { ioctl::ioctl(monitor, Setter::<GET, Get>::new(get)) } {
        Ok(()) => {
            let captured = u32::from_ne_bytes([header[36], header[37], header[38], header[39]]);
            Ok(Some((header, data.len().min(captured as usize))))
        }
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error),
    }
}
