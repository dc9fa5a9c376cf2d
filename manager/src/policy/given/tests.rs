//! The file of rules under everything that may happen to it: kills at every instant, two writers, and what others write.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use rustix::process::{Resource, Rlimit, Signal, setrlimit};

use super::*;
use crate::testing::Root;

fn entry(rule: &str) -> Entry {
    Entry { rule: rule.parse().unwrap(), at: 1_764_054_819, by: 1000 }
}

fn add(root: &Path, rule: &str) -> Option<Entry> {
    Given::change(root, |given| given.add(entry(rule))).unwrap().0
}

fn rules(given: &Given) -> Vec<String> {
    given.entries().iter().map(|entry| entry.rule.to_string()).collect()
}

#[test]
fn rules_are_kept_in_their_order_and_taken_back() {
    let root = Root::new("given-kept");
    assert_eq!(Given::load(root.path()).unwrap(), Given::default());
    assert!(!root.path().join("var").exists(), "to look makes nothing");
    assert_eq!(add(root.path(), "1-2.3"), None);
    assert_eq!(add(root.path(), "0525:a4a2:A %23%25%22%5C#1"), None);
    assert_eq!(add(root.path(), " 1-2.3 "), Some(entry("1-2.3")));
    let given = Given::load(root.path()).unwrap();
    assert_eq!(given.entries(), [entry("1-2.3"), entry("0525:a4a2:A%20%23%25%22%5C#1")]);
    assert_eq!(
        fs::read_to_string(Given::path(root.path())).unwrap(),
        "\
# What was given to Outboard. `outboard give` and `outboard return` write this file; `outboard give` alone shows it.
version = 1

[[given]]
rule = \"1-2.3\"
at = 1764054819
by = 1000

[[given]]
rule = \"0525:a4a2:A%20%23%25%22%5C#1\"
at = 1764054819
by = 1000
"
    );
    let rule = "1-2.3".parse().unwrap();
    let take = |given: &mut Given| Ok(given.remove(&rule));
    assert!(Given::change(root.path(), take).unwrap().0);
    let (was, given) = Given::change(root.path(), take).unwrap();
    assert_eq!((was, rules(&given).len()), (false, 1));
    let modes = [(FILE, 0o644), (LOCK, 0o600)];
    for (name, mode) in modes {
        let metadata = fs::metadata(root.path().join(FOLDER).join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode);
    }
}

#[test]
fn the_most_exact_rule_is_the_one_that_gives() {
    let list = ["driver=usb-ecm", "0525:a4a2", "1-2.3", "0525:a4a2:A"];
    let given = Given { entries: list.map(entry).to_vec() };
    let subject = Subject {
        port: "1-2.3",
        vendor_id: 0x0525,
        product_id: 0xa4a2,
        serial: Some("A"),
        driver: Some("usb-ecm"),
        interfaces: &[0],
    };
    let rule = |subject: Subject<'_>| given.rule(&subject).map(ToString::to_string);
    assert_eq!(rule(subject).unwrap(), "1-2.3");
    assert_eq!(rule(Subject { port: "1-2", ..subject }).unwrap(), "0525:a4a2:A");
    assert_eq!(rule(Subject { port: "1-2", serial: None, ..subject }).unwrap(), "0525:a4a2");
    assert_eq!(rule(Subject { port: "1-2", vendor_id: 1, ..subject }).unwrap(), "driver=usb-ecm");
    assert_eq!(rule(Subject { port: "1-2", vendor_id: 1, driver: None, ..subject }), None);
}

/// Every state that a writer can leave: no next file, each beginning of it, all of it, and all of it in its place.
#[test]
fn every_instant_of_a_kill_leaves_the_old_or_the_new_rules() {
    let root = Root::new("given-instants");
    let next = format!("{FOLDER}/{NEXT}");
    let complete = file::render(&[entry("1-2.3"), entry("driver=usb-ecm")]);
    let check = |expected: &[&str]| {
        let given = Given::load(root.path()).unwrap();
        assert_eq!(rules(&given), expected);
        assert!(!root.path().join(&next).exists());
        // The next writer is not held up either.
        assert!(Given::change(root.path(), |given| given.add(entry("1-2.3"))).is_ok());
    };
    // The folder is there, and nothing in it; then the very first file is begun.
    fs::create_dir_all(root.path().join(FOLDER)).unwrap();
    assert_eq!(Given::load(root.path()).unwrap(), Given::default());
    for length in 0..=complete.len() {
        root.put(&next, &complete[..length]);
        assert_eq!(Given::load(root.path()).unwrap(), Given::default());
    }
    // The old file is there.
    add(root.path(), "1-2.3");
    for length in 0..=complete.len() {
        root.put(&next, &complete[..length]);
        check(&["1-2.3"]);
    }
    root.put(&next, &complete);
    fs::rename(root.path().join(&next), Given::path(root.path())).unwrap();
    check(&["1-2.3", "driver=usb-ecm"]);
}

