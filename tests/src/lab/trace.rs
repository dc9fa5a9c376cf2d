//! What a process asks of the kernel and of the allocator, counted by the kernel's own tracing: no cooperation of the process is needed, and it
//! is slowed down little enough to carry frames meanwhile.
//!
//! System calls come from the tracepoint `raw_syscalls:sys_enter`, allocations from uprobes on the C library's functions that every Rust
//! program's default allocator ends in; both are counted in the kernel by histogram triggers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::run::run;
use super::sysfs::{read, write};

const TRACING: &str = "/sys/kernel/tracing";

/// Counts events of one kind by thread while it exists.
#[derive(Debug)]
struct Counter {
    event: PathBuf,
}

const TRIGGER: &str = "hist:keys=common_pid:size=4096";

impl Counter {
    fn start(event: &str) -> Result<Self> {
        let event = Path::new(TRACING).join("events").join(event);
        write(event.join("trigger"), TRIGGER)?;
        Ok(Self { event })
    }

    /// Events of these threads so far.
    fn count(&self, threads: &BTreeSet<u32>) -> Result<u64> {
        Ok(sum(&read(self.event.join("hist"))?, threads))
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _gone_already = write(self.event.join("trigger"), &format!("!{TRIGGER}"));
    }
}

/// Lines of a histogram: `{ common_pid:        123 } hitcount:       4567`.
fn sum(histogram: &str, threads: &BTreeSet<u32>) -> u64 {
    histogram
        .lines()
        .filter_map(|line| {
            let (key, count) = line.strip_prefix("{ common_pid:")?.split_once("} hitcount:")?;
            let thread: u32 = key.trim().parse().ok()?;
            threads.contains(&thread).then(|| count.trim().parse::<u64>().ok())?
        })
        .sum()
}

/// Counts what one process does until dropped.
#[derive(Debug)]
pub(crate) struct Trace {
    process: u32,
    syscalls: Counter,
    /// Absent where the C library cannot be probed; the reason is beside it.
    allocations: Result<Allocations, String>,
}

#[derive(Debug)]
struct Allocations {
    counters: Vec<Counter>,
}

/// What was counted.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    /// System calls entered.
    pub(crate) syscalls: u64,
    /// Calls of malloc and its kin, or why they could not be counted.
    pub(crate) allocations: Result<u64, String>,
}

impl Trace {
    /// Starts counting.
    pub(crate) fn start(process: u32) -> Result<Self> {
        if !Path::new(TRACING).join("events").exists() {
            run(&format!("mount -t tracefs none {TRACING}"))?;
        }
        let allocations = Allocations::start(process).map_err(|error| format!("{error:#}"));
        Ok(Self { process, syscalls: Counter::start("raw_syscalls/sys_enter")?, allocations })
    }

    /// What the process did so far.
    pub(crate) fn counts(&self) -> Result<Counts> {
        let mut threads = BTreeSet::new();
        for entry in fs::read_dir(format!("/proc/{}/task", self.process))? {
            threads.extend(entry?.file_name().to_string_lossy().parse::<u32>());
        }
        let allocations = match &self.allocations {
            Ok(allocations) => {
                let counts = allocations.counters.iter().map(|counter| counter.count(&threads));
                Ok(counts.sum::<Result<u64>>()?)
            }
            Err(reason) => Err(reason.clone()),
        };
        Ok(Counts { syscalls: self.syscalls.count(&threads)?, allocations })
    }
}

/// realloc counts too: growing a vector is an allocation.
const ALLOCATORS: [&str; 4] = ["malloc", "calloc", "realloc", "posix_memalign"];

impl Allocations {
    fn start(process: u32) -> Result<Self> {
        let library = libc_of(process)?;
        let symbols = run(&format!("nm --dynamic --defined-only {library}"))
            .context("nm lists the C library's functions")?;
        let mut counters = Vec::new();
        for name in ALLOCATORS {
            let offset = offset(&symbols, name).with_context(|| format!("{library} has no {name}"))?;
            write(
                Path::new(TRACING).join("uprobe_events"),
                &format!("p:outboard/{name} {library}:{offset:#x}\n"),
            )?;
            counters.push(Counter::start(&format!("outboard/{name}"))?);
        }
        Ok(Self { counters })
    }
}

impl Drop for Allocations {
    fn drop(&mut self) {
        self.counters.clear();
        let _gone_already = write(Path::new(TRACING).join("uprobe_events"), "\n");
    }
}

/// The C library that a process has mapped.
fn libc_of(process: u32) -> Result<String> {
    let maps = read(format!("/proc/{process}/maps"))?;
    let found = maps
        .lines()
        .find_map(|line| line.split_whitespace().nth(5).filter(|path| path.contains("/libc.so.6")));
    match found {
        Some(path) => Ok(path.to_owned()),
        None => bail!("process {process} has no C library mapped"),
    }
}

/// A function's address in `nm`'s lines (`0000000000099120 T malloc@@GLIBC_2.2.5`). In a shared library's text segment that is its offset too,
/// as long as the segment is mapped one to one, which the linker does.
fn offset(symbols: &str, name: &str) -> Option<u64> {
    symbols.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (address, _kind, symbol) = (words.next()?, words.next()?, words.next()?);
        (symbol.split('@').next() == Some(name)).then(|| u64::from_str_radix(address, 16).ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_threads_of_the_process_count() {
        let histogram = "# event histogram\n\n{ common_pid:        123 } hitcount:       4567\n\
                         { common_pid:       9 } hitcount:  3\n{ common_pid:  124 } hitcount: 10\n\nTotals:\n    Hits: 4580\n";
        assert_eq!(sum(histogram, &BTreeSet::from([123, 124])), 4577);
    }

    #[test]
    fn functions_are_found_by_their_whole_name() {
        let symbols =
            "0000000000099120 T malloc_usable_size@@GLIBC_2.2.5\n0000000000098420 T malloc@@GLIBC_2.2.5\n";
        assert_eq!(offset(symbols, "malloc"), Some(0x98420));
        assert_eq!(offset(symbols, "calloc"), None);
    }
}
