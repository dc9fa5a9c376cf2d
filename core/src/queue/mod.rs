//! Dispatch queues: serial, named, one thread and one event loop each. Everything of a driver runs on its queue, so
//! a driver needs no lock. It must not know what runs on it.
//!
//! DriverKit's `IODispatchQueue`, on a tokio current-thread runtime: descriptors, timers and jobs of one queue are
//! served by one epoll on one thread. Handles ([`DispatchQueue`]) may be sent anywhere; what lives *on* a queue
//! (actions, sources, devices) stays on its thread, which the type system enforces (`!Send`).

mod sync;

use std::cell::RefCell;
use std::future::Future;
use std::rc::Weak as LocalWeak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use tokio::sync::mpsc;
use tokio::task::LocalSet;

pub use sync::DispatchError;

type Job = Box<dyn FnOnce() + Send>;

/// A handle to a serial queue. Clones name the same queue; a queue made by [`DispatchQueue::new`] ends, after what
/// was dispatched to it has run, when its last handle is dropped.
#[derive(Clone)]
pub struct DispatchQueue {
    shared: Arc<Shared>,
}

struct Shared {
    id: u64,
    name: String,
    inbox: mpsc::UnboundedSender<Job>,
}

/// Which clock a queue's timers follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    /// The machine's monotonic clock.
    #[default]
    Real,
    /// Time stands still while anything on the queue can run, and jumps to the next timer when nothing can.
    /// For deterministic tests: a driver's minutes of back-off pass at once, in the same order each time.
    #[cfg(feature = "virtual-time")]
    Virtual,
}

/// Something that lives on a queue and must end its submissions when the queue ends under it.
pub(crate) trait OnQueueEnd {
    fn queue_ended(&self);
}

/// What the queue that runs on this thread keeps for those who live on it.
struct Local {
    queue: Weak<Shared>,
    on_end: Vec<LocalWeak<dyn OnQueueEnd>>,
}

thread_local! {
    static LOCAL: RefCell<Option<Local>> = const { RefCell::new(None) };
}

impl DispatchQueue {
    /// Starts a queue on a thread of its own. `name` is the thread's name too and appears in every refusal.
    ///
    /// # Errors
    /// The system gave no thread or no epoll descriptor.
    pub fn new(name: impl Into<String>) -> io::Result<Self> {
        let name = name.into();
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        thread::Builder::new().name(name.clone()).spawn(move || {
            let prepared = Prepared::new(name, Clock::Real);
            match prepared {
                Ok(mut prepared) => {
                    let mut inbox = prepared.take_inbox();
                    let queue = prepared.take_queue();
                    if send.send(Ok(queue)).is_err() {
                        return;
                    }
                    prepared.run(async move {
                        while let Some(job) = inbox.recv().await {
                            job();
                        }
                    });
                }
                // A receiver that is gone is nobody to tell.
                Err(error) => drop(send.send(Err(error))),
            }
        })?;
        receive.recv().unwrap_or_else(|_| Err(io::Error::other("the queue's thread ended before it started")))
    }

    /// Runs a queue on the calling thread until `main` is done; a driver process's "Default" queue.
    /// When `main` ends, everything that still lives on the queue is aborted and its handlers are told.
    ///
    /// # Errors
    /// The calling thread runs a queue already, or the system gave no epoll descriptor.
    pub fn run<F>(
        name: impl Into<String>,
        clock: Clock,
        main: impl FnOnce(Self) -> F,
    ) -> io::Result<F::Output>
    where
        F: Future,
    {
        let mut prepared = Prepared::new(name.into(), clock)?;
        let mut inbox = prepared.take_inbox();
        let queue = prepared.take_queue();
        let main = main(queue.clone());
        Ok(prepared.run(async move {
            // This queue lasts as long as `main`, whoever holds handles.
            let _queue = queue;
            let jobs = async {
                while let Some(job) = inbox.recv().await {
                    job();
                }
                std::future::pending().await
            };
            tokio::select! {
                biased;
                output = main => output,
                output = jobs => output,
            }
        }))
    }

    /// The queue that the calling thread runs, if it runs one.
    pub fn current() -> Option<Self> {
        LOCAL.with_borrow(|local| {
            let shared = local.as_ref()?.queue.upgrade()?;
            Some(Self { shared })
        })
    }

