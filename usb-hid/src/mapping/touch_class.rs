//! How touch devices differ in what their reports mean, as data: the classes of Linux's hid-multitouch (6.1). It reads no report.

/// What a class of devices does, as bits.
pub(crate) mod trait_ {
    /// A contact that a frame does not mention is lifted.
    pub(crate) const NOT_SEEN_MEANS_UP: u32 = 1 << 0;
    /// The contact id is the slot.
    pub(crate) const SLOT_IS_CONTACT_ID: u32 = 1 << 1;
    /// The place in the report is the slot.
    pub(crate) const SLOT_IS_CONTACT_NUMBER: u32 = 1 << 3;
    /// Every contact of a report means something.
    pub(crate) const ALWAYS_VALID: u32 = 1 << 4;
    /// A contact means something if it is in range.
    pub(crate) const VALID_IS_IN_RANGE: u32 = 1 << 5;
    /// A contact means something if it is confident.
    pub(crate) const VALID_IS_CONFIDENCE: u32 = 1 << 6;
    /// A contact without confidence is a palm.
    pub(crate) const CONFIDENCE: u32 = 1 << 7;
    /// The contact id less one is the slot.
    pub(crate) const SLOT_IS_CONTACT_ID_MINUS_ONE: u32 = 1 << 8;
    /// Width and height mean nothing.
    pub(crate) const NO_AREA: u32 = 1 << 9;
    /// The first contact of an id in a frame counts.
    pub(crate) const IGNORE_DUPLICATES: u32 = 1 << 10;
    /// A contact in range that does not touch is one.
    pub(crate) const HOVERING: u32 = 1 << 11;
    /// Contacts beyond the contact count mean nothing.
    pub(crate) const CONTACT_COUNT_ACCURATE: u32 = 1 << 12;
    /// It must be asked for its mode before it is set.
    pub(crate) const FORCE_GET_FEATURE: u32 = 1 << 13;
    /// Its contact id is not the constant that it says.
    pub(crate) const FIX_CONSTANT_CONTACT_ID: u32 = 1 << 14;
    /// Its contacts look twice as large as they are.
    pub(crate) const TOUCH_SIZE_SCALING: u32 = 1 << 15;
    /// Contacts that are not mentioned for 100 ms are lifted.
    pub(crate) const STICKY_FINGERS: u32 = 1 << 16;
    /// It has media keys on Asus's page.
    pub(crate) const ASUS_MEDIA_KEYS: u32 = 1 << 17;
    /// Buttons count in the first report of a frame, and the pad and the left button are one.
    pub(crate) const TOUCHPAD_BUTTONS: u32 = 1 << 18;
    /// Each report is an application of its own.
    pub(crate) const SEPARATE_REPORTS: u32 = 1 << 19;
    /// Each report is a node of its own.
    pub(crate) const FORCE_MULTI_INPUT: u32 = 1 << 20;
    /// It must not wake the machine.
    pub(crate) const DISABLE_WAKEUP: u32 = 1 << 21;
    /// Its orientation is the wrong way round, since one axis is.
    pub(crate) const ORIENTATION_INVERT: u32 = 1 << 22;
}

use trait_::*;

/// A class of touch devices. Few devices need another than the two that their descriptors suggest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TouchClass {
    /// Its name.
    pub name: &'static str,
    /// What its devices do.
    pub(crate) traits: u32,
    /// Signal to noise of positions: an axis's extent divided by it is the fuzz; 0 for none.
    pub(crate) noise_position: i32,
    /// Of widths.
    pub(crate) noise_width: i32,
    /// Of heights.
    pub(crate) noise_height: i32,
    /// Of pressure.
    pub(crate) noise_pressure: i32,
    /// How many contacts it has; 0 if the device says it.
    pub(crate) most_contacts: u8,
    /// It moves a pointer.
    pub(crate) is_indirect: bool,
    /// What else it has than touch is passed on as well.
    pub(crate) exports_all: bool,
    /// If it says Confidence, palms are told from fingers.
    pub(crate) knows_palms: bool,
}

