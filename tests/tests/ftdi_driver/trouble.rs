//! Devices that stall, lie, or go.

use std::cell::Cell;
use std::rc::Rc;

use outboard_core::ErrorKind;
use outboard_core::family::serial::Request;
use outboard_core::service::Ending;
use outboard_usb_serial_ftdi::machine::Overlay;
use outboard_virtual_devices::faulty::{Faulty, Plan};
use outboard_virtual_devices::ftdi::{FtdiChip, FtdiOptions, Kind, Wiring};

use super::rig::{Rig, looped, pattern, run, start, until};

fn chip(kind: Kind) -> FtdiChip {
    let mut chip = FtdiChip::new(FtdiOptions::new(kind));
    chip.wire(0, Wiring::Loopback);
    chip
}

async fn ending<M>(rig: &Rig<M>) -> Ending {
    tokio::time::timeout(std::time::Duration::from_secs(300), rig.service.ended()).await.expect("it ends")
}

#[test]
fn an_unplug_ends_the_service_at_any_time() {
    run(|| async {
        for at in 0..200 {
            let mut faulty = Faulty::new(chip(Kind::R), Plan { vanish_after: Some(at), ..Plan::default() });
            let vanished = Rc::new(Cell::new(false));
            faulty.on_vanish({
                let vanished = vanished.clone();
                move || vanished.set(true)
            });
            // Whether it starts depends on when it goes; a start that hangs on requests ends by the plug.
            let (transport, plug) = outboard_core::usb::transport::in_process::InProcess::new("1-1", faulty);
            let pulled = plug.clone();
            tokio::task::spawn_local(async move {
                while !vanished.get() {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                pulled.unplug();
            });
            let started = async {
                let device = outboard_core::usb::Device::open(transport).await?;
                let adapter = outboard_usb_serial_ftdi::driver::Adapter::open(device).await?;
                super::rig::start_port(adapter, plug, 0, Overlay::default()).await
            };
            let Ok(rig) = started.await else { continue };
            rig.host.open(115_200);
            rig.host.write(&pattern(2000));
            match ending(&rig).await {
                Ending::Failed(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unplugged, "after {at}: {error}")
                }
                Ending::Stopped => panic!("nobody stopped it"),
            }
            rig.service.stop().await;
        }
    });
}

#[test]
fn requests_that_the_chip_refuses_do_not_stop_the_bytes() {
    run(|| async {
        let plan = Plan { stall_requests: true, ..Plan::default() };
        let rig = start(Faulty::new(chip(Kind::R), plan), 0, Overlay::default()).await.unwrap();
        rig.host.open(9600);
        rig.until_applied(1).await;
        assert!(rig.host.applied()[0].refused);
        rig.host.write(b"hello");
        assert_eq!(rig.until_read(5).await, b"hello");
        assert!(rig.status().refused > 0);
        rig.service.stop().await;
    });
}

#[test]
fn a_chip_that_stalls_every_packet_is_given_up() {
    run(|| async {
        let plan = Plan { stall_packets: true, ..Plan::default() };
        let rig = start(Faulty::new(chip(Kind::R), plan), 0, Overlay::default()).await.unwrap();
        rig.host.open(9600);
        match ending(&rig).await {
            Ending::Failed(error) => {
                assert_eq!(error.kind(), ErrorKind::Faulted);
                assert!(
                    error.to_string().contains("the pipe from the chip fails again and again"),
                    "{error}"
                );
            }
            Ending::Stopped => panic!("nobody stopped it"),
        }
        rig.service.stop().await;
    });
}

#[test]
fn other_descriptors_are_refused_with_their_reason() {
    run(|| async {
        let odd = [
            (
                FtdiOptions { packet_size: Some(2), ..FtdiOptions::new(Kind::R) },
                "wMaxPacketSize of its bulk IN endpoint is 2",
            ),
            (FtdiOptions { id: (0x0403, 0xbca4), ..FtdiOptions::new(Kind::R) }, "left to other programs"),
        ];
        for (options, reason) in odd {
            let Err(error) = start(FtdiChip::new(options), 0, Overlay::default()).await else {
                panic!("{reason}")
            };
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().contains(reason), "{error}");
        }
        // A chip without an EEPROM that says it is an AM, and is a BM.
        let options = FtdiOptions { version: Some(0x0200), serial: None, ..FtdiOptions::new(Kind::Bm) };
        let rig = start(FtdiChip::new(options), 0, Overlay::default()).await.unwrap();
        assert_eq!(rig.status().chip.name(), "FT232BM");
        rig.service.stop().await;
    });
}

#[test]
fn a_port_that_is_deleted_ends_the_service() {
    run(|| async {
        let rig = looped(Kind::R).await;
        rig.host.open(9600);
        rig.until_applied(1).await;
        rig.host.delete();
        match ending(&rig).await {
            Ending::Failed(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
            Ending::Stopped => panic!("nobody stopped it"),
        }
        rig.service.stop().await;
    });
}

#[test]
fn a_host_that_asks_without_end_is_served_in_order() {
    run(|| async {
        let rig = looped(Kind::R).await;
        rig.host.open(115_200);
        rig.until_applied(1).await;
        rig.chip(|chip| chip.take_requests());
        for at in 0..500 {
            rig.host.ask(Request::Lines { dtr: Some(at % 2 == 1), rts: None });
        }
        rig.host.write(b"last");
        assert_eq!(rig.until_read(4).await, b"last");
        until("all was asked", || rig.status().outputs.dtr).await;
        let pulses = rig.chip(|chip| chip.take_requests().iter().filter(|setup| setup.request == 1).count());
        assert_eq!(pulses, 500);
        rig.service.stop().await;
    });
}
