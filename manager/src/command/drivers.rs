//! `outboard drivers`: which drivers there are, where their manifests are from, and which files are broken. It must not look at devices.

use std::fmt::Write;

use outboard_core::manifest::store::{Entry, Library, Source, State};
use outboard_core::manifest::{Fault, Manifest};
use serde_json::{Value, json};

use crate::exit::{Cause, Failure};
use crate::matching::Drivers;
use crate::output::{printable, say};

/// Show the drivers there are, where their manifests are from, and what is wrong with those that are broken.
///
/// Manifests are built in, or files in /usr/lib/outboard/drivers.d and /etc/outboard/drivers.d. A file replaces what there is under its name
/// before it; an empty file or a link to /dev/null masks it. A broken manifest harms no other.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let drivers = Drivers::read();
    let library = drivers.library();
    if arguments.json {
        say!("{}", as_json(library))
    } else {
        say!("{}", text(library).trim_end())
    }
    verdict(library)
}

/// Something is broken, and scripts shall see it.
fn verdict(library: &Library) -> Result<(), Failure> {
    let broken = library.entries.iter().filter(|entry| matches!(entry.state, State::Broken(_))).count();
    let text = match (broken, library.unreadable.first()) {
        (0, None) => return Ok(()),
        (0, Some(error)) => error.to_string(),
        (1, _) => "1 manifest is broken; the others are used".to_owned(),
        (count, _) => format!("{count} manifests are broken; the others are used"),
    };
    Err(Failure::new(Cause::BrokenManifest, text))
}

fn text(library: &Library) -> String {
    let mut out = String::new();
    for entry in &library.entries {
        if !out.is_empty() {
            out.push('\n');
        }
        // To write to a string cannot fail.
        let _ = write(&mut out, entry);
    }
    for error in &library.unreadable {
        let _ = writeln!(out, "\n{error}");
    }
    out
}

fn write(out: &mut String, entry: &Entry) -> std::fmt::Result {
    let name = printable(&entry.name);
    match &entry.state {
        State::Usable(manifest) => {
            let Manifest { version, display_name, usage_description, program, family, .. } = &**manifest;
            writeln!(out, "{name:<16} {version:<8} {display_name}")?;
            writeln!(out, "    {usage_description}")?;
            let entitlements: Vec<&str> = manifest.entitlements.iter().map(|one| one.as_str()).collect();
            writeln!(out, "    vends {family}, may use {}", entitlements.join(", "))?;
            let count = manifest.alternatives.len();
            let plural = if count == 1 { "" } else { "s" };
            writeln!(out, "    {count} alternative{plural} to match, priority {}", manifest.priority)?;
            writeln!(out, "    program {program}")?;
        }
        State::Masked => writeln!(out, "{name:<16} masked")?,
        State::Broken(faults) => {
            writeln!(out, "{name:<16} BROKEN, there is no such driver until it is mended")?;
            for fault in faults {
                writeln!(out, "    {fault}")?;
            }
        }
    }
    write!(out, "    from {}", printable_path(&entry.source.to_string()))?;
    for replaced in &entry.replaces {
        match replaced {
            Source::BuiltIn => write!(out, ", which replaces the built-in one")?,
            file => write!(out, ", which replaces {}", printable_path(&file.to_string()))?,
        }
    }
    writeln!(out)
}

/// A path may be longer than what a device says, and as hostile.
fn printable_path(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn as_json(library: &Library) -> Value {
    let drivers: Vec<Value> = library
        .entries
        .iter()
        .map(|entry| {
            let mut value = json!({
                "driver": printable(&entry.name),
                "source": printable_path(&entry.source.to_string()),
                "replaces": entry.replaces.iter().map(|one| printable_path(&one.to_string())).collect::<Vec<_>>(),
            });
            let more = match &entry.state {
                State::Usable(manifest) => manifest_json(manifest),
                State::Masked => json!({"state": "masked"}),
                State::Broken(faults) => {
                    json!({"state": "broken", "faults": faults.iter().map(fault_json).collect::<Vec<_>>()})
                }
            };
            if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
                value.extend(more);
            }
            value
        })
        .collect();
    let unreadable: Vec<String> = library.unreadable.iter().map(ToString::to_string).collect();
    json!({"drivers": drivers, "unreadable": unreadable})
}

