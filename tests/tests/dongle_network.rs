//! The whole way on this machine, without USB: the ECM driver on a virtual dongle with a real TAP in a network namespace, and as judges the kernel's
//! stack and the programs that people have: a DHCP client, ping, curl. It must not know how driver, dongle and host work.
//!
//! Needs CAP_NET_ADMIN, /dev/net/tun, ip(8), ping(8), curl(1) and busybox. Without them the test says that it is skipped; with CI=true
//! it fails instead.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use outboard_core::family::ethernet::Counters;
use outboard_core::family::ethernet::tap::{Tap, TapOptions};
use outboard_core::queue::{self, Clock, DispatchQueue};
use outboard_core::service::Service;
use outboard_core::usb::Device;
use outboard_core::usb::transport::in_process::InProcess;
use outboard_usb_ecm::{EcmDriver, Provider};
use outboard_virtual_devices::ecm::{EcmDongle, EcmOptions, HostFault, Statistics};
use outboard_virtual_devices::host::{Host, HostOptions};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Says that a test does not run, and why; where nothing may be skipped, that is a failure.
fn skip(test: &str, reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} cannot run: {reason}");
    eprintln!("SKIPPED {test}: {reason}");
}

/// A network namespace and a folder, both gone with the value.
struct Place {
    namespace: String,
    folder: PathBuf,
}

impl Place {
    /// `None`, with a line that says why, where a right or a program is missing.
    fn new(test: &str) -> Option<Self> {
        let tools = [
            ("curl", "--version", "curl"),
            ("ping", "-V", "iputils-ping"),
            ("busybox", "--help", "busybox-static"),
        ];
        for (tool, argument, package) in tools {
            if let Err(error) = Command::new(tool).arg(argument).output() {
                skip(test, &format!("{tool}: {error}; install {package}"));
                return None;
            }
        }
        let namespace = format!("obtest-net-{}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &namespace]).output();
        let reason = match (made, std::fs::metadata("/dev/net/tun")) {
            (Ok(output), Ok(_)) if output.status.success() => {
                let folder = std::env::temp_dir().join(&namespace);
                std::fs::create_dir_all(&folder).expect("a folder for temporary files");
                return Some(Self { namespace, folder });
            }
            (Err(error), _) => format!("ip(8): {error}; install iproute2"),
            (_, Err(error)) => format!("/dev/net/tun: {error}; modprobe tun"),
            (Ok(output), _) => format!("{}; run as root", String::from_utf8_lossy(&output.stderr).trim()),
        };
        skip(test, &reason);
        None
    }

    fn enter(&self) {
        let file = std::fs::File::open(format!("/run/netns/{}", self.namespace)).expect("the namespace");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("to enter it");
    }

    /// Runs a program inside; what it prints.
    fn run(&self, line: &str) -> Result<String> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).args(line.split(' '));
        let output = command.output().with_context(|| format!("run {line}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{line}: {}\n{said}", output.status);
        String::from_utf8(output.stdout).context("it prints no text")
    }

