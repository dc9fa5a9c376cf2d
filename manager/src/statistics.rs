//! A driver's counters as JSON, for monitoring and benchmarks. It must not know who reads them.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::{fs, io};

use outboard_core::family::ethernet::tap::Tap;
use outboard_usb_ecm::driver::EcmDriver;
use serde_json::{Value, json};

use crate::sys::ALLOCATIONS;

/// The counters of a driver, and this process's calls to its allocator so far.
pub(crate) fn json(driver: &EcmDriver<Tap>) -> Value {
    // Before the report itself allocates.
    let allocations = ALLOCATIONS.load(Ordering::Relaxed);
    let status = driver.status();
    let (traffic, drops) = (status.traffic, status.drops);
    json!({
        "link_up": status.link_up,
        "mac": status.mac.to_string(),
        "mtu": status.mtu,
        "speed_mbit": {"down": status.speed.down_mbit, "up": status.speed.up_mbit},
        "received": {
            "frames": traffic.received_frames,
            "bytes": traffic.received_bytes,
            "writes": traffic.received_writes,
            "while_down": traffic.received_while_down,
            "overruns": traffic.received_overruns,
            "runts": traffic.received_runts + drops.received_runts,
            "oversize": drops.received_oversize,
            "empty": drops.received_empty,
            "overflow": drops.received_overflow,
            "faults": drops.received_faults,
            "refused": traffic.received_refused,
        },
        "sent": {
            "frames": traffic.transmitted_frames,
            "bytes": traffic.transmitted_bytes,
            "superframes": traffic.transmitted_superframes,
            "copied_superframes": traffic.transmitted_copied,
            "oversize": traffic.transmitted_oversize,
            "malformed": traffic.transmitted_malformed,
            "without_link": drops.sent_without_link,
            "unfit": drops.sent_unfit,
            "failed": drops.sent_failed,
        },
        "recoveries": status.recoveries,
        "bad_notifications": status.bad_notifications,
        "notices": status.notices.iter().map(|notice| notice.to_string()).collect::<Vec<_>>(),
        "allocations": allocations,
    })
}

/// Writes a file in one piece: whoever reads it sees the old contents or the new.
pub(crate) fn replace(path: &Path, value: &Value) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    fs::write(&part, format!("{value:#}\n"))?;
    fs::rename(&part, path)
}
