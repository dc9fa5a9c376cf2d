//! Our trace against the kernel's: `outboard attach --trace` drives the gadget while usbmon listens to the same bus, and both must tell the same.
//!
//! The kernel's driver has given the device up before, so that all requests are ours but for one: when an interface is given back whose
//! alternate setting is not 0, the kernel selects 0.
//!
//! What may differ, and why:
//! - Ids and times are each one's own.
//! - usbmon sees a completion when it happens, our trace when the driver's queue takes it. So submissions and ends of an endpoint are compared
//!   each in their own order, and not how they alternate.
//! - The flags that the kernel adds for itself (URB_NO_TRANSFER_DMA_MAP for mapped memory).
//! - At an unplug the kernel ends some transfers by errors of the bus before it knows that the device is gone. What is submitted afterwards it
//!   refuses before usbmon sees it; our trace has the submission and the refusal.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use outboard_core::usb::trace::usbmon::{event, flag};

use super::gadget::{DEVICE, connect};
use crate::capture::{Capture, Record};
use crate::lab::contender::Vended;
use crate::lab::context::Context;
use crate::lab::gadget::{Gadget, Speed};
use crate::lab::netns::{ping, wait_carrier};
use crate::lab::sysfs::read;
use crate::lab::usb_device::UsbDevice;
use crate::lab::usbmon::UsbMon;
use crate::lab::wire::Contender;

/// The guest's own memory; its root is read-only.
const TRACE: &str = "/dev/shm/usb-trace.pcapng";

/// SET_INTERFACE, to 0 (USB 2.0, 9.4.10).
const SELECT_0: [u8; 4] = [0x01, 0x0b, 0, 0];

/// -ENODEV, -ESHUTDOWN, -EPROTO, -ENOENT, -ECONNRESET, -EPIPE, -EILSEQ: what an unplug looks like, depending on where it met the transfer.
const UNPLUGGED: [i32; 7] = [-19, -108, -71, -2, -104, -32, -84];

pub(crate) fn run(context: &mut Context) -> Result<()> {
    let gadget = Gadget::new(Speed::High, 5)?;
    let device = gadget.device()?;
    Vended::take(context, Contender::Kernel, &device)?.release().context("free the device")?;

    let (ours, kernels) = both(context, &device, |vended| {
        connect(&gadget, &vended)?;
        ping(DEVICE, 10, 56)?;
        ping(DEVICE, 10, 1472)?;
        // A frame that fills its last packet: 470 bytes, 8 of ICMP, 20 of IPv4, 14 of Ethernet.
        ping(DEVICE, 2, 470)?;
        gadget.netns.run(&format!("ip link set {} down", gadget.interface))?;
        wait_carrier(&vended.interface, false)?;
        connect(&gadget, &vended)?;
        vended.release()
    })?;
    let counted = compare(&ours, &kernels, false).context("an ordinary run")?;
    context.note(format!("an ordinary run: {counted}"));

    let (ours, kernels) = both(context, &device, |vended| {
        connect(&gadget, &vended)?;
        gadget.unplug()?;
        device.wait_gone()?;
        vended.unplugged()
    })?;
    let counted = compare(&without_refused(&ours)?, &kernels, true).context("an unplug")?;
    context.note(format!("an unplug: {counted}"));
    Ok(())
}

/// What our trace and usbmon have of the device while something is done with it.
fn both(
    context: &Context,
    device: &UsbDevice,
    work: impl FnOnce(Vended) -> Result<()>,
) -> Result<(Vec<Record>, Vec<Record>)> {
    let _absent = fs::remove_file(TRACE);
    let bus: u16 = read(device.path().join("busnum"))?.parse()?;
    let address: u8 = read(device.path().join("devnum"))?.parse()?;
    let monitor = UsbMon::start(bus)?;
    let vended = Vended::take_traced(context, device, Path::new(TRACE))?;
    work(vended)?;
    let mut kernels = monitor.stop()?;
    kernels.retain(|record| record.header.device == address);
    let capture = Capture::parse(&fs::read(TRACE)?).context("our trace")?;
    ensure!(capture.counted == Some(capture.records.len() as u64), "our trace has no end");
    let wrong =
        capture.records.iter().find(|record| (record.header.bus, record.header.device) != (bus, address));
    ensure!(wrong.is_none(), "not about device {address} of bus {bus}: {wrong:?}");
    let ours = capture.on_the_bus().cloned().collect();
    Ok((ours, kernels))
}

