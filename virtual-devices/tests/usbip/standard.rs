//! Standard requests at each speed, as a host's enumeration sends them.

use outboard_core::usb::descriptor::{DeviceDescriptors, kind};
use outboard_core::usb::{Direction, Recipient, RequestKind, SetupPacket, Speed, standard};
use outboard_virtual_devices::ecm::{EcmOptions, FRAMES_IN};

use super::client::{ByHand, Client};
use super::session::exports;

const STALL: i32 = -32;
use Recipient::{Device, Endpoint, Interface};

fn client(speed: Speed) -> Client<ByHand> {
    let (exports, _) = exports(&[EcmOptions::at(speed)]);
    Client::new(ByHand::new(&exports), "1-1").unwrap()
}

#[test]
fn descriptors_are_read_whole_and_in_part() {
    for speed in [Speed::Full, Speed::High, Speed::Super] {
        let mut client = client(speed);
        let device = client.descriptor(kind::DEVICE, 0, 18).unwrap();
        assert_eq!(client.descriptor(kind::DEVICE, 0, 8).unwrap(), device[..8]);
        let head = client.descriptor(kind::CONFIGURATION, 0, 9).unwrap();
        let total = u16::from_le_bytes([head[2], head[3]]);
        let configuration = client.descriptor(kind::CONFIGURATION, 0, total).unwrap();
        assert_eq!(configuration.len(), usize::from(total));
        let all = [device, configuration].concat();
        let says = DeviceDescriptors::parse_at(&all, speed).unwrap();
        assert!(says.findings.is_empty() && says.malformed.is_empty());
        assert_eq!(client.descriptor(kind::CONFIGURATION, 1, 9), Err(STALL));
        assert_eq!(client.descriptor(0x29, 0, 9), Err(STALL));
    }
}

#[test]
fn a_bos_is_there_from_usb_2_1_on() {
    assert_eq!(client(Speed::Full).descriptor(kind::BOS, 0, 5), Err(STALL));
    assert_eq!(client(Speed::High).descriptor(kind::BOS, 0, 5), Err(STALL));
    let mut client = client(Speed::Super);
    assert_eq!(client.descriptor(kind::BOS, 0, 5), Ok(vec![5, 15, 22, 0, 2]));
    let bos = client.descriptor(kind::BOS, 0, 22).unwrap();
    assert_eq!(bos[5..12], [7, 16, 2, 2, 0, 0, 0], "LPM");
    assert_eq!(bos[12..], [10, 16, 3, 0, 0b1110, 0, 1, 10, 0xf4, 1]);
}

#[test]
fn only_high_speed_has_another_speed() {
    for speed in [Speed::Full, Speed::Super] {
        let mut client = client(speed);
        assert_eq!(client.descriptor(kind::DEVICE_QUALIFIER, 0, 10), Err(STALL), "{speed}");
        assert_eq!(client.descriptor(kind::OTHER_SPEED_CONFIGURATION, 0, 9), Err(STALL), "{speed}");
    }
    let mut client = client(Speed::High);
    assert_eq!(client.descriptor(kind::DEVICE_QUALIFIER, 0, 10), Ok(vec![10, 6, 0, 2, 2, 0, 0, 64, 1, 0]));
    let mut other = client.descriptor(kind::OTHER_SPEED_CONFIGURATION, 0, 255).unwrap();
    assert_eq!(other[1], kind::OTHER_SPEED_CONFIGURATION);
    // Else it is what the same dongle says at full speed.
    other[1] = kind::CONFIGURATION;
    assert_eq!(other, self::client(Speed::Full).descriptor(kind::CONFIGURATION, 0, 255).unwrap());
}

