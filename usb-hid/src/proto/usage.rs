//! Usages: what a control or a collection is for, as page and id (HUT 1.5). It knows no descriptor and no event code.

use std::fmt;

/// A usage: its page in the upper, its id in the lower 16 bits (HID 1.11, 5.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Usage(pub u32);

impl Usage {
    /// No usage.
    pub const NONE: Self = Self(0);

    /// The usage of this page and id.
    pub const fn new(page: u16, id: u16) -> Self {
        Self((page as u32) << 16 | id as u32)
    }

    /// Its page.
    pub const fn page(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Its id within the page.
    pub const fn id(self) -> u16 {
        self.0 as u16
    }
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.page(), self.id())
    }
}

/// Usage pages (HUT 1.5, Table 3.1).
pub mod page {
    /// Generic Desktop (HUT 1.5, 4).
    pub const GENERIC_DESKTOP: u16 = 0x01;
    /// Simulation Controls (HUT 1.5, 5).
    pub const SIMULATION: u16 = 0x02;
    /// Generic Device Controls (HUT 1.5, 9).
    pub const GENERIC_DEVICE: u16 = 0x06;
    /// Keyboard/Keypad (HUT 1.5, 10).
    pub const KEYBOARD: u16 = 0x07;
    /// LED (HUT 1.5, 11).
    pub const LED: u16 = 0x08;
    /// Button (HUT 1.5, 12).
    pub const BUTTON: u16 = 0x09;
    /// Telephony Device (HUT 1.5, 14).
    pub const TELEPHONY: u16 = 0x0b;
    /// Consumer (HUT 1.5, 15).
    pub const CONSUMER: u16 = 0x0c;
    /// Digitizers (HUT 1.5, 16).
    pub const DIGITIZER: u16 = 0x0d;
    /// Physical Input Device (PID 1.0).
    pub const PHYSICAL_INPUT: u16 = 0x0f;
    /// Sensors (HUT 1.5, 22).
    pub const SENSOR: u16 = 0x20;
    /// Battery System (HUT 1.5, 31).
    pub const BATTERY: u16 = 0x85;
    /// Not assigned by the tables; keyboards of Logitech and Apple use it.
    pub const CUSTOM: u16 = 0xff;
    /// The first page that vendors define. Microsoft has this one, and its touch certification with it.
    pub const VENDOR: u16 = 0xff00;
    /// HP's, for microphone and brightness keys.
    pub const HP_2: u16 = 0xff01;
    /// One of Logitech's.
    pub const LOGITECH_2: u16 = 0xff09;
    /// Asus's.
    pub const ASUS: u16 = 0xff31;
    /// One of Logitech's.
    pub const LOGITECH_3: u16 = 0xff43;
    /// HP's.
    pub const HP: u16 = 0xff7f;
    /// One of Logitech's.
    pub const LOGITECH: u16 = 0xffbc;
    /// Google's.
    pub const GOOGLE: u16 = 0xffd1;
}

