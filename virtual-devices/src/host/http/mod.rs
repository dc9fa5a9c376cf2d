//! An HTTP/1.1 server with a page about the device in front of the host. What it knows of the device it is told.
//!
//! Every connection has a socket, a bounded exchange and a time limit of its own, so that a slow peer keeps nobody else waiting. When
//! all sockets are taken, whoever has kept one idle for longest loses it.

mod exchange;
mod page;
mod request;
mod status;

use std::time::{Duration, Instant};

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};

pub use exchange::{Content, Exchange};
pub use request::{LONGEST_HEAD, Resource};
pub(super) use status::{AboutHost, Status};

/// The server's TCP port.
pub const HTTP: u16 = 80;

/// Connections at a time: a browser opens six to one host.
const CONNECTIONS: usize = 12;
/// Bytes of a connection's buffer towards the peer.
const SEND_BUFFER: usize = 16 * 1024;
/// How long an idle connection is kept for somebody else.
const CROWDED: Duration = Duration::from_secs(1);

/// What a connection is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It waits for a peer.
    Listening,
    /// It is being opened, or waits for a request.
    Idle,
    /// A request has begun.
    Head,
    /// An answer is due.
    Content,
    /// An answer is being sent.
    Answer,
    /// The last answer is sent.
    Closing,
}

impl Phase {
    /// How long it may take, from its beginning.
    const fn limit(self) -> Option<Duration> {
        match self {
            Self::Listening => None,
            Self::Idle => Some(Duration::from_secs(30)),
            Self::Head => Some(Duration::from_secs(10)),
            Self::Content => Some(Duration::from_secs(1)),
            Self::Answer => Some(Duration::from_secs(60)),
            Self::Closing => Some(Duration::from_secs(5)),
        }
    }
}

#[derive(Debug)]
struct Connection {
    socket: SocketHandle,
    exchange: Exchange,
    phase: Phase,
    since: Instant,
}

/// The server.
#[derive(Debug)]
pub(super) struct Http {
    connections: Vec<Connection>,
    /// Answers on connections that have ended.
    answers: u64,
}

impl Http {
    pub(super) fn new(sockets: &mut SocketSet<'static>, now: Instant) -> Self {
        let mut connection = || {
            let buffer = |length| SocketBuffer::new(vec![0; length]);
            let mut socket = Socket::new(buffer(LONGEST_HEAD), buffer(SEND_BUFFER));
            // The end of an answer must not wait for the peer's delayed acknowledgement.
            socket.set_nagle_enabled(false);
            let socket = sockets.add(socket);
            Connection { socket, exchange: Exchange::new(), phase: Phase::Listening, since: now }
        };
        Self { connections: (0..CONNECTIONS).map(|_| connection()).collect(), answers: 0 }
    }

    /// Somebody waits for what only the device can tell.
    pub(super) fn asks(&self) -> bool {
        self.connections.iter().any(|connection| connection.exchange.asks().is_some())
    }

    /// Answers in all.
    pub(super) fn answers(&self) -> u64 {
        self.answers + self.connections.iter().map(|connection| connection.exchange.answers()).sum::<u64>()
    }

    /// Moves what can be moved; `status` is there if the device told of itself. True: something was.
    pub(super) fn serve(
        &mut self,
        sockets: &mut SocketSet<'static>,
        status: Option<&Status>,
        now: Instant,
    ) -> bool {
        let mut moved = false;
        for connection in &mut self.connections {
            let socket = sockets.get_mut::<Socket<'static>>(connection.socket);
            if socket.state() == State::Closed {
                self.answers += connection.exchange.answers();
                connection.exchange = Exchange::new();
                (connection.phase, connection.since) = (Phase::Listening, now);
                // Only port 0 and an open socket are refused.
                moved |= socket.listen(HTTP).is_ok();
            } else {
                moved |= connection.serve(socket, status, now);
            }
        }
        moved | self.make_room(sockets, now)
    }

    fn is_crowded(&self) -> bool {
        self.connections.iter().all(|connection| connection.phase != Phase::Listening)
    }

