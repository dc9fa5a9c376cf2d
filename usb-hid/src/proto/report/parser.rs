//! The state machine that goes through a report descriptor's items (HID 1.11, 5.4): the global state with its stack, the local state of the
//! next main item, and the open collections. It knows no event codes.

use super::item::{Item, ItemKind, Items, global, local, main};
use super::{
    Alias, Collection, CollectionKind, DescriptorError, Field, Finding, Flags, Oddity, ParseOptions, Problem,
    Report, ReportDescriptor, TouchGroup, UsageRun, Usages, limit,
};
use crate::proto::class::ReportKind;
use crate::proto::usage::page;
use crate::proto::{Usage, bits};

#[derive(Debug, Clone, Copy, Default)]
struct Global {
    usage_page: u32,
    logical: (i32, i32),
    physical: (i32, i32),
    unit_exponent: i32,
    unit: u32,
    report_size: u32,
    report_count: u32,
    report_id: u8,
}

/// The set of usages between two delimiters: the first run gives the controls, the others are aliases of the same ones.
#[derive(Debug, Clone, Copy)]
struct Delimited {
    index: u32,
    has_controls: bool,
}

#[derive(Debug, Default)]
struct Local {
    usages: Usages,
    aliases: Vec<Alias>,
    usage_minimum: u32,
    delimited: Option<Delimited>,
}

#[derive(Debug)]
struct Parser {
    descriptor: ReportDescriptor,
    global: Global,
    stack: Vec<Global>,
    local: Local,
    open: Vec<usize>,
    report_bits: u32,
    certified: bool,
}

pub(super) fn parse(bytes: &[u8], options: &ParseOptions) -> Result<ReportDescriptor, DescriptorError> {
    let fail = |offset, problem| Err(DescriptorError { offset, problem });
    if bytes.len() > limit::DESCRIPTOR {
        return fail(limit::DESCRIPTOR, Problem::TooLong);
    }
    let report_bytes = options.report_bytes.clamp(1, limit::REPORT_BYTES);
    let mut parser = Parser {
        descriptor: ReportDescriptor::default(),
        global: Global::default(),
        stack: Vec::new(),
        local: Local::default(),
        open: Vec::new(),
        // A byte less: there may be a number before it.
        report_bits: (report_bytes - 1) * 8,
        certified: false,
    };
    let mut items = Items::new(bytes);
    for item in items.by_ref() {
        parser.item(&item).map_err(|problem| DescriptorError { offset: item.offset, problem })?;
    }
    let cut = items.rest().len();
    if cut > 0 {
        parser.find(items.offset(), Oddity::CutOff { bytes: cut });
    }
    if items.offset() == 0 {
        return fail(0, Problem::Empty);
    }
    if !parser.open.is_empty() {
        parser.find(bytes.len(), Oddity::MissingEnd { count: parser.open.len() });
    }
    if parser.certified && parser.descriptor.touch == TouchGroup::Touch {
        parser.descriptor.touch = TouchGroup::Certified;
    }
    Ok(parser.descriptor)
}

impl Parser {
    fn find(&mut self, offset: usize, oddity: Oddity) {
        let findings = &mut self.descriptor.findings;
        match findings.len() {
            0..limit::FINDINGS => findings.push(Finding { offset, oddity }),
            limit::FINDINGS => findings.push(Finding { offset, oddity: Oddity::MoreFindings }),
            _ => {}
        }
    }

    fn item(&mut self, item: &Item<'_>) -> Result<(), Problem> {
        match item.kind {
            ItemKind::Main => self.main(item),
            ItemKind::Global => self.global(item),
            ItemKind::Local => self.local(item),
            ItemKind::Reserved => {
                self.find(item.offset, Oddity::Reserved);
                Ok(())
            }
            ItemKind::Long => {
                self.find(item.offset, Oddity::LongItem);
                Ok(())
            }
        }
    }

