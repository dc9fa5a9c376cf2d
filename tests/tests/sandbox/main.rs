//! The sandbox from outside: a hostile driver, what ordinary work needs, how drivers end, and what the kernel says of one. It knows the program that it
//! starts (`sandbox-subject`) and nothing of how the sandbox is made.
//!
//! Needs root, for users and namespaces, and /dev/net/tun. Without them each test says that it is skipped; with CI=true it fails instead.

mod hostile;
mod ordinary;
mod stage;
mod starting;
