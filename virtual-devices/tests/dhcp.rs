//! The host's DHCP server: message by message, and with a client that is not ours behind the dongle, in virtual time.

mod common;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use common::STATION;
use common::client::Client;
use outboard_core::MacAddr;
use outboard_virtual_devices::ecm::EcmOptions;
use outboard_virtual_devices::host::dhcp::{
    DhcpOptions, Ignored, MOST_ADDRESSES, Reply, SHORTEST_LEASE, Server,
};
use outboard_virtual_devices::host::{Host, HostOptions};
use proptest::prelude::*;
use smoltcp::socket::dhcpv4;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 1);
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 100);
const A: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 0xa]);
const B: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 0xb]);
const BROADCAST: (MacAddr, Ipv4Addr) = (MacAddr::BROADCAST, Ipv4Addr::BROADCAST);

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const ACK: u8 = 5;
const NAK: u8 = 6;
const RELEASE: u8 = 7;
const INFORM: u8 = 8;

/// A client's message, as RFC 2131's figure 1 draws it.
#[derive(Clone)]
struct Query(Vec<u8>);

impl Query {
    fn new(kind: u8, station: MacAddr) -> Self {
        let mut bytes = vec![0; 236];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[4..8].copy_from_slice(&0x1234_5678u32.to_be_bytes());
        bytes[28..34].copy_from_slice(&station.octets());
        bytes.extend([0x63, 0x82, 0x53, 0x63, 53, 1, kind]);
        Self(bytes)
    }

    fn option(mut self, code: u8, data: &[u8]) -> Self {
        self.0.extend([code, data.len() as u8]);
        self.0.extend(data);
        self
    }

    fn wants(self, address: Ipv4Addr) -> Self {
        self.option(50, &address.octets())
    }

    fn to(self, server: Ipv4Addr) -> Self {
        self.option(54, &server.octets())
    }

    fn has(mut self, address: Ipv4Addr) -> Self {
        self.0[12..16].copy_from_slice(&address.octets());
        self
    }

    fn broadcast(mut self) -> Self {
        self.0[10] = 0x80;
        self
    }
}

/// An option of an answer.
fn option(reply: &Reply, code: u8) -> Option<Vec<u8>> {
    let mut rest = &reply.payload[240..];
    while rest[0] != 255 {
        let length = usize::from(rest[1]);
        if rest[0] == code {
            return Some(rest[2..2 + length].to_vec());
        }
        rest = &rest[2 + length..];
    }
    None
}

fn kind(reply: &Reply) -> u8 {
    option(reply, 53).unwrap()[0]
}

fn yours(reply: &Reply) -> Ipv4Addr {
    Ipv4Addr::from(<[u8; 4]>::try_from(&reply.payload[16..20]).unwrap())
}

struct Bench {
    server: Server,
    now: Instant,
}

impl Bench {
    fn new(options: &DhcpOptions) -> Self {
        let now = Instant::now();
        Self { server: Server::new(options, (SERVER, 24), 1500, now), now }
    }

    fn tell(&mut self, query: Query) -> Result<Option<Reply>, Ignored> {
        let mut bytes = query.0;
        bytes.push(255);
        self.server.handle(&bytes, self.now)
    }

    fn ask(&mut self, query: Query) -> Reply {
        self.tell(query).unwrap().expect("an answer")
    }

    /// The four messages by which a client gets an address.
    fn lease(&mut self, station: MacAddr) -> Ipv4Addr {
        let offer = self.ask(Query::new(DISCOVER, station));
        let ack = self.ask(Query::new(REQUEST, station).wants(yours(&offer)).to(SERVER));
        assert_eq!((kind(&offer), kind(&ack), yours(&offer)), (OFFER, ACK, yours(&ack)));
        yours(&ack)
    }
}

