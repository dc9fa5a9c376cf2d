//! Who has a function's interfaces now: a driver of the kernel, Outboard, another program, or nobody. sysfs says which interface has which
//! driver; whose the node of a device is that `usbfs` stands for, only `/proc` tells. It must not know any manifest.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use outboard_core::manifest::Function;
use outboard_core::usb::discovery::{Bound, Found};

use crate::output::printable;

/// The kernel's name for programs that claim interfaces.
const USBFS: &str = "usbfs";

/// Who has some interfaces of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holding {
    /// Who.
    pub(crate) holder: Holder,
    /// bInterfaceNumbers.
    pub(crate) interfaces: Vec<u8>,
    /// Network interfaces that were made of them.
    pub(crate) networks: Vec<String>,
}

/// Who has an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody.
    Nobody,
    /// Nobody can: its configuration is not the active one.
    Inactive,
    /// This driver of the kernel.
    Kernel(String),
    /// One of Outboard's processes: this one, or a driver's program.
    Outboard(Vec<Process>),
    /// Other programs, through usbfs; none is named if `/proc` does not show them to us.
    Program(Vec<Process>),
}

/// A process that has the device's node open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its id.
    pub(crate) id: u32,
    /// Its name, as `ps` shows it.
    pub(crate) name: String,
}

/// What to find processes by.
#[derive(Debug, Clone)]
pub(crate) struct Processes<'a> {
    /// `/proc`.
    pub(crate) proc: PathBuf,
    /// Programs that are Outboard's besides this one.
    pub(crate) programs: Vec<&'a Path>,
}

/// Who has the interfaces of a function, in the order of their first.
pub(crate) fn holdings(found: &Found, function: &Function, processes: &Processes<'_>) -> Vec<Holding> {
    if found.configuration != Some(function.configuration) {
        let interfaces = function.interfaces.clone();
        return vec![Holding { holder: Holder::Inactive, interfaces, networks: Vec::new() }];
    }
    let mut through_usbfs = None;
    let mut holdings: Vec<Holding> = Vec::new();
    for number in &function.interfaces {
        let bound = found.drivers.iter().find(|bound| bound.interface == *number);
        let holder = match bound.and_then(|bound| bound.driver.as_deref()) {
            None => Holder::Nobody,
            Some(USBFS) => through_usbfs.get_or_insert_with(|| processes.holder(&found.node)).clone(),
            Some(driver) => Holder::Kernel(driver.to_owned()),
        };
        let networks = bound.map(|bound: &Bound| bound.networks.clone()).unwrap_or_default();
        match holdings.iter_mut().find(|holding| holding.holder == holder) {
            Some(holding) => {
                holding.interfaces.push(*number);
                holding.networks.extend(networks);
            }
            None => holdings.push(Holding { holder, interfaces: vec![*number], networks }),
        }
    }
    holdings
}

impl Processes<'_> {
    /// Who stands behind `usbfs` on this node.
    fn holder(&self, node: &Path) -> Holder {
        let own: Vec<Identity> = [self.proc.join("self/exe")]
            .iter()
            .map(PathBuf::as_path)
            .chain(self.programs.iter().copied())
            .filter_map(Identity::of)
            .collect();
        let (mut ours, mut others) = (Vec::new(), Vec::new());
        if let Some(node) = Identity::of(node) {
            for (process, directory) in self.all() {
                if has_open(&directory, node) {
                    let is_ours = Identity::of(&directory.join("exe")).is_some_and(|exe| own.contains(&exe));
                    if is_ours { ours.push(process) } else { others.push(process) }
                }
            }
        }
        // A device's node can be open without a claim: who only looks, as `lsusb -v` does, is less likely to be the one.
        if ours.is_empty() { Holder::Program(others) } else { Holder::Outboard(ours) }
    }

    fn all(&self) -> Vec<(Process, PathBuf)> {
        let entries = fs::read_dir(&self.proc).into_iter().flatten().flatten();
        let mut all: Vec<(Process, PathBuf)> = entries
            .filter_map(|entry| {
                let id = entry.file_name().to_str()?.parse().ok()?;
                let name = fs::read(entry.path().join("comm")).unwrap_or_default();
                let name = printable(String::from_utf8_lossy(&name).trim_end_matches('\n'));
                Some((Process { id, name }, entry.path()))
            })
            .collect();
        all.sort_by_key(|(process, _)| process.id);
        all
    }
}

/// Which file it is, whatever it is called: a container may have another node for the same device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    Device(u64),
    File { device: u64, inode: u64 },
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(match metadata.file_type().is_char_device() {
            true => Self::Device(metadata.rdev()),
            false => Self::File { device: metadata.dev(), inode: metadata.ino() },
        })
    }
}

