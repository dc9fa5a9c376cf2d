//! `outboard hid decode`: reads reports and writes the events that come of them, so that other projects' test suites can be pointed at it. It must
//! not know how reports become events.

use super::source::{Line, Source};
use super::{evemu, written};
use crate::exit::{Cause, Failure};
use outboard_core::family::hid::Event;
use outboard_usb_hid::machine::Machine;
use outboard_usb_hid::mapping::Mapping;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

/// Turn reports from standard input into events.
///
/// Writes the input nodes that Linux would make of the descriptor, then the events of each report, both in the format of evemu. A line of
/// input is a report in hexadecimal, or an `E:` line of hid-recorder, which says its time as well. What is no report of the device is said in a
/// comment. With more than one node, comments say whose description and events follow.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The report descriptor: bytes, hexadecimal text, or a recording of hid-recorder.
    #[arg(value_name = "FILE")]
    descriptor: PathBuf,
    /// The device's name, as the nodes' names begin; a recording has one.
    #[arg(long)]
    name: Option<String>,
    /// Only this node's description and events; the first is 0.
    #[arg(long, value_name = "NUMBER")]
    node: Option<usize>,
    /// How far apart reports are that do not say their time.
    #[arg(long, value_name = "MS", default_value_t = 8)]
    interval: u32,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.descriptor.as_os_str() == "-" {
        return Err(Failure::new(
            Cause::Other,
            "the descriptor must be a file: reports come from standard input",
        ));
    }
    let source = Source::read(&arguments.descriptor)?;
    for finding in &source.descriptor.findings {
        eprintln!("outboard: {}: {finding}", arguments.descriptor.display());
    }
    let mapping = Mapping::new(&source.descriptor, &source.options(arguments.name.as_ref()));
    if let Some(node) = arguments.node.filter(|node| *node >= mapping.nodes.len()) {
        let text = format!("there is no node {node}; the descriptor has {}", mapping.nodes.len());
        return Err(Failure::new(Cause::Other, text));
    }
    let mut decoder = Decoder {
        machine: Machine::new(&source.descriptor, &mapping),
        output: Output {
            out: io::stdout().lock(),
            only: arguments.node,
            says_nodes: arguments.node.is_none() && mapping.nodes.len() > 1,
            current: None,
            at: Duration::ZERO,
            error: None,
        },
        interval: Duration::from_millis(arguments.interval.into()),
    };
    written(decoder.describe(&mapping).and_then(|()| decoder.output.out.flush()))?;
    for (number, line) in (1..).zip(io::stdin().lock().lines()) {
        let line = line.map_err(|error| Failure::new(Cause::Other, format!("read the reports: {error}")))?;
        let parsed = Line::parse(&line);
        if parsed == Line::Garbled {
            return Err(Failure::new(Cause::Other, format!("line {number} is no report in hexadecimal")));
        }
        match decoder.line(number, parsed).and_then(|()| decoder.output.out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            result => written(result)?,
        }
    }
    Ok(())
}

struct Decoder<W> {
    machine: Machine,
    output: Output<W>,
    interval: Duration,
}

/// Where events go.
struct Output<W> {
    out: W,
    only: Option<usize>,
    /// Whether comments say whose events follow.
    says_nodes: bool,
    /// Whose events or description were written last.
    current: Option<usize>,
    at: Duration,
    error: Option<io::Error>,
}

impl<W: Write> Output<W> {
    fn turn_to(&mut self, node: usize) -> io::Result<()> {
        if self.says_nodes && self.current.replace(node) != Some(node) {
            writeln!(self.out, "# node {node}")?;
        }
        Ok(())
    }

    fn event(&mut self, node: usize, event: Event) -> io::Result<()> {
        if self.only.is_some_and(|only| only != node) {
            return Ok(());
        }
        self.turn_to(node)?;
        evemu::event(&mut self.out, self.at, event)
    }
}

impl<W: Write> outboard_usb_hid::machine::Sink for Output<W> {
    fn event(&mut self, node: usize, event: Event) {
        if self.error.is_none() {
            self.error = Output::event(self, node, event).err();
        }
    }
}

impl<W: Write> Decoder<W> {
    fn describe(&mut self, mapping: &Mapping) -> io::Result<()> {
        let chosen = |node: &usize| self.output.only.is_none_or(|only| only == *node);
        for node in (0..mapping.nodes.len()).filter(chosen).collect::<Vec<_>>() {
            self.output.turn_to(node)?;
            evemu::describe(&mut self.output.out, &mapping.nodes[node])?;
        }
        // The first event says its node again.
        self.output.current = None;
        Ok(())
    }

    fn line(&mut self, number: usize, line: Line) -> io::Result<()> {
        let Line::Report(at, bytes) = line else { return Ok(()) };
        let at = at.unwrap_or(self.output.at + self.interval).max(self.output.at);
        // What was due before this report comes before it.
        if let Some(due) = self.machine.deadline().filter(|due| *due <= at) {
            self.output.at = due;
            self.machine.timeout(due, &mut self.output);
        }
        self.output.at = at;
        if let Err(error) = self.machine.input(&bytes, at, &mut self.output) {
            writeln!(self.output.out, "# line {number}: {error}")?;
        }
        self.output.error.take().map_or(Ok(()), Err)
    }
}
