//! The whole driver against a modelled device, in virtual time: start, frames, link, filters.

mod support;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use outboard_core::family::ethernet::HostWish;
use outboard_core::family::ethernet::memory::{MemoryHost, MemoryInterface};
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::service::Service;
use outboard_core::usb::transport::in_process::{InProcess, Plug};
use outboard_core::usb::{Device, Speed};
use outboard_core::{MacAddr, Result};
use outboard_usb_ecm::driver::Notice;
use outboard_usb_ecm::machine::{GRACE, STRAGGLERS};
use outboard_usb_ecm::proto::functional::MulticastFilters;
use outboard_usb_ecm::proto::notification::Notification;
use outboard_usb_ecm::{EcmDriver, Provider};
use support::{BULK_IN, Ecm, MAC, NOTIFY, Seen};

type Driver = EcmDriver<MemoryInterface>;

/// A started driver, its host, its device.
struct Bench {
    service: Service<Driver>,
    host: MemoryHost,
    plug: Plug<Ecm>,
    lines: Rc<RefCell<Vec<String>>>,
}

impl Bench {
    async fn start(model: Ecm) -> Result<Self> {
        let (transport, plug) = InProcess::new("1-1", model);
        let device = Device::open(transport).await?;
        let (interface, host) = MemoryInterface::new("ecm0");
        let lines: Rc<RefCell<Vec<String>>> = Rc::default();
        let provider = Provider::new(device, |_| Ok(interface)).watched({
            let lines = lines.clone();
            move |name, status| lines.borrow_mut().push(status.line(name).to_string())
        });
        let service = Service::start(provider).await?;
        Ok(Self { service, host, plug, lines })
    }

    /// Waits in virtual time: everything that can happen before has happened.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    fn status(&self) -> outboard_usb_ecm::EcmStatus {
        self.service.with(|driver| driver.status()).unwrap()
    }

    fn requests(&self, code: u8) -> Vec<(u16, Vec<u8>)> {
        self.plug.with(|model| {
            let of = |seen: &Seen| match seen {
                Seen::Request(request, value, data) if *request == code => Some((*value, data.clone())),
                _ => None,
            };
            model.log.iter().filter_map(of).collect()
        })
    }
}

fn run<F: Future>(main: impl FnOnce() -> F) -> F::Output {
    DispatchQueue::run("test", Clock::Virtual, |_| main()).unwrap()
}

