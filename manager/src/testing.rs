//! A file system of a test's own. It must not know what is put there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The root of a file system, removed with the value.
pub(crate) struct Root(PathBuf);

impl Root {
    /// An empty one for this test.
    pub(crate) fn new(test: &str) -> Self {
        let root = std::env::temp_dir().join(format!("outboard-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        Self(root)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes a file that only its owner may write.
    pub(crate) fn put(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// The text with paths as they would be if this were the root.
    pub(crate) fn without(&self, text: &str) -> String {
        text.replace(self.0.to_str().unwrap(), "")
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
