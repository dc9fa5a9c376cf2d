//! The machine on devices of each kind: what an application reads.

use super::*;
use crate::mapping::Options;
use outboard_core::family::hid::codes::*;

struct Device {
    machine: Machine,
    now: Duration,
}

impl Device {
    fn new(descriptor: &[u8]) -> Self {
        let descriptor = ReportDescriptor::parse(descriptor).unwrap();
        let options = Options { name: "test".into(), ..Options::default() };
        Self { machine: Machine::new(&descriptor, &Mapping::new(&descriptor, &options)), now: Duration::ZERO }
    }

    /// The events of a report, 8 ms after the one before.
    fn report(&mut self, bytes: &[u8]) -> Vec<String> {
        self.now += Duration::from_millis(8);
        let mut events = Events::default();
        self.machine.input(bytes, self.now, &mut events).unwrap();
        events.0
    }

    fn take(&mut self, act: impl FnOnce(&mut Machine, &mut Events)) -> Vec<String> {
        let mut events = Events::default();
        act(&mut self.machine, &mut events);
        events.0
    }
}

/// Without the kinds, which the codes' names begin with as well.
#[derive(Default)]
struct Events(Vec<String>);

impl Sink for Events {
    fn event(&mut self, node: usize, event: Event) {
        let text = event.to_string().split_once(' ').unwrap().1.replace("SYN_REPORT 0", "-");
        self.0.push(if node == 0 { text } else { format!("{node}: {text}") });
    }
}

fn scan(key: u8) -> String {
    format!("MSC_SCAN {}", 0x7_0000 | u32::from(key))
}

/// HID 1.11, E.6.
const KEYBOARD: &[u8] = &[
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, 0x75,
    0x01, 0x95, 0x08, 0x81, 0x02, 0x95, 0x01, 0x75, 0x08, 0x81, 0x01, 0x95, 0x05, 0x75, 0x01, 0x05, 0x08,
    0x19, 0x01, 0x29, 0x05, 0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91, 0x01, 0x95, 0x06, 0x75, 0x08, 0x15,
    0x00, 0x25, 0x65, 0x05, 0x07, 0x19, 0x00, 0x29, 0x65, 0x81, 0x00, 0xc0,
];

#[test]
fn keys_go_down_and_up_and_a_rollover_changes_nothing() {
    let mut keyboard = Device::new(KEYBOARD);
    let shift_a = keyboard.report(&[0x02, 0, 4, 0, 0, 0, 0, 0]);
    assert_eq!(shift_a, [&scan(0xe1), "KEY_LEFTSHIFT 1", &scan(4), "KEY_A 1", "-"]);
    assert_eq!(keyboard.report(&[0x02, 0, 4, 0, 0, 0, 0, 0]), [""; 0]);
    // Too many keys: modifiers count, the others stay as they are.
    assert_eq!(keyboard.report(&[0x00, 0, 1, 1, 1, 1, 1, 1]), [&scan(0xe1), "KEY_LEFTSHIFT 0", "-"]);
    assert_eq!(keyboard.report(&[0, 0, 5, 4, 0, 0, 0, 0]), [&scan(5), "KEY_B 1", "-"]);
    assert_eq!(keyboard.report(&[0; 8]), [&scan(5), "KEY_B 0", &scan(4), "KEY_A 0", "-"]);
}

#[test]
fn a_packet_that_is_too_long_is_split_as_linux_does() {
    let mut keyboard = Device::new(KEYBOARD);
    let events = keyboard.report(&[0, 0, 4, 5, 6, 7, 8, 9]);
    assert_eq!(events.iter().position(|event| event == "SYN_REPORT 1"), Some(8));
    assert_eq!(events.len(), 14);
}

#[test]
fn a_key_with_more_than_two_values_repeats_at_two() {
    let mut key = Device::new(&[
        0x05, 0x0c, 0x09, 1, 0xa1, 1, 0x09, 0xe2, 0x15, 0, 0x25, 3, 0x75, 8, 0x95, 1, 0x81, 2, 0xc0,
    ]);
    assert_eq!(key.report(&[2]), ["KEY_MUTE 2", "-"]);
    assert_eq!(key.report(&[3]), ["KEY_MUTE 3", "-"]);
    assert_eq!(key.report(&[2]), ["KEY_MUTE 2", "-"]);
    assert_eq!(key.report(&[0]), ["MSC_SCAN 786658", "KEY_MUTE 0", "-"]);
}