fn frame(n: u8, length: usize) -> Vec<u8> {
    let mut frame = vec![n; length];
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

const CONNECTED: Notification = Notification::Connection { connected: true };
const DISCONNECTED: Notification = Notification::Connection { connected: false };

#[test]
fn the_device_sees_the_start_in_the_order_that_works() {
    run(|| async {
        let bench = Bench::start(Ecm { decoy: true, ..Ecm::default() }).await.unwrap();
        bench.settle().await;
        let log = bench.plug.with(|model| model.log.clone());
        assert_eq!(
            log[..4],
            [
                Seen::Configured(1),
                Seen::Configured(2),
                Seen::Alternate(1, 1),
                Seen::Request(0x43, 0x0c, vec![]),
            ]
        );
        let rest: Vec<_> = log[4..].to_vec();
        assert!(
            rest.len() == 2 && rest.contains(&Seen::Polled(BULK_IN)) && rest.contains(&Seen::Polled(NOTIFY)),
            "{rest:?}"
        );
        let status = bench.status();
        assert_eq!((status.mac, status.mtu), ("52:54:00:12:34:56".parse().unwrap(), 1500));
        assert_eq!(bench.lines.borrow()[..], ["ecm0, 52:54:00:12:34:56, 480 Mbit/s, link down"]);
    });
}

#[test]
fn frames_go_both_ways() {
    run(|| async {
        let bench = Bench::start(Ecm::default()).await.unwrap();
        bench.plug.with(|model| model.notify(CONNECTED));
        bench.settle().await;
        assert!(bench.host.carrier());
        // More than there are buffers, and of every kind of length: on a packet's boundary too.
        let lengths = [60, 511, 512, 513, 1024, 1514, 1518];
        let frames: Vec<_> = (0..500).map(|n| frame(n as u8, lengths[n % lengths.len()])).collect();
        for frame in &frames {
            bench.host.send(frame.clone());
        }
        bench.plug.with(|model| frames.iter().for_each(|frame| model.frame(frame.clone())));
        bench.settle().await;
        assert_eq!(bench.plug.with(|model| model.payloads()), frames);
        let received: Vec<_> = std::iter::from_fn(|| bench.host.received()).collect();
        assert_eq!(received, frames);
        let packets = |at: usize| bench.plug.with(|model| model.sent[at].1.clone());
        assert_eq!((packets(1), packets(2), packets(4)), (vec![511], vec![512, 0], vec![512, 512, 0]));
        let status = bench.status();
        assert_eq!((status.traffic.received_frames, status.traffic.transmitted_frames), (500, 500));
        assert_eq!(status.drops, Default::default());
    });
}

#[test]
fn odd_frames_are_counted_and_disturb_nobody() {
    run(|| async {
        let bench = Bench::start(Ecm { notifies: false, ..Ecm::default() }).await.unwrap();
        bench.plug.with(|model| {
            for bytes in [
                frame(1, 60),
                vec![],
                frame(2, 61),
                vec![3; 13],
                frame(4, 1519),
                frame(5, 62),
                vec![6; 5000],
                frame(7, 63),
            ] {
                model.frame(bytes);
            }
        });
        bench.settle().await;
        let received: Vec<_> = std::iter::from_fn(|| bench.host.received()).map(|frame| frame[0]).collect();
        let drops = bench.status().drops;
        // The 5000 bytes are three transfers: two fill their buffers, and the rest is no frame of its own.
        assert_eq!(received, [1, 2, 5, 7]);
        assert_eq!((drops.received_empty, drops.received_runts, drops.received_oversize), (1, 1, 2));
        assert_eq!(bench.status().recoveries, 0);
    });
}

#[test]
fn the_link_follows_the_notifications() {
    run(|| async {
        // Speeds come in two packets of 8 bytes.
        let bench = Bench::start(Ecm { notify_packet: 8, ..Ecm::default() }).await.unwrap();
        bench.settle().await;
        assert!(!bench.host.carrier());
        bench.plug.with(|model| {
            model.notify(CONNECTED);
            model.notify(Notification::Speed { downlink: 100_000_000, uplink: 10_000_000 });
        });
        bench.settle().await;
        assert_eq!((bench.host.carrier(), bench.host.speed()), (true, Some((100, true))));
        bench.plug.with(|model| model.notify(DISCONNECTED));
        bench.settle().await;
        assert!(!bench.host.carrier());
        tokio::time::sleep(GRACE * 2).await;
        assert!(!bench.host.carrier());
        assert_eq!(
            bench.lines.borrow()[..],
            [
                "ecm0, 52:54:00:12:34:56, 480 Mbit/s, link down",
                "ecm0, 52:54:00:12:34:56, 480 Mbit/s, link up",
                "ecm0, 52:54:00:12:34:56, 100 Mbit/s, link up",
                "ecm0, 52:54:00:12:34:56, 100 Mbit/s, link down",
            ]
        );
    });
}

#[test]
fn a_device_that_never_notifies_has_a_link_by_traffic_or_by_time() {
    run(|| async {
        let bench = Bench::start(Ecm::default()).await.unwrap();
        bench.plug.with(|model| model.frame(frame(1, 60)));
        bench.settle().await;
        assert!(bench.host.carrier());

        let bench = Bench::start(Ecm::default()).await.unwrap();
        tokio::time::sleep(GRACE - Duration::from_millis(10)).await;
        assert!(!bench.host.carrier());
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(bench.host.carrier());
        bench.plug.with(|model| model.notify(DISCONNECTED));
        bench.settle().await;
        assert!(!bench.host.carrier());
        // Its "connected" is lost, but frames come.
        tokio::time::sleep(STRAGGLERS).await;
        bench.plug.with(|model| model.frame(frame(1, 60)));
        bench.settle().await;
        assert!(bench.host.carrier());

        let bench = Bench::start(Ecm { notifies: false, ..Ecm::default() }).await.unwrap();
        bench.settle().await;
        assert!(bench.host.carrier());
    });
}

#[test]
fn without_a_link_frames_are_not_kept_for_later() {
    run(|| async {
        let bench = Bench::start(Ecm::default()).await.unwrap();
        for n in 0..200 {
            bench.host.send(frame(n, 60));
        }
        bench.settle().await;
        assert_eq!((bench.host.unsent(), bench.status().drops.sent_without_link), (0, 200));
        bench.plug.with(|model| model.notify(CONNECTED));
        bench.settle().await;
        bench.host.send(frame(7, 60));
        bench.settle().await;
        assert_eq!(bench.plug.with(|model| model.payloads()), [frame(7, 60)]);
    });
}

#[test]
fn a_repeated_carrier_on_is_a_lost_link_for_some_modems() {
    run(|| async {
        let bench = Bench::start(Ecm { vendor: 0x19d2, product: 0x1405, ..Ecm::default() }).await.unwrap();
        for _ in 0..2 {
            bench.plug.with(|model| model.notify(CONNECTED));
            bench.settle().await;
        }
        let states: Vec<_> = bench.lines.borrow().iter().map(|line| line.ends_with("up")).collect();
        assert_eq!(states, [false, true, false, true]);
        // Its address is shared by all of its kind, and its frames carry another made-up one.
        let mac = bench.status().mac;
        assert!(mac.is_local() && mac.to_string() != "52:54:00:12:34:56");
        let mut made_up = frame(0, 60);
        made_up[..6].copy_from_slice(&[0x02, 9, 9, 9, 9, 9]);
        let mut group = frame(0, 60);
        group[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
        bench.plug.with(|model| [made_up, group.clone()].into_iter().for_each(|frame| model.frame(frame)));
        bench.settle().await;
        assert_eq!(bench.host.received().unwrap()[..6], mac.octets());
        assert_eq!(bench.host.received().unwrap(), group);
    });
}

#[test]
fn a_bad_address_gives_a_stable_one_and_a_notice() {
    run(|| async {
        let mut seen = BTreeSet::new();
        for mac in [Some("52:54:00:12:34:56"), Some("ffffffffffff"), Some(""), None, Some("5254001234zz")] {
            let bench = Bench::start(Ecm { mac: mac.map(Into::into), ..Ecm::default() }).await.unwrap();
            let status = bench.status();
            assert!(status.mac.is_local() && status.mac.is_valid_station());
            assert!(status.notices.contains(Notice::MacMadeUp));
            seen.insert(status.mac);
        }
        assert_eq!(seen.len(), 1, "{seen:?}");
        let bench = Bench::start(Ecm { mac: Some(MAC.into()), ..Ecm::default() }).await.unwrap();
        assert_eq!(bench.status().notices.iter().count(), 0);
    });
}

#[test]
fn filters_follow_the_wish() {
    run(|| async {
        let mut model = Ecm::default();
        model.ethernet.multicast = MulticastFilters { count: 2, perfect: true };
        let bench = Bench::start(model).await.unwrap();
        let group = |n| MacAddr::new([0x33, 0x33, 0, 0, 0, n]);
        let wish = |groups: &[u8]| HostWish {
            up: true,
            multicast: groups.iter().map(|n| group(*n)).collect(),
            ..HostWish::default()
        };
        bench.host.set_wish(wish(&[1, 2]));
        bench.settle().await;
        bench.host.set_wish(wish(&[1, 2, 3]));
        bench.settle().await;
        bench.host.set_wish(HostWish { promiscuous: true, ..wish(&[]) });
        bench.settle().await;
        bench.host.set_wish(HostWish { mac: MacAddr::new([2, 0, 0, 0, 0, 1]), ..wish(&[]) });
        bench.settle().await;
        bench.host.set_wish(HostWish { mac: MAC_ADDRESS, ..wish(&[]) });
        bench.settle().await;
        let packet: Vec<_> = bench.requests(0x43).into_iter().map(|(value, _)| value).collect();
        assert_eq!(packet, [0x0c, 0x1c, 0x0e, 0x0d, 0x0c]);
        assert_eq!(bench.requests(0x40), [(2, [group(1).octets(), group(2).octets()].concat())]);
    });
}

const MAC_ADDRESS: MacAddr = MacAddr::new([0x52, 0x54, 0x00, 0x12, 0x34, 0x56]);

#[test]
fn a_device_that_refuses_filters_is_served() {
    run(|| async {
        let mut model = Ecm { notifies: false, stall_requests: [0x40, 0x43].into(), ..Ecm::default() };
        model.ethernet.multicast = MulticastFilters { count: 8, perfect: true };
        let bench = Bench::start(model).await.unwrap();
        bench.host.set_wish(HostWish {
            up: true,
            multicast: vec![MacAddr::new([1, 0, 0, 0, 0, 1])],
            ..HostWish::default()
        });
        bench.plug.with(|model| model.frame(frame(1, 60)));
        bench.settle().await;
        assert!(bench.host.received().is_some());
        assert!(bench.status().notices.contains(Notice::FilterRefused));
        assert_eq!(bench.requests(0x43).last().unwrap().0, 0x0e);
    });
}

#[test]
fn counters_are_asked_for_where_they_are_offered() {
    run(|| async {
        let mut model = Ecm::default();
        model.ethernet.statistics = 0b11;
        let bench = Bench::start(model).await.unwrap();
        let statistics = bench.service.with(|driver| driver.statistics()).unwrap().await.unwrap();
        let values: Vec<_> = statistics.iter().map(|(statistic, value)| (statistic.name, *value)).collect();
        assert_eq!(values, [("XMIT_OK", 100), ("RCV_OK", 200)]);
    });
}

#[test]
fn every_speed_has_its_depth_and_is_shown() {
    run(|| async {
        for (speed, mbit) in
            [(Speed::Full, 12), (Speed::High, 480), (Speed::Super, 5000), (Speed::SuperPlus, 10_000)]
        {
            let bench = Bench::start(Ecm { speed, ..Ecm::default() }).await.unwrap();
            assert_eq!(bench.host.speed(), Some((mbit, true)));
        }
        let mut model = Ecm { speed: Speed::Super, notifies: false, ..Ecm::default() };
        model.ethernet.max_segment_size = u16::MAX;
        let bench = Bench::start(model).await.unwrap();
        assert!(bench.status().notices.contains(Notice::OddDescriptors));
        bench.host.send(frame(1, 9000));
        bench.settle().await;
        assert_eq!(bench.plug.with(|model| model.payloads()), [frame(1, 9000)]);
    });
}
