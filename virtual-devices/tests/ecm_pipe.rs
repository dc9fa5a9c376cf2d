//! The ECM dongle behind the in-process transport, through core's handles, in virtual time: as a driver meets it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use outboard_core::ErrorKind;
use outboard_core::action::{Action, Outcome};
use outboard_core::buffer::BufferDescriptor;
use outboard_core::queue::{self, Clock, DispatchQueue};
use outboard_core::usb::transport::in_process::InProcess;
use outboard_core::usb::{
    Bulk, Device, Direction, In, Interrupt, Out, Recipient, RequestKind, SetupPacket, TransferError,
};
use outboard_virtual_devices::ecm::requests::{self, filter};
use outboard_virtual_devices::ecm::{
    CONTROL_INTERFACE, DATA_INTERFACE, EcmDongle, EcmOptions, FRAMES_IN, Link, Neighbour, broken,
};
use outboard_virtual_devices::wire::Tester;

fn run<F: Future>(main: impl FnOnce() -> F) -> F::Output {
    DispatchQueue::run("test", Clock::Virtual, |_| main()).unwrap()
}

fn request(direction: Direction, request: u8, value: u16, length: u16) -> SetupPacket {
    SetupPacket::new(direction, RequestKind::Class, Recipient::Interface, request, value, 0, length)
}

fn frame(length: usize) -> Vec<u8> {
    let mut frame = vec![0x52, 0x54, 0x00, 0xe0, 0xcc, 0x01, 2, 0, 0, 0, 0, 9, 0x88, 0xb5];
    frame.extend((14..length).map(|at| at as u8));
    frame
}

#[test]
fn a_driver_of_forty_lines_moves_frames() {
    run(async || {
        let options = EcmOptions { neighbour: Some(Neighbour::Rndis), ..EcmOptions::default() };
        let (transport, plug) = InProcess::new("1-1", EcmDongle::new(options, Tester::new()));
        let device = Device::open(transport).await.unwrap();
        assert_eq!(device.configuration(), 2);
        device.set_configuration(1).await.unwrap();
        let control = device.interface(CONTROL_INTERFACE).unwrap();
        let data = device.interface(DATA_INTERFACE).unwrap();
        assert_eq!(data.first_pipe::<Bulk, In>().unwrap_err().kind(), ErrorKind::NotFound);
        data.select_alternate(1).await.unwrap();
        let bits = filter::DIRECTED | filter::BROADCAST;
        let set_filter = request(Direction::Out, requests::SET_ETHERNET_PACKET_FILTER, bits, 0);
        control.request_out(set_filter, &[]).await.unwrap();

        let news = control.first_pipe::<Interrupt, In>().unwrap();
        let up = news.io(news.buffer(news.max_packet_size())).await;
        assert_eq!(up.buffer.data(), requests::network_connection(0, true));

        // Reception stays pending for as long as nothing comes, and ends when the wire has something.
        let pipe = data.pipe::<Bulk, In>(FRAMES_IN).unwrap();
        let received = Rc::new(RefCell::new(VecDeque::new()));
        let keep = received.clone();
        let action = Action::new(move |done| keep.borrow_mut().push_back(done));
        for buffer in pipe.buffers(2048, 4) {
            pipe.async_io(buffer, &action).unwrap();
        }
        sleep(Duration::from_secs(3600)).await;
        assert_eq!(pipe.in_flight(), 4);
        plug.with(|dongle| {
            for length in [60, 512, 1024, 1514] {
                dongle.wire_mut().push(frame(length));
            }
        });
        sleep(Duration::from_millis(1)).await;
        let lengths: Vec<_> = received.borrow().iter().map(|done| done.buffer.data().to_vec()).collect();
        assert_eq!(lengths, [60, 512, 1024, 1514].map(frame));

        let send = data.first_pipe::<Bulk, Out>().unwrap();
        for length in [60, 512, 1024, 1514] {
            let done = send.io(BufferDescriptor::from(&frame(length)[..])).await;
            assert_eq!(done.outcome, Outcome::Completed(Ok(length)));
        }
        let statistic = request(Direction::In, requests::GET_ETHERNET_STATISTIC, 1, 4);
        assert_eq!(control.request_in(statistic).await.unwrap(), [4, 0, 0, 0]);
        plug.with(|dongle| {
            assert_eq!(dongle.wire_mut().take_all(), [60, 512, 1024, 1514].map(frame));
            assert_eq!((dongle.faults(), dongle.unfinished()), (&[][..], 0));
            dongle.set_link(Link::down());
            dongle.stall_once(FRAMES_IN);
        });
        let speed = news.io(news.buffer(news.max_packet_size())).await;
        assert_eq!(
            speed.buffer.data(),
            requests::network_connection(0, false),
            "the speed was not fetched in time"
        );

        let stalled = pipe.io(pipe.buffer(2048)).await;
        assert_eq!(stalled.outcome, Outcome::Completed(Err(TransferError::Stall)));
        pipe.clear_stall().await.unwrap();
        pipe.async_io(pipe.buffer(2048), &action).unwrap();
        plug.unplug();
        device.gone().await;
        assert!(matches!(received.borrow().back().unwrap().outcome, Outcome::Aborted(_)));
    });
}

#[test]
fn a_slow_link_is_slow_in_virtual_time() {
    run(async || {
        let options = EcmOptions { paced: true, link: Link::up(1_000_000), ..EcmOptions::default() };
        let (transport, plug) = InProcess::new("1-1", EcmDongle::new(options, Tester::new()));
        let device = Device::open(transport).await.unwrap();
        let data = device.interface(DATA_INTERFACE).unwrap();
        data.select_alternate(1).await.unwrap();
        let set_filter =
            request(Direction::Out, requests::SET_ETHERNET_PACKET_FILTER, filter::PROMISCUOUS, 0);
        device.request_out(set_filter, &[]).await.unwrap();
        plug.with(|dongle| (0..101).for_each(|_| dongle.wire_mut().push(frame(1514))));
        let pipe = data.first_pipe::<Bulk, In>().unwrap();
        let begin = queue::now();
        for _ in 0..101 {
            let done = pipe.io(pipe.buffer(2048)).await;
            assert_eq!(done.outcome, Outcome::Completed(Ok(1514)));
        }
        // 1,538 bytes at 1 Mbit/s are 12.304 ms; timers tick once in a millisecond.
        let took = queue::now() - begin;
        assert!((1230..1240).contains(&took.as_millis()), "{took:?}");
    });
}

#[test]
fn a_device_that_vanishes_says_when() {
    run(async || {
        let mut device = broken::vanishing(2);
        let told = Rc::new(std::cell::Cell::new(false));
        let tell = told.clone();
        device.on_vanish(move || tell.set(true));
        let (transport, plug) = InProcess::new("1-1", device);
        let device = Device::open(transport).await.unwrap();
        let data = device.interface(DATA_INTERFACE).unwrap();
        data.select_alternate(1).await.unwrap();
        assert!(!told.get());
        let set_filter = request(Direction::Out, requests::SET_ETHERNET_PACKET_FILTER, 1, 0);
        let error = device.request_out(set_filter, &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(told.get() && plug.with(|device| device.has_vanished()));
    });
}

/// A sleep in the queue's clock.
async fn sleep(time: Duration) {
    let queue = DispatchQueue::current().unwrap();
    let (send, receive) = tokio::sync::oneshot::channel();
    queue.dispatch_after(time, move || send.send(()).unwrap_or_default()).unwrap();
    receive.await.unwrap();
}
