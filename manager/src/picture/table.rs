//! The drivers of a picture as a table, a line for each. It must not know about devices that no driver of ours has.

use std::time::SystemTime;

use outboard_core::registry::Registry;

use super::{Colour, Style, words};
use crate::output::printable;

const HEAD: [&str; 9] =
    ["DEVICE", "DRIVER", "PID", "USER", "GENERATION", "STATE", "RESTARTS", "UPTIME", "VENDS"];
const STATE: usize = 5;

/// Lays it out.
pub(crate) fn table(registry: &Registry, now: SystemTime, style: Style) -> String {
    let mut rows = Vec::new();
    for device in &registry.devices {
        for function in &device.functions {
            let Some(instance) = function.instance() else { continue };
            let process = instance.process.as_ref();
            let of_process = |text: Option<String>| text.unwrap_or_else(|| "-".into());
            rows.push((
                words::colour(instance.state),
                [
                    printable(&device.name),
                    function.driver.as_deref().map_or_else(|| "-".into(), printable),
                    of_process(process.map(|process| process.id.to_string())),
                    of_process(
                        process.map(|process| process.user.map_or("manager".into(), |user| user.to_string())),
                    ),
                    of_process(process.map(|process| process.generation.to_string())),
                    instance.state.as_str().to_owned(),
                    instance.restarts.to_string(),
                    words::since(instance.since, now),
                    instance.vends.as_ref().map_or_else(|| "-".into(), words::vended_name),
                ],
            ));
        }
    }
    if rows.is_empty() {
        return "No driver of Outboard has a device.\n".into();
    }
    let head = HEAD.map(str::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().map(|(_, cells)| &cells[column]).chain([&head[column]]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; 9] = std::array::from_fn(width);
    let mut out = line(&head, &widths, |_, cell| style.paint(Colour::Aside, cell));
    for (colour, cells) in &rows {
        let paint = |column, cell: &str| match column {
            0 => style.paint(Colour::Name, cell),
            STATE => style.paint(*colour, cell),
            _ => cell.to_owned(),
        };
        out.push_str(&line(cells, &widths, paint));
    }
    out
}

fn line(cells: &[String; 9], widths: &[usize; 9], paint: impl Fn(usize, &str) -> String) -> String {
    let mut out = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        out.push_str(&paint(column, cell));
        // Nothing follows the last one.
        if column + 1 < cells.len() {
            let gap = width - cell.chars().count() + 2;
            out.extend(std::iter::repeat_n(' ', gap));
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::sample;

    #[test]
    fn each_driver_has_a_line() {
        let wanted = "\
DEVICE           DRIVER   PID   USER   GENERATION  STATE        RESTARTS  UPTIME     VENDS
1-2              usb-ecm  1234  61184  2           running      1         1 h 2 min  ecm0
usbip://far/1-1  usb-ecm  -     -      -           quarantined  5         42 s       -
";
        assert_eq!(table(&sample::registry(), sample::now(), Style::plain()), wanted);
    }

    #[test]
    fn no_driver_is_said() {
        let mut registry = sample::registry();
        registry.devices.retain(|device| device.name == "1-2.13");
        let said = table(&registry, sample::now(), Style::plain());
        assert_eq!(said, "No driver of Outboard has a device.\n");
    }
}
