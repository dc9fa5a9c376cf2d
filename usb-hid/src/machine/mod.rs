//! From reports to events: reports and the time in, events of input nodes out; LEDs the other way. No I/O, and no allocation for a report.
//!
//! What comes out is what an application reads from Linux's own nodes: only changes, packets ended by `SYN_REPORT`, contacts in slots with tracking
//! ids, the pointer that follows from them. Auto-repeat is for the end that delivers the events.

mod general;
mod leds;
mod node;
mod report;
mod slots;
#[cfg(test)]
mod tests;
mod touch;

pub use leds::OutputReport;

use crate::mapping::{DeviceFlags, Mapping};
use crate::proto::class::ReportKind;
use crate::proto::report::ReportDescriptor;
use general::Reading;
use node::NodeState;
use outboard_core::family::hid::{Event, Node};
use report::InputReport;
use std::time::Duration;
use touch::Touch;

/// Takes events.
pub trait Sink {
    /// An event of the node at this place in [`Mapping::nodes`].
    fn event(&mut self, node: usize, event: Event);
}

impl<F: FnMut(usize, Event)> Sink for F {
    fn event(&mut self, node: usize, event: Event) {
        self(node, event);
    }
}

/// A report that nothing can be made of; the device goes on all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// There is nothing in it.
    #[error("the report is empty")]
    Empty,
    /// No report has this number.
    #[error("there is no input report {0}")]
    Unknown(u8),
    /// It is shorter than the descriptor says.
    #[error("{} has {length} bytes, and must have {needed}", if *id == 0 { "the report".into() } else { format!("report {id}") })]
    TooShort {
        /// Its number; 0 if it has none.
        id: u8,
        /// How long it is, with its number.
        length: usize,
        /// How long it must be, with its number.
        needed: usize,
    },
}

/// The state of a device's nodes.
#[derive(Debug, Clone)]
pub struct Machine {
    nodes: Vec<NodeState>,
    reports: Vec<InputReport>,
    /// By the report's place in the descriptor.
    by_place: Vec<Option<usize>>,
    /// By the report's number.
    by_id: Box<[Option<u16>; 256]>,
    is_numbered: bool,
    flags: DeviceFlags,
    touch: Option<Touch>,
    leds: leds::Leds,
}

impl Machine {
    /// Nothing is pressed, nothing touched. The mapping must be of this descriptor.
    pub fn new(descriptor: &ReportDescriptor, mapping: &Mapping) -> Self {
        let slots = |node: usize| mapping.touch.as_ref().and_then(|touch| *touch.slots.get(node)?);
        let nodes = mapping.nodes.iter().enumerate();
        let nodes = nodes.map(|(index, node)| NodeState::new(node.clone(), index, slots(index))).collect();
        let mut by_place = vec![None; descriptor.reports.len()];
        let mut by_id = Box::new([None; 256]);
        let mut reports = Vec::new();
        for (place, (report, plan)) in descriptor.reports.iter().zip(&mapping.reports).enumerate() {
            if report.kind == ReportKind::Input {
                by_place[place] = Some(reports.len());
                by_id[usize::from(report.id)] = u16::try_from(reports.len()).ok();
                let touch = mapping.touch.as_ref().and_then(|touch| touch.reports[place]);
                reports.push(InputReport::new(report, plan, touch));
            }
        }
        let flags = mapping.flags;
        Self {
            nodes,
            reports,
            by_place,
            by_id,
            is_numbered: descriptor.is_numbered(ReportKind::Input),
            flags,
            touch: mapping.touch.as_ref().map(|touch| Touch::new(touch, flags.x_invert, flags.y_invert)),
            leds: leds::Leds::new(descriptor, mapping),
        }
    }

