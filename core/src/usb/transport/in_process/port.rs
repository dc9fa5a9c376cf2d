//! The port that a modelled device is plugged into: standard requests, halts, configurations, and transfers cut into packets. It must
//! not know who submits, nor wait: time is passed in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::model::{DeviceModel, Handshake};
use super::standard::Features;
use crate::usb::descriptor::{Configuration, DeviceDescriptors, Endpoint};
use crate::usb::transfer::{Done, Operation, Token, TransferError, Urb};
use crate::usb::{Direction, RequestKind};

/// Packets moved per turn and endpoint, so that a device which always has data cannot keep the caller forever.
const PACKETS_PER_TURN: usize = 4096;

/// The largest packet of any endpoint (USB 2.0, 5.7.3; USB 3.2, 8.3.1.2).
const MAX_PACKET: usize = 1024;

/// A model is called again after at least this time; timers count in milliseconds.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// A modelled device and the requests that wait on it.
pub struct Port<M> {
    pub(super) model: M,
    pub(super) descriptors: Vec<u8>,
    pub(super) parsed: Option<DeviceDescriptors>,
    pub(super) configuration: u8,
    pub(super) alternates: BTreeMap<u8, u8>,
    pub(super) halted: BTreeSet<u8>,
    pub(super) features: Features,
    /// Waiting transfers by endpoint, in order, with the bytes that have moved.
    waiting: BTreeMap<u8, VecDeque<(Urb, usize)>>,
    control: VecDeque<Urb>,
}

impl<M: DeviceModel> Port<M> {
    /// Plugs the model in, unconfigured.
    pub fn new(model: M) -> Self {
        let descriptors = model.descriptors();
        let parsed = DeviceDescriptors::parse_at(&descriptors, model.speed()).ok();
        Self {
            model,
            descriptors,
            parsed,
            configuration: 0,
            alternates: BTreeMap::new(),
            halted: BTreeSet::new(),
            features: Features::default(),
            waiting: BTreeMap::new(),
            control: VecDeque::new(),
        }
    }

    /// The model.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The model, to change what it does.
    pub fn model_mut(&mut self) -> &mut M {
        &mut self.model
    }

    /// The device descriptor and all configurations.
    pub fn descriptors(&self) -> &[u8] {
        &self.descriptors
    }

    /// bConfigurationValue of the active configuration, 0 for none.
    pub fn configuration(&self) -> u8 {
        self.configuration
    }

    /// Selects a configuration, as the host does after enumeration. False: there is none with this value.
    pub fn configure(&mut self, value: u8, now: Instant) -> bool {
        let known = value == 0
            || self.parsed.as_ref().is_some_and(|descriptors| descriptors.configuration(value).is_some());
        if known {
            self.configuration = value;
            self.alternates.clear();
            self.halted.clear();
            self.model.configured(value, now);
        }
        known
    }

    /// Unplugs the model and plugs it in again: it is unconfigured, nothing is halted, no feature is set. What was in flight is to be taken
    /// back before, by [`withdraw_all`](Self::withdraw_all).
    pub fn replug(&mut self, now: Instant) {
        self.features = Features::default();
        self.configure(0, now);
    }

    /// The active configuration.
    pub(super) fn active(&self) -> Option<&Configuration> {
        self.parsed.as_ref()?.configuration(self.configuration)
    }

    /// Takes a request; [`turn`](Self::turn) serves it.
    pub fn submit(&mut self, urb: Urb) {
        match urb.operation {
            Operation::Transfer { endpoint, .. } => {
                self.waiting.entry(endpoint).or_default().push_back((urb, 0));
            }
            _ => self.control.push_back(urb),
        }
    }

    /// Takes a request back that has not ended.
    pub fn withdraw(&mut self, token: Token) -> Option<(Urb, usize)> {
        for queue in self.waiting.values_mut() {
            if let Some(at) = queue.iter().position(|(urb, _)| urb.token == token) {
                return queue.remove(at);
            }
        }
        let at = self.control.iter().position(|urb| urb.token == token)?;
        self.control.remove(at).map(|urb| (urb, 0))
    }

