//! The kernel's log, for what nobody else tells.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result};

/// The kernel's log, read record by record.
#[derive(Debug)]
pub(crate) struct KernelLog {
    file: File,
}

impl KernelLog {
    /// Opens it; what is in it already comes first.
    pub(crate) fn open() -> Result<Self> {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
        let file =
            rustix::fs::open("/dev/kmsg", flags, rustix::fs::Mode::empty()).context("open /dev/kmsg")?;
        Ok(Self { file: file.into() })
    }

    /// Forgets everything so far.
    pub(crate) fn mark(&mut self) -> Result<()> {
        self.file.seek(SeekFrom::End(0)).map(drop).context("seek /dev/kmsg")
    }

    /// Everything since the mark, one record a line.
    pub(crate) fn since_mark(&mut self) -> Result<String> {
        let mut text = String::new();
        let mut record = [0; 8192];
        loop {
            match self.file.read(&mut record) {
                Ok(length) => {
                    let record = String::from_utf8_lossy(&record[..length]);
                    text.push_str(&readable(&record));
                }
                // EPIPE: records were overwritten before they were read; the next read goes on behind the gap.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                    text.push_str("(records lost)\n")
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(text),
                Err(error) => return Err(error).context("read /dev/kmsg"),
            }
        }
    }
}

/// One record of /dev/kmsg (`6,339,5140900,-;text`, then continuation lines) as `dmesg` shows it.
fn readable(record: &str) -> String {
    let (head, text) = record.split_once(';').unwrap_or(("", record));
    let micros: u64 = head.split(',').nth(2).and_then(|field| field.parse().ok()).unwrap_or(0);
    let line = text.lines().next().unwrap_or("");
    format!("[{:5}.{:06}] {line}\n", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_records_read_like_dmesg() {
        let record = "6,339,5140900,-;NET: registered\n SUBSYSTEM=net\n";
        assert_eq!(readable(record), "[    5.140900] NET: registered\n");
    }
}
