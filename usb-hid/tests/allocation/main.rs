//! No memory is allocated for a report: not for keys, nor for contacts, nor for reports that are none.

// One allocator that counts serves the tests of all packages.
#[path = "../../../core/tests/allocation/sys.rs"]
mod sys;

use outboard_core::family::hid::Event;
use outboard_usb_hid::machine::Machine;
use outboard_usb_hid::mapping::{Mapping, Options};
use outboard_usb_hid::proto::report::ReportDescriptor;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: sys::Counting = sys::Counting;

/// HID 1.11, E.6.
const KEYBOARD: &[u8] = &[
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, 0x75,
    0x01, 0x95, 0x08, 0x81, 0x02, 0x95, 0x01, 0x75, 0x08, 0x81, 0x01, 0x95, 0x06, 0x75, 0x08, 0x15, 0x00,
    0x25, 0x65, 0x05, 0x07, 0x19, 0x00, 0x29, 0x65, 0x81, 0x00, 0xc0,
];

/// A touch screen: tip, contact id, x, y, and the number of contacts.
const TOUCH: &[u8] = &[
    0x05, 0x0d, 0x09, 0x04, 0xa1, 0x01, 0x09, 0x22, 0xa1, 0x02, 0x09, 0x42, 0x15, 0x00, 0x25, 0x01, 0x75,
    0x08, 0x95, 0x01, 0x81, 0x02, 0x09, 0x51, 0x25, 0x7f, 0x81, 0x02, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31,
    0x26, 0xff, 0x00, 0x95, 0x02, 0x81, 0x02, 0xc0, 0x05, 0x0d, 0x09, 0x54, 0x25, 0x0a, 0x95, 0x01, 0x81,
    0x02, 0xc0,
];

#[test]
fn the_count_counts() {
    let before = sys::count();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(sys::count(), before + 1);
}

/// Every report differs from the one before, and some are refused.
fn events_and_allocations(descriptor: &[u8], length: usize) -> (u64, u64) {
    let descriptor = ReportDescriptor::parse(descriptor).unwrap();
    let mut machine = Machine::new(&descriptor, &Mapping::new(&descriptor, &Options::default()));
    let mut report = [0u8; 16];
    let mut events = 0;
    let before = sys::count();
    for n in 0..20_000u32 {
        for (at, byte) in report[..length].iter_mut().enumerate() {
            *byte =
                (n.wrapping_mul(2_654_435_761) >> (at % 4 * 8)) as u8 & if at % 5 == 0 { 1 } else { 0x3f };
        }
        let now = Duration::from_millis(u64::from(n) * 40);
        let mut sink = |_: usize, _: Event| events += 1;
        machine.timeout(now, &mut sink);
        let length = if n % 7 == 0 { length - 1 } else { length };
        let _refused = machine.input(&report[..length], now, &mut sink);
    }
    machine.release(&mut |_: usize, _: Event| events += 1);
    (events, sys::count() - before)
}

#[test]
fn a_report_allocates_nothing() {
    for (descriptor, length) in [(KEYBOARD, 8), (TOUCH, 5)] {
        let (events, allocations) = events_and_allocations(descriptor, length);
        assert!(events > 10_000, "{events} events of 20,000 reports");
        assert_eq!(allocations, 0, "allocations in 20,000 reports");
    }
}
