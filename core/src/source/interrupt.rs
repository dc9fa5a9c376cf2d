//! A source that runs its handler when a file descriptor becomes readable. It must not know what the descriptor is.

use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use tokio::io::Interest;
use tokio::sync::Notify;

use super::{SourceTask, sys};
use crate::error::{Error, Result};

/// What a handler has left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// It read until the descriptor would block: run it again at the next readiness.
    Yes,
    /// It stopped earlier, and there may be more: run it again after the other work of the queue, unless it disabled the source.
    No,
}

/// DriverKit's `IOInterruptDispatchSource`, for a descriptor. Enabled when made.
#[derive(Debug)]
pub struct InterruptSource {
    gate: Rc<Gate>,
    task: SourceTask,
}

#[derive(Debug)]
pub(crate) struct Gate {
    enabled: Cell<bool>,
    opened: Notify,
}

impl Gate {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self { enabled: Cell::new(true), opened: Notify::new() })
    }

    pub(crate) fn set(&self, enabled: bool) {
        if enabled && !self.enabled.replace(enabled) {
            self.opened.notify_waiters();
        }
        self.enabled.set(enabled);
    }

    pub(crate) async fn pass(&self) {
        loop {
            let opened = self.opened.notified();
            if self.enabled.get() {
                return;
            }
            opened.await;
        }
    }
}

impl InterruptSource {
    /// Runs `handler` on the calling thread's queue whenever `fd` is readable (also when it is closed at its other end, or fails:
    /// reading tells). The descriptor is duplicated; it must be non-blocking.
    ///
    /// A descriptor that is closed at its other end stays readable for ever: once the handler has drained it after that, it is not run again.
    ///
    /// # Errors
    /// System: no descriptor is left, or this one cannot be polled.
    pub fn new(fd: BorrowedFd<'_>, handler: impl FnMut() -> Drained + 'static) -> Result<Self> {
        Self::behind(None, fd, handler)
    }

    /// The same, with a gate that has to be opened before the handler runs for the first time.
    pub(crate) fn behind(
        first: Option<Rc<Gate>>,
        fd: BorrowedFd<'_>,
        mut handler: impl FnMut() -> Drained + 'static,
    ) -> Result<Self> {
        let watched = fd
            .try_clone_to_owned()
            .and_then(|fd| sys::watch(fd, Interest::READABLE))
            .map_err(|error| Error::os("watch a descriptor", error))?;
        let gate = Gate::new();
        let task = crate::queue::spawn({
            let gate = gate.clone();
            async move {
                if let Some(first) = first {
                    first.pass().await;
                }
                loop {
                    gate.pass().await;
                    // It fails only when the event loop goes, and this task with it.
                    let Ok(mut ready) = watched.readable().await else { return };
                    // Disabled while it waited: the readiness is kept.
                    if !gate.enabled.get() {
                        continue;
                    }
                    let closed = ready.ready().is_read_closed();
                    match handler() {
                        // Nothing clears this readiness.
                        Drained::Yes if closed => return,
                        Drained::Yes => ready.clear_ready(),
                        Drained::No => tokio::task::yield_now().await,
                    }
                }
            }
        });
        Ok(Self { gate, task: SourceTask::new(task) })
    }

    /// Lets the handler run or not. What became ready meanwhile is not lost.
    pub fn set_enabled(&self, enabled: bool) {
        self.gate.set(enabled);
    }

    /// Ends the source. When this resolves, the handler is not running and never runs again.
    pub async fn cancel(&self) {
        self.task.cancel().await;
    }

    pub(crate) fn task(&self) -> &SourceTask {
        &self.task
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;
    use crate::queue::{Clock, DispatchQueue};

    /// A source that counts the bytes it reads, one per run of its handler.
    fn counting(read: Rc<std::os::fd::OwnedFd>, seen: Rc<Cell<usize>>) -> InterruptSource {
        let handler_end = read.clone();
        InterruptSource::new(read.as_fd(), move || {
            let mut byte = [0];
            match rustix::io::read(&*handler_end, &mut byte) {
                Ok(1) => {
                    seen.set(seen.get() + 1);
                    Drained::No
                }
                _ => Drained::Yes,
            }
        })
        .unwrap()
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn each_readiness_runs_the_handler_until_it_is_drained() {
        DispatchQueue::run("interrupt", Clock::Real, |_| async {
            let (read, write) = pipe_with(PipeFlags::NONBLOCK).unwrap();
            let seen = Rc::new(Cell::new(0));
            let _source = counting(Rc::new(read), seen.clone());
            rustix::io::write(&write, b"abc").unwrap();
            until(|| seen.get() == 3).await;
            rustix::io::write(&write, b"de").unwrap();
            until(|| seen.get() == 5).await;
        })
        .unwrap();
    }

    #[test]
    fn what_is_closed_is_drained_once_more_and_then_left_alone() {
        DispatchQueue::run("interrupt", Clock::Real, |_| async {
            let (read, write) = pipe_with(PipeFlags::NONBLOCK).unwrap();
            let (read, runs) = (Rc::new(read), Rc::new(Cell::new(0)));
            let (handler_end, counted) = (read.clone(), runs.clone());
            let source = InterruptSource::new(read.as_fd(), move || {
                counted.set(counted.get() + 1);
                let mut bytes = [0; 8];
                while rustix::io::read(&*handler_end, &mut bytes).is_ok_and(|count| count > 0) {}
                Drained::Yes
            })
            .unwrap();
            rustix::io::write(&write, b"abc").unwrap();
            drop(write);
            until(|| source.task().is_over()).await;
            assert!((1..=2).contains(&runs.get()), "{} runs", runs.get());
        })
        .unwrap();
    }

    #[test]
    fn a_disabled_source_keeps_its_readiness() {
        DispatchQueue::run("interrupt", Clock::Real, |_| async {
            let (read, write) = pipe_with(PipeFlags::NONBLOCK).unwrap();
            let seen = Rc::new(Cell::new(0));
            let source = counting(Rc::new(read), seen.clone());
            source.set_enabled(false);
            rustix::io::write(&write, b"abc").unwrap();
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            assert_eq!(seen.get(), 0);
            source.set_enabled(true);
            until(|| seen.get() == 3).await;
        })
        .unwrap();
    }

    #[test]
    fn after_an_awaited_cancel_the_handler_never_runs() {
        DispatchQueue::run("interrupt", Clock::Real, |_| async {
            let (read, write) = pipe_with(PipeFlags::NONBLOCK).unwrap();
            let seen = Rc::new(Cell::new(0));
            let source = counting(Rc::new(read), seen.clone());
            rustix::io::write(&write, b"abc").unwrap();
            source.cancel().await;
            let at = seen.get();
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            assert_eq!(seen.get(), at);
            // The handler and its end of the pipe are gone.
            assert_eq!(rustix::io::write(&write, b"d"), Err(rustix::io::Errno::PIPE));
        })
        .unwrap();
    }
}
