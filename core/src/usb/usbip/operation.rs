//! The first message each way on a connection: a list of exported devices, or the import of one. Sans-I/O: bytes in, types out.

use super::{BadMessage, put_u16, put_u32, u16_at, u32_at};

/// `version`: 1.1.1, the only one there is.
pub const VERSION: u16 = 0x0111;
/// Bytes that open every operation: version, code, status.
pub const HEADER: usize = 8;
/// Bytes of a bus id, ended by a zero where it is shorter.
pub const BUS_ID: usize = 32;
/// Bytes of a device's path, likewise.
const PATH: usize = 256;
/// Bytes of an exported device without its interfaces.
pub const DEVICE: usize = PATH + BUS_ID + 24;
/// Bytes of an interface in a list.
pub const INTERFACE: usize = 4;
/// The most devices that a list is believed to have.
pub const MOST_DEVICES: u32 = 1024;

/// `code` of an operation.
mod code {
    pub(super) const REQ_DEVLIST: u16 = 0x8005;
    pub(super) const REP_DEVLIST: u16 = 0x0005;
    pub(super) const REQ_IMPORT: u16 = 0x8003;
    pub(super) const REP_IMPORT: u16 = 0x0003;
}

/// `status` of a reply (tools/usb/usbip/libsrc/usbip_common.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// ST_OK.
    Ok,
    /// ST_NA: the server refused, and does not say why.
    Refused,
    /// ST_DEV_BUSY: another client has the device.
    Busy,
    /// ST_DEV_ERR: the device is in a bad state.
    Error,
    /// ST_NODEV: there is no such device.
    NoDevice,
    /// ST_ERROR, or a number without a meaning.
    Other(u32),
}

impl Status {
    /// The status with this number.
    pub const fn of(number: u32) -> Self {
        match number {
            0 => Self::Ok,
            1 => Self::Refused,
            2 => Self::Busy,
            3 => Self::Error,
            4 => Self::NoDevice,
            other => Self::Other(other),
        }
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        match self {
            Self::Ok => 0,
            Self::Refused => 1,
            Self::Busy => 2,
            Self::Error => 3,
            Self::NoDevice => 4,
            Self::Other(number) => number,
        }
    }
}

/// What a client opens a connection with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// OP_REQ_DEVLIST.
    List,
    /// OP_REQ_IMPORT; the bus id follows.
    Import,
}

impl Request {
    /// Reads the header.
    ///
    /// # Errors
    /// Another version, or no request.
    pub fn parse(bytes: &[u8; HEADER]) -> Result<Self, BadMessage> {
        version(bytes)?;
        match u16_at(bytes, 2) {
            code::REQ_DEVLIST => Ok(Self::List),
            code::REQ_IMPORT => Ok(Self::Import),
            other => Err(BadMessage::new("code", format!("is {other:#06x}, which is not a known request"))),
        }
    }

    /// OP_REQ_DEVLIST as it goes over the wire.
    pub fn list() -> [u8; HEADER] {
        header(code::REQ_DEVLIST, Status::Ok)
    }

    /// OP_REQ_IMPORT as it goes over the wire.
    ///
    /// # Errors
    /// The bus id is empty, has a zero in it, or more than 31 bytes.
    pub fn import(bus_id: &str) -> Result<[u8; HEADER + BUS_ID], BadMessage> {
        if bus_id.is_empty() || bus_id.len() >= BUS_ID || bus_id.contains('\0') {
            return Err(BadMessage::new("busid", format!("{bus_id:?} has not 1 to {} bytes", BUS_ID - 1)));
        }
        let mut bytes = [0; HEADER + BUS_ID];
        bytes[..HEADER].copy_from_slice(&header(code::REQ_IMPORT, Status::Ok));
        put_text(&mut bytes[HEADER..], bus_id);
        Ok(bytes)
    }
}

/// Reads the header of the answer to OP_REQ_IMPORT: on [`Status::Ok`] a [`Exported`] follows, otherwise nothing.
///
/// # Errors
/// Another version, or not this answer.
pub fn import_reply(bytes: &[u8; HEADER]) -> Result<Status, BadMessage> {
    reply(bytes, code::REP_IMPORT)
}

/// Reads the header of the answer to OP_REQ_DEVLIST: on [`Status::Ok`] the number of devices follows, and then each with its interfaces.
///
/// # Errors
/// Another version, or not this answer.
pub fn list_reply(bytes: &[u8; HEADER]) -> Result<Status, BadMessage> {
    reply(bytes, code::REP_DEVLIST)
}

