//! Actions: what a driver hands along with a submission to be called back, once, on its own queue. It must not know
//! what is submitted (a transfer, a wait) nor where.
//!
//! DriverKit's `OSAction`. The private state is the closure's captures, or the driver itself when the action is made by
//! [`Context::action`](crate::service::Context::action). The rules, each with its test:
//!
//! - every submission ends in exactly one of [`Outcome::Completed`], [`Outcome::Cancelled`], [`Outcome::Aborted`],
//!   and gives back the buffer that it took;
//! - a handler runs on the queue that the action was made on, and never inside itself;
//! - after [`Action::cancel`] was awaited, the handler never runs again and nothing can be submitted with it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::{Rc, Weak};

use tokio::sync::Notify;

use crate::buffer::{BufferDescriptor, RawBuffer};
use crate::usb::{PipeDirection, TransferError};

/// How a submission ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The device answered: so many bytes, or an error of the transfer (a STALL, a fault on the bus).
    Completed(Result<usize, TransferError>),
    /// The driver itself ended it: by abort, by cancelling the action, by stopping.
    Cancelled,
    /// What it was submitted to went away.
    Aborted(Aborted),
}

/// What went away under a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aborted {
    /// The device: unplugged, or its connection lost.
    Unplugged,
    /// The queue that the submission and its handler live on.
    QueueEnded,
    /// Whoever had to complete it dropped it.
    Dropped,
}

/// What a handler is called with.
#[derive(Debug)]
pub struct Completion<B> {
    /// What was submitted, back again; for a pipe the buffer, with the received bytes filled in.
    pub buffer: B,
    /// How it ended.
    pub outcome: Outcome,
    /// Another completion of this pipe follows at once, from the same batch. Work that is worth sharing among
    /// frames (merging segments, waking someone) can wait for the last one.
    pub more: bool,
}

type Handler<B> = Box<dyn FnMut(Completion<B>)>;

/// A typed completion handler, bound to the queue it was made on. Clones are the same action.
pub struct Action<B> {
    inner: Rc<Inner<B>>,
}

struct Inner<B> {
    state: Cell<State>,
    handler: RefCell<Handler<B>>,
    /// Completions that arrived while the handler ran (an end inside the handler of the same action).
    waiting: RefCell<VecDeque<Completion<B>>>,
    /// Those who can end submissions early: asked by [`Action::cancel`].
    cancellers: RefCell<Vec<Weak<dyn CancelSubmissions>>>,
    ended: Notify,
}

/// Somebody who holds submissions (a device) and can end those of one action early.
pub(crate) trait CancelSubmissions {
    /// Ends all submissions of the action with this identity soon, by the ordinary way of completion.
    fn cancel_submissions(&self, action: usize);
}

/// An action as a device sees it: the type of its buffer is gone.
pub(crate) trait Finish {
    fn finish_raw(&self, raw: RawBuffer, outcome: Outcome, more: bool);
    fn identity(&self) -> usize;
}

impl<D: PipeDirection> Finish for Inner<BufferDescriptor<D>> {
    fn finish_raw(&self, raw: RawBuffer, outcome: Outcome, more: bool) {
        self.finish(Completion { buffer: BufferDescriptor::from_raw(raw), outcome, more });
    }

    fn identity(&self) -> usize {
        std::ptr::from_ref(self).cast::<()>() as usize
    }
}

impl<D: PipeDirection> Action<BufferDescriptor<D>> {
    pub(crate) fn as_finish(&self) -> Rc<dyn Finish> {
        self.inner.clone()
    }
}

/// The life of an action, apart from its handler: small enough to be tested in every interleaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    cancelled: bool,
    /// Submissions that have not been handed to the handler yet.
    outstanding: u32,
}

impl State {
    const NEW: Self = Self { cancelled: false, outstanding: 0 };

    /// One more submission, unless the action is cancelled.
    fn submit(self) -> Option<Self> {
        (!self.cancelled).then(|| Self { outstanding: self.outstanding + 1, ..self })
    }

    /// One submission was handed to the handler. `None` if there was none: a submission would end twice.
    fn end(self) -> Option<Self> {
        Some(Self { outstanding: self.outstanding.checked_sub(1)?, ..self })
    }

    fn cancel(self) -> Self {
        Self { cancelled: true, ..self }
    }

    /// Cancelled, and the handler has seen the end of everything.
    fn is_over(self) -> bool {
        self.cancelled && self.outstanding == 0
    }
}

impl<B> Clone for Action<B> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<B> fmt::Debug for Action<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Action").field("state", &self.inner.state.get()).finish_non_exhaustive()
    }
}

/// The action was cancelled; nothing can be submitted with it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the action was cancelled")]
pub struct ActionCancelled;

