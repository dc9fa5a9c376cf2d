//! The subcommands, one a file.

pub(crate) mod attach;
pub(crate) mod hid;
pub(crate) mod list;
