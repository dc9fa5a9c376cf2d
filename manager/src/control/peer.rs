//! Who is at the other end of a connection, and what they may do. It must not know what they ask for.

use rustix::process::{Uid, geteuid};

/// Whom the kernel vouches for: it wrote them down when the connection was made, and the peer cannot change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The user.
    pub(crate) user: u32,
    /// The process, if it is in a namespace that we see.
    pub(crate) process: Option<i32>,
}

/// What a peer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rights {
    /// Nothing but ask what this is.
    Nothing,
    /// See the picture and the log.
    Look,
    /// That, and restart, give and return devices.
    Change,
}

/// The rule: root and the manager's own user change; whoever else could open the socket looks, if it was opened to a group at all. A descriptor of
/// a connection can be handed on, and a capability opens any file, so that a socket that is not shared is no proof by itself.
pub(crate) fn rights(peer: &Peer, shared: bool) -> Rights {
    if peer.user == Uid::ROOT.as_raw() || peer.user == geteuid().as_raw() {
        Rights::Change
    } else if shared {
        Rights::Look
    } else {
        Rights::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_we_change_others_look_if_it_is_shared() {
        let peer = |user| Peer { user, process: None };
        let we = geteuid().as_raw();
        for shared in [true, false] {
            assert_eq!(rights(&peer(0), shared), Rights::Change);
            assert_eq!(rights(&peer(we), shared), Rights::Change);
        }
        assert_eq!(rights(&peer(we + 12_345), true), Rights::Look);
        assert_eq!(rights(&peer(we + 12_345), false), Rights::Nothing);
    }
}
