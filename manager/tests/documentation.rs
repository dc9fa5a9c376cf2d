//! MANIFESTS.md says what the reader of manifests does: its examples are read, and its tables have every key.

use outboard_core::manifest::{Criterion, Entitlement, Expected, Family, parse};

const TEXT: &str = include_str!("../MANIFESTS.md");

/// The blocks between ```toml and ```.
fn examples() -> Vec<&'static str> {
    TEXT.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

/// The first cells of the rows of the table below this heading's row.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let rows = TEXT.lines().skip_while(|line| !line.starts_with(heading)).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').skip(1).map(|cell| cell.trim().trim_matches('`')).collect())
        .collect()
}

#[test]
fn the_examples_are_manifests() {
    let examples = examples();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let manifest = parse(example, &Expected { name: None, built_in: Some(&["usb-ecm"]) });
        assert!(manifest.is_ok(), "{manifest:?}\n{example}");
    }
}

#[test]
fn the_tables_are_complete_and_in_order() {
    let criteria = table("| Criterion |");
    let keys: Vec<_> = criteria.iter().map(|row| row[0]).collect();
    assert_eq!(keys, Criterion::ALL.map(Criterion::key));
    for (row, criterion) in criteria.iter().zip(Criterion::ALL) {
        let needed = criterion.needs().map_or("", Criterion::key);
        assert!(row[2] == needed || criterion == Criterion::Speed, "{row:?}");
    }
    // The reader names what it knows, in its order, when it meets a key that it does not know.
    let fault = &parse("zzz = 1", &Expected::default()).unwrap_err();
    let unknown = fault.iter().map(ToString::to_string).find(|text| text.contains("zzz")).unwrap();
    let known = unknown.split("known are ").nth(1).unwrap();
    let mut known: Vec<_> = known.split(", ").map(|key| key.trim_matches(['[', ']'])).collect();
    let mut told: Vec<_> = table("| Key |").iter().map(|row| row[0].trim_matches(['[', ']'])).collect();
    known.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, known);
    for word in Family::ALL.map(Family::as_str).into_iter().chain(Entitlement::ALL.map(Entitlement::as_str)) {
        assert!(TEXT.contains(&format!("`{word}`")), "{word}");
    }
}
