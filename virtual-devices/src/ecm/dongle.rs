//! The dongle itself: which frames pass, how they are cut into packets and put together, what its interrupt endpoint tells. It must
//! not know who its host is nor what is on its wire, and it looks at no clock.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use outboard_core::MacAddr;
use outboard_core::usb::transport::in_process::{DeviceModel, Handshake};
use outboard_core::usb::{Direction, RequestKind, SetupPacket, Speed};

use super::fault::Log;
use super::link::duration;
use super::requests::{self, NOTIFICATION_HEADER, PacketFilter, filter};
use super::{
    CONTROL_INTERFACE, DATA_INTERFACE, EcmOptions, Ending, FRAMES_IN, FRAMES_OUT, HostFault, Link, MacString,
    NOTIFICATION_IN, Statistics, Step, descriptors,
};
use crate::wire::Wire;

/// Frames from the host that wait for a wire that takes its time.
const TRANSMIT_QUEUE: usize = 8;
/// Bytes of Ethernet's header.
const HEADER: usize = 14;
/// Notifications that wait for the host: more never differ.
const NOTIFICATIONS: usize = 8;

/// An ECM dongle with something on its wire.
#[derive(Debug)]
pub struct EcmDongle<W> {
    options: EcmOptions,
    /// What is special about it, for people.
    variant: String,
    wire: W,
    station: MacAddr,
    link: Link,
    configuration: u8,
    /// When the host selected the data interface's endpoints.
    active_since: Option<Instant>,
    /// The data interface's endpoints are there.
    active: bool,
    filter: PacketFilter,
    to_host: ToHost,
    from_host: FromHost,
    /// Packets of the interrupt endpoint; true where one begins a notification.
    notifications: VecDeque<(bool, Vec<u8>)>,
    stalls: BTreeSet<u8>,
    statistics: Statistics,
    faults: Log<HostFault>,
    steps: Log<Step>,
}

/// Frames on their way to the host.
#[derive(Debug, Default)]
struct ToHost {
    queue: VecDeque<Vec<u8>>,
    /// Memory of frames that are through.
    free: Vec<Vec<u8>>,
    /// Bytes of the first frame that are through.
    sent: usize,
    /// The first frame is through, and its end is not.
    end_due: bool,
    /// When the wire has its next frame whole.
    wire_free: Option<Instant>,
}

/// A frame on its way from the host.
#[derive(Debug, Default)]
struct FromHost {
    frame: Vec<u8>,
    /// The rest of this transfer is thrown away.
    broken: bool,
    queue: VecDeque<Vec<u8>>,
    wire_free: Option<Instant>,
}

impl<W: Wire> EcmDongle<W> {
    /// A dongle that nobody has configured.
    pub fn new(options: EcmOptions, wire: W) -> Self {
        Self {
            station: named_station(&options.mac).unwrap_or(options.station),
            link: options.link,
            filter: PacketFilter { hashed: options.multicast_hashed, ..PacketFilter::default() },
            options,
            variant: String::new(),
            wire,
            configuration: 0,
            active_since: None,
            active: false,
            to_host: ToHost::default(),
            from_host: FromHost::default(),
            notifications: VecDeque::new(),
            stalls: BTreeSet::new(),
            statistics: Statistics::default(),
            faults: Log::new(),
            steps: Log::new(),
        }
    }

    /// Tells people what is special about it.
    pub fn set_variant(&mut self, variant: impl Into<String>) {
        self.variant = variant.into();
    }

    /// What is special about it, for people; empty: nothing.
    pub fn variant(&self) -> &str {
        &self.variant
    }

    /// What it is.
    pub fn options(&self) -> &EcmOptions {
        &self.options
    }

    /// What is on its wire.
    pub fn wire(&self) -> &W {
        &self.wire
    }

    /// What is on its wire, to change it.
    pub fn wire_mut(&mut self) -> &mut W {
        &mut self.wire
    }

    /// The station whose frames are directed to it.
    pub fn station(&self) -> MacAddr {
        self.station
    }

