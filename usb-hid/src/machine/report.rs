//! An input report: which values are where, what they were, and in which order they are handled. It knows no node.

use super::general::Kind;
use crate::mapping::{FieldPlan, ReportPlan, Target, TouchReport};
use crate::proto::Usage;
use crate::proto::bits;
use crate::proto::report::{Field, Flags, Report};

/// The values of a field.
#[derive(Debug, Clone)]
pub(super) struct FieldState {
    pub(super) node: usize,
    pub(super) kind: Kind,
    pub(super) targets: Vec<Target>,
    controls: u32,
    /// The field's place in the descriptor's report.
    place: usize,
    bit_offset: usize,
    bits: u32,
    count: usize,
    /// Where its values are among the report's.
    pub(super) first: usize,
    /// The controls that mean that too many keys are down; of a field whose values say which controls are on.
    rollover: Vec<u32>,
    /// Which controls are on now, and which the report says are.
    pub(super) on: Marks,
    pub(super) now_on: Marks,
    /// Too many keys are down: the report says nothing about them.
    pub(super) is_ignored: bool,
}

/// A set of controls.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks(Vec<u64>);

impl Marks {
    fn new(controls: u32) -> Self {
        Self(vec![0; controls.div_ceil(64) as usize])
    }

    pub(super) fn mark(&mut self, control: Option<u32>, on: bool) {
        let Some(control) = control else { return };
        if let Some(word) = self.0.get_mut(control as usize / 64) {
            let bit = 1 << (control % 64);
            *word = if on { *word | bit } else { *word & !bit };
        }
    }

    pub(super) fn has(&self, control: u32) -> bool {
        self.0.get(control as usize / 64).is_some_and(|word| word & 1 << (control % 64) != 0)
    }
}

impl FieldState {
    fn new(field: &Field, plan: &FieldPlan, node: usize, place: usize, first: usize) -> Self {
        let is_array = !plan.is_variable();
        let rollover = (0..field.usages.declared()).zip(field.usages.iter());
        let rollover = rollover.filter(|(_, usage)| is_array && *usage == Usage::ERROR_ROLL_OVER);
        let mut rollover: Vec<u32> = rollover.map(|(control, _)| control).collect();
        if is_array && field.usages.get(u32::MAX) == Some(Usage::ERROR_ROLL_OVER) {
            rollover.extend(field.usages.declared()..plan.controls);
        }
        let marks = Marks::new(if is_array { plan.controls } else { 0 });
        let FieldPlan { flags, minimum, maximum, multiplier, .. } = *plan;
        let mut this = Self {
            node,
            kind: Kind { flags, minimum, maximum, multiplier },
            targets: plan.targets.clone(),
            controls: plan.controls,
            place,
            bit_offset: field.bit_offset as usize,
            bits: field.bits,
            count: field.count as usize,
            first,
            rollover,
            on: marks.clone(),
            now_on: marks,
            is_ignored: false,
        };
        // Before the first report all values are 0, which may say that a control is on; Linux takes it so.
        let on = this.control(0).filter(|_| field.count > 0);
        this.on.mark(on, true);
        this
    }

    pub(super) fn is_variable(&self) -> bool {
        self.kind.flags.has(Flags::VARIABLE)
    }

    /// Where its values are among the report's.
    pub(super) fn values(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.count
    }

    /// The control that a value says is on, of a field whose values do.
    pub(super) fn control(&self, value: i32) -> Option<u32> {
        let Kind { minimum, maximum, .. } = self.kind;
        if value < minimum || value > maximum {
            return None;
        }
        u32::try_from(value.wrapping_sub(minimum)).ok().filter(|control| *control < self.controls)
    }

