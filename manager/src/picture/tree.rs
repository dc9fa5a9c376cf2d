//! The picture as a tree: bus, device, function, driver, what it vends. It must not know how a fact is put into words.

use outboard_core::registry::{Device, Function, Holder, Instance, Registry};

use super::{Colour, EMPTY, Style, words};
use crate::matching::interfaces;
use crate::output::printable;

/// A line and those below it.
struct Node {
    text: String,
    below: Vec<Node>,
}

/// Draws it.
pub(crate) fn tree(registry: &Registry, style: Style) -> String {
    if registry.devices.is_empty() {
        return EMPTY.into();
    }
    let mut buses: Vec<(String, Vec<&Device>)> = Vec::new();
    for device in &registry.devices {
        let bus = bus(&device.name);
        match buses.iter_mut().find(|(known, _)| *known == bus) {
            Some((_, devices)) => devices.push(device),
            None => buses.push((bus, vec![device])),
        }
    }
    let mut out = String::new();
    for (bus, devices) in buses {
        out.push_str(&style.paint(Colour::Aside, &bus));
        out.push('\n');
        let width = devices.iter().map(|device| printable(&device.name).chars().count()).max().unwrap_or(0);
        let nodes: Vec<Node> = devices.into_iter().map(|device| of_device(device, width, style)).collect();
        draw(&nodes, "", style, &mut out);
    }
    out
}

/// The bus of a device: `1-2.3` is on bus 1, `usbip://host/1-2.3` on that host.
fn bus(name: &str) -> String {
    match name.rsplit_once('/') {
        Some((host, _)) => printable(host),
        None => format!("bus {}", printable(name.split_once('-').map_or(name, |(bus, _)| bus))),
    }
}

fn of_device(device: &Device, width: usize, style: Style) -> Node {
    let name = format!("{:width$}", printable(&device.name));
    let text =
        format!("{}  {}  {}", style.paint(Colour::Name, &name), words::ids(device), words::product(device));
    Node { text, below: device.functions.iter().map(|function| of_function(function, style)).collect() }
}

fn of_function(function: &Function, style: Style) -> Node {
    let text = format!("{}: {}", interfaces(&function.interfaces), printable(&function.class));
    let fits = function.driver.as_deref().map(printable);
    let holder = match &function.holder {
        Holder::Outboard(instance) => of_instance(fits.as_deref().unwrap_or("a driver"), instance, style),
        Holder::Kernel(holder) => outside(&words::outsider(holder), fits.as_deref(), style),
        Holder::Nobody => outside("nobody", fits.as_deref(), style),
    };
    Node { text, below: vec![holder] }
}

fn outside(holder: &str, fits: Option<&str>, style: Style) -> Node {
    let fits = match fits {
        Some(driver) => format!("; {driver} fits"),
        None => String::new(),
    };
    Node { text: style.paint(Colour::Aside, &format!("{holder}{fits}")), below: Vec::new() }
}

fn of_instance(driver: &str, instance: &Instance, style: Style) -> Node {
    let state = style.paint(words::colour(instance.state), instance.state.as_str());
    let process = match &instance.process {
        Some(process) => format!(", {}", words::process(process)),
        None => String::new(),
    };
    let text = format!("{}  {state}{process}", style.paint(Colour::Name, driver));
    let vends = instance.vends.as_ref().map(words::vended);
    let trouble = words::trouble(instance);
    let below = [vends, trouble].into_iter().flatten().map(|text| Node { text, below: Vec::new() }).collect();
    Node { text, below }
}

fn draw(nodes: &[Node], indent: &str, style: Style, out: &mut String) {
    for (n, node) in nodes.iter().enumerate() {
        let (branch, stem) = if n + 1 == nodes.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        out.push_str(&style.paint(Colour::Aside, &format!("{indent}{branch}")));
        out.push_str(&node.text);
        out.push('\n');
        draw(&node.below, &format!("{indent}{stem}"), style, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::sample;

    #[test]
    fn the_tree_says_who_has_what() {
        let wanted = "\
bus 1
├─ 1-2     0b95:772a  ASIX?[2J AX88772
│  ├─ interfaces 0, 1: CDC Ethernet
│  │  └─ usb-ecm  running, process 1234, generation 2
│  │     └─ network interface ecm0, 52:54:00:12:34:56, MTU 1500, link up, 480 Mbit/s
│  └─ interface 2: mass storage
│     └─ the kernel's driver usb-storage
└─ 1-2.13  046d:c077  (no name)
   └─ interface 0: HID
      └─ nobody
usbip://far
└─ usbip://far/1-1  0525:a4a1  Gadget
   └─ interfaces 0, 1: CDC Ethernet
      └─ usb-ecm  quarantined
         └─ it ended with code 9?
";
        assert_eq!(tree(&sample::registry(), Style::plain()), wanted);
    }

    #[test]
    fn an_empty_picture_is_said() {
        assert_eq!(tree(&Registry::default(), Style::plain()), "No USB device is attached.\n");
    }

    #[test]
    fn colours_change_nothing_else() {
        let plain = tree(&sample::registry(), Style::plain());
        let mut coloured = tree(&sample::registry(), Style::coloured());
        assert!(coloured.contains("\u{1b}[32mrunning\u{1b}[0m"));
        assert!(coloured.contains("\u{1b}[31mquarantined\u{1b}[0m"));
        for code in [0, 1, 2, 31, 32, 33] {
            coloured = coloured.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(coloured, plain);
    }
}
