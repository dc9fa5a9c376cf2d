//! The pseudo-terminal end against the kernel's terminals: what applications do on the slave, and what the driver's side hears of it. Needs
//! /dev/pts and stty(1); without them each test says that it is skipped, and with CI=true it fails instead.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;

use outboard_core::family::serial::pty::{Pty, PtyOptions};
use outboard_core::family::serial::{Applied, FlowControl, LineSettings, Request, SerialPort, StopBits};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr,
    tcsetattr,
};

/// Longer than anything here may take, in seconds.
const PATIENCE: i64 = 20;

/// Says that a test does not run, and why; where nothing may be skipped, that is a failure.
fn skip(test: &str, reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} cannot run: {reason}");
    eprintln!("SKIPPED {test}: {reason}");
}

fn pty(test: &str) -> Option<Pty> {
    pty_with(test, &PtyOptions::default())
}

fn pty_with(test: &str, options: &PtyOptions) -> Option<Pty> {
    match Pty::create(options) {
        Ok(pty) => Some(pty),
        Err(error) => {
            skip(test, &error.to_string());
            None
        }
    }
}

fn open(pty: &Pty) -> File {
    OpenOptions::new().read(true).write(true).open(pty.node()).unwrap()
}

/// Raw mode, without touching the rate.
fn make_raw(termios: &mut Termios) {
    termios.make_raw();
    termios.control_modes |= ControlModes::CLOCAL;
}

/// Waits for readiness, but not for ever.
fn wait(pty: &Pty) {
    let mut fds = [PollFd::from_borrowed_fd(pty.readiness().unwrap(), PollFlags::IN)];
    let time = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
    assert_eq!(poll(&mut fds, Some(&time)), Ok(1), "nothing happens");
}

/// The next request; waits for it. Bytes are not taken.
fn next(pty: &mut Pty) -> Request {
    loop {
        if let Some(request) = pty.poll().unwrap() {
            return request;
        }
        wait(pty);
    }
}

/// So many bytes from the application.
fn take(pty: &mut Pty, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let mut taken = 0;
    while taken < count {
        assert_eq!(pty.poll().unwrap(), None);
        match pty.transmit(&mut bytes[taken..]).unwrap() {
            0 => wait(pty),
            more => taken += more,
        }
    }
    bytes
}

fn opened(pty: &mut Pty) -> LineSettings {
    match next(pty) {
        Request::Opened { settings, raise: true } => settings,
        other => panic!("{other:?} instead of an open"),
    }
}

#[test]
fn opens_and_closes_are_told_in_order() {
    let Some(mut pty) = pty("opens_and_closes") else { return };
    assert_eq!(pty.poll().unwrap(), None);
    for _ in 0..3 {
        let first = open(&pty);
        assert_eq!(opened(&mut pty), LineSettings { line_end: Some(b'\n'), ..LineSettings::new(9600) });
        let second = open(&pty);
        drop(first);
        assert_eq!(pty.poll().unwrap(), None, "another one has it open");
        drop(second);
        assert_eq!(next(&mut pty), Request::Closed { drop: true });
        assert_eq!(pty.poll().unwrap(), None);
    }
    assert_eq!(pty.counters().opens, 3);
    // A close and an open that nobody looked at in between.
    let first = open(&pty);
    opened(&mut pty);
    drop(first);
    let _second = open(&pty);
    assert_eq!(next(&mut pty), Request::Closed { drop: true });
    opened(&mut pty);
    assert_eq!(pty.poll().unwrap(), None);
}

