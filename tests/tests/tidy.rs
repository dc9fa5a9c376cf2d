//! The project's own rules, enforced: who may import whom, where `unsafe` may be, and what every source file has. It must not know what the
//! code does. Each message says how to mend what it found.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Files that may hold `unsafe` besides those called `sys.rs`: the ring is one algorithm over shared memory and would not gain by being cut.
const RINGS: [&str; 1] = ["core/src/source/data_queue/ring.rs"];

const MAX_LINES: usize = 600;

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the workspace is above its packages").to_owned()
}

/// All files of the project, by their path from its root, with their text; what is not text is left out.
fn files() -> BTreeMap<String, String> {
    fn walk(root: &Path, directory: &Path, files: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(directory).expect("a directory of the project") {
            let path = entry.expect("an entry").path();
            let relative = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let built = ["target", ".git", "tests/fuzz/target", "tests/fuzz/corpus", "tests/fuzz/artifacts"];
            if built.contains(&relative.as_str()) || name.ends_with('~') || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                walk(root, &path, files);
            } else if let Ok(text) = fs::read_to_string(&path) {
                files.insert(relative, text);
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(&root(), &root(), &mut files);
    files
}

fn sources() -> impl Iterator<Item = (String, String)> {
    files().into_iter().filter(|(path, _)| path.ends_with(".rs"))
}

fn check(rule: &str, complaints: Vec<String>) {
    assert!(complaints.is_empty(), "{rule}:\n  {}", complaints.join("\n  "));
}

/// Rust source without the contents of its comments, strings and character literals; line breaks stay.
fn code_of(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    let keep_lines = |code: &mut String, skipped: &str| {
        code.push(' ');
        code.extend(skipped.chars().filter(|c| *c == '\n'));
    };
    while at < bytes.len() {
        let rest = &source[at..];
        let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = (!in_word).then(|| raw_string(rest)).flatten() {
            length
        } else if rest.starts_with('"') {
            quoted(rest, b'"')
        } else if rest.starts_with('\'') && is_character(rest) {
            quoted(rest, b'\'')
        } else {
            0
        };
        if skip > 0 {
            keep_lines(&mut code, &rest[..skip]);
            at += skip;
        } else {
            let c = rest.chars().next().expect("not at the end");
            code.push(c);
            at += c.len_utf8();
        }
    }
    code
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text.as_bytes()[at..];
        match rest {
            [] => return at,
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
}

/// The length of `r"…"`, `r#"…"#`, `br"…"` or `cr"…"` at the beginning.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix(['b', 'c']).unwrap_or(text).strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let prefix = text.len() - body.len();
    Some(body.find(&end).map_or(text.len(), |found| prefix + found + end.len()))
}

fn quoted(text: &str, quote: u8) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `'a'` and `'\n'`, but not the lifetime `'a`.
fn is_character(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

/// The lines (from 1) on which `code` has this word.
fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let has = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
    };
    code.lines().enumerate().filter(|(_, line)| has(line)).map(|(n, _)| n + 1).collect()
}

/// Each package of the workspace with those that it imports, and whether only for its tests.
fn imports() -> BTreeMap<String, Vec<(String, bool)>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    packages
        .iter()
        .map(|package| {
            let own = package["dependencies"].as_array().into_iter().flatten();
            let own = own.filter(|dependency| dependency["path"].is_string());
            let own =
                own.map(|dependency| (text(&dependency["name"]), dependency["kind"].as_str() == Some("dev")));
            (text(&package["name"]), own.collect())
        })
        .collect()
}

/// Why `package` must not import `imported`, if it must not.
fn refusal(package: &str, imported: &str, in_tests_only: bool) -> Option<&'static str> {
    const CORE: &str = "outboard-core";
    const VIRTUAL: &str = "outboard-virtual-devices";
    let is_driver = |name: &str| name.starts_with("outboard-usb-");
    match package {
        "outboard-tests" | "outboard-examples" => None,
        _ if imported == package && in_tests_only => None,
        _ if matches!(imported, "outboard-tests" | "outboard-examples" | "xtask") => Some(
            "nothing is built on tests, examples or xtask; move what is shared into core or virtual-devices",
        ),
        CORE => Some(
            "core imports no package of ours; move what it needs into core, or have the caller pass it in",
        ),
        _ if is_driver(package) => match imported {
            CORE => None,
            VIRTUAL if in_tests_only => None,
            _ => {
                Some("a driver imports core alone; move what it shares with others into core (a family, usb)")
            }
        },
        VIRTUAL if imported != CORE => Some(
            "virtual devices know core's descriptor types alone; a test that needs both belongs into tests/",
        ),
        // `outboard virtual` serves them: a newcomer has no dongle at hand.
        "outboard" if imported == VIRTUAL => None,
        "outboard" if imported != CORE && !is_driver(imported) => Some(
            "the manager imports core, the drivers and the virtual devices; nothing else is part of the product",
        ),
        _ => None,
    }
}

