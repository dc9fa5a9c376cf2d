//! What a USB/IP server exports. A list tells little of a device: which driver fits shows when it is attached, since only then may it be asked.

use outboard_core::Error;
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::usb::class;
use outboard_core::usb::transport::usbip::list;
use outboard_core::usb::usbip::operation::Exported;
use outboard_core::usb::usbip::speed_of;
use serde_json::{Value, json};

use crate::exit::{Cause, Failure};
use crate::output::{printable, say};
use crate::usbip::{self, Url};

/// CDC's Ethernet control model (CDC120, Table 4).
const ETHERNET: u8 = 0x06;

pub(super) fn run(server: &str, as_json: bool) -> Result<(), Failure> {
    let url = usbip::parse(server)?;
    let devices = DispatchQueue::run("Default", Clock::Real, |_| ask(&url))
        .map_err(|error| Error::os("start the queue", error))??;
    let devices: Vec<Exported> = match &url.bus_id {
        Some(wanted) => devices.into_iter().filter(|device| device.bus_id == *wanted).collect(),
        None => devices,
    };
    if let (Some(wanted), true) = (&url.bus_id, devices.is_empty()) {
        let text = format!("{} exports no device {wanted}", url.server());
        return Err(Failure::new(Cause::NoSuchDevice, text)
            .with_hint(format!("`outboard list {}` shows what it exports.", url.with(None))));
    }
    if as_json {
        say!("{}", Value::Array(devices.iter().map(|device| describe(&url, device)).collect()));
        return Ok(());
    }
    if devices.is_empty() {
        say!("{} exports no device.", url.server());
        return Ok(());
    }
    for device in &devices {
        print(device);
    }
    say!("\nTo drive one: outboard attach {}/<the first column>", url.with(None));
    Ok(())
}

async fn ask(url: &Url) -> Result<Vec<Exported>, Failure> {
    let socket = usbip::connect(url).await?;
    list(socket).await.map_err(|error| usbip::failure(url, error))
}

fn print(device: &Exported) {
    let Exported { vendor_id, product_id, .. } = device;
    let speed = speed_of(device.speed).map_or_else(|| "unknown speed".to_owned(), |speed| speed.to_string());
    say!("{:<8} {vendor_id:04x}:{product_id:04x}  {speed}", printable(&device.bus_id));
    say!("         there: {}", printable(&device.path));
    let state = match device.configuration {
        0 if device.interfaces.is_empty() => {
            "not configured there; its interfaces show when it is attached".into()
        }
        0 => "not configured there".to_owned(),
        value => format!("configuration {value} of {}", device.configurations),
    };
    say!("         {state}");
    for (n, codes) in device.interfaces.iter().enumerate() {
        say!("         interface {n}: {}", interface(*codes));
    }
}

/// An interface by its class, subclass and protocol.
fn interface([class, subclass, protocol]: [u8; 3]) -> String {
    let name = match (class, subclass) {
        (class::COMMUNICATIONS, ETHERNET) => "CDC Ethernet, usb-ecm may fit",
        (class::COMMUNICATIONS, _) => "CDC",
        (class::CDC_DATA, _) => "CDC data",
        (class::AUDIO, _) => "audio",
        (class::HID, _) => "HID",
        (class::IMAGE, _) => "still imaging",
        (class::PRINTER, _) => "printer",
        (class::MASS_STORAGE, _) => "mass storage",
        (class::HUB, _) => "hub",
        (class::SMART_CARD, _) => "smart card",
        (class::VIDEO, _) => "video",
        (class::WIRELESS, _) => "wireless controller",
        (class::VENDOR, _) => "vendor-specific",
        _ => "other",
    };
    format!("{name} (class {class:02x}, subclass {subclass:02x}, protocol {protocol:02x})")
}

fn describe(url: &Url, device: &Exported) -> Value {
    json!({
        "device": url.with(Some(&device.bus_id)).to_string(),
        "bus_id": printable(&device.bus_id),
        "vendor_id": device.vendor_id,
        "product_id": device.product_id,
        "path": printable(&device.path),
        "speed_bits_per_second": speed_of(device.speed).map(|speed| speed.bits_per_second()),
        "configuration": device.configuration,
        "configurations": device.configurations,
        "interfaces": device.interfaces.iter().map(|[class, subclass, protocol]| {
            json!({"class": class, "subclass": subclass, "protocol": protocol})
        }).collect::<Vec<_>>(),
    })
}
