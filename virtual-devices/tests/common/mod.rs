//! A host without any driver: it puts requests to a port by hand, at times that the test sets.
#![allow(dead_code, unreachable_pub)]

pub mod client;

use std::time::{Duration, Instant};

use outboard_core::buffer::RawBuffer;
use outboard_core::usb::transfer::{Done, Operation, Token, Urb};
use outboard_core::usb::transport::in_process::Port;
use outboard_core::usb::{Direction, Recipient, RequestKind, SetupPacket, TransferError, TransferType};
use outboard_virtual_devices::ecm::{
    CONTROL_INTERFACE, DATA_INTERFACE, EcmDongle, EcmOptions, FRAMES_IN, FRAMES_OUT, NOTIFICATION_IN,
    requests::{self, filter},
};
use outboard_virtual_devices::wire::Wire;

pub const STATION: [u8; 6] = [0x52, 0x54, 0x00, 0xe0, 0xcc, 0x01];
pub const PEER: [u8; 6] = [0x52, 0x54, 0x00, 0xe0, 0xcc, 0xfe];
pub const ORDINARY: u16 = filter::DIRECTED | filter::BROADCAST;

pub struct ByHand<W> {
    pub port: Port<EcmDongle<W>>,
    pub now: Instant,
    next: u32,
    done: Vec<Done>,
}

/// A frame of this many bytes from the peer.
pub fn frame(destination: [u8; 6], length: usize) -> Vec<u8> {
    let mut frame = [&destination[..], &PEER, &[0x88, 0xb5]].concat();
    frame.extend((frame.len()..length).map(|at| at as u8));
    frame.truncate(length);
    frame
}

impl<W: Wire> ByHand<W> {
    /// Plugged in and in ECM's configuration.
    pub fn new(options: EcmOptions, wire: W) -> Self {
        let mut this = Self {
            port: Port::new(EcmDongle::new(options, wire)),
            now: Instant::now(),
            next: 0,
            done: Vec::new(),
        };
        let configuration = this.dongle().options().configuration();
        assert!(this.port.configure(configuration, this.now));
        this
    }

    /// The same with frames flowing through this filter.
    pub fn started(options: EcmOptions, wire: W, bits: u16) -> Self {
        let mut this = Self::new(options, wire);
        let alternate = this.dongle().options().data_alternate();
        this.alternate(DATA_INTERFACE, alternate).unwrap();
        this.filter(bits).unwrap();
        this
    }

    pub fn dongle(&mut self) -> &mut EcmDongle<W> {
        self.port.model_mut()
    }

    /// What a request gives at once; `None`: it stays pending and was taken back.
    fn perform(&mut self, operation: Operation, buffer: RawBuffer) -> Option<Result<Vec<u8>, TransferError>> {
        let token = Token(self.next);
        self.next += 1;
        self.port.submit(Urb { token, operation, buffer });
        self.port.turn(self.now, &mut self.done);
        match self.done.pop() {
            Some(done) => {
                assert!(self.done.is_empty() && done.urb.token == token);
                let buffer = done.urb.buffer;
                Some(done.status.map(|_| buffer.space()[..buffer.len()].to_vec()))
            }
            None => {
                assert!(self.port.withdraw(token).is_some());
                None
            }
        }
    }

    fn buffer(data: &[u8]) -> RawBuffer {
        let mut buffer = RawBuffer::heap(data.len());
        buffer.space_mut().copy_from_slice(data);
        buffer.set_len(data.len());
        buffer
    }

    pub fn alternate(&mut self, interface: u8, alternate: u8) -> Result<Vec<u8>, TransferError> {
        self.perform(Operation::SetInterface { interface, alternate }, RawBuffer::heap(0)).unwrap()
    }

    pub fn clear_halt(&mut self, endpoint: u8) {
        self.perform(Operation::ClearHalt { endpoint }, RawBuffer::heap(0)).unwrap().unwrap();
    }

    pub fn filter(&mut self, bits: u16) -> Result<Vec<u8>, TransferError> {
        self.set(requests::SET_ETHERNET_PACKET_FILTER, bits, &[])
    }

    pub fn set(&mut self, request: u8, value: u16, data: &[u8]) -> Result<Vec<u8>, TransferError> {
        let length = data.len() as u16;
        let setup = SetupPacket::new(
            Direction::Out,
            RequestKind::Class,
            Recipient::Interface,
            request,
            value,
            CONTROL_INTERFACE.into(),
            length,
        );
        self.perform(Operation::Control(setup), Self::buffer(data)).unwrap()
    }

    pub fn statistic(&mut self, selector: u16) -> Result<u32, TransferError> {
        let setup = SetupPacket::new(
            Direction::In,
            RequestKind::Class,
            Recipient::Interface,
            requests::GET_ETHERNET_STATISTIC,
            selector,
            CONTROL_INTERFACE.into(),
            4,
        );
        let answer = self.perform(Operation::Control(setup), RawBuffer::heap(4)).unwrap()?;
        Ok(u32::from_le_bytes(answer.try_into().unwrap()))
    }

    pub fn transfer_out(&mut self, data: &[u8], zero_packet: bool) -> Option<Result<Vec<u8>, TransferError>> {
        let transfer_type = TransferType::Bulk;
        let operation = Operation::Transfer { endpoint: FRAMES_OUT, transfer_type, request: 0, zero_packet };
        self.perform(operation, Self::buffer(data))
    }

    pub fn transfer_in(&mut self, endpoint: u8, capacity: usize) -> Option<Result<Vec<u8>, TransferError>> {
        let transfer_type =
            if endpoint == NOTIFICATION_IN { TransferType::Interrupt } else { TransferType::Bulk };
        let operation =
            Operation::Transfer { endpoint, transfer_type, request: capacity, zero_packet: false };
        self.perform(operation, RawBuffer::heap(capacity))
    }

    pub fn send(&mut self, frame: &[u8]) {
        self.transfer_out(frame, true).expect("taken at once").unwrap();
    }

    pub fn receive(&mut self) -> Option<Vec<u8>> {
        self.transfer_in(FRAMES_IN, 4096).map(Result::unwrap)
    }

    pub fn receive_all(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.receive()).collect()
    }

    pub fn notification(&mut self) -> Option<Vec<u8>> {
        // One packet: a transfer goes on behind a full one.
        let size = self.dongle().options().notification.unwrap().packet_size;
        self.transfer_in(NOTIFICATION_IN, size.into()).map(Result::unwrap)
    }

    /// Lets the device act now; when it wants to act again.
    pub fn turn(&mut self) -> Option<Instant> {
        let wake = self.port.turn(self.now, &mut self.done);
        assert!(self.done.is_empty());
        wake
    }

    pub fn wait(&mut self, time: Duration) {
        self.now += time;
        self.turn();
    }
}
