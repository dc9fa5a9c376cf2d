//! The lab's own instrument on trial: what it counts of a process whose doings are known.

use anyhow::{Result, ensure};

use crate::lab::context::Context;
use crate::lab::pingpong::{Echo, WARM_UP};
use crate::lab::trace::Trace;

/// Datagrams that the process echoes.
const COUNT: usize = 500;

pub(crate) fn run(context: &mut Context) -> Result<()> {
    // Two system calls and one allocation for each datagram.
    let echo = Echo::start_allocating()?;
    echo.round_trips(1)?;
    let trace = Trace::start(echo.process())?;
    let before = trace.counts()?;
    echo.round_trips(COUNT)?;
    let after = trace.counts()?;
    let done = (1 + WARM_UP + COUNT) as u64;
    let syscalls = after.syscalls - before.syscalls;
    ensure!(
        syscalls.abs_diff(2 * done) <= 20,
        "{syscalls} system calls were counted, {} were made",
        2 * done
    );
    match (before.allocations, after.allocations) {
        (Ok(before), Ok(after)) => {
            let allocations = after - before;
            ensure!(
                allocations.abs_diff(done) <= 20,
                "{allocations} allocations were counted, {done} were made"
            );
        }
        (Err(reason), _) | (_, Err(reason)) => anyhow::bail!("allocations cannot be counted: {reason}"),
    }
    context.note(format!("{syscalls} system calls for {done} datagrams"));
    Ok(())
}
