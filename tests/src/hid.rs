//! The HID corpus: real devices' report descriptors, and the input nodes that Linux made of them (`tests/data/hid`). It knows no parser.

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// A device's report descriptor.
#[derive(Debug, Clone, Deserialize)]
pub struct Sample {
    /// The first 16 hexadecimal digits of its SHA-256.
    pub id: String,
    /// Which project it is from, and which file there.
    pub source: String,
    /// Under which licence.
    pub licence: String,
    /// Its bytes.
    #[serde(deserialize_with = "hexadecimal")]
    pub descriptor: Vec<u8>,
}

/// What the kernel made of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Verdict {
    /// Which sample.
    pub id: String,
    /// 1 if a driver was bound, 0 if the descriptor was refused.
    pub started: u8,
    /// The input nodes, in their order.
    pub nodes: Vec<KernelNode>,
}

/// An input node as sysfs and ioctls show it: sets of codes as words in hexadecimal, the highest first.
#[derive(Debug, Clone, Deserialize)]
pub struct KernelNode {
    /// Its name.
    pub name: String,
    /// `INPUT_PROP_*`.
    pub properties: String,
    /// `EV_*`.
    pub ev: String,
    /// `EV_KEY`.
    pub key: String,
    /// `EV_REL`.
    pub rel: String,
    /// `EV_ABS`.
    pub abs: String,
    /// `EV_MSC`.
    pub msc: String,
    /// `EV_LED`.
    pub led: String,
    /// By code: value, minimum, maximum, fuzz, flat, resolution.
    pub absinfo: BTreeMap<u16, [i32; 6]>,
    /// Whether it repeats (-1: no), delay and period in ms.
    pub rep: [i32; 3],
}

fn hexadecimal<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?));
    pairs.collect::<Option<Vec<u8>>>().ok_or_else(|| serde::de::Error::custom("not hexadecimal bytes"))
}

fn lines<T: DeserializeOwned>(compressed: &[u8]) -> Vec<T> {
    let text = std::io::read_to_string(GzDecoder::new(compressed)).expect("the project's own data");
    text.lines().map(|line| serde_json::from_str(line).expect("the project's own data")).collect()
}

/// All samples.
///
/// # Panics
/// If the project's own data is broken.
pub fn corpus() -> Vec<Sample> {
    lines(include_bytes!("../data/hid/descriptors.jsonl.gz"))
}

/// The kernel's verdict on each sample, in the same order.
///
/// # Panics
/// If the project's own data is broken.
pub fn verdicts() -> Vec<Verdict> {
    lines(include_bytes!("../data/hid/kernel-6.1-nodes.jsonl.gz"))
}
