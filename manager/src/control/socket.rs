//! The socket in the file system: where it is, who may open it, and that only one manager has it. It must not know what is said over it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use super::GROUP;
use crate::exit::{Cause, Failure};

/// A socket that clients can connect to. It goes with the value.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Held as long as the socket is ours. Its file stays: to remove it would let two managers lock two files of one name.
    _lock: File,
}

/// A bound socket, its place, and whether others than its owner may open it.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) listener: UnixListener,
    pub(super) place: Place,
    pub(super) shared: bool,
}

/// Makes the socket. What a manager that was killed left behind is replaced; that of a living one is not.
pub(super) fn make(path: &Path) -> Result<Bound, Failure> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent)
            .map_err(|error| failure(parent, &error))?;
        // Whatever the umask was.
        fs::set_permissions(parent, Permissions::from_mode(0o755))
            .map_err(|error| failure(parent, &error))?;
    }
    let lock = lock(path)?;
    replace(path)?;
    let listener = open(path).map_err(|error| failure(path, &error))?;
    // Not before it is ours: it is removed with the value.
    let place = Place { path: path.to_owned(), _lock: lock };
    let shared = share(path);
    Ok(Bound { listener, place, shared })
}

/// Of two managers that start at the same time, one gets the lock; the kernel frees it however a manager ends.
fn lock(path: &Path) -> Result<File, Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&name)
        .map_err(|error| failure(&name, &error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(busy(path)),
        Err(error) => Err(failure(&name, &error.into())),
    }
}

/// Removes a socket on which nobody listens; whatever else is there stays.
fn replace(path: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failure(path, &error)),
        Ok(found) if !found.file_type().is_socket() => {
            let text = format!("{} is there already and no socket", path.display());
            return Err(
                Failure::new(Cause::Busy, text).with_hint("Remove it, or name another place with --socket.")
            );
        }
        Ok(_) => {}
    }
    // Without waiting: a listener whose queue is full lives too.
    let probe = || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)
    };
    match probe() {
        Err(Errno::CONNREFUSED) => fs::remove_file(path).map_err(|error| failure(path, &error)),
        Ok(()) | Err(Errno::AGAIN) => Err(busy(path)),
        Err(error) => Err(failure(path, &error.into())),
    }
}

fn open(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // The file gets the socket's mode, so that there is no moment in which others could open it, whatever the umask is.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, 16)?;
    Ok(UnixListener::from(socket))
}

/// Opens the socket to the group, if there is one and we may.
fn share(path: &Path) -> bool {
    let Some(group) = group(&fs::read_to_string("/etc/group").unwrap_or_default(), GROUP) else {
        return false;
    };
    let shared = chown(path, None, Some(group))
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o660)));
    if let Err(error) = &shared {
        tracing::info!(%error, "the control socket is not opened to the group {GROUP}");
    }
    shared.is_ok()
}

/// The number of a group in the text of /etc/group, where the groups of system services are; directories of users are not asked.
fn group(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

fn busy(path: &Path) -> Failure {
    Failure::new(Cause::Busy, format!("another manager runs and has {}", path.display()))
        .with_hint("`outboard tree` shows what it does. A second one needs a place of its own: --socket.")
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    let cause = match error.kind() {
        io::ErrorKind::PermissionDenied => Cause::Right,
        _ => Cause::Other,
    };
    let failure =
        Failure::new(cause, format!("the control socket cannot be made: {}: {error}", path.display()));
    match cause {
        Cause::Right => {
            failure.with_hint("Run it as root, or name a place that you may write with --socket.")
        }
        _ => failure,
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Ours as long as we hold the lock. Somebody may have removed it.
        let _gone = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let text = "root:x:0:\noutboarders:x:7:\nbroken\noutboard:x:998:me,you\noutboard:x:9:\n";
        assert_eq!(group(text, "outboard"), Some(998));
        assert_eq!(group(text, "outboar"), None);
        assert_eq!(group("outboard:x:many:", "outboard"), None);
        assert_eq!(group("outboard", "outboard"), None);
    }
}
