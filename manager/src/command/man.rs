//! `outboard man`: the manual pages, from the same definitions as the command line. It must not know them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::exit::{Cause, Failure};
use crate::output::say;

/// Print the manual page, or write those of all subcommands into a directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the pages go: outboard.1, outboard-list.1 and so on. It is made if it is not there.
    directory: Option<PathBuf>,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments, command: clap::Command) -> Result<(), Failure> {
    match &arguments.directory {
        Some(directory) => write(directory, command).map_err(|error| {
            let text = format!("the manual pages cannot be written to {}: {error}", directory.display());
            let cause = match error.kind() {
                io::ErrorKind::PermissionDenied => Cause::Right,
                _ => Cause::Other,
            };
            Failure::new(cause, text).with_hint("Name a directory that you may write.")
        }),
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page).map_err(|error| {
                Failure::new(Cause::Other, format!("the manual page cannot be made: {error}"))
            })?;
            say!("{}", String::from_utf8_lossy(&page).trim_end());
            Ok(())
        }
    }
}

fn write(directory: &Path, command: clap::Command) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(command, directory)
}
