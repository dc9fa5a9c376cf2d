//! The server and the client over a socket of the file system. It must not know how devices are driven.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc as threads;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use outboard_core::registry::{Registry, State};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use super::log::{Level, Log, LogLine};
use super::peer::Rights;
use super::server::{CLIENTS, LOOKERS};
use super::{Client, Control, Refusal, Request, Server, sample};
use crate::exit::Cause;
use crate::testing::Root;

/// A manager on a thread of its own, which knows the devices of the sample and says what it was asked for.
struct Manager {
    path: PathBuf,
    registry: watch::Sender<Registry>,
    log: Log,
    asked: threads::Receiver<String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _root: Root,
}

impl Manager {
    fn start(test: &str, rights: Rights) -> Self {
        let root = Root::new(test);
        let path = root.path().join("run/control");
        let (registry, picture) = watch::channel(sample::registry());
        let log = Log::default();
        let (requests, mut received) = mpsc::channel(4);
        let (asked_sender, asked) = threads::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready_sender, ready) = threads::channel();
        let (of_thread, of_log) = (path.clone(), log.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, async {
                let server = Server::bind(&of_thread).unwrap().with_rule(move |_, _| rights);
                ready_sender.send(()).unwrap();
                let control = Control { registry: picture, log: of_log, requests, since: SystemTime::now() };
                let serve = async {
                    tokio::select! {
                        ended = server.serve(Rc::new(control)) => panic!("it ended: {ended:?}"),
                        _ = stopped => {}
                    }
                };
                let supervise = async {
                    while let Some(request) = received.recv().await {
                        asked_sender.send(answer(request)).unwrap();
                    }
                };
                // The requests end when the server does, which holds their sender.
                tokio::join!(serve, supervise);
            });
        });
        ready.recv().unwrap();
        Self { path, registry, log, asked, stop: Some(stop), thread: Some(thread), _root: root }
    }

    fn client(&self) -> Client {
        Client::connect(&self.path).unwrap()
    }

    /// A connection without our client.
    fn stranger(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        // A test that fails ends.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ended = self.stop.take().map(|stop| stop.send(()));
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

fn answer(request: Request) -> String {
    let (asked, outcome, answer) = match request {
        Request::Restart { device, answer } => {
            let outcome = match device.as_str() {
                "1-2" => Ok(()),
                "1-2.13" => Err(Refusal::NotServed),
                _ => Err(Refusal::NoSuchDevice),
            };
            (format!("restart {device}"), outcome, answer)
        }
        Request::Return { device, answer } => (format!("return {device}"), Ok(()), answer),
        Request::Give { rule, answer } => {
            (format!("give {rule}"), Err(Refusal::Because("the rule names nothing".into())), answer)
        }
    };
    let _the_client_left = answer.send(outcome);
    asked
}

/// Sends bytes as they are.
fn say(stream: &mut UnixStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
    stream.write_all(&[0]).unwrap();
}

/// The next reply.
fn hear(stream: &mut UnixStream) -> Value {
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        if byte == [0] {
            return serde_json::from_slice(&bytes).unwrap();
        }
        bytes.extend(byte);
    }
}

fn call(stream: &mut UnixStream, text: &str) -> Value {
    say(stream, text);
    hear(stream)
}

#[test]
fn whoever_looks_sees_the_picture() {
    let manager = Manager::start("control-look", Rights::Look);
    let mut client = manager.client();
    assert_eq!(client.registry().unwrap(), sample::registry());
    // Again, over the same connection.
    assert_eq!(client.registry().unwrap(), sample::registry());
    let info: super::Info = client.call("GetInfo", json!({})).unwrap();
    assert_eq!(info.pid, std::process::id());
}

#[test]
fn whoever_watches_sees_each_change_in_the_end() {
    let manager = Manager::start("control-watch", Rights::Look);
    let mut pictures = manager.client().watch().unwrap();
    assert_eq!(pictures.next().unwrap().unwrap(), sample::registry());
    manager.registry.send_modify(|registry| {
        registry.devices[0].functions[0].instance_mut().unwrap().state = State::Waiting;
    });
    let state = |registry: &Registry| registry.devices[0].functions[0].instance().unwrap().state;
    assert_eq!(state(&pictures.next().unwrap().unwrap()), State::Waiting);
    // Changes that nobody reads do not wait: far more than a socket holds, and the newest is seen.
    for n in 0..20_000 {
        manager.registry.send_modify(|registry| registry.devices[1].product_id = n);
    }
    let newest = pictures.map(Result::unwrap).find(|registry| registry.devices[1].product_id == 19_999);
    assert!(newest.is_some());
}

