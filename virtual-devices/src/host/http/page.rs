//! The page for people: what [`Status`] says, as HTML that needs nothing else. It must not know where that comes from.

use std::fmt::{self, Write};

use super::status::{Status, Total, Traffic};

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#0002}\
@media(prefers-color-scheme:dark){:root{--line:#fff3}}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .3rem}p{margin:.3rem 0}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid var(--line)}\
th{font-weight:500}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}footer{margin:2rem 0;opacity:.75}";

/// Text that cannot be markup.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// A number with its thousands apart.
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

/// A bit rate in the unit in which it is short.
struct Rate(u64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.0 as f64;
        match self.0 {
            0..1_000 => write!(f, "{} bit/s", self.0),
            1_000..1_000_000 => write!(f, "{} kbit/s", rate / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{} Mbit/s", rate / 1e6),
            _ => write!(f, "{} Gbit/s", rate / 1e9),
        }
    }
}

/// A time in its two largest units.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minutes, hours, days) = (self.0 / 60, self.0 / 3600, self.0 / 86_400);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{} s", self.0),
            (0, 0, _) => write!(f, "{minutes} min {} s", self.0 % 60),
            (0, _, _) => write!(f, "{hours} h {} min", minutes % 60),
            _ => write!(f, "{days} d {} h", hours % 24),
        }
    }
}

/// The page's bytes.
pub(super) fn page(status: &Status) -> Vec<u8> {
    let mut html = String::with_capacity(8 * 1024);
    let written = write(&mut html, status);
    debug_assert!(written.is_ok(), "a String takes everything");
    html.into_bytes()
}

fn write(html: &mut String, status: &Status) -> fmt::Result {
    let device = &status.device;
    let name = Escaped(&device.name);
    write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>{name}</title>\n\
         <style>{STYLE}</style>\n<h1>{name}</h1>\n"
    )?;
    if !device.variant.is_empty() {
        writeln!(html, "<p>{}</p>", Escaped(&device.variant))?;
    }
    html.push_str("<h2>Device</h2>\n<table>\n");
    let mut fact =
        |name: &str, value: fmt::Arguments<'_>| writeln!(html, "<tr><th>{name}</th><td>{value}</td></tr>");
    let link = &status.link;
    match (link.up, link.downlink_bits_per_second, link.uplink_bits_per_second) {
        (false, ..) => fact("Link", format_args!("down"))?,
        (true, down, up) if down == up => fact("Link", format_args!("up, {}", Rate(down)))?,
        (true, down, up) => {
            fact("Link", format_args!("up, {} to the computer, {} from it", Rate(down), Rate(up)))?;
        }
    }
    fact("Attached by", format_args!("{}", Escaped(&device.attached)))?;
    fact("Address", format_args!("{}", device.station))?;
    fact("Up for", format_args!("{}", Span(device.uptime_seconds as u64)))?;
    if let Some(active) = device.active_seconds {
        fact("In operation for", format_args!("{}", Span(active as u64)))?;
    }
    html.push_str("</table>\n");
    traffic(html, status)?;
    filter(html, status)?;
    leases(html, status)?;
    host(html, status)?;
    html.push_str(
        "<footer>The state of the moment when it was asked for. For programs: \
         <a href=\"/status.json\">status.json</a>.</footer>\n</html>\n",
    );
    Ok(())
}

fn traffic(html: &mut String, status: &Status) -> fmt::Result {
    html.push_str(
        "<h2>Traffic</h2>\n<table>\n<tr><th></th><th class=\"n\">Frames sent</th><th class=\"n\">Bytes sent</th>\
         <th class=\"n\">Frames received</th><th class=\"n\">Bytes received</th></tr>\n",
    );
    type Part = fn(&Total) -> Traffic;
    let rows: [(&str, Part); 4] = [
        ("All", |total| total.all),
        ("To one station", |total| total.directed),
        ("To a group", |total| total.multicast),
        ("To everyone", |total| total.broadcast),
    ];
    for (name, of) in rows {
        let (sent, received) = (of(&status.transmitted.total), of(&status.received.total));
        write!(html, "<tr><th>{name}</th>")?;
        for number in [sent.frames, sent.bytes, received.frames, received.bytes] {
            write!(html, "<td class=\"n\">{}</td>", Grouped(number))?;
        }
        html.push_str("</tr>\n");
    }
    let received = &status.received;
    writeln!(
        html,
        "</table>\n<p>Sent is what the computer sends. Not sent: {}. Not received: {} held back by the filter, {} for want of room, \
         {} that were no frames.</p>",
        Grouped(status.transmitted.errors),
        Grouped(received.filtered),
        Grouped(received.no_buffer),
        Grouped(received.errors)
    )
}

