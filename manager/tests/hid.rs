//! The whole output of `outboard hid`, as people and other programs read it. To see what has changed after a change that is meant, run with
//! `OUTBOARD_BLESS=1` and read the difference that version control shows.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hid")
}

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_outboard"))
        .args(arguments)
        .current_dir(folder())
        .env_remove("OUTBOARD_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    // One that has refused its arguments reads nothing.
    drop(child.stdin.take().expect("its input").write_all(input.as_bytes()));
    child.wait_with_output().expect("the command ends")
}

/// What it prints, on both outputs; the exit code is in the last line.
fn transcript(arguments: &[&str], input: &str) -> String {
    let output = run(arguments, input);
    let mut text = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8(output.stderr).expect("text");
    text.extend(errors.lines().map(|line| format!("stderr: {line}\n")));
    text + &format!("exit code {}\n", output.status.code().expect("no signal"))
}

fn check(expected: &str, arguments: &[&str], input: &str) {
    let path = folder().join(expected);
    let actual = transcript(arguments, input);
    if std::env::var_os("OUTBOARD_BLESS").is_some() {
        fs::write(&path, &actual).expect("the expected output is written");
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert!(actual == wanted, "{arguments:?} prints not what is in {expected}, but:\n{actual}");
}

fn file(name: &str) -> String {
    fs::read_to_string(folder().join(name)).expect("a file of the tests")
}

#[test]
fn a_keyboard_is_described() {
    check("keyboard.describe.txt", &["hid", "describe", "keyboard.hex"], "");
    assert_eq!(transcript(&["hid", "describe", "-"], &file("keyboard.hex")), file("keyboard.describe.txt"));
}

#[test]
fn a_recording_is_described_with_what_was_repaired() {
    check("mouse.describe.txt", &["hid", "describe", "mouse.recording"], "");
}

#[test]
fn a_touch_pad_is_described() {
    check("touchpad.describe.txt", &["hid", "describe", "--name", "Example", "touchpad.hex"], "");
}

#[test]
fn keys_are_decoded() {
    check("keyboard.decode.txt", &["hid", "decode", "keyboard.hex"], &file("keyboard.reports"));
}

#[test]
fn a_recording_is_descriptor_and_reports_at_once() {
    let recording = file("mouse.recording");
    check("mouse.decode.txt", &["hid", "decode", "mouse.recording"], &recording);
    check("mouse.node-1.txt", &["hid", "decode", "--node", "1", "mouse.recording"], &recording);
}

#[test]
fn contacts_are_decoded_and_lifted_when_they_are_stale() {
    check("touchpad.decode.txt", &["hid", "decode", "touchpad.hex"], &file("touchpad.reports"));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let text = |arguments: &[&str], input: &str| {
        let output = run(arguments, input);
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    let broken = text(&["hid", "describe", "-"], "05 01 85 00");
    assert_eq!(
        broken,
        (Some(9), "outboard: standard input: offset 2: Report ID is 0, and must be 1 to 255\n".into())
    );
    let garbled = text(&["hid", "decode", "keyboard.hex"], "00\nxy\n");
    assert_eq!(garbled, (Some(1), "outboard: line 2 is no report in hexadecimal\n".into()));
    let missing = text(&["hid", "describe", "nothing"], "");
    assert_eq!(missing, (Some(1), "outboard: read nothing: No such file or directory (os error 2)\n".into()));
    let node = text(&["hid", "decode", "--node", "1", "keyboard.hex"], "");
    assert_eq!(node, (Some(1), "outboard: there is no node 1; the descriptor has 1\n".into()));
    let both = text(&["hid", "decode", "-"], "");
    let sentence = "outboard: the descriptor must be a file: reports come from standard input\n";
    assert_eq!(both, (Some(1), sentence.into()));
}
