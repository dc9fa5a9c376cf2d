//! The kernel's ECM gadget on dummy_hcd: the device's end lives in a network namespace of its own.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::lab::contender::Vended;
use crate::lab::context::Context;
use crate::lab::cpu::busy_ticks;
use crate::lab::gadget::{Gadget, HOST_MAC, Speed};
use crate::lab::iperf::{Direction, Server};
use crate::lab::leak::Inventory;
use crate::lab::netns::{ping, raise, wait_carrier, wait_reachable};
use crate::lab::run::run;
use crate::lab::sysfs::{read, wait_for, wait_until};
use crate::lab::wire::Contender;

/// The host's end of the link.
pub(crate) const HOST: &str = "10.55.0.1/24";
/// The device's end of the link.
pub(crate) const DEVICE: &str = "10.55.0.2";
/// What is still there so long after the last cycle stays.
const SETTLE: Duration = Duration::from_secs(30);

pub(crate) fn high(context: &mut Context) -> Result<()> {
    link(context, Speed::High)
}

pub(crate) fn superspeed(context: &mut Context) -> Result<()> {
    link(context, Speed::Super)
}

/// Raises both ends of the link, the host's first: f_ecm announces the link once, and a host that is not listening yet misses it.
pub(crate) fn connect(gadget: &Gadget, vended: &Vended) -> Result<()> {
    raise(&vended.interface, HOST)?;
    gadget.netns.raise(&gadget.interface, &format!("{DEVICE}/24"))?;
    wait_reachable(DEVICE, Duration::from_secs(15))?;
    wait_carrier(&vended.interface, true)
}

fn link(context: &mut Context, speed: Speed) -> Result<()> {
    let name = if speed == Speed::High { "gadget-high" } else { "gadget-super" };
    let gadget = Gadget::new(speed, 5)?;
    let device = gadget.device()?;
    ensure!(device.speed()? == speed.mbits(), "the gadget came up at {} Mbit/s", device.speed()?);
    let vended = Vended::take(context, context.contender, &device)?;
    let mac = read(format!("/sys/class/net/{}/address", vended.interface))?;
    ensure!(mac == HOST_MAC, "iMACAddress says {HOST_MAC}, the interface has {mac}");
    connect(&gadget, &vended)?;
    ping(DEVICE, 20, 56).context("ping small")?;
    ping(DEVICE, 20, 1472).context("ping full size")?;
    // A transfer whose length is a multiple of the packet size needs a zero-length packet or padding: sizes around all of them.
    for frame in [512, 1024] {
        for payload in frame - 42 - 2..=frame - 42 + 2 {
            ping(DEVICE, 2, payload)
                .with_context(|| format!("ping with {payload} bytes around the packet size {frame}"))?;
        }
    }
    vlan(context.contender, &gadget, &vended)?;
    carrier(&gadget, &vended)?;
    throughput(context, name, &gadget)?;
    vended.release().context("give the device back")?;

    let vended =
        Vended::take(context, context.contender, &device).context("take the device a second time")?;
    connect(&gadget, &vended)?;
    unplug_during_transfer(&gadget)?;
    device.wait_gone()?;
    vended.unplugged()?;

    gadget.replug()?;
    let device = gadget.device().context("plug it in again")?;
    let vended =
        Vended::take(context, context.contender, &device).context("after it was plugged in again")?;
    connect(&gadget, &vended)?;
    ping(DEVICE, 5, 1472)?;
    vended.release()
}

/// Packets with a VLAN tag, up to full size, which makes frames of 1518 bytes.
///
/// The kernel's driver (Linux 6.1) reads frames of at most wMaxSegmentSize and loses the largest; for it the step only shows that the
/// smaller ones pass, so that the link is known to be good.
fn vlan(contender: Contender, gadget: &Gadget, vended: &Vended) -> Result<()> {
    let host = &vended.interface;
    run(&format!("ip link add link {host} name tagged type vlan id 7"))?;
    gadget.netns.run(&format!("ip link add link {} name tagged type vlan id 7", gadget.interface))?;
    raise("tagged", "10.55.7.1/24")?;
    gadget.netns.raise("tagged", "10.55.7.2/24")?;
    let largest = if contender == Contender::Kernel { 1468 } else { 1472 };
    let passed = ping("10.55.7.2", 10, 56)
        .and_then(|()| ping("10.55.7.2", 10, largest))
        .with_context(|| format!("packets with a VLAN tag, up to {largest} + 28 bytes"));
    run("ip link delete tagged")?;
    gadget.netns.run("ip link delete tagged")?;
    passed
}

