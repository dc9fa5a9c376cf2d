//! The ECM dongle, asked by hand: what it passes, ends, counts, tells and holds against its host.

mod common;

use std::time::Duration;

use common::{ByHand, ORDINARY, PEER, STATION, frame};
use outboard_core::MacAddr;
use outboard_core::usb::{Speed, TransferError};
use outboard_virtual_devices::ecm::requests::{self, SET_ETHERNET_MULTICAST_FILTERS, filter};
use outboard_virtual_devices::ecm::{
    DATA_INTERFACE, EcmOptions, Ending, FRAMES_IN, FRAMES_OUT, HostFault, Link, Neighbour,
    NotificationEndpoint, Step,
};
use outboard_virtual_devices::wire::Tester;
use proptest::prelude::*;

fn dongle(options: EcmOptions) -> ByHand<Tester> {
    ByHand::started(options, Tester::new(), ORDINARY)
}

#[test]
fn nothing_passes_before_the_alternate_setting_and_the_filter() {
    let mut host = ByHand::new(EcmOptions::default(), Tester::new());
    host.dongle().wire_mut().push(frame(STATION, 60));
    // The endpoint is not there yet.
    assert_eq!(host.transfer_in(FRAMES_IN, 512), Some(Err(TransferError::Fault)));
    host.alternate(DATA_INTERFACE, 1).unwrap();
    assert_eq!(host.receive(), None);
    host.filter(filter::DIRECTED).unwrap();
    assert_eq!(host.receive(), None, "what came before the filter is lost");
    host.dongle().wire_mut().push(frame(STATION, 60));
    assert_eq!(host.receive(), Some(frame(STATION, 60)));
    host.alternate(DATA_INTERFACE, 1).unwrap();
    assert_eq!(host.dongle().filter().bits, 0, "selecting the setting resets the filter");
    host.dongle().wire_mut().push(frame(STATION, 60));
    assert_eq!(host.receive(), None);
    assert_eq!(host.dongle().statistics().filtered, 2);
    assert_eq!(host.dongle().faults(), []);
    let one = Step::Alternate { interface: DATA_INTERFACE, alternate: 1 };
    let steps = [Step::Configured(1), one.clone(), Step::Filter(filter::DIRECTED), one];
    assert_eq!(host.dongle().take_steps(), steps);
}

#[test]
fn frames_of_every_length_pass_both_ways_at_every_speed_and_ending() {
    for speed in [Speed::Full, Speed::High, Speed::Super] {
        for ending in [Ending::ZeroLengthPacket, Ending::Padding] {
            let mut host = dongle(EcmOptions { ending, ..EcmOptions::at(speed) });
            let packet = usize::from(host.dongle().options().bulk_packet_size());
            let lengths = (14..=200).chain([511, 512, 513, 1023, 1024, 1025, 1513, 1514, 1518]);
            for length in lengths {
                let sent = frame(STATION, length);
                host.dongle().wire_mut().push(sent.clone());
                let mut expected = sent.clone();
                if ending == Ending::Padding && length % packet == 0 {
                    expected.push(0);
                }
                assert_eq!(host.receive(), Some(expected), "{speed} {ending:?}");
                assert_eq!(host.receive(), None);
                host.send(&sent);
                assert_eq!(host.dongle().unfinished(), 0);
                assert_eq!(host.dongle().wire_mut().take(), Some(sent), "{speed}");
            }
            assert_eq!(host.dongle().faults(), []);
        }
    }
}

#[test]
fn packets_may_be_tiny() {
    let mut host = dongle(EcmOptions { packet_size: Some(8), ..EcmOptions::at(Speed::Full) });
    host.dongle().wire_mut().push(frame(STATION, 1514));
    assert_eq!(host.receive(), Some(frame(STATION, 1514)));
    host.send(&frame(PEER, 1512));
    assert_eq!(host.dongle().wire_mut().take(), Some(frame(PEER, 1512)));
    assert_eq!(host.dongle().faults(), []);
}

