//! The dongles that people can ask for by name: each is unlike the sound one in one thing that real dongles are unlike each other in. What
//! a driver has to make of them is no business of this file.

use std::fmt;
use std::str::FromStr;

use outboard_core::usb::Speed;

use super::{EcmOptions, Functional, Link, MacString, Neighbour};

/// A kind of dongle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Nothing is odd.
    #[default]
    Sound,
    /// ECM is in the second configuration, behind one of the vendor's own, as with RTL8152 and RTL8153.
    SecondConfiguration,
    /// ECM is in the second configuration, behind RNDIS, as with QEMU's usb-net.
    RndisFirst,
    /// iMACAddress's string is no MAC address.
    BrokenMac,
    /// There is no Union functional descriptor.
    NoUnion,
    /// Bulk packets of 8 bytes, the least that USB 2.0 has (5.8.3); only full speed allows them.
    TinyPackets,
    /// A link of 2 Mbit/s to the host and 1 Mbit/s from it, and frames take their time.
    SlowLink,
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Sound,
        Self::SecondConfiguration,
        Self::RndisFirst,
        Self::BrokenMac,
        Self::NoUnion,
        Self::TinyPackets,
        Self::SlowLink,
    ];

    /// What it is asked for by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::SecondConfiguration => "second-configuration",
            Self::RndisFirst => "rndis-first",
            Self::BrokenMac => "broken-mac",
            Self::NoUnion => "no-union",
            Self::TinyPackets => "tiny-packets",
            Self::SlowLink => "slow-link",
        }
    }

    /// What is odd about it, for people.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Sound => "nothing is odd",
            Self::SecondConfiguration => "ECM in the second configuration, behind the vendor's own (RTL8152)",
            Self::RndisFirst => "ECM in the second configuration, behind RNDIS (QEMU's usb-net)",
            Self::BrokenMac => "a MAC string that is no MAC address",
            Self::NoUnion => "no Union descriptor",
            Self::TinyPackets => "packets of 8 bytes, at full speed",
            Self::SlowLink => "a link of 2 Mbit/s down and 1 Mbit/s up",
        }
    }

    /// The speed that it is for, if nobody asks for another one.
    pub const fn speed(self) -> Speed {
        match self {
            Self::TinyPackets => Speed::Full,
            _ => Speed::High,
        }
    }

    /// The dongle at this speed. Nothing is lost on its wire when the host is slow: frames wait there, as with pause frames.
    pub fn options(self, speed: Speed) -> EcmOptions {
        let link = Link::up(match speed {
            Speed::Low | Speed::Full => 10_000_000,
            Speed::High => 100_000_000,
            Speed::Super | Speed::SuperPlus => 1_000_000_000,
        });
        let sound = EcmOptions { link, flow_control: true, ..EcmOptions::at(speed) };
        match self {
            Self::Sound => sound,
            Self::SecondConfiguration => EcmOptions { neighbour: Some(Neighbour::Vendor), ..sound },
            Self::RndisFirst => EcmOptions { neighbour: Some(Neighbour::Rndis), ..sound },
            Self::BrokenMac => EcmOptions { mac: MacString::Text("no address".into()), ..sound },
            Self::NoUnion => EcmOptions { union: Functional::Absent, ..sound },
            Self::TinyPackets => EcmOptions { packet_size: Some(8), ..sound },
            Self::SlowLink => {
                let link = Link { up: true, downlink: 2_000_000, uplink: 1_000_000 };
                EcmOptions { link, paced: true, ..sound }
            }
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no variant of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no variant {0:?}; there are {names}", names = Variant::ALL.map(Variant::name).join(", "))]
pub struct NoSuchVariant(String);

impl FromStr for Variant {
    type Err = NoSuchVariant;

    fn from_str(text: &str) -> Result<Self, NoSuchVariant> {
        Self::ALL.into_iter().find(|variant| variant.name() == text).ok_or_else(|| NoSuchVariant(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name_and_unlike_the_others() {
        for (at, variant) in Variant::ALL.into_iter().enumerate() {
            assert_eq!(variant.name().parse(), Ok(variant));
            let options = variant.options(Speed::Full);
            assert!(
                Variant::ALL[..at].iter().all(|other| other.options(Speed::Full) != options),
                "{variant}"
            );
        }
        let error = "nice".parse::<Variant>().unwrap_err().to_string();
        assert!(
            error.starts_with("there is no variant \"nice\"; there are sound, second-configuration,"),
            "{error}"
        );
    }
}