#[test]
fn status_tells_what_was_set() {
    let mut client = client(Speed::Super);
    let status = |client: &mut Client<ByHand>, recipient, index| {
        client.get(recipient, standard::GET_STATUS, 0, index, 2)
    };
    assert_eq!(status(&mut client, Device, 0), Ok(vec![0, 0]));
    assert_eq!(status(&mut client, Interface, 0), Err(STALL), "it is not configured");
    assert_eq!(status(&mut client, Endpoint, 0), Ok(vec![0, 0]));
    assert_eq!(client.set(Device, standard::SET_FEATURE, standard::U1_ENABLE, 0), Err(STALL));
    client.start_ecm();
    assert_eq!(status(&mut client, Interface, 1), Ok(vec![0, 0]));
    assert_eq!(status(&mut client, Interface, 2), Err(STALL));
    assert_eq!(status(&mut client, Endpoint, 0x8f), Err(STALL));
    client.set(Endpoint, standard::SET_FEATURE, standard::ENDPOINT_HALT, FRAMES_IN.into()).unwrap();
    assert_eq!(status(&mut client, Endpoint, FRAMES_IN.into()), Ok(vec![1, 0]));
    client.set(Endpoint, standard::CLEAR_FEATURE, standard::ENDPOINT_HALT, FRAMES_IN.into()).unwrap();
    assert_eq!(status(&mut client, Endpoint, FRAMES_IN.into()), Ok(vec![0, 0]));
    assert_eq!(client.set(Endpoint, standard::SET_FEATURE, standard::ENDPOINT_HALT, 0x0f), Err(STALL));
    client.set(Device, standard::SET_FEATURE, standard::U1_ENABLE, 0).unwrap();
    client.set(Device, standard::SET_FEATURE, standard::U2_ENABLE, 0).unwrap();
    assert_eq!(status(&mut client, Device, 0), Ok(vec![0b1100, 0]));
    client.set(Device, standard::CLEAR_FEATURE, standard::U1_ENABLE, 0).unwrap();
    assert_eq!(status(&mut client, Device, 0), Ok(vec![0b1000, 0]));
    // The dongle cannot wake its host, has no latency tolerance and no test mode.
    for feature in [standard::DEVICE_REMOTE_WAKEUP, standard::LTM_ENABLE, 2] {
        assert_eq!(client.set(Device, standard::SET_FEATURE, feature, 0), Err(STALL), "{feature}");
    }
    client.set(Interface, standard::SET_FEATURE, standard::FUNCTION_SUSPEND, 0).unwrap();
    assert_eq!(client.set(Interface, standard::SET_FEATURE, standard::FUNCTION_SUSPEND, 9), Err(STALL));
    assert_eq!(
        self::client(Speed::High).set(Device, standard::SET_FEATURE, standard::U1_ENABLE, 0),
        Err(STALL)
    );
}

#[test]
fn superspeed_hosts_tell_their_latencies() {
    let sel = SetupPacket::new(Direction::Out, RequestKind::Standard, Device, standard::SET_SEL, 0, 0, 6);
    let short = SetupPacket { length: 2, ..sel };
    let mut fast = client(Speed::Super);
    assert_eq!(fast.control(sel, &[1; 6]), Ok(vec![]));
    assert_eq!(fast.control(short, &[1; 2]), Err(STALL));
    assert_eq!(fast.set(Device, standard::SET_ISOCH_DELAY, 40, 0), Ok(()));
    let mut high = client(Speed::High);
    assert_eq!(high.control(sel, &[1; 6]), Err(STALL));
    assert_eq!(high.set(Device, standard::SET_ISOCH_DELAY, 40, 0), Err(STALL));
}

#[test]
fn interfaces_have_settings_only_where_they_are() {
    let mut client = client(Speed::High);
    assert_eq!(client.get(Interface, standard::GET_INTERFACE, 0, 1, 1), Err(STALL));
    assert_eq!(client.set(Device, standard::SET_CONFIGURATION, 7, 0), Err(STALL));
    client.start_ecm();
    assert_eq!(client.get(Interface, standard::GET_INTERFACE, 0, 1, 1), Ok(vec![1]));
    assert_eq!(client.get(Interface, standard::GET_INTERFACE, 0, 2, 1), Err(STALL));
    assert_eq!(client.set(Interface, standard::SET_INTERFACE, 2, 1), Err(STALL));
    client.set(Device, standard::SET_CONFIGURATION, 1, 0).unwrap();
    assert_eq!(client.get(Interface, standard::GET_INTERFACE, 0, 1, 1), Ok(vec![0]), "settings are 0 again");
}
