//! A pace: so many bytes in a second, and no more than a tenth of a second's at once.

use crate::shared::Shared;

/// Bytes that may be read now.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    /// Goes below 0 by what a page was larger than expected.
    bytes: i64,
    last_us: Option<u64>,
}

impl Allowance {
    pub(crate) const fn is_used_up(&self) -> bool {
        self.bytes <= 0
    }

    pub(crate) fn spend(&mut self, bytes: u64) {
        self.bytes -= i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    /// Nothing is to be done: time that passes from now on brings nothing.
    pub(crate) const fn rest(&mut self) {
        self.last_us = None;
    }

    /// Time brings new allowance at this rate, bytes per second; unused it is kept for a tenth of a second.
    pub(crate) fn refill(&mut self, shared: &Shared, rate: u64) {
        let now_us = shared.now.mono_us;
        let since_us = self
            .last_us
            .replace(now_us)
            .map_or(shared.timing.tick_us, |last_us| {
                now_us.saturating_sub(last_us)
            });
        let bytes = u128::from(rate) * u128::from(since_us) / 1_000_000;
        let most = i64::try_from(rate / 10).unwrap_or(i64::MAX).max(1);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.bytes = self.bytes.saturating_add(bytes).min(most);
    }
}
