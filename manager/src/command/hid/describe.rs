//! `outboard hid describe`: a report descriptor as people read it, the reports that it describes, and the input nodes that come of it. It must not
//! know how nodes are chosen.

use super::item::{Words, flags, usage_name};
use super::source::Source;
use super::written;
use crate::exit::Failure;
use outboard_core::family::hid::codes::*;
use outboard_core::family::hid::{CodeSet, Node};
use outboard_usb_hid::mapping::Mapping;
use outboard_usb_hid::proto::class::ReportKind;
use outboard_usb_hid::proto::report::item::Items;
use outboard_usb_hid::proto::report::{Field, Flags, Report};
use std::io::{self, Write};
use std::path::PathBuf;

/// Print a report descriptor, its reports, and the input nodes that come of it.
///
/// The nodes are those that Linux 6.1 makes of the same descriptor. What the descriptor does against the specification is said with its place.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The report descriptor: bytes, hexadecimal text, or a recording of hid-recorder; - is standard input.
    #[arg(value_name = "FILE")]
    descriptor: PathBuf,
    /// The device's name, as the nodes' names begin; a recording has one.
    #[arg(long)]
    name: Option<String>,
}

/// Columns of output.
const WIDTH: usize = 100;

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let source = Source::read(&arguments.descriptor)?;
    let mapping = Mapping::new(&source.descriptor, &source.options(arguments.name.as_ref()));
    let mut out = io::BufWriter::new(io::stdout().lock());
    written(print(&mut out, &source, &mapping).and_then(|()| out.flush()))
}

fn print(out: &mut impl Write, source: &Source, mapping: &Mapping) -> io::Result<()> {
    writeln!(out, "Report descriptor, {} bytes", source.bytes.len())?;
    let mut words = Words::default();
    for item in Items::new(&source.bytes) {
        let size = item.data.len();
        // A long item's bytes are a device's own business.
        let bytes = &source.bytes[item.offset..(item.offset + 1 + size).min(item.offset + 5)];
        let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "{:5}  {:<15} {}", item.offset, bytes.join(" "), words.of(&item))?;
    }
    if !source.descriptor.findings.is_empty() || !mapping.findings.is_empty() {
        writeln!(out, "\nAgainst the specification, and tolerated")?;
        for finding in &source.descriptor.findings {
            writeln!(out, "  {finding}")?;
        }
        for finding in &mapping.findings {
            writeln!(out, "  {finding}")?;
        }
    }
    writeln!(out, "\nReports")?;
    for kind in ReportKind::ALL {
        for report in source.descriptor.reports(kind) {
            print_report(out, report)?;
        }
    }
    if mapping.nodes.is_empty() {
        return writeln!(out, "\nNo input node comes of it.");
    }
    writeln!(out, "\nInput nodes")?;
    for (number, node) in mapping.nodes.iter().enumerate() {
        print_node(out, number, node)?;
    }
    Ok(())
}

fn print_report(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let kind = match report.kind {
        ReportKind::Input => "Input",
        ReportKind::Output => "Output",
        ReportKind::Feature => "Feature",
    };
    let (number, bytes) = match report.id {
        0 => (String::new(), report.body_bytes()),
        id => (format!(" {id}"), report.body_bytes() + 1),
    };
    let plural = if bytes == 1 { "" } else { "s" };
    writeln!(out, "  {kind}{number}, {bytes} byte{plural}")?;
    for field in &report.fields {
        let (least, greatest) = field.logical_range();
        // Counted from the report's first byte, its number included.
        let first = field.bit_offset + if report.id == 0 { 0 } else { 8 };
        let place = format!("byte {}.{}", first / 8, first % 8);
        let size = format!("{} x {} bit{}", field.count, field.bits, if field.bits == 1 { "" } else { "s" });
        let range = format!("{least}..{greatest}");
        writeln!(
            out,
            "    {place:<10} {size:<14} {range:<14} {}",
            flags(field.flags, report.kind != ReportKind::Input)
        )?;
        wrapped(out, "               ", &usages(field), ", ")?;
    }
    Ok(())
}

/// Controls' usages; ranges by their ends. Of many, the first.
fn usages(field: &Field) -> Vec<String> {
    const MOST: usize = 16;
    let runs = field.usages.runs();
    let mut names: Vec<String> = runs
        .iter()
        .take(MOST)
        .map(|run| match run.count {
            1 => usage_name(run.get(0)),
            count => format!("{} to {}", usage_name(run.get(0)), usage_name(run.get(count - 1))),
        })
        .collect();
    if runs.len() > MOST {
        names.push(format!("and {} more", runs.len() - MOST));
    }
    if field.usages.declared() < field.count && field.flags.has(Flags::VARIABLE) {
        names.push("the last for all behind it".into());
    }
    names.extend(
        field.aliases.iter().take(MOST).map(|alias| format!("or {}", usage_name(alias.usages.get(0)))),
    );
    names
}

fn print_node(out: &mut impl Write, number: usize, node: &Node) -> io::Result<()> {
    writeln!(out, "  {number}  {}", node.name)?;
    let names = |codes: &CodeSet, name: &dyn Fn(u16) -> Option<&'static str>| -> Vec<String> {
        codes.iter().map(|code| name(code).map_or_else(|| format!("{code:#x}"), str::to_owned)).collect()
    };
    if !node.properties.is_empty() {
        wrapped(out, "     properties ", &names(&node.properties, &property_name), " ")?;
    }
    for (kind, head) in [(EV_KEY, "keys"), (EV_REL, "relative"), (EV_LED, "LEDs"), (EV_MSC, "other")] {
        let codes = node.codes(kind).copied().unwrap_or_default();
        if !codes.is_empty() {
            wrapped(out, &format!("     {head:<10} "), &names(&codes, &|code| code_name(kind, code)), " ")?;
        }
    }
    for code in node.absolute.iter() {
        let axis = node.axes[usize::from(code)];
        let name = code_name(EV_ABS, code).map_or_else(|| format!("{code:#x}"), str::to_owned);
        let mut line = format!("     {name:<19} {}..{}", axis.minimum, axis.maximum);
        let unit = match code {
            ABS_RX | ABS_RY | ABS_RZ | ABS_WHEEL | ABS_TILT_X | ABS_TILT_Y => "/rad",
            _ => "/mm",
        };
        let more = [("fuzz", axis.fuzz, ""), ("flat", axis.flat, ""), ("resolution", axis.resolution, unit)];
        for (word, value, unit) in more.into_iter().filter(|(_, value, _)| *value != 0) {
            line.push_str(&format!(", {word} {value}{unit}"));
        }
        writeln!(out, "{line}")?;
    }
    if let Some(repeat) = node.repeat {
        writeln!(out, "     repeat     after {} ms, every {} ms", repeat.delay, repeat.period)?;
    }
    Ok(())
}

/// Words behind a head, on as many lines as it takes.
fn wrapped(out: &mut impl Write, head: &str, words: &[String], separator: &str) -> io::Result<()> {
    let mut line = head.to_owned();
    for (n, word) in words.iter().enumerate() {
        let last = n + 1 == words.len();
        if line.len() > head.len() && line.len() + word.len() > WIDTH {
            writeln!(out, "{}", line.trim_end())?;
            line = " ".repeat(head.len());
        }
        line.push_str(word);
        line.push_str(if last { "" } else { separator });
    }
    writeln!(out, "{}", line.trim_end())
}
