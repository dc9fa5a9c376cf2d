//! Where events come from: each source runs its handler on the queue it belongs to. A source knows no driver and
//! no transport.
//!
//! Made on a queue, a source stays there. Cancelling is awaited: afterwards the handler never runs again. Sources made through a
//! driver's [`Context`](crate::service::Context) end with the driver.

pub mod data_queue;
mod interrupt;
pub(crate) mod sys;
mod timer;

use std::cell::RefCell;

use tokio::task::JoinHandle;

pub(crate) use interrupt::Gate;
pub use interrupt::{Drained, InterruptSource};
pub use sys::watch;
pub use timer::TimerSource;

/// The task that runs a source's handler, or another one that ends with its owner.
#[derive(Debug)]
pub(crate) struct SourceTask(RefCell<Option<JoinHandle<()>>>);

impl SourceTask {
    pub(crate) fn new(task: JoinHandle<()>) -> Self {
        Self(RefCell::new(Some(task)))
    }

    /// Has it run to its end, or been cancelled?
    pub(crate) fn is_over(&self) -> bool {
        self.0.borrow().as_ref().is_none_or(JoinHandle::is_finished)
    }

    pub(crate) fn abort(&self) {
        if let Some(task) = &*self.0.borrow() {
            task.abort();
        }
    }

    /// Resolves when the task is not running and never runs again.
    pub(crate) async fn cancel(&self) {
        let task = self.0.borrow_mut().take();
        if let Some(task) = task {
            task.abort();
            // An aborted task ends with an error, which says just that.
            let _ = task.await;
        }
    }
}

impl Drop for SourceTask {
    fn drop(&mut self) {
        self.abort();
    }
}