#[test]
fn what_the_host_does_wrong_is_told() {
    let mut host = dongle(EcmOptions::default());
    host.send(&frame(PEER, 1519));
    host.send(&frame(PEER, 13));
    host.send(&[]);
    // 512 bytes of IPv4, not ended, and another frame behind it.
    let mut ip = frame(PEER, 512);
    ip[12..18].copy_from_slice(&[0x08, 0, 0x45, 0, (498u16 >> 8) as u8, 498u16 as u8]);
    host.transfer_out(&ip, false).unwrap().unwrap();
    assert_eq!(host.dongle().unfinished(), 512);
    host.send(&frame(PEER, 100));
    host.transfer_out(&frame(PEER, 1024), false).unwrap().unwrap();
    host.alternate(DATA_INTERFACE, 0).unwrap();
    host.filter(ORDINARY).unwrap();
    let refused = host.set(SET_ETHERNET_MULTICAST_FILTERS, 2, &[1; 6]);
    assert_eq!(refused, Err(TransferError::Stall));
    let faults = host.dongle().faults().to_vec();
    let [many @ .., HostFault::BadRequest(setup)] = &faults[..] else { panic!("{faults:?}") };
    assert_eq!(setup.request, SET_ETHERNET_MULTICAST_FILTERS);
    assert_eq!(
        many,
        [
            HostFault::FrameTooLong { length: 1519 },
            HostFault::Runt { length: 13 },
            HostFault::EmptyFrame,
            HostFault::MissingEnd { frame: 512, length: 612 },
            HostFault::Unfinished { length: 1024 },
            HostFault::FilterTooEarly,
        ]
    );
    assert_eq!(host.dongle().wire_mut().take(), None);
    assert_eq!(host.dongle().statistics().transmit_errors, 4);
}

#[test]
fn an_endless_transfer_is_cut_off_and_the_next_frame_passes() {
    let mut host = dongle(EcmOptions::default());
    for _ in 0..100 {
        host.transfer_out(&[0; 51200], false).unwrap().unwrap();
        assert!(host.dongle().unfinished() < 4096);
    }
    host.send(&[]);
    host.send(&frame(PEER, 60));
    assert_eq!(host.dongle().wire_mut().take_all(), [frame(PEER, 60)]);
    assert_eq!(host.dongle().faults().len(), 1);
}

#[test]
fn groups_pass_by_list() {
    let (a, b) = ([1, 0, 0x5e, 0, 0, 1], [1, 0, 0x5e, 0, 0, 2]);
    let mut host = ByHand::started(EcmOptions::default(), Tester::new(), ORDINARY | filter::MULTICAST);
    host.set(SET_ETHERNET_MULTICAST_FILTERS, 1, &a).unwrap();
    let all = [STATION, PEER, [0xff; 6], a, b].map(|to| frame(to, 60));
    for frame in &all {
        host.dongle().wire_mut().push(frame.clone());
    }
    assert_eq!(host.receive_all(), [all[0].clone(), all[2].clone(), all[3].clone()]);
    assert_eq!(host.dongle().filter().groups, [MacAddr::new(a)]);
    host.filter(filter::PROMISCUOUS).unwrap();
    for frame in &all {
        host.dongle().wire_mut().push(frame.clone());
    }
    assert_eq!(host.receive_all().len(), 5);
    let none = EcmOptions { multicast_filters: 0, ..EcmOptions::default() };
    let mut host = dongle(none);
    assert_eq!(host.set(SET_ETHERNET_MULTICAST_FILTERS, 0, &[]), Err(TransferError::Stall));
}

