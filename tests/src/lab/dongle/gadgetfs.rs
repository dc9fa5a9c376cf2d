//! A USB device written as a user program, through GadgetFS: ep0's events and answers, and files that are endpoints.
//!
//! GadgetFS and not FunctionFS: the latter (Linux 6.1, `ffs_do_single_desc`) refuses the CDC functional descriptors, which are what the lab
//! wants to corrupt. GadgetFS passes any configuration on, and STALLs where the program reads or writes in the wrong direction, so that
//! it needs neither an ioctl nor `unsafe`. It knows nothing of Ethernet.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::lab::run::run;

const MOUNT: &str = "/dev/gadget";

/// What the host does to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Speeds are agreed; requests will follow.
    Connect,
    /// The bus was reset, or the cable pulled: transfers have ended.
    Disconnect,
    /// A control request that the kernel does not answer itself.
    Setup(Setup),
    /// Anything else.
    Other,
}

/// A SETUP packet (USB 2.0, 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) request_type: u8,
    pub(crate) request: u8,
    pub(crate) value: u16,
    pub(crate) index: u16,
    pub(crate) length: u16,
}

impl Setup {
    fn parse(bytes: &[u8; 8]) -> Self {
        let word = |low: u8, high: u8| u16::from_le_bytes([low, high]);
        let [request_type, request, v0, v1, i0, i1, l0, l1] = *bytes;
        Self { request_type, request, value: word(v0, v1), index: word(i0, i1), length: word(l0, l1) }
    }

    /// Whether the data stage goes to the host.
    pub(crate) fn is_in(self) -> bool {
        self.request_type & 0x80 != 0
    }
}

/// The device; detached when dropped.
#[derive(Debug)]
pub(crate) struct Device {
    ep0: File,
}

impl Device {
    /// Attaches a device with these descriptors to the one free controller.
    pub(crate) fn attach(full: &[u8], high: &[u8], device: &[u8]) -> Result<Self> {
        mount()?;
        let path = Path::new(MOUNT).join("dummy_udc");
        let mut ep0 = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        // linux/usb/gadgetfs.h: a tag of 0, the full-speed configuration, the high-speed one, the device descriptor, in one write.
        let message = [&0u32.to_ne_bytes(), full, high, device].concat();
        let written = ep0.write(&message).context("GadgetFS refuses the descriptors")?;
        if written != message.len() {
            bail!("GadgetFS took {written} of {} bytes of descriptors", message.len());
        }
        Ok(Self { ep0 })
    }

    /// Waits for the next event.
    pub(crate) fn event(&mut self) -> io::Result<Event> {
        // struct usb_gadgetfs_event: 8 bytes of union, 4 bytes of type.
        let mut bytes = [0; 12];
        let got = self.ep0.read(&mut bytes)?;
        if got != bytes.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("an event of {got} bytes")));
        }
        let [setup @ .., k0, k1, k2, k3] = bytes;
        Ok(match u32::from_ne_bytes([k0, k1, k2, k3]) {
            1 => Event::Connect,
            2 => Event::Disconnect,
            3 => Event::Setup(Setup::parse(&setup)),
            _ => Event::Other,
        })
    }

    /// Answers a request of the IN direction.
    pub(crate) fn answer(&mut self, setup: Setup, data: &[u8]) -> io::Result<()> {
        let most = data.len().min(usize::from(setup.length));
        self.ep0.write(&data[..most]).map(drop)
    }

    /// Accepts a request of the OUT direction and takes its data.
    pub(crate) fn accept(&mut self, setup: Setup) -> io::Result<Vec<u8>> {
        let mut data = vec![0; usize::from(setup.length)];
        let got = self.ep0.read(&mut data)?;
        data.truncate(got);
        Ok(data)
    }

    /// STALLs a request: the data stage in the wrong direction.
    pub(crate) fn stall(&mut self, setup: Setup) {
        let _always_an_error =
            if setup.is_in() { self.ep0.read(&mut [0; 1]) } else { self.ep0.write(&[0; 1]) };
    }
}

/// An endpoint that moves data.
#[derive(Debug)]
pub(crate) struct Endpoint {
    file: File,
    is_in: bool,
}

impl Endpoint {
    /// Enables the endpoint file of this name with its descriptors for both speeds.
    pub(crate) fn enable(name: &str, full: &[u8], high: &[u8]) -> Result<Self> {
        let path = Path::new(MOUNT).join(name);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        let message = [&1u32.to_ne_bytes(), full, high].concat();
        file.write(&message).with_context(|| format!("enable endpoint {name}"))?;
        Ok(Self { file, is_in: full.get(2).is_some_and(|address| address & 0x80 != 0) })
    }

    /// One transfer from the host.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }

    /// One transfer to the host.
    pub(crate) fn write(&self, data: &[u8]) -> io::Result<()> {
        (&self.file).write(data).map(drop)
    }

    /// Sets the halt feature; the host has to clear it.
    pub(crate) fn halt(&self) {
        let _always_an_error =
            if self.is_in { (&self.file).read(&mut [0; 1]) } else { (&self.file).write(&[0; 1]) };
    }
}

fn mount() -> Result<()> {
    crate::lab::gadget::load()?;
    run("modprobe gadgetfs")?;
    fs::create_dir_all(MOUNT)?;
    if !Path::new(MOUNT).join("dummy_udc").exists() {
        run(&format!("mount -t gadgetfs none {MOUNT}"))?;
    }
    Ok(())
}
