//! Which interfaces of a device are one function together. It must not know any driver; of class-specific descriptors it knows the
//! Union of communications devices alone.

use crate::usb::class;
use crate::usb::descriptor::{
    Configuration, DeviceDescriptors, Extra, InterfaceSettings, RawDescriptor, kind,
};

/// Interfaces of one configuration that are one function together and get one driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// bConfigurationValue.
    pub configuration: u8,
    /// Their bInterfaceNumbers, ascending; at least one. No interface is in two functions of a configuration.
    pub interfaces: Vec<u8>,
    /// What joins them.
    pub joined: Joined,
}

/// What joins a function's interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// Nothing: it is one interface.
    Alone,
    /// An interface association (USB 3.2, 9.6.4).
    Association,
    /// The Union of a communications interface (CDC120, 5.2.3.2).
    Union,
    /// A communications interface has neither, and a data interface follows.
    Adjacent,
}

impl Joined {
    /// One word for scripts, stable over versions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Association => "association",
            Self::Union => "union",
            Self::Adjacent => "adjacent",
        }
    }
}

/// bDescriptorSubtype of a Union (CDC120, Table 13).
const UNION: u8 = 0x06;

/// All functions of a device: those of the active configuration (its bConfigurationValue) first, then the others in the device's order;
/// within a configuration by their first interface. Every interface is in exactly one.
pub fn functions(device: &DeviceDescriptors, active: Option<u8>) -> Vec<Function> {
    let is_active = |configuration: &&Configuration| Some(configuration.value) == active;
    let first = device.configurations.iter().filter(is_active);
    let others = device.configurations.iter().filter(|configuration| !is_active(configuration));
    first.chain(others).flat_map(of_configuration).collect()
}

fn of_configuration(configuration: &Configuration) -> Vec<Function> {
    let mut groups = Groups { configuration, functions: Vec::new() };
    for association in &configuration.associations {
        let all = configuration.interfaces.iter().map(|interface| interface.number);
        let members: Vec<u8> =
            all.filter(|number| association.contains(*number) && !groups.has(*number)).collect();
        if !members.is_empty() {
            groups.add(members, Joined::Association);
        }
    }
    for interface in configuration.interfaces.iter().filter(|interface| may_have_union(interface)) {
        let own = interface.number;
        match union(configuration, interface) {
            Some(members) if members.contains(&own) => groups.join(own, &members, Joined::Union),
            Some(_) => {}
            None if !groups.has(own) => groups.join(own, &follower(configuration, own), Joined::Adjacent),
            None => {}
        }
    }
    for interface in &configuration.interfaces {
        if !groups.has(interface.number) {
            groups.add(vec![interface.number], Joined::Alone);
        }
    }
    let mut functions = groups.functions;
    for function in &mut functions {
        function.interfaces.sort_unstable();
    }
    functions.sort_by(|a, b| a.interfaces.cmp(&b.interfaces));
    functions
}

struct Groups<'a> {
    configuration: &'a Configuration,
    functions: Vec<Function>,
}

impl Groups<'_> {
    fn has(&self, number: u8) -> bool {
        self.functions.iter().any(|function| function.interfaces.contains(&number))
    }

    fn add(&mut self, interfaces: Vec<u8>, joined: Joined) {
        self.functions.push(Function { configuration: self.configuration.value, interfaces, joined });
    }

    /// Adds those of `members` that exist and are nobody's to the function of `own`. What a device already said to belong together
    /// stays together: a Union cannot take an interface from an association.
    fn join(&mut self, own: u8, members: &[u8], joined: Joined) {
        let mut free: Vec<u8> = Vec::new();
        for number in members {
            let exists = self.configuration.interface(*number).is_some();
            if *number != own && exists && !self.has(*number) && !free.contains(number) {
                free.push(*number);
            }
        }
        if free.is_empty() {
            return;
        }
        match self.functions.iter_mut().find(|function| function.interfaces.contains(&own)) {
            Some(function) => function.interfaces.extend(free),
            None => {
                free.push(own);
                self.add(free, joined);
            }
        }
    }
}

/// Subtype 6 is a Union behind communications interfaces, and behind those under whose class RNDIS goes; behind others, audio's for one, it is
/// something else.
fn may_have_union(interface: &InterfaceSettings) -> bool {
    interface.initial().is_some_and(|setting| {
        matches!(setting.class, class::COMMUNICATIONS | class::WIRELESS | class::MISCELLANEOUS)
    })
}

/// The interfaces of the first Union, control first, where the interface or, as some devices have it, its configuration or its first endpoint
/// has class-specific descriptors.
fn union(configuration: &Configuration, interface: &InterfaceSettings) -> Option<Vec<u8>> {
    let setting = interface.initial()?;
    let behind_endpoint = setting.endpoints.first().map(|endpoint| &endpoint.extra);
    let places = [Some(&setting.extra), Some(&configuration.extra), behind_endpoint];
    let extra = places.into_iter().flatten().find(|extra| class_specific(extra).next().is_some())?;
    let union = class_specific(extra).find(|raw| raw.subtype() == Some(UNION) && raw.length() >= 5)?;
    Some(union.bytes()[3..].to_vec())
}

fn class_specific(extra: &Extra) -> impl Iterator<Item = RawDescriptor<'_>> {
    extra.iter().filter(|raw| raw.kind() == kind::CS_INTERFACE)
}

fn follower(configuration: &Configuration, own: u8) -> Vec<u8> {
    let next = own.checked_add(1).and_then(|next| configuration.interface(next)?.initial());
    next.filter(|setting| setting.class == class::CDC_DATA)
        .map(|setting| setting.interface)
        .into_iter()
        .collect()
}
