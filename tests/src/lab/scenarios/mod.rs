//! The scenarios: what is plugged in, what is done with it, what must hold.
//!
//! Each is written against a [`Vended`](super::contender::Vended), so that the same code judges the kernel's driver and ours.

mod gadget;
mod usb_net;

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
    /// Seconds after which it is ended.
    pub(crate) timeout: u64,
    /// Does it.
    pub(crate) run: fn(&mut Context) -> Result<()>,
}

const BOTH: &[Contender] = &[Contender::Kernel, Contender::Outboard];

/// Every scenario there is.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "usb-net",
        about: "QEMU's usb-net: ping, checked TCP and UDP both ways, carrier, unplugged during a transfer, plugged in again.",
        contenders: BOTH,
        timeout: 90,
        run: usb_net::run,
    },
    Scenario {
        name: "gadget-high",
        about: "The kernel's ECM gadget at high speed: ping, iperf3 both ways, full-size VLAN frames, unplugged during a transfer.",
        contenders: BOTH,
        timeout: 90,
        run: gadget::high,
    },
    Scenario {
        name: "gadget-super",
        about: "The same at SuperSpeed.",
        contenders: BOTH,
        timeout: 90,
        run: gadget::superspeed,
    },
    Scenario {
        name: "cycles",
        about: "The gadget is taken and given back a thousand times; no file, task or interface may be left.",
        contenders: BOTH,
        timeout: 420,
        run: gadget::cycles,
    },
];

/// Takes away what a scenario may have left, also when it was killed.
pub(crate) fn clean_up() {
    if let Err(error) = super::gadget::remove_all() {
        eprintln!("lab-guest: gadgets are left behind: {error:#}");
    }
    let _absent = super::run::run("ip netns delete device");
}
