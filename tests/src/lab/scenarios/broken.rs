//! A dongle that lies in its descriptors or STALLs: the driver refuses clearly or works, and the next device is served.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;

use crate::lab::contender::Vended;
use crate::lab::context::Context;
use crate::lab::dongle::descriptors::{Defect, PRODUCT, VENDOR};
use crate::lab::netns::{ping, ping_replies, raise};
use crate::lab::outboard::Program;
use crate::lab::run::run as command;
use crate::lab::sysfs::wait_until;
use crate::lab::usb_device::UsbDevice;
use crate::lab::wire::Contender;

const HOST: &str = "10.56.0.1/24";
const DONGLE: &str = "10.56.0.2";

/// What our driver has to make of a defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// It gives a network interface that works.
    Works,
    /// It ends with an error whose text has this word in it, in any case of letters.
    Refuses(&'static str),
    /// Either: what matters is that it ends well.
    Either,
}

fn expected(defect: Defect) -> Expected {
    match defect {
        Defect::None | Defect::ClassStall => Expected::Works,
        // A missing or bad MAC is replaced by a stable one.
        Defect::MacAbsent | Defect::MacStall | Defect::MacGarbage => Expected::Works,
        Defect::BulkInMissing | Defect::BulkInInterrupt => Expected::Refuses("bulk"),
        Defect::PacketZero => Expected::Refuses("wMaxPacketSize"),
        Defect::DataMissing => Expected::Refuses("interface"),
        Defect::UnionMissing
        | Defect::UnionNowhere
        | Defect::UnionShort
        | Defect::EthernetMissing
        | Defect::EthernetShort
        | Defect::LengthZero
        | Defect::LengthOverrun
        | Defect::SegmentZero
        | Defect::SegmentHuge => Expected::Either,
    }
}

pub(crate) fn descriptors(context: &mut Context) -> Result<()> {
    // The sound one first, to know that the dongle is good, and last, to know that no broken one spoiled anything.
    let defects = Defect::value_variants().iter().copied().chain([Defect::None]);
    for defect in defects {
        let what = format!("{defect:?}");
        let worked = attempt(context, defect).with_context(|| what.clone())?;
        context.note(match &worked {
            Ok(()) => format!("{what}: works"),
            Err(refusal) => format!("{what}: refused: {refusal}"),
        });
        judge(context.contender, defect, worked).context(what)?;
    }
    Ok(())
}

/// The kernel's driver is only watched; that the sound dongle works with it shows that the dongle is one.
fn judge(contender: Contender, defect: Defect, worked: Result<(), String>) -> Result<()> {
    match (expected(defect), worked) {
        (_, Err(refusal)) if defect == Defect::None => bail!("the sound dongle does not work: {refusal}"),
        _ if contender == Contender::Kernel => Ok(()),
        (Expected::Works, Err(refusal)) => bail!("it should work, but: {refusal}"),
        (Expected::Refuses(_), Ok(())) => bail!("it should be refused, and works"),
        (Expected::Refuses(word), Err(refusal)) => {
            ensure!(
                refusal.to_lowercase().contains(&word.to_lowercase()),
                "the refusal does not say {word:?}: {refusal}"
            );
            Ok(())
        }
        (Expected::Works, Ok(())) | (Expected::Either, _) => Ok(()),
    }
}

/// Attaches a dongle with this defect and has the contender take it. The inner error is a refusal, the outer a failure of the lab itself.
fn attempt(context: &Context, defect: Defect) -> Result<Result<(), String>> {
    let (dongle, device) = attach(&["--defect", &argument(defect)])?;
    let worked = match context.contender {
        Contender::Kernel => Vended::take_within(context, context.contender, &device, Duration::from_secs(2))
            .and_then(|vended| works(&vended).and_then(|()| vended.release()))
            .map_err(|error| format!("{error:#}")),
        _ => with_program(context, &device)?,
    };
    drop(dongle);
    device.wait_gone()?;
    Ok(worked)
}

/// Ours: a refusal is an end by itself, with an exit code, a text, and no panic.
fn with_program(context: &Context, device: &UsbDevice) -> Result<Result<(), String>> {
    match Vended::take(context, context.contender, device) {
        Ok(vended) => {
            let worked = works(&vended).map_err(|error| format!("{error:#}"));
            vended.release().context("give the device back")?;
            Ok(worked)
        }
        Err(_ended) => {
            // Once more, to see how it ends and to have its words.
            let output = Command::new(&context.settings.outboard).args(["attach", &device.port]).output()?;
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let Some(code) = output.status.code() else {
                bail!("outboard attach was ended by a signal: {}", output.status)
            };
            ensure!(code != 0, "outboard attach refuses with exit code 0: {words}");
            ensure!(code != 101 && !words.contains("panicked"), "outboard attach panicked: {words}");
            ensure!(!words.is_empty(), "outboard attach refuses without a word");
            Ok(Err(words))
        }
    }
}

pub(crate) fn stalls(context: &mut Context) -> Result<()> {
    for (name, option) in [("in", "--halt-in"), ("out", "--halt-out")] {
        let (dongle, device) = attach(&[option, "10"])?;
        let vended = Vended::take(context, context.contender, &device)?;
        raise(&vended.interface, HOST)?;
        wait_until("the first ping", Duration::from_secs(15), || ping(DONGLE, 1, 56).is_ok())?;
        // Every tenth frame is followed by a STALL. What is on its way then may be lost; what comes after the halt is cleared must not.
        let sent = 100;
        let replies = ping_replies(DONGLE, sent)?;
        context.sample(
            format!("stalls/replies-halt-{name}"),
            "%",
            f64::from(replies) * 100.0 / f64::from(sent),
        );
        ensure!(
            replies >= sent / 2,
            "{replies} of {sent} pings were answered while bulk {name} was halted every 10 frames"
        );
        vended.release()?;
        drop(dongle);
        device.wait_gone()?;
    }
    Ok(())
}

fn works(vended: &Vended) -> Result<()> {
    raise(&vended.interface, HOST)?;
    // The first one also waits for the link and for ARP.
    wait_until("the first ping", Duration::from_secs(8), || ping(DONGLE, 1, 56).is_ok())?;
    ping(DONGLE, 3, 56)?;
    // Frames of 512 and 1024 bytes fill their last packet.
    for payload in [469, 470, 471, 981, 982, 983, 1472] {
        ping(DONGLE, 1, payload).with_context(|| format!("ping with {payload} bytes"))?;
    }
    Ok(())
}

/// Starts the dongle and waits until the host has enumerated it.
fn attach(options: &[&str]) -> Result<(Program, UsbDevice)> {
    let myself = std::env::current_exe()?;
    let mut program = Program::start(Command::new(myself).arg("dongle").args(options))?;
    let line = program.line()?;
    ensure!(line == "attached", "the dongle says {line:?}");
    let device = UsbDevice::wait(VENDOR, PRODUCT)?;
    // udev loads what it thinks fits; the lab wants to know when that is over, where there is a udev.
    let _no_udev = command("udevadm settle --timeout=5");
    Ok((program, device))
}

fn argument(defect: Defect) -> String {
    defect.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
