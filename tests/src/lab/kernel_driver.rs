//! The kernel's `cdc_ether` as a contender: bound and unbound through sysfs.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::run::run;
use super::sysfs::{wait_for, wait_until, write};
use super::usb_device::UsbDevice;

const DRIVER: &str = "/sys/bus/usb/drivers/cdc_ether";

/// Probing takes some ten milliseconds in the guest.
pub(crate) const PROBE: Duration = Duration::from_secs(10);

/// Loads the driver, so that a device is bound as soon as it is enumerated.
pub(crate) fn load() -> Result<()> {
    run("modprobe cdc_ether").map(drop)
}

/// The driver's name.
pub(crate) const NAME: &str = "cdc_ether";

/// Has the driver take the ECM interface of a device; returns the interface's name in sysfs and the network interface.
pub(crate) fn bind(device: &UsbDevice, limit: Duration) -> Result<(String, String)> {
    let interface = wait_for("an ECM interface", limit, || Ok(device.ecm_interface().ok()))?;
    if UsbDevice::driver_of(&interface).is_none() {
        // Fails when the driver's own probe of a fresh device was quicker; what counts is the state waited for below.
        let _bound_already = write(Path::new(DRIVER).join("bind"), &interface);
    }
    let net = wait_bound(&interface, limit)?;
    Ok((interface, net))
}

/// Waits until the driver has the interface; returns its network interface.
pub(crate) fn wait_bound(interface: &str, limit: Duration) -> Result<String> {
    wait_for(&format!("cdc_ether to have {interface}"), limit, || {
        let bound = UsbDevice::driver_of(interface).is_some_and(|driver| driver == NAME);
        Ok(UsbDevice::net_of(interface).filter(|_| bound))
    })
}

/// Has the driver give the interface up.
pub(crate) fn unbind(interface: &str, net: &str) -> Result<()> {
    write(Path::new(DRIVER).join("unbind"), interface).context("unbind cdc_ether")?;
    let net = Path::new("/sys/class/net").join(net);
    wait_until("the kernel's network interface to go", PROBE, || !net.exists())
}
