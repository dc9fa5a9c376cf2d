//! A reset of the port that leaves claims and alternate settings as they were. It knows the order of usbfs's calls and must not know how
//! they are made, nor what is in flight.
//!
//! usbfs has no `pre_reset` and `post_reset`, so a reset (drivers/usb/core/hub.c, `usb_reset_device`) unbinds it from each interface that
//! it has, marks those for binding, and then lets the drivers of the kernel have them. The claims are gone, and after DROP_PRIVILEGES there
//! would be no way to take an interface from such a driver again. An interface that is released before has no driver and gets no mark:
//! the kernel looks for none, and it can be claimed again, also without privileges.

use rustix::io::Errno;

/// An interface that is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) interface: u8,
    /// It was taken from a driver of the kernel, and is given back to it.
    pub(super) from_kernel_driver: bool,
    /// The selected alternate setting; releasing an interface selects 0.
    pub(super) alternate: u8,
}

/// The calls that a reset is made of.
pub(super) trait Calls {
    fn release(&mut self, interface: u8) -> Result<(), Errno>;
    fn reset(&mut self) -> Result<(), Errno>;
    /// Takes an interface, from the kernel's driver if that has it. True: it had.
    fn claim(&mut self, interface: u8) -> Result<bool, Errno>;
    fn set_interface(&mut self, interface: u8, alternate: u8) -> Result<(), Errno>;
}

/// Resets the device. Nothing may be in flight. Whether the reset worked or not, everything is tried to have the interfaces back, and
/// the first error is returned. One that was lost stays among the claims: it still has to go back to the kernel's driver.
///
/// # Errors
/// NODEV: the device is gone, or came back as another one, which the kernel enumerates anew. ACCES: privileges were dropped, and somebody
/// else has an interface of the device. BUSY: an interface was taken by somebody else meanwhile. Else what the device answered when its
/// alternate settings were selected.
pub(super) fn reset(calls: &mut impl Calls, claims: &mut [Claim]) -> Result<(), Errno> {
    for claim in &*claims {
        // It fails only if the device is gone, or was unconfigured behind our back: the reset tells.
        let _ = calls.release(claim.interface);
    }
    let mut result = calls.reset();
    if result == Err(Errno::NODEV) {
        return result;
    }
    // All claims first: a driver of the kernel that has one interface may want another one as well.
    let mut is_ours = vec![false; claims.len()];
    for (claim, is_ours) in claims.iter_mut().zip(&mut is_ours) {
        match calls.claim(claim.interface) {
            Ok(from_kernel_driver) => {
                claim.from_kernel_driver |= from_kernel_driver;
                *is_ours = true;
            }
            Err(error) => result = first(result, error),
        }
    }
    for (claim, _) in
        claims.iter_mut().zip(is_ours).filter(|(claim, is_ours)| *is_ours && claim.alternate != 0)
    {
        if let Err(error) = calls.set_interface(claim.interface, claim.alternate) {
            claim.alternate = 0;
            result = first(result, error);
        }
    }
    result
}