/// Set for the process that is killed: the root to write below.
const WRITER: &str = "OUTBOARD_TEST_GIVEN_WRITER";

/// Set for one that writes once: the kernel kills it at the byte behind so many of a file.
const LIMIT: &str = "OUTBOARD_TEST_GIVEN_LIMIT";

/// The process of the test below.
fn writer_below(root: &Root) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "policy::given::tests::writer", "--nocapture", "--test-threads", "1"])
        .env(WRITER, root.path())
        .stdout(Stdio::piped());
    command
}

/// Not a test by itself: what the next one kills.
#[test]
fn writer() {
    let Some(root) = std::env::var_os(WRITER) else { return };
    let root = PathBuf::from(root);
    if let Ok(limit) = std::env::var(LIMIT) {
        let both = |limit| Rlimit { current: Some(limit), maximum: Some(limit) };
        setrlimit(Resource::Core, both(0)).unwrap();
        setrlimit(Resource::Fsize, both(limit.parse().unwrap())).unwrap();
        add(&root, "driver=usb-ecm");
        return;
    }
    for round in 0_u32.. {
        let rule: Rule = format!("1-{}", round % 40 + 1).parse().unwrap();
        let change = |given: &mut Given| match given.remove(&rule) {
            true => Ok(None),
            false => given.add(Entry { rule: rule.clone(), at: 0, by: 0 }),
        };
        Given::change(&root, change).unwrap();
        println!("\nwrote {round}");
    }
}

/// The kernel ends a writer in the midst of a file, as a full disk or a kill does: whatever it had written, the old rules hold.
#[test]
fn a_writer_that_is_killed_at_a_byte_leaves_the_old_rules() {
    let root = Root::new("given-byte");
    add(root.path(), "1-2.3");
    let whole = file::render(&[entry("1-2.3"), entry("driver=usb-ecm")]).len();
    let next = root.path().join(FOLDER).join(NEXT);
    for limit in (0..whole).step_by(13).chain([whole - 1]) {
        let status = writer_below(&root).env(LIMIT, limit.to_string()).output().unwrap().status;
        assert_eq!(status.signal(), Some(Signal::XFSZ.as_raw()), "after {limit} bytes: {status}");
        assert_eq!(fs::metadata(&next).unwrap().len(), limit as u64);
        assert_eq!(rules(&Given::load(root.path()).unwrap()), ["1-2.3"]);
        assert!(!next.exists());
    }
    assert!(writer_below(&root).env(LIMIT, whole.to_string()).output().unwrap().status.success());
    assert_eq!(rules(&Given::load(root.path()).unwrap()), ["1-2.3", "driver=usb-ecm"]);
}

#[test]
fn a_writer_that_is_killed_leaves_rules_and_no_lock() {
    let root = Root::new("given-killed");
    for round in 0..12_usize {
        let mut child = writer_below(&root).spawn().unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let wrote = lines.map_while(Result::ok).filter(|line| line.starts_with("wrote ")).nth(round * 3);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(wrote.is_some());
        let given = Given::load(root.path()).unwrap();
        let unique: BTreeSet<String> = rules(&given).into_iter().collect();
        assert!(unique.len() == given.entries().len() && unique.len() <= 40);
        assert!(!root.path().join(FOLDER).join(NEXT).exists());
        assert_eq!(add(root.path(), "driver=usb-ecm").is_some(), round > 0);
    }
}

#[test]
fn writers_wait_for_each_other_and_readers_see_whole_files() {
    let root = Root::new("given-writers");
    let path = root.path();
    std::thread::scope(|scope| {
        for bus in 1..=4 {
            scope.spawn(move || (1..=25).for_each(|port| drop(add(path, &format!("{bus}-{port}")))));
        }
        scope.spawn(|| (0..200).for_each(|_| drop(Given::load(path).unwrap())));
    });
    assert_eq!(Given::load(path).unwrap().entries().len(), 100);
    // While somebody writes, what is beside the file is the writer's.
    let lock = lock(path, FlockOperation::LockExclusive).unwrap();
    root.put(&format!("{FOLDER}/{NEXT}"), "half");
    assert_eq!(Given::load(path).unwrap().entries().len(), 100);
    assert!(path.join(FOLDER).join(NEXT).exists());
    drop(lock);
    Given::load(path).unwrap();
    assert!(!path.join(FOLDER).join(NEXT).exists());
}

