//! Takes typed values out of a TOML table, and collects what is wrong with line and key. It must not know which keys there are.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Fault;
use super::limit;

/// The faults of a file, and where its lines begin.
pub(super) struct Faults<'a> {
    text: &'a str,
    list: Vec<Fault>,
}

impl<'a> Faults<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, list: Vec::new() }
    }

    pub(super) fn add(&mut self, at: Option<usize>, key: Option<String>, reason: impl Into<String>) {
        if self.list.len() < limit::FAULTS {
            self.list.push(Fault { line: at.map(|at| line(self.text, at)), key, reason: reason.into() });
        }
    }

    pub(super) fn into_list(mut self) -> Vec<Fault> {
        // What is missing has no line, and comes behind what is there.
        self.list.sort_by_key(|fault| (fault.line.is_none(), fault.line));
        self.list
    }
}

/// The line, from 1, of the byte at `at`.
pub(super) fn line(text: &str, at: usize) -> u32 {
    let before = &text.as_bytes()[..at.min(text.len())];
    u32::try_from(before.iter().filter(|byte| **byte == b'\n').count())
        .map_or(u32::MAX, |count| count.saturating_add(1))
}

/// Text from a file as it may be shown: short, and nothing in it steers a terminal.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut shown: String =
        text.chars().take(LONGEST).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    shown
}

/// A value and where it is.
pub(super) struct Item<'t, 'i> {
    /// Its key, with the tables that it is in.
    pub(super) key: String,
    value: &'t Spanned<DeValue<'i>>,
}

/// A table whose entries are taken one by one. What is left at the end is unknown.
pub(super) struct Table<'t, 'i> {
    /// The tables that it is in, with a dot behind each.
    prefix: String,
    /// Where it begins.
    at: usize,
    entries: BTreeMap<&'t str, (usize, &'t Spanned<DeValue<'i>>)>,
    known: Vec<&'static str>,
}

impl<'t, 'i> Table<'t, 'i> {
    pub(super) fn new(table: &'t DeTable<'i>, prefix: String, at: usize) -> Self {
        let entries =
            table.iter().map(|(key, value)| (key.get_ref().as_ref(), (key.span().start, value))).collect();
        Self { prefix, at, entries, known: Vec::new() }
    }

    /// Says that the table as a whole is wrong.
    pub(super) fn fault(&self, faults: &mut Faults<'_>, reason: impl Into<String>) {
        let name = self.prefix.trim_end_matches('.');
        faults.add(Some(self.at), (!name.is_empty()).then(|| name.to_owned()), reason);
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'t, 'i>> {
        self.known.push(key);
        let (_, value) = self.entries.remove(key)?;
        Some(Item { key: format!("{}{key}", self.prefix), value })
    }

    /// As `take`, and a fault if it is not there.
    pub(super) fn need(&mut self, key: &'static str, faults: &mut Faults<'_>) -> Option<Item<'t, 'i>> {
        let item = self.take(key);
        if item.is_none() {
            let line = (!self.prefix.is_empty()).then_some(self.at);
            faults.add(line, Some(format!("{}{key}", self.prefix)), "is missing");
        }
        item
    }

    /// Whatever was not taken is unknown. Whether there was nothing.
    pub(super) fn end(&self, faults: &mut Faults<'_>) -> bool {
        for (key, (at, _)) in &self.entries {
            let near = self.known.iter().find(|known| is_near(key, known));
            let hint = match near {
                Some(near) => format!("did you mean {near}?"),
                None => format!("known are {}", self.known.join(", ")),
            };
            let reason = format!("is unknown; {hint}");
            faults.add(Some(*at), Some(format!("{}{}", self.prefix, shown(key))), reason);
        }
        self.entries.is_empty()
    }
}

/// Whether a key is a known one with another separator or case, in the plural, or with one character wrong.
fn is_near(key: &str, known: &str) -> bool {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['_', ' ', '.'], "-");
    let key = plain(&shown(key));
    if key == known || key == format!("{known}s") || key == known.replace('-', "") {
        return true;
    }
    let (key, known) = (key.as_bytes(), known.as_bytes());
    let same = key.iter().zip(known).take_while(|(a, b)| a == b).count();
    let (key, known) = (&key[same..], &known[same..]);
    match (key, known) {
        ([_, key @ ..], [_, known @ ..]) if key == known => true,
        ([_, key @ ..], known) if key == known => true,
        (key, [_, known @ ..]) if key == known => true,
        ([a, b, key @ ..], [c, d, known @ ..]) => (a, b) == (d, c) && key == known,
        _ => false,
    }
}

