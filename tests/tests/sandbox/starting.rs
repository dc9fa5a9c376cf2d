//! What the kernel says of a driver that was started, and what fails when it cannot be. It knows /proc and not what a driver does.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use outboard_core::sandbox::{Exit, Limits, Process, Program, SandboxError, Step};
use rustix::process::Signal;

use crate::stage::{PATIENCE, SUBJECT, can_run, identity, skip, start, subject};

/// A driver that is locked down and waits for the end of a socket.
fn idle(program: Program) -> (Process, UnixStream, String) {
    let (mut socket, theirs) = UnixStream::pair().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let process = start(program.pass(OwnedFd::from(theirs))).unwrap();
    let mut said = [0; 200];
    let length = socket.read(&mut said).unwrap();
    let said = String::from_utf8(said[..length].to_vec()).unwrap();
    assert!(said.starts_with("LockedDown"), "it is locked down: {said}");
    (process, socket, said)
}

fn proc(process: &Process, file: &str) -> Vec<u8> {
    std::fs::read(format!("/proc/{}/{file}", process.pid().as_raw_pid())).unwrap()
}

/// /proc/PID/status, by its names.
fn status(process: &Process) -> BTreeMap<String, String> {
    let text = String::from_utf8(proc(process, "status")).unwrap();
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields
        .map(|(name, value)| (name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect()
}

#[test]
fn the_kernel_says_that_a_driver_has_nothing() {
    if !can_run("the_kernel_says_that_a_driver_has_nothing") {
        return;
    }
    let (mut process, socket, _) = idle(subject(&["idle"]));
    let status = status(&process);
    let uid = &status["Uid"];
    assert!(uid.starts_with("18790"), "{uid}: a user of the range");
    assert_eq!(&status["Gid"], uid);
    assert_eq!(status["Groups"], "");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status[set], "0000000000000000", "{set}");
    }
    for (name, value) in [("NoNewPrivs", "1"), ("Seccomp", "2"), ("Threads", "1"), ("Name", "subject 1-2")] {
        assert_eq!(status[name], value, "{name}");
    }
    // It sees itself as the first process of its namespace, and what `ps` shows is the title.
    assert!(status["NSpid"].ends_with(" 1"), "{}", status["NSpid"]);
    assert_eq!(proc(&process, "cmdline"), b"outboard: subject 1-2\0idle\0");
    assert!(!String::from_utf8_lossy(&proc(&process, "environ")).contains("PATH="));

    let link =
        |what: &str| std::fs::read_link(format!("/proc/{}/{what}", process.pid().as_raw_pid())).unwrap();
    for space in ["mnt", "net", "ipc", "pid", "uts", "cgroup"] {
        let own = std::fs::read_link(format!("/proc/self/ns/{space}")).unwrap();
        assert_ne!(link(&format!("ns/{space}")), own, "the {space} namespace");
    }
    assert_eq!(link("root"), Path::new("/"));
    // Through the link, which leads to where the process's root is.
    let root = Path::new("/proc").join(process.pid().as_raw_pid().to_string()).join("root").join(".");
    assert_eq!(std::fs::read_dir(root).unwrap().count(), 0, "its root is empty");
    let mounts = String::from_utf8(proc(&process, "mounts")).unwrap();
    assert_eq!(mounts.lines().count(), 1, "{mounts}");
    assert!(mounts.contains(" / tmpfs ro,nosuid,nodev,noexec"), "{mounts}");

    // Standard input, output and error, the socket, and the queue's own.
    let kinds: Vec<_> = std::fs::read_dir(format!("/proc/{}/fd", process.pid().as_raw_pid()))
        .unwrap()
        .map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap().to_string_lossy().into_owned())
        .collect();
    for kind in &kinds {
        let known = ["/dev/null", "socket:", "anon_inode:[eventpoll]", "anon_inode:[eventfd]"];
        assert!(known.iter().any(|known| kind.starts_with(known)), "{kinds:?}");
    }
    let limits = String::from_utf8(proc(&process, "limits")).unwrap();
    for (limit, value) in [("Max core file size", "0"), ("Max open files", "64"), ("Max processes", "1")] {
        let line = limits.lines().find(|line| line.starts_with(limit)).unwrap();
        assert_eq!(line[limit.len()..].split_whitespace().next(), Some(value), "{line}");
    }

    assert_eq!(process.try_wait(), Ok(None));
    drop(socket);
    assert_eq!(process.wait(), Ok(Exit::Code(0)));
}

