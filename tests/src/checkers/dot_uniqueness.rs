//! I11, dot uniqueness: one dot stands for at most one write, over all restarts, and is given out once.
//!
//! Its stamp and its expiry are the same wherever it is stored.
//!
//! White box: it sees every batch that a node writes. Source: riak_kv issue 679, where a coordinator
//! that had lost its copy gave out the same event identity twice and an acknowledged write vanished.

use std::collections::BTreeMap;

use quorate_core::causality::Object;
use quorate_core::record::{LogKind, decode_hint, decode_log, decode_object, keys};
use quorate_core::{Family, Write};
use quorate_protocol::ids::{Dot, RequestId};

/// All dots seen on any disk.
#[derive(Clone, Debug, Default)]
pub struct DotUniqueness {
    requests: BTreeMap<Dot, RequestId>,
    stamps: BTreeMap<Dot, u64>,
    expiries: BTreeMap<Dot, u64>,
    minted: BTreeMap<Dot, (usize, u64)>,
    broken: Vec<String>,
    moved: Vec<String>,
}

impl DotUniqueness {
    /// A node wrote a batch.
    pub fn wrote(&mut self, node: usize, batch: u64, writes: &[Write]) {
        for write in writes {
            let Write::Put { family, key, value } = write else {
                continue;
            };
            match family {
                Family::Objects => {
                    if let Ok(object) = decode_object(key, value) {
                        self.holds(&object);
                    }
                }
                Family::Hints => {
                    if let Ok(hint) = decode_hint(key, value) {
                        self.holds(&hint.object);
                        for (request, dot) in hint.requests {
                            self.stands_for(dot, request);
                        }
                    }
                }
                Family::Log => {
                    if let (Some((_, dot)), Ok(entry)) =
                        (keys::parse_log_key(key), decode_log(key, value))
                    {
                        self.logged(node, batch, dot, entry.kind, entry.request);
                    }
                }
                Family::Chunks | Family::Vnodes | Family::Requests | Family::Expiry => {}
            }
        }
    }

    fn holds(&mut self, object: &Object) {
        for version in &object.versions {
            self.stands_for(version.dot, version.request);
            let first = *self.stamps.entry(version.dot).or_insert(version.stamp);
            if first != version.stamp {
                self.broken.push(format!(
                    "{} has the stamps {first} and {}",
                    version.dot, version.stamp
                ));
            }
            let first = *self
                .expiries
                .entry(version.dot)
                .or_insert(version.expires_ms);
            if first != version.expires_ms {
                self.moved.push(format!(
                    "{} was to expire at {first}, and then at {}",
                    version.dot, version.expires_ms
                ));
            }
        }
    }

    /// Versions whose expiry changed, since the last call.
    pub fn take_moved(&mut self) -> Vec<String> {
        std::mem::take(&mut self.moved)
    }

    /// When every version seen expires, milliseconds since 1970 (0: never), with the request that made it.
    pub fn expiries(&self) -> impl Iterator<Item = (RequestId, u64)> {
        let of = |(dot, &expires_ms): (&Dot, &u64)| Some((*self.requests.get(dot)?, expires_ms));
        self.expiries.iter().filter_map(of)
    }

    /// The time stamp of every version seen.
    #[must_use]
    pub const fn stamps(&self) -> &BTreeMap<Dot, u64> {
        &self.stamps
    }

    fn logged(
        &mut self,
        node: usize,
        batch: u64,
        dot: Dot,
        kind: LogKind,
        request: Option<RequestId>,
    ) {
        if let Some(request) = request {
            self.stands_for(dot, request);
        }
        let mints = match kind {
            LogKind::Put => true,
            LogKind::Delete | LogKind::Merged => false,
        };
        if mints && let Some(first) = self.minted.insert(dot, (node, batch)) {
            self.broken.push(format!(
                "{dot} was given out by node {} in its batch {} and again by node {node} in its batch {batch}",
                first.0, first.1
            ));
        }
    }

    fn stands_for(&mut self, dot: Dot, request: RequestId) {
        let first = *self.requests.entry(dot).or_insert(request);
        if first != request {
            self.broken.push(format!(
                "{dot} stands for the requests {first} and {request}"
            ));
        }
    }

    /// What was found wrong since the last call.
    pub fn take_broken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use quorate_core::record::{LogRecord, encode_log};
    use quorate_protocol::ids::ActorId;
    use quorate_ring::{BucketId, Class, PartitionId};

    fn log(counter: u64, kind: LogKind, request: u64) -> Vec<Write> {
        let class = Class {
            n: 3,
            partition: PartitionId::new(1),
        };
        let key = keys::log_key(class, Dot::new(ActorId::new(1), counter));
        let record = LogRecord {
            bucket: BucketId::new(1),
            key: Bytes::from_static(b"k1"),
            kind,
            request: Some(RequestId::new(0, request)),
            at_ms: 0,
        };
        let value = encode_log(&key, &record);
        vec![Write::Put {
            family: Family::Log,
            key,
            value,
        }]
    }

    #[test]
    fn one_dot_of_two_writes_is_found() {
        let mut checker = DotUniqueness::default();
        checker.wrote(0, 1, &log(1, LogKind::Put, 5));
        checker.wrote(1, 1, &log(1, LogKind::Merged, 5));
        assert_eq!(checker.take_broken(), Vec::<String>::new());
        checker.wrote(2, 1, &log(1, LogKind::Merged, 6));
        assert_eq!(checker.take_broken().len(), 1);
    }

    #[test]
    fn a_dot_given_out_twice_is_found() {
        let mut checker = DotUniqueness::default();
        checker.wrote(0, 1, &log(1, LogKind::Put, 5));
        checker.wrote(0, 9, &log(1, LogKind::Put, 5));
        assert_eq!(checker.take_broken().len(), 1);
    }
}
