//! usbfs's ioctls (linux/usbdevice_fs.h) and the memory that the kernel writes to. It knows file descriptors and pointers and must
//! not know queues, actions or policy.
//!
//! What the kernel does with our memory (drivers/usb/core/devio.c): SUBMITURB reads the `usbdevfs_urb`, keeps its address and, for OUT
//! on the heap, copies the data; REAPURB writes status, length and, for IN on the heap, the data. Between the two only mapped buffers
//! are touched. So an urb and its heap buffer must stay where they are until reaped or until nobody can reap.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_uint, c_void};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::ioctl::{self, Opcode, Setter, opcode};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::usb::transfer::{Done, Operation, Token, TransferError, Urb};
use crate::usb::{Direction, SetupPacket, TransferType};

const GROUP: u8 = b'U';

/// `struct usbdevfs_urb`.
#[repr(C)]
struct RawUrb {
    kind: u8,
    endpoint: u8,
    status: c_int,
    flags: c_uint,
    buffer: *mut c_void,
    buffer_length: c_int,
    actual_length: c_int,
    start_frame: c_int,
    number_of_packets: c_int,
    error_count: c_int,
    signr: c_uint,
    usercontext: *mut c_void,
}

/// `struct usbdevfs_setinterface`.
#[repr(C)]
struct SetInterface {
    interface: c_uint,
    altsetting: c_uint,
}

/// `struct usbdevfs_getdriver`.
#[repr(C)]
struct DriverOf {
    interface: c_uint,
    driver: [u8; 256],
}

/// `struct usbdevfs_disconnect_claim`.
#[repr(C)]
struct DisconnectClaim {
    interface: c_uint,
    flags: c_uint,
    driver: [u8; 256],
}

/// `struct usbdevfs_ioctl`.
#[repr(C)]
struct InterfaceIoctl {
    interface: c_int,
    code: c_int,
    data: *mut c_void,
}

impl RawUrb {
    const NEW: Self = Self {
        kind: 0,
        endpoint: 0,
        status: 0,
        flags: 0,
        buffer: std::ptr::null_mut(),
        buffer_length: 0,
        actual_length: 0,
        start_frame: 0,
        number_of_packets: 0,
        error_count: 0,
        signr: 0,
        usercontext: std::ptr::null_mut(),
    };
}

const URB_TYPE_INTERRUPT: u8 = 1;
const URB_TYPE_CONTROL: u8 = 2;
const URB_TYPE_BULK: u8 = 3;
const URB_ZERO_PACKET: c_uint = 0x40;
const CLAIM_EXCEPT_DRIVER: c_uint = 0x02;

const SET_INTERFACE: Opcode = opcode::read::<SetInterface>(GROUP, 4);
const SET_CONFIGURATION: Opcode = opcode::read::<c_uint>(GROUP, 5);
const GET_DRIVER: Opcode = opcode::write::<DriverOf>(GROUP, 8);
const SUBMIT_URB: Opcode = opcode::read::<RawUrb>(GROUP, 10);
const DISCARD_URB: Opcode = opcode::none(GROUP, 11);
const REAP_URB_NDELAY: Opcode = opcode::write::<*mut c_void>(GROUP, 13);
const CLAIM_INTERFACE: Opcode = opcode::read::<c_uint>(GROUP, 15);
const RELEASE_INTERFACE: Opcode = opcode::read::<c_uint>(GROUP, 16);
const IOCTL: Opcode = opcode::read_write::<InterfaceIoctl>(GROUP, 18);
const RESET: Opcode = opcode::none(GROUP, 20);
const CLEAR_HALT: Opcode = opcode::read::<c_uint>(GROUP, 21);
const DISCONNECT: Opcode = opcode::none(GROUP, 22);
const CONNECT: Opcode = opcode::none(GROUP, 23);
const GET_CAPABILITIES: Opcode = opcode::read::<u32>(GROUP, 26);
const DISCONNECT_CLAIM: Opcode = opcode::read::<DisconnectClaim>(GROUP, 27);
const DROP_PRIVILEGES: Opcode = opcode::write::<u32>(GROUP, 30);
const GET_SPEED: Opcode = opcode::none(GROUP, 31);