impl<'t, 'i> Item<'t, 'i> {
    pub(super) fn at(&self) -> usize {
        self.value.span().start
    }

    /// Says that the value is wrong.
    pub(super) fn fault(&self, faults: &mut Faults<'_>, reason: impl Into<String>) {
        faults.add(Some(self.at()), Some(self.key.clone()), reason);
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Integer(_))
    }

    fn other(&self, faults: &mut Faults<'_>, wanted: &str) {
        let found = match self.value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.fault(faults, format!("is {found}; it must be {wanted}"));
    }

    /// A string without control characters that is not empty and not longer than `longest` characters.
    pub(super) fn text(&self, faults: &mut Faults<'_>, longest: usize) -> Option<&'t str> {
        let DeValue::String(text) = self.value.get_ref() else {
            self.other(faults, "a string");
            return None;
        };
        let text = text.as_ref();
        if text.trim().is_empty() {
            self.fault(faults, "is empty");
        } else if text.chars().nth(longest).is_some() {
            self.fault(faults, format!("is too long; it has {longest} characters at most"));
        } else if text.chars().any(char::is_control) {
            self.fault(faults, "contains a control character");
        } else {
            return Some(text);
        }
        None
    }

    /// A whole number from `least` to `most`, which are shown by `show`.
    pub(super) fn number(
        &self,
        faults: &mut Faults<'_>,
        (least, most): (i64, i64),
        show: impl Fn(i64) -> String,
    ) -> Option<i64> {
        let DeValue::Integer(integer) = self.value.get_ref() else {
            self.other(faults, "a number, such as 3 or 0x1f");
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let text = shown(&integer.to_string());
            self.fault(faults, format!("is {text}; it can be {} to {}", show(least), show(most)));
        }
        number
    }

    /// The elements of a list, at least one and at most `most`; a value that is no list is a list of one.
    pub(super) fn list(&self, faults: &mut Faults<'_>, most: usize) -> Option<Vec<Item<'t, 'i>>> {
        let DeValue::Array(array) = self.value.get_ref() else {
            return Some(vec![Item { key: self.key.clone(), value: self.value }]);
        };
        if array.is_empty() {
            self.fault(faults, "is an empty list, which nothing can match");
            return None;
        }
        if array.len() > most {
            self.fault(faults, format!("has {} elements, of {most} at most", array.len()));
            return None;
        }
        Some(array.iter().map(|value| Item { key: self.key.clone(), value }).collect())
    }

    /// A table; `what` is what it is for.
    pub(super) fn table(&self, faults: &mut Faults<'_>, what: &str) -> Option<Table<'t, 'i>> {
        let DeValue::Table(table) = self.value.get_ref() else {
            self.other(faults, what);
            return None;
        };
        Some(Table::new(table, format!("{}.", self.key), self.at()))
    }

    /// An array of tables, `[[key]]`, each with its number from 1 in its key; `None` for those that are none.
    pub(super) fn tables(&self, faults: &mut Faults<'_>, most: usize) -> Option<Vec<Option<Table<'t, 'i>>>> {
        let DeValue::Array(array) = self.value.get_ref() else {
            self.other(faults, &format!("written as [[{}]]", self.key));
            return None;
        };
        if array.len() > most {
            self.fault(faults, format!("is there {} times, of {most} at most", array.len()));
            return None;
        }
        let items = array.iter().enumerate().map(|(n, value)| {
            let key = format!("{}[{}]", self.key, n + 1);
            Item { key, value }
        });
        Some(items.map(|item| item.table(faults, &format!("written as [[{}]]", self.key))).collect())
    }
}
