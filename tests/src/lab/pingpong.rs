//! Round-trip time of one small datagram on an idle link, by a pair of our own: ping's own clock and scheduling are too coarse for a p99.

use std::net::UdpSocket;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::netns::Netns;

/// Where the echo listens.
const PORT: u16 = 7007;

/// The smallest frame's payload; see the iperf module.
const PAYLOAD: usize = 18;

/// An echo in the device's namespace; runs until dropped.
#[derive(Debug)]
pub(crate) struct Echo {
    child: Child,
    address: String,
}

impl Echo {
    /// Starts this very program again inside the namespace.
    pub(crate) fn start(netns: &Netns, address: &str) -> Result<Self> {
        let myself = std::env::current_exe()?;
        let mut command = netns.command(&myself.to_string_lossy());
        command.args(["echo", &format!("{address}:{PORT}")]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("start the echo")?;
        Ok(Self { child, address: format!("{address}:{PORT}") })
    }

    /// Times `count` round trips; returns them sorted, in microseconds.
    pub(crate) fn round_trips(&self, count: usize) -> Result<Vec<f64>> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(&self.address)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut times = Vec::with_capacity(count);
        let mut lost = 0;
        let mut answer = [0; PAYLOAD];
        // The first few also wait for the echo to start and for ARP.
        for number in 0..count + 10 {
            let mut question = [0; PAYLOAD];
            question[..8].copy_from_slice(&(number as u64).to_be_bytes());
            let start = Instant::now();
            let arrived =
                socket.send(&question).is_ok() && socket.recv(&mut answer).is_ok() && answer == question;
            if !arrived {
                lost += 1;
                if lost > 20 {
                    bail!("{lost} of {number} datagrams were not answered");
                }
            } else if number >= 10 {
                times.push(start.elapsed().as_secs_f64() * 1e6);
            }
        }
        times.sort_by(f64::total_cmp);
        Ok(times)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The echo itself: sends every datagram back, for ever.
pub(crate) fn echo(address: &str) -> Result<()> {
    let socket = UdpSocket::bind(address)?;
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        let _unreachable = socket.send_to(&buffer[..length], from);
    }
}

/// The value below which `percent` of the sorted values lie.
pub(crate) fn percentile(sorted: &[f64], percent: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get(((last as f64) * percent / 100.0).round() as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_of_a_hundred() {
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(percentile(&values, 50.0), Some(50.0));
        assert_eq!(percentile(&values, 99.0), Some(99.0));
        assert_eq!(percentile(&[], 50.0), None);
    }
}
