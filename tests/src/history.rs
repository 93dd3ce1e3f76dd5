//! What clients did and saw. Every value carries the id of its write and can be checked whole, so that
//! the history is an oracle of its own: no checker asks the store what it meant.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_protocol::error::ErrorCode;
use quorate_protocol::ids::Dot;
use quorate_ring::{BucketId, NodeId};

use crate::sim::workload::request_of;

/// One write of a client, whatever became of it. Deletes are writes too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

impl std::fmt::Display for WriteId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "w{}", self.0)
    }
}

/// One key of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The bucket.
    pub bucket: BucketId,
    /// The number of the key.
    pub number: u32,
}

impl Key {
    /// The key's bytes.
    #[must_use]
    pub fn bytes(self) -> Bytes {
        Bytes::from(format!("k{}", self.number))
    }

    /// The key of these bytes, if it is one of ours.
    #[must_use]
    pub fn parse(bucket: BucketId, bytes: &[u8]) -> Option<Self> {
        let number = std::str::from_utf8(bytes).ok()?.strip_prefix('k')?;
        Some(Self {
            bucket,
            number: number.parse().ok()?,
        })
    }

    /// The first key that a text names.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '/');
        words
            .filter_map(|word| word.split_once('/'))
            .find_map(|(bucket, name)| {
                let bucket = BucketId::new(bucket.parse().ok()?);
                Self::parse(bucket, name.as_bytes())
            })
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/k{}", self.bucket.get(), self.number)
    }
}

/// What an operation wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To read.
    Get {
        /// Answers that it needed at least.
        r: u8,
        /// Whether fallbacks might answer.
        sloppy: bool,
        /// Whether a stale answer was welcome.
        stale_ok: bool,
        /// Whether it named what its session had seen.
        session: bool,
    },
    /// To list the keys of one partition; the operation's key names the bucket only.
    List {
        /// Numbers of the keys that live there.
        here: BTreeSet<u32>,
        /// Replicas that must answer.
        r: u8,
    },
    /// To write or delete.
    Write {
        /// The write.
        id: WriteId,
        /// Whether it deletes.
        delete: bool,
        /// What the writer had seen, if it gave a context.
        seen: Option<BTreeSet<WriteId>>,
        /// Acknowledgements asked.
        w: u8,
        /// Those of primaries asked.
        pw: u8,
        /// Durable ones asked.
        dw: u8,
        /// Whether fallbacks might take it.
        sloppy: bool,
    },
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is still under way.
    Pending,
    /// Done.
    Ok,
    /// Certainly not done.
    Failed(ErrorCode),
    /// Nobody knows.
    Unknown,
}

/// One sibling of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    /// The write.
    pub write: WriteId,
    /// Its dot.
    pub dot: Dot,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The client, which does one thing at a time.
    pub client: u32,
    /// The key.
    pub key: Key,
    /// What it wanted.
    pub kind: Kind,
    /// When it began, microseconds.
    pub invoked_us: u64,
    /// When it ended.
    pub completed_us: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// How often it was sent.
    pub attempts: u32,
    /// What a read returned.
    pub shown: Vec<Shown>,
    /// The dot that a write was told.
    pub dot: Option<Dot>,
    /// A read that no primary confirmed, or that said it may be stale.
    pub unsure: bool,
    /// A read that fewer than two primaries answered: nobody could contradict one that had lost something.
    pub alone: bool,
    /// The one replica whose answer counted, if it was one and that is known.
    pub only: Option<NodeId>,
}

impl Operation {
    /// The id of its write, if it is one.
    #[must_use]
    pub const fn write(&self) -> Option<WriteId> {
        match self.kind {
            Kind::Write { id, .. } => Some(id),
            Kind::Get { .. } | Kind::List { .. } => None,
        }
    }

    /// Whether it ended well.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// Whether it is a delete.
    #[must_use]
    pub const fn deletes(&self) -> bool {
        matches!(self.kind, Kind::Write { delete: true, .. })
    }

    /// A line for people.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{:>10.3} .. {:>10.3} ms  client {}  {}  {}  {:?}{}",
            self.invoked_us as f64 / 1000.0,
            self.completed_us as f64 / 1000.0,
            self.client,
            self.key,
            self.what(),
            self.outcome,
            self.tries(),
        )
    }

    /// What it wanted and what came of it, without its key and the time when it began.
    #[must_use]
    pub fn words(&self) -> String {
        let took_ms = self.completed_us.saturating_sub(self.invoked_us) as f64 / 1000.0;
        let end = match self.outcome {
            Outcome::Pending => "never ended".to_owned(),
            Outcome::Ok => format!("ok after {took_ms:.1} ms"),
            Outcome::Failed(code) => format!("failed after {took_ms:.1} ms: {}", code.name()),
            Outcome::Unknown => format!("in doubt after {took_ms:.1} ms"),
        };
        format!(
            "client {}: {}; {end}{}",
            self.client,
            self.what(),
            self.tries()
        )
    }

    fn tries(&self) -> String {
        if self.attempts > 1 {
            format!(", {} tries", self.attempts)
        } else {
            String::new()
        }
    }

    fn what(&self) -> String {
        match &self.kind {
            Kind::Get {
                r,
                sloppy,
                stale_ok,
                session,
            } => {
                let shown: Vec<String> = self
                    .shown
                    .iter()
                    .map(|shown| format!("{} ({})", shown.write, shown.dot))
                    .collect();
                format!(
                    "get r={r}{}{}{} -> [{}]",
                    if *sloppy { "" } else { " strict" },
                    if *stale_ok { " stale_ok" } else { "" },
                    if *session { " session" } else { "" },
                    shown.join(", ")
                )
            }
            Kind::List { here, r } => format!("list r={r} of {here:?}"),
            Kind::Write {
                id,
                delete,
                seen,
                w,
                pw,
                dw,
                sloppy,
            } => {
                let seen = seen.as_ref().map_or("nothing".to_owned(), |seen| {
                    let seen: Vec<String> = seen.iter().map(ToString::to_string).collect();
                    format!("[{}]", seen.join(", "))
                });
                let dot = self.dot.map(|dot| format!(" as {dot}")).unwrap_or_default();
                format!(
                    "{} {id} over {seen} w={w} pw={pw} dw={dw}{}{dot}",
                    if *delete { "delete" } else { "put" },
                    if *sloppy { "" } else { " strict" },
                )
            }
        }
    }
}