/// The first error says most, unless it turns out that the device is gone.
fn first(before: Result<(), Errno>, error: Errno) -> Result<(), Errno> {
    if error == Errno::NODEV { Err(error) } else { before.and(Err(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel does with interfaces at a release, a claim and a reset (6.1).
    #[derive(Default)]
    struct Kernel {
        interfaces: Vec<Bound>,
        reset: Option<Errno>,
        refuses_settings: bool,
        /// Somebody who is there right after the reset.
        quick: Option<(u8, Driver)>,
        privileges_dropped: bool,
        calls: Vec<String>,
    }

    #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
    enum Driver {
        #[default]
        None,
        Ours,
        /// A driver of the kernel.
        Kernel,
        /// Another program.
        Other,
    }

    #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
    struct Bound {
        driver: Driver,
        alternate: u8,
    }

    impl Kernel {
        fn ours(alternates: &[u8]) -> (Self, Vec<Claim>) {
            let interfaces =
                alternates.iter().map(|alternate| Bound { driver: Driver::Ours, alternate: *alternate });
            let claims = alternates.iter().zip(0..).map(|(alternate, interface)| Claim {
                interface,
                from_kernel_driver: false,
                alternate: *alternate,
            });
            let claims = claims.collect();
            (Self { interfaces: interfaces.collect(), ..Self::default() }, claims)
        }

        fn at(&mut self, interface: u8) -> Result<&mut Bound, Errno> {
            self.interfaces.get_mut(usize::from(interface)).ok_or(Errno::NOENT)
        }
    }

    impl Calls for Kernel {
        fn release(&mut self, interface: u8) -> Result<(), Errno> {
            self.calls.push(format!("release {interface}"));
            let bound = self.at(interface)?;
            if bound.driver != Driver::Ours {
                return Err(Errno::INVAL);
            }
            *bound = Bound::default();
            Ok(())
        }

        fn reset(&mut self) -> Result<(), Errno> {
            self.calls.push("reset".into());
            if self.privileges_dropped && self.interfaces.iter().any(|bound| bound.driver == Driver::Other) {
                return Err(Errno::ACCESS);
            }
            if let Some(error) = self.reset {
                return Err(error);
            }
            // usbfs loses what it has, to the kernel's driver.
            for bound in self.interfaces.iter_mut().filter(|bound| bound.driver == Driver::Ours) {
                *bound = Bound { driver: Driver::Kernel, alternate: 0 };
            }
            if let Some((interface, driver)) = self.quick {
                self.at(interface)?.driver = driver;
            }
            Ok(())
        }

        fn claim(&mut self, interface: u8) -> Result<bool, Errno> {
            self.calls.push(format!("claim {interface}"));
            let privileges_dropped = self.privileges_dropped;
            let bound = self.at(interface)?;
            let from_kernel_driver = bound.driver == Driver::Kernel;
            match bound.driver {
                Driver::Ours | Driver::None => {}
                Driver::Kernel if !privileges_dropped => {}
                Driver::Kernel | Driver::Other => return Err(Errno::BUSY),
            }
            bound.driver = Driver::Ours;
            Ok(from_kernel_driver)
        }

        fn set_interface(&mut self, interface: u8, alternate: u8) -> Result<(), Errno> {
            self.calls.push(format!("set {interface} {alternate}"));
            if self.refuses_settings {
                return Err(Errno::PIPE);
            }
            self.at(interface)?.alternate = alternate;
            Ok(())
        }
    }

    #[test]
    fn claims_and_alternate_settings_are_as_before_also_without_privileges() {
        for privileges_dropped in [false, true] {
            let (mut kernel, mut claims) = Kernel::ours(&[0, 1]);
            kernel.privileges_dropped = privileges_dropped;
            claims[0].from_kernel_driver = true;
            let before = (kernel.interfaces.clone(), claims.clone());
            assert_eq!(reset(&mut kernel, &mut claims), Ok(()));
            assert_eq!((kernel.interfaces, claims), before);
            let expected = ["release 0", "release 1", "reset", "claim 0", "claim 1", "set 1 1"];
            assert_eq!(kernel.calls, expected, "setting 0 is never selected: many devices refuse it");
        }
    }

    #[test]
    fn an_interface_that_a_driver_of_the_kernel_took_is_taken_from_it_and_goes_back_to_it_later() {
        let (mut kernel, mut claims) = Kernel::ours(&[0, 2]);
        kernel.quick = Some((1, Driver::Kernel));
        assert_eq!(reset(&mut kernel, &mut claims), Ok(()));
        assert_eq!(kernel.interfaces[1], Bound { driver: Driver::Ours, alternate: 2 });
        assert_eq!((claims[0].from_kernel_driver, claims[1].from_kernel_driver), (false, true));
    }

    #[test]
    fn an_interface_that_is_lost_is_an_error_and_the_others_are_restored() {
        let (mut kernel, mut claims) = Kernel::ours(&[1, 1]);
        kernel.quick = Some((0, Driver::Other));
        assert_eq!(reset(&mut kernel, &mut claims), Err(Errno::BUSY));
        assert_eq!(kernel.interfaces[1], Bound { driver: Driver::Ours, alternate: 1 });
        assert!(!kernel.calls.contains(&"set 0 1".to_owned()), "it is not ours");
        assert_eq!(claims.len(), 2);
    }

    #[test]
    fn a_reset_that_is_refused_leaves_everything_as_it_was() {
        let (mut kernel, mut claims) = Kernel::ours(&[1, 0]);
        kernel.privileges_dropped = true;
        kernel.interfaces.push(Bound { driver: Driver::Other, alternate: 0 });
        let before = kernel.interfaces.clone();
        assert_eq!(reset(&mut kernel, &mut claims), Err(Errno::ACCESS));
        assert_eq!(kernel.interfaces, before);
    }

    #[test]
    fn a_device_that_does_not_come_back_is_left_alone() {
        let (mut kernel, mut claims) = Kernel::ours(&[1]);
        kernel.reset = Some(Errno::NODEV);
        assert_eq!(reset(&mut kernel, &mut claims), Err(Errno::NODEV));
        assert_eq!(kernel.calls, ["release 0", "reset"]);
    }

    #[test]
    fn a_setting_that_the_device_refuses_is_an_error_and_not_remembered() {
        let (mut kernel, mut claims) = Kernel::ours(&[3]);
        kernel.refuses_settings = true;
        assert_eq!(reset(&mut kernel, &mut claims), Err(Errno::PIPE));
        assert_eq!(claims[0].alternate, 0);
        assert_eq!(kernel.interfaces[0], Bound { driver: Driver::Ours, alternate: 0 });
    }
}
