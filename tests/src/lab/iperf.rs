//! iperf3 as the judge of throughput: one server in the device's namespace, clients in the initial one, results read from its JSON.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::netns::Netns;
use super::run::output;
use super::sysfs::wait_until;

/// 9p has no shared writable mmap, which iperf3 needs for its temporary file.
const TMPDIR: &str = "/dev/shm";

/// Payload that makes the smallest Ethernet frame: 14 bytes Ethernet + 20 IPv4 + 8 UDP + 18 = 60, and the 4 bytes of the frame check sequence,
/// which ECM does not carry, make 64.
const SMALLEST: u32 = 18;

/// A server that runs until dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: String,
}

/// Which way the data goes, seen from the machine with the USB port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Host to device.
    ToDevice,
    /// Device to host.
    FromDevice,
}

/// A TCP measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tcp {
    /// Goodput in Mbit/s, as the receiver saw it; both directions together where there are two.
    pub(crate) mbits: f64,
    /// Bytes received.
    pub(crate) bytes: f64,
}

impl Server {
    /// Starts the server and waits until it listens.
    pub(crate) fn start(netns: &Netns, address: &str) -> Result<Self> {
        let mut command = netns.command("iperf3");
        command.args(["--server", "--bind", address]).env("TMPDIR", TMPDIR);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("start iperf3")?;
        let server = Self { child, address: address.to_owned() };
        wait_until("iperf3 to listen", Duration::from_secs(20), || {
            netns.run("ss -H -l -t -n sport = 5201").is_ok_and(|listening| !listening.is_empty())
        })?;
        Ok(server)
    }

    fn client(&self, seconds: u32, options: &[&str]) -> Result<Value> {
        let mut command = Command::new("iperf3");
        command.args([
            "--json",
            "--connect-timeout",
            "5000",
            "--client",
            &self.address,
            "--time",
            &seconds.to_string(),
        ]);
        command.args(options).env("TMPDIR", TMPDIR);
        let text = output(&mut command)?;
        serde_json::from_str(&text).context("iperf3's JSON")
    }

    /// One TCP stream.
    pub(crate) fn tcp(&self, direction: Direction, seconds: u32) -> Result<Tcp> {
        let options: &[&str] = if direction == Direction::ToDevice { &[] } else { &["--reverse"] };
        received(&self.client(seconds, options)?, &["sum_received"])
    }

    /// One TCP stream each way at once.
    pub(crate) fn tcp_both(&self, seconds: u32) -> Result<Tcp> {
        received(&self.client(seconds, &["--bidir"])?, &["sum_received", "sum_received_bidir_reverse"])
    }

    /// Smallest frames, as many as go: those that arrived, a second.
    pub(crate) fn small_packets(&self, direction: Direction, seconds: u32) -> Result<f64> {
        let length = SMALLEST.to_string();
        let mut options = vec!["--udp", "--length", &length, "--bitrate", "0"];
        if direction == Direction::FromDevice {
            options.push("--reverse");
        }
        packets_a_second(&self.client(seconds, &options)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn received(report: &Value, sums: &[&str]) -> Result<Tcp> {
    let mut total = Tcp::default();
    for sum in sums {
        let number = |field: &str| {
            report["end"][sum][field]
                .as_f64()
                .with_context(|| format!("iperf3 reported no end.{sum}.{field}"))
        };
        total.mbits += number("bits_per_second")? / 1e6;
        total.bytes += number("bytes")?;
    }
    Ok(total)
}

fn packets_a_second(report: &Value) -> Result<f64> {
    let sum = &report["end"]["sum"];
    let number =
        |field: &str| sum[field].as_f64().with_context(|| format!("iperf3 reported no end.sum.{field}"));
    Ok((number("packets")? - number("lost_packets")?) / number("seconds")?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_directions_are_added() {
        let report = json!({"end": {
            "sum_received": {"bits_per_second": 100e6, "bytes": 1000.0},
            "sum_received_bidir_reverse": {"bits_per_second": 50e6, "bytes": 500.0},
        }});
        let both = received(&report, &["sum_received", "sum_received_bidir_reverse"]).expect("a good report");
        assert_eq!(both, Tcp { mbits: 150.0, bytes: 1500.0 });
    }

    #[test]
    fn lost_packets_do_not_count() {
        let report = json!({"end": {"sum": {"packets": 1000, "lost_packets": 200, "seconds": 2.0}}});
        assert_eq!(packets_a_second(&report).expect("a good report"), 400.0);
    }

    #[test]
    fn a_missing_sum_is_an_error() {
        assert!(received(&json!({"error": "no route"}), &["sum_received"]).is_err());
    }
}