    /// Reads its values. A value of more than 32 bits is cut to them, as applications know no more.
    fn read(&mut self, body: &[u8], values: &mut [i32]) {
        self.is_ignored = false;
        for (n, value) in values[self.first..self.first + self.count].iter_mut().enumerate() {
            let read = bits::extract(body, self.bit_offset + n * self.bits as usize, self.bits.min(32));
            *value = if self.kind.minimum < 0 {
                bits::sign_extend(read, self.bits.min(32)) as i32
            } else {
                read as i32
            };
            if !self.rollover.is_empty() {
                let control = self.control(*value);
                if control.is_some_and(|control| self.rollover.binary_search(&control).is_ok()) {
                    self.is_ignored = true;
                    return;
                }
            }
        }
    }
}

/// What is handled at one time: a control, or all of a field whose values say which are on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) field: usize,
    /// `None`: all of it.
    pub(super) control: Option<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct InputReport {
    body_bytes: usize,
    pub(super) fields: Vec<FieldState>,
    pub(super) steps: Vec<Step>,
    /// As of the report before, and as this one says.
    pub(super) values: Vec<i32>,
    pub(super) new: Vec<i32>,
    pub(super) tool: super::general::Tool,
    pub(super) touch: Option<TouchReport>,
    first_node: Option<usize>,
}

impl InputReport {
    pub(super) fn new(report: &Report, plan: &ReportPlan, touch: Option<TouchReport>) -> Self {
        let has_contacts = touch.is_some_and(|touch| touch.has_contacts);
        let mut fields = Vec::new();
        let mut steps: Vec<(u32, Step)> = Vec::new();
        let mut count = 0;
        for (place, (field, plan)) in report.fields.iter().zip(&plan.fields).enumerate() {
            // What comes to nothing is not even read; contacts are told from all fields of their report.
            let Some(node) = plan.node.filter(|_| has_contacts || !plan.targets.is_empty()) else { continue };
            let at = fields.len();
            fields.push(FieldState::new(field, plan, node, place, count));
            count += field.count as usize;
            let rank = |control: u32| {
                let rank = plan.ranks.binary_search_by_key(&control, |(control, _)| *control);
                rank.map_or(0, |rank| plan.ranks[rank].1)
            };
            if !plan.is_variable() {
                steps.push((plan.priority | rank(0), Step { field: at, control: None }));
                continue;
            }
            let controls = plan.targets.iter().take(field.count as usize).enumerate();
            let controls = controls.filter(|(_, target)| target.kind != 0);
            steps.extend(controls.map(|(control, _)| {
                (plan.priority | rank(control as u32), Step { field: at, control: Some(control) })
            }));
        }
        // Stable: what has the same priority stays in the report's order.
        steps.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
        Self {
            body_bytes: report.body_bytes(),
            fields,
            steps: steps.into_iter().map(|(_, step)| step).collect(),
            values: vec![0; count],
            new: vec![0; count],
            tool: super::general::Tool::default(),
            touch,
            first_node: plan.fields.first().and_then(|field| field.node),
        }
    }

    pub(super) fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    /// The node of its first field.
    pub(super) fn first_node(&self) -> Option<usize> {
        self.first_node
    }

    pub(super) fn read(&mut self, body: &[u8]) {
        for field in &mut self.fields {
            field.read(body, &mut self.new);
        }
    }

    /// The values of this report become those of the report before.
    pub(super) fn keep(&mut self) {
        for field in self.fields.iter().filter(|field| field.is_variable()) {
            self.values[field.values()].copy_from_slice(&self.new[field.values()]);
        }
    }

    /// The last value at `index` of the field at this place of the descriptor's report.
    pub(super) fn value(&self, place: usize, index: u32) -> Option<i32> {
        let field = self.fields.binary_search_by_key(&place, |field| field.place).ok()?;
        let field = &self.fields[field];
        self.values.get(field.values()).and_then(|values| values.get(index as usize)).copied()
    }

    /// The last value of every control that is something, of fields with a value for each: node, what it is, value.
    pub(super) fn variables(&self) -> impl Iterator<Item = (usize, &Target, i32)> {
        self.fields.iter().filter(|field| field.is_variable()).flat_map(|field| {
            let values = &self.values[field.values()];
            let controls = field.targets.iter().zip(values).filter(|(target, _)| target.kind != 0);
            controls.map(|(target, value)| (field.node, target, *value))
        })
    }
}