#[test]
fn nothing_stays_down_when_the_device_goes() {
    let mut keyboard = Device::new(KEYBOARD);
    keyboard.report(&[1, 0, 4, 0, 0, 0, 0, 0]);
    assert_eq!(keyboard.take(|machine, sink| machine.release(sink)), ["KEY_LEFTCTRL 0", "KEY_A 0", "-"]);
    assert_eq!(keyboard.take(|machine, sink| machine.release(sink)), [""; 0]);
}

#[test]
fn leds_become_an_output_report() {
    let mut keyboard = Device::new(KEYBOARD);
    let on = keyboard.machine.set_led(LED_CAPSL, true);
    assert_eq!(on, Some(OutputReport { id: 0, bytes: &[0b10] }));
    assert_eq!(keyboard.machine.set_led(LED_NUML, true).unwrap().bytes, [0b11]);
    assert_eq!(keyboard.machine.set_led(LED_MAIL, true), None);
    assert_eq!(
        keyboard.machine.led_reports().map(|report| report.bytes.to_vec()).collect::<Vec<_>>(),
        [[0b11]]
    );
}

#[test]
fn what_is_no_report_of_the_device_is_said_and_changes_nothing() {
    let mut keyboard = Device::new(KEYBOARD);
    let mut input =
        |bytes: &[u8]| keyboard.machine.input(bytes, Duration::ZERO, &mut |_, _| panic!("an event"));
    assert_eq!(input(&[]), Err(ReportError::Empty));
    assert_eq!(input(&[0; 7]), Err(ReportError::TooShort { id: 0, length: 7, needed: 8 }));
    let mut mouse = Device::new(WHEEL);
    let mut input = |bytes: &[u8]| mouse.machine.input(bytes, Duration::ZERO, &mut |_, _| panic!("an event"));
    assert_eq!(input(&[9, 0, 0]), Err(ReportError::Unknown(9)));
    assert_eq!(input(&[1, 0]), Err(ReportError::TooShort { id: 1, length: 2, needed: 5 }));
}

/// A mouse whose wheel has a resolution multiplier of 4.
const WHEEL: &[u8] = &[
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00, 0x85, 0x01, 0x05, 0x09, 0x19, 1, 0x29, 8,
    0x15, 0, 0x25, 1, 0x75, 1, 0x95, 8, 0x81, 2, 0x05, 1, 0x09, 0x30, 0x09, 0x31, 0x15, 0x81, 0x25, 0x7f,
    0x75, 8, 0x95, 2, 0x81, 6, 0xa1, 2, 0x09, 0x48, 0x15, 0, 0x25, 1, 0x35, 1, 0x45, 4, 0x75, 2, 0x95, 1,
    0x85, 2, 0xb1, 2, 0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x35, 0, 0x45, 0, 0x75, 8, 0x85, 1, 0x81, 6, 0xc0,
    0xc0, 0xc0,
];

#[test]
fn a_wheel_counts_in_fractions_of_a_detent() {
    let mut mouse = Device::new(WHEEL);
    assert_eq!(
        mouse.report(&[1, 1, 5, 0xfb, 0]),
        ["MSC_SCAN 589825", "BTN_LEFT 1", "REL_X 5", "REL_Y -5", "-"]
    );
    for _ in 0..3 {
        assert_eq!(mouse.report(&[1, 1, 0, 0, 1]), ["REL_WHEEL_HI_RES 30", "-"]);
    }
    assert_eq!(mouse.report(&[1, 1, 0, 0, 1]), ["REL_WHEEL 1", "REL_WHEEL_HI_RES 30", "-"]);
    assert_eq!(mouse.report(&[1, 1, 0, 0, 0xf8]), ["REL_WHEEL -2", "REL_WHEEL_HI_RES -240", "-"]);
}

#[test]
fn a_wheel_without_its_multiplier_counts_in_detents() {
    let descriptor = ReportDescriptor::parse(WHEEL).unwrap();
    let options = Options { multipliers_refused: true, ..Options::default() };
    let mut machine = Machine::new(&descriptor, &Mapping::new(&descriptor, &options));
    let mut events = Events::default();
    machine.input(&[1, 0, 0, 0, 1], Duration::ZERO, &mut events).unwrap();
    assert_eq!(events.0, ["REL_WHEEL 1", "REL_WHEEL_HI_RES 120", "-"]);
}

