//! Where events come from: each source runs its handler on the queue it belongs to. A source knows no driver and
//! no transport.

pub mod data_queue;