    /// What the host did wrong so far.
    pub fn faults(&self) -> &[HostFault] {
        self.faults.list()
    }

    /// What the host asked so far, and forgets it.
    pub fn take_steps(&mut self) -> Vec<Step> {
        self.steps.take()
    }

    /// The filter as the host set it.
    pub fn filter(&self) -> &PacketFilter {
        &self.filter
    }

    /// What was counted since it was made.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Whether the host selected the setting with the bulk endpoints.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// When the host selected the setting with the bulk endpoints; `None`: it is not selected.
    pub fn active_since(&self) -> Option<Instant> {
        self.active_since
    }

    /// Bytes of a frame whose end the host has not sent yet. 0 whenever the host is idle: otherwise it owes a ZLP.
    pub fn unfinished(&self) -> usize {
        self.from_host.frame.len()
    }

    /// Frames that wait for the host to ask.
    pub fn waiting(&self) -> usize {
        self.to_host.queue.len()
    }

    /// The link's state.
    pub fn link(&self) -> Link {
        self.link
    }

    /// Changes the link and tells the host. News of the link that the host did not fetch is replaced.
    pub fn set_link(&mut self, link: Link) {
        self.link = link;
        if !link.up {
            self.from_host.queue.clear();
        }
        self.tell_link();
    }

    /// Puts bytes on the interrupt endpoint, a packet at a time, whatever they are.
    pub fn notify_raw(&mut self, packet: &[u8]) {
        self.notifications.push_back((true, packet.to_vec()));
    }

    /// Sends the host a transfer of these bytes, past wire, filter, link and queue's bound.
    pub fn send_raw(&mut self, frame: &[u8]) {
        self.to_host.queue.push_back(frame.to_vec());
    }

    /// Stalls this endpoint at its next packet. The frame that it was in is lost.
    pub fn stall_once(&mut self, endpoint: u8) {
        self.stalls.insert(endpoint);
    }

    fn tell_link(&mut self) {
        if !self.options.notifies || !self.active || self.options.notification.is_none() {
            return;
        }
        // What has begun must end, or the host would take the next one for the rest.
        let begun = self.notifications.iter().take_while(|(begins, _)| !begins).count();
        self.notifications.truncate(begun);
        let Link { up, downlink, uplink } = self.link;
        self.notify(&requests::network_connection(CONTROL_INTERFACE, up));
        if up {
            self.notify(&requests::connection_speed_change(CONTROL_INTERFACE, downlink, uplink));
        }
    }

    fn notify(&mut self, notification: &[u8]) {
        let Some(endpoint) = self.options.notification else { return };
        if self.notifications.len() >= NOTIFICATIONS {
            return;
        }
        let mut packet_size = usize::from(endpoint.packet_size.max(1));
        if self.options.split_speed {
            packet_size = packet_size.min(NOTIFICATION_HEADER);
        }
        let packets = notification.chunks(packet_size).enumerate();
        self.notifications.extend(packets.map(|(at, packet)| (at == 0, packet.to_vec())));
    }

    /// Stops the data interface, or starts it afresh.
    fn set_active(&mut self, active: bool, now: Instant) {
        if !self.from_host.frame.is_empty() {
            self.faults.add(HostFault::Unfinished { length: self.from_host.frame.len() });
        }
        self.active = active;
        self.active_since = active.then_some(now);
        self.filter.bits = match (active, self.options.filter_stalls) {
            // It has no filter that could be set.
            (true, true) => filter::DIRECTED | filter::BROADCAST | filter::ALL_MULTICAST,
            _ => 0,
        };
        self.filter.groups.clear();
        self.to_host = ToHost::default();
        self.from_host = FromHost::default();
        self.notifications.clear();
        if active {
            self.tell_link();
        }
    }

