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
        assert_eq!(log[..4], [
            Seen::Configured(1),
            Seen::Configured(2),
            Seen::Alternate(1, 1),
            Seen::Request(0x43, 0x0c, vec![]),
        ]);
        let rest: Vec<_> = log[4..].to_vec();
        assert!(rest.len() == 2 && rest.contains(&Seen::Polled(BULK_IN)) && rest.contains(&Seen::Polled(NOTIFY)), "{rest:?}");
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
