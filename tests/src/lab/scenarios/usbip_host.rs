//! The kernel's USB/IP server (usbip-host, and usbipd for its first messages) as the peer of our client: QEMU's usb-net, exported on the
//! loopback interface and driven from there. The kernel's own client (vhci_hcd) takes part for the comparison of the figures.

use std::cell::Cell;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use outboard_core::ErrorKind;
use outboard_core::action::{Action, Completion, Outcome};
use outboard_core::buffer::BufferDescriptor;
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::usb::transport::usbip::UsbIp;
use outboard_core::usb::{
    Bulk, Device, Direction, In, Interface, Recipient, RequestKind, SetupPacket, standard,
};

use super::usb_net::{HOST, LENGTH, PRODUCT, VENDOR, connect, datagrams, mbits, plug, reach};
use crate::lab::context::Context;
use crate::lab::kernel_driver;
use crate::lab::netns::wait_carrier;
use crate::lab::outboard::{Line, Program, UNPLUGGED};
use crate::lab::run::{output, run as command};
use crate::lab::stream;
use crate::lab::sysfs::{read, wait_until};
use crate::lab::usb_device::UsbDevice;
use crate::lab::wire::Contender;

/// Where usbipd listens (Linux Documentation/usb/usbip_protocol.rst).
const SERVER: &str = "127.0.0.1:3240";

/// Exit code of `outboard attach` when another client has the device.
const BUSY: i32 = 8;
/// Exit code of `outboard attach` when the server has no such device.
const NO_SUCH_DEVICE: i32 = 4;

/// A program of this size starts within seconds, also over 9p in an emulated machine.
const START: Duration = Duration::from_secs(30);

pub(crate) fn run(context: &mut Context) -> Result<()> {
    command("ip link set lo up")?;
    command("modprobe tun")?;
    command("modprobe usbip-host")?;
    plug(context)?;
    let device = UsbDevice::wait(VENDOR, PRODUCT)?;
    let result = plugged(context, device.clone());
    // Absent when the scenario failed between unplugging and plugging in.
    let _absent = context.monitor("device_del dongle");
    let gone = device.wait_gone();
    result.and(gone)
}

