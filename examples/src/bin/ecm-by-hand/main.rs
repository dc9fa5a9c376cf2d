//! An ECM dongle as a network interface, by hand: nusb's own transfers, a plain TAP, tokio, and nothing of Outboard but its protocol. The
//! straightforward program that anyone would write, with several transfers queued each way; the benchmark's baseline.
//!
//! `ecm-by-hand <vid:pid>` prints the interface's name on its first line, and runs until it is interrupted or the device is gone. It
//! brings nothing up: `ip link set NAME up` is yours.

mod sys;

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nusb::transfer::{Buffer, Bulk, ControlOut, ControlType, In, Interrupt, Out, Recipient, TransferError};
use nusb::{DeviceInfo, Endpoint};
use outboard_core::MacAddr;
use outboard_core::usb::descriptor::DeviceDescriptors;
use outboard_usb_ecm::proto::frame::FrameRules;
use outboard_usb_ecm::proto::function::{self, EcmFunction};
use outboard_usb_ecm::proto::notification::{Notification, Reader};
use outboard_usb_ecm::proto::quirks::Quirks;
use outboard_usb_ecm::proto::{mac, request};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tun_tap::{Iface, Mode};

/// Transfers queued each way.
const TRANSFERS: usize = 32;
/// Any request.
const TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let argument = std::env::args().nth(1).context("usage: ecm-by-hand <vid:pid>")?;
    let (vendor, product) = parse_id(&argument)?;
    let info = nusb::list_devices()
        .await?
        .find(|device| (device.vendor_id(), device.product_id()) == (vendor, product))
        .with_context(|| format!("no device {argument} is attached"))?;
    tokio::select! {
        ended = drive(&info) => ended,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}

/// `vid:pid`, four hexadecimal digits each.
fn parse_id(text: &str) -> Result<(u16, u16)> {
    let (vendor, product) = text.split_once(':').with_context(|| format!("{text:?} is not vid:pid"))?;
    let number =
        |text: &str| u16::from_str_radix(text, 16).with_context(|| format!("{text:?} is no hexadecimal id"));
    Ok((number(vendor)?, number(product)?))
}

/// The function in the bytes of sysfs's `descriptors`.
fn find(descriptors: &[u8], active: Option<u8>) -> Result<EcmFunction> {
    let descriptors = DeviceDescriptors::parse(descriptors).map_err(outboard_core::Error::from)?;
    let quirks = Quirks::of(descriptors.device.vendor_id, descriptors.device.product_id);
    let candidates = function::find(&descriptors, &quirks, active);
    let Some(function) = function::best(&candidates) else {
        let reasons: Vec<_> = candidates.iter().map(ToString::to_string).collect();
        bail!("the device is no ECM dongle: {}", reasons.join("; "));
    };
    Ok(function.clone())
}

async fn drive(info: &DeviceInfo) -> Result<()> {
    let descriptors = std::fs::read(info.sysfs_path().join("descriptors"))?;
    let device = info.open().await.context("open the device")?;
    let active = device.active_configuration().ok().map(|configuration| configuration.configuration_value());
    let function = find(&descriptors, active)?;
    if active != Some(function.configuration) {
        for interface in info.interfaces() {
            // An interface without a driver has none to detach.
            let _ = device.detach_kernel_driver(interface.interface_number());
        }
        device.set_configuration(function.configuration).await.context("select the configuration")?;
    }
    let control = device
        .detach_and_claim_interface(function.control_interface)
        .await
        .context("claim the control interface")?;
    let data = if function.data_interface == function.control_interface {
        control.clone()
    } else {
        device
            .detach_and_claim_interface(function.data_interface)
            .await
            .context("claim the data interface")?
    };
    let index = function.mac_string.context("the device names no address")?;
    let text = device.get_string_descriptor(index, 0x0409, TIMEOUT).await.context("read the address")?;
    let address = mac::parse(&text)?;
    data.set_alt_setting(function.data_alternate).await.context("select the alternate setting")?;
    let filter = request::PacketFilter::DIRECTED
        | request::PacketFilter::BROADCAST
        | request::PacketFilter::ALL_MULTICAST;
    let setup = request::set_packet_filter(function.control_interface, filter);
    let filtered = control.control_out(
        ControlOut {
            control_type: ControlType::Class,
            recipient: Recipient::Interface,
            request: setup.request,
            value: setup.value,
            index: setup.index,
            data: &[],
        },
        TIMEOUT,
    );
    match filtered.await {
        Ok(()) | Err(TransferError::Stall) => {}
        Err(error) => return Err(error).context("set the packet filter"),
    }
    let tap = tap(address)?;
    println!("{}", tap.get_ref().name());
    let rules = function.frame_rules();
    let receiving = receive(data.endpoint(function.bulk_in.address)?, &tap, rules);
    let sending = send(data.endpoint(function.bulk_out.address)?, &tap, rules);
    let listening = async {
        match function.notification {
            Some(endpoint) => listen(control.endpoint(endpoint.address)?).await,
            None => std::future::pending().await,
        }
    };
    tokio::try_join!(receiving, sending, listening).map(drop)
}