macro_rules! usages {
    ($($name:ident = $page:expr, $id:literal, $doc:literal;)*) => {
        impl Usage {
            $(#[doc = $doc] pub const $name: Self = Self::new($page, $id);)*
        }
    };
}

usages! {
    POINTER = page::GENERIC_DESKTOP, 0x01, "Pointer (HUT 1.5, 4.1).";
    MOUSE = page::GENERIC_DESKTOP, 0x02, "Mouse (HUT 1.5, 4.1).";
    JOYSTICK = page::GENERIC_DESKTOP, 0x04, "Joystick (HUT 1.5, 4.1).";
    GAMEPAD = page::GENERIC_DESKTOP, 0x05, "Gamepad (HUT 1.5, 4.1).";
    KEYBOARD = page::GENERIC_DESKTOP, 0x06, "Keyboard (HUT 1.5, 4.1).";
    KEYPAD = page::GENERIC_DESKTOP, 0x07, "Keypad (HUT 1.5, 4.1).";
    MULTI_AXIS = page::GENERIC_DESKTOP, 0x08, "Multi-axis Controller (HUT 1.5, 4.1).";
    WIRELESS_RADIO_CONTROLS = page::GENERIC_DESKTOP, 0x0c, "Wireless Radio Controls (HUT 1.5, 4.5.1).";
    SYSTEM_MULTI_AXIS = page::GENERIC_DESKTOP, 0x0e, "System Multi-Axis Controller (HUT 1.5, 4.1).";
    X = page::GENERIC_DESKTOP, 0x30, "X (HUT 1.5, 4.2).";
    Y = page::GENERIC_DESKTOP, 0x31, "Y (HUT 1.5, 4.2).";
    Z = page::GENERIC_DESKTOP, 0x32, "Z (HUT 1.5, 4.2).";
    RX = page::GENERIC_DESKTOP, 0x33, "Rx (HUT 1.5, 4.2).";
    RY = page::GENERIC_DESKTOP, 0x34, "Ry (HUT 1.5, 4.2).";
    RZ = page::GENERIC_DESKTOP, 0x35, "Rz (HUT 1.5, 4.2).";
    SLIDER = page::GENERIC_DESKTOP, 0x36, "Slider (HUT 1.5, 4.3).";
    DIAL = page::GENERIC_DESKTOP, 0x37, "Dial (HUT 1.5, 4.3).";
    WHEEL = page::GENERIC_DESKTOP, 0x38, "Wheel (HUT 1.5, 4.3).";
    HAT_SWITCH = page::GENERIC_DESKTOP, 0x39, "Hat Switch (HUT 1.5, 4.3).";
    START = page::GENERIC_DESKTOP, 0x3d, "Start (HUT 1.5, 4.6).";
    SELECT = page::GENERIC_DESKTOP, 0x3e, "Select (HUT 1.5, 4.6).";
    RESOLUTION_MULTIPLIER = page::GENERIC_DESKTOP, 0x48, "Resolution Multiplier (HUT 1.5, 4.3.1).";
    SYSTEM_CONTROL = page::GENERIC_DESKTOP, 0x80, "System Control (HUT 1.5, 4.1).";
    D_PAD_UP = page::GENERIC_DESKTOP, 0x90, "D-pad Up (HUT 1.5, 4.7).";
    D_PAD_DOWN = page::GENERIC_DESKTOP, 0x91, "D-pad Down (HUT 1.5, 4.7).";
    D_PAD_RIGHT = page::GENERIC_DESKTOP, 0x92, "D-pad Right (HUT 1.5, 4.7).";
    D_PAD_LEFT = page::GENERIC_DESKTOP, 0x93, "D-pad Left (HUT 1.5, 4.7).";
    WIRELESS_RADIO_BUTTON = page::GENERIC_DESKTOP, 0xc6, "Wireless Radio Button (HUT 1.5, 4.5.1).";
    DEVICE_BATTERY_STRENGTH = page::GENERIC_DEVICE, 0x20, "Battery Strength (HUT 1.5, 9).";
    ERROR_ROLL_OVER = page::KEYBOARD, 0x01, "Keyboard ErrorRollOver (HUT 1.5, 10).";
    CONSUMER_CONTROL = page::CONSUMER, 0x01, "Consumer Control (HUT 1.5, 15.1).";
    PROGRAMMABLE_BUTTONS = page::CONSUMER, 0x03, "Programmable Buttons (HUT 1.5, 15.13).";
    AC_PAN = page::CONSUMER, 0x238, "AC Pan (HUT 1.5, 15.16).";
    DIGITIZER = page::DIGITIZER, 0x01, "Digitizer (HUT 1.5, 16.1).";
    PEN = page::DIGITIZER, 0x02, "Pen (HUT 1.5, 16.1).";
    TOUCH_SCREEN = page::DIGITIZER, 0x04, "Touch Screen (HUT 1.5, 16.1).";
    TOUCH_PAD = page::DIGITIZER, 0x05, "Touch Pad (HUT 1.5, 16.1).";
    WHITEBOARD = page::DIGITIZER, 0x06, "Whiteboard (HUT 1.5, 16.1).";
    STYLUS = page::DIGITIZER, 0x20, "Stylus (HUT 1.5, 16.2).";
    PUCK = page::DIGITIZER, 0x21, "Puck (HUT 1.5, 16.2).";
    FINGER = page::DIGITIZER, 0x22, "Finger (HUT 1.5, 16.2).";
    TIP_PRESSURE = page::DIGITIZER, 0x30, "Tip Pressure (HUT 1.5, 16.3.1).";
    IN_RANGE = page::DIGITIZER, 0x32, "In Range (HUT 1.5, 16.3.1).";
    TOUCH = page::DIGITIZER, 0x33, "Touch (HUT 1.5, 16.3.1).";
    INVERT = page::DIGITIZER, 0x3c, "Invert (HUT 1.5, 16.3.1).";
    AZIMUTH = page::DIGITIZER, 0x3f, "Azimuth (HUT 1.5, 16.3.2).";
    TIP_SWITCH = page::DIGITIZER, 0x42, "Tip Switch (HUT 1.5, 16.4).";
    ERASER = page::DIGITIZER, 0x45, "Eraser (HUT 1.5, 16.4).";
    CONFIDENCE = page::DIGITIZER, 0x47, "Touch Valid (HUT 1.5, 16.5): the contact is a finger's.";
    WIDTH = page::DIGITIZER, 0x48, "Width (HUT 1.5, 16.5).";
    HEIGHT = page::DIGITIZER, 0x49, "Height (HUT 1.5, 16.5).";
    CONTACT_ID = page::DIGITIZER, 0x51, "Contact Identifier (HUT 1.5, 16.5).";
    INPUT_MODE = page::DIGITIZER, 0x52, "Device Mode (HUT 1.5, 16.7).";
    CONTACT_COUNT = page::DIGITIZER, 0x54, "Contact Count (HUT 1.5, 16.5).";
    CONTACT_COUNT_MAXIMUM = page::DIGITIZER, 0x55, "Contact Count Maximum (HUT 1.5, 16.5).";
    SCAN_TIME = page::DIGITIZER, 0x56, "Scan Time (HUT 1.5, 16.5), in 100 us.";
    SURFACE_SWITCH = page::DIGITIZER, 0x57, "Surface Switch (HUT 1.5, 16.5).";
    BUTTON_SWITCH = page::DIGITIZER, 0x58, "Button Switch (HUT 1.5, 16.5).";
    PAD_TYPE = page::DIGITIZER, 0x59, "Pad Type (HUT 1.5, 16.5).";
    LATENCY_MODE = page::DIGITIZER, 0x60, "Latency Mode (HUT 1.5, 16.5).";
    ABSOLUTE_STATE_OF_CHARGE = page::BATTERY, 0x65, "AbsoluteStateOfCharge (HUT 1.5, 31).";
    CHARGING = page::BATTERY, 0x44, "Charging (HUT 1.5, 31).";
    TOUCH_CERTIFICATION = page::VENDOR, 0xc5, "The certification blob of touch devices for Windows 8 and later.";
    TOUCH_CERTIFICATION_STATUS = page::VENDOR, 0xc6, "The state of that certification.";
    ASUS_MEDIA_KEYS = page::ASUS, 0x76, "A keyboard's media keys, on Asus's page.";
}
