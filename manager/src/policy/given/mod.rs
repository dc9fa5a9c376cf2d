//! The rules that an administrator gave, on disk: read, changed, and never half written. It must not know what a rule means, nor what becomes of
//! devices.
//!
//! A change is a whole new file beside the old one, brought to the disk, and then renamed over it. So there is at every instant either the old
//! or the new file, whoever is killed and whenever the power goes. What a killed writer leaves beside it is not looked at and removed. Writers wait
//! for each other at a lock on a file of its own, since the file itself is replaced. A file that cannot be understood is told with its line
//! and left alone: to begin anew would take devices from Outboard, or give it some, without anybody having said so.

mod file;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use outboard_core::manifest::Fault;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::rule::{Rule, Subject};

/// The folder, from the root of the file system.
const FOLDER: &str = "var/lib/outboard";

const FILE: &str = "given.toml";

/// The next file, until it is complete.
const NEXT: &str = ".given.toml.next";

/// Whoever has this file locked may change the other two. Only root may open it, so that nobody else can make root wait.
const LOCK: &str = ".given.lock";

/// A rule, and who gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// What was given.
    pub(crate) rule: Rule,
    /// When: seconds since 1970, UTC.
    pub(crate) at: u64,
    /// By whom: the user who logged in.
    pub(crate) by: u32,
}

/// What was given, in the order in which it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Given {
    entries: Vec<Entry>,
}

/// The rules cannot be had or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GivenError {
    /// The file is not what is written there.
    #[error("{}: {fault}", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        fault: Fault,
    },
    /// The system refuses.
    #[error("{}: cannot {doing}: {error}", path.display())]
    System {
        /// Which file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What it says.
        error: io::Error,
    },
    /// No more rules.
    #[error(
        "there are {} rules, and more cannot be kept; take some back (`outboard return`), or give a driver or a kind of device",
        file::MAX_RULES
    )]
    Full,
}

impl GivenError {
    /// How to mend it, where that is not obvious.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Corrupt { .. } => Some(
                "It was left as it is. Mend that line, or remove the file; then nothing is given, and `outboard give` begins a new one.",
            ),
            Self::System { .. } | Self::Full => None,
        }
    }

    /// Whether a right is missing.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::System { error, .. } if error.kind() == io::ErrorKind::PermissionDenied
            || error.kind() == io::ErrorKind::ReadOnlyFilesystem)
    }
}

impl Entry {
    /// Given now, by this user.
    pub(crate) fn now(rule: Rule, by: u32) -> Self {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { rule, at, by }
    }
}

impl Given {
    /// Where the rules are, below this root (`/`): what to watch. It appears with the first rule, and each change puts another file in its place.
    pub(crate) fn path(root: &Path) -> PathBuf {
        root.join(FOLDER).join(FILE)
    }

    /// The rules of this machine; none if there is no file. Removes what a killed writer left, if it may.
    ///
    /// # Errors
    /// The file cannot be read or understood. It stays as it is.
    pub(crate) fn load(root: &Path) -> Result<Self, GivenError> {
        // Without the right, or while somebody writes, what is beside the file is not ours to remove, and does not matter.
        if let Ok(Some(_lock)) = lock(root, FlockOperation::NonBlockingLockExclusive) {
            let _nothing_left = fs::remove_file(root.join(FOLDER).join(NEXT));
        }
        Self::read(root)
    }

    /// Changes the rules. No other writer comes between, and the new rules are on the disk when it returns. `change` says what it returns, and
    /// whether it changed anything.
    ///
    /// # Errors
    /// The file cannot be read, understood or written. The old rules hold.
    pub(crate) fn change<T>(
        root: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, GivenError>,
    ) -> Result<(T, Self), GivenError> {
        make_folder(root)?;
        let _lock = lock(root, FlockOperation::LockExclusive)?;
        let mut given = Self::read(root)?;
        let before = given.clone();
        let outcome = change(&mut given)?;
        if given != before {
            given.write(root)?;
        }
        Ok((outcome, given))
    }