#[test]
fn an_offer_says_all_that_a_client_needs_and_no_router() {
    let mut bench = Bench::new(&DhcpOptions::default());
    let offer = bench.ask(Query::new(DISCOVER, A).option(61, &[255, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]));
    assert_eq!(offer.payload[0], 2, "BOOTREPLY");
    assert_eq!(offer.payload[4..8], 0x1234_5678u32.to_be_bytes());
    assert_eq!(offer.payload[28..34], A.octets());
    assert!((300..=548).contains(&offer.payload.len()));
    assert_eq!((kind(&offer), yours(&offer)), (OFFER, FIRST));
    assert_eq!(option(&offer, 54).unwrap(), SERVER.octets());
    assert_eq!(option(&offer, 1).unwrap(), [255, 255, 255, 0]);
    assert_eq!(option(&offer, 28).unwrap(), [10, 0, 2, 255]);
    assert_eq!(option(&offer, 26).unwrap(), 1500u16.to_be_bytes());
    assert_eq!(option(&offer, 51).unwrap(), 3600u32.to_be_bytes());
    assert_eq!(option(&offer, 58).unwrap(), 1800u32.to_be_bytes());
    assert_eq!(option(&offer, 59).unwrap(), 3150u32.to_be_bytes());
    assert_eq!(
        option(&offer, 61).unwrap(),
        [255, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        "it is repeated (RFC 6842)"
    );
    assert_eq!(option(&offer, 3), None, "no router");
    let router = DhcpOptions { router: Some(SERVER), ..DhcpOptions::default() };
    assert_eq!(option(&Bench::new(&router).ask(Query::new(DISCOVER, A)), 3).unwrap(), SERVER.octets());
}

#[test]
fn an_answer_goes_where_the_client_can_take_it() {
    let mut bench = Bench::new(&DhcpOptions::default());
    let to = |reply: &Reply| (reply.station, reply.address);
    assert_eq!(to(&bench.ask(Query::new(DISCOVER, A))), (A, FIRST));
    let elsewhere = Ipv4Addr::new(8, 8, 8, 8);
    assert_eq!(to(&bench.ask(Query::new(DISCOVER, A).has(elsewhere))), (A, FIRST));
    let offer = bench.ask(Query::new(DISCOVER, A).broadcast());
    assert_eq!((to(&offer), offer.payload[10]), (BROADCAST, 0x80));
    bench.lease(A);
    assert_eq!(to(&bench.ask(Query::new(REQUEST, A).has(FIRST).broadcast())), (A, FIRST));
    assert_eq!(to(&bench.ask(Query::new(REQUEST, B).has(FIRST))), BROADCAST, "a NAK goes to all");
    let address = Ipv4Addr::new(10, 0, 2, 7);
    let inform = bench.ask(Query::new(INFORM, B).has(address));
    assert_eq!((to(&inform), yours(&inform)), ((B, address), Ipv4Addr::UNSPECIFIED));
    assert_eq!((option(&inform, 51), option(&inform, 58)), (None, None), "nothing is leased by it");
}

#[test]
fn a_request_in_each_state_is_granted_or_refused() {
    let mut bench = Bench::new(&DhcpOptions::default());
    let other = Ipv4Addr::new(10, 0, 2, 101);
    // SELECTING.
    assert_eq!(kind(&bench.ask(Query::new(REQUEST, A).wants(FIRST).to(SERVER))), NAK, "it was not offered");
    assert_eq!(bench.lease(A), FIRST);
    assert_eq!(bench.lease(B), other);
    assert_eq!(kind(&bench.ask(Query::new(REQUEST, B).wants(FIRST).to(SERVER))), NAK);
    // INIT-REBOOT.
    assert_eq!(kind(&bench.ask(Query::new(REQUEST, A).wants(FIRST))), ACK);
    assert_eq!(kind(&bench.ask(Query::new(REQUEST, A).wants(Ipv4Addr::new(192, 168, 1, 5)))), NAK);
    assert_eq!(kind(&bench.ask(Query::new(REQUEST, A).wants(other))), NAK);
    // RENEWING and REBINDING.
    bench.now += Duration::from_secs(1800);
    let ack = bench.ask(Query::new(REQUEST, A).has(FIRST));
    assert_eq!((kind(&ack), yours(&ack), &ack.payload[12..16]), (ACK, FIRST, &FIRST.octets()[..]));
    bench.now += Duration::from_secs(1801);
    let left: Vec<_> = bench.server.leases(bench.now).map(|lease| (lease.address, lease.station)).collect();
    assert_eq!(left, [(FIRST, A)], "renewed; the other has ended");
    assert_eq!(kind(&bench.ask(Query::new(REQUEST, B).has(FIRST))), NAK);
    // After the host was switched off and on again, clients keep what is free.
    let mut fresh = Bench::new(&DhcpOptions::default());
    assert_eq!(kind(&fresh.ask(Query::new(REQUEST, B).has(other))), ACK);
    assert_eq!(fresh.tell(Query::new(REQUEST, A)), Err(Ignored::BadField));
    assert_eq!(fresh.tell(Query::new(REQUEST, A).wants(FIRST).has(FIRST)), Err(Ignored::BadField));
}

#[test]
fn clients_are_told_apart_by_identifier_and_else_by_station() {
    let mut bench = Bench::new(&DhcpOptions::default());
    let named = |station, name: &[u8]| Query::new(DISCOVER, station).option(61, name);
    let first = yours(&bench.ask(named(A, b"\0one")));
    let second = yours(&bench.ask(named(A, b"\0two")));
    let third = yours(&bench.ask(Query::new(DISCOVER, A)));
    assert!(first != second && second != third && third != first);
    assert_eq!(yours(&bench.ask(named(B, b"\0two"))), second, "whatever its station");
}

#[test]
fn addresses_are_declined_released_and_offered_by_others() {
    let mut bench = Bench::new(&DhcpOptions { pool: (FIRST, 2), ..DhcpOptions::default() });
    let second = Ipv4Addr::new(10, 0, 2, 101);
    bench.lease(A);
    assert_eq!(bench.tell(Query::new(DECLINE, B).wants(FIRST).to(SERVER)), Err(Ignored::NoLease));
    assert_eq!(bench.tell(Query::new(DECLINE, A).wants(FIRST).to(SERVER)), Ok(None));
    assert_eq!(bench.lease(A), second);
    assert_eq!(bench.tell(Query::new(DISCOVER, B)), Err(Ignored::Exhausted));
    assert_eq!(bench.tell(Query::new(RELEASE, B).has(second).to(SERVER)), Err(Ignored::NoLease));
    assert_eq!(bench.tell(Query::new(RELEASE, A).has(second).to(SERVER)), Ok(None));
    // Another server's offer is taken: ours is free for others at once.
    assert_eq!(yours(&bench.ask(Query::new(DISCOVER, A))), second);
    let elsewhere = Query::new(REQUEST, A).wants(FIRST).to(Ipv4Addr::new(10, 0, 2, 9));
    assert_eq!(bench.tell(elsewhere), Err(Ignored::OtherServer));
    assert_eq!(bench.lease(B), second);
    let counters = bench.server.counters();
    assert_eq!((counters.declined, counters.released, counters.exhausted), (1, 1, 1));
    assert_eq!((counters.offers, counters.acks, counters.ignored), (4, 3, 3));
}

#[test]
fn the_pool_has_what_the_network_allows_and_a_lease_its_bounds() {
    let addresses = |pool, prefix| {
        let options = DhcpOptions { pool, ..DhcpOptions::default() };
        Server::new(&options, (SERVER, prefix), 1500, Instant::now()).addresses()
    };
    assert_eq!(addresses((Ipv4Addr::new(10, 0, 2, 0), 256), 24), 253, "neither network, host nor broadcast");
    assert_eq!(addresses((Ipv4Addr::new(10, 0, 0, 0), u16::MAX), 8), usize::from(MOST_ADDRESSES) - 1);
    assert_eq!(addresses((Ipv4Addr::new(192, 168, 0, 1), 10), 24), 0);
    assert_eq!(addresses((Ipv4Addr::new(255, 255, 255, 250), 100), 0), 5);
    assert_eq!(addresses((SERVER, 1), 32), 0);
    let lease_of = |wanted: u32| {
        let query = Query::new(DISCOVER, A).option(51, &wanted.to_be_bytes());
        option(&Bench::new(&DhcpOptions::default()).ask(query), 51).unwrap()
    };
    assert_eq!(lease_of(0), (SHORTEST_LEASE.as_secs() as u32).to_be_bytes());
    assert_eq!(lease_of(600), 600u32.to_be_bytes());
    assert_eq!(lease_of(u32::MAX), 3600u32.to_be_bytes(), "for ever is too long");
}

/// smoltcp's own DHCP client on the other side of the dongle.
#[test]
fn a_client_behind_the_dongle_is_configured_and_renews() {
    let host = HostOptions {
        dhcp: Some(DhcpOptions {
            router: Some(SERVER),
            lease: Duration::from_secs(100),
            ..DhcpOptions::default()
        }),
        ..HostOptions::default()
    };
    let mut client = Client::on(EcmOptions::default(), Host::new(&host, Instant::now()));
    client.interface.update_ip_addrs(|list| list.clear());
    let handle = client.sockets.add(dhcpv4::Socket::new());
    let mut configured = None;
    client.run(|this| {
        if let Some(dhcpv4::Event::Configured(configuration)) =
            this.sockets.get_mut::<dhcpv4::Socket<'_>>(handle).poll()
        {
            configured = Some((configuration.address, configuration.router, configuration.server.identifier));
        }
        configured.is_some()
    });
    let (address, router, server) = configured.unwrap();
    assert_eq!((address.address(), address.prefix_len(), router, server), (FIRST, 24, Some(SERVER), SERVER));
    client.interface.update_ip_addrs(|list| list.push(address.into()).unwrap());
    let lease = |client: &mut Client| {
        let now = client.card.0.now;
        client.card.0.dongle().wire().leases(now)
    };
    let before = lease(&mut client);
    assert_eq!((before.len(), before[0].address, before[0].station), (1, FIRST, MacAddr::new(STATION)));
    client.run(|this| this.card.0.dongle().wire().dhcp_counters().acks == 2);
    let after = lease(&mut client);
    assert!(after[0].until > before[0].until && after[0].address == FIRST);
    assert_eq!(client.card.0.dongle().wire().dhcp_counters().ignored, 0);
    client.no_faults();
}

proptest! {
    /// Any payload, also ones that are nearly messages: no panic, at most one answer of bounded length to a place on this network, no
    /// address leased twice.
    #[test]
    fn any_payload_is_taken(payloads in prop::collection::vec(payload(), 1..30), steps in 0..2000u64) {
        let mut bench = Bench::new(&DhcpOptions::default());
        for payload in payloads {
            bench.now += Duration::from_secs(steps);
            if let Ok(Some(reply)) = bench.server.handle(&payload, bench.now) {
                prop_assert!((300..=548).contains(&reply.payload.len()));
                let here = reply.address.octets()[..3] == [10, 0, 2];
                prop_assert!(here && reply.station.is_valid_station() || (reply.station, reply.address) == BROADCAST);
                prop_assert!(matches!(kind(&reply), OFFER | ACK | NAK));
            }
            let leases: Vec<_> = bench.server.leases(bench.now).collect();
            prop_assert!(leases.len() <= bench.server.addresses());
            prop_assert!(leases.iter().enumerate().all(|(at, lease)| leases[..at].iter().all(|other| other.address != lease.address)));
        }
    }
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let address = (0..=2u8, any::<u8>()).prop_map(|(net, last)| Ipv4Addr::new(10, 0, net + 1, last));
    let options = prop::collection::vec(
        prop_oneof![
            address.clone().prop_map(|address| [&[50, 4][..], &address.octets()].concat()),
            Just([&[54, 4][..], &SERVER.octets()].concat()),
            prop::collection::vec(any::<u8>(), 0..255)
                .prop_map(|id| [&[61, id.len() as u8][..], &id].concat()),
            (0..8u8).prop_map(|which| vec![52, 1, which]),
            any::<u32>().prop_map(|lease| [&[51, 4][..], &lease.to_be_bytes()].concat()),
            prop::collection::vec(any::<u8>(), 0..6),
        ],
        0..5,
    );
    let near = (0..10u8, 1..6u8, prop::option::of(address), options, any::<bool>());
    let near = near.prop_map(|(kind, last, has, options, broadcast)| {
        let mut query = Query::new(kind, MacAddr::new([2, 0, 0, 0, 0, last]));
        query = has.into_iter().fold(query, Query::has);
        query = if broadcast { query.broadcast() } else { query };
        query.0.extend(options.concat());
        query.0
    });
    prop_oneof![5 => near, 1 => prop::collection::vec(any::<u8>(), 0..600)]
}
