//! `outboard restart`: asks the manager to start a device's driver anew. It must not know how that is done.

use crate::control::Socket;
use crate::exit::Failure;
use crate::output::{printable, say};
use crate::picture;

/// End a device's driver and start it anew, also one that is quarantined.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The device's name, as `outboard tree` shows it, or vid:pid.
    device: String,
    #[command(flatten)]
    socket: Socket,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut manager = arguments.socket.connect()?;
    let registry = manager.registry()?;
    let name = &picture::find(&registry, &arguments.device)?.name;
    manager.restart(name)?;
    say!("{}: its driver is started anew", printable(name));
    Ok(())
}
