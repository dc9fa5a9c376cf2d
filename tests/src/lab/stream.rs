//! A byte stream that can be checked wherever it arrives, and the conversation that carries it over TCP.
//!
//! xtask includes this very file for the host's end, so it must use only the standard library.
//!
//! A conversation is one line from the client, `put LENGTH SEED` or `take LENGTH SEED`, then `LENGTH` bytes in that direction; whoever
//! receives checks, and after a `put` the server answers `ok` or what is wrong, on one line. Datagrams are simply sent back.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// Bytes moved at a time.
const CHUNK: usize = 16 * 1024;

/// The bytes of one stream: xorshift64, so that a lost, repeated or moved packet is seen at once.
#[derive(Clone, Debug)]
pub struct Pattern {
    state: u64,
}

impl Pattern {
    /// The stream of a seed; different seeds give different streams.
    pub fn new(seed: u64) -> Self {
        // An odd constant keeps the state away from zero, which xorshift cannot leave.
        Self { state: (seed << 1) ^ 0x9e37_79b9_7f4a_7c15 }
    }

    /// Writes the next bytes of the stream.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            *byte = self.state as u8;
        }
    }

    /// Compares the next bytes of the stream; gives the offset of the first that differs.
    pub fn check(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut wanted = vec![0; bytes.len()];
        self.fill(&mut wanted);
        match bytes.iter().zip(&wanted).position(|(got, wanted)| got != wanted) {
            Some(offset) => Err(offset),
            None => Ok(()),
        }
    }
}

/// Sends a stream.
pub fn send(mut to: impl Write, length: u64, seed: u64) -> io::Result<()> {
    let mut pattern = Pattern::new(seed);
    let mut chunk = [0; CHUNK];
    let mut left = length;
    while left > 0 {
        let now = left.min(CHUNK as u64) as usize;
        pattern.fill(&mut chunk[..now]);
        to.write_all(&chunk[..now])?;
        left -= now as u64;
    }
    to.flush()
}

/// Receives a stream; a byte that differs is an error of kind `InvalidData` that names its offset.
pub fn receive(mut from: impl Read, length: u64, seed: u64) -> io::Result<()> {
    let mut pattern = Pattern::new(seed);
    let mut chunk = [0; CHUNK];
    let mut done = 0;
    while done < length {
        let most = (length - done).min(CHUNK as u64) as usize;
        let now = from.read(&mut chunk[..most])?;
        if now == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the stream ended after {done} of {length} bytes"),
            ));
        }
        if let Err(offset) = pattern.check(&chunk[..now]) {
            let offset = done + offset as u64;
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("byte {offset} of {length} is wrong"),
            ));
        }
        done += now as u64;
    }
    Ok(())
}

/// The client's side of `put`: sends, then hears whether it all arrived.
pub fn put(mut server: TcpStream, length: u64, seed: u64) -> io::Result<()> {
    writeln!(server, "put {length} {seed}")?;
    send(&mut server, length, seed)?;
    let mut answer = String::new();
    BufReader::new(server).read_line(&mut answer)?;
    match answer.trim() {
        "ok" => Ok(()),
        other => Err(io::Error::new(io::ErrorKind::InvalidData, format!("the server says {other:?}"))),
    }
}

/// The client's side of `take`: asks for a stream and checks it.
pub fn take(mut server: TcpStream, length: u64, seed: u64) -> io::Result<()> {
    writeln!(server, "take {length} {seed}")?;
    receive(server, length, seed)
}

/// The server's side of one conversation.
pub fn serve(mut client: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    reader.by_ref().take(100).read_line(&mut line)?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("{line:?} is no request"));
    let [verb, length, seed] = words[..] else { return Err(malformed()) };
    let length = length.parse().map_err(|_| malformed())?;
    let seed = seed.parse().map_err(|_| malformed())?;
    match verb {
        "put" => match receive(reader, length, seed) {
            Ok(()) => writeln!(client, "ok"),
            Err(error) => writeln!(client, "{error}"),
        },
        "take" => send(client, length, seed),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn with_server(test: impl FnOnce(TcpStream)) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let server = thread::spawn(move || serve(listener.accept().expect("the client").0));
        test(TcpStream::connect(address).expect("the server"));
        let _outcome = server.join().expect("the server does not panic");
    }

    #[test]
    fn both_ways_arrive() {
        with_server(|server| put(server, 100_001, 7).expect("arrives"));
        with_server(|server| take(server, 100_001, 7).expect("arrives"));
    }

    #[test]
    fn a_wrong_byte_is_found_with_its_offset() {
        let mut bytes = Vec::new();
        send(&mut bytes, 40_000, 3).expect("a vector takes all");
        bytes[33_333] ^= 1;
        let error = receive(&bytes[..], 40_000, 3).expect_err("one bit is wrong");
        assert_eq!(error.to_string(), "byte 33333 of 40000 is wrong");
    }

    #[test]
    fn a_missing_packet_is_found() {
        let mut bytes = Vec::new();
        send(&mut bytes, 10_000, 3).expect("a vector takes all");
        bytes.drain(1000..2000);
        assert!(receive(&bytes[..], 9_000, 3).is_err());
    }

    #[test]
    fn another_seed_is_another_stream() {
        let mut bytes = Vec::new();
        send(&mut bytes, 100, 3).expect("a vector takes all");
        assert!(receive(&bytes[..], 100, 4).is_err());
    }
}
