//! Which driver fits a device, and why the others do not: the drivers that are built in, the manifests in the folders, and the order that
//! `outboard_core::manifest` gives them. It must not know how a driver works; adding one is a line in [`BUILT_IN`].

use std::path::Path;

use outboard_core::manifest::store::{BuiltIn, Library};
use outboard_core::manifest::{
    Decision, Function, Manifest, Notes, Program, Refused, Subject, Verdict as Fate, decide, functions,
};
use outboard_core::usb::Speed;
use outboard_core::usb::descriptor::{AlternateSetting, DeviceDescriptors, Malformed};
use outboard_core::usb::discovery::Found;

use crate::codes;

/// A driver that is part of this program, for whoever runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// usb-ecm.
    Ecm,
    /// usb-serial-ftdi.
    Ftdi,
}

/// What is known of it.
struct Driver {
    which: Which,
    manifest: BuiltIn,
    /// Its closer look at a function whose interface of this number its manifest matched.
    probe: fn(&DeviceDescriptors, &Function, u8) -> Result<Notes, Refused>,
}

const BUILT_IN: &[Driver] = &[
    Driver {
        which: Which::Ecm,
        manifest: BuiltIn { name: "usb-ecm", text: outboard_usb_ecm::matching::MANIFEST },
        probe: outboard_usb_ecm::matching::probe,
    },
    Driver {
        which: Which::Ftdi,
        manifest: BuiltIn { name: "usb-serial-ftdi", text: outboard_usb_serial_ftdi::matching::MANIFEST },
        probe: outboard_usb_serial_ftdi::matching::probe,
    },
];

/// What has to be known of a device, wherever it is attached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// Where it is plugged in.
    pub(crate) port: &'a str,
    /// The string of iSerialNumber.
    pub(crate) serial_number: Option<&'a str>,
    /// The speed that it was enumerated at.
    pub(crate) speed: Speed,
    /// bConfigurationValue of the active configuration.
    pub(crate) configuration: Option<u8>,
    /// Its own descriptor and all configurations.
    pub(crate) descriptors: &'a [u8],
}

impl<'a> From<&'a Found> for Seen<'a> {
    fn from(found: &'a Found) -> Self {
        Self {
            port: &found.name,
            serial_number: found.serial.as_deref(),
            speed: found.speed,
            configuration: found.configuration,
            descriptors: &found.descriptors,
        }
    }
}

/// All drivers of this machine.
#[derive(Debug)]
pub(crate) struct Drivers {
    library: Library,
}

/// What becomes of each function of a device.
#[derive(Debug)]
pub(crate) struct Judged<'m> {
    /// What the device says of itself.
    pub(crate) descriptors: DeviceDescriptors,
    /// One for each function, those of the active configuration first.
    pub(crate) decisions: Vec<Decision<'m>>,
}

/// What one who wants to drive a device in the foreground has to know.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The function that a built-in driver serves, if one does.
    pub(crate) function: Option<Function>,
    /// That driver's name.
    pub(crate) driver: Option<String>,
    /// What is run for it: a manifest of another name may have a built-in driver too.
    pub(crate) which: Option<Which>,
    /// One line for each function, that one first.
    pub(crate) reasons: Vec<String>,
}

impl Drivers {
    /// The drivers that are built in and those in the folders of this machine.
    pub(crate) fn read() -> Self {
        Self::read_below(Path::new("/"))
    }

    /// As `read`, with the folders below this root.
    pub(crate) fn read_below(root: &Path) -> Self {
        let built_in: Vec<BuiltIn> = BUILT_IN.iter().map(|driver| driver.manifest).collect();
        Self { library: Library::read(root, &built_in) }
    }

    /// The manifests and where they come from.
    pub(crate) fn library(&self) -> &Library {
        &self.library
    }

