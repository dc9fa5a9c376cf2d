//! The USB/IP client against servers whose every byte is written here by hand, well-behaved and hostile ones. It must not use the protocol
//! module of the crate: a mistake there would be its own judge.

mod cuts;
mod hostile;
mod import;
mod peer;
mod rig;
mod transfers;
mod unlink;
