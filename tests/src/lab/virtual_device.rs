//! Virtual devices that `outboard virtual` serves in the guest, plugged into its kernel by vhci_hcd: a device that the kernel sees as any
//! other. It must not know what drives them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::context::Context;
use super::outboard::Program;
use super::run::run;
use super::sysfs::{read, write};
use super::usb_device::UsbDevice;

/// The kernel's virtual host controller (drivers/usb/usbip/vhci_sysfs.c).
const VHCI: &str = "/sys/devices/platform/vhci_hcd.0";

/// A running `outboard virtual`.
#[derive(Debug)]
pub(crate) struct Server {
    program: Program,
    port: u16,
    devices: Vec<Value>,
}

impl Server {
    /// Serves devices, each as the command line names it.
    pub(crate) fn start(context: &Context, devices: &[&str]) -> Result<Self> {
        run("modprobe vhci-hcd")?;
        run("ip link set lo up")?;
        let mut command = Command::new(&context.settings.outboard);
        command.args(["virtual", "--json", "--listen", "127.0.0.1:0"]).args(devices);
        let mut program = Program::start(&mut command)?;
        let serving: Value = serde_json::from_str(&program.line()?).context("its first line")?;
        let port = serving["listen"].as_str().and_then(|listen| listen.rsplit_once(':')?.1.parse().ok());
        let port = port.with_context(|| format!("no port in {serving}"))?;
        let devices = serving["devices"].as_array().cloned().unwrap_or_default();
        Ok(Self { program, port, devices })
    }

    /// Plugs a device in, the first being 0, and waits until it is enumerated. No other one may be plugged in: their ids are the same.
    pub(crate) fn plug(&mut self, number: usize) -> Result<UsbDevice> {
        let device = self.devices.get(number).with_context(|| format!("there is no device {number}"))?;
        let (vendor, product) = (id(device, "vendor_id")?, id(device, "product_id")?);
        let bus_id = device["bus_id"].as_str().context("no bus_id")?.to_owned();
        run(&format!("usbip --tcp-port {} attach -r 127.0.0.1 -b {bus_id}", self.port))?;
        self.event("attached", &bus_id)?;
        UsbDevice::wait(vendor, product)
    }

    /// Pulls the plug of all that is plugged in, and waits until the server knows.
    pub(crate) fn unplug(&mut self, number: usize, device: &UsbDevice) -> Result<Value> {
        detach_all()?;
        device.wait_gone()?;
        let bus_id = self.devices[number]["bus_id"].as_str().unwrap_or_default().to_owned();
        self.event("detached", &bus_id)
    }

    /// Ends it as Ctrl-C does.
    pub(crate) fn stop(mut self) -> Result<()> {
        let status = self.program.interrupt()?;
        ensure!(status.success(), "outboard virtual was interrupted and ended with {status}, not with 0");
        Ok(())
    }

    /// The addresses, IPv4 and IPv6, of the computer behind a device.
    pub(crate) fn host(&self, number: usize) -> Result<(String, String)> {
        let address = |at: usize| {
            let address = self.devices.get(number).and_then(|device| device["host"][at].as_str());
            address.map(str::to_owned).with_context(|| format!("device {number} has no address"))
        };
        Ok((address(0)?, address(1)?))
    }

    fn event(&mut self, wanted: &str, bus_id: &str) -> Result<Value> {
        let line = self.program.line()?;
        let event: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        ensure!(
            event["event"] == wanted && event["bus_id"] == bus_id,
            "outboard virtual says {line}, and {bus_id} is to be {wanted}"
        );
        Ok(event)
    }
}

fn id(device: &Value, field: &str) -> Result<u16> {
    let id = device[field].as_u64().and_then(|id| u16::try_from(id).ok());
    id.with_context(|| format!("no {field} in {device}"))
}

/// Pulls the plug of every device on vhci_hcd. One that goes by itself meanwhile is no error.
pub(crate) fn detach_all() -> Result<()> {
    let status = read(Path::new(VHCI).join("status"))?;
    for port in used_ports(&status) {
        let _went_by_itself = write(Path::new(VHCI).join("detach"), &port.to_string());
    }
    Ok(())
}

/// The ports with a device in vhci's `status`: a heading, then `hub port sta spd dev sockfd local_busid`, sta 4 (VDEV_ST_NULL) being free.
fn used_ports(status: &str) -> Vec<u32> {
    let used = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let port = words.next()?.parse().ok()?;
        (words.next()? != "004").then_some(port)
    };
    status.lines().skip(1).filter_map(used).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_in_use_are_found() {
        let status = "hub port sta spd dev      sockfd local_busid\nhs  0000 006 003 00010002 000003 3-1\nhs  0001 004 000 00000000 000000 0-0\nss  0008 006 005 00010003 000004 4-1\n";
        assert_eq!(used_ports(status), [0, 8]);
    }
}
