//! The command `outboard`: reads the command line, sets up logging, and turns the result into an exit code. It must not know how a
//! device is driven.

mod codes;
mod command;
mod control;
mod daemon;
mod demo;
mod driver_process;
mod exit;
mod heartbeat;
mod holder;
mod matching;
mod output;
mod picture;
mod policy;
mod serial;
mod statistics;
mod supervise;
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
    Give(command::give::Arguments),
    Return(command::give_back::Arguments),
    Tree(command::tree::Arguments),
    Ps(command::ps::Arguments),
    Status(command::status::Arguments),
    Run(command::run::Arguments),
    Restart(command::restart::Arguments),
    Log(command::log::Arguments),
    Completions(command::completions::Arguments),
    Man(command::man::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let log = control::log::Log::default();
    start_logging(arguments.verbose, matches!(arguments.command, Command::Run(_)).then_some(&log));
    let result = match arguments.command {
        Command::List(arguments) => command::list::run(&arguments),
        Command::Attach(arguments) => command::attach::run(&arguments),
        Command::Demo(arguments) => command::demo::run(&arguments),
        Command::Driver(arguments) => command::driver::run(&arguments),
        Command::Virtual(arguments) => command::virtual_devices::run(&arguments),
        Command::Why(arguments) => command::why::run(&arguments),
        Command::Drivers(arguments) => command::drivers::run(&arguments),
        Command::Hid(arguments) => command::hid::run(&arguments),
        Command::Give(arguments) => command::give::run(&arguments),
        Command::Return(arguments) => command::give_back::run(&arguments),
        Command::Tree(arguments) => command::tree::run(&arguments),
        Command::Ps(arguments) => command::ps::run(&arguments),
        Command::Status(arguments) => command::status::run(&arguments),
        Command::Run(arguments) => command::run::run(&arguments, log),
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

/// Logs to standard error, and into the manager's log if this is the manager.
fn start_logging(verbose: u8, log: Option<&control::log::Log>) {
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::util::SubscriberInitExt;
    let default = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("OUTBOARD_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let coloured = std::io::IsTerminal::is_terminal(&std::io::stderr());
    subscriber(filter, std::io::stderr, coloured, log).init();
}

/// What the manager's clients see does not depend on how much its terminal does.
fn subscriber<W>(
    filter: tracing_subscriber::EnvFilter,
    writer: W,
    coloured: bool,
    log: Option<&control::log::Log>,
) -> impl tracing::Subscriber + Send + Sync + use<W>
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::prelude::*;
    let terminal = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(coloured)
        .with_target(false)
        .without_time()
        .with_filter(filter);
    let clients = log.map(|log| log.layer().with_filter(LevelFilter::INFO));
    tracing_subscriber::registry().with(clients).with(terminal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    /// What was written instead of to a terminal.
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl tracing_subscriber::fmt::MakeWriter<'_> for Written {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            Self(Arc::clone(&self.0))
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
    #[test]
    fn the_terminal_and_the_log_have_each_its_own_measure() {
        let log = control::log::Log::default();
        for (log, logged) in [(None, 0), (Some(&log), 2)] {
            let written = Arc::new(Mutex::new(Vec::new()));
            let terminal = subscriber("warn".into(), Written(Arc::clone(&written)), false, log);
            tracing::subscriber::with_default(terminal, || {
                tracing::warn!("a warning");
                tracing::info!("a fact");
                tracing::debug!("a detail");
            });
            assert_eq!(String::from_utf8(written.lock().unwrap().clone()).unwrap(), " WARN a warning\n");
            assert_eq!(log.map_or(0, |log| log.follow().0.len()), logged);
        }
    }
}
