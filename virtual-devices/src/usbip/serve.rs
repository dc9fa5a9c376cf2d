//! Sessions on sockets: reads, writes and timers on the calling thread's queue. It must not know the protocol.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use outboard_core::queue;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Sleep;

use super::{Exports, News, PeerError, Session};

/// Connections at a time; more wait in the system's queue. Each costs little before it has a device.
const MOST_CONNECTIONS: usize = 256;
/// A peer whose machine went away is noticed after about a minute: it has the device until then.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);
/// Before another connection is accepted where the system had no room for one.
const RETRY: Duration = Duration::from_millis(100);

/// Why a connection ended other than by its client's wish.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The peer did something wrong.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
}

/// What happened on a connection.
#[derive(Debug)]
pub enum Event {
    /// It said what it wants.
    News(News),
    /// It ended. Has the bus id of the device that it had, and why if not by the client's wish.
    Ended(Option<String>, Result<(), Ended>),
}

/// Serves one connection until it ends: a socket to another machine, or one end of a socketpair. `tell` hears what it turns out to be.
/// Dropping the future is pulling the plug: the device is free at once. Must run on a queue.
///
/// # Errors
/// The peer did something wrong, or the connection broke.
pub async fn serve_stream<S>(stream: S, exports: &Exports, tell: impl FnMut(News)) -> Result<(), Ended>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let session = Session::new(exports.clone(), queue::now());
    let mut connection = Connection { stream, session, timer: None, tell };
    poll_fn(|context| connection.poll(context)).await
}

/// Serves everyone who connects, for as long as the future lives. `tell` hears what happens, and to whom. Must run on a queue.
///
/// # Errors
/// The listener failed for good.
pub async fn serve_listener(
    listener: TcpListener,
    exports: &Exports,
    tell: impl Fn(SocketAddr, Event) + 'static,
) -> io::Result<()> {
    let tell = Rc::new(tell);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended
                    && error.is_panic()
                {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, from)) => {
                    let (exports, tell) = (exports.clone(), tell.clone());
                    connections.spawn_local(async move { serve_client(stream, from, &exports, &*tell).await });
                }
                Err(error) if is_passing(&error) => tokio::time::sleep(RETRY).await,
                Err(error) => return Err(error),
            },
        }
    }
}

async fn serve_client(
    stream: TcpStream,
    from: SocketAddr,
    exports: &Exports,
    tell: &impl Fn(SocketAddr, Event),
) {
    let mut had = None;
    let prepared = prepare(&stream);
    let ended = match prepared {
        Ok(()) => {
            let news = |news| {
                if let News::Imported(bus_id) = &news {
                    had = Some(bus_id.clone());
                }
                tell(from, Event::News(news));
            };
            serve_stream(stream, exports, news).await
        }
        Err(error) => Err(error.into()),
    };
    tell(from, Event::Ended(had, ended));
}

/// Answers leave at once, and a peer that has gone without a word is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    let (idle, interval, count) = KEEPALIVE;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, idle)?;
    sockopt::set_tcp_keepintvl(stream, interval)?;
    sockopt::set_tcp_keepcnt(stream, count)?;
    Ok(())
}

/// Errors of accept(2) that concern one connection, or pass.
fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let passing = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::PERM,
        Errno::PROTO,
    ];
    Errno::from_io_error(error).is_some_and(|error| passing.contains(&error))
}

struct Connection<S, F> {
    stream: S,
    session: Session,
    timer: Option<Pin<Box<Sleep>>>,
    tell: F,
}

impl<S: AsyncRead + AsyncWrite + Unpin, F: FnMut(News)> Connection<S, F> {
    /// Reads once, serves all that came, writes all answers at once, and again until there is nothing to read.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        loop {
            let read = match self.read(context) {
                Poll::Ready(count) => Some(count?),
                Poll::Pending => None,
            };
            let now = queue::now();
            if read == Some(0) {
                return Poll::Ready(self.session.closed(now).map_err(Ended::from));
            }
            let wake = self.session.turn(now)?;
            if let Some(news) = self.session.take_news() {
                (self.tell)(news);
            }
            let held = self.session.is_held();
            self.write(context)?;
            if self.session.is_over() {
                if self.session.output().is_empty() {
                    return Pin::new(&mut self.stream).poll_shutdown(context).map_err(Ended::from);
                }
                return Poll::Pending;
            }
            // What was held up by unread answers goes on once there is room.
            if read.is_some() || held && !self.session.is_held() {
                continue;
            }
            if !self.sleep_until(wake, now, context) {
                return Poll::Pending;
            }
        }
    }

    /// How many bytes came; 0 at the end. Pending also while nothing is to be read.
    fn read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let space = self.session.space();
        if space.is_empty() {
            return Poll::Pending;
        }
        let mut buffer = ReadBuf::new(space);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        let count = buffer.filled().len();
        self.session.received(count);
        Poll::Ready(Ok(count))
    }

    /// Writes what is due and the socket takes.
    fn write(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while !self.session.output().is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, self.session.output()) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => self.session.sent(count),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Whether the time has come already.
    fn sleep_until(
        &mut self,
        wake: Option<std::time::Instant>,
        now: std::time::Instant,
        context: &mut Context<'_>,
    ) -> bool {
        let Some(wake) = wake else {
            self.timer = None;
            return false;
        };
        if wake <= now {
            // The device has more to do; others on the queue come first.
            context.waker().wake_by_ref();
            return false;
        }
        let wake = tokio::time::Instant::from_std(wake);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(wake)));
        if timer.deadline() != wake {
            timer.as_mut().reset(wake);
        }
        timer.as_mut().poll(context).is_ready()
    }
}
