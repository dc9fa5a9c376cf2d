//! The subcommands, one a file.

pub(crate) mod attach;
pub(crate) mod drivers;
pub(crate) mod list;
pub(crate) mod why;
