//! What a driver could leave behind: open files, tasks, network interfaces.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, bail};

use super::sysfs::read;

/// The machine's counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inventory {
    /// Descriptors and tasks that programs and kernel threads have, by the name of the program: exact.
    programs: BTreeMap<String, Held>,
    /// Open files, those too that only the kernel holds: see [`slack_of_files`].
    files: u64,
    interfaces: BTreeSet<String>,
}

/// What all processes of one name have together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    descriptors: u64,
    tasks: u64,
}

/// More than this, in any program, is a leak: less than one thing a cycle in every run that has more cycles.
const SLACK: u64 = 4;

/// These start and end workers as it suits them: the kernel's work queues, and udev's daemon, whose workers stay some seconds.
const UNSTEADY: [&str; 4] = ["kworker/", "systemd-udevd", "(udev-worker)", "udevd"];

/// The kernel counts open files per CPU and adds a CPU's count to the sum by the batch, which is at least 32 and at least twice the number
/// of CPUs (Linux lib/percpu_counter.c, compute_batch_value); before and after may each be off by a batch for every CPU.
fn slack_of_files() -> u64 {
    let cpus = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    2 * cpus * (2 * cpus).max(32)
}

impl Inventory {
    /// Counts now.
    pub(crate) fn now() -> Result<Self> {
        let mut programs = BTreeMap::<_, Held>::new();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            if !entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
                continue;
            }
            // A process that ends meanwhile holds nothing.
            let Ok(name) = read(entry.path().join("comm")) else { continue };
            if UNSTEADY.iter().any(|unsteady| name.starts_with(unsteady)) {
                continue;
            }
            let held = programs.entry(name).or_default();
            held.descriptors += entries(&entry.path().join("fd"));
            held.tasks += entries(&entry.path().join("task"));
        }
        // proc_sys_fs(5), file-nr: allocated, free, maximum.
        let files = read("/proc/sys/fs/file-nr")?;
        let files = files.split_whitespace().next().context("file-nr is empty")?.parse()?;
        let mut interfaces = BTreeSet::new();
        for entry in fs::read_dir("/sys/class/net")? {
            interfaces.insert(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(Self { programs, files, interfaces })
    }

    /// Fails when `after` has more than this, beyond what the kernel's own counting scatters.
    pub(crate) fn compare(&self, after: &Self, cycles: u32) -> Result<()> {
        for (name, now) in &after.programs {
            let then = self.programs.get(name).copied().unwrap_or_default();
            for (what, then, now) in
                [("descriptors", then.descriptors, now.descriptors), ("tasks", then.tasks, now.tasks)]
            {
                if now > then + SLACK {
                    bail!("{name} had {then} {what} before {cycles} cycles, {now} after");
                }
            }
        }
        if after.files > self.files + slack_of_files() {
            bail!("{} open files in the kernel before {cycles} cycles, {} after", self.files, after.files);
        }
        let left: Vec<_> = after.interfaces.difference(&self.interfaces).cloned().collect();
        if !left.is_empty() {
            bail!("interfaces left after {cycles} cycles: {}", left.join(", "));
        }
        Ok(())
    }

    /// All in one line, for the log.
    pub(crate) fn summary(&self) -> String {
        let sum = |of: fn(&Held) -> u64| self.programs.values().map(of).sum::<u64>();
        let (descriptors, tasks) = (sum(|held| held.descriptors), sum(|held| held.tasks));
        format!(
            "{descriptors} descriptors, {tasks} tasks, {} files, {} interfaces",
            self.files,
            self.interfaces.len()
        )
    }
}

/// None where the process has ended.
fn entries(folder: &Path) -> u64 {
    fs::read_dir(folder).map_or(0, |entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn with(descriptors: u64, tasks: u64, files: u64, interfaces: &[&str]) -> Inventory {
        Inventory {
            programs: [("lab-guest".to_owned(), Held { descriptors, tasks })].into(),
            files,
            interfaces: interfaces.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn one_thing_a_cycle_is_a_leak() {
        let before = with(20, 3, 1000, &["lo"]);
        assert!(before.compare(&with(22, 2, 1032, &["lo"]), 100).is_ok());
        assert!(before.compare(&with(120, 3, 1000, &["lo"]), 100).is_err());
        assert!(before.compare(&with(20, 103, 1000, &["lo"]), 100).is_err());
        assert!(before.compare(&with(20, 3, 1001 + slack_of_files(), &["lo"]), 100).is_err());
        assert!(before.compare(&with(20, 3, 1000, &["lo", "ecm0"]), 100).is_err());
        assert!(Inventory::default().compare(&with(100, 0, 0, &[]), 100).is_err(), "a program that stayed");
    }

    #[test]
    fn open_files_are_counted() {
        let own = read("/proc/self/comm").unwrap();
        let before = Inventory::now().unwrap();
        let files: Vec<_> = (0..100).map(|_| File::open("/dev/null").unwrap()).collect();
        let after = Inventory::now().unwrap();
        // Tests of this program run beside this one, with files of their own.
        assert!(after.programs[&own].descriptors >= before.programs[&own].descriptors + 50);
        drop(files);
    }
}
