//! CDC functional descriptors: the class-specific descriptors of a communications interface (CDC120, 5.2.3; ECM120, 5.4).
//! It knows no interface; whether what they name exists is for [`function`](super::function).

use outboard_core::usb::descriptor::{Extra, Malformed, RawDescriptor, StringIndex, kind};
use std::num::NonZeroU8;

/// bDescriptorSubtype of the functional descriptors that matter here (CDC120, Table 13).
pub mod subtype {
    /// Header (CDC120, 5.2.3.1).
    pub const HEADER: u8 = 0x00;
    /// Union (CDC120, 5.2.3.2).
    pub const UNION: u8 = 0x06;
    /// Ethernet Networking (ECM120, 5.4).
    pub const ETHERNET: u8 = 0x0f;
    /// Mobile Direct Line Model (WMC 1.1, 6.7.2.3).
    pub const MDLM: u8 = 0x12;
    /// Mobile Direct Line Model Detail (WMC 1.1, 6.7.2.4).
    pub const MDLM_DETAIL: u8 = 0x13;
}

/// Which interfaces are one function (CDC120, Table 16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Union {
    /// bControlInterface.
    pub control: u8,
    /// bSubordinateInterface0; further ones mean nothing for ECM.
    pub subordinate: u8,
}

/// What the Ethernet function can do (ECM120, Table 3), as the device says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EthernetNetworking {
    /// iMACAddress: the string with the address.
    pub mac_string: StringIndex,
    /// bmEthernetStatistics: the counters that it keeps (ECM120, Table 4).
    pub statistics: u32,
    /// wMaxSegmentSize: the longest frame in bytes, header included, FCS not; usually 1514.
    pub max_segment_size: u16,
    /// wNumberMCFilters.
    pub multicast: MulticastFilters,
    /// bNumberPowerFilters: patterns that can wake the host.
    pub power_filters: u8,
}

impl EthernetNetworking {
    /// bFunctionLength (ECM120, Table 3).
    pub const LENGTH: usize = 13;

    /// The content behind bDescriptorType, for the device side and tests.
    pub fn to_content(&self) -> [u8; Self::LENGTH - 2] {
        let [s0, s1, s2, s3] = self.statistics.to_le_bytes();
        let ([m0, m1], [f0, f1]) =
            (self.max_segment_size.to_le_bytes(), self.multicast.to_bits().to_le_bytes());
        let mac = self.mac_string.map_or(0, NonZeroU8::get);
        [subtype::ETHERNET, mac, s0, s1, s2, s3, m0, m1, f0, f1, self.power_filters]
    }
}

/// How many multicast addresses a device can filter by, and how well (ECM120, Table 3: wNumberMCFilters).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MulticastFilters {
    /// How many addresses it takes; 0: it has no such filter, the host asks for all multicast.
    pub count: u16,
    /// Whether it passes exactly these addresses. Otherwise it filters by hash, and others may pass too.
    pub perfect: bool,
}

impl MulticastFilters {
    //  15         14                                0
    // +----------+----------------------------------+
    // | 1: hash  | number of filters                |
    // +----------+----------------------------------+
    const fn from_bits(bits: u16) -> Self {
        Self { count: bits & 0x7fff, perfect: bits & 0x8000 == 0 }
    }

    const fn to_bits(self) -> u16 {
        self.count & 0x7fff | if self.perfect { 0 } else { 0x8000 }
    }
}

/// The functional descriptors of one function.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Functional {
    /// bcdCDC of the Header.
    pub cdc_version: Option<u16>,
    /// The first Union.
    pub union: Option<Union>,
    /// Ethernet Networking.
    pub ethernet: Option<EthernetNetworking>,
    /// bGUID of MDLM.
    pub mdlm: Option<[u8; 16]>,
    /// bFunctionLength of MDLM Detail.
    pub mdlm_detail_length: Option<u8>,
    /// What was left out, in the order of the descriptors; at most [`Functional::MOST_ODDITIES`].
    pub oddities: Vec<FunctionalOddity>,
}

/// A functional descriptor that was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionalOddity {
    /// Its length is not the one that its kind has.
    Length {
        /// bDescriptorSubtype.
        subtype: u8,
        /// bFunctionLength.
        length: u8,
    },
    /// A second Union; the first counts.
    SecondUnion,
}

impl Functional {
    /// Oddities beyond this are not listed: enough to describe a device, too few to flood a log.
    pub const MOST_ODDITIES: usize = 16;

    /// Whether there are functional descriptors here at all.
    pub fn present(extra: &Extra) -> bool {
        extra.iter().any(|raw| raw.kind() == kind::CS_INTERFACE)
    }

    /// Reads them. Those of the wrong length are passed over as Linux does: Header and Ethernet Networking must have
    /// their length exactly, Union and MDLM at least.
    ///
    /// # Errors
    /// If one is there twice that may be there once: then it is unknowable which is meant.
    pub fn parse(extra: &Extra) -> Result<Self, Malformed> {
        let mut this = Self::default();
        for raw in extra.iter().filter(|raw| raw.kind() == kind::CS_INTERFACE) {
            this.add(raw)?;
        }
        Ok(this)
    }

