//! The vendor's requests as setup packets; none has a data stage to the device. It sends nothing.

use outboard_core::family::serial::{DataBits, FlowControl, LineSettings, ModemOutputs, Parity, StopBits};
use outboard_core::usb::{Direction, Recipient, RequestKind, SetupPacket};

use super::baud::Rate;

/// bRequest.
pub mod code {
    /// Resets a port, or empties its FIFOs.
    pub const RESET: u8 = 0x00;
    /// Sets DTR and RTS.
    pub const SET_MODEM_CTRL: u8 = 0x01;
    /// Sets the flow control.
    pub const SET_FLOW_CTRL: u8 = 0x02;
    /// Sets the divisor.
    pub const SET_BAUD_RATE: u8 = 0x03;
    /// Sets data bits, parity, stop bits and break.
    pub const SET_DATA: u8 = 0x04;
    /// Gives the two status bytes.
    pub const GET_MODEM_STATUS: u8 = 0x05;
    /// Sets the character upon which data are sent at once.
    pub const SET_EVENT_CHAR: u8 = 0x06;
    /// Sets the character that is put in place of one with an error.
    pub const SET_ERROR_CHAR: u8 = 0x07;
    /// Sets the latency timer.
    pub const SET_LATENCY_TIMER: u8 = 0x09;
    /// Gives the latency timer.
    pub const GET_LATENCY_TIMER: u8 = 0x0a;
    /// Makes the pins something else than a serial port.
    pub const SET_BITMODE: u8 = 0x0b;
    /// Gives the pins' levels.
    pub const READ_PINS: u8 = 0x0c;
    /// Gives a word of the EEPROM.
    pub const READ_EEPROM: u8 = 0x90;
}

/// wValue of RESET.
pub mod reset {
    /// The port is as after power-up; both FIFOs are empty.
    pub const PORT: u16 = 0;
    /// Empties what the host wrote and the line has not taken. (Some headers call it the other way round, from the chip's view: RX.)
    pub const PURGE_WRITTEN: u16 = 1;
    /// Empties what came from the line and the host has not taken.
    pub const PURGE_RECEIVED: u16 = 2;
}

/// Bit 14 of SET_DATA's wValue: the line is low.
pub const BREAK: u16 = 1 << 14;

/// High byte of wIndex of SET_FLOW_CTRL.
pub mod flow {
    /// By RTS and CTS.
    pub const RTS_CTS: u16 = 0x0100;
    /// By DTR and DSR.
    pub const DTR_DSR: u16 = 0x0200;
    /// By characters.
    pub const XON_XOFF: u16 = 0x0400;
}

/// What a pin driver does (SET_BITMODE's high byte).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BitMode {
    /// A serial port, or what the EEPROM says.
    Reset = 0x00,
    /// Eight pins, asynchronously (AN232R-01).
    AsyncBitBang = 0x01,
    /// MPSSE: JTAG, SPI, I2C (AN_108).
    Mpsse = 0x02,
    /// Eight pins, a byte in for each out (AN232R-01).
    SyncBitBang = 0x04,
    /// An MCU's bus.
    McuHost = 0x08,
    /// Optically isolated fast serial.
    FastSerial = 0x10,
    /// The CBUS pins (AN232R-01).
    CbusBitBang = 0x20,
    /// A synchronous FIFO.
    SyncFifo = 0x40,
}

/// A request of one port of a chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel(
    /// The low byte of wIndex: 0 on full-speed chips with one port, otherwise bInterfaceNumber + 1.
    pub u8,
);

impl Channel {
    fn out(self, request: u8, value: u16, high: u16) -> SetupPacket {
        let index = high | u16::from(self.0);
        SetupPacket::new(Direction::Out, RequestKind::Vendor, Recipient::Device, request, value, index, 0)
    }

    fn ask(self, request: u8, length: u16) -> SetupPacket {
        let index = u16::from(self.0);
        SetupPacket::new(Direction::In, RequestKind::Vendor, Recipient::Device, request, 0, index, length)
    }

    /// RESET, with one of [`reset`](mod@reset).
    pub fn reset(self, what: u16) -> SetupPacket {
        self.out(code::RESET, what, 0)
    }

    /// SET_MODEM_CTRL for both lines.
    pub fn set_lines(self, lines: ModemOutputs) -> SetupPacket {
        self.out(code::SET_MODEM_CTRL, 0x0300 | u16::from(lines.dtr) | u16::from(lines.rts) << 1, 0)
    }

    /// SET_FLOW_CTRL.
    pub fn set_flow(self, flow: FlowControl) -> SetupPacket {
        let (value, high) = match flow {
            FlowControl::None => (0, 0),
            FlowControl::RtsCts => (0, flow::RTS_CTS),
            FlowControl::DtrDsr => (0, flow::DTR_DSR),
            FlowControl::XonXoff { xon, xoff } => (u16::from_le_bytes([xon, xoff]), flow::XON_XOFF),
        };
        self.out(code::SET_FLOW_CTRL, value, high)
    }

    /// SET_BAUD_RATE. The divisor's bits from 16 on are in wIndex: beside the channel if there are channels, else in its place.
    pub fn set_rate(self, rate: Rate) -> SetupPacket {
        let (low, high) = (rate.code as u16, (rate.code >> 16) as u16);
        match self.0 {
            0 => self.out(code::SET_BAUD_RATE, low, high),
            _ => self.out(code::SET_BAUD_RATE, low, high << 8),
        }
    }