#[test]
fn watching_ends_with_the_manager() {
    let manager = Manager::start("control-end", Rights::Look);
    let mut pictures = manager.client().watch().unwrap();
    assert!(pictures.next().unwrap().is_ok());
    let path = manager.path.clone();
    drop(manager);
    assert_eq!(pictures.next().unwrap().unwrap_err().cause(), Cause::NoManager);
    assert!(pictures.next().is_none());
    assert!(!path.exists());
}

#[test]
fn requests_reach_the_manager_and_answers_come_back() {
    let manager = Manager::start("control-requests", Rights::Change);
    let mut client = manager.client();
    client.restart("1-2").unwrap();
    assert_eq!(manager.asked.recv().unwrap(), "restart 1-2");
    assert_eq!(client.restart("7-7").unwrap_err().cause(), Cause::NoSuchDevice);
    assert_eq!(client.restart("1-2.13").unwrap_err().cause(), Cause::NoDriver);
    let refused = client.call::<Value>("Give", json!({ "rule": "nothing" })).unwrap_err();
    assert_eq!(refused.to_string(), "the manager refuses: the rule names nothing");
    client.call::<Value>("Return", json!({ "device": "1-2" })).unwrap();
    let asked: Vec<String> = manager.asked.iter().take(4).collect();
    assert_eq!(asked, ["restart 7-7", "restart 1-2.13", "give nothing", "return 1-2"]);
}

#[test]
fn whoever_may_only_look_changes_nothing() {
    let manager = Manager::start("control-not-allowed", Rights::Look);
    let failure = manager.client().restart("1-2").unwrap_err();
    assert_eq!(failure.cause(), Cause::Right);
    assert!(failure.hint().unwrap().contains("sudo"));
    assert!(manager.asked.try_recv().is_err());
}

#[test]
fn whoever_may_nothing_learns_only_what_this_is() {
    let manager = Manager::start("control-nothing", Rights::Nothing);
    assert_eq!(manager.client().registry().unwrap_err().cause(), Cause::Right);
    let mut stranger = manager.stranger();
    let reply = call(
        &mut stranger,
        r#"{"method":"io.outboard.Manager.Log","parameters":{"follow":true},"more":true}"#,
    );
    assert_eq!(reply["error"], "io.outboard.Manager.NotAllowed");
    let reply = call(&mut stranger, r#"{"method":"org.varlink.service.GetInfo"}"#);
    assert_eq!(reply["parameters"]["interfaces"], json!(["org.varlink.service", "io.outboard.Manager"]));
    let describe = r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"io.outboard.Manager"}}"#;
    let reply = call(&mut stranger, describe);
    assert!(reply["parameters"]["description"].as_str().unwrap().contains("interface io.outboard.Manager"));
}

#[test]
fn the_log_is_read_and_followed() {
    let manager = Manager::start("control-log", Rights::Look);
    assert_eq!(manager.client().log(false).unwrap().count(), 0);
    manager.log.push(LogLine::now(Level::Info, None, "one"));
    manager.log.push(LogLine::now(Level::Warn, Some("1-2".into()), "two"));
    let messages: Vec<String> =
        manager.client().log(false).unwrap().map(|line| line.unwrap().message).collect();
    assert_eq!(messages, ["one", "two"]);
    let mut lines = manager.client().log(true).unwrap().map(|line| line.unwrap().message);
    assert_eq!([lines.next().unwrap(), lines.next().unwrap()], ["one", "two"]);
    manager.log.push(LogLine::now(Level::Error, None, "three"));
    assert_eq!(lines.next().unwrap(), "three");
    let reply = call(
        &mut manager.stranger(),
        r#"{"method":"io.outboard.Manager.Log","parameters":{"follow":false}}"#,
    );
    assert_eq!(reply["error"], "org.varlink.service.ExpectedMore");
}

