//! What FTDI's chips say and are told over the wire, as pure functions and types: no I/O, clock, thread or log. It knows no driver and no
//! serial port of the host.
//!
//! FTDI publishes no specification of the requests; they are as Linux's ftdi_sio and libftdi use them. Divisors are from AN_120
//! (FTDI, "Aliasing VCP baud rates") and AN232B-05 ("Configuring FT232R, FT2232 and FT232B baud rates"), FIFOs from the data sheets.

pub mod baud;
pub mod chip;
pub mod function;
pub mod ids;
pub mod quirks;
pub mod request;
pub mod status;
