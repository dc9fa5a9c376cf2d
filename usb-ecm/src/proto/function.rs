//! Finds the ECM function among a device's configurations, with the tolerance of Linux's cdc_ether, and says of every
//! candidate why it is one or not. It asks no device: all it knows are descriptors and quirks.

use super::frame::FrameRules;
use super::functional::{EthernetNetworking, Functional, FunctionalOddity, MulticastFilters};
use super::quirks::Quirks;
use outboard_core::usb::descriptor::{
    AlternateSetting, Configuration, DeviceDescriptors, Endpoint, Extra, InterfaceSettings, Malformed,
    StringIndex,
};
use outboard_core::usb::{Direction, TransferType, class};
use std::fmt;

/// bInterfaceSubClass of communications interfaces (CDC120, Table 4).
pub mod subclass {
    /// Abstract Control Model: modems, and RNDIS in disguise.
    pub const ACM: u8 = 0x02;
    /// Ethernet Control Model.
    pub const ETHERNET: u8 = 0x06;
    /// Mobile Direct Line Model; Ericsson's modems speak ECM under this name.
    pub const MDLM: u8 = 0x0a;
    /// Ethernet Emulation Model.
    pub const EEM: u8 = 0x0c;
    /// Network Control Model.
    pub const NCM: u8 = 0x0d;
    /// Mobile Broadband Interface Model.
    pub const MBIM: u8 = 0x0e;
}

/// The GUID by which Mobile Broadband Modules say that their MDLM is ECM.
pub const MBM_GUID: [u8; 16] =
    [0xa3, 0x17, 0xa8, 0x8b, 0x04, 0x5e, 0x4f, 0x01, 0xa6, 0x07, 0xc0, 0xff, 0xcb, 0x7e, 0x39, 0x2a];

/// wMaxSegmentSize where the device says 0: a frame of 1500 bytes of payload.
pub const USUAL_SEGMENT: u16 = 1514;
/// The shortest wMaxSegmentSize that is believed: the shortest frame of Ethernet without its FCS (IEEE 802.3, 4A.4.2).
pub const SHORTEST_SEGMENT: u16 = 60;
/// The longest: jumbo frames of 16 KiB. Without it a device could make every receive buffer 64 KiB long.
pub const LONGEST_SEGMENT: u16 = 16 * 1024;

/// A bulk endpoint that frames go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkEndpoint {
    /// bEndpointAddress.
    pub address: u8,
    /// Bytes in a packet, 1 to 1024.
    pub max_packet_size: u16,
}

/// The interrupt endpoint that notifications come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotificationEndpoint {
    /// bEndpointAddress.
    pub address: u8,
    /// Bytes in a packet, 8 to 1024.
    pub max_packet_size: u16,
    /// bInterval, at least 1.
    pub interval: u8,
}

/// An ECM function, with all that a driver needs to start it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcmFunction {
    /// bConfigurationValue.
    pub configuration: u8,
    /// bInterfaceNumber of the communications interface: class requests go there.
    pub control_interface: u8,
    /// bInterfaceNumber of the data interface; the same where a device merges the two.
    pub data_interface: u8,
    /// bAlternateSetting of the data interface that has the endpoints.
    pub data_alternate: u8,
    /// bAlternateSetting of the data interface without endpoints: selecting it stops the function and resets it.
    pub idle_alternate: Option<u8>,
    /// Frames from the device.
    pub bulk_in: BulkEndpoint,
    /// Frames to the device.
    pub bulk_out: BulkEndpoint,
    /// Notifications; without it the link's state has to be inferred.
    pub notification: Option<NotificationEndpoint>,
    /// iMACAddress.
    pub mac_string: StringIndex,
    /// bmEthernetStatistics; see [`statistics`](super::statistics::offered).
    pub statistics: u32,
    /// The longest frame in bytes, header included, VLAN tag and FCS not: [`SHORTEST_SEGMENT`] to [`LONGEST_SEGMENT`].
    pub max_segment_size: u16,
    /// Filters by group address.
    pub multicast: MulticastFilters,
    /// bNumberPowerFilters.
    pub power_filters: u8,
    /// What was tolerated.
    pub findings: Vec<Finding>,
}

