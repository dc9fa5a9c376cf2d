//! The manager's control socket: what others see of it and ask it for, by Varlink (<https://varlink.org>), and the client of it. The interface is
//! defined in `io.outboard.Manager.varlink`. It must not know how devices are driven, nor how a picture looks on a terminal.
//!
//! The protocol is ours and not zlink's, the Varlink crate: see its entry in the workspace's Cargo.toml.

mod client;
#[cfg(test)]
mod conformance;
mod frames;
pub(crate) mod log;
mod message;
mod peer;
#[cfg(test)]
pub(crate) mod sample;
mod server;
mod session;
mod socket;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::SystemTime;

use outboard_core::registry::Registry;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

#[allow(unused_imports, reason = "commands get theirs from Socket; tests make it themselves")]
pub(crate) use client::Client;
pub(crate) use client::Socket;
pub(crate) use server::Server;

/// Where the socket is if nobody says otherwise.
pub(crate) const SOCKET: &str = "/run/outboard/control";

/// Whose members may look.
const GROUP: &str = "outboard";

/// What the manager shows, and where it hears what it is asked for.
#[derive(Debug)]
pub(crate) struct Control {
    /// The picture. Whoever changes it sends it here; clients see the newest.
    pub(crate) registry: watch::Receiver<Registry>,
    /// The manager's log.
    pub(crate) log: log::Log,
    /// Where requests go.
    pub(crate) requests: mpsc::Sender<Request>,
    /// When the manager was started.
    pub(crate) since: SystemTime,
}

/// What the manager is asked to do, by somebody who may. An answer that is dropped is one: the manager ends.
#[derive(Debug)]
pub(crate) enum Request {
    /// End the device's driver and start it anew, also after quarantine.
    Restart { device: String, answer: Answer },
    /// Give the device back to the kernel's drivers.
    Return { device: String, answer: Answer },
    /// Take the devices that the rule names.
    Give { rule: String, answer: Answer },
}

/// Where the outcome of a request goes.
pub(crate) type Answer = oneshot::Sender<Result<(), Refusal>>;

/// Why a request is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such device.
    NoSuchDevice,
    /// No driver of ours has it.
    NotServed,
    /// Another reason, for people.
    Because(String),
}

/// The manager about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Info {
    /// Its version.
    pub(crate) version: String,
    /// Its process.
    pub(crate) pid: u32,
    /// When it was started.
    pub(crate) since: SystemTime,
}

/// The socket's place: what the command line says, else OUTBOARD_SOCKET, else the usual one.
fn place(named: Option<&PathBuf>) -> PathBuf {
    let from_environment = || std::env::var_os("OUTBOARD_SOCKET").filter(|path| !path.is_empty());
    named.cloned().or_else(|| from_environment().map(PathBuf::from)).unwrap_or_else(|| SOCKET.into())
}
