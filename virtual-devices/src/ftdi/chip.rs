//! The chip: its requests, its ports and what they are wired to. It must not know who its host is, and it looks at no clock.

use std::time::Instant;

use outboard_core::usb::transport::in_process::{DeviceModel, Handshake};
use outboard_core::usb::{Direction, Recipient, RequestKind, SetupPacket, Speed};

use super::uart::{Fault, Flow, Uart};
use super::{Character, CharacterError, Format, FtdiOptions, Kind, LineRate, Pins, Wiring, descriptors};

/// Bytes on an outside line that nobody has taken; what comes then is forgotten, as on a real line.
const SENT: usize = 1 << 22;
/// Words of the EEPROM; nobody has programmed it.
const EEPROM: usize = 64;

/// bRequest, as the chips know them.
mod request {
    pub(super) const RESET: u8 = 0;
    pub(super) const MODEM_CTRL: u8 = 1;
    pub(super) const FLOW: u8 = 2;
    pub(super) const BAUD: u8 = 3;
    pub(super) const DATA: u8 = 4;
    pub(super) const STATUS: u8 = 5;
    pub(super) const EVENT: u8 = 6;
    pub(super) const ERROR: u8 = 7;
    pub(super) const SET_LATENCY: u8 = 9;
    pub(super) const GET_LATENCY: u8 = 10;
    pub(super) const BITMODE: u8 = 11;
    pub(super) const PINS: u8 = 12;
    pub(super) const READ_EEPROM: u8 = 0x90;
    pub(super) const WRITE_EEPROM: u8 = 0x91;
    pub(super) const ERASE_EEPROM: u8 = 0x92;
}

/// A chip.
#[derive(Debug)]
pub struct FtdiChip {
    options: FtdiOptions,
    ports: Vec<Port>,
    eeprom: [u16; EEPROM],
    requests: Vec<SetupPacket>,
}

#[derive(Debug)]
struct Port {
    uart: Uart,
    wiring: Wiring,
    /// What drives the pins from outside.
    outside: Pins,
    sent: Vec<u8>,
}

/// Requests that are kept.
const REQUESTS: usize = 4096;

impl FtdiChip {
    /// A chip with nothing on its pins.
    pub fn new(options: FtdiOptions) -> Self {
        let port = || Port {
            uart: Uart::new(&options),
            wiring: Wiring::Outside,
            outside: Pins::default(),
            sent: Vec::new(),
        };
        let ports = (0..options.kind.ports()).map(|_| port()).collect();
        Self { options, ports, eeprom: [0xffff; EEPROM], requests: Vec::new() }
    }

    /// What it is.
    pub fn options(&self) -> &FtdiOptions {
        &self.options
    }

    /// One of its ports, from 0.
    pub fn port(&self, port: usize) -> &Uart {
        &self.ports[port].uart
    }

    /// Wires a port's pins.
    pub fn wire(&mut self, port: usize, wiring: Wiring) {
        self.ports[port].wiring = wiring;
    }

    /// Sets the modem lines of an outside port. Takes effect when the host next asks, or time passes.
    pub fn set_pins(&mut self, port: usize, pins: Pins) {
        self.ports[port].outside = pins;
    }

    /// What drives the pins of a port in a bit-bang mode from outside.
    pub fn set_bits(&mut self, port: usize, levels: u8) {
        self.ports[port].uart.bits.outside = levels;
    }

    /// A character comes over the line of an outside port.
    pub fn receive(&mut self, port: usize, character: Character, now: Instant) {
        self.run(now);
        self.ports[port].uart.receive(character, now);
    }

    /// Bytes come over the line as the port expects them, all at once.
    pub fn receive_bytes(&mut self, port: usize, bytes: &[u8], now: Instant) {
        let uart = &self.ports[port].uart;
        let (baud, format) = (uart.rate().baud(), uart.format());
        for byte in bytes {
            self.receive(port, Character { byte: *byte, baud, format, error: None }, now);
        }
    }

    /// What was sent over the line of an outside port since the last call.
    pub fn take_sent(&mut self, port: usize) -> Vec<u8> {
        std::mem::take(&mut self.ports[port].sent)
    }

    /// The vendor's requests to the chip since the last call.
    pub fn take_requests(&mut self) -> Vec<SetupPacket> {
        std::mem::take(&mut self.requests)
    }

