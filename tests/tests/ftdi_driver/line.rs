//! What goes over the line, and what is programmed.

use std::time::Duration;

use outboard_core::family::serial::{
    DataBits, FlowControl, LineErrors, LineSettings, ModemInputs, Parity, Request, StopBits,
};
use outboard_core::queue;
use outboard_usb_serial_ftdi::machine::{DRAIN_LIMIT, Overlay};
use outboard_usb_serial_ftdi::proto::request::BitMode;
use outboard_virtual_devices::ftdi::{
    Character, CharacterError, Flow, Format, FtdiChip, FtdiOptions, Kind, Pins, Wiring,
};

use super::rig::{looped, pass, pattern, run, start, start_port, until, wired};

#[test]
fn bytes_come_back_from_every_chip_at_its_usual_and_fastest_rates() {
    run(|| async {
        for kind in Kind::ALL {
            let rates: &[u32] = match kind {
                Kind::Sio => &[300, 9600, 115_200],
                Kind::H | Kind::H2 => &[9600, 115_200, 3_000_000, 12_000_000],
                _ => &[300, 9600, 115_200, 921_600, 3_000_000],
            };
            for (count, baud) in rates.iter().enumerate() {
                let rig = looped(kind).await;
                rig.host.open(*baud);
                rig.until_applied(1).await;
                let applied = rig.host.applied()[0];
                assert!(!applied.clamped && !applied.refused);
                // Both formulas, the driver's and the chip's own, say the same.
                assert_eq!(rig.chip(|chip| chip.port(0).rate().baud()), applied.baud, "{kind:?} at {baud}");
                let sent = pattern(if count == 0 { 100 } else { 5000 });
                rig.host.write(&sent);
                assert!(rig.until_read(sent.len()).await == sent, "{kind:?} at {baud}");
                rig.assert_faultless();
                rig.service.stop().await;
            }
        }
    });
}

#[test]
fn a_megabyte_both_ways_at_3_and_12_megabaud_takes_as_long_as_the_line() {
    run(|| async {
        for (kind, baud) in [(Kind::R, 3_000_000u32), (Kind::H, 12_000_000)] {
            let rig = looped(kind).await;
            rig.host.open(baud);
            rig.until_applied(1).await;
            let sent = pattern(1 << 20);
            let begin = queue::now();
            rig.host.write(&sent);
            assert!(rig.until_read(sent.len()).await == sent, "{kind:?}");
            let line = Duration::from_secs_f64(sent.len() as f64 * 10.0 / f64::from(baud));
            let took = queue::now() - begin;
            assert!(took >= line && took < line.mul_f64(1.05), "{kind:?}: {took:?} of {line:?}");
            rig.assert_faultless();
            assert_eq!(rig.status().traffic.received_overruns, 0);
            rig.service.stop().await;
        }
    });
}

#[test]
fn only_changes_are_sent() {
    run(|| async {
        let rig = looped(Kind::R).await;
        rig.host.open(9600);
        rig.until_applied(1).await;
        let codes = |rig: &super::rig::Rig<FtdiChip>| -> Vec<u8> {
            rig.chip(|chip| chip.take_requests().iter().map(|setup| setup.request).collect())
        };
        // Latency, purge, data, rate, flow, event and error character, modem lines, each once.
        let mut first = codes(&rig);
        first.sort_unstable();
        assert_eq!(first, [0, 1, 2, 3, 4, 6, 7, 9]);
        rig.host.ask(Request::Settings(LineSettings::new(9600)));
        rig.until_applied(2).await;
        assert!(codes(&rig).is_empty());
        rig.host.ask(Request::Settings(LineSettings::new(19_200)));
        rig.until_applied(3).await;
        assert_eq!(codes(&rig), [3]);
        let even = LineSettings { parity: Parity::Even, ..LineSettings::new(19_200) };
        rig.host.ask(Request::Settings(even));
        rig.until_applied(4).await;
        assert_eq!(codes(&rig), [4]);
        assert_eq!(
            rig.chip(|chip| chip.port(0).format()),
            Format { data_bits: 8, parity: 2, stop_half_bits: 2 }
        );
        // The same rate under another name is the same divisor.
        rig.host.ask(Request::Settings(LineSettings { baud: 19_201, ..even }));
        rig.until_applied(5).await;
        assert!(codes(&rig).is_empty());
        rig.service.stop().await;
    });
}

