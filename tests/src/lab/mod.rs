//! The kernel lab, guest side: real drivers against the devices of QEMU and of the kernel's gadget framework.
//!
//! `cargo xtask lab` boots the guest, starts the program `lab-guest` there and gives it a job. Each scenario runs in a process of its own, so
//! that one that hangs can be ended without taking the rest along; it talks to the runner through its standard input and output, and the
//! runner passes what it says on to the host.
//!
//! Nothing here may know how the guest was booted, apart from the name of the port it finds.

mod contender;
pub(crate) mod context;
pub(crate) mod cpu;
mod dongle;
mod gadget;
mod iperf;
mod kernel_driver;
mod kernel_log;
mod leak;
pub(crate) mod netns;
pub(crate) mod outboard;
mod pingpong;
pub(crate) mod run;
mod runner;
mod scenarios;
pub mod stream;
mod sys;
pub(crate) mod sysfs;
mod trace;
mod uhid;
mod usb_device;
mod usbmon;
mod virtual_device;
pub mod wire;

pub use runner::main;