fn filter(html: &mut String, status: &Status) -> fmt::Result {
    let filter = &status.filter;
    let passing = [
        (filter.promiscuous, "everything"),
        (filter.directed, "frames to its address"),
        (filter.broadcast, "frames to everyone"),
        (filter.all_multicast, "frames to any group"),
        (filter.multicast, "frames to the listed groups"),
    ];
    let names: Vec<_> = passing.iter().filter(|(passes, _)| *passes).map(|(_, name)| *name).collect();
    let passes = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    writeln!(html, "<h2>Packet filter</h2>\n<p>Passes {passes}.</p>")?;
    if filter.group_count > 0 {
        let more = filter.group_count - filter.groups.len();
        let hashed = if filter.hashed { " (compared by a hash, so that others may pass)" } else { "" };
        write!(html, "<p>Groups{hashed}: {}", filter.groups.join(", "))?;
        if more > 0 {
            write!(html, " and {} more", Grouped(more as u64))?;
        }
        html.push_str(".</p>\n");
    }
    Ok(())
}

fn leases(html: &mut String, status: &Status) -> fmt::Result {
    let Some(dhcp) = &status.dhcp else { return Ok(()) };
    html.push_str("<h2>Leases</h2>\n");
    if dhcp.leases.is_empty() {
        html.push_str("<p>No address is leased.</p>\n");
    } else {
        html.push_str("<table>\n<tr><th>Address</th><th>Station</th><th class=\"n\">Ends in</th></tr>\n");
        for lease in &dhcp.leases {
            let left = Span(lease.seconds_left);
            let (address, station) = (lease.address, &lease.station);
            writeln!(html, "<tr><td>{address}</td><td>{station}</td><td class=\"n\">{left}</td></tr>")?;
        }
        html.push_str("</table>\n");
    }
    writeln!(
        html,
        "<p>{} of {} addresses are leased. Offered {}, granted {}, refused {}, ignored {}.</p>",
        dhcp.leases.len(),
        dhcp.addresses,
        Grouped(dhcp.offers),
        Grouped(dhcp.acks),
        Grouped(dhcp.naks),
        Grouped(dhcp.ignored)
    )
}

fn host(html: &mut String, status: &Status) -> fmt::Result {
    let host = &status.host;
    writeln!(
        html,
        "<h2>Host behind it</h2>\n<p>{}, {}, {}; station {}, MTU {}.</p>\n<table>\n<tr><th>Service</th><th class=\"n\">TCP port</th>\
         <th class=\"n\">Connections ended</th><th class=\"n\">Bytes received</th><th class=\"n\">Bytes sent</th></tr>",
        host.ipv4, host.ipv6[0], host.ipv6[1], host.station, host.mtu
    )?;
    for service in &host.services {
        writeln!(
            html,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            service.name,
            service.port,
            Grouped(service.connections),
            Grouped(service.received),
            Grouped(service.sent)
        )?;
    }
    html.push_str("</table>\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_readable_and_no_markup() {
        assert_eq!(Escaped("<b a='x'>&\"").to_string(), "&lt;b a=&#39;x&#39;&gt;&amp;&quot;");
        let grouped = [0, 999, 1_000, 1_234_567].map(|number| Grouped(number).to_string());
        assert_eq!(grouped, ["0", "999", "1,000", "1,234,567"]);
        let rates = [0, 9_600, 100_000_000, 2_500_000_000].map(|rate| Rate(rate).to_string());
        assert_eq!(rates, ["0 bit/s", "9.6 kbit/s", "100 Mbit/s", "2.5 Gbit/s"]);
        let spans = [0, 61, 3_660, 90_000].map(|seconds| Span(seconds).to_string());
        assert_eq!(spans, ["0 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }
}
