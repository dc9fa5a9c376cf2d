//! DHCP messages as bytes and types: what a client says, and how an answer is written (RFC 2131, 2; options: RFC 2132). No state.
//!
//! smoltcp reads the fixed fields and writes answers. Options are read here: its reader refuses client identifiers that are no Ethernet
//! address, as dhclient's and systemd's are, and knows no overloaded fields.

use std::net::Ipv4Addr;

use outboard_core::MacAddr;
use smoltcp::wire::{
    ArpHardware, DhcpFlags, DhcpMessageType, DhcpOpCode, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress,
};

/// Codes of options (RFC 2132).
pub(super) mod option {
    /// 9.7: the address that a client wants, or declines.
    pub(in super::super) const REQUESTED_ADDRESS: u8 = 50;
    /// 9.2.
    pub(in super::super) const LEASE_TIME: u8 = 51;
    /// 9.3: `file`, `sname` or both hold options too.
    pub(in super::super) const OVERLOAD: u8 = 52;
    /// 9.6.
    pub(in super::super) const MESSAGE_TYPE: u8 = 53;
    /// 9.7.
    pub(in super::super) const SERVER_IDENTIFIER: u8 = 54;
    /// 9.9: a text for people, in a NAK.
    pub(in super::super) const MESSAGE: u8 = 56;
    /// 9.11: T1 in seconds.
    pub(in super::super) const RENEWAL_TIME: u8 = 58;
    /// 9.12: T2 in seconds.
    pub(in super::super) const REBINDING_TIME: u8 = 59;
    /// 9.14.
    pub(in super::super) const CLIENT_IDENTIFIER: u8 = 61;
    /// 5.1.
    pub(in super::super) const INTERFACE_MTU: u8 = 26;
    /// 5.3.
    pub(in super::super) const BROADCAST_ADDRESS: u8 = 28;
    /// 3.2.
    pub(super) const PAD: u8 = 0;
    /// 3.2.
    pub(super) const END: u8 = 255;
}

/// The cookie in front of the options (RFC 2131, 3).
const MAGIC: u32 = 0x6382_5363;
/// Where `sname`, `file` and the options are (RFC 2131, figure 1).
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
const OPTIONS: usize = 240;
/// Bytes of a BOOTP message, which some clients want an answer to have (RFC 951, 3).
const SHORTEST: usize = 300;
/// The longest client identifier that is taken. The longest in use has 133 bytes: a type, an IAID and a DUID (RFC 4361, 6.1; RFC 8415,
/// 11.1). An answer that repeats it stays within the 548 bytes that every client takes (RFC 2131, 2).
pub(super) const LONGEST_IDENTIFIER: usize = 200;

/// Why a datagram was ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// It has no room for the fields, or not DHCP's cookie.
    NotDhcp,
    /// It is an answer, not a question.
    NotARequest,
    /// The client's hardware is not Ethernet, or its address cannot be a station's.
    NotEthernet,
    /// It came through a relay, and there is none on this wire.
    Relayed,
    /// No message type, or not one that a client sends.
    UnknownType,
    /// An address or identifier is missing, has the wrong length, or does not go with the message.
    BadField,
    /// It is for another server.
    OtherServer,
    /// It is about an address that this client does not have.
    NoLease,
    /// Every address is taken.
    Exhausted,
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) kind: DhcpMessageType,
    pub(super) xid: u32,
    /// It cannot take an answer to an address that it does not have yet.
    pub(super) broadcast: bool,
    /// ciaddr: the address that it has and answers ARP for.
    pub(super) address: Option<Ipv4Addr>,
    pub(super) station: MacAddr,
    pub(super) identifier: Option<&'a [u8]>,
    pub(super) requested: Option<Ipv4Addr>,
    pub(super) server: Option<Ipv4Addr>,
    /// Seconds.
    pub(super) lease: Option<u32>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Answer<'a> {
    pub(super) kind: DhcpMessageType,
    pub(super) server: Ipv4Addr,
    /// yiaddr: the address that the client gets.
    pub(super) address: Option<Ipv4Addr>,
    pub(super) mask: Option<Ipv4Addr>,
    pub(super) router: Option<Ipv4Addr>,
    /// Seconds.
    pub(super) lease: Option<u32>,
    pub(super) options: &'a [DhcpOption<'a>],
}