    /// Decides for each function of a device.
    pub(crate) fn judge(&self, seen: &Seen<'_>) -> Result<Judged<'_>, Malformed> {
        let descriptors = DeviceDescriptors::parse_at(seen.descriptors, seen.speed)?;
        let Seen { port, serial_number, speed, .. } = *seen;
        let subject = Subject { port, serial_number, speed, descriptors: &descriptors };
        let decisions = functions(&descriptors, seen.configuration)
            .iter()
            .map(|function| {
                decide(self.library.manifests(), &subject, function, |manifest, function, interface| {
                    probe(manifest, &descriptors, function, interface)
                })
            })
            .collect();
        Ok(Judged { descriptors, decisions })
    }

    /// The one function that a built-in driver is to serve: the first that one wins.
    pub(crate) fn look_at(&self, seen: &Seen<'_>) -> Verdict {
        let judged = match self.judge(seen) {
            Ok(judged) => judged,
            Err(malformed) => {
                return Verdict {
                    function: None,
                    driver: None,
                    which: None,
                    reasons: vec![malformed.to_string()],
                };
            }
        };
        let runnable = |decision: &Decision<'_>| {
            decision.winner().is_some_and(|won| matches!(won.manifest.program, Program::BuiltIn(_)))
        };
        let (mut order, others): (Vec<_>, Vec<_>) = judged.decisions.iter().partition(|one| runnable(one));
        let chosen = order.first().copied();
        order.extend(others);
        let mut reasons: Vec<String> =
            order.iter().map(|decision| reason(decision, &judged.descriptors, seen.configuration)).collect();
        reasons.extend(judged.descriptors.malformed.iter().map(ToString::to_string));
        let won = chosen.and_then(Decision::winner).map(|won| won.manifest);
        let which = won.and_then(|manifest| match &manifest.program {
            Program::BuiltIn(name) => built_in(name).map(|driver| driver.which),
            Program::Path(_) => None,
        });
        let driver = won.map(|manifest| manifest.name.clone());
        Verdict { function: chosen.map(|decision| decision.function.clone()), driver, which, reasons }
    }
}

/// The driver of this name, if it is part of this program.
pub(crate) fn which(name: &str) -> Option<Which> {
    built_in(name).map(|driver| driver.which)
}

fn built_in(name: &str) -> Option<&'static Driver> {
    BUILT_IN.iter().find(|driver| driver.manifest.name == name)
}

/// A driver of another program is asked when it is started.
fn probe(
    manifest: &Manifest,
    descriptors: &DeviceDescriptors,
    function: &Function,
    interface: u8,
) -> Result<Notes, Refused> {
    let Program::BuiltIn(name) = &manifest.program else { return Ok(Notes::new()) };
    match built_in(name) {
        Some(driver) => (driver.probe)(descriptors, function, interface),
        None => Err(Refused { reason: format!("there is no driver {name} built in") }),
    }
}

/// The interfaces of a function with their initial settings.
pub(crate) fn settings<'d>(
    descriptors: &'d DeviceDescriptors,
    function: &Function,
) -> impl Iterator<Item = &'d AlternateSetting> {
    let configuration = descriptors.configuration(function.configuration);
    let numbers = function.interfaces.clone().into_iter();
    numbers.filter_map(move |number| configuration?.interface(number)?.initial())
}

/// `interfaces 0, 1`.
pub(crate) fn interfaces(numbers: &[u8]) -> String {
    let plural = if numbers.len() == 1 { "" } else { "s" };
    let list: Vec<String> = numbers.iter().map(u8::to_string).collect();
    format!("interface{plural} {}", list.join(", "))
}

/// A function and what becomes of it, in one line.
fn reason(decision: &Decision<'_>, descriptors: &DeviceDescriptors, active: Option<u8>) -> String {
    let function = &decision.function;
    let place = format!("configuration {}, {}", function.configuration, interfaces(&function.interfaces));
    let what = settings(descriptors, function)
        .next()
        .map_or_else(String::new, |first| codes::describe(first.codes()));
    let mut text = format!("{place}: {what}");
    match decision.winner() {
        Some(won) => {
            if active != Some(function.configuration) {
                text.push_str(" (the configuration has to be switched)");
            }
            if let Program::Path(path) = &won.manifest.program {
                text.push_str(&format!(
                    "; {} wins, a program of its own ({})",
                    won.manifest.name,
                    path.display()
                ));
            }
            if let Fate::Fits { notes, .. } = &won.verdict {
                notes.iter().for_each(|note| text.push_str(&format!("; {note}")));
            }
        }
        None => {
            let refusals: Vec<String> = decision
                .ranked
                .iter()
                .filter_map(|one| match &one.verdict {
                    Fate::Refused { refused, .. } => {
                        Some(format!("{} refuses: {refused}", one.manifest.name))
                    }
                    Fate::Fits { .. } | Fate::Differs(_) => None,
                })
                .collect();
            let none = "no driver's manifest matches".to_owned();
            text.push_str(&format!("; {}", if refusals.is_empty() { none } else { refusals.join("; ") }));
        }
    }
    text
}
