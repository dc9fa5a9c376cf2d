//! Input nodes and events as plain data. It knows neither where events come from nor who reads them.

use super::codes;
use std::fmt;

/// One event: a change of one key, axis or other code, or the end of a packet (`SYN_REPORT`). It has no time: the end that delivers it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event {
    /// `EV_*`.
    pub kind: u16,
    /// The code, within its kind.
    pub code: u16,
    /// The value; what it means depends on the kind.
    pub value: i32,
}

impl Event {
    /// An event.
    pub const fn new(kind: u16, code: u16, value: i32) -> Self {
        Self { kind, code, value }
    }

    /// The end of a packet.
    pub const SYN_REPORT: Self = Self::new(codes::EV_SYN, codes::SYN_REPORT, 0);
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, code, value } = *self;
        match (codes::kind_name(kind), codes::code_name(kind, code)) {
            (Some(kind), Some(code)) => write!(f, "{kind} {code} {value}"),
            (Some(kind), None) => write!(f, "{kind} {code:#05x} {value}"),
            _ => write!(f, "{kind:#04x} {code:#05x} {value}"),
        }
    }
}

/// A set of codes of one kind; codes from 768 on cannot be in it, since no kind has them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CodeSet([u64; 12]);

impl CodeSet {
    /// Nothing.
    pub const EMPTY: Self = Self([0; 12]);

    const fn place(code: u16) -> Option<(usize, u64)> {
        let word = code as usize / 64;
        if word < 12 { Some((word, 1 << (code % 64))) } else { None }
    }

    /// Whether it is in the set.
    pub const fn contains(&self, code: u16) -> bool {
        match Self::place(code) {
            Some((word, bit)) => self.0[word] & bit != 0,
            None => false,
        }
    }

    /// Adds it; says whether it is new.
    pub const fn insert(&mut self, code: u16) -> bool {
        match Self::place(code) {
            Some((word, bit)) => {
                let new = self.0[word] & bit == 0;
                self.0[word] |= bit;
                new
            }
            None => false,
        }
    }

    /// Takes it out; says whether it was in.
    pub const fn remove(&mut self, code: u16) -> bool {
        match Self::place(code) {
            Some((word, bit)) => {
                let was = self.0[word] & bit != 0;
                self.0[word] &= !bit;
                was
            }
            None => false,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..768).filter(|code| self.contains(*code))
    }

    /// As bits, the lowest code first.
    pub const fn words(&self) -> [u64; 12] {
        self.0
    }
}

impl FromIterator<u16> for CodeSet {
    fn from_iter<T: IntoIterator<Item = u16>>(codes: T) -> Self {
        let mut set = Self::EMPTY;
        for code in codes {
            set.insert(code);
        }
        set
    }
}

impl fmt::Debug for CodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// An absolute axis, as `struct input_absinfo` without its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Absolute {
    /// The least value.
    pub minimum: i32,
    /// The greatest value. Devices that say so have one below the least.
    pub maximum: i32,
    /// How far a value may wander without being a change.
    pub fuzz: i32,
    /// How far from the middle a value still means the middle.
    pub flat: i32,
    /// Units per mm, or per radian for angles; 0 if it is unknown.
    pub resolution: i32,
}

/// Auto-repeat by the end that delivers events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repeat {
    /// Until the first repetition, in ms.
    pub delay: u32,
    /// Between repetitions, in ms.
    pub period: u32,
}

/// What identifies a node's device to applications, as `struct input_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct InputId {
    /// `BUS_*`; 3 is USB.
    pub bus: u16,
    /// The vendor's number.
    pub vendor: u16,
    /// The product's number.
    pub product: u16,
    /// bcdDevice or bcdHID, as the driver has it.
    pub version: u16,
}

/// What an input node can do: all that an application learns before the first event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The name for people.
    pub name: String,
    /// Whose it is.
    pub id: InputId,
    /// `INPUT_PROP_*`.
    pub properties: CodeSet,
    /// `EV_*`: the kinds of its events.
    pub kinds: CodeSet,
    /// Its codes of `EV_KEY`.
    pub keys: CodeSet,
    /// Its codes of `EV_REL`.
    pub relative: CodeSet,
    /// Its codes of `EV_ABS`.
    pub absolute: CodeSet,
    /// Its codes of `EV_MSC`.
    pub misc: CodeSet,
    /// Its codes of `EV_LED`.
    pub leds: CodeSet,
    /// The axes by code; those that are not in `absolute` mean nothing.
    pub axes: [Absolute; 64],
    /// If the kinds contain `EV_REP`.
    pub repeat: Option<Repeat>,
}

impl Node {
    /// A node that can do nothing.
    pub fn new(name: impl Into<String>, id: InputId) -> Self {
        Self {
            name: name.into(),
            id,
            properties: CodeSet::EMPTY,
            kinds: CodeSet::EMPTY,
            keys: CodeSet::EMPTY,
            relative: CodeSet::EMPTY,
            absolute: CodeSet::EMPTY,
            misc: CodeSet::EMPTY,
            leds: CodeSet::EMPTY,
            axes: [Absolute::default(); 64],
            repeat: None,
        }
    }

    /// The codes of this kind, if it is one that a node's codes are kept for.
    pub fn codes(&self, kind: u16) -> Option<&CodeSet> {
        Some(match kind {
            codes::EV_KEY => &self.keys,
            codes::EV_REL => &self.relative,
            codes::EV_ABS => &self.absolute,
            codes::EV_MSC => &self.misc,
            codes::EV_LED => &self.leds,
            _ => return None,
        })
    }

    /// As [`codes`](Self::codes), to change them.
    pub fn codes_mut(&mut self, kind: u16) -> Option<&mut CodeSet> {
        Some(match kind {
            codes::EV_KEY => &mut self.keys,
            codes::EV_REL => &mut self.relative,
            codes::EV_ABS => &mut self.absolute,
            codes::EV_MSC => &mut self.misc,
            codes::EV_LED => &mut self.leds,
            _ => return None,
        })
    }

    /// Adds a code and its kind.
    pub fn add(&mut self, kind: u16, code: u16) {
        self.kinds.insert(kind);
        if let Some(codes) = self.codes_mut(kind) {
            codes.insert(code);
        }
    }

    /// Adds an absolute axis.
    pub fn add_axis(&mut self, code: u16, axis: Absolute) {
        self.add(codes::EV_ABS, code);
        if let Some(place) = self.axes.get_mut(usize::from(code)) {
            *place = axis;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_keeps_what_any_kind_has_and_nothing_beyond() {
        let mut set = CodeSet::EMPTY;
        assert!(set.insert(0) && set.insert(767) && !set.insert(767) && !set.insert(768));
        assert_eq!((set.iter().collect::<Vec<_>>(), set.len()), (vec![0, 767], 2));
        assert!(set.remove(0) && !set.remove(0) && !set.contains(0xffff) && !set.is_empty());
        assert_eq!(set, [767].into_iter().collect());
    }

    #[test]
    fn an_event_reads_as_other_tools_print_it() {
        assert_eq!(Event::new(codes::EV_KEY, codes::KEY_A, 1).to_string(), "EV_KEY KEY_A 1");
        assert_eq!(Event::SYN_REPORT.to_string(), "EV_SYN SYN_REPORT 0");
        assert_eq!(Event::new(codes::EV_ABS, 0x2a, -1).to_string(), "EV_ABS 0x02a -1");
        assert_eq!(Event::new(9, 1, 2).to_string(), "0x09 0x001 2");
    }
}