    /// SET_DATA with a value of [`data`].
    pub fn set_data(self, data: u16) -> SetupPacket {
        self.out(code::SET_DATA, data, 0)
    }

    /// GET_MODEM_STATUS; the answer is the two status bytes.
    pub fn get_status(self) -> SetupPacket {
        self.ask(code::GET_MODEM_STATUS, 2)
    }

    /// SET_EVENT_CHAR; `None`: there is none.
    pub fn set_event_character(self, character: Option<u8>) -> SetupPacket {
        self.out(code::SET_EVENT_CHAR, optional(character), 0)
    }

    /// SET_ERROR_CHAR; `None`: there is none.
    pub fn set_error_character(self, character: Option<u8>) -> SetupPacket {
        self.out(code::SET_ERROR_CHAR, optional(character), 0)
    }

    /// SET_LATENCY_TIMER, in milliseconds, 1 to 255.
    pub fn set_latency(self, milliseconds: u8) -> SetupPacket {
        self.out(code::SET_LATENCY_TIMER, u16::from(milliseconds.max(1)), 0)
    }

    /// GET_LATENCY_TIMER; the answer is a byte.
    pub fn get_latency(self) -> SetupPacket {
        self.ask(code::GET_LATENCY_TIMER, 1)
    }

    /// SET_BITMODE: `mask` has a bit for each pin that is an output.
    pub fn set_bit_mode(self, mode: BitMode, mask: u8) -> SetupPacket {
        self.out(code::SET_BITMODE, u16::from_le_bytes([mask, mode as u8]), 0)
    }

    /// READ_PINS; the answer is a byte.
    pub fn read_pins(self) -> SetupPacket {
        self.ask(code::READ_PINS, 1)
    }
}

/// READ_EEPROM of one word; the answer is its two bytes, the low one first.
pub fn read_eeprom(word: u16) -> SetupPacket {
    SetupPacket::new(Direction::In, RequestKind::Vendor, Recipient::Device, code::READ_EEPROM, 0, word, 2)
}

fn optional(character: Option<u8>) -> u16 {
    character.map_or(0, |character| 0x0100 | u16::from(character))
}

/// SET_DATA's wValue without break. `None`: the chips cannot do it. They have 7 and 8 data bits.
pub fn data(settings: &LineSettings) -> Option<u16> {
    let bits = match settings.data_bits {
        DataBits::Seven | DataBits::Eight => settings.data_bits as u16,
        DataBits::Five | DataBits::Six => return None,
    };
    let parity = match settings.parity {
        Parity::None => 0,
        Parity::Odd => 1,
        Parity::Even => 2,
        Parity::Mark => 3,
        Parity::Space => 4,
    };
    let stop = match settings.stop_bits {
        StopBits::One => 0,
        StopBits::OneAndHalf => 1,
        StopBits::Two => 2,
    };
    Some(bits | parity << 8 | stop << 11)
}

#[cfg(test)]
mod tests {
    use super::super::baud;
    use super::super::chip::Chip;
    use super::*;

    fn bytes(setup: SetupPacket) -> [u8; 8] {
        setup.to_bytes()
    }

    #[test]
    fn requests_as_they_go_over_the_bus() {
        let (one, second) = (Channel(0), Channel(2));
        let rate = |chip, asked| baud::rate(chip, asked).unwrap();
        assert_eq!(bytes(one.reset(reset::PORT)), [0x40, 0, 0, 0, 0, 0, 0, 0]);
        let lines = ModemOutputs { dtr: true, rts: false };
        assert_eq!(bytes(second.set_lines(lines)), [0x40, 1, 1, 3, 2, 0, 0, 0]);
        let flow = FlowControl::XonXoff { xon: 0x11, xoff: 0x13 };
        assert_eq!(bytes(second.set_flow(flow)), [0x40, 2, 0x11, 0x13, 2, 4, 0, 0]);
        assert_eq!(bytes(one.set_flow(FlowControl::RtsCts)), [0x40, 2, 0, 0, 0, 1, 0, 0]);
        assert_eq!(bytes(one.set_rate(rate(Chip::R, 9600))), [0x40, 3, 0x38, 0x41, 0, 0, 0, 0]);
        // The third bit of the fraction.
        assert_eq!(rate(Chip::R, 470_588).code >> 16, 1);
        assert_eq!(bytes(one.set_rate(rate(Chip::R, 470_588)))[4..6], [1, 0]);
        assert_eq!(bytes(second.set_rate(rate(Chip::H2, 12_000_000))), [0x40, 3, 0, 0, 2, 2, 0, 0]);
        assert_eq!(bytes(one.get_status()), [0xc0, 5, 0, 0, 0, 0, 2, 0]);
        assert_eq!(bytes(one.set_event_character(Some(10))), [0x40, 6, 10, 1, 0, 0, 0, 0]);
        assert_eq!(bytes(one.set_latency(0)), [0x40, 9, 1, 0, 0, 0, 0, 0]);
        assert_eq!(bytes(second.set_bit_mode(BitMode::Mpsse, 0x0b)), [0x40, 0x0b, 0x0b, 2, 2, 0, 0, 0]);
    }

    #[test]
    fn data_settings() {
        let settings = LineSettings::new(9600);
        assert_eq!(data(&settings), Some(8));
        let other = LineSettings {
            data_bits: DataBits::Seven,
            parity: Parity::Even,
            stop_bits: StopBits::Two,
            ..settings
        };
        assert_eq!(data(&other), Some(0x1207));
        assert_eq!(data(&LineSettings { data_bits: DataBits::Five, ..settings }), None);
    }
}
