//! The two status bytes at the head of every packet from the chip, and the data behind them. It knows no transfer.
//!
//! A packet is wMaxPacketSize bytes long or the last of its transfer, whatever the size of the transfer: a transfer of 16 KiB from an
//! FT232R has 256 pairs of status bytes in it.

use outboard_core::family::serial::{LineErrors, ModemInputs};

/// Status bytes a packet.
pub const HEADER: usize = 2;

/// Bits of the first byte.
pub mod modem {
    /// Clear To Send.
    pub const CTS: u8 = 1 << 4;
    /// Data Set Ready.
    pub const DSR: u8 = 1 << 5;
    /// Ring Indicator.
    pub const RI: u8 = 1 << 6;
    /// Data Carrier Detect (RLSD).
    pub const DCD: u8 = 1 << 7;
}

/// Bits of the second byte; those of a 16550's line status register.
pub mod line {
    /// Data are ready.
    pub const DATA_READY: u8 = 1 << 0;
    /// A character was lost.
    pub const OVERRUN: u8 = 1 << 1;
    /// A parity bit was wrong.
    pub const PARITY: u8 = 1 << 2;
    /// A stop bit was missing.
    pub const FRAMING: u8 = 1 << 3;
    /// The line was low for longer than a character.
    pub const BREAK: u8 = 1 << 4;
    /// The transmitter's holding register is empty.
    pub const HOLDING_EMPTY: u8 = 1 << 5;
    /// Nothing is left to send.
    pub const TRANSMITTER_EMPTY: u8 = 1 << 6;
    /// There is an error among the data.
    pub const FIFO_ERROR: u8 = 1 << 7;
    /// All that are errors of data.
    pub const ERRORS: u8 = OVERRUN | PARITY | FRAMING | BREAK;
}

/// What a packet says of modem and line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// The first byte; see [`modem`].
    pub modem: u8,
    /// The second byte; see [`line`](mod@line).
    pub line: u8,
}

impl Status {
    /// From the two bytes.
    pub const fn new(bytes: [u8; HEADER]) -> Self {
        Self { modem: bytes[0], line: bytes[1] }
    }

    /// The modem inputs.
    pub const fn inputs(self) -> ModemInputs {
        ModemInputs {
            cts: self.modem & modem::CTS != 0,
            dsr: self.modem & modem::DSR != 0,
            ri: self.modem & modem::RI != 0,
            dcd: self.modem & modem::DCD != 0,
        }
    }

    /// Nothing is left to send.
    pub const fn is_drained(self) -> bool {
        self.line & line::TRANSMITTER_EMPTY != 0
    }

    /// The errors of a packet with data, each counted once; they mark the packet, not a byte. A break is not also a parity and framing error.
    pub fn errors(self) -> LineErrors {
        let has = |bit: u8| u64::from(self.line & bit != 0);
        let breaks = has(line::BREAK);
        let parity = (1 - breaks) * has(line::PARITY);
        LineErrors {
            overrun: has(line::OVERRUN),
            parity,
            framing: (1 - breaks) * (1 - parity) * has(line::FRAMING),
            breaks,
        }
    }
}

/// What a transfer had in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stripped {
    /// Bytes of data, which are now at the head of the transfer.
    pub data: usize,
    /// The last packet's status, if there was one.
    pub last: Option<Status>,
    /// Edges of the modem inputs, each bit's own: of CTS, DSR, RI, DCD, counted within the transfer and against the status before.
    pub edges: [u32; 4],
    /// Errors of the packets with data.
    pub errors: LineErrors,
    /// Packets that were too short for their status: one at most, the last.
    pub runts: u32,
}

/// Takes the status bytes out of a transfer in packets of `packet_size` bytes, in place. `before` is the status of the packet before, if
/// there was one.
pub fn strip(transfer: &mut [u8], packet_size: usize, before: Option<Status>) -> Stripped {
    let mut stripped = Stripped { last: before, ..Stripped::default() };
    // A packet size that leaves no room for data: every packet is a status.
    let packet_size = packet_size.max(HEADER);
    let mut at = 0;
    while at < transfer.len() {
        let end = transfer.len().min(at + packet_size);
        let Some(header) = transfer[at..end].first_chunk::<HEADER>() else {
            stripped.runts += 1;
            break;
        };
        let status = Status::new(*header);
        if let Some(last) = stripped.last {
            let changed = last.modem ^ status.modem;
            if changed & 0xf0 != 0 {
                for (edge, bit) in
                    stripped.edges.iter_mut().zip([modem::CTS, modem::DSR, modem::RI, modem::DCD])
                {
                    *edge += u32::from(changed & bit != 0);
                }
            }
        }
        stripped.last = Some(status);
        let count = end - at - HEADER;
        if count > 0 {
            // Without data the bits may still be those of the packet before.
            if status.line & line::ERRORS != 0 {
                stripped.errors.add(status.errors());
            }
            transfer.copy_within(at + HEADER..end, stripped.data);
            stripped.data += count;
        }
        at = end;
    }
    stripped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_packet_of_a_transfer_loses_its_status() {
        let mut transfer = Vec::new();
        for packet in 0..4u8 {
            transfer.extend([0x01, line::HOLDING_EMPTY | line::TRANSMITTER_EMPTY]);
            transfer.extend((0..62).map(|byte| packet * 62 + byte));
        }
        transfer.extend([0x11, line::PARITY, 0xaa]);
        let stripped = strip(&mut transfer, 64, None);
        assert_eq!(stripped.data, 4 * 62 + 1);
        assert!(transfer[..248].iter().copied().eq(0..248) && transfer[248] == 0xaa);
        assert_eq!(stripped.last, Some(Status { modem: 0x11, line: line::PARITY }));
        assert_eq!(stripped.edges, [1, 0, 0, 0]);
        assert_eq!(stripped.errors, LineErrors { parity: 1, ..LineErrors::default() });
    }

    #[test]
    fn errors_without_data_are_old_ones_and_breaks_are_only_breaks() {
        let all = line::ERRORS;
        assert!(strip(&mut [0, all], 64, None).errors.is_empty());
        let stripped = strip(&mut [0, all, 0], 64, None);
        assert_eq!(stripped.errors, LineErrors { overrun: 1, breaks: 1, ..LineErrors::default() });
        assert_eq!(strip(&mut [1], 64, None), Stripped { runts: 1, ..Stripped::default() });
        assert_eq!(strip(&mut [], 64, None), Stripped::default());
    }

    proptest! {
        #[test]
        fn what_is_left_is_what_is_not_status(bytes in prop::collection::vec(any::<u8>(), 0..700), packet_size in 0usize..600) {
            let mut transfer = bytes.clone();
            let stripped = strip(&mut transfer, packet_size, None);
            let expected: Vec<u8> = bytes.chunks(packet_size.max(2)).flat_map(|packet| packet.iter().skip(2)).copied().collect();
            prop_assert_eq!(&transfer[..stripped.data], &expected[..]);
        }
    }
}
