//! A driver's life: it is started with what it drives, its handlers run on its queue, and it is stopped. The stop resolves when
//! everything that the driver began has ended. It must not know any driver, device or family.
//!
//! DriverKit's `IOService`: `init`, `Start(provider)`, `Stop`, `free`. A [`Driver`] writes no start-up code and no shutdown code of its
//! own: what it makes through its [`Context`] (actions, sources, tasks) ends with it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::rc::{Rc, Weak};

use tokio::sync::Notify;

use crate::action::{Action, Completion};
use crate::error::{Error, Result};
use crate::source::{Drained, Gate, InterruptSource, SourceTask, TimerSource};

/// A driver: its state, and how it starts.
pub trait Driver: Sized + 'static {
    /// What it drives and serves: an interface, a device, and the family's end that it vends.
    type Provider;

    /// Opens and sets up everything; DriverKit's `init` and `Start`. Handlers made through `context` run only after it is done.
    ///
    /// # Errors
    /// Whatever keeps the driver from serving; everything begun is ended, and the provider given back.
    fn start(context: &Context<Self>, provider: Self::Provider) -> impl Future<Output = Result<Self>>;

    /// The stop begins: for what has to be told to others at once. Actions and sources still run, and are cancelled right after.
    fn stopping(&mut self) {}
}

/// A driver that runs on the calling thread's queue. Dropped, it stops without anybody waiting for it.
pub struct Service<D: Driver> {
    context: Context<D>,
}

/// A driver's way to its own handlers and to its end. Clones are the same.
pub struct Context<D> {
    shared: Rc<Shared<D>>,
}

struct Shared<D> {
    driver: RefCell<Option<D>>,
    /// Handlers that wait for the start to be done, or for the handler that is running.
    waiting: RefCell<VecDeque<Waiting<D>>>,
    start: Rc<Gate>,
    started: Cell<bool>,
    /// The driver is gone, or will never be: handlers that come now are dropped, with the buffers that they carry.
    over: Cell<bool>,
    members: RefCell<Vec<Rc<dyn Member>>>,
    ending: RefCell<Option<Ending>>,
    changed: Notify,
}

type Waiting<D> = Box<dyn FnOnce(&mut D)>;

/// Why a service ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It was stopped.
    Stopped,
    /// The driver cannot go on: its device is gone, or beyond repair.
    Failed(Error),
}

/// Something that ends with the driver.
trait Member {
    /// It has ended by itself and need not be kept.
    fn is_over(&self) -> bool;
    /// Begins to end it.
    fn abort(&self);
    /// Ends it.
    fn end(&self) -> Pin<Box<dyn Future<Output = ()> + '_>>;
}

impl<B: 'static> Member for Action<B> {
    fn is_over(&self) -> bool {
        self.is_cancelled() && self.outstanding() == 0
    }

    fn abort(&self) {
        self.begin_cancel();
    }

    fn end(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(self.cancel())
    }
}

/// What ends by ending its task.
trait Tasked {
    fn task(&self) -> &SourceTask;
}

impl Tasked for SourceTask {
    fn task(&self) -> &SourceTask {
        self
    }
}

impl Tasked for InterruptSource {
    fn task(&self) -> &SourceTask {
        self.task()
    }
}

impl Tasked for TimerSource {
    fn task(&self) -> &SourceTask {
        self.task()
    }
}

impl<T: Tasked> Member for T {
    fn is_over(&self) -> bool {
        self.task().is_over()
    }

    fn abort(&self) {
        self.task().abort();
    }

    fn end(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(self.task().cancel())
    }
}

impl<D> Shared<D> {
    /// Runs `handler` with the driver: now, or right after the start or the handler that is under way.
    fn run(&self, handler: impl FnOnce(&mut D) + 'static) {
        if self.over.get() {
            return;
        }
        if !self.started.get() {
            self.waiting.borrow_mut().push_back(Box::new(handler));
            return;
        }
        let Ok(mut driver) = self.driver.try_borrow_mut() else {
            self.waiting.borrow_mut().push_back(Box::new(handler));
            return;
        };
        let Some(driver) = driver.as_mut() else { return };
        handler(driver);
        self.run_waiting(driver);
    }

    fn run_waiting(&self, driver: &mut D) {
        loop {
            let Some(next) = self.waiting.borrow_mut().pop_front() else { return };
            next(driver);
        }
    }

    fn begin(&self, driver: D) {
        *self.driver.borrow_mut() = Some(driver);
        self.started.set(true);
        self.run(|_| ());
        self.start.set(true);
    }

    fn end_with(&self, ending: Ending) {
        self.ending.borrow_mut().get_or_insert(ending);
        self.changed.notify_waiters();
    }

    fn add(&self, member: Rc<dyn Member>) {
        // Nobody would end it: the driver is gone.
        if self.over.get() {
            member.abort();
        }
        let mut members = self.members.borrow_mut();
        // Tasks come and go; those that are over make room.
        if members.len() == members.capacity() {
            members.retain(|member| !member.is_over());
        }
        members.push(member);
    }

    /// Ends all members; the driver still sees how its submissions end.
    async fn end_members(&self) {
        loop {
            let members = std::mem::take(&mut *self.members.borrow_mut());
            if members.is_empty() {
                return;
            }
            // All at once, then one by one: nothing new begins meanwhile.
            members.iter().for_each(|member| member.abort());
            for member in members {
                member.end().await;
            }
        }
    }

    fn free(&self) {
        self.over.set(true);
        self.waiting.borrow_mut().clear();
        // In use, when one of its own handlers lets go of the service: then it is dropped with the last of its contexts.
        let driver = self.driver.try_borrow_mut().ok().and_then(|mut driver| driver.take());
        drop(driver);
    }
}

