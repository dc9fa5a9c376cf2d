//! `cargo xtask test` and `cargo xtask fuzz`: the steps, each a function, all in one table.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::dependencies;
use crate::install::{self, Need};
use crate::lab;
use crate::workspace::{build_dir, cargo, find_program, root, run};

/// Inputs for each fuzz target in `cargo xtask test`, and the seconds after which a target that takes long for each has had enough.
const SHORT_FUZZING: (u64, u64) = (50_000, 10);

/// Options of `cargo xtask test`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Steps to run; all when none is named.
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(STEPS.iter().map(|step| step.name)))]
    steps: Vec<String>,
    /// Go on after a step that failed, and fail at the end.
    #[arg(long)]
    keep_going: bool,
}

/// Options of `cargo xtask fuzz`.
#[derive(Debug, Args)]
pub(crate) struct FuzzArguments {
    /// Targets to run; all when none is named.
    targets: Vec<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
}

struct Step {
    name: &'static str,
    need: Option<Need>,
    run: fn() -> Result<Done>,
}

#[derive(PartialEq)]
enum Done {
    Passed,
    Skipped,
}

const STEPS: &[Step] = &[
    Step { name: "fmt", need: None, run: fmt },
    Step { name: "clippy", need: None, run: clippy },
    Step { name: "doc", need: None, run: doc },
    Step { name: "unit", need: Some(Need::Unit), run: unit },
    Step { name: "loom", need: None, run: loom },
    Step { name: "deny", need: None, run: deny },
    Step { name: "fuzz", need: Some(Need::Fuzz), run: short_fuzz },
    Step { name: "lab", need: Some(Need::Lab), run: lab_step },
];

