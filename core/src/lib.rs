//! What an Outboard driver is written against: USB class drivers that run outside the Linux kernel, in an ordinary process.
//!
//! A driver is a type that implements [`service::Driver`]. It is started on a [`queue::DispatchQueue`] with what it drives, takes
//! [`usb::Pipe`]s from a [`usb::Interface`], submits [`buffer::BufferDescriptor`]s with an [`action::Action`] that names the method to call when
//! they are done, and serves the host through a family, such as [`family::ethernet`]. Everything of it runs on its queue's one thread, so
//! that it has no lock; what it made through its [`service::Context`] ends with it, so that it has no clean-up.
//!
//! ```
//! use outboard_core::Result;
//! use outboard_core::action::{Action, Completion, Outcome};
//! use outboard_core::buffer::BufferDescriptor;
//! use outboard_core::service::{Context, Driver};
//! use outboard_core::usb::{In, Interface, Interrupt, Pipe};
//!
//! /// Reads from an interrupt endpoint for as long as there is a device.
//! struct Reader {
//!     context: Context<Self>,
//!     interface: Interface,
//!     pipe: Pipe<Interrupt, In>,
//!     read: Action<BufferDescriptor<In>>,
//! }
//!
//! impl Driver for Reader {
//!     type Provider = Interface;
//!
//!     async fn start(context: &Context<Self>, interface: Interface) -> Result<Self> {
//!         let pipe = interface.first_pipe()?;
//!         let read = context.action(Self::read_complete);
//!         pipe.async_io(pipe.buffer(64), &read)?;
//!         Ok(Self { context: context.clone(), interface, pipe, read })
//!     }
//! }
//!
//! impl Reader {
//!     fn read_complete(&mut self, done: Completion<BufferDescriptor<In>>) {
//!         match done.outcome {
//!             Outcome::Completed(Ok(_)) => println!("{:02x?}", done.buffer.data()),
//!             Outcome::Completed(Err(error)) => return self.context.fail(error.during("read")),
//!             Outcome::Cancelled | Outcome::Aborted(_) => return,
//!         }
//!         if let Err(rejected) = self.pipe.async_io(done.buffer, &self.read) {
//!             self.context.fail(rejected.error);
//!         }
//!     }
//! }
//! ```
//!
//! # Running it
//!
//! [`usb::discovery`] finds the device, a transport ([`usb::transport::usbfs::UsbFs`]) opens it, and [`service::Service::start`] starts the driver:
//!
//! ```no_run
//! # use outboard_core::service::{Context, Driver, Service};
//! # use outboard_core::usb::{Device, Interface, discovery, transport::usbfs::UsbFs};
//! # use outboard_core::queue::{Clock, DispatchQueue};
//! # struct Reader;
//! # impl Driver for Reader {
//! #     type Provider = Interface;
//! #     async fn start(_: &Context<Self>, _: Interface) -> outboard_core::Result<Self> { Ok(Self) }
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! DispatchQueue::run("Default", Clock::Real, |_| async {
//!     let devices = discovery::list()?;
//!     let found = discovery::select(&devices, &"1-2.3".parse()?)?;
//!     let device = Device::open(UsbFs::open(&found.node, &found.name, found.configuration)?).await?;
//!     let service = Service::<Reader>::start(device.interface(0)?).await?;
//!     println!("{:?}", service.ended().await);
//!     service.stop().await;
//!     Ok(())
//! })?
//! # }
//! ```
//!
//! # Testing it
//!
//! The same driver runs without device, privilege or waiting: [`usb::transport::in_process`] is a transport to a model of the device, and a
//! queue with a virtual clock (feature `virtual-time`) lets minutes of back-off pass at once. [`usb::transport::fault`] injects stalls,
//! corruption and unplugs; [`usb::transport::record`] tells what went over the bus.
//!
//! # What holds everywhere
//!
//! - Each submission ends in exactly one [`action::Outcome`], and gives its buffer back.
//! - After an awaited cancel or stop, no handler runs.
//! - An endpoint that is missing, has another type or direction, or no packet size cannot be opened.
//! - No byte of a device is believed; what it says wrongly is an [`Error`] with interface, endpoint and field.
//! - In steady state nothing is allocated per transfer.
//!
//! This crate never ends the process, and logs through `tracing` without setting it up.

pub mod action;
pub mod buffer;
mod error;
pub mod family;
pub mod host;
mod mac;
pub mod manifest;
pub mod queue;
pub mod registry;
pub mod sandbox;
pub mod service;
pub mod source;
pub mod usb;

pub use error::{Error, ErrorKind, Result};
pub use mac::{MacAddr, ParseMacError};
