//! `outboard demo`: shows the demo's steps as they are done, and what a person can try next. It must not know how a step is done.

use std::time::{Duration, Instant};

use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::registry::Vended;
use outboard_core::usb::Speed;
use outboard_core::{Error, ErrorKind};
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::demo::{Demo, Lease, Namespace, Options, Step};
use crate::exit::{Cause, Failure};
use crate::output::{printable, say};
use crate::trace::TraceArguments;
use crate::tun;

/// Show Outboard at work, without any device: a virtual dongle becomes a network interface.
///
/// The dongle exists only in this program, but speaks real USB (over USB/IP), is driven by the real driver in a process of its own, and becomes a
/// real network interface, in a network namespace of its own: routes and names of this machine stay as they are. Everything is gone
/// when the demo ends. It runs as root, and as an ordinary user where the kernel allows user namespaces.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// End after the last step, instead of keeping everything for you to try until Ctrl-C.
    #[arg(long)]
    once: bool,
    /// Print one JSON object at the end, for scripts; implies --once.
    #[arg(long)]
    json: bool,
    /// Speed of the virtual bus.
    #[arg(long, value_enum, default_value_t = BusSpeed::High)]
    speed: BusSpeed,
    /// Seconds of each throughput measurement.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    #[command(flatten)]
    trace: TraceArguments,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum BusSpeed {
    Full,
    High,
    Super,
}

impl From<BusSpeed> for Speed {
    fn from(speed: BusSpeed) -> Self {
        match speed {
            BusSpeed::Full => Self::Full,
            BusSpeed::High => Self::High,
            BusSpeed::Super => Self::Super,
        }
    }
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    tun::check()?;
    let trace = arguments.trace.make()?;
    let namespace = Namespace::enter()?;
    let options =
        Options { speed: arguments.speed.into(), duration: Duration::from_secs(arguments.seconds), trace };
    DispatchQueue::run("Default", Clock::Real, |_| async { show(arguments, options, namespace).await })
        .map_err(|error| Error::os("start the queue", error))?
}

async fn show(arguments: &Arguments, options: Options, namespace: Namespace) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|error| Error::os("listen for signals", error));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let start = Instant::now();
    let mut screen =
        Screen { json: arguments.json.then(Map::new), lease: None, interface: None, measured: false };
    screen.title();
    let mut demo = Demo::start(options, namespace)?;
    let result = loop {
        let step = tokio::select! {
            biased;
            _ = interrupt.recv() => break Ok(false),
            _ = terminate.recv() => break Ok(false),
            step = demo.next() => step,
        };
        match step {
            Ok(step) => {
                screen.step(&step);
                if matches!(step, Step::Survived(_)) {
                    screen.done(&demo.command_prefix(), start.elapsed(), arguments.once);
                    if arguments.once || arguments.json {
                        break Ok(true);
                    }
                }
            }
            Err(error) => break Err(failure(error)),
        }
    };
    demo.stop().await;
    match result {
        Ok(true) => screen.print_json(),
        Ok(false) if arguments.json || arguments.once => {
            return Err(Failure::new(Cause::Other, "the demo was interrupted before its last step"));
        }
        Ok(false) => {}
        Err(failure) => return Err(failure),
    }
    Ok(())
}

/// What another user's kernel does not allow shows only when the interface is made.
fn failure(error: Error) -> Failure {
    let by_user = !rustix::process::geteuid().is_root();
    if error.kind() == ErrorKind::Refused && by_user {
        return Failure::new(Cause::Right, error.to_string()).with_hint(
            "This kernel gives an ordinary user no rights in a namespace of its own. Run the demo as root, for example with sudo.",
        );
    }
    error.into()
}

/// What is shown: lines as they come, or one object at the end.
struct Screen {
    json: Option<Map<String, Value>>,
    lease: Option<Lease>,
    interface: Option<String>,
    /// The driver is about to be killed.
    measured: bool,
}

impl Screen {
    fn title(&self) {
        if self.json.is_none() {
            say!("A USB network dongle that exists only in this program, driven as a real one.\n");
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Leased(lease) => self.lease = Some(*lease),
            Step::Received(_) => self.measured = true,
            Step::Interface(Vended::Network { name, .. }) => self.interface = Some(name.clone()),
            _ => {}
        }
        match &mut self.json {
            Some(all) => {
                let (key, value) = as_json(step);
                all.insert(key.to_owned(), value);
            }
            // What follows is the same again, for each process that is killed on purpose.
            None if self.measured && matches!(step, Step::Driver { .. } | Step::Interface(_)) => {}
            // The link comes up in a moment, and its speed with it.
            None if self.lease.is_none() && is_down(step) => {}
            None => {
                let (label, text) = as_text(step);
                say!("  {label:<12}{text}");
            }
        }
    }

