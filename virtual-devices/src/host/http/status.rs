//! What `/status.json` says: the device as it showed itself, and the host behind it. The page is made of the same.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use outboard_core::MacAddr;
use serde::Serialize;

use crate::host::ServiceCounters;
use crate::host::dhcp::{DhcpCounters, Lease};
use crate::observed::{ByDestination, Observed};

/// Groups that are listed at most; a device may have 32,767.
const MOST_GROUPS: usize = 64;

/// Everything that is shown.
#[derive(Debug, Serialize)]
pub(in crate::host) struct Status {
    pub(super) device: Device,
    pub(super) link: Link,
    /// From the computer to the wire.
    pub(super) transmitted: Transmitted,
    /// From the wire to the computer.
    pub(super) received: Received,
    pub(super) filter: Filter,
    pub(super) host: Host,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dhcp: Option<Dhcp>,
}

#[derive(Debug, Serialize)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) variant: String,
    pub(super) attached: String,
    pub(super) station: String,
    /// Since the host behind it was switched on.
    pub(super) uptime_seconds: f64,
    /// Since its computer took it into operation.
    pub(super) active_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Link {
    pub(super) up: bool,
    pub(super) downlink_bits_per_second: u64,
    pub(super) uplink_bits_per_second: u64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Traffic {
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Total {
    #[serde(flatten)]
    pub(super) all: Traffic,
    pub(super) directed: Traffic,
    pub(super) multicast: Traffic,
    pub(super) broadcast: Traffic,
}

#[derive(Debug, Serialize)]
pub(super) struct Transmitted {
    #[serde(flatten)]
    pub(super) total: Total,
    pub(super) errors: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Received {
    #[serde(flatten)]
    pub(super) total: Total,
    pub(super) errors: u64,
    pub(super) no_buffer: u64,
    pub(super) filtered: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Filter {
    pub(super) promiscuous: bool,
    pub(super) all_multicast: bool,
    pub(super) directed: bool,
    pub(super) broadcast: bool,
    pub(super) multicast: bool,
    pub(super) hashed: bool,
    /// All groups; some of them are listed.
    pub(super) group_count: usize,
    pub(super) groups: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Host {
    pub(super) station: String,
    pub(super) ipv4: Ipv4Addr,
    pub(super) ipv6: [Ipv6Addr; 2],
    pub(super) mtu: u16,
    pub(super) lost_frames: u64,
    pub(super) http_answers: u64,
    pub(super) services: Vec<Service>,
}

#[derive(Debug, Serialize)]
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) port: u16,
    pub(super) connections: u64,
    pub(super) received: u64,
    pub(super) sent: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Dhcp {
    pub(super) addresses: usize,
    pub(super) offers: u64,
    pub(super) acks: u64,
    pub(super) naks: u64,
    pub(super) declined: u64,
    pub(super) released: u64,
    pub(super) exhausted: u64,
    pub(super) ignored: u64,
    pub(super) leases: Vec<Leased>,
}

#[derive(Debug, Serialize)]
pub(super) struct Leased {
    pub(super) address: Ipv4Addr,
    pub(super) station: String,
    pub(super) seconds_left: u64,
}

/// What the host says of itself.
#[derive(Debug)]
pub(in crate::host) struct AboutHost {
    pub(in crate::host) since: Instant,
    pub(in crate::host) station: MacAddr,
    pub(in crate::host) ipv4: Ipv4Addr,
    pub(in crate::host) ipv6: [Ipv6Addr; 2],
    pub(in crate::host) mtu: u16,
    pub(in crate::host) lost_frames: u64,
    pub(in crate::host) http_answers: u64,
    pub(in crate::host) services: Vec<(&'static str, u16, ServiceCounters)>,
    pub(in crate::host) dhcp: Option<(usize, DhcpCounters, Vec<Lease>)>,
}

impl Status {
    pub(in crate::host) fn new(device: &Observed, host: AboutHost, now: Instant) -> Self {
        let seconds = |since| now.saturating_duration_since(since).as_secs_f64();
        let groups = device.passes.groups.as_deref().unwrap_or_default();
        Self {
            device: Device {
                name: device.device.clone(),
                variant: device.variant.clone(),
                attached: device.attached.clone(),
                station: device.station.to_string(),
                uptime_seconds: seconds(host.since),
                active_seconds: device.active_since.map(seconds),
            },
            link: Link {
                up: device.link.up,
                downlink_bits_per_second: device.link.downlink,
                uplink_bits_per_second: device.link.uplink,
            },
            transmitted: Transmitted { total: total(&device.transmitted), errors: device.transmit_errors },
            received: Received {
                total: total(&device.received),
                errors: device.receive_errors,
                no_buffer: device.no_buffer,
                filtered: device.filtered,
            },
            filter: Filter {
                promiscuous: device.passes.all,
                all_multicast: device.passes.all_multicast,
                directed: device.passes.directed,
                broadcast: device.passes.broadcast,
                multicast: device.passes.groups.is_some(),
                hashed: device.passes.hashed,
                group_count: groups.len(),
                groups: groups.iter().take(MOST_GROUPS).map(MacAddr::to_string).collect(),
            },
            host: Host {
                station: host.station.to_string(),
                ipv4: host.ipv4,
                ipv6: host.ipv6,
                mtu: host.mtu,
                lost_frames: host.lost_frames,
                http_answers: host.http_answers,
                services: host.services.into_iter().map(service).collect(),
            },
            dhcp: host.dhcp.map(|(addresses, counters, leases)| {
                let leases = leases.iter().map(|lease| Leased {
                    address: lease.address,
                    station: lease.station.to_string(),
                    seconds_left: lease.until.saturating_duration_since(now).as_secs(),
                });
                let DhcpCounters { offers, acks, naks, declined, released, exhausted, ignored } = counters;
                let leases = leases.collect();
                Dhcp { addresses, offers, acks, naks, declined, released, exhausted, ignored, leases }
            }),
        }
    }

    /// As JSON, for people's eyes as well.
    pub(super) fn json(&self) -> Vec<u8> {
        // Only maps with odd keys and failing types of one's own cannot be written; here are neither.
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

fn service((name, port, counters): (&'static str, u16, ServiceCounters)) -> Service {
    let ServiceCounters { connections, received, sent } = counters;
    Service { name, port, connections, received, sent }
}

fn total(by: &ByDestination) -> Total {
    let of = |traffic: crate::observed::Traffic| Traffic { frames: traffic.frames, bytes: traffic.bytes };
    Total {
        all: Traffic { frames: by.frames(), bytes: by.bytes() },
        directed: of(by.directed),
        multicast: of(by.multicast),
        broadcast: of(by.broadcast),
    }
}
