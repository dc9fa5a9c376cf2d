//! Nodes and events in the format of evemu (1.3), which others' tools read, with the names as comments. It must not know where events come from.

use outboard_core::family::hid::codes::*;
use outboard_core::family::hid::{CodeSet, Event, Node};
use std::io::{self, Write};
use std::time::Duration;

/// What evemu writes of each kind: its number and how many rows of eight bytes.
const KINDS: [(u16, usize); 10] = [
    (0, 1),
    (EV_KEY, 12),
    (EV_REL, 1),
    (EV_ABS, 1),
    (EV_MSC, 1),
    (EV_SW, 1),
    (EV_LED, 1),
    (EV_SND, 1),
    (EV_REP, 1),
    (EV_FF, 2),
];

/// A node's description.
pub(super) fn describe(out: &mut impl Write, node: &Node) -> io::Result<()> {
    let id = node.id;
    writeln!(out, "# EVEMU 1.3")?;
    writeln!(out, "N: {}", node.name)?;
    writeln!(out, "I: {:04x} {:04x} {:04x} {:04x}", id.bus, id.vendor, id.product, id.version)?;
    rows(out, "P:", &node.properties, 1)?;
    for (kind, count) in KINDS {
        let codes = match kind {
            0 => node.kinds,
            // A node that repeats has both of its settings.
            EV_REP if node.repeat.is_some() => [REP_DELAY, REP_PERIOD].into_iter().collect(),
            _ => node.codes(kind).copied().unwrap_or_default(),
        };
        rows(out, &format!("B: {kind:02x}"), &codes, count)?;
    }
    for code in node.absolute.iter() {
        let axis = node.axes[usize::from(code)];
        writeln!(
            out,
            "A: {code:02x} {} {} {} {} {}",
            axis.minimum, axis.maximum, axis.fuzz, axis.flat, axis.resolution
        )?;
    }
    Ok(())
}

fn rows(out: &mut impl Write, head: &str, codes: &CodeSet, count: usize) -> io::Result<()> {
    for word in codes.words().into_iter().take(count) {
        let bytes = word.to_le_bytes().map(|byte| format!("{byte:02x}"));
        writeln!(out, "{head} {}", bytes.join(" "))?;
    }
    Ok(())
}

/// An event.
pub(super) fn event(out: &mut impl Write, at: Duration, event: Event) -> io::Result<()> {
    let Event { kind, code, value } = event;
    let (seconds, micros) = (at.as_secs(), at.subsec_micros());
    write!(out, "E: {seconds}.{micros:06} {kind:04x} {code:04x} {value:04}\t# ")?;
    if kind == EV_SYN {
        return writeln!(out, "------------ SYN_REPORT ({value}) ----------");
    }
    let name = code_name(kind, code).map_or_else(|| format!("{code:#x}"), str::to_owned);
    writeln!(out, "{} / {name:<20} {value}", kind_name(kind).unwrap_or("EV_?"))
}
