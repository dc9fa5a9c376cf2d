//! Reading the text of manifests.

use super::super::*;
use super::{HEAD, faults};
use crate::usb::Speed;
use proptest::prelude::*;

const MATCH: &str = "[[match]]\ninterface-class = 2\n";

fn good() -> String {
    format!("{HEAD}{MATCH}")
}

/// The faults of a good manifest in which one line has become another.
fn changed(line: &str, other: &str) -> Vec<String> {
    let text = good();
    assert!(text.contains(line), "{line}");
    faults(&text.replace(line, other))
}

/// The faults of a manifest whose only alternative is this; it begins in line 9.
fn alternative(text: &str) -> Vec<String> {
    faults(&format!("{HEAD}[[match]]\n{text}\n"))
}

#[test]
fn everything_that_can_be_said_is_read() {
    let text = format!(
        "{}priority = -7\n[[match]]\nvendor-id = 0x0403\nproduct-id = [0x6001, 24597]\n\
         device-version = {{ min = 0x0200, max = 0x0699 }}\nserial-number = \"FTAB\"\nport = [\"1-2\", \"3-4.1\"]\n\
         device-class = 0\ndevice-subclass = 0\ndevice-protocol = 0\ninterface-class = 0xff\ninterface-subclass = 0xff\n\
         interface-protocol = [0xff, 1]\ninterface-number = 0\nconfiguration = 1\nspeed = [\"full\", \"high\"]\n{MATCH}",
        HEAD.replace("\"ethernet\"", "\"serial\"").replace("family.ethernet", "family.serial"),
    );
    let manifest = parse(&text, &Expected { name: Some("acme"), built_in: Some(&[]) }).unwrap();
    assert_eq!(manifest.name, "acme");
    assert_eq!(manifest.version, Version::new(1, 2, 3));
    assert_eq!(manifest.display_name, "ACME");
    assert_eq!(manifest.usage_description, "Does what ACME's devices do.");
    assert_eq!(manifest.program, Program::Path("/usr/libexec/outboard/acme".into()));
    assert_eq!((manifest.family, manifest.priority), (Family::Serial, -7));
    assert_eq!(manifest.entitlements, [Entitlement::TransportUsb, Entitlement::Family(Family::Serial)]);
    assert!(!manifest.is_entitled(Entitlement::Family(Family::Hid)));
    assert_eq!(manifest.alternatives.len(), 2);
    let criteria: Vec<_> = manifest.alternatives[0].criteria().collect();
    assert_eq!(criteria.iter().map(|(criterion, _)| *criterion).collect::<Vec<_>>(), Criterion::ALL);
    let wanted = |criterion| criteria.iter().find(|one| one.0 == criterion).unwrap().1.clone();
    assert_eq!(wanted(Criterion::ProductId), Wanted::Numbers(vec![0x6001, 0x6015]));
    assert_eq!(wanted(Criterion::DeviceVersion), Wanted::Range(0x0200, 0x0699));
    assert_eq!(wanted(Criterion::Port), Wanted::Texts(vec!["1-2".into(), "3-4.1".into()]));
    assert_eq!(wanted(Criterion::Speed), Wanted::Speeds(vec![Speed::Full, Speed::High]));
}

#[test]
fn unknown_keys_are_faults_with_line_and_key() {
    let known =
        "name, version, display-name, usage-description, program, family, priority, entitlements, match";
    assert_eq!(
        changed("family =", "colour = 1\nfamily ="),
        [format!("line 6: colour is unknown; known are {known}")]
    );
    assert_eq!(
        changed(MATCH, "[[match]]\ninterface-class = 2\n[[match]]\nvendorid = 1\ninterface-class = 3\n"),
        ["line 11: match[2].vendorid is unknown; did you mean vendor-id?"]
    );
    for wrong in [
        "interface_subclass",
        "interface-subclas",
        "Interface-Subclass",
        "interface-sublcass",
        "interface-subclasses",
    ] {
        let text = format!("interface-class = 2\n{wrong} = 6");
        assert!(alternative(&text)[0].contains(wrong), "{wrong}");
        let hint = alternative(&text)[0].ends_with("did you mean interface-subclass?");
        assert_eq!(hint, wrong != "interface-subclasses", "{wrong}");
    }
    assert_eq!(
        alternative("vendor-id = 1\nproduct-id = 1\ndevice-version = { from = 1 }"),
        [
            "line 11: match[1].device-version.from is unknown; known are min, max",
            "line 11: match[1].device-version is a range without end; leave it out, or name min or max",
        ]
    );
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_their_lines() {
    let text =
        good().replace("1.2.3", "1.2").replace("= 2", "= 256").replace("name = \"acme\"", "name = \"Acme\"");
    let told = faults(&text);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("line 1: name is \"Acme\"; it can have lower-case letters"), "{told:?}");
    assert!(told[1].starts_with("line 2: version is \"1.2\"; it must be like 1.2.3"), "{told:?}");
    assert_eq!(told[2], "line 9: match[1].interface-class is 256; it can be 0x00 to 0xff");
}

