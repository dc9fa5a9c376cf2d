//! Virtual dongles over USB/IP under the kernel's own USB stack: the kernel judges what `outboard virtual` serves, by enumerating it, by its
//! cdc_ether, and by usbfs under our driver.

use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use outboard_virtual_devices::ecm::Variant;
use outboard_virtual_devices::host::{DISCARD, ECHO, SOURCE, source_byte};

use crate::lab::contender::Vended;
use crate::lab::context::Context;
use crate::lab::kernel_log::KernelLog;
use crate::lab::netns::{ping, raise, wait_carrier, wait_reachable};
use crate::lab::run::run as command;
use crate::lab::stream;
use crate::lab::sysfs::wait_until;
use crate::lab::usb_device::UsbDevice;
use crate::lab::virtual_device::Server;
use crate::lab::wire::Contender;

/// Bytes of each checked TCP transfer.
const LENGTH: u64 = 2_000_000;
/// The same for the variants, one of which has a link of 1 Mbit/s.
const SHORT: u64 = 50_000;
/// Nothing on TCP stands still for longer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(context: &mut Context) -> Result<()> {
    sound(context)?;
    variants(context)
}

/// Sound dongles, from plugging in to pulling the plug under traffic and plugging in again.
fn sound(context: &Context) -> Result<()> {
    let speeds = [("full", 12), ("high", 480), ("super", 5000)];
    let devices = speeds.map(|(name, _)| format!("ecm:speed={name}"));
    let mut server = Server::start(context, &devices.each_ref().map(String::as_str))?;
    for (number, (name, mbits)) in speeds.into_iter().enumerate() {
        speed(context, &mut server, number, name, mbits).with_context(|| format!("{name} speed"))?;
    }
    server.stop().context("end the server")
}

fn speed(context: &Context, server: &mut Server, number: usize, name: &str, mbits: u32) -> Result<()> {
    let mut log = KernelLog::open()?;
    log.mark()?;
    let device = server.plug(number)?;
    ensure!(device.speed()? == mbits, "it came up at {} Mbit/s", device.speed()?);
    let vended = Vended::take(context, context.contender, &device)?;
    let link = Link::new(server, number, &vended)?;
    link.connect()?;
    link.pings()?;
    link.echo(LENGTH, 1)?;
    let start = Instant::now();
    link.discard(LENGTH)?;
    context.sample(format!("vhci-{name}/tcp-to-device"), "Mbit/s", megabits(LENGTH, start));
    let start = Instant::now();
    link.source(LENGTH)?;
    context.sample(format!("vhci-{name}/tcp-from-device"), "Mbit/s", megabits(LENGTH, start));
    vended.release().context("give the device back")?;

    let vended =
        Vended::take(context, context.contender, &device).context("take the device a second time")?;
    let link = Link::new(server, number, &vended)?;
    link.connect()?;
    unplug_under_traffic(server, number, &device, &link)?;
    vended.unplugged()?;

    let device = server.plug(number).context("plug it in again")?;
    let vended =
        Vended::take(context, context.contender, &device).context("after it was plugged in again")?;
    let link = Link::new(server, number, &vended)?;
    link.connect()?;
    link.echo(LENGTH / 10, 2).context("after it was plugged in again")?;
    vended.release()?;
    let event = server.unplug(number, &device)?;
    context.note(format!("{name} speed: {event}"));
    no_complaints(&log.since_mark()?)
}

/// Whatever the kernel's USB core says of descriptors when it enumerates a device, it says for a reason.
fn no_complaints(log: &str) -> Result<()> {
    let words = [
        "descriptor",
        "invalid",
        "config ",
        "bogus",
        "unable",
        "malformed",
        "too short",
        "missing",
        "error -",
        "lpm",
    ];
    let complains = |line: &&str| {
        let line = line.to_lowercase();
        (line.contains("] usb ") || line.contains("cdc_ether"))
            && words.iter().any(|word| line.contains(word))
    };
    let complaints: Vec<&str> = log.lines().filter(complains).collect();
    ensure!(complaints.is_empty(), "the kernel complains:\n{}", complaints.join("\n"));
    ensure!(log.contains("New USB device found"), "the kernel's log says nothing of the device:\n{log}");
    Ok(())
}

/// Each variant is enumerated. Ours drives them all; Linux 6.1's cdc_ether wants a Union and a MAC address and drives the others.
fn variants(context: &Context) -> Result<()> {
    for variant in Variant::ALL {
        let refused = context.contender == Contender::Kernel
            && matches!(variant, Variant::NoUnion | Variant::BrokenMac);
        let name = variant.name();
        let mut server = Server::start(context, &[&format!("ecm:variant={name}")])?;
        let device = server.plug(0).with_context(|| format!("{variant}: plug it in"))?;
        let worked = if refused {
            Vended::take_within(context, context.contender, &device, Duration::from_secs(2))
        } else {
            Vended::take(context, context.contender, &device)
        }
        .and_then(|vended| {
            let link = Link::new(&server, 0, &vended)?;
            link.connect()?;
            link.echo(SHORT, 3)?;
            link.source(SHORT)?;
            vended.release()
        });
        match worked {
            Ok(()) if refused => bail!("{variant}: cdc_ether is known to refuse it, and drives it"),
            Ok(()) => context.note(format!("{variant}: works")),
            Err(error) if refused => context.note(format!("{variant}: refused: {error:#}")),
            Err(error) => return Err(error).context(variant.name()),
        }
        server.unplug(0, &device)?;
        server.stop()?;
    }
    Ok(())
}

