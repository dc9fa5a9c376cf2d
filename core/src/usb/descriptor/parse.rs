//! From the bytes of one configuration to its struct, tolerant where Linux's parser is. It knows no device.

use super::configuration::max_power_unit;
use super::endpoint::{interval_range, max_packet_size};
use super::{
    AlternateSetting, Configuration, Descriptors, Endpoint, EndpointCompanion, Extra, Finding,
    InterfaceAssociation, Malformed, Oddity, RawDescriptor, kind, limit,
};
use crate::usb::{Speed, TransferType};
use std::num::NonZeroU8;

/// Where the parser is, and what it found; a finding takes the place from here.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) list: Vec<Finding>,
    pub(super) configuration: Option<u8>,
    interface: Option<u8>,
    alternate: Option<u8>,
    endpoint: Option<u8>,
}

impl Findings {
    pub(super) fn add(&mut self, field: &'static str, oddity: Oddity) {
        let Self { configuration, interface, alternate, endpoint, .. } = *self;
        match self.list.len() {
            0..limit::FINDINGS => {
                self.list.push(Finding { configuration, interface, alternate, endpoint, field, oddity });
            }
            limit::FINDINGS => self.list.push(Finding {
                configuration: None,
                interface: None,
                alternate: None,
                endpoint: None,
                field: "descriptors",
                oddity: Oddity::MoreFindings,
            }),
            _ => {}
        }
    }

    fn leave_interface(&mut self) {
        (self.interface, self.alternate, self.endpoint) = (None, None, None);
    }
}

/// Which interface uses an endpoint: by number and direction, over all alternate settings.
#[derive(Default)]
struct Owners([[Option<u8>; 2]; 16]);

impl Owners {
    fn slot(&mut self, address: u8) -> &mut [Option<u8>; 2] {
        &mut self.0[usize::from(address & 0x0f)]
    }

    fn belongs_to_another(&mut self, address: u8, control: bool, interface: u8) -> bool {
        let slot = self.slot(address);
        let taken = |owner: Option<u8>| owner.is_some_and(|owner| owner != interface);
        if control { slot.iter().any(|owner| taken(*owner)) } else { taken(slot[usize::from(address >> 7)]) }
    }

    fn take(&mut self, address: u8, control: bool, interface: u8) {
        let slot = self.slot(address);
        if control {
            *slot = [Some(interface); 2];
        } else {
            slot[usize::from(address >> 7)] = Some(interface);
        }
    }
}

/// Reads the configuration that `bytes` are, header included.
pub(super) fn configuration(
    bytes: &[u8],
    speed: Option<Speed>,
    findings: &mut Findings,
) -> Result<Configuration, Malformed> {
    let header = header(bytes)?;
    let field = |at| header.u8(at).unwrap_or(0);
    let value = field(5);
    findings.configuration = Some(value);
    let attributes = field(7);
    let mut this = Configuration {
        value,
        attributes,
        max_power_ma: u16::from(field(8)) * max_power_unit(speed.is_some_and(Speed::is_super)),
        name: NonZeroU8::new(field(6)),
        interfaces: Vec::new(),
        associations: Vec::new(),
        extra: Extra::new(),
    };
    if value == 0 {
        findings.add("bConfigurationValue", Oddity::Invalid { value: 0 });
    }
    let reserved = (attributes ^ Configuration::ALWAYS) & 0x9f;
    if reserved != 0 {
        findings.add("bmAttributes", Oddity::ReservedBits { bits: reserved.into() });
    }
    let mut walk = Descriptors::new(&bytes[header.length()..]);
    let mut owners = Owners::default();
    while let Some(raw) = walk.next() {
        findings.leave_interface();
        match raw.kind() {
            kind::INTERFACE => interface(raw, &mut walk, speed, &mut owners, &mut this, findings),
            _ => stray(raw, &mut this.associations, Some(&mut this.extra), findings),
        }
    }
    findings.leave_interface();
    let total = header.u16(2).unwrap_or(0);
    let walked = bytes.len() - walk.rest().len();
    if !walk.rest().is_empty() {
        findings.add("bLength", Oddity::Garbage { bytes: walk.rest().len() as u32 });
    }
    if usize::from(total) != walked {
        findings.add("wTotalLength", Oddity::Differs { declared: total.into(), found: walked as u32 });
    }
    numbers(&this, field(4), findings);
    Ok(this)
}