#[test]
fn attributes_are_followed_whatever_the_application_does_to_them() {
    let Some(mut pty) = pty("attributes") else { return };
    let slave = open(&pty);
    opened(&mut pty);
    let set = |change: &dyn Fn(&mut Termios)| {
        let mut termios = tcgetattr(&slave).unwrap();
        change(&mut termios);
        tcsetattr(&slave, OptionalActions::Now, &termios).unwrap();
    };
    set(&make_raw);
    assert_eq!(next(&mut pty), Request::Settings(LineSettings::new(9600)));
    // Rates without a name (BOTHER) too. make_raw has cleared EXTPROC, which is set again.
    for baud in [115_200, 250_000, 12_345_678, 50, 0, 9600] {
        set(&|termios| termios.set_speed(baud).unwrap());
        assert_eq!(next(&mut pty), Request::Settings(LineSettings::new(baud)));
    }
    set(&|termios| termios.control_modes |= ControlModes::CSTOPB | ControlModes::CRTSCTS);
    let settings =
        LineSettings { stop_bits: StopBits::Two, flow: FlowControl::RtsCts, ..LineSettings::new(9600) };
    assert_eq!(next(&mut pty), Request::Settings(settings));
    set(&|termios| {
        termios.control_modes.remove(ControlModes::CRTSCTS | ControlModes::HUPCL);
        termios.input_modes |= InputModes::IXON;
    });
    let flow = FlowControl::XonXoff { xon: 0x11, xoff: 0x13 };
    assert_eq!(next(&mut pty), Request::Settings(LineSettings { flow, ..settings }));
    // The same again is no news, nor is clearing EXTPROC, and afterwards there still is.
    set(&|_| ());
    set(&|termios| termios.local_modes.remove(LocalModes::EXTPROC));
    set(&|termios| termios.input_modes.remove(InputModes::IXON));
    assert_eq!(next(&mut pty), Request::Settings(LineSettings { flow: FlowControl::None, ..settings }));
    assert!(tcgetattr(&slave).unwrap().local_modes.contains(LocalModes::EXTPROC));
    assert_eq!(pty.poll().unwrap(), None);
    drop(slave);
    assert_eq!(next(&mut pty), Request::Closed { drop: false }, "HUPCL was cleared");
}

#[test]
fn a_rate_that_was_clamped_is_seen_by_the_application() {
    let Some(mut pty) = pty("clamped") else { return };
    let slave = open(&pty);
    opened(&mut pty);
    let mut termios = tcgetattr(&slave).unwrap();
    termios.set_speed(50).unwrap();
    tcsetattr(&slave, OptionalActions::Now, &termios).unwrap();
    let Request::Settings(asked) = next(&mut pty) else { panic!() };
    pty.applied(&Applied { asked, baud: 183, clamped: true, refused: false });
    assert_eq!(tcgetattr(&slave).unwrap().output_speed(), 183);
    assert_eq!(pty.poll().unwrap(), None, "our own change is no request");
    // A rate that is only a little off stays as it was asked for.
    termios.set_speed(115_200).unwrap();
    tcsetattr(&slave, OptionalActions::Now, &termios).unwrap();
    let Request::Settings(asked) = next(&mut pty) else { panic!() };
    pty.applied(&Applied { asked, baud: 115_385, clamped: false, refused: false });
    assert_eq!(tcgetattr(&slave).unwrap().output_speed(), 115_200);
}

#[test]
fn bytes_go_both_ways_as_they_are_and_a_reader_may_stand_still() {
    let Some(mut pty) = pty("bytes") else { return };
    let mut slave = open(&pty);
    let mut termios = tcgetattr(&slave).unwrap();
    make_raw(&mut termios);
    tcsetattr(&slave, OptionalActions::Now, &termios).unwrap();
    opened(&mut pty);
    assert_eq!(pty.poll().unwrap(), None);
    let all: Vec<u8> = (0..=255).collect();
    slave.write_all(&all).unwrap();
    assert_eq!(take(&mut pty, 256), all);
    assert_eq!(pty.transmit(&mut [0; 10]).unwrap(), 0);
    // More than the kernel's buffers; the rest waits in the ring.
    let many: Vec<u8> = (0..300_000).map(|at| (at / 7) as u8).collect();
    assert_eq!(pty.receive(&many).unwrap(), many.len());
    assert!(pty.room() < (1 << 20) - 200_000);
    let reader = std::thread::spawn(move || {
        let mut read = vec![0; 300_000];
        slave.read_exact(&mut read).unwrap();
        (slave, read)
    });
    while pty.room() < 1 << 20 {
        assert_eq!(pty.poll().unwrap(), None);
        if pty.room() < 1 << 20 {
            wait(&pty);
        }
    }
    let (_slave, read) = reader.join().unwrap();
    assert!(read == many);
    // What does not fit is counted.
    let too_many = vec![0; 3 << 19];
    let taken = pty.receive(&too_many).unwrap();
    assert!((1 << 20..(1 << 20) + 100_000).contains(&taken), "{taken}");
    assert_eq!(pty.counters().received_overruns, (too_many.len() - taken) as u64);
}