#[test]
fn landlock_is_in_force_where_the_kernel_has_it() {
    if !can_run("landlock_is_in_force_where_the_kernel_has_it") {
        return;
    }
    let (_process, _socket, said) = idle(subject(&["idle"]));
    let has_landlock = rustix::fs::access("/sys/kernel/security/lsm", rustix::fs::Access::READ_OK)
        .ok()
        .and_then(|()| std::fs::read_to_string("/sys/kernel/security/lsm").ok())
        .map(|lsm| lsm.contains("landlock"));
    let in_force = said.contains("Enforced(");
    assert!(has_landlock.is_none_or(|has| has == in_force), "{said}");
    eprintln!("{said}");
}

#[test]
fn a_driver_dies_with_its_manager_and_by_its_manager() {
    if !can_run("a_driver_dies_with_its_manager_and_by_its_manager") {
        return;
    }
    // The manager is a thread here: it is what the kernel looks at.
    let (pidfd, mut process) = std::thread::spawn(|| {
        let (process, socket, _) = idle(subject(&["idle"]));
        std::mem::forget(socket);
        (process.as_fd().try_clone_to_owned().unwrap(), process)
    })
    .join()
    .unwrap();
    let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut fds, None).unwrap();
    assert_eq!(process.wait(), Ok(Exit::Signal(libc::SIGKILL)));

    let (mut process, _socket, _) = idle(subject(&["idle"]));
    // The first of a namespace is deaf to what it does not handle.
    process.signal(Signal::TERM).unwrap();
    process.signal(Signal::KILL).unwrap();
    assert_eq!(process.wait(), Ok(Exit::Signal(libc::SIGKILL)));
    assert!(process.signal(Signal::KILL).is_err_and(|error| error.step() == Step::Wait));

    let (process, _socket, _) = idle(subject(&["idle"]));
    let pid = process.pid();
    drop(process);
    assert!(!Path::new(&format!("/proc/{}", pid.as_raw_pid())).exists(), "a dropped driver is gone");
}

fn error(result: Result<impl Sized, SandboxError>) -> SandboxError {
    result.map(drop).expect_err("it fails")
}

#[test]
fn what_cannot_be_started_says_at_which_step() {
    if !can_run("what_cannot_be_started_says_at_which_step") {
        return;
    }
    assert_eq!(error(Program::open(Path::new("/no/such/program"))).step(), Step::OpenProgram);
    assert_eq!(
        error(Program::open(Path::new(SUBJECT)).unwrap().spawn()).step(),
        Step::Identity,
        "root needs a user"
    );

    // No program at all, and one that the driver's user may not execute.
    for (text, mode) in [("hello", 0o755), ("#!/bin/sh", 0o700)] {
        let path = std::env::temp_dir().join(format!("outboard-sandbox-{}-{mode:o}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let result = Program::open(&path).unwrap().identity(identity()).spawn();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(error(result).step(), Step::Exec, "{text}");
    }

    // One that is no driver.
    let mute = subject(&["mute"]).spawn().unwrap();
    mute.wait_loaded(PATIENCE).unwrap();
    assert_eq!(error(mute.finish()).step(), Step::Load);

    // More descriptors than a driver can be given.
    let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let many = (0..40).fold(subject(&["idle"]), |program, _| program.pass(null()));
    assert_eq!(error(many.spawn()).step(), Step::Descriptors);

    // Too little memory for the loader: it dies of it, or says so.
    let limits = Limits { address_space: 1 << 20, ..Limits::default() };
    let small = subject(&["idle"]).limits(limits).spawn();
    let step = match small {
        Err(error) => error.step(),
        Ok(small) => {
            small.wait_loaded(PATIENCE).unwrap();
            error(small.finish()).step()
        }
    };
    assert!([Step::Exec, Step::Load].contains(&step), "{step:?}");
}

#[test]
fn whoever_was_not_started_by_a_manager_cannot_be_a_driver() {
    let output = std::process::Command::new(SUBJECT).arg("idle").env_clear().output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("no manager started this process"), "{text}");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_user_starts_a_driver_in_a_user_namespace() {
    if !can_run("a_user_starts_a_driver_in_a_user_namespace") {
        return;
    }
    // Where users may have namespaces: not everywhere.
    let mut tried = std::process::Command::new("setpriv");
    tried.args(["--reuid=61000", "--regid=61000", "--clear-groups", "unshare", "--user", "true"]);
    if !tried.status().is_ok_and(|status| status.success()) {
        return skip("a_user_starts_a_driver_in_a_user_namespace", "this kernel gives users no namespaces");
    }
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=61000", "--regid=61000", "--clear-groups", SUBJECT, "manage"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for line in [
        "Uid:\t61000\t61000\t61000\t61000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "Seccomp:\t2",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.contains("exited with code 0"), "{text}");
}