fn header(bytes: &[u8]) -> Result<RawDescriptor<'_>, Malformed> {
    const FIELD: &str = "bLength of a configuration descriptor";
    let Some(raw) = RawDescriptor::first(bytes) else {
        let length = bytes.first().copied().unwrap_or(0);
        return Err(Malformed::new(FIELD, format!("is {length}, and {} bytes are there", bytes.len())));
    };
    if raw.kind() != kind::CONFIGURATION {
        let reason = format!("is {:#04x} where a configuration (0x02) must begin", raw.kind());
        return Err(Malformed::new("bDescriptorType", reason));
    }
    if raw.length() < Configuration::LENGTH {
        let reason = format!("is {}; it has {} bytes", raw.length(), Configuration::LENGTH);
        return Err(Malformed::new(FIELD, reason));
    }
    Ok(raw)
}

/// A descriptor that neither begins an interface nor an endpoint: an association, or something to keep as bytes.
fn stray(
    raw: RawDescriptor<'_>,
    associations: &mut Vec<InterfaceAssociation>,
    extra: Option<&mut Extra>,
    findings: &mut Findings,
) {
    match raw.kind() {
        kind::DEVICE | kind::CONFIGURATION => {
            findings.add("bDescriptorType", Oddity::Misplaced { kind: raw.kind() });
        }
        kind::ENDPOINT if extra.is_some() && findings.interface.is_none() => {
            findings.add("bDescriptorType", Oddity::Misplaced { kind: raw.kind() });
        }
        kind::INTERFACE_ASSOCIATION => {
            let Some(&[first_interface, interface_count, class, subclass, protocol, name]) =
                raw.bytes().get(2..InterfaceAssociation::LENGTH).and_then(|fields| fields.first_chunk())
            else {
                return findings.add("bLength", too_short(raw, InterfaceAssociation::LENGTH));
            };
            if associations.len() == limit::ASSOCIATIONS {
                return findings
                    .add("bFirstInterface", Oddity::TooMany { limit: limit::ASSOCIATIONS as u32 });
            }
            let name = NonZeroU8::new(name);
            associations.push(InterfaceAssociation {
                first_interface,
                interface_count,
                class,
                subclass,
                protocol,
                name,
            });
        }
        _ => {
            if let Some(extra) = extra {
                extra.push(raw);
            }
        }
    }
}

fn too_short(raw: RawDescriptor<'_>, needed: usize) -> Oddity {
    Oddity::TooShort { length: raw.length() as u8, needed: needed as u8 }
}

/// Reads one alternate setting up to the next interface descriptor.
fn interface(
    raw: RawDescriptor<'_>,
    walk: &mut Descriptors<'_>,
    speed: Option<Speed>,
    owners: &mut Owners,
    configuration: &mut Configuration,
    findings: &mut Findings,
) {
    let setting = setting(raw, configuration, findings);
    let declared = raw.u8(4).unwrap_or(0);
    let Some(mut setting) = setting else {
        // What is behind an interface that is left out is left out too; only associations may stand anywhere.
        while let Some(next) = walk.peek().filter(|next| next.kind() != kind::INTERFACE) {
            stray(next, &mut configuration.associations, None, findings);
            walk.next();
        }
        return;
    };
    let room = usize::from(declared).min(limit::ENDPOINTS);
    if usize::from(declared) > limit::ENDPOINTS {
        findings.add("bNumEndpoints", Oddity::TooMany { limit: limit::ENDPOINTS as u32 });
    }
    let mut count = 0u32;
    let mut kept = false; // Whether the last endpoint was, so that what is behind it has a place.
    while let Some(next) = walk.peek().filter(|next| next.kind() != kind::INTERFACE) {
        walk.next();
        if next.kind() == kind::ENDPOINT {
            count += 1;
            let endpoint = endpoint(next, walk, speed, &setting, room, owners, findings);
            kept = endpoint.is_some();
            setting.endpoints.extend(endpoint);
        } else {
            let extra = match (count, kept) {
                (0, _) => Some(&mut setting.extra),
                (_, true) => setting.endpoints.last_mut().map(|endpoint| &mut endpoint.extra),
                (_, false) => None,
            };
            stray(next, &mut configuration.associations, extra, findings);
        }
    }
    findings.endpoint = None;
    if count != u32::from(declared) {
        findings.add("bNumEndpoints", Oddity::Differs { declared: declared.into(), found: count });
    }
    configuration.push(setting);
}

