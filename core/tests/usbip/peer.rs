//! A USB/IP server by hand, on a thread of its own: it says what its script says, byte for byte (Linux Documentation/usb/usbip_protocol.rst).
//! It must not know the client.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};

/// busnum << 16 | devnum of the exported device.
pub(crate) const DEVID: u32 = 0x0003_0007;

pub(crate) const STALL: i32 = -32;
pub(crate) const CONNRESET: i32 = -104;

/// A vendor's device at high speed: bulk both ways and an interrupt endpoint (bInterval 4) in interface 0, whose alternate setting 1 is
/// the same again, and two more settings without endpoints in interface 1.
pub(crate) fn descriptors() -> Vec<u8> {
    let device = [18, 1, 0, 2, 0xff, 0, 0, 64, 0x34, 0x12, 0x78, 0x56, 0, 1, 0, 0, 0, 1];
    let endpoints = [7, 5, 0x81, 2, 0, 2, 0, 7, 5, 0x02, 2, 0, 2, 0, 7, 5, 0x83, 3, 64, 0, 4];
    let setting = |interface, alternate, endpoints| [9, 4, interface, alternate, endpoints, 0xff, 0, 0, 0];
    let settings = [
        &setting(0, 0, 3)[..],
        &endpoints,
        &setting(0, 1, 3),
        &endpoints,
        &setting(1, 0, 0),
        &setting(1, 1, 0),
        &setting(1, 2, 0),
    ]
    .concat();
    let total = (9 + settings.len()) as u8;
    [&device[..], &[9, 2, total, 0, 2, 1, 0, 0x80, 50], &settings].concat()
}

/// What a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    /// The twelve words of the header; the last two are the setup packet.
    pub(crate) words: [u32; 12],
    pub(crate) setup: [u8; 8],
    pub(crate) data: Vec<u8>,
}

impl Command {
    pub(crate) fn is_submit(&self) -> bool {
        self.words[0] == 1
    }

    pub(crate) fn seqnum(&self) -> u32 {
        self.words[1]
    }

    pub(crate) fn is_in(&self) -> bool {
        self.words[3] == 1
    }

    /// transfer_buffer_length.
    pub(crate) fn length(&self) -> usize {
        self.words[6] as usize
    }

    /// Of an unlink.
    pub(crate) fn victim(&self) -> u32 {
        self.words[5]
    }
}

/// USBIP_RET_SUBMIT. Like the kernel, it leaves direction, device and endpoint 0.
pub(crate) fn returned(seqnum: u32, status: i32, actual: usize, data: &[u8]) -> Vec<u8> {
    let words = [3, seqnum, 0, 0, 0, status.cast_unsigned(), actual as u32, 0, 0, 0, 0, 0];
    [&words.map(u32::to_be_bytes).concat()[..], data].concat()
}

/// USBIP_RET_UNLINK.
pub(crate) fn unlinked(seqnum: u32, status: i32) -> Vec<u8> {
    [4, seqnum, 0, 0, 0, status.cast_unsigned(), 0, 0, 0, 0, 0, 0].map(u32::to_be_bytes).concat()
}

/// The device in OP_REP_IMPORT and OP_REP_DEVLIST.
pub(crate) fn exported(bus_id: &str) -> Vec<u8> {
    let mut bytes = vec![0; 256];
    bytes[..12].copy_from_slice(b"/sys/x/3-1.2");
    let mut id = [0; 32];
    id[..bus_id.len()].copy_from_slice(bus_id.as_bytes());
    bytes.extend(id);
    for word in [3_u32, 7, 3] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend([0x12, 0x34, 0x56, 0x78, 0x01, 0x00, 0xff, 0, 0, 1, 1, 2]);
    bytes
}

/// OP_REP_IMPORT of a device.
pub(crate) fn import_reply(bus_id: &str) -> Vec<u8> {
    [&[1, 0x11, 0, 3, 0, 0, 0, 0][..], &exported(bus_id)].concat()
}