#[test]
fn rates_that_the_chip_cannot_do_are_clamped_and_said() {
    run(|| async {
        let rig = looped(Kind::R).await;
        rig.host.open(9600);
        for (at, (asked, real)) in
            [(50, 183), (110, 183), (2_400_000, 2_000_000), (4_000_000, 3_000_000)].into_iter().enumerate()
        {
            rig.host.ask(Request::Settings(LineSettings::new(asked)));
            rig.until_applied(at + 2).await;
            let applied = rig.host.applied()[at + 1];
            assert_eq!((applied.asked.baud, applied.baud, applied.clamped), (asked, real, true));
            assert_eq!(rig.chip(|chip| chip.port(0).rate().baud()), real);
        }
        rig.host
            .ask(Request::Settings(LineSettings { data_bits: DataBits::Five, ..LineSettings::new(9600) }));
        rig.until_applied(6).await;
        assert!(rig.host.applied()[5].refused);
        assert_eq!(rig.chip(|chip| chip.port(0).format().data_bits), 8);
        assert!(rig.status().line("p").to_string().ends_with("(refused by the chip; the line is as before)"));
        rig.assert_faultless();
        rig.service.stop().await;
    });
}

#[test]
fn a_change_of_rate_waits_for_what_was_written_before() {
    run(|| async {
        let rig = wired(Kind::R, Wiring::Outside).await;
        rig.host.open(1200);
        rig.until_applied(1).await;
        let sent = pattern(200);
        rig.host.write(&sent);
        until("the driver has the bytes", || rig.host.unsent() == 0).await;
        rig.host.ask(Request::Settings(LineSettings::new(115_200)));
        rig.host.write(b"after");
        until("all is on the line", || rig.chip(|chip| chip.port(0).unsent()) == 0 && rig.host.unsent() == 0)
            .await;
        pass(100).await;
        assert_eq!(rig.chip(|chip| chip.take_sent(0)), [&sent[..], b"after"].concat());
        rig.assert_faultless();
        rig.service.stop().await;
    });
}

#[test]
fn lines_follow_open_close_and_the_rate_of_0() {
    run(|| async {
        let rig = looped(Kind::R).await;
        let lines = || rig.chip(|chip| (chip.port(0).dtr(), chip.port(0).rts()));
        pass(100).await;
        assert_eq!(
            rig.chip(|chip| chip.take_requests().len()),
            0,
            "nothing is sent before somebody opens the port"
        );
        rig.host.open(9600);
        until("lines up", || lines() == (true, true)).await;
        until("the looped lines are told", || {
            rig.host.modem().last() == Some(&ModemInputs { cts: true, dsr: true, ri: false, dcd: true })
        })
        .await;
        rig.host.ask(Request::Settings(LineSettings::new(0)));
        until("lines down", || lines() == (false, false)).await;
        rig.host.ask(Request::Settings(LineSettings::new(9600)));
        until("lines up again", || lines() == (true, true)).await;
        rig.host.ask(Request::Lines { dtr: Some(false), rts: None });
        until("DTR alone is down", || lines() == (false, true)).await;
        rig.host.ask(Request::Closed { drop: false });
        until("closed", || !rig.status().open).await;
        pass(100).await;
        assert_eq!(lines(), (false, true), "without HUPCL nothing drops");
        rig.host.open(9600);
        until("lines up", || lines() == (true, true)).await;
        rig.host.close();
        until("lines down", || lines() == (false, false)).await;
        rig.service.stop().await;
    });
}

