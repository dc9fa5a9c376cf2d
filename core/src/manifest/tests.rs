//! Manifests on text and devices of our own.

mod devices;
mod functions;
mod ranking;
mod store;
mod text;

use super::{Expected, Fault, Manifest, parse};

/// A manifest without alternatives.
const HEAD: &str = r#"name = "acme"
version = "1.2.3"
display-name = "ACME"
usage-description = "Does what ACME's devices do."
program = "/usr/libexec/outboard/acme"
family = "ethernet"
entitlements = ["transport.usb", "family.ethernet"]
"#;

/// A manifest of this name and priority with one alternative for each of the texts.
fn manifest(name: &str, priority: i16, alternatives: &[&str]) -> Manifest {
    let head = HEAD.replace("\"acme\"", &format!("\"{name}\"\npriority = {priority}"));
    let all: String = alternatives.iter().map(|criteria| format!("[[match]]\n{criteria}\n")).collect();
    parse(&format!("{head}{all}"), &Expected::default()).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn faults(text: &str) -> Vec<String> {
    let faults = parse(text, &Expected::default()).expect_err(text);
    faults.iter().map(Fault::to_string).collect()
}
