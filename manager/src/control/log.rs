//! The manager's log as clients see it: the latest lines, and each as it is written. It must not know who reads it.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// How many lines are kept.
const LINES: usize = 500;
/// How much of a message is kept, in bytes.
const LENGTH: usize = 2048;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogLine {
    /// Milliseconds since 1970.
    pub(crate) time: u64,
    /// How bad it is.
    pub(crate) level: Level,
    /// The device that it is about.
    pub(crate) device: Option<String>,
    /// What happened.
    pub(crate) message: String,
}

/// How bad a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLine {
    /// A line of now.
    pub(crate) fn now(level: Level, device: Option<String>, message: impl Into<String>) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Self { time, level, device, message: cut(message.into()) }
    }
}

/// The log: all copies are the same one. Lines may come from any thread.
#[derive(Debug, Clone)]
pub(crate) struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    latest: Mutex<VecDeque<LogLine>>,
    sender: broadcast::Sender<LogLine>,
}

impl Default for Log {
    fn default() -> Self {
        let latest = Mutex::new(VecDeque::with_capacity(LINES));
        Self(Arc::new(Inner { latest, sender: broadcast::Sender::new(LINES) }))
    }
}

impl Log {
    /// Writes a line.
    pub(crate) fn push(&self, line: LogLine) {
        let mut latest = self.0.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() == LINES {
            latest.pop_front();
        }
        latest.push_back(line.clone());
        // Nobody may be reading. It is sent while the lock is held, so that who follows misses no line and sees none twice.
        let _nobody_follows = self.0.sender.send(line);
    }

    /// The latest lines, the oldest first, and what brings those that follow.
    pub(crate) fn follow(&self) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        let latest = self.0.latest.lock().unwrap_or_else(PoisonError::into_inner);
        (latest.iter().cloned().collect(), self.0.sender.subscribe())
    }

    /// What feeds it from `tracing`. Give it a filter of its own, or it takes all.
    pub(crate) fn layer(&self) -> Layer {
        Layer { log: self.clone() }
    }
}

/// Turns each event of `tracing` into a line. The device is the field `device` of the event, or else that of the innermost span which has one.
#[derive(Debug)]
pub(crate) struct Layer {
    log: Log,
}

/// A span's device.
struct Device(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Layer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let (Some(device), Some(span)) = (fields.device, context.span(id)) {
            span.extensions_mut().insert(Device(device));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let of_span = || {
            context
                .event_scope(event)?
                .find_map(|span| span.extensions().get::<Device>().map(|device| device.0.clone()))
        };
        let device = fields.device.or_else(of_span);
        let message = match (fields.message.is_empty(), fields.others.is_empty()) {
            (false, true) => fields.message,
            (true, _) => fields.others,
            (false, false) => format!("{} ({})", fields.message, fields.others),
        };
        self.log.push(LogLine::now(level(*event.metadata().level()), device, message));
    }
}

fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

/// The fields of an event or a span.
#[derive(Default)]
struct Fields {
    device: Option<String>,
    message: String,
    others: String,
}

impl Fields {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        match field.name() {
            "device" => self.device = Some(cut(value.to_string())),
            "message" => self.message = value.to_string(),
            name => {
                let separator = if self.others.is_empty() { "" } else { ", " };
                // To write to a string cannot fail.
                let _ = write!(self.others, "{separator}{name}: {value}");
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

/// At most so much of a text; a driver's error may quote what its device sent.
fn cut(mut text: String) -> String {
    if text.len() > LENGTH {
        text.truncate(text.floor_char_boundary(LENGTH));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    fn lines(log: &Log) -> Vec<(Level, Option<String>, String)> {
        log.follow().0.into_iter().map(|line| (line.level, line.device, line.message)).collect()
    }

    #[test]
    fn events_become_lines_with_their_device() {
        let log = Log::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(log.layer()), || {
            tracing::info!(device = "1-2", interface = 3, "it serves");
            let span = tracing::info_span!("driver", device = %"2-1");
            let _inside = span.enter();
            tracing::warn!("it ended");
            tracing::error!(device = %"3-1", error = "no");
        });
        assert_eq!(
            lines(&log),
            [
                (Level::Info, Some("1-2".into()), "it serves (interface: 3)".into()),
                (Level::Warn, Some("2-1".into()), "it ended".into()),
                (Level::Error, Some("3-1".into()), "error: no".into()),
            ]
        );
    }

    #[test]
    fn the_latest_lines_are_kept_and_long_ones_cut() {
        let log = Log::default();
        for n in 0..LINES + 3 {
            log.push(LogLine::now(Level::Info, None, format!("{n}")));
        }
        log.push(LogLine::now(Level::Info, None, "ä".repeat(10_000)));
        let lines = lines(&log);
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines[0].2, "4");
        assert_eq!(lines[LINES - 1].2.chars().count(), LENGTH / 2 + 1);
    }
}
