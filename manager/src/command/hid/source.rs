//! Where descriptors and reports are read from: bytes as sysfs has them, hexadecimal text, or a recording of hid-recorder. It must not know
//! what they mean.

use crate::exit::{Cause, Failure};
use crate::output::printable;
use outboard_core::family::hid::InputId;
use outboard_usb_hid::mapping::Options;
use outboard_usb_hid::proto::report::{ReportDescriptor, limit};
use outboard_usb_hid::quirks::DeviceQuirks;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// Longer than any recording's head: what is behind it is not needed.
const MOST_BYTES: u64 = 4 << 20;

/// A descriptor, and what a recording says beside it.
#[derive(Debug)]
pub(super) struct Source {
    /// The bytes.
    pub(super) bytes: Vec<u8>,
    /// What was understood of them.
    pub(super) descriptor: ReportDescriptor,
    /// The device's name.
    pub(super) name: String,
    /// Its identity.
    pub(super) id: InputId,
}

impl Source {
    /// Reads a file, or standard input for `-`.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let place = if path == Path::new("-") { "standard input".into() } else { path.display().to_string() };
        let content = read(path).map_err(|error| {
            let cause = match error.kind() {
                io::ErrorKind::PermissionDenied => Cause::Right,
                _ => Cause::Other,
            };
            Failure::new(cause, format!("read {place}: {error}"))
        })?;
        Self::parse(&content, &place)
    }

    /// What is known about the device; `name` instead of the recorded one.
    pub(super) fn options(&self, name: Option<&String>) -> Options {
        const USB: u16 = 3;
        // The table is about USB devices; of another bus, the same numbers are another device.
        let (group, id) = (self.descriptor.touch, self.id);
        let known = match id.bus {
            USB => DeviceQuirks::of(id.vendor, id.product, group),
            _ => DeviceQuirks::default(),
        };
        let name = name.unwrap_or(&self.name).clone();
        Options { name, id, quirks: known.mapping, touch: known.touch, ..Options::default() }
    }

    fn parse(content: &[u8], place: &str) -> Result<Self, Failure> {
        let mut name = "HID device".to_owned();
        let mut id = InputId::default();
        // Descriptors begin with a byte that is no text; text is hexadecimal, or a recording.
        let bytes = match std::str::from_utf8(content).ok().filter(|text| is_text(text)) {
            None => content.to_vec(),
            Some(text) => {
                let field = |tag| text.lines().find_map(|line| line.strip_prefix(tag));
                if let Some(known) = field("N: ") {
                    name = printable(known);
                }
                if let Some(known) = field("I: ").and_then(identity) {
                    id = known;
                }
                let digits = match field("R: ") {
                    // Behind the number of bytes.
                    Some(line) => hexadecimal(line.split_once(' ').map_or("", |(_, bytes)| bytes)),
                    None => hexadecimal(&text.lines().map(without_comment).collect::<Vec<_>>().join(" ")),
                };
                digits.ok_or_else(|| {
                    Failure::new(Cause::Other, format!("{place}: neither bytes, nor hexadecimal text, nor a recording")).with_hint(
                        "A descriptor is a file such as /sys/bus/hid/devices/*/report_descriptor, its bytes in hexadecimal, or a recording of hid-recorder.",
                    )
                })?
            }
        };
        let descriptor = ReportDescriptor::parse(&bytes)
            .map_err(|error| Failure::new(Cause::BrokenDevice, format!("{place}: {error}")))?;
        Ok(Self { bytes, descriptor, name, id })
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(MOST_BYTES).read_to_end(&mut content)?;
    } else {
        File::open(path)?.take(MOST_BYTES).read_to_end(&mut content)?;
    }
    Ok(content)
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_control() || c.is_ascii_whitespace())
}

fn without_comment(line: &str) -> &str {
    line.split(['#', ';']).next().unwrap_or_default()
}

/// Bytes as `05 01`, `0501`, `0x05, 0x01`.
pub(super) fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for word in text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()) {
        let digits = word.strip_prefix("0x").or(word.strip_prefix("0X")).unwrap_or(word);
        // A single digit is a byte; otherwise two digits each.
        let digits = if digits.len() == 1 { format!("0{digits}") } else { digits.to_owned() };
        if digits.len() % 2 != 0 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.extend(
            (0..digits.len()).step_by(2).filter_map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()),
        );
        if bytes.len() > limit::DESCRIPTOR {
            return None;
        }
    }
    Some(bytes)
}