/// What a driver calls on a node that the manager has opened and claimed, and whose privileges it has dropped; the names are those of
/// linux/usbdevice_fs.h. What else this file calls is for who opens nodes, and the kernel would refuse it after DROP_PRIVILEGES.
pub(super) const DRIVER_IOCTLS: [(&str, Opcode); 10] = [
    ("USBDEVFS_SUBMITURB", SUBMIT_URB),
    ("USBDEVFS_REAPURBNDELAY", REAP_URB_NDELAY),
    ("USBDEVFS_DISCARDURB", DISCARD_URB),
    ("USBDEVFS_SETINTERFACE", SET_INTERFACE),
    ("USBDEVFS_CLEAR_HALT", CLEAR_HALT),
    ("USBDEVFS_GETDRIVER", GET_DRIVER),
    ("USBDEVFS_CLAIMINTERFACE", CLAIM_INTERFACE),
    ("USBDEVFS_RELEASEINTERFACE", RELEASE_INTERFACE),
    ("USBDEVFS_GET_CAPABILITIES", GET_CAPABILITIES),
    ("USBDEVFS_GET_SPEED", GET_SPEED),
];

/// And what a driver calls in addition that may reset the port of its device.
pub(super) const RESET_IOCTL: (&str, Opcode) = ("USBDEVFS_RESET", RESET);

/// USBDEVFS_CAP_REAP_AFTER_DISCONNECT: what was in flight can be reaped after an unplug.
pub(super) const CAP_REAP_AFTER_DISCONNECT: u32 = 0x10;
/// USBDEVFS_CAP_MMAP: the node can be mapped.
pub(super) const CAP_MMAP: u32 = 0x20;

/// Calls an ioctl whose argument is a value that the kernel copies.
fn set<const CODE: Opcode, T>(fd: BorrowedFd<'_>, value: T) -> Result<(), Errno> {
    // SAFETY: each use in this file pairs a code with the structure that the kernel's header declares for it.
    unsafe { ioctl::ioctl(fd, Setter::<CODE, T>::new(value)) }
}

/// Calls an ioctl that reads or writes `*value`, or takes a pointer that it never follows, and returns what the call returned.
fn call<T>(fd: BorrowedFd<'_>, code: Opcode, value: *mut T) -> Result<c_int, Errno> {
    struct Call<T>(Opcode, *mut T);
    // SAFETY: the pointer is passed on as it is, and the output is the plain return value.
    unsafe impl<T> ioctl::Ioctl for Call<T> {
        type Output = c_int;
        const IS_MUTATING: bool = true;
        fn opcode(&self) -> Opcode {
            self.0
        }
        fn as_ptr(&mut self) -> *mut c_void {
            self.1.cast()
        }
        unsafe fn output_from_ptr(out: ioctl::IoctlOutput, _: *mut c_void) -> rustix::io::Result<c_int> {
            Ok(out)
        }
    }
    // SAFETY: each use in this file pairs a code with a pointer to the structure that the kernel's header declares for it, valid as
    // long as the kernel uses it.
    unsafe { ioctl::ioctl(fd, Call(code, value)) }
}

/// Capability bits.
pub(super) fn capabilities(fd: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut bits = 0u32;
    call(fd, GET_CAPABILITIES, &raw mut bits)?;
    Ok(bits)
}

/// `enum usb_device_speed` of linux/usb/ch9.h.
pub(super) fn speed(fd: BorrowedFd<'_>) -> Result<c_int, Errno> {
    call::<c_void>(fd, GET_SPEED, std::ptr::null_mut())
}