    /// Takes back everything.
    pub fn withdraw_all(&mut self) -> impl Iterator<Item = Urb> + use<'_, M> {
        let control = std::mem::take(&mut self.control).into_iter();
        let waiting = std::mem::take(&mut self.waiting).into_values();
        control.chain(waiting.flatten().map(|(urb, _)| urb))
    }

    /// Serves what can be served now and appends it to `done`. Returns when to call again, if nothing is submitted before.
    pub fn turn(&mut self, now: Instant, done: &mut Vec<Done>) -> Option<Instant> {
        // A model that asks for a time that is not later must not keep everything else from running, nor time from passing.
        let later = |wake| if wake > now { wake } else { now + SHORTEST_WAIT };
        self.model.advance(now);
        let mut more = false;
        // A control request that is NAKed holds up those behind it, as endpoint 0 does.
        while let Some(mut urb) = self.control.pop_front() {
            match self.serve_control(&mut urb, now) {
                Handshake::Ack(n) => done.push(Done { urb, status: Ok(n) }),
                Handshake::Stall => done.push(Done { urb, status: Err(TransferError::Stall) }),
                Handshake::Nak => {
                    self.control.push_front(urb);
                    break;
                }
            }
        }
        for (endpoint, queue) in &mut self.waiting {
            let Some(max_packet) =
                packet_size(self.parsed.as_ref(), self.configuration, &self.alternates, *endpoint)
            else {
                done.extend(queue.drain(..).map(|(urb, _)| Done { urb, status: Err(TransferError::Fault) }));
                continue;
            };
            let mut budget = PACKETS_PER_TURN;
            while let Some((urb, moved)) = queue.front_mut() {
                let status = if self.halted.contains(endpoint) {
                    Some(Err(TransferError::Stall))
                } else {
                    let mut transfer =
                        Transfer { model: &mut self.model, endpoint: *endpoint, max_packet, now };
                    transfer.serve(urb, moved, &mut budget)
                };
                let Some(status) = status else {
                    // Not because of the device: there may be more now.
                    more |= budget == 0;
                    break;
                };
                if status == Err(TransferError::Stall) {
                    self.halted.insert(*endpoint);
                }
                if let Some((urb, _)) = queue.pop_front() {
                    done.push(Done { urb, status });
                }
            }
        }
        // After all packets: what they began may be what the host waits for.
        if more { Some(now) } else { self.model.advance(now).map(later) }
    }

    fn serve_control(&mut self, urb: &mut Urb, now: Instant) -> Handshake<usize> {
        let answered = |accepted: bool| if accepted { Handshake::Ack(0) } else { Handshake::Stall };
        match urb.operation {
            Operation::SetConfiguration(value) => answered(self.configure(value, now)),
            Operation::SetInterface { interface, alternate } => {
                answered(self.select_alternate(interface, alternate, now))
            }
            Operation::ClearHalt { endpoint } => {
                self.halted.remove(&endpoint);
                Handshake::Ack(0)
            }
            Operation::Reset => answered(self.reset(now)),
            Operation::Control(setup) if setup.direction() == Direction::In => {
                let answer = match setup.kind() {
                    RequestKind::Standard => match self.standard_in(setup) {
                        Some(answer) => Handshake::Ack(answer),
                        None => Handshake::Stall,
                    },
                    _ => self.model.control_in(setup, now),
                };
                match answer {
                    Handshake::Ack(data) => {
                        let n = data.len().min(usize::from(setup.length)).min(urb.buffer.capacity());
                        urb.buffer.space_mut()[..n].copy_from_slice(&data[..n]);
                        urb.buffer.set_len(n);
                        Handshake::Ack(n)
                    }
                    Handshake::Nak => Handshake::Nak,
                    Handshake::Stall => Handshake::Stall,
                }
            }
            Operation::Control(setup) => {
                let data = &urb.buffer.space()[..urb.buffer.len()];
                if setup.kind() == RequestKind::Standard {
                    return match self.standard_out(setup, data, now) {
                        true => Handshake::Ack(data.len()),
                        false => Handshake::Stall,
                    };
                }
                match self.model.control_out(setup, data, now) {
                    Handshake::Ack(()) => Handshake::Ack(data.len()),
                    Handshake::Nak => Handshake::Nak,
                    Handshake::Stall => Handshake::Stall,
                }
            }
            Operation::Transfer { .. } => Handshake::Stall,
        }
    }

    /// As a host restores a device after a reset: the configuration, then the alternate settings that were not 0.
    fn reset(&mut self, now: Instant) -> bool {
        let alternates = std::mem::take(&mut self.alternates);
        self.features = Features::default();
        let mut restored = self.configure(self.configuration, now);
        for (interface, alternate) in alternates.into_iter().filter(|(_, alternate)| *alternate != 0) {
            restored &= self.select_alternate(interface, alternate, now);
        }
        restored
    }

    pub(super) fn select_alternate(&mut self, interface: u8, alternate: u8, now: Instant) -> bool {
        let setting = self
            .parsed
            .as_ref()
            .and_then(|descriptors| descriptors.configuration(self.configuration))
            .and_then(|configuration| configuration.alternate(interface, alternate));
        let Some(setting) = setting else { return false };
        if !self.model.alternate_selected(interface, alternate, now) {
            return false;
        }
        for endpoint in &setting.endpoints {
            self.halted.remove(&endpoint.address);
        }
        self.alternates.insert(interface, alternate);
        true
    }
}