impl<D: 'static> Context<D> {
    fn new() -> Self {
        let start = Gate::new();
        start.set(false);
        Self {
            shared: Rc::new(Shared {
                driver: RefCell::new(None),
                waiting: RefCell::default(),
                start,
                started: Cell::new(false),
                over: Cell::new(false),
                members: RefCell::default(),
                ending: RefCell::default(),
                changed: Notify::new(),
            }),
        }
    }

    /// An action whose private state is the driver: `handler` is one of its methods.
    pub fn action<B: 'static>(
        &self,
        mut handler: impl FnMut(&mut D, Completion<B>) + Clone + 'static,
    ) -> Action<B> {
        let shared = Rc::downgrade(&self.shared);
        let action = Action::new(move |completion| {
            let Some(shared) = Weak::upgrade(&shared) else { return };
            // The usual case, without boxing anything: the driver is there and idle.
            if shared.started.get()
                && let Ok(mut driver) = shared.driver.try_borrow_mut()
                && let Some(driver) = driver.as_mut()
            {
                handler(driver, completion);
                shared.run_waiting(driver);
                return;
            }
            let mut handler = handler.clone();
            shared.run(move |driver| handler(driver, completion));
        });
        self.shared.add(Rc::new(action.clone()));
        action
    }

    /// A source that calls a method of the driver when `fd` is readable.
    ///
    /// # Errors
    /// As [`InterruptSource::new`].
    pub fn interrupt_source(
        &self,
        fd: BorrowedFd<'_>,
        mut handler: impl FnMut(&mut D) -> Drained + 'static,
    ) -> Result<Rc<InterruptSource>> {
        let shared = Rc::downgrade(&self.shared);
        let source = InterruptSource::behind(Some(self.shared.start.clone()), fd, move || {
            let Some(shared) = shared.upgrade() else { return Drained::Yes };
            let Ok(mut driver) = shared.driver.try_borrow_mut() else { return Drained::No };
            let Some(driver) = driver.as_mut() else { return Drained::Yes };
            let drained = handler(driver);
            shared.run_waiting(driver);
            drained
        })?;
        let source = Rc::new(source);
        self.shared.add(source.clone());
        Ok(source)
    }

    /// A timer that calls a method of the driver.
    pub fn timer(&self, handler: impl FnMut(&mut D) + Clone + 'static) -> Rc<TimerSource> {
        let shared = Rc::downgrade(&self.shared);
        let timer = Rc::new(TimerSource::new(move || {
            let mut handler = handler.clone();
            if let Some(shared) = shared.upgrade() {
                shared.run(move |driver| handler(driver));
            }
        }));
        self.shared.add(timer.clone());
        timer
    }

    /// Does `work` beside the handlers (a device request, which waits), then hands its result to a method of the driver.
    pub fn spawn<T: 'static>(
        &self,
        work: impl Future<Output = T> + 'static,
        then: impl FnOnce(&mut D, T) + 'static,
    ) {
        let shared = Rc::downgrade(&self.shared);
        let task = crate::queue::spawn(async move {
            let result = work.await;
            if let Some(shared) = shared.upgrade() {
                shared.run(move |driver| then(driver, result));
            }
        });
        self.shared.add(Rc::new(SourceTask::new(task)));
    }

    /// The driver cannot go on. Whoever runs the service stops it; the first reason counts.
    pub fn fail(&self, error: Error) {
        self.shared.end_with(Ending::Failed(error));
    }
}

impl<D> Clone for Context<D> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<D: Driver> Service<D> {
    /// Starts a driver on the calling thread's queue.
    ///
    /// # Errors
    /// The driver's: everything that it began has ended.
    pub async fn start(provider: D::Provider) -> Result<Self> {
        let service = Self { context: Context::new() };
        match D::start(&service.context, provider).await {
            Ok(driver) => {
                service.context.shared.begin(driver);
                Ok(service)
            }
            Err(error) => {
                service.context.shared.over.set(true);
                service.context.shared.end_members().await;
                Err(error)
            }
        }
    }

    /// Resolves when the driver cannot go on, or was stopped.
    pub async fn ended(&self) -> Ending {
        loop {
            let changed = self.context.shared.changed.notified();
            if let Some(ending) = &*self.context.shared.ending.borrow() {
                return ending.clone();
            }
            changed.await;
        }
    }

    /// Looks at the driver, or has it do something. `None`: it is stopped.
    pub fn with<R>(&self, look: impl FnOnce(&mut D) -> R) -> Option<R> {
        let mut driver = self.context.shared.driver.borrow_mut();
        let driver = driver.as_mut()?;
        let result = look(driver);
        // Handlers that `look` set off.
        self.context.shared.run_waiting(driver);
        Some(result)
    }

    /// Stops the driver. Resolves when its actions, sources and tasks have ended and it has been dropped.
    pub async fn stop(self) -> Ending {
        let shared = &self.context.shared;
        shared.end_with(Ending::Stopped);
        shared.run(D::stopping);
        shared.end_members().await;
        shared.free();
        shared.ending.borrow().clone().unwrap_or(Ending::Stopped)
    }
}

impl<D: Driver> Drop for Service<D> {
    fn drop(&mut self) {
        let shared = &self.context.shared;
        shared.free();
        shared.members.borrow_mut().drain(..).for_each(|member| member.abort());
    }
}

impl<D: Driver> fmt::Debug for Service<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("ending", &self.context.shared.ending.borrow())
            .finish_non_exhaustive()
    }
}

impl<D> fmt::Debug for Context<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context")
    }
}
