//! One port of a chip: FIFOs, the shift register, flow control, and when a packet for the host is due. It knows no request's encoding and
//! not what its pins are wired to.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::bits::Bits;
use super::{Character, CharacterError, Format, FtdiOptions, LineRate, Pins};

/// Room at which a receiver stops the sender, in bytes.
const HEADROOM: usize = 32;
/// Faults that are kept.
const FAULTS: usize = 64;

/// What a host did that corrupts a line, or that no chip has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SET_BAUD_RATE while a character was being sent; it was spoilt.
    RateWhileSending,
    /// SET_DATA likewise.
    DataWhileSending,
    /// A divisor without a rate; the line kept its own.
    BadDivisor(u32),
    /// SET_DATA's wValue is no format.
    BadData(u16),
    /// A latency timer of 0 or beyond 255.
    BadLatency(u16),
    /// A packet without the SIO's first byte, or one that lies.
    BadSioPacket,
}

/// How a port stops the other side, and is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// Not at all.
    #[default]
    None,
    /// By RTS and CTS.
    RtsCts,
    /// By DTR and DSR.
    DtrDsr,
    /// By characters: (XON, XOFF).
    XonXoff(u8, u8),
}

/// One serial port.
#[derive(Debug)]
pub struct Uart {
    pub(super) rate: LineRate,
    pub(super) format: Format,
    pub(super) flow: Flow,
    pub(super) sends_break: bool,
    dtr: bool,
    rts: bool,
    pins: Pins,
    pub(super) event: Option<u8>,
    pub(super) error_character: Option<u8>,
    pub(super) latency: u8,
    pub(super) bits: Bits,
    to_line: VecDeque<u8>,
    to_line_size: usize,
    /// XON or XOFF, which goes before everything else.
    urgent: Option<u8>,
    /// What is in the shift register: whether it was spoilt, and when it is through.
    shifting: Option<(u8, bool, Instant)>,
    /// Since when nothing has been, and the host has waited with more.
    idle_since: Option<Instant>,
    host_sends: bool,
    /// Up to when the host has always had more.
    supplied: Option<Instant>,
    stopped: bool,
    sent_xoff: bool,
    to_host: VecDeque<(u8, u8)>,
    to_host_size: usize,
    payload: usize,
    /// Packets that the host's controller can have fetched between two looks.
    fetch_ahead: usize,
    overrun: bool,
    /// The event character is among the bytes for the host.
    event_seen: bool,
    /// The host's controller asks all the time.
    host_asks: bool,
    fetched: VecDeque<Vec<u8>>,
    told_modem: u8,
    /// When the last packet went to the host.
    last_packet: Option<Instant>,
    faults: Vec<Fault>,
    lost: u64,
}

mod line {
    pub(super) const OVERRUN: u8 = 0x02;
    pub(super) const PARITY: u8 = 0x04;
    pub(super) const FRAMING: u8 = 0x08;
    pub(super) const BREAK: u8 = 0x10;
    pub(super) const HOLDING_EMPTY: u8 = 0x20;
    pub(super) const TRANSMITTER_EMPTY: u8 = 0x40;
}

impl Uart {
    pub(super) fn new(options: &FtdiOptions) -> Self {
        let (to_line_size, to_host_size) = options.kind.fifos();
        let packet_size = usize::from(super::descriptors::packet_size(options));
        Self {
            rate: LineRate::first(),
            format: Format::default(),
            flow: Flow::None,
            sends_break: false,
            dtr: false,
            rts: false,
            pins: Pins::default(),
            event: None,
            error_character: None,
            latency: 16,
            bits: Bits::default(),
            to_line: VecDeque::new(),
            to_line_size,
            urgent: None,
            shifting: None,
            idle_since: None,
            host_sends: false,
            supplied: None,
            stopped: false,
            sent_xoff: false,
            to_host: VecDeque::new(),
            to_host_size,
            payload: packet_size.saturating_sub(2).max(1),
            fetch_ahead: options.fetch_ahead,
            overrun: false,
            event_seen: false,
            host_asks: false,
            fetched: VecDeque::new(),
            told_modem: 0,
            last_packet: None,
            faults: Vec::new(),
            lost: 0,
        }
    }

    /// The rate that it was programmed to.
    pub fn rate(&self) -> LineRate {
        self.rate
    }

    /// The format that it was programmed to.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The flow control that it was programmed to.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// The latency timer, in milliseconds.
    pub fn latency(&self) -> u8 {
        self.latency
    }

    /// The event character.
    pub fn event_character(&self) -> Option<u8> {
        self.event
    }

