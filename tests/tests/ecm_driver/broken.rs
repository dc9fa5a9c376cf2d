//! Broken devices, and devices that go: each ends with an error that says where, or works; nothing of it is left; and the next device
//! is served.

use std::rc::Rc;
use std::time::Duration;

use outboard_core::ErrorKind;
use outboard_core::service::Ending;
use outboard_core::usb::transport::in_process::InProcess;
use outboard_virtual_devices::ecm::broken::{self, Verdict};
use outboard_virtual_devices::ecm::{EcmOptions, FRAMES_IN};

use super::rig::{frame, run, start, start_dongle, start_plugged};

#[test]
fn every_broken_device_ends_as_it_must_and_the_next_is_served() {
    run(async || {
        let mut wrong = Vec::new();
        for broken in broken::all() {
            let (name, verdict) = (broken.name, broken.verdict);
            match start(broken.device).await {
                Ok(rig) => {
                    if !matches!(verdict, Verdict::Tolerate | Verdict::Either) {
                        wrong.push(format!("{name}: it starts, and should not: {verdict:?}"));
                    }
                    // It may yet give up, but it must not spin: virtual time stands still while something runs.
                    tokio::time::sleep(Duration::from_secs(120)).await;
                    rig.stop(&name).await;
                }
                Err((error, device)) => {
                    let said = (error.interface_number(), error.endpoint_address(), error.field_name());
                    let fits = match verdict {
                        Verdict::Tolerate => false,
                        Verdict::Either => true,
                        Verdict::Refuse { interface, endpoint, field } => {
                            (interface.is_none() || interface == said.0)
                                && (endpoint.is_none() || endpoint == said.1)
                                && (field.is_none() || field == said.2)
                        }
                    };
                    if !fits || error.device_name() != Some("1-1") {
                        wrong.push(format!("{name}: {verdict:?}, but: {error} ({said:?})"));
                    }
                    device.assert_all_given_back(&name);
                }
            }
            let next = start_dongle(EcmOptions::default()).await;
            next.expect_works().await;
            next.stop("the next device").await;
        }
        assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
    });
}

#[test]
fn a_device_may_vanish_at_any_point() {
    run(async || {
        let (mut in_start, mut running) = (0, 0);
        for after in 0..40 {
            let what = format!("vanishes after {after} events");
            let mut model = broken::vanishing(after);
            let vanished = Rc::new(tokio::sync::Notify::new());
            let tell = vanished.clone();
            model.on_vanish(move || tell.notify_one());
            let (transport, plug) = InProcess::new("1-1", model);
            let puller = plug.clone();
            let hub = tokio::task::spawn_local(async move {
                vanished.notified().await;
                // A hub needs its time.
                tokio::time::sleep(Duration::from_millis(u64::from(after) * 7)).await;
                puller.unplug();
            });
            match start_plugged(transport, plug).await {
                Err((error, device)) => {
                    assert_eq!(error.device_name(), Some("1-1"), "{what}: {error}");
                    device.assert_all_given_back(&what);
                    in_start += 1;
                }
                Ok(rig) => {
                    let traffic = async {
                        loop {
                            rig.device.plug.with(|device| {
                                device.model_mut().wire_mut().push(frame(super::rig::STATION, 700))
                            });
                            rig.host.send(frame([2, 0, 0, 0, 0, 9], 700));
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    };
                    let ending = tokio::select! {
                        ending = rig.service.ended() => ending,
                        () = traffic => unreachable!(),
                    };
                    let Ending::Failed(error) = ending else { panic!("{what}: {ending:?}") };
                    assert_eq!(
                        (error.kind(), error.device_name()),
                        (ErrorKind::Unplugged, Some("1-1")),
                        "{what}"
                    );
                    assert!(!rig.host.carrier(), "{what}");
                    rig.stop(&what).await;
                    running += 1;
                }
            }
            hub.abort();
        }
        assert!(in_start >= 3 && running >= 10, "{in_start} in the start, {running} while it ran");
        let next = start_dongle(EcmOptions::default()).await;
        next.expect_works().await;
        next.stop("the next device").await;
    });
}

#[test]
fn an_endpoint_that_always_stalls_is_given_up_by_name() {
    run(async || {
        let rig = start_dongle(EcmOptions::default()).await;
        rig.until_carrier(true).await;
        let stalling = async {
            loop {
                // With a frame between every two stalls it would count as useful.
                rig.dongle(|dongle| dongle.stall_once(FRAMES_IN));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let ending = tokio::select! {
            ending = rig.service.ended() => ending,
            () = stalling => unreachable!(),
            () = tokio::time::sleep(Duration::from_secs(120)) => panic!("it is never given up"),
        };
        let Ending::Failed(error) = ending else { panic!("{ending:?}") };
        assert_eq!(error.kind(), ErrorKind::Stalled);
        assert_eq!(
            (error.device_name(), error.interface_number(), error.endpoint_address()),
            (Some("1-1"), Some(1), Some(FRAMES_IN))
        );
        rig.stop("stalls").await;
    });
}
