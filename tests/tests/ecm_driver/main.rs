//! The whole ECM driver against virtual dongles, in virtual time and without privilege. It must not know how the driver works.

mod broken;
mod rig;
mod traced;
mod variants;
