//! Class codes in words, as far as a person meets them. It must not know any driver.

use outboard_core::usb::class;

/// What an interface with these codes (bInterfaceClass, bInterfaceSubClass, bInterfaceProtocol) is, for people.
pub(crate) fn describe(codes: (u8, u8, u8)) -> String {
    let (class, subclass, protocol) = codes;
    format!("{}, class {class:02x}/{subclass:02x}/{protocol:02x}", name(codes))
}

/// Its name (usb.org, "Defined Class Codes"; CDC120, Table 4).
fn name(codes: (u8, u8, u8)) -> &'static str {
    match codes {
        (class::COMMUNICATIONS, 0x02, 0xff) | (class::WIRELESS, 0x01, 0x03) => "Ethernet (RNDIS)",
        (class::MISCELLANEOUS, 0x04, 0x01) | (class::MISCELLANEOUS, 0x01, 0x01) => "Ethernet (RNDIS)",
        (class::COMMUNICATIONS, 0x02, _) => "modem (CDC ACM)",
        (class::COMMUNICATIONS, 0x06, _) => "Ethernet (ECM)",
        (class::COMMUNICATIONS, 0x0a, _) => "mobile direct line (MDLM)",
        (class::COMMUNICATIONS, 0x0c, _) => "Ethernet (EEM)",
        (class::COMMUNICATIONS, 0x0d, _) => "Ethernet (NCM)",
        (class::COMMUNICATIONS, 0x0e, _) => "mobile broadband (MBIM)",
        (class::COMMUNICATIONS, ..) => "communications",
        (class::CDC_DATA, ..) => "CDC data",
        (class::AUDIO, ..) => "audio",
        (class::HID, 0x01, 0x01) => "keyboard (HID)",
        (class::HID, 0x01, 0x02) => "mouse (HID)",
        (class::HID, ..) => "input (HID)",
        (class::IMAGE, ..) => "still imaging",
        (class::PRINTER, ..) => "printer",
        (class::MASS_STORAGE, ..) => "mass storage",
        (class::HUB, ..) => "hub",
        (class::SMART_CARD, ..) => "smart card",
        (class::VIDEO, ..) => "video",
        (class::WIRELESS, 0x01, 0x01) => "Bluetooth",
        (class::WIRELESS, ..) => "wireless",
        (class::APPLICATION, 0x01, _) => "firmware upgrade (DFU)",
        (class::VENDOR, ..) => "vendor-specific",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_special_comes_before_the_general() {
        assert_eq!(describe((0x02, 0x02, 0xff)), "Ethernet (RNDIS), class 02/02/ff");
        assert_eq!(describe((0x02, 0x02, 0x01)), "modem (CDC ACM), class 02/02/01");
        assert_eq!(describe((0x03, 0x00, 0x00)), "input (HID), class 03/00/00");
        assert_eq!(describe((0xfd, 0x00, 0x00)), "other, class fd/00/00");
    }
}