fn manifest_json(manifest: &Manifest) -> Value {
    json!({
        "state": "usable",
        "version": manifest.version.to_string(),
        "display_name": manifest.display_name,
        "usage_description": manifest.usage_description,
        "program": manifest.program.to_string(),
        "family": manifest.family.as_str(),
        "priority": manifest.priority,
        "entitlements": manifest.entitlements.iter().map(|one| one.as_str()).collect::<Vec<_>>(),
        "alternatives": manifest.alternatives.len(),
    })
}

fn fault_json(fault: &Fault) -> Value {
    json!({"line": fault.line, "key": fault.key, "reason": fault.reason})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Root;

    const ACME: &str = include_str!("../../tests/data/acme-gigabit.toml");

    #[test]
    fn what_is_built_in_is_shown() {
        let root = Root::new("drivers-built-in");
        let drivers = Drivers::read_below(root.path());
        assert_eq!(
            text(drivers.library()),
            "\
usb-ecm          0.1.0    CDC Ethernet (ECM)
    Makes a network interface of USB Ethernet adapters, phones and modems that speak CDC ECM.
    vends ethernet, may use transport.usb, family.ethernet
    3 alternatives to match, priority 0
    program builtin:usb-ecm
    from built in

usb-serial-ftdi  0.1.0    FTDI serial adapters
    Makes serial ports of adapters and boards with FTDI's chips.
    vends serial, may use transport.usb, family.serial
    66 alternatives to match, priority 0
    program builtin:usb-serial-ftdi
    from built in
"
        );
        assert!(verdict(drivers.library()).is_ok());
    }

    #[test]
    fn files_masks_and_faults_are_shown() {
        let root = Root::new("drivers-files");
        root.put("etc/outboard/drivers.d/acme-gigabit.toml", ACME);
        root.put("usr/lib/outboard/drivers.d/acme-gigabit.toml", "?");
        root.put("etc/outboard/drivers.d/usb-ecm.toml", "");
        root.put("etc/outboard/drivers.d/wrong.toml", &ACME.replace("interface-class", "interface_class"));
        let drivers = Drivers::read_below(root.path());
        assert_eq!(
            root.without(&text(drivers.library())),
            "\
acme-gigabit     1.2.0    ACME Gigabit Adapter
    Makes a network interface of ACME's gigabit adapters.
    vends ethernet, may use transport.usb, family.ethernet
    2 alternatives to match, priority 0
    program /usr/libexec/outboard/acme-gigabit
    from /etc/outboard/drivers.d/acme-gigabit.toml, which replaces /usr/lib/outboard/drivers.d/acme-gigabit.toml

usb-ecm          masked
    from /etc/outboard/drivers.d/usb-ecm.toml, which replaces the built-in one

usb-serial-ftdi  0.1.0    FTDI serial adapters
    Makes serial ports of adapters and boards with FTDI's chips.
    vends serial, may use transport.usb, family.serial
    66 alternatives to match, priority 0
    program builtin:usb-serial-ftdi
    from built in

wrong            BROKEN, there is no such driver until it is mended
    line 1: name is \"acme-gigabit\", but the file is called wrong.toml; the two must agree
    line 16: match[2].interface_class is unknown; did you mean interface-class?
    from /etc/outboard/drivers.d/wrong.toml
"
        );
        let failure = verdict(drivers.library()).unwrap_err();
        assert_eq!(
            (failure.to_string().as_str(), failure.code()),
            ("1 manifest is broken; the others are used", 11)
        );
        let value = as_json(drivers.library());
        assert_eq!(value["drivers"][0]["state"], "usable");
        assert_eq!(value["drivers"][0]["alternatives"], 2);
        assert_eq!(value["drivers"][1]["state"], "masked");
        assert_eq!(value["drivers"][1]["replaces"], json!(["built in"]));
        assert_eq!(value["drivers"][3]["faults"][1]["line"], 16);
        assert_eq!(value["drivers"][3]["faults"][1]["key"], "match[2].interface_class");
    }
}