impl EcmFunction {
    /// The interfaces to claim, control first.
    pub fn interfaces(&self) -> impl Iterator<Item = u8> {
        let data = (self.data_interface != self.control_interface).then_some(self.data_interface);
        std::iter::once(self.control_interface).chain(data)
    }

    /// The largest MTU, in bytes of payload.
    pub const fn max_mtu(&self) -> u16 {
        self.max_segment_size - super::frame::HEADER as u16
    }

    /// The rules for its frames.
    pub fn frame_rules(&self) -> FrameRules {
        FrameRules::new(self.max_segment_size, self.bulk_in.max_packet_size, self.bulk_out.max_packet_size)
    }
}

/// Something odd that was tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The functional descriptors are on the configuration (Motorola SB4100).
    DescriptorsOnConfiguration,
    /// The functional descriptors are behind this endpoint (2Wire).
    DescriptorsBehindEndpoint(u8),
    /// A functional descriptor was passed over.
    Descriptor(FunctionalOddity),
    /// There is no Union; this interface is taken for the data interface, for this reason.
    NoUnion {
        /// bInterfaceNumber.
        data: u8,
        /// Whether an interface association says so; otherwise it is the next one and of the data class.
        associated: bool,
    },
    /// The Union has control and data interchanged (Ambit).
    SwappedUnion,
    /// Control and data are one interface.
    Merged,
    /// This endpoint of the control interface is no use for notifications.
    BadNotificationEndpoint {
        /// bEndpointAddress.
        endpoint: u8,
        /// What it lacks.
        reason: &'static str,
    },
    /// wMaxSegmentSize says the one, the other is used.
    SegmentSize {
        /// What the device says.
        declared: u16,
        /// What is used.
        used: u16,
    },
    /// iMACAddress is 0.
    NoMacString,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DescriptorsOnConfiguration => {
                f.write_str("the functional descriptors are on the configuration")
            }
            Self::DescriptorsBehindEndpoint(endpoint) => {
                write!(f, "the functional descriptors are behind endpoint {endpoint:#04x}")
            }
            Self::Descriptor(FunctionalOddity::Length { subtype, length }) => {
                write!(f, "functional descriptor {subtype:#04x} has the wrong length {length}; left out")
            }
            Self::Descriptor(FunctionalOddity::SecondUnion) => f.write_str("a second Union is left out"),
            Self::NoUnion { data, associated: true } => {
                write!(
                    f,
                    "there is no Union; the interface association says that {data} is the data interface"
                )
            }
            Self::NoUnion { data, associated: false } => {
                write!(f, "there is no Union; interface {data} follows and is a data interface")
            }
            Self::SwappedUnion => f.write_str("the Union interchanges control and data interface"),
            Self::Merged => f.write_str("control and data are one interface"),
            Self::BadNotificationEndpoint { endpoint, reason } => {
                write!(f, "endpoint {endpoint:#04x} cannot carry notifications: {reason}")
            }
            Self::SegmentSize { declared, used } => {
                write!(f, "wMaxSegmentSize is {declared}; {used} is used")
            }
            Self::NoMacString => f.write_str("iMACAddress is 0: the device names no MAC address"),
        }
    }
}

/// Why something is not an ECM function that can be driven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It says that it is one, but its descriptors do not hold together.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It is known not to be one.
    #[error("{0}")]
    Quirk(&'static str),
    /// It is a network function of another kind.
    #[error("speaks {0}, not ECM")]
    OtherProtocol(&'static str),
    /// No interface of the configuration is a network function.
    #[error("no interface is an Ethernet function")]
    NoFunction,
}

/// What was found out about an interface, or about a configuration that has none to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// bConfigurationValue.
    pub configuration: u8,
    /// bInterfaceNumber; `None` if it is about the whole configuration.
    pub interface: Option<u8>,
    /// The function, or why there is none.
    pub verdict: Result<EcmFunction, Refusal>,
}

impl Candidate {
    /// Whether this interface is part of it.
    pub fn is_of(&self, interface: u8) -> bool {
        let of = |function: &EcmFunction| {
            function.control_interface == interface || function.data_interface == interface
        };
        self.interface == Some(interface) || self.verdict.as_ref().is_ok_and(of)
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration {}", self.configuration)?;
        if let Some(interface) = self.interface {
            write!(f, ", interface {interface}")?;
        }
        match &self.verdict {
            Ok(_) => f.write_str(": ECM"),
            Err(refusal) => write!(f, ": {refusal}"),
        }
    }
}

