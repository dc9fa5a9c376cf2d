//! The whole driver against a device in trouble, in virtual time: stalls, faults, unplug, and a device that works for nobody.

mod support;

use std::future::Future;
use std::time::Duration;

use outboard_core::ErrorKind;
use outboard_core::Result;
use outboard_core::family::ethernet::memory::{MemoryHost, MemoryInterface};
use outboard_core::queue::{self, Clock, DispatchQueue};
use outboard_core::service::{Ending, Service};
use outboard_core::usb::Device;
use outboard_core::usb::transport::fault::{Faulty, Injection, Injector, Rule};
use outboard_core::usb::transport::in_process::{InProcess, Plug};
use outboard_usb_ecm::driver::{DEPTH_HIGH_SPEED, Notice};
use outboard_usb_ecm::machine::{FIRST_PAUSE, GRACE, REPAIRS};
use outboard_usb_ecm::{EcmDriver, Provider};
use support::{BULK_IN, BULK_OUT, Ecm, NOTIFY, Seen};

type Driver = EcmDriver<MemoryInterface>;

struct Bench {
    service: Service<Driver>,
    device: Device,
    host: MemoryHost,
    plug: Plug<Ecm>,
    injector: Injector,
}

impl Bench {
    async fn start(model: Ecm, rules: &[Rule]) -> Result<Self> {
        let (transport, plug) = InProcess::new("1-1", model);
        let (transport, injector) = Faulty::new(transport);
        rules.iter().for_each(|rule| injector.add(*rule));
        let device = Device::open(transport).await?;
        let (interface, host) = MemoryInterface::new("ecm0");
        let service = Service::start(Provider::new(device.clone(), |_| Ok(interface))).await?;
        Ok(Self { service, device, host, plug, injector })
    }

    async fn up() -> Self {
        let bench = Self::start(Ecm { notifies: false, ..Ecm::default() }, &[]).await.unwrap();
        bench.settle().await;
        bench
    }

    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    fn status(&self) -> outboard_usb_ecm::EcmStatus {
        self.service.with(|driver| driver.status()).unwrap()
    }

    async fn failure(&self) -> outboard_core::Error {
        match self.service.ended().await {
            Ending::Failed(error) => error,
            Ending::Stopped => panic!("nobody stopped it"),
        }
    }

    fn received(&self) -> Vec<u8> {
        std::iter::from_fn(|| self.host.received()).map(|frame| frame[0]).collect()
    }

    fn sent(&self) -> Vec<u8> {
        self.plug.with(|model| model.payloads()).iter().map(|frame| frame[0]).collect()
    }
}

fn run<F: Future>(main: impl FnOnce() -> F) -> F::Output {
    DispatchQueue::run("test", Clock::Virtual, |_| main()).unwrap()
}