    /// All rules.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The rule that gives this function, of several the one that says most exactly what is meant.
    pub(crate) fn rule(&self, subject: &Subject<'_>) -> Option<&Rule> {
        let matching = self.entries.iter().map(|entry| &entry.rule).filter(|rule| rule.matches(subject));
        matching.max_by_key(|rule| rule.breadth())
    }

    /// Adds a rule. The one that was there before, if it was.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn add(&mut self, entry: Entry) -> Result<Option<Entry>, GivenError> {
        if let Some(known) = self.entries.iter().find(|known| known.rule == entry.rule) {
            return Ok(Some(known.clone()));
        }
        self.entries.push(entry);
        let fits =
            self.entries.len() <= file::MAX_RULES && file::render(&self.entries).len() <= file::MAX_BYTES;
        if fits { Ok(None) } else { Err(GivenError::Full) }
    }

    /// Takes a rule out; whether it was there.
    pub(crate) fn remove(&mut self, rule: &Rule) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.rule != *rule);
        self.entries.len() != before
    }

    fn read(root: &Path) -> Result<Self, GivenError> {
        let path = Self::path(root);
        let corrupt = |fault| GivenError::Corrupt { path: path.clone(), fault };
        // Non-blocking, so that a pipe of that name does not stop everything.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(&path, "open it")(error)),
        };
        let metadata = file.metadata().map_err(failed(&path, "look at it"))?;
        if !metadata.is_file() {
            return Err(corrupt(Fault::whole("is no file")));
        }
        /// Whoever may write it decides what root takes from the kernel.
        const WRITABLE_BY_ALL: u32 = 0o002;
        if metadata.permissions().mode() & WRITABLE_BY_ALL != 0 {
            return Err(corrupt(Fault::whole(
                "may be changed by anyone, and is not used; chmod o-w mends it",
            )));
        }
        let mut bytes = Vec::new();
        let limited = file.take(file::MAX_BYTES as u64 + 1).read_to_end(&mut bytes);
        limited.map_err(failed(&path, "read it"))?;
        Ok(Self { entries: file::parse(&bytes).map_err(corrupt)? })
    }

    /// Whoever calls it has the lock.
    fn write(&self, root: &Path) -> Result<(), GivenError> {
        let (folder, path) = (root.join(FOLDER), Self::path(root));
        let next = folder.join(NEXT);
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&next, "remove it")(error));
            }
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&next)
            .map_err(failed(&next, "make it"))?;
        let written = file.write_all(file::render(&self.entries).as_bytes()).and_then(|()| file.sync_all());
        let renamed = written
            .map_err(failed(&next, "write it"))
            .and_then(|()| fs::rename(&next, &path).map_err(failed(&path, "replace it")));
        if let Err(error) = renamed {
            let _nothing_left = fs::remove_file(&next);
            return Err(error);
        }
        sync(&folder)
    }
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> GivenError {
    let path = path.to_owned();
    move |error| GivenError::System { path, doing, error }
}

/// A name in a folder is on the disk when the folder is.
fn sync(folder: &Path) -> Result<(), GivenError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder, "bring it to the disk"))
}

fn make_folder(root: &Path) -> Result<(), GivenError> {
    let folder = root.join(FOLDER);
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o755).create(&folder).map_err(failed(&folder, "make it"))?;
    folder.parent().map_or(Ok(()), sync)
}

/// Whoever has it may change the file and the next one. A process that dies gives it up.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Said, not left to the close of the descriptor: a process that is being started has a copy of it until it executes its program.
        let _is_closed_next = flock(&self.0, FlockOperation::Unlock);
    }
}

/// The lock; `None` if somebody has it and we do not wait.
fn lock(root: &Path, operation: FlockOperation) -> Result<Option<Lock>, GivenError> {
    let path = root.join(FOLDER).join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed(&path, "open it"))?;
    loop {
        match flock(&file, operation) {
            Ok(()) => return Ok(Some(Lock(file))),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(failed(&path, "lock it")(error.into())),
        }
    }
}

#[cfg(test)]
mod tests;