#[test]
fn what_is_missing_is_told() {
    for key in ["name", "version", "display-name", "usage-description", "program", "family", "entitlements"] {
        let text: Vec<_> = HEAD.lines().filter(|line| !line.starts_with(&format!("{key} ="))).collect();
        assert_eq!(faults(&format!("{}\n{MATCH}", text.join("\n"))), [format!("{key} is missing")]);
    }
    assert_eq!(faults(HEAD), ["[[match]] is missing: the driver would be for no device"]);
    assert_eq!(
        faults(&format!("{HEAD}match = []")),
        ["[[match]] is missing: the driver would be for no device"]
    );
    assert_eq!(faults("").len(), 8);
}

#[test]
fn names_programs_and_priorities_are_checked() {
    let name = |name: &str| changed("\"acme\"", &format!("\"{name}\"")).len();
    for bad in ["", " ", "a b", "a/b", "..", "-a", "a-", "1a", "ä", &"a".repeat(33), "a\\u0000", "a\\n"] {
        assert_eq!(name(bad), 1, "{bad}");
    }
    for good in ["a", "a1", "usb-serial-ftdi", &"a".repeat(32)] {
        assert!(is_name(good));
    }
    let program = |text: &str| changed("/usr/libexec/outboard/acme", text);
    for bad in ["acme", "./acme", "/usr/../acme", "/usr/bin/", "", "builtin:", "builtin:A", "/a\\u0007"] {
        assert_eq!(program(bad).len(), 1, "{bad}");
    }
    assert_eq!(program(&format!("/{}", "ä".repeat(600))).len(), 1);
    let text = good().replace("/usr/libexec/outboard/acme", "builtin:usb-hub");
    assert!(parse(&text, &Expected::default()).is_ok());
    let told = parse(&text, &Expected { built_in: Some(&["usb-ecm", "usb-hid"]), ..Expected::default() })
        .unwrap_err();
    assert_eq!(
        told[0].to_string(),
        "line 5: program is \"builtin:usb-hub\", and there is no such driver built in; there are usb-ecm, usb-hid"
    );
    assert_eq!(
        changed("family =", "priority = 1001\nfamily ="),
        ["line 6: priority is 1001; it can be -1000 to 1000"]
    );
    let told = parse(&good(), &Expected { name: Some("other"), ..Expected::default() }).unwrap_err();
    assert_eq!(
        told[0].to_string(),
        "line 1: name is \"acme\", but the file is called other.toml; the two must agree"
    );
}

#[test]
fn texts_for_people_cannot_steer_a_terminal() {
    assert_eq!(changed("\"ACME\"", "\"A\\u001b[2J\""), ["line 3: display-name contains a control character"]);
    assert_eq!(changed("\"ACME\"", &format!("\"{}\"", "x".repeat(81))).len(), 1);
    let told = changed("\"ethernet\"", "\"a\\u009bb\"");
    assert!(told.iter().all(|line| !line.chars().any(char::is_control)), "{told:?}");
    let told = changed("family =", "\"a\\u001b[2J\" = 1\nfamily =");
    assert!(told[0].starts_with("line 6: a?[2J is unknown"), "{told:?}");
}

#[test]
fn entitlements_have_the_transport_and_the_family() {
    let list = |text: &str| changed("[\"transport.usb\", \"family.ethernet\"]", text);
    assert_eq!(list("[]"), ["line 7: entitlements is an empty list, which nothing can match"]);
    assert_eq!(
        list("[\"transport.usb\"]"),
        ["line 7: entitlements lacks \"family.ethernet\", which family = \"ethernet\" needs"]
    );
    assert_eq!(
        list("\"family.ethernet\""),
        ["line 7: entitlements lacks \"transport.usb\", which every driver needs"]
    );
    assert_eq!(
        list("[\"transport.usb\", \"root\"]"),
        [
            "line 7: entitlements is \"root\"; it can be transport.usb, family.ethernet, family.serial, family.hid"
        ]
    );
}

#[test]
fn criteria_that_make_no_sense_are_refused() {
    assert_eq!(
        alternative(""),
        ["line 8: match[1] is empty: it would match every device; name at least interface-class"]
    );
    assert_eq!(
        alternative("speed = \"high\""),
        [
            "line 8: match[1] has speed alone, which does not tell what a device is; name at least interface-class"
        ]
    );
    for (criterion, needed) in Criterion::ALL.iter().filter_map(|one| Some((*one, one.needs()?))) {
        let value = if criterion == Criterion::SerialNumber { "\"x\"" } else { "1" };
        let told = alternative(&format!("{criterion} = {value}"));
        assert_eq!(told, [format!("line 8: match[1] has {criterion}, which needs {needed} beside it")]);
    }
}

