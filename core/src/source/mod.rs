//! Where events come from: each source runs its handler on the queue it belongs to. A source knows no driver and
//! no transport.
//!
//! Made on a queue, a source stays there. Cancelling is awaited: afterwards the handler never runs again. Sources made through a
//! driver's [`Context`](crate::service::Context) end with the driver.

pub mod data_queue;
mod interrupt;
mod sys;
mod timer;

pub use interrupt::{Drained, InterruptSource};
pub use timer::TimerSource;
