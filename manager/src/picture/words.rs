//! The facts of a picture in words: the same in the tree, the table and in full. It must not know how they are laid out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outboard_core::registry::{Device, Instance, Process, Sandbox, State, Vended};

use super::Colour;
use crate::output::{name, printable};

/// What a device calls itself.
pub(super) fn product(device: &Device) -> String {
    name(&device.manufacturer, &device.product)
}

/// Its numbers.
pub(super) fn ids(device: &Device) -> String {
    format!("{:04x}:{:04x}", device.vendor_id, device.product_id)
}

/// Who outside Outboard has a function.
pub(super) fn outsider(holder: &str) -> String {
    match holder {
        "usbfs" => "another program, through usbfs".into(),
        driver => format!("the kernel's driver {}", printable(driver)),
    }
}

/// How a state looks.
pub(super) fn colour(state: State) -> Colour {
    match state {
        State::Running => Colour::Good,
        State::Starting | State::Waiting | State::Stopping => Colour::Passing,
        State::Quarantined => Colour::Bad,
    }
}

/// `process 1234, generation 2`
pub(super) fn process(process: &Process) -> String {
    format!("process {}, generation {}", process.id, process.generation)
}

/// What a process is held back by.
pub(super) fn sandbox(sandbox: &Sandbox) -> String {
    let landlock = match sandbox.landlock {
        Some(version) => format!("Landlock {version}"),
        None => "no Landlock (the kernel has none)".into(),
    };
    format!("{} system calls and {} ioctls are left to it, {landlock}", sandbox.system_calls, sandbox.ioctls)
}

/// What is vended, by its name alone.
pub(super) fn vended_name(vended: &Vended) -> String {
    match vended {
        Vended::Network { name, .. } => printable(name),
    }
}

/// What is vended, in full.
pub(super) fn vended(vended: &Vended) -> String {
    match vended {
        Vended::Network { name, mac, mtu, link_up, down_mbit, up_mbit } => {
            let link = if *link_up { "up" } else { "down" };
            let speed = match (down_mbit, up_mbit) {
                (0, 0) => String::new(),
                (down, up) if down == up => format!(", {down} Mbit/s"),
                (down, up) => format!(", {down} Mbit/s in, {up} Mbit/s out"),
            };
            let (name, mac) = (printable(name), printable(mac));
            format!("network interface {name}, {mac}, MTU {mtu}, link {link}{speed}")
        }
    }
}

/// The last error, if it is news: whoever runs has got over it.
pub(super) fn trouble(instance: &Instance) -> Option<String> {
    let error = instance.last_error.as_deref()?;
    (instance.state != State::Running).then(|| sentence(error))
}

/// A text of ours that may quote a device: in full, but steering nothing.
pub(super) fn sentence(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// From then to now, to two units.
pub(super) fn since(then: SystemTime, now: SystemTime) -> String {
    // A clock that was set back makes it no time at all.
    let seconds = now.duration_since(then).unwrap_or_default().as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// A short time.
pub(super) fn took(duration: Duration) -> String {
    match duration.as_millis() {
        millis @ 0..10_000 => format!("{millis} ms"),
        millis => format!("{} s", millis / 1000),
    }
}

/// A moment in UTC, by the milliseconds since 1970: `2026-09-21 14:13:20.000Z`.
pub(crate) fn date(millis: u64) -> String {
    let (days, of_day) = (millis / 86_400_000, millis % 86_400_000);
    // Years begin in March, so that the day that some lack is the last; 719_468 days are from the first of March of the year 0 to 1970.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

/// The same of a moment, to the second.
pub(super) fn moment(time: SystemTime) -> String {
    let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let text = date(u64::try_from(millis).unwrap_or_default());
    format!("{}Z", text.split('.').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00:00.000Z");
        assert_eq!(date(951_782_400_000), "2000-02-29 00:00:00.000Z");
        assert_eq!(date(1_709_251_199_999), "2024-02-29 23:59:59.999Z");
        assert_eq!(date(1_790_000_000_001), "2026-09-21 14:13:20.001Z");
        assert_eq!(date(4_107_542_400_000), "2100-03-01 00:00:00.000Z");
        assert!(date(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn times_have_two_units() {
        let now = UNIX_EPOCH + Duration::from_secs(10_000_000);
        let ago = |seconds| since(now - Duration::from_secs(seconds), now);
        assert_eq!(ago(59), "59 s");
        assert_eq!(ago(61), "1 min 1 s");
        assert_eq!(ago(3725), "1 h 2 min");
        assert_eq!(ago(90_000), "1 d 1 h");
        assert_eq!(since(now + Duration::from_secs(5), now), "0 s");
        assert_eq!(took(Duration::from_millis(84)), "84 ms");
        assert_eq!(took(Duration::from_secs(12)), "12 s");
    }
}
