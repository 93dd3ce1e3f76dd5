//! Faults in words, and whom they touch.

use std::collections::BTreeSet;

use super::faults::Fault;
use super::network::Link;

/// A node's name: ids are given out from 1, in the order of places.
pub(super) fn name(node: usize) -> String {
    format!("n{}", node + 1)
}

/// Whether a fault touches one of these nodes.
pub(super) fn touches(fault: &Fault, holders: &BTreeSet<usize>) -> bool {
    match fault {
        Fault::Kill { node, .. }
        | Fault::Power { node, .. }
        | Fault::Pause { node, .. }
        | Fault::Clock { node, .. }
        | Fault::BadReads { node, .. }
        | Fault::BadWrite { node, .. }
        | Fault::Full { node, .. }
        | Fault::SlowSyncs { node, .. }
        | Fault::BadSync { node }
        | Fault::Wipe { node, .. }
        | Fault::Rewind { node, .. }
        | Fault::Damage { node, .. }
        | Fault::Vanish { node, .. } => holders.contains(node),
        Fault::Cut { links, .. } | Fault::Clog { links, .. } => links
            .iter()
            .any(|(from, to)| holders.contains(from) || holders.contains(to)),
    }
}

/// What a fault is, in words.
pub(super) fn in_words(fault: &Fault) -> String {
    match fault {
        Fault::Kill { node, down_us } => {
            format!("{} is killed, for {}", name(*node), seconds(*down_us))
        }
        Fault::Power {
            node,
            kept,
            down_us,
        } => format!(
            "the power of {} goes off, for {}; of what was not synced {kept} batches survive",
            name(*node),
            seconds(*down_us)
        ),
        Fault::Pause { node, for_us } => {
            format!("{} stands still for {}", name(*node), seconds(*for_us))
        }
        Fault::Cut {
            links,
            for_us,
            shape,
        } => format!(
            "links are cut for {} ({shape}): {}",
            seconds(*for_us),
            pairs(links)
        ),
        Fault::Clock { node, skew_ms } => {
            format!("the clock of {} is {skew_ms} ms off", name(*node))
        }
        Fault::Clog { links, for_us, .. } => format!(
            "links hold everything back for {}: {}",
            seconds(*for_us),
            pairs(links)
        ),
        Fault::BadReads { .. }
        | Fault::BadWrite { .. }
        | Fault::Full { .. }
        | Fault::SlowSyncs { .. }
        | Fault::BadSync { .. }
        | Fault::Wipe { .. }
        | Fault::Rewind { .. }
        | Fault::Damage { .. }
        | Fault::Vanish { .. } => of_a_disk(fault),
    }
}

fn of_a_disk(fault: &Fault) -> String {
    match fault {
        Fault::BadReads {
            node,
            permille,
            for_us,
        } => format!(
            "{permille} of 1000 reads of {}'s disk fail, for {}",
            name(*node),
            seconds(*for_us)
        ),
        Fault::BadWrite { node, .. } => format!("the next write to {}'s disk fails", name(*node)),
        Fault::Full { node, for_us } => {
            format!("{}'s disk is full, for {}", name(*node), seconds(*for_us))
        }
        Fault::SlowSyncs { node, for_us } => {
            format!(
                "fsyncs of {} take long, for {}",
                name(*node),
                seconds(*for_us)
            )
        }
        Fault::BadSync { node } => format!("the next fsync of {} fails", name(*node)),
        Fault::Wipe { node, down_us } => format!(
            "{} is killed and starts {} later on an empty disk",
            name(*node),
            seconds(*down_us)
        ),
        Fault::Rewind { node, down_us } => format!(
            "{} is killed and starts {} later on an old copy of its disk",
            name(*node),
            seconds(*down_us)
        ),
        Fault::Damage { node, records, .. } => {
            format!("{records} records on {}'s disk are damaged", name(*node))
        }
        Fault::Vanish { node, records, .. } => {
            format!("{records} records on {}'s disk vanish", name(*node))
        }
        Fault::Kill { .. }
        | Fault::Power { .. }
        | Fault::Pause { .. }
        | Fault::Cut { .. }
        | Fault::Clog { .. }
        | Fault::Clock { .. } => String::new(),
    }
}

fn seconds(us: u64) -> String {
    format!("{:.3} s", us as f64 / 1e6)
}

/// `n1-n2` where both directions are meant, `n1>n2` where one is.
fn pairs(links: &BTreeSet<Link>) -> String {
    let texts: Vec<String> = links
        .iter()
        .filter_map(|&(from, to)| {
            let both = links.contains(&(to, from));
            let sign = if both { '-' } else { '>' };
            (!both || from < to).then(|| format!("{}{sign}{}", name(from), name(to)))
        })
        .collect();
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_names_its_links_and_touches_their_ends() {
        let fault = Fault::Cut {
            links: BTreeSet::from([(0, 1), (1, 0), (2, 0)]),
            for_us: 1_500_000,
            shape: "two groups",
        };
        assert_eq!(
            in_words(&fault),
            "links are cut for 1.500 s (two groups): n1-n2 n3>n1"
        );
        assert!(touches(&fault, &BTreeSet::from([2])));
        assert!(!touches(&fault, &BTreeSet::from([3])));
    }
}
