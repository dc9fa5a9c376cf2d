//! `outboard tree`: what is attached, who drives it and what that vends, as the manager sees it; and as it changes. It must not change anything.

use std::io::IsTerminal;

use outboard_core::registry::Registry;

use crate::control::Socket;
use crate::exit::Failure;
use crate::output::say;
use crate::picture::{self, Style};

/// Show the running manager's devices: bus, device, function, driver, and what it vends.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Go on, and show each change.
    #[arg(short, long)]
    watch: bool,
    /// Print JSON, for scripts; a line for each picture.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut manager = arguments.socket.connect()?;
    let style = Style::of_output();
    if !arguments.watch {
        say!("{}", text(&manager.registry()?, arguments.json, style).trim_end());
        return Ok(());
    }
    let live = std::io::stdout().is_terminal() && !arguments.json;
    for (n, registry) in manager.watch()?.enumerate() {
        let text = text(&registry?, arguments.json, style);
        let separator = if n > 0 && !arguments.json { "---\n" } else { "" };
        let seen = picture::put(&if live { frame(&text, rows()) } else { format!("{separator}{text}") });
        if !seen {
            break;
        }
    }
    Ok(())
}

fn text(registry: &Registry, json: bool, style: Style) -> String {
    if json { picture::json(registry) + "\n" } else { picture::tree(registry, style) }
}

/// How many the terminal has now.
fn rows() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or(24, |size| usize::from(size.ws_row)).max(2)
}

/// A picture for a terminal of so many rows. It takes the place of the last one, from the top and line by line, so that there is no moment in
/// which there is none. Lines are cut at its edge and not wrapped, which would push the first ones out of sight.
fn frame(text: &str, rows: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    // The cursor is in the last row.
    let room = rows - 1;
    let (shown, hidden) = if lines.len() > room { lines.split_at(room - 1) } else { (&lines[..], &[][..]) };
    let mut out = String::from("\u{1b}[?7l\u{1b}[H");
    for line in shown {
        // Cleared first: after a line that was cut, the cursor stands on its last character.
        out.push_str("\u{1b}[K");
        out.push_str(line);
        out.push('\n');
    }
    if !hidden.is_empty() {
        out.push_str(&format!("\u{1b}[K… {} more lines\n", hidden.len()));
    }
    out.push_str("\u{1b}[J\u{1b}[?7h");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_fits_its_terminal() {
        let plain = |text, rows| frame(text, rows).replace("\u{1b}[K", "");
        assert_eq!(plain("a\nb\n", 24), "\u{1b}[?7l\u{1b}[Ha\nb\n\u{1b}[J\u{1b}[?7h");
        assert_eq!(plain("a\nb\nc\nd\n", 5), "\u{1b}[?7l\u{1b}[Ha\nb\nc\nd\n\u{1b}[J\u{1b}[?7h");
        assert_eq!(plain("a\nb\nc\nd\n", 4), "\u{1b}[?7l\u{1b}[Ha\nb\n… 2 more lines\n\u{1b}[J\u{1b}[?7h");
        assert_eq!(plain("a\nb\n", 2), "\u{1b}[?7l\u{1b}[H… 2 more lines\n\u{1b}[J\u{1b}[?7h");
    }
}
