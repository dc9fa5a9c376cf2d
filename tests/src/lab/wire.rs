//! The messages between `cargo xtask lab` on the host and the runner in the guest: one JSON object a line over a virtio-serial port.
//!
//! xtask includes this very file, so it must know nothing of either side and use only serde.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Name of the virtio-serial port that carries the messages.
pub const PORT: &str = "outboard.lab";

/// Who turns the device into a network interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    /// The kernel's `cdc_ether`.
    Kernel,
    /// `outboard attach`.
    Outboard,
    /// The example `ecm-by-hand`.
    ByHand,
    /// A plain copy loop between two TAPs, which drives no device: the native benchmark's peer.
    CopyLoop,
    /// `outboard run`, whose driver is left in peace.
    Undisturbed,
}

impl Contender {
    /// The name used on command lines and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Outboard => "outboard",
            Self::ByHand => "by-hand",
            Self::CopyLoop => "copy-loop",
            Self::Undisturbed => "undisturbed",
        }
    }
}

impl std::str::FromStr for Contender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Kernel, Self::Outboard, Self::ByHand]
            .into_iter()
            .find(|contender| contender.name() == text)
            .ok_or_else(|| format!("{text:?} is none of kernel, outboard, by-hand"))
    }
}

/// What the guest shall do: every scenario in order, each for every contender in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Names of scenarios.
    pub scenarios: Vec<String>,
    /// Who drives the device in each of them; each scenario's own choice when empty.
    pub contenders: Vec<Contender>,
    /// Everything else that a scenario wants to know.
    pub settings: Settings,
}

/// Parameters of the scenarios.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// The program `outboard`, as the guest sees it.
    pub outboard: String,
    /// The program `ecm-by-hand`, as the guest sees it.
    pub by_hand: String,
    /// Port on the host's loopback, TCP and UDP, where the content-checking peer listens.
    pub peer_port: u16,
    /// How often the gadget scenarios give the device back and take it again.
    pub cycles: u32,
    /// Seconds of each throughput measurement.
    pub seconds: u32,
    /// Who takes part in a benchmark, in the order of its even rounds.
    pub contenders: Vec<Contender>,
    /// Rounds of a benchmark.
    pub rounds: u32,
    /// Seconds after which any scenario is ended, in place of its own limit.
    pub timeout: Option<u64>,
    /// A folder that the guest can write to, for traces of whatever `outboard attach` drives.
    pub traces: Option<String>,
}

/// Host to guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToGuest {
    /// The one job of this boot.
    Run(Job),
    /// What the host answers to [`ToHost::Ask`].
    Answer(Result<String, String>),
}

/// Guest to host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToHost {
    /// The guest is up and waits for its job.
    Ready {
        /// `uname -r` of the guest.
        kernel: String,
    },
    /// A scenario starts. The guest ends it after `timeout` seconds; the host ends the guest a little later.
    Begin {
        /// Name of the scenario.
        scenario: String,
        /// Who drives the device in it.
        contender: Contender,
        /// Seconds until the guest gives up.
        timeout: u64,
    },
    /// One line for the person who watches.
    Note(String),
    /// One measured value.
    Sample(Sample),
    /// Something that only the host can do; it answers with [`ToGuest::Answer`].
    Ask(Ask),
    /// A scenario ended.
    End(Outcome),
    /// The kernel's log since the scenario began, sent when it failed.
    KernelLog(String),
    /// All is done; the guest powers off.
    Finished,
}

/// Requests to the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// A command for QEMU's monitor, such as `device_del dongle`.
    Monitor(String),
}

/// One measured value of one contender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// What was measured, with the conditions that distinguish it (`tcp-to-device/qmult-5`).
    pub name: String,
    /// Unit of `value`.
    pub unit: String,
    /// Whose value it is.
    pub contender: Contender,
    /// The value.
    pub value: f64,
}

/// How a scenario ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Name of the scenario.
    pub scenario: String,
    /// Who drove the device.
    pub contender: Contender,
    /// Why it failed; `None` when it passed.
    pub failure: Option<String>,
    /// How long it took.
    pub seconds: f64,
}

/// A scenario as the host needs to know it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// A sentence for people.
    pub about: String,
    /// Who runs it when nobody is named; nobody for what does not belong to a plain run of the lab.
    pub default: Vec<Contender>,
}

/// What `lab-guest list` prints, by name.
pub type Listing = BTreeMap<String, Entry>;