/// The server's end of a connection.
pub(crate) struct Peer {
    stream: UnixStream,
    /// Bytes that are sent before the connection is cut.
    budget: usize,
}

/// The connection is over; the script ends.
#[derive(Debug)]
pub(crate) struct Over;

impl Peer {
    pub(crate) fn new(stream: UnixStream, budget: usize) -> Self {
        Self { stream, budget }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Over> {
        let sent = bytes.len().min(self.budget);
        self.stream.write_all(&bytes[..sent]).map_err(|_| Over)?;
        self.budget -= sent;
        if sent < bytes.len() || self.budget == 0 {
            let _gone = self.stream.shutdown(Shutdown::Both);
            return Err(Over);
        }
        Ok(())
    }

    pub(crate) fn receive(&mut self, count: usize) -> Result<Vec<u8>, Over> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).map_err(|_| Over)?;
        Ok(bytes)
    }

    /// One command with its data.
    pub(crate) fn command(&mut self) -> Result<Command, Over> {
        let header = self.receive(48)?;
        let words = std::array::from_fn(|n| u32::from_be_bytes(header[n * 4..n * 4 + 4].try_into().unwrap()));
        let setup = header[40..].try_into().unwrap();
        let mut command = Command { words, setup, data: Vec::new() };
        if command.is_submit() && !command.is_in() {
            command.data = self.receive(command.length())?;
        }
        Ok(command)
    }

    pub(crate) fn returned(
        &mut self,
        command: &Command,
        status: i32,
        actual: usize,
        data: &[u8],
    ) -> Result<(), Over> {
        self.send(&returned(command.seqnum(), status, actual, data))
    }

    /// Takes the import of `3-1.2` and answers it.
    pub(crate) fn import(&mut self) -> Result<(), Over> {
        let request = self.receive(40)?;
        assert_eq!(request[..13], [1, 0x11, 0x80, 3, 0, 0, 0, 0, b'3', b'-', b'1', b'.', b'2']);
        assert!(request[13..].iter().all(|byte| *byte == 0));
        self.send(&import_reply("3-1.2"))
    }

    /// Answers the client's questions after an import: descriptors and configuration.
    pub(crate) fn describe(&mut self) -> Result<(), Over> {
        let descriptors = descriptors();
        let configuration = &descriptors[18..];
        for (setup, answer) in [
            ([0x80, 6, 0, 1, 0, 0, 18, 0], &descriptors[..18]),
            ([0x80, 6, 0, 2, 0, 0, 9, 0], &configuration[..9]),
            ([0x80, 6, 0, 2, 0, 0, configuration.len() as u8, 0], configuration),
            ([0x80, 8, 0, 0, 0, 0, 1, 0], &[1]),
        ] {
            let command = self.command()?;
            assert_eq!(command.setup, setup);
            // CMD_SUBMIT, devid, IN, endpoint 0, URB_DIR_IN, length, start_frame, number_of_packets, interval.
            let length = u32::from(setup[6]);
            let [_, seqnum, ..] = command.words;
            assert_eq!(command.words[..10], [1, seqnum, DEVID, 1, 0, 0x200, length, 0, 0, 0]);
            self.returned(&command, 0, answer.len(), answer)?;
        }
        Ok(())
    }

    /// Both.
    pub(crate) fn ready(&mut self) -> Result<(), Over> {
        self.import()?;
        self.describe()
    }

    /// Reads nothing more, so that what the client still has to send stays with it, until the client closes.
    pub(crate) fn deaf(&mut self) {
        let mut fds = [PollFd::new(&self.stream, PollFlags::RDHUP)];
        while poll(&mut fds, None).is_err() {}
    }

    /// Nothing more comes from the client until it closes.
    pub(crate) fn silence(&mut self) -> Result<(), Over> {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) | Err(_) => Ok(()),
            Ok(_) => panic!("the client sent more: {byte:?}"),
        }
    }
}
