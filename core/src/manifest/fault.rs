//! What is wrong with a manifest, and where: line and key. It must not know what a manifest is.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// The line, from 1; `None` where the file as a whole is meant.
    pub line: Option<u32>,
    /// The key, with the tables that it is in: `match[2].vendor-id`, counted from 1.
    pub key: Option<String>,
    /// What is wrong with it; reads on from the key ("is 70000; ...").
    pub reason: String,
}

impl Fault {
    /// The whole file is wrong.
    pub fn whole(reason: impl Into<String>) -> Self {
        Self { line: None, key: None, reason: reason.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key} ")?;
        }
        f.write_str(&self.reason)
    }
}