/// The number of devices in a list.
///
/// # Errors
/// There are more than [`MOST_DEVICES`].
pub fn device_count(bytes: [u8; 4]) -> Result<u32, BadMessage> {
    match u32::from_be_bytes(bytes) {
        count if count <= MOST_DEVICES => Ok(count),
        count => Err(BadMessage::new("ndev", format!("is {count}; at most {MOST_DEVICES} are believed"))),
    }
}

/// The answer to OP_REQ_IMPORT as it goes over the wire.
pub fn import_answer(device: Result<&Exported, Status>) -> Vec<u8> {
    match device {
        Ok(device) => [&header(code::REP_IMPORT, Status::Ok)[..], &device.to_bytes()].concat(),
        Err(status) => header(code::REP_IMPORT, status).to_vec(),
    }
}

/// The answer to OP_REQ_DEVLIST as it goes over the wire.
pub fn list_answer<'a>(devices: impl ExactSizeIterator<Item = &'a Exported>) -> Vec<u8> {
    let mut bytes = header(code::REP_DEVLIST, Status::Ok).to_vec();
    bytes.extend((devices.len() as u32).to_be_bytes());
    for device in devices {
        bytes.extend(device.to_bytes());
        for class in device.listed() {
            bytes.extend([class[0], class[1], class[2], 0]);
        }
    }
    bytes
}

/// A device that a server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Where the server's system has it; only for people.
    pub path: String,
    /// What it is imported by, such as `1-2`.
    pub bus_id: String,
    /// Its bus, at most 65535.
    pub bus: u32,
    /// Its number on the bus, at most 65535.
    pub device: u32,
    /// See [`speed_of`](super::speed_of).
    pub speed: u32,
    /// idVendor.
    pub vendor_id: u16,
    /// idProduct.
    pub product_id: u16,
    /// bcdDevice.
    pub release: u16,
    /// bDeviceClass, bDeviceSubClass, bDeviceProtocol.
    pub class: [u8; 3],
    /// bConfigurationValue of the active configuration, 0 for none.
    pub configuration: u8,
    /// bNumConfigurations.
    pub configurations: u8,
    /// Class, subclass and protocol of each interface of the active configuration; only a list has them.
    pub interfaces: Vec<[u8; 3]>,
}

impl Exported {
    /// What the client's transfers name it by.
    pub const fn devid(&self) -> u32 {
        self.bus << 16 | self.device & 0xffff
    }

    /// Reads a device; its interfaces, whose number is returned beside it, follow in a list.
    ///
    /// # Errors
    /// The bus id or a number is out of its range.
    pub fn parse(bytes: &[u8; DEVICE]) -> Result<(Self, u8), BadMessage> {
        let at = PATH + BUS_ID;
        let number = |field, at| match u32_at(bytes, at) {
            number @ 0..=0xffff => Ok(number),
            number => Err(BadMessage::new(field, format!("is {number}; at most 65535 fits into a devid"))),
        };
        let bus_id = text(&bytes[PATH..at]);
        if bus_id.is_empty() {
            return Err(BadMessage::new("busid", "is empty"));
        }
        let device = Self {
            path: text(&bytes[..PATH]),
            bus_id,
            bus: number("busnum", at)?,
            device: number("devnum", at + 4)?,
            speed: u32_at(bytes, at + 8),
            vendor_id: u16_at(bytes, at + 12),
            product_id: u16_at(bytes, at + 14),
            release: u16_at(bytes, at + 16),
            class: [bytes[at + 18], bytes[at + 19], bytes[at + 20]],
            configuration: bytes[at + 21],
            configurations: bytes[at + 22],
            interfaces: Vec::new(),
        };
        Ok((device, bytes[at + 23]))
    }

    /// As it goes over the wire, without the interfaces.
    pub fn to_bytes(&self) -> [u8; DEVICE] {
        let at = PATH + BUS_ID;
        let mut bytes = [0; DEVICE];
        put_text(&mut bytes[..PATH], &self.path);
        put_text(&mut bytes[PATH..at], &self.bus_id);
        put_u32(&mut bytes, at, self.bus);
        put_u32(&mut bytes, at + 4, self.device);
        put_u32(&mut bytes, at + 8, self.speed);
        put_u16(&mut bytes, at + 12, self.vendor_id);
        put_u16(&mut bytes, at + 14, self.product_id);
        put_u16(&mut bytes, at + 16, self.release);
        bytes[at + 18..at + 21].copy_from_slice(&self.class);
        bytes[at + 21] = self.configuration;
        bytes[at + 22] = self.configurations;
        bytes[at + 23] = self.listed().len() as u8;
        bytes
    }

