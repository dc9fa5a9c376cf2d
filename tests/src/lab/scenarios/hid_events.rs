//! The same reports through the kernel's own HID drivers and through ours, for every descriptor of the corpus: event streams must be equal, line
//! by line. Both are in this process: the kernel's come from uhid's nodes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use outboard_core::family::hid::codes::EV_SYN;
use outboard_core::family::hid::{Event, InputId};
use outboard_usb_hid::machine::{Machine, Sink};
use outboard_usb_hid::mapping::{Mapping, Options};
use outboard_usb_hid::proto::report::{ParseOptions, ReportDescriptor};

use crate::hid::{Sample, corpus};
use crate::hid_reports::reports;
use crate::lab::context::Context;
use crate::lab::run::run as command;
use crate::lab::sysfs::wait_for;
use crate::lab::uhid::{NAME, Node, Uhid};

/// Contacts that are not mentioned for 100 ms are lifted by a timer. Where that is closer than this, it is waited for; where the machine takes
/// longer over a report, the device is tried again.
const CLOSE: Duration = Duration::from_millis(50);
const ATTEMPTS: u32 = 10;
/// How much earlier than ours the kernel's timer may be.
const TIMER: Duration = Duration::from_millis(10);
/// How long the kernel's timer may be late.
const LATE: Duration = Duration::from_secs(30);
/// Differences that are told; the rest is counted.
const TOLD: usize = 40;

/// What came of a device.
enum Judged {
    /// The descriptor is refused, or has no nodes.
    Nothing,
    Equal {
        reports: usize,
        events: usize,
    },
    Differs(String),
    /// The machine was too slow every time.
    Slow,
}

pub(crate) fn run(context: &mut Context) -> Result<()> {
    for module in ["evdev", "hid-generic", "hid-multitouch", "uhid"] {
        command(&format!("modprobe {module}"))?;
    }
    let (mut equal, mut nothing, mut slow, mut reports, mut events) = (0, 0, Vec::new(), 0, 0);
    let mut different = Vec::new();
    for (number, sample) in corpus().iter().enumerate() {
        if number % 100 == 99 {
            context.note(format!("{} descriptors; {} differ so far", number + 1, different.len()));
        }
        match judge(sample)? {
            Judged::Nothing => nothing += 1,
            Judged::Slow => slow.push(sample.id.clone()),
            Judged::Equal { reports: of_reports, events: of_events } => {
                equal += 1;
                reports += of_reports;
                events += of_events;
            }
            Judged::Differs(how) => {
                if different.len() < TOLD {
                    context.note(format!("{} from {}: {how}", sample.id, sample.source));
                }
                different.push(sample.id.clone());
            }
        }
    }
    context.note(format!(
        "{equal} devices have equal events ({events} from {reports} reports), {} differ, {nothing} have no nodes, {} were too slow to tell",
        different.len(),
        slow.len()
    ));
    ensure!(slow.len() < 30, "this machine is too slow to tell: {slow:?}");
    ensure!(different.is_empty(), "{} devices have different events: {different:?}", different.len());
    ensure!(equal > 400, "only {equal} devices were compared");
    Ok(())
}

fn judge(sample: &Sample) -> Result<Judged> {
    let options = ParseOptions { report_bytes: 4096 };
    let Ok(descriptor) = ReportDescriptor::parse_with(&sample.descriptor, &options) else {
        return Ok(Judged::Nothing);
    };
    let id = InputId { bus: 3, vendor: 1, product: 2, version: 0x111 };
    let mapping = Mapping::new(&descriptor, &Options { name: NAME.into(), id, ..Options::default() });
    if mapping.nodes.is_empty() {
        return Ok(Judged::Nothing);
    }
    let reports = reports(&descriptor, 1);
    if reports.is_empty() {
        return Ok(Judged::Nothing);
    }
    for _ in 0..ATTEMPTS {
        if let Some(judged) = compare(sample, &descriptor, &mapping, &reports)? {
            return Ok(judged);
        }
    }
    Ok(Judged::Slow)
}

