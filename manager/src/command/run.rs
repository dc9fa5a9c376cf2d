//! `outboard run`: the manager, until it is told to end. It must not know what the manager does.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::SystemTime;

use outboard_core::Error;
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::registry::Registry;
use tokio::sync::{mpsc, watch};

use crate::command::attach::signals::Signals;
use crate::control::log::Log;
use crate::control::{self, Control, Server};
use crate::daemon::Daemon;
use crate::exit::{Cause, Failure};
use crate::output::say;
use crate::tun;
use crate::usbip::{self, Url};

/// Requests that wait; more than one at a time is a script's doing.
const REQUESTS: usize = 16;

/// Run the manager: drive devices as they come, each in a process of its own.
///
/// Takes what no driver of the kernel serves, and what was given to it (`outboard give`); gives everything back at its end. `outboard tree`,
/// `ps`, `status` and `log` show what it does. It stays in the foreground and logs to standard error, as systemd wants it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Also drive this network dongle of another machine, all the time; may be repeated.
    #[arg(long, value_name = "usbip://HOST[:PORT]/BUS-ID")]
    usbip: Vec<String>,
    /// Folders of policy and manifests are looked for below this one.
    #[arg(long, value_name = "FOLDER", default_value = "/", hide = true)]
    root: PathBuf,
    #[command(flatten)]
    socket: control::Socket,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments, log: Log) -> Result<(), Failure> {
    tun::check()?;
    let remote = arguments.usbip.iter().map(|text| device(text)).collect::<Result<Vec<_>, _>>()?;
    DispatchQueue::run("Manager", Clock::Real, |_| manage(arguments, remote, log))
        .map_err(|error| Error::os("start the queue", error))?
}

fn device(text: &str) -> Result<Url, Failure> {
    let url = usbip::parse(text)?;
    if url.bus_id.is_none() {
        let text = format!("{url} names a server, but no device of it");
        return Err(Failure::new(Cause::CommandLine, text)
            .with_hint(format!("`outboard list {url}` shows what it exports.")));
    }
    Ok(url)
}

async fn manage(arguments: &Arguments, remote: Vec<Url>, log: Log) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let place = arguments.socket.path();
    let server = Server::bind(&place)?;
    let (pictures, registry) = watch::channel(Registry::default());
    let (requests, mut asked) = mpsc::channel(REQUESTS);
    let control = Rc::new(Control { registry, log, requests, since: SystemTime::now() });
    let mut daemon = Daemon::new(pictures, arguments.root.clone())?;
    let serving = tokio::task::spawn_local(server.serve(control));
    say!(
        "outboard {} manages this machine's devices; its socket is {}",
        env!("CARGO_PKG_VERSION"),
        place.display()
    );
    daemon.run(&mut asked, remote, signals.stop()).await;
    serving.abort();
    // Its end removes the socket.
    let _ = serving.await;
    Ok(())
}
