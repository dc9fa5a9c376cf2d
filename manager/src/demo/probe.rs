//! What an application does with a network: ping, fetch a page, move bytes. It must not know that the far end is a virtual device.

use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use outboard_core::{Error, ErrorKind, Result};
use outboard_virtual_devices::host::{DISCARD, ECHO, SOURCE, source_byte};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, recv, sendto, socket, sockopt};
use rustix::process::{Pid, Signal, kill_process};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Ipv4Packet};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Processes that are killed under a connection.
const KILLS: u32 = 5;
/// And the time between two of them.
const BETWEEN_KILLS: Duration = Duration::from_millis(200);
/// HTTP.
const HTTP: u16 = 80;
/// A page is no larger than this.
const MOST_PAGE: u64 = 1 << 20;

/// Round trips.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ping {
    pub(crate) sent: u16,
    pub(crate) answered: u16,
    /// The mean over those that were answered.
    pub(crate) mean: Duration,
}

/// A fetched page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) url: String,
    /// The status line's number.
    pub(crate) status: u16,
    pub(crate) bytes: usize,
    /// Between `<title>` and `</title>`.
    pub(crate) title: String,
}

/// How a connection fared while the driver below it was killed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Survival {
    /// Processes of the driver that were killed.
    pub(crate) killed: u32,
    /// Sent, and come back as they were.
    pub(crate) bytes: u64,
    /// The longest time that anything took to come back.
    pub(crate) longest: Duration,
}

/// A measured stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Throughput {
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
}

impl Throughput {
    /// In Mbit/s.
    pub(crate) fn mbit(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.seconds / 1e6
    }
}

/// Sends `count` echo requests, one after the other.
///
/// # Errors
/// Refused: a raw socket needs CAP_NET_RAW. TimedOut: none was answered.
pub(crate) fn ping(host: Ipv4Addr, count: u16) -> Result<Ping> {
    let operation = || format!("ping {host}");
    let os = |error: rustix::io::Errno| Error::os(operation(), error.into());
    let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)).map_err(os)?;
    let target = SocketAddr::from((host, 0));
    let ident = std::process::id() as u16;
    let (mut answered, mut sum) = (0, Duration::ZERO);
    for seq_no in 0..count {
        let data = seq_no.to_be_bytes().repeat(28);
        let request = Icmpv4Repr::EchoRequest { ident, seq_no, data: &data };
        let mut bytes = vec![0; request.buffer_len()];
        request.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes), &ChecksumCapabilities::default());
        let start = Instant::now();
        sendto(&socket, &bytes, SendFlags::empty(), &target).map_err(os)?;
        while let Some(left) = PATIENCE.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
            sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(left)).map_err(os)?;
            let mut space = [MaybeUninit::uninit(); 2048];
            let got = match recv(&socket, &mut space, rustix::net::RecvFlags::empty()) {
                Ok(((got, _), _)) => got,
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) => return Err(os(error)),
            };
            if is_answer(got, ident, seq_no, &data) {
                answered += 1;
                sum += start.elapsed();
                break;
            }
        }
    }
    if answered == 0 {
        let reason = format!("none of {count} was answered");
        return Err(Error::new(ErrorKind::TimedOut, operation(), reason));
    }
    Ok(Ping { sent: count, answered, mean: sum / u32::from(answered) })
}

/// A raw socket gets every ICMP message of the machine, with its IP header.
fn is_answer(packet: &[u8], wanted: u16, seq: u16, sent: &[u8]) -> bool {
    let Ok(ip) = Ipv4Packet::new_checked(packet) else { return false };
    let Ok(icmp) = Icmpv4Packet::new_checked(ip.payload()) else { return false };
    matches!(
        Icmpv4Repr::parse(&icmp, &ChecksumCapabilities::default()),
        Ok(Icmpv4Repr::EchoReply { ident, seq_no, data }) if ident == wanted && seq_no == seq && data == sent
    )
}

/// Fetches `/` over HTTP.
///
/// # Errors
/// Malformed: the answer is no page.
pub(crate) fn fetch(host: Ipv4Addr) -> Result<Page> {
    let url = format!("http://{host}/");
    let operation = format!("fetch {url}");
    let io = |error| Error::os(operation.clone(), error);
    let mut stream = connect(host, HTTP).map_err(io)?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").map_err(io)?;
    let mut answer = Vec::new();
    stream.take(MOST_PAGE).read_to_end(&mut answer).map_err(io)?;
    let malformed = |reason: String| Error::new(ErrorKind::Malformed, operation.clone(), reason);
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(&answer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Err(malformed("the answer ends in its header".to_owned())),
        Err(error) => return Err(malformed(error.to_string())),
    };
    let status = response.code.unwrap_or_default();
    let body = String::from_utf8_lossy(&answer[head..]);
    if status != 200 {
        return Err(malformed(format!("the answer is {status}")));
    }
    let title = body.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    let title = title.map(|(title, _)| title.trim().to_owned());
    let title = title.ok_or_else(|| malformed("the page has no title".to_owned()))?;
    Ok(Page { url, status, bytes: body.len(), title })
}