    /// Takes frames off the wire that arrive until now.
    fn receive(&mut self, now: Instant) {
        // A wire that always has one must not keep the caller.
        for _ in 0..self.options.receive_queue.saturating_mul(2).max(2) {
            let full = self.to_host.queue.len() >= self.options.receive_queue;
            let busy = self.to_host.wire_free.is_some_and(|free| free > now);
            if busy || full && self.options.flow_control && self.link.up {
                return;
            }
            let mut frame = self.to_host.free.pop().unwrap_or_default();
            if !self.wire.from_wire(&mut frame, now) {
                self.to_host.free.push(frame);
                if self.wire.asks() {
                    let device = self.observed();
                    self.wire.told(device);
                    continue;
                }
                self.to_host.wire_free = None;
                return;
            }
            if self.options.paced {
                let begin = self.to_host.wire_free.unwrap_or(now);
                self.to_host.wire_free = Some(begin + duration(frame.len(), self.link.downlink));
            }
            if self.keeps(&frame, full) {
                self.to_host.queue.push_back(frame);
            } else {
                self.to_host.free.push(frame);
            }
        }
    }

    /// Whether a frame from the wire is kept for the host; counts why not.
    fn keeps(&mut self, frame: &[u8], full: bool) -> bool {
        let Some(destination) = frame.first_chunk().filter(|_| self.link.up) else {
            self.statistics.receive_errors += u64::from(self.link.up);
            return false;
        };
        let destination = MacAddr::new(*destination);
        if !self.active || !self.filter.passes(destination, self.station) {
            self.statistics.filtered += 1;
            return false;
        }
        if full {
            self.statistics.no_buffer += 1;
            return false;
        }
        self.statistics.received.count(destination, frame.len());
        true
    }

    /// Sends frames that had to wait for the wire.
    fn transmit(&mut self, now: Instant) {
        // From one frame's end to the next, however late it is: a served dongle is called by timers that count in milliseconds.
        while let Some(free) = self.from_host.wire_free.filter(|free| *free <= now) {
            self.from_host.wire_free = match self.from_host.queue.pop_front() {
                Some(frame) => {
                    self.wire.to_wire(&frame, now);
                    Some(free + duration(frame.len(), self.link.uplink))
                }
                None => None,
            };
        }
    }

    /// The frame from the host is whole.
    fn frame_ended(&mut self, now: Instant) {
        let mut frame = std::mem::take(&mut self.from_host.frame);
        let broken = std::mem::take(&mut self.from_host.broken);
        if broken {
            self.statistics.transmit_errors += 1;
        } else if let Some(destination) = self.check(&frame) {
            self.statistics.transmitted.count(destination, frame.len());
            if !self.options.paced {
                self.wire.to_wire(&frame, now);
            } else if self.from_host.wire_free.is_some() {
                self.from_host.queue.push_back(frame);
                return;
            } else {
                self.wire.to_wire(&frame, now);
                self.from_host.wire_free = Some(now + duration(frame.len(), self.link.uplink));
            }
        } else {
            self.statistics.transmit_errors += 1;
        }
        frame.clear();
        self.from_host.frame = frame;
    }

    /// The destination of a frame that can be sent.
    fn check(&mut self, frame: &[u8]) -> Option<MacAddr> {
        let fault = if frame.is_empty() {
            HostFault::EmptyFrame
        } else if frame.len() < HEADER {
            HostFault::Runt { length: frame.len() }
        } else if frame.len() > self.options.longest_frame() {
            HostFault::FrameTooLong { length: frame.len() }
        } else if !self.link.up {
            HostFault::FrameWithoutLink
        } else {
            if let Some(ip) = ip_frame(frame)
                && frame.len() > ip.max(60) + 1
            {
                self.faults.add(HostFault::MissingEnd { frame: ip, length: frame.len() });
                return None;
            }
            return frame.first_chunk().map(|octets| MacAddr::new(*octets));
        };
        self.faults.add(fault);
        None
    }

