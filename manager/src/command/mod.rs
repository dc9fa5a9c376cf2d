//! The subcommands, one a file.

pub(crate) mod attach;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod driver;
pub(crate) mod drivers;
pub(crate) mod give;
pub(crate) mod give_back;
pub(crate) mod hid;
pub(crate) mod list;
pub(crate) mod log;
pub(crate) mod man;
pub(crate) mod ps;
pub(crate) mod restart;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod tree;
pub(crate) mod virtual_devices;
pub(crate) mod why;
