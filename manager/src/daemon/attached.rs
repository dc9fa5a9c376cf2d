//! What is known of an attached device: its functions, the driver that fits each, and what policy says. It must not start or stop anything.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use outboard_core::manifest::{Function, Program};
use outboard_core::usb::Speed;
use outboard_core::usb::descriptor::DeviceDescriptors;
use outboard_core::usb::discovery::Found;
use outboard_core::usb::transport::DeviceInfo;
use tokio::time::Instant;

use crate::codes;
use crate::holder::{Holder, Holding, Processes, holdings};
use crate::matching::{Drivers, Seen, Which, settings, which};
use crate::policy::given::Given;
use crate::policy::keyboards::Keyboards;
use crate::policy::rule::Rule;
use crate::policy::{Decision, Policy, subject, together};
use crate::supervise::Local;

/// A device that is there.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) found: Found,
    /// Until then, nobody's may yet become the kernel's.
    pub(super) settles: Option<Instant>,
    /// Its driver ended for good; it is taken again when it is plugged in anew, or somebody asks.
    pub(super) left_alone: bool,
    pub(super) candidates: Vec<Candidate>,
}

/// A function, and what is to become of it.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) function: Function,
    pub(super) class: String,
    /// The driver that fits best.
    pub(super) driver: Option<String>,
    which: Option<Which>,
    /// What policy says, if a driver fits.
    pub(super) decision: Option<Decision>,
    pub(super) holdings: Vec<Holding>,
}

/// Where to look.
#[derive(Debug)]
pub(super) struct Machine {
    root: PathBuf,
    drivers: Drivers,
}

/// Decisions about one device after another, with one view of the machine.
pub(super) struct Round<'a> {
    machine: &'a Machine,
    policy: Policy<'a>,
}

impl Machine {
    pub(super) fn new(root: PathBuf) -> Self {
        let drivers = Drivers::read_below(&root);
        Self { root, drivers }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// When what is given was changed last.
    pub(super) fn given_changed(&self) -> Option<SystemTime> {
        super::changed(&Given::path(&self.root))
    }

    pub(super) fn round<'a>(&'a self, given: &'a Given) -> Round<'a> {
        Round { machine: self, policy: Policy::new(given, Keyboards::read(Path::new("/sys"))) }
    }
}

impl Round<'_> {
    /// The functions of a device that can be had together.
    pub(super) fn candidates(&mut self, found: &Found) -> Vec<Candidate> {
        // What makes no sense gets no driver; `outboard why` says what is wrong with it.
        let Ok(judged) = self.machine.drivers.judge(&Seen::from(found)) else { return Vec::new() };
        let processes = Processes { proc: "/proc".into(), programs: Vec::new() };
        let chosen = together(found, &judged.decisions);
        chosen
            .into_iter()
            .map(|decision| {
                let function = decision.function.clone();
                let manifest = decision.winner().map(|won| won.manifest);
                let holdings = holdings(found, &function, &processes);
                let first = settings(&judged.descriptors, &function).next();
                let driver = manifest.map(|manifest| manifest.name.clone());
                let which = manifest.and_then(|manifest| match &manifest.program {
                    Program::BuiltIn(name) => which(name),
                    Program::Path(_) => None,
                });
                Candidate {
                    class: first.map_or_else(String::new, |first| codes::describe(first.codes())),
                    decision: driver
                        .as_deref()
                        .map(|driver| self.policy.decide(found, &function, driver, &holdings)),
                    function,
                    driver,
                    which,
                    holdings,
                }
            })
            .collect()
    }
}

impl Attached {
    pub(super) fn new(found: Found, settles: Instant) -> Self {
        Self { found, settles: Some(settles), left_alone: false, candidates: Vec::new() }
    }

    /// In place of an interface's number: all of a device that is reached by a connection.
    pub(super) const WHOLE: u8 = 0;

    /// A device that is reached by a connection, as far as it is known.
    pub(super) fn remote(name: &str, info: Option<&DeviceInfo>) -> Self {
        let descriptors = info.map(|info| info.descriptors.clone()).unwrap_or_default();
        let speed = info.map_or(Speed::Full, |info| info.speed);
        let device = DeviceDescriptors::parse_at(&descriptors, speed).ok().map(|all| all.device);
        let found = Found {
            name: name.to_owned(),
            bus: 0,
            address: 0,
            vendor_id: device.as_ref().map_or(0, |device| device.vendor_id),
            product_id: device.as_ref().map_or(0, |device| device.product_id),
            manufacturer: None,
            product: None,
            serial: None,
            speed,
            node: PathBuf::new(),
            sysfs: PathBuf::new(),
            configuration: info.and_then(|info| info.configuration),
            descriptors,
            drivers: Vec::new(),
        };
        Self { found, settles: None, left_alone: false, candidates: Vec::new() }
    }

    /// It is reached by a connection.
    pub(super) fn is_remote(&self) -> bool {
        self.found.node.as_os_str().is_empty()
    }

    /// Its bus, and its address there.
    pub(super) fn address(&self) -> (u16, u16) {
        (self.found.bus, self.found.address)
    }

    /// Who is bound, and which configuration is active, may have changed.
    pub(super) fn refresh(&mut self, found: Found) {
        if (found.bus, found.address) == self.address() {
            self.found = found;
        }
    }

    /// The rule that gives the function of this first interface.
    pub(super) fn rule<'g>(&self, given: &'g Given, interface: u8) -> Option<&'g Rule> {
        let candidate = self.candidates.iter().find(|candidate| candidate.key() == interface)?;
        given.rule(&subject(&self.found, &candidate.function, candidate.driver.as_deref()))
    }
}

impl Candidate {
    /// The number of its first interface.
    pub(super) fn key(&self) -> u8 {
        self.function.interfaces.first().copied().unwrap_or_default()
    }

    /// The driver, if it runs in a process of its own.
    pub(super) fn runnable(&self) -> Option<&'static str> {
        match self.which? {
            Which::Ecm => Some("usb-ecm"),
            Which::Ftdi => None,
        }
    }

    /// The way to it.
    pub(super) fn local(&self, found: &Found) -> Local {
        let all = |configuration: u8| -> Vec<u8> {
            let descriptors = DeviceDescriptors::parse_at(&found.descriptors, found.speed).ok();
            let interfaces = descriptors
                .as_ref()
                .and_then(|descriptors| descriptors.configuration(configuration))
                .map(|configuration| {
                    configuration.interfaces.iter().map(|interface| interface.number).collect()
                });
            interfaces.unwrap_or_default()
        };
        let mine = &self.function.interfaces;
        Local {
            node: found.node.clone(),
            name: found.name.clone(),
            active: found.configuration.filter(|value| *value != 0).map(|value| (value, all(value))),
            configuration: self.function.configuration,
            interfaces: mine.clone(),
            alone: all(self.function.configuration).iter().all(|number| mine.contains(number)),
            taken: Vec::new(),
            switched: false,
        }
    }

    /// Who has it besides us.
    pub(super) fn holder(&self) -> Option<String> {
        self.holdings.iter().find_map(|holding| match &holding.holder {
            Holder::Kernel(driver) => Some(driver.clone()),
            Holder::Program(_) | Holder::Outboard(_) => Some("usbfs".to_owned()),
            Holder::Nobody | Holder::Inactive => None,
        })
    }
}
