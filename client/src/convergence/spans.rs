//! Clocks as sets of writes that can be counted.

use std::collections::BTreeMap;

use quorate_protocol::ActorId;
use quorate_protocol::peer::{ActorClock, ENDLESS, writes_in};

/// First and last counter of a run of writes. The end of a closed actor, which reaches [`ENDLESS`], stands
/// apart and counts as one.
type Span = (u64, u64);

/// Writes, by actor; spans are ascending and do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans(BTreeMap<ActorId, Vec<Span>>);

impl Spans {
    pub(super) fn of(clock: &[ActorClock]) -> Self {
        let mut spans: BTreeMap<ActorId, Vec<Span>> = BTreeMap::new();
        for entry in clock {
            let of_actor = spans.entry(entry.actor).or_default();
            of_actor.extend((entry.base > 0).then_some((1, entry.base)));
            let runs = entry.runs.iter().filter(|(_, length)| *length > 0);
            of_actor.extend(runs.map(|&(first, length)| (first, first.saturating_add(length - 1))));
        }
        let normal = spans
            .into_iter()
            .map(|(actor, spans)| (actor, normal(spans)));
        Self(normal.filter(|(_, spans)| !spans.is_empty()).collect())
    }

    /// Adds another's writes.
    pub(super) fn merge(&mut self, other: &Self) {
        for (&actor, theirs) in &other.0 {
            let ours = self.0.entry(actor).or_default();
            let mut all = std::mem::take(ours);
            all.extend(theirs);
            *ours = normal(all);
        }
    }

    /// How many writes another one has and this one lacks.
    pub(super) fn lacks(&self, other: &Self) -> u64 {
        let of_actor = |(actor, theirs): (&ActorId, &Vec<Span>)| {
            let ours = self.0.get(actor).map_or(&[][..], Vec::as_slice);
            let lacking = theirs.iter().flat_map(|&span| missing(ours, span));
            lacking.map(size).fold(0, u64::saturating_add)
        };
        other.0.iter().map(of_actor).fold(0, u64::saturating_add)
    }
}

/// Ascending, as few as possible, the end apart.
fn normal(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|(first, _)| *first <= ENDLESS); // no write has a later one
    spans
        .iter_mut()
        .for_each(|(_, last)| *last = (*last).min(ENDLESS));
    spans.sort_unstable();
    let mut out: Vec<Span> = Vec::with_capacity(spans.len());
    for (first, last) in spans {
        match out.last_mut() {
            Some(before) if before.1 == ENDLESS => {}
            Some(before) if last == ENDLESS => {
                before.1 = before.1.min(first - 1);
                out.push((first, last));
            }
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            Some(_) | None => out.push((first, last)),
        }
    }
    out
}

/// How many writes a span stands for.
fn size((first, last): Span) -> u64 {
    writes_in(first, (last - first).saturating_add(1))
}

/// What of a run is in none of these, which are ascending and do not touch.
fn missing(ours: &[Span], (first, last): Span) -> Vec<Span> {
    let (mut next, mut left) = (first, Vec::new());
    let from = ours.partition_point(|span| span.1 < first);
    for span in ours[from..].iter().take_while(|span| span.0 <= last) {
        if next < span.0 {
            left.push((next, span.0 - 1));
        }
        next = next.max(span.1.saturating_add(1));
    }
    left.extend((next <= last).then_some((next, last)));
    left
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn clock(actor: u64, base: u64, runs: &[(u64, u64)]) -> ActorClock {
        ActorClock {
            actor: ActorId::new(actor),
            base,
            runs: runs.to_vec(),
        }
    }

    #[test]
    fn the_end_of_a_closed_actor_counts_as_one() {
        let end = |first: u64| (first, ENDLESS - first + 1);
        let lacks =
            |ours: &[ActorClock], theirs: &[ActorClock]| Spans::of(ours).lacks(&Spans::of(theirs));
        let closed = [clock(1, 5, &[end(6)])];
        assert_eq!(lacks(&[], &closed), 6);
        assert_eq!(lacks(&[clock(1, 3, &[])], &closed), 3);
        assert_eq!(lacks(&closed, &closed), 0);
        assert_eq!(lacks(&closed, &[clock(1, 9, &[])]), 0);
        let elsewhere = [clock(1, 2, &[end(9)])];
        assert_eq!(lacks(&elsewhere, &closed), 6);
        assert_eq!(lacks(&closed, &elsewhere), 0);
        let mut both = Spans::of(&elsewhere);
        both.merge(&Spans::of(&closed));
        assert_eq!(both, Spans::of(&closed));
    }

    /// Every subset of a few writes against every other, counted one by one.
    #[test]
    fn what_is_lacking_is_counted_exactly() {
        let spans = |bits: u32| {
            let runs: Vec<(u64, u64)> = (0..6)
                .filter(|bit| bits & (1 << bit) != 0)
                .map(|bit| (bit + 1, 1))
                .collect();
            Spans::of(&[clock(1, 0, &runs)])
        };
        for one in 0..64_u32 {
            for other in 0..64_u32 {
                assert_eq!(
                    spans(one).lacks(&spans(other)),
                    u64::from((other & !one).count_ones()),
                    "{one:b} {other:b}"
                );
                let mut both = spans(one);
                both.merge(&spans(other));
                assert_eq!(both, spans(one | other), "{one:b} {other:b}");
            }
        }
    }

    #[test]
    fn a_base_is_the_run_from_the_first_write_on_and_actors_are_apart() {
        let one = Spans::of(&[clock(1, 5, &[(7, 2)]), clock(2, 1, &[])]);
        assert_eq!(
            one,
            Spans::of(&[clock(1, 0, &[(1, 5), (7, 2)]), clock(2, 0, &[(1, 1)])])
        );
        assert_eq!(Spans::default().lacks(&one), 8);
        assert_eq!(Spans::of(&[clock(2, 9, &[])]).lacks(&one), 7);
        assert_eq!(one.lacks(&one), 0);
    }

    #[test]
    fn clocks_at_the_end_of_all_numbers_do_not_overflow() {
        let most = ENDLESS - 1;
        let all = Spans::of(&[
            clock(1, most, &[]),
            clock(2, most, &[]),
            clock(3, 3, &[(u64::MAX, 7)]),
        ]);
        assert_eq!(Spans::default().lacks(&all), u64::MAX);
        let distinct: BTreeSet<u64> = [all.lacks(&all)].into();
        assert_eq!(distinct, BTreeSet::from([0]));
    }
}
