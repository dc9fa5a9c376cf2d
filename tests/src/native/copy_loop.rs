//! What `outboard attach` is compared with: two plain TAPs and one thread that reads a frame of the one and writes it to the other, until there
//! is none, and then waits. There is no USB, no header and no offload; it must not look at a frame.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tun_tap::{Iface, Mode};

use super::sys::descriptor;

/// The largest frame of an MTU of 1500, with room for a VLAN's tag.
const FRAME: usize = 1518;
/// Frames of one direction before the other one has its turn.
const TURN: usize = 64;

/// Makes the interfaces, prints their names, one a line, and carries frames until it is ended.
pub(super) fn run() -> Result<()> {
    let make = || Iface::without_packet_info("copy%d", Mode::Tap);
    let taps = [make(), make()];
    let [a, b] = taps.map(|tap| tap.context("make a TAP"));
    let taps = [a?, b?];
    let mut out = io::stdout().lock();
    for tap in &taps {
        tap.set_non_blocking()?;
        writeln!(out, "{}", tap.name())?;
    }
    out.flush()?;
    let mut polled =
        [descriptor(&taps[0]), descriptor(&taps[1])].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    let mut frame = [0; FRAME];
    loop {
        match poll(&mut polled, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("poll"),
        }
        for (from, to) in [(0, 1), (1, 0)] {
            let ready = polled[from].revents();
            if ready.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) {
                bail!("{} is gone", taps[from].name());
            }
            if !ready.contains(PollFlags::IN) {
                continue;
            }
            for _ in 0..TURN {
                let length = match taps[from].recv(&mut frame) {
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error).context("read a frame"),
                };
                // As on a cable: what the other end does not take is lost.
                let _lost = taps[to].send(&frame[..length]);
            }
        }
    }
}
