//! The bodies of the fuzz targets for HID: report descriptors, and what comes of them. They know no corpus.

use crate::hid::{Sample, corpus};
use outboard_core::family::hid::Event;
use outboard_core::family::hid::Node;
use outboard_core::family::hid::codes::*;
use outboard_usb_hid::machine::Machine;
use outboard_usb_hid::mapping::{Mapping, Options, Quirks, TouchClass};
use outboard_usb_hid::proto::report::{ReportDescriptor, limit};
use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::Duration;

/// A report descriptor: bounded answers, values at every edge of every field, and nodes that make sense.
pub fn descriptor(data: &[u8]) {
    let Ok(descriptor) = ReportDescriptor::parse(data) else { return };
    assert!(descriptor.findings.len() <= limit::FINDINGS + 1);
    assert!(
        descriptor
            .findings
            .iter()
            .all(|finding| !finding.to_string().is_empty() && finding.offset <= data.len())
    );
    assert!(descriptor.collections.len() <= data.len());
    for (index, collection) in descriptor.collections.iter().enumerate() {
        assert!(collection.parent.is_none_or(|parent| parent < index));
    }
    for report in &descriptor.reports {
        assert!(report.body_bytes() < limit::REPORT_BYTES as usize && report.fields.len() <= limit::FIELDS);
        let mut body = vec![0xa5; report.body_bytes()];
        for field in &report.fields {
            assert!(field.bit_offset + field.bits * field.count <= report.bits);
            assert!((1..=limit::USAGES).contains(&field.usages.declared()));
            assert!(field.usages.runs().len() + field.aliases.len() <= data.len());
            for index in [0, field.count.saturating_sub(1), field.count] {
                let value = field.value(&body, index);
                field.set_value(&mut body, index, value);
                assert_eq!(field.value(&body, index), value, "what was read can be written");
            }
        }
        // Bits beyond 64 are written as 0; all else stayed as it was.
        if report.fields.iter().all(|field| field.bits <= 64) {
            assert!(body.iter().all(|byte| *byte == 0xa5));
        }
    }
    let choice = usize::from(data.last().copied().unwrap_or(0));
    let quirks = Quirks {
        bad_pad: choice & 1 != 0,
        multi_input: choice & 2 != 0,
        x_invert: choice & 4 != 0,
        increment_on_duplicate: choice & 8 != 0,
        force_input: choice & 16 != 0,
        ..Quirks::default()
    };
    let touch = TouchClass::ALL.get(choice).copied();
    for options in [Options::default(), Options { name: "fuzz".into(), quirks, touch, ..Options::default() }]
    {
        Mapping::new(&descriptor, &options).nodes.iter().for_each(check_node);
    }
}

fn check_node(node: &Node) {
    assert!(node.kinds.contains(EV_SYN) && !node.keys.contains(0));
    for kind in [EV_KEY, EV_REL, EV_ABS, EV_MSC, EV_LED] {
        let codes = node.codes(kind).expect("a kind that nodes have");
        assert!(codes.is_empty() || node.kinds.contains(kind), "{node:?}");
    }
    let most = |codes: &outboard_core::family::hid::CodeSet| codes.iter().last().unwrap_or(0);
    assert!(
        most(&node.absolute) <= ABS_MAX && most(&node.relative) <= REL_MAX && most(&node.leds) <= LED_MAX
    );
    assert_eq!(node.repeat.is_some(), node.kinds.contains(EV_REP));
}

/// Reports for a real device: two bytes that say which, then a byte that says how long the next report is, and its bytes. Only codes that a node
/// has come out, axes stay within what 32 bits say, every packet is ended, and after the end nothing is down.
pub fn machine(data: &[u8]) {
    static CORPUS: LazyLock<Vec<Sample>> = LazyLock::new(corpus);
    let [low, high, rest @ ..] = data else { return };
    let sample = &CORPUS[usize::from(u16::from_le_bytes([*low, *high])) % CORPUS.len()];
    let Ok(descriptor) = ReportDescriptor::parse(&sample.descriptor) else { return };
    let mapping = Mapping::new(&descriptor, &Options::default());
    let mut machine = Machine::new(&descriptor, &mapping);
    let mut checker = Checker::new(&mapping.nodes);
    let (mut rest, mut now) = (rest, Duration::ZERO);
    while let Some((&length, behind)) = rest.split_first() {
        let (report, behind) = behind.split_at(usize::from(length).min(behind.len()));
        rest = behind;
        now += Duration::from_millis(u64::from(length));
        machine.timeout(now, &mut |node, event| checker.check(node, event));
        // Padded, so that short inputs are reports as well.
        let mut padded = report.to_vec();
        padded.resize(
            descriptor.longest(outboard_usb_hid::proto::class::ReportKind::Input).max(report.len()),
            0,
        );
        let _ = machine.input(report, now, &mut |node, event| checker.check(node, event));
        let _ = machine.input(&padded, now, &mut |node, event| checker.check(node, event));
        checker.is_whole();
    }
    machine.release(&mut |node, event| checker.check(node, event));
    checker.is_whole();
    assert!(checker.down.is_empty(), "{:?} of {}", checker.down, sample.id);
    assert!(checker.contacts.is_empty(), "{:?} of {}", checker.contacts, sample.id);
}

/// What an application may rely on.
struct Checker<'a> {
    nodes: &'a [Node],
    slots: Vec<i32>,
    down: HashSet<(usize, u16)>,
    contacts: HashSet<(usize, i32)>,
    open: HashSet<usize>,
}

impl<'a> Checker<'a> {
    fn new(nodes: &'a [Node]) -> Self {
        let slots = vec![0; nodes.len()];
        Self { nodes, slots, down: HashSet::new(), contacts: HashSet::new(), open: HashSet::new() }
    }

    fn check(&mut self, node: usize, event: Event) {
        let Event { kind, code, value } = event;
        if kind == EV_SYN {
            assert!(self.open.remove(&node), "an empty packet");
            return;
        }
        self.open.insert(node);
        assert!(self.nodes[node].codes(kind).is_some_and(|codes| codes.contains(code)), "{event}");
        match (kind, code) {
            // A repetition changes nothing.
            (EV_KEY, _) if value == 2 => {}
            (EV_KEY, _) if value != 0 => assert!(self.down.insert((node, code)), "{event} twice"),
            (EV_KEY, _) => assert!(self.down.remove(&(node, code)), "{event} twice"),
            (EV_REL, _) => assert_ne!(value, 0, "{event}"),
            (EV_ABS, ABS_MT_SLOT) => self.slots[node] = value,
            (EV_ABS, ABS_MT_TRACKING_ID) if value >= 0 => {
                assert!(self.contacts.insert((node, self.slots[node])), "{event} twice");
            }
            (EV_ABS, ABS_MT_TRACKING_ID) => {
                assert!(self.contacts.remove(&(node, self.slots[node])), "{event} twice");
            }
            _ => {}
        }
    }

    /// Linux leaves packets open while a frame of contacts spans reports; keys never are.
    fn is_whole(&self) {
        assert!(
            self.open.iter().all(|node| self.nodes[*node].absolute.contains(ABS_MT_TRACKING_ID)),
            "{:?}",
            self.open
        );
    }
}