fn has_open(process: &Path, node: Identity) -> bool {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    descriptors.map(|entry| entry.path()).any(|path| {
        // Its name first: to ask for every file's state would wait for file systems that do not answer.
        let is_node = fs::read_link(&path).is_ok_and(|link| link.to_string_lossy().contains("/bus/usb/"));
        is_node && Identity::of(&path) == Some(node)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_core::manifest::Joined;
    use outboard_core::usb::Speed;
    use std::os::unix::fs::symlink;

    /// `/proc` and `/dev` of our own, removed with the value.
    struct Tree(PathBuf);

    impl Tree {
        fn new(test: &str) -> Self {
            let root = std::env::temp_dir().join(format!("outboard-holder-{test}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            for folder in ["proc/self", "dev/bus/usb/001", "bin"] {
                fs::create_dir_all(root.join(folder)).unwrap();
            }
            for file in ["dev/bus/usb/001/007", "dev/bus/usb/001/008", "bin/outboard", "bin/acme", "bin/gdb"]
            {
                fs::write(root.join(file), file).unwrap();
            }
            symlink(root.join("bin/outboard"), root.join("proc/self/exe")).unwrap();
            Self(root)
        }

        fn run(&self, id: u32, program: &str, node: &str) {
            let process = self.0.join(format!("proc/{id}"));
            fs::create_dir_all(process.join("fd")).unwrap();
            fs::write(process.join("comm"), format!("{program}\n")).unwrap();
            symlink(self.0.join("bin").join(program), process.join("exe")).unwrap();
            symlink("/dev/null", process.join("fd/0")).unwrap();
            symlink(self.0.join("dev/bus/usb/001").join(node), process.join("fd/5")).unwrap();
        }

        fn found(&self, drivers: &[(u8, Option<&str>, &[&str])]) -> Found {
            Found {
                name: "1-2".into(),
                bus: 1,
                address: 7,
                vendor_id: 1,
                product_id: 2,
                manufacturer: None,
                product: None,
                serial: None,
                speed: Speed::High,
                node: self.0.join("dev/bus/usb/001/007"),
                sysfs: self.0.join("sys"),
                configuration: Some(1),
                descriptors: Vec::new(),
                drivers: drivers
                    .iter()
                    .map(|(interface, driver, networks)| Bound {
                        interface: *interface,
                        driver: driver.map(str::to_owned),
                        networks: networks.iter().map(ToString::to_string).collect(),
                    })
                    .collect(),
            }
        }

        fn holders(&self, drivers: &[(u8, Option<&str>, &[&str])]) -> Vec<(Holder, Vec<u8>)> {
            let function = Function { configuration: 1, interfaces: vec![0, 1], joined: Joined::Union };
            let acme = self.0.join("bin/acme");
            let processes = Processes { proc: self.0.join("proc"), programs: vec![&acme] };
            let holdings = holdings(&self.found(drivers), &function, &processes);
            holdings.into_iter().map(|holding| (holding.holder, holding.interfaces)).collect()
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const TAKEN: [(u8, Option<&str>, &[&str]); 2] = [(0, Some("usbfs"), &[]), (1, Some("usbfs"), &[])];

    fn process(id: u32, name: &str) -> Vec<Process> {
        vec![Process { id, name: name.to_owned() }]
    }

    #[test]
    fn the_kernel_nobody_and_both() {
        let tree = Tree::new("kernel");
        let ether = Holder::Kernel("cdc_ether".into());
        assert_eq!(
            tree.holders(&[(0, Some("cdc_ether"), &["usb0"]), (1, Some("cdc_ether"), &[])]),
            [(ether.clone(), vec![0, 1])]
        );
        assert_eq!(tree.holders(&[(1, None, &[])]), [(Holder::Nobody, vec![0, 1])]);
        assert_eq!(
            tree.holders(&[(0, Some("cdc_ether"), &[]), (1, None, &[])]),
            [(ether, vec![0]), (Holder::Nobody, vec![1])]
        );
    }

    #[test]
    fn behind_usbfs_are_we_a_driver_of_ours_or_another_program() {
        let tree = Tree::new("usbfs");
        assert_eq!(tree.holders(&TAKEN), [(Holder::Program(Vec::new()), vec![0, 1])]);
        // Another device's node.
        tree.run(40, "outboard", "008");
        assert_eq!(tree.holders(&TAKEN), [(Holder::Program(Vec::new()), vec![0, 1])]);
        tree.run(50, "gdb", "007");
        assert_eq!(tree.holders(&TAKEN), [(Holder::Program(process(50, "gdb")), vec![0, 1])]);
        tree.run(60, "acme", "007");
        assert_eq!(tree.holders(&TAKEN), [(Holder::Outboard(process(60, "acme")), vec![0, 1])]);
        fs::remove_dir_all(tree.0.join("proc/60")).unwrap();
        tree.run(70, "outboard", "007");
        assert_eq!(tree.holders(&TAKEN), [(Holder::Outboard(process(70, "outboard")), vec![0, 1])]);
    }

    #[test]
    fn another_configuration_is_nobodys() {
        let tree = Tree::new("inactive");
        let function = Function { configuration: 2, interfaces: vec![0], joined: Joined::Alone };
        let processes = Processes { proc: tree.0.join("proc"), programs: Vec::new() };
        let holdings = holdings(&tree.found(&TAKEN), &function, &processes);
        assert_eq!(holdings[0].holder, Holder::Inactive);
    }
}