    /// The line is held low.
    pub fn is_breaking(&self) -> bool {
        self.sends_break
    }

    /// DTR as the host set it.
    pub fn dtr(&self) -> bool {
        self.dtr
    }

    /// RTS as it is on the pin: as the host set it, unless flow control has it.
    pub fn rts(&self) -> bool {
        match self.flow {
            Flow::RtsCts => self.rts && !self.is_nearly_full(),
            _ => self.rts,
        }
    }

    /// DTR as it is on the pin.
    pub(super) fn dtr_pin(&self) -> bool {
        match self.flow {
            Flow::DtrDsr => self.dtr && !self.is_nearly_full(),
            _ => self.dtr,
        }
    }

    /// What the host did wrong so far.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Characters that came while the FIFO was full.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Bytes from the host that are not on the line yet.
    pub fn unsent(&self) -> usize {
        self.to_line.len() + usize::from(self.shifting.is_some())
    }

    /// Bytes for the host that it has not fetched.
    pub fn unfetched(&self) -> usize {
        self.to_host.len() + self.fetched.iter().map(|packet| packet.len() - 2).sum::<usize>()
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS {
            self.faults.push(fault);
        }
    }

    pub(super) fn set_lines(&mut self, dtr: Option<bool>, rts: Option<bool>) {
        self.dtr = dtr.unwrap_or(self.dtr);
        self.rts = rts.unwrap_or(self.rts);
    }

    /// The pins have changed.
    pub(super) fn set_pins(&mut self, pins: Pins, now: Instant) {
        if self.pins != pins {
            self.pins = pins;
            self.start(now);
        }
    }

    fn is_nearly_full(&self) -> bool {
        self.to_host.len() + HEADROOM > self.to_host_size
    }

    fn may_send(&self) -> bool {
        if self.bits.mode != 0 {
            return false;
        }
        match self.flow {
            Flow::None => true,
            Flow::RtsCts => self.pins.cts,
            Flow::DtrDsr => self.pins.dsr,
            Flow::XonXoff(..) => !self.stopped,
        }
    }

    /// The setting changes how characters look: one that is on its way is spoilt.
    pub(super) fn spoil(&mut self, fault: Fault) {
        if let Some((_, spoilt, _)) = &mut self.shifting {
            *spoilt = true;
            self.fault(fault);
        }
    }

    /// Throws away what the host wrote.
    pub(super) fn purge_written(&mut self) {
        self.to_line.clear();
        self.host_sends = false;
    }

    /// Throws away what came.
    pub(super) fn purge_received(&mut self) {
        self.to_host.clear();
        self.fetched.clear();
        (self.overrun, self.event_seen) = (false, false);
    }

    /// A packet from the host, without a header. False: there is no room.
    pub(super) fn write(&mut self, bytes: &[u8], now: Instant) -> bool {
        if self.bits.mode != 0 {
            self.bits.write(bytes);
            return true;
        }
        if self.to_line.len() + bytes.len() > self.to_line_size {
            self.host_sends = true;
            return false;
        }
        // The host waited with it, and with what it has behind it: it was there as soon as there was room.
        if std::mem::take(&mut self.host_sends) {
            self.supplied = Some(now);
        }
        let since = match self.idle_since {
            Some(idle) if self.supplied == Some(now) => idle.min(now),
            _ => now,
        };
        self.to_line.extend(bytes);
        self.start(since);
        true
    }

    /// Begins the next character, if there is one and it may be sent.
    pub(super) fn start(&mut self, at: Instant) {
        if self.shifting.is_some() {
            return;
        }
        let next =
            self.urgent.take().or_else(|| if self.may_send() { self.to_line.pop_front() } else { None });
        match next {
            Some(byte) => {
                self.shifting = Some((byte, false, at + self.format.time(self.rate)));
                self.idle_since = None;
            }
            None => self.idle_since = self.idle_since.or(Some(at)),
        }
    }

    /// When the character in the shift register is through.
    pub(super) fn next_done(&self) -> Option<Instant> {
        self.shifting.map(|(_, _, at)| at)
    }

    /// Takes the character that is through. `None` if it does not get onto the line: that is held low.
    pub(super) fn finish(&mut self) -> Option<Character> {
        let (byte, spoilt, at) = self.shifting.take()?;
        self.start(at);
        let error = spoilt.then_some(CharacterError::Framing);
        (!self.sends_break).then_some(Character { byte, baud: self.rate.baud(), format: self.format, error })
    }

