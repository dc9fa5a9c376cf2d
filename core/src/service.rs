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
use tokio::task::JoinHandle;

use crate::action::{Action, Completion};
use crate::error::{Error, Result};
use crate::source::{Drained, InterruptSource, TimerSource};

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
    started: Cell<bool>,
    members: RefCell<Vec<Weak<dyn Member>>>,
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
    fn end(&self) -> Pin<Box<dyn Future<Output = ()> + '_>>;
}

impl<B: 'static> Member for ActionMember<B> {
    fn end(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(self.0.cancel())
    }
}

struct ActionMember<B>(Action<B>);

impl Member for InterruptSource {
    fn end(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(self.cancel())
    }
}

impl Member for TimerSource {
    fn end(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(self.cancel())
    }
}

struct TaskMember(RefCell<Option<JoinHandle<()>>>);

impl Member for TaskMember {
    fn end(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async {
            let task = self.0.borrow_mut().take();
            if let Some(task) = task {
                task.abort();
                // An aborted task ends with an error, which says just that.
                let _ = task.await;
            }
        })
    }
}