/// Sends to the host's discard service for about this long.
///
/// # Errors
/// The connection failed.
pub(crate) fn send(host: Ipv4Addr, duration: Duration) -> Result<Throughput> {
    let io = |error| Error::os(format!("send to {host}"), error);
    let mut stream = connect(host, DISCARD).map_err(io)?;
    let block = vec![0x5a; 64 * 1024];
    let (start, mut bytes) = (Instant::now(), 0);
    while start.elapsed() < duration {
        bytes += stream.write(&block).map_err(io)? as u64;
    }
    // The other side closes when it has had all: what still lies in a queue is not through.
    stream.shutdown(std::net::Shutdown::Write).map_err(io)?;
    stream.read_to_end(&mut Vec::new()).map_err(io)?;
    Ok(Throughput { bytes, seconds: start.elapsed().as_secs_f64() })
}

/// Receives from the host's source for about this long, and compares every byte.
///
/// # Errors
/// The connection failed. Malformed: other bytes came than were sent.
pub(crate) fn receive(host: Ipv4Addr, duration: Duration) -> Result<Throughput> {
    let operation = format!("receive from {host}");
    let io = |error| Error::os(operation.clone(), error);
    let mut stream = connect(host, SOURCE).map_err(io)?;
    let mut block = vec![0; 64 * 1024];
    let (start, mut bytes) = (Instant::now(), 0_u64);
    while start.elapsed() < duration {
        let length = stream.read(&mut block).map_err(io)?;
        if length == 0 {
            return Err(Error::new(
                ErrorKind::Malformed,
                operation,
                "the other side closed its endless source",
            ));
        }
        if let Some(at) = block[..length].iter().zip(bytes..).position(|(byte, at)| *byte != source_byte(at))
        {
            let reason = format!("byte {} is not what was sent", bytes + at as u64);
            return Err(Error::new(ErrorKind::Malformed, operation, reason));
        }
        bytes += length as u64;
    }
    Ok(Throughput { bytes, seconds: start.elapsed().as_secs_f64() })
}

/// Kills the driver's process a few times while bytes go to the host's echo service and back over one connection. `process` tells which serves now.
///
/// # Errors
/// The connection failed, or the driver did not come back. Malformed: other bytes came back than were sent.
pub(crate) fn survive(host: Ipv4Addr, process: impl Fn() -> u32) -> Result<Survival> {
    let operation = format!("send to {host} and back");
    let io = |error| Error::os(operation.clone(), error);
    let mut stream = connect(host, ECHO).map_err(io)?;
    stream.set_nodelay(true).map_err(io)?;
    let mut survival = Survival { killed: 0, bytes: 0, longest: Duration::ZERO };
    let mut echo = |survival: &mut Survival| {
        let start = Instant::now();
        let block: [u8; 1024] = std::array::from_fn(|at| (survival.bytes as usize / 1024 + at) as u8);
        let mut back = [0; 1024];
        stream.write_all(&block).and_then(|()| stream.read_exact(&mut back)).map_err(io)?;
        if back != block {
            return Err(Error::new(ErrorKind::Malformed, operation.clone(), "other bytes came back"));
        }
        survival.bytes += 1024;
        survival.longest = survival.longest.max(start.elapsed());
        Ok(())
    };
    for _ in 0..KILLS {
        let victim = process();
        let pid = i32::try_from(victim).ok().and_then(Pid::from_raw);
        // One that has just ended by itself is as good.
        let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
        survival.killed += 1;
        let start = Instant::now();
        while process() == victim || start.elapsed() < BETWEEN_KILLS {
            if start.elapsed() > PATIENCE {
                return Err(Error::new(ErrorKind::TimedOut, operation, "the driver does not come back"));
            }
            echo(&mut survival)?;
        }
    }
    Ok(survival)
}

fn connect(host: Ipv4Addr, port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&(host, port).into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_answer_ends_a_ping() {
        let data = [7; 56];
        let reply = Icmpv4Repr::EchoReply { ident: 1, seq_no: 2, data: &data };
        let mut icmp = vec![0; reply.buffer_len()];
        reply.emit(&mut Icmpv4Packet::new_unchecked(&mut icmp), &ChecksumCapabilities::default());
        let mut packet =
            vec![0x45, 0, 0, (20 + icmp.len()) as u8, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend(icmp);
        assert!(is_answer(&packet, 1, 2, &data));
        assert!(!is_answer(&packet, 1, 3, &data));
        assert!(!is_answer(&packet, 1, 2, &[8; 56]));
        for length in 0..packet.len() {
            assert!(!is_answer(&packet[..length], 1, 2, &data));
        }
    }
}