    /// A character comes over the line.
    pub(super) fn receive(&mut self, character: Character, at: Instant) {
        if self.bits.mode != 0 {
            return;
        }
        let (mut byte, error) = character.read(self.rate.baud(), self.format);
        if let (Flow::XonXoff(xon, xoff), None) = (self.flow, error)
            && (byte == xon || byte == xoff)
        {
            self.stopped = byte == xoff;
            return self.start(at);
        }
        let flags = match error {
            None => 0,
            Some(CharacterError::Parity) => line::PARITY,
            Some(CharacterError::Framing) => line::FRAMING,
            Some(CharacterError::Break) => line::BREAK,
        };
        if flags & (line::PARITY | line::FRAMING) != 0 {
            byte = self.error_character.unwrap_or(byte);
        }
        if self.to_host.len() >= self.to_host_size {
            self.overrun = true;
            self.lost += 1;
        } else {
            self.to_host.push_back((byte, flags));
            self.event_seen |= self.event == Some(byte);
        }
        self.fetch(at);
        self.regulate(at);
    }

    /// XON or XOFF, if the other side should go on or stop.
    fn regulate(&mut self, at: Instant) {
        let Flow::XonXoff(xon, xoff) = self.flow else { return };
        if self.is_nearly_full() != self.sent_xoff && (self.sent_xoff || self.is_nearly_full()) {
            self.sent_xoff = !self.sent_xoff;
            self.urgent = Some(if self.sent_xoff { xoff } else { xon });
            self.start(at);
        }
    }

    /// If the host's controller asks all the time, a packet that is due is gone at once.
    pub(super) fn fetch(&mut self, at: Instant) {
        while self.host_asks
            && self.fetched.len() < self.fetch_ahead
            && (self.to_host.len() >= self.payload
                || self.event_seen
                || !self.to_host.is_empty() && self.is_due(at))
        {
            let packet = self.packet();
            self.last_packet = Some(at);
            self.fetched.push_back(packet);
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.last_packet.is_none_or(|last| now >= last + Duration::from_millis(self.latency.into()))
    }

    fn modem(&self) -> u8 {
        let bit = |set, bit: u8| if set { bit } else { 0 };
        0x01 | bit(self.pins.cts, 0x10)
            | bit(self.pins.dsr, 0x20)
            | bit(self.pins.ri, 0x40)
            | bit(self.pins.dcd, 0x80)
    }

    fn line(&self) -> u8 {
        match (self.to_line.is_empty(), self.shifting) {
            (true, None) => line::HOLDING_EMPTY | line::TRANSMITTER_EMPTY,
            (true, Some(_)) => line::HOLDING_EMPTY,
            _ => 0,
        }
    }

    /// The two status bytes, without errors.
    pub(super) fn status(&self) -> [u8; 2] {
        [self.modem(), self.line()]
    }

    fn packet(&mut self) -> Vec<u8> {
        let count = self.to_host.len().min(self.payload);
        let [modem, mut line] = self.status();
        let mut packet = Vec::with_capacity(2 + count);
        packet.extend([modem, 0]);
        for (byte, flags) in self.to_host.drain(..count) {
            line |= flags;
            packet.push(byte);
        }
        if std::mem::take(&mut self.overrun) {
            line |= line::OVERRUN;
        }
        self.event_seen = self.event.is_some_and(|event| self.to_host.iter().any(|(byte, _)| *byte == event));
        self.told_modem = modem;
        packet[1] = line;
        packet
    }

    /// The host asks for a packet. `None`: there is none yet.
    pub(super) fn read(&mut self, now: Instant) -> Option<Vec<u8>> {
        let packet = match self.fetched.pop_front() {
            Some(packet) => packet,
            None => {
                let due = self.to_host.len() >= self.payload
                    || self.event_seen
                    || self.modem() != self.told_modem
                    || self.is_due(now);
                if !due {
                    self.host_asks = true;
                    return None;
                }
                self.last_packet = Some(now);
                self.packet()
            }
        };
        self.host_asks = false;
        self.regulate(now);
        Some(packet)
    }

    /// When something happens that the host may wait for.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let timer = self.last_packet.map_or(now, |last| last + Duration::from_millis(self.latency.into()));
        // Once it is due it waits for the host.
        let timer = (self.host_asks || timer > now).then_some(timer);
        // Half a FIFO, or all that is left.
        let enough = (self.to_line_size / 2).min(self.to_line.len()) as u32;
        let line = self.next_done().map(|at| at + self.format.time(self.rate) * enough);
        timer.into_iter().chain(line).min()
    }
}
