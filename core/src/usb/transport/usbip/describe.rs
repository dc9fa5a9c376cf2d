//! What has to be known of a device before it is a [`Device`](crate::usb::Device): its descriptors and its configuration, read by control
//! transfers, and the polling intervals in them. It must not know how transfers are carried.

use std::future::poll_fn;
use std::time::Duration;

use super::UsbIp;
use super::handshake::failed;
use super::loss::Loss;
use crate::buffer::RawBuffer;
use crate::error::{Error, ErrorKind, Result};
use crate::usb::descriptor::{DeviceDescriptors, kind, limit};
use crate::usb::transfer::{Done, Operation, Token, TransferError, Urb};
use crate::usb::transport::{MAX_DESCRIPTORS, Reaped, Transport};
use crate::usb::{Direction, Recipient, RequestKind, SetupPacket, Speed, TransferType, standard};

/// How long a device may take for each request here (USB 2.0, 9.2.6.4).
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

const READ_DESCRIPTORS: &str = "read the descriptors";

/// bLength of a device descriptor (USB 2.0, 9.6.1) and of a configuration descriptor (9.6.3).
const DEVICE_LENGTH: usize = 18;
const CONFIGURATION_LENGTH: usize = 9;

/// Reads the device descriptor and all configurations, and then which one is active.
pub(super) async fn describe(device: &mut UsbIp) -> Result<(Vec<u8>, u8)> {
    let mut descriptors = read(device, kind::DEVICE, 0, DEVICE_LENGTH).await?;
    if descriptors.len() < DEVICE_LENGTH {
        return Err(short("bLength", &descriptors, DEVICE_LENGTH));
    }
    // USB 2.0, Table 9-8: bNumConfigurations. Linux looks at as many as we do.
    let count = usize::from(descriptors[17]).min(limit::CONFIGURATIONS);
    for n in 0..count {
        let configuration = match configuration(device, n as u8).await {
            Ok(configuration) => configuration,
            // As Linux does: what the device does not give it does not have.
            Err(error) if error.kind() == ErrorKind::Stalled && n > 0 => break,
            Err(error) => return Err(error),
        };
        if descriptors.len() + configuration.len() > MAX_DESCRIPTORS {
            break;
        }
        descriptors.extend(configuration);
    }
    let kind = RequestKind::Standard;
    let request = standard::GET_CONFIGURATION;
    let setup = SetupPacket::new(Direction::In, kind, Recipient::Device, request, 0, 0, 1);
    let answer = control(device, setup, "ask for the configuration").await?;
    let Some(active) = answer.first() else { return Err(short("bConfigurationValue", &answer, 1)) };
    Ok((descriptors, *active))
}

async fn configuration(device: &mut UsbIp, n: u8) -> Result<Vec<u8>> {
    let header = read(device, kind::CONFIGURATION, n, CONFIGURATION_LENGTH).await?;
    if header.len() < CONFIGURATION_LENGTH {
        return Err(short("bLength", &header, CONFIGURATION_LENGTH));
    }
    let total = usize::from(u16::from_le_bytes([header[2], header[3]])).max(CONFIGURATION_LENGTH);
    let whole = read(device, kind::CONFIGURATION, n, total).await?;
    // Some devices send less than they say. The parser copes with that, as Linux does, as long as there is a configuration at all.
    if whole.len() < CONFIGURATION_LENGTH {
        return Err(short("wTotalLength", &whole, total));
    }
    Ok(whole)
}

async fn read(device: &mut UsbIp, kind: u8, n: u8, length: usize) -> Result<Vec<u8>> {
    let value = u16::from_be_bytes([kind, n]);
    let setup = SetupPacket::new(
        Direction::In,
        RequestKind::Standard,
        Recipient::Device,
        standard::GET_DESCRIPTOR,
        value,
        0,
        length as u16,
    );
    control(device, setup, READ_DESCRIPTORS).await
}

fn short(field: &'static str, answer: &[u8], wanted: usize) -> Error {
    let reason = format!("is {wanted}, but the device sent {} bytes", answer.len());
    Error::new(ErrorKind::Malformed, READ_DESCRIPTORS, reason).field(field)
}

/// A control transfer with an answer, before anybody else uses the device.
async fn control(device: &mut UsbIp, setup: SetupPacket, operation: &'static str) -> Result<Vec<u8>> {
    let buffer = RawBuffer::heap(usize::from(setup.length));
    let urb = Urb { token: Token(0), operation: Operation::Control(setup), buffer };
    device.submit(urb).map_err(|(error, _)| error.during(operation))?;
    let mut done: Vec<Done> = Vec::with_capacity(1);
    let reaped = poll_fn(|context| device.poll_reap(context, &mut done));
    match tokio::time::timeout(REQUEST_TIMEOUT, reaped).await {
        Err(_) => return Err(TransferError::TimedOut.during(operation)),
        Ok(Reaped::Gone) => {
            return Err(failed(operation, device.fate.loss().unwrap_or(Loss::Closed)));
        }
        Ok(Reaped::Some) => {}
    }
    let Some(done) = done.pop() else { return Err(TransferError::Fault.during(operation)) };
    done.status.map_err(|error| error.during(operation))?;
    Ok(done.urb.buffer.space()[..done.urb.buffer.len()].to_vec())
}

/// What the transport has to know of the active configuration.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The `interval` of interrupt endpoints, by address.
    intervals: Vec<(u8, u32)>,
    /// Interfaces with more than one alternate setting.
    with_alternates: Vec<u8>,
}

impl Layout {
    pub(super) fn of(descriptors: &[u8], speed: Speed, configuration: Option<u8>) -> Self {
        let mut this = Self::default();
        let Ok(parsed) = DeviceDescriptors::parse_at(descriptors, speed) else { return this };
        let active = configuration.and_then(|value| parsed.configuration(value));
        for interface in active.into_iter().flat_map(|active| &active.interfaces) {
            if interface.alternates.len() > 1 {
                this.with_alternates.push(interface.number);
            }
            for endpoint in interface.alternates.iter().flat_map(|setting| &setting.endpoints) {
                if endpoint.transfer_type == TransferType::Interrupt {
                    let said = endpoint.interval.max(1);
                    let interval = match speed {
                        Speed::Low | Speed::Full => said.into(),
                        // bInterval is the exponent, from 1 to 16 (USB 2.0, Table 9-13).
                        Speed::High | Speed::Super | Speed::SuperPlus => 1 << (said.min(16) - 1),
                    };
                    this.intervals.push((endpoint.address, interval));
                }
            }
        }
        this
    }

    /// The `interval` that USB/IP wants of an interrupt endpoint, which is that of the kernel's URBs: frames, or at high speed and above
    /// microframes. Never 0: a server cannot submit such a transfer, and ends the connection.
    pub(super) fn interval(&self, endpoint: u8) -> u32 {
        self.intervals.iter().find(|(address, _)| *address == endpoint).map_or(1, |(_, interval)| *interval)
    }

    pub(super) fn has_alternates(&self, interface: u8) -> bool {
        self.with_alternates.contains(&interface)
    }
}
