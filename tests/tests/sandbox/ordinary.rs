//! What has to work in a driver that is locked down, and how it ends. It knows what a driver says and not how it is held.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

use outboard_core::family::ethernet::tap::{Tap, TapOptions};
use outboard_core::sandbox::{Exit, Limits};

use crate::stage::{PATIENCE, can_run, run_to_end, start, subject};

#[test]
fn the_ecm_driver_carries_tcp_while_locked_down() {
    if !can_run("the_ecm_driver_carries_tcp_while_locked_down") {
        return;
    }
    #[expect(deprecated, reason = "only the network namespace is left, which no borrowed descriptor minds")]
    rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET).unwrap();
    let tap = Tap::create(&TapOptions { name: "oblocked0".into(), ..TapOptions::default() }).unwrap();
    let fds = tap.into_fds();
    for arguments in ["link set oblocked0 up", "addr add 10.0.2.15/24 dev oblocked0"] {
        let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
        assert!(status.success(), "ip {arguments}");
    }
    let (mut control, theirs) = UnixStream::pair().unwrap();
    control.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut log, stderr) = std::io::pipe().unwrap();
    let [a, b, c] = fds.link;
    let program = [fds.tun, a, b, c, OwnedFd::from(theirs)]
        .into_iter()
        .fold(subject(&["work"]).stderr(stderr), outboard_core::sandbox::Program::pass);
    let mut driver = start(program).unwrap();
    let mut said = [0; 7];
    if let Err(error) = control.read_exact(&mut said) {
        let mut text = String::new();
        drop(driver.signal(rustix::process::Signal::KILL));
        log.read_to_string(&mut text).unwrap();
        panic!("the driver does not start: {error}, {:?}: {text}", driver.wait());
    }
    assert_eq!(&said, b"started");

    // The computer behind the dongle echoes on port 7.
    let peer = SocketAddr::from(([10, 0, 2, 1], 7));
    let mut stream = TcpStream::connect_timeout(&peer, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let message: Vec<u8> = (0..1_000_000_u32).map(|n| (n * 7 / 3) as u8).collect();
    let sent = message.clone();
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&sent));
    let mut echo = vec![0; message.len()];
    stream.read_exact(&mut echo).unwrap();
    writing.join().unwrap().unwrap();
    assert!(echo == message, "what comes back is not what was sent");

    drop(control);
    let exit = driver.wait().unwrap();
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    assert_eq!(exit, Exit::Code(0), "{text}");
    assert!(text.contains("oblocked0"), "it logs: {text}");
}

#[test]
fn timers_wakers_memory_and_the_log_work() {
    if !can_run("timers_wakers_memory_and_the_log_work") {
        return;
    }
    let limits = Limits { address_space: 2 << 30, ..Limits::default() };
    let (exit, log) = run_to_end(subject(&["end", "runtime"]).limits(limits));
    assert_eq!(exit, Exit::Code(0), "{log}");
    assert_eq!(log, "10 is still there\n");
}

#[test]
fn a_driver_ends_as_it_should() {
    if !can_run("a_driver_ends_as_it_should") {
        return;
    }
    let end = |how: &str| run_to_end(subject(&["end", how]));
    assert_eq!(end("return"), (Exit::Code(0), String::new()));
    let (exit, log) = end("panic");
    assert_eq!(exit, Exit::Code(101), "{log}");
    assert!(log.contains("the driver panics"), "{log}");
    assert_eq!(end("abort"), (Exit::Signal(libc::SIGSEGV), String::new()));
    assert_eq!(end("overflow"), (Exit::Signal(libc::SIGSEGV), String::new()));
    // A thread is a way to more than the filter of one knows; and what is locked stays locked.
    for how in ["thread", "capabilities-again"] {
        let (exit, log) = end(how);
        assert!(exit.is_violation(), "{how}: {exit}: {log}");
    }
}

#[test]
fn a_panic_with_a_backtrace_is_no_violation() {
    if !can_run("a_panic_with_a_backtrace_is_no_violation") {
        return;
    }
    let (exit, log) = run_to_end(subject(&["end", "panic"]).variable("RUST_BACKTRACE", "1"));
    assert_eq!(exit, Exit::Code(101), "{log}");
    assert!(log.contains("stack backtrace"), "{log}");
}