#[test]
fn a_pulse_on_a_line_is_a_pulse() {
    run(|| async {
        let rig = looped(Kind::R).await;
        rig.host.open(9600);
        rig.until_applied(1).await;
        rig.chip(|chip| chip.take_requests());
        // A reset sequence, asked for at once.
        for (dtr, rts) in [(false, true), (true, false), (false, false)] {
            rig.host.ask(Request::Lines { dtr: Some(dtr), rts: Some(rts) });
        }
        rig.host.ask(Request::Closed { drop: true });
        rig.host.open(9600);
        rig.until_applied(2).await;
        let pulses: Vec<u16> = rig.chip(|chip| {
            chip.take_requests()
                .iter()
                .filter(|setup| setup.request == 1)
                .map(|setup| setup.value & 3)
                .collect()
        });
        assert_eq!(pulses, [0b10, 0b01, 0b00, 0b11]);
        rig.service.stop().await;
    });
}

#[test]
fn closing_sends_the_rest_before_the_lines_drop() {
    run(|| async {
        let rig = wired(Kind::R, Wiring::Outside).await;
        rig.host.open(300);
        rig.until_applied(1).await;
        let sent = pattern(150);
        rig.host.write(&sent);
        rig.host.close();
        until("lines down", || rig.chip(|chip| !chip.port(0).dtr())).await;
        assert_eq!(rig.chip(|chip| chip.take_sent(0)), sent);
        rig.service.stop().await;
    });
}

#[test]
fn who_opens_a_port_gets_nothing_that_was_for_the_one_before() {
    run(|| async {
        let rig = looped(Kind::R).await;
        rig.host.open(9600);
        rig.until_applied(1).await;
        rig.host.write(&pattern(200));
        until("the driver has the bytes", || rig.host.unsent() == 0).await;
        rig.host.close();
        // At once, while the last one's bytes are still on the line and come back.
        rig.host.open(9600);
        rig.until_applied(2).await;
        pass(500).await;
        assert_eq!(rig.host.take_read(), b"");
        assert!(rig.status().traffic.received_unread > 100);
        rig.host.write(b"mine");
        assert_eq!(rig.until_read(4).await, b"mine");
        rig.service.stop().await;
    });
}

#[test]
fn a_port_that_is_opened_again_and_again_works_each_time() {
    run(|| async {
        let rig = looped(Kind::R).await;
        for round in 0..60 {
            rig.host.open(9600);
            if round % 3 == 0 {
                rig.until_applied(round + 1).await;
            }
            let sent = pattern(round % 20 + 1);
            rig.host.write(&sent);
            assert_eq!(rig.until_read(sent.len()).await, sent, "round {round}");
            if round % 2 == 0 {
                pass(round as u64).await;
            }
            rig.host.close();
            if round % 5 == 0 {
                until("closed", || !rig.status().open).await;
                pass(round as u64).await;
            }
        }
        rig.service.stop().await;
    });
}

#[test]
fn closing_gives_up_on_a_line_that_is_held() {
    run(|| async {
        let rig = wired(Kind::R, Wiring::Outside).await;
        rig.host.ask(Request::Opened {
            settings: LineSettings { flow: FlowControl::RtsCts, ..LineSettings::new(9600) },
            raise: true,
        });
        rig.until_applied(1).await;
        rig.host.write(&pattern(3000));
        pass(100).await;
        let begin = queue::now();
        rig.host.close();
        // CTS never comes.
        until("lines down", || rig.chip(|chip| !chip.port(0).dtr())).await;
        assert!(
            queue::now() - begin >= DRAIN_LIMIT
                && queue::now() - begin < DRAIN_LIMIT + Duration::from_secs(1)
        );
        // Nothing of it is left for the next one.
        assert_eq!((rig.host.unsent(), rig.chip(|chip| chip.port(0).unsent())), (0, 0));
        rig.host.open(9600);
        rig.until_applied(2).await;
        rig.host.write(b"next");
        let mut sent = Vec::new();
        until("it is sent", || {
            sent.extend(rig.chip(|chip| chip.take_sent(0)));
            sent.len() >= 4
        })
        .await;
        assert_eq!(sent, b"next");
        rig.service.stop().await;
    });
}

