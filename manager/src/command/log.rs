//! `outboard log`: the latest lines of the manager's log, and each as it is written. It must not know who wrote them.

use crate::control::Socket;
use crate::control::log::{Level, LogLine};
use crate::exit::Failure;
use crate::output::{printable, say};
use crate::picture::{self, Colour, Style};

/// Show the latest lines of the running manager's log.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Go on, and show each line as it is written.
    #[arg(short, long)]
    follow: bool,
    /// Print JSON, for scripts; a line for each.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let style = Style::of_output();
    let mut lines = 0;
    for line in arguments.socket.connect()?.log(arguments.follow)? {
        let line = line?;
        lines += 1;
        let text = if arguments.json { picture::json(&line) } else { text(&line, style) };
        if !picture::put(&format!("{text}\n")) {
            break;
        }
    }
    if lines == 0 && !arguments.json {
        say!("The manager has logged nothing yet.");
    }
    Ok(())
}

fn text(line: &LogLine, style: Style) -> String {
    let (word, colour) = match line.level {
        Level::Error => ("error", Colour::Bad),
        Level::Warn => ("warn ", Colour::Passing),
        Level::Info => ("info ", Colour::Good),
        Level::Debug => ("debug", Colour::Aside),
        Level::Trace => ("trace", Colour::Aside),
    };
    let device = match &line.device {
        Some(device) => format!("{}  ", style.paint(Colour::Name, &printable(device))),
        None => String::new(),
    };
    // A message may quote a device; it is one line and steers nothing.
    let message: String = line.message.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let time = style.paint(Colour::Aside, &picture::date(line.time));
    format!("{time}  {}  {device}{message}", style.paint(colour, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_line() {
        let mut line = LogLine {
            time: 1_790_000_000_123,
            level: Level::Warn,
            device: Some("1-2".into()),
            message: "it ended\n\u{1b}[2J".into(),
        };
        assert_eq!(text(&line, Style::plain()), "2026-09-21 14:13:20.123Z  warn   1-2  it ended??[2J");
        line.device = None;
        assert_eq!(text(&line, Style::plain()), "2026-09-21 14:13:20.123Z  warn   it ended??[2J");
    }
}
