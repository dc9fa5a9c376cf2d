//! The fuzz targets: each takes any bytes and checks what a parser promises about them. `tests/fuzz` runs them under libFuzzer,
//! `tests/tests/parsers.rs` on a few thousand mutations in every test run; both begin with the same seeds.

pub mod ecm;
pub mod ftdi;
pub mod hid;
pub mod host;
pub mod manifest;
pub mod seeds;
pub mod usb;
pub mod usbip;

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of its file in `tests/fuzz/fuzz_targets`.
    pub name: &'static str,
    /// What is done with each input.
    pub body: fn(&[u8]),
    /// Inputs worth starting from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How much longer an input takes than one of a plain parser: it gets fewer.
    pub weight: u64,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "descriptors", body: usb::descriptors, seeds: seeds::devices, weight: 4 },
    Target { name: "ecm_function", body: ecm::function, seeds: seeds::devices, weight: 4 },
    Target { name: "ecm_mac", body: ecm::mac, seeds: seeds::mac_strings, weight: 1 },
    Target { name: "ecm_machine", body: ecm::machine, seeds: seeds::events, weight: 1 },
    Target { name: "ecm_notification", body: ecm::notification, seeds: seeds::notifications, weight: 1 },
    Target { name: "ftdi_baud", body: ftdi::baud, seeds: seeds::rates, weight: 1 },
    Target { name: "ftdi_machine", body: ftdi::machine, seeds: seeds::events, weight: 1 },
    Target { name: "ftdi_ports", body: ftdi::ports, seeds: seeds::chips, weight: 4 },
    Target { name: "ftdi_status", body: ftdi::status, seeds: seeds::transfers, weight: 1 },
    Target { name: "hid_descriptor", body: hid::descriptor, seeds: seeds::report_descriptors, weight: 7 },
    Target { name: "hid_machine", body: hid::machine, seeds: seeds::hid_reports, weight: 7 },
    Target { name: "host_dhcp", body: host::host_dhcp, seeds: host::seeds::host_dhcp, weight: 4 },
    Target { name: "host_frames", body: host::host_frames, seeds: host::seeds::host_frames, weight: 20 },
    Target { name: "host_http", body: host::host_http, seeds: host::seeds::host_http, weight: 20 },
    Target { name: "manifest", body: manifest::file, seeds: seeds::manifests, weight: 2 },
    Target { name: "trace", body: usb::trace, seeds: seeds::traces, weight: 20 },
    Target { name: "usbip_client", body: usbip::client, seeds: seeds::usbip_sessions, weight: 20 },
    Target { name: "usbip_command", body: usbip::command, seeds: seeds::usbip_commands, weight: 1 },
    Target { name: "usbip_reply", body: usbip::reply, seeds: seeds::usbip_replies, weight: 1 },
    Target { name: "usbip_server", body: usbip::server, seeds: seeds::usbip_conversations, weight: 20 },
];
