//! The measurements. They must not know who carries the frames.

use anyhow::{Context as _, Result, bail, ensure};

use super::rig::{Rig, application};
use super::transfer::{Direction, Moved};
use crate::lab::context::say;
use crate::lab::cpu::busy_ticks;
use crate::lab::run::output;
use crate::lab::sysfs::read;
use crate::lab::wire::{Sample, ToHost};

/// Throughput, and the CPU time for each megabyte: of the whole machine, where others may be at work as well; of the driver's process; and of
/// all processes that take part.
pub(super) fn throughput(rig: &Rig, direction: Direction, seconds: u32) -> Result<()> {
    let name = direction.name();
    let times = || -> Result<[f64; 3]> {
        let machine = busy_ticks()? as f64 / tick();
        Ok([machine, process_seconds(rig.driver_process())?, process_seconds(rig.far_process())?])
    };
    let before = times()?;
    let text = output(&mut application(rig, &[], name, seconds)?)?;
    let after = times()?;
    let moved: Moved = serde_json::from_str(&text).with_context(|| text.clone())?;
    ensure!(moved.bytes > 10_000, "{name}: only {} bytes in {seconds} s", moved.bytes);
    let megabytes = moved.bytes as f64 / 1e6;
    let [machine, driver, far] = [0, 1, 2].map(|at| after[at] - before[at]);
    let report = |what: &str, unit, value| sample(rig, &format!("tcp-{name}{what}"), unit, value);
    report("", "Mbit/s", megabytes * 8.0 / moved.seconds);
    for (what, spent) in
        [("/cpu-machine", machine), ("/cpu-driver", driver), ("/cpu-all-processes", driver + far + moved.cpu)]
    {
        report(what, "ms/MB", spent * 1e3 / megabytes);
    }
    Ok(())
}

/// System calls of the driver's process for each frame, whichever way it goes. The kernel counts them at a tracepoint, for perf: a tracer that
/// stops the process at each call would make it slow, and so make it find more frames at each call.
pub(super) fn system_calls(rig: &mut Rig, direction: Direction, seconds: u32) -> Result<()> {
    let file = std::env::temp_dir().join(format!("outboard-bench-{}.perf", std::process::id()));
    let (path, process) = (file.to_string_lossy().into_owned(), rig.driver_process().to_string());
    // Counts from the beginning of the transfer to its end.
    let perf = [
        "perf",
        "stat",
        "--field-separator",
        ",",
        "--output",
        &path,
        "--event",
        EVENT,
        "--pid",
        &process,
        "--",
    ];
    let frames = rig.frames()?;
    let done = output(&mut application(rig, &perf, direction.name(), seconds)?);
    let frames = rig.frames()? - frames;
    let text = read(&file);
    let _gone_already = std::fs::remove_file(&file);
    done?;
    ensure!(frames > 0, "no frame passed");
    let calls = counted(&text?)?;
    sample(rig, &format!("{}/syscalls-per-frame", direction.name()), "1/frame", calls as f64 / frames as f64);
    Ok(())
}

const EVENT: &str = "raw_syscalls:sys_enter";

/// perf's count: `89225,,raw_syscalls:sys_enter,31384186,100.00,,`.
fn counted(text: &str) -> Result<u64> {
    for line in text.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        if let [count, _, EVENT, ..] = fields[..] {
            return count
                .parse()
                .with_context(|| format!("perf says {count:?}, which is no number of system calls"));
        }
    }
    bail!("perf did not count {EVENT}: {text}")
}

fn sample(rig: &Rig, name: &str, unit: &str, value: f64) {
    let (contender, groups) = rig.who.figures();
    for group in groups {
        say(&ToHost::Sample(Sample {
            name: format!("{group}/{name}"),
            unit: unit.to_owned(),
            contender,
            value,
        }));
    }
}

fn tick() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

fn process_seconds(process: u32) -> Result<f64> {
    cpu_seconds(&process.to_string())
}

/// CPU time of a process, or of `self`, with all its threads, in seconds.
pub(super) fn cpu_seconds(process: &str) -> Result<f64> {
    Ok(spent(&read(format!("/proc/{process}/stat"))?)? as f64 / tick())
}

/// utime and stime of /proc/PID/stat (proc_pid_stat(5)), in ticks. The second field is a name that may hold anything.
fn spent(stat: &str) -> Result<u64> {
    let (_, fields) = stat.rsplit_once(") ").context("no name")?;
    // What remains begins with field 3; utime is field 14.
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let [user, system, ..] = fields.get(11..).context("too short")? else { bail!("too short") };
    Ok(user.parse::<u64>()? + system.parse::<u64>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 31 11 5 6 20 0 1 0 77 0 0";
        assert_eq!(spent(stat).expect("a good line"), 42);
        assert!(spent("7 (a) S 1 2").is_err());
    }

    #[test]
    fn a_count_is_a_number_or_an_error() {
        let text = "# started on Wed\n\n89225,,raw_syscalls:sys_enter,31384186,100.00,,\n";
        assert_eq!(counted(text).expect("a good line"), 89225);
        assert!(counted("<not supported>,,raw_syscalls:sys_enter,0,100.00,,\n").is_err());
        assert!(counted("").is_err());
    }
}