/// Looks through all configurations. Those of the active one (its bConfigurationValue) come first, the others follow in
/// the device's order; every configuration has at least one candidate. The first whose verdict is good is the one to
/// take: [`best`].
pub fn find(device: &DeviceDescriptors, quirks: &Quirks, active: Option<u8>) -> Vec<Candidate> {
    let is_active = |configuration: &&Configuration| Some(configuration.value) == active;
    let first = device.configurations.iter().filter(is_active);
    let others = device.configurations.iter().filter(|configuration| !is_active(configuration));
    first
        .chain(others)
        .flat_map(|configuration| candidates(device.device.vendor_id, configuration, quirks))
        .collect()
}

/// The first function that can be driven.
pub fn best(candidates: &[Candidate]) -> Option<&EcmFunction> {
    candidates.iter().find_map(|candidate| candidate.verdict.as_ref().ok())
}

fn candidates(vendor: u16, configuration: &Configuration, quirks: &Quirks) -> Vec<Candidate> {
    let mut found: Vec<_> = configuration
        .interfaces
        .iter()
        .filter_map(|interface| {
            let control = interface.initial()?;
            let verdict = match protocol(vendor, control)? {
                Err(name) => Err(Refusal::OtherProtocol(name)),
                Ok(()) => match quirks.refusal(interface.number) {
                    Some(reason) => Err(Refusal::Quirk(reason)),
                    None => function(configuration, control).map_err(|malformed| {
                        let number = malformed.interface.unwrap_or(interface.number);
                        Refusal::Malformed(malformed.interface(number))
                    }),
                },
            };
            Some(Candidate { configuration: configuration.value, interface: Some(interface.number), verdict })
        })
        .collect();
    if found.is_empty() {
        let verdict = Err(Refusal::NoFunction);
        found.push(Candidate { configuration: configuration.value, interface: None, verdict });
    }
    found
}

/// Whether an interface says that it is ECM (`Ok`), another kind of network (`Err` with its name), or neither.
fn protocol(vendor: u16, setting: &AlternateSetting) -> Option<Result<(), &'static str>> {
    const HUAWEI: u16 = 0x12d1;
    match setting.codes() {
        (class::COMMUNICATIONS, subclass::ETHERNET | subclass::MDLM, 0) => Some(Ok(())),
        // Modems like the UMG1831 name a protocol of their own, and it is ECM.
        (class::COMMUNICATIONS, subclass::ETHERNET, 0xff) if vendor == HUAWEI => Some(Ok(())),
        (class::COMMUNICATIONS, subclass::ETHERNET | subclass::MDLM, _) => {
            Some(Err("an unknown protocol under ECM's subclass"))
        }
        (class::COMMUNICATIONS, subclass::ACM, 0xff)
        | (class::WIRELESS, 1, 3)
        | (class::MISCELLANEOUS, 4, 1)
        | (class::MISCELLANEOUS, 1, 1) => Some(Err("RNDIS")),
        (class::COMMUNICATIONS, subclass::EEM, _) => Some(Err("EEM")),
        (class::COMMUNICATIONS, subclass::NCM, _) => Some(Err("NCM")),
        (class::COMMUNICATIONS, subclass::MBIM, _) => Some(Err("MBIM")),
        _ => None,
    }
}

