//! A manifest from its text: which keys there are and what they may hold. Everything is checked, unknown keys are faults, and all faults are
//! told at once. It must not read a file.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use toml::de::DeTable;

use super::criterion::Kind;
use super::read::{Faults, Item, Table, line, shown};
use super::{
    Criterion, Entitlement, Family, Fault, Manifest, Match, Program, Version, Wanted, is_name, limit,
};
use crate::usb::Speed;
use crate::usb::discovery::Selector;

/// What is known beforehand and has to agree with the text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected<'a> {
    /// The name that the file has, without `.toml`: a file replaces the one of the same name in another folder, so the two names must agree.
    pub name: Option<&'a str>,
    /// The drivers that are part of the program; `None`: not known.
    pub built_in: Option<&'a [&'a str]>,
}

/// Reads a manifest.
///
/// ```
/// use outboard_core::manifest::{Expected, parse};
/// let text = r#"
///     name = "acme-gigabit"
///     version = "1.2.0"
///     display-name = "ACME Gigabit Adapter"
///     usage-description = "Makes a network interface of ACME's adapters."
///     program = "/usr/libexec/outboard/acme-gigabit"
///     family = "ethernet"
///     entitlements = ["transport.usb", "family.ethernet"]
///
///     [[match]]
///     vendor-id = 0x1209
///     product-id = [0x0001, 0x0002]
/// "#;
/// let manifest = parse(text, &Expected::default()).unwrap();
/// assert_eq!(manifest.alternatives.len(), 1);
///
/// let faults = parse(&text.replace("product-id = [0x0001, 0x0002]", "product_id = 70000"), &Expected::default()).unwrap_err();
/// assert_eq!(faults[0].to_string(), "line 12: match[1].product_id is unknown; did you mean product-id?");
/// ```
///
/// # Errors
/// Everything that is wrong, by line; at least one and at most [`limit::FAULTS`].
pub fn parse(text: &str, expected: &Expected<'_>) -> Result<Manifest, Vec<Fault>> {
    if text.len() > limit::BYTES {
        return Err(vec![too_long()]);
    }
    let parsed = DeTable::parse(text).map_err(|error| {
        let at = error.span().map(|span| line(text, span.start));
        // The parser's messages may have lines of their own.
        let reason = error.message().lines().collect::<Vec<_>>().join("; ");
        vec![Fault { line: at, key: None, reason: format!("is no TOML: {reason}") }]
    })?;
    let mut faults = Faults::new(text);
    let mut table = Table::new(parsed.get_ref(), String::new(), 0);
    let manifest = manifest(&mut table, &mut faults, expected);
    table.end(&mut faults);
    let list = faults.into_list();
    match manifest {
        Some(manifest) if list.is_empty() => Ok(manifest),
        _ if list.is_empty() => Err(vec![Fault::whole("cannot be understood")]),
        _ => Err(list),
    }
}

pub(super) fn too_long() -> Fault {
    Fault::whole(format!("is longer than the {} bytes that a manifest may have", limit::BYTES))
}

fn manifest(table: &mut Table<'_, '_>, faults: &mut Faults<'_>, expected: &Expected<'_>) -> Option<Manifest> {
    // Each is read before any is missed, so that all faults are told.
    let name = table.need("name", faults).and_then(|item| name(&item, faults, expected.name));
    let version = table.need("version", faults).and_then(|item| version(&item, faults));
    let display_name =
        table.need("display-name", faults).and_then(|item| item.text(faults, limit::DISPLAY_NAME));
    let usage_description =
        table.need("usage-description", faults).and_then(|item| item.text(faults, limit::USAGE_DESCRIPTION));
    let program = table.need("program", faults).and_then(|item| program(&item, faults, expected.built_in));
    let family =
        table.need("family", faults).and_then(|item| word(&item, faults, &Family::ALL, Family::as_str));
    let priority = match table.take("priority") {
        Some(item) => {
            let most = i64::from(limit::PRIORITY);
            item.number(faults, (-most, most), |number| number.to_string())
        }
        None => Some(0),
    };
    let entitlements =
        table.need("entitlements", faults).and_then(|item| entitlements(&item, faults, family));
    let tables = match table.take("match") {
        Some(item) => item.tables(faults, limit::ALTERNATIVES),
        None => Some(Vec::new()),
    };
    if tables.as_ref().is_some_and(Vec::is_empty) {
        faults.add(None, Some("[[match]]".to_owned()), "is missing: the driver would be for no device");
    }
    let alternatives: Vec<_> =
        tables.into_iter().flatten().filter_map(|table| alternative(table?, faults)).collect();
    Some(Manifest {
        name: name?.to_owned(),
        version: version?,
        display_name: display_name?.to_owned(),
        usage_description: usage_description?.to_owned(),
        program: program?,
        family: family?,
        priority: i16::try_from(priority?).ok()?,
        entitlements: entitlements?,
        alternatives,
    })
}