/// The kernel driver bound to an interface ("usbfs" if a program has it), or `None`.
pub(super) fn driver_of(fd: BorrowedFd<'_>, interface: u8) -> Result<Option<String>, Errno> {
    let mut query = DriverOf { interface: interface.into(), driver: [0; 256] };
    match call(fd, GET_DRIVER, &raw mut query) {
        Ok(_) => {
            let end = query.driver.iter().position(|byte| *byte == 0).unwrap_or(query.driver.len());
            Ok(Some(String::from_utf8_lossy(&query.driver[..end]).into_owned()))
        }
        Err(Errno::NODATA) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes an interface from whatever kernel driver has it, but not from another program.
pub(super) fn disconnect_claim(fd: BorrowedFd<'_>, interface: u8) -> Result<(), Errno> {
    let mut driver = [0; 256];
    driver[..5].copy_from_slice(b"usbfs");
    let claim = DisconnectClaim { interface: interface.into(), flags: CLAIM_EXCEPT_DRIVER, driver };
    match set::<DISCONNECT_CLAIM, _>(fd, claim) {
        // After DROP_PRIVILEGES the kernel refuses to detach drivers, while what the opener claimed stays ours.
        Err(Errno::ACCESS) => set::<CLAIM_INTERFACE, c_uint>(fd, interface.into()),
        result => result,
    }
}

/// Gives a claimed interface back.
pub(super) fn release_interface(fd: BorrowedFd<'_>, interface: u8) -> Result<(), Errno> {
    set::<RELEASE_INTERFACE, c_uint>(fd, interface.into())
}

/// Detaches the kernel's driver from an interface.
pub(super) fn disconnect(fd: BorrowedFd<'_>, interface: u8) -> Result<(), Errno> {
    interface_ioctl(fd, interface, DISCONNECT)
}

/// Lets the kernel look for a driver for an interface.
pub(super) fn connect(fd: BorrowedFd<'_>, interface: u8) -> Result<(), Errno> {
    interface_ioctl(fd, interface, CONNECT)
}

fn interface_ioctl(fd: BorrowedFd<'_>, interface: u8, code: Opcode) -> Result<(), Errno> {
    let mut argument =
        InterfaceIoctl { interface: interface.into(), code: code as c_int, data: std::ptr::null_mut() };
    call(fd, IOCTL, &raw mut argument).map(drop)
}

/// Gives up, for this open file, all that is not needed to drive the interfaces in `mask` (bit n: interface n).
pub(super) fn drop_privileges(fd: BorrowedFd<'_>, mask: u32) -> Result<(), Errno> {
    let mut mask = mask;
    call(fd, DROP_PRIVILEGES, &raw mut mask).map(drop)
}

pub(super) fn set_interface(fd: BorrowedFd<'_>, interface: u8, alternate: u8) -> Result<(), Errno> {
    set::<SET_INTERFACE, _>(fd, SetInterface { interface: interface.into(), altsetting: alternate.into() })
}

pub(super) fn set_configuration(fd: BorrowedFd<'_>, value: u8) -> Result<(), Errno> {
    set::<SET_CONFIGURATION, c_uint>(fd, value.into())
}

pub(super) fn clear_halt(fd: BorrowedFd<'_>, endpoint: u8) -> Result<(), Errno> {
    set::<CLEAR_HALT, c_uint>(fd, endpoint.into())
}

pub(super) fn reset(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    call::<c_void>(fd, RESET, std::ptr::null_mut()).map(drop)
}

/// What is in flight with one of the structures that the kernel knows by address.
struct Slot {
    urb: Option<Urb>,
    /// Setup and data of a control transfer, which usbfs wants in one piece.
    control: Vec<u8>,
}

/// Structures per allocation: more than most drivers ever queue.
const CHUNK: usize = 256;

/// An open node and everything in flight on it.
pub(super) struct Node {
    fd: OwnedFd,
    /// [`CHUNK`] structures each, which never move.
    raws: Vec<Box<[UnsafeCell<RawUrb>]>>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Slot by token.
    by_token: Vec<Option<usize>>,
}

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl std::os::fd::AsRawFd for Node {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.fd.as_raw_fd()
    }
}

impl Node {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self { fd, raws: Vec::new(), slots: Vec::new(), free: Vec::new(), by_token: Vec::new() }
    }

    /// Registers the node with the event loop of the calling thread's queue.
    pub(super) fn watch(self) -> std::io::Result<AsyncFd<Self>> {
        // SAFETY: the node owns its descriptor, never replaces it, and closes it only when dropped, after the registration.
        unsafe { AsyncFd::register_with_interest(self, Interest::WRITABLE) }
            .map_err(|error| error.into_parts().1)
    }

    /// Requests in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// A free slot. Grows to the deepest the driver ever queues, then never again.
    fn slot(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            if self.slots.len() == self.raws.len() * CHUNK {
                self.raws.push((0..CHUNK).map(|_| UnsafeCell::new(RawUrb::NEW)).collect());
            }
            self.slots.push(Slot { urb: None, control: Vec::new() });
            self.slots.len() - 1
        })
    }

    fn raw(&self, index: usize) -> *mut RawUrb {
        self.raws[index / CHUNK][index % CHUNK].get()
    }

    /// The slot whose structure is at this address.
    fn index_of(&self, raw: *const RawUrb) -> Option<usize> {
        self.raws.iter().enumerate().find_map(|(n, chunk)| {
            let offset = raw.addr().checked_sub(chunk.as_ptr().addr())?;
            let index = offset / size_of::<RawUrb>();
            (index < CHUNK && offset % size_of::<RawUrb>() == 0).then_some(n * CHUNK + index)
        })
    }

    /// Submits a transfer or control request.
    pub(super) fn submit(&mut self, mut urb: Urb) -> Result<(), (Errno, Urb)> {
        let index = self.slot();
        let raw = self.raw(index);
        let slot = &mut self.slots[index];
        let (kind, endpoint, flags, buffer, length) = match urb.operation {
            Operation::Transfer { endpoint, transfer_type, request, zero_packet } => {
                let kind = match transfer_type {
                    TransferType::Interrupt => URB_TYPE_INTERRUPT,
                    _ => URB_TYPE_BULK,
                };
                let outgoing = Direction::of(endpoint) == Direction::Out;
                let length = if outgoing { urb.buffer.len() } else { request.min(urb.buffer.capacity()) };
                let flags = if outgoing && zero_packet { URB_ZERO_PACKET } else { 0 };
                (kind, endpoint, flags, urb.buffer.space_mut().as_mut_ptr(), length)
            }
            Operation::Control(setup) => {
                let length = usize::from(setup.length).min(urb.buffer.capacity());
                slot.control.clear();
                slot.control.extend_from_slice(&SetupPacket { length: length as u16, ..setup }.to_bytes());
                slot.control.extend_from_slice(&urb.buffer.space()[..length]);
                (URB_TYPE_CONTROL, 0, 0, slot.control.as_mut_ptr(), slot.control.len())
            }
            // The synchronous operations have ioctls of their own.
            _ => {
                self.free.push(index);
                return Err((Errno::INVAL, urb));
            }
        };
        let Ok(length) = c_int::try_from(length) else {
            self.free.push(index);
            return Err((Errno::INVAL, urb));
        };
        // SAFETY: the slot was free, so the kernel does not know this structure; its chunk keeps it in place.
        unsafe {
            (*raw).kind = kind;
            (*raw).endpoint = endpoint;
            (*raw).flags = flags;
            (*raw).buffer = buffer.cast();
            (*raw).buffer_length = length;
            (*raw).actual_length = 0;
            (*raw).status = 0;
        }
        // The buffer's memory does not move with the `Urb`: it is a mapping or a heap allocation, owned by the slot until reaped.
        match call(self.fd.as_fd(), SUBMIT_URB, raw) {
            Ok(_) => {
                let token = urb.token.0 as usize;
                if self.by_token.len() <= token {
                    self.by_token.resize(token + 1, None);
                }
                self.by_token[token] = Some(index);
                slot.urb = Some(urb);
                Ok(())
            }
            Err(error) => {
                self.free.push(index);
                Err((error, urb))
            }
        }
    }

    /// Takes back one request that ended; `Errno::AGAIN` if none has, `Errno::NODEV` if the device is gone and none is left.
    pub(super) fn reap(&mut self) -> Result<Done, Errno> {
        let mut raw: *mut RawUrb = std::ptr::null_mut();
        call(self.fd.as_fd(), REAP_URB_NDELAY, &raw mut raw)?;
        // Only the address is used, to find our own structure again: the kernel keeps what we gave it, and nobody else submits on this
        // description.
        let known =
            self.index_of(raw).filter(|index| self.slots.get(*index).is_some_and(|slot| slot.urb.is_some()));
        // Somebody else submitted on this description, which breaks the promise of whoever gave it to us.
        let index = known.ok_or(Errno::BADF)?;
        Ok(self.take(index))
    }

    fn take(&mut self, index: usize) -> Done {
        let raw = self.raw(index);
        let slot = &mut self.slots[index];
        // SAFETY: reaped, so the kernel is done with it.
        let (status, actual) = unsafe { ((*raw).status, (*raw).actual_length) };
        let urb = slot.urb.take();
        let mut urb = urb.expect("the kernel returns a request once");
        let actual = usize::try_from(actual).unwrap_or(0).min(urb.buffer.capacity());
        match urb.operation {
            Operation::Control(setup) if setup.direction() == Direction::In => {
                if let Some(data) = slot.control.get(8..8 + actual) {
                    urb.buffer.space_mut()[..actual].copy_from_slice(data);
                    urb.buffer.set_len(actual);
                }
            }
            Operation::Transfer { endpoint, .. } if Direction::of(endpoint) == Direction::In => {
                urb.buffer.set_len(actual);
            }
            _ => {}
        }
        self.by_token[urb.token.0 as usize] = None;
        self.free.push(index);
        let status = match status {
            0 => Ok(actual),
            negative => Err(transfer_error(Errno::from_raw_os_error(-negative))),
        };
        Done { urb, status }
    }

    /// Asks the kernel to end a request; waits until the controller has let go of it. It is then reaped like any other.
    pub(super) fn discard(&mut self, token: Token) {
        let Some(Some(index)) = self.by_token.get(token.0 as usize) else { return };
        let raw = self.raw(*index);
        // An error means that it ended by itself meanwhile (EINVAL) or that the device is gone: it is reaped in both cases.
        let _ = call(self.fd.as_fd(), DISCARD_URB, raw);
    }

    /// Asks the kernel to end everything in flight, as [`discard`](Self::discard) does.
    pub(super) fn discard_all(&mut self) {
        let tokens: Vec<Token> =
            self.slots.iter().filter_map(|slot| slot.urb.as_ref().map(|urb| urb.token)).collect();
        for token in tokens {
            self.discard(token);
        }
    }

    /// Ends and returns everything in flight.
    pub(super) fn drain(&mut self, done: &mut Vec<Done>) {
        self.discard_all();
        while self.in_flight() > 0 {
            match self.reap() {
                Ok(ended) => done.push(ended),
                Err(_) => break,
            }
        }
    }

    /// After an unplug: returns what the kernel did not, without it. The kernel has ended it and, since nobody reaps any more, will
    /// not write to it.
    pub(super) fn give_up(&mut self, done: &mut Vec<Done>) {
        for index in 0..self.slots.len() {
            if self.slots[index].urb.is_some() {
                // SAFETY: a plain store to our own structure.
                unsafe { (*self.raw(index)).status = -Errno::NODEV.raw_os_error() };
                let ended = self.take(index);
                done.push(ended);
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let mut done = Vec::new();
        self.drain(&mut done);
        if self.in_flight() > 0 {
            // The kernel kept a mapped buffer; closing the node makes it let go, but the memory must not be reused before that.
            mem::forget(mem::take(&mut self.slots));
            mem::forget(mem::take(&mut self.raws));
        }
    }
}

/// How the kernel reports a transfer (Documentation/driver-api/usb/error-codes.rst).
pub(super) fn transfer_error(error: Errno) -> TransferError {
    match error {
        Errno::PIPE => TransferError::Stall,
        Errno::PROTO
        | Errno::ILSEQ
        | Errno::TIME
        | Errno::COMM
        | Errno::NOSR
        | Errno::IO
        | Errno::REMOTEIO => TransferError::Fault,
        Errno::OVERFLOW => TransferError::Overflow,
        Errno::NODEV | Errno::SHUTDOWN => TransferError::Unplugged,
        Errno::NOENT | Errno::CONNRESET => TransferError::Cancelled,
        Errno::TIMEDOUT => TransferError::TimedOut,
        other => TransferError::Refused(other.raw_os_error()),
    }
}
