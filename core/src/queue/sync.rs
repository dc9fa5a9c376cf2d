//! Who waits for whom in `dispatch_sync`, so that a deadlock is refused and named instead of met. It must not know
//! what the jobs are.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::DispatchQueue;

/// Why a job was not run, or not run to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DispatchError {
    /// The queue has ended, so nothing can run on it any more.
    #[error("queue '{queue}' has ended")]
    Ended {
        /// The queue's name.
        queue: String,
    },
    /// Waiting would never end. `cycle` names the queues, each waiting for the next, the last for the first.
    #[error("dispatch_sync would deadlock: {}", describe(cycle))]
    Deadlock {
        /// The queues in the cycle; one name alone is a queue that would wait for itself.
        cycle: Vec<String>,
    },
}

fn describe(cycle: &[String]) -> String {
    match cycle {
        [one] => format!("queue '{one}' would wait for itself"),
        _ => {
            let mut text = String::new();
            for name in cycle.iter().chain(cycle.first()) {
                if !text.is_empty() {
                    text.push_str(" waits for ");
                }
                text.push_str(&format!("'{name}'"));
            }
            text
        }
    }
}

/// An entry: a queue (the key) waits for another. A queue is one thread, so it waits for one other at most.
struct Wait {
    on: u64,
    on_name: String,
}

static WAITS: Mutex<Option<HashMap<u64, Wait>>> = Mutex::new(None);

fn waits() -> MutexGuard<'static, Option<HashMap<u64, Wait>>> {
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While it lives, `waiter` is known to wait.
pub(super) struct Waiting {
    waiter: Option<u64>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let (Some(waiter), Some(waits)) = (self.waiter, waits().as_mut()) {
            waits.remove(&waiter);
        }
    }
}

/// Notes that `waiter` (`None`: a thread without a queue, which nobody can wait for) waits for `target`, or
/// refuses because `target` waits, directly or through others, for `waiter`.
pub(super) fn wait_for(
    waiter: Option<&DispatchQueue>,
    target: &DispatchQueue,
) -> Result<Waiting, DispatchError> {
    let Some(waiter) = waiter else { return Ok(Waiting { waiter: None }) };
    let mut waits = waits();
    let waits = waits.get_or_insert_with(HashMap::new);
    let mut cycle = vec![waiter.name().to_owned()];
    let (mut at, mut at_name) = (target.shared.id, target.name());
    // Ends: the graph has no cycle, since each edge was checked when it was added.
    loop {
        if at == waiter.shared.id {
            return Err(DispatchError::Deadlock { cycle });
        }
        cycle.push(at_name.to_owned());
        match waits.get(&at) {
            Some(wait) => (at, at_name) = (wait.on, &wait.on_name),
            None => break,
        }
    }
    waits.insert(waiter.shared.id, Wait { on: target.shared.id, on_name: target.name().to_owned() });
    Ok(Waiting { waiter: Some(waiter.shared.id) })
}