#[test]
fn calls_are_answered_in_their_order_and_oneway_ones_not() {
    let manager = Manager::start("control-order", Rights::Change);
    let mut stranger = manager.stranger();
    say(
        &mut stranger,
        r#"{"method":"io.outboard.Manager.Restart","parameters":{"device":"1-2"},"oneway":true}"#,
    );
    say(&mut stranger, r#"{"method":"io.outboard.Manager.Nothing"}"#);
    say(&mut stranger, r#"{"method":"io.outboard.Manager.GetInfo"}"#);
    assert_eq!(hear(&mut stranger)["error"], "org.varlink.service.MethodNotFound");
    assert!(hear(&mut stranger)["parameters"]["version"].is_string());
    assert_eq!(manager.asked.recv().unwrap(), "restart 1-2");
}

#[test]
fn clients_are_bounded_and_lookers_leave_room() {
    let manager = Manager::start("control-bounds", Rights::Look);
    // Each is known to be served once it was answered.
    let served = |_| {
        let mut client = manager.client();
        client.registry().map(|_| client)
    };
    let mut clients: Vec<Client> = (0..LOOKERS).map(|n| served(n).unwrap()).collect();
    let turned_away = served(LOOKERS).unwrap_err();
    assert_eq!(
        turned_away.to_string(),
        "the manager refuses: too many clients; try again when some have left"
    );
    // One that leaves makes room, as soon as the manager has noticed.
    clients.pop();
    while served(0).is_err() {
        thread::yield_now();
    }
    const { assert!(LOOKERS < CLIENTS) };
}

#[test]
fn a_message_too_long_ends_the_conversation() {
    let manager = Manager::start("control-long", Rights::Change);
    let mut stranger = manager.stranger();
    // The manager hangs up in the midst of it.
    let _hung_up = stranger.write_all(&vec![b' '; super::session::LONGEST + 1]);
    let _hung_up_already = stranger.write_all(&[0]);
    let mut rest = Vec::new();
    let ended = stranger.read_to_end(&mut rest);
    assert!(rest.is_empty() && ended.is_ok_and(|n| n == 0) || ended_by_reset(&mut stranger));
    assert!(manager.client().registry().is_ok());
}

/// The other side closed without reading all.
fn ended_by_reset(stream: &mut UnixStream) -> bool {
    !matches!(stream.read(&mut [0]), Ok(1..))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_bytes_end_a_conversation_and_not_the_manager(
        garbage in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 1..12),
    ) {
        let manager = Manager::start("control-garbage", Rights::Change);
        for bytes in garbage {
            let mut stranger = manager.stranger();
            let _hung_up = stranger.write_all(&bytes);
            let _hung_up_already = stranger.shutdown(std::net::Shutdown::Write);
            // Read until the manager has done with it.
            let _reset = stranger.read_to_end(&mut Vec::new());
        }
        prop_assert!(manager.client().registry().is_ok());
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_socket_is_made_replaced_and_removed() {
    let root = Root::new("control-socket");
    let path = root.path().join("run/outboard/control");
    // Nobody is there.
    assert_eq!(Client::connect(&path).unwrap_err().code(), 12);
    let server = Server::bind(&path).unwrap();
    assert_eq!(mode(path.parent().unwrap()), 0o755);
    assert!([0o600, 0o660].contains(&mode(&path)), "{:o}", mode(&path));
    // A second manager is refused, and does no harm.
    let refused = Server::bind(&path).map(drop).unwrap_err();
    assert_eq!(refused.cause(), Cause::Busy);
    assert!(UnixStream::connect(&path).is_ok());
    drop(server);
    assert!(!path.exists());
    // One that was killed leaves its socket.
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(Client::connect(&path).unwrap_err().cause(), Cause::NoManager);
    drop(Server::bind(&path).unwrap());
    // Somebody else's stays, whether or not they lock.
    let other = UnixListener::bind(&path).unwrap();
    assert_eq!(Server::bind(&path).map(drop).unwrap_err().cause(), Cause::Busy);
    drop(other);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "a letter").unwrap();
    assert_eq!(Server::bind(&path).map(drop).unwrap_err().cause(), Cause::Busy);
    assert_eq!(fs::read_to_string(&path).unwrap(), "a letter");
}
