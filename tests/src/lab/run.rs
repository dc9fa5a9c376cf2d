//! Running other programs to their end, with their words in the error when they fail.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs `program` with arguments split at blanks and returns its standard output.
pub(crate) fn run(line: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    let program = words.next().context("an empty command line")?;
    output(Command::new(program).args(words))
}

/// Runs a prepared command and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("start `{shown}`"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}`: {}: {}", output.status, tail(&format!("{text}\n{said}"), 400));
    }
    Ok(text)
}

/// A command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}

/// The last `limit` characters of a text, on one line.
fn tail(text: &str, limit: usize) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let skipped = flat.chars().count().saturating_sub(limit);
    flat.chars().skip(skipped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_carries_the_command_and_its_words() {
        let error = run("ls /does/not/exist").expect_err("there is no such file").to_string();
        assert!(error.contains("ls /does/not/exist") && error.contains("No such file"), "{error}");
    }

    #[test]
    fn output_is_returned() {
        assert_eq!(run("echo one two").expect("echo exists"), "one two\n");
    }
}