impl<'a> Message<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Ignored> {
        let packet = DhcpPacket::new_checked(bytes).map_err(|_| Ignored::NotDhcp)?;
        if packet.magic_number() != MAGIC {
            return Err(Ignored::NotDhcp);
        }
        if packet.opcode() != DhcpOpCode::Request {
            return Err(Ignored::NotARequest);
        }
        let station = MacAddr::new(packet.client_hardware_address().0);
        let ethernet = packet.hardware_type() == ArpHardware::Ethernet && packet.hardware_len() == 6;
        if !ethernet || !station.is_valid_station() {
            return Err(Ignored::NotEthernet);
        }
        if !packet.relay_agent_ip().is_unspecified() {
            return Err(Ignored::Relayed);
        }
        let all = AllOptions::of(bytes);
        let address = |code| all.find(code).map(|data| <[u8; 4]>::try_from(data).map(Ipv4Addr::from));
        let bad = |_| Ignored::BadField;
        let identifier = all.find(option::CLIENT_IDENTIFIER);
        // RFC 2132, 9.14: it has two bytes at least.
        if identifier.is_some_and(|bytes| !(2..=LONGEST_IDENTIFIER).contains(&bytes.len())) {
            return Err(Ignored::BadField);
        }
        let lease = all.find(option::LEASE_TIME).map(<[u8; 4]>::try_from).transpose().map_err(bad)?;
        let Some(&[kind]) = all.find(option::MESSAGE_TYPE) else { return Err(Ignored::UnknownType) };
        Ok(Self {
            kind: kind.into(),
            xid: packet.transaction_id(),
            broadcast: packet.flags().contains(DhcpFlags::BROADCAST),
            address: Some(packet.client_ip()).filter(|address| !address.is_unspecified()),
            station,
            identifier,
            requested: address(option::REQUESTED_ADDRESS).transpose().map_err(bad)?,
            server: address(option::SERVER_IDENTIFIER).transpose().map_err(bad)?,
            lease: lease.map(u32::from_be_bytes),
        })
    }

    /// The bytes of an answer to this message.
    pub(super) fn answer(&self, answer: &Answer<'_>) -> Vec<u8> {
        let mut options: Vec<_> = answer.options.to_vec();
        // RFC 6842, 3: it is repeated.
        options.extend(self.identifier.map(|data| DhcpOption { kind: option::CLIENT_IDENTIFIER, data }));
        let none = Ipv4Addr::UNSPECIFIED;
        let nak = answer.kind == DhcpMessageType::Nak;
        let repr = DhcpRepr {
            message_type: answer.kind,
            transaction_id: self.xid,
            secs: 0,
            client_hardware_address: EthernetAddress(self.station.octets()),
            // RFC 2131, table 3: an OFFER and a NAK name none.
            client_ip: self.address.filter(|_| !nak && answer.kind != DhcpMessageType::Offer).unwrap_or(none),
            your_ip: answer.address.unwrap_or(none),
            server_ip: none,
            router: answer.router,
            subnet_mask: answer.mask,
            relay_agent_ip: none,
            broadcast: self.broadcast,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(answer.server),
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: answer.lease,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &options,
        };
        let mut bytes = vec![0; repr.buffer_len().max(SHORTEST)];
        let written = repr.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..]));
        debug_assert!(written.is_ok(), "the buffer is as long as it says, and no option has 256 bytes");
        bytes
    }
}

/// The options of a message in the order in which they count (RFC 2131, 4.1): the field of their own, then `file`, then `sname`.
#[derive(Debug, Clone, Copy)]
struct AllOptions<'a>([&'a [u8]; 3]);

impl<'a> AllOptions<'a> {
    /// Of a message that has its fixed fields.
    fn of(message: &'a [u8]) -> Self {
        let field = &message[OPTIONS..];
        let overload = match find(field, option::OVERLOAD) {
            Some(&[which]) => which,
            _ => 0,
        };
        let used = |bit, range| if overload & bit != 0 { &message[range] } else { &[][..] };
        Self([field, used(1, FILE), used(2, SNAME)])
    }