    fn frame_out(&mut self, packet: &[u8], now: Instant) -> Handshake {
        if !self.active {
            return Handshake::Stall;
        }
        if self.from_host.queue.len() >= TRANSMIT_QUEUE {
            return Handshake::Nak;
        }
        let this = &mut self.from_host;
        if !this.broken {
            this.frame.extend_from_slice(packet);
            // One byte more is a host's padding.
            if this.frame.len() > self.options.longest_frame() + 1 {
                this.broken = true;
                self.faults.add(HostFault::FrameTooLong { length: this.frame.len() });
                this.frame.clear();
            }
        }
        if packet.len() < usize::from(self.options.bulk_packet_size()) {
            self.frame_ended(now);
        }
        Handshake::Ack(())
    }

    fn frame_in(&mut self, space: &mut [u8]) -> Handshake<usize> {
        let this = &mut self.to_host;
        if std::mem::take(&mut this.end_due) {
            return Handshake::Ack(match self.options.ending {
                Ending::ZeroLengthPacket => 0,
                Ending::Padding => {
                    space[..1].fill(0);
                    space.len().min(1)
                }
            });
        }
        let Some(frame) = this.queue.front().filter(|_| self.active) else { return Handshake::Nak };
        let rest = &frame[this.sent.min(frame.len())..];
        let length = rest.len().min(space.len());
        space[..length].copy_from_slice(&rest[..length]);
        this.sent += length;
        if this.sent == frame.len() {
            this.end_due = length == space.len();
            this.sent = 0;
            this.free.extend(this.queue.pop_front());
        }
        Handshake::Ack(length)
    }

    fn notification_in(&mut self, space: &mut [u8]) -> Handshake<usize> {
        let Some((_, packet)) = self.notifications.pop_front() else { return Handshake::Nak };
        let length = packet.len().min(space.len());
        space[..length].copy_from_slice(&packet[..length]);
        Handshake::Ack(length)
    }

    fn is_ours(&self, setup: SetupPacket, direction: Direction) -> bool {
        self.configuration == self.options.configuration()
            && setup.kind() == RequestKind::Class
            && setup.direction() == direction
            && setup.index == u16::from(CONTROL_INTERFACE)
    }

    fn refuse<T>(&mut self, setup: SetupPacket) -> Handshake<T> {
        self.faults.add(HostFault::BadRequest(setup));
        Handshake::Stall
    }

    fn stalls_now(&mut self, endpoint: u8) -> bool {
        let stalls = self.stalls.remove(&endpoint);
        if stalls && endpoint == FRAMES_OUT {
            (self.from_host.frame, self.from_host.broken) = (Vec::new(), false);
        }
        if stalls && endpoint == FRAMES_IN && (self.to_host.sent > 0 || self.to_host.end_due) {
            if self.to_host.sent > 0 {
                self.to_host.queue.pop_front();
            }
            (self.to_host.sent, self.to_host.end_due) = (0, false);
        }
        stalls
    }
}

impl<W: Wire> DeviceModel for EcmDongle<W> {
    fn speed(&self) -> Speed {
        self.options.speed
    }

    fn descriptors(&self) -> Vec<u8> {
        descriptors::all(&self.options)
    }

    fn string_descriptor(&self, index: u8, _: u16) -> Option<Vec<u8>> {
        descriptors::string(&self.options, index)
    }

    fn control_in(&mut self, setup: SetupPacket, _: Instant) -> Handshake<Vec<u8>> {
        let offered =
            |selector: u16| matches!(selector, 1..=29) && self.options.statistics >> (selector - 1) & 1 == 1;
        let asks = self.is_ours(setup, Direction::In) && setup.request == requests::GET_ETHERNET_STATISTIC;
        if !asks || !offered(setup.value) {
            return self.refuse(setup);
        }
        self.steps.add(Step::Statistic(setup.value));
        match self.statistics.selected(setup.value, self.from_host.queue.len()) {
            Some(value) => Handshake::Ack(value.to_le_bytes().to_vec()),
            None => Handshake::Stall,
        }
    }

