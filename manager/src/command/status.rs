//! `outboard status`: everything that the manager knows about one device. It must not change anything.

use std::time::SystemTime;

use crate::control::Socket;
use crate::exit::Failure;
use crate::output::say;
use crate::picture::{self, Style};

/// Show everything that the running manager knows about a device.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The device's name, as `outboard tree` shows it, or vid:pid.
    device: String,
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let registry = arguments.socket.connect()?.registry()?;
    let device = picture::find(&registry, &arguments.device)?;
    if arguments.json {
        say!("{}", picture::json(device));
    } else {
        say!("{}", picture::status(device, SystemTime::now(), Style::of_output()).trim_end());
    }
    Ok(())
}
