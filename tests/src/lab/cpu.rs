//! Busy CPU time of the whole machine: whatever a driver makes the kernel do on its behalf counts too.

use anyhow::{Context, Result};

use super::sysfs::read;

/// Sum of the busy columns of /proc/stat (proc_stat(5): user, nice, system, irq, softirq, steal), in ticks of 10 ms.
pub(crate) fn busy_ticks() -> Result<u64> {
    busy(&read("/proc/stat")?)
}

fn busy(stat: &str) -> Result<u64> {
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let columns = line.split_whitespace().skip(1).map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    // user nice system idle iowait irq softirq steal
    let busy = [0, 1, 2, 5, 6, 7].into_iter().filter_map(|column| columns.get(column)).sum();
    Ok(busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_iowait_do_not_count() {
        assert_eq!(busy("cpu  1 2 4 1000 1000 8 16 32 64 64\n").expect("a good line"), 63);
    }
}