/// The setting without its endpoints, unless it has to be left out.
fn setting(
    raw: RawDescriptor<'_>,
    configuration: &Configuration,
    findings: &mut Findings,
) -> Option<AlternateSetting> {
    let Some(&[number, alternate, _, class, subclass, protocol, name]) =
        raw.bytes().get(2..AlternateSetting::LENGTH).and_then(|fields| fields.first_chunk())
    else {
        findings.interface = raw.u8(2);
        findings.add("bLength", too_short(raw, AlternateSetting::LENGTH));
        return None;
    };
    (findings.interface, findings.alternate) = (Some(number), Some(alternate));
    match configuration.interface(number) {
        Some(interface) if interface.alternates.iter().any(|setting| setting.alternate == alternate) => {
            findings.add("bAlternateSetting", Oddity::Duplicate);
            return None;
        }
        Some(interface) if interface.alternates.len() == limit::ALTERNATES => {
            findings.add("bAlternateSetting", Oddity::TooMany { limit: limit::ALTERNATES as u32 });
            return None;
        }
        None if configuration.interfaces.len() == limit::INTERFACES => {
            findings.add("bInterfaceNumber", Oddity::TooMany { limit: limit::INTERFACES as u32 });
            return None;
        }
        _ => {}
    }
    let mut setting = AlternateSetting::new(number, alternate, class, subclass, protocol);
    setting.name = NonZeroU8::new(name);
    Some(setting)
}

/// The endpoint with its companion, unless it has to be left out.
fn endpoint(
    raw: RawDescriptor<'_>,
    walk: &mut Descriptors<'_>,
    speed: Option<Speed>,
    setting: &AlternateSetting,
    room: usize,
    owners: &mut Owners,
    findings: &mut Findings,
) -> Option<Endpoint> {
    findings.endpoint = raw.u8(2);
    let Some(&[address, attributes, size0, size1, interval]) =
        raw.bytes().get(2..Endpoint::LENGTH).and_then(|fields| fields.first_chunk())
    else {
        findings.add("bLength", too_short(raw, Endpoint::LENGTH));
        return None;
    };
    // Endpoint 0 belongs to no interface, and bits 6..4 are reserved: Linux takes neither.
    if !(1..16).contains(&(address & 0x7f)) {
        findings.add("bEndpointAddress", Oddity::Unusable { value: address.into() });
        return None;
    }
    if setting.endpoints.len() >= room {
        return None; // Said by bNumEndpoints.
    }
    let control = TransferType::of(attributes) == TransferType::Control;
    let twice = setting.endpoints.iter().any(|other| {
        let shared = control || other.transfer_type == TransferType::Control;
        other.address == address || shared && other.number() == address & 0x0f
    });
    if twice || owners.belongs_to_another(address, control, setting.interface) {
        findings.add("bEndpointAddress", Oddity::Duplicate);
        return None;
    }
    owners.take(address, control, setting.interface);

    let mut this = Endpoint::new(address, TransferType::of(attributes), 0, interval);
    this.usage = attributes & 0xfc;
    if raw.length() >= Endpoint::AUDIO_LENGTH {
        this.audio = Some([raw.u8(7)?, raw.u8(8)?]);
    }
    let reserved = match this.transfer_type {
        TransferType::Isochronous => 0xc0,
        // SuperSpeed uses bits 5..4 of interrupt endpoints (USB 3.2, Table 9-27).
        TransferType::Interrupt => 0xcc,
        TransferType::Control | TransferType::Bulk => 0xfc,
    };
    if attributes & reserved != 0 {
        findings.add("bmAttributes", Oddity::ReservedBits { bits: (attributes & reserved).into() });
    }
    if speed == Some(Speed::Low) && this.transfer_type == TransferType::Bulk {
        // Forbidden, but such devices work when they are polled like an interrupt endpoint.
        findings.add("bmAttributes", Oddity::Replaced { declared: 2, used: 3 });
        (this.transfer_type, this.interval) = (TransferType::Interrupt, 1);
    }
    let (least, most) = interval_range(speed, this.transfer_type);
    if !(least..=most).contains(&this.interval) {
        findings.add("bInterval", Oddity::Invalid { value: this.interval.into() });
    }
    packet_size(u16::from_le_bytes([size0, size1]), speed, setting.alternate, &mut this, findings);
    companion(walk, speed, &mut this, findings);
    Some(this)
}

fn packet_size(
    size: u16,
    speed: Option<Speed>,
    alternate: u8,
    endpoint: &mut Endpoint,
    findings: &mut Findings,
) {
    let mut payload = size;
    // Only high speed has the transactions in bits 12..11 (USB 2.0, Table 9-13).
    if matches!(speed, Some(Speed::High) | None) && endpoint.transfer_type.is_periodic() {
        payload = size & !0x1800;
        endpoint.transactions = (size >> 11 & 3) as u8 + 1;
        if endpoint.transactions > 3 {
            findings.add("wMaxPacketSize", Oddity::ReservedBits { bits: 0x1800 });
            endpoint.transactions = 3;
        }
    }
    let most = max_packet_size(speed, endpoint.transfer_type);
    if payload > most {
        findings.add("wMaxPacketSize", Oddity::Replaced { declared: payload.into(), used: most.into() });
        payload = most;
    } else if payload == 0 && !(endpoint.transfer_type == TransferType::Isochronous && alternate == 0) {
        findings.add("wMaxPacketSize", Oddity::Invalid { value: 0 });
    } else if speed == Some(Speed::High) && endpoint.transfer_type == TransferType::Bulk && payload != 512 {
        findings.add("wMaxPacketSize", Oddity::Invalid { value: payload.into() });
    }
    endpoint.max_packet_size = payload;
}