    fn control_out(&mut self, setup: SetupPacket, data: &[u8], _: Instant) -> Handshake {
        if !self.is_ours(setup, Direction::Out) {
            return self.refuse(setup);
        }
        match setup.request {
            requests::SET_ETHERNET_PACKET_FILTER if data.is_empty() => {
                self.steps.add(Step::Filter(setup.value));
                if self.options.filter_stalls {
                    return Handshake::Stall;
                }
                if !self.active {
                    self.faults.add(HostFault::FilterTooEarly);
                }
                self.filter.bits = setup.value & 0x1f;
                Handshake::Ack(())
            }
            requests::SET_ETHERNET_MULTICAST_FILTERS => {
                let (groups, rest) = data.as_chunks::<6>();
                let most = usize::from(self.options.multicast_filters & 0x7fff);
                let fits =
                    rest.is_empty() && groups.len() == usize::from(setup.value) && groups.len() <= most;
                if !fits || most == 0 {
                    return self.refuse(setup);
                }
                self.filter.groups = groups.iter().copied().map(MacAddr::new).collect();
                self.steps.add(Step::Multicast(self.filter.groups.clone()));
                Handshake::Ack(())
            }
            _ => self.refuse(setup),
        }
    }

    fn configured(&mut self, value: u8, now: Instant) {
        self.steps.add(Step::Configured(value));
        self.configuration = value;
        self.set_active(value == self.options.configuration() && !self.options.idle_alternate, now);
    }

    fn alternate_selected(&mut self, interface: u8, alternate: u8, now: Instant) -> bool {
        self.steps.add(Step::Alternate { interface, alternate });
        if self.configuration == self.options.configuration() && interface == DATA_INTERFACE {
            self.set_active(alternate == self.options.data_alternate(), now);
        }
        true
    }

    fn packet_in(&mut self, endpoint: u8, space: &mut [u8], _: Instant) -> Handshake<usize> {
        if self.stalls_now(endpoint) {
            return Handshake::Stall;
        }
        match endpoint {
            _ if self.configuration != self.options.configuration() => Handshake::Nak,
            FRAMES_IN => self.frame_in(space),
            NOTIFICATION_IN => self.notification_in(space),
            _ => Handshake::Nak,
        }
    }

    fn packet_out(&mut self, endpoint: u8, packet: &[u8], now: Instant) -> Handshake {
        if self.stalls_now(endpoint) {
            return Handshake::Stall;
        }
        match endpoint {
            _ if self.configuration != self.options.configuration() => Handshake::Nak,
            FRAMES_OUT => self.frame_out(packet, now),
            _ => Handshake::Nak,
        }
    }

    fn advance(&mut self, now: Instant) -> Option<Instant> {
        self.transmit(now);
        self.receive(now);
        let full = self.options.flow_control && self.to_host.queue.len() >= self.options.receive_queue;
        let wire = match self.to_host.wire_free {
            // A packet that the host takes makes room, and that is a turn of its own.
            _ if full => None,
            Some(free) => Some(free),
            None => self.wire.next_wake(now),
        };
        let wake = wire.into_iter().chain(self.from_host.wire_free).min();
        // The present is over: whoever is asked to come now would come forever.
        wake.filter(|wake| *wake > now).or(wake.map(|_| now + std::time::Duration::from_micros(1)))
    }
}

/// The station that the MAC string names.
fn named_station(mac: &MacString) -> Option<MacAddr> {
    let MacString::Text(text) = mac else { return None };
    if text.len() != 12 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let number = u64::from_str_radix(text, 16).ok()?;
    let [_, _, octets @ ..] = number.to_be_bytes();
    Some(MacAddr::new(octets)).filter(|mac| mac.is_valid_station())
}

/// How long a frame is whose IP packet says where it ends.
fn ip_frame(frame: &[u8]) -> Option<usize> {
    let word = |at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?));
    let (ether_type, header) = match word(12)? {
        0x8100 => (word(16)?, HEADER + 4),
        ether_type => (ether_type, HEADER),
    };
    match ether_type {
        0x0800 => Some(header + usize::from(word(header + 2)?)),
        0x86dd => Some(header + 40 + usize::from(word(header + 4)?)),
        _ => None,
    }
}
