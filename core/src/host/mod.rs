//! What the manager and a driver's process say to each other: typed, versioned messages, tagged with the generation of the process, and the
//! descriptors that go with them, over a SEQPACKET socket. It must not know what either side does with them.
//!
//! The driver is not trusted: a message is at most [`MOST_BYTES`] long, and one that is malformed, of another version or of another
//! generation is an error that ends the conversation. The data path is not here: frames go between the descriptors that were passed.
//!
//! The conversation: the manager sends [`Start`](ToDriver::Start) with every descriptor that the driver will ever have; the driver locks itself
//! down and says so ([`LockedDown`](ToManager::LockedDown)), looks at the device and says by [`Vend`](ToManager::Vend) how its interface has to be,
//! which the manager sees to ([`Family`](ToDriver::Family)) or refuses; then the driver reports its [`Status`](ToManager::Status) whenever it changes and
//! is [`Alive`](ToManager::Alive) in between, until it says why it ends, or is told to.

mod channel;
mod message;

pub use channel::{Channel, DriverEnd, ManagerEnd, Received};
pub use message::{
    BEAT, Ethernet, EthernetStatus, Failure, HANG, MOST_BYTES, MOST_FDS, ToDriver, ToManager, Trace,
    TransportKind, VERSION,
};