fn name<'t>(item: &Item<'t, '_>, faults: &mut Faults<'_>, expected: Option<&str>) -> Option<&'t str> {
    let name = item.text(faults, limit::NAME)?;
    if !is_name(name) {
        let reason =
            "can have lower-case letters, digits and hyphens, with a letter first and no hyphen last";
        item.fault(faults, format!("is \"{}\"; it {reason}", shown(name)));
        return None;
    }
    match expected {
        Some(expected) if expected != name => {
            let reason =
                format!("is \"{name}\", but the file is called {}.toml; the two must agree", shown(expected));
            item.fault(faults, reason);
            None
        }
        _ => Some(name),
    }
}

fn version(item: &Item<'_, '_>, faults: &mut Faults<'_>) -> Option<Version> {
    let text = item.text(faults, limit::VERSION)?;
    let version = Version::parse(text);
    if let Err(error) = &version {
        let reason = format!("is \"{}\"; it must be like 1.2.3 (semver.org): {error}", shown(text));
        item.fault(faults, reason);
    }
    version.ok()
}

fn program(item: &Item<'_, '_>, faults: &mut Faults<'_>, built_in: Option<&[&str]>) -> Option<Program> {
    let text = item.text(faults, limit::PROGRAM)?;
    if let Some(name) = text.strip_prefix("builtin:") {
        let known = match built_in {
            Some(known) => known.contains(&name),
            None => is_name(name),
        };
        if !known {
            let known = built_in.unwrap_or_default().join(", ");
            let known = if known.is_empty() { String::new() } else { format!("; there are {known}") };
            item.fault(
                faults,
                format!("is \"{}\", and there is no such driver built in{known}", shown(text)),
            );
        }
        return known.then(|| Program::BuiltIn(name.to_owned()));
    }
    let path = Path::new(text);
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if text.len() > limit::PROGRAM || !path.is_absolute() || !plain || text.ends_with('/') {
        let reason = "it must be a program's absolute path without \"..\", or builtin:NAME";
        item.fault(faults, format!("is \"{}\"; {reason}", shown(text)));
        return None;
    }
    Some(Program::Path(path.to_owned()))
}

/// One of the words that `all` have.
fn word<T: Copy>(
    item: &Item<'_, '_>,
    faults: &mut Faults<'_>,
    all: &[T],
    as_str: impl Fn(T) -> &'static str,
) -> Option<T> {
    let text = item.text(faults, limit::USAGE_DESCRIPTION)?;
    let found = all.iter().copied().find(|one| as_str(*one) == text);
    if found.is_none() {
        let words: Vec<_> = all.iter().map(|one| as_str(*one)).collect();
        item.fault(faults, format!("is \"{}\"; it can be {}", shown(text), words.join(", ")));
    }
    found
}

fn entitlements(
    item: &Item<'_, '_>,
    faults: &mut Faults<'_>,
    family: Option<Family>,
) -> Option<Vec<Entitlement>> {
    let mut list = Vec::new();
    for element in item.list(faults, Entitlement::ALL.len())? {
        list.push(word(&element, faults, &Entitlement::ALL, Entitlement::as_str)?);
    }
    list.sort_unstable();
    list.dedup();
    let mut lacks = |needed: Entitlement, why: &str| {
        let has = list.contains(&needed);
        if !has {
            item.fault(faults, format!("lacks \"{needed}\", which {why} needs"));
        }
        has
    };
    let usb = lacks(Entitlement::TransportUsb, "every driver");
    let family =
        family.is_none_or(|family| lacks(Entitlement::Family(family), &format!("family = \"{family}\"")));
    (usb && family).then_some(list)
}

