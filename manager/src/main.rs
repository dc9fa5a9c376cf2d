//! The command `outboard`: reads the command line, sets up logging, and turns the result into an exit code. It must not know how a
//! device is driven.

mod codes;
mod command;
mod control;
mod demo;
mod driver_process;
mod exit;
mod holder;
mod matching;
mod output;
mod picture;
mod serial;
mod statistics;
mod sys;
#[cfg(test)]
mod testing;
mod trace;
mod tun;
mod usbip;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use exit::Failure;

/// USB class drivers outside the kernel.
///
/// A CDC Ethernet dongle becomes a network interface of this machine, an FTDI adapter a serial port, served by this program instead of a
/// kernel driver.
#[derive(Debug, Parser)]
#[command(name = "outboard", version, after_help = exit::HELP, max_term_width = 100)]
struct Arguments {
    /// Say more; twice for every transfer that fails. OUTBOARD_LOG takes a filter as well.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(command::list::Arguments),
    Attach(command::attach::Arguments),
    Demo(command::demo::Arguments),
    #[command(hide = true)]
    Driver(command::driver::Arguments),
    Virtual(command::virtual_devices::Arguments),
    Why(command::why::Arguments),
    Drivers(command::drivers::Arguments),
    Hid(command::hid::Arguments),
    Tree(command::tree::Arguments),
    Ps(command::ps::Arguments),
    Status(command::status::Arguments),
    Restart(command::restart::Arguments),
    Log(command::log::Arguments),
    Completions(command::completions::Arguments),
    Man(command::man::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_logging(arguments.verbose, None);
    let result = match arguments.command {
        Command::List(arguments) => command::list::run(&arguments),
        Command::Attach(arguments) => command::attach::run(&arguments),
        Command::Demo(arguments) => command::demo::run(&arguments),
        Command::Driver(arguments) => command::driver::run(&arguments),
        Command::Virtual(arguments) => command::virtual_devices::run(&arguments),
        Command::Why(arguments) => command::why::run(&arguments),
        Command::Drivers(arguments) => command::drivers::run(&arguments),
        Command::Hid(arguments) => command::hid::run(&arguments),
        Command::Tree(arguments) => command::tree::run(&arguments),
        Command::Ps(arguments) => command::ps::run(&arguments),
        Command::Status(arguments) => command::status::run(&arguments),
        Command::Restart(arguments) => command::restart::run(&arguments),
        Command::Log(arguments) => command::log::run(&arguments),
        Command::Completions(arguments) => command::completions::run(&arguments, Arguments::command()),
        Command::Man(arguments) => command::man::run(&arguments, Arguments::command()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

fn report(failure: &Failure) -> ExitCode {
    if failure.is_told() {
        return failure.code().into();
    }
    eprintln!("outboard: {failure}");
    if let Some(hint) = failure.hint() {
        eprintln!("  {hint}");
    }
    failure.code().into()
}

/// Logs to standard error, and into the manager's log if this is the manager: what its clients see does not depend on how much its terminal does.
fn start_logging(verbose: u8, log: Option<&control::log::Log>) {
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::prelude::*;
    use tracing_subscriber::{EnvFilter, fmt};
    let default = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("OUTBOARD_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let terminal = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .without_time()
        .with_filter(filter);
    let clients = log.map(|log| log.layer().with_filter(LevelFilter::INFO));
    tracing_subscriber::registry().with(clients).with(terminal).init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