impl<B: 'static> Action<B> {
    /// An action that calls `handler` for each of its submissions, on the calling thread's queue.
    pub fn new(handler: impl FnMut(Completion<B>) + 'static) -> Self {
        Self {
            inner: Rc::new(Inner {
                state: Cell::new(State::NEW),
                handler: RefCell::new(Box::new(handler)),
                waiting: RefCell::default(),
                cancellers: RefCell::default(),
                ended: Notify::new(),
            }),
        }
    }

    /// Takes `buffer` into a new submission. Whoever holds the submission has to end it.
    ///
    /// # Errors
    /// The action is cancelled: the buffer comes straight back.
    pub fn submit(&self, buffer: B) -> Result<Submission<B>, (ActionCancelled, B)> {
        match self.begin() {
            Ok(()) => Ok(Submission { action: self.clone(), buffer: Some(buffer) }),
            Err(cancelled) => Err((cancelled, buffer)),
        }
    }

    /// Ends all submissions early and resolves when the handler has seen the end of each. Afterwards it never runs
    /// again. Dropping the future does not undo the cancel.
    pub async fn cancel(&self) {
        self.begin_cancel();
        self.cancelled().await;
    }

    /// Resolves when the action is cancelled and over.
    pub(crate) async fn cancelled(&self) {
        loop {
            let ended = self.inner.ended.notified();
            if self.inner.state.get().is_over() {
                return;
            }
            ended.await;
        }
    }

    /// Has it been cancelled?
    pub fn is_cancelled(&self) -> bool {
        self.inner.state.get().cancelled
    }

    /// Submissions whose end the handler has not seen yet.
    pub fn outstanding(&self) -> usize {
        self.inner.state.get().outstanding as usize
    }

    pub(crate) fn begin_cancel(&self) {
        let state = self.inner.state.get().cancel();
        self.inner.state.set(state);
        let cancellers = std::mem::take(&mut *self.inner.cancellers.borrow_mut());
        for canceller in cancellers.iter().filter_map(Weak::upgrade) {
            canceller.cancel_submissions(self.identity());
        }
        self.inner.notify_if_over();
    }

    /// Counts one more submission, which must be ended by [`Action::finish`].
    pub(crate) fn begin(&self) -> Result<(), ActionCancelled> {
        let state = self.inner.state.get().submit().ok_or(ActionCancelled)?;
        self.inner.state.set(state);
        Ok(())
    }

    /// Takes back a submission that never left.
    pub(crate) fn retract(&self) {
        self.inner.count_end();
        self.inner.notify_if_over();
    }

    /// Lets `canceller` know of this action's cancel; each is told once.
    pub(crate) fn add_canceller<C: CancelSubmissions + 'static>(&self, canceller: &Rc<C>) {
        let mut cancellers = self.inner.cancellers.borrow_mut();
        let address = Rc::as_ptr(canceller).cast::<()>();
        if !cancellers.iter().any(|known| std::ptr::eq(known.as_ptr().cast::<()>(), address)) {
            // Devices come and go under a long-lived action: those that are gone make room.
            cancellers.retain(|known| known.strong_count() > 0);
            cancellers.push(Rc::<C>::downgrade(canceller));
        }
    }

    /// Tells this action from every other one alive.
    pub(crate) fn identity(&self) -> usize {
        Rc::as_ptr(&self.inner).cast::<()>() as usize
    }
}

impl<B> Inner<B> {
    fn finish(&self, completion: Completion<B>) {
        let Ok(mut handler) = self.handler.try_borrow_mut() else {
            self.waiting.borrow_mut().push_back(completion);
            return;
        };
        let mut next = Some(completion);
        while let Some(completion) = next {
            self.count_end();
            handler(completion);
            next = self.waiting.borrow_mut().pop_front();
        }
        drop(handler);
        self.notify_if_over();
    }

    fn count_end(&self) {
        let state = self.state.get().end();
        debug_assert!(state.is_some(), "a submission ended twice");
        self.state.set(state.unwrap_or(State { outstanding: 0, ..self.state.get() }));
    }

    fn notify_if_over(&self) {
        // While the handler runs it has not seen the end yet, whatever the count says.
        if self.state.get().is_over() && self.handler.try_borrow_mut().is_ok() {
            self.ended.notify_waiters();
        }
    }
}

/// Something submitted and not yet ended. Dropping it ends it as [`Aborted::Dropped`].
#[must_use = "dropping a submission aborts it"]
pub struct Submission<B: 'static> {
    action: Action<B>,
    buffer: Option<B>,
}

impl<B> Submission<B> {
    /// Ends it.
    pub fn end(mut self, outcome: Outcome) {
        self.finish(outcome);
    }

    /// What was submitted.
    pub fn buffer_mut(&mut self) -> &mut B {
        self.buffer.as_mut().expect("taken only by the end, which consumes the submission")
    }

    fn finish(&mut self, outcome: Outcome) {
        if let Some(buffer) = self.buffer.take() {
            self.action.inner.finish(Completion { buffer, outcome, more: false });
        }
    }
}

impl<B> Drop for Submission<B> {
    fn drop(&mut self) {
        self.finish(Outcome::Aborted(Aborted::Dropped));
    }
}

impl<B> fmt::Debug for Submission<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Submission")
    }
}

#[cfg(test)]
mod tests;
