//! Listing a partition's keys: pages of r current replicas, merged.
//!
//! A listing is what r replicas held while it ran: a key deleted a moment ago may still be in it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_protocol::client::{KeyPage, Keys};
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::limits::KEYS_PAGE_MAX;
use quorate_protocol::peer::{ReplicaKeyPage, ReplicaKeys};
use quorate_ring::{Class, NodeId};

use crate::effects::Priority;
use crate::shared::{Asker, Cx};

/// One page under way.
#[derive(Debug)]
struct Listing {
    asker: Asker,
    class: Class,
    needed: usize,
    limit: usize,
    outstanding: BTreeSet<NodeId>,
    pages: Vec<(Vec<Bytes>, bool)>,
    missing: BTreeSet<NodeId>,
    deadline_us: u64,
}

/// The listings that this replica coordinates.
#[derive(Debug, Default)]
pub(crate) struct Listings {
    ops: BTreeMap<u64, Listing>,
}

impl Listings {
    pub(crate) fn len(&self) -> usize {
        self.ops.len()
    }

    pub(crate) fn next_due(&self) -> Option<u64> {
        self.ops.values().map(|listing| listing.deadline_us).min()
    }

    pub(crate) fn start(&mut self, cx: &mut Cx<'_>, asker: Asker, keys: Keys, deadline_us: u64) {
        let Some(bucket) = cx.s.view.bucket(keys.bucket) else {
            let error = WireError::new(
                ErrorCode::NoSuchBucket,
                format!("no bucket has the id {} here", keys.bucket),
            );
            return cx.s.reply(asker, error);
        };
        let limit = usize::try_from(keys.limit).unwrap_or(usize::MAX);
        let partitions = cx.s.view.map().ring.partitions().get();
        let needed = bucket.props.defaults.r.resolve("r", bucket.props.n);
        let class = Class {
            n: bucket.props.n,
            partition: keys.partition,
        };
        let wrong = if limit == 0 || limit > KEYS_PAGE_MAX {
            Some(WireError::new(
                ErrorCode::Invalid,
                format!("a page has 1 to {KEYS_PAGE_MAX} keys, not {limit}"),
            ))
        } else if u32::from(keys.partition.get()) >= partitions {
            Some(WireError::new(
                ErrorCode::Invalid,
                format!("this ring has the partitions 0 to {}", partitions - 1),
            ))
        } else {
            None
        };
        match (wrong, needed) {
            (Some(error), _) | (None, Err(error)) => cx.s.reply(asker, error),
            (None, Ok(needed)) => self.ask(
                cx,
                asker,
                &keys,
                (class, usize::from(needed), limit),
                deadline_us,
            ),
        }
    }

    fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        keys: &Keys,
        (class, needed, limit): (Class, usize, usize),
        deadline_us: u64,
    ) {
        let id = cx.s.new_op();
        let members = cx.s.view.readers(class);
        let (up, down): (BTreeSet<NodeId>, BTreeSet<NodeId>) = members
            .into_iter()
            .partition(|&node| cx.s.view.is_reachable(node));
        for &node in &up {
            let message = ReplicaKeys {
                op: id,
                class,
                epoch: cx.s.view.epoch(class),
                bucket: keys.bucket,
                after: keys.after.clone(),
                limit: keys.limit,
            };
            cx.s.send(
                node,
                message,
                cx.s.ms_until(deadline_us),
                Priority::Foreground,
            );
        }
        let listing = Listing {
            asker,
            class,
            needed,
            limit,
            outstanding: up,
            pages: Vec::new(),
            missing: down,
            deadline_us,
        };
        self.ops.insert(id, listing);
        self.judge(cx, id);
    }

    pub(crate) fn on_page(&mut self, cx: &mut Cx<'_>, from: NodeId, page: ReplicaKeyPage) {
        let Some(listing) = self.ops.get_mut(&page.op) else {
            return;
        };
        if !listing.outstanding.remove(&from) {
            return;
        }
        if page.error.is_some() || page.catching_up {
            listing.missing.insert(from);
        } else {
            listing.pages.push((page.keys, page.more));
        }
        self.judge(cx, page.op);
    }

    pub(crate) fn on_peer_down(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        let concerned: Vec<u64> = self
            .ops
            .iter()
            .filter(|(_, listing)| listing.outstanding.contains(&node))
            .map(|(&id, _)| id)
            .collect();
        for id in concerned {
            if let Some(listing) = self.ops.get_mut(&id) {
                listing.outstanding.remove(&node);
                listing.missing.insert(node);
            }
            self.judge(cx, id);
        }
    }

    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        let now_us = cx.s.now.mono_us;
        let late: Vec<u64> = self
            .ops
            .iter()
            .filter(|(_, listing)| listing.deadline_us <= now_us)
            .map(|(&id, _)| id)
            .collect();
        for id in late {
            if let Some(listing) = self.ops.get_mut(&id) {
                let silent = std::mem::take(&mut listing.outstanding);
                listing.missing.extend(silent);
            }
            self.judge(cx, id);
        }
    }

    pub(crate) fn forget_asker(&mut self, asker: Asker) {
        self.ops
            .values_mut()
            .filter(|listing| listing.asker == asker)
            .for_each(|listing| listing.asker = Asker::Nobody);
    }

    fn judge(&mut self, cx: &mut Cx<'_>, id: u64) {
        let Some(listing) = self.ops.get(&id) else {
            return;
        };
        if listing.pages.len() >= listing.needed {
            let page = merged(&listing.pages, listing.limit);
            cx.s.reply(listing.asker, page);
        } else if listing.outstanding.is_empty() {
            let names: Vec<String> = listing.missing.iter().map(ToString::to_string).collect();
            let error = WireError::new(
                ErrorCode::Unavailable,
                format!(
                    "partition {} cannot be listed: {} of {} current replicas answered (down or catching up: {})",
                    listing.class.partition,
                    listing.pages.len(),
                    listing.needed,
                    names.join(", ")
                ),
            )
            .naming(listing.missing.iter().copied())
            .retry_after(200);
            cx.s.reply(listing.asker, error);
        } else {
            return;
        }
        self.ops.remove(&id);
    }
}

/// Pages as one: keys up to the point that every page reaches.
fn merged(pages: &[(Vec<Bytes>, bool)], limit: usize) -> KeyPage {
    let horizon = pages
        .iter()
        .filter(|(_, more)| *more)
        .filter_map(|(keys, _)| keys.last())
        .min();
    let all: BTreeSet<&Bytes> = pages.iter().flat_map(|(keys, _)| keys).collect();
    let within: Vec<&Bytes> = all
        .iter()
        .copied()
        .filter(|key| horizon.is_none_or(|last| *key <= last))
        .collect();
    let more = horizon.is_some() || within.len() > limit;
    KeyPage {
        keys: within.into_iter().take(limit).cloned().collect(),
        more,
    }
}
