//! One driver on one function of a device, over the lives of its processes: started, watched, fenced, started again with the same interface, and in
//! the end stopped. It must not know how devices come and go, nor who asks.

mod access;
mod instance;
mod ladder;
mod log;
mod network;

pub(crate) use access::{Access, Local, Opened};
pub(crate) use instance::{Asked, Instance, Outcome, Users};