#[test]
fn a_hat_is_two_axes_and_a_null_is_the_middle() {
    let mut pad = Device::new(&[
        0x05, 0x01, 0x09, 0x05, 0xa1, 0x01, 0x09, 0x39, 0x15, 0, 0x25, 7, 0x75, 4, 0x95, 1, 0x81, 0x42, 0x05,
        9, 0x19, 1, 0x29, 4, 0x25, 1, 0x75, 1, 0x95, 4, 0x81, 2, 0x05, 1, 0x09, 0x30, 0x26, 0xff, 0, 0x75, 8,
        0x95, 1, 0x81, 0x42, 0xc0,
    ]);
    assert_eq!(
        pad.report(&[0x11, 0x80]),
        ["ABS_HAT0X 1", "ABS_HAT0Y -1", "MSC_SCAN 589825", "BTN_SOUTH 1", "ABS_X 128", "-"]
    );
    assert_eq!(pad.report(&[0x14, 0x80]), ["ABS_HAT0X 0", "ABS_HAT0Y 1", "-"]);
    assert_eq!(pad.report(&[0x1f, 0x80]), ["ABS_HAT0Y 0", "-"]);
}

#[test]
fn a_value_out_of_range_is_clamped_or_nothing() {
    let axis = |flags| {
        [0x05, 1, 0x09, 4, 0xa1, 1, 0x09, 0x30, 0x15, 0, 0x25, 100, 0x75, 8, 0x95, 1, 0x81, flags, 0xc0]
    };
    let mut clamped = Device::new(&axis(0x02));
    assert_eq!(clamped.report(&[200]), ["ABS_X 100", "-"]);
    let mut null = Device::new(&axis(0x42));
    assert_eq!(null.report(&[50]), ["ABS_X 50", "-"]);
    assert_eq!(null.report(&[200]), [""; 0]);
}

#[test]
fn a_relative_volume_presses_keys_and_a_hostile_one_not_for_ever() {
    // The mute key is why the node has keys at all.
    let mut knob = Device::new(&[
        0x05, 0x0c, 0x09, 1, 0xa1, 1, 0x09, 0xe0, 0x17, 0, 0, 0, 0x80, 0x27, 0xff, 0xff, 0xff, 0x7f, 0x75,
        32, 0x95, 1, 0x81, 6, 0x09, 0xe2, 0x15, 0, 0x25, 1, 0x75, 8, 0x81, 2, 0xc0,
    ]);
    let mut turn = |by: i32| knob.report(&[&by.to_le_bytes()[..], &[0]].concat());
    assert_eq!(
        turn(2),
        ["KEY_VOLUMEUP 1", "-", "KEY_VOLUMEUP 0", "-", "KEY_VOLUMEUP 1", "-", "KEY_VOLUMEUP 0", "-"]
    );
    assert_eq!(turn(i32::MIN).len(), 255 * 4);
}

/// A pen: tip, barrel, eraser, invert, in range, pressure.
const PEN: &[u8] = &[
    0x05, 0x0d, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x20, 0xa1, 0x00, 0x09, 0x42, 0x09, 0x44, 0x09, 0x45, 0x09,
    0x3c, 0x09, 0x32, 0x15, 0, 0x25, 1, 0x75, 1, 0x95, 5, 0x81, 2, 0x75, 3, 0x95, 1, 0x81, 3, 0x05, 1, 0x09,
    0x30, 0x26, 0xff, 0, 0x75, 8, 0x81, 2, 0xc0, 0xc0,
];

#[test]
fn a_pen_changes_tools_when_it_is_turned_over() {
    let mut pen = Device::new(PEN);
    let tip = "MSC_SCAN 852034";
    assert_eq!(pen.report(&[0b10001, 9]), [tip, "BTN_TOUCH 1", "BTN_TOOL_PEN 1", "ABS_X 9", "-"]);
    // Out of range: touch ends before the tool goes.
    assert_eq!(pen.report(&[0b00000, 9]), [tip, "BTN_TOUCH 0", "BTN_TOOL_PEN 0", "-"]);
    // Turned over, and erasing.
    assert_eq!(pen.report(&[0b11000, 9]), ["BTN_TOOL_RUBBER 1", "-"]);
    let erase = pen.report(&[0b11100, 9]);
    assert_eq!(erase, ["MSC_SCAN 852037", "BTN_TOUCH 1", "-"]);
    assert_eq!(pen.report(&[0, 9]), ["MSC_SCAN 852037", "BTN_TOUCH 0", "BTN_TOOL_RUBBER 0", "-"]);
}

