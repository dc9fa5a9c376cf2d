//! A source that runs its handler at a time. It must not know why.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::Notify;

use super::SourceTask;

/// DriverKit's `IOTimerDispatchSource`. Its times are of the queue's clock ([`queue::now`](crate::queue::now)), to the millisecond.
#[derive(Debug)]
pub struct TimerSource {
    shared: Rc<Shared>,
    task: SourceTask,
}

#[derive(Debug)]
struct Shared {
    wake_at: Cell<Option<Instant>>,
    changed: Notify,
}

impl TimerSource {
    /// A timer that is not set; `handler` runs on the calling thread's queue each time that it expires.
    pub fn new(mut handler: impl FnMut() + 'static) -> Self {
        let shared = Rc::new(Shared { wake_at: Cell::new(None), changed: Notify::new() });
        let task = crate::queue::spawn({
            let shared = shared.clone();
            async move {
                loop {
                    let Some(at) = shared.wake_at.get() else {
                        shared.changed.notified().await;
                        continue;
                    };
                    tokio::select! {
                        biased;
                        () = shared.changed.notified() => {}
                        () = tokio::time::sleep_until(at.into()) => {
                            // Set anew in the last moment, it is not due.
                            if shared.wake_at.get() == Some(at) {
                                shared.wake_at.set(None);
                                handler();
                            }
                        }
                    }
                }
            }
        });
        Self { shared, task: SourceTask::new(task) }
    }

    /// Sets the one time at which the handler runs next, in place of an earlier one; `None`: it does not.
    pub fn wake_at(&self, time: Option<Instant>) {
        if self.shared.wake_at.replace(time) != time {
            self.shared.changed.notify_one();
        }
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
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;
    use crate::queue::{self, Clock, DispatchQueue};

    #[test]
    fn only_the_last_time_that_was_set_counts() {
        let fired = DispatchQueue::run("timer", Clock::Virtual, |_| async {
            let begin = queue::now();
            let fired: Rc<RefCell<Vec<u64>>> = Rc::default();
            let timer = TimerSource::new({
                let fired = fired.clone();
                move || fired.borrow_mut().push((queue::now() - begin).as_secs())
            });
            timer.wake_at(Some(begin + Duration::from_secs(5)));
            timer.wake_at(Some(begin + Duration::from_secs(2)));
            tokio::time::sleep(Duration::from_secs(10)).await;
            timer.wake_at(Some(begin + Duration::from_secs(20)));
            tokio::time::sleep(Duration::from_secs(5)).await;
            timer.wake_at(None);
            tokio::time::sleep(Duration::from_secs(60)).await;
            timer.wake_at(Some(queue::now() + Duration::from_secs(1)));
            timer.cancel().await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            fired.borrow().clone()
        });
        assert_eq!(fired.unwrap(), [2]);
    }
}