/// The network interface and the computer behind the dongle.
struct Link {
    interface: String,
    ipv4: String,
    ipv6: String,
}

impl Link {
    fn new(server: &Server, number: usize, vended: &Vended) -> Result<Self> {
        let (ipv4, ipv6) = server.host(number)?;
        Ok(Self { interface: vended.interface.clone(), ipv4, ipv6 })
    }

    /// The host's addresses end in 1, ours in 2.
    fn connect(&self) -> Result<()> {
        let ours = |theirs: &str| {
            theirs.strip_suffix('1').map(|network| format!("{network}2")).context("an address that ends in 1")
        };
        raise(&self.interface, &format!("{}/24", ours(&self.ipv4)?))?;
        command(&format!("ip -6 address replace {}/64 dev {} nodad", ours(&self.ipv6)?, self.interface))?;
        wait_carrier(&self.interface, true)?;
        wait_reachable(&self.ipv4, Duration::from_secs(15))?;
        wait_reachable(&self.ipv6, Duration::from_secs(15))
    }

    fn pings(&self) -> Result<()> {
        for address in [&self.ipv4, &self.ipv6] {
            ping(address, 20, 56).with_context(|| format!("ping {address}"))?;
        }
        ping(&self.ipv4, 5, 1472)?;
        ping(&self.ipv6, 5, 1452)?;
        // Frames that fill their last packet need a packet of no bytes behind them.
        for frame in [64, 128, 512, 1024] {
            for payload in frame - 42 - 1..=frame - 42 + 1 {
                ping(&self.ipv4, 2, payload)
                    .with_context(|| format!("{payload} bytes around packets of {frame}"))?;
            }
        }
        Ok(())
    }

    fn open(&self, port: u16) -> Result<TcpStream> {
        let address: IpAddr = self.ipv4.parse()?;
        let connection = TcpStream::connect_timeout(&SocketAddr::from((address, port)), PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        Ok(connection)
    }

    /// What is sent comes back, byte for byte.
    fn echo(&self, length: u64, seed: u64) -> Result<()> {
        let connection = self.open(ECHO)?;
        let to = connection.try_clone()?;
        let sending = thread::spawn(move || stream::send(to, length, seed));
        stream::receive(&connection, length, seed).context("the echo")?;
        sending.join().map_err(|_| anyhow!("the sender panicked"))?.context("send to the echo")?;
        ends(&connection)
    }

    /// All is taken: the end is only answered behind the last byte.
    fn discard(&self, length: u64) -> Result<()> {
        let connection = self.open(DISCARD)?;
        stream::send(&connection, length, 4).context("send to discard")?;
        ends(&connection)
    }

    fn source(&self, length: u64) -> Result<()> {
        use std::io::Read;
        let mut connection = self.open(SOURCE)?;
        let (mut at, mut piece) = (0, vec![0; 16 * 1024]);
        while at < length {
            let count = connection.read(&mut piece).context("read from the source")?;
            ensure!(count > 0, "the source ended after {at} bytes");
            let wrong = (at..).zip(&piece[..count]).find(|(offset, byte)| source_byte(*offset) != **byte);
            ensure!(wrong.is_none(), "the source's byte {wrong:?} is wrong");
            at += count as u64;
        }
        Ok(())
    }
}

/// We have said all; the other side has too.
fn ends(mut connection: &TcpStream) -> Result<()> {
    connection.shutdown(Shutdown::Write)?;
    let rest = std::io::Read::read(&mut connection, &mut [0; 16]).context("wait for the end")?;
    ensure!(rest == 0, "{rest} bytes more than were sent");
    Ok(())
}

/// Starts an endless transfer, waits until it flows, and pulls the plug.
fn unplug_under_traffic(server: &mut Server, number: usize, device: &UsbDevice, link: &Link) -> Result<()> {
    let mut connection = link.open(SOURCE)?;
    let waker = connection.try_clone()?;
    let flowed = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = flowed.clone();
    let transfer = thread::spawn(move || {
        use std::io::Read;
        let mut piece = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = connection.read(&mut piece) {
            counter.fetch_add(count as u64, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let flows = wait_until("the transfer to flow", PATIENCE, || {
        flowed.load(std::sync::atomic::Ordering::Relaxed) > 200_000
    });
    let unplugged = server.unplug(number, device);
    // The connection itself cannot know that its interface is gone: wake the reader.
    let _reset_already = waker.shutdown(Shutdown::Both);
    transfer.join().map_err(|_| anyhow!("the transfer panicked"))?;
    flows?;
    unplugged.map(drop)
}

fn megabits(bytes: u64, since: Instant) -> f64 {
    bytes as f64 * 8.0 / 1e6 / since.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_from_news() {
        let news = "[ 1.0] usb 3-1: New USB device found, idVendor=1209, idProduct=0ecc, bcdDevice= 1.00\n\
                    [ 1.1] usb 3-1: Product: Virtual ECM dongle\n[ 1.2] vhci_hcd: connection closed\n";
        no_complaints(news).expect("nothing is wrong");
        for line in [
            "[ 2.0] usb 3-1: config 1 interface 1 altsetting 1 bulk endpoint 0x82 has invalid maxpacket 64",
            "[ 2.0] usb 4-1: unable to get BOS descriptor set",
            "[ 2.0] usb 4-1: LPM exit latency is zeroed, disabling LPM.",
            "[ 2.0] usb 3-1: device descriptor read/64, error -71",
        ] {
            assert!(no_complaints(&format!("{news}{line}\n")).is_err(), "{line}");
        }
        assert!(no_complaints("").is_err());
    }
}
