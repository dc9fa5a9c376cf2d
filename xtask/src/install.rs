//! What the machine must have beyond Rust: found, installed on Debian when this is root, or named exactly.
//!
//! virtme-ng goes into the workspace's own `target` folder, so that neither a distribution that manages Python's packages itself nor the
//! user's own Python is touched.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::lab::kernel;
use crate::workspace::{self, find_program, in_ci, run, shown};

/// What something is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The tests of the workspace that look at network interfaces and serial ports, or have other programs look at what we wrote.
    Unit,
    /// The kernel lab and the benchmarks.
    Lab,
    /// The benchmark on this very machine.
    Native,
    /// Fuzzing.
    Fuzz,
}

impl Need {
    fn shown(self) -> &'static str {
        match self {
            Self::Unit => "what the tests do with network interfaces, serial ports and traces",
            Self::Lab => "the kernel lab",
            Self::Native => "the benchmark without a guest",
            Self::Fuzz => "fuzzing",
        }
    }
}

/// One thing that must be there: how to see it, and Debian's package that brings it.
struct Tool {
    needs: &'static [Need],
    program: &'static str,
    package: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool { needs: &[Need::Lab], program: "qemu-system-x86_64", package: "qemu-system-x86" },
    Tool { needs: &[Need::Lab], program: "iperf3", package: "iperf3" },
    Tool { needs: &[Need::Unit, Need::Lab, Need::Native], program: "ip", package: "iproute2" },
    Tool { needs: &[Need::Unit, Need::Lab], program: "ping", package: "iputils-ping" },
    Tool { needs: &[Need::Unit], program: "curl", package: "curl" },
    Tool { needs: &[Need::Lab], program: "ethtool", package: "ethtool" },
    Tool { needs: &[Need::Lab], program: "modprobe", package: "kmod" },
    // It judges traces.
    Tool { needs: &[Need::Unit], program: "tshark", package: "tshark" },
    // Its DHCP client configures an interface; virtme-ng packs it into the guest's initial RAM disk.
    Tool { needs: &[Need::Unit, Need::Lab], program: "busybox", package: "busybox-static" },
    // The server and the client of the kernel's own USB/IP.
    Tool { needs: &[Need::Lab], program: "usbipd", package: "usbip" },
    // virtme-ng is a Python program.
    // It counts system calls without slowing down who makes them.
    Tool { needs: &[Need::Native], program: "perf", package: "linux-perf" },
    Tool { needs: &[Need::Unit, Need::Lab], program: "python3", package: "python3" },
    // What opens the vended serial port is pyserial, for which this program stands.
    Tool { needs: &[Need::Unit], program: "pyserial-ports", package: "python3-serial" },
    // libFuzzer is C++.
    Tool { needs: &[Need::Fuzz], program: "c++", package: "g++" },
];

/// Brings the first kernel with the gadget drivers; see [`kernel`].
const KERNEL: &str = "linux-image-amd64";

/// Installs Debian's packages for all of this at once, where that can be done; [`ready`] tells what is there afterwards.
pub(crate) fn prepare(needs: &[Need]) -> Result<()> {
    let packages: BTreeSet<_> = needs.iter().flat_map(|&need| absent_packages(need)).collect();
    if !packages.is_empty() && may_install() {
        apt(packages)?;
    }
    Ok(())
}

/// Whether all is there that `need` wants, after installing what can be installed. In CI a missing thing is an error.
pub(crate) fn ready(need: Need) -> Result<bool> {
    if !cfg!(target_arch = "x86_64") && need == Need::Lab {
        return missing(need, &["an x86_64 machine".to_owned()]);
    }
    prepare(&[need])?;
    let mut wanted: Vec<String> =
        absent_packages(need).into_iter().map(|package| format!("apt install {package}")).collect();
    if need == Need::Lab && vng().is_none() {
        if let Err(error) = install_vng() {
            eprintln!("xtask: {error:#}");
        }
        if vng().is_none() {
            wanted.push("pip install virtme-ng".to_owned());
        }
    }
    if wanted.is_empty() { Ok(true) } else { missing(need, &wanted) }
}

fn missing(need: Need, wanted: &[String]) -> Result<bool> {
    let list = wanted.join("\n  ");
    if in_ci() {
        bail!("{} needs what is missing here, and CI=true lets nothing be skipped:\n  {list}", need.shown());
    }
    eprintln!("xtask: {} is skipped. It needs:\n  {list}", need.shown());
    Ok(false)
}

fn absent_packages(need: Need) -> Vec<&'static str> {
    let mut packages: Vec<_> = TOOLS
        .iter()
        .filter(|tool| tool.needs.contains(&need) && find_program(tool.program).is_none())
        .map(|tool| tool.package)
        .collect();
    if need == Need::Lab && kernel().is_none() {
        packages.push(KERNEL);
    }
    if need == Need::Lab && vng().is_none() && pip().is_none() {
        packages.push("python3-pip");
    }
    packages
}

/// Root on Debian or a child of it.
fn may_install() -> bool {
    rustix::process::geteuid().is_root()
        && Path::new("/etc/debian_version").exists()
        && find_program("apt-get").is_some()
}

fn apt(packages: BTreeSet<&'static str>) -> Result<()> {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(["-q", "-y", "-o", "Dpkg::Use-Pty=0"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        run(&mut command)
    };
    apt(&["update"])?;
    let mut arguments = vec!["install", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments)
}

/// virtme-ng's folder when it is our own.
fn own_vng() -> PathBuf {
    workspace::root().join("target/tools/virtme-ng")
}

/// The command line that is virtme-ng: the user's own, or ours.
pub(crate) fn vng() -> Option<PathBuf> {
    let own = own_vng().join("bin/vng");
    if own.is_file() { Some(own) } else { find_program("vng") }
}

/// What Python must know to run our own virtme-ng.
pub(crate) fn python_path() -> Option<PathBuf> {
    Some(own_vng()).filter(|folder| folder.join("bin/vng").is_file())
}

/// The first pip that works, as the start of a command line.
fn pip() -> Option<Vec<&'static str>> {
    let candidates = [vec!["python3", "-m", "pip"], vec!["pip3"], vec!["pip"]];
    candidates.into_iter().find(|words| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg("--version");
        command.output().is_ok_and(|output| output.status.success())
    })
}

fn install_vng() -> Result<()> {
    let Some(words) = pip() else { bail!("there is no pip to install virtme-ng with") };
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
    ]);
    command.arg("--target").arg(own_vng()).arg("virtme-ng");
    eprintln!("xtask: {}", shown(&command));
    run(&mut command)
}
