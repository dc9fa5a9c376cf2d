//! A serial port that applications open as a pseudo-terminal: no kernel module, no right but to make one. It knows nothing of the device
//! behind it.
//!
//! The master is in packet mode and the slave's EXTPROC is set, so that the kernel tells of every change of the slave's attributes.
//! What a pseudo-terminal cannot carry: parity and 7 data bits (the kernel forces 8N on it), modem lines and breaks (`TIOCMGET` and
//! friends are `ENOTTY`, `tcsendbreak` does nothing), `tcdrain` (returns at once), errors of single characters. DTR and RTS follow open,
//! close, B0 and HUPCL as those of a real tty. Because of EXTPROC the kernel neither echoes nor gathers lines: a reader in canonical mode
//! gets bytes as they come.
//!
//! An application that closes the port and opens it again within microseconds, while another opens and closes it, may not be noticed;
//! everything else gives one [`Request`] each. An open cannot be held back as a tty's is until the last one's bytes are sent: what the
//! driver has not taken of them by then is sent as the next one's.

mod link;
mod settings;
mod sys;

use std::collections::VecDeque;
use std::ffi::CString;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use rustix::fs::{Gid, Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use self::link::Link;
use super::ring::{CAPACITY, Ring};
use super::{Applied, Counters, FlowControl, LineErrors, LineSettings, ModemInputs, Request, SerialPort};
use crate::{Error, Result};

/// The first byte of a read in packet mode (`ioctl_tty(2)`); 0: data follow.
mod packet {
    pub(super) const FLUSHREAD: u8 = 0x01;
    pub(super) const FLUSHWRITE: u8 = 0x02;
    pub(super) const IOCTL: u8 = 0x40;
}

/// Events that one read of inotify gives: 16 bytes each.
const OPENS: usize = 64;
/// Requests that wait for the driver. More are looked for only when it has taken them all, and one look finds two for an open and a few
/// besides.
const REQUESTS: usize = 4 * OPENS;

/// How a port is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PtyOptions {
    /// A symbolic link to the terminal's node, made with its directory and removed with the port; the same after every replug.
    pub link: Option<PathBuf>,
    /// Permission bits of the node.
    pub mode: u32,
    /// The group that the node belongs to; `None`: the mount's.
    pub group: Option<u32>,
    /// An open raises DTR and RTS, as a terminal's.
    pub raise_on_open: bool,
}

impl Default for PtyOptions {
    fn default() -> Self {
        Self { link: None, mode: 0o660, group: None, raise_on_open: true }
    }
}

/// A port behind a pseudo-terminal. Dropped, it hangs up on whoever has it open.
#[derive(Debug)]
pub struct Pty {
    name: String,
    node: PathBuf,
    _link: Option<Link>,
    master: OwnedFd,
    /// Tells who opens and closes the slave.
    watch: OwnedFd,
    /// Readable when one of the two above has news. Edge-triggered: a slave that is closed would be news forever.
    events: OwnedFd,
    raise_on_open: bool,
    ring: Ring,
    open: bool,
    /// What was written before the last close may not be taken yet.
    leftover: bool,
    /// How many have it open, as far as is known: the kernel merges equal events.
    openers: u32,
    /// The last one that is known of has closed it; whether another one has it open is told by the master.
    closing: bool,
    settings: LineSettings,
    hangs_up: bool,
    /// The host has written more than the driver has taken.
    backlog: bool,
    requests: VecDeque<Request>,
    counters: Counters,
}

