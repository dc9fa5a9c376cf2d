//! What may be depended on, checked without `cargo deny`: licences from deny.toml's own list, and one source. It must not need the network.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::workspace::{cargo, root};

/// The one registry that dependencies may come from, as `cargo metadata` names it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Fails with the packages whose licence or source is not allowed.
pub(crate) fn check() -> Result<()> {
    let deny = fs::read_to_string(root().join("deny.toml")).context("read deny.toml")?;
    let allowed = allowed_licences(&deny);
    ensure!(!allowed.is_empty(), "deny.toml allows no licence");
    let output = cargo(&["metadata", "--format-version=1", "--locked"]).output().context("cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    let mut wrong = Vec::new();
    for package in packages {
        let (name, version) =
            (package["name"].as_str().unwrap_or("?"), package["version"].as_str().unwrap_or("?"));
        let licence = package["license"].as_str().unwrap_or("none");
        if !permits(licence, &allowed) {
            wrong.push(format!("{name} {version}: licence {licence:?} is not in deny.toml's list"));
        }
        if package["source"].as_str().is_some_and(|source| source != REGISTRY) {
            wrong.push(format!("{name} {version}: comes from {}", package["source"]));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} packages, licences and sources as deny.toml says", packages.len());
    Ok(())
}

/// The strings of the list `allow = [...]`.
fn allowed_licences(deny: &str) -> Vec<&str> {
    let list = deny.split("\nallow = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
    list.split('"').skip(1).step_by(2).collect()
}

/// Whether an SPDX expression can be met with these licences. Parentheses only group alternatives in practice, so that an
/// expression is taken as alternatives of conjunctions after they are multiplied out by hand: `(A OR B) AND C`.
fn permits(expression: &str, allowed: &[&str]) -> bool {
    let old_style = expression.replace('/', " OR ");
    conjunctions(&old_style).iter().all(|part| {
        part.trim_matches(|c| c == '(' || c == ')' || c == ' ')
            .split(" OR ")
            .any(|name| allowed.contains(&name.trim()))
    })
}

/// Splits at the ANDs that are outside parentheses; inside, `A OR B AND C` without parentheses binds AND tighter, which no dependency uses.
fn conjunctions(expression: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for word in expression.split_whitespace() {
        if word == "AND" && depth == 0 {
            parts.push(String::new());
            continue;
        }
        depth += word.matches('(').count();
        depth -= word.matches(')').count().min(depth);
        if let Some(last) = parts.last_mut() {
            last.push_str(word);
            last.push(' ');
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_weighed() {
        let allowed = ["MIT", "Unicode-3.0", "Apache-2.0"];
        assert!(permits("MIT OR GPL-3.0", &allowed));
        assert!(permits("MIT/Apache-2.0", &allowed));
        assert!(permits("(MIT OR BSD-3-Clause) AND Unicode-3.0", &allowed));
        assert!(!permits("(MIT OR BSD-3-Clause) AND Zlib", &allowed));
        assert!(!permits("GPL-3.0", &allowed));
        assert!(!permits("none", &allowed));
    }

    #[test]
    fn the_list_is_read_from_the_file() {
        assert_eq!(
            allowed_licences("[licenses]\nallow = [\n  \"MIT\", # plain\n  \"Zlib\",\n]\n"),
            ["MIT", "Zlib"]
        );
    }
}