    /// The name given at creation.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Runs `job` on the queue after everything dispatched to it before. Does not wait.
    ///
    /// # Errors
    /// [`DispatchError::Ended`]: the queue is gone; the job is dropped without having run.
    pub fn dispatch_async(&self, job: impl FnOnce() + Send + 'static) -> Result<(), DispatchError> {
        self.shared.inbox.send(Box::new(job)).map_err(|_| self.ended())
    }

    /// Runs `job` on the queue `delay` from now, in the queue's own clock, unless the queue ends first.
    ///
    /// # Errors
    /// [`DispatchError::Ended`]: the queue is gone.
    pub fn dispatch_after(
        &self,
        delay: Duration,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), DispatchError> {
        self.dispatch_async(move || {
            tokio::task::spawn_local(async move {
                tokio::time::sleep(delay).await;
                job();
            });
        })
    }

    /// Runs `job` on the queue and returns what it returned. The calling thread waits.
    ///
    /// # Errors
    /// [`DispatchError::Deadlock`]: the caller runs on this queue, or on a queue that this one is waiting for;
    /// nothing ran. [`DispatchError::Ended`]: the queue ended before the job did.
    pub fn dispatch_sync<R: Send + 'static>(
        &self,
        job: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, DispatchError> {
        let _waiting = sync::wait_for(Self::current().as_ref(), self)?;
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        self.dispatch_async(move || drop(send.send(job())))?;
        receive.recv().map_err(|_| self.ended())
    }

    fn ended(&self) -> DispatchError {
        DispatchError::Ended { queue: self.name().to_owned() }
    }
}

impl fmt::Debug for DispatchQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DispatchQueue({})", self.name())
    }
}

/// The time now on the calling thread's queue; the machine's monotonic time off any queue.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Asks to be told when the calling thread's queue ends. Does nothing off any queue.
pub(crate) fn on_end(who: LocalWeak<dyn OnQueueEnd>) {
    LOCAL.with_borrow_mut(|local| {
        if let Some(local) = local {
            // Those who are gone make room, so that devices coming and going do not grow the list.
            if local.on_end.len() == local.on_end.capacity() {
                local.on_end.retain(|weak| weak.strong_count() > 0);
            }
            local.on_end.push(who);
        }
    });
}

/// A queue that has everything but its first turn.
struct Prepared {
    runtime: tokio::runtime::Runtime,
    tasks: LocalSet,
    inbox: Option<mpsc::UnboundedReceiver<Job>>,
    queue: Option<DispatchQueue>,
    _current: CurrentGuard,
}

impl Prepared {
    fn new(name: String, clock: Clock) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        if let Some(running) = DispatchQueue::current() {
            return Err(io::Error::other(format!("this thread already runs queue '{}'", running.name())));
        }
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all();
        match clock {
            Clock::Real => {}
            #[cfg(feature = "virtual-time")]
            Clock::Virtual => {
                builder.start_paused(true);
            }
        }
        let runtime = builder.build()?;
        let (send, receive) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { id: NEXT.fetch_add(1, Ordering::Relaxed), name, inbox: send });
        let current = CurrentGuard::enter(&shared);
        Ok(Self {
            runtime,
            tasks: LocalSet::new(),
            inbox: Some(receive),
            queue: Some(DispatchQueue { shared }),
            _current: current,
        })
    }

    fn take_inbox(&mut self) -> mpsc::UnboundedReceiver<Job> {
        self.inbox.take().expect("taken once, by whoever runs the queue")
    }

    fn take_queue(&mut self) -> DispatchQueue {
        self.queue.take().expect("taken once, by whoever runs the queue")
    }

    fn run<F: Future>(self, main: F) -> F::Output {
        let output = self.tasks.block_on(&self.runtime, main);
        // Inside the runtime's context, since handlers that are told may look at the clock.
        let _context = self.runtime.enter();
        let on_end =
            LOCAL.with_borrow_mut(|local| local.as_mut().map(|local| std::mem::take(&mut local.on_end)));
        for who in on_end.into_iter().flatten() {
            if let Some(who) = who.upgrade() {
                who.queue_ended();
            }
        }
        drop(self.tasks);
        output
    }
}

/// While it lives, the thread runs this queue.
struct CurrentGuard;

impl CurrentGuard {
    fn enter(shared: &Arc<Shared>) -> Self {
        LOCAL.set(Some(Local { queue: Arc::downgrade(shared), on_end: Vec::new() }));
        Self
    }
}

impl Drop for CurrentGuard {
    fn drop(&mut self) {
        LOCAL.set(None);
    }
}

#[cfg(test)]
mod tests;
