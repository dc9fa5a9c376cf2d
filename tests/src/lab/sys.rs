//! The ioctl that the lab needs, as a safe function. It decides nothing.
#![allow(unsafe_code)]

use std::os::fd::AsFd;

use rustix::io::Result;
use rustix::ioctl::{self, IntegerSetter, Opcode, opcode};

/// linux/input.h: nobody else gets this node's events.
const EVIOCGRAB: Opcode = opcode::write::<i32>(b'E', 0x90);

/// Takes an evdev node for this file alone, until it is closed.
pub(super) fn grab(evdev: impl AsFd) -> Result<()> {
    // SAFETY: EVIOCGRAB takes an integer by value.
    unsafe { ioctl::ioctl(evdev, IntegerSetter::<EVIOCGRAB>::new_usize(1)) }
}