    /// As many interfaces as the count's byte can tell.
    fn listed(&self) -> &[[u8; 3]] {
        &self.interfaces[..self.interfaces.len().min(255)]
    }
}

fn header(code: u16, status: Status) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    put_u16(&mut bytes, 0, VERSION);
    put_u16(&mut bytes, 2, code);
    put_u32(&mut bytes, 4, status.number());
    bytes
}

fn version(bytes: &[u8; HEADER]) -> Result<(), BadMessage> {
    match u16_at(bytes, 0) {
        VERSION => Ok(()),
        other => Err(BadMessage::new("version", format!("is {other:#06x}; {VERSION:#06x} is spoken here"))),
    }
}

fn reply(bytes: &[u8; HEADER], wanted: u16) -> Result<Status, BadMessage> {
    version(bytes)?;
    match u16_at(bytes, 2) {
        code if code == wanted => Ok(Status::of(u32_at(bytes, 4))),
        code => Err(BadMessage::new("code", format!("is {code:#06x}; {wanted:#06x} was to come"))),
    }
}

/// Up to the first zero; what is no UTF-8 is replaced.
fn text(bytes: &[u8]) -> String {
    let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// What fits, and always a zero behind it.
fn put_text(bytes: &mut [u8], text: &str) {
    let length = text.len().min(bytes.len() - 1);
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device() -> Exported {
        Exported {
            path: "/sys/devices/platform/outboard/1-1".into(),
            bus_id: "1-1".into(),
            bus: 1,
            device: 2,
            speed: 3,
            vendor_id: 0x0525,
            product_id: 0xa4a2,
            release: 0x0100,
            class: [2, 0, 0],
            configuration: 1,
            configurations: 2,
            interfaces: vec![[2, 6, 0], [10, 0, 0]],
        }
    }

    #[test]
    fn a_list_has_the_layout_of_the_protocols_description() {
        let bytes = list_answer([device()].iter());
        assert_eq!(bytes.len(), 0xc + 0x138 + 2 * 4);
        assert_eq!(bytes[..12], [1, 0x11, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(bytes[0x10c..0x110], *b"1-1\0");
        assert_eq!(bytes[0x12c..0x138], [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
        assert_eq!(bytes[0x138..0x144], [5, 0x25, 0xa4, 0xa2, 1, 0, 2, 0, 0, 1, 2, 2]);
        assert_eq!(bytes[0x144..], [2, 6, 0, 0, 10, 0, 0, 0]);
    }

    #[test]
    fn an_import_and_its_answers() {
        let request = Request::import("1-1").unwrap();
        assert_eq!(Request::parse(request[..HEADER].try_into().unwrap()), Ok(Request::Import));
        assert_eq!(request[HEADER..HEADER + 4], *b"1-1\0");
        assert_eq!(Request::import("").unwrap_err().field, "busid");
        assert_eq!(Request::import(&"1".repeat(32)).unwrap_err().field, "busid");

        let answer = import_answer(Ok(&device()));
        assert_eq!(import_reply(answer[..HEADER].try_into().unwrap()), Ok(Status::Ok));
        let (parsed, interfaces) = Exported::parse(answer[HEADER..].try_into().unwrap()).unwrap();
        assert_eq!((parsed.devid(), interfaces), (0x0001_0002, 2));
        assert_eq!(Exported { interfaces: device().interfaces, ..parsed }, device());

        let refused = import_answer(Err(Status::Busy));
        assert_eq!(import_reply(refused[..].try_into().unwrap()), Ok(Status::Busy));
        assert_eq!(list_reply(refused[..].try_into().unwrap()).unwrap_err().field, "code");
        assert_eq!(import_reply(&[1, 6, 0, 3, 0, 0, 0, 0]).unwrap_err().field, "version");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: [u8; HEADER], device in proptest::collection::vec(any::<u8>(), DEVICE)) {
            let _ = (Request::parse(&bytes), import_reply(&bytes), list_reply(&bytes));
            let device: &[u8; DEVICE] = device.as_slice().try_into().unwrap();
            if let Ok((parsed, _)) = Exported::parse(device) {
                prop_assert!(!parsed.bus_id.is_empty());
                let again = Exported::parse(&parsed.to_bytes()).unwrap().0;
                // Replaced characters are longer and may have been cut.
                prop_assert_eq!(again.devid(), parsed.devid());
            }
        }
    }
}