/// `cargo xtask test`.
pub(crate) fn test(arguments: &Arguments) -> Result<()> {
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    let chosen: Vec<_> = STEPS
        .iter()
        .filter(|step| arguments.steps.is_empty() || arguments.steps.iter().any(|name| name == step.name))
        .collect();
    install::prepare(&chosen.iter().filter_map(|step| step.need).collect::<Vec<_>>())?;
    for step in chosen {
        let start = Instant::now();
        eprintln!("\n== {}", step.name);
        let done = (step.run)();
        let seconds = start.elapsed().as_secs_f64();
        let word = match &done {
            Ok(Done::Passed) => "ok",
            Ok(Done::Skipped) => "SKIPPED",
            Err(error) => {
                eprintln!("xtask: {}: {error:#}", step.name);
                failed.push(step.name);
                "FAILED"
            }
        };
        lines.push(format!("{:8} {seconds:7.1} s  {word}", step.name));
        if !failed.is_empty() && !arguments.keep_going {
            break;
        }
    }
    println!("\n{}", lines.join("\n"));
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn fmt() -> Result<Done> {
    run(&mut cargo(&["fmt", "--all", "--check"])).context("`cargo fmt` mends it")?;
    Ok(Done::Passed)
}

fn clippy() -> Result<Done> {
    run(&mut cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    Ok(Done::Passed)
}

fn doc() -> Result<Done> {
    run(cargo(&["doc", "--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Done::Passed)
}

fn unit() -> Result<Done> {
    // Each test that lacks something says so itself, and the others run.
    install::ready(Need::Unit)?;
    run(&mut cargo(&["test", "--quiet", "--workspace"]))?;
    Ok(Done::Passed)
}

/// Model checks of the data queue's ring. The plain tests bound them to be quick; with optimisation they are exhaustive.
fn loom() -> Result<Done> {
    let mut command = cargo(&["test", "--release", "-p", "outboard-core", "--lib", "loom"]);
    eprintln!("+ {}", crate::workspace::shown(&command));
    let output = command.stderr(Stdio::inherit()).output().context("start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    ensure!(output.status.success(), "a model check failed: {}", output.status);
    // A filter that matches nothing passes; that would be a check that cannot fail.
    ensure!(tests_run(&text) > 0, "no test of outboard-core has loom in its name, so nothing was checked");
    Ok(Done::Passed)
}

/// Sums up the lines `running N tests` of the test harness.
fn tests_run(output: &str) -> usize {
    output
        .lines()
        .filter_map(|line| line.strip_prefix("running ")?.split_whitespace().next()?.parse::<usize>().ok())
        .sum()
}

/// Licences and sources of dependencies; by `cargo deny`, with all that deny.toml says, where it is installed. Advisories need a database from
/// the network, which a test must not depend on.
fn deny() -> Result<Done> {
    dependencies::check()?;
    if find_program("cargo-deny").is_some() {
        run(&mut cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"]))?;
    }
    Ok(Done::Passed)
}

fn short_fuzz() -> Result<Done> {
    let (runs, seconds) = SHORT_FUZZING;
    // The same inputs each time: whether a change passes must not be chance. `cargo xtask fuzz` is for finding what is new.
    fuzz_targets(&[], &["-seed=1".to_owned(), format!("-runs={runs}"), format!("-max_total_time={seconds}")])
}

fn lab_step() -> Result<Done> {
    if !install::ready(Need::Lab)? {
        return Ok(Done::Skipped);
    }
    lab::command(&lab::Arguments::default())?;
    Ok(Done::Passed)
}

/// `cargo xtask fuzz`.
pub(crate) fn fuzz(arguments: &FuzzArguments) -> Result<()> {
    fuzz_targets(&arguments.targets, &[format!("-max_total_time={}", arguments.seconds)]).map(drop)
}

/// Builds the targets with coverage instrumentation and runs each with these options of libFuzzer.
///
/// The instrumentation is LLVM's and needs neither a nightly compiler nor `cargo fuzz`: only the sanitizers do, and there is next to no
/// `unsafe` for them to find.
fn fuzz_targets(chosen: &[String], options: &[String]) -> Result<Done> {
    let folder = root().join("tests/fuzz");
    ensure!(folder.join("Cargo.toml").exists(), "there is no {}", folder.display());
    if !install::ready(Need::Fuzz)? {
        return Ok(Done::Skipped);
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.join("fuzz_targets"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    if let Some(unknown) = chosen.iter().find(|name| !names.contains(name)) {
        bail!("there is no fuzz target {unknown:?}; there are {}", names.join(", "));
    }
    ensure!(!names.is_empty(), "there is no fuzz target in {}", folder.display());
    let built = build_fuzz(&folder)?;
    let seeds = build_dir().join("fuzz-seeds");
    run(cargo(&["run", "--quiet", "--package", "outboard-tests", "--bin", "fuzz-seeds"]).arg(&seeds))?;
    for name in names.iter().filter(|name| chosen.is_empty() || chosen.contains(name)) {
        let corpus = folder.join("corpus").join(name);
        let artifacts = folder.join("artifacts").join(name);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&artifacts)?;
        let mut command = std::process::Command::new(built.join(name));
        command.args(options).args([
            "-verbosity=0",
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-malloc_limit_mb=64",
        ]);
        command.arg(format!("-artifact_prefix={}/", artifacts.display())).arg(&corpus);
        // Inputs worth starting from; what is found goes only into the corpus.
        command.arg(seeds.join(name));
        run(&mut command).with_context(|| format!("the input is in {}", artifacts.display()))?;
    }
    Ok(Done::Passed)
}

fn build_fuzz(folder: &std::path::Path) -> Result<PathBuf> {
    let flags = [
        "--cfg",
        "fuzzing",
        "-Cdebug-assertions",
        "-Coverflow-checks",
        "-Ccodegen-units=1",
        "-Cpasses=sancov-module",
        "-Cllvm-args=-sanitizer-coverage-level=4",
        "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
        "-Cllvm-args=-sanitizer-coverage-pc-table",
        "-Cllvm-args=-sanitizer-coverage-trace-compares",
    ];
    let target_dir = build_dir().join("fuzz");
    let manifest = folder.join("Cargo.toml").display().to_string();
    // Naming the target keeps the flags away from build scripts and procedural macros.
    let triple = "x86_64-unknown-linux-gnu";
    let mut command =
        cargo(&["build", "--quiet", "--release", "--bins", "--target", triple, "--manifest-path", &manifest]);
    command.env("RUSTFLAGS", flags.join(" ")).env("CARGO_TARGET_DIR", &target_dir);
    run(&mut command)?;
    Ok(target_dir.join(triple).join("release"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_tests_of_all_binaries() {
        assert_eq!(tests_run("running 3 tests\ntest a ... ok\n\nrunning 1 test\n"), 4);
        assert_eq!(tests_run("running 0 tests\n"), 0);
    }
}
