//! The whole way to an application, in real time: pyserial opens a pseudo-terminal, behind it are the driver and a virtual chip with a
//! loop-back plug. Needs python3 with pyserial (Debian: python3-serial) and /dev/pts; without them the test says that it is skipped, and with
//! CI=true it fails instead.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use outboard_core::ErrorKind;
use outboard_core::family::serial::pty::{Pty, PtyOptions};
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::service::{Ending, Service};
use outboard_core::usb::Device;
use outboard_core::usb::transport::in_process::{InProcess, Plug};
use outboard_usb_serial_ftdi::driver::Adapter;
use outboard_usb_serial_ftdi::{FtdiDriver, Provider};
use outboard_virtual_devices::ftdi::{Flow, FtdiChip, FtdiOptions, Kind, Uart, Wiring};
use tokio::sync::mpsc;

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says that a test does not run, and why; where nothing may be skipped, that is a failure.
fn skip(test: &str, reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} cannot run: {reason}");
    eprintln!("SKIPPED {test}: {reason}");
}

/// A Python that has pyserial: the first, or the distribution's own.
fn python() -> Option<&'static str> {
    ["python3", "/usr/bin/python3"].into_iter().find(|program| {
        let mut check = Command::new(program);
        check.args(["-c", "import serial"]).stderr(Stdio::null());
        check.status().is_ok_and(|status| status.success())
    })
}

/// The application, in a thread of its own: its steps come out, and go on when they are answered.
struct Client {
    steps: mpsc::UnboundedReceiver<String>,
    go_on: std::sync::mpsc::Sender<()>,
    thread: thread::JoinHandle<bool>,
}

impl Client {
    fn start(python: &str, port: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ftdi_pty/client.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(port)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, steps) = mpsc::unbounded_channel();
        let (go_on, answered) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let mut input = child.stdin.take().unwrap();
            for line in BufReader::new(child.stdout.take().unwrap()).lines() {
                let line = line.unwrap();
                let ends = line == "unplug";
                if send.send(line).is_err() {
                    break;
                }
                if !ends && (answered.recv().is_err() || input.write_all(b"\n").is_err()) {
                    break;
                }
            }
            // Whatever it waits for, it ends with its input.
            drop(input);
            child.wait().unwrap().success()
        });
        Self { steps, go_on, thread }
    }

    async fn step(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, self.steps.recv()).await.expect("the application goes on")
    }
}

/// Waits until the port of the chip is so.
async fn until(plug: &Plug<FtdiChip>, step: &str, is_so: impl Fn(&Uart) -> bool) {
    let wait = async {
        while !plug.with(|chip| is_so(chip.port(0))) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, wait).await.is_ok(),
        "after {step:?}: {:?}",
        plug.with(|chip| format!("{:?}", chip.port(0)))
    );
}

/// Waits until the host has emptied this FIFO.
async fn until_purged(plug: &Plug<FtdiChip>, which: u16) {
    let is_it = |setup: &outboard_core::usb::SetupPacket| (setup.request, setup.value) == (0, which);
    let wait = async {
        while !plug.with(|chip| chip.take_requests().iter().any(is_it)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "FIFO {which} was not purged");
}

#[test]
fn pyserial_on_the_vended_port() {
    let Some(python) = python() else {
        return skip("pyserial", "there is no python3 with pyserial (python3-serial)");
    };
    let directory: PathBuf = std::env::temp_dir().join(format!("outboard-ftdi-{}", std::process::id()));
    let place = directory.clone();
    DispatchQueue::run("test", Clock::Real, |_| async move {
        let mut chip = FtdiChip::new(FtdiOptions::new(Kind::R));
        chip.wire(0, Wiring::Loopback);
        let (transport, plug) = InProcess::new("1-1", chip);
        let adapter = Adapter::open(Device::open(transport).await.unwrap()).await.unwrap();
        let provider = Provider::new(&adapter, adapter.ports[0], move |vended| {
            let link = Some(place.join(&vended.name));
            Pty::create(&PtyOptions { link, ..PtyOptions::default() })
        });
        let service = match Service::<FtdiDriver<Pty>>::start(provider).await {
            Ok(service) => service,
            Err(error) => return skip("pyserial", &error.to_string()),
        };
        let mut client = Client::start(python, &directory.join("ttyFTDI-VIRTUAL1"));
        let mut steps = 0;
        let baud = |plug: &Plug<FtdiChip>| plug.with(|chip| chip.port(0).rate().baud());
        while let Some(step) = client.step().await {
            steps += 1;
            let is = |test: &'static dyn Fn(&Uart) -> bool| until(&plug, &step, test);
            match step.as_str() {
                "open" => {
                    is(&|port| port.dtr() && port.rts() && port.rate().baud() == 115_385).await;
                }
                "echoed" => is(&|port| port.unsent() == 0).await,
                "baud 9600" => is(&|port| port.rate().baud() == 9600).await,
                "baud 250000" => is(&|port| port.rate().baud() == 250_000).await,
                "baud 3000000" => is(&|port| port.rate().baud() == 3_000_000).await,
                "baud 50" => {
                    is(&|port| port.rate().baud() == 183).await;
                    // The application is told by its attributes; wait until it was.
                    let told = async {
                        while service
                            .with(|driver| driver.status().applied.is_none_or(|applied| !applied.clamped))
                            == Some(true)
                        {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    };
                    tokio::time::timeout(PATIENCE, told).await.unwrap();
                }
                "two stop bits, RTS/CTS" => {
                    is(&|port| port.format().stop_half_bits == 4 && port.flow() == Flow::RtsCts).await;
                }
                "XON/XOFF" => is(&|port| port.flow() == Flow::XonXoff(0x11, 0x13)).await,
                "flushed output" => until_purged(&plug, 1).await,
                "flushed input" => until_purged(&plug, 2).await,
                "no dtr" | "no rts" => is(&|port| port.dtr() && port.rts() && !port.is_breaking()).await,
                "closed" => is(&|port| !port.dtr() && !port.rts()).await,
                "open again" => is(&|port| port.dtr() && port.rate().baud() == 9600).await,
                "unplug" => {
                    plug.unplug();
                    let ending = tokio::time::timeout(PATIENCE, service.ended()).await.unwrap();
                    let Ending::Failed(error) = ending else { panic!("{ending:?}") };
                    assert_eq!(error.kind(), ErrorKind::Unplugged);
                    break;
                }
                other => panic!("an unknown step: {other}"),
            }
            client.go_on.send(()).unwrap();
        }
        assert_eq!(steps, 15, "the application did not come to its end; at {} baud", baud(&plug));
        service.stop().await;
        // The hang-up ends it.
        assert!(client.thread.join().unwrap(), "the application failed");
        assert!(std::fs::read_dir(&directory).unwrap().next().is_none(), "the port's name is still there");
        std::fs::remove_dir(&directory).unwrap();
    })
    .unwrap();
}
