//! A DHCP server (RFC 2131), by which an ordinary client configures the dongle's interface. It turns a datagram and the time into an
//! answer, and must not know sockets.
//!
//! It is the only server on its wire and forgets its leases when it is switched off. So a client that comes with an address from before
//! is given it again where it is free, and a NAK at once where not; RFC 2131, 4.3.2 would have it silent for the sake of other servers.

mod message;
mod pool;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use outboard_core::MacAddr;
use smoltcp::wire::{DhcpMessageType, DhcpOption, Ipv4Cidr};

pub use message::Ignored;
use message::{Answer, Message, option};
pub use pool::Lease;
use pool::{Client, Pool};

/// The server's UDP port (RFC 2131, 4.1).
pub const SERVER_PORT: u16 = 67;
/// The clients' UDP port (RFC 2131, 4.1).
pub const CLIENT_PORT: u16 = 68;

/// Addresses that are served at most, whatever the options say.
pub const MOST_ADDRESSES: u16 = 256;
/// The shortest lease that a client gets, however short it wants it.
pub const SHORTEST_LEASE: Duration = Duration::from_secs(60);

/// What is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpOptions {
    /// The first address, and how many are served from it on, [`MOST_ADDRESSES`] at most. Those that no station of the host's network can
    /// have are left out.
    pub pool: (Ipv4Addr, u16),
    /// The router that clients are told. There is none by default: behind a virtual dongle there is no Internet, and a client that
    /// takes its default route from here (NetworkManager, dhclient, udhcpc's script) would cut the machine off.
    pub router: Option<Ipv4Addr>,
    /// The longest lease, and the one of clients that don't ask for less; [`SHORTEST_LEASE`] to 136 years.
    pub lease: Duration,
}

impl Default for DhcpOptions {
    fn default() -> Self {
        Self { pool: (Ipv4Addr::new(10, 0, 2, 100), 16), router: None, lease: Duration::from_secs(3600) }
    }
}

/// What the server did since it was switched on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DhcpCounters {
    /// OFFERs sent.
    pub offers: u64,
    /// ACKs sent, those for INFORM included.
    pub acks: u64,
    /// NAKs sent.
    pub naks: u64,
    /// Addresses that clients found in use.
    pub declined: u64,
    /// Addresses that clients gave back.
    pub released: u64,
    /// DISCOVERs for which no address was left.
    pub exhausted: u64,
    /// Other datagrams that were ignored; see [`Ignored`].
    pub ignored: u64,
}

/// An answer, and who gets it (RFC 2131, 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The station address that it is sent to.
    pub station: MacAddr,
    /// The address that it is sent to.
    pub address: Ipv4Addr,
    /// UDP's payload: 300 to 548 bytes.
    pub payload: Vec<u8>,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    network: Ipv4Cidr,
    router: Option<Ipv4Addr>,
    lease: Duration,
    mtu: u16,
    pool: Pool,
    counters: DhcpCounters,
}

impl Server {
    /// A server at this address with this prefix length (0 to 32), in a network with this MTU.
    pub fn new(options: &DhcpOptions, at: (Ipv4Addr, u8), mtu: u16, now: Instant) -> Self {
        let network = Ipv4Cidr::new(at.0, at.1.min(32));
        let (first, count) = options.pool;
        let all =
            (0..count.min(MOST_ADDRESSES)).map_while(|offset| u32::from(first).checked_add(offset.into()));
        let usable = all.map(Ipv4Addr::from).filter(|address| is_station(*address, network));
        Self {
            network,
            router: options.router,
            lease: options.lease.clamp(SHORTEST_LEASE, Duration::from_secs(u32::MAX.into())),
            mtu,
            pool: Pool::new(usable, now),
            counters: DhcpCounters::default(),
        }
    }

    /// What it did.
    pub fn counters(&self) -> DhcpCounters {
        self.counters
    }

    /// Addresses in all.
    pub fn addresses(&self) -> usize {
        self.pool.len()
    }

    /// What is leased now, by address.
    pub fn leases(&self, now: Instant) -> impl Iterator<Item = Lease> {
        self.pool.leases(now)
    }

    /// What to answer to a datagram. Most messages have an answer, RELEASE and DECLINE have none.
    ///
    /// # Errors
    /// Why the datagram was ignored.
    pub fn handle(&mut self, payload: &[u8], now: Instant) -> Result<Option<Reply>, Ignored> {
        let reply = Message::parse(payload).and_then(|message| self.message(&message, now));
        match reply {
            Err(Ignored::Exhausted) => self.counters.exhausted += 1,
            Err(_) => self.counters.ignored += 1,
            Ok(_) => {}
        }
        reply
    }