/// The device's link goes down and up: f_ecm sends NETWORK_CONNECTION.
fn carrier(gadget: &Gadget, vended: &Vended) -> Result<()> {
    gadget.netns.run(&format!("ip link set {} down", gadget.interface))?;
    wait_carrier(&vended.interface, false).context("the device said that its link is down")?;
    connect(gadget, vended)
}

fn throughput(context: &Context, name: &str, gadget: &Gadget) -> Result<()> {
    let server = Server::start(&gadget.netns, DEVICE)?;
    let seconds = context.settings.seconds;
    for (direction, measure) in
        [(Direction::ToDevice, "tcp-to-device"), (Direction::FromDevice, "tcp-from-device")]
    {
        let before = busy_ticks()?;
        let tcp = server.tcp(direction, seconds).context(measure)?;
        let ticks = (busy_ticks()? - before) as f64;
        ensure!(tcp.bytes > 1e5, "{measure}: only {} bytes in {seconds} s", tcp.bytes);
        context.sample(format!("{name}/{measure}"), "Mbit/s", tcp.mbits);
        context.sample(format!("{name}/{measure}/cpu"), "ticks/MB", ticks / (tcp.bytes / 1e6));
    }
    let udp = server.small_packets(Direction::ToDevice, seconds).context("udp-to-device")?;
    ensure!(udp > 0.0, "no small datagram arrived at the device");
    context.sample(format!("{name}/udp-to-device"), "packets/s", udp);
    let udp = server.small_packets(Direction::FromDevice, seconds).context("udp-from-device")?;
    ensure!(udp > 0.0, "no small datagram arrived from the device");
    context.sample(format!("{name}/udp-from-device"), "packets/s", udp);
    Ok(())
}

/// Floods the link and detaches the gadget under the flood.
fn unplug_during_transfer(gadget: &Gadget) -> Result<()> {
    let mut flood = std::process::Command::new("ping")
        .args(["-n", "-q", "-f", "-s", "1400", DEVICE])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let counter = format!("/sys/class/net/{}/statistics/rx_packets", gadget.interface);
    let count =
        || gadget.netns.run(&format!("cat {counter}")).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let before = count().unwrap_or(0);
    let flowed = wait_until("the flood to flow", Duration::from_secs(10), || {
        count().is_some_and(|now| now > before + 200)
    });
    let unplugged = gadget.unplug();
    flood.kill()?;
    flood.wait()?;
    flowed.and(unplugged)
}

pub(crate) fn cycles(context: &mut Context) -> Result<()> {
    let gadget = Gadget::new(Speed::High, 5)?;
    let device = gadget.device()?;
    let count = context.settings.cycles;
    // The first cycle loads what stays loaded.
    Vended::take(context, context.contender, &device)?.release()?;
    let before = Inventory::now()?;
    let start = Instant::now();
    for cycle in 0..count {
        let vended = Vended::take(context, context.contender, &device)
            .with_context(|| format!("cycle {cycle} of {count}"))?;
        if cycle % 100 == 0 {
            connect(&gadget, &vended).with_context(|| format!("cycle {cycle} of {count}"))?;
        }
        vended.release().with_context(|| format!("cycle {cycle} of {count}"))?;
    }
    context.sample(
        "cycles/take-and-give-back",
        "ms",
        start.elapsed().as_secs_f64() * 1e3 / f64::from(count.max(1)),
    );
    // Programs that udev starts for each interface still run; what is leaked stays.
    let mut after = Inventory::now()?;
    let settled = wait_for("what the cycles left to go", SETTLE, || {
        after = Inventory::now()?;
        Ok(before.compare(&after, count).ok())
    });
    context.note(format!("{} -> {}", before.summary(), after.summary()));
    settled.or_else(|_| before.compare(&after, count))
}
