//! Where manifests come from: those that are part of the program, and files. A file replaces a built-in manifest of its name, and a file in
//! `/etc` one in `/usr/lib`. A file that is empty or a link to `/dev/null` masks the name, as systemd does it: there is no such driver then.
//!
//! A file that cannot be understood is told and harms no other. Its own name has no driver until it is mended: to fall back on what it was to
//! replace would give a driver devices that the administrator took from it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{Expected, Fault, Manifest, is_name, limit, parse};
use crate::error::Error;

/// The folders, from the root of the file system: each replaces what those before it say.
pub const FOLDERS: [&str; 2] = ["usr/lib/outboard/drivers.d", "etc/outboard/drivers.d"];

/// A manifest that is part of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// The driver's name.
    pub name: &'static str,
    /// The manifest.
    pub text: &'static str,
}

/// Where a manifest is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Part of the program.
    BuiltIn,
    /// A file.
    File(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// What there is under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A driver.
    Usable(Box<Manifest>),
    /// None: the administrator masked it.
    Masked,
    /// None: the file has these faults, at least one.
    Broken(Vec<Fault>),
}

/// A name and what there is under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The driver's name; of a broken file its own without `.toml`, which may be anything.
    pub name: String,
    /// What counts.
    pub source: Source,
    /// What there is.
    pub state: State,
    /// What it replaces, the strongest first.
    pub replaces: Vec<Source>,
}

/// All manifests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Library {
    /// In the order of their names; no name twice.
    pub entries: Vec<Entry>,
    /// Folders that could not be read, or only in part.
    pub unreadable: Vec<Error>,
}

impl Library {
    /// Reads the folders below `root` (`/`) and adds what is built in. A folder that is not there has no manifests.
    pub fn read(root: &Path, built_in: &[BuiltIn]) -> Self {
        let names: Vec<&str> = built_in.iter().map(|one| one.name).collect();
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        let mut unreadable = Vec::new();
        let mut add = |name: String, source: Source, state: State| {
            let replaced = entries.remove(&name);
            let replaces =
                replaced.into_iter().flat_map(|old| [vec![old.source], old.replaces].concat()).collect();
            entries.insert(name.clone(), Entry { name, source, state, replaces });
        };
        for BuiltIn { name, text } in built_in {
            let expected = Expected { name: Some(name), built_in: Some(&names) };
            add((*name).to_owned(), Source::BuiltIn, state(parse(text, &expected)));
        }
        for folder in FOLDERS {
            let folder = root.join(folder);
            let (files, error) = list(&folder);
            unreadable.extend(error);
            for file in files {
                let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let state = read(&file, &stem, &names);
                add(stem, Source::File(file), state);
            }
        }
        Self { entries: entries.into_values().collect(), unreadable }
    }

    /// The drivers there are, in the order of their names.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.entries.iter().filter_map(|entry| match &entry.state {
            State::Usable(manifest) => Some(&**manifest),
            State::Masked | State::Broken(_) => None,
        })
    }

    /// What there is under this name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

fn state(parsed: Result<Manifest, Vec<Fault>>) -> State {
    match parsed {
        Ok(manifest) => State::Usable(Box::new(manifest)),
        Err(faults) => State::Broken(faults),
    }
}

/// The files of a folder that end in `.toml`, by name; what editors and package managers leave beside them does not.
fn list(folder: &Path) -> (Vec<PathBuf>, Option<Error>) {
    let operation = || format!("read {}", folder.display());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (Vec::new(), None),
        Err(error) => return (Vec::new(), Some(Error::os(operation(), error))),
    };
    let mut files = Vec::new();
    let mut problem = None;
    for entry in entries {
        let name = match entry {
            Ok(entry) => entry.file_name(),
            Err(error) => {
                problem = Some(Error::os(operation(), error));
                break;
            }
        };
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if !hidden && Path::new(&name).extension() == Some(OsStr::new("toml")) {
            files.push(folder.join(name));
        }
    }
    files.sort();
    if files.len() > limit::FILES {
        let reason = format!("has {} manifests; the first {} are used", files.len(), limit::FILES);
        problem = Some(Error::new(crate::ErrorKind::Unsupported, operation(), reason));
        files.truncate(limit::FILES);
    }
    (files, problem)
}

fn read(path: &Path, stem: &str, built_in: &[&str]) -> State {
    let text = match text(path) {
        Ok(Some(text)) => text,
        Ok(None) => return State::Masked,
        Err(fault) => return State::Broken(vec![fault]),
    };
    if !is_name(stem) {
        let reason = "cannot be used: its name without .toml must be the driver's, of lower-case letters, digits and hyphens";
        return State::Broken(vec![Fault::whole(reason)]);
    }
    state(parse(&text, &Expected { name: Some(stem), built_in: Some(built_in) }))
}

/// The text of a file; `None` if it masks its name.
fn text(path: &Path) -> Result<Option<String>, Fault> {
    let failed = |error: io::Error| Fault::whole(format!("cannot be read: {error}"));
    // Non-blocking, so that a pipe of that name does not stop everything.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY).bits() as i32)
        .open(path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.file_type().is_char_device() && is_null(path) {
        return Ok(None);
    }
    if !metadata.is_file() {
        return Err(Fault::whole("is no file"));
    }
    if metadata.len() == 0 {
        return Ok(None);
    }
    /// Whoever may write a manifest decides what root starts.
    const WRITABLE_BY_ALL: u32 = 0o002;
    if metadata.permissions().mode() & WRITABLE_BY_ALL != 0 {
        return Err(Fault::whole("may be changed by anyone, and is not used; chmod o-w mends it"));
    }
    let bytes = bytes(file).map_err(failed)?;
    if bytes.len() > limit::BYTES {
        return Err(super::parse::too_long());
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = error.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
        Fault { line: u32::try_from(before + 1).ok(), key: None, reason: "is no UTF-8".to_owned() }
    })
}

/// One byte more than a manifest may have, so that a longer one is recognised.
fn bytes(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit::BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_null(path: &Path) -> bool {
    path.canonicalize().is_ok_and(|target| target == Path::new("/dev/null"))
}
