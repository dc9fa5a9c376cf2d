//! The benchmark of ECM: one gadget, contenders alternating on it, everything measured in one boot.

use anyhow::{Context as _, Result, ensure};

use super::gadget::{DEVICE, connect};
use crate::lab::contender::Vended;
use crate::lab::context::Context;
use crate::lab::cpu::busy_ticks;
use crate::lab::gadget::{Gadget, Speed};
use crate::lab::iperf::{Direction, Server, Tcp};
use crate::lab::pingpong::{Echo, percentile};
use crate::lab::trace::Trace;
use crate::lab::wire::Contender;
use crate::order::order;

/// u_ether's default, and one that keeps a fast host busy.
const QMULTS: [u32; 2] = [5, 20];

/// Round trips for each second of the other measurements: enough for a p99 when a round trip takes a millisecond.
const ROUND_TRIPS: u32 = 200;

pub(crate) fn run(context: &mut Context) -> Result<()> {
    for qmult in QMULTS {
        let gadget = Gadget::new(Speed::Super, qmult)?;
        let device = gadget.device()?;
        ensure!(device.speed()? == Speed::Super.mbits(), "the gadget came up at {} Mbit/s", device.speed()?);
        // Both ends of the measurement are the same processes for all contenders.
        let mut ends = None;
        for round in 0..context.settings.rounds {
            for contender in order(&context.settings.contenders, round) {
                let what = || format!("{} in round {round} with qmult {qmult}", contender.name());
                let vended = Vended::take(context, contender, &device).with_context(what)?;
                connect(&gadget, &vended).with_context(what)?;
                if ends.is_none() {
                    ends = Some((Server::start(&gadget.netns, DEVICE)?, Echo::start(&gadget.netns, DEVICE)?));
                }
                let (server, echo) = ends.as_ref().context("both were just started")?;
                measure(context, contender, qmult, server, echo).with_context(what)?;
                if round == 0 && vended.process().is_some() {
                    count(context, contender, qmult, server, &vended, &gadget).with_context(what)?;
                }
                vended.release().with_context(what)?;
                context.note(what());
            }
        }
    }
    Ok(())
}

fn measure(context: &Context, who: Contender, qmult: u32, server: &Server, echo: &Echo) -> Result<()> {
    let seconds = context.settings.seconds;
    let report = |name: &str, unit: &str, value: f64| {
        context.sample_of(who, format!("qmult-{qmult}/{name}"), unit, value)
    };
    let timed = |name: &str, measure: &dyn Fn() -> Result<Tcp>| -> Result<()> {
        let before = busy_ticks()?;
        let tcp = measure().with_context(|| name.to_owned())?;
        let ticks = busy_ticks()?.saturating_sub(before);
        ensure!(tcp.bytes > 1e4, "{name}: only {} bytes in {seconds} s", tcp.bytes);
        report(name, "Mbit/s", tcp.mbits);
        report(&format!("{name}/cpu"), "ticks/MB", ticks as f64 / (tcp.bytes / 1e6));
        Ok(())
    };
    timed("tcp-to-device", &|| server.tcp(Direction::ToDevice, seconds))?;
    timed("tcp-from-device", &|| server.tcp(Direction::FromDevice, seconds))?;
    timed("tcp-both", &|| server.tcp_both(seconds))?;
    report("udp-to-device", "packets/s", server.small_packets(Direction::ToDevice, seconds)?);
    report("udp-from-device", "packets/s", server.small_packets(Direction::FromDevice, seconds)?);
    let times = echo.round_trips((ROUND_TRIPS * seconds) as usize)?;
    for (name, percent) in [("round-trip-p50", 50.0), ("round-trip-p99", 99.0)] {
        report(name, "us", percentile(&times, percent).context("no round trip")?);
    }
    Ok(())
}

/// System calls and allocations for each frame, in a run of their own: being traced costs time.
fn count(
    context: &Context,
    who: Contender,
    qmult: u32,
    server: &Server,
    vended: &Vended,
    gadget: &Gadget,
) -> Result<()> {
    let process = vended.process().context("a program")?;
    let trace = Trace::start(process)?;
    for (name, direction) in [("to-device", Direction::ToDevice), ("from-device", Direction::FromDevice)] {
        // The first seconds of a connection fill what is filled once.
        server.tcp(direction, 1)?;
        let (frames, before) = (gadget.frames()?, trace.counts()?);
        server.tcp(direction, context.settings.seconds)?;
        let (frames, after) = ((gadget.frames()? - frames) as f64, trace.counts()?);
        ensure!(frames > 0.0, "no frame passed");
        let report = |what: &str, count: u64| {
            context.sample_of(who, format!("qmult-{qmult}/{name}/{what}"), "1/frame", count as f64 / frames);
        };
        report("syscalls-per-frame", after.syscalls - before.syscalls);
        match (before.allocations, after.allocations) {
            (Ok(before), Ok(after)) => report("allocations-per-frame", after - before),
            (Err(reason), _) | (_, Err(reason)) => {
                context.note(format!("allocations were not counted: {reason}"))
            }
        }
    }
    Ok(())
}
