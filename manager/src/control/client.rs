//! A client of the manager's control socket, for commands that have nothing else to wait for. It must not know what its answers look like.

use std::io::{self, Read, Write};
use std::iter;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outboard_core::registry::Registry;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::frames::Frames;
use super::log::LogLine;
use super::message::{Call, Fault, Reply, frame};
use super::place;
use crate::exit::{Cause, Failure};

/// The longest reply. The picture grows with the devices, and no machine has so many; a stranger at the other end may say anything.
const LONGEST: usize = 16 * 1024 * 1024;
/// How long the manager may take for an answer: a driver that is restarted may stop slowly.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the manager's socket is.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Socket {
    /// The manager's control socket; OUTBOARD_SOCKET says it too.
    #[arg(long = "socket", hide = true, value_name = "PATH")]
    path: Option<PathBuf>,
}

impl Socket {
    /// The place.
    pub(crate) fn path(&self) -> PathBuf {
        place(self.path.as_ref())
    }

    /// Connects to the manager that is there.
    pub(crate) fn connect(&self) -> Result<Client, Failure> {
        Client::connect(&self.path())
    }
}

/// A connection to the manager.
#[derive(Debug)]
pub(crate) struct Client {
    stream: UnixStream,
    frames: Frames,
}

impl Client {
    /// Connects to the manager whose socket this is.
    pub(crate) fn connect(path: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path).map_err(|error| unreachable(path, &error))?;
        Ok(Self { stream, frames: Frames::new(LONGEST) })
    }

    /// The picture now.
    pub(crate) fn registry(&mut self) -> Result<Registry, Failure> {
        self.call("GetRegistry", json!({})).map(|Pictured { registry }| registry)
    }

    /// The picture now, and the newest after each change, until the manager ends.
    pub(crate) fn watch(self) -> Result<impl Iterator<Item = Result<Registry, Failure>>, Failure> {
        let replies = self.stream("Watch", json!({}))?;
        Ok(replies.map(|reply| reply.map(|Pictured { registry }| registry)))
    }

    /// The latest lines of the log, the oldest first; then, if asked to follow, each further one until the manager ends.
    pub(crate) fn log(self, follow: bool) -> Result<impl Iterator<Item = Result<LogLine, Failure>>, Failure> {
        #[derive(Deserialize)]
        struct Logged {
            line: Option<LogLine>,
        }
        let replies = self.stream("Log", json!({ "follow": follow }))?;
        Ok(replies.filter_map(|reply| reply.map(|Logged { line }| line).transpose()))
    }

    /// Ends the driver of a device and starts it anew.
    pub(crate) fn restart(&mut self, device: &str) -> Result<(), Failure> {
        self.call("Restart", json!({ "device": device })).map(|Nothing {}| ())
    }

    /// Calls a method of the manager that has one reply.
    pub(crate) fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        parameters: Value,
    ) -> Result<T, Failure> {
        self.stream.set_read_timeout(Some(PATIENCE)).map_err(|error| lost(&error))?;
        self.send(method, parameters, false)?;
        self.receive().map(|(parameters, _)| parameters)
    }

    /// Calls a method that has more. An error is the last.
    fn stream<T: DeserializeOwned>(
        mut self,
        method: &str,
        parameters: Value,
    ) -> Result<impl Iterator<Item = Result<T, Failure>>, Failure> {
        // The next change may be far.
        self.stream.set_read_timeout(None).map_err(|error| lost(&error))?;
        self.send(method, parameters, true)?;
        let mut goes_on = true;
        Ok(iter::from_fn(move || {
            if !goes_on {
                return None;
            }
            let received = self.receive();
            goes_on = matches!(&received, Ok((_, true)));
            Some(received.map(|(parameters, _)| parameters))
        }))
    }

    fn send(&mut self, method: &str, parameters: Value, more: bool) -> Result<(), Failure> {
        let method = format!("io.outboard.Manager.{method}");
        let call = Call { method, parameters: Some(parameters), more: Some(more), oneway: None };
        let bytes = frame(&call).map_err(|error| lost(&error.into()))?;
        match self.stream.write_all(&bytes) {
            // One that turns us away has said why before it hung up.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|error| lost(&error)),
        }
    }

    /// The parameters of the next reply, and whether another follows.
    fn receive<T: DeserializeOwned>(&mut self) -> Result<(T, bool), Failure> {
        loop {
            if let Some(message) = self.frames.next() {
                let reply: Reply = serde_json::from_slice(message).map_err(|error| strange(&error))?;
                if let Some(name) = reply.error {
                    return Err(Fault::of(&name, reply.parameters.as_ref()).into());
                }
                let parameters = reply.parameters.unwrap_or_else(|| json!({}));
                let parameters = T::deserialize(parameters).map_err(|error| strange(&error))?;
                return Ok((parameters, reply.continues.unwrap_or_default()));
            }
            let space = self.frames.space().map_err(|error| strange(&error))?;
            match self.stream.read(space) {
                Ok(0) => return Err(lost(&io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => self.frames.came(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(lost(&error)),
            }
        }
    }
}

#[derive(Deserialize)]
struct Pictured {
    registry: Registry,
}

#[derive(Deserialize)]
struct Nothing {}

fn unreachable(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            Failure::new(Cause::NoManager, "no manager is running; `outboard run` starts one")
        }
        io::ErrorKind::PermissionDenied => Failure::new(
            Cause::Right,
            format!("you may not open the manager's control socket {}", path.display()),
        )
        .with_hint("Members of the group outboard may look, and root may change: try it with sudo."),
        _ => {
            let text = format!("the manager's control socket {} cannot be opened: {error}", path.display());
            Failure::new(Cause::Other, text)
        }
    }
}

