//! QEMU's monitor, over QMP: it plugs and unplugs devices while the guest runs.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A negotiated QMP connection.
#[derive(Debug)]
pub(crate) struct Monitor {
    reader: BufReader<UnixStream>,
}

impl Monitor {
    /// Greets QEMU (QMP requires `qmp_capabilities` first).
    pub(crate) fn new(stream: UnixStream) -> Result<Self> {
        // QEMU answers at once, also while it emulates; one that does not is stuck.
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut monitor = Self { reader: BufReader::new(stream) };
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Runs a command of the human monitor. That one reports errors as text; any text at all is one for the commands used here.
    pub(crate) fn human(&mut self, command: &str) -> Result<String> {
        let answer = self.execute("human-monitor-command", &json!({ "command-line": command }))?;
        let text = answer.as_str().unwrap_or_default().trim().to_owned();
        if text.starts_with("Error") || text.starts_with("unknown command") {
            bail!("{text}");
        }
        Ok(text)
    }

    fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let mut line = serde_json::to_vec(&json!({ "execute": command, "arguments": arguments }))?;
        line.push(b'\n');
        self.reader.get_mut().write_all(&line).context("write to QEMU's monitor")?;
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).context("hear QEMU's monitor")? == 0 {
                bail!("QEMU closed its monitor");
            }
            let message: Value = serde_json::from_str(&line)?;
            // The greeting and events come between.
            if let Some(answer) = message.get("return") {
                return Ok(answer.clone());
            }
            if let Some(error) = message.get("error") {
                bail!("{command}: {}", error["desc"].as_str().unwrap_or("refused"));
            }
        }
    }
}
