//! A conversation with one client: its calls in their order, and the replies to each. It must not know how many clients there are.

use std::io;
use std::rc::Rc;

use serde::Serialize;
use serde_json::json;
use tokio::net::UnixStream;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;

use super::frames::Frames;
use super::log::{Level, LogLine};
use super::message::{Call, Fault, MANAGER, Method, Reply, SERVICE, frame};
use super::peer::{Peer, Rights};
use super::{Answer, Control, Info, Refusal, Request};

/// The longest call, with its NUL.
pub(super) const LONGEST: usize = 64 * 1024;

/// One client.
pub(super) struct Session {
    connection: Connection,
    control: Rc<Control>,
    peer: Peer,
    rights: Rights,
}

/// Replies to one call.
#[derive(Clone, Copy)]
struct Wanted {
    /// None at all.
    none: bool,
    /// Any number.
    more: bool,
}

impl Session {
    pub(super) fn new(stream: UnixStream, control: Rc<Control>, peer: Peer, rights: Rights) -> Self {
        Self { connection: Connection { stream, frames: Frames::new(LONGEST) }, control, peer, rights }
    }

    /// Answers until the client leaves or says what makes no sense.
    pub(super) async fn run(mut self) {
        if let Err(error) = self.converse().await {
            tracing::debug!(user = self.peer.user, %error, "a client of the control socket was left");
        }
    }

    async fn converse(&mut self) -> io::Result<()> {
        while let Some(call) = self.connection.next().await? {
            let wanted =
                Wanted { none: call.oneway.unwrap_or_default(), more: call.more.unwrap_or_default() };
            let outcome = match Method::of(&call) {
                Ok(method) => self.answer(method, wanted).await?,
                Err(fault) => Err(fault),
            };
            if let Err(fault) = outcome {
                self.reply(&fault.reply(), wanted).await?;
            }
            // Whoever sends many calls at once does not keep the queue from its drivers.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// A fault is for the client; an error ends the conversation.
    async fn answer(&mut self, method: Method, wanted: Wanted) -> io::Result<Result<(), Fault>> {
        if self.rights < needed(&method) {
            return Ok(Err(Fault::NotAllowed));
        }
        match method {
            Method::ServiceInfo => {
                let interfaces = ["org.varlink.service", "io.outboard.Manager"];
                let info = json!({
                    "vendor": "Outboard",
                    "product": "Outboard",
                    "version": env!("CARGO_PKG_VERSION"),
                    "url": "",
                    "interfaces": interfaces,
                });
                self.reply(&Reply::with(info), wanted).await?;
            }
            Method::Describe { interface } => {
                let description = match interface.as_str() {
                    "org.varlink.service" => SERVICE,
                    "io.outboard.Manager" => MANAGER,
                    _ => return Ok(Err(Fault::InterfaceNotFound(interface))),
                };
                self.reply(&Reply::with(json!({ "description": description })), wanted).await?;
            }
            Method::Info => {
                let (version, pid) = (env!("CARGO_PKG_VERSION").to_owned(), std::process::id());
                let info = Info { version, pid, since: self.control.since };
                self.send(&WithParameters { parameters: &info, continues: None }, wanted).await?;
            }
            Method::Registry => {
                let picture = self.picture(None)?;
                self.write(&picture, wanted).await?;
            }
            Method::Watch => self.watch(wanted).await?,
            Method::Log { follow } => return self.log(follow, wanted).await,
            Method::Restart { device } => {
                let about = device.clone();
                let request = |answer| Request::Restart { device, answer };
                return self.request("restart", about, request, wanted).await;
            }
            Method::Return { device } => {
                let about = device.clone();
                let request = |answer| Request::Return { device, answer };
                return self.request("return", about, request, wanted).await;
            }
            Method::Give { rule } => {
                let about = rule.clone();
                return self.request("give", about, |answer| Request::Give { rule, answer }, wanted).await;
            }
        }
        Ok(Ok(()))
    }

    /// The picture of now, as a frame.
    fn picture(&self, continues: Option<bool>) -> io::Result<Vec<u8>> {
        let registry = self.control.registry.borrow();
        Ok(frame(&WithParameters { parameters: json!({ "registry": &*registry }), continues })?)
    }

    async fn watch(&mut self, wanted: Wanted) -> io::Result<()> {
        if !wanted.more {
            let picture = self.picture(None)?;
            return self.write(&picture, wanted).await;
        }
        // While one picture is written the others only replace each other, so that a slow reader costs no memory.
        let mut changes = self.control.registry.clone();
        loop {
            changes.mark_unchanged();
            let picture = self.picture(Some(true))?;
            self.write(&picture, wanted).await?;
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    // The manager ends; this is its last word.
                    let picture = self.picture(Some(false))?;
                    return self.write(&picture, wanted).await;
                },
                left = self.connection.left() => return left,
            }
        }
    }

