//! The server of the control socket: accepts clients, knows who they are, and bounds how many there are. It must not know what they say.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::Control;
use super::message::{Fault, frame};
use super::peer::{Peer, Rights, rights};
use super::session::Session;
use super::socket::{self, Bound};
use crate::exit::Failure;

/// How many clients there may be at a time.
pub(super) const CLIENTS: usize = 32;
/// How many of them may be ones that can only look, so that these cannot keep root out.
pub(super) const LOOKERS: usize = 24;

/// The rule that says what a peer may do, and whether the socket is open to others than its owner.
type Rule = Box<dyn Fn(&Peer, bool) -> Rights>;

/// The bound socket. It is removed with the value, or with the future that serves it.
pub(crate) struct Server {
    bound: Bound,
    rule: Rule,
}

/// How many clients there are.
#[derive(Debug, Default)]
struct Count {
    all: Cell<usize>,
    lookers: Cell<usize>,
}

/// One of those that are counted.
struct Counted {
    count: Rc<Count>,
    looks: bool,
}

impl Server {
    /// Makes the socket, and the directory that it is in. Busy if another manager has it.
    pub(crate) fn bind(path: &Path) -> Result<Self, Failure> {
        Ok(Self { bound: socket::make(path)?, rule: Box::new(rights) })
    }

    /// With another rule.
    #[cfg(test)]
    pub(super) fn with_rule(mut self, rule: impl Fn(&Peer, bool) -> Rights + 'static) -> Self {
        self.rule = Box::new(rule);
        self
    }

    /// Serves until it is dropped; on a queue, or in another `LocalSet`. It ends only if it cannot begin.
    pub(crate) async fn serve(self, control: Rc<Control>) -> io::Result<()> {
        let Self { bound: Bound { listener, place, shared }, rule } = self;
        let _removes_the_socket = place;
        let listener = UnixListener::from_std(listener)?;
        let count = Rc::new(Count::default());
        // They end with the set.
        let mut sessions = JoinSet::new();
        let mut failing = false;
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        failing = false;
                        let Some((peer, rights)) = known(&stream, |peer| rule(peer, shared)) else { continue };
                        match Counted::another(&count, rights < Rights::Change) {
                            Some(counted) => {
                                let session = Session::new(stream, Rc::clone(&control), peer, rights);
                                sessions.spawn_local(async move {
                                    session.run().await;
                                    drop(counted);
                                });
                            }
                            None => turn_away(&stream, &peer),
                        }
                    }
                    Err(error) => {
                        // No descriptors are left, most likely; clients that leave free some.
                        if !failing {
                            tracing::warn!(%error, "clients of the control socket cannot be accepted");
                        }
                        failing = true;
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(ended) = sessions.join_next() => if let Err(error) = ended {
                    tracing::error!(%error, "a conversation over the control socket ended by a bug");
                },
            }
        }
    }
}

fn known(stream: &UnixStream, rule: impl FnOnce(&Peer) -> Rights) -> Option<(Peer, Rights)> {
    match stream.peer_cred() {
        Ok(credentials) => {
            let peer = Peer { user: credentials.uid(), process: credentials.pid() };
            Some((peer, rule(&peer)))
        }
        Err(error) => {
            tracing::warn!(%error, "the kernel does not say who a client of the control socket is");
            None
        }
    }
}

/// Says why, as far as the socket takes it at once; it is new and empty.
fn turn_away(stream: &UnixStream, peer: &Peer) {
    // Not into the log that clients see: whoever may only look could fill it.
    tracing::debug!(user = peer.user, "too many clients of the control socket; one was turned away");
    let fault = Fault::Refused("too many clients; try again when some have left".into());
    if let Ok(bytes) = frame(&fault.reply()) {
        let _it_left = stream.try_write(&bytes);
    }
}

impl Counted {
    /// Counts another client, if there may be one.
    fn another(count: &Rc<Count>, looks: bool) -> Option<Self> {
        let Count { all, lookers } = &**count;
        if all.get() == CLIENTS || (looks && lookers.get() == LOOKERS) {
            return None;
        }
        all.set(all.get() + 1);
        lookers.set(lookers.get() + usize::from(looks));
        Some(Self { count: Rc::clone(count), looks })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Count { all, lookers } = &*self.count;
        all.set(all.get() - 1);
        lookers.set(lookers.get() - usize::from(self.looks));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_change_finds_room_beside_those_who_look() {
        let count = Rc::new(Count::default());
        let lookers: Vec<_> = std::iter::from_fn(|| Counted::another(&count, true)).collect();
        assert_eq!(lookers.len(), LOOKERS);
        let changers: Vec<_> = std::iter::from_fn(|| Counted::another(&count, false)).collect();
        assert_eq!(lookers.len() + changers.len(), CLIENTS);
        drop(lookers);
        assert_eq!((count.all.get(), count.lookers.get()), (changers.len(), 0));
        assert!(Counted::another(&count, true).is_some());
    }
}
