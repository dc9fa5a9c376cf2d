//! The whole FTDI driver on virtual chips, in virtual time and without privileges: bytes both ways at every rate, what is programmed, modem
//! lines, breaks, drains, purges, flow control, faults and unplugs. It must not know how driver and chip are made inside.

mod line;
mod rig;
mod trouble;
