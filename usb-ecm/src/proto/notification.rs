//! Notifications from the interrupt endpoint (CDC120, 6.3; ECM120, 6.3), put together again where a device splits them.
//! It knows no endpoint and no link.

/// Bytes of a notification without its data: the form of a setup packet (CDC120, Table 19).
pub const HEADER: usize = 8;
/// The longest notification that ECM has: CONNECTION_SPEED_CHANGE.
pub const LONGEST: usize = HEADER + SPEEDS;
/// Two bit rates.
const SPEEDS: usize = 8;
/// bmRequestType of every notification: class, interface, device to host.
const REQUEST_TYPE: u8 = 0xa1;

/// bNotificationCode (CDC120, Table 20; ECM120, Table 11).
pub mod code {
    /// The link came up or went down (ECM120, 6.3.1).
    pub const NETWORK_CONNECTION: u8 = 0x00;
    /// There is a response to fetch (ECM120, 6.3.2).
    pub const RESPONSE_AVAILABLE: u8 = 0x01;
    /// The link's speed changed (ECM120, 6.3.3).
    pub const CONNECTION_SPEED_CHANGE: u8 = 0x2a;
}

/// Something that the device told us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notification {
    /// NETWORK_CONNECTION.
    Connection {
        /// Whether the link is up.
        connected: bool,
    },
    /// CONNECTION_SPEED_CHANGE.
    Speed {
        /// DLBitRate: towards the host, in bits per second.
        downlink: u32,
        /// ULBitRate: from the host, in bits per second.
        uplink: u32,
    },
    /// RESPONSE_AVAILABLE.
    ResponseAvailable,
    /// Another one; it can be ignored.
    Unknown {
        /// bNotificationCode.
        code: u8,
        /// wValue.
        value: u16,
    },
}

impl Notification {
    /// The notification as it goes over the bus, for the device side and tests; `Unknown` without data.
    pub fn to_bytes(&self, interface: u8) -> ([u8; LONGEST], usize) {
        let (code, value, speeds) = match *self {
            Self::Connection { connected } => (code::NETWORK_CONNECTION, connected.into(), None),
            Self::Speed { downlink, uplink } => (code::CONNECTION_SPEED_CHANGE, 0, Some((downlink, uplink))),
            Self::ResponseAvailable => (code::RESPONSE_AVAILABLE, 0, None),
            Self::Unknown { code, value } => (code, value, None),
        };
        let mut bytes = [0; LONGEST];
        bytes[..2].copy_from_slice(&[REQUEST_TYPE, code]);
        bytes[2..4].copy_from_slice(&u16::to_le_bytes(value));
        bytes[4] = interface;
        let Some((downlink, uplink)) = speeds else { return (bytes, HEADER) };
        bytes[6] = SPEEDS as u8;
        bytes[8..12].copy_from_slice(&downlink.to_le_bytes());
        bytes[12..].copy_from_slice(&uplink.to_le_bytes());
        (bytes, LONGEST)
    }
}

/// Bytes that are no notification; they were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadNotification {
    /// Fewer bytes than a header has.
    #[error("a notification has at least {HEADER} bytes; {0} came")]
    Short(usize),
    /// A CONNECTION_SPEED_CHANGE began, and its speeds never came.
    #[error("CONNECTION_SPEED_CHANGE ended after {0} of its {SPEEDS} bytes of speeds")]
    Unfinished(usize),
}

/// Puts notifications together from the transfers of the interrupt endpoint. It holds at most one that is unfinished.
///
/// ```
/// use outboard_usb_ecm::proto::notification::{Notification, Reader};
/// let mut reader = Reader::new();
/// let up = [0xa1, 0x00, 1, 0, 0, 0, 0, 0];
/// assert_eq!(reader.read(&up).next(), Some(Ok(Notification::Connection { connected: true })));
/// // A device with packets of 8 bytes sends the speeds by themselves.
/// assert_eq!(reader.read(&[0xa1, 0x2a, 0, 0, 0, 0, 8, 0]).next(), None);
/// let speeds = [0x00, 0xe1, 0xf5, 0x05, 0x80, 0x96, 0x98, 0x00];
/// let speed = Notification::Speed { downlink: 100_000_000, uplink: 10_000_000 };
/// assert_eq!(reader.read(&speeds).next(), Some(Ok(speed)));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Reader {
    /// The speeds that came so far, while the rest is awaited.
    pending: Option<Pending>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Pending {
    speeds: [u8; SPEEDS],
    filled: usize,
}

impl Reader {
    /// With nothing unfinished.
    pub const fn new() -> Self {
        Self { pending: None }
    }

    /// Forgets what is unfinished: the endpoint was stopped or reset.
    pub fn reset(&mut self) {
        self.pending = None;
    }

    /// The notifications that this transfer completes; it may be several, or none. Take all of them: what the
    /// iterator is dropped with is lost.
    pub fn read<'a>(&'a mut self, transfer: &'a [u8]) -> Notifications<'a> {
        Notifications { reader: self, rest: transfer, first: true }
    }
}

/// See [`Reader::read`].
#[derive(Debug)]
pub struct Notifications<'a> {
    reader: &'a mut Reader,
    rest: &'a [u8],
    first: bool,
}

