//! Small accesses to files in /sys and /proc, and waiting for a state with a deadline.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a waited-for state is looked at. sysfs has no change notification for most of what the lab waits for.
const LOOK: Duration = Duration::from_millis(10);

/// Reads an attribute without its newline.
pub(crate) fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.trim_end().to_owned())
}

/// Writes an attribute.
pub(crate) fn write(path: impl AsRef<Path>, text: &str) -> Result<()> {
    let path = path.as_ref();
    fs::write(path, text).with_context(|| format!("write {text:?} to {}", path.display()))
}

/// Asks `look` until it gives something; an error of `look` ends the wait at once.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if start.elapsed() > limit {
            bail!("waited {} s for {what}", limit.as_secs());
        }
        thread::sleep(LOOK);
    }
}

/// [`wait_for`] a condition.
pub(crate) fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    wait_for(what, limit, || Ok(holds().then_some(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_names_what_it_waited_for() {
        let error = wait_until("the moon", Duration::ZERO, || false).expect_err("it never holds");
        assert_eq!(error.to_string(), "waited 0 s for the moon");
    }
}
