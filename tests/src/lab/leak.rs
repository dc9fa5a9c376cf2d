//! What a driver could leave behind: open files, tasks, network interfaces.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};

use super::sysfs::read;

/// The machine's counts at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inventory {
    files: u64,
    tasks: u64,
    interfaces: BTreeSet<String>,
}

/// The kernel counts open files per CPU and sums up lazily, and its worker threads come and go: below this nothing is said.
const SLACK: u64 = 40;

impl Inventory {
    /// Counts now.
    pub(crate) fn now() -> Result<Self> {
        // proc_sys_fs(5), file-nr: allocated, free, maximum.
        let files = read("/proc/sys/fs/file-nr")?;
        let files = files.split_whitespace().next().context("file-nr is empty")?.parse()?;
        // proc_loadavg(5): the fourth field is runnable/total scheduling entities, which counts threads too.
        let tasks = read("/proc/loadavg")?;
        let tasks = tasks
            .split_whitespace()
            .nth(3)
            .and_then(|field| field.split('/').nth(1))
            .context("loadavg has no tasks")?;
        let tasks = tasks.parse()?;
        let mut interfaces = BTreeSet::new();
        for entry in fs::read_dir("/sys/class/net")? {
            interfaces.insert(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(Self { files, tasks, interfaces })
    }

    /// Fails when `after` has more than this, beyond what the kernel itself scatters.
    pub(crate) fn compare(&self, after: &Self, cycles: u32) -> Result<()> {
        let slack = SLACK.min(u64::from(cycles / 4).max(8));
        let more = |before: u64, after: u64| after.saturating_sub(before) > slack;
        if more(self.files, after.files) {
            bail!("{} open files before {cycles} cycles, {} after", self.files, after.files);
        }
        if more(self.tasks, after.tasks) {
            bail!("{} tasks before {cycles} cycles, {} after", self.tasks, after.tasks);
        }
        let left: Vec<_> = after.interfaces.difference(&self.interfaces).cloned().collect();
        if !left.is_empty() {
            bail!("interfaces left after {cycles} cycles: {}", left.join(", "));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(files: u64, tasks: u64, interfaces: &[&str]) -> Inventory {
        Inventory { files, tasks, interfaces: interfaces.iter().map(|&name| name.to_owned()).collect() }
    }

    #[test]
    fn one_thing_a_cycle_is_a_leak() {
        let before = with(1000, 100, &["lo"]);
        assert!(before.compare(&with(1010, 95, &["lo"]), 1000).is_ok());
        assert!(before.compare(&with(2000, 100, &["lo"]), 1000).is_err());
        assert!(before.compare(&with(1000, 1100, &["lo"]), 1000).is_err());
        assert!(before.compare(&with(1000, 100, &["lo", "ecm0"]), 1000).is_err());
        assert!(before.compare(&with(1020, 100, &["lo"]), 20).is_err());
    }
}