#[test]
fn a_file_that_makes_no_sense_is_told_with_its_line_and_left_alone() {
    let root = Root::new("given-corrupt");
    let good = file::render(&[entry("1-2.3"), entry("driver=usb-ecm")]);
    let replaced = |from: &str, to: &str| good.replacen(from, to, 1);
    let faults: [(String, &str); 14] = [
        (String::new(), "version is missing"),
        (replaced("version = 1", "version = 2"), "line 2: version is 2, and this Outboard knows 1"),
        (replaced("version = 1", "version = \"1\""), "line 2: version is no number from 0 to"),
        (replaced("version = 1", "versoin = 1"), "line 2: versoin is unknown; known are version, given"),
        (replaced("[[given]]", "[given]"), "line 9: is no TOML: "),
        (replaced("\"1-2.3\"", "\"usb1\""), "line 5: given[1].rule cannot be used: 'usb1' says nothing"),
        (replaced("\"1-2.3\"", "3"), "line 5: given[1].rule is no text; put it in quotes"),
        (replaced("rule = \"1-2.3\"\n", ""), "line 4: given[1].rule is missing"),
        (replaced("at = 1764054819", "at = -1"), "line 6: given[1].at is no number from 0 to"),
        (replaced("by = 1000", "by = 4294967296"), "line 7: given[1].by is no number from 0 to 4294967295"),
        (
            replaced("by = 1000", "by = 1000\nwhy = 1"),
            "line 8: given[1].why is unknown; known are rule, at, by",
        ),
        (
            format!("version = 1\ngiven = [{}]", "{},".repeat(513)),
            "line 2: given has 513 rules, and at most 512",
        ),
        ("version = 1\ngiven = 3".to_owned(), "line 2: given is no list"),
        (format!("#{}", "x".repeat(file::MAX_BYTES)), "is longer than the 262144 bytes"),
    ];
    for (text, begin) in faults {
        root.put(&format!("{FOLDER}/{FILE}"), &text);
        for result in [
            Given::load(root.path()).map(drop),
            Given::change(root.path(), |given| given.add(entry("1-9"))).map(drop),
        ] {
            let error = result.unwrap_err();
            assert!(error.hint().is_some());
            let error = root.without(&error.to_string());
            let expected = format!("/{FOLDER}/{FILE}: {begin}");
            assert!(error.starts_with(&expected), "{error}\n{expected}");
        }
        assert_eq!(fs::read_to_string(Given::path(root.path())).unwrap(), text);
    }
    fs::write(Given::path(root.path()), b"version = 1\n# \xff").unwrap();
    assert!(Given::load(root.path()).unwrap_err().to_string().ends_with("line 2: is no UTF-8"));
    // Another's words are never shown as they are, and a file that anyone may write is not used.
    root.put(&format!("{FOLDER}/{FILE}"), &good);
    fs::set_permissions(Given::path(root.path()), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(Given::load(root.path()).unwrap_err().to_string().ends_with("chmod o-w mends it"));
    fs::remove_file(Given::path(root.path())).unwrap();
    fs::create_dir(Given::path(root.path())).unwrap();
    assert!(Given::load(root.path()).unwrap_err().to_string().ends_with("is no file"));
}

#[test]
fn there_is_an_end_to_rules() {
    let mut given = Given::default();
    for port in 1..=512 {
        assert_eq!(given.add(entry(&format!("1-{port}"))).unwrap(), None);
    }
    assert!(matches!(given.add(entry("1-513")), Err(GivenError::Full)));
    let mut given = Given::default();
    let long = |n: u32| entry(&format!("serial={}{n:04}", "%C3%A9".repeat(120)));
    let full = (0..512).find(|n| given.add(long(*n)).is_err());
    assert!(full.is_some_and(|n| n > 300));
}

proptest! {
    #[test]
    fn any_bytes_are_rules_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = file::parse(&bytes);
    }

    #[test]
    fn a_file_with_a_byte_changed_is_rules_or_an_error(at: prop::sample::Index, byte: u8) {
        let mut bytes = file::render(&[entry("1-2.3"), entry("0525:a4a2:X#1")]).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(entries) = file::parse(&bytes) {
            prop_assert_eq!(file::parse(file::render(&entries).as_bytes()).unwrap(), entries);
        }
    }
}