impl TouchClass {
    const PLAIN: Self = Self {
        name: "",
        traits: 0,
        noise_position: 0,
        noise_width: 0,
        noise_height: 0,
        noise_pressure: 0,
        most_contacts: 0,
        is_indirect: false,
        exports_all: false,
        knows_palms: false,
    };

    /// Of this name, as [`name`](Self::name) has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|class| class.name == name).copied()
    }

    /// Devices without certification.
    pub const DEFAULT: Self =
        Self { name: "default", traits: ALWAYS_VALID | CONTACT_COUNT_ACCURATE, ..Self::PLAIN };
    /// `MT_CLS_NSMU`.
    pub const NSMU: Self = Self { name: "nsmu", traits: NOT_SEEN_MEANS_UP, ..Self::PLAIN };
    /// `MT_CLS_SERIAL`.
    pub const SERIAL: Self = Self { name: "serial", traits: ALWAYS_VALID, ..Self::PLAIN };
    /// `MT_CLS_CONFIDENCE`.
    pub const CONFIDENCE: Self = Self { name: "confidence", traits: VALID_IS_CONFIDENCE, ..Self::PLAIN };
    /// `MT_CLS_CONFIDENCE_CONTACT_ID`.
    pub const CONFIDENCE_CONTACT_ID: Self = Self {
        name: "confidence-contact-id",
        traits: VALID_IS_CONFIDENCE | SLOT_IS_CONTACT_ID,
        ..Self::PLAIN
    };
    /// `MT_CLS_CONFIDENCE_MINUS_ONE`.
    pub const CONFIDENCE_MINUS_ONE: Self = Self {
        name: "confidence-minus-one",
        traits: VALID_IS_CONFIDENCE | SLOT_IS_CONTACT_ID_MINUS_ONE,
        ..Self::PLAIN
    };
    /// `MT_CLS_DUAL_INRANGE_CONTACTID`.
    pub const DUAL_INRANGE_CONTACTID: Self = Self {
        name: "dual-inrange-contactid",
        traits: VALID_IS_IN_RANGE | SLOT_IS_CONTACT_ID,
        most_contacts: 2,
        ..Self::PLAIN
    };
    /// `MT_CLS_DUAL_INRANGE_CONTACTNUMBER`.
    pub const DUAL_INRANGE_CONTACTNUMBER: Self = Self {
        name: "dual-inrange-contactnumber",
        traits: VALID_IS_IN_RANGE | SLOT_IS_CONTACT_NUMBER,
        most_contacts: 2,
        ..Self::PLAIN
    };
    /// `MT_CLS_INRANGE_CONTACTNUMBER`.
    pub const INRANGE_CONTACTNUMBER: Self = Self {
        name: "inrange-contactnumber",
        traits: VALID_IS_IN_RANGE | SLOT_IS_CONTACT_NUMBER,
        ..Self::PLAIN
    };
    /// Devices that are certified for Windows 8 or later.
    pub const WIN_8: Self = Self {
        name: "win-8",
        traits: ALWAYS_VALID
            | IGNORE_DUPLICATES
            | HOVERING
            | CONTACT_COUNT_ACCURATE
            | STICKY_FINGERS
            | TOUCHPAD_BUTTONS,
        exports_all: true,
        knows_palms: true,
        ..Self::PLAIN
    };
    /// `MT_CLS_EXPORT_ALL_INPUTS`.
    pub const EXPORT_ALL_INPUTS: Self = Self {
        name: "export-all-inputs",
        traits: ALWAYS_VALID | CONTACT_COUNT_ACCURATE,
        exports_all: true,
        ..Self::PLAIN
    };
    /// `MT_CLS_WIN_8_FORCE_MULTI_INPUT`.
    pub const WIN_8_FORCE_MULTI_INPUT: Self = Self {
        name: "win-8-force-multi-input",
        traits: ALWAYS_VALID
            | IGNORE_DUPLICATES
            | HOVERING
            | CONTACT_COUNT_ACCURATE
            | STICKY_FINGERS
            | TOUCHPAD_BUTTONS
            | FORCE_MULTI_INPUT,
        exports_all: true,
        knows_palms: true,
        ..Self::PLAIN
    };
    /// `MT_CLS_WIN_8_FORCE_MULTI_INPUT_NSMU`.
    pub const WIN_8_FORCE_MULTI_INPUT_NSMU: Self = Self {
        name: "win-8-force-multi-input-nsmu",
        traits: IGNORE_DUPLICATES
            | HOVERING
            | CONTACT_COUNT_ACCURATE
            | STICKY_FINGERS
            | TOUCHPAD_BUTTONS
            | FORCE_MULTI_INPUT
            | NOT_SEEN_MEANS_UP,
        exports_all: true,
        knows_palms: true,
        ..Self::PLAIN
    };
    /// `MT_CLS_WIN_8_DISABLE_WAKEUP`.
    pub const WIN_8_DISABLE_WAKEUP: Self = Self {
        name: "win-8-disable-wakeup",
        traits: ALWAYS_VALID
            | IGNORE_DUPLICATES
            | HOVERING
            | CONTACT_COUNT_ACCURATE
            | STICKY_FINGERS
            | TOUCHPAD_BUTTONS
            | DISABLE_WAKEUP,
        exports_all: true,
        knows_palms: true,
        ..Self::PLAIN
    };
    /// `MT_CLS_WIN_8_NO_STICKY_FINGERS`.
    pub const WIN_8_NO_STICKY_FINGERS: Self = Self {
        name: "win-8-no-sticky-fingers",
        traits: ALWAYS_VALID | IGNORE_DUPLICATES | HOVERING | CONTACT_COUNT_ACCURATE | TOUCHPAD_BUTTONS,
        exports_all: true,
        ..Self::PLAIN
    };
    /// `MT_CLS_3M`.
    pub const THREE_M: Self = Self {
        name: "3m",
        traits: VALID_IS_CONFIDENCE | SLOT_IS_CONTACT_ID | TOUCH_SIZE_SCALING,
        noise_position: 2048,
        noise_width: 128,
        noise_height: 128,
        most_contacts: 60,
        ..Self::PLAIN
    };
    /// `MT_CLS_EGALAX`.
    pub const EGALAX: Self = Self {
        name: "egalax",
        traits: SLOT_IS_CONTACT_ID | VALID_IS_IN_RANGE,
        noise_position: 4096,
        noise_pressure: 32,
        ..Self::PLAIN
    };
    /// `MT_CLS_EGALAX_SERIAL`.
    pub const EGALAX_SERIAL: Self = Self {
        name: "egalax-serial",
        traits: SLOT_IS_CONTACT_ID | ALWAYS_VALID,
        noise_position: 4096,
        noise_pressure: 32,
        ..Self::PLAIN
    };
    /// `MT_CLS_TOPSEED`.
    pub const TOPSEED: Self =
        Self { name: "topseed", traits: ALWAYS_VALID, most_contacts: 2, is_indirect: true, ..Self::PLAIN };
    /// `MT_CLS_PANASONIC`.
    pub const PANASONIC: Self =
        Self { name: "panasonic", traits: NOT_SEEN_MEANS_UP, most_contacts: 4, ..Self::PLAIN };
    /// `MT_CLS_GENERALTOUCH_TWOFINGERS`.
    pub const GENERALTOUCH_TWOFINGERS: Self = Self {
        name: "generaltouch-twofingers",
        traits: NOT_SEEN_MEANS_UP | VALID_IS_IN_RANGE | SLOT_IS_CONTACT_ID,
        most_contacts: 2,
        ..Self::PLAIN
    };
    /// `MT_CLS_GENERALTOUCH_PWT_TENFINGERS`.
    pub const GENERALTOUCH_PWT_TENFINGERS: Self = Self {
        name: "generaltouch-pwt-tenfingers",
        traits: NOT_SEEN_MEANS_UP | SLOT_IS_CONTACT_ID,
        ..Self::PLAIN
    };
    /// `MT_CLS_FLATFROG`.
    pub const FLATFROG: Self = Self {
        name: "flatfrog",
        traits: NOT_SEEN_MEANS_UP | NO_AREA,
        noise_position: 2048,
        most_contacts: 40,
        ..Self::PLAIN
    };
    /// `MT_CLS_LG`.
    pub const LG: Self = Self {
        name: "lg",
        traits: ALWAYS_VALID
            | FIX_CONSTANT_CONTACT_ID
            | IGNORE_DUPLICATES
            | HOVERING
            | CONTACT_COUNT_ACCURATE,
        ..Self::PLAIN
    };
    /// `MT_CLS_ASUS`.
    pub const ASUS: Self =
        Self { name: "asus", traits: ALWAYS_VALID | CONTACT_COUNT_ACCURATE | ASUS_MEDIA_KEYS, ..Self::PLAIN };
    /// `MT_CLS_VTL`.
    pub const VTL: Self = Self {
        name: "vtl",
        traits: ALWAYS_VALID | CONTACT_COUNT_ACCURATE | STICKY_FINGERS | FORCE_GET_FEATURE,
        ..Self::PLAIN
    };
    /// `MT_CLS_GOOGLE`.
    pub const GOOGLE: Self = Self {
        name: "google",
        traits: ALWAYS_VALID | CONTACT_COUNT_ACCURATE | SLOT_IS_CONTACT_ID | HOVERING,
        ..Self::PLAIN
    };
    /// `MT_CLS_RAZER_BLADE_STEALTH`.
    pub const RAZER_BLADE_STEALTH: Self = Self {
        name: "razer-blade-stealth",
        traits: ALWAYS_VALID | IGNORE_DUPLICATES | HOVERING | CONTACT_COUNT_ACCURATE | TOUCHPAD_BUTTONS,
        ..Self::PLAIN
    };
    /// `MT_CLS_SMART_TECH`.
    pub const SMART_TECH: Self = Self {
        name: "smart-tech",
        traits: ALWAYS_VALID | IGNORE_DUPLICATES | CONTACT_COUNT_ACCURATE | SEPARATE_REPORTS,
        ..Self::PLAIN
    };
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::DEFAULT,
        Self::NSMU,
        Self::SERIAL,
        Self::CONFIDENCE,
        Self::CONFIDENCE_CONTACT_ID,
        Self::CONFIDENCE_MINUS_ONE,
        Self::DUAL_INRANGE_CONTACTID,
        Self::DUAL_INRANGE_CONTACTNUMBER,
        Self::INRANGE_CONTACTNUMBER,
        Self::WIN_8,
        Self::EXPORT_ALL_INPUTS,
        Self::WIN_8_FORCE_MULTI_INPUT,
        Self::WIN_8_FORCE_MULTI_INPUT_NSMU,
        Self::WIN_8_DISABLE_WAKEUP,
        Self::WIN_8_NO_STICKY_FINGERS,
        Self::THREE_M,
        Self::EGALAX,
        Self::EGALAX_SERIAL,
        Self::TOPSEED,
        Self::PANASONIC,
        Self::GENERALTOUCH_TWOFINGERS,
        Self::GENERALTOUCH_PWT_TENFINGERS,
        Self::FLATFROG,
        Self::LG,
        Self::ASUS,
        Self::VTL,
        Self::GOOGLE,
        Self::RAZER_BLADE_STEALTH,
        Self::SMART_TECH,
    ];
}