fn alternative(mut table: Table<'_, '_>, faults: &mut Faults<'_>) -> Option<Match> {
    let mut criteria = BTreeMap::new();
    let mut complete = true;
    for criterion in Criterion::ALL {
        let Some(item) = table.take(criterion.key()) else { continue };
        match wanted(criterion, &item, faults) {
            Some(wanted) => drop(criteria.insert(criterion, wanted)),
            None => complete = false,
        }
    }
    complete &= table.end(faults);
    // What is said of the whole is only true if all of it was understood.
    if !complete {
        return None;
    }
    Match::new(criteria).map_err(|senseless| table.fault(faults, senseless.to_string())).ok()
}

fn wanted(criterion: Criterion, item: &Item<'_, '_>, faults: &mut Faults<'_>) -> Option<Wanted> {
    let most = match criterion.kind() {
        Kind::Range => return range(criterion, item, faults),
        Kind::Word => u16::MAX,
        _ => u8::MAX.into(),
    };
    let elements = item.list(faults, limit::VALUES)?;
    Some(match criterion.kind() {
        Kind::Serial => Wanted::Texts(each(elements, |element| {
            element.text(faults, limit::SERIAL_NUMBER).map(str::to_owned)
        })?),
        Kind::Place => Wanted::Texts(each(elements, |element| place(element, faults))?),
        Kind::Speed => {
            Wanted::Speeds(each(elements, |element| word(element, faults, &SPEEDS, Speed::as_str))?)
        }
        Kind::Word | Kind::Code | Kind::Number | Kind::Range => {
            Wanted::Numbers(each(elements, |element| number(criterion, element, faults, most))?)
        }
    })
}

const SPEEDS: [Speed; 5] = [Speed::Low, Speed::Full, Speed::High, Speed::Super, Speed::SuperPlus];

fn each<'t, 'i, T>(
    elements: Vec<Item<'t, 'i>>,
    read: impl FnMut(&Item<'t, 'i>) -> Option<T>,
) -> Option<Vec<T>> {
    elements.iter().map(read).collect()
}

fn number(criterion: Criterion, item: &Item<'_, '_>, faults: &mut Faults<'_>, most: u16) -> Option<u16> {
    let show =
        |number: i64| u16::try_from(number).map_or_else(|_| number.to_string(), |n| criterion.number(n));
    item.number(faults, (0, most.into()), show).and_then(|number| u16::try_from(number).ok())
}

/// A number, or a table with `min` and `max`, of which one may be missing.
fn range(criterion: Criterion, item: &Item<'_, '_>, faults: &mut Faults<'_>) -> Option<Wanted> {
    if item.is_number() {
        return number(criterion, item, faults, u16::MAX).map(|number| Wanted::Range(number, number));
    }
    let mut table = item.table(faults, "a number, or a table such as { min = 0x0100, max = 0x01ff }")?;
    let mut bound = |key, default: u16, faults: &mut Faults<'_>| match table.take(key) {
        Some(item) => number(criterion, &item, faults, u16::MAX),
        None => Some(default),
    };
    let (least, most) = (bound("min", 0, faults), bound("max", u16::MAX, faults));
    table.end(faults);
    let (least, most) = (least?, most?);
    if least > most {
        item.fault(
            faults,
            format!("has min {} above max {}", criterion.number(least), criterion.number(most)),
        );
        return None;
    }
    if (least, most) == (0, u16::MAX) {
        item.fault(faults, "is a range without end; leave it out, or name min or max");
        return None;
    }
    Some(Wanted::Range(least, most))
}

fn place(item: &Item<'_, '_>, faults: &mut Faults<'_>) -> Option<String> {
    let text = item.text(faults, limit::PORT)?;
    match Selector::parse(text) {
        Ok(Selector::Place(place)) if place == text => Some(place),
        _ => {
            item.fault(faults, format!("is \"{}\"; it must be bus-port.port, such as 1-2.3", shown(text)));
            None
        }
    }
}
