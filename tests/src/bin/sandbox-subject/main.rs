//! What the sandbox's tests start: a driver that does its work, one that panics or aborts, and one that tries to get out. It must not know what its
//! test expects.

mod endings;
mod work;

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::sandbox::{Family, Inherited, Profile, Program, Transport, inherit, lock_down};
use outboard_tests::sandbox::{Scene, attempts};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["victim"] => victim(),
        ["escaped", report] => {
            report.parse().context("a number").and_then(|fd| Ok(outboard_tests::sandbox::escaped(fd)?))
        }
        ["attempt", layer, index, scene] => attempt(layer, index, scene),
        ["idle"] => idle(),
        ["work"] => work::run(),
        ["end", how] => endings::run(how),
        ["manage"] => manage(),
        // It was started as a driver and never says so.
        ["mute"] => Ok(()),
        _ => Err(anyhow::anyhow!("usage: the tests of the sandbox know")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox-subject: {error:#}");
            ExitCode::from(3)
        }
    }
}

/// A driver's profile.
fn profile(inherited: &Inherited) -> Profile {
    Profile {
        transport: Transport::UsbFs { reset: false },
        family: Family::Ethernet,
        name: "subject 1-2".into(),
        debuggable: inherited.debuggable,
    }
}

/// Waits until the other end of a socket or pipe is closed.
fn until_closed(fd: &OwnedFd) -> Result<()> {
    let mut byte = [0];
    while rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut byte))? > 0 {}
    Ok(())
}

/// Says where it has eight bytes, and waits.
fn victim() -> Result<()> {
    let mut bytes = Box::new(0_u64);
    println!("{}", (&raw mut *bytes).addr());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// Tries one way out, and reports on it.
fn attempt(layer: &str, index: &str, scene: &str) -> Result<()> {
    let scene: Scene = serde_json::from_str(scene)?;
    let (_, attempt) = attempts().into_iter().nth(index.parse()?).context("there is no such attempt")?;
    let attack = || {
        let verdict = match (attempt.run)(&scene) {
            Ok(()) => "worked".to_owned(),
            Err(errno) => format!("errno {}", errno.raw_os_error()),
        };
        outboard_tests::sandbox::report(&scene, &verdict)
    };
    match layer {
        "control" => {
            // Where it works, it must not change the machine.
            outboard_tests::sandbox::own_spaces()?;
            attack()?;
        }
        "contained" => {
            let _inherited = inherit()?;
            attack()?;
        }
        "locked" => {
            let inherited = inherit()?;
            let profile = profile(&inherited);
            DispatchQueue::run("Default", Clock::Real, |_| async {
                lock_down(&profile)?;
                anyhow::Ok(attack()?)
            })??;
        }
        _ => bail!("there is no layer {layer}"),
    }
    Ok(())
}

/// A driver that is locked down and does nothing, until its only descriptor is closed at the other end.
fn idle() -> Result<()> {
    let inherited = inherit()?;
    let profile = profile(&inherited);
    let socket = inherited.fds.into_iter().next().context("a socket is passed")?;
    DispatchQueue::run("Default", Clock::Real, |_| async {
        let locked = lock_down(&profile)?;
        rustix::io::write(socket.as_fd(), format!("{locked:?}").as_bytes())?;
        until_closed(&socket)
    })??;
    Ok(())
}

/// A manager without any right: starts a driver, and prints what the kernel says of it.
fn manage() -> Result<()> {
    let (mut socket, theirs) = std::os::unix::net::UnixStream::pair()?;
    let starting = Program::this()?.argument("idle").pass(OwnedFd::from(theirs)).spawn()?;
    starting.wait_loaded(std::time::Duration::from_secs(60))?;
    let mut driver = starting.finish()?;
    let mut said = [0; 200];
    let length = std::io::Read::read(&mut socket, &mut said)?;
    println!("{}", String::from_utf8_lossy(&said[..length]));
    let proc = format!("/proc/{}", driver.pid().as_raw_pid());
    print!("{}", std::fs::read_to_string(format!("{proc}/status"))?);
    drop(socket);
    println!("{}", driver.wait()?);
    Ok(())
}
