//! A port whose pins are not a serial port: bit-bang modes. It knows neither line nor host.

/// What SET_BITMODE made of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bits {
    /// 0: a serial port.
    pub(super) mode: u8,
    /// A bit for each pin that is an output.
    mask: u8,
    driven: u8,
    /// What drives the other pins from outside.
    pub(super) outside: u8,
}

impl Bits {
    /// From SET_BITMODE's wValue. False: there is no such mode.
    pub(super) fn set(&mut self, value: u16) -> bool {
        let [mask, mode] = value.to_le_bytes();
        let known = mode == 0 || mode.is_power_of_two() && mode <= 0x40;
        if known {
            (self.mode, self.mask) = (mode, mask);
        }
        known
    }

    /// The host sends bytes: the last one stays.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last()
            && matches!(self.mode, 1 | 4)
        {
            self.driven = *last;
        }
    }

    pub(super) fn pins(&self) -> u8 {
        self.driven & self.mask | self.outside & !self.mask
    }
}
