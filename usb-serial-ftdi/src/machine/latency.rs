//! The latency timer's policy: quick while somebody waits for an answer, slow when nobody does. It knows neither the chip nor the port.

use std::time::{Duration, Instant};

/// The timer while an answer is awaited, in milliseconds: the least that chips have.
pub const QUICK: u8 = 1;
/// The timer of an idle line, in milliseconds: the chips' default.
pub const SLOW: u8 = 16;
/// How long after something was sent an answer is waited for, or up to half of it longer: the time is not set anew for each byte.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Afterwards the timer doubles after each such time.
pub const DECAY: Duration = Duration::from_millis(250);

/// What the timer should be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Latency {
    fixed: Option<u8>,
    now: u8,
    /// When it doubles.
    next: Option<Instant>,
}

impl Latency {
    pub(super) const fn new(fixed: Option<u8>) -> Self {
        Self { fixed, now: SLOW, next: None }
    }

    /// A value that is kept; `None`: by itself.
    pub(super) fn set_fixed(&mut self, fixed: Option<u8>) {
        self.fixed = fixed;
    }

    pub(super) fn value(&self) -> u8 {
        self.fixed.unwrap_or(self.now)
    }

    pub(super) fn sent(&mut self, now: Instant) {
        if self.now != QUICK || self.next.is_none_or(|next| next < now + PATIENCE) {
            self.now = QUICK;
            self.next = Some(now + PATIENCE + PATIENCE / 2);
        }
    }

    /// Nobody has the port open.
    pub(super) fn idle(&mut self) {
        (self.now, self.next) = (SLOW, None);
    }

    pub(super) fn timeout(&mut self, now: Instant) {
        while let Some(next) = self.next.filter(|next| *next <= now) {
            self.now = self.now.saturating_mul(2).min(SLOW);
            self.next = (self.now < SLOW).then_some(next + DECAY);
        }
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.next.filter(|_| self.fixed.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_quick_after_a_byte_and_decays() {
        let begin = Instant::now();
        let mut latency = Latency::new(None);
        assert_eq!((latency.value(), latency.wake_at()), (16, None));
        latency.sent(begin);
        assert_eq!(latency.value(), 1);
        let mut seen = Vec::new();
        while let Some(at) = latency.wake_at() {
            latency.timeout(at);
            seen.push((at - begin, latency.value()));
        }
        let ms = Duration::from_millis;
        assert_eq!(seen, [(ms(1500), 2), (ms(1750), 4), (ms(2000), 8), (ms(2250), 16)]);
        latency.sent(begin);
        latency.timeout(begin + ms(60_000));
        assert_eq!((latency.value(), latency.wake_at()), (16, None));
        latency.set_fixed(Some(5));
        latency.sent(begin);
        assert_eq!((latency.value(), latency.wake_at()), (5, None));
    }
}
