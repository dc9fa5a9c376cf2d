//! `cargo xtask test | lab | bench | fuzz`: everything that a person or CI runs, in one place.
//!
//! It knows the workspace's layout and Debian; it must not link anything of the product, so that it runs when the product does not build.

mod bench;
mod dependencies;
mod install;
mod lab;
mod report;
mod steps;
mod workspace;

// The guest's program speaks the same messages and sends the same checked stream; one source for both ends.
#[allow(dead_code, unreachable_pub, reason = "each end uses its half, and one of them is a library")]
#[path = "../../tests/src/lab/stream.rs"]
mod stream;
#[path = "../../tests/src/lab/wire.rs"]
#[allow(dead_code, unreachable_pub, reason = "each end uses its half, and one of them is a library")]
mod wire;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The one way to test, measure and fuzz Outboard.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that must pass: format, lints, documentation, tests, model checks, short fuzzing, the kernel lab.
    Test(steps::Arguments),
    /// The kernel lab: real drivers against emulated devices, in a guest with Debian's stock kernel.
    Lab(lab::Arguments),
    /// Measurements against the kernel's own drivers in one boot of the lab's guest, or on this very machine.
    Bench(bench::Arguments),
    /// The fuzz targets, at length.
    Fuzz(steps::FuzzArguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Test(arguments) => steps::test(&arguments),
        Command::Lab(arguments) => lab::command(&arguments),
        Command::Bench(arguments) => bench::command(&arguments),
        Command::Fuzz(arguments) => steps::fuzz(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
