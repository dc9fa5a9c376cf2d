//! What the chip is to be set to, and what it was set to: the next request is the first difference. Only changes are sent: an unchanged rate
//! or data format that is sent again while the chip transmits corrupts what it sends.

use outboard_core::family::serial::{Applied, DataBits, FlowControl, LineSettings, ModemOutputs, Parity};
use outboard_core::usb::SetupPacket;

use crate::proto::baud::{self, Rate};
use crate::proto::chip::Chip;
use crate::proto::quirks::Quirks;
use crate::proto::request::{self, BREAK, Channel};

/// Settings that hold whatever the host asks for: what its end cannot carry, or what a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overlay {
    /// The rate, in baud.
    pub baud: Option<u32>,
    /// Data bits.
    pub data_bits: Option<DataBits>,
    /// Parity.
    pub parity: Option<Parity>,
    /// Flow control.
    pub flow: Option<FlowControl>,
    /// The character upon which the chip sends at once.
    pub event_character: Option<u8>,
    /// The character that stands for one with an error.
    pub error_character: Option<u8>,
    /// The latency timer, in milliseconds, 1 to 255.
    pub latency: Option<u8>,
}

/// A setting of the chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Latency,
    Data,
    Rate,
    Flow,
    Event,
    Error,
    Lines,
}

const FIELDS: [Field; 7] =
    [Field::Latency, Field::Data, Field::Rate, Field::Flow, Field::Event, Field::Error, Field::Lines];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) rate: Rate,
    /// SET_DATA's wValue, with break.
    pub(super) data: u16,
    pub(super) flow: FlowControl,
    event: Option<u8>,
    error: Option<u8>,
    pub(super) lines: ModemOutputs,
    pub(super) latency: u8,
}

/// `None`: not known.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    rate: Option<Rate>,
    data: Option<u16>,
    flow: Option<FlowControl>,
    event: Option<Option<u8>>,
    error: Option<Option<u8>>,
    lines: Option<ModemOutputs>,
    latency: Option<u8>,
}

#[derive(Debug, Clone)]
pub(super) struct Line {
    chip: Chip,
    quirks: Quirks,
    pub(super) overlay: Overlay,
    /// As the host asked.
    asked: LineSettings,
    pub(super) wanted: Wanted,
    known: Known,
    /// Of what was asked for.
    clamped: bool,
    impossible: bool,
    /// Fields that the chip refused.
    refused: u64,
}

impl Line {
    pub(super) fn new(chip: Chip, quirks: Quirks, overlay: Overlay) -> Self {
        let asked = LineSettings::new(9600);
        let wanted = Wanted {
            rate: baud::nearest(chip, asked.baud),
            data: 8,
            flow: FlowControl::None,
            event: None,
            error: None,
            lines: ModemOutputs::default(),
            latency: super::latency::SLOW,
        };
        let known = Known::default();
        Self { chip, quirks, overlay, asked, wanted, known, clamped: false, impossible: false, refused: 0 }
    }

    /// What the host asked for last.
    pub(super) fn asked(&self) -> LineSettings {
        self.asked
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// The host wants this.
    pub(super) fn ask(&mut self, asked: LineSettings) {
        let hung_up = self.asked.baud == 0;
        self.asked = asked;
        let overlay = self.overlay;
        let settings = LineSettings {
            baud: overlay.baud.unwrap_or_else(|| self.quirks.baud(asked.baud)),
            data_bits: overlay.data_bits.unwrap_or(asked.data_bits),
            parity: overlay.parity.unwrap_or(asked.parity),
            flow: overlay.flow.unwrap_or(asked.flow),
            ..asked
        };
        if asked.baud == 0 {
            // A rate of 0 hangs up, and leaves the rate (termios).
            self.wanted.lines = ModemOutputs::default();
        } else {
            if hung_up {
                self.wanted.lines = ModemOutputs { dtr: true, rts: true };
            }
            (self.wanted.rate, self.clamped) = match baud::rate(self.chip, settings.baud) {
                Ok(rate) => (rate, false),
                Err(bad) => (bad.nearest, true),
            };
        }
        let data = request::data(&settings);
        self.impossible = data.is_none();
        if let Some(data) = data {
            self.wanted.data = data | self.wanted.data & BREAK;
        }
        self.wanted.flow = if self.quirks.forced_rts_cts { FlowControl::RtsCts } else { settings.flow };
        self.wanted.event = overlay.event_character.or(asked.line_end);
        self.wanted.error = overlay.error_character;
    }

    /// Whether `asked` would change how characters are sent, so that those before have to be gone.
    pub(super) fn reshapes(&self, asked: LineSettings) -> bool {
        let mut after = self.clone();
        after.ask(asked);
        (after.wanted.rate, after.wanted.data) != (self.wanted.rate, self.wanted.data)
    }

    pub(super) fn set_break(&mut self, on: bool) {
        self.wanted.data = self.wanted.data & !BREAK | if on { BREAK } else { 0 };
    }

    /// What became of what was asked for.
    pub(super) fn applied(&self) -> Applied {
        let refused = self.impossible || self.known.data != Some(self.wanted.data);
        Applied { asked: self.asked, baud: self.wanted.rate.baud(), clamped: self.clamped, refused }
    }

    /// The device has forgotten everything.
    pub(super) fn forget(&mut self) {
        self.known = Known::default();
    }

    fn is_dirty(&self, field: Field) -> bool {
        let (wanted, known) = (&self.wanted, &self.known);
        match field {
            Field::Latency => self.chip.has_latency_timer() && known.latency != Some(wanted.latency),
            Field::Data => known.data != Some(wanted.data),
            Field::Rate => known.rate != Some(wanted.rate),
            Field::Flow => known.flow != Some(wanted.flow),
            Field::Event => known.event != Some(wanted.event),
            Field::Error => known.error != Some(wanted.error),
            Field::Lines => known.lines != Some(wanted.lines),
        }
    }

    /// The next difference.
    pub(super) fn next(&self) -> Option<Field> {
        FIELDS.into_iter().find(|field| self.is_dirty(*field))
    }

    /// Something that decides how characters look is not yet as it should be.
    pub(super) fn is_settled(&self) -> bool {
        FIELDS.into_iter().all(|field| field == Field::Latency || !self.is_dirty(field))
    }

    pub(super) fn request(&self, channel: Channel, field: Field) -> SetupPacket {
        let wanted = &self.wanted;
        match field {
            Field::Latency => channel.set_latency(wanted.latency),
            Field::Data => channel.set_data(wanted.data),
            Field::Rate => channel.set_rate(wanted.rate),
            Field::Flow => channel.set_flow(wanted.flow),
            Field::Event => channel.set_event_character(wanted.event),
            Field::Error => channel.set_error_character(wanted.error),
            Field::Lines => channel.set_lines(wanted.lines),
        }
    }

    /// The chip was told this value of the field, `sent` being what was wanted then.
    pub(super) fn learn(&mut self, field: Field, sent: &Wanted, refused: bool) {
        let known = &mut self.known;
        match field {
            Field::Latency => known.latency = Some(sent.latency),
            Field::Data => known.data = Some(sent.data),
            Field::Rate => known.rate = Some(sent.rate),
            Field::Flow => known.flow = Some(sent.flow),
            Field::Event => known.event = Some(sent.event),
            Field::Error => known.error = Some(sent.error),
            Field::Lines => known.lines = Some(sent.lines),
        }
        if refused {
            self.refused += 1;
            self.impossible |= matches!(field, Field::Data | Field::Rate | Field::Flow);
        }
    }
}
