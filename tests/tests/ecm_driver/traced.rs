//! Traces of the whole driver, judged by tshark, which is not ours. Without tshark the tests say that they are skipped; with CI=true they fail
//! instead.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use outboard_core::service::Ending;
use outboard_core::usb::trace::{Address, Options, Payload, TraceFile};
use outboard_core::usb::transport::Transport;
use outboard_core::usb::transport::fault::{Faulty, Injection, Injector, Rule};
use outboard_core::usb::transport::in_process::InProcess;
use outboard_core::usb::transport::record::Recorded;
use outboard_tests::capture::{Capture, Record};
use outboard_virtual_devices::ecm::{
    EcmDongle, EcmOptions, FRAMES_IN, FRAMES_OUT, NOTIFICATION_IN, Neighbour,
};
use outboard_virtual_devices::wire::Tester;

use super::rig::{Rig, frame, run, start_plugged};

/// A frame's bytes from the 20th on, as [`frame`] makes them: nothing else in a trace looks so.
const PAYLOAD: [u8; 8] = [20, 21, 22, 23, 24, 25, 26, 27];

/// A file that is gone with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("outboard-{}-{}.pcapng", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn capture(&self) -> Capture {
        Capture::parse(&fs::read(&self.0).unwrap()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Of a test that failed before it was made.
        let _absent = fs::remove_file(&self.0);
    }
}

/// Starts the driver on a dongle with these options, traced, does something with it, and stops it.
fn traced(
    options: EcmOptions,
    payload: Payload,
    work: impl AsyncFnOnce(Rig<EcmDongle<Tester>>, Injector),
) -> Scratch {
    let file = Scratch::new();
    run(async || {
        let (transport, plug) = InProcess::new("1-1", EcmDongle::new(options, Tester::new()));
        let options = Options { address: Address { bus: 1, device: 7 }, payload };
        let trace = TraceFile::create(&file.0, transport.info(), &options).unwrap();
        let (transport, injector) = Faulty::new(transport);
        let transport = Recorded::new(transport, trace);
        match start_plugged(transport, plug).await {
            Ok(rig) => work(rig, injector).await,
            Err((error, _)) => panic!("it does not start: {error}"),
        }
    });
    file
}

fn ordinary(options: EcmOptions, payload: Payload) -> Scratch {
    traced(options, payload, async |rig, _| {
        rig.expect_works().await;
        rig.stop("traced").await;
    })
}

/// What tshark makes of each packet, by field, in the order of the file.
struct Dissected(Vec<BTreeMap<&'static str, String>>);

const FIELDS: [&str; 15] = [
    "usb.urb_type",
    "usb.urb_id",
    "usb.urb_status",
    "usb.endpoint_address",
    "usb.bus_id",
    "usb.device_address",
    "usb.request_in",
    "usb.bDescriptorType",
    "usb.bInterfaceClass",
    "usbcom.descriptor.subtype",
    "usbcom.interrupt.notification_code",
    "usbcom.control.request_code",
    "eth.src",
    "_ws.expert.severity",
    "_ws.malformed",
];

/// Wireshark's PI_WARN; a remark beside a packet is less.
const WARNING: u32 = 0x0060_0000;

impl Dissected {
    /// `None`, said aloud: there is no tshark.
    fn of(test: &str, file: &Scratch) -> Option<Self> {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&file.0).args(["-n", "-T", "fields", "-E", "separator=|"]);
        command.args(FIELDS.iter().flat_map(|field| ["-e", field]));
        let output = match command.output() {
            Ok(output) => output,
            Err(error) => {
                let reason = format!("tshark: {error}; install it");
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} cannot run: {reason}");
                eprintln!("SKIPPED {test}: {reason}");
                return None;
            }
        };
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tshark: {errors}");
        assert!(!errors.contains("cut short"), "{errors}");
        let text = String::from_utf8(output.stdout).unwrap();
        let line = |line: &str| {
            let values: Vec<_> = line.split('|').map(str::to_owned).collect();
            assert_eq!(values.len(), FIELDS.len(), "{line}");
            FIELDS.into_iter().zip(values).collect()
        };
        Some(Self(text.lines().map(line).collect()))
    }

    /// Values of a field, from all packets that have it.
    fn all(&self, field: &'static str) -> Vec<&str> {
        self.0.iter().map(|packet| packet[field].as_str()).filter(|value| !value.is_empty()).collect()
    }

    /// Nothing is malformed, and nothing worth a warning.
    fn assert_clean(&self) {
        assert_eq!(self.all("_ws.malformed"), [""; 0]);
        for severity in self.all("_ws.expert.severity").iter().flat_map(|all| all.split(',')) {
            assert!(severity.parse::<u32>().unwrap() < WARNING, "severity {severity}");
        }
    }

    /// Each completion has its own submission, on the same endpoint and with the same id, and each submission its end.
    fn assert_paired(&self) {
        let is = |packet: &BTreeMap<_, String>, kind: char| packet["usb.urb_type"] == format!("'{kind}'");
        let mut open = BTreeMap::new();
        for (at, packet) in self.0.iter().enumerate() {
            let number = (at + 1).to_string();
            if is(packet, 'S') {
                assert_eq!(open.insert(number, packet), None);
            } else {
                assert!(is(packet, 'C'), "{packet:?}");
                let request = open.remove(&packet["usb.request_in"]);
                let request = request.unwrap_or_else(|| panic!("packet {number} ends nothing: {packet:?}"));
                for field in ["usb.urb_id", "usb.endpoint_address", "usb.bus_id", "usb.device_address"] {
                    assert_eq!(request[field], packet[field], "{field} of packet {number}");
                }
            }
        }
        assert_eq!(open.len(), 0, "requests without an end: {open:?}");
    }
}