    fn add(&mut self, raw: RawDescriptor<'_>) -> Result<(), Malformed> {
        let Some(subtype) = raw.subtype() else { return Ok(()) };
        let fits = match subtype {
            subtype::HEADER => raw.length() == 5,
            subtype::UNION => raw.length() >= 5,
            subtype::ETHERNET => raw.length() == EthernetNetworking::LENGTH,
            subtype::MDLM => raw.length() >= 21,
            subtype::MDLM_DETAIL => raw.length() >= 4,
            _ => return Ok(()),
        };
        if !fits {
            self.odd(FunctionalOddity::Length { subtype, length: raw.length() as u8 });
            return Ok(());
        }
        match subtype {
            subtype::HEADER => once(&mut self.cdc_version, raw.u16(3), "Header"),
            subtype::UNION => {
                if self.union.is_some() {
                    self.odd(FunctionalOddity::SecondUnion);
                } else if let (Some(control), Some(subordinate)) = (raw.u8(3), raw.u8(4)) {
                    self.union = Some(Union { control, subordinate });
                }
                Ok(())
            }
            subtype::ETHERNET => once(&mut self.ethernet, ethernet(raw), "Ethernet Networking"),
            subtype::MDLM => {
                let guid = raw.bytes().get(5..).and_then(|rest| rest.first_chunk().copied());
                once(&mut self.mdlm, guid, "Mobile Direct Line Model")
            }
            _ => {
                let length = Some(raw.length() as u8);
                once(&mut self.mdlm_detail_length, length, "Mobile Direct Line Model Detail")
            }
        }
    }

    fn odd(&mut self, oddity: FunctionalOddity) {
        if self.oddities.len() < Self::MOST_ODDITIES {
            self.oddities.push(oddity);
        }
    }
}

fn once<T>(slot: &mut Option<T>, value: Option<T>, name: &'static str) -> Result<(), Malformed> {
    if slot.is_some() {
        return Err(Malformed::new("bDescriptorSubtype", format!("{name} is there twice")));
    }
    *slot = value;
    Ok(())
}

fn ethernet(raw: RawDescriptor<'_>) -> Option<EthernetNetworking> {
    Some(EthernetNetworking {
        mac_string: NonZeroU8::new(raw.u8(3)?),
        statistics: raw.u32(4)?,
        max_segment_size: raw.u16(8)?,
        multicast: MulticastFilters::from_bits(raw.u16(10)?),
        power_filters: raw.u8(12)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extra(contents: &[&[u8]]) -> Extra {
        let mut extra = Extra::new();
        for content in contents {
            extra.append(kind::CS_INTERFACE, content);
        }
        extra
    }

    #[test]
    fn ethernet_networking_is_read_field_by_field() {
        // wNumberMCFilters 0x8040: 64 filters by hash, as Realtek says it.
        let content = [0x0f, 3, 0x04, 0x03, 0x02, 0x01, 0xea, 0x05, 0x40, 0x80, 2];
        let ethernet = Functional::parse(&extra(&[&content])).unwrap().ethernet.unwrap();
        assert_eq!(
            ethernet,
            EthernetNetworking {
                mac_string: NonZeroU8::new(3),
                statistics: 0x01020304,
                max_segment_size: 1514,
                multicast: MulticastFilters { count: 64, perfect: false },
                power_filters: 2,
            }
        );
        assert_eq!(ethernet.to_content(), content);
    }

    #[test]
    fn only_a_second_union_is_tolerated() {
        let union: &[u8] = &[0x06, 0, 1];
        let functional = Functional::parse(&extra(&[union, &[0x06, 2, 3]])).unwrap();
        assert_eq!(functional.union, Some(Union { control: 0, subordinate: 1 }));
        assert_eq!(functional.oddities, [FunctionalOddity::SecondUnion]);
        let header: &[u8] = &[0x00, 0x10, 0x01];
        let twice = Functional::parse(&extra(&[header, union, header])).unwrap_err();
        assert_eq!(twice.to_string(), "bDescriptorSubtype Header is there twice");
        assert!(Functional::parse(&extra(&[&[0x0f; 11], &[0x0f; 11]])).is_err());
    }

    #[test]
    fn descriptors_of_a_wrong_length_are_passed_over() {
        let functional = Functional::parse(&extra(&[
            &[0x0f; 10],
            &[0x0f; 12],
            &[0x00, 0x10],
            &[0x06, 0],
            &[0x12; 18],
            &[0x13],
            &[],
        ]))
        .unwrap();
        assert_eq!(functional.oddities.len(), 6);
        assert_eq!(functional, Functional { oddities: functional.oddities.clone(), ..Functional::default() });
    }

    proptest! {
        #[test]
        fn any_descriptors_are_answered(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..40)) {
            let contents: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
            if let Ok(functional) = Functional::parse(&extra(&contents)) {
                prop_assert!(functional.oddities.len() <= Functional::MOST_ODDITIES);
            }
        }
    }
}
