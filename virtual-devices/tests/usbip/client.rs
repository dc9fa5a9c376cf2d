//! A client written by hand: it sends what a test wants, right or wrong, and tells the answers apart. It must not know the server's code.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outboard_core::usb::usbip::operation::{self, DEVICE, Exported, HEADER as OPERATION, Request, Status};
use outboard_core::usb::usbip::urb::{Command, HEADER, Reply, Returned, Submit};
use outboard_core::usb::{Direction, Recipient, RequestKind, SetupPacket, standard};
use outboard_virtual_devices::usbip::{Exports, PeerError, Session};

/// The way to the server.
pub(crate) trait Way {
    fn send(&mut self, bytes: &[u8]);
    /// The next bytes; `None`: they are not there, and nothing says that they will come.
    fn receive(&mut self, count: usize) -> Option<Vec<u8>>;
}

/// A session in this process, and what time it is there.
pub(crate) struct ByHand {
    pub(crate) session: Session,
    pub(crate) now: Instant,
}

impl ByHand {
    pub(crate) fn new(exports: &Exports) -> Self {
        let now = Instant::now();
        Self { session: Session::new(exports.clone(), now), now }
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.turn().unwrap();
    }

    pub(crate) fn turn(&mut self) -> Result<Option<Instant>, PeerError> {
        loop {
            // What has more to do at once is called again at once.
            let wake = self.session.turn(self.now)?;
            if wake != Some(self.now) {
                return Ok(wake);
            }
        }
    }

    /// What the server makes of these bytes.
    pub(crate) fn try_send(&mut self, mut bytes: &[u8]) -> Result<(), PeerError> {
        while !bytes.is_empty() && !self.session.is_over() {
            let count = self.session.put(bytes);
            bytes = &bytes[count..];
            self.turn()?;
            assert!(count > 0 || self.session.is_held(), "it takes nothing");
            if count == 0 {
                break;
            }
        }
        Ok(())
    }
}

impl Way for ByHand {
    fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    fn receive(&mut self, count: usize) -> Option<Vec<u8>> {
        self.turn().unwrap();
        let bytes = self.session.output().get(..count)?.to_vec();
        self.session.sent(count);
        Some(bytes)
    }
}

/// A client that has imported a device.
pub(crate) struct Client<W> {
    pub(crate) way: W,
    pub(crate) devid: u32,
    pub(crate) next: u32,
    submitted: BTreeMap<u32, Direction>,
}

/// An answer with its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Returned { seqnum: u32, status: i32, length: u32, data: Vec<u8> },
    Unlinked { seqnum: u32, status: i32 },
}

pub(crate) fn import(way: &mut impl Way, bus_id: &str) -> Result<Exported, Status> {
    way.send(&Request::import(bus_id).unwrap());
    let header = way.receive(OPERATION).expect("an answer");
    match operation::import_reply(header[..].try_into().unwrap()).unwrap() {
        Status::Ok => {
            let device = way.receive(DEVICE).expect("a device");
            Ok(Exported::parse(device[..].try_into().unwrap()).unwrap().0)
        }
        refused => Err(refused),
    }
}

pub(crate) fn list(way: &mut impl Way) -> Vec<Exported> {
    way.send(&Request::list());
    let header = way.receive(OPERATION).expect("an answer");
    assert_eq!(operation::list_reply(header[..].try_into().unwrap()), Ok(Status::Ok));
    let count = way.receive(4).unwrap().try_into().unwrap();
    let device = |_| {
        let bytes = way.receive(DEVICE).expect("a device");
        let (device, interfaces) = Exported::parse(bytes[..].try_into().unwrap()).unwrap();
        let interfaces = (0..interfaces).map(|_| {
            let [class, subclass, protocol, 0] = way.receive(4).unwrap()[..] else { panic!() };
            [class, subclass, protocol]
        });
        Exported { interfaces: interfaces.collect(), ..device }
    };
    (0..operation::device_count(count).unwrap()).map(device).collect()
}

impl<W: Way> Client<W> {
    pub(crate) fn new(mut way: W, bus_id: &str) -> Result<Self, Status> {
        let device = import(&mut way, bus_id)?;
        Ok(Self::over(way, device.devid(), 1))
    }

    /// A client of a device that was imported over this connection.
    pub(crate) fn over(way: W, devid: u32, next: u32) -> Self {
        Self { way, devid, next, submitted: BTreeMap::new() }
    }