/// Without the submissions that were refused since the device is gone; a refusal follows its submission at once.
fn without_refused(records: &[Record]) -> Result<Vec<Record>> {
    let mut taken: Vec<Record> = Vec::new();
    for record in records {
        if record.header.event != event::ERROR {
            taken.push(record.clone());
            continue;
        }
        ensure!(UNPLUGGED.contains(&record.header.status), "refused for another reason: {record:?}");
        let submission = taken.pop().context("a refusal of nothing")?.header;
        let same = (submission.event, submission.id) == (event::SUBMIT, record.header.id);
        ensure!(same, "a refusal behind another record: {submission:?}, {record:?}");
    }
    Ok(taken)
}

/// A record without what may differ.
#[derive(Debug, PartialEq)]
struct Told<'a> {
    event: u8,
    transfer_type: u8,
    endpoint: u8,
    flags: (u8, u8),
    status: i32,
    length: u32,
    setup: [u8; 8],
    interval: i32,
    urb_flags: u32,
    data: &'a [u8],
}

/// By endpoint, and for each submissions and ends apart.
fn told(records: &[Record]) -> BTreeMap<(u8, bool), Vec<Told<'_>>> {
    let mut told: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for Record { header, data, .. } in records {
        let what = Told {
            event: header.event,
            transfer_type: header.transfer_type,
            endpoint: header.endpoint,
            flags: (header.setup_flag, header.data_flag),
            status: header.status,
            length: header.length,
            setup: header.setup,
            interval: header.interval,
            urb_flags: header.flags & (flag::DIRECTION_IN | flag::ZERO_PACKET),
            data,
        };
        told.entry((header.endpoint, header.event == event::SUBMIT)).or_default().push(what);
    }
    told
}

/// What was compared, for people; an error names the first difference.
fn compare(ours: &[Record], kernels: &[Record], unplugged: bool) -> Result<String> {
    let (ours, mut theirs) = (told(ours), told(kernels));
    if !unplugged {
        // Submission and end of the kernel's own request, behind all of ours.
        let last =
            theirs.get_mut(&(0, true)).and_then(Vec::pop).context("usbmon has no control transfers")?;
        ensure!(last.setup[..4] == SELECT_0, "the kernel's last request is {last:?}");
        theirs.get_mut(&(0, false)).and_then(Vec::pop).context("it has no end")?;
    }
    let (mut transfers, mut bytes) = (0, 0);
    for key in ours.keys().chain(theirs.keys()) {
        let name = format!("endpoint {:#04x}, {}", key.0, if key.1 { "submissions" } else { "ends" });
        let (ours, theirs) = (ours.get(key), theirs.get(key));
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            bail!("{name}: only one has any: ours {ours:?}, usbmon {theirs:?}")
        };
        for (at, (our, their)) in ours.iter().zip(theirs).enumerate() {
            let ended = |told: &Told<'_>| UNPLUGGED.contains(&told.status) && told.data.is_empty();
            let same = our == their || unplugged && ended(our) && ended(their);
            ensure!(same, "{name}, number {at}:\n  ours   {our:?}\n  usbmon {their:?}");
        }
        ensure!(
            ours.len() == theirs.len(),
            "{name}: ours has {}, usbmon {}; the first that one lacks: {:?}",
            ours.len(),
            theirs.len(),
            ours.get(theirs.len()).or(theirs.get(ours.len()))
        );
        transfers += ours.len();
        bytes += ours.iter().map(|told| told.data.len()).sum::<usize>();
    }
    // Each key was met twice.
    Ok(format!("{} records with {} bytes of data, the same in both", transfers / 2, bytes / 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_core::usb::trace::usbmon::Header;

    fn record(event: u8, setup: [u8; 8], status: i32) -> Record {
        let header = Header { event, setup, status, ..Header::default() };
        Record { time: 0, header, data: Vec::new(), original: 0, remark: None }
    }

    #[test]
    fn the_comparison_sees_what_differs() {
        let ours = [record(b'S', [1; 8], -115), record(b'C', [0; 8], 0)];
        let kernels_own = [record(b'S', [1, 0x0b, 0, 0, 1, 0, 0, 0], -115), record(b'C', [0; 8], 0)];
        let kernels = [ours.clone(), kernels_own].concat();
        compare(&ours, &kernels, false).expect("the same");
        compare(&ours, &ours, false).expect_err("the kernel's own request is missing");
        compare(&ours[..1], &kernels, false).expect_err("an end is missing");
        let mut other = kernels.clone();
        other[1].header.status = -32;
        compare(&ours, &other, false).expect_err("another status");
        other[1].header.status = 0;
        other[0].data.push(1);
        compare(&ours, &other, false).expect_err("other data");
    }
}
