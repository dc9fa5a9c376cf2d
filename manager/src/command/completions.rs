//! `outboard completions`: what a shell needs to complete this command, from the same definitions as the command line. It must not know them.

use clap_complete::Shell;

use crate::exit::Failure;
use crate::output::say;

/// Print a shell's completions for this command.
///
/// For bash, for example: outboard completions bash > /usr/share/bash-completion/completions/outboard
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The shell.
    shell: Shell,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments, mut command: clap::Command) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "outboard", &mut text);
    say!("{}", String::from_utf8_lossy(&text).trim_end());
    Ok(())
}
