//! What is left after the storm: every key read through every node, and the judges' word.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use quorate_client::{Bucket, Error, Read, Role};
use quorate_protocol::map::{Bucket as Definition, BucketMode};

use crate::checkers::{Evidence, Violation, judge};
use crate::history::{Key, Shown, write_of};
use crate::process::{Cluster, Index, Trouble, damage_tables};
use crate::sim::config::Profile;

use super::journal::Journal;

/// Reads under way at the same time.
const READERS: usize = 16;
const DEADLINE: Duration = Duration::from_secs(30);
/// Every copy.
const ALL: u8 = 3;
/// More than half of the copies.
const MOST: u8 = 2;
/// Counters that stand still when replicas agree.
const REPAIRS: [&str; 2] = ["read_repairs", "fallback_repairs"];

/// Why a last read is not what it should be.
#[derive(Clone, Debug, thiserror::Error)]
enum Failing {
    /// There was no answer.
    #[error("{0}")]
    Refused(String),
    /// The answer itself is wrong.
    #[error("{0}")]
    Wrong(String),
}

/// What a key holds by one node's word, or what speaks against the answer.
type Answer = (Key, Result<BTreeSet<Shown>, Failing>);

/// What was found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// Last reads.
    pub reads: usize,
    /// Bytes flipped in one node's tables, once all was judged and while everything was read again.
    pub flipped: Option<usize>,
    /// Reads that were refused after that.
    pub refused: usize,
}

/// What the keys hold in the end.
type Finals = BTreeMap<Key, BTreeSet<Shown>>;

/// Reads everything and judges.
pub(super) async fn reach(
    cluster: &mut Cluster,
    journal: &Journal,
    buckets: &[Definition],
) -> Result<Verdict, Trouble> {
    let keys = journal.keys();
    let mut verdict = Verdict::default();
    let mut finals = Finals::new();
    for node in cluster.all() {
        for (key, answer) in read_all(cluster, (node, ALL), &keys, buckets).await? {
            verdict.reads += 1;
            verdict.compare(&mut finals, node, key, answer);
        }
    }
    let before = repairs(cluster).await?;
    verdict.reads += read_all(cluster, (0, ALL), &keys, buckets).await?.len();
    let repaired = repairs(cluster).await? - before;
    if repaired > 0 {
        let what = format!("{repaired} repairs while everything was read a second time");
        verdict.violations.push(Violation::general("I6", what));
    }
    verdict.judge(journal, &finals, buckets);
    if verdict.violations.is_empty() {
        verdict.damage(cluster, &keys, &finals, buckets).await?;
    }
    Ok(verdict)
}

impl Verdict {
    fn compare(
        &mut self,
        finals: &mut Finals,
        node: Index,
        key: Key,
        answer: Result<BTreeSet<Shown>, Failing>,
    ) {
        let mut differs = |what: String| {
            self.violations.push(Violation::of("I6", key, what));
        };
        match answer {
            Err(why) => differs(format!("through n{}: {why}", node + 1)),
            Ok(shown) => {
                let first = finals.entry(key).or_insert_with(|| shown.clone());
                if *first != shown {
                    differs(format!("n{} says {shown:?}, others {first:?}", node + 1));
                }
            }
        }
    }

    /// Damages one node's files and reads everything again through it and another: never a wrong
    /// byte, never an absence that is none, and the others suffice.
    async fn damage(
        &mut self,
        cluster: &mut Cluster,
        keys: &[Key],
        finals: &Finals,
        buckets: &[Definition],
    ) -> Result<(), Trouble> {
        let (damaged, other) = (0, 1);
        // The second opening has read the log into tables.
        for _ in 0..2 {
            cluster.stop(damaged).await?;
            cluster.restart(damaged).await?;
        }
        cluster.stop(damaged).await?;
        let flipped = damage_tables(&cluster.data_dir(damaged));
        self.flipped = Some(flipped.map_err(Trouble::io("damaging tables"))?);
        cluster.restart(damaged).await?;
        cluster.seen(damaged, true).await?;
        for through in [damaged, other] {
            for (key, answer) in read_all(cluster, (through, MOST), keys, buckets).await? {
                self.reads += 1;
                match answer {
                    Ok(shown) if finals.get(&key) == Some(&shown) => {}
                    // A clear error is no wrong byte: a second replica may be slow just now.
                    Err(Failing::Refused(_)) => self.refused += 1,
                    Ok(_) | Err(Failing::Wrong(_)) => {
                        let what = format!("n1 is damaged; through n{}: {answer:?}", through + 1);
                        self.violations.push(Violation::of("I18", key, what));
                    }
                }
            }
        }
        Ok(())
    }

