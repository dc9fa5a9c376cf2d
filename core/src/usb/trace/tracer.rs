//! Turns what passes between a driver and its device into the blocks of a trace. It appends to a buffer and is told the time; it must not
//! know where the bytes go.

use std::collections::BTreeMap;

use super::pcapng::{self, Interface, Packet, Section, Statistics};
use super::usbmon::{self, Header, event, flag, no_data};
use super::{Address, Options, Payload};
use crate::usb::descriptor::{Configuration, DeviceDescriptor, DeviceDescriptors, kind};
use crate::usb::transfer::{Operation, TransferError};
use crate::usb::transport::DeviceInfo;
use crate::usb::transport::record::Event;
use crate::usb::{
    Direction, Recipient, RequestKind, SetupPacket, Speed, TransferType, endpoint_number, standard,
};

/// The most bytes of a transfer that are kept: readers refuse packets of more than 256 KiB (Wireshark's WTAP_MAX_PACKET_SIZE_STANDARD).
pub const LONGEST: usize = 256 * 1024 - usbmon::LENGTH;

/// Ids of exchanges that no transport ever saw; those of requests are below.
const SYNTHETIC_ID: u64 = 1 << 32;

const READ_BEFORE: &str = "not on the bus now: the system read this before the trace began";
const REPEATED: &str = "not on the bus now: repeated for the configuration that was selected";

/// Endpoint addresses as a dense index: 16 numbers, two directions.
const ENDPOINTS: usize = 32;

/// Makes the records of one device's trace.
#[derive(Debug)]
pub struct Tracer {
    name: String,
    speed: Speed,
    address: Address,
    payload: Payload,
    /// As the device sent them: not trusted.
    descriptors: Vec<u8>,
    parsed: Option<DeviceDescriptors>,
    /// bConfigurationValue, as far as it is known.
    configuration: Option<u8>,
    /// By interface, where they are not 0.
    alternates: BTreeMap<u8, u8>,
    /// Of the interrupt endpoints, as usbmon has them; 0 of all others.
    intervals: [i32; ENDPOINTS],
    counted: Statistics,
}

/// A request as usbmon sees it.
struct Request<'a> {
    transfer_type: TransferType,
    number: u8,
    direction: Direction,
    setup: Option<SetupPacket>,
    /// IN: what is asked for.
    length: usize,
    zero_packet: bool,
    most: usize,
    comment: &'a str,
}

impl Request<'_> {
    /// `None`: nothing on the bus that is this device's.
    fn of(operation: &Operation, payload: Payload) -> Option<Self> {
        let to_device = |recipient, request, value, index| {
            SetupPacket::new(Direction::Out, RequestKind::Standard, recipient, request, value, index, 0)
        };
        let setup = match *operation {
            Operation::Transfer { endpoint, transfer_type, request, zero_packet } => {
                return Some(Self {
                    transfer_type,
                    number: endpoint_number(endpoint),
                    direction: Direction::of(endpoint),
                    setup: None,
                    length: request,
                    zero_packet,
                    most: payload.most(),
                    comment: "",
                });
            }
            Operation::Control(setup) => setup,
            Operation::SetConfiguration(value) => {
                to_device(Recipient::Device, standard::SET_CONFIGURATION, value.into(), 0)
            }
            Operation::SetInterface { interface, alternate } => {
                to_device(Recipient::Interface, standard::SET_INTERFACE, alternate.into(), interface.into())
            }
            Operation::ClearHalt { endpoint } => {
                let feature = standard::ENDPOINT_HALT;
                to_device(Recipient::Endpoint, standard::CLEAR_FEATURE, feature, endpoint.into())
            }
            // Requests to the hub that the device is plugged into.
            Operation::Reset => return None,
        };
        Some(Self::control(setup, payload, ""))
    }

    fn control(setup: SetupPacket, payload: Payload, comment: &'static str) -> Self {
        let is_descriptor =
            setup.kind() == RequestKind::Standard && setup.request == standard::GET_DESCRIPTOR;
        Self {
            transfer_type: TransferType::Control,
            number: 0,
            // Without a data stage usbmon says OUT, whatever bmRequestType says.
            direction: if setup.length == 0 { Direction::Out } else { setup.direction() },
            setup: Some(setup),
            length: setup.length.into(),
            zero_packet: false,
            most: if is_descriptor { LONGEST } else { payload.most() },
            comment,
        }
    }
}