    fn global(&mut self, item: &Item<'_>) -> Result<(), Problem> {
        let global = &mut self.global;
        match item.tag {
            global::USAGE_PAGE => global.usage_page = item.unsigned(),
            global::LOGICAL_MINIMUM => global.logical.0 = item.signed(),
            global::LOGICAL_MAXIMUM => global.logical.1 = maximum(global.logical.0, item),
            global::PHYSICAL_MINIMUM => global.physical.0 = item.signed(),
            global::PHYSICAL_MAXIMUM => global.physical.1 = maximum(global.physical.0, item),
            global::UNIT_EXPONENT => {
                // A nibble by the specification's table, a signed number by its text; devices do either.
                let value = item.signed();
                let nibble = (0..16).contains(&value);
                global.unit_exponent = if nibble { bits::sign_extend(value as u64, 4) as i32 } else { value };
            }
            global::UNIT => global.unit = item.unsigned(),
            global::REPORT_SIZE => match item.unsigned() {
                size @ 0..=limit::FIELD_BITS => global.report_size = size,
                size => return Err(Problem::ReportSize(size)),
            },
            global::REPORT_COUNT => match item.unsigned() {
                count @ 0..=limit::USAGES => global.report_count = count,
                count => return Err(Problem::ReportCount(count)),
            },
            global::REPORT_ID => match u8::try_from(item.unsigned()) {
                Ok(id @ 1..) => global.report_id = id,
                _ => return Err(Problem::ReportId(item.unsigned())),
            },
            global::PUSH if self.stack.len() == limit::STACK => return Err(Problem::PushOverflow),
            global::PUSH => self.stack.push(*global),
            global::POP => *global = self.stack.pop().ok_or(Problem::PopUnderflow)?,
            _ => self.find(item.offset, Oddity::Reserved),
        }
        Ok(())
    }

    fn local(&mut self, item: &Item<'_>) -> Result<(), Problem> {
        let (data, short) = (item.unsigned(), item.data.len() <= 2);
        match item.tag {
            local::USAGE => self.add_usages(data, 1, short),
            local::USAGE_MINIMUM => {
                self.local.usage_minimum = data;
                Ok(())
            }
            local::USAGE_MAXIMUM => {
                let minimum = self.local.usage_minimum;
                let declared = self.local.usages.declared();
                if data < minimum {
                    self.find(item.offset, Oddity::ReversedRange);
                }
                let mut maximum = data;
                // With the wrapping arithmetic of Linux: a reversed range is one that is too long.
                if data.wrapping_sub(minimum).wrapping_add(declared) >= limit::USAGES {
                    self.find(item.offset, Oddity::TooManyUsages);
                    maximum = (limit::USAGES - declared).wrapping_add(minimum).wrapping_sub(1);
                    if maximum == 0 {
                        return Err(Problem::TooManyUsages);
                    }
                }
                match maximum.checked_sub(minimum) {
                    Some(last) => self.add_usages(minimum, last.saturating_add(1), short),
                    None => Ok(()),
                }
            }
            local::DELIMITER => match (data != 0, self.local.delimited) {
                (true, None) => {
                    let index = self.local.usages.declared();
                    self.local.delimited = Some(Delimited { index, has_controls: false });
                    Ok(())
                }
                (false, Some(_)) => {
                    self.local.delimited = None;
                    Ok(())
                }
                _ => Err(Problem::Delimiter),
            },
            // Designators and strings are for people; nothing is made of them here.
            local::DESIGNATOR_INDEX..=local::STRING_MAXIMUM if item.tag != 6 => Ok(()),
            _ => {
                self.find(item.offset, Oddity::Reserved);
                Ok(())
            }
        }
    }

    fn add_usages(&mut self, first: u32, count: u32, short: bool) -> Result<(), Problem> {
        let local = &mut self.local;
        // The page of a short usage is the one that holds now, unless the main item finds another.
        let run = UsageRun { page: short.then_some(self.global.usage_page as u16), first, count };
        if let Some(Delimited { index, has_controls: true }) = local.delimited {
            local.aliases.push(Alias { index, usages: run });
            return Ok(());
        }
        if count > limit::USAGES - local.usages.declared() {
            return Err(Problem::TooManyUsages);
        }
        local.usages.push(run);
        if let Some(delimited) = &mut local.delimited {
            delimited.has_controls = true;
        }
        Ok(())
    }

    /// "When the parser encounters a main item it concatenates the last declared Usage Page with a Usage" (HID 1.11, 6.2.2.8): those that
    /// followed an earlier page, from the last backwards, up to one that has this page already.
    fn concatenate_page(&mut self) {
        let page = self.global.usage_page;
        for run in self.local.usages.runs_mut().iter_mut().rev() {
            match run.page {
                None => {}
                Some(known) if u32::from(known) == page => break,
                Some(_) => run.page = Some(page as u16),
            }
        }
    }

    fn main(&mut self, item: &Item<'_>) -> Result<(), Problem> {
        self.concatenate_page();
        if self.local.delimited.is_some() {
            self.find(item.offset, Oddity::OpenDelimiter);
        }
        let local = std::mem::take(&mut self.local);
        match item.tag {
            main::COLLECTION => {
                let kind = CollectionKind(item.unsigned() as u8);
                self.look_at_collection(kind, &local);
                self.open_collection(kind, &local);
            }
            main::END_COLLECTION => {
                if self.open.pop().is_none() {
                    self.find(item.offset, Oddity::ExtraEnd);
                }
            }
            main::INPUT => return self.add_field(item, ReportKind::Input, local),
            main::OUTPUT => return self.add_field(item, ReportKind::Output, local),
            main::FEATURE => return self.add_field(item, ReportKind::Feature, local),
            _ => self.find(item.offset, Oddity::Reserved),
        }
        Ok(())
    }

