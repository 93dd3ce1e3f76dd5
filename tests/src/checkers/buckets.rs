//! Buckets: which there are is agreed on.
//!
//! * At most one definition of each revision of a name is ever told to a client or in force at any node,
//!   over all restarts. Id, n and mode of a name never change.
//! * What is in force was asked for by a client, and what a client is told is what it asked for and is in
//!   force at that node.
//! * At a node that keeps its disk revisions never go back, and no bucket goes.
//! * In the end all nodes have the same buckets in force, all that clients were told of among them.
//!
//! A node that lost its stored state forgot what it voted for. Then, and only then, two definitions of one
//! revision may come into force, of names that somebody had asked for by then; a node replaces one by the
//! smaller only. A definition that was in force at every node at one instant is *established*: it is beyond all doubt,
//! whatever a single disk forgets later, since every later vote meets it.
//!
//! Source: the promises at the head of `node/core/src/agreement/mod.rs`; votes that were answered before they
//! were durable and cluster metadata merged wrongly, in other stores.

use std::collections::BTreeMap;

use quorate_protocol::client::PutBucket;
use quorate_protocol::map::{Bucket, BucketProps};

use super::Violation;

/// The name of this invariant.
const NAME: &str = "buckets";

type InForce = BTreeMap<String, Bucket>;

/// What is known of one name.
#[derive(Clone, Debug, Default)]
struct Named {
    /// All that clients asked for.
    asked: Vec<BucketProps>,
    /// All definitions that were told or in force, each once.
    seen: Vec<Bucket>,
    told: Vec<Bucket>,
    established: Vec<Bucket>,
    /// Definitions from this revision on may contradict each other, unless they are established.
    doubtful_from: Option<u64>,
}

/// What clients asked for and were told, and what was in force where.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// At each node, as long as it keeps its disk.
    nodes: Vec<InForce>,
    names: BTreeMap<String, Named>,
    violations: Vec<Violation>,
}

impl Named {
    /// Whether a lost state excuses what was seen of this revision.
    fn is_doubtful(&self, revision: u64) -> bool {
        self.doubtful_from.is_some_and(|from| from <= revision)
    }

    /// Whether a lost state excuses that both were seen.
    fn excuses(&self, one: &Bucket, other: &Bucket) -> bool {
        let certain = |bucket: &Bucket| self.established.contains(bucket);
        self.is_doubtful(one.revision.min(other.revision)) && !certain(one) && !certain(other)
    }

    /// The revision after the last one that is beyond doubt.
    fn open_revision(&self) -> u64 {
        let revisions = self.established.iter().map(|bucket| bucket.revision);
        revisions.max().unwrap_or(0) + 1
    }
}

/// Whether both can be definitions of one name.
fn belong_together(one: &Bucket, other: &Bucket) -> bool {
    let fixed = |bucket: &Bucket| (bucket.id, bucket.props.n, bucket.props.mode);
    one == other || (one.revision != other.revision && fixed(one) == fixed(other))
}

impl Agreed {
    /// Of so many nodes, which start with these buckets in force.
    #[must_use]
    pub fn new(nodes: usize, founding: &[Bucket]) -> Self {
        let named = |bucket: &Bucket| Named {
            asked: vec![bucket.props.clone()],
            seen: vec![bucket.clone()],
            established: vec![bucket.clone()],
            ..Named::default()
        };
        Self {
            nodes: vec![by_name(founding); nodes],
            names: founding
                .iter()
                .map(|bucket| (bucket.name.clone(), named(bucket)))
                .collect(),
            violations: Vec::new(),
        }
    }

    /// A client asks for a bucket.
    pub fn asked(&mut self, request: &PutBucket) {
        let named = self.names.entry(request.name.clone()).or_default();
        if !named.asked.contains(&request.props) {
            named.asked.push(request.props.clone());
        }
    }

