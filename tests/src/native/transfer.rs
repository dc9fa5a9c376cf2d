//! What an application does: it moves bytes over TCP, to a discard service or from a source whose every byte is compared; and these services
//! for the far end that has none. It must not know what carries them.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use outboard_virtual_devices::host::{DISCARD, SOURCE, source_byte};
use serde::{Deserialize, Serialize};

use super::measure::cpu_seconds;

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes moved at a time.
const BLOCK: usize = 64 * 1024;
/// [`source_byte`] begins anew here.
const PERIOD: usize = 251;

/// Which way the data goes, seen from the machine with the USB port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Direction {
    /// Host to device.
    ToDevice,
    /// Device to host.
    FromDevice,
}

impl Direction {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ToDevice => "to-device",
            Self::FromDevice => "from-device",
        }
    }
}

/// What was moved.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Moved {
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    /// CPU time of the process that moved them, in seconds.
    pub(super) cpu: f64,
}

/// Moves bytes for about so many seconds, and prints [`Moved`] as JSON.
pub(super) fn print(direction: Direction, host: Ipv4Addr, seconds: u32) -> Result<()> {
    let duration = Duration::from_secs(seconds.into());
    let (bytes, took) = match direction {
        Direction::ToDevice => send(host, duration),
        Direction::FromDevice => receive(host, duration),
    }?;
    let moved = Moved { bytes, seconds: took.as_secs_f64(), cpu: cpu_seconds("self")? };
    println!("{}", serde_json::to_string(&moved)?);
    Ok(())
}

fn connect(host: Ipv4Addr, port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&(host, port).into(), PATIENCE)
        .with_context(|| format!("connect to {host}:{port}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn send(host: Ipv4Addr, duration: Duration) -> Result<(u64, Duration)> {
    let mut stream = connect(host, DISCARD)?;
    let block = [0x5a; BLOCK];
    let (start, mut bytes) = (Instant::now(), 0);
    while start.elapsed() < duration {
        bytes += stream.write(&block)? as u64;
    }
    // The other side closes when it has had all: what still lies in a queue is not through.
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new()).context("wait for the other side to have had all")?;
    Ok((bytes, start.elapsed()))
}

fn receive(host: Ipv4Addr, duration: Duration) -> Result<(u64, Duration)> {
    let mut stream = connect(host, SOURCE)?;
    let pattern = pattern();
    let mut block = [0; BLOCK];
    let (start, mut bytes) = (Instant::now(), 0);
    while start.elapsed() < duration {
        let length = stream.read(&mut block)?;
        if length == 0 {
            bail!("the other side closed its endless source after {bytes} bytes");
        }
        check(&pattern, bytes, &block[..length])?;
        bytes += length as u64;
    }
    Ok((bytes, start.elapsed()))
}

/// A block of the source from each offset of its period: a comparison costs next to nothing in it.
fn pattern() -> Vec<u8> {
    (0..(BLOCK + PERIOD) as u64).map(source_byte).collect()
}

fn check(pattern: &[u8], at: u64, got: &[u8]) -> Result<()> {
    let begin = (at % PERIOD as u64) as usize;
    let wanted = &pattern[begin..begin + got.len()];
    if got != wanted {
        let wrong = got.iter().zip(wanted).position(|(got, wanted)| got != wanted).unwrap_or(0);
        bail!("byte {} is not what was sent", at + wrong as u64);
    }
    Ok(())
}

/// Serves discard and source until it is ended; prints a line when it listens.
pub(super) fn serve(host: Ipv4Addr) -> Result<()> {
    let listen = |port| TcpListener::bind((host, port)).with_context(|| format!("listen at {host}:{port}"));
    let (discards, sources) = (listen(DISCARD)?, listen(SOURCE)?);
    println!("serving");
    thread::spawn(move || accept(&discards, discard));
    accept(&sources, source)
}

fn accept(listener: &TcpListener, serve: fn(TcpStream) -> io::Result<()>) -> Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        // A client that goes is the ordinary end.
        thread::spawn(move || serve(stream));
    }
}

fn discard(mut stream: TcpStream) -> io::Result<()> {
    let mut block = [0; BLOCK];
    while stream.read(&mut block)? > 0 {}
    Ok(())
}

fn source(mut stream: TcpStream) -> io::Result<()> {
    let pattern = pattern();
    let mut at = 0;
    loop {
        at = (at + stream.write(&pattern[at..at + BLOCK])?) % PERIOD;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_byte_is_found_with_its_offset() {
        let pattern = pattern();
        let mut sent: Vec<u8> = (1000..1000 + BLOCK as u64).map(source_byte).collect();
        check(&pattern, 1000, &sent).expect("it is the source's own");
        assert!(check(&pattern, 1001, &sent).is_err(), "a byte is missing");
        sent[77] ^= 1;
        assert_eq!(
            check(&pattern, 1000, &sent).expect_err("one bit is wrong").to_string(),
            "byte 1077 is not what was sent"
        );
    }
}
