//! Devices that are as ECM allows, each in its own way, and those that are odd as real ones are.

use std::time::Duration;

use outboard_core::MacAddr;
use outboard_core::family::ethernet::HostWish;
use outboard_core::service::Ending;
use outboard_core::usb::Speed;
use outboard_usb_ecm::driver::Notice;
use outboard_virtual_devices::ecm::requests::filter;
use outboard_virtual_devices::ecm::{
    EcmDongle, EcmOptions, Ending as FrameEnding, FRAMES_IN, FRAMES_OUT, Functional, Link, MacString,
    Neighbour, NotificationEndpoint, Place, Step,
};
use outboard_virtual_devices::host::{Host, HostOptions};

use super::rig::{STATION, frame, run, start, start_dongle, until};

const PEER: [u8; 6] = [2, 0, 0, 0, 0, 9];

#[test]
fn the_start_has_the_order_that_works() {
    run(async || {
        let rig = start_dongle(EcmOptions::default()).await;
        rig.expect_works().await;
        let steps = rig.dongle(EcmDongle::take_steps);
        let alternate = steps.iter().position(|step| *step == Step::Alternate { interface: 1, alternate: 1 });
        let filter = steps.iter().position(|step| matches!(step, Step::Filter(_)));
        assert!(alternate.is_some() && alternate < filter, "{steps:?}");
        assert_eq!(rig.vended.mac, MacAddr::new(STATION));
        assert_eq!((rig.vended.mtu, rig.vended.max_mtu, rig.vended.mac_is_made_up), (1500, 1500, false));
        assert_eq!(rig.status().notices.iter().count(), 0);
        rig.stop("ordinary").await;
    });
}

#[test]
fn ecm_is_found_in_the_second_configuration() {
    run(async || {
        for neighbour in [Neighbour::Rndis, Neighbour::Vendor] {
            let options = EcmOptions { neighbour: Some(neighbour), ..EcmOptions::default() };
            let value = options.configuration();
            let rig = start_dongle(options).await;
            assert_eq!(rig.device.plug.configuration(), value);
            rig.expect_works().await;
            rig.stop("second configuration").await;
        }
    });
}

#[test]
fn odd_descriptors_are_no_hindrance() {
    run(async || {
        let odd = EcmOptions::default;
        for options in [
            EcmOptions { union: Functional::Absent, ..odd() },
            EcmOptions { union: Functional::Odd(vec![6, 1, 0]), ..odd() },
            EcmOptions { place: Place::Configuration, ..odd() },
            EcmOptions { place: Place::Endpoint, ..odd() },
        ] {
            let rig = start_dongle(options).await;
            rig.expect_works().await;
            assert!(rig.status().notices.contains(Notice::OddDescriptors));
            rig.stop("odd descriptors").await;
        }
        let rig = start_dongle(EcmOptions { idle_alternate: false, ..odd() }).await;
        rig.expect_works().await;
        rig.stop("no idle setting").await;
    });
}

#[test]
fn a_made_up_address_is_stable_and_local() {
    run(async || {
        let mut all = Vec::new();
        for mac in [
            MacString::Text("not an address".into()),
            MacString::Stalls,
            MacString::Absent,
            MacString::Raw(vec![]),
        ] {
            let rig = start_dongle(EcmOptions { mac, ..EcmOptions::default() }).await;
            assert!(
                rig.vended.mac_is_made_up && rig.vended.mac.is_local() && rig.vended.mac.is_valid_station()
            );
            assert!(rig.status().notices.contains(Notice::MacMadeUp));
            // The dongle filters for an address that only it knows: frames to ours would not pass.
            assert!(rig.dongle(|dongle| dongle.filter().bits & filter::PROMISCUOUS != 0));
            all.push(rig.vended.mac);
            rig.expect_works().await;
            rig.stop("bad MAC").await;
        }
        assert!(all.iter().all(|mac| *mac == all[0]), "{all:?}");
    });
}