#[test]
fn drained_means_that_the_last_stop_bit_is_out() {
    run(|| async {
        let rig = wired(Kind::R, Wiring::Outside).await;
        rig.host.open(9600);
        rig.until_applied(1).await;
        let sent = pattern(300);
        rig.host.write(&sent);
        until("the driver has the bytes", || rig.host.unsent() == 0).await;
        rig.host.ask(Request::Drain);
        until("drained", || !rig.host.drained().is_empty()).await;
        assert_eq!(rig.host.drained(), [true]);
        assert_eq!(rig.chip(|chip| (chip.port(0).unsent(), chip.take_sent(0))), (0, sent));
        // An idle line is drained at once.
        rig.host.ask(Request::Drain);
        until("drained", || rig.host.drained().len() == 2).await;
        rig.service.stop().await;
    });
}

#[test]
fn purges_reach_the_chip() {
    run(|| async {
        let rig = wired(Kind::R, Wiring::Outside).await;
        rig.host.open(300);
        rig.until_applied(1).await;
        rig.host.write(&pattern(2000));
        pass(200).await;
        rig.host.ask(Request::Purge { received: false, written: true });
        until("the chip has nothing to send", || rig.chip(|chip| chip.port(0).unsent()) == 0).await;
        pass(2000).await;
        let sent = rig.chip(|chip| chip.take_sent(0));
        assert!(sent.len() < 20 && sent == pattern(sent.len()), "{}", sent.len());
        // What comes afterwards is sent.
        rig.host.write(b"new");
        until("sent", || rig.chip(|chip| chip.port(0).unsent()) == 0 && rig.host.unsent() == 0).await;
        pass(200).await;
        assert_eq!(rig.chip(|chip| chip.take_sent(0)), b"new");
        rig.chip(|chip| chip.take_requests());
        rig.host.ask(Request::Purge { received: true, written: false });
        pass(10).await;
        let purges: Vec<u16> =
            rig.chip(|chip| chip.take_requests().iter().map(|setup| setup.value).collect());
        assert_eq!(purges, [2]);
        rig.service.stop().await;
    });
}

#[test]
fn an_answer_comes_within_milliseconds_and_an_idle_line_is_quiet() {
    run(|| async {
        let rig = looped(Kind::R).await;
        rig.host.open(115_200);
        rig.until_applied(1).await;
        pass(1000).await;
        assert_eq!(rig.chip(|chip| chip.port(0).latency()), 16);
        rig.host.write(b"?");
        rig.until_read(1).await;
        for _ in 0..10 {
            let begin = queue::now();
            rig.host.write(b"?");
            rig.until_read(1).await;
            assert!(queue::now() - begin <= Duration::from_millis(3), "{:?}", queue::now() - begin);
        }
        assert_eq!(rig.chip(|chip| chip.port(0).latency()), 1);
        pass(3000).await;
        assert_eq!(rig.chip(|chip| chip.port(0).latency()), 16);
        rig.service.with(|driver| driver.set_overlay(Overlay { latency: Some(5), ..Overlay::default() }));
        until("the fixed timer", || rig.chip(|chip| chip.port(0).latency()) == 5).await;
        rig.host.write(b"?");
        rig.until_read(1).await;
        assert_eq!(rig.chip(|chip| chip.port(0).latency()), 5);
        rig.service.stop().await;
    });
}