fn function(configuration: &Configuration, control: &AlternateSetting) -> Result<EcmFunction, Malformed> {
    let mut findings = Vec::new();
    let functional = Functional::parse(descriptors(configuration, control, &mut findings))?;
    findings.extend(functional.oddities.iter().copied().map(Finding::Descriptor));
    let data = data_interface(configuration, control, &functional, &mut findings)?;
    if functional.mdlm.is_some_and(|guid| guid != MBM_GUID) {
        return Err(Malformed::new("bGUID", "is not that of Mobile Broadband Modules: an unknown MDLM"));
    }
    if let Some(length @ ..5) = functional.mdlm_detail_length {
        let reason = format!("of MDLM Detail is {length}; it has at least 5 bytes");
        return Err(Malformed::new("bFunctionLength", reason));
    }
    let missing = |name| Malformed::new("bDescriptorSubtype", format!("{name} is missing"));
    if functional.cdc_version.is_none() {
        return Err(missing("Header"));
    }
    let ethernet = functional.ethernet.ok_or_else(|| missing("Ethernet Networking"))?;
    let max_segment_size = segment(&ethernet, &mut findings)?;
    if ethernet.mac_string.is_none() {
        findings.push(Finding::NoMacString);
    }
    let (setting, bulk_in, bulk_out) = bulk_pair(data)?;
    let merged = data.number == control.interface;
    let notification = notification(if merged { setting } else { control }, merged, &mut findings);
    let idle = data.alternates.iter().find(|setting| setting.endpoints.is_empty());
    Ok(EcmFunction {
        configuration: configuration.value,
        control_interface: control.interface,
        data_interface: data.number,
        data_alternate: setting.alternate,
        idle_alternate: idle.map(|setting| setting.alternate),
        bulk_in,
        bulk_out,
        notification,
        mac_string: ethernet.mac_string,
        statistics: ethernet.statistics,
        max_segment_size,
        multicast: ethernet.multicast,
        power_filters: ethernet.power_filters,
        findings,
    })
}

/// Where the functional descriptors are.
fn descriptors<'a>(
    configuration: &'a Configuration,
    control: &'a AlternateSetting,
    findings: &mut Vec<Finding>,
) -> &'a Extra {
    if Functional::present(&control.extra) {
        return &control.extra;
    }
    if Functional::present(&configuration.extra) {
        findings.push(Finding::DescriptorsOnConfiguration);
        return &configuration.extra;
    }
    match control.endpoints.first() {
        Some(endpoint) if Functional::present(&endpoint.extra) => {
            findings.push(Finding::DescriptorsBehindEndpoint(endpoint.address));
            &endpoint.extra
        }
        _ => &control.extra,
    }
}

fn data_interface<'a>(
    configuration: &'a Configuration,
    control: &AlternateSetting,
    functional: &Functional,
    findings: &mut Vec<Finding>,
) -> Result<&'a InterfaceSettings, Malformed> {
    let own = control.interface;
    let Some(union) = functional.union else {
        return without_union(configuration, own, findings);
    };
    let existing = |field, number| {
        configuration.interface(number).ok_or_else(|| {
            Malformed::new(field, format!("of the Union is {number}, and there is no such interface"))
        })
    };
    let named_control = existing("bControlInterface", union.control)?;
    let mut data = existing("bSubordinateInterface0", union.subordinate)?;
    if union.control != own {
        if union.subordinate != own {
            let reason = format!("of the Union is {}; it is on interface {own}", union.control);
            return Err(Malformed::new("bControlInterface", reason));
        }
        findings.push(Finding::SwappedUnion);
        data = named_control;
    }
    if data.number == own {
        findings.push(Finding::Merged);
        return Ok(data);
    }
    match data.initial() {
        Some(setting) if setting.class == class::CDC_DATA => Ok(data),
        setting => {
            let class = setting.map_or(0, |setting| setting.class);
            let reason = format!("is {class:#04x}; the data interface of ECM has class 0x0a");
            Err(Malformed::new("bInterfaceClass", reason).interface(data.number))
        }
    }
}

/// Linux needs a quirk here. An association of two, or a data interface that follows, leaves no doubt.
fn without_union<'a>(
    configuration: &'a Configuration,
    control: u8,
    findings: &mut Vec<Finding>,
) -> Result<&'a InterfaceSettings, Malformed> {
    let is_data = |interface: &&InterfaceSettings| {
        interface.initial().is_some_and(|setting| setting.class == class::CDC_DATA)
    };
    let association =
        configuration.association(control).filter(|association| association.interface_count == 2);
    let associated = association.and_then(|association| {
        let mut others = configuration.interfaces.iter().filter(|interface| interface.number != control);
        others.find(|interface| association.contains(interface.number)).filter(is_data)
    });
    let next = || control.checked_add(1).and_then(|next| configuration.interface(next)).filter(is_data);
    let data = associated.or_else(next).ok_or_else(|| {
        Malformed::new("bDescriptorSubtype", "Union is missing, and no data interface follows")
    })?;
    findings.push(Finding::NoUnion { data: data.number, associated: associated.is_some() });
    Ok(data)
}

