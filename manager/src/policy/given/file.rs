//! The text of the file of rules: what is in it, within which bounds, and what is wrong with one. It must not know where the file is, nor touch it.

use std::fmt::Write;

use outboard_core::manifest::Fault;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Entry;
use crate::output::printable;

/// Bytes of the file.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// Rules in it.
pub(super) const MAX_RULES: usize = 512;

/// What is written and what is understood. Another one is from a newer Outboard, and not for this one to guess at.
const VERSION: i64 = 1;

/// A file with these rules.
pub(super) fn render(entries: &[Entry]) -> String {
    let mut text = String::from(
        "# What was given to Outboard. `outboard give` and `outboard return` write this file; `outboard give` alone shows it.\n",
    );
    // To write to a string cannot fail. A rule shows itself without anything that a string of TOML would have to escape.
    let _ = writeln!(text, "version = {VERSION}");
    for Entry { rule, at, by } in entries {
        let _ = write!(text, "\n[[given]]\nrule = \"{rule}\"\nat = {at}\nby = {by}\n");
    }
    text
}

/// The rules of a file, none twice.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Entry>, Fault> {
    if bytes.len() > MAX_BYTES {
        return Err(Fault::whole(format!("is longer than the {MAX_BYTES} bytes that it may have")));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count();
        Fault { line: u32::try_from(before + 1).ok(), key: None, reason: "is no UTF-8".to_owned() }
    })?;
    let parsed = DeTable::parse(text).map_err(|error| {
        // The parser's messages may have lines of their own.
        let reason = error.message().lines().collect::<Vec<_>>().join("; ");
        let line = error.span().map(|span| line(text, span.start));
        Fault { line, key: None, reason: format!("is no TOML: {reason}") }
    })?;
    let top = Table { text, table: parsed.get_ref(), prefix: String::new(), at: None };
    top.knows(&["version", "given"])?;
    let version = top.number("version", i64::MAX)?;
    if version != VERSION {
        let reason =
            format!("is {version}, and this Outboard knows {VERSION}; use the version that wrote it");
        return Err(top.fault("version", reason));
    }
    let mut entries: Vec<Entry> = Vec::new();
    let Some(given) = top.table.get("given") else { return Ok(entries) };
    let Some(list) = given.get_ref().as_array() else {
        return Err(top.fault("given", "is no list; write [[given]] before each rule"));
    };
    if list.len() > MAX_RULES {
        return Err(top.fault("given", format!("has {} rules, and at most {MAX_RULES} may be", list.len())));
    }
    for (index, item) in list.iter().enumerate() {
        let at = Some(item.span().start);
        let prefix = format!("given[{}].", index + 1);
        let Some(table) = item.get_ref().as_table() else {
            let key = Some(prefix.trim_end_matches('.').to_owned());
            let line = at.map(|at| line(text, at));
            return Err(Fault {
                line,
                key,
                reason: "is no table; write [[given]] before each rule".to_owned(),
            });
        };
        let entry = entry(&Table { text, table, prefix, at })?;
        if !entries.iter().any(|known| known.rule == entry.rule) {
            entries.push(entry);
        }
    }
    Ok(entries)
}

fn entry(table: &Table<'_, '_>) -> Result<Entry, Fault> {
    table.knows(&["rule", "at", "by"])?;
    let rule = table.need("rule")?;
    let Some(rule) = rule.get_ref().as_str() else {
        return Err(table.fault("rule", "is no text; put it in quotes, such as \"1-2.3\""));
    };
    let rule = rule.parse().map_err(|error| table.fault("rule", format!("cannot be used: {error}")))?;
    let at = table.number("at", i64::MAX)?;
    let by = table.number("by", u32::MAX.into())?;
    Ok(Entry { rule, at: at.unsigned_abs(), by: u32::try_from(by).unwrap_or(u32::MAX) })
}

struct Table<'t, 'i> {
    text: &'t str,
    table: &'t DeTable<'i>,
    /// The table's own name with a dot behind it; empty for the file.
    prefix: String,
    /// Where it begins, unless it is the file.
    at: Option<usize>,
}

impl<'t, 'i> Table<'t, 'i> {
    /// A fault of this key, at its line or, where it is missing, its table's.
    fn fault(&self, key: &str, reason: impl Into<String>) -> Fault {
        let at = self.table.get(key).map(|value| value.span().start).or(self.at);
        let line = at.map(|at| line(self.text, at));
        Fault { line, key: Some(format!("{}{}", self.prefix, printable(key))), reason: reason.into() }
    }

    fn knows(&self, keys: &[&str]) -> Result<(), Fault> {
        match self.table.iter().find(|(key, _)| !keys.contains(&key.get_ref().as_ref())) {
            None => Ok(()),
            Some((key, _)) => {
                let reason = format!("is unknown; known are {}", keys.join(", "));
                Err(self.fault(key.get_ref().as_ref(), reason))
            }
        }
    }

    fn need(&self, key: &str) -> Result<&'t Spanned<DeValue<'i>>, Fault> {
        self.table.get(key).ok_or_else(|| self.fault(key, "is missing"))
    }

    /// A number from 0 to `most`.
    fn number(&self, key: &str, most: i64) -> Result<i64, Fault> {
        let value = self.need(key)?.get_ref().as_integer();
        let number = value.and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
        number
            .filter(|number| (0..=most).contains(number))
            .ok_or_else(|| self.fault(key, format!("is no number from 0 to {most}")))
    }
}

/// The line, from 1, of the byte at `at`.
fn line(text: &str, at: usize) -> u32 {
    let before = text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
    u32::try_from(before).map_or(u32::MAX, |count| count.saturating_add(1))
}
