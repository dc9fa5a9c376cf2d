//! The host's TCP services: echo, discard and source. They know sockets and no frame.

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Duration;

/// The port of echo (RFC 862).
pub const ECHO: u16 = 7;
/// The port of discard (RFC 863).
pub const DISCARD: u16 = 9;
/// The port of the source, which RFC 864 has lines of text on.
pub const SOURCE: u16 = 19;

/// How long a peer may be silent before it is asked whether it is there, and before it is given up.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_secs(60);

/// The byte that the source sends at this offset of a connection: 0 to 250 again and again, a length that no packet size divides, so
/// that lost or interchanged segments show.
pub const fn source_byte(offset: u64) -> u8 {
    (offset % 251) as u8
}

/// What a service did since the host was switched on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServiceCounters {
    /// Connections that ended.
    pub connections: u64,
    /// Bytes from peers.
    pub received: u64,
    /// Bytes for peers.
    pub sent: u64,
}

/// One service with its sockets, each of which listens or has a connection.
#[derive(Debug)]
pub(super) struct Service {
    port: u16,
    connections: Vec<Connection>,
    counters: ServiceCounters,
}

#[derive(Debug)]
struct Connection {
    socket: SocketHandle,
    /// Bytes that the source sent on it.
    offset: u64,
    established: bool,
}

impl Service {
    pub(super) fn all(sockets: &mut SocketSet<'static>, connections: usize, buffer: usize) -> Vec<Self> {
        [ECHO, DISCARD, SOURCE]
            .map(|port| {
                let mut connection = || {
                    let memory = || SocketBuffer::new(vec![0; buffer.max(1)]);
                    let mut socket = Socket::new(memory(), memory());
                    // A peer that was unplugged says nothing any more, and would keep the socket for ever.
                    socket.set_keep_alive(Some(KEEP_ALIVE));
                    socket.set_timeout(Some(TIMEOUT));
                    let socket = sockets.add(socket);
                    Connection { socket, offset: 0, established: false }
                };
                let connections = (0..connections).map(|_| connection()).collect();
                Self { port, connections, counters: ServiceCounters::default() }
            })
            .into()
    }

    pub(super) fn name(&self) -> &'static str {
        match self.port {
            ECHO => "echo",
            DISCARD => "discard",
            _ => "source",
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn counters(&self) -> ServiceCounters {
        self.counters
    }

    /// Moves what can be moved. True: something was.
    pub(super) fn serve(&mut self, sockets: &mut SocketSet<'static>) -> bool {
        let mut moved = false;
        for connection in &mut self.connections {
            let socket = sockets.get_mut::<Socket<'static>>(connection.socket);
            if socket.state() == State::Closed {
                if std::mem::take(&mut connection.established) {
                    self.counters.connections += 1;
                }
                connection.offset = 0;
                // Only port 0 and an open socket are refused.
                moved |= socket.listen(self.port).is_ok();
                continue;
            }
            connection.established |= socket.is_active();
            let bytes = match self.port {
                ECHO => echo(socket, &mut self.counters),
                DISCARD => discard(socket, &mut self.counters),
                _ => {
                    discard(socket, &mut self.counters)
                        + source(socket, &mut connection.offset, &mut self.counters)
                }
            };
            // The peer has said all, and so have we.
            let done = socket.state() == State::CloseWait && (self.port != ECHO || socket.recv_queue() == 0);
            if done {
                socket.close();
            }
            moved |= bytes > 0 || done;
        }
        moved
    }
}

fn echo(socket: &mut Socket<'static>, counters: &mut ServiceCounters) -> usize {
    let mut moved = 0;
    while socket.can_recv() && socket.can_send() {
        let mut piece = [0; 2048];
        let room = piece.len().min(socket.send_capacity() - socket.send_queue());
        let Ok(length) = socket.recv_slice(&mut piece[..room]) else { break };
        let Ok(sent) = socket.send_slice(&piece[..length]) else { break };
        debug_assert_eq!(sent, length, "there was room");
        moved += length;
    }
    counters.received += moved as u64;
    counters.sent += moved as u64;
    moved
}

fn discard(socket: &mut Socket<'static>, counters: &mut ServiceCounters) -> usize {
    let mut moved = 0;
    while socket.can_recv() {
        let Ok(length) = socket.recv(|bytes| (bytes.len(), bytes.len())) else { break };
        moved += length;
    }
    counters.received += moved as u64;
    moved
}

fn source(socket: &mut Socket<'static>, offset: &mut u64, counters: &mut ServiceCounters) -> usize {
    let mut moved = 0;
    while socket.can_send() && socket.may_recv() {
        let fill = |space: &mut [u8]| {
            for (at, byte) in space.iter_mut().enumerate() {
                *byte = source_byte(*offset + at as u64);
            }
            (space.len(), space.len())
        };
        let Ok(length) = socket.send(fill) else { break };
        *offset += length as u64;
        moved += length;
    }
    counters.sent += moved as u64;
    moved
}
