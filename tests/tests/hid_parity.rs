//! Our input nodes against those that Linux 6.1 made of the same report descriptors: names, codes, properties, axes, repeat. What differs is listed
//! in `tests/data/hid/differences.txt` with its reason; anything that differs and is not listed fails, and so does what is listed and no longer differs.

use outboard_core::family::hid::codes::*;
use outboard_core::family::hid::{CodeSet, InputId, Node};
use outboard_tests::hid::{KernelNode, corpus, verdicts};
use outboard_usb_hid::mapping::{Mapping, Options};
use outboard_usb_hid::proto::report::{ParseOptions, ReportDescriptor};
use std::collections::BTreeMap;

/// A node as lines that can be compared and read.
fn ours(node: &Node) -> Vec<String> {
    let mut lines = vec![format!("name {}", node.name), format!("properties {}", list(&node.properties))];
    lines.push(format!("kinds {}", list(&node.kinds)));
    for kind in [EV_KEY, EV_REL, EV_MSC, EV_LED, EV_ABS] {
        lines.push(format!("{} {}", kind_name(kind).unwrap(), list(node.codes(kind).unwrap())));
    }
    for code in node.absolute.iter() {
        let axis = node.axes[usize::from(code)];
        let values = [0, axis.minimum, axis.maximum, axis.fuzz, axis.flat, axis.resolution];
        lines.push(format!("axis {code:#x} {values:?}"));
    }
    let repeat = node.repeat.map_or([-1, 0, 0], |repeat| [0, repeat.delay as i32, repeat.period as i32]);
    lines.push(format!("repeat {repeat:?}"));
    lines
}

fn theirs(node: &KernelNode) -> Vec<String> {
    let mut lines =
        vec![format!("name {}", node.name), format!("properties {}", list(&words(&node.properties)))];
    lines.push(format!("kinds {}", list(&words(&node.ev))));
    let kinds = [
        (EV_KEY, &node.key),
        (EV_REL, &node.rel),
        (EV_MSC, &node.msc),
        (EV_LED, &node.led),
        (EV_ABS, &node.abs),
    ];
    for (kind, codes) in kinds {
        lines.push(format!("{} {}", kind_name(kind).unwrap(), list(&words(codes))));
    }
    lines.extend(node.absinfo.iter().map(|(code, values)| format!("axis {code:#x} {values:?}")));
    lines.push(format!("repeat {:?}", node.rep));
    lines
}

fn list(set: &CodeSet) -> String {
    format!("{:x?}", set.iter().collect::<Vec<_>>())
}

/// Words in hexadecimal, the highest first.
fn words(text: &str) -> CodeSet {
    let words: Vec<u64> =
        text.split_whitespace().map(|word| u64::from_str_radix(word, 16).unwrap()).collect();
    let bits = words.iter().rev().zip(0u16..);
    bits.flat_map(|(word, n)| (0..64).filter(move |bit| word >> bit & 1 != 0).map(move |bit| n * 64 + bit))
        .collect()
}

/// By the sample's id, why its nodes differ.
fn listed() -> BTreeMap<&'static str, &'static str> {
    let lines = include_str!("../data/hid/differences.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(": ").expect("`id: reason`")).collect()
}

#[test]
fn our_nodes_are_those_of_linux() {
    let parse = ParseOptions { report_bytes: 4096 };
    let id = InputId { bus: 3, vendor: 1, product: 2, version: 0x111 };
    let options = Options { name: "parity dev".into(), id, ..Options::default() };
    let mut listed = listed();
    let (mut equal, mut explained, mut nodes) = (0, 0, 0);
    let mut complaints = Vec::new();
    for (sample, verdict) in corpus().iter().zip(&verdicts()) {
        let mapped = ReportDescriptor::parse_with(&sample.descriptor, &parse)
            .map(|descriptor| Mapping::new(&descriptor, &options));
        let ours: Vec<_> = mapped.iter().flat_map(|mapping| &mapping.nodes).map(ours).collect();
        let theirs: Vec<_> = verdict.nodes.iter().map(theirs).collect();
        nodes += theirs.len();
        match (ours == theirs, listed.remove(&*sample.id)) {
            (true, None) => equal += 1,
            (false, Some(_)) => explained += 1,
            (true, Some(reason)) => {
                complaints.push(format!("{} no longer differs; take it from the list ({reason})", sample.id))
            }
            (false, None) => complaints.push(format!(
                "{} from {}:\n{}",
                sample.id,
                sample.source,
                difference(&ours, &theirs)
            )),
        }
    }
    complaints.extend(listed.keys().map(|id| format!("{id} is listed and not in the corpus")));
    println!(
        "{equal} of 596 descriptors have the same nodes ({nodes} in all), {explained} differ for a reason that is listed"
    );
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
    assert_eq!(equal + explained, 596);
}

fn difference(ours: &[Vec<String>], theirs: &[Vec<String>]) -> String {
    let mut text = format!("  {} nodes, and Linux has {}\n", ours.len(), theirs.len());
    let none = Vec::new();
    for n in 0..ours.len().max(theirs.len()) {
        let (ours, theirs) = (ours.get(n).unwrap_or(&none), theirs.get(n).unwrap_or(&none));
        let only = |of: &[String], other: &[String], mark| {
            let lines = of.iter().filter(|line| !other.contains(line));
            lines.map(|line| format!("  node {n} {mark} {line}\n")).collect::<String>()
        };
        text += &only(ours, theirs, '+');
        text += &only(theirs, ours, '-');
    }
    text
}