/// Takes the companions, which must stand right behind their endpoint, and cuts them to what is allowed.
fn companion(
    walk: &mut Descriptors<'_>,
    speed: Option<Speed>,
    endpoint: &mut Endpoint,
    findings: &mut Findings,
) {
    let found = walk
        .peek()
        .filter(|next| next.kind() == kind::ENDPOINT_COMPANION && next.length() >= EndpointCompanion::LENGTH);
    let Some((raw, fields)) = found.and_then(|raw| Some((raw, raw.bytes().get(2..)?.first_chunk::<4>()?)))
    else {
        if speed.is_some_and(Speed::is_super) {
            findings
                .add("SuperSpeed endpoint companion", Oddity::Missing { number: endpoint.address.into() });
        }
        return;
    };
    walk.next();
    let &[max_burst, attributes, ..] = fields;
    let mut this = EndpointCompanion {
        max_burst,
        attributes,
        bytes_per_interval: raw.u16(4).unwrap_or(0),
        isochronous_bytes: None,
    };
    let cut = |field, value: &mut u8, used: u8, findings: &mut Findings| {
        if *value != used {
            findings.add(field, Oddity::Replaced { declared: (*value).into(), used: used.into() });
            *value = used;
        }
    };
    let is_control = endpoint.transfer_type == TransferType::Control;
    let burst = if is_control { 0 } else { max_burst.min(15) };
    cut("bMaxBurst", &mut this.max_burst, burst, findings);
    let ssp_isochronous = endpoint.transfer_type == TransferType::Isochronous && attributes & 0x80 != 0;
    let allowed = match endpoint.transfer_type {
        TransferType::Control | TransferType::Interrupt => 0,
        TransferType::Bulk => attributes.min(16),
        TransferType::Isochronous if !ssp_isochronous && attributes & 3 == 3 => 2,
        TransferType::Isochronous => attributes,
    };
    cut("bmAttributes of the companion", &mut this.attributes, allowed, findings);
    let packets = match endpoint.transfer_type {
        TransferType::Isochronous => (u32::from(burst) + 1) * (u32::from(allowed & 3) + 1),
        TransferType::Interrupt => u32::from(burst) + 1,
        TransferType::Control | TransferType::Bulk => 0,
    };
    let most = packets * u32::from(endpoint.max_packet_size);
    if packets > 0 && !ssp_isochronous && u32::from(this.bytes_per_interval) > most {
        let declared = this.bytes_per_interval.into();
        findings.add("wBytesPerInterval", Oddity::Replaced { declared, used: most });
        this.bytes_per_interval = most as u16;
    }
    if ssp_isochronous {
        let next = walk.peek().filter(|next| {
            next.kind() == kind::ISOCHRONOUS_COMPANION
                && next.length() >= EndpointCompanion::ISOCHRONOUS_LENGTH
        });
        match next.and_then(|next| next.u32(4)) {
            Some(bytes) => {
                this.isochronous_bytes = Some(bytes);
                walk.next();
            }
            None => {
                let number = endpoint.address.into();
                findings.add("SuperSpeedPlus isochronous companion", Oddity::Missing { number });
            }
        }
    }
    endpoint.companion = Some(this);
}

/// Numbers of interfaces and alternate settings, against each other and against what the header says.
fn numbers(this: &Configuration, declared: u8, findings: &mut Findings) {
    let count = this.interfaces.len() as u32;
    if count != u32::from(declared) || count == 0 {
        findings.add("bNumInterfaces", Oddity::Differs { declared: declared.into(), found: count });
    }
    if this.interfaces.iter().zip(0u8..).any(|(interface, number)| interface.number != number) {
        findings.add("bInterfaceNumber", Oddity::Unordered);
    }
    for interface in &this.interfaces {
        findings.interface = Some(interface.number);
        if interface.alternates.iter().zip(0u8..).any(|(setting, number)| setting.alternate != number) {
            findings.add("bAlternateSetting", Oddity::Unordered);
        }
    }
    findings.leave_interface();
    for association in &this.associations {
        let last = u16::from(association.first_interface) + u16::from(association.interface_count);
        let missing = (u16::from(association.first_interface)..last)
            .find(|number| u8::try_from(*number).map_or(true, |number| this.interface(number).is_none()));
        if let Some(number) = missing {
            findings.add("interface of an association", Oddity::Missing { number: number.into() });
        }
    }
}