/// A plain TAP with this address. tun-tap cannot set it, so `ip` has to.
fn tap(address: MacAddr) -> Result<AsyncFd<Iface>> {
    let tap = Iface::without_packet_info("ecm%d", Mode::Tap).context("make a TAP")?;
    tap.set_non_blocking()?;
    let status =
        Command::new("ip").args(["link", "set", "dev", tap.name(), "address", &address.to_string()]).status();
    if !status.context("run ip")?.success() {
        bail!("ip could not set the address of {}", tap.name());
    }
    Ok(sys::watch(tap)?)
}

/// From the device to the host.
async fn receive(mut endpoint: Endpoint<Bulk, In>, tap: &AsyncFd<Iface>, rules: FrameRules) -> Result<()> {
    for _ in 0..TRANSFERS {
        let buffer = endpoint.allocate(rules.receive_buffer());
        endpoint.submit(buffer);
    }
    loop {
        let done = endpoint.next_complete().await;
        match done.status {
            Ok(()) => {
                if let Ok(length) = rules.received(done.actual_len) {
                    // The host takes no frames while the interface is down; there is nothing to do about it.
                    let _ = tap.get_ref().send(&done.buffer[..length]);
                }
            }
            Err(TransferError::Stall) => endpoint.clear_halt().await?,
            Err(error) => return Err(error).context("receive"),
        }
        endpoint.submit(done.buffer);
    }
}

/// From the host to the device.
async fn send(mut endpoint: Endpoint<Bulk, Out>, tap: &AsyncFd<Iface>, rules: FrameRules) -> Result<()> {
    let mut free: Vec<Buffer> = (0..TRANSFERS).map(|_| endpoint.allocate(rules.longest())).collect();
    let mut frame = vec![0; rules.longest()];
    loop {
        // A zero-length packet is a transfer too.
        while free.is_empty() || endpoint.pending() > 2 * TRANSFERS {
            let done = endpoint.next_complete().await;
            match done.status {
                Ok(()) => {}
                Err(TransferError::Stall) => endpoint.clear_halt().await?,
                Err(error) => return Err(error).context("send"),
            }
            if done.buffer.capacity() >= rules.longest() {
                free.push(done.buffer);
            }
        }
        let length = tap.async_io(Interest::READABLE, |tap| tap.recv(&mut frame)).await?;
        let Some(mut buffer) = free.pop() else { continue };
        let Ok(ending) = rules.sent(length) else {
            free.push(buffer);
            continue;
        };
        buffer.clear();
        buffer.extend_from_slice(&frame[..length]);
        endpoint.submit(buffer);
        if ending == outboard_usb_ecm::proto::frame::Ending::ZeroLengthPacket {
            endpoint.submit(Buffer::new(0));
        }
    }
}

/// Says on standard error what the device says of its link.
async fn listen(mut endpoint: Endpoint<Interrupt, In>) -> Result<()> {
    let mut reader = Reader::new();
    let length = endpoint.max_packet_size();
    endpoint.submit(Buffer::new(length));
    loop {
        let done = endpoint.next_complete().await;
        match done.status {
            Ok(()) => {
                for notification in reader.read(&done.buffer) {
                    match notification {
                        Ok(Notification::Connection { connected: true }) => eprintln!("link up"),
                        Ok(Notification::Connection { connected: false }) => eprintln!("link down"),
                        _ => {}
                    }
                }
            }
            Err(TransferError::Stall) => endpoint.clear_halt().await?,
            Err(error) => return Err(error).context("listen for notifications"),
        }
        endpoint.submit(done.buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_core::usb::transport::in_process::DeviceModel as _;
    use outboard_virtual_devices::ecm::{EcmDongle, EcmOptions};
    use outboard_virtual_devices::wire::Tester;

    #[test]
    fn ids_are_hexadecimal() {
        assert_eq!(parse_id("0525:a4a2").unwrap(), (0x0525, 0xa4a2));
        for text in ["", "0525", "0525:", "g:1", "10525:1"] {
            assert!(parse_id(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_dongle_is_found_and_anything_else_is_refused_with_a_reason() {
        let dongle = EcmDongle::new(EcmOptions::default(), Tester::new());
        let bytes = dongle.descriptors();
        let function = find(&bytes, None).unwrap();
        assert_eq!((function.bulk_in.address, function.bulk_out.address), (0x82, 0x03));
        let error = find(&bytes[..18], None).unwrap_err().to_string();
        assert!(error.contains("no ECM dongle"), "{error}");
    }
}