#[test]
fn values_of_the_wrong_type_or_size_are_refused() {
    let told = |text: &str| alternative(text).first().cloned().unwrap_or_default();
    for (text, wanted) in [
        ("vendor-id = \"0525\"", "match[1].vendor-id is a string; it must be a number, such as 3 or 0x1f"),
        ("vendor-id = 65536", "match[1].vendor-id is 65536; it can be 0x0000 to 0xffff"),
        ("vendor-id = -1", "match[1].vendor-id is -1; it can be 0x0000 to 0xffff"),
        (
            "vendor-id = 0xffffffffffffffffffffff",
            "match[1].vendor-id is 0xffffffffffffffffffffff; it can be 0x0000 to 0xffff",
        ),
        ("vendor-id = 1.5", "match[1].vendor-id is a fraction; it must be a number, such as 3 or 0x1f"),
        ("vendor-id = [[1]]", "match[1].vendor-id is a list; it must be a number, such as 3 or 0x1f"),
        ("vendor-id = []", "match[1].vendor-id is an empty list, which nothing can match"),
        ("vendor-id = true", "match[1].vendor-id is true or false; it must be a number, such as 3 or 0x1f"),
        ("port = \"1-\"", "match[1].port is \"1-\"; it must be bus-port.port, such as 1-2.3"),
        ("port = \"0525:a4a2\"", "match[1].port is \"0525:a4a2\"; it must be bus-port.port, such as 1-2.3"),
        ("speed = \"480\"", "match[1].speed is \"480\"; it can be low, full, high, super, super-plus"),
        ("device-version = { min = 2, max = 1 }", "match[1].device-version has min 0x0002 above max 0x0001"),
        (
            "device-version = {}",
            "match[1].device-version is a range without end; leave it out, or name min or max",
        ),
        (
            "device-version = []",
            "match[1].device-version is a list; it must be a number, or a table such as { min = 0x0100, max = 0x01ff }",
        ),
    ] {
        assert_eq!(told(text), format!("line 9: {wanted}"));
    }
    let many: Vec<_> = (0..257).map(|n| n.to_string()).collect();
    assert_eq!(
        told(&format!("vendor-id = [{}]", many.join(", "))),
        "line 9: match[1].vendor-id has 257 elements, of 256 at most"
    );
    assert_eq!(changed(MATCH, "match = 3\n"), ["line 8: match is a number; it must be written as [[match]]"]);
    assert_eq!(
        changed(MATCH, "match = [3]\n"),
        ["line 8: match[1] is a number; it must be written as [[match]]"]
    );
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    let told = faults(&good().replace("family = ", "family "));
    assert!(told.len() == 1 && told[0].starts_with("line 6: is no TOML: "), "{told:?}");
    let twice = faults(&good().replace("family = ", "name = \"x\"\nfamily = "));
    assert!(twice[0].starts_with("line 6: is no TOML: duplicate key"), "{twice:?}");
}

#[test]
fn size_depth_and_count_are_bounded() {
    let long = format!("# {}\n{}", "x".repeat(limit::BYTES), good());
    assert_eq!(faults(&long), ["is longer than the 65536 bytes that a manifest may have"]);
    let wide: String = (0..1000).map(|n| format!("k{n} = 1\n")).collect();
    assert_eq!(faults(&wide).len(), limit::FAULTS);
    for (open, close) in [("[", "]"), ("{a=", "}")] {
        let deep = format!("a = {}1{}", open.repeat(10_000), close.repeat(10_000));
        assert!(!faults(&deep).is_empty());
    }
    let dotted = format!("{} = 1", vec!["a"; 30_000].join("."));
    assert!(!faults(&dotted).is_empty());
    assert!(!faults(&format!("[{}]", vec!["a"; 30_000].join("."))).is_empty());
    let many = format!("{HEAD}{}", "[[match]]\nport='1-1'\n".repeat(limit::ALTERNATIVES + 1));
    assert_eq!(faults(&many), ["line 8: match is there 513 times, of 512 at most"]);
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC*|[a-z\\-=\\[\\]{}\"'\\n0-9. x_#]{0,200}") {
        if let Err(faults) = parse(&text, &Expected::default()) {
            prop_assert!((1..=limit::FAULTS).contains(&faults.len()));
        }
    }

    #[test]
    fn a_line_in_error_is_found_wherever_it_is(line in 0usize..9, before in 0usize..5) {
        let text = good();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.insert(line, "?".to_owned());
        let text = format!("{}{}", "\n".repeat(before), lines.join("\n"));
        let faults = parse(&text, &Expected::default()).unwrap_err();
        prop_assert_eq!(faults[0].line, Some((line + before + 1) as u32));
    }
}