/// Bus, vendor and product in hexadecimal.
fn identity(line: &str) -> Option<InputId> {
    let mut words = line.split_whitespace().map(|word| u16::from_str_radix(word, 16).ok());
    Some(InputId { bus: words.next()??, vendor: words.next()??, product: words.next()??, version: 0 })
}

/// A line of reports.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing that is one.
    Nothing,
    /// A report, and when, if the line says it.
    Report(Option<Duration>, Vec<u8>),
    /// Neither.
    Garbled,
}

impl Line {
    /// `E: 1.500000 3 01 02 03` as hid-recorder writes it, or bytes alone.
    pub(super) fn parse(line: &str) -> Self {
        let line = without_comment(line).trim();
        let report = match line.split_once(": ") {
            Some(("E", event)) => {
                let mut words = event.splitn(3, ' ');
                let time = words.next().and_then(time);
                let bytes = words.nth(1).and_then(hexadecimal);
                time.zip(bytes).map(|(time, bytes)| (Some(time), bytes))
            }
            Some((tag, _)) if tag.len() == 1 => return Self::Nothing,
            _ if line.is_empty() => return Self::Nothing,
            _ => hexadecimal(line).map(|bytes| (None, bytes)),
        };
        report.map_or(Self::Garbled, |(time, bytes)| Self::Report(time, bytes))
    }
}

/// Seconds and microseconds.
fn time(text: &str) -> Option<Duration> {
    let (seconds, micros) = text.split_once('.')?;
    let micros: u64 = (micros.len() == 6).then(|| micros.parse().ok())??;
    Some(Duration::new(seconds.parse().ok()?, 0) + Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_bytes_or_text_or_a_recording() {
        let bytes = [0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0xc0];
        let recording =
            "D: 0\nR: 7 05 01 09 02 a1 01 c0\nN: A Mouse\x1b[2J\nI: 3 046d c077\nE: 0.000000 1 00\n"
                .replace('\x1b', "");
        for content in [
            &bytes[..],
            b"05 01 09 02 a1 01 c0\n",
            b"0x05,0x01,\n0x09, 0x02, # x\n0xa1,0x01,0xc0",
            recording.as_bytes(),
        ] {
            assert_eq!(Source::parse(content, "x").unwrap().bytes, bytes, "{content:?}");
        }
        let source = Source::parse(recording.as_bytes(), "x").unwrap();
        assert_eq!((&*source.name, source.id.vendor, source.id.product), ("A Mouse[2J", 0x46d, 0xc077));
        // Of a device that is known: by its numbers on USB, and by no others.
        let known = |identity: &str| {
            let recording = recording.replace("3 046d c077", identity);
            Source::parse(recording.as_bytes(), "x").unwrap().options(None).quirks
        };
        assert!(known("3 0079 1800").multi_input && !known("5 0079 1800").multi_input);
        assert_eq!(Source::parse(b"not one", "x").unwrap_err().code(), 1);
        assert_eq!(
            Source::parse(&[0x85, 0], "x").unwrap_err().to_string(),
            "x: offset 0: Report ID is 0, and must be 1 to 255"
        );
        assert_eq!(Source::parse(&[], "x").unwrap_err().code(), 9);
    }

    #[test]
    fn a_report_may_say_when() {
        assert_eq!(Line::parse("01 ff"), Line::Report(None, vec![1, 0xff]));
        let at = Duration::from_millis(1500);
        assert_eq!(Line::parse("E: 000001.500000 2 01 ff"), Line::Report(Some(at), vec![1, 0xff]));
        assert_eq!((Line::parse("# x"), Line::parse("N: name")), (Line::Nothing, Line::Nothing));
        for garbled in ["xyz", "123", "E: 1.5 1 00", "E: x", "E: 1.500000"] {
            assert_eq!(Line::parse(garbled), Line::Garbled, "{garbled}");
        }
    }
}