impl Tracer {
    /// For a device of which nothing has been asked yet.
    pub fn new(info: &DeviceInfo, options: &Options) -> Self {
        let mut tracer = Self {
            name: info.name.clone(),
            speed: info.speed,
            address: options.address,
            payload: options.payload,
            descriptors: info.descriptors.clone(),
            parsed: DeviceDescriptors::parse_at(&info.descriptors, info.speed).ok(),
            configuration: info.configuration,
            alternates: BTreeMap::new(),
            intervals: [0; ENDPOINTS],
            counted: Statistics::default(),
        };
        tracer.look_up_intervals();
        tracer
    }

    /// Appends what a trace begins with: who wrote it, what device it is about, and that device's descriptors. All times are in
    /// nanoseconds since 1970, UTC.
    pub fn begin(&mut self, now: u64, section: &Section<'_>, out: &mut Vec<u8>) {
        self.counted.start = now;
        pcapng::section(out, section);
        let description = match &self.parsed {
            Some(parsed) => {
                format!("USB device {:04x}:{:04x}", parsed.device.vendor_id, parsed.device.product_id)
            }
            None => "USB device".to_owned(),
        };
        let interface = Interface {
            link_type: usbmon::LINK_TYPE,
            name: &self.name,
            description: &description,
            bits_per_second: self.speed.bits_per_second(),
        };
        pcapng::interface(out, &interface);
        let descriptors = std::mem::take(&mut self.descriptors);
        let device = &descriptors[..descriptors.len().min(DeviceDescriptor::LENGTH)];
        self.descriptor(now, kind::DEVICE, 0, DeviceDescriptor::LENGTH as u16, device, READ_BEFORE, out);
        let is_active = |configuration: &Found<'_>| Some(configuration.value) == self.configuration;
        let (active, others): (Vec<_>, Vec<_>) = configurations(&descriptors).partition(is_active);
        for found in others.into_iter().chain(active) {
            self.configuration_descriptor(now, &found, READ_BEFORE, out);
        }
        self.descriptors = descriptors;
    }

    /// Appends what is to be said of an event, which may be nothing. Does not allocate for transfers, but for the buffer's growth.
    pub fn event(&mut self, now: u64, event: &Event<'_>, out: &mut Vec<u8>) {
        match *event {
            Event::Submitted { token, operation, data } => {
                let Some(request) = Request::of(operation, self.payload) else { return };
                self.submitted(now, id(token.0), &request, data, out);
            }
            Event::Rejected { token, operation, error } => {
                let Some(request) = Request::of(operation, self.payload) else { return };
                let header = Header {
                    status: number_of(error),
                    data_flag: no_data::ERROR,
                    // usbmon tells no more of these.
                    interval: 0,
                    flags: 0,
                    ..self.header(event::ERROR, id(token.0), &request)
                };
                self.write(now, header, &[], 0, request.comment, out);
            }
            Event::Cancelled { .. } => {}
            Event::Completed { token, operation, status, data } => {
                let Some(request) = Request::of(operation, self.payload) else { return };
                self.completed(now, id(token.0), &request, status, data, out);
                if status.is_ok() {
                    self.selected(now, operation, out);
                }
            }
        }
    }

    /// Appends what a trace ends with; a trace without it is whole as well.
    pub fn end(&mut self, now: u64, out: &mut Vec<u8>) {
        self.counted.end = now;
        pcapng::statistics(out, &self.counted);
    }

