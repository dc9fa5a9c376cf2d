//! What `Device`, `Interface`, `Pipe` and `Service` promise, held against models in this process, in virtual time. It must not know how
//! they keep it.

mod control;
mod endings;
mod injected;
mod model;
mod opening;
mod packets;
mod random;
mod service;