    /// A transfer as the kernel would submit it.
    pub(crate) fn transfer(&self, direction: Direction, endpoint: u8, length: usize) -> Submit {
        Submit {
            seqnum: self.next,
            devid: self.devid,
            direction,
            endpoint,
            flags: 0,
            length: length as u32,
            interval: 0,
            setup: SetupPacket::from_bytes([0; 8]),
        }
    }

    pub(crate) fn submit(&mut self, submit: Submit, data: &[u8]) -> u32 {
        self.submitted.insert(submit.seqnum, submit.direction);
        self.next = submit.seqnum + 1;
        self.way.send(&[&submit.to_bytes()[..], data].concat());
        submit.seqnum
    }

    /// Another client's transfer will be returned to this one.
    pub(crate) fn expect(&mut self, seqnum: u32, direction: Direction) {
        self.submitted.insert(seqnum, direction);
    }

    pub(crate) fn submit_in(&mut self, endpoint: u8, length: usize) -> u32 {
        self.submit(self.transfer(Direction::In, endpoint & 0x7f, length), &[])
    }

    pub(crate) fn submit_out(&mut self, endpoint: u8, data: &[u8]) -> u32 {
        self.submit(self.transfer(Direction::Out, endpoint, data.len()), data)
    }

    pub(crate) fn unlink(&mut self, victim: u32) -> u32 {
        let seqnum = self.next;
        self.next += 1;
        let unlink = Command::Unlink { seqnum, devid: self.devid, victim };
        self.way.send(&unlink.to_bytes());
        seqnum
    }

    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let header = self.way.receive(HEADER)?;
        Some(match Reply::parse(header[..].try_into().unwrap()).unwrap() {
            Reply::Returned(Returned { seqnum, status, actual_length }) => {
                let direction = self.submitted.remove(&seqnum).expect("a transfer that is not returned yet");
                let data = if direction == Direction::In { actual_length as usize } else { 0 };
                let data = self.way.receive(data).expect("its data");
                Answer::Returned { seqnum, status, length: actual_length, data }
            }
            Reply::Unlinked { seqnum, status } => Answer::Unlinked { seqnum, status },
        })
    }

    pub(crate) fn answers(&mut self) -> Vec<Answer> {
        std::iter::from_fn(|| self.answer()).collect()
    }

    /// A control transfer without data or with an answer, done at once.
    pub(crate) fn control(&mut self, setup: SetupPacket, data: &[u8]) -> Result<Vec<u8>, i32> {
        let is_in = setup.direction() == Direction::In && setup.length > 0;
        let direction = if is_in { Direction::In } else { Direction::Out };
        let submit = Submit { setup, ..self.transfer(direction, 0, setup.length.into()) };
        let sent = self.submit(submit, data);
        match self.answer() {
            Some(Answer::Returned { seqnum, status: 0, data, .. }) if seqnum == sent => Ok(data),
            Some(Answer::Returned { seqnum, status, .. }) if seqnum == sent => Err(status),
            other => panic!("{other:?} in place of an answer to {setup}"),
        }
    }

    pub(crate) fn get(
        &mut self,
        recipient: Recipient,
        request: u8,
        value: u16,
        index: u16,
        length: u16,
    ) -> Result<Vec<u8>, i32> {
        let standard = RequestKind::Standard;
        self.control(SetupPacket::new(Direction::In, standard, recipient, request, value, index, length), &[])
    }

    pub(crate) fn set(
        &mut self,
        recipient: Recipient,
        request: u8,
        value: u16,
        index: u16,
    ) -> Result<(), i32> {
        let standard = RequestKind::Standard;
        self.control(SetupPacket::new(Direction::Out, standard, recipient, request, value, index, 0), &[])
            .map(drop)
    }

    pub(crate) fn descriptor(&mut self, kind: u8, index: u8, length: u16) -> Result<Vec<u8>, i32> {
        self.get(Recipient::Device, standard::GET_DESCRIPTOR, u16::from_be_bytes([kind, index]), 0, length)
    }

    /// Configuration 1, the data interface's setting 1, and every frame passes.
    pub(crate) fn start_ecm(&mut self) {
        self.set(Recipient::Device, standard::SET_CONFIGURATION, 1, 0).unwrap();
        self.set(Recipient::Interface, standard::SET_INTERFACE, 1, 1).unwrap();
        let filter =
            SetupPacket::new(Direction::Out, RequestKind::Class, Recipient::Interface, 0x43, 1, 0, 0);
        self.control(filter, &[]).unwrap();
    }
}
