//! A client that reads, writes and deletes, and tells the oracle.

use std::collections::{BTreeMap, BTreeSet};

use quorate_client::{Bucket, Client, Context, Error, Kind};

use super::cluster::BUCKET;
use super::dice::Dice;
use super::oracle::{Oracle, Outcome, WriteId, value};
use super::plan::Plan;
use super::trace::Trace;

/// One client's work.
pub(crate) struct Worker {
    pub(crate) number: u64,
    pub(crate) client: Client,
    pub(crate) oracle: Oracle,
    pub(crate) trace: Trace,
}

/// What a client last read of a key.
#[derive(Clone, Default)]
struct Known {
    context: Option<Context>,
    ids: BTreeSet<WriteId>,
}

impl Worker {
    /// Works until all operations are done.
    pub(crate) async fn run(self, plan: Plan) {
        let mut dice = Dice::new(plan.seed, 10 + self.number);
        let bucket = self.client.bucket(BUCKET);
        let mut known: BTreeMap<u64, Known> = BTreeMap::new();
        for _ in 0..plan.operations {
            tokio::time::sleep(dice.ms(0, 800)).await;
            let key = dice.below(plan.keys);
            let known = known.entry(key).or_default();
            match dice.below(10) {
                0..4 => self.get(&bucket, key, known).await,
                4 => self.delete(&bucket, key, std::mem::take(known)).await,
                5..8 => {
                    let bytes = length(&mut dice, plan.value_bytes_max);
                    self.put(&bucket, key, bytes, std::mem::take(known)).await;
                }
                _ => {
                    let bytes = length(&mut dice, plan.value_bytes_max);
                    self.put(&bucket, key, bytes, Known::default()).await;
                }
            }
        }
        self.client.close().await;
    }

    async fn get(&self, bucket: &Bucket, key: u64, known: &mut Known) {
        match bucket.get(name(key)).send().await {
            Ok(read) => {
                let ids = self.oracle.read(
                    key,
                    read.siblings.iter().map(|value| (&value.data, value.dot)),
                );
                self.note(format!("get {key} {ids:?}"));
                *known = Known {
                    context: Some(read.context),
                    ids,
                };
            }
            Err(error) => self.note(format!("get {key} {error}")),
        }
    }

    async fn put(&self, bucket: &Bucket, key: u64, bytes: usize, known: Known) {
        let id = self.oracle.begin(key, false, known.ids);
        let mut put = bucket.put(name(key), value(id, bytes));
        if let Some(context) = known.context {
            put = put.context(context);
        }
        self.end(id, put.send().await.err());
    }

    /// A delete without a context would remove what nobody knows of: those that read nothing read first.
    async fn delete(&self, bucket: &Bucket, key: u64, mut known: Known) {
        if known.context.is_none() {
            self.get(bucket, key, &mut known).await;
        }
        let Some(context) = known.context else { return };
        let id = self.oracle.begin(key, true, known.ids);
        let deleted = bucket.delete(name(key)).context(context).send().await;
        self.end(id, deleted.err());
    }

    fn end(&self, id: WriteId, error: Option<Error>) {
        let outcome = match error.as_ref().map(Error::kind) {
            None => Outcome::Acknowledged,
            Some(Kind::InDoubt) => Outcome::Open,
            Some(Kind::Retry | Kind::Fix | Kind::GiveUp) => Outcome::Refused,
        };
        let words = error.map_or(String::new(), |error| error.to_string());
        self.note(format!("write {id} {outcome:?} {words}"));
        self.oracle.end(id, outcome);
    }

    fn note(&self, what: String) {
        self.trace
            .note(format_args!("client {} {what}", self.number));
    }
}

/// The bytes of a key.
pub(crate) fn name(key: u64) -> String {
    format!("key{key}")
}

/// Mostly small, now and then around the border between small frames and streams of their own, and up
/// to the largest.
fn length(dice: &mut Dice, max: u64) -> usize {
    let bytes = match dice.below(4) {
        0 | 1 => dice.between(16, 300),
        2 => dice.between(65_000, 66_500),
        _ => dice.between(16, max),
    };
    usize::try_from(bytes.min(max)).unwrap()
}