impl Pty {
    /// Makes a port.
    ///
    /// # Errors
    /// [`Busy`](crate::ErrorKind::Busy): the link's name is taken by something else. [`Refused`](crate::ErrorKind::Refused): no right to
    /// make the link, or to give the node to the group. [`System`](crate::ErrorKind::System): no terminal or descriptor is left.
    pub fn create(options: &PtyOptions) -> Result<Self> {
        let failed = |error: Errno| Error::os("make a pseudo-terminal", error.into());
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).map_err(failed)?;
        let status = rustix::fs::fcntl_getfl(&master).map_err(failed)?;
        rustix::fs::fcntl_setfl(&master, status | OFlags::NONBLOCK).map_err(failed)?;
        rustix::pty::grantpt(&master).map_err(failed)?;
        let node = rustix::pty::ptsname(&master, Vec::new()).map_err(failed)?;
        rustix::fs::chmod(&node, Mode::from_raw_mode(options.mode)).map_err(failed)?;
        if let Some(group) = options.group {
            rustix::fs::chown(&node, None, Some(Gid::from_raw(group))).map_err(failed)?;
        }
        let mut termios = tcgetattr(&master).map_err(failed)?;
        settings::initial(&mut termios);
        tcsetattr(&master, OptionalActions::Now, &termios).map_err(failed)?;
        sys::set_packet_mode(master.as_fd()).map_err(failed)?;
        let watch = watch(&node).map_err(failed)?;
        let events = epoll::create(CreateFlags::CLOEXEC).map_err(failed)?;
        let edge = EventFlags::ET;
        let both = EventFlags::IN | EventFlags::PRI | EventFlags::OUT | EventFlags::HUP | edge;
        epoll::add(&events, &master, EventData::new_u64(0), both).map_err(failed)?;
        epoll::add(&events, &watch, EventData::new_u64(1), EventFlags::IN | edge).map_err(failed)?;
        // Nobody can open it before.
        rustix::pty::unlockpt(&master).map_err(failed)?;
        let node = PathBuf::from(node.to_string_lossy().into_owned());
        let link = options.link.as_deref().map(|path| Link::create(path, &node)).transpose()?;
        let name = options.link.as_deref().unwrap_or(&node).display().to_string();
        Ok(Self {
            name,
            node,
            _link: link,
            settings: settings::of(&termios),
            hangs_up: settings::hangs_up(&termios),
            master,
            watch,
            events,
            raise_on_open: options.raise_on_open,
            ring: Ring::new(CAPACITY),
            open: false,
            leftover: false,
            openers: 0,
            closing: false,
            backlog: false,
            requests: VecDeque::with_capacity(REQUESTS),
            counters: Counters::default(),
        })
    }

    /// The terminal's node, `/dev/pts/N`.
    pub fn node(&self) -> &Path {
        &self.node
    }

    fn failed(&self, operation: &'static str, error: Errno) -> Error {
        Error::os(format!("{operation} {}", self.name), error.into())
    }

    fn ask(&mut self, request: Request) {
        // Of settings only the last ones count.
        if let (Some(Request::Settings(old)), Request::Settings(new)) = (self.requests.back_mut(), request) {
            *old = new;
            return;
        }
        if self.requests.len() < REQUESTS {
            self.requests.push_back(request);
        }
    }

    fn opened(&mut self) {
        // It may have set attributes already; the notice of that then tells nothing new.
        self.look_at_attributes(false);
        self.open = true;
        self.closing = false;
        self.counters.opens += 1;
        self.ask(Request::Opened { settings: self.settings, raise: self.raise_on_open });
    }

    fn closed(&mut self) {
        self.open = false;
        self.leftover = true;
        self.closing = false;
        self.openers = 0;
        self.backlog = false;
        self.counters.received_unread += self.ring.clear() as u64;
        self.ask(Request::Closed { drop: self.hangs_up });
    }

    /// Reads what inotify has to tell.
    fn look_at_opens(&mut self) -> Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        // As many as the buffer has; true: it was an open.
        let mut seen: [Option<bool>; OPENS] = [None; OPENS];
        loop {
            let mut count = 0;
            {
                let mut reader = inotify::Reader::new(&self.watch, &mut buffer);
                loop {
                    match reader.next() {
                        Ok(event) => {
                            let flags = event.events();
                            let closes = ReadFlags::CLOSE_WRITE | ReadFlags::CLOSE_NOWRITE;
                            if let Some(slot) = seen.get_mut(count)
                                && flags.intersects(ReadFlags::OPEN | closes)
                            {
                                *slot = Some(flags.contains(ReadFlags::OPEN));
                                count += 1;
                            }
                            if reader.is_buffer_empty() {
                                break;
                            }
                        }
                        Err(Errno::AGAIN | Errno::INTR) => break,
                        Err(error) => return Err(self.failed("watch", error)),
                    }
                }
            }
            if count == 0 {
                return Ok(());
            }
            for opens in seen[..count].iter().flatten() {
                match opens {
                    true => self.one_opened(),
                    false => self.one_closed(),
                }
            }
            if !self.requests.is_empty() {
                return Ok(());
            }
        }
    }

    fn one_opened(&mut self) {
        self.openers += 1;
        if self.open && self.closing {
            // The close and the next open came too close together for the read to notice.
            let openers = self.openers;
            self.closed();
            self.openers = openers;
        }
        if !self.open {
            self.opened();
        }
    }

    /// Nobody has the slave open.
    fn is_hung_up(&self) -> bool {
        let mut fds = [PollFd::new(&self.master, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::HUP)
    }

    fn one_closed(&mut self) {
        self.openers = self.openers.saturating_sub(1);
        self.closing = self.openers == 0;
    }

    /// The slave's attributes may have changed.
    fn look_at_attributes(&mut self, tell: bool) {
        let Ok(mut termios) = tcgetattr(&self.master) else { return };
        self.keep_watching(&mut termios);
        self.hangs_up = settings::hangs_up(&termios);
        let settings = settings::of(&termios);
        if settings != self.settings {
            self.settings = settings;
            if tell {
                self.ask(Request::Settings(settings));
            }
        }
    }

    /// Without EXTPROC the kernel would never tell again.
    fn keep_watching(&self, termios: &mut Termios) {
        if !termios.local_modes.contains(LocalModes::EXTPROC) {
            termios.local_modes |= LocalModes::EXTPROC;
            // It fails only when the terminal is gone, which the next read tells. The notice of it finds nothing new.
            let _ = tcsetattr(&self.master, OptionalActions::Now, termios);
        }
    }

    fn status(&mut self, status: u8) {
        let (received, written) = (status & packet::FLUSHREAD != 0, status & packet::FLUSHWRITE != 0);
        if received {
            self.counters.received_unread += self.ring.clear() as u64;
        }
        if written {
            self.discard_backlog();
        }
        if self.open && (received || written) {
            self.ask(Request::Purge { received, written });
        }
        if status & packet::IOCTL != 0 {
            self.look_at_attributes(self.open);
        }
    }

    /// The kernel throws away only what has not reached the master's queue. If the driver was behind, what is in there is old, and the
    /// host does not want it sent; if not, it was written after the flush.
    fn discard_backlog(&mut self) {
        if !std::mem::take(&mut self.backlog) {
            return;
        }
        let mut left = rustix::io::ioctl_fionread(&self.master).unwrap_or(0);
        let mut scratch = [0; 512];
        while left > 0 {
            let most = scratch.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match self.read(&mut scratch[..most]) {
                Ok((0, count)) if count > 0 => left = left.saturating_sub(count as u64),
                _ => return,
            }
        }
    }

    /// One read: the status byte and the number of data bytes.
    fn read(&self, space: &mut [u8]) -> rustix::io::Result<(u8, usize)> {
        let mut status = [0];
        let mut slices = [IoSliceMut::new(&mut status), IoSliceMut::new(space)];
        let count = rustix::io::retry_on_intr(|| rustix::io::readv(&self.master, &mut slices))?;
        Ok((status[0], count.saturating_sub(1)))
    }

    /// Takes the status bytes that wait, without touching data.
    fn look_at_status(&mut self) -> Result<()> {
        // Each read takes all that has gathered; more than a few only come from somebody who does nothing else.
        for _ in 0..16 {
            let mut fds = [PollFd::new(&self.master, PollFlags::PRI)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            match rustix::event::poll(&mut fds, Some(&now)) {
                Ok(_) if fds[0].revents().contains(PollFlags::PRI) => {}
                _ => return Ok(()),
            }
            let mut nothing = [0; 1];
            match rustix::io::retry_on_intr(|| rustix::io::read(&self.master, &mut nothing)) {
                Ok(1) => self.status(nothing[0]),
                Ok(_) | Err(Errno::AGAIN | Errno::IO) => return Ok(()),
                Err(error) => return Err(self.failed("read from", error)),
            }
        }
        Ok(())
    }

    /// Writes as much of `bytes` as the terminal takes.
    fn write(&self, bytes: &[u8]) -> Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            let slice = [IoSlice::new(&bytes[done..])];
            match rustix::io::retry_on_intr(|| rustix::io::writev(&self.master, &slice)) {
                // EIO: it was closed; the next read tells.
                Ok(0) | Err(Errno::AGAIN | Errno::IO) => break,
                Ok(count) => done += count,
                Err(error) => return Err(self.failed("write to", error)),
            }
        }
        Ok(done)
    }

    fn move_on(&mut self) -> Result<()> {
        while !self.ring.is_empty() {
            let count = self.write(self.ring.front())?;
            if count == 0 {
                break;
            }
            self.ring.consume(count);
        }
        Ok(())
    }

    fn take_events(&self) -> Result<()> {
        let mut events = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 4];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            match epoll::wait(&self.events, &mut events[..], Some(&now)) {
                Ok(0) => return Ok(()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(self.failed("watch", error)),
            }
        }
    }
}