impl Iterator for Notifications<'_> {
    type Item = Result<Notification, BadNotification>;

    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::take(&mut self.first)
            && is_whole(self.rest)
            && let Some(pending) = self.reader.pending.take()
        {
            return Some(Err(BadNotification::Unfinished(pending.filled)));
        }
        if self.rest.is_empty() {
            return None;
        }
        if let Some(pending) = self.reader.pending.take() {
            return self.speeds(pending).map(Ok);
        }
        let Some((&[_, code, value0, value1, _, _, length0, length1], rest)) = self.rest.split_first_chunk()
        else {
            let bytes = std::mem::take(&mut self.rest).len();
            return Some(Err(BadNotification::Short(bytes)));
        };
        self.rest = rest;
        let value = u16::from_le_bytes([value0, value1]);
        // Linux looks neither at wLength nor at bmRequestType, and devices get them wrong.
        let notification = match code {
            code::CONNECTION_SPEED_CHANGE => return self.speeds(Pending::default()).map(Ok),
            code::NETWORK_CONNECTION => Notification::Connection { connected: value != 0 },
            code::RESPONSE_AVAILABLE => Notification::ResponseAvailable,
            code => Notification::Unknown { code, value },
        };
        let data = usize::from(u16::from_le_bytes([length0, length1]));
        self.rest = rest.get(data..).unwrap_or(&[]);
        Some(Ok(notification))
    }
}

impl Notifications<'_> {
    fn speeds(&mut self, mut pending: Pending) -> Option<Notification> {
        let (now, rest) = self.rest.split_at(self.rest.len().min(SPEEDS - pending.filled));
        pending.speeds[pending.filled..][..now.len()].copy_from_slice(now);
        pending.filled += now.len();
        self.rest = rest;
        if pending.filled < SPEEDS {
            self.reader.pending = Some(pending);
            return None;
        }
        let [d0, d1, d2, d3, u0, u1, u2, u3] = pending.speeds;
        let (downlink, uplink) = (u32::from_le_bytes([d0, d1, d2, d3]), u32::from_le_bytes([u0, u1, u2, u3]));
        Some(Notification::Speed { downlink, uplink })
    }
}

/// Whether a transfer is so clearly a notification of its own that it cannot be the speeds that are awaited: as speeds,
/// these bytes would be some hundred bits per second.
fn is_whole(transfer: &[u8]) -> bool {
    match transfer.first_chunk() {
        Some(&[REQUEST_TYPE, code::NETWORK_CONNECTION, 0 | 1, 0, _, _, 0, 0]) => true,
        Some(&[REQUEST_TYPE, code::RESPONSE_AVAILABLE, 0, 0, _, _, 0, 0]) => true,
        Some(&[REQUEST_TYPE, code::CONNECTION_SPEED_CHANGE, 0, 0, _, _, 8, 0]) => true,
        Some([_, _, _, _, _, _, _, _]) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UP: Notification = Notification::Connection { connected: true };
    const DOWN: Notification = Notification::Connection { connected: false };
    const FAST: Notification = Notification::Speed { downlink: 480_000_000, uplink: 12_000_000 };

    fn bytes(notification: Notification) -> Vec<u8> {
        let (bytes, length) = notification.to_bytes(0);
        bytes[..length].to_vec()
    }

    fn read(transfers: &[&[u8]]) -> Vec<Result<Notification, BadNotification>> {
        let mut reader = Reader::new();
        transfers.iter().flat_map(|transfer| reader.read(transfer).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn several_in_a_transfer_are_read_one_by_one() {
        // A speed change fills a packet of 16 bytes, so the next one can follow in the same transfer.
        assert_eq!(read(&[&[bytes(FAST), bytes(DOWN), bytes(UP)].concat()]), [Ok(FAST), Ok(DOWN), Ok(UP)]);
    }

    #[test]
    fn a_speed_change_may_be_split_anywhere_behind_its_header() {
        let speed = bytes(FAST);
        for cut in 8..=16 {
            assert_eq!(read(&[&speed[..cut], &speed[cut..], &bytes(DOWN)]), [Ok(FAST), Ok(DOWN)], "{cut}");
        }
        let bytewise: Vec<&[u8]> = std::iter::once(&speed[..8]).chain(speed[8..].chunks(1)).collect();
        assert_eq!(read(&bytewise), [Ok(FAST)]);
    }

    #[test]
    fn a_split_that_is_never_finished_does_not_swallow_the_next() {
        let speed = bytes(FAST);
        let unfinished = Err(BadNotification::Unfinished(0));
        assert_eq!(read(&[&speed[..8], &bytes(DOWN)]), [unfinished, Ok(DOWN)]);
        assert_eq!(read(&[&speed[..8], &speed]), [unfinished, Ok(FAST)]);
        let mut reader = Reader::new();
        assert_eq!(reader.read(&speed[..12]).next(), None);
        reader.reset();
        assert_eq!(reader.read(&bytes(UP)).next(), Some(Ok(UP)));
    }

    #[test]
    fn short_and_unknown_ones_are_told() {
        assert_eq!(read(&[&[], &[0xa1, 0]]), [Err(BadNotification::Short(2))]);
        let serial = [0xa1, 0x20, 0, 0, 0, 0, 2, 0, 3, 0];
        let unknown = Ok(Notification::Unknown { code: 0x20, value: 0 });
        assert_eq!(read(&[&[&serial[..], &bytes(UP)].concat()]), [unknown, Ok(UP)]);
        // Data that does not fit takes the rest of the transfer with it, and no more.
        let long = [0xa1, 0x20, 0, 0, 0, 0, 0xff, 0xff, 3, 0];
        assert_eq!(read(&[&long, &bytes(UP)]), [unknown, Ok(UP)]);
        let wrong_type = [0x21, 0x00, 1, 0, 0, 0, 0, 0];
        assert_eq!(read(&[&wrong_type]), [Ok(UP)]);
    }

    proptest! {
        #[test]
        fn any_transfers_are_answered(transfers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..20)) {
            let mut reader = Reader::new();
            for transfer in transfers {
                let count = reader.read(&transfer).count();
                prop_assert!(count <= transfer.len() / HEADER + 2);
            }
        }
    }
}