    fn done(&mut self, prefix: &str, elapsed: Duration, once: bool) {
        if let Some(all) = &mut self.json {
            all.insert("seconds".to_owned(), json!(elapsed.as_secs_f64()));
            return;
        }
        let (Some(lease), Some(interface)) = (&self.lease, &self.interface) else { return };
        if once {
            say!("\nDone in {:.1} s; nothing is left behind.", elapsed.as_secs_f64());
            return;
        }
        let host = lease.server;
        say!(
            "\nIt all runs on until you press Ctrl-C, and then nothing is left behind. Meanwhile, in another terminal:\n\n  \
             {prefix} ping {host}\n  \
             {prefix} curl http://{host}/\n  \
             {prefix} ip -s address show dev {interface}\n  \
             {prefix} tcpdump -ni {interface}\n"
        );
    }

    fn print_json(self) {
        if let Some(all) = self.json {
            say!("{:#}", Value::Object(all));
        }
    }
}

fn is_down(step: &Step) -> bool {
    matches!(step, Step::Interface(Vended::Network { link_up: false, .. }))
}

fn as_text(step: &Step) -> (&'static str, String) {
    match step {
        Step::Plugged { speed } => {
            ("device", format!("virtual CDC-ECM dongle, {speed}, over USB/IP on a socketpair"))
        }
        Step::Driver { process, sandbox, restarts } => {
            let which = if *restarts == 0 { "process" } else { "its successor, process" };
            let calls = sandbox.system_calls;
            (
                "driver",
                format!(
                    "usb-ecm in {which} {process}: no files, no network, no rights, {calls} system calls"
                ),
            )
        }
        Step::Interface(Vended::Network { name, mac, link_up, down_mbit, .. }) => {
            let link = if *link_up { "up" } else { "down" };
            let text =
                format!("{name}, {mac}, {down_mbit} Mbit/s, link {link}, in a network namespace of its own");
            ("interface", text)
        }
        Step::Leased(lease) => {
            ("address", format!("{}/{} by DHCP from {}", lease.address, lease.prefix, lease.server))
        }
        Step::Pinged(ping) => {
            let milliseconds = ping.mean.as_secs_f64() * 1e3;
            ("ping", format!("{} of {} answered, {milliseconds:.2} ms each", ping.answered, ping.sent))
        }
        Step::Fetched(page) => {
            let printable = printable(&page.title);
            ("page", format!("{}: {} bytes, \u{201c}{printable}\u{201d}", page.url, page.bytes))
        }
        Step::Sent(sent) => ("to device", format!("{:.0} Mbit/s over TCP", sent.mbit())),
        Step::Received(received) => {
            ("from device", format!("{:.0} Mbit/s over TCP, every byte compared", received.mbit()))
        }
        Step::Survived(survival) => {
            let milliseconds = survival.longest.as_secs_f64() * 1e3;
            let text = format!(
                "killed {} times under a TCP connection, which lost nothing and waited {milliseconds:.1} ms at most",
                survival.killed
            );
            ("crash", text)
        }
    }
}

fn as_json(step: &Step) -> (&'static str, Value) {
    match step {
        Step::Plugged { speed } => ("device", json!({"speed_bits_per_second": speed.bits_per_second()})),
        Step::Driver { process, sandbox, restarts } => {
            let value = json!({
                "name": "usb-ecm",
                "process": process,
                "system_calls": sandbox.system_calls,
                "ioctls": sandbox.ioctls,
                "landlock": sandbox.landlock,
                "restarts": restarts,
            });
            ("driver", value)
        }
        Step::Interface(Vended::Network { name, mac, mtu, link_up, down_mbit, up_mbit }) => {
            let value = json!({
                "name": name,
                "mac": mac,
                "mtu": mtu,
                "link_up": link_up,
                "speed_mbit": {"down": down_mbit, "up": up_mbit},
            });
            ("interface", value)
        }
        Step::Leased(lease) => (
            "lease",
            json!({"address": lease.address.to_string(), "prefix": lease.prefix, "server": lease.server.to_string()}),
        ),
        Step::Pinged(ping) => (
            "ping",
            json!({"sent": ping.sent, "answered": ping.answered, "mean_ms": ping.mean.as_secs_f64() * 1e3}),
        ),
        Step::Fetched(page) => (
            "page",
            json!({"url": page.url, "status": page.status, "bytes": page.bytes, "title": page.title}),
        ),
        Step::Sent(through) => {
            ("tcp_to_device", json!({"bytes": through.bytes, "mbit_per_second": through.mbit()}))
        }
        Step::Received(through) => {
            ("tcp_from_device", json!({"bytes": through.bytes, "mbit_per_second": through.mbit()}))
        }
        Step::Survived(survival) => {
            let value = json!({
                "killed": survival.killed,
                "bytes": survival.bytes,
                "longest_wait_ms": survival.longest.as_secs_f64() * 1e3,
            });
            ("crash", value)
        }
    }
}