    /// Lets time pass on all lines, character by character in their order.
    fn run(&mut self, now: Instant) {
        self.connect(now);
        loop {
            let next = self.ports.iter().enumerate();
            let next = next
                .filter_map(|(port, state)| Some((state.uart.next_done().filter(|at| *at <= now)?, port)))
                .min();
            let Some((at, port)) = next else { break };
            let Some(character) = self.ports[port].uart.finish() else { continue };
            match self.ports[port].wiring {
                Wiring::Outside => {
                    let sent = &mut self.ports[port].sent;
                    if sent.len() < SENT {
                        sent.push(character.byte);
                    }
                }
                Wiring::Loopback => self.ports[port].uart.receive(character, at),
                Wiring::Port(other) => {
                    if let Some(other) = self.ports.get_mut(other) {
                        other.uart.receive(character, at);
                    }
                }
            }
            self.connect(at);
        }
        for port in &mut self.ports {
            port.uart.fetch(now);
        }
    }

    /// Carries the modem lines over.
    fn connect(&mut self, at: Instant) {
        for port in 0..self.ports.len() {
            let from =
                |uart: &Uart| Pins { cts: uart.rts(), dsr: uart.dtr_pin(), ri: false, dcd: uart.dtr_pin() };
            let pins = match self.ports[port].wiring {
                Wiring::Outside => self.ports[port].outside,
                Wiring::Loopback => from(&self.ports[port].uart),
                Wiring::Port(other) => {
                    self.ports.get(other).map(|other| from(&other.uart)).unwrap_or_default()
                }
            };
            self.ports[port].uart.set_pins(pins, at);
        }
    }

    /// The port that wIndex names.
    fn channel(&self, setup: SetupPacket) -> Option<usize> {
        let [channel, _] = setup.index.to_le_bytes();
        match self.options.kind {
            // One port: they look at no channel. Their divisor is where others have it.
            Kind::Sio | Kind::Bm | Kind::R | Kind::X => Some(0),
            Kind::H => (channel <= 1).then_some(0),
            Kind::H2 => usize::from(channel).checked_sub(1).filter(|port| *port < self.ports.len()),
        }
    }

    fn set(&mut self, setup: SetupPacket, now: Instant) -> Option<()> {
        let kind = self.options.kind;
        let port = self.channel(setup)?;
        let wiring = self.ports[port].wiring;
        let uart = &mut self.ports[port].uart;
        let [low, high] = setup.value.to_le_bytes();
        match setup.request {
            request::RESET => match setup.value {
                0 => {
                    uart.purge_written();
                    uart.purge_received();
                }
                1 => uart.purge_written(),
                2 => uart.purge_received(),
                _ => return None,
            },
            request::MODEM_CTRL => {
                let line = |bit: u8| (high & bit != 0).then_some(low & bit != 0);
                uart.set_lines(line(1), line(2));
            }
            request::FLOW => {
                uart.flow = match setup.index >> 8 {
                    0 => Flow::None,
                    1 => Flow::RtsCts,
                    2 => Flow::DtrDsr,
                    4 => Flow::XonXoff(low, high),
                    _ => return None,
                };
            }
            request::BAUD => {
                let upper = match kind {
                    Kind::Sio | Kind::Bm | Kind::R | Kind::X => setup.index,
                    Kind::H | Kind::H2 => setup.index >> 8,
                };
                match LineRate::decode(kind, u32::from(setup.value) | u32::from(upper) << 16) {
                    Ok(rate) => {
                        uart.spoil(Fault::RateWhileSending);
                        uart.rate = rate;
                    }
                    Err(bad) => uart.fault(Fault::BadDivisor(bad.0)),
                }
            }
            request::DATA => {
                let (sends_break, value) = (setup.value & 1 << 14 != 0, setup.value & !(1 << 14));
                match Format::decode(value) {
                    Some(format) => {
                        // A break alone is made to be sent at any time.
                        if sends_break == uart.sends_break {
                            uart.spoil(Fault::DataWhileSending);
                        }
                        uart.format = format;
                    }
                    None => uart.fault(Fault::BadData(value)),
                }
                let begins = sends_break && !uart.sends_break;
                uart.sends_break = sends_break;
                if begins {
                    self.send_break(port, wiring, now);
                }
            }
            request::EVENT => uart.event = (high & 1 != 0).then_some(low),
            request::ERROR => uart.error_character = (high & 1 != 0).then_some(low),
            request::SET_LATENCY if kind.has_latency_timer() => match u8::try_from(setup.value) {
                Ok(latency @ 1..) => uart.latency = latency,
                _ => uart.fault(Fault::BadLatency(setup.value)),
            },
            request::BITMODE if kind != Kind::Sio => return uart.bits.set(setup.value).then_some(()),
            request::WRITE_EEPROM => *self.eeprom.get_mut(usize::from(setup.index))? = setup.value,
            request::ERASE_EEPROM => self.eeprom = [0xffff; EEPROM],
            _ => return None,
        }
        Some(())
    }