#[test]
fn flushes_are_told_and_empty_the_ring() {
    let Some(mut pty) = pty("flushes") else { return };
    let slave = open(&pty);
    let mut termios = tcgetattr(&slave).unwrap();
    make_raw(&mut termios);
    tcsetattr(&slave, OptionalActions::Now, &termios).unwrap();
    opened(&mut pty);
    pty.receive(&vec![1; 200_000]).unwrap();
    tcflush(&slave, QueueSelector::IFlush).unwrap();
    assert_eq!(next(&mut pty), Request::Purge { received: true, written: false });
    assert_eq!(pty.room(), 1 << 20);
    tcflush(&slave, QueueSelector::OFlush).unwrap();
    assert_eq!(next(&mut pty), Request::Purge { received: false, written: true });
    // What was written is thrown away as far as the driver is behind.
    (&slave).write_all(&[2; 3000]).unwrap();
    assert_eq!(take(&mut pty, 1000), [2; 1000]);
    tcflush(&slave, QueueSelector::OFlush).unwrap();
    assert_eq!(next(&mut pty), Request::Purge { received: false, written: true });
    (&slave).write_all(b"new").unwrap();
    assert_eq!(take(&mut pty, 3), b"new");
}

#[test]
fn what_was_written_before_the_close_comes_after_it_and_then_no_more() {
    let Some(mut pty) = pty("last words") else { return };
    let mut slave = open(&pty);
    let mut termios = tcgetattr(&slave).unwrap();
    make_raw(&mut termios);
    tcsetattr(&slave, OptionalActions::Now, &termios).unwrap();
    opened(&mut pty);
    slave.write_all(b"last words").unwrap();
    drop(slave);
    assert_eq!(next(&mut pty), Request::Closed { drop: true });
    assert_eq!(take(&mut pty, 10), b"last words");
    let mut space = [0; 10];
    assert_eq!(pty.transmit(&mut space).unwrap(), 0);
    // Bytes for nobody do not wait for the next one.
    assert_eq!(pty.receive(b"nobody").unwrap(), 6);
    assert_eq!(pty.counters().received_unread, 6);
    let mut slave = open(&pty);
    opened(&mut pty);
    pty.receive(b"somebody").unwrap();
    let mut read = [0; 20];
    let count = slave.read(&mut read).unwrap();
    assert_eq!(&read[..count], b"somebody");
    // Thrown away.
    slave.write_all(b"never sent").unwrap();
    drop(slave);
    assert_eq!(next(&mut pty), Request::Closed { drop: true });
    pty.discard();
    let _slave = open(&pty);
    opened(&mut pty);
    assert_eq!(pty.transmit(&mut space).unwrap(), 0);
}

#[test]
fn a_port_that_goes_hangs_up_and_takes_its_name_along() {
    let directory = std::env::temp_dir().join(format!("outboard-pty-{}", std::process::id()));
    let link: PathBuf = directory.join("ttyFTDI-TEST");
    let options = PtyOptions { link: Some(link.clone()), ..PtyOptions::default() };
    let Some(mut pty) = pty_with("hang up", &options) else { return };
    assert_eq!(pty.name(), link.display().to_string());
    let mut slave = OpenOptions::new().read(true).write(true).open(&link).unwrap();
    opened(&mut pty);
    drop(pty);
    assert_eq!(slave.read(&mut [0; 1]).unwrap(), 0, "end of file");
    assert_eq!(slave.write(b"x").unwrap_err().raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    assert!(std::fs::symlink_metadata(&link).is_err());
    // The same name for the next one.
    let Some(pty) = pty_with("hang up", &options) else { return };
    assert_eq!(std::fs::read_link(&link).unwrap(), pty.node());
    drop(pty);
    std::fs::remove_dir(&directory).unwrap();
}

#[test]
fn stty_sees_and_sets_what_a_terminal_has() {
    let Some(mut pty) = pty("stty") else { return };
    let _slave = open(&pty);
    opened(&mut pty);
    let stty = |arguments: &[&str]| {
        let output = Command::new("stty").arg("-F").arg(pty.node()).args(arguments).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    match stty(&["raw", "57600", "cstopb", "crtscts"]) {
        Ok(_) => {}
        Err(error) => return skip("stty", &error.to_string()),
    }
    assert!(stty(&[]).unwrap().contains("speed 57600 baud"));
    let settings =
        LineSettings { stop_bits: StopBits::Two, flow: FlowControl::RtsCts, ..LineSettings::new(57_600) };
    // stty changes rate and modes one after the other.
    while next(&mut pty) != Request::Settings(settings) {}
}
