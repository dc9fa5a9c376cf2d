//! `outboard list`: what is attached, who has it, which driver fits and why. It must not change anything.

use outboard_core::usb::discovery::{self, Found};
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::matching::{self, Verdict};
use crate::output::{printable, product_name};

/// Show attached USB devices, which driver fits each, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let devices = discovery::list()?;
    let judged: Vec<(Found, Verdict)> = devices
        .into_iter()
        .map(|device| {
            let verdict = matching::look_at(&device);
            (device, verdict)
        })
        .collect();
    if arguments.json {
        let all: Vec<Value> = judged.iter().map(|(device, verdict)| as_json(device, verdict)).collect();
        println!("{}", Value::Array(all));
        return Ok(());
    }
    if judged.is_empty() {
        println!("No USB device is attached.");
        return Ok(());
    }
    for (device, verdict) in &judged {
        print(device, verdict);
    }
    if judged.iter().any(|(_, verdict)| verdict.driver().is_some()) {
        println!("\nTo drive one: outboard attach <the first or second column>");
    }
    Ok(())
}

fn print(device: &Found, verdict: &Verdict) {
    let Found { name, vendor_id, product_id, speed, .. } = device;
    println!("{name:<8} {vendor_id:04x}:{product_id:04x}  {}, {speed}", product_name(device));
    for line in users(device) {
        println!("         {line}");
    }
    let driver = verdict.driver().unwrap_or("no driver");
    for (n, reason) in verdict.reasons.iter().enumerate() {
        if n == 0 {
            println!("         {driver} fits: {reason}");
        } else {
            println!("         also looked at: {reason}");
        }
    }
}

/// Who has the device's interfaces now: `in use by cdc_ether (interfaces 0, 1; network interface usb0)`.
fn users(device: &Found) -> Vec<String> {
    let mut users: Vec<(&str, Vec<String>, Vec<&str>)> = Vec::new();
    for bound in &device.drivers {
        let Some(driver) = bound.driver.as_deref() else { continue };
        let interface = bound.interface.to_string();
        let networks = bound.networks.iter().map(String::as_str);
        match users.iter_mut().find(|(known, ..)| *known == driver) {
            Some((_, interfaces, known)) => {
                interfaces.push(interface);
                known.extend(networks);
            }
            None => users.push((driver, vec![interface], networks.collect())),
        }
    }
    users
        .into_iter()
        .map(|(driver, interfaces, networks)| {
            let plural = if interfaces.len() == 1 { "" } else { "s" };
            let mut line = format!("in use by {driver} (interface{plural} {}", interfaces.join(", "));
            if !networks.is_empty() {
                line.push_str(&format!("; network interface {}", networks.join(", ")));
            }
            line.push(')');
            line
        })
        .collect()
}

fn as_json(device: &Found, verdict: &Verdict) -> Value {
    let text = |text: &Option<String>| text.as_deref().map(printable);
    let drivers: Vec<Value> = device
        .drivers
        .iter()
        .map(
            |bound| json!({"interface": bound.interface, "driver": bound.driver, "networks": bound.networks}),
        )
        .collect();
    json!({
        "device": device.name,
        "vendor_id": device.vendor_id,
        "product_id": device.product_id,
        "manufacturer": text(&device.manufacturer),
        "product": text(&device.product),
        "serial": text(&device.serial),
        "speed_bits_per_second": device.speed.bits_per_second(),
        "configuration": device.configuration,
        "in_use": drivers,
        "driver": verdict.driver(),
        "configuration_needed": verdict.function.as_ref().map(|function| function.configuration),
        "reasons": verdict.reasons,
    })
}