    /// Sees that somebody else can be served.
    fn make_room(&mut self, sockets: &mut SocketSet<'static>, now: Instant) -> bool {
        if !self.is_crowded() {
            return false;
        }
        // A socket whose peer is through only waits for stray segments (RFC 9293, 3.6.1).
        for connection in &self.connections {
            let socket = sockets.get_mut::<Socket<'static>>(connection.socket);
            if socket.state() == State::TimeWait {
                socket.abort();
                return true;
            }
        }
        let Some(victim) = self.victim().filter(|victim| victim.since + CROWDED <= now) else { return false };
        sockets.get_mut::<Socket<'static>>(victim.socket).abort();
        true
    }

    /// Who has kept a socket idle for longest.
    fn victim(&self) -> Option<&Connection> {
        let idle = |connection: &&Connection| !matches!(connection.phase, Phase::Content | Phase::Answer);
        self.connections.iter().filter(idle).min_by_key(|connection| connection.since)
    }

    /// When a time limit is reached.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let limits = self.connections.iter().filter_map(Connection::limit);
        let crowded = self.victim().filter(|_| self.is_crowded()).map(|victim| victim.since + CROWDED);
        limits.chain(crowded).min()
    }
}

impl Connection {
    fn limit(&self) -> Option<Instant> {
        self.phase.limit().map(|limit| self.since + limit)
    }

    fn serve(&mut self, socket: &mut Socket<'static>, status: Option<&Status>, now: Instant) -> bool {
        let mut moved = self.receive(socket);
        if let (Some(resource), Some(status)) = (self.exchange.asks(), status) {
            self.exchange.answer(Some(content(resource, status)));
            moved = true;
        }
        moved |= self.send(socket);
        let peer_is_through = socket.state() == State::CloseWait && !socket.can_recv();
        let waits = self.exchange.asks().is_some() || !self.exchange.unsent().is_empty();
        if (self.exchange.is_over() || peer_is_through && !waits) && socket.may_send() {
            socket.close();
            moved = true;
        }
        self.enter(self.phase_of(socket), now);
        if self.limit().is_some_and(|limit| limit <= now) {
            if self.phase == Phase::Content {
                self.exchange.answer(None);
            } else {
                socket.abort();
            }
            moved = true;
        }
        moved
    }

    fn receive(&mut self, socket: &mut Socket<'static>) -> bool {
        let mut moved = false;
        while socket.can_recv() && self.exchange.room() > 0 {
            let take = |bytes: &mut [u8]| {
                let length = bytes.len().min(self.exchange.room());
                self.exchange.feed(&bytes[..length]);
                (length, ())
            };
            if socket.recv(take).is_err() {
                break;
            }
            moved = true;
        }
        moved
    }

    fn send(&mut self, socket: &mut Socket<'static>) -> bool {
        let mut moved = false;
        while socket.can_send() && !self.exchange.unsent().is_empty() {
            let Ok(length) = socket.send_slice(self.exchange.unsent()) else { break };
            self.exchange.advance(length);
            moved = true;
        }
        moved
    }

    fn phase_of(&self, socket: &Socket<'static>) -> Phase {
        if socket.state() == State::Listen {
            Phase::Listening
        } else if self.exchange.asks().is_some() {
            Phase::Content
        } else if !self.exchange.unsent().is_empty() || socket.send_queue() > 0 {
            Phase::Answer
        } else if !matches!(socket.state(), State::SynReceived | State::Established | State::CloseWait) {
            Phase::Closing
        } else if self.exchange.is_in_head() {
            Phase::Head
        } else {
            Phase::Idle
        }
    }

    /// A phase begins anew with every answer only if another one was between.
    fn enter(&mut self, phase: Phase, now: Instant) {
        if self.phase != phase {
            (self.phase, self.since) = (phase, now);
        }
    }
}

fn content(resource: Resource, status: &Status) -> Content {
    match resource {
        Resource::Page => Content { media_type: "text/html; charset=utf-8", bytes: page::page(status) },
        Resource::Status => Content { media_type: "application/json", bytes: status.json() },
    }
}
