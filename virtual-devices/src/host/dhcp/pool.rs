//! Who has which address, until when. It knows no message and looks at no clock; its size never changes.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use outboard_core::MacAddr;

/// How long an offer is kept for the client that it was made to.
const OFFER: Duration = Duration::from_secs(30);
/// How long an address is left alone that a client found in use.
const DECLINED: Duration = Duration::from_secs(600);

/// How a client is told from others (RFC 2131, 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Client {
    /// By its identifier.
    Identifier(Box<[u8]>),
    /// By its station address, where it names no identifier.
    Station(MacAddr),
}

/// A client's right to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// The client's station address.
    pub station: MacAddr,
    /// When it ends.
    pub until: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Offered,
    Bound,
    Declined,
}

#[derive(Debug)]
struct Slot {
    address: Ipv4Addr,
    state: State,
    until: Instant,
    /// Who has it, or had it last: who comes again gets the same.
    client: Option<(Client, MacAddr)>,
}

impl Slot {
    fn is_held(&self, now: Instant) -> bool {
        self.state != State::Free && self.until > now
    }

    fn belongs_to(&self, client: &Client) -> bool {
        self.state != State::Declined && self.client.as_ref().is_some_and(|(owner, _)| owner == client)
    }

    fn is_free_for(&self, client: &Client, now: Instant) -> bool {
        !self.is_held(now) || self.belongs_to(client)
    }
}

/// Addresses to lease.
#[derive(Debug)]
pub(super) struct Pool {
    slots: Vec<Slot>,
}

impl Pool {
    pub(super) fn new(addresses: impl Iterator<Item = Ipv4Addr>, now: Instant) -> Self {
        let slot = |address| Slot { address, state: State::Free, until: now, client: None };
        Self { slots: addresses.map(slot).collect() }
    }

    /// An address for this client, kept for a while: the one that it has or had, else the one that it wants, else the one that has been free for
    /// longest (RFC 2131, 4.3.1).
    pub(super) fn offer(
        &mut self,
        client: &Client,
        station: MacAddr,
        wanted: Option<Ipv4Addr>,
        now: Instant,
    ) -> Option<Ipv4Addr> {
        let mine = self.slots.iter().position(|slot| slot.belongs_to(client));
        let free = |slot: &Slot| !slot.is_held(now);
        let wanted = || self.slots.iter().position(|slot| Some(slot.address) == wanted && free(slot));
        let any = || {
            let unused = self.slots.iter().enumerate().filter(|(_, slot)| free(slot));
            unused.min_by_key(|(at, slot)| (slot.client.is_some(), slot.until, *at)).map(|(at, _)| at)
        };
        let at = mine.or_else(wanted).or_else(any)?;
        let slot = &mut self.slots[at];
        if slot.state != State::Bound || slot.until <= now {
            (slot.state, slot.until) = (State::Offered, now + OFFER);
            slot.client = Some((client.clone(), station));
        }
        Some(slot.address)
    }

    /// Leases this address to this client, who loses any other. False: somebody else has it, or there is no such address.
    pub(super) fn bind(
        &mut self,
        client: &Client,
        station: MacAddr,
        address: Ipv4Addr,
        until: Instant,
        now: Instant,
    ) -> bool {
        let Some(at) = self.slots.iter().position(|slot| slot.address == address) else { return false };
        if !self.slots[at].is_free_for(client, now) {
            return false;
        }
        self.forget(client);
        let slot = &mut self.slots[at];
        (slot.state, slot.until, slot.client) = (State::Bound, until, Some((client.clone(), station)));
        true
    }

    /// Whether this address is offered or leased to this client.
    pub(super) fn has(&self, client: &Client, address: Ipv4Addr, now: Instant) -> bool {
        self.slots.iter().any(|slot| slot.address == address && slot.belongs_to(client) && slot.is_held(now))
    }

    /// The client found its address in use. False: it does not have it.
    pub(super) fn decline(&mut self, client: &Client, address: Ipv4Addr, now: Instant) -> bool {
        let has = self.has(client, address, now);
        if let Some(slot) = self.slots.iter_mut().find(|slot| has && slot.address == address) {
            (slot.state, slot.until, slot.client) = (State::Declined, now + DECLINED, None);
        }
        has
    }