#[test]
fn news_of_the_link_are_whole_also_when_split_and_late() {
    let up = requests::network_connection(0, true);
    let speed = requests::connection_speed_change(0, 100_000_000, 100_000_000);
    let mut host = dongle(EcmOptions::default());
    assert_eq!([host.notification(), host.notification()], [Some(up.clone()), Some(speed.clone())]);
    assert_eq!(host.notification(), None);

    let mut host = dongle(EcmOptions { split_speed: true, ..EcmOptions::default() });
    assert_eq!(host.notification(), Some(up.clone()));
    assert_eq!(host.notification(), Some(speed[..8].to_vec()));
    // The speeds are due; news that come now wait for them.
    host.dongle().set_link(Link::down());
    host.dongle().set_link(Link { up: true, downlink: 10_000_000, uplink: 1_000_000 });
    assert_eq!(host.notification(), Some(speed[8..].to_vec()));
    assert_eq!(host.notification(), Some(up), "only the last state counts");
    let speed = requests::connection_speed_change(0, 10_000_000, 1_000_000);
    assert_eq!(
        [host.notification(), host.notification()],
        [Some(speed[..8].to_vec()), Some(speed[8..].to_vec())]
    );
    assert_eq!(host.notification(), None);

    let eight = Some(NotificationEndpoint { packet_size: 8, interval: None });
    let mut host = dongle(EcmOptions { notification: eight, link: Link::down(), ..EcmOptions::default() });
    assert_eq!(host.notification(), Some(requests::network_connection(0, false)));
    let mut host = dongle(EcmOptions { notifies: false, ..EcmOptions::default() });
    assert_eq!(host.notification(), None);
}

#[test]
fn without_a_link_nothing_passes() {
    let mut host = dongle(EcmOptions { link: Link::down(), ..EcmOptions::default() });
    host.dongle().wire_mut().push(frame(STATION, 60));
    assert_eq!(host.receive(), None);
    host.send(&frame(PEER, 60));
    assert_eq!(host.dongle().wire_mut().take(), None);
    assert_eq!(host.dongle().faults(), [HostFault::FrameWithoutLink]);
    host.dongle().set_link(Link::up(10_000_000));
    host.dongle().wire_mut().push(frame(STATION, 60));
    assert_eq!(host.receive(), Some(frame(STATION, 60)));
}

#[test]
fn a_full_queue_loses_and_counts_or_holds_the_wire() {
    let small = EcmOptions { receive_queue: 4, ..EcmOptions::default() };
    let mut host = dongle(small.clone());
    for length in 60..70 {
        host.dongle().wire_mut().push(frame(STATION, length));
    }
    host.turn();
    host.turn();
    assert_eq!(host.dongle().waiting(), 4);
    assert_eq!((host.statistic(5), host.statistic(2)), (Ok(6), Ok(4)));
    assert_eq!(host.receive_all().len(), 4);

    let mut host = dongle(EcmOptions { flow_control: true, ..small });
    for length in 60..70 {
        host.dongle().wire_mut().push(frame(STATION, length));
    }
    assert_eq!(host.receive_all().len(), 10);
    assert_eq!(host.statistic(5), Ok(0));
}

#[test]
fn statistics_are_those_offered() {
    let mut host = dongle(EcmOptions { statistics: 1 << 0 | 1 << 8, ..EcmOptions::default() });
    host.send(&frame(PEER, 60));
    host.send(&frame([1, 0, 0, 0, 0, 1], 60));
    assert_eq!((host.statistic(1), host.statistic(9)), (Ok(2), Ok(1)));
    for other in (0..=40).chain([u16::MAX]).filter(|selector| ![1, 9].contains(selector)) {
        assert_eq!(host.statistic(other), Err(TransferError::Stall), "{other}");
    }
}