    /// Key by key, so that the memory for it stays small.
    fn judge(&mut self, journal: &Journal, finals: &Finals, buckets: &[Definition]) {
        for key in journal.keys() {
            let history = journal.of(key);
            let last = finals.get(&key).cloned().unwrap_or_default();
            let by_stamp = buckets
                .iter()
                .filter(|bucket| bucket.props.mode == BucketMode::Lww);
            let evidence = Evidence {
                blind: Vec::new(),
                history: &history,
                finals: BTreeMap::from([(key, last)]),
                copies: buckets
                    .iter()
                    .map(|bucket| (bucket.id, bucket.props.n))
                    .collect(),
                by_stamp: by_stamp.map(|bucket| bucket.id).collect(),
                profile: Profile::Storm,
                power_lost: false,
                outages: &[],
                // Clients are not told stamps, so nothing is judged by them.
                unaware: &[],
                members: &[],
                missing: &[],
                lost: &[],
                stamps: &BTreeMap::new(),
                skew_ms: u64::MAX,
                expiries: BTreeMap::new(),
                end_us: u64::MAX,
            };
            self.violations.extend(judge(&evidence));
        }
    }
}

/// Reads all keys through one node, from so many of their replicas.
async fn read_all(
    cluster: &Cluster,
    (node, r): (Index, u8),
    keys: &[Key],
    buckets: &[Definition],
) -> Result<Vec<Answer>, Trouble> {
    let through = cluster.client().through(cluster.id(node)?);
    let names = buckets
        .iter()
        .map(|bucket| (bucket.id, through.bucket(bucket.name.clone())));
    let names: Arc<BTreeMap<_, _>> = Arc::new(names.collect());
    let mut readers = tokio::task::JoinSet::new();
    for part in keys.chunks(keys.len() / READERS + 1) {
        let (part, names) = (part.to_vec(), Arc::clone(&names));
        readers.spawn(async move {
            let mut answers = Vec::new();
            for key in part {
                if let Some(bucket) = names.get(&key.bucket) {
                    answers.push((key, read(bucket, key, r).await));
                }
            }
            answers
        });
    }
    Ok(readers.join_all().await.into_iter().flatten().collect())
}

async fn read(bucket: &Bucket, key: Key, r: u8) -> Result<BTreeSet<Shown>, Failing> {
    let get = bucket.get(key.bytes()).r(r).explain().deadline(DEADLINE);
    let refused = |error: Error| Failing::Refused(error.to_string());
    let read = get.send().await.map_err(refused)?;
    if r == ALL {
        disagreement(&read).map_or(Ok(()), |how| Err(Failing::Wrong(how)))?;
    }
    let shown = read.siblings.iter().map(|sibling| {
        Ok(Shown {
            write: write_of(&sibling.data).map_err(Failing::Wrong)?,
            dot: sibling.dot,
        })
    });
    shown.collect()
}

/// How the replicas of one answer differ.
fn disagreement(read: &Read) -> Option<String> {
    let held =
        |part: &quorate_client::ReplicaReport| part.dots.iter().copied().collect::<BTreeSet<_>>();
    let mut parts = read.info.replicas.iter();
    let first = held(parts.next()?);
    let alike = parts.all(|part| held(part) == first && part.role == Role::Primary);
    (!alike).then(|| format!("its replicas differ: {:?}", read.info.replicas))
}

async fn repairs(cluster: &Cluster) -> Result<u64, Trouble> {
    let mut sum = 0;
    for node in cluster.all() {
        for counter in REPAIRS {
            sum += cluster.counter(node, counter).await?;
        }
    }
    Ok(sum)
}