/// `None`: too slow.
fn compare(
    sample: &Sample,
    descriptor: &ReportDescriptor,
    mapping: &Mapping,
    reports: &[Vec<u8>],
) -> Result<Option<Judged>> {
    let mut kernel = Uhid::new(&sample.descriptor)?;
    let names: Vec<&str> = kernel.nodes.iter().map(|node| &*node.name).collect();
    let ours: Vec<&str> = mapping.nodes.iter().map(|node| &*node.name).collect();
    if names != ours {
        return Ok(Some(Judged::Differs(format!("its nodes are {names:?}, and ours are {ours:?}"))));
    }
    let mut machine = Machine::new(descriptor, mapping);
    let mut packets = Packets(vec![Vec::new(); mapping.nodes.len()]);
    let start = Instant::now();
    let mut count = 0;
    for (number, report) in reports.iter().enumerate() {
        if let Some(due) = machine.deadline().filter(|due| start.elapsed() + CLOSE > *due) {
            machine.timeout(due, &mut packets);
            for (node, ours) in kernel.nodes.iter_mut().zip(&mut packets.0) {
                let ours = whole_packets(ours);
                let theirs = if ours.is_empty() {
                    node.events()?
                } else {
                    wait_for("stale contacts", LATE, || lifted(node))?
                };
                if theirs.as_deref() != Some(&ours[..]) {
                    let how = difference(&node.name, number, &[], &theirs.unwrap_or_default(), &ours);
                    return Ok(Some(Judged::Differs(format!("stale contacts: {how}"))));
                }
            }
        }
        if number == 0 {
            kernel.first_report(report).with_context(|| sample.id.clone())?;
        } else {
            kernel.report(report)?;
        }
        let now = Instant::now();
        let due = machine.deadline();
        // What is no report of the device is none for the kernel either.
        let _refused = machine.input(report, now - start, &mut packets);
        for (node, ours) in kernel.nodes.iter_mut().zip(&mut packets.0) {
            let ours = whole_packets(ours);
            // A report of more events than the node's buffer holds changes the state all the same.
            let Some(theirs) = node.events()? else { continue };
            count += theirs.len();
            if theirs != ours {
                // The timer may have come between the report and its events.
                let timer = due.is_some_and(|due| start.elapsed() + TIMER >= due);
                if timer || now.elapsed() > CLOSE {
                    return Ok(None);
                }
                let how = difference(&node.name, number, report, &theirs, &ours);
                return Ok(Some(Judged::Differs(how)));
            }
        }
    }
    Ok(Some(Judged::Equal { reports: reports.len(), events: count }))
}

/// What the kernel's timer made of a node, once it did.
fn lifted(node: &mut Node) -> Result<Option<Option<Vec<Event>>>> {
    let events = node.events()?;
    Ok((events.as_ref() != Some(&Vec::new())).then_some(events))
}

/// Our events, by node.
struct Packets(Vec<Vec<Event>>);

impl Sink for Packets {
    fn event(&mut self, node: usize, event: Event) {
        self.0[node].push(event);
    }
}

/// Takes what an application would see by now: packets that have ended. A frame of contacts may span reports.
fn whole_packets(events: &mut Vec<Event>) -> Vec<Event> {
    let end = events.iter().rposition(|event| event.kind == EV_SYN).map_or(0, |last| last + 1);
    events.drain(..end).collect()
}

fn difference(node: &str, number: usize, report: &[u8], theirs: &[Event], ours: &[Event]) -> String {
    let at = theirs.iter().zip(ours).take_while(|(theirs, ours)| theirs == ours).count();
    let show = |events: &[Event]| events.get(at).map_or_else(|| "nothing more".into(), ToString::to_string);
    let report: Vec<String> = report.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{node}, report {number} ({}), event {at} of {} and {}: the kernel has {}, and we have {}",
        report.join(" "),
        theirs.len(),
        ours.len(),
        show(theirs),
        show(ours)
    )
}
