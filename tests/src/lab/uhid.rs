//! A HID device of this kernel without hardware: /dev/uhid takes its descriptor and its reports, and the kernel's own drivers make input nodes of
//! it. Reports are handled before the write that brings them returns, so nothing here waits for events.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use outboard_core::family::hid::Event;
use outboard_core::family::hid::codes::{EV_REP, EV_SYN, REP_PERIOD};
use rustix::fs::OFlags;

use super::sys;
use super::sysfs::{read, wait_for, wait_until};

/// Every device of this scenario has these: no driver of the kernel knows them.
pub(crate) const NAME: &str = "parity dev";
const VENDOR: u32 = 1;
const PRODUCT: u32 = 2;
const USB: u16 = 3;

/// `linux/uhid.h`.
mod kind {
    pub(super) const DESTROY: u32 = 1;
    pub(super) const STOP: u32 = 3;
    pub(super) const GET_REPORT: u32 = 9;
    pub(super) const GET_REPORT_REPLY: u32 = 10;
    pub(super) const CREATE2: u32 = 11;
    pub(super) const INPUT2: u32 = 12;
    pub(super) const SET_REPORT: u32 = 13;
    pub(super) const SET_REPORT_REPLY: u32 = 14;
}

/// The kernel's part of a slow machine.
const LIMIT: Duration = Duration::from_secs(60);
const DEVICES: &str = "/sys/devices/virtual/misc/uhid";
/// `struct input_event`: two words of time, kind, code, value.
const EVENT: usize = 24;

/// A device; it is taken away when dropped.
#[derive(Debug)]
pub(crate) struct Uhid {
    file: File,
    /// Answers what the kernel asks, until the device is gone.
    answers: Option<JoinHandle<()>>,
    hidraw: File,
    /// The device's input nodes, in the order in which they appeared.
    pub(crate) nodes: Vec<Node>,
}

/// An input node.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its name.
    pub(crate) name: String,
    file: File,
}

impl Uhid {
    /// Plugs it in and opens its nodes.
    pub(crate) fn new(descriptor: &[u8]) -> Result<Self> {
        let mut file =
            OpenOptions::new().read(true).write(true).open("/dev/uhid").context("open /dev/uhid")?;
        file.write_all(&create(descriptor)?).context("make the device")?;
        let other = file.try_clone()?;
        let answers = Some(thread::spawn(move || answer(other)));
        let (folder, raw) = wait_for("the device", LIMIT, || {
            let entries = fs::read_dir(DEVICES)?.filter_map(|entry| Some(entry.ok()?.path()));
            // Whatever happens to the input nodes, hidraw comes last.
            let raw = |folder: &Path| fs::read_dir(folder.join("hidraw")).ok()?.next()?.ok();
            Ok({ entries }.find_map(|folder| raw(&folder).map(|raw| (folder, raw))))
        })?;
        let path = Path::new("/dev").join(raw.file_name());
        let hidraw = wait_for("the hidraw node", LIMIT, || {
            let flags = OFlags::NONBLOCK.bits() as i32;
            Ok(OpenOptions::new().read(true).custom_flags(flags).open(&path).ok())
        })?;
        Ok(Self { file, answers, hidraw, nodes: nodes(&folder)? })
    }

    /// Sends the first report until it arrives: the driver hears none while it is still setting up the device.
    pub(crate) fn first_report(&mut self, bytes: &[u8]) -> Result<()> {
        let mut failure = None;
        wait_until("the first report to arrive", LIMIT, || {
            failure = self.report(bytes).err();
            failure.is_some() || self.hidraw.read(&mut [0; 4096]).is_ok()
        })?;
        failure.map_or(Ok(()), Err)
    }

    /// Sends a report.
    pub(crate) fn report(&mut self, bytes: &[u8]) -> Result<()> {
        let length = u16::try_from(bytes.len())?;
        let message = [&kind::INPUT2.to_ne_bytes()[..], &length.to_ne_bytes(), bytes].concat();
        self.file.write_all(&message).context("send a report")
    }
}

