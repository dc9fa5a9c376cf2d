//! The kernel's own monitor of USB as a witness: everything that passes on a bus from start to stop. It must not know what is traced besides.

mod sys;

use std::fs::File;
use std::io::{PipeWriter, pipe};
use std::path::Path;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow, ensure};
use outboard_core::usb::trace::usbmon::Header;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};

use super::run::run;
use crate::capture::Record;

/// The kernel's ring, in bytes: the most that it allows.
const RING: usize = 1200 * 1024;

/// The kernel keeps at most a fifth of the ring of each transfer.
const LARGEST: usize = RING / 5;

/// Listens to a bus until stopped.
#[derive(Debug)]
pub(crate) struct UsbMon {
    /// Closed to stop.
    running: PipeWriter,
    listener: JoinHandle<Result<Vec<Record>>>,
}

impl UsbMon {
    /// Listens from now on.
    pub(crate) fn start(bus: u16) -> Result<Self> {
        let path = format!("/dev/usbmon{bus}");
        if !Path::new(&path).exists() {
            run("modprobe usbmon")?;
        }
        let file = rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())
            .with_context(|| format!("open {path}"))?;
        let file = File::from(file);
        sys::resize(&file, RING).context("resize usbmon's ring")?;
        let (stopped, running) = pipe()?;
        let listener = std::thread::spawn(move || {
            let mut records = Vec::new();
            let mut space = vec![0; LARGEST];
            loop {
                let mut ready = [PollFd::new(&file, PollFlags::IN), PollFd::new(&stopped, PollFlags::IN)];
                poll(&mut ready, None)?;
                let stop = !ready[1].revents().is_empty();
                while let Some((header, length)) = sys::fetch(&file, &mut space)? {
                    records.push(record(&header, &space[..length]));
                }
                if stop {
                    let lost = sys::dropped(&file)?;
                    ensure!(lost == 0, "usbmon lost {lost} records");
                    return Ok(records);
                }
            }
        });
        Ok(Self { running, listener })
    }

    /// Everything that passed.
    pub(crate) fn stop(self) -> Result<Vec<Record>> {
        drop(self.running);
        self.listener.join().map_err(|_| anyhow!("the listener to usbmon panicked"))?
    }
}

fn record(header: &[u8; 64], data: &[u8]) -> Record {
    let header = Header::from_bytes(header);
    let time = header.seconds as u64 * 1_000_000_000 + header.microseconds as u64 * 1000;
    Record { time, header, data: data.to_vec(), original: data.len(), remark: None }
}