fn plugged(context: &mut Context, device: UsbDevice) -> Result<()> {
    let bus_id = device.port.clone();
    bind(&device)?;
    let server = serve()?;
    if context.contender == Contender::Kernel {
        return imported_by_kernel(context, &device);
    }
    let outboard = |arguments: &[&str]| {
        let mut command = Command::new(&context.settings.outboard);
        command.args(arguments);
        command
    };
    let listed = output(&mut outboard(&["list", "usbip://127.0.0.1"]))?;
    ensure!(listed.starts_with(&bus_id) && listed.contains("0525:a4a2"), "the list is {listed:?}");
    let url = format!("usbip://127.0.0.1/{bus_id}");

    let mut program = Program::start(&mut outboard(&["attach", &url]))?;
    let line = Line::parse(&program.line()?)?;
    let interface = line.interface.clone();
    connect(&interface)?;
    let index = read(format!("/sys/class/net/{interface}/ifindex"))?;
    let peer = SocketAddr::from((HOST, context.settings.peer_port));
    traffic(context, peer)?;

    let second = outboard(&["attach", &url]).output()?.status;
    ensure!(second.code() == Some(BUSY), "a second client ended with {second}, not with {BUSY}");
    let nobody = outboard(&["attach", "usbip://127.0.0.1/7-7"]).output()?.status;
    ensure!(nobody.code() == Some(NO_SUCH_DEVICE), "a device that is none: {nobody}, not {NO_SUCH_DEVICE}");

    // The index tells that it is the same interface, with its address, routes and neighbours.
    let comes_back = |program: &mut Program| -> Result<()> {
        let back = Line::parse(&program.line_with("bit/s")?)?;
        ensure!((&back.interface, &back.mac) == (&interface, &line.mac), "it came back as {back:?}");
        let now = read(format!("/sys/class/net/{interface}/ifindex"))?;
        ensure!(now == index, "interface {interface} was made anew: its index was {index} and is {now}");
        reach(&interface)
    };
    let is_lost = |program: &mut Program| {
        let line = program.line_with("connection lost")?;
        ensure!(line.starts_with(&interface) && line.contains("reconnecting"), "it said {line:?}");
        wait_carrier(&interface, false)
    };

    context.note("the server takes the device back, and exports it again");
    unbind(&device)?;
    is_lost(&mut program)?;
    bind(&device)?;
    comes_back(&mut program).context("after the device was exported again")?;
    stream::put(TcpStream::connect(peer)?, LENGTH / 10, 3).context("TCP after the connection was lost")?;

    context.note("the server is ended, the device unplugged during a transfer, and both come back");
    drop(server);
    let connection = TcpStream::connect(peer)?;
    let waker = connection.try_clone()?;
    let transfer = std::thread::spawn(move || stream::take(connection, u64::MAX, 4));
    let received = format!("/sys/class/net/{interface}/statistics/rx_bytes");
    let before: u64 = read(&received)?.parse()?;
    wait_until("the transfer to flow", Duration::from_secs(20), || {
        read(&received).is_ok_and(|now| now.parse().is_ok_and(|now: u64| now > before + 200_000))
    })?;
    context.monitor("device_del dongle")?;
    is_lost(&mut program)?;
    let _reset_already = waker.shutdown(std::net::Shutdown::Both);
    let ended = transfer.join().map_err(|_| anyhow::anyhow!("the transfer panicked"))?;
    ensure!(
        ended.as_ref().is_err_and(|error| error.kind() != std::io::ErrorKind::InvalidData),
        "the endless transfer ended with {ended:?}"
    );
    device.wait_gone()?;
    plug(context)?;
    let device = UsbDevice::wait(VENDOR, PRODUCT).context("plug it in again")?;
    ensure!(device.port == bus_id, "it was plugged in as {}, not as {bus_id}", device.port);
    bind(&device)?;
    let server = serve()?;
    comes_back(&mut program).context("after both came back")?;
    stream::take(TcpStream::connect(peer)?, LENGTH / 10, 5).context("TCP after the device was unplugged")?;

    context.note("interrupted, it gives the device up; without reconnecting, a lost connection is its end");
    let status = program.interrupt()?;
    ensure!(status.success(), "outboard attach was interrupted and ended with {status}, not with 0");
    wait_until(&format!("interface {interface} to go"), Duration::from_secs(15), || {
        !Path::new("/sys/class/net").join(&interface).exists()
    })?;
    // The kernel's server gives a device away again only once it has cleaned up after the last client.
    available(&device)?;
    operations(&bus_id).context("what only repairs need")?;
    available(&device)?;
    let mut program = Program::start(&mut outboard(&["attach", "--no-reconnect", &url]))?;
    let line = Line::parse(&program.line()?)?;
    connect(&line.interface)?;
    unbind(&device)?;
    let status = program.wait()?;
    ensure!(status.code() == Some(UNPLUGGED), "the connection was lost: {status}, not {UNPLUGGED}");
    drop(server);
    Ok(())
}

/// The same by the kernel's client and the kernel's driver.
fn imported_by_kernel(context: &Context, device: &UsbDevice) -> Result<()> {
    command("modprobe vhci-hcd")?;
    command(&format!("usbip attach --remote=127.0.0.1 --busid={}", device.port))?;
    let imported = device.wait_again(VENDOR, PRODUCT)?;
    let (_, interface) = kernel_driver::bind(&imported, kernel_driver::PROBE)?;
    connect(&interface)?;
    traffic(context, SocketAddr::from((HOST, context.settings.peer_port)))?;
    command("usbip detach --port=0")?;
    imported.wait_gone()?;
    // Not before the server has reset it: unplugged in the middle of that, it would hold up the bus for a minute.
    available(device)?;
    unbind(device)
}