    /// The first with this code.
    fn find(&self, code: u8) -> Option<&'a [u8]> {
        self.0.into_iter().find_map(|field| find(field, code))
    }
}

/// The first option with this code in one field. What follows a length that leads past the end is not looked at.
fn find(mut field: &[u8], code: u8) -> Option<&[u8]> {
    loop {
        match field {
            [] | [option::END, ..] => return None,
            [option::PAD, rest @ ..] => field = rest,
            [found, length, rest @ ..] => {
                let (data, behind) = rest.split_at_checked((*length).into())?;
                if *found == code {
                    return Some(data);
                }
                field = behind;
            }
            [_] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; OPTIONS];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[4..8].copy_from_slice(&[1, 2, 3, 4]);
        bytes[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        bytes[236..].copy_from_slice(&MAGIC.to_be_bytes());
        bytes.extend_from_slice(options);
        bytes
    }

    #[test]
    fn options_are_found_behind_padding_and_in_overloaded_fields() {
        let mut bytes =
            message(&[0, 0, 0, option::OVERLOAD, 1, 3, option::MESSAGE_TYPE, 1, 3, 255, 50, 4, 1]);
        bytes[108..116].copy_from_slice(&[0, option::REQUESTED_ADDRESS, 4, 10, 0, 2, 100, 255]);
        bytes[44..50].copy_from_slice(&[option::SERVER_IDENTIFIER, 4, 10, 0, 2, 1]);
        let parsed = Message::parse(&bytes).unwrap();
        assert_eq!(parsed.requested, Some(Ipv4Addr::new(10, 0, 2, 100)));
        assert_eq!(parsed.server, Some(Ipv4Addr::new(10, 0, 2, 1)));
        assert_eq!((parsed.kind, parsed.xid), (DhcpMessageType::Request, 0x0102_0304));
        // Without the option they are names.
        bytes[OPTIONS + 5] = 0;
        assert_eq!(Message::parse(&bytes).unwrap().requested, None);
    }

    #[test]
    fn what_no_client_of_ours_says_is_named() {
        let discover = [option::MESSAGE_TYPE, 1, 1, 255];
        let changed = |at: usize, byte: u8| {
            let mut bytes = message(&discover);
            bytes[at] = byte;
            Message::parse(&bytes).map(|message| message.kind)
        };
        assert_eq!(changed(0, 1), Ok(DhcpMessageType::Discover));
        assert_eq!(changed(0, 2), Err(Ignored::NotARequest));
        assert_eq!(changed(1, 6), Err(Ignored::NotEthernet));
        assert_eq!(changed(2, 16), Err(Ignored::NotEthernet));
        assert_eq!(changed(28, 1), Err(Ignored::NotEthernet), "a group is no station");
        assert_eq!(changed(24, 10), Err(Ignored::Relayed));
        assert_eq!(changed(236, 0), Err(Ignored::NotDhcp));
        assert_eq!(changed(OPTIONS, 12), Err(Ignored::UnknownType));
        assert_eq!(Message::parse(&message(&discover)[..239]), Err(Ignored::NotDhcp));
        let with = |options: &[u8]| Message::parse(&message(&[options, &discover].concat())).map(|_| ());
        assert_eq!(with(&[option::REQUESTED_ADDRESS, 3, 1, 2, 3]), Err(Ignored::BadField));
        assert_eq!(with(&[option::LEASE_TIME, 1, 1]), Err(Ignored::BadField));
        assert_eq!(with(&[option::CLIENT_IDENTIFIER, 1, 1]), Err(Ignored::BadField));
        assert_eq!(with(&[[61, 201].as_slice(), &[7; 201]].concat()), Err(Ignored::BadField));
        assert_eq!(with(&[[61, 200].as_slice(), &[7; 200]].concat()), Ok(()));
        assert_eq!(with(&[12, 200, 1]), Err(Ignored::UnknownType), "the length leads past the end");
    }
}