    /// The client gives its address back; should it come again, it gets it again. False: it does not have it.
    pub(super) fn release(&mut self, client: &Client, address: Ipv4Addr, now: Instant) -> bool {
        let has = self.has(client, address, now);
        if let Some(slot) = self.slots.iter_mut().find(|slot| has && slot.address == address) {
            (slot.state, slot.until) = (State::Free, now);
        }
        has
    }

    /// The client took another server's offer.
    pub(super) fn withdraw_offer(&mut self, client: &Client) {
        let is = |slot: &&mut Slot| slot.state == State::Offered && slot.belongs_to(client);
        if let Some(slot) = self.slots.iter_mut().find(is) {
            slot.state = State::Free;
        }
    }

    fn forget(&mut self, client: &Client) {
        for slot in self.slots.iter_mut().filter(|slot| slot.belongs_to(client)) {
            (slot.state, slot.client) = (State::Free, None);
        }
    }

    /// Addresses in all.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// What is leased now.
    pub(super) fn leases(&self, now: Instant) -> impl Iterator<Item = Lease> {
        let bound = self.slots.iter().filter(move |slot| slot.state == State::Bound && slot.until > now);
        bound.filter_map(|slot| {
            let (_, station) = slot.client.as_ref()?;
            Some(Lease { address: slot.address, station: *station, until: slot.until })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Client = Client::Station(MacAddr::new([2, 0, 0, 0, 0, 0xa]));
    const B: Client = Client::Station(MacAddr::new([2, 0, 0, 0, 0, 0xb]));
    const STATION: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
    const LEASE: Duration = Duration::from_secs(3600);

    fn address(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 2, last)
    }

    #[test]
    fn who_comes_again_gets_the_same_and_an_expired_one_goes_to_others_last() {
        let now = Instant::now();
        let mut pool = Pool::new((1..=2).map(address), now);
        assert_eq!(pool.offer(&A, STATION, Some(address(2)), now), Some(address(2)));
        assert!(pool.bind(&A, STATION, address(2), now + LEASE, now));
        let later = now + 2 * LEASE;
        assert_eq!(pool.leases(later).count(), 0);
        assert_eq!(pool.offer(&B, STATION, None, later), Some(address(1)));
        assert_eq!(pool.offer(&A, STATION, Some(address(1)), later), Some(address(2)));
    }

    #[test]
    fn an_address_has_one_holder_and_a_client_one_address() {
        let now = Instant::now();
        let mut pool = Pool::new((1..=2).map(address), now);
        assert!(pool.bind(&A, STATION, address(1), now + LEASE, now));
        assert!(!pool.bind(&B, STATION, address(1), now + LEASE, now));
        assert!(!pool.bind(&B, STATION, address(9), now + LEASE, now));
        assert!(pool.bind(&A, STATION, address(2), now + LEASE, now));
        assert_eq!(pool.leases(now).map(|lease| lease.address).collect::<Vec<_>>(), [address(2)]);
        assert!(!pool.release(&B, address(2), now) && pool.release(&A, address(2), now));
        assert_eq!(pool.leases(now).count(), 0);
    }

    #[test]
    fn a_declined_address_rests_and_offers_lapse() {
        let now = Instant::now();
        let mut pool = Pool::new((1..=1).map(address), now);
        assert!(!pool.decline(&A, address(1), now), "it was not offered");
        assert_eq!(pool.offer(&A, STATION, None, now), Some(address(1)));
        assert_eq!(pool.offer(&B, STATION, None, now), None);
        assert_eq!(pool.offer(&B, STATION, None, now + OFFER), Some(address(1)));
        assert!(pool.decline(&B, address(1), now + OFFER));
        assert_eq!(pool.offer(&B, STATION, None, now + OFFER), None);
        assert_eq!(pool.offer(&A, STATION, None, now + OFFER + DECLINED), Some(address(1)));
    }
}
