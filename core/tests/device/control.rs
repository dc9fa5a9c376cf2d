//! Device requests: answers, refusals, and devices that never answer.

use std::time::Duration;

use outboard_core::ErrorKind;
use outboard_core::action::Outcome;
use outboard_core::queue;
use outboard_core::usb::{Bulk, Direction, In, Recipient, RequestKind, SetupPacket};

use super::model::*;

fn request(direction: Direction, code: u8, length: u16) -> SetupPacket {
    SetupPacket::new(direction, RequestKind::Vendor, Recipient::Device, code, 0, 0, length)
}

#[test]
fn answers_are_cut_to_what_was_asked_for() {
    on_queue(async || {
        let (device, plug) = open().await;
        for length in [0, 1, 300, 1000] {
            let answer = device.request_in(request(Direction::In, 0x11, length)).await.unwrap();
            assert_eq!(answer, vec![0x11; usize::from(length.min(300))]);
        }
        device.request_out(request(Direction::Out, 1, 0), b"data").await.unwrap();
        device.request_out(request(Direction::Out, 1, 99), b"").await.unwrap();
        assert_eq!(plug.with(|model| model.heard[&0].clone()), [b"data".to_vec(), vec![]]);
        let error = device.request_in(request(Direction::In, 0x5a, 1)).await.unwrap_err();
        assert_eq!(error.to_string(), "1-2: device request: the endpoint stalled");
        assert_eq!(
            device.request_in(request(Direction::Out, 1, 1)).await.unwrap_err().kind(),
            ErrorKind::Bug
        );
        let long = vec![0; 65_536];
        assert_eq!(
            device.request_out(request(Direction::Out, 1, 0), &long).await.unwrap_err().kind(),
            ErrorKind::Bug
        );
    });
}

#[test]
fn a_request_that_is_never_answered_times_out_after_five_seconds_and_leaves_nothing() {
    on_queue(async || {
        let (device, plug) = open().await;
        plug.with(|model| model.control_busy = true);
        let begin = queue::now();
        let error = device.request_in(request(Direction::In, 0x11, 4)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "1-2: device request: the device did not answer in time");
        assert_eq!(queue::now() - begin, Duration::from_secs(5));
        // The late answer is nobody's: the next request gets its own.
        plug.with(|model| model.control_busy = false);
        assert_eq!(device.request_in(request(Direction::In, 0x22, 1)).await.unwrap(), [0x22]);
        assert_eq!(queue::now() - begin, Duration::from_secs(5));
    });
}

#[test]
fn requests_are_served_in_their_order_and_one_that_waits_holds_up_the_others() {
    on_queue(async || {
        let (device, plug) = open().await;
        plug.with(|model| model.control_busy = true);
        let first = device.request_out(request(Direction::Out, 1, 0), b"1");
        let second = device.request_out(request(Direction::Out, 1, 0), b"2");
        let third = async {
            settle().await;
            plug.with(|model| model.control_busy = false);
        };
        let (first, second, ()) = tokio::join!(first, second, third);
        first.unwrap();
        second.unwrap();
        assert_eq!(plug.with(|model| model.heard[&0].clone()), [b"1".to_vec(), b"2".to_vec()]);
    });
}

#[test]
fn a_request_whose_caller_goes_away_is_taken_back() {
    on_queue(async || {
        let (device, plug) = open().await;
        plug.with(|model| model.control_busy = true);
        let asked = device.request_out(request(Direction::Out, 1, 0), b"never");
        assert!(tokio::time::timeout(Duration::from_secs(1), asked).await.is_err());
        plug.with(|model| model.control_busy = false);
        device.request_out(request(Direction::Out, 1, 0), b"later").await.unwrap();
        assert_eq!(plug.with(|model| model.heard[&0].clone()), [b"later".to_vec()]);
    });
}

/// The request has ended, nobody has looked, and its place among the submissions is already another's.
#[test]
fn a_caller_that_goes_away_late_takes_nothing_of_others_with_it() {
    on_queue(async || {
        let (device, plug) = open().await;
        let interface = device.interface(0).unwrap();
        let pipe = interface.pipe::<Bulk, In>(BULK_IN).unwrap();
        let endings = Endings::default();
        let action = endings.action();
        let mut asked = Box::pin(device.request_in(request(Direction::In, 0x11, 1)));
        let begun =
            std::future::poll_fn(|context| std::task::Poll::Ready(asked.as_mut().poll(context).is_pending()));
        assert!(begun.await);
        settle().await;
        pipe.async_io(pipe.buffer(PACKET), &action).unwrap();
        drop(asked);
        settle().await;
        assert_eq!(endings.all(), []);
        plug.with(|model| model.say.entry(BULK_IN).or_default().push_back(vec![1]));
        settle().await;
        assert_eq!(endings.outcomes(), [(PACKET, Outcome::Completed(Ok(1)))]);
    });
}

#[test]
fn an_unplug_answers_every_request() {
    on_queue(async || {
        let (device, plug) = open().await;
        plug.with(|model| model.control_busy = true);
        let asked = device.request_in(request(Direction::In, 0x11, 4));
        let pull = async {
            settle().await;
            plug.unplug();
        };
        let (answer, ()) = tokio::join!(asked, pull);
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unplugged);
    });
}

#[test]
fn a_reset_restores_alternate_settings_and_ends_what_is_in_flight_as_cancelled() {
    on_queue(async || {
        let (device, plug) = open().await;
        let interface = device.interface(0).unwrap();
        interface.select_alternate(1).await.unwrap();
        let pipe = interface.pipe::<Bulk, In>(BULK_IN).unwrap();
        let endings = Endings::default();
        let action = endings.action();
        pipe.async_io(pipe.buffer(PACKET), &action).unwrap();
        plug.with(|model| model.control_busy = true);
        let asked = device.request_in(request(Direction::In, 0x11, 1));
        let reset = async {
            settle().await;
            device.reset().await
        };
        let (answer, reset) = tokio::join!(asked, reset);
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Cancelled);
        reset.unwrap();
        settle().await;
        assert_eq!(endings.outcomes(), [(PACKET, Outcome::Cancelled)]);
        let told = plug.with(|model| (model.configured.clone(), model.selected.clone()));
        assert_eq!(told, (vec![1, 1], vec![(0, 1), (0, 1)]));
        // The pipe and the claim are as before.
        assert_eq!(interface.alternate(), 1);
        pipe.async_io(pipe.buffer(PACKET), &action).unwrap();
        plug.with(|model| model.say.entry(BULK_IN).or_default().push_back(vec![1]));
        settle().await;
        assert_eq!(endings.outcomes()[1], (PACKET, Outcome::Completed(Ok(1))));
        assert_eq!(device.interface(0).unwrap_err().kind(), ErrorKind::Busy);
    });
}

#[test]
fn a_reset_after_which_an_alternate_setting_is_refused_fails_and_setting_0_is_never_selected() {
    on_queue(async || {
        let (device, plug) = open().await;
        let interface = device.interface(0).unwrap();
        plug.with(|model| model.fixed = true);
        device.reset().await.unwrap();
        plug.with(|model| model.fixed = false);
        interface.select_alternate(1).await.unwrap();
        plug.with(|model| model.fixed = true);
        assert_eq!(device.reset().await.unwrap_err().kind(), ErrorKind::Stalled);
    });
}