    /// A client is told by a node that its request is granted.
    pub fn told(&mut self, node: usize, request: &PutBucket, bucket: &Bucket) {
        if (&request.name, &request.props) != (&bucket.name, &bucket.props) {
            self.found(format!("{request:?} was answered with {bucket:?}"));
        }
        let here = self.nodes[node].get(&bucket.name);
        let holds = |here: &Bucket| here == bucket || here.revision > bucket.revision;
        let named = self.names.entry(bucket.name.clone()).or_default();
        if !here.is_some_and(holds) && !named.is_doubtful(bucket.revision) {
            let what = format!("node {node} told a client of {bucket:?} and has {here:?} in force");
            self.found(what);
        }
        self.saw(bucket);
        let named = self.names.entry(bucket.name.clone()).or_default();
        if !named.told.contains(bucket) {
            named.told.push(bucket.clone());
        }
    }

    /// These buckets are in force at a node now.
    pub fn in_force(&mut self, node: usize, buckets: &[Bucket]) {
        let now = by_name(buckets);
        let before = std::mem::replace(&mut self.nodes[node], now);
        for old in before.values() {
            if let Some(what) = self.went_back(node, old) {
                self.found(what);
            }
        }
        for bucket in buckets
            .iter()
            .filter(|bucket| before.get(&bucket.name) != Some(bucket))
        {
            self.saw(bucket);
            self.establish(bucket);
        }
    }

    /// A node lost its stored state, or a part of it.
    pub fn lost(&mut self, node: usize) {
        self.nodes[node].clear();
        for named in self.names.values_mut() {
            let from = named.open_revision();
            named.doubtful_from.get_or_insert(from);
        }
    }

    /// Two definitions of one revision met at a node.
    pub fn contradiction(&mut self, one: &Bucket, other: &Bucket) {
        let named = self.names.entry(one.name.clone()).or_default();
        if !named.is_doubtful(one.revision) {
            self.found(format!(
                "two definitions were in force: {one:?} and {other:?}"
            ));
        }
    }

    /// Whether this was in force at every node at one instant.
    #[must_use]
    pub fn is_established(&self, bucket: &Bucket) -> bool {
        let named = self.names.get(&bucket.name);
        named.is_some_and(|named| named.established.contains(bucket))
    }

    /// Whether a node has everything in force that is beyond doubt.
    #[must_use]
    pub fn knows_all(&self, node: usize) -> bool {
        self.names.iter().all(|(name, named)| {
            let here = self.nodes[node].get(name).map_or(0, |here| here.revision);
            here + 1 >= named.open_revision()
        })
    }

    /// All that clients asked for under a name.
    #[must_use]
    pub fn asked_for(&self, name: &str) -> &[BucketProps] {
        self.names.get(name).map_or(&[], |named| &named.asked)
    }

    /// What was found since the last call.
    pub fn take_violations(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.violations)
    }

    /// What is wrong in the end, when everything is settled.
    #[must_use]
    pub fn at_the_end(&self) -> Vec<Violation> {
        let mut wrong = Vec::new();
        let different = self.nodes.windows(2).position(|pair| pair[0] != pair[1]);
        if let Some(node) = different {
            let (one, other) = (&self.nodes[node], &self.nodes[node + 1]);
            wrong.push(format!(
                "node {node} ends with {one:?}, and the next one with {other:?}"
            ));
        }
        for (name, named) in &self.names {
            let end = self.nodes.first().and_then(|node| node.get(name));
            let kept = |told: &&Bucket| {
                let follows = |end: &Bucket| {
                    end == *told || (end.revision > told.revision && belong_together(told, end))
                };
                let doubtful = named.is_doubtful(told.revision);
                end.is_some_and(follows) || (doubtful && !named.established.contains(told))
            };
            let lost = named.told.iter().find(|told| !kept(told));
            wrong.extend(
                lost.map(|told| format!("a client was told of {told:?}, the end has {end:?}")),
            );
        }
        let violation = |what| Violation::general(NAME, what);
        wrong.into_iter().map(violation).collect()
    }

    fn found(&mut self, what: String) {
        self.violations.push(Violation::general(NAME, what));
    }

    /// How a node's present state takes back what it had in force, if it does.
    fn went_back(&self, node: usize, old: &Bucket) -> Option<String> {
        let named = self.names.get(&old.name)?;
        let now = self.nodes[node].get(&old.name);
        let fine = now.is_some_and(|now| {
            let smaller = now.revision == old.revision && now.id <= old.id;
            now.revision > old.revision
                || now == old
                || (smaller && named.is_doubtful(old.revision))
        });
        (!fine).then(|| format!("node {node} had {old:?} in force, and now {now:?}"))
    }

    /// Judges a definition when it is told or in force for the first time.
    fn saw(&mut self, bucket: &Bucket) {
        let named = self.names.entry(bucket.name.clone()).or_default();
        if named.seen.contains(bucket) {
            return;
        }
        let clash = named
            .seen
            .iter()
            .find(|other| !belong_together(other, bucket) && !named.excuses(other, bucket));
        let clash = clash.map(|other| format!("{bucket:?} beside {other:?}"));
        let unasked = !named.asked.contains(&bucket.props);
        named.seen.push(bucket.clone());
        if let Some(what) = clash {
            self.found(what);
        }
        if unasked {
            self.found(format!("nobody asked for {bucket:?}"));
        }
    }

    fn establish(&mut self, bucket: &Bucket) {
        let everywhere = |node: &InForce| node.get(&bucket.name) == Some(bucket);
        if self.nodes.iter().all(everywhere) {
            let named = self.names.entry(bucket.name.clone()).or_default();
            named.established.push(bucket.clone());
        }
    }
}

