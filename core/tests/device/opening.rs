//! What cannot be opened, and the words in which it is refused.

use outboard_core::ErrorKind;
use outboard_core::usb::{Bulk, In, Interrupt, Out};

use super::model::*;

#[test]
fn a_pipe_that_does_not_fit_its_endpoint_is_refused() {
    on_queue(async || {
        let (device, _plug) = open().await;
        let interface = device.interface(0).unwrap();
        let other = device.interface(1).unwrap();
        let refused = |error: outboard_core::Error| (error.kind(), error.to_string());
        assert_eq!(
            refused(interface.pipe::<Bulk, In>(0x85).unwrap_err()),
            (
                ErrorKind::NotFound,
                "1-2, interface 0, endpoint 0x85: open pipe: alternate setting 0 has no such endpoint".into()
            )
        );
        assert_eq!(
            refused(interface.pipe::<Bulk, Out>(BULK_IN).unwrap_err()),
            (
                ErrorKind::NotFound,
                "1-2, interface 0, endpoint 0x81: open pipe: bEndpointAddress is an IN endpoint; OUT was asked for".into()
            )
        );
        assert_eq!(
            refused(interface.pipe::<Interrupt, In>(BULK_IN).unwrap_err()),
            (
                ErrorKind::NotFound,
                "1-2, interface 0, endpoint 0x81: open pipe: bmAttributes says bulk; interrupt was asked for"
                    .into()
            )
        );
        assert_eq!(
            refused(other.pipe::<Bulk, In>(0x84).unwrap_err()),
            (
                ErrorKind::Malformed,
                "1-2, interface 1, endpoint 0x84: open pipe: wMaxPacketSize is 0, so nothing can be transferred".into()
            )
        );
        assert_eq!(
            refused(other.pipe::<Bulk, Out>(0x05).unwrap_err()),
            (
                ErrorKind::NotFound,
                "1-2, interface 1, endpoint 0x05: open pipe: bmAttributes says isochronous; bulk was asked for".into()
            )
        );
        assert_eq!(
            refused(other.first_pipe::<Interrupt, In>().unwrap_err()),
            (
                ErrorKind::NotFound,
                "1-2, interface 1: open pipe: alternate setting 0 has no interrupt IN endpoint".into()
            )
        );
        assert_eq!(interface.first_pipe::<Interrupt, In>().unwrap().address(), INTERRUPT_IN);
    });
}

#[test]
fn an_interface_is_had_by_one_and_a_refusal_takes_it_from_nobody() {
    on_queue(async || {
        let (device, plug) = open().await;
        let first = device.interface(0).unwrap();
        let pipe = first.pipe::<Bulk, In>(BULK_IN).unwrap();
        for _ in 0..2 {
            let error = device.interface(0).unwrap_err();
            assert_eq!(error.to_string(), "1-2, interface 0: claim: this program has it open already");
            assert_eq!(error.kind(), ErrorKind::Busy);
        }
        plug.with(|model| model.say.entry(BULK_IN).or_default().push_back(vec![1]));
        let done = pipe.io(pipe.buffer(PACKET)).await;
        assert_eq!(done.outcome, outboard_core::action::Outcome::Completed(Ok(1)));
        let error = device.interface(7).unwrap_err();
        assert_eq!(
            error.to_string(),
            "1-2, interface 7: claim: configuration 1 has no such alternate setting (0)"
        );
        drop(first);
        device.interface(0).unwrap();
    });
}

#[test]
fn the_configuration_changes_only_when_nothing_is_in_use() {
    on_queue(async || {
        let (device, plug) = open().await;
        let interface = device.interface(0).unwrap();
        let error = device.set_configuration(2).await.unwrap_err();
        assert_eq!(error.to_string(), "1-2: set the configuration: this program has interface 0 open");
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert_eq!(interface.descriptor().endpoints.len(), 3);
        drop(interface);
        {
            let mut change = std::pin::pin!(device.set_configuration(2));
            let begun = std::future::poll_fn(|context| {
                std::task::Poll::Ready(change.as_mut().poll(context).is_pending())
            });
            assert!(begun.await);
            let error = device.interface(1).unwrap_err();
            assert_eq!(error.to_string(), "1-2, interface 1: claim: the configuration is being changed");
            change.await.unwrap();
        }
        assert_eq!((device.configuration(), plug.configuration()), (2, 2));
        assert_eq!(device.interface(1).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(device.interface(0).unwrap().descriptor().endpoints.len(), 0);
        assert_eq!(device.set_configuration(9).await.unwrap_err().kind(), ErrorKind::Stalled);
        assert_eq!(device.configuration(), 2);
    });
}
