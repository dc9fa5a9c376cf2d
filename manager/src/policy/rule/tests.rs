//! Rules as text, and held against a function.

use super::*;
use proptest::prelude::*;

fn rule(text: &str) -> Rule {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

const SUBJECT: Subject<'static> = Subject {
    port: "1-2.3",
    vendor_id: 0x0525,
    product_id: 0xa4a2,
    serial: Some("A#1 %é:"),
    driver: Some("usb-ecm"),
    interfaces: &[0, 1],
};

#[test]
fn each_way_to_name_a_function_matches_it_and_no_other() {
    let same = [
        ("1-2.3", "1-2.3", Breadth::Place),
        (" 1-2.3#0 ", "1-2.3#0", Breadth::Place),
        ("525:A4A2", "0525:a4a2", Breadth::Kind),
        ("0525:a4a2#001", "0525:a4a2#1", Breadth::Kind),
        ("0525:a4a2:A%231 %25é:", "0525:a4a2:A%231%20%25%C3%A9:", Breadth::Specimen),
        ("serial=A%231%20%25%c3%a9:#1", "serial=A%231%20%25%C3%A9:#1", Breadth::Specimen),
        ("driver=usb-ecm", "driver=usb-ecm", Breadth::Driver),
    ];
    for (text, display, breadth) in same {
        assert_eq!((rule(text).to_string().as_str(), rule(text).breadth()), (display, breadth));
        assert_eq!(rule(display), rule(text));
        assert!(rule(text).matches(&SUBJECT), "{text}");
    }
    let others =
        ["1-2", "1-2.3.1", "1-2.3#2", "0525:a4a3", "0525:a4a2:A", "0526:a4a2:A%231 %25é:", "serial=a"];
    for text in others.into_iter().chain(["driver=usb-serial-ftdi", "driver=usb-ecm#7"]) {
        assert!(!rule(text).matches(&SUBJECT), "{text}");
    }
    let plain = Subject { serial: None, driver: None, ..SUBJECT };
    assert!(!rule("serial=A").matches(&plain) && !rule("driver=usb-ecm").matches(&plain));
    // The serial number of a device may look like the rest of a rule.
    assert!(rule("0525:a4a2:1:2").matches(&Subject { serial: Some("1:2"), ..SUBJECT }));
}

#[test]
fn what_is_no_rule_says_how_one_is_written() {
    let errors = [
        ("", "'' says nothing that could be given: name a place (1-2.3)"),
        ("usb1", "'usb1' says nothing"),
        ("1-2\u{1b}[2J", "'1-2?[2J' says nothing"),
        ("0525:", "'0525:' says nothing"),
        (":::", "':::' says nothing"),
        ("1-2#", "'#' names no interface: it must be a number from 0 to 255"),
        ("1-2#256", "'#256' names no interface"),
        ("1-2#+1", "'#+1' names no interface"),
        ("0525:a4a2:", "'' is no serial number: it is empty"),
        ("serial=50%", "'50%' is no serial number: a % is written %25"),
        ("serial=%ff", "'%ff' is no serial number: its %XX are no UTF-8"),
        ("serial=a#b#1", "'a#b' is no serial number: a # in it is written %23"),
        ("driver=Usb", "'Usb' is no driver's name"),
    ];
    for (text, begin) in errors {
        let error = text.parse::<Rule>().unwrap_err().to_string();
        assert!(error.starts_with(begin), "{error}");
    }
    let long = format!("serial={}", "x".repeat(127));
    assert!(
        long.parse::<Rule>().unwrap_err().to_string().ends_with("no device has more than 126 characters")
    );
    assert_eq!("x".repeat(1201).parse::<Rule>(), Err(ParseRuleError::TooLong(1201)));
    assert!(format!("1-{}", "1.".repeat(40)).parse::<Rule>().is_err());
}

proptest! {
    #[test]
    fn any_text_is_a_rule_that_reads_back_or_an_error(text in "(serial=|0525:a4a2:|driver=|1-)?\\PC{0,40}(#[0-9]{1,3})?") {
        if let Ok(rule) = text.parse::<Rule>() {
            prop_assert_eq!(rule.to_string().parse::<Rule>(), Ok(rule));
        }
    }

    #[test]
    fn every_serial_number_can_be_given(serial in "\\p{Any}{1,63}", interface: Option<u8>) {
        let rule = Rule { what: What::Serial { ids: None, serial: serial.clone() }, interface };
        let text = rule.to_string();
        prop_assert!(text.len() <= MAX_TEXT && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'));
        prop_assert_eq!(text.parse::<Rule>(), Ok(rule.clone()));
        let interfaces = [interface.unwrap_or(3)];
        let subject = Subject { serial: Some(&serial), interfaces: &interfaces, ..SUBJECT };
        prop_assert!(rule.matches(&subject));
    }
}