fn frame(n: u8) -> Vec<u8> {
    let mut frame = vec![n; 60];
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

#[test]
fn a_stall_of_the_receive_pipe_costs_nothing_else() {
    run(|| async {
        let bench = Bench::up().await;
        bench.plug.with(|model| {
            model.frame(frame(1));
            model.frames.push_back(Err(()));
            model.frame(frame(2));
        });
        bench.host.send(frame(3));
        bench.settle().await;
        assert_eq!((bench.received(), bench.sent()), (vec![1, 2], vec![3]));
        let status = bench.status();
        assert_eq!(status.recoveries, 1);
        assert_eq!(status.last_recovery.unwrap().took, Duration::ZERO, "the first halt is cleared at once");
    });
}

#[test]
fn a_stall_of_the_send_pipe_keeps_frames_and_their_order() {
    run(|| async {
        let bench = Bench::up().await;
        // The queue is full behind the frame that stalls, and the host has more.
        bench.plug.with(|model| model.deaf_out = true);
        let frames: Vec<u8> = (0..150).collect();
        frames.iter().for_each(|n| bench.host.send(frame(*n)));
        bench.settle().await;
        bench.plug.with(|model| {
            model.deaf_out = false;
            model.stall_out = 1;
            model.frame(frame(200));
        });
        bench.settle().await;
        assert_eq!(bench.sent(), frames);
        assert_eq!((bench.received(), bench.status().recoveries), (vec![200], 1));
        assert_eq!(bench.status().drops, Default::default());
    });
}

#[test]
fn a_frame_that_stalls_twice_is_given_up_and_the_others_go_on() {
    run(|| async {
        let bench = Bench::up().await;
        bench.plug.with(|model| model.stall_out = 2);
        (1..=3).for_each(|n| bench.host.send(frame(n)));
        tokio::time::sleep(FIRST_PAUSE * 2).await;
        assert_eq!((bench.sent(), bench.status().drops.sent_failed), (vec![2, 3], 1));
    });
}

#[test]
fn faults_pause_a_pipe_and_the_pause_is_measured() {
    run(|| async {
        let bench = Bench::up().await;
        bench.injector.add(Rule::at(BULK_IN, 1, Injection::Fault));
        bench.injector.add(Rule::at(BULK_OUT, 2, Injection::Fault));
        // The fault is behind the transfers that are queued already.
        bench.plug.with(|model| (0..DEPTH_HIGH_SPEED).for_each(|_| model.frame(frame(1))));
        (1..=4).for_each(|n| bench.host.send(frame(n)));
        bench.settle().await;
        assert_eq!(bench.injector.injected(), 2);
        tokio::time::sleep(FIRST_PAUSE).await;
        bench.settle().await;
        let mut sent = bench.sent();
        sent.sort_unstable();
        assert_eq!(sent, [1, 2, 3, 4], "nothing is lost");
        bench.plug.with(|model| model.frame(frame(2)));
        bench.settle().await;
        assert_eq!(bench.received(), [vec![1; DEPTH_HIGH_SPEED], vec![2]].concat());
        let status = bench.status();
        assert_eq!((status.recoveries, status.last_recovery.unwrap().took), (2, FIRST_PAUSE));
    });
}

#[test]
fn a_storm_of_faults_ends_in_a_reset_and_then_in_failure() {
    run(|| async {
        let begin = queue::now();
        let bench = Bench::up().await;
        bench.injector.add(Rule::at(BULK_IN, 1, Injection::Fault).repeated());
        bench.plug.with(|model| (0..100).for_each(|_| model.frame(frame(1))));
        let error = bench.failure().await;
        assert_eq!((error.kind(), error.endpoint_address()), (ErrorKind::Faulted, Some(BULK_IN)));
        let resets = bench
            .plug
            .with(|model| model.log.iter().filter(|seen| matches!(seen, Seen::Configured(_))).count());
        assert_eq!(resets, 2, "the first configuration and one reset");
        assert!(queue::now() - begin < Duration::from_secs(30));
        assert!(!bench.host.carrier());
        assert!(matches!(bench.service.stop().await, Ending::Failed(_)));
    });
}

#[test]
fn a_reset_that_helps_starts_the_device_again() {
    run(|| async {
        let bench = Bench::up().await;
        bench.injector.add(Rule::at(BULK_IN, 1, Injection::Fault).repeated());
        bench.plug.with(|model| (0..100).for_each(|_| model.frame(frame(1))));
        let resets =
            |model: &mut Ecm| model.log.iter().filter(|seen| matches!(seen, Seen::Configured(_))).count();
        while bench.plug.with(resets) < 2 {
            tokio::time::sleep(FIRST_PAUSE).await;
        }
        bench.injector.clear();
        tokio::time::sleep(FIRST_PAUSE * 8).await;
        bench.plug.with(|model| model.frame(frame(9)));
        bench.host.send(frame(8));
        bench.settle().await;
        assert!(bench.received().ends_with(&[9]) && bench.sent() == [8]);
        let log = bench.plug.with(|model| model.log.clone());
        let at = log.iter().rposition(|seen| matches!(seen, Seen::Configured(_))).unwrap();
        assert!(
            matches!(
                log[at..at + 5],
                // Restored by the host, then selected by the driver.
                [
                    _,
                    Seen::Alternate(1, 1),
                    Seen::Alternate(1, 1),
                    Seen::Request(0x43, 0x0c, _),
                    Seen::Polled(BULK_IN)
                ]
            ),
            "{:?}",
            &log[at..]
        );
    });
}

#[test]
fn a_reset_that_fails_ends_the_driver_with_its_own_reason() {
    run(|| async {
        let bench = Bench::up().await;
        bench.injector.add(Rule::at(BULK_IN, 1, Injection::Fault).repeated());
        bench.plug.with(|model| {
            model.fixed = true;
            (0..100).for_each(|_| model.frame(frame(1)));
        });
        let error = bench.failure().await;
        assert_eq!(error.to_string(), "1-1: reset the device: the endpoint stalled");
        assert!(!bench.host.carrier());
    });
}

#[test]
fn a_device_that_stalls_everything_is_given_up() {
    run(|| async {
        let bench = Bench::start(Ecm { stall_everything: true, ..Ecm::default() }, &[]).await.unwrap();
        let error = bench.failure().await;
        assert_eq!(error.kind(), ErrorKind::Stalled);
        assert_eq!((error.device_name(), error.interface_number()), (Some("1-1"), Some(1)));
        let status = bench.status();
        for notice in [Notice::MacMadeUp, Notice::FilterRefused] {
            assert!(status.notices.contains(notice));
        }
    });
}

#[test]
fn a_device_that_stalls_on_every_second_transfer_is_given_up() {
    run(|| async {
        let bench = Bench::up().await;
        bench.plug.with(|model| {
            for _ in 0..3 * REPAIRS {
                model.frame(frame(1));
                model.frames.push_back(Err(()));
            }
        });
        let error = bench.failure().await;
        assert_eq!((error.kind(), error.endpoint_address()), (ErrorKind::Stalled, Some(BULK_IN)));
        // Twice all that is borne, with a reset, which is a repair too, between.
        assert_eq!(bench.status().recoveries, u64::from(2 * REPAIRS + 1));
        assert_eq!(bench.received().len(), 2 * (REPAIRS as usize + 1));
        assert!(!bench.host.carrier());
    });
}

#[test]
fn a_broken_notification_endpoint_only_costs_notifications() {
    run(|| async {
        let model = Ecm { notifications: std::iter::repeat_n(Err(()), 1000).collect(), ..Ecm::default() };
        let bench = Bench::start(model, &[]).await.unwrap();
        tokio::time::sleep(GRACE * 20).await;
        assert!(bench.host.carrier() && bench.status().notices.contains(Notice::Deaf));
        bench.plug.with(|model| model.frame(frame(1)));
        bench.host.send(frame(2));
        bench.settle().await;
        assert_eq!((bench.received(), bench.sent()), (vec![1], vec![2]));
        assert!(bench.plug.with(|model| model.notifications.len()) > 900, "it is left alone");
    });
}

#[test]
fn an_unplug_at_any_transfer_ends_the_driver_once() {
    run(|| async {
        let (mut refused, mut failed) = (0, 0);
        for nth in 1..400 {
            let rules = [Rule::at_any(nth, Injection::Unplug)];
            let model = Ecm { decoy: true, ..Ecm::default() };
            match Bench::start(model, &rules).await {
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.kind(), ErrorKind::Unplugged, "at {nth}: {error}");
                }
                Ok(bench) => {
                    failed += 1;
                    bench.plug.with(|model| {
                        model.notify(outboard_usb_ecm::proto::notification::Notification::Connection {
                            connected: true,
                        });
                        (0..200).for_each(|n| model.frame(frame(n)));
                    });
                    bench.settle().await;
                    (0..200).for_each(|n| bench.host.send(frame(n)));
                    let error = bench.failure().await;
                    assert_eq!(error.kind(), ErrorKind::Unplugged, "at {nth}: {error}");
                    bench.settle().await;
                    assert!(!bench.host.carrier(), "at {nth}");
                    bench.service.stop().await;
                }
            }
        }
        assert!(refused >= 5 && failed > 300, "{refused} refused, {failed} failed");
    });
}

