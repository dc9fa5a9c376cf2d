//! The commands that look through the control socket, as they are run: what they print, and how they end. The manager is a script here, so that
//! each answer is known; the real server is tested beside its code.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::{Value, json};

/// A manager that answers each call by what its script says of the method: replies, and the end of the connection.
struct Manager {
    directory: PathBuf,
}

impl Manager {
    fn start(test: &str, script: fn(&str, &Value) -> Vec<Value>) -> Self {
        let directory = std::env::temp_dir().join(format!("outboard-control-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let listener = UnixListener::bind(directory.join("control")).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer(&stream.unwrap(), script);
            }
        });
        Self { directory }
    }

    fn outboard(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outboard"));
        command.args(arguments).env("OUTBOARD_SOCKET", self.directory.join("control")).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.outboard(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn answer(mut stream: &UnixStream, script: fn(&str, &Value) -> Vec<Value>) {
    let mut calls = BufReader::new(stream);
    let mut call = Vec::new();
    while calls.read_until(0, &mut call).unwrap() > 0 {
        call.pop();
        let asked: Value = serde_json::from_slice(&call).unwrap();
        call.clear();
        let method = asked["method"].as_str().unwrap().strip_prefix("io.outboard.Manager.").unwrap();
        for reply in script(method, &asked["parameters"]) {
            stream.write_all(format!("{reply}\0").as_bytes()).unwrap();
        }
    }
}

fn device(name: &str, state: &str) -> Value {
    let time = json!({ "secs_since_epoch": 1_790_000_000, "nanos_since_epoch": 0 });
    let instance = json!({
        "state": state, "process": null, "vends": null, "restarts": 0, "last_error": null, "since": time,
        "last_recovery": null,
    });
    json!({
        "name": name, "vendor_id": 0x0525, "product_id": 0xa4a1,
        "manufacturer": null, "product": "Gadget\u{9b}", "serial": null,
        "functions": [{
            "configuration": 1, "interfaces": [0, 1], "class": "CDC Ethernet", "driver": "usb-ecm",
            "holder": { "kernel": null, "outboard": instance },
        }],
    })
}

fn picture(devices: &[Value]) -> Value {
    json!({ "registry": { "devices": devices } })
}

fn script(method: &str, parameters: &Value) -> Vec<Value> {
    let fault = |name: &str, parameters: Value| {
        vec![json!({ "error": format!("io.outboard.Manager.{name}"), "parameters": parameters })]
    };
    match method {
        "GetRegistry" => {
            vec![json!({ "parameters": picture(&[device("1-2", "running"), device("1-3", "waiting")]) })]
        }
        "Watch" => vec![
            json!({ "parameters": picture(&[]), "continues": true }),
            json!({ "parameters": picture(&[device("1-2", "starting")]), "continues": false }),
        ],
        "Log" => vec![
            json!({ "parameters": { "line": {
                "time": 1_790_000_000_000_u64, "level": "warn", "device": "1-2", "message": "it ended",
            } }, "continues": true }),
            json!({ "parameters": { "line": null }, "continues": false }),
        ],
        "Restart" if parameters["device"] == "1-2" => vec![json!({ "parameters": {} })],
        "Restart" => fault("NotAllowed", json!({})),
        other => panic!("nobody calls {other}"),
    }
}

#[test]
fn the_tree_is_printed_without_colours_into_a_pipe() {
    let manager = Manager::start("tree", script);
    let wanted = "\
bus 1
├─ 1-2  0525:a4a1  Gadget?
│  └─ interfaces 0, 1: CDC Ethernet
│     └─ usb-ecm  running
└─ 1-3  0525:a4a1  Gadget?
   └─ interfaces 0, 1: CDC Ethernet
      └─ usb-ecm  waiting
";
    assert_eq!(manager.run(&["tree"]), (0, wanted.into(), String::new()));
    let (code, text, _) = manager.run(&["tree", "--json"]);
    let printed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &printed["devices"][1]["name"]), (0, &json!("1-3")));
    assert!(text.contains("Gadget\\u009b"));
}

