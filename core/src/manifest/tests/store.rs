//! Folders of manifests, in trees of our own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::super::limit;
use super::super::store::{BuiltIn, FOLDERS, Library, Source, State};
use super::HEAD;

/// The root of a file system, removed with the value.
struct Tree(PathBuf);

impl Tree {
    fn new(test: &str) -> Self {
        let root = std::env::temp_dir().join(format!("outboard-store-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for folder in FOLDERS {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        Self(root)
    }

    fn usr(&self, name: &str) -> PathBuf {
        self.0.join(FOLDERS[0]).join(name)
    }

    fn etc(&self, name: &str) -> PathBuf {
        self.0.join(FOLDERS[1]).join(name)
    }

    fn read(&self) -> Library {
        let text = text("built").leak();
        Library::read(&self.0, &[BuiltIn { name: "built", text }])
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(name: &str) -> String {
    format!("{}[[match]]\ninterface-class = 2\n", HEAD.replace("\"acme\"", &format!("\"{name}\"")))
}

fn put(path: &Path, text: impl AsRef<[u8]>) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

fn names(library: &Library) -> Vec<&str> {
    library.manifests().map(|manifest| manifest.name.as_str()).collect()
}

fn broken(library: &Library, name: &str) -> String {
    match &library.entry(name).unwrap().state {
        State::Broken(faults) => faults[0].to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn without_folders_there_is_what_is_built_in() {
    let tree = Tree::new("nothing");
    fs::remove_dir_all(tree.0.join("etc")).unwrap();
    fs::remove_dir_all(tree.0.join("usr")).unwrap();
    let library = tree.read();
    assert_eq!(names(&library), ["built"]);
    assert_eq!(library.entry("built").unwrap().source, Source::BuiltIn);
    assert_eq!(library.unreadable, []);
}

#[test]
fn etc_comes_before_usr_and_usr_before_what_is_built_in() {
    let tree = Tree::new("override");
    put(&tree.usr("built.toml"), text("built").replace("1.2.3", "2.0.0"));
    put(&tree.usr("acme.toml"), text("acme").replace("1.2.3", "2.0.0"));
    put(&tree.usr("other.toml"), text("other"));
    put(&tree.etc("acme.toml"), text("acme").replace("1.2.3", "3.0.0"));
    put(&tree.etc("built.toml"), text("built").replace("1.2.3", "3.0.0"));
    let library = tree.read();
    let versions: Vec<_> = library.manifests().map(|one| format!("{} {}", one.name, one.version)).collect();
    assert_eq!(versions, ["acme 3.0.0", "built 3.0.0", "other 1.2.3"]);
    let built = library.entry("built").unwrap();
    assert_eq!(built.source, Source::File(tree.etc("built.toml")));
    assert_eq!(built.replaces, [Source::File(tree.usr("built.toml")), Source::BuiltIn]);
}

#[test]
fn an_empty_file_and_a_link_to_null_mask() {
    let tree = Tree::new("mask");
    put(&tree.usr("acme.toml"), text("acme"));
    put(&tree.etc("acme.toml"), "");
    symlink("/dev/null", tree.etc("built.toml")).unwrap();
    // A mask of a package is taken back in /etc.
    put(&tree.usr("back.toml"), "");
    put(&tree.etc("back.toml"), text("back"));
    let library = tree.read();
    assert_eq!(names(&library), ["back"]);
    for name in ["acme", "built"] {
        assert_eq!(library.entry(name).unwrap().state, State::Masked, "{name}");
    }
}

#[test]
fn a_broken_file_harms_no_other_and_its_own_name_has_no_driver() {
    let tree = Tree::new("broken");
    put(&tree.usr("acme.toml"), text("acme"));
    put(&tree.etc("acme.toml"), text("acme").replace("interface-class", "interface-clas"));
    put(&tree.etc("other.toml"), text("other"));
    let library = tree.read();
    assert_eq!(names(&library), ["built", "other"]);
    assert_eq!(
        broken(&library, "acme"),
        "line 9: match[1].interface-clas is unknown; did you mean interface-class?"
    );
}

#[test]
fn what_is_no_manifest_is_told() {
    let tree = Tree::new("odd");
    put(&tree.etc("latin.toml"), b"name = 'x'\n# \xe4\n");
    put(&tree.etc("Big Name.toml"), text("acme"));
    put(&tree.etc("wrong.toml"), text("acme"));
    put(&tree.etc("long.toml"), vec![b'#'; limit::BYTES + 1]);
    put(&tree.etc("open.toml"), text("open"));
    fs::set_permissions(tree.etc("open.toml"), fs::Permissions::from_mode(0o646)).unwrap();
    fs::create_dir(tree.etc("folder.toml")).unwrap();
    symlink("nowhere", tree.etc("dangling.toml")).unwrap();
    symlink("/dev/zero", tree.etc("zero.toml")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.etc("pipe.toml"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    // Not looked at at all.
    for name in ["README", "acme.toml~", ".acme.toml", "acme.toml.dpkg-old", ".toml"] {
        put(&tree.etc(name), "?");
    }
    let library = tree.read();
    assert_eq!(names(&library), ["built"]);
    assert_eq!(broken(&library, "latin"), "line 2: is no UTF-8");
    assert!(broken(&library, "Big Name").starts_with("cannot be used: its name without .toml"));
    assert!(
        broken(&library, "wrong").starts_with("line 1: name is \"acme\", but the file is called wrong.toml")
    );
    assert!(broken(&library, "long").starts_with("is longer than"));
    assert!(broken(&library, "open").starts_with("may be changed by anyone"));
    assert!(broken(&library, "dangling").starts_with("cannot be read"));
    for name in ["folder", "zero", "pipe"] {
        assert_eq!(broken(&library, name), "is no file");
    }
    assert_eq!(library.entries.len(), 10);
}

#[test]
fn a_folder_that_is_none_is_told_and_the_other_counts() {
    let tree = Tree::new("unreadable");
    fs::remove_dir(tree.0.join(FOLDERS[0])).unwrap();
    fs::write(tree.0.join(FOLDERS[0]), "").unwrap();
    put(&tree.etc("acme.toml"), text("acme"));
    let library = tree.read();
    assert_eq!(names(&library), ["acme", "built"]);
    assert_eq!(library.unreadable.len(), 1);
    assert!(library.unreadable[0].to_string().contains("drivers.d"));
}

#[test]
fn no_more_files_than_the_limit_are_looked_at() {
    let tree = Tree::new("many");
    for n in 0..=limit::FILES {
        put(&tree.usr(&format!("m{n:04}.toml")), "");
    }
    let library = tree.read();
    assert_eq!(library.entries.len(), limit::FILES + 1);
    assert!(library.unreadable[0].reason().starts_with("has 1025 manifests"));
}
