//! Round-trip time of one small datagram on an idle link, by a pair of our own: ping's own clock and scheduling are too coarse for a p99.

use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::netns::Netns;
use super::sysfs::wait_for;

/// Where the echo listens.
const PORT: u16 = 7007;

/// Datagrams sent after the first answer and before the clock counts.
pub(crate) const WARM_UP: usize = 10;

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

    /// Starts this very program on the loopback, allocating once for each datagram.
    pub(crate) fn start_allocating() -> Result<Self> {
        let address = format!("127.0.0.1:{PORT}");
        let child = Command::new(std::env::current_exe()?)
            .args(["echo", "--allocate", &address])
            .stdin(Stdio::null())
            .spawn()
            .context("start the echo")?;
        Ok(Self { child, address })
    }

    /// The echo's process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Times `count` round trips; returns them sorted, in microseconds.
    pub(crate) fn round_trips(&self, count: usize) -> Result<Vec<f64>> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(&self.address)?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        let mut number = 0u64;
        let mut ask = || {
            number += 1;
            let mut question = [0; PAYLOAD];
            question[..8].copy_from_slice(&number.to_be_bytes());
            let mut answer = [0; PAYLOAD];
            let start = Instant::now();
            let answered =
                socket.send(&question).is_ok() && socket.recv(&mut answer).is_ok() && answer == question;
            answered.then(|| start.elapsed().as_secs_f64() * 1e6)
        };
        // A refusal comes at once while the echo is starting.
        wait_for("the echo to answer", Duration::from_secs(30), || Ok(ask()))?;
        let mut lost = 0;
        let mut times = Vec::with_capacity(count);
        for _ in 0..WARM_UP {
            ask();
        }
        while times.len() < count {
            match ask() {
                Some(time) => times.push(time),
                None if lost < 20 => lost += 1,
                None => bail!("{lost} datagrams were lost on an idle link, {} were answered", times.len()),
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
pub(crate) fn echo(address: &str, allocate: bool) -> Result<()> {
    let socket = UdpSocket::bind(address)?;
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        if allocate {
            std::hint::black_box(Box::new(length));
        }
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