#[test]
fn watching_prints_each_picture() {
    let manager = Manager::start("watch", script);
    let wanted = "\
No USB device is attached.
---
bus 1
└─ 1-2  0525:a4a1  Gadget?
   └─ interfaces 0, 1: CDC Ethernet
      └─ usb-ecm  starting
";
    assert_eq!(manager.run(&["tree", "--watch"]), (0, wanted.into(), String::new()));
    let (_, text, _) = manager.run(&["tree", "--watch", "--json"]);
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn watching_ends_when_nobody_reads() {
    // More pictures than a pipe holds.
    let manager =
        Manager::start("head", |_, _| vec![json!({ "parameters": picture(&[]), "continues": true }); 5000]);
    let mut child = manager.outboard(&["tree", "--watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn drivers_are_listed() {
    let manager = Manager::start("ps", script);
    let (code, text, _) = manager.run(&["ps"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((code, lines.len()), (0, 3));
    assert!(
        lines[0].starts_with("DEVICE  DRIVER   PID  USER  GENERATION  STATE    RESTARTS  UPTIME"),
        "{text}"
    );
    assert!(lines[2].starts_with("1-3     usb-ecm  -    -     -           waiting  0 "), "{text}");
    let (_, text, _) = manager.run(&["ps", "--json"]);
    let printed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(printed[0]["instance"]["state"], "running");
}

#[test]
fn a_device_is_told_or_is_none() {
    let manager = Manager::start("status", script);
    let (code, text, _) = manager.run(&["status", "1-2"]);
    assert_eq!(code, 0);
    assert!(text.contains("\n  state       running\n"), "{text}");
    let (code, _, told) = manager.run(&["status", "9-9"]);
    assert_eq!(code, 4);
    assert_eq!(
        told,
        "outboard: the manager knows no device \"9-9\"\n  `outboard tree` shows those that it knows.\n"
    );
    let (code, _, _) = manager.run(&["status", "0525:a4a1"]);
    assert_eq!(code, 5);
}

#[test]
fn a_restart_is_done_or_refused() {
    let manager = Manager::start("restart", script);
    assert_eq!(
        manager.run(&["restart", "1-2"]),
        (0, "1-2: its driver is started anew\n".into(), String::new())
    );
    let (code, _, told) = manager.run(&["restart", "1-3"]);
    assert_eq!(code, 7);
    assert!(told.starts_with("outboard: you may not do that\n"), "{told}");
}

#[test]
fn the_log_is_printed() {
    let manager = Manager::start("log", script);
    let wanted = "2026-09-21 14:13:20.000Z  warn   1-2  it ended\n";
    assert_eq!(manager.run(&["log", "-f"]), (0, wanted.into(), String::new()));
    let (_, text, _) = manager.run(&["log", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["message"], "it ended");
}

#[test]
fn no_manager_is_said() {
    let manager = Manager::start("none", script);
    for arguments in [&["tree"][..], &["ps"], &["status", "1-2"], &["restart", "1-2"], &["log"]] {
        let elsewhere = manager.directory.join("nothing");
        let output = manager.outboard(arguments).env("OUTBOARD_SOCKET", elsewhere).output().unwrap();
        assert_eq!(output.status.code(), Some(12));
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(told, "outboard: no manager is running; `outboard run` starts one\n");
    }
}

#[test]
fn completions_and_pages_know_every_subcommand() {
    let manager = Manager::start("man", script);
    let pages = manager.directory.join("pages");
    assert_eq!(manager.run(&["man", pages.to_str().unwrap()]).0, 0);
    for shell in ["bash", "zsh", "fish"] {
        let (code, text, _) = manager.run(&["completions", shell]);
        assert_eq!(code, 0);
        for command in ["tree", "ps", "status", "restart", "log", "attach"] {
            assert!(text.contains(command), "{shell} lacks {command}");
            assert!(pages.join(format!("outboard-{command}.1")).exists());
        }
    }
    assert!(manager.run(&["man"]).1.contains(".TH outboard 1"));
    // A file is in the way.
    let socket = manager.directory.join("control");
    assert_eq!(manager.run(&["man", socket.to_str().unwrap()]).0, 1);
}