#[test]
fn packages_import_only_what_the_design_allows() {
    let imports = imports();
    for known in [
        "outboard",
        "outboard-core",
        "outboard-usb-ecm",
        "outboard-usb-hid",
        "outboard-usb-serial-ftdi",
        "outboard-virtual-devices",
        "outboard-tests",
    ] {
        assert!(
            imports.contains_key(known),
            "{known} has gone or has another name; adapt the rules in this file"
        );
    }
    let complaints = imports.iter().flat_map(|(package, imports)| {
        imports.iter().filter_map(move |(imported, in_tests_only)| {
            let reason = refusal(package, imported, *in_tests_only)?;
            Some(format!("{package} imports {imported}: {reason}"))
        })
    });
    check("Cargo.toml", complaints.collect());
}

#[test]
fn unsafe_code_is_in_files_named_for_it() {
    let mut complaints = Vec::new();
    for (path, source) in sources() {
        if path.ends_with("/sys.rs") || RINGS.contains(&path.as_str()) {
            continue;
        }
        let code = code_of(&source);
        for line in lines_with(&code, "unsafe") {
            complaints.push(format!(
                "{path}:{line}: `unsafe`; use rustix or a crate that wraps it, or move the call into a sys.rs beside this file"
            ));
        }
        for line in lines_with(&code, "unsafe_code") {
            complaints.push(format!(
                "{path}:{line}: only sys.rs may lift the lint `unsafe_code`; take the attribute out"
            ));
        }
    }
    check("unsafe", complaints);
}

#[test]
fn every_file_says_what_it_is_for() {
    let complaints = sources().filter(|(_, source)| !source.starts_with("//! ")).map(|(path, _)| {
        format!("{path}:1: begin the file with `//! `, what it is for and what it must not know")
    });
    check("headers", complaints.collect());
}

#[test]
fn files_stay_small() {
    let complaints = sources().filter_map(|(path, source)| {
        let lines = source.lines().count();
        (lines > MAX_LINES).then(|| {
            format!("{path}: {lines} lines, of {MAX_LINES} at most; cut it along what its parts must not know of each other")
        })
    });
    check("size", complaints.collect());
}

#[test]
fn nothing_is_left_to_do() {
    let mut complaints = Vec::new();
    for (path, source) in sources() {
        let code = code_of(&source);
        for (left, mend) in [
            ("todo", "write it, or return an error of kind Unsupported that says so"),
            ("unimplemented", "write it, or return an error of kind Unsupported that says so"),
            ("dbg", "take it out, or use tracing"),
        ] {
            for line in lines_with(&code, left) {
                let text = code.lines().nth(line - 1).unwrap_or_default();
                if text.contains(&format!("{left}!")) {
                    complaints.push(format!("{path}:{line}: `{left}!`; {mend}"));
                }
            }
        }
    }
    check("unfinished", complaints);
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    // In pieces, so that this file does not name them.
    let places =
        [["/wo", "rk/"], ["/ho", "me/"], ["/ro", "ot/"], ["/Use", "rs/"]].map(|parts| parts.concat());
    let mut complaints = Vec::new();
    for (path, text) in files() {
        for (n, line) in text.lines().enumerate() {
            let Some(place) = places.iter().find(|place| line.contains(place.as_str())) else { continue };
            let line = n + 1;
            complaints.push(format!(
                "{path}:{line}: `{place}…` is on one machine only; use a path from the workspace's root, or the system's temporary directory"
            ));
        }
    }
    check("places", complaints);
}

#[test]
fn the_rules_refuse_what_they_are_for() {
    assert!(refusal("outboard-core", "outboard-usb-ecm", false).is_some());
    assert!(refusal("outboard-core", "outboard-usb-ecm", true).is_some());
    assert!(refusal("outboard-usb-ecm", "outboard-usb-hid", false).is_some());
    assert!(refusal("outboard-usb-serial-ftdi", "outboard-usb-ecm", false).is_some());
    assert!(refusal("outboard-usb-ecm", "outboard", true).is_some());
    assert!(refusal("outboard-usb-ecm", "outboard-virtual-devices", false).is_some());
    assert!(refusal("outboard-virtual-devices", "outboard-usb-ecm", true).is_some());
    assert!(refusal("outboard", "outboard-tests", false).is_some());
    assert_eq!(refusal("outboard", "outboard-usb-ecm", false), None);
    assert_eq!(refusal("outboard", "outboard-virtual-devices", false), None);
    assert_eq!(refusal("outboard-core", "outboard-core", true), None);
    let source = "a /* x /* unsafe */ unsafe */ b // unsafe\n\"unsafe \\\" unsafe\" r#\"unsafe \" unsafe\"# 'u' '\\'' &'a unsafe\nunsafe_code r#unsafe";
    let code = code_of(source);
    assert_eq!(lines_with(&code, "unsafe"), [2, 3], "{code}");
    assert_eq!(lines_with(&code, "unsafe_code"), [3]);
    assert!(!code.contains('"'), "{code}");
}