/// Checked traffic both ways.
fn traffic(context: &Context, peer: SocketAddr) -> Result<()> {
    let start = Instant::now();
    stream::put(TcpStream::connect(peer)?, LENGTH, 1).context("TCP to the peer")?;
    context.sample("usbip-host/tcp-to-device", "Mbit/s", mbits(LENGTH, start));
    let start = Instant::now();
    stream::take(TcpStream::connect(peer)?, LENGTH, 2).context("TCP from the peer")?;
    context.sample("usbip-host/tcp-from-device", "Mbit/s", mbits(LENGTH, start));
    datagrams(peer)
}

/// What the command does only when something is broken: transfers that are ended early, a halt that is cleared, a reset of the port that leaves
/// the alternate setting as it was.
fn operations(bus_id: &str) -> Result<()> {
    let socket = OwnedFd::from(TcpStream::connect(SERVER)?);
    DispatchQueue::run("usbip", Clock::Real, |_| async {
        let device = Device::open(UsbIp::import(socket, bus_id, "lab").await?).await?;
        // QEMU's ECM: configuration 1, data interface 1, whose alternate setting 1 has the endpoints.
        device.set_configuration(1).await?;
        let data = device.interface(1)?;
        data.select_alternate(1).await?;
        let pipe = data.first_pipe::<Bulk, In>()?;
        for round in 0..2 {
            // A frame or two may really arrive.
            let cancelled = Rc::new(Cell::new(0));
            let action = Action::new({
                let cancelled = cancelled.clone();
                move |done: Completion<BufferDescriptor<In>>| {
                    cancelled.set(cancelled.get() + u32::from(done.outcome == Outcome::Cancelled));
                }
            });
            for buffer in pipe.buffers(1514, 16) {
                pipe.async_io(buffer, &action).map_err(|rejected| rejected.error)?;
            }
            // Behind a request, so that they have reached the server.
            ensure!(alternate(&data).await? == 1, "the alternate setting was lost in round {round}");
            pipe.abort().await;
            ensure!(pipe.in_flight() == 0, "{} transfers are still out", pipe.in_flight());
            ensure!(cancelled.get() > 0, "no transfer was cancelled in round {round}");
            // The request arrives and is answered; QEMU's usb-net knows none of this kind.
            if let Err(error) = pipe.clear_stall().await {
                ensure!(error.kind() == ErrorKind::Stalled, "{error}");
            }
            device.reset().await?;
        }
        ensure!(alternate(&data).await? == 1, "the reset lost the alternate setting");
        Ok(())
    })?
}

/// What the device says.
async fn alternate(interface: &Interface) -> Result<u8> {
    let (direction, kind) = (Direction::In, RequestKind::Standard);
    let (request, number) = (standard::GET_INTERFACE, interface.number().into());
    let setup = SetupPacket::new(direction, kind, Recipient::Interface, request, 0, number, 1);
    let answer = interface.request_in(setup).await?;
    answer.first().copied().context("GET_INTERFACE was answered with nothing")
}

/// Has usbip-host take a device from the kernel's drivers.
fn bind(device: &UsbDevice) -> Result<()> {
    command(&format!("usbip bind --busid={}", device.port))?;
    available(device)
}

/// Waits until usbip-host would give the device away: SDEV_ST_AVAILABLE (drivers/usb/usbip/usbip_common.h).
fn available(device: &UsbDevice) -> Result<()> {
    let status = device.path().join("usbip_status");
    wait_until("the device to be exported", START, || read(&status).is_ok_and(|status| status == "1"))
}

/// Has usbip-host give it back, and end its connection.
fn unbind(device: &UsbDevice) -> Result<()> {
    command(&format!("usbip unbind --busid={}", device.port)).map(drop)
}

/// The server; ended when dropped. Connections that it has accepted are the kernel's by then, and stay.
fn serve() -> Result<Program> {
    let server = Program::start(&mut Command::new("usbipd"))?;
    wait_until("usbipd to listen", START, || TcpStream::connect(SERVER).is_ok())?;
    Ok(server)
}