    /// Sensor hubs and Google's keyboards are not for touch, whatever they contain; the last mark counts.
    fn look_at_collection(&mut self, kind: CollectionKind, local: &Local) {
        let page = self.global.usage_page as u16;
        let google =
            page == page::GOOGLE && local.usages.iter().any(|usage| usage == Usage::new(page::GOOGLE, 1));
        if page == page::SENSOR && kind == CollectionKind::PHYSICAL || google {
            self.descriptor.touch = TouchGroup::None;
        }
    }

    fn look_at_field(&mut self, kind: ReportKind, flags: Flags, usages: &Usages) {
        let Global { report_size, report_count, .. } = self.global;
        let is_for = |wanted| usages.iter().any(|usage| usage == wanted);
        match kind {
            ReportKind::Input if !flags.has(Flags::CONSTANT) && is_for(Usage::CONTACT_ID) => {
                self.descriptor.touch = TouchGroup::Touch;
            }
            ReportKind::Feature
                if (report_count, report_size) == (256, 8) && is_for(Usage::TOUCH_CERTIFICATION) =>
            {
                self.certified = true;
            }
            ReportKind::Feature
                if (report_count, report_size) == (1, 8) && is_for(Usage::TOUCH_CERTIFICATION_STATUS) =>
            {
                self.certified = true;
            }
            _ => {}
        }
    }

    fn open_collection(&mut self, kind: CollectionKind, local: &Local) {
        let usage = local.usages.get(0).unwrap_or(Usage::NONE);
        let collections = &mut self.descriptor.collections;
        collections.push(Collection { kind, usage, parent: self.open.last().copied() });
        self.open.push(collections.len() - 1);
    }

    /// The usage of the innermost open collection of this kind.
    fn around(&self, kind: CollectionKind) -> Usage {
        let collections = &self.descriptor.collections;
        let found = self.open.iter().rev().map(|index| &collections[*index]).find(|open| open.kind == kind);
        found.map_or(Usage::NONE, |collection| collection.usage)
    }

    fn add_field(&mut self, item: &Item<'_>, kind: ReportKind, local: Local) -> Result<(), Problem> {
        let Global { logical, physical, unit_exponent, unit, report_size, report_count, report_id, .. } =
            self.global;
        let application = self.around(CollectionKind::APPLICATION);
        self.look_at_field(kind, Flags(item.unsigned()), &local.usages);
        let mut field = Field {
            offset: item.offset,
            flags: Flags(item.unsigned()),
            bit_offset: 0,
            bits: report_size,
            count: report_count,
            logical_minimum: logical.0,
            logical_maximum: logical.1,
            physical_minimum: physical.0,
            physical_maximum: physical.1,
            unit,
            unit_exponent,
            collection: self.open.last().copied(),
            application,
            physical: self.around(CollectionKind::PHYSICAL),
            logical: self.around(CollectionKind::LOGICAL),
            usages: local.usages,
            aliases: local.aliases,
        };
        let (minimum, maximum) = field.logical_range();
        if maximum < minimum {
            return Err(Problem::LogicalRange { minimum, maximum });
        }
        let (limit, room) = (self.report_bits / 8 + 1, self.report_bits);
        let report = self.report(kind, report_id, application);
        field.bit_offset = report.bits;
        report.bits += report_size * report_count;
        if report.bits > room {
            return Err(Problem::ReportLength(limit));
        }
        if field.usages.declared() == 0 {
            return Ok(());
        }
        let dropped = report.fields.len() == limit::FIELDS;
        if !dropped {
            report.fields.push(field);
        }
        if dropped {
            self.find(item.offset, Oddity::TooManyFields);
        } else if report_size > 64 {
            self.find(item.offset, Oddity::WideField { bits: report_size });
        }
        Ok(())
    }

    /// The report of this kind and number; it is made if there is none.
    fn report(&mut self, kind: ReportKind, id: u8, application: Usage) -> &mut Report {
        let reports = &mut self.descriptor.reports;
        let known = reports.iter().position(|report| report.kind == kind && report.id == id);
        let index = known.unwrap_or_else(|| {
            reports.push(Report { kind, id, application, bits: 0, fields: Vec::new() });
            reports.len() - 1
        });
        &mut reports[index]
    }
}

/// A maximum is signed only if its minimum is below 0: devices write 255 in one byte.
fn maximum(minimum: i32, item: &Item<'_>) -> i32 {
    if minimum < 0 { item.signed() } else { item.unsigned() as i32 }
}
