//! A report descriptor's items in words. It must not know what comes of them.

use outboard_usb_hid::proto::Usage;
use outboard_usb_hid::proto::report::item::{Item, ItemKind, global, local, main};
use outboard_usb_hid::proto::report::{CollectionKind, Flags};

/// Turns items into words, one after the other: pages and depth carry over.
#[derive(Debug, Default)]
pub(super) struct Words {
    page: u16,
    pages: Vec<u16>,
    depth: usize,
    minimum_is_negative: (bool, bool),
}

/// The usage's name, or its page and number if the tables have none.
pub(super) fn usage_name(usage: Usage) -> String {
    match hut::Usage::try_from(usage.0) {
        Ok(known) if usage.page() < 0xff00 => known.to_string(),
        _ => format!("{} {:#04x}", page_name(usage.page()), usage.id()),
    }
}

fn page_name(page: u16) -> String {
    match hut::UsagePage::try_from(page) {
        Ok(_) if page >= 0xff00 => format!("Vendor {page:04x}"),
        Ok(known) => known.to_string(),
        Err(_) => format!("{page:04x}"),
    }
}

impl Words {
    /// The item's words, indented by the collections that it is in.
    pub(super) fn of(&mut self, item: &Item<'_>) -> String {
        if item.kind == ItemKind::Main && item.tag == main::END_COLLECTION {
            self.depth = self.depth.saturating_sub(1);
        }
        let indent = "  ".repeat(self.depth.min(20));
        let words = match item.kind {
            ItemKind::Main => self.main(item),
            ItemKind::Global => self.global(item),
            ItemKind::Local => self.local(item),
            ItemKind::Reserved => "Reserved".into(),
            ItemKind::Long => format!("Long item {:#04x}, {} bytes", item.tag, item.data.len()),
        };
        format!("{indent}{words}")
    }

    fn main(&mut self, item: &Item<'_>) -> String {
        let name = match item.tag {
            main::INPUT => "Input",
            main::OUTPUT => "Output",
            main::FEATURE => "Feature",
            main::END_COLLECTION => return "End Collection".into(),
            main::COLLECTION => {
                self.depth += 1;
                let kind = item.unsigned() as u8;
                let name = CollectionKind(kind).name().map_or_else(|| format!("{kind:#04x}"), str::to_owned);
                return format!("Collection ({name})");
            }
            tag => return format!("Reserved main item {tag:#x}"),
        };
        format!("{name} ({})", flags(Flags(item.unsigned()), item.tag != main::INPUT))
    }

    fn global(&mut self, item: &Item<'_>) -> String {
        let (unsigned, signed) = (item.unsigned(), item.signed());
        let maximum = |is_signed: bool| if is_signed { i64::from(signed) } else { i64::from(unsigned) };
        match item.tag {
            global::USAGE_PAGE => {
                self.page = unsigned as u16;
                format!("Usage Page ({})", page_name(self.page))
            }
            global::LOGICAL_MINIMUM => {
                self.minimum_is_negative.0 = signed < 0;
                format!("Logical Minimum ({signed})")
            }
            global::LOGICAL_MAXIMUM => format!("Logical Maximum ({})", maximum(self.minimum_is_negative.0)),
            global::PHYSICAL_MINIMUM => {
                self.minimum_is_negative.1 = signed < 0;
                format!("Physical Minimum ({signed})")
            }
            global::PHYSICAL_MAXIMUM => format!("Physical Maximum ({})", maximum(self.minimum_is_negative.1)),
            global::UNIT_EXPONENT => {
                let exponent = if (8..16).contains(&signed) { signed - 16 } else { signed };
                format!("Unit Exponent ({exponent})")
            }
            global::UNIT => format!("Unit ({})", unit(unsigned)),
            global::REPORT_SIZE => format!("Report Size ({unsigned})"),
            global::REPORT_COUNT => format!("Report Count ({unsigned})"),
            global::REPORT_ID => format!("Report ID ({unsigned})"),
            global::PUSH => {
                // As deep as the parser goes.
                if self.pages.len() < 64 {
                    self.pages.push(self.page);
                }
                "Push".into()
            }
            global::POP => {
                self.page = self.pages.pop().unwrap_or(self.page);
                "Pop".into()
            }
            tag => format!("Reserved global item {tag:#x}"),
        }
    }

