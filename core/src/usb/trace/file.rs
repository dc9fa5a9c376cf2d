//! The file of a trace: made, filled and ended so that neither a full disk nor a kill harms the device or what was written before. It must not
//! know what a record says.
//!
//! Records are gathered in memory and written in one call: when 64 KiB have gathered, a quarter of a second after the first of them if the
//! queue is idle, and at the end. So a kill loses at most what came since, and blocks are written whole. (A kill in the very midst of a
//! write can cut the last block, as it can for every program; readers say so and read all before it.)
//!
//! It is the queue's thread that writes, into the system's cache as a rule. A disk that is slower than the traffic slows the driver down; nothing
//! is left out silently.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tokio::time::Sleep;

use super::pcapng::Section;
use super::{Options, Tracer};
use crate::error::{Error, ErrorKind, Result};
use crate::queue;
use crate::usb::transport::DeviceInfo;
use crate::usb::transport::record::{Event, Recorder};

/// Written at once.
const PIECE: usize = 64 * 1024;

/// How long a record waits for others at most, while the queue has nothing to do.
const DELAY: Duration = Duration::from_millis(250);

/// Records to a file, as a [`Recorder`]. It ends when dropped. An error of the file ends it earlier, with one warning; the device goes on.
#[derive(Debug)]
pub struct TraceFile {
    tracer: Tracer,
    /// `None`: it has failed.
    file: Option<File>,
    path: PathBuf,
    /// What is not written yet.
    gathered: Vec<u8>,
    /// Where in the file the trace begins.
    start: u64,
    /// Bytes of it that are written, all of them whole blocks.
    written: u64,
    /// A moment of the queue's clock, and what time it was: nanoseconds since 1970, UTC.
    began: (Instant, u64),
    timer: Option<Pin<Box<Sleep>>>,
    /// The timer runs.
    waiting: bool,
}

impl TraceFile {
    /// Makes the file and writes what it begins with. On a queue.
    ///
    /// The file is readable by its owner alone. One that exists is never touched, and a symbolic link of that name not followed: a trace is
    /// made by root as a rule, and the one of yesterday may be the only one that shows the fault.
    ///
    /// # Errors
    /// Busy: there is something of that name. Else as the system says.
    pub fn create(path: &Path, info: &DeviceInfo, options: &Options) -> Result<Self> {
        let file = Self::make(path)?;
        Self::on(file, path, info, options)
            .map_err(|error| Error::os(format!("make the trace {}", path.display()), error))
    }

    /// Makes the file alone, for a process that traces and may open none.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn make(path: &Path) -> Result<File> {
        let operation = || format!("make the trace {}", path.display());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|error| match error {
            Errno::EXIST => Error::new(ErrorKind::Busy, operation(), "it exists; traces overwrite nothing"),
            error => Error::os(operation(), error.into()),
        })?;
        Ok(File::from(fd))
    }

    /// Writes to a file that is open, from where it stands: for a process that may open none. `path` is what it is called in a warning.
    ///
    /// # Errors
    /// Of the first write.
    pub fn on(file: File, path: &Path, info: &DeviceInfo, options: &Options) -> io::Result<Self> {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = nanoseconds(since_1970);
        // A pipe has no position, and cannot be cut either.
        let start = (&file).stream_position().unwrap_or(0);
        let mut this = Self {
            tracer: Tracer::new(info, options),
            file: Some(file),
            path: path.to_owned(),
            gathered: Vec::with_capacity(2 * PIECE),
            start,
            written: 0,
            began: (queue::now(), now),
            timer: None,
            waiting: false,
        };
        let os = operating_system();
        let application = concat!("Outboard ", env!("CARGO_PKG_VERSION"));
        let section = Section { hardware: std::env::consts::ARCH, os: &os, application };
        this.tracer.begin(now, &section, &mut this.gathered);
        this.write()?;
        Ok(this)
    }

    fn time(&self, at: Instant) -> u64 {
        self.began.1.saturating_add(nanoseconds(at.saturating_duration_since(self.began.0)))
    }

    /// Writes what has gathered.
    fn write(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let result = file.write_all(&self.gathered);
        match &result {
            Ok(()) => self.written += self.gathered.len() as u64,
            // Whatever part went in is no whole block. If even this fails, readers tell of it.
            Err(_) => drop(file.set_len(self.start + self.written)),
        }
        self.gathered.clear();
        result
    }

    fn flush(&mut self) {
        if let Err(error) = self.write() {
            self.file = None;
            self.gathered = Vec::new();
            tracing::warn!("the trace {} ends here: {error}; the device goes on", self.path.display());
        }
    }
}

impl Recorder for TraceFile {
    fn record(&mut self, at: Instant, event: Event<'_>) {
        if self.file.is_none() {
            return;
        }
        let now = self.time(at);
        self.tracer.event(now, &event, &mut self.gathered);
        if self.gathered.len() >= PIECE {
            self.flush();
        }
    }

    fn idle(&mut self, context: &mut Context<'_>) {
        if self.gathered.is_empty() {
            self.waiting = false;
            return;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(DELAY)));
        if !self.waiting {
            timer.as_mut().reset(tokio::time::Instant::now() + DELAY);
            self.waiting = true;
        }
        if timer.as_mut().poll(context).is_ready() {
            self.waiting = false;
            self.flush();
        }
    }
}