#[test]
fn frames_of_every_length_pass_at_every_speed_and_ending() {
    run(async || {
        for (speed, packet_size) in
            [(Speed::Full, None), (Speed::High, None), (Speed::Super, None), (Speed::Full, Some(8))]
        {
            for ending in [FrameEnding::ZeroLengthPacket, FrameEnding::Padding] {
                let options = EcmOptions { ending, packet_size, ..EcmOptions::at(speed) };
                let packet = usize::from(options.bulk_packet_size());
                let rig = start_dongle(options).await;
                rig.until_carrier(true).await;
                // 1518 has a VLAN tag.
                for length in [14, 63, 64, 65, 128, 511, 512, 513, 1024, 1512, 1513, 1514, 1518] {
                    let sent = frame(STATION, length);
                    let mut expected = sent.clone();
                    if ending == FrameEnding::Padding && length % packet == 0 {
                        expected.push(0);
                    }
                    rig.expect_received(sent, expected).await;
                    rig.expect_sent(frame(PEER, length)).await;
                }
                rig.dongle(|dongle| assert_eq!((dongle.faults(), dongle.unfinished()), (&[][..], 0)));
                rig.stop("lengths").await;
            }
        }
    });
}

#[test]
fn the_link_follows_the_device_or_is_inferred() {
    run(async || {
        let rig = start_dongle(EcmOptions { link: Link::down(), ..EcmOptions::default() }).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(!rig.host.carrier());
        rig.dongle(|dongle| dongle.set_link(Link { up: true, downlink: 50_000_000, uplink: 10_000_000 }));
        rig.until_carrier(true).await;
        until("the speed is shown", || rig.host.speed().is_some_and(|(mbit, _)| mbit == 50)).await;
        rig.dongle(|dongle| dongle.set_link(Link::down()));
        rig.until_carrier(false).await;
        rig.stop("link").await;

        let silent = EcmOptions { notifies: false, ..EcmOptions::default() };
        let none = EcmOptions { notification: None, ..EcmOptions::default() };
        for options in [silent, none] {
            let rig = start_dongle(options).await;
            rig.expect_works().await;
            rig.stop("silent").await;
        }
    });
}

#[test]
fn the_speed_is_understood_in_one_packet_or_two() {
    run(async || {
        let eight = Some(NotificationEndpoint { packet_size: 8, interval: None });
        for options in [
            EcmOptions::default(),
            EcmOptions { split_speed: true, ..EcmOptions::default() },
            EcmOptions { notification: eight, ..EcmOptions::default() },
            EcmOptions {
                notification: Some(NotificationEndpoint { packet_size: 64, interval: None }),
                ..EcmOptions::default()
            },
        ] {
            let rig = start_dongle(options).await;
            rig.until_carrier(true).await;
            until("the speed is shown", || rig.host.speed() == Some((100, true))).await;
            assert_eq!(rig.status().bad_notifications, 0);
            rig.stop("speed").await;
        }
    });
}

#[test]
fn filters_are_exact_where_there_are_enough() {
    run(async || {
        let groups: Vec<_> = (1..=5).map(|n| MacAddr::new([1, 0, 0x5e, 0, 0, n])).collect();
        for (multicast_filters, exact) in [(5, true), (4, false), (0, false)] {
            let rig = start_dongle(EcmOptions { multicast_filters, ..EcmOptions::default() }).await;
            rig.until_carrier(true).await;
            let wish = HostWish { up: true, mtu: 1500, multicast: groups.clone(), ..HostWish::default() };
            rig.host.set_wish(wish.clone());
            until("the filter follows", || {
                let filter = rig.dongle(|dongle| dongle.filter().clone());
                let list = filter.bits & (filter::MULTICAST | filter::ALL_MULTICAST);
                if exact {
                    list == filter::MULTICAST && filter.groups == groups
                } else {
                    list == filter::ALL_MULTICAST
                }
            })
            .await;
            rig.host.set_wish(HostWish { promiscuous: true, ..wish.clone() });
            until("promiscuous", || rig.dongle(|dongle| dongle.filter().bits & filter::PROMISCUOUS != 0))
                .await;
            rig.host.set_wish(HostWish { multicast: Vec::new(), ..wish });
            let ordinary = filter::DIRECTED | filter::BROADCAST;
            until("back", || rig.dongle(|dongle| dongle.filter().bits & 0x0d == ordinary)).await;
            rig.dongle(|dongle| assert_eq!(dongle.faults(), []));
            rig.stop("filters").await;
        }
        let rig = start_dongle(EcmOptions { filter_stalls: true, ..EcmOptions::default() }).await;
        rig.expect_works().await;
        assert!(rig.status().notices.contains(Notice::FilterRefused));
        rig.stop("no filter").await;
    });
}