#[test]
fn a_slow_link_takes_its_time() {
    let options = EcmOptions { paced: true, link: Link::up(10_000_000), ..EcmOptions::default() };
    let mut host = dongle(options);
    let begin = host.now;
    for _ in 0..20 {
        host.dongle().wire_mut().push(frame(STATION, 1514));
    }
    let mut received = 0;
    while received < 20 {
        match host.receive() {
            Some(_) => received += 1,
            None => host.now = host.turn().expect("more is coming"),
        }
    }
    // 1,538 bytes at 10 Mbit/s are 1.2304 ms; the first is there at once.
    assert_eq!(host.now - begin, Duration::from_nanos(1_230_400) * 19);

    let begin = host.now;
    let mut sent = 0;
    while sent < 30 {
        match host.transfer_out(&frame(PEER, 1514), true) {
            Some(_) => sent += 1,
            None => host.now = host.turn().expect("the wire gets free"),
        }
    }
    assert!(host.now - begin >= Duration::from_nanos(1_230_400) * 20);
    while let Some(wake) = host.turn() {
        host.now = wake;
    }
    assert_eq!(host.dongle().wire_mut().take_all().len(), 30);
    assert_eq!(host.now - begin, Duration::from_nanos(1_230_400) * 30);
}

#[test]
fn a_stalled_endpoint_recovers_and_the_other_goes_on() {
    let mut host = dongle(EcmOptions::default());
    host.dongle().stall_once(FRAMES_IN);
    host.dongle().wire_mut().push(frame(STATION, 600));
    assert_eq!(host.transfer_in(FRAMES_IN, 2048), Some(Err(TransferError::Stall)));
    assert_eq!(
        host.transfer_in(FRAMES_IN, 2048),
        Some(Err(TransferError::Stall)),
        "halted until it is cleared"
    );
    host.send(&frame(PEER, 60));
    host.clear_halt(FRAMES_IN);
    assert_eq!(host.receive(), Some(frame(STATION, 600)));
    host.dongle().stall_once(FRAMES_OUT);
    assert_eq!(host.transfer_out(&frame(PEER, 60), true), Some(Err(TransferError::Stall)));
    host.clear_halt(FRAMES_OUT);
    host.send(&frame(PEER, 61));
    assert_eq!(host.dongle().wire_mut().take_all(), [frame(PEER, 60), frame(PEER, 61)]);
}

#[test]
fn a_filter_that_stalls_lets_everything_through() {
    let mut host = ByHand::new(EcmOptions { filter_stalls: true, ..EcmOptions::default() }, Tester::new());
    host.alternate(DATA_INTERFACE, 1).unwrap();
    assert_eq!(host.filter(ORDINARY), Err(TransferError::Stall));
    host.dongle().wire_mut().push(frame(STATION, 60));
    assert_eq!(host.receive(), Some(frame(STATION, 60)));
}

#[test]
fn ecm_may_be_in_the_second_configuration_and_without_an_idle_setting() {
    for neighbour in [Neighbour::Rndis, Neighbour::Vendor] {
        let options =
            EcmOptions { neighbour: Some(neighbour), idle_alternate: false, ..EcmOptions::default() };
        let mut host = dongle(options);
        host.dongle().wire_mut().push(frame(STATION, 60));
        assert_eq!(host.receive(), Some(frame(STATION, 60)));
        let other = if neighbour == Neighbour::Rndis { 2 } else { 1 };
        assert!(host.port.configure(other, host.now));
        assert!(host.filter(ORDINARY).is_err());
        host.dongle().wire_mut().push(frame(STATION, 60));
        assert_eq!(host.receive(), None);
    }
}

proptest! {
    #[test]
    fn whatever_the_wire_and_the_host_send_is_survived(
        sizes in prop::collection::vec((any::<bool>(), any::<bool>(), 0..4000usize), 0..40),
    ) {
        let mut host = ByHand::started(EcmOptions::default(), Tester::new(), filter::PROMISCUOUS);
        for (out, ended, size) in sizes {
            if out {
                host.transfer_out(&frame(PEER, size), ended);
                prop_assert!(host.dongle().unfinished() <= 1519);
            } else {
                host.dongle().wire_mut().push(frame(STATION, size));
                let received = host.receive();
                prop_assert_eq!(received.map(|frame| frame.len()), (size >= 6).then_some(size));
            }
        }
    }
}