impl Drop for TraceFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            let now = self.time(queue::now());
            self.tracer.end(now, &mut self.gathered);
            self.flush();
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    // They last until the year 2554.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn operating_system() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::{fs, future};

    use super::*;
    use crate::queue::{Clock, DispatchQueue};
    use crate::usb::Speed;
    use crate::usb::trace::Address;
    use crate::usb::transfer::{Operation, Token};

    /// A directory that is gone with the value.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let name =
                format!("outboard-trace-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn info() -> DeviceInfo {
        DeviceInfo { name: "1-2".into(), speed: Speed::High, descriptors: vec![0; 18], configuration: None }
    }

    fn options() -> Options {
        Options { address: Address { bus: 1, device: 2 }, ..Options::default() }
    }

    /// One record, of a submission.
    fn record(trace: &mut TraceFile, data: &[u8]) {
        let operation = Operation::Transfer {
            endpoint: 0x02,
            transfer_type: crate::usb::TransferType::Bulk,
            request: 0,
            zero_packet: false,
        };
        trace.record(queue::now(), Event::Submitted { token: Token(0), operation: &operation, data });
    }

    /// The first and the last block's type, where every block is whole.
    fn blocks(bytes: &[u8]) -> Vec<u32> {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let (mut at, mut kinds) = (0, Vec::new());
        while at < bytes.len() {
            kinds.push(word(at));
            at += word(at + 4) as usize;
        }
        assert_eq!(at, bytes.len(), "the last block is cut");
        kinds
    }

    #[test]
    fn a_file_is_its_owners_and_ends_with_the_statistics() {
        let scratch = Scratch::new();
        let path = scratch.0.join("trace");
        let mut trace = TraceFile::create(&path, &info(), &options()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // What a trace begins with is there at once.
        assert_eq!(blocks(&fs::read(&path).unwrap()), [0x0a0d_0d0a, 1, 6, 6]);
        record(&mut trace, b"frame");
        drop(trace);
        assert_eq!(blocks(&fs::read(&path).unwrap()), [0x0a0d_0d0a, 1, 6, 6, 6, 5]);
    }

    #[test]
    fn what_exists_is_not_touched() {
        let scratch = Scratch::new();
        let path = scratch.0.join("trace");
        fs::write(&path, "precious").unwrap();
        let (link, dangling) = (scratch.0.join("link"), scratch.0.join("dangling"));
        symlink(&path, &link).unwrap();
        symlink(scratch.0.join("elsewhere"), &dangling).unwrap();
        for path in [&path, &link, &dangling] {
            let error = TraceFile::create(path, &info(), &options()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        assert!(!scratch.0.join("elsewhere").exists());
        let error = TraceFile::create(&scratch.0.join("no/such"), &info(), &options()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }

    #[test]
    fn much_is_written_before_the_end_and_in_whole_blocks() {
        let scratch = Scratch::new();
        let path = scratch.0.join("trace");
        let mut trace = TraceFile::create(&path, &info(), &options()).unwrap();
        let capacity = trace.gathered.capacity();
        for _ in 0..100 {
            record(&mut trace, &[7; 1500]);
        }
        let kinds = blocks(&fs::read(&path).unwrap());
        assert!((80..104).contains(&kinds.len()), "{} blocks of 104", kinds.len());
        assert_eq!(trace.gathered.capacity(), capacity);
    }

    #[test]
    fn an_idle_queue_writes_what_waits() {
        let scratch = Scratch::new();
        let path = scratch.0.join("trace");
        DispatchQueue::run("test", Clock::Virtual, |_| async {
            let mut trace = TraceFile::create(&path, &info(), &options()).unwrap();
            let start = queue::now();
            for _ in 0..3 {
                record(&mut trace, b"frame");
                let before = fs::read(&path).unwrap().len();
                future::poll_fn(|context| {
                    trace.idle(context);
                    if trace.gathered.is_empty() {
                        std::task::Poll::Ready(())
                    } else {
                        std::task::Poll::Pending
                    }
                })
                .await;
                assert!(fs::read(&path).unwrap().len() > before);
            }
            let waited = queue::now() - start;
            assert!((3 * DELAY..4 * DELAY).contains(&waited), "{waited:?}");
        })
        .unwrap();
    }

    #[test]
    fn a_file_that_fails_ends_the_trace_and_nothing_else() {
        let (mut reader, writer) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let mut trace = TraceFile::on(file, Path::new("pipe"), &info(), &options()).unwrap();
        let mut begin = [0; 4];
        reader.read_exact(&mut begin).unwrap();
        drop(reader);
        for _ in 0..100 {
            record(&mut trace, &[7; 1500]);
        }
        assert!(trace.file.is_none());
        assert_eq!(trace.gathered.capacity(), 0, "nothing is gathered for nobody");
    }

    #[test]
    fn a_disk_that_fills_up_leaves_whole_blocks() {
        use rustix::fs::{MemfdFlags, SealFlags};
        let fd = rustix::fs::memfd_create("trace", MemfdFlags::ALLOW_SEALING).unwrap();
        let mut file = File::from(fd);
        let mut trace =
            TraceFile::on(file.try_clone().unwrap(), Path::new("memory"), &info(), &options()).unwrap();
        // Room for one write and half of the next.
        file.set_len(100 * 1024).unwrap();
        rustix::fs::fcntl_add_seals(&file, SealFlags::GROW).unwrap();
        for _ in 0..100 {
            record(&mut trace, &[7; 1500]);
        }
        assert!(trace.file.is_none());
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        assert!((PIECE..100 * 1024).contains(&bytes.len()), "{} bytes", bytes.len());
        assert!(blocks(&bytes).len() > 40);
    }
}
