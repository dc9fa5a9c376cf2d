//! An ECM dongle as a program: sound, with a defect in its descriptors, or one that STALLs as it goes.
//!
//! It runs in a process of its own, so that whatever state it is in, killing it detaches the device.

pub(crate) mod descriptors;
mod gadgetfs;
pub(crate) mod responder;

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use anyhow::Result;
use clap::Args;

use descriptors::{BULK_IN, BULK_OUT, Defect, NOTIFICATION, Rate, served_endpoint};
use gadgetfs::{Device, Endpoint, Event, Setup};

/// Options of the dongle.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// What is wrong with it.
    #[arg(long, value_enum, default_value = "none")]
    pub(crate) defect: Defect,
    /// Halt bulk OUT after every so many frames from the host.
    #[arg(long)]
    pub(crate) halt_out: Option<u32>,
    /// Halt bulk IN after every so many frames from the host.
    #[arg(long)]
    pub(crate) halt_in: Option<u32>,
}

/// SET_CONFIGURATION, GET_DESCRIPTOR, SET_INTERFACE, GET_INTERFACE (USB 2.0, table 9-4).
const SET_CONFIGURATION: u8 = 9;
const GET_DESCRIPTOR: u8 = 6;
const GET_INTERFACE: u8 = 10;
const SET_INTERFACE: u8 = 11;
/// Descriptor type STRING (USB 2.0, table 9-5).
const STRING: u16 = 3;

/// Attaches the dongle and serves it until the process is killed. Prints `attached` first.
pub(crate) fn serve(options: &Options) -> Result<()> {
    let configuration = |rate| descriptors::configuration(rate, options.defect);
    let mut device =
        Device::attach(&configuration(Rate::Full), &configuration(Rate::High), &descriptors::device())?;
    println!("attached");
    let mut link = None;
    let mut alternate = 0;
    loop {
        match device.event() {
            Ok(Event::Setup(setup)) => {
                if let Err(error) = answer(&mut device, setup, options, &mut link, &mut alternate) {
                    // The host gave the request up; it will say what it wants next.
                    eprintln!("dongle: {setup:02x?}: {error:#}");
                }
            }
            Ok(Event::Disconnect) => alternate = 0,
            Ok(Event::Connect | Event::Other) => {}
            // A request was reset while it was being served (ECANCELED, EIDRM).
            Err(error) if matches!(error.raw_os_error(), Some(125 | 43)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn answer(
    device: &mut Device,
    setup: Setup,
    options: &Options,
    link: &mut Option<Link>,
    alternate: &mut u8,
) -> Result<()> {
    match (setup.request_type, setup.request) {
        (0x80, GET_DESCRIPTOR) if setup.value >> 8 == STRING => {
            match descriptors::string(setup.value.to_le_bytes()[0], options.defect) {
                Some(string) => device.answer(setup, &string)?,
                None => device.stall(setup),
            }
        }
        (0x00, SET_CONFIGURATION) => {
            if setup.value != 0 && link.as_ref().is_none_or(Link::ended) {
                *link = None;
                match Link::start(options) {
                    Ok(started) => *link = Some(started),
                    Err(error) => eprintln!("dongle: {error:#}"),
                }
            }
            device.accept(setup)?;
        }
        (0x01, SET_INTERFACE) => {
            *alternate = setup.value.to_le_bytes()[0];
            if let Some(link) = link.as_ref().filter(|_| setup.value == 1) {
                link.announce();
            }
            device.accept(setup)?;
        }
        (0x81, GET_INTERFACE) => device.answer(setup, &[*alternate])?,
        // Class requests to the control interface (ECM 1.2, 6.2): all are accepted, none changes what the lab looks at.
        (0x21, _) if options.defect != Defect::ClassStall => drop(device.accept(setup)?),
        _ => device.stall(setup),
    }
    Ok(())
}

/// The endpoints of the active configuration, with a thread each for frames and for notifications.
struct Link {
    frames: JoinHandle<()>,
    announcements: Sender<()>,
}

impl Link {
    fn start(options: &Options) -> Result<Self> {
        let enable = |name, address| {
            Endpoint::enable(
                name,
                &served_endpoint(address, Rate::Full),
                &served_endpoint(address, Rate::High),
            )
        };
        let notification = enable("ep5in-int", NOTIFICATION)?;
        let bulk_in = Arc::new(enable("ep1in-bulk", BULK_IN)?);
        let bulk_out = enable("ep2out-bulk", BULK_OUT)?;
        let (announcements, orders) = channel();
        thread::spawn(move || {
            // Blocks until the host polls; an error is the end of this configuration.
            while orders.recv().is_ok() {
                if notification.write(&network_connection()).is_err()
                    || notification.write(&speed_change()).is_err()
                {
                    break;
                }
            }
        });
        let options = options.clone();
        let frames = thread::spawn(move || move_frames(&bulk_out, &bulk_in, &options));
        Ok(Self { frames, announcements })
    }

    fn announce(&self) {
        let _configuration_over = self.announcements.send(());
    }

    fn ended(&self) -> bool {
        self.frames.is_finished()
    }
}

/// Answers frames until the configuration ends.
fn move_frames(bulk_out: &Endpoint, bulk_in: &Endpoint, options: &Options) {
    let mut buffer = [0; 4096];
    let mut count = 0u32;
    while let Ok(length) = bulk_out.read(&mut buffer) {
        count = count.wrapping_add(1);
        if let Some(mut reply) = responder::respond(&buffer[..length]) {
            // A transfer that fills its last packet would need a zero-length packet; a byte of padding ends it as well.
            if reply.len() % 512 == 0 {
                reply.push(0);
            }
            if bulk_in.write(&reply).is_err() {
                break;
            }
        }
        let due = |every: Option<u32>| every.is_some_and(|every| count.is_multiple_of(every));
        if due(options.halt_in) {
            bulk_in.halt();
        }
        if due(options.halt_out) {
            bulk_out.halt();
        }
    }
}

/// NETWORK_CONNECTION, connected (CDC 1.2, 6.3.1).
fn network_connection() -> [u8; 8] {
    [0xa1, 0x00, 1, 0, 0, 0, 0, 0]
}

/// CONNECTION_SPEED_CHANGE, 100 Mbit/s each way (CDC 1.2, 6.3.3).
fn speed_change() -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&[0xa1, 0x2a, 0, 0, 0, 0, 8, 0]);
    bytes[8..12].copy_from_slice(&100_000_000u32.to_le_bytes());
    bytes[12..16].copy_from_slice(&100_000_000u32.to_le_bytes());
    bytes
}
