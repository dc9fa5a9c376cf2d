//! What a driver's process writes to its standard error, as lines of the manager's log. It trusts none of it: lines are cut, made printable, and at
//! most so many a second are passed on.

use std::io::PipeReader;
use std::time::Duration;

use outboard_core::source;
use tokio::io::Interest;
use tokio::time::Instant;

use crate::output::printable;

/// Of a line, in bytes.
const LONGEST: usize = 1024;
/// Lines a second.
const MOST: u32 = 50;

/// Passes lines on until the process has closed its end.
pub(super) async fn pass_on(log: PipeReader, device: String, generation: u64) {
    if let Err(error) = rustix::io::ioctl_fionbio(&log, true) {
        return tracing::debug!(device, %error, "the driver's log cannot be read");
    }
    let Ok(log) = source::watch(log.into(), Interest::READABLE) else { return };
    let mut lines = Lines::default();
    let mut budget = Budget { since: Instant::now(), left: MOST, dropped: 0 };
    let mut piece = [0; LONGEST];
    loop {
        let Ok(mut ready) = log.readable().await else { return };
        match rustix::io::read(log.get_ref(), &mut piece) {
            Ok(0) => break,
            Ok(length) => lines.take(&piece[..length], |line| {
                if budget.allows() {
                    say(&device, generation, line);
                }
            }),
            Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
        if budget.left == 0 {
            // It waits meanwhile, once the pipe is full: a driver that floods its log harms itself.
            tokio::time::sleep_until(budget.since + Duration::from_secs(1)).await;
        }
    }
    lines.end(|line| say(&device, generation, line));
}

fn say(device: &str, generation: u64, line: &str) {
    let line = line.trim_start();
    let (level, text) = line.split_once(' ').unwrap_or((line, ""));
    match level {
        "ERROR" => tracing::error!(device, generation, "{}", text.trim_start()),
        "WARN" => tracing::warn!(device, generation, "{}", text.trim_start()),
        "INFO" => tracing::info!(device, generation, "{}", text.trim_start()),
        "DEBUG" | "TRACE" => tracing::debug!(device, generation, "{}", text.trim_start()),
        // A panic's, or the command's last words.
        _ => tracing::warn!(device, generation, "{line}"),
    }
}

struct Budget {
    since: Instant,
    left: u32,
    dropped: u64,
}

impl Budget {
    fn allows(&mut self) -> bool {
        if self.since.elapsed() >= Duration::from_secs(1) {
            if self.dropped > 0 {
                tracing::warn!(lines = self.dropped, "a driver logs too much; lines were left out");
            }
            *self = Self { since: Instant::now(), left: MOST, dropped: 0 };
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => {
                self.dropped += 1;
                return false;
            }
        }
        true
    }
}

/// Cuts a stream into lines.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
    /// The rest of a line that was too long is left out.
    skips: bool,
}

impl Lines {
    fn take(&mut self, mut bytes: &[u8], mut line: impl FnMut(&str)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add(&bytes[..end]);
            self.end(&mut line);
            bytes = &bytes[end + 1..];
        }
        self.add(bytes);
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = LONGEST - self.begun.len();
        self.skips |= bytes.len() > room;
        self.begun.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end(&mut self, mut line: impl FnMut(&str)) {
        let text = String::from_utf8_lossy(&self.begun);
        let mut text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        if self.skips {
            text.push('…');
        }
        if !printable(&text).is_empty() {
            line(&text);
        }
        self.begun.clear();
        self.skips = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.take(piece, |line| seen.push(line.to_owned()));
        }
        lines.end(|line| seen.push(line.to_owned()));
        seen
    }

    #[test]
    fn lines_come_whole_and_harmless() {
        assert_eq!(lines(&[b"a b", b"c\n\nx\x1b[2J\n", b"end"]), ["a bc", "x?[2J", "end"]);
        let long = lines(&[&[b'x'; 700], &[b'y'; 700], b"\nnext\n"]);
        assert_eq!((long[0].chars().count(), &*long[1]), (LONGEST + 1, "next"));
    }
}
