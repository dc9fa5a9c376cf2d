//! What the host wants of one network interface, and the news that it may want something else. It only looks; it
//! knows nothing of frames or of TUN.
//!
//! One route netlink socket (rtnetlink(7)) is a doorbell: any message on it means "ask again", and none is read for
//! its content, so a lost one does no harm. Another one asks for the interface as it is. That, not SIOCGIFFLAGS,
//! because only there a capture or a bridge shows (IFLA_PROMISCUITY). The multicast list is in /proc/net/dev_mcast,
//! whose descriptor keeps the network namespace that it was opened in, as the sockets do: all of them work in a
//! process that was moved to another namespace or may open nothing any more.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::super::HostWish;
use crate::{Error, ErrorKind, MacAddr, Result};

// linux/rtnetlink.h, linux/netlink.h, linux/if_link.h, linux/if.h.
const RTMGRP_LINK: u32 = 1;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_PROMISCUITY: u16 = 30;
const IFLA_ALLMULTI: u16 = 61;
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
const IFF_UP: u32 = 0x1;
const IFF_PROMISC: u32 = 0x100;
const IFF_ALLMULTI: u32 = 0x200;

const NLMSG_HEADER: usize = 16;
const IFINFOMSG: usize = 16;

/// Messages that one look takes off the doorbell at most; a flood of them only means asking once more.
const DRAIN: usize = 64;

/// Longest /proc/net/dev_mcast that is read: some 10,000 groups.
const MAX_MULTICAST_TEXT: usize = 1 << 20;

/// Watches one interface.
#[derive(Debug)]
pub(super) struct Link {
    index: u32,
    doorbell: OwnedFd,
    question: OwnedFd,
    multicast: OwnedFd,
}

/// What the kernel says of an interface.
#[derive(Debug, Default, PartialEq, Eq)]
struct Description {
    name: String,
    wish: HostWish,
}

impl Link {
    /// Watches the interface of this name in the network namespace of the calling thread.
    pub(super) fn open(name: &str) -> Result<Self> {
        let failed = |error: Errno| Error::os(format!("watch {name}"), error.into());
        let doorbell = socket(RTMGRP_LINK).map_err(failed)?;
        let question = socket(0).map_err(failed)?;
        let multicast = rustix::fs::open(
            "/proc/thread-self/net/dev_mcast",
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|error| Error::os("open /proc/thread-self/net/dev_mcast", error.into()))?;
        Self::from_fds(name, [doorbell, question, multicast])
    }

    /// Goes on with what [`into_fds`](Self::into_fds) gave, perhaps in another process.
    pub(super) fn from_fds(name: &str, [doorbell, question, multicast]: [OwnedFd; 3]) -> Result<Self> {
        let index = rustix::net::netdevice::name_to_index(&question, name).map_err(|error| {
            gone(name, error).unwrap_or_else(|| Error::os(format!("look up {name}"), error.into()))
        })?;
        Ok(Self { index, doorbell, question, multicast })
    }

    pub(super) fn into_fds(self) -> [OwnedFd; 3] {
        [self.doorbell, self.question, self.multicast]
    }

