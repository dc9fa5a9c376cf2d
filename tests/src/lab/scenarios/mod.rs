//! The scenarios: what is plugged in, what is done with it, what must hold.
//!
//! Each is written against a [`Vended`](super::contender::Vended), so that the same code judges the kernel's driver and ours.

mod bench_ecm;
mod broken;
mod gadget;
mod hid_events;
mod manager;
mod tracing;
mod usb_net;
mod usb_trace;
mod usbip_host;
mod vhci;

use anyhow::Result;

use super::context::Context;
use super::wire::Contender;

/// One scenario.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// A sentence for people.
    pub(crate) about: &'static str,
    /// Who can run it.
    pub(crate) contenders: &'static [Contender],
    /// Who runs it when nobody is named: the kernel's driver takes part only where its figures are compared with ours.
    pub(crate) default: &'static [Contender],
    /// Seconds after which it is ended.
    pub(crate) timeout: u64,
    /// Whether one run takes all contenders in turn, as a benchmark does.
    pub(crate) alternates: bool,
    /// Does it.
    pub(crate) run: fn(&mut Context) -> Result<()>,
}

const BOTH: &[Contender] = &[Contender::Kernel, Contender::Outboard];

const OURS: &[Contender] = &[Contender::Outboard];
const ALL: &[Contender] = &[Contender::Kernel, Contender::Outboard, Contender::ByHand];

/// Every scenario there is.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "usb-net",
        about: "QEMU's usb-net: ping, checked TCP and UDP both ways, carrier, unplugged during a transfer, plugged in again.",
        contenders: BOTH,
        default: BOTH,
        timeout: 300,
        alternates: false,
        run: usb_net::run,
    },
    Scenario {
        name: "manager",
        about: "`outboard run` on usb-net: given, taken, driven; its driver killed and stopped under TCP; unplugged, plugged in, given back.",
        contenders: OURS,
        default: OURS,
        timeout: 300,
        alternates: false,
        run: manager::run,
    },
    Scenario {
        name: "usbip-host",
        about: "usb-net exported by the kernel's USB/IP server: checked traffic, then the connection is lost in every way and comes back.",
        contenders: BOTH,
        default: BOTH,
        timeout: 300,
        alternates: false,
        run: usbip_host::run,
    },
    Scenario {
        name: "gadget-high",
        about: "The kernel's ECM gadget at high speed: ping, iperf3 both ways, full-size VLAN frames, unplugged during a transfer.",
        contenders: BOTH,
        default: BOTH,
        timeout: 300,
        alternates: false,
        run: gadget::high,
    },
    Scenario {
        name: "gadget-super",
        about: "The same at SuperSpeed.",
        contenders: BOTH,
        default: BOTH,
        timeout: 300,
        alternates: false,
        run: gadget::superspeed,
    },
    Scenario {
        name: "cycles",
        about: "The gadget is taken and given back a thousand times; no file, task or interface may be left.",
        contenders: BOTH,
        default: OURS,
        timeout: 1200,
        alternates: false,
        run: gadget::cycles,
    },
    Scenario {
        name: "broken-gadget",
        about: "A dongle with one defect after another in its descriptors: refused clearly or made to work, and the next one served.",
        contenders: BOTH,
        default: OURS,
        timeout: 600,
        alternates: false,
        run: broken::descriptors,
    },
    Scenario {
        name: "stalls",
        about: "A dongle that halts its bulk endpoints every ten frames: the halt is cleared and traffic goes on.",
        contenders: BOTH,
        default: OURS,
        timeout: 300,
        alternates: false,
        run: broken::stalls,
    },
    Scenario {
        name: "usb-trace",
        about: "`outboard attach --trace` against the kernel's usbmon on the same bus: both tell the same transfers, also of an unplug.",
        contenders: OURS,
        default: OURS,
        timeout: 300,
        alternates: false,
        run: usb_trace::run,
    },
    Scenario {
        name: "vhci",
        about: "Virtual ECM dongles served over USB/IP and plugged in by the kernel: enumeration, traffic, unplug, and every variant.",
        contenders: BOTH,
        default: BOTH,
        timeout: 600,
        alternates: false,
        run: vhci::run,
    },
    Scenario {
        name: "tracing",
        about: "The counters of system calls and allocations against a process whose doings are known; no device.",
        contenders: &[Contender::Kernel],
        default: &[Contender::Kernel],
        timeout: 300,
        alternates: false,
        run: tracing::run,
    },
    Scenario {
        name: "hid-events",
        about: "The same reports through the kernel's HID drivers and ours, for 596 devices: events must be equal.",
        contenders: &[Contender::Kernel],
        // Five minutes of emulation, for pure code that the tests compare with the kernel's nodes in every run: on demand.
        default: &[],
        timeout: 1800,
        alternates: false,
        run: hid_events::run,
    },
    Scenario {
        name: "bench-ecm",
        about: "The benchmark of ECM; `cargo xtask bench ecm` runs it.",
        contenders: ALL,
        default: &[],
        timeout: 2 * 3600,
        alternates: true,
        run: bench_ecm::run,
    },
];

/// Takes away what a scenario may have left, also when it was killed.
pub(crate) fn clean_up() {
    if let Err(error) = super::gadget::remove_all() {
        eprintln!("lab-guest: gadgets are left behind: {error:#}");
    }
    let _absent = super::run::run("ip netns delete device");
    let _not_loaded = super::virtual_device::detach_all();
}
