//! What keeps drivers running that are processes of their own. It must not know any driver.

// The supervisor that asks it is not part of this program yet.
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) mod ladder;