    async fn log(&mut self, follow: bool, wanted: Wanted) -> io::Result<Result<(), Fault>> {
        if !wanted.more {
            return Ok(Err(Fault::ExpectedMore));
        }
        let (latest, mut next) = self.control.log.follow();
        for line in latest {
            self.line(Some(&line), wanted).await?;
        }
        if !follow {
            self.line(None, wanted).await?;
            return Ok(Ok(()));
        }
        loop {
            let line = tokio::select! {
                line = next.recv() => line,
                left = self.connection.left() => return left.map(Ok),
            };
            let line = match line {
                Ok(line) => line,
                Err(RecvError::Lagged(count)) => {
                    let message = format!("{count} lines were left out: the reader is too slow");
                    LogLine::now(Level::Warn, None, message)
                }
                // Not as long as there is a manager, whose log this is.
                Err(RecvError::Closed) => return Err(io::ErrorKind::ConnectionAborted.into()),
            };
            self.line(Some(&line), wanted).await?;
        }
    }

    async fn line(&mut self, line: Option<&LogLine>, wanted: Wanted) -> io::Result<()> {
        let reply = Reply::with(json!({ "line": line })).continued(line.is_some());
        self.reply(&reply, wanted).await
    }

    /// Hands a request to the manager, and its answer to the client.
    async fn request(
        &mut self,
        verb: &str,
        about: String,
        request: impl FnOnce(Answer) -> Request,
        wanted: Wanted,
    ) -> io::Result<Result<(), Fault>> {
        tracing::info!(device = %about, user = self.peer.user, process = self.peer.process, "somebody asks to {verb} it");
        let (answer, outcome) = oneshot::channel();
        // The channel is bounded: whoever asks waits for its turn.
        let sent = self.control.requests.send(request(answer)).await;
        let outcome = match sent {
            Ok(()) => outcome.await.ok(),
            Err(_) => None,
        };
        match outcome {
            Some(Ok(())) => self.reply(&Reply::with(json!({})), wanted).await.map(Ok),
            Some(Err(Refusal::NoSuchDevice)) => Ok(Err(Fault::NoSuchDevice(about))),
            Some(Err(Refusal::NotServed)) => Ok(Err(Fault::NotServed(about))),
            Some(Err(Refusal::Because(reason))) => Ok(Err(Fault::Refused(reason))),
            None => Ok(Err(Fault::Refused("the manager is ending".into()))),
        }
    }

    async fn reply(&mut self, reply: &Reply, wanted: Wanted) -> io::Result<()> {
        self.send(reply, wanted).await
    }

    async fn send(&mut self, message: &impl Serialize, wanted: Wanted) -> io::Result<()> {
        let bytes = frame(message)?;
        self.write(&bytes, wanted).await
    }

    async fn write(&mut self, bytes: &[u8], wanted: Wanted) -> io::Result<()> {
        if wanted.none {
            return Ok(());
        }
        self.connection.write(bytes).await
    }
}

/// A reply whose parameters need not become a tree first.
#[derive(Serialize)]
struct WithParameters<T> {
    parameters: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    continues: Option<bool>,
}

/// What a method needs.
fn needed(method: &Method) -> Rights {
    match method {
        Method::ServiceInfo | Method::Describe { .. } => Rights::Nothing,
        Method::Info | Method::Registry | Method::Watch | Method::Log { .. } => Rights::Look,
        Method::Restart { .. } | Method::Return { .. } | Method::Give { .. } => Rights::Change,
    }
}

/// The client's socket.
struct Connection {
    stream: UnixStream,
    frames: Frames,
}

impl Connection {
    /// The next call; `None`: the client left.
    async fn next(&mut self) -> io::Result<Option<Call>> {
        loop {
            if let Some(message) = self.frames.next() {
                return serde_json::from_slice(message).map(Some).map_err(io::Error::from);
            }
            if self.read().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Waits until the client leaves. Calls that it sends meanwhile wait for their turn, as far as there is room for them.
    async fn left(&mut self) -> io::Result<()> {
        while self.read().await? > 0 {}
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    async fn read(&mut self) -> io::Result<usize> {
        let space = self.frames.space().map_err(|error| io::Error::other(error.to_string()))?;
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(space) {
                Ok(count) => {
                    self.frames.came(count);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