fn watch(node: &CString) -> rustix::io::Result<OwnedFd> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watch, node, WatchFlags::OPEN | WatchFlags::CLOSE_WRITE | WatchFlags::CLOSE_NOWRITE)?;
    Ok(watch)
}

impl SerialPort for Pty {
    fn name(&self) -> &str {
        &self.name
    }

    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        Some(self.events.as_fd())
    }

    fn poll(&mut self) -> Result<Option<Request>> {
        if self.requests.is_empty() {
            // Taken first: what happens afterwards is an event again.
            self.take_events()?;
            self.look_at_opens()?;
            self.look_at_status()?;
            if self.open && self.closing && self.is_hung_up() {
                self.closed();
            }
            self.move_on()?;
        }
        Ok(self.requests.pop_front())
    }

    fn transmit(&mut self, space: &mut [u8]) -> Result<usize> {
        if !(self.open || self.leftover) || space.is_empty() || !self.requests.is_empty() {
            return Ok(0);
        }
        // What somebody else writes who has it open now is not what is left.
        if !self.open && !self.is_hung_up() {
            self.look_at_opens()?;
            return Ok(0);
        }
        let mut taken = 0;
        while taken < space.len() {
            match self.read(&mut space[taken..]) {
                Ok((0, 0)) => break,
                Ok((0, count)) => taken += count,
                Ok((status, _)) => {
                    self.status(status);
                    if !self.requests.is_empty() {
                        break;
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::IO) => {
                    if taken == 0 && self.open {
                        self.closed();
                    }
                    // There is nothing behind it.
                    self.leftover &= taken > 0;
                    break;
                }
                Err(error) => return Err(self.failed("read from", error)),
            }
        }
        self.backlog = taken == space.len();
        self.counters.transmitted_bytes += taken as u64;
        Ok(taken)
    }

    fn discard(&mut self) {
        self.leftover = false;
        self.backlog = true;
        self.discard_backlog();
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<usize> {
        if !self.open {
            self.counters.received_unread += bytes.len() as u64;
            return Ok(bytes.len());
        }
        self.move_on()?;
        let mut taken = if self.ring.is_empty() { self.write(bytes)? } else { 0 };
        taken += self.ring.push(&bytes[taken..]);
        self.counters.received_bytes += taken as u64;
        self.counters.received_overruns += (bytes.len() - taken) as u64;
        Ok(taken)
    }

    fn room(&self) -> usize {
        self.ring.room()
    }

    fn applied(&mut self, applied: &Applied) {
        // A rate that is a little off is what the host asked for; one that is another one it has to see, as on any tty.
        if !applied.clamped || self.settings.baud != applied.asked.baud {
            return;
        }
        let Ok(mut termios) = tcgetattr(&self.master) else { return };
        if termios.output_speed() == applied.asked.baud && termios.set_speed(applied.baud).is_ok() {
            // It fails only when the terminal is gone, which the next read tells. The notice of it finds nothing new.
            let _ = tcsetattr(&self.master, OptionalActions::Now, &termios);
            self.settings.baud = applied.baud;
        }
    }

    fn modem_changed(&mut self, _: ModemInputs) {}

    fn line_errors(&mut self, _: LineErrors) {}

    fn drained(&mut self, _: bool) {}

    fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// Whether the settings are ones that a pseudo-terminal can carry; the rest has to be asked for elsewhere.
pub fn carries(settings: &LineSettings) -> bool {
    use super::{DataBits, Parity};
    settings.data_bits == DataBits::Eight
        && settings.parity == Parity::None
        && !matches!(settings.flow, FlowControl::DtrDsr)
}