#[test]
fn tshark_reads_the_trace_of_an_ordinary_run() {
    let file = ordinary(EcmOptions::default(), Payload::All);
    let capture = file.capture();
    assert_eq!(capture.counted, Some(capture.records.len() as u64));
    assert_eq!(fs::metadata(&file.0).unwrap().permissions().mode() & 0o777, 0o600);
    let Some(dissected) = Dissected::of("an ordinary run", &file) else { return };
    assert_eq!(dissected.0.len(), capture.records.len());
    dissected.assert_clean();
    dissected.assert_paired();
    // Of the device and the configuration: device; configuration, two interfaces (one twice), three endpoints, class-specific ones.
    let kinds = dissected.all("usb.bDescriptorType");
    assert!(kinds.contains(&"0x01"), "{kinds:?}");
    let configuration = "0x02,0x04,0x24,0x24,0x24,0x05,0x04,0x04,0x05,0x05";
    assert!(kinds.contains(&configuration), "{kinds:?}");
    // Header, Union, Ethernet Networking (CDC120, Table 13).
    assert!(dissected.all("usbcom.descriptor.subtype").contains(&"0x00,0x06,0x0f"));
    // SetEthernetPacketFilter (ECM120, Table 6), NETWORK_CONNECTION and CONNECTION_SPEED_CHANGE (ECM120, Table 11).
    assert!(dissected.all("usbcom.control.request_code").contains(&"0x43"));
    assert_eq!(dissected.all("usbcom.interrupt.notification_code"), ["0x00", "0x2a"]);
    // The frame that the device sends; tshark knows the pipe by the descriptors.
    assert_eq!(dissected.all("eth.src"), ["02:00:00:00:00:09"; 2]);
}

#[test]
fn tshark_knows_the_classes_after_another_configuration_was_selected() {
    let options = EcmOptions { neighbour: Some(Neighbour::Rndis), ..EcmOptions::default() };
    let file = ordinary(options, Payload::All);
    let Some(dissected) = Dissected::of("the second configuration", &file) else { return };
    dissected.assert_clean();
    dissected.assert_paired();
    assert_eq!(dissected.all("usbcom.interrupt.notification_code"), ["0x00", "0x2a"]);
}

#[test]
fn no_payload_is_kept_that_is_not_wanted() {
    let holds =
        |file: &Scratch| fs::read(&file.0).unwrap().windows(PAYLOAD.len()).any(|window| window == PAYLOAD);
    assert!(holds(&ordinary(EcmOptions::default(), Payload::All)), "the frames are recognized");
    let file = ordinary(EcmOptions::default(), Payload::None);
    assert!(!holds(&file));
    let whole = ordinary(EcmOptions::default(), Payload::All).capture();
    let lean = file.capture();
    let is_transfer = |record: &&Record| record.header.endpoint & 0x0f != 0;
    assert!(lean.records.iter().filter(is_transfer).all(|record| record.data.is_empty()));
    // All else is as it was.
    let shape = |record: &Record| {
        let header = record.header;
        (header.event, header.endpoint, header.length, header.status, header.setup, record.original)
    };
    assert_eq!(
        lean.records.iter().map(shape).collect::<Vec<_>>(),
        whole.records.iter().map(shape).collect::<Vec<_>>()
    );
    let Some(dissected) = Dissected::of("payload left out", &file) else { return };
    dissected.assert_clean();
    dissected.assert_paired();
    assert!(!dissected.all("usb.bDescriptorType").is_empty());
}

#[test]
fn a_stalled_frame_and_its_repair_are_seen() {
    let file = traced(EcmOptions::default(), Payload::All, async |rig, injector| {
        rig.expect_works().await;
        injector.add(Rule::at(FRAMES_OUT, 1, Injection::Stall));
        rig.expect_sent(frame([2, 0, 0, 0, 0, 9], 200)).await;
        rig.stop("stalled").await;
    });
    let capture = file.capture();
    let frames = |record: &&Record| record.header.endpoint == FRAMES_OUT && record.header.event == b'C';
    let ends: Vec<_> = capture.records.iter().filter(frames).map(|record| record.header.status).collect();
    assert_eq!(ends, [0, -32, 0], "sent, stalled, sent again");
    let clear = |record: &&Record| record.header.setup == [2, 1, 0, 0, FRAMES_OUT, 0, 0, 0];
    assert_eq!(capture.records.iter().filter(clear).count(), 1);
    let Some(dissected) = Dissected::of("a stall", &file) else { return };
    dissected.assert_clean();
    dissected.assert_paired();
}

#[test]
fn an_unplug_ends_everything_and_the_trace() {
    let file = traced(EcmOptions::default(), Payload::All, async |rig, _| {
        rig.expect_works().await;
        rig.device.plug.unplug();
        assert!(matches!(rig.service.ended().await, Ending::Failed(_)));
        rig.stop("unplugged").await;
    });
    let capture = file.capture();
    assert_eq!(capture.counted, Some(capture.records.len() as u64));
    for endpoint in [FRAMES_IN, NOTIFICATION_IN] {
        let ends = |record: &&Record| record.header.endpoint == endpoint && record.header.event == b'C';
        let last = capture.records.iter().rfind(ends).expect("transfers were in flight");
        assert_eq!((last.header.status, last.header.length, &last.data[..]), (-108, 0, &[][..]));
    }
    let Some(dissected) = Dissected::of("an unplug", &file) else { return };
    dissected.assert_clean();
    dissected.assert_paired();
}