fn by_name(buckets: &[Bucket]) -> InForce {
    let named = |bucket: &Bucket| (bucket.name.clone(), bucket.clone());
    buckets.iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use quorate_protocol::map::BucketMode;
    use quorate_protocol::options::Count;

    use super::*;
    use crate::sim::map::bucket;

    fn made(id: u64, revision: u64, n: u8) -> Bucket {
        let mut made = bucket(id, "made", n, BucketMode::Siblings);
        made.revision = revision;
        if revision > 1 {
            made.props.defaults.r = Count::All;
        }
        made
    }

    fn request(bucket: &Bucket) -> PutBucket {
        PutBucket {
            name: bucket.name.clone(),
            props: bucket.props.clone(),
        }
    }

    /// Three nodes; somebody has asked for everything.
    fn story() -> Agreed {
        let mut agreed = Agreed::new(3, &[bucket(1, "first", 3, BucketMode::Siblings)]);
        for asked in [made(5, 1, 3), made(5, 2, 3), made(5, 1, 2), made(5, 2, 2)] {
            agreed.asked(&request(&asked));
        }
        agreed
    }

    fn in_force(agreed: &mut Agreed, node: usize, made: &[Bucket]) {
        let first = [bucket(1, "first", 3, BucketMode::Siblings)];
        agreed.in_force(node, &[&first, made].concat());
    }

    fn everywhere(agreed: &mut Agreed, made: &[Bucket]) {
        (0..3).for_each(|node| in_force(agreed, node, made));
    }

    fn catches(agreed: &mut Agreed) -> bool {
        !agreed.take_violations().is_empty()
    }

    #[test]
    fn what_goes_well_is_not_blamed() {
        let mut agreed = story();
        in_force(&mut agreed, 1, &[made(5, 1, 3)]);
        agreed.told(1, &request(&made(5, 1, 3)), &made(5, 1, 3));
        everywhere(&mut agreed, &[made(5, 1, 3)]);
        in_force(&mut agreed, 2, &[made(5, 2, 3)]);
        agreed.told(2, &request(&made(5, 1, 3)), &made(5, 1, 3));
        everywhere(&mut agreed, &[made(5, 2, 3)]);
        assert_eq!(agreed.take_violations(), []);
        assert_eq!(agreed.at_the_end(), []);
    }

    #[test]
    fn two_definitions_of_one_revision_are_caught_at_two_nodes() {
        let mut agreed = story();
        in_force(&mut agreed, 0, &[made(5, 1, 3)]);
        in_force(&mut agreed, 1, &[made(6, 1, 3)]);
        assert!(catches(&mut agreed));
    }

    #[test]
    fn two_definitions_of_one_revision_are_caught_when_two_clients_are_told() {
        let mut agreed = story();
        in_force(&mut agreed, 0, &[made(5, 1, 3)]);
        agreed.told(0, &request(&made(5, 1, 3)), &made(5, 1, 3));
        assert!(!catches(&mut agreed));
        in_force(&mut agreed, 0, &[made(5, 2, 3)]);
        agreed.told(0, &request(&made(6, 1, 3)), &made(6, 1, 3));
        assert!(catches(&mut agreed));
    }

    #[test]
    fn another_id_or_n_or_mode_in_a_later_revision_is_caught() {
        let mut lww = made(5, 2, 3);
        lww.props.mode = BucketMode::Lww;
        for changed in [made(6, 2, 3), made(5, 2, 2), lww] {
            let mut agreed = story();
            agreed.asked(&request(&changed));
            everywhere(&mut agreed, &[made(5, 1, 3)]);
            in_force(&mut agreed, 0, &[changed]);
            assert!(catches(&mut agreed));
        }
    }

    #[test]
    fn a_bucket_that_nobody_asked_for_is_caught() {
        let mut agreed = story();
        in_force(&mut agreed, 0, &[made(5, 1, 1)]);
        assert!(catches(&mut agreed));
    }

    #[test]
    fn an_answer_about_something_else_is_caught() {
        let mut agreed = story();
        in_force(&mut agreed, 0, &[made(5, 1, 3)]);
        agreed.told(0, &request(&made(5, 1, 2)), &made(5, 1, 3));
        assert!(catches(&mut agreed));
    }

    #[test]
    fn an_answer_before_the_bucket_is_in_force_there_is_caught() {
        let mut agreed = story();
        in_force(&mut agreed, 1, &[made(5, 1, 3)]);
        agreed.told(0, &request(&made(5, 1, 3)), &made(5, 1, 3));
        assert!(catches(&mut agreed));
    }

    #[test]
    fn a_revision_that_goes_back_and_a_bucket_that_goes_are_caught_unless_the_disk_is_lost() {
        for after in [vec![made(5, 1, 3)], vec![]] {
            let mut agreed = story();
            everywhere(&mut agreed, &[made(5, 1, 3)]);
            everywhere(&mut agreed, &[made(5, 2, 3)]);
            let mut lost = agreed.clone();
            in_force(&mut agreed, 0, &after);
            assert!(catches(&mut agreed));
            lost.lost(0);
            in_force(&mut lost, 0, &after);
            assert!(!catches(&mut lost) && !lost.knows_all(0) && lost.knows_all(1));
        }
    }

    #[test]
    fn only_a_lost_state_excuses_a_contradiction_and_only_of_what_was_not_beyond_doubt() {
        let mut agreed = story();
        agreed.contradiction(&made(5, 1, 3), &made(6, 1, 3));
        assert!(catches(&mut agreed));
        in_force(&mut agreed, 0, &[made(6, 1, 3)]);
        let mut established = agreed.clone();
        agreed.lost(2);
        in_force(&mut agreed, 1, &[made(5, 1, 3)]);
        agreed.contradiction(&made(5, 1, 3), &made(6, 1, 3));
        in_force(&mut agreed, 0, &[made(5, 1, 3)]);
        assert!(!catches(&mut agreed));
        everywhere(&mut established, &[made(6, 1, 3)]);
        established.lost(2);
        established.told(2, &request(&made(5, 1, 3)), &made(5, 1, 3));
        assert!(catches(&mut established));
    }

    #[test]
    fn the_larger_of_two_definitions_never_replaces_the_smaller() {
        let mut agreed = story();
        in_force(&mut agreed, 0, &[made(5, 1, 3)]);
        agreed.lost(2);
        in_force(&mut agreed, 0, &[made(6, 1, 3)]);
        assert!(catches(&mut agreed));
    }

    #[test]
    fn nodes_that_end_with_different_buckets_are_caught() {
        let mut agreed = story();
        in_force(&mut agreed, 0, &[made(5, 1, 3)]);
        assert!(!agreed.at_the_end().is_empty());
        everywhere(&mut agreed, &[made(5, 1, 3)]);
        assert_eq!(agreed.at_the_end(), []);
    }

    #[test]
    fn a_bucket_that_a_client_was_told_of_and_that_is_gone_in_the_end_is_caught() {
        let mut agreed = story();
        in_force(&mut agreed, 0, &[made(5, 1, 3)]);
        agreed.told(0, &request(&made(5, 1, 3)), &made(5, 1, 3));
        let mut lost = agreed.clone();
        everywhere(&mut agreed, &[]);
        assert!(!agreed.at_the_end().is_empty());
        lost.lost(0);
        everywhere(&mut lost, &[]);
        assert_eq!(lost.at_the_end(), []);
    }
}
