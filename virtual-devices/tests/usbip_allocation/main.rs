//! No memory is allocated for a transfer over USB/IP once everything has its size: not by the session, the port, the dongle. It must not
//! know what a transfer is about.

// One allocator that counts serves the tests of all packages.
#[path = "../../../core/tests/allocation/sys.rs"]
mod sys;

use std::time::Instant;

use outboard_core::usb::usbip::operation::Request;
use outboard_core::usb::usbip::urb::{Submit, flags};
use outboard_core::usb::{Direction, SetupPacket};
use outboard_virtual_devices::ecm::{EcmDongle, EcmOptions, FRAMES_IN, FRAMES_OUT};
use outboard_virtual_devices::usbip::{Exports, Session};
use outboard_virtual_devices::wire::Wire;

#[global_allocator]
static ALLOCATOR: sys::Counting = sys::Counting;

/// Sends every frame back, in memory that goes round.
#[derive(Default)]
struct Mirror {
    frames: std::collections::VecDeque<Vec<u8>>,
    free: Vec<Vec<u8>>,
}

impl Wire for Mirror {
    fn to_wire(&mut self, frame: &[u8], _: Instant) {
        let mut memory = self.free.pop().unwrap_or_default();
        memory.clear();
        memory.extend_from_slice(frame);
        self.frames.push_back(memory);
    }

    fn from_wire(&mut self, frame: &mut Vec<u8>, _: Instant) -> bool {
        let Some(next) = self.frames.pop_front() else { return false };
        self.free.push(std::mem::replace(frame, next));
        true
    }
}

/// Transfers of one read, each way.
const BATCH: u32 = 16;

/// One read's worth of commands, from this seqnum on.
fn fill(commands: &mut Vec<u8>, mut seqnum: u32) {
    commands.clear();
    let submit = |seqnum, direction, endpoint: u8, length| Submit {
        seqnum,
        devid: 0x0001_0002,
        direction,
        endpoint: endpoint & 0x7f,
        flags: flags::ZERO_PACKET,
        length,
        interval: 0,
        setup: SetupPacket::from_bytes([0; 8]),
    };
    for n in 0..BATCH {
        let length = 60 + 90 * n;
        commands.extend_from_slice(&submit(seqnum, Direction::In, FRAMES_IN, 2048).to_bytes());
        commands.extend_from_slice(&submit(seqnum + 1, Direction::Out, FRAMES_OUT, length).to_bytes());
        commands.resize(commands.len() + length as usize, 2);
        seqnum += 2;
    }
}

#[test]
fn a_transfer_costs_no_allocation() {
    let exports = Exports::new();
    exports.add(EcmDongle::new(EcmOptions::default(), Mirror::default()));
    let now = Instant::now();
    let mut session = Session::new(exports, now);
    let mut send = |bytes: &[u8]| {
        assert_eq!(session.put(bytes), bytes.len());
        session.turn(now).unwrap();
        let answered = session.output().len();
        session.sent(answered);
        answered
    };
    send(&Request::import("1-1").unwrap());
    for (seqnum, setup) in
        [[0, 9, 1, 0, 0, 0, 0, 0], [1, 11, 1, 0, 1, 0, 0, 0], [0x21, 0x43, 1, 0, 0, 0, 0, 0]]
            .into_iter()
            .enumerate()
    {
        let submit = Submit {
            seqnum: seqnum as u32 + 1,
            devid: 0x0001_0002,
            direction: Direction::Out,
            endpoint: 0,
            flags: 0,
            length: 0,
            interval: 0,
            setup: SetupPacket::from_bytes(setup),
        };
        assert_eq!(send(&submit.to_bytes()), 48);
    }
    let mut commands = Vec::new();
    let data: u32 = (0..BATCH).map(|n| 60 + 90 * n).sum();
    let mut seqnum = 10;
    let mut round = |seqnum: &mut u32| {
        fill(&mut commands, *seqnum);
        *seqnum += 2 * BATCH;
        let before = sys::count();
        let answered = send(&commands);
        assert_eq!(answered, (2 * BATCH * 48 + data) as usize, "every transfer was answered, with its frame");
        sys::count() - before
    };
    for _ in 0..200 {
        round(&mut seqnum);
    }
    let allocations: u64 = (0..1000).map(|_| round(&mut seqnum)).sum();
    assert_eq!(allocations, 0, "in {} transfers", 1000 * 2 * BATCH);
}