    fn submitted(&mut self, now: u64, id: u64, request: &Request<'_>, data: &[u8], out: &mut Vec<u8>) {
        let header = Header { status: usbmon::IN_PROGRESS, ..self.header(event::SUBMIT, id, request) };
        match request.direction {
            Direction::In => {
                let header = Header { length: length(request.length), data_flag: no_data::IN, ..header };
                self.write(now, header, &[], 0, request.comment, out);
            }
            Direction::Out => self.write(now, header, data, request.most, request.comment, out),
        }
    }

    fn completed(
        &mut self,
        now: u64,
        id: u64,
        request: &Request<'_>,
        status: Result<usize, TransferError>,
        data: &[u8],
        out: &mut Vec<u8>,
    ) {
        let header = Header {
            status: status.map_or_else(number_of, |_| 0),
            setup_flag: usbmon::NO_SETUP,
            setup: [0; 8],
            ..self.header(event::COMPLETE, id, request)
        };
        match request.direction {
            Direction::In => self.write(now, header, data, request.most, request.comment, out),
            Direction::Out => {
                let moved = length(status.unwrap_or(0));
                let header = Header { length: moved, data_flag: no_data::OUT, ..header };
                self.write(now, header, &[], 0, request.comment, out);
            }
        }
    }

    fn header(&self, event: u8, id: u64, request: &Request<'_>) -> Header {
        let endpoint = usbmon::endpoint(request.number, request.direction);
        let is_submission = event == event::SUBMIT;
        let setup = request.setup.filter(|_| is_submission);
        let direction = if request.direction == Direction::In { flag::DIRECTION_IN } else { 0 };
        let zero_packet =
            if request.zero_packet && request.direction == Direction::Out { flag::ZERO_PACKET } else { 0 };
        Header {
            id,
            event,
            transfer_type: usbmon::transfer_code(request.transfer_type),
            endpoint,
            device: self.address.device,
            bus: self.address.bus,
            setup_flag: if setup.is_some() { 0 } else { usbmon::NO_SETUP },
            setup: setup.map_or([0; 8], SetupPacket::to_bytes),
            interval: self.intervals[index(endpoint)],
            flags: direction | zero_packet,
            ..Header::default()
        }
    }

    /// One record with as much of `data` as may be kept.
    fn write(
        &mut self,
        now: u64,
        header: Header,
        data: &[u8],
        most: usize,
        comment: &str,
        out: &mut Vec<u8>,
    ) {
        let kept = &data[..data.len().min(most)];
        let not_kept = kept.is_empty() && !data.is_empty();
        let header = Header {
            seconds: (now / 1_000_000_000) as i64,
            microseconds: (now % 1_000_000_000 / 1000) as i32,
            length: if data.is_empty() { header.length } else { length(data.len()) },
            captured: length(kept.len()),
            data_flag: if not_kept { no_data::NOT_CAPTURED } else { header.data_flag },
            ..header
        };
        self.counted.received += 1;
        let packet = Packet {
            time: now,
            header: &header.to_bytes(),
            data: kept,
            data_length: length(data.len()),
            comment,
        };
        pcapng::packet(out, &packet);
    }

    /// Something was selected: what is known of the endpoints changes with it.
    fn selected(&mut self, now: u64, operation: &Operation, out: &mut Vec<u8>) {
        match *operation {
            Operation::SetConfiguration(value) => {
                self.configuration = Some(value);
                self.alternates.clear();
                let descriptors = std::mem::take(&mut self.descriptors);
                if let Some(found) = configurations(&descriptors).find(|found| found.value == value) {
                    self.configuration_descriptor(now, &found, REPEATED, out);
                }
                self.descriptors = descriptors;
            }
            Operation::SetInterface { interface, alternate } => {
                self.alternates.insert(interface, alternate);
            }
            _ => return,
        }
        self.look_up_intervals();
    }

