//! `outboard hid`: what a HID device says about itself and what comes of its reports, without the device. It must not know how a device is driven.

mod decode;
mod describe;
mod evemu;
mod item;
mod source;

use crate::exit::{Cause, Failure};
use std::io;

/// Look into HID: what comes of a report descriptor, and of reports.
///
/// Needs no device and no right: descriptors and reports come from files, and what would come of them is printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Describe(describe::Arguments),
    Decode(decode::Arguments),
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Describe(arguments) => describe::run(arguments),
        Command::Decode(arguments) => decode::run(arguments),
    }
}

/// Whoever reads our output may have enough of it.
fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Failure::new(Cause::Other, format!("write the output: {error}"))),
    }
}
