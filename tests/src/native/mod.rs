//! The ECM benchmark on this very machine, without a guest: `outboard attach` on a virtual dongle, with and without offloads, against a plain
//! copy loop between two TAPs.
//!
//! All of it happens in network namespaces of its own, so that the machine's network is not touched. What is measured runs in processes of
//! their own, each being this program again, so that the kernel tells their CPU times apart. It must not know how `outboard` works.

mod copy_loop;
mod measure;
mod recovery;
mod rig;
mod sys;
mod transfer;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};

use self::rig::{Rig, Who};
use self::transfer::Direction;
use crate::lab::context::say;
use crate::lab::wire::ToHost;
use crate::order::order;

#[derive(Debug, Parser)]
#[command(
    name = "bench-native",
    about = "The program of `cargo xtask bench ecm --native` and `bench recovery`"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures everything; prints messages of the lab, one JSON object a line.
    Measure {
        /// The program `outboard`.
        #[arg(long)]
        outboard: PathBuf,
        /// Seconds of each measurement.
        #[arg(long)]
        seconds: u32,
        /// Rounds; contenders alternate within each, and every second round runs backwards.
        #[arg(long)]
        rounds: u32,
    },
    /// Measures what the death of a driver costs; prints the same.
    Recovery {
        /// The program `outboard`.
        #[arg(long)]
        outboard: PathBuf,
        /// Seconds of each connection.
        #[arg(long)]
        seconds: u32,
        /// Rounds; every second one runs backwards.
        #[arg(long)]
        rounds: u32,
    },
    /// Moves bytes to a discard service or from a source, and prints how many.
    Transfer { direction: Direction, host: Ipv4Addr, seconds: u32 },
    /// Serves discard and source at an address.
    Serve { host: Ipv4Addr },
    /// Makes two TAPs, prints their names, and carries frames between them.
    CopyLoop,
}

/// The program's `main`.
pub fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Measure { outboard, seconds, rounds } => measure_all(&outboard, seconds, rounds),
        Command::Recovery { outboard, seconds, rounds } => recovery::measure(&outboard, seconds, rounds),
        Command::Transfer { direction, host, seconds } => transfer::print(direction, host, seconds),
        Command::Serve { host } => transfer::serve(host),
        Command::CopyLoop => copy_loop::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-native: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure_all(outboard: &std::path::Path, seconds: u32, rounds: u32) -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "only root can make network namespaces and interfaces");
    for round in 0..rounds {
        for who in order(&Who::ALL, round) {
            let what = || format!("{} in round {round}", who.name());
            let mut rig = Rig::new(who, outboard).with_context(what)?;
            for direction in [Direction::ToDevice, Direction::FromDevice] {
                measure::throughput(&rig, direction, seconds).with_context(what)?;
                // In a run of its own, though the kernel's counting costs little.
                measure::system_calls(&mut rig, direction, seconds).with_context(what)?;
            }
            rig.stop().with_context(what)?;
            say(&ToHost::Note(what()));
        }
    }
    Ok(())
}
