//! `outboard ps`: the drivers that the manager runs, as a table. It must not change anything.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::control::Socket;
use crate::exit::Failure;
use crate::output::say;
use crate::picture::{self, Style};

/// Show the drivers that the running manager runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let registry = arguments.socket.connect()?.registry()?;
    if arguments.json {
        let drivers: Vec<Value> = registry
            .devices
            .iter()
            .flat_map(|device| device.functions.iter().map(move |function| (device, function)))
            .filter_map(|(device, function)| {
                let instance = function.instance()?;
                Some(json!({
                    "device": device.name,
                    "interfaces": function.interfaces,
                    "driver": function.driver,
                    "instance": instance,
                }))
            })
            .collect();
        say!("{}", picture::json(&drivers));
        return Ok(());
    }
    say!("{}", picture::table(&registry, SystemTime::now(), Style::of_output()).trim_end());
    Ok(())
}