    pub(super) fn try_clone_fds(&self) -> Result<[OwnedFd; 3], Errno> {
        let clone = |fd: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 0);
        Ok([clone(&self.doorbell)?, clone(&self.question)?, clone(&self.multicast)?])
    }

    /// A socket in the interface's network namespace, for ioctls.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.question.as_fd()
    }

    /// What becomes readable when something may have changed.
    pub(super) fn doorbell(&self) -> BorrowedFd<'_> {
        self.doorbell.as_fd()
    }

    /// What the host wants, and the interface's present name. `name` is for errors.
    pub(super) fn wish(&self, name: &str) -> Result<(String, HostWish)> {
        let mut message = [0; 4096];
        // First, so that what happens from now on rings again.
        for _ in 0..DRAIN {
            match rustix::io::read(&self.doorbell, &mut message) {
                // Overflown: news were lost, which this asking makes up for.
                Ok(_) | Err(Errno::NOBUFS | Errno::INTR) => {}
                Err(_) => break,
            }
        }
        let Description { name, mut wish } = self.describe(name)?;
        let text =
            self.read_multicast().map_err(|error| Error::os("read /proc/net/dev_mcast", error.into()))?;
        wish.multicast = parse_multicast(&text, self.index);
        Ok((name, wish))
    }

    fn describe(&self, name: &str) -> Result<Description> {
        let failed = |error: Errno| {
            gone(name, error)
                .unwrap_or_else(|| Error::os(format!("ask for the state of {name}"), error.into()))
        };
        // What an earlier, failed call may have left behind.
        let mut answer = vec![0; 32 << 10];
        while rustix::io::read(&self.question, &mut answer).is_ok() {}
        rustix::io::write(&self.question, &question(self.index)).map_err(failed)?;
        let len = rustix::io::retry_on_intr(|| rustix::io::read(&self.question, &mut answer[..]))
            .map_err(failed)?;
        match parse_link(&answer[..len]) {
            Some(Ok(description)) => Ok(description),
            Some(Err(error)) => Err(failed(error)),
            None => Err(Error::new(
                ErrorKind::Malformed,
                format!("ask for the state of {name}"),
                "the kernel's answer is not a link message",
            )),
        }
    }

    fn read_multicast(&self) -> Result<String, Errno> {
        let mut text = Vec::new();
        let mut chunk = [0; 4096];
        while text.len() < MAX_MULTICAST_TEXT {
            match rustix::io::pread(&self.multicast, &mut chunk, text.len() as u64) {
                Ok(0) => break,
                Ok(len) => text.extend_from_slice(&chunk[..len]),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The error for an interface that is no more, if `error` says that.
pub(super) fn gone(name: &str, error: Errno) -> Option<Error> {
    matches!(error, Errno::BADFD | Errno::NODEV | Errno::NXIO).then(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("use the network interface {name}"),
            "somebody has deleted it",
        )
    })
}

fn socket(groups: u32) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // No protocol is NETLINK_ROUTE, which is 0.
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// RTM_GETLINK for one interface, without its statistics.
fn question(index: u32) -> Vec<u8> {
    let mut message = Vec::with_capacity(40);
    message.extend(40_u32.to_ne_bytes());
    message.extend(RTM_GETLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0; 4]);
    message.extend(index.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(8_u16.to_ne_bytes());
    message.extend(IFLA_EXT_MASK.to_ne_bytes());
    message.extend(RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    message
}

/// Reads one answer: `None` when it is no link message.
fn parse_link(message: &[u8]) -> Option<Result<Description, Errno>> {
    let word = |at: usize| Some(u32::from_ne_bytes(*message.get(at..)?.first_chunk()?));
    let half = |at: usize| Some(u16::from_ne_bytes(*message.get(at..)?.first_chunk()?));
    let end = (word(0)? as usize).min(message.len());
    match half(4)? {
        RTM_NEWLINK => {}
        NLMSG_ERROR => {
            return Some(Err(Errno::from_raw_os_error(word(NLMSG_HEADER)?.cast_signed().checked_neg()?)));
        }
        _ => return None,
    }
    let flags = word(NLMSG_HEADER + 8)?;
    let mut this = Description::default();
    this.wish.up = flags & IFF_UP != 0;
    this.wish.promiscuous = flags & IFF_PROMISC != 0;
    this.wish.all_multicast = flags & IFF_ALLMULTI != 0;
    let mut at = NLMSG_HEADER + IFINFOMSG;
    while at + 4 <= end {
        let len = usize::from(half(at)?);
        let value = message.get(at + 4..at + len)?;
        let number = || value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
        match half(at + 2)? {
            IFLA_ADDRESS => this.wish.mac = MacAddr::new(value.try_into().ok()?),
            IFLA_IFNAME => {
                this.name = String::from_utf8_lossy(value.split(|&byte| byte == 0).next()?).into_owned()
            }
            IFLA_MTU => this.wish.mtu = number()?,
            IFLA_PROMISCUITY => this.wish.promiscuous |= number()? != 0,
            IFLA_ALLMULTI => this.wish.all_multicast |= number()? != 0,
            _ => {}
        }
        at += len.next_multiple_of(4);
    }
    Some(Ok(this))
}

/// The groups of one interface in the text of /proc/net/dev_mcast: index, name, two counts, address.
fn parse_multicast(text: &str, index: u32) -> Vec<MacAddr> {
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        if fields.next()?.parse() != Ok(index) {
            return None;
        }
        let address = fields.nth(3).filter(|text| text.len() == 12 && text.is_ascii())?;
        let number = u64::from_str_radix(address, 16).ok()?;
        let [_, _, octets @ ..] = number.to_be_bytes();
        Some(MacAddr::new(octets))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_multicast_list_is_that_of_one_interface() {
        let text = "2    eth0            1     0     01005e000001\n\
                    7    ecm0            1     0     333300000001\n\
                    7    ecm0            2     0     01005e0000fb\n\
                    77   ecm1            1     0     01005e000001\n";
        let groups: Vec<_> = parse_multicast(text, 7).iter().map(MacAddr::to_string).collect();
        assert_eq!(groups, ["33:33:00:00:00:01", "01:00:5e:00:00:fb"]);
    }

    #[test]
    fn an_error_message_gives_its_number() {
        let mut message = vec![0; 36];
        message[0] = 36;
        message[4] = 2;
        message[16..20].copy_from_slice(&(-19_i32).to_ne_bytes());
        assert_eq!(parse_link(&message), Some(Err(Errno::NODEV)));
    }

    proptest! {
        #[test]
        fn no_answer_is_too_strange(mut message in proptest::collection::vec(any::<u8>(), 0..200), text: String) {
            let len = message.len() as u32;
            if message.len() > 6 {
                message[..4].copy_from_slice(&len.to_ne_bytes());
                message[4..6].copy_from_slice(&RTM_NEWLINK.to_ne_bytes());
            }
            parse_link(&message);
            parse_multicast(&text, 1);
        }
    }
}