fn segment(ethernet: &EthernetNetworking, findings: &mut Vec<Finding>) -> Result<u16, Malformed> {
    let declared = ethernet.max_segment_size;
    let used = match declared {
        0 => USUAL_SEGMENT,
        1..SHORTEST_SEGMENT => {
            let reason = format!("is {declared}; a frame of Ethernet has at least {SHORTEST_SEGMENT} bytes");
            return Err(Malformed::new("wMaxSegmentSize", reason));
        }
        _ => declared.min(LONGEST_SEGMENT),
    };
    if used != declared {
        findings.push(Finding::SegmentSize { declared, used });
    }
    Ok(used)
}

/// The first alternate setting with a bulk endpoint in each direction, and the first of each.
fn bulk_pair(data: &InterfaceSettings) -> Result<(&AlternateSetting, BulkEndpoint, BulkEndpoint), Malformed> {
    let usable = |setting: &AlternateSetting, direction| {
        let mut endpoints = setting.endpoints.iter().filter(|endpoint| endpoint.direction() == direction);
        endpoints
            .find(|endpoint| endpoint.transfer_type == TransferType::Bulk && endpoint.max_packet_size > 0)
            .map(|endpoint| BulkEndpoint {
                address: endpoint.address,
                max_packet_size: endpoint.max_packet_size,
            })
    };
    for setting in &data.alternates {
        if let (Some(bulk_in), Some(bulk_out)) =
            (usable(setting, Direction::In), usable(setting, Direction::Out))
        {
            return Ok((setting, bulk_in, bulk_out));
        }
    }
    Err(no_bulk_pair(data))
}

/// Which endpoint is the reason that there is no pair.
fn no_bulk_pair(data: &InterfaceSettings) -> Malformed {
    let endpoints = || data.alternates.iter().flat_map(|setting| &setting.endpoints);
    let is_bulk = |endpoint: &&Endpoint| endpoint.transfer_type == TransferType::Bulk;
    if let Some(empty) = endpoints().filter(is_bulk).find(|endpoint| endpoint.max_packet_size == 0) {
        let malformed = Malformed::new("wMaxPacketSize", "is 0: no frame fits through");
        return malformed.interface(data.number).endpoint(empty.address);
    }
    for direction in [Direction::In, Direction::Out] {
        let mut there = endpoints().filter(|endpoint| endpoint.direction() == direction);
        if there.clone().any(|endpoint| is_bulk(&endpoint)) {
            continue;
        }
        return match there.next() {
            Some(other) => {
                let reason = format!("says {}; frames go over a bulk endpoint", other.transfer_type);
                Malformed::new("bmAttributes", reason).endpoint(other.address)
            }
            None => Malformed::new("bNumEndpoints", format!("has no bulk {direction} endpoint among them")),
        }
        .interface(data.number);
    }
    let reason = "has bulk IN and OUT endpoints only in different alternate settings";
    Malformed::new("bNumEndpoints", reason).interface(data.number)
}

/// The first interrupt-IN endpoint that can carry a notification. Linux takes one only where it is the interface's only
/// endpoint; others beside it do no harm. `merged`: the setting has the bulk endpoints too.
fn notification(
    setting: &AlternateSetting,
    merged: bool,
    findings: &mut Vec<Finding>,
) -> Option<NotificationEndpoint> {
    for endpoint in &setting.endpoints {
        let reason =
            if (endpoint.direction(), endpoint.transfer_type) != (Direction::In, TransferType::Interrupt) {
                if merged {
                    continue;
                }
                "it is not interrupt IN"
            } else if usize::from(endpoint.max_packet_size) < super::notification::HEADER {
                "wMaxPacketSize is below the 8 bytes of a notification"
            } else if endpoint.interval == 0 {
                "bInterval is 0"
            } else {
                return Some(NotificationEndpoint {
                    address: endpoint.address,
                    max_packet_size: endpoint.max_packet_size,
                    interval: endpoint.interval,
                });
            };
        findings.push(Finding::BadNotificationEndpoint { endpoint: endpoint.address, reason });
    }
    None
}

#[cfg(test)]
#[path = "function_tests.rs"]
mod tests;
