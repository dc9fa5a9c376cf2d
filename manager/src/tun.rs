//! Whether this process can make network interfaces. It makes none.

use std::fs;
use std::io::ErrorKind;

use crate::exit::{Cause, Failure};

/// Better said before anything is taken from the kernel's driver.
///
/// # Errors
/// Right: /dev/net/tun is missing, or closed to this user.
pub(crate) fn check() -> Result<(), Failure> {
    let error = match fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let text = format!("open /dev/net/tun: {error}");
    let failure = Failure::new(Cause::Right, text);
    Err(match error.kind() {
        ErrorKind::NotFound => failure.with_hint(
            "The network interface is made there. `modprobe tun` as root provides it; in a container: --device /dev/net/tun.",
        ),
        ErrorKind::PermissionDenied => failure.with_hint("Run it as root, for example with sudo."),
        _ => failure,
    })
}
