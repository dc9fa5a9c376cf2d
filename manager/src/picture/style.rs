//! Colours, on a terminal that wants them and nowhere else. It must not know what is coloured.

use std::io::IsTerminal;

/// Whether there are colours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    coloured: bool,
}

/// What a text stands out by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Colour {
    /// A name.
    Name,
    /// It is as it should be.
    Good,
    /// It will be, or is no longer.
    Passing,
    /// Somebody has to look.
    Bad,
    /// Less important.
    Aside,
}

impl Style {
    /// What fits standard output, and the person: <https://no-color.org>.
    pub(crate) fn of_output() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let poor = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        Self { coloured: std::io::stdout().is_terminal() && !unwanted && !poor }
    }

    /// None.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { coloured: false }
    }

    /// All.
    #[cfg(test)]
    pub(super) fn coloured() -> Self {
        Self { coloured: true }
    }

    /// The text in this colour.
    pub(crate) fn paint(self, colour: Colour, text: &str) -> String {
        if !self.coloured || text.is_empty() {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Name => 1,
            Colour::Good => 32,
            Colour::Passing => 33,
            Colour::Bad => 31,
            Colour::Aside => 2,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
