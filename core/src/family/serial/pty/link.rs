//! The stable name of a terminal: a symbolic link to a node whose number changes. It knows nothing of terminals.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::{Error, ErrorKind, Result};

/// A symbolic link that is removed with the value, unless somebody has replaced it since.
#[derive(Debug)]
pub(super) struct Link {
    path: PathBuf,
    target: PathBuf,
}

impl Link {
    /// Makes the link and the directory that it is in. One that is there already, left by a driver that was killed, is replaced.
    pub(super) fn create(path: &Path, target: &Path) -> Result<Self> {
        let operation = || format!("make the link {}", path.display());
        let failed = |error: io::Error| Error::os(operation(), error);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        if fs::symlink_metadata(path).is_ok_and(|found| !found.is_symlink()) {
            let reason = "there is a file of this name, which is not a link";
            return Err(Error::new(ErrorKind::Busy, operation(), reason));
        }
        // In one step, so that the name is never missing.
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(beside);
        let _ = fs::remove_file(&beside);
        symlink(target, &beside).map_err(failed)?;
        if let Err(error) = fs::rename(&beside, path) {
            let _ = fs::remove_file(&beside);
            return Err(failed(error));
        }
        Ok(Self { path: path.to_owned(), target: target.to_owned() })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if fs::read_link(&self.path).is_ok_and(|target| target == self.target) {
            // Nobody is left to tell; the next driver replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_replaced_but_a_file_is_not_and_only_our_own_is_removed() {
        let directory = std::env::temp_dir().join(format!("outboard-link-{}", std::process::id()));
        let path = directory.join("port");
        let old = Link::create(&path, Path::new("/dev/pts/1")).unwrap();
        let new = Link::create(&path, Path::new("/dev/pts/2")).unwrap();
        drop(old);
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("/dev/pts/2"));
        drop(new);
        assert!(fs::symlink_metadata(&path).is_err());
        fs::write(&path, "a file").unwrap();
        assert_eq!(Link::create(&path, Path::new("/dev/pts/3")).unwrap_err().kind(), ErrorKind::Busy);
        fs::remove_dir_all(&directory).unwrap();
    }
}
