//! A network namespace for the device's end of a link, and addresses on either end.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::run::{output, run};
use super::sysfs::{read, wait_until};

/// A named network namespace; removed when dropped.
#[derive(Debug)]
pub(crate) struct Netns {
    name: String,
}

impl Netns {
    /// Makes the namespace, replacing one of the same name.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let _absent = run(&format!("ip netns delete {name}"));
        run(&format!("ip netns add {name}"))?;
        let made = Self { name: name.to_owned() };
        made.run("ip link set lo up")?;
        Ok(made)
    }

    /// Its name, for ip(8).
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Takes a network interface from the initial namespace.
    pub(crate) fn take(&self, interface: &str) -> Result<()> {
        run(&format!("ip link set {interface} netns {}", self.name)).map(drop)
    }

    /// Runs a command inside.
    pub(crate) fn run(&self, line: &str) -> Result<String> {
        run(&format!("ip netns exec {} {line}", self.name))
    }

    /// A command that will run inside.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Gives an interface inside its only address and raises it.
    pub(crate) fn raise(&self, interface: &str, address: &str) -> Result<()> {
        self.run(&format!("ip address replace {address} dev {interface}"))?;
        self.run(&format!("ip link set {interface} up")).map(drop)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _gone = run(&format!("ip netns delete {}", self.name));
    }
}

/// Gives an interface of the initial namespace an address and raises it.
pub(crate) fn raise(interface: &str, address: &str) -> Result<()> {
    run(&format!("ip address replace {address} dev {interface}"))?;
    run(&format!("ip link set {interface} up")).map(drop)
}

/// Waits for an interface of the initial namespace to be there.
pub(crate) fn wait_present(interface: &str) -> Result<()> {
    let path = format!("/sys/class/net/{interface}");
    wait_until(&format!("interface {interface}"), Duration::from_secs(10), || {
        std::path::Path::new(&path).exists()
    })
}

/// Waits for the carrier of a raised interface to be `up` or not.
pub(crate) fn wait_carrier(interface: &str, up: bool) -> Result<()> {
    let wanted = if up { "1" } else { "0" };
    let path = format!("/sys/class/net/{interface}/carrier");
    wait_until(&format!("carrier {wanted} of {interface}"), Duration::from_secs(10), || {
        read(&path).is_ok_and(|text| text == wanted)
    })
}

/// Waits until an address answers at all: the link may still be coming up, and ARP with it.
pub(crate) fn wait_reachable(address: &str, limit: Duration) -> Result<()> {
    let mut command = Command::new("ping");
    command.args(["-n", "-q", "-c", "1", "-W", "1", address]);
    wait_until(&format!("{address} to answer"), limit, || output(&mut command).is_ok())
}

/// Pings an address `count` times and returns how many replies came.
pub(crate) fn ping_replies(address: &str, count: u32) -> Result<u32> {
    let mut command = Command::new("ping");
    command.args(["-n", "-q", "-i", "0.05", "-W", "2", "-c", &count.to_string(), address]);
    let text = String::from_utf8_lossy(&command.output()?.stdout).into_owned();
    let line = text.lines().find(|line| line.contains(" received")).context("ping prints no statistics")?;
    let received =
        line.split(", ").find_map(|part| part.strip_suffix(" received")).context("ping's statistics")?;
    received.parse().context("ping's count of replies")
}

/// Pings an address, `count` times with `payload` bytes, fragments forbidden. Every reply must come.
pub(crate) fn ping(address: &str, count: u32, payload: u32) -> Result<()> {
    let mut command = Command::new("ping");
    command.args(["-n", "-q", "-M", "do", "-i", "0.05", "-W", "5"]);
    command.args(["-c", &count.to_string(), "-s", &payload.to_string(), address]);
    output(&mut command).map(drop)
}
