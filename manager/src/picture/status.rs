//! Everything about one device, a line for each fact. It must not know the others.

use std::time::SystemTime;

use outboard_core::registry::{Device, Function, Holder, Instance};

use super::{Colour, Style, words};
use crate::matching::interfaces;
use crate::output::printable;

/// Writes it.
pub(crate) fn status(device: &Device, now: SystemTime, style: Style) -> String {
    let name = style.paint(Colour::Name, &printable(&device.name));
    let mut out = format!("{name}  {}  {}\n", words::ids(device), words::product(device));
    if let Some(serial) = device.serial.as_deref().map(printable).filter(|serial| !serial.is_empty()) {
        out.push_str(&fact("serial", &serial));
    }
    if device.functions.is_empty() {
        out.push_str(&fact("functions", "none that a driver could be for"));
    }
    for function in &device.functions {
        // A capital letter, since it begins a paragraph.
        let numbers = interfaces(&function.interfaces).replacen('i', "I", 1);
        let class = printable(&function.class);
        out.push_str(&format!("\n{numbers} of configuration {}: {class}\n", function.configuration));
        out.push_str(&of_function(function, now, style));
    }
    out
}

fn of_function(function: &Function, now: SystemTime, style: Style) -> String {
    let driver = function.driver.as_deref().map(printable);
    let instance = match &function.holder {
        Holder::Outboard(instance) => instance,
        Holder::Kernel(holder) => return outside(&words::outsider(holder), driver),
        Holder::Nobody => return outside("nobody", driver),
    };
    let mut out = fact("driver", driver.as_deref().unwrap_or("-"));
    out.push_str(&fact("state", &style.paint(words::colour(instance.state), instance.state.as_str())));
    let taken = format!("{}, {} ago", words::moment(instance.since), words::since(instance.since, now));
    out.push_str(&fact("taken", &taken));
    out.push_str(&of_process(instance));
    let vends = instance.vends.as_ref().map_or_else(|| "nothing".into(), words::vended);
    out.push_str(&fact("vends", &vends));
    out.push_str(&fact("restarts", &instance.restarts.to_string()));
    if let Some(recovery) = instance.last_recovery {
        out.push_str(&fact("recovery", &format!("the last took {}", words::took(recovery))));
    }
    if let Some(error) = &instance.last_error {
        out.push_str(&fact("last error", &words::sentence(error)));
    }
    out
}

fn of_process(instance: &Instance) -> String {
    let Some(process) = &instance.process else { return fact("process", "none") };
    let user = match process.user {
        Some(user) => format!("user {user}"),
        None => "the manager's user".into(),
    };
    let text = format!("{}, generation {}, {user}", process.id, process.generation);
    let sandbox = process.sandbox.as_ref().map_or_else(|| "it has not said".into(), words::sandbox);
    fact("process", &text) + &fact("sandbox", &sandbox)
}

fn outside(holder: &str, driver: Option<String>) -> String {
    let driver = driver.unwrap_or_else(|| "none fits".into());
    fact("held by", holder) + &fact("driver", &driver)
}

fn fact(name: &str, text: &str) -> String {
    format!("  {name:<10}  {text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::sample;

    #[test]
    fn a_device_is_told_in_full() {
        let registry = sample::registry();
        let wanted = "\
1-2  0b95:772a  ASIX?[2J AX88772
  serial      0001

Interfaces 0, 1 of configuration 1: CDC Ethernet
  driver      usb-ecm
  state       running
  taken       2026-09-21 13:11:15Z, 1 h 2 min ago
  process     1234, generation 2, user 61184
  sandbox     31 system calls and 14 ioctls are left to it, Landlock 6
  vends       network interface ecm0, 52:54:00:12:34:56, MTU 1500, link up, 480 Mbit/s
  restarts    1
  recovery    the last took 84 ms
  last error  it was killed by signal 9

Interface 2 of configuration 1: mass storage
  held by     the kernel's driver usb-storage
  driver      none fits
";
        assert_eq!(status(&registry.devices[0], sample::now(), Style::plain()), wanted);
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut registry = sample::registry();
        registry.devices[2].functions[0].instance_mut().unwrap().last_error = None;
        let wanted = "\
usbip://far/1-1  0525:a4a1  Gadget

Interfaces 0, 1 of configuration 1: CDC Ethernet
  driver      usb-ecm
  state       quarantined
  taken       2026-09-21 14:12:38Z, 42 s ago
  process     none
  vends       nothing
  restarts    5
";
        assert_eq!(status(&registry.devices[2], sample::now(), Style::plain()), wanted);
        registry.devices[1].functions.clear();
        let wanted = "\
1-2.13  046d:c077  (no name)
  functions   none that a driver could be for
";
        assert_eq!(status(&registry.devices[1], sample::now(), Style::plain()), wanted);
    }
}