/// A certified touch screen with two contacts in a report: tip, id, x, y each; contact count, scan time.
fn touch_screen(application: u8) -> Vec<u8> {
    let contact: &[u8] = &[
        0x05, 0x0d, 0x09, 0x22, 0xa1, 2, 0x09, 0x42, 0x15, 0, 0x25, 1, 0x75, 1, 0x95, 1, 0x81, 2, 0x75, 7,
        0x81, 3, 0x09, 0x51, 0x25, 0x7f, 0x75, 8, 0x81, 2, 0x05, 1, 0x09, 0x30, 0x09, 0x31, 0x26, 0xff, 0,
        0x95, 2, 0x81, 2, 0xc0,
    ];
    let head: &[u8] = &[0x05, 0x0d, 0x09, application, 0xa1, 1, 0x85, 1];
    let tail: &[u8] = &[
        0x05, 0x0d, 0x09, 0x54, 0x25, 10, 0x95, 1, 0x75, 8, 0x81, 2, 0x09, 0x56, 0x27, 0xff, 0xff, 0, 0,
        0x75, 16, 0x81, 2, 0x85, 2, 0x09, 0x55, 0x25, 10, 0x75, 8, 0xb1, 2, 0x06, 0, 0xff, 0x09, 0xc5, 0x85,
        3, 0x26, 0xff, 0, 0x96, 0, 1, 0xb1, 2, 0xc0,
    ];
    [head, contact, contact, tail].concat()
}

#[test]
fn contacts_have_slots_and_tracking_ids_and_are_a_pointer() {
    let mut screen = Device::new(&touch_screen(0x04));
    let first = screen.report(&[1, 1, 5, 10, 20, 1, 6, 30, 40, 2, 10, 0]);
    let contacts = ["ABS_MT_TRACKING_ID 0", "ABS_MT_POSITION_X 10", "ABS_MT_POSITION_Y 20", "ABS_MT_SLOT 1"];
    let second = ["ABS_MT_TRACKING_ID 1", "ABS_MT_POSITION_X 30", "ABS_MT_POSITION_Y 40"];
    let pointer = ["BTN_TOUCH 1", "ABS_X 10", "ABS_Y 20", "MSC_TIMESTAMP 0", "-"];
    assert_eq!(first, [&contacts[..], &second, &pointer].concat());
    // The first lifts: the second becomes the pointer. 10 ms later by the device's clock.
    let lifted = screen.report(&[1, 0, 5, 10, 20, 1, 6, 31, 40, 2, 110, 0]);
    let slots = ["ABS_MT_SLOT 0", "ABS_MT_TRACKING_ID -1", "ABS_MT_SLOT 1", "ABS_MT_POSITION_X 31"];
    assert_eq!(lifted, [&slots[..], &["ABS_X 31", "ABS_Y 40", "MSC_TIMESTAMP 10000", "-"]].concat());
}

#[test]
fn a_contact_that_is_not_mentioned_any_more_is_lifted() {
    let mut screen = Device::new(&touch_screen(0x04));
    screen.report(&[1, 1, 5, 10, 20, 0, 0, 0, 0, 1, 0, 0]);
    let deadline = screen.machine.deadline().unwrap();
    assert_eq!(deadline, screen.now + Duration::from_millis(100));
    let early = deadline - Duration::from_millis(1);
    assert_eq!(screen.take(|machine, sink| machine.timeout(early, sink)), [""; 0]);
    let lifted = screen.take(|machine, sink| machine.timeout(deadline, sink));
    assert_eq!(lifted, ["ABS_MT_TRACKING_ID -1", "BTN_TOUCH 0", "-"]);
    assert_eq!(screen.machine.deadline(), None);
}

#[test]
fn fingers_on_a_pad_are_counted_and_a_frame_may_span_reports() {
    let mut pad = Device::new(&touch_screen(0x05));
    // Three fingers in two reports; the second says 0 contacts and has the same time.
    assert_eq!(
        pad.report(&[1, 1, 5, 10, 20, 1, 6, 30, 40, 3, 10, 0]).last().unwrap(),
        "ABS_MT_POSITION_Y 40"
    );
    let rest = pad.report(&[1, 1, 7, 50, 60, 0, 0, 0, 0, 0, 10, 0]);
    let third = ["ABS_MT_SLOT 2", "ABS_MT_TRACKING_ID 2", "ABS_MT_POSITION_X 50", "ABS_MT_POSITION_Y 60"];
    let end = ["BTN_TOUCH 1", "BTN_TOOL_TRIPLETAP 1", "ABS_X 10", "ABS_Y 20", "MSC_TIMESTAMP 0", "-"];
    assert_eq!(rest, [&third[..], &end].concat());
    let released = pad.take(|machine, sink| machine.release(sink));
    assert!(
        released.contains(&"BTN_TOOL_TRIPLETAP 0".to_owned()) && released.last().unwrap() == "-",
        "{released:?}"
    );
}