    /// The line goes low: whoever listens gets one break.
    fn send_break(&mut self, port: usize, wiring: Wiring, now: Instant) {
        let uart = &self.ports[port].uart;
        let error = Some(CharacterError::Break);
        let character = Character { byte: 0, baud: uart.rate().baud(), format: uart.format(), error };
        let to = match wiring {
            Wiring::Outside => return,
            Wiring::Loopback => port,
            Wiring::Port(other) => other,
        };
        if let Some(to) = self.ports.get_mut(to) {
            to.uart.receive(character, now);
        }
    }

    fn get(&mut self, setup: SetupPacket) -> Option<Vec<u8>> {
        if setup.request == request::READ_EEPROM {
            return self.eeprom.get(usize::from(setup.index)).map(|word| word.to_le_bytes().into());
        }
        let uart = &self.ports[self.channel(setup)?].uart;
        match setup.request {
            request::STATUS => Some(uart.status().into()),
            request::GET_LATENCY if self.options.kind.has_latency_timer() => Some(vec![uart.latency]),
            request::PINS if self.options.kind != Kind::Sio => Some(vec![uart.bits.pins()]),
            _ => None,
        }
    }

    fn is_vendors(&mut self, setup: SetupPacket) -> bool {
        if self.requests.len() < REQUESTS {
            self.requests.push(setup);
        }
        setup.kind() == RequestKind::Vendor && setup.recipient() == Recipient::Device
    }
}

impl DeviceModel for FtdiChip {
    fn speed(&self) -> Speed {
        self.options.kind.speed()
    }

    fn descriptors(&self) -> Vec<u8> {
        descriptors::all(&self.options)
    }

    fn string_descriptor(&self, index: u8, _: u16) -> Option<Vec<u8>> {
        descriptors::string(&self.options, index)
    }

    fn control_in(&mut self, setup: SetupPacket, now: Instant) -> Handshake<Vec<u8>> {
        self.run(now);
        match self.is_vendors(setup).then(|| self.get(setup)).flatten() {
            Some(answer) if setup.direction() == Direction::In => Handshake::Ack(answer),
            _ => Handshake::Stall,
        }
    }

    fn control_out(&mut self, setup: SetupPacket, _: &[u8], now: Instant) -> Handshake {
        self.run(now);
        let done = self.is_vendors(setup).then(|| self.set(setup, now)).flatten();
        self.run(now);
        if done.is_some() { Handshake::Ack(()) } else { Handshake::Stall }
    }

    fn configured(&mut self, _: u8, _: Instant) {
        for port in &mut self.ports {
            port.uart = Uart::new(&self.options);
        }
    }

    fn packet_in(&mut self, endpoint: u8, space: &mut [u8], now: Instant) -> Handshake<usize> {
        self.run(now);
        let Some(port) = (0..self.ports.len()).find(|port| descriptors::endpoint_in(*port) == endpoint)
        else {
            return Handshake::Stall;
        };
        let Some(packet) = self.ports[port].uart.read(now) else { return Handshake::Nak };
        let count = packet.len().min(space.len());
        space[..count].copy_from_slice(&packet[..count]);
        // Room for what the other side holds back.
        self.run(now);
        Handshake::Ack(count)
    }

    fn packet_out(&mut self, endpoint: u8, packet: &[u8], now: Instant) -> Handshake {
        self.run(now);
        let Some(port) = (0..self.ports.len()).find(|port| descriptors::endpoint_out(*port) == endpoint)
        else {
            return Handshake::Stall;
        };
        let uart = &mut self.ports[port].uart;
        let bytes = match (self.options.kind, packet) {
            (Kind::Sio, []) => packet,
            // The length in the upper six bits, the port in the lower two.
            (Kind::Sio, [header, rest @ ..]) if usize::from(header >> 2) == rest.len() && header & 3 == 1 => {
                rest
            }
            (Kind::Sio, _) => {
                uart.fault(Fault::BadSioPacket);
                return Handshake::Ack(());
            }
            _ => packet,
        };
        if !uart.write(bytes, now) {
            return Handshake::Nak;
        }
        self.run(now);
        Handshake::Ack(())
    }

    fn advance(&mut self, now: Instant) -> Option<Instant> {
        self.run(now);
        self.ports.iter().filter_map(|port| port.uart.wake_at(now)).min()
    }
}