fn lost(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            Failure::new(Cause::NoManager, "the manager has ended")
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            let text = format!("the manager did not answer for {} seconds", PATIENCE.as_secs());
            Failure::new(Cause::Other, text).with_hint("`outboard log` may tell what holds it up.")
        }
        _ => Failure::new(Cause::Other, format!("the connection to the manager was lost: {error}")),
    }
}

fn strange(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Cause::Other, format!("the manager's answer makes no sense: {error}"))
        .with_hint("Is it another version than this command? `outboard --version` tells this one's.")
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NoSuchDevice(device) => {
                Self::new(Cause::NoSuchDevice, format!("the manager knows no device {device:?}"))
                    .with_hint("`outboard tree` shows those that it knows.")
            }
            Fault::NotServed(device) => {
                Self::new(Cause::NoDriver, format!("no driver of Outboard has the device {device:?}"))
                    .with_hint("`outboard tree` shows who has it, and `outboard why` why.")
            }
            Fault::Refused(reason) => Self::new(Cause::Other, format!("the manager refuses: {reason}")),
            Fault::NotAllowed => Self::new(Cause::Right, "you may not do that")
                .with_hint("Members of the group outboard may look; root may change: try it with sudo."),
            other => {
                let text = format!("the manager does not know what it was asked: {other:?}");
                Self::new(Cause::Other, text).with_hint("Is it another version than this command?")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A client of a manager that says these bytes and no more.
    fn client_of(bytes: &[u8]) -> Client {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        // They fit into the socket.
        theirs.write_all(bytes).unwrap();
        // Closed before the call: what it said is still there, as from one that turns us away.
        drop(theirs);
        Client { stream: ours, frames: Frames::new(LONGEST) }
    }

    proptest! {
        #[test]
        fn whatever_a_manager_says_is_an_answer_or_a_failure(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..2000),
                "(\\{\"(parameters|error|continues)\":(\\{\\}|\"x\"|true|null|\\{\"registry\":\\{\"devices\":\\[\\]\\}\\})(,\"continues\":true)?\\}\0?){0,9}"
                    .prop_map(String::into_bytes),
            ],
        ) {
            let _ = client_of(&bytes).registry();
            let pictures: Vec<_> = client_of(&bytes).watch().unwrap().collect();
            // An error is the last.
            prop_assert!(pictures.iter().rev().skip(1).all(Result::is_ok));
            let _lines = client_of(&bytes).log(true).unwrap().count();
        }
    }

    #[test]
    fn one_that_ends_in_the_midst_is_a_manager_that_ended() {
        let failure = client_of(br#"{"parameters":{"regis"#).registry().unwrap_err();
        assert_eq!((failure.code(), failure.to_string()), (12, "the manager has ended".into()));
        let failure = client_of(b"HTTP/1.1 400 Bad Request\0").registry().unwrap_err();
        assert_eq!(failure.code(), 1);
    }
}