/// All operations of a run, in the order in which they began.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The operations.
    pub operations: Vec<Operation>,
    /// The keys that each listing named, by the operation's place.
    pub listed: BTreeMap<usize, BTreeSet<u32>>,
    /// Writes under contexts that no node gave out for their key, by the operation's place.
    pub forged: BTreeSet<usize>,
    /// Operations, by their place, of which a try was given less than a second or was answered by no
    /// process, or that were given up after few tries: nobody promises that they end well. Only simulated clients note it.
    pub hasty: BTreeSet<usize>,
    /// For how long the values of writes were to live, milliseconds; of those that were to expire.
    pub lifetimes: BTreeMap<WriteId, u64>,
    /// Values that were not what any write wrote, with the key.
    pub damaged: Vec<(Key, String)>,
}

impl History {
    /// The key that a text is about: one that it names, or one of a write whose request id it names.
    #[must_use]
    pub fn concerned(&self, text: &str) -> Option<Key> {
        let operation = |operation: &&Operation| {
            operation
                .write()
                .is_some_and(|id| text.contains(&request_of(id).to_string()))
        };
        Key::find(text).or_else(|| Some(self.operations.iter().find(operation)?.key))
    }

    /// The same without what was about keys in these buckets.
    #[must_use]
    pub fn without(&self, buckets: &BTreeSet<BucketId>) -> Self {
        let mut kept = Self {
            lifetimes: self.lifetimes.clone(),
            damaged: self.damaged.clone(),
            ..Self::default()
        };
        for (at, operation) in self.operations.iter().enumerate() {
            if buckets.contains(&operation.key.bucket) {
                continue;
            }
            let now = kept.operations.len();
            if let Some(listed) = self.listed.get(&at) {
                kept.listed.insert(now, listed.clone());
            }
            if self.forged.contains(&at) {
                kept.forged.insert(now);
            }
            if self.hasty.contains(&at) {
                kept.hasty.insert(now);
            }
            kept.operations.push(operation.clone());
        }
        kept
    }

    /// The operations on one key, in order, as lines.
    #[must_use]
    pub fn timeline(&self, key: Key) -> Vec<String> {
        self.operations
            .iter()
            .filter(|operation| operation.key == key)
            .map(Operation::line)
            .collect()
    }
}

const HEAD_BYTES: usize = 8;

/// The value that a write writes: its id, then bytes that follow from it.
#[must_use]
pub fn value_of(id: WriteId, size: usize) -> Bytes {
    let mut value = id.0.to_be_bytes().to_vec();
    let mut state = id.0;
    while value.len() < size {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        value.extend_from_slice(&state.to_be_bytes());
    }
    value.truncate(size.max(HEAD_BYTES));
    value.into()
}

/// The write that wrote a value.
///
/// # Errors
/// The bytes are not what that write wrote.
pub fn write_of(value: &[u8]) -> Result<WriteId, String> {
    let Some((head, _)) = value.split_first_chunk::<HEAD_BYTES>() else {
        return Err(format!("a value of {} bytes carries no id", value.len()));
    };
    let id = WriteId(u64::from_be_bytes(*head));
    if value_of(id, value.len()) == value {
        Ok(id)
    } else {
        Err(format!("the value of {id} is damaged"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_names_its_write_and_a_changed_one_none() {
        for size in [0, 8, 9, 100, 70_000] {
            let value = value_of(WriteId(77), size);
            assert_eq!(write_of(&value), Ok(WriteId(77)));
        }
        let mut value = value_of(WriteId(77), 100).to_vec();
        value[50] ^= 1;
        assert!(write_of(&value).is_err());
        assert!(write_of(b"short").is_err());
    }

    #[test]
    fn a_key_is_read_back_from_its_bytes() {
        let key = Key {
            bucket: BucketId::new(2),
            number: 31,
        };
        assert_eq!(Key::parse(key.bucket, &key.bytes()), Some(key));
        assert_eq!(Key::parse(key.bucket, b"other"), None);
        assert_eq!(Key::find(&format!("1/2, {key}: lost")), Some(key));
        assert_eq!(Key::find("12 writes, 3/1000 lost"), None);
    }
}
