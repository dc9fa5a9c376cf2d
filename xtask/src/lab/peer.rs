//! The far end of QEMU's user network: a TCP server that sends and checks streams, and a UDP server that sends datagrams back.
//!
//! The guest reaches it as 10.0.2.2; here it listens on the loopback only.

use std::net::{TcpListener, UdpSocket};
use std::thread;

use anyhow::{Context, Result};

use crate::stream;

/// The servers; their threads live as long as xtask.
#[derive(Debug)]
pub(crate) struct Peer {
    port: u16,
}

impl Peer {
    /// Starts both on one free port.
    pub(crate) fn start() -> Result<Self> {
        // The port that is free for TCP may be taken for UDP; another try gets another port.
        let (listener, socket) = (0..20)
            .find_map(|_| {
                let listener = TcpListener::bind("127.0.0.1:0").ok()?;
                let socket = UdpSocket::bind(listener.local_addr().ok()?).ok()?;
                Some((listener, socket))
            })
            .context("no free port on the loopback")?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that vanishes is what an unplugged dongle looks like from here; the guest judges.
                thread::spawn(move || stream::serve(client));
            }
        });
        thread::spawn(move || {
            let mut datagram = [0; 65536];
            while let Ok((length, from)) = socket.recv_from(&mut datagram) {
                let _gone = socket.send_to(&datagram[..length], from);
            }
        });
        Ok(Self { port })
    }

    /// The port of both.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}