    /// The nodes, in their order.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().map(|state| &state.node)
    }

    /// An input report as it came, at this time (of any clock that only goes forward).
    ///
    /// # Errors
    /// If it is none of the device's; nothing has happened then.
    pub fn input<S: Sink + ?Sized>(
        &mut self,
        report: &[u8],
        now: Duration,
        sink: &mut S,
    ) -> Result<(), ReportError> {
        let (id, body) = match (report, self.is_numbered) {
            ([], _) => return Err(ReportError::Empty),
            ([id, body @ ..], true) => (*id, body),
            (body, false) => (0, body),
        };
        let Some(index) = self.by_id[usize::from(id)].map(usize::from) else {
            return Err(ReportError::Unknown(id));
        };
        let needed = self.reports[index].body_bytes();
        if body.len() < needed {
            let number = usize::from(self.is_numbered);
            return Err(ReportError::TooShort { id, length: report.len(), needed: needed + number });
        }
        self.reports[index].read(body);
        let touch = self.reports[index].touch;
        if !touch.is_some_and(|touch| touch.has_contacts) {
            self.handle(index, sink);
        }
        self.reports[index].keep();
        match (touch, &mut self.touch) {
            (Some(touch), Some(machine)) if touch.has_contacts => {
                let reports = (&self.reports[..], &self.by_place[..]);
                machine.report(&mut self.nodes, sink, reports, (index, touch.application), now);
            }
            // A touch device's reports concern one node; any other's end the packets of all.
            (_, Some(_)) => {
                if let Some(node) = self.reports[index].first_node().and_then(|node| self.nodes.get_mut(node))
                {
                    node.sync(sink);
                }
            }
            (_, None) => self.nodes.iter_mut().for_each(|node| node.sync(sink)),
        }
        Ok(())
    }

    /// Handles what the report that was read last says, but for contacts.
    fn handle<S: Sink + ?Sized>(&mut self, index: usize, sink: &mut S) {
        let InputReport { fields, steps, values, new, tool, .. } = &mut self.reports[index];
        for step in steps.iter() {
            let field = &mut fields[step.field];
            let Some(node) = self.nodes.get_mut(field.node) else { continue };
            let kind = field.kind;
            if let Some(control) = step.control {
                let at = field.first + control;
                let target = &mut field.targets[control];
                let reading = Reading { value: new[at], known: Some(values[at]) };
                general::control(node, sink, &self.flags, tool, kind, target, reading);
                continue;
            }
            if field.is_ignored {
                continue;
            }
            for value in &new[field.values()] {
                let control = field.control(*value);
                field.now_on.mark(control, true);
            }
            let mut switch = |field: &mut report::FieldState, control: u32, on: bool| {
                if let Some(target) = field.targets.get_mut(control as usize) {
                    let reading = Reading { value: on.into(), known: None };
                    general::control(node, sink, &self.flags, tool, kind, target, reading);
                }
            };
            for at in field.values() {
                let (was, is) = (field.control(values[at]), field.control(new[at]));
                if let Some(was) = was.filter(|was| !field.now_on.has(*was)) {
                    switch(field, was, false);
                }
                if let Some(is) = is.filter(|is| !field.on.has(*is)) {
                    switch(field, is, true);
                }
            }
            // The marks of the next report begin as nothing, at the cost of this one's values.
            for at in field.values() {
                let control = field.control(values[at]);
                field.on.mark(control, false);
            }
            for at in field.values() {
                let control = field.control(new[at]);
                field.now_on.mark(control, false);
                field.on.mark(control, true);
                values[at] = new[at];
            }
        }
    }

    /// When [`timeout`](Self::timeout) is to be called, by the clock of [`input`](Self::input); nothing before is lost by calling it late.
    pub fn deadline(&self) -> Option<Duration> {
        self.touch.as_ref().and_then(|touch| touch.release_at)
    }

    /// Time has passed: contacts that have not been mentioned for too long are lifted.
    pub fn timeout<S: Sink + ?Sized>(&mut self, now: Duration, sink: &mut S) {
        if let Some(touch) = self.touch.as_mut().filter(|touch| touch.release_at.is_some_and(|at| now >= at))
        {
            touch.release_stale(&mut self.nodes, sink);
        }
    }

    /// The device stops or is gone: every key is released and every contact lifted.
    pub fn release<S: Sink + ?Sized>(&mut self, sink: &mut S) {
        self.nodes.iter_mut().for_each(|node| node.release(sink));
        if let Some(touch) = &mut self.touch {
            touch.release_stale(&mut self.nodes, sink);
        }
    }

    /// An application switches an LED (`LED_*`): the report that tells the device, or `None` if it has no such LED.
    pub fn set_led(&mut self, code: u16, on: bool) -> Option<OutputReport<'_>> {
        self.leds.set(code, on)
    }

    /// The reports that bring a device that has been reset to the LEDs as they are.
    pub fn led_reports(&self) -> impl Iterator<Item = OutputReport<'_>> {
        self.leds.reports()
    }
}