    fn local(&self, item: &Item<'_>) -> String {
        let value = item.unsigned();
        let usage = if item.data.len() <= 2 { Usage::new(self.page, value as u16) } else { Usage(value) };
        match item.tag {
            local::USAGE => format!("Usage ({})", usage_name(usage)),
            local::USAGE_MINIMUM => format!("Usage Minimum ({})", usage_name(usage)),
            local::USAGE_MAXIMUM => format!("Usage Maximum ({})", usage_name(usage)),
            local::DESIGNATOR_INDEX => format!("Designator Index ({value})"),
            local::DESIGNATOR_MINIMUM => format!("Designator Minimum ({value})"),
            local::DESIGNATOR_MAXIMUM => format!("Designator Maximum ({value})"),
            local::STRING_INDEX => format!("String Index ({value})"),
            local::STRING_MINIMUM => format!("String Minimum ({value})"),
            local::STRING_MAXIMUM => format!("String Maximum ({value})"),
            local::DELIMITER if value != 0 => "Delimiter (open)".into(),
            local::DELIMITER => "Delimiter (close)".into(),
            tag => format!("Reserved local item {tag:#x}"),
        }
    }
}

/// The bits of a main item in words.
pub(super) fn flags(flags: Flags, can_be_volatile: bool) -> String {
    let mut words = vec![
        if flags.has(Flags::CONSTANT) { "Constant" } else { "Data" },
        if flags.has(Flags::VARIABLE) { "Variable" } else { "Array" },
        if flags.has(Flags::RELATIVE) { "Relative" } else { "Absolute" },
    ];
    let rare = [
        (Flags::WRAP, "Wrap"),
        (Flags::NON_LINEAR, "Nonlinear"),
        (Flags::NO_PREFERRED, "No Preferred State"),
        (Flags::NULL_STATE, "Null State"),
        (Flags::BUFFERED_BYTES, "Buffered Bytes"),
    ];
    words.extend(rare.iter().filter(|(bit, _)| flags.has(*bit)).map(|(_, word)| *word));
    if can_be_volatile && flags.has(Flags::VOLATILE) {
        words.push("Volatile");
    }
    words.join(", ")
}

/// A unit (HID 1.11, 6.2.2.7): the system and the powers of its dimensions.
fn unit(unit: u32) -> String {
    const SYSTEMS: [[&str; 6]; 4] = [
        ["cm", "g", "s", "K", "A", "cd"],
        ["rad", "g", "s", "K", "A", "cd"],
        ["in", "slug", "s", "°F", "A", "cd"],
        ["°", "slug", "s", "°F", "A", "cd"],
    ];
    let system = match unit & 0xf {
        0 if unit == 0 => return "none".into(),
        system @ 1..=4 => SYSTEMS[system as usize - 1],
        _ => return format!("{unit:#x}"),
    };
    let powers = system.iter().zip(1..).filter_map(|(name, nibble)| {
        let power = (unit >> (4 * nibble) & 0xf) as i32;
        match if power < 8 { power } else { power - 16 } {
            0 => None,
            1 => Some((*name).to_owned()),
            power => Some(format!("{name}^{power}")),
        }
    });
    powers.collect::<Vec<_>>().join("·")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_their_powers() {
        assert_eq!((unit(0), unit(0x11), unit(0x14)), ("none".into(), "cm".into(), "°".into()));
        assert_eq!(
            (unit(0xf011), unit(0x1005), unit(0xe111)),
            ("cm·s^-1".into(), "0x1005".into(), "cm·g·s^-2".into())
        );
    }
}