    fn message(&mut self, message: &Message<'_>, now: Instant) -> Result<Option<Reply>, Ignored> {
        let client = match message.identifier {
            Some(bytes) => Client::Identifier(bytes.into()),
            None => Client::Station(message.station),
        };
        let ours = |server| if server == self.network.address() { Ok(()) } else { Err(Ignored::OtherServer) };
        match message.kind {
            DhcpMessageType::Discover => {
                let offer = self.pool.offer(&client, message.station, message.requested, now);
                let address = offer.ok_or(Ignored::Exhausted)?;
                self.counters.offers += 1;
                Ok(Some(self.grant(message, DhcpMessageType::Offer, address)))
            }
            DhcpMessageType::Request => self.request(message, &client, now).map(Some),
            DhcpMessageType::Decline => {
                message.server.map_or(Ok(()), ours)?;
                let address = message.requested.ok_or(Ignored::BadField)?;
                if !self.pool.decline(&client, address, now) {
                    return Err(Ignored::NoLease);
                }
                self.counters.declined += 1;
                Ok(None)
            }
            DhcpMessageType::Release => {
                message.server.map_or(Ok(()), ours)?;
                let address = message.address.ok_or(Ignored::BadField)?;
                if !self.pool.release(&client, address, now) {
                    return Err(Ignored::NoLease);
                }
                self.counters.released += 1;
                Ok(None)
            }
            DhcpMessageType::Inform => {
                let address = message.address.filter(|address| is_station(*address, self.network));
                address.ok_or(Ignored::BadField)?;
                self.counters.acks += 1;
                Ok(Some(self.reply(message, DhcpMessageType::Ack, None, None)))
            }
            _ => Err(Ignored::UnknownType),
        }
    }

    /// REQUEST in each of a client's states (RFC 2131, 4.3.2 and table 4).
    fn request(&mut self, message: &Message<'_>, client: &Client, now: Instant) -> Result<Reply, Ignored> {
        let address = match (message.server, message.requested, message.address) {
            // SELECTING.
            (Some(server), requested, None) => {
                if server != self.network.address() {
                    self.pool.withdraw_offer(client);
                    return Err(Ignored::OtherServer);
                }
                let address = requested.ok_or(Ignored::BadField)?;
                if !self.pool.has(client, address, now) {
                    return Ok(self.refuse(message, "this address was not offered"));
                }
                address
            }
            // INIT-REBOOT; then RENEWING and REBINDING, which differ in who is asked only.
            (None, Some(address), None) | (None, None, Some(address)) => address,
            _ => return Err(Ignored::BadField),
        };
        let until = now + Duration::from_secs(self.lease_for(message).into());
        if !self.pool.bind(client, message.station, address, until, now) {
            return Ok(self.refuse(message, "this address is not free here"));
        }
        self.counters.acks += 1;
        Ok(self.grant(message, DhcpMessageType::Ack, address))
    }

    fn refuse(&mut self, message: &Message<'_>, why: &str) -> Reply {
        self.counters.naks += 1;
        let options = [DhcpOption { kind: option::MESSAGE, data: why.as_bytes() }];
        let answer = Answer {
            kind: DhcpMessageType::Nak,
            server: self.network.address(),
            address: None,
            mask: None,
            router: None,
            lease: None,
            options: &options,
        };
        broadcast(message.answer(&answer))
    }

    fn grant(&self, message: &Message<'_>, kind: DhcpMessageType, address: Ipv4Addr) -> Reply {
        self.reply(message, kind, Some(address), Some(self.lease_for(message)))
    }

    /// Seconds.
    fn lease_for(&self, message: &Message<'_>) -> u32 {
        let longest = u32::try_from(self.lease.as_secs()).unwrap_or(u32::MAX);
        let shortest = SHORTEST_LEASE.as_secs() as u32;
        message.lease.map_or(longest, |wanted| wanted.clamp(shortest, longest))
    }

    fn reply(
        &self,
        message: &Message<'_>,
        kind: DhcpMessageType,
        address: Option<Ipv4Addr>,
        lease: Option<u32>,
    ) -> Reply {
        let mtu = self.mtu.to_be_bytes();
        let to_all = self.network.broadcast().map(|address| address.octets());
        // RFC 2131, 4.4.5: half of the lease, and seven eighths.
        let renewal = lease.map(|lease| (lease / 2).to_be_bytes());
        let rebinding = lease.map(|lease| (lease - lease / 8).to_be_bytes());
        let all = [
            (option::INTERFACE_MTU, Some(&mtu[..])),
            (option::BROADCAST_ADDRESS, to_all.as_ref().map(|bytes| &bytes[..])),
            (option::RENEWAL_TIME, renewal.as_ref().map(|bytes| &bytes[..])),
            (option::REBINDING_TIME, rebinding.as_ref().map(|bytes| &bytes[..])),
        ];
        let given = all.iter().filter_map(|(kind, data)| Some(DhcpOption { kind: *kind, data: (*data)? }));
        let options: Vec<_> = given.collect();
        let payload = message.answer(&Answer {
            kind,
            server: self.network.address(),
            address,
            mask: Some(self.network.netmask()),
            router: self.router,
            lease,
            options: &options,
        });
        // A client that has an address asks for no offer; what it says there is not believed.
        let has = message.address.filter(|_| kind != DhcpMessageType::Offer);
        match has.or(address.filter(|_| !message.broadcast)) {
            Some(address) => Reply { station: message.station, address, payload },
            None => broadcast(payload),
        }
    }
}

fn broadcast(payload: Vec<u8>) -> Reply {
    Reply { station: MacAddr::BROADCAST, address: Ipv4Addr::BROADCAST, payload }
}

/// Whether another station than the server's can have this address.
fn is_station(address: Ipv4Addr, network: Ipv4Cidr) -> bool {
    let inside = network.contains_addr(&address) && address != network.address();
    // RFC 3021: a network of two addresses has neither of the two special ones.
    let special = network.prefix_len() < 31
        && (Some(address) == network.broadcast() || address == network.network().address());
    let unicast = !address.is_multicast() && !address.is_broadcast() && !address.is_unspecified();
    inside && !special && unicast && !address.is_loopback()
}
