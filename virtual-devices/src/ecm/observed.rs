//! The dongle's state in the words of any network device, for whoever is behind its wire. It must not know how it is shown.

use outboard_core::usb::Speed;

use super::requests::filter;
use super::{EcmDongle, descriptors};
use crate::observed::{Observed, Passes};
use crate::wire::Wire;

impl<W: Wire> EcmDongle<W> {
    /// Its state now.
    pub fn observed(&self) -> Observed {
        let (filter, statistics) = (self.filter(), self.statistics());
        let has = |bit| filter.bits & bit != 0;
        Observed {
            device: descriptors::PRODUCT.to_owned(),
            variant: self.variant().to_owned(),
            attached: attached(self.options().speed).to_owned(),
            station: self.station(),
            active_since: self.active_since(),
            link: self.link(),
            passes: Passes {
                all: has(filter::PROMISCUOUS),
                all_multicast: has(filter::ALL_MULTICAST),
                directed: has(filter::DIRECTED),
                broadcast: has(filter::BROADCAST),
                groups: has(filter::MULTICAST).then(|| filter.groups.clone()),
                hashed: filter.hashed,
            },
            transmitted: statistics.transmitted,
            received: statistics.received,
            transmit_errors: statistics.transmit_errors,
            receive_errors: statistics.receive_errors,
            no_buffer: statistics.no_buffer,
            filtered: statistics.filtered,
        }
    }
}

const fn attached(speed: Speed) -> &'static str {
    match speed {
        Speed::Low => "USB, low speed (1.5 Mbit/s)",
        Speed::Full => "USB, full speed (12 Mbit/s)",
        Speed::High => "USB, high speed (480 Mbit/s)",
        Speed::Super => "USB, SuperSpeed (5 Gbit/s)",
        Speed::SuperPlus => "USB, SuperSpeedPlus (10 Gbit/s)",
    }
}
