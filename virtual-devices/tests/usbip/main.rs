//! The USB/IP server: by hand and in virtual time, hostile, and over TCP.

mod client;
mod hostile;
mod session;
mod standard;
mod stream;
