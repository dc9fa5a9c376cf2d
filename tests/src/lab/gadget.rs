//! The kernel's own ECM gadget on dummy_hcd, made through configfs: the device and the host controller are both in this kernel.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::netns::Netns;
use super::run::run;
use super::sysfs::{read, write};
use super::usb_device::UsbDevice;

/// Linux Foundation, multifunction composite gadget.
pub(crate) const VENDOR: u16 = 0x1d6b;
/// See [`VENDOR`].
pub(crate) const PRODUCT: u16 = 0x0104;

/// Address of the host's end of the link.
pub(crate) const HOST_MAC: &str = "02:00:5e:00:00:01";
/// Address of the device's end of the link.
pub(crate) const DEVICE_MAC: &str = "02:00:5e:00:00:02";

const CONFIGFS: &str = "/sys/kernel/config";
const UDC: &str = "dummy_udc.0";

/// Signalling rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speed {
    /// 480 Mbit/s.
    High,
    /// 5 Gbit/s.
    Super,
}

impl Speed {
    /// As configfs's `max_speed` spells it.
    fn attribute(self) -> &'static str {
        match self {
            Self::High => "high-speed",
            Self::Super => "super-speed",
        }
    }

    /// In Mbit/s, as sysfs's `speed` spells it.
    pub(crate) fn mbits(self) -> u32 {
        match self {
            Self::High => 480,
            Self::Super => 5000,
        }
    }
}

/// A gadget; taken apart when dropped.
#[derive(Debug)]
pub(crate) struct Gadget {
    folder: PathBuf,
    /// The device's own network interface, inside `netns`.
    pub(crate) interface: String,
    /// The namespace in which the device's end lives.
    pub(crate) netns: Netns,
}

impl Gadget {
    /// Makes an ECM gadget and attaches it. `qmult` is u_ether's queue multiplier: it keeps twice that many frames each way.
    pub(crate) fn new(speed: Speed, qmult: u32) -> Result<Self> {
        load()?;
        remove_all()?;
        let folder = Path::new(CONFIGFS).join("usb_gadget/lab");
        fs::create_dir(&folder).context("make the gadget; is configfs there?")?;
        let set = |file: &str, text: &str| write(folder.join(file), text);
        set("idVendor", &format!("{VENDOR:#06x}"))?;
        set("idProduct", &format!("{PRODUCT:#06x}"))?;
        set("bcdUSB", if speed == Speed::Super { "0x0320" } else { "0x0200" })?;
        set("max_speed", speed.attribute())?;
        fs::create_dir_all(folder.join("strings/0x409"))?;
        set("strings/0x409/manufacturer", "Outboard")?;
        set("strings/0x409/product", "Lab dongle")?;
        set("strings/0x409/serialnumber", "1")?;
        let function = folder.join("functions/ecm.usb0");
        fs::create_dir_all(&function)?;
        set("functions/ecm.usb0/host_addr", HOST_MAC)?;
        set("functions/ecm.usb0/dev_addr", DEVICE_MAC)?;
        set("functions/ecm.usb0/qmult", &qmult.to_string())?;
        set("functions/ecm.usb0/ifname", "gadget%d")?;
        fs::create_dir_all(folder.join("configs/c.1"))?;
        symlink(&function, folder.join("configs/c.1/ecm.usb0"))?;
        set("UDC", UDC)?;
        let interface = read(function.join("ifname"))?;
        let netns = Netns::new("device")?;
        netns.take(&interface)?;
        Ok(Self { folder, interface, netns })
    }

    /// The device as the host sees it, once it is enumerated.
    pub(crate) fn device(&self) -> Result<UsbDevice> {
        UsbDevice::wait(VENDOR, PRODUCT)
    }

    /// Frames that crossed the bus, both ways, as the device counted them: the host's interface may count larger units.
    pub(crate) fn frames(&self) -> Result<u64> {
        let mut total = 0;
        for counter in ["rx_packets", "tx_packets"] {
            let text =
                self.netns.run(&format!("cat /sys/class/net/{}/statistics/{counter}", self.interface))?;
            total += text.trim().parse::<u64>().with_context(|| format!("{counter} of the gadget"))?;
        }
        Ok(total)
    }

    /// Pulls the plug.
    pub(crate) fn unplug(&self) -> Result<()> {
        // An empty write is dropped before it reaches the attribute; a newline is what detaches.
        write(self.folder.join("UDC"), "\n")
    }

    /// Plugs it in again.
    pub(crate) fn replug(&self) -> Result<()> {
        write(self.folder.join("UDC"), UDC)
    }
}

impl Drop for Gadget {
    fn drop(&mut self) {
        let _gone = remove_all();
    }
}

/// Loads what gadgets need. Both speeds come from one load: the gadget's `max_speed` chooses the root hub.
pub(crate) fn load() -> Result<()> {
    if !Path::new(CONFIGFS).join("usb_gadget").exists() {
        run("modprobe configfs")?;
        run("modprobe libcomposite")?;
        if !Path::new(CONFIGFS).join("usb_gadget").exists() {
            run(&format!("mount -t configfs none {CONFIGFS}"))?;
        }
    }
    run("modprobe usb_f_ecm")?;
    run("modprobe dummy_hcd is_super_speed=1").map(drop)
}

/// Takes every gadget apart, also those that a scenario left which was ended by force.
pub(crate) fn remove_all() -> Result<()> {
    let Ok(gadgets) = fs::read_dir(Path::new(CONFIGFS).join("usb_gadget")) else { return Ok(()) };
    for gadget in gadgets.flatten() {
        let folder = gadget.path();
        let _detached_already = write(folder.join("UDC"), "\n");
        for config in entries(&folder.join("configs")) {
            for link in entries(&config).into_iter().filter(|path| path.is_symlink()) {
                fs::remove_file(link)?;
            }
            for strings in entries(&config.join("strings")) {
                fs::remove_dir(strings)?;
            }
            fs::remove_dir(config)?;
        }
        for function in entries(&folder.join("functions")) {
            fs::remove_dir(function)?;
        }
        for strings in entries(&folder.join("strings")) {
            fs::remove_dir(strings)?;
        }
        fs::remove_dir(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    Ok(())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(folder) else { return Vec::new() };
    found.flatten().map(|entry| entry.path()).collect()
}
