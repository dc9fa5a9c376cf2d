//! A port in memory, for tests of whole drivers: what the application writes and asks is scripted, what it gets is kept. Its readiness is
//! an eventfd, as real as a terminal's. Its reader reads at once, unless the test stops it.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

use super::ring::{CAPACITY, Ring};
use super::{Applied, Counters, LineErrors, LineSettings, ModemInputs, Request, SerialPort};
use crate::{Error, ErrorKind, Result};

/// The driver's side.
#[derive(Debug)]
pub struct MemoryPort {
    name: String,
    host: MemoryApplication,
    counters: Counters,
}

/// The application's side; clones are the same.
#[derive(Debug, Clone)]
pub struct MemoryApplication {
    state: Arc<Mutex<State>>,
    /// Readable while the driver should look; `None` where the system has no descriptor left.
    signal: Arc<Option<OwnedFd>>,
}

#[derive(Debug)]
struct State {
    open: bool,
    requests: VecDeque<Request>,
    written: VecDeque<u8>,
    ring: Ring,
    reading: bool,
    read: Vec<u8>,
    applied: Vec<Applied>,
    modem: Vec<ModemInputs>,
    errors: LineErrors,
    drained: Vec<bool>,
    deleted: bool,
}

impl MemoryPort {
    /// A port of this name that nobody has open, and its application.
    pub fn new(name: impl Into<String>) -> (Self, MemoryApplication) {
        let state = State {
            open: false,
            requests: VecDeque::new(),
            written: VecDeque::new(),
            ring: Ring::new(CAPACITY),
            reading: true,
            read: Vec::new(),
            applied: Vec::new(),
            modem: Vec::new(),
            errors: LineErrors::default(),
            drained: Vec::new(),
            deleted: false,
        };
        let signal = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok();
        let host = MemoryApplication { state: Arc::new(Mutex::new(state)), signal: Arc::new(signal) };
        (Self { name: name.into(), host: host.clone(), counters: Counters::default() }, host)
    }

    fn alive(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.host.state();
        if state.deleted {
            let operation = format!("serve the port {}", self.name);
            return Err(Error::new(ErrorKind::NotFound, operation, "somebody has deleted it"));
        }
        Ok(state)
    }
}

impl MemoryApplication {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn raise(&self) {
        if let Some(fd) = &*self.signal {
            // It fails only at 2^64 - 1 raises, and is readable then.
            let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
        }
    }

    /// Asks for something.
    pub fn ask(&self, request: Request) {
        let mut state = self.state();
        match request {
            Request::Opened { .. } => state.open = true,
            Request::Closed { .. } => state.open = false,
            Request::Purge { received, written } => {
                if received {
                    state.ring.clear();
                }
                if written {
                    state.written.clear();
                }
            }
            _ => {}
        }
        state.requests.push_back(request);
        drop(state);
        self.raise();
    }

    /// Opens the port at this rate, as a terminal would.
    pub fn open(&self, baud: u32) {
        self.ask(Request::Opened { settings: LineSettings::new(baud), raise: true });
    }

    /// Closes it.
    pub fn close(&self) {
        self.ask(Request::Closed { drop: true });
    }

    /// Writes bytes.
    pub fn write(&self, bytes: &[u8]) {
        self.state().written.extend(bytes);
        self.raise();
    }

    /// Bytes written that the driver has not taken yet.
    pub fn unsent(&self) -> usize {
        self.state().written.len()
    }

    /// Lets the reader read, or stand still.
    pub fn set_reading(&self, reading: bool) {
        self.state().reading = reading;
        self.raise();
    }

    /// What was read, which is forgotten.
    pub fn take_read(&self) -> Vec<u8> {
        std::mem::take(&mut self.state().read)
    }

    /// Bytes that were read and not taken.
    pub fn read_len(&self) -> usize {
        self.state().read.len()
    }

    /// Answers to settings so far.
    pub fn applied(&self) -> Vec<Applied> {
        self.state().applied.clone()
    }

    /// The modem inputs as they were told, one after the other.
    pub fn modem(&self) -> Vec<ModemInputs> {
        self.state().modem.clone()
    }

    /// Line errors that were told.
    pub fn errors(&self) -> LineErrors {
        self.state().errors
    }

    /// The drains that have ended, and whether all was sent.
    pub fn drained(&self) -> Vec<bool> {
        self.state().drained.clone()
    }

    /// Deletes the port under the driver.
    pub fn delete(&self) {
        self.state().deleted = true;
        self.raise();
    }
}

impl State {
    fn move_on(&mut self) {
        while self.reading && !self.ring.is_empty() {
            let front = self.ring.front();
            let count = front.len();
            self.read.extend_from_slice(front);
            self.ring.consume(count);
        }
    }
}

impl SerialPort for MemoryPort {
    fn name(&self) -> &str {
        &self.name
    }

    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        self.host.signal.as_ref().as_ref().map(AsFd::as_fd)
    }

    fn poll(&mut self) -> Result<Option<Request>> {
        let mut state = self.alive()?;
        state.move_on();
        let request = state.requests.pop_front();
        if request.is_none()
            && let Some(fd) = &*self.host.signal
        {
            // It fails only when it is lowered already.
            let _ = rustix::io::read(fd, &mut [0; 8]);
        }
        drop(state);
        if matches!(request, Some(Request::Opened { .. })) {
            self.counters.opens += 1;
        }
        Ok(request)
    }

    fn transmit(&mut self, space: &mut [u8]) -> Result<usize> {
        let mut state = self.alive()?;
        // What is written by the next one who opens it comes after the open.
        if state.requests.iter().any(|request| matches!(request, Request::Opened { .. })) {
            return Ok(0);
        }
        let count = space.len().min(state.written.len());
        for (to, from) in space.iter_mut().zip(state.written.drain(..count)) {
            *to = from;
        }
        drop(state);
        self.counters.transmitted_bytes += count as u64;
        Ok(count)
    }

    fn discard(&mut self) {
        self.host.state().written.clear();
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut counters = self.counters;
        let mut state = self.alive()?;
        let taken = if state.open {
            state.move_on();
            let taken = state.ring.push(bytes);
            state.move_on();
            counters.received_bytes += taken as u64;
            counters.received_overruns += (bytes.len() - taken) as u64;
            taken
        } else {
            counters.received_unread += bytes.len() as u64;
            bytes.len()
        };
        drop(state);
        self.counters = counters;
        Ok(taken)
    }

    fn room(&self) -> usize {
        self.host.state().ring.room()
    }

    fn applied(&mut self, applied: &Applied) {
        self.host.state().applied.push(*applied);
    }

    fn modem_changed(&mut self, inputs: ModemInputs) {
        self.host.state().modem.push(inputs);
    }

    fn line_errors(&mut self, errors: LineErrors) {
        self.host.state().errors.add(errors);
    }

    fn drained(&mut self, complete: bool) {
        self.host.state().drained.push(complete);
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }
}
