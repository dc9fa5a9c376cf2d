//! One way of turning a device into a network interface, whoever does it: the scenarios above know only this.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::context::Context;
use super::kernel_driver;
use super::netns::wait_present;
use super::outboard::{Line, Program, UNPLUGGED};
use super::run::run;
use super::sysfs::wait_until;
use super::usb_device::UsbDevice;
use super::wire::Contender;

/// An interface goes within moments of its device.
const GONE: Duration = Duration::from_secs(15);

/// A device that is being driven.
#[derive(Debug)]
pub(crate) struct Vended {
    /// The network interface in the initial namespace.
    pub(crate) interface: String,
    device: UsbDevice,
    driver: Driver,
}

#[derive(Debug)]
enum Driver {
    Kernel {
        interface: String,
    },
    Outboard {
        program: Program,
        /// The kernel's driver had the device before, and has to have it afterwards. It refuses some devices that we drive.
        from_kernel: bool,
    },
    ByHand(Program),
}

impl Vended {
    /// Has the contender take the device.
    pub(crate) fn take(context: &Context, contender: Contender, device: &UsbDevice) -> Result<Self> {
        Self::take_within(context, contender, device, kernel_driver::PROBE)
    }

    /// [`Self::take`] with another limit for the kernel's driver, which says nothing when it refuses.
    pub(crate) fn take_within(
        context: &Context,
        contender: Contender,
        device: &UsbDevice,
        limit: Duration,
    ) -> Result<Self> {
        let device = device.clone();
        let settings = &context.settings;
        let (interface, driver) = match contender {
            Contender::Kernel => {
                let (interface, net) = kernel_driver::bind(&device, limit)?;
                (net, Driver::Kernel { interface })
            }
            Contender::Outboard => {
                return match context.next_trace() {
                    Some(file) => Self::take_traced(context, &device, &file),
                    None => Self::attach(context, device, &[]),
                };
            }
            Contender::ByHand => {
                run("modprobe tun")?;
                let ids = [
                    super::sysfs::read(device.path().join("idVendor"))?,
                    super::sysfs::read(device.path().join("idProduct"))?,
                ];
                let mut program = Program::start(Command::new(&settings.by_hand).arg(ids.join(":")))?;
                let line = program.line()?;
                let name =
                    line.split([',', ' ']).next().context("ecm-by-hand printed an empty line")?.to_owned();
                (name, Driver::ByHand(program))
            }
            Contender::CopyLoop | Contender::Undisturbed => bail!("{} takes no device", contender.name()),
        };
        wait_present(&interface)?;
        Ok(Self { interface, device, driver })
    }

    /// Has Outboard take the device and trace it to a file.
    pub(crate) fn take_traced(context: &Context, device: &UsbDevice, file: &Path) -> Result<Self> {
        Self::attach(context, device.clone(), &["--trace".as_ref(), file.as_os_str()])
    }

    fn attach(context: &Context, device: UsbDevice, options: &[&OsStr]) -> Result<Self> {
        // No udev makes the node of a module that is not loaded yet.
        run("modprobe tun")?;
        let bound = device.ecm_interface().ok().and_then(|interface| UsbDevice::driver_of(&interface));
        let from_kernel = bound.is_some_and(|driver| driver == kernel_driver::NAME);
        let mut command = Command::new(&context.settings.outboard);
        let mut program = Program::start(command.args(["attach", &device.port]).args(options))?;
        let Line { interface, mac, .. } = Line::parse(&program.line()?)?;
        let address = Path::new("/sys/class/net").join(&interface).join("address");
        // udev may put an address of its own there at first; it must not stay.
        wait_until(&format!("{interface} to have the address {mac}"), GONE, || {
            super::sysfs::read(&address).is_ok_and(|now| now == mac)
        })?;
        wait_present(&interface)?;
        Ok(Self { interface, device, driver: Driver::Outboard { program, from_kernel } })
    }

    /// The driver's process, where it has one.
    pub(crate) fn process(&self) -> Option<u32> {
        match &self.driver {
            Driver::Kernel { .. } => None,
            Driver::Outboard { program, .. } | Driver::ByHand(program) => Some(program.id()),
        }
    }

    /// Has the contender give the device up. Outboard must end well and hand the device to the kernel's driver.
    pub(crate) fn release(self) -> Result<()> {
        match self.driver {
            Driver::Kernel { interface } => kernel_driver::unbind(&interface, &self.interface),
            Driver::Outboard { mut program, from_kernel } => {
                let status = program.interrupt()?;
                if !status.success() {
                    bail!("outboard attach was interrupted and ended with {status}, not with 0");
                }
                wait_interface_gone(&self.interface)?;
                if !from_kernel {
                    return Ok(());
                }
                kernel_driver::wait_bound(&self.device.ecm_interface()?, kernel_driver::PROBE)
                    .context("the device was not given back to the kernel's driver")
                    .map(drop)
            }
            Driver::ByHand(mut program) => {
                // An example may end by the signal itself; it only has to end.
                program.interrupt()?;
                wait_interface_gone(&self.interface)
            }
        }
    }

    /// The device was unplugged: waits for a clean end.
    pub(crate) fn unplugged(self) -> Result<()> {
        match self.driver {
            Driver::Kernel { .. } => {}
            Driver::Outboard { mut program, .. } => {
                let status = program.wait()?;
                if status.code() != Some(UNPLUGGED) {
                    bail!(
                        "the device was unplugged; outboard attach ended with {status}, not with {UNPLUGGED}"
                    );
                }
            }
            Driver::ByHand(mut program) => drop(program.wait()?),
        }
        wait_interface_gone(&self.interface)
    }
}

fn wait_interface_gone(interface: &str) -> Result<()> {
    let path = Path::new("/sys/class/net").join(interface);
    wait_until(&format!("interface {interface} to go"), GONE, || !path.exists())
}