#[test]
fn a_stop_in_the_middle_of_traffic_leaves_nothing_in_flight() {
    run(|| async {
        let bench = Bench::up().await;
        bench.plug.with(|model| {
            model.deaf_out = true;
            (0..100).for_each(|n| model.frame(frame(n)));
        });
        (0..200).for_each(|n| bench.host.send(frame(n)));
        bench.settle().await;
        assert_eq!(bench.service.stop().await, Ending::Stopped);
        // Everything has been given back: the next driver can start, and finds nothing in the way.
        let (interface, host) = MemoryInterface::new("ecm1");
        let next = Service::<Driver>::start(Provider::new(bench.device, |_| Ok(interface))).await.unwrap();
        bench.plug.with(|model| model.frame(frame(1)));
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(std::iter::from_fn(|| host.received()).map(|frame| frame[0]).collect::<Vec<_>>(), [1]);
        next.stop().await;
    });
}

#[test]
fn a_deleted_interface_ends_the_driver() {
    run(|| async {
        let bench = Bench::up().await;
        bench.host.delete();
        assert_eq!(bench.failure().await.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn notifications_that_fault_are_asked_for_again() {
    run(|| async {
        let bench = Bench::start(Ecm::default(), &[Rule::at(NOTIFY, 1, Injection::Fault)]).await.unwrap();
        tokio::time::sleep(FIRST_PAUSE * 2).await;
        bench.plug.with(|model| {
            model.notify(outboard_usb_ecm::proto::notification::Notification::Connection { connected: true });
        });
        bench.settle().await;
        assert!(bench.host.carrier());
        assert_eq!(bench.status().recoveries, 1);
    });
}
