//! TTL: a value that is to live for a limited time is there as long, and no longer.
//!
//! White box in one respect: when a version expires is taken from what nodes stored (that it is the same
//! wherever it is stored is judged with every batch); how long it was to live, the history says. Judged are
//!
//! * **the end of showing**: no read that began after a write's time had passed by the slowest clock of the run
//!   shows it, and nothing of it is there in the end. That it is there *until* then is judged by
//!   the checkers of lost writes, freshness and sessions, for which an expiry excuses nothing earlier than by
//!   the fastest clock of the run;
//! * **the time itself**: it lies as far behind the write as the writer said, as exactly as clocks are
//!   right; a write that was to last has none.
//!
//! Source: catalogue row 27, expired objects that anti-entropy brought back with a new time to live.

use quorate_protocol::limits::CLOCK_AHEAD_MS_MAX;

use super::causal::Causal;
use super::{Evidence, Expiries, Violation};
use crate::history::{Operation, WriteId};

/// Values that live too long or not long enough.
#[must_use]
pub fn judge(evidence: &Evidence<'_>, causal: &Causal<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for operation in &evidence.history.operations {
        for shown in &operation.shown {
            if is_over(evidence, shown.write, operation.invoked_us) {
                let what = format!("{} had expired: {}", shown.write, operation.line());
                violations.push(Violation::of("TTL", operation.key, what));
            }
        }
    }
    for (key, shown) in &evidence.finals {
        for shown in shown {
            if is_over(evidence, shown.write, evidence.end_us) {
                let what = format!("{} had expired and is there in the end", shown.write);
                violations.push(Violation::of("TTL", *key, what));
            }
        }
    }
    for (&write, expiries) in &evidence.expiries {
        let wrong = causal
            .operation(write)
            .and_then(|put| Some((put, wrong_time(evidence, put, write, expiries)?)));
        violations.extend(wrong.map(|(put, why)| {
            Violation::of("TTL", put.key, format!("{write} {why}: {}", put.line()))
        }));
    }
    violations
}

fn is_over(evidence: &Evidence<'_>, write: WriteId, at_us: u64) -> bool {
    let expiries = evidence.expiries.get(&write);
    expiries.is_some_and(|expiries| expiries.hidden_by_us < at_us)
}

fn wrong_time(
    evidence: &Evidence<'_>,
    put: &Operation,
    write: WriteId,
    expiries: &Expiries,
) -> Option<String> {
    let Some(ttl_ms) = evidence.history.lifetimes.get(&write) else {
        let first_us = expiries.first_us?;
        return Some(format!("was to last and expires at {first_us} us"));
    };
    let (Some(first_us), Some(last_us)) = (expiries.first_us, expiries.last_us) else {
        return Some(format!("was to live for {ttl_ms} ms and never expires"));
    };
    let (ttl_us, apart_us) = (ttl_ms * 1000, slack_us(evidence));
    let early = first_us.saturating_add(apart_us) < put.invoked_us.saturating_add(ttl_us);
    // A try that got stuck somewhere may be carried out long after another one was answered.
    let latest_us = put
        .completed_us
        .saturating_add(ttl_us)
        .saturating_add(apart_us);
    let late = put.is_ok() && put.attempts <= 1 && last_us > latest_us;
    (early || late)
        .then(|| format!("was to live for {ttl_ms} ms and expires from {first_us} to {last_us} us"))
}

/// How far a coordinator's stamp may be off, and a millisecond for what stamps are finer than.
fn slack_us(evidence: &Evidence<'_>) -> u64 {
    let apart_ms = evidence.skew_ms.saturating_add(CLOCK_AHEAD_MS_MAX + 1);
    apart_ms.saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, catches};
    use super::*;
    use crate::checkers::{listings, lost_writes};

    const MUCH_LATER_US: u64 = 100_000_000;

    #[test]
    fn what_has_expired_must_be_shown_by_no_read_and_be_left_nowhere() {
        let mut story = Story::default();
        story.put(1, None);
        story.expires(1, 5_000, (4_000_000, 5_000_000));
        story.read(&[1]).invoked_us = 4_999_000;
        assert!(!catches(&story.judge(judge)));
        story.ends_with(&[1]);
        assert!(catches(&story.judge(judge)));
        story.ends_with(&[]);
        story.read(&[1]).invoked_us = 5_001_000;
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn a_value_lives_as_long_as_its_writer_said() {
        let mut story = Story::default();
        story.put(1, None);
        assert!(!catches(&story.judge(judge)));
        for (ttl_ms, right) in [(5_000, true), (10, false), (60_000, false)] {
            story.expires(1, ttl_ms, (4_000_000, 5_000_000));
            assert_eq!(!catches(&story.judge(judge)), right, "{ttl_ms}");
        }
    }

    #[test]
    fn a_value_must_not_be_gone_before_its_time() {
        let mut story = Story::default();
        story.put(1, None);
        story.expires(1, 5_000, (4_000_000, 5_000_000));
        story.ends_with(&[]);
        assert!(!catches(&story.judge(lost_writes::judge)));
        story.end_us = 3_999_999;
        assert!(catches(&story.judge(lost_writes::judge)));
    }

    #[test]
    fn what_an_expired_value_had_replaced_need_not_be_there() {
        let mut story = Story::default();
        story.put(1, None);
        story.put(2, Some(&[1]));
        story.ends_with(&[]);
        assert!(catches(&story.judge(lost_writes::judge)));
        story.expires(2, 5_000, (4_000_000, 5_000_000));
        assert!(!catches(&story.judge(lost_writes::judge)));
    }

    #[test]
    fn a_listing_names_no_key_of_which_all_has_expired() {
        let here = super::super::testing::KEY.number;
        let mut story = Story::default();
        story.put(1, None);
        story.expires(1, 5, (4_000, 5_000));
        story.list(&[here], &[here]);
        assert!(!catches(&story.judge(listings::judge)));
        story.later(MUCH_LATER_US);
        story.list(&[here], &[here]);
        assert!(catches(&story.judge(listings::judge)));
        let mut lasting = Story::default();
        lasting.put(1, None);
        lasting.expires(1, 5, (4_000, 5_000));
        lasting.put(2, None);
        lasting.lasts(2);
        lasting.later(MUCH_LATER_US);
        lasting.list(&[here], &[here]);
        assert!(!catches(&lasting.judge(listings::judge)));
    }
}