    /// A script for udhcpc: configures the interface and writes down what was leased.
    fn dhcp_script(&self) -> Result<(PathBuf, PathBuf)> {
        let (script, leased) = (self.folder.join("script"), self.folder.join("leased"));
        let text = format!(
            "#!/bin/sh\nset -e\ncase \"$1\" in\n\
             deconfig) ip address flush dev \"$interface\" scope global; ip link set \"$interface\" up ;;\n\
             bound|renew) ip address replace \"$ip/$mask\" dev \"$interface\"; ip link set \"$interface\" mtu \"$mtu\"\n\
             echo \"$ip $mask $serverid $lease $mtu $broadcast ${{router:-no-router}}\" > {} ;;\nesac\n",
            leased.display()
        );
        std::fs::write(&script, text)?;
        let executable = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        std::fs::set_permissions(&script, executable)?;
        Ok((script, leased))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).output();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What the driver and the dongle count at a moment when they count the same.
#[derive(Debug, Clone, Copy)]
struct Counted {
    /// By GetEthernetStatistic, over the bus: XMIT_OK and RCV_OK.
    over_bus: [u32; 2],
    /// What the dongle itself has.
    dongle: Statistics,
    /// What the driver gave to the interface and took from it.
    interface: Counters,
}

impl Counted {
    /// All say the same: no frame is under way, and none was lost.
    fn is_settled(&self) -> bool {
        let (sent, received) = (self.dongle.transmitted.frames(), self.dongle.received.frames());
        let given = self.interface.received_frames + self.interface.received_while_down;
        self.over_bus.map(u64::from) == [sent, received]
            && (self.interface.transmitted_frames, given) == (sent, received)
    }
}

type Question = mpsc::Sender<Counted>;

/// Driver and dongle, on a thread of the namespace until the questions end.
fn serve(place: &Place, mut questions: UnboundedReceiver<Question>) -> Result<Vec<HostFault>> {
    place.enter();
    DispatchQueue::run("test", Clock::Real, |_| async move {
        let host = Host::new(&HostOptions::default(), queue::now());
        let (transport, plug) = InProcess::new("1-1", EcmDongle::new(EcmOptions::default(), host));
        let device = Device::open(transport).await?;
        let provider = Provider::new(device, |vended| {
            Tap::create(&TapOptions { mac: Some(vended.mac), mtu: Some(vended.mtu), ..TapOptions::default() })
        });
        let service: Service<EcmDriver<Tap>> = Service::start(provider).await?;
        while let Some(question) = questions.recv().await {
            let mut tries = 0;
            let counted = loop {
                let ask = service.with(|driver| driver.statistics()).context("the driver has ended")?;
                let values = ask.await?;
                let dongle = plug.with(|dongle| *dongle.statistics());
                let interface = service.with(|driver| driver.status().traffic).context("it has ended")?;
                let counted = Counted { over_bus: [values[0].1, values[1].1], dongle, interface };
                // Frames may be under way; then they are counted again.
                if counted.is_settled() {
                    break counted;
                }
                tries += 1;
                ensure!(tries < 20_000, "frames got lost: {counted:#?}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            };
            // Whoever asked may have given up.
            let _ = question.send(counted);
        }
        service.stop().await;
        Ok(plug.with(|dongle| dongle.faults().to_vec()))
    })?
}

fn counted(questions: &UnboundedSender<Question>) -> Result<Counted> {
    let (sender, answer) = mpsc::channel();
    questions.send(sender).ok().context("the driver has ended")?;
    answer.recv().context("the driver has ended")
}

fn leased(path: &Path) -> Result<String> {
    Ok(std::fs::read_to_string(path).context("udhcpc got no lease")?.trim().to_owned())
}

/// What people do with a new interface.
fn use_it(place: &Place, questions: &UnboundedSender<Question>) -> Result<()> {
    // Waits until the driver runs.
    counted(questions)?;
    let (script, lease) = place.dhcp_script()?;
    let udhcpc =
        format!("busybox udhcpc -i ecm0 -f -q -n -t 30 -T 1 -O mtu -O broadcast -s {}", script.display());
    place.run(&udhcpc)?;
    ensure!(
        leased(&lease)? == "10.0.2.100 24 10.0.2.1 3600 1500 10.0.2.255 no-router",
        "{}",
        leased(&lease)?
    );
    let routes = place.run("ip route show default")?;
    ensure!(routes.is_empty(), "the dongle must not take the default route: {routes}");

    let ping = place.run("ping -n -c 5 -i 0.02 -W 20 10.0.2.1")?;
    ensure!(ping.contains(" 5 received, 0% packet loss"), "{ping}");
    place.run("ip address add fd00:0:0:2::2/64 dev ecm0 nodad")?;
    let ping = place.run("ping -n -c 5 -i 0.02 -W 20 fd00:0:0:2::1")?;
    ensure!(ping.contains(" 5 received, 0% packet loss"), "{ping}");

    let curl = "curl --silent --show-error --fail --max-time 60";
    let page = place.run(&format!("{curl} http://10.0.2.1/"))?;
    ensure!(page.contains("<h1>Virtual ECM dongle</h1>") && page.contains("10.0.2.100"), "{page}");
    let page = place.run(&format!("{curl} -g http://[fd00:0:0:2::1]/"))?;
    ensure!(page.contains("up, 100 Mbit/s"), "{page}");

    let before = counted(questions)?;
    let status: Value = serde_json::from_str(&place.run(&format!("{curl} http://10.0.2.1/status.json"))?)?;
    let after = counted(questions)?;
    ensure!(status["device"]["station"] == "52:54:00:e0:cc:01", "{status:#}");
    ensure!(status["filter"]["directed"] == true && status["filter"]["broadcast"] == true, "{status:#}");
    ensure!(status["dhcp"]["acks"] == 1 && status["dhcp"]["ignored"] == 0, "{status:#}");
    let leases = &status["dhcp"]["leases"];
    ensure!(leases[0]["address"] == "10.0.2.100" && leases[1].is_null(), "{status:#}");
    ensure!(leases[0]["station"] == "52:54:00:e0:cc:01", "{status:#}");
    agree(&status, &before, &after).with_context(|| format!("{status:#}, {before:#?}, {after:#?}"))?;

    // The client comes again and keeps its address.
    place.run(&udhcpc)?;
    ensure!(leased(&lease)?.starts_with("10.0.2.100 "), "{}", leased(&lease)?);
    let again = place.run(&format!("{curl} -D - -o {}/null -I http://10.0.2.1/", place.folder.display()))?;
    ensure!(again.starts_with("HTTP/1.1 200 OK\r\n"), "{again}");
    Ok(())
}

/// The status lies between what was counted before and after it.
fn agree(status: &Value, before: &Counted, after: &Counted) -> Result<()> {
    let number = |part: &str, field: &str| status[part][field].as_u64().context("a number");
    let (sent, received) = (number("transmitted", "frames")?, number("received", "frames")?);
    // A request, and a handshake before it; how many segments more is the kernel's affair.
    ensure!(before.dongle.transmitted.frames() + 3 <= sent && sent <= after.dongle.transmitted.frames());
    ensure!(before.dongle.received.frames() < received && received < after.dongle.received.frames());
    let bytes = number("transmitted", "bytes")?;
    ensure!(before.dongle.transmitted.bytes() + 3 * 54 <= bytes && bytes <= after.dongle.transmitted.bytes());
    let bytes = number("received", "bytes")?;
    ensure!(before.dongle.received.bytes() < bytes && bytes < after.dongle.received.bytes());
    Ok(())
}

#[test]
fn programs_that_people_have_use_the_dongle() {
    let Some(place) = Place::new("programs_that_people_have_use_the_dongle") else { return };
    let (questions, receiver) = unbounded_channel();
    let (used, faults) = thread::scope(|scope| {
        let driver = scope.spawn(|| serve(&place, receiver));
        let used = use_it(&place, &questions);
        drop(questions);
        (used, driver.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let faults = faults.expect("the driver runs");
    used.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(faults, [], "the dongle has nothing to complain of");
}