#[test]
fn a_stall_is_repaired_and_the_other_direction_goes_on() {
    run(async || {
        let rig = start_dongle(EcmOptions::default()).await;
        rig.until_carrier(true).await;
        for round in 0..10 {
            rig.dongle(|dongle| dongle.stall_once(FRAMES_IN));
            rig.expect_sent(frame(PEER, 200 + round)).await;
            rig.expect_received(frame(STATION, 300), frame(STATION, 300)).await;
            rig.dongle(|dongle| dongle.stall_once(FRAMES_OUT));
            rig.host.send(frame(PEER, 400 + round));
            rig.expect_received(frame(STATION, 500), frame(STATION, 500)).await;
            until("the stalled frame is sent again", || {
                rig.dongle(|dongle| dongle.wire_mut().take().is_some())
            })
            .await;
            // Apart, so that it is not given up.
            for _ in 0..30 {
                rig.expect_received(frame(STATION, 60), frame(STATION, 60)).await;
                rig.expect_sent(frame(PEER, 60)).await;
            }
        }
        let status = rig.status();
        assert_eq!(status.recoveries, 20, "{status:?}");
        rig.dongle(|dongle| assert_eq!(dongle.faults(), []));
        rig.stop("stalls").await;
    });
}

#[test]
fn frames_and_notifications_of_any_length_are_counted_and_passed_over() {
    run(async || {
        let rig = start_dongle(EcmOptions::default()).await;
        rig.until_carrier(true).await;
        for length in (0..14).chain([1519, 1520, 1600, 2047, 2048, 2049, 4096, 5000]) {
            rig.dongle(|dongle| dongle.send_raw(&vec![0xff; length]));
            rig.dongle(|dongle| dongle.notify_raw(&vec![0xa1; length.min(16)]));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let drops = rig.status().drops;
        // Buffers have 2048 bytes. What is longer goes on in the next, and counts once.
        assert_eq!((drops.received_empty, drops.received_runts), (1, 13), "{drops:?}");
        assert_eq!(drops.received_oversize, 8, "{drops:?}");
        while rig.host.received().is_some() {}
        rig.expect_received(frame(STATION, 60), frame(STATION, 60)).await;
        rig.dongle(|dongle| dongle.set_link(Link::down()));
        rig.dongle(|dongle| dongle.set_link(Link::up(10_000_000)));
        rig.until_carrier(true).await;
        rig.stop("lengths").await;
    });
}

#[test]
fn unplugging_ends_it_with_a_reason() {
    run(async || {
        let rig = start_dongle(EcmOptions::default()).await;
        rig.expect_works().await;
        rig.device.plug.unplug();
        let Ending::Failed(error) = rig.service.ended().await else { panic!("it is not told") };
        assert_eq!((error.kind(), error.device_name()), (outboard_core::ErrorKind::Unplugged, Some("1-1")));
        assert!(!rig.host.carrier());
        rig.stop("unplugged").await;
    });
}

#[test]
fn a_host_behind_the_dongle_answers_arp() {
    run(async || {
        let host = Host::new(&HostOptions::default(), outboard_core::queue::now());
        let Ok(rig) = start(EcmDongle::new(EcmOptions::default(), host)).await else {
            panic!("it does not start")
        };
        rig.until_carrier(true).await;
        let mut request = [&[0xff; 6][..], &STATION, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &STATION].concat();
        request.extend([10, 0, 2, 2, 0, 0, 0, 0, 0, 0, 10, 0, 2, 1]);
        rig.host.send(request);
        let mut answer = None;
        until("an answer", || {
            answer = rig.host.received();
            answer.is_some()
        })
        .await;
        let answer = answer.unwrap();
        assert_eq!((&answer[..6], &answer[20..22]), (&STATION[..], &[0, 2][..]));
        assert_eq!(answer[28..32], [10, 0, 2, 1]);
        rig.stop("ARP").await;
    });
}