#[test]
fn a_line_is_sent_up_at_its_end() {
    run(|| async {
        let rig = wired(Kind::R, Wiring::Outside).await;
        let settings = LineSettings { line_end: Some(b'\n'), ..LineSettings::new(9600) };
        rig.host.ask(Request::Opened { settings, raise: true });
        rig.until_applied(1).await;
        assert_eq!(rig.chip(|chip| chip.port(0).event_character()), Some(b'\n'));
        pass(100).await;
        let begin = queue::now();
        rig.chip(|chip| chip.receive_bytes(0, b"ok\n", begin));
        assert_eq!(rig.until_read(3).await, b"ok\n");
        assert!(queue::now() - begin <= Duration::from_millis(2));
        rig.service.stop().await;
    });
}

#[test]
fn errors_of_the_line_and_edges_are_counted_and_the_bytes_delivered() {
    run(|| async {
        let rig = wired(Kind::R, Wiring::Outside).await;
        rig.host.open(9600);
        rig.until_applied(1).await;
        let good = Character { byte: b'a', baud: 9600, format: Format::default(), error: None };
        for error in [CharacterError::Parity, CharacterError::Framing, CharacterError::Break] {
            rig.chip(|chip| chip.receive(0, Character { error: Some(error), ..good }, queue::now()));
            rig.until_read(1).await;
        }
        let errors = LineErrors { overrun: 0, parity: 1, framing: 1, breaks: 1 };
        assert_eq!((rig.status().line.errors, rig.host.errors()), (errors, errors));
        for ri in [true, false, true] {
            rig.chip(|chip| chip.set_pins(0, Pins { ri, cts: true, ..Pins::default() }));
            until("it is told", || rig.status().inputs.is_some_and(|inputs| inputs.ri == ri)).await;
        }
        assert_eq!((rig.status().line.ri, rig.status().line.cts), (3, 1));
        rig.service.stop().await;
    });
}

#[test]
fn breaks_are_sent_after_what_was_written_and_end() {
    run(|| async {
        let rig = looped(Kind::R).await;
        rig.host.open(9600);
        rig.until_applied(1).await;
        rig.host.write(b"before");
        until("the driver has the bytes", || rig.host.unsent() == 0).await;
        rig.host.ask(Request::Break(true));
        assert_eq!(rig.until_read(7).await, b"before\0");
        assert!(rig.chip(|chip| chip.port(0).is_breaking()));
        rig.host.ask(Request::Break(false));
        until("it ends", || rig.chip(|chip| !chip.port(0).is_breaking())).await;
        assert_eq!(rig.status().line.errors.breaks, 1);
        rig.assert_faultless();
        rig.service.stop().await;
    });
}

#[test]
fn with_flow_control_a_reader_that_stands_still_loses_nothing() {
    run(|| async {
        for flow in [FlowControl::RtsCts, FlowControl::DtrDsr, FlowControl::XonXoff { xon: 0x11, xoff: 0x13 }]
        {
            let rig = looped(Kind::R).await;
            let settings = LineSettings { flow, ..LineSettings::new(3_000_000) };
            rig.host.ask(Request::Opened { settings, raise: true });
            rig.until_applied(1).await;
            assert_ne!(rig.chip(|chip| chip.port(0).flow()), Flow::None);
            rig.host.set_reading(false);
            let sent: Vec<u8> = pattern(3 << 19).iter().map(|byte| byte | 0x20).collect();
            rig.host.write(&sent);
            pass(20_000).await;
            assert!(rig.host.unsent() > 0, "the sender was stopped");
            rig.host.set_reading(true);
            assert!(rig.until_read(sent.len()).await == sent, "{flow:?}");
            assert_eq!((rig.status().traffic.received_overruns, rig.status().line.errors.overrun), (0, 0));
            rig.assert_faultless();
            rig.service.stop().await;
        }
    });
}