/// The endpoint with this address in the selected alternate settings.
pub(super) fn endpoint<'a>(
    configuration: Option<&'a Configuration>,
    alternates: &BTreeMap<u8, u8>,
    address: u8,
) -> Option<&'a Endpoint> {
    let configuration = configuration?;
    configuration
        .interfaces
        .iter()
        .filter_map(|interface| {
            let alternate = alternates.get(&interface.number).copied().unwrap_or(0);
            configuration.alternate(interface.number, alternate)
        })
        .find_map(|setting| setting.endpoint(address))
}

fn packet_size(
    descriptors: Option<&DeviceDescriptors>,
    configuration: u8,
    alternates: &BTreeMap<u8, u8>,
    address: u8,
) -> Option<usize> {
    endpoint(descriptors?.configuration(configuration), alternates, address)
        .map(|endpoint| usize::from(endpoint.max_packet_size))
        // No bus has packets of any other size, whatever a device says.
        .filter(|size| (1..=MAX_PACKET).contains(size))
}

/// One transfer's packets.
struct Transfer<'a, M> {
    model: &'a mut M,
    endpoint: u8,
    max_packet: usize,
    now: Instant,
}

impl<M: DeviceModel> Transfer<'_, M> {
    /// Moves packets until the transfer ends (`Some`) or the device has no more now (`None`).
    fn serve(
        &mut self,
        urb: &mut Urb,
        moved: &mut usize,
        budget: &mut usize,
    ) -> Option<Result<usize, TransferError>> {
        let Operation::Transfer { request, zero_packet, .. } = urb.operation else { return Some(Ok(0)) };
        if Direction::of(self.endpoint) == Direction::In {
            self.serve_in(urb, request, moved, budget)
        } else {
            self.serve_out(urb, zero_packet, moved, budget)
        }
    }

    fn serve_in(
        &mut self,
        urb: &mut Urb,
        request: usize,
        moved: &mut usize,
        budget: &mut usize,
    ) -> Option<Result<usize, TransferError>> {
        let request = request.min(urb.buffer.capacity());
        let mut packet = [0; MAX_PACKET];
        let packet = packet.get_mut(..self.max_packet)?;
        loop {
            *budget = budget.checked_sub(1)?;
            let n = match self.model.packet_in(self.endpoint, packet, self.now) {
                Handshake::Ack(n) => n.min(packet.len()),
                Handshake::Nak => return None,
                Handshake::Stall => return Some(Err(TransferError::Stall)),
            };
            let room = request - *moved;
            let taken = n.min(room);
            urb.buffer.space_mut()[*moved..*moved + taken].copy_from_slice(&packet[..taken]);
            *moved += taken;
            urb.buffer.set_len(*moved);
            if n > room {
                return Some(Err(TransferError::Overflow));
            }
            if n < self.max_packet || *moved == request {
                return Some(Ok(*moved));
            }
        }
    }

    fn serve_out(
        &mut self,
        urb: &Urb,
        zero_packet: bool,
        moved: &mut usize,
        budget: &mut usize,
    ) -> Option<Result<usize, TransferError>> {
        let data = &urb.buffer.space()[..urb.buffer.len()];
        loop {
            *budget = budget.checked_sub(1)?;
            let rest = &data[*moved..];
            let packet = &rest[..rest.len().min(self.max_packet)];
            match self.model.packet_out(self.endpoint, packet, self.now) {
                Handshake::Ack(()) => {}
                Handshake::Nak => return None,
                Handshake::Stall => return Some(Err(TransferError::Stall)),
            }
            *moved += packet.len();
            let short = packet.len() < self.max_packet;
            if *moved == data.len() && (short || !zero_packet) {
                return Some(Ok(*moved));
            }
        }
    }
}