impl Drop for Uhid {
    fn drop(&mut self) {
        // Before its nodes are let go: keys that are down are for nobody else.
        let _gone = self.file.write_all(&kind::DESTROY.to_ne_bytes());
        let _panicked = self.answers.take().map(JoinHandle::join);
    }
}

/// `struct uhid_create2_req`.
fn create(descriptor: &[u8]) -> Result<Vec<u8>> {
    ensure!(descriptor.len() <= 4096, "uhid takes descriptors of up to 4096 bytes");
    let mut message = kind::CREATE2.to_ne_bytes().to_vec();
    for (text, length) in [(NAME, 128), ("lab/input0", 64), ("", 64)] {
        message.extend(text.bytes().chain(std::iter::repeat(0)).take(length));
    }
    message.extend((descriptor.len() as u16).to_ne_bytes());
    message.extend(USB.to_ne_bytes());
    // Vendor, product, version, country.
    for number in [VENDOR, PRODUCT, 0x111, 0] {
        message.extend(number.to_ne_bytes());
    }
    message.extend(descriptor);
    Ok(message)
}

/// Refuses to say features, and accepts to have them set.
fn answer(mut file: File) {
    const EIO: u16 = 5;
    let mut message = [0; 4380];
    while let Ok(length) = file.read(&mut message) {
        let Some((kind, rest)) = message[..length].split_first_chunk() else { return };
        let Some(id) = rest.first_chunk::<4>() else { return };
        let (reply, error) = match u32::from_ne_bytes(*kind) {
            kind::GET_REPORT => (kind::GET_REPORT_REPLY, EIO),
            kind::SET_REPORT => (kind::SET_REPORT_REPLY, 0),
            kind::STOP => return,
            _ => continue,
        };
        let reply = [&reply.to_ne_bytes()[..], id, &error.to_ne_bytes(), &[0, 0]].concat();
        if file.write_all(&reply).is_err() {
            return;
        }
    }
}

fn nodes(folder: &Path) -> Result<Vec<Node>> {
    let Ok(entries) = fs::read_dir(folder.join("input")) else { return Ok(Vec::new()) };
    let mut inputs: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let number = path.file_name()?.to_str()?.strip_prefix("input")?.parse().ok()?;
            Some((number, path))
        })
        .collect();
    inputs.sort();
    inputs.iter().map(|(_, path)| Node::open(path)).collect()
}

impl Node {
    fn open(input: &Path) -> Result<Self> {
        let name = read(input.join("name"))?;
        let event = fs::read_dir(input)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let event =
            { event }.find(|name| name.starts_with("event")).context("the input node has no evdev node")?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(Path::new("/dev/input").join(event))
            .context("open the evdev node")?;
        // Nobody else may act on what random reports press: the console, and SysRq above all.
        sys::grab(&file).context("take the evdev node")?;
        let mut this = Self { name, file };
        // Repetitions come by the clock, which is not what is compared.
        this.inject(Event::new(EV_REP, REP_PERIOD, 0))?;
        this.inject(Event::SYN_REPORT)?;
        this.events()?;
        Ok(this)
    }

    fn inject(&mut self, event: Event) -> Result<()> {
        let Event { kind, code, value } = event;
        let time = [0; 16];
        let bytes = [&time[..], &kind.to_ne_bytes(), &code.to_ne_bytes(), &value.to_ne_bytes()].concat();
        self.file.write_all(&bytes).context("write an event")
    }

    /// All events since the last time; `None` if they were more than the node's buffer holds.
    pub(crate) fn events(&mut self) -> Result<Option<Vec<Event>>> {
        const SYN_DROPPED: u16 = 3;
        let mut events = Vec::new();
        let mut dropped = false;
        let mut bytes = [0; EVENT * 64];
        loop {
            let length = match self.file.read(&mut bytes) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok((!dropped).then_some(events));
                }
                Err(error) => return Err(error).context("read events"),
            };
            for event in bytes[..length].chunks_exact(EVENT) {
                let word = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
                let value = i32::from_ne_bytes([event[20], event[21], event[22], event[23]]);
                let event = Event::new(word(16), word(18), value);
                dropped |= (event.kind, event.code) == (EV_SYN, SYN_DROPPED);
                events.push(event);
            }
        }
    }
}
