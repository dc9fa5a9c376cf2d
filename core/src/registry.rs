//! What is attached, who drives it, what it vends, and in which state: the manager's picture of the machine, as plain values. It must not know
//! how any of it comes about, nor who looks at it.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// The whole picture, ordered by the names of the devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// What is attached.
    pub devices: Vec<Device>,
}

/// An attached device. Its strings are its own and may have any content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Where it is: `1-2.3` on this machine, `usbip://host/1-2.3` on another.
    pub name: String,
    /// idVendor.
    pub vendor_id: u16,
    /// idProduct.
    pub product_id: u16,
    /// The string of iManufacturer.
    pub manufacturer: Option<String>,
    /// The string of iProduct.
    pub product: Option<String>,
    /// The string of iSerialNumber.
    pub serial: Option<String>,
    /// Its functions: groups of interfaces that belong together.
    pub functions: Vec<Function>,
}

/// A group of interfaces, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// bConfigurationValue.
    pub configuration: u8,
    /// bInterfaceNumber of each.
    pub interfaces: Vec<u8>,
    /// What its codes say it is, in words.
    pub class: String,
    /// The driver that fits best, whoever has it.
    pub driver: Option<String>,
    /// Who has it.
    pub holder: Holder,
}

/// Who has a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "HolderFields", into = "HolderFields")]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// A driver of the kernel, or another program through usbfs.
    Kernel(String),
    /// A driver of ours.
    Outboard(Instance),
}

/// A holder as it is written: serde's own form is a string for nobody and an object for the others, which the control interface cannot define.
#[derive(Serialize, Deserialize)]
struct HolderFields {
    kernel: Option<String>,
    outboard: Option<Instance>,
}

impl From<HolderFields> for Holder {
    fn from(fields: HolderFields) -> Self {
        match fields {
            HolderFields { outboard: Some(instance), .. } => Self::Outboard(instance),
            HolderFields { kernel: Some(holder), .. } => Self::Kernel(holder),
            HolderFields { .. } => Self::Nobody,
        }
    }
}

impl From<Holder> for HolderFields {
    fn from(holder: Holder) -> Self {
        let (kernel, outboard) = match holder {
            Holder::Nobody => (None, None),
            Holder::Kernel(holder) => (Some(holder), None),
            Holder::Outboard(instance) => (None, Some(instance)),
        };
        Self { kernel, outboard }
    }
}

/// A driver of ours on one function. It outlives its processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// In which state it is.
    pub state: State,
    /// The process that serves it now.
    pub process: Option<Process>,
    /// What it vends.
    pub vends: Option<Vended>,
    /// Successors of processes that ended when they should not have, since the device came.
    pub restarts: u32,
    /// Why the last one ended, or why there is none.
    pub last_error: Option<String>,
    /// When the device was taken.
    pub since: SystemTime,
    /// From the end of the last process that ended to the successor's first report that it serves.
    pub last_recovery: Option<Duration>,
}

/// The state of a driver of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A process is being started, or has not yet said that it serves.
    Starting,
    /// It serves.
    Running,
    /// The process ended; its successor waits for its time.
    Waiting,
    /// It ended too often; somebody has to ask for another try.
    Quarantined,
    /// It is being stopped.
    Stopping,
}

impl State {
    /// The state in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Quarantined => "quarantined",
            Self::Stopping => "stopping",
        }
    }
}

/// A driver's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number, as the manager sees it.
    pub id: u32,
    /// The user that it runs as; `None`: the manager's own.
    pub user: Option<u32>,
    /// Which process of this instance it is, from 1.
    pub generation: u64,
    /// What holds it back, once it has said so.
    pub sandbox: Option<Sandbox>,
}

/// What a driver's process has given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// System calls that it may still make.
    pub system_calls: u32,
    /// Ioctls that it may still make.
    pub ioctls: u32,
    /// The version of Landlock that denies it the rest; `None`: the kernel has none, and the filter and the empty root stand alone.
    pub landlock: Option<u8>,
}

/// What a driver vends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vended {
    /// A network interface.
    Network {
        /// Its name: `ecm0`.
        name: String,
        /// Its station address.
        mac: String,
        /// Its MTU in bytes.
        mtu: u32,
        /// There is a link.
        link_up: bool,
        /// Towards the host, in Mbit/s.
        down_mbit: u32,
        /// From the host, in Mbit/s.
        up_mbit: u32,
    },
}

impl Registry {
    /// The device of this name.
    pub fn device(&self, name: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.name == name)
    }
}

impl Function {
    /// The driver of ours that has it.
    pub fn instance(&self) -> Option<&Instance> {
        match &self.holder {
            Holder::Outboard(instance) => Some(instance),
            Holder::Nobody | Holder::Kernel(_) => None,
        }
    }

    /// The same, to change.
    pub fn instance_mut(&mut self) -> Option<&mut Instance> {
        match &mut self.holder {
            Holder::Outboard(instance) => Some(instance),
            Holder::Nobody | Holder::Kernel(_) => None,
        }
    }
}
