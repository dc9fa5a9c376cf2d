//! How a port is doing, as plain numbers for people and tools. It knows neither device nor the host's end.

use std::fmt;

use outboard_core::family::serial::{Applied, Counters, LineSettings, ModemInputs, ModemOutputs};

use crate::machine::LineCounters;
use crate::proto::chip::Chip;

/// A snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FtdiStatus {
    /// The chip.
    pub chip: Chip,
    /// Somebody has the port open.
    pub open: bool,
    /// The settings that the host asked for last.
    pub settings: LineSettings,
    /// What became of them; `None` before the port was opened for the first time.
    pub applied: Option<Applied>,
    /// The modem lines that this side sets.
    pub outputs: ModemOutputs,
    /// Those that the other side sets, once they are known.
    pub inputs: Option<ModemInputs>,
    /// What went over the port.
    pub traffic: Counters,
    /// Errors of the line, and edges of the modem lines.
    pub line: LineCounters,
    /// Transfers that failed on the bus, or met a halted endpoint.
    pub faults: u64,
    /// Pipes that failed and were repaired.
    pub recoveries: u64,
    /// Requests that the chip refused.
    pub refused: u64,
}

impl FtdiStatus {
    /// One line for people and scripts: `/dev/outboard/ttyFTDI-A50285BI, FT232R, open, 115200 8N1`.
    pub fn line<'a>(&'a self, name: &'a str) -> StatusLine<'a> {
        StatusLine { name, status: self }
    }

    /// The same as before for whoever is told of changes: counters do not count.
    pub(super) fn is_news(&self, before: &Self) -> bool {
        (self.open, self.applied, self.outputs) != (before.open, before.applied, before.outputs)
    }
}

/// See [`FtdiStatus::line`].
#[derive(Debug, Clone, Copy)]
pub struct StatusLine<'a> {
    name: &'a str,
    status: &'a FtdiStatus,
}

impl fmt::Display for StatusLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, status } = self;
        write!(f, "{name}, {}, {}", status.chip, if status.open { "open" } else { "closed" })?;
        let Some(applied) = status.applied.filter(|_| status.open) else { return Ok(()) };
        write!(f, ", {}", applied.asked)?;
        if applied.clamped {
            write!(f, " (the chip's nearest rate is {} baud)", applied.baud)?;
        }
        if applied.refused {
            f.write_str(" (refused by the chip; the line is as before)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_differs_from_what_was_asked() {
        let asked = LineSettings::new(50);
        let mut status = FtdiStatus {
            chip: Chip::R,
            open: false,
            settings: asked,
            applied: Some(Applied { asked, baud: 183, clamped: true, refused: false }),
            outputs: ModemOutputs::default(),
            inputs: None,
            traffic: Counters::default(),
            line: LineCounters::default(),
            faults: 0,
            recoveries: 0,
            refused: 0,
        };
        assert_eq!(status.line("p").to_string(), "p, FT232R, closed");
        status.open = true;
        assert_eq!(
            status.line("p").to_string(),
            "p, FT232R, open, 50 8N1 (the chip's nearest rate is 183 baud)"
        );
    }
}