#[test]
fn without_flow_control_what_the_ring_cannot_hold_is_lost_and_counted() {
    run(|| async {
        let rig = looped(Kind::R).await;
        rig.host.open(3_000_000);
        rig.until_applied(1).await;
        rig.host.set_reading(false);
        let sent = pattern(3 << 19);
        rig.host.write(&sent);
        until("all was sent", || rig.host.unsent() == 0 && rig.chip(|chip| chip.port(0).unsent()) == 0).await;
        pass(100).await;
        rig.host.set_reading(true);
        let read = rig.until_read(1 << 20).await;
        assert!(read == sent[..1 << 20]);
        assert_eq!(rig.status().traffic.received_overruns, 1 << 19);
        rig.service.stop().await;
    });
}

#[test]
fn what_the_host_cannot_say_is_set_otherwise() {
    run(|| async {
        let rig = looped(Kind::R).await;
        rig.host.open(9600);
        rig.until_applied(1).await;
        let overlay =
            Overlay { parity: Some(Parity::Even), data_bits: Some(DataBits::Seven), ..Overlay::default() };
        rig.service.with(|driver| driver.set_overlay(overlay));
        rig.until_applied(2).await;
        let seven_even = Format { data_bits: 7, parity: 2, stop_half_bits: 2 };
        assert_eq!(rig.chip(|chip| chip.port(0).format()), seven_even);
        // It stays, whatever the host sets.
        rig.host.ask(Request::Settings(LineSettings { stop_bits: StopBits::Two, ..LineSettings::new(4800) }));
        rig.until_applied(3).await;
        assert_eq!(rig.chip(|chip| chip.port(0).format()), Format { stop_half_bits: 4, ..seven_even });
        rig.service.stop().await;
    });
}

#[test]
fn two_ports_of_a_chip_are_two_drivers_and_a_cable_joins_them() {
    run(|| async {
        let mut chip = FtdiChip::new(FtdiOptions::new(Kind::H2));
        chip.wire(0, Wiring::Port(1));
        chip.wire(1, Wiring::Port(0));
        let a = start(chip, 0, Overlay::default()).await.unwrap();
        let b = start_port(a.adapter.clone(), a.plug.clone(), 1, Overlay::default()).await.unwrap();
        // Each interface is claimed by one driver.
        assert!(start_port(a.adapter.clone(), a.plug.clone(), 1, Overlay::default()).await.is_err());
        a.host.open(115_200);
        b.host.open(115_200);
        a.until_applied(1).await;
        b.until_applied(1).await;
        a.host.write(b"from a");
        b.host.write(b"from b");
        assert_eq!((a.until_read(6).await, b.until_read(6).await), (b"from b".to_vec(), b"from a".to_vec()));
        // The other side has another parity.
        let odd = LineSettings { parity: Parity::Odd, ..LineSettings::new(115_200) };
        let even = LineSettings { parity: Parity::Even, ..odd };
        a.host.ask(Request::Settings(odd));
        b.host.ask(Request::Settings(even));
        a.until_applied(2).await;
        b.until_applied(2).await;
        a.host.write(b"?");
        b.until_read(1).await;
        assert_eq!(b.status().line.errors, LineErrors { parity: 1, ..LineErrors::default() });
        // The first port goes on when the second's driver ends.
        b.service.stop().await;
        a.host.close();
        until("closed", || !a.status().open).await;
        a.service.stop().await;
    });
}

#[test]
fn pins_can_be_something_else() {
    run(|| async {
        let rig = looped(Kind::R).await;
        let set = rig.service.with(|driver| driver.set_bit_mode(BitMode::AsyncBitBang, 0xf0)).unwrap();
        set.await.unwrap();
        rig.chip(|chip| chip.set_bits(0, 0x05));
        let read = rig.service.with(|driver| driver.read_pins()).unwrap();
        assert_eq!(read.await.unwrap(), 0x05);
        let back = rig.service.with(|driver| driver.set_bit_mode(BitMode::Reset, 0)).unwrap();
        back.await.unwrap();
        rig.service.stop().await;
    });
}