    fn look_up_intervals(&mut self) {
        self.intervals = [0; ENDPOINTS];
        let Some(parsed) = &self.parsed else { return };
        let active = match self.configuration {
            Some(value) => parsed.configuration(value),
            None => parsed.configurations.first(),
        };
        let Some(active) = active else { return };
        for interface in &active.interfaces {
            let alternate = self.alternates.get(&interface.number).copied().unwrap_or(0);
            let Some(setting) = active.alternate(interface.number, alternate) else { continue };
            for endpoint in &setting.endpoints {
                if endpoint.transfer_type == TransferType::Interrupt {
                    self.intervals[index(endpoint.address)] = usbmon::interval(endpoint.interval, self.speed);
                }
            }
        }
    }

    fn configuration_descriptor(
        &mut self,
        now: u64,
        found: &Found<'_>,
        comment: &'static str,
        out: &mut Vec<u8>,
    ) {
        self.descriptor(now, kind::CONFIGURATION, found.index, found.total, found.bytes, comment, out);
    }

    /// The exchange by which a descriptor would have been read.
    #[expect(
        clippy::too_many_arguments,
        reason = "the fields of one setup packet, and what is common to all writers here"
    )]
    fn descriptor(
        &mut self,
        now: u64,
        kind: u8,
        index: u8,
        length: u16,
        bytes: &[u8],
        comment: &'static str,
        out: &mut Vec<u8>,
    ) {
        let value = u16::from_be_bytes([kind, index]);
        let (standard, device) = (RequestKind::Standard, Recipient::Device);
        let setup =
            SetupPacket::new(Direction::In, standard, device, standard::GET_DESCRIPTOR, value, 0, length);
        let request = Request::control(setup, self.payload, comment);
        self.submitted(now, SYNTHETIC_ID, &request, &[], out);
        self.completed(now, SYNTHETIC_ID, &request, Ok(bytes.len()), bytes, out);
    }
}

/// A configuration among a device's descriptors.
struct Found<'a> {
    index: u8,
    /// bConfigurationValue.
    value: u8,
    /// wTotalLength.
    total: u16,
    /// As much of it as there is.
    bytes: &'a [u8],
}

/// The configurations behind a device descriptor, by their own lengths: as a reader of the trace takes them. Ends at the first that is none.
fn configurations(descriptors: &[u8]) -> impl Iterator<Item = Found<'_>> {
    let mut rest = descriptors.get(DeviceDescriptor::LENGTH..).unwrap_or_default();
    (0..=u8::MAX).map_while(move |index| {
        let &[_, kind::CONFIGURATION, low, high, _, value, ..] = rest else { return None };
        let total = u16::from_le_bytes([low, high]);
        if usize::from(total) < Configuration::LENGTH {
            return None;
        }
        let (bytes, behind) = rest.split_at(rest.len().min(total.into()));
        rest = behind;
        Some(Found { index, value, total, bytes })
    })
}

fn id(token: u32) -> u64 {
    // 0 looks like nothing.
    u64::from(token) + 1
}

fn index(endpoint: u8) -> usize {
    usize::from(endpoint & 0x0f) | usize::from(endpoint >> 7) << 4
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// As the kernel reports a transfer that failed so (Linux, Documentation/driver-api/usb/error-codes.rst).
fn number_of(error: TransferError) -> i32 {
    use rustix::io::Errno;
    let error = match error {
        TransferError::Stall => Errno::PIPE,
        TransferError::Fault => Errno::PROTO,
        TransferError::Overflow => Errno::OVERFLOW,
        TransferError::Unplugged => Errno::SHUTDOWN,
        // Of usb_kill_urb, by which usbfs ends them.
        TransferError::Cancelled => Errno::NOENT,
        TransferError::TimedOut => Errno::TIMEDOUT,
        TransferError::Refused(number) if (1..4096).contains(&number) => return -number,
        TransferError::Refused(_) => Errno::IO,
    };
    -error.raw_os_error()
}
