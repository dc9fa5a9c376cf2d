//! `outboard attach` on a virtual FTDI chip that a USB/IP server exports: bytes go round a loop-back plug, a trace is written, Ctrl-C gives the
//! chip back, and a lost connection is told.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::sync::mpsc;

use outboard_core::queue::{Clock, DispatchQueue};
use outboard_virtual_devices::ftdi::{FtdiChip, FtdiOptions, Kind, Wiring};
use outboard_virtual_devices::usbip::{Exports, serve_listener};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;

/// A server on a thread of its own, until it is dropped; and where the chip is.
fn server() -> (oneshot::Sender<()>, String) {
    let (stop, stopped) = oneshot::channel();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        DispatchQueue::run("server", Clock::Real, |_| async move {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let exports = Exports::new();
            let mut chip = FtdiChip::new(FtdiOptions::new(Kind::R));
            chip.wire(0, Wiring::Loopback);
            let bus_id = exports.add(Rc::new(RefCell::new(chip)));
            tell.send(format!("usbip://{address}/{bus_id}")).unwrap();
            tokio::select! {
                _ = stopped => {}
                ended = serve_listener(listener, &exports, |_, _| {}) => panic!("{ended:?}"),
            }
        })
        .unwrap();
    });
    (stop, told.recv().unwrap())
}

/// The command, once it has vended the port.
fn attach(url: &str, directory: &Path, more: &[&str]) -> (Child, BufReader<ChildStdout>, File) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_outboard"))
        .args(["attach", url, "--ports"])
        .arg(directory)
        .args(more)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let port = directory.join("ttyFTDI-VIRTUAL1");
    assert!(line.starts_with(port.to_str().unwrap()), "{line:?}");
    let port = File::options().read(true).write(true).open(port).unwrap();
    (child, output, port)
}

fn goes_round(mut port: &File) {
    port.write_all(b"hello").unwrap();
    let mut bytes = [0; 5];
    port.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
}

#[test]
fn a_chip_of_a_server_is_driven_traced_given_back_and_lost() {
    let directory = std::env::temp_dir().join(format!("outboard-serial-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let (stop, url) = server();
    let trace = directory.join("trace.pcapng");
    let (mut child, _output, port) = attach(&url, &directory, &["--trace", trace.to_str().unwrap()]);
    goes_round(&port);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!directory.join("ttyFTDI-VIRTUAL1").exists());
    let traced = fs::read(&trace).unwrap();
    assert!(traced.windows(5).any(|bytes| bytes == b"hello"));

    let (mut child, _output, port) = attach(&url, &directory, &[]);
    goes_round(&port);
    drop(stop);
    assert_eq!(child.wait().unwrap().code(), Some(3));
    fs::remove_dir_all(&directory).unwrap();
}
