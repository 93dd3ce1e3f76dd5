//! What a reply tells beside its result: counts, roles, and under `explain` each replica's part.

use quorate_protocol::client::{ReplicaReport, ReplyInfo};
use quorate_protocol::ids::Dot;
use quorate_protocol::limits::{OBJECT_BYTES_WARN, SIBLINGS_WARN};
use quorate_ring::{Class, NodeId};

use super::get::GetOp;
use super::get_answer::{answer_name, role_of};
use super::put::{PutOp, Shipment};
use crate::causality::Object;
use crate::quorum::read::{Answer, ReadVerdict};
use crate::shared::Shared;

fn small(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

fn warnings(shared: &Shared, class: Class, siblings: usize, bytes: u64) -> Vec<String> {
    let mut warnings = Vec::new();
    if siblings >= SIBLINGS_WARN {
        warnings.push(format!(
            "the key has {siblings} siblings: read, merge and write back with the context"
        ));
    }
    if bytes >= OBJECT_BYTES_WARN as u64 && siblings > 1 {
        warnings.push(format!("the key's siblings take {bytes} bytes together"));
    }
    let placed = shared.view.readers(class).len();
    if placed < usize::from(class.n) {
        warnings.push(format!(
            "under-replicated: the cluster has {placed} nodes for {} copies",
            class.n
        ));
    }
    warnings
}

impl Shared {
    fn basic_info(&self, class: Class, explain: bool) -> ReplyInfo {
        let preference = if explain {
            self.preference(class)
        } else {
            Vec::new()
        };
        ReplyInfo {
            coordinator: Some(self.view.me),
            class: Some(class),
            preference,
            ..ReplyInfo::default()
        }
    }

    fn preference(&self, class: Class) -> Vec<NodeId> {
        let mut nodes = self.members(class);
        nodes.extend(self.view.fallbacks(class));
        nodes
    }
}

impl PutOp {
    pub(crate) fn info(&self, shared: &Shared, shipment: &Shipment) -> ReplyInfo {
        let class = self.place.class;
        let bytes = shipment
            .object
            .versions
            .iter()
            .map(|version| version.size)
            .sum();
        let mut info = shared.basic_info(class, self.ask.explain);
        info.answered = self.tally.acks();
        info.primaries = self.tally.primaries();
        info.fallbacks = self.tally.fallbacks();
        info.durable = self.tally.durable();
        info.session = vec![shipment.dot];
        info.warnings = warnings(shared, class, shipment.object.versions.len(), bytes);
        if self.ask.explain {
            info.replicas = info
                .preference
                .iter()
                .filter(|&&node| self.tally.was_asked(node))
                .map(|&node| self.report(node))
                .collect();
            let need = self.tally.need();
            info.reason = format!(
                "w={} needed, {} stored it; pw={} needed, {} are primaries; dw={} needed, {} fsynced it",
                need.w, info.answered, need.pw, info.primaries, need.dw, info.durable
            );
        }
        info
    }

    fn report(&self, node: NodeId) -> ReplicaReport {
        let ack = self.tally.ack_of(node);
        let answer = match (ack, self.errors.get(&node)) {
            (Some(ack), _) if ack.durable => "durable",
            (Some(_), _) => "stored",
            (None, Some(error)) => error.code.name(),
            (None, None) => "waiting",
        };
        let stands_for = self.stand_ins.get(&node).copied();
        ReplicaReport {
            node,
            role: role_of(stands_for.is_some()),
            stands_for,
            answer: answer.to_owned(),
            counted: ack.is_some(),
            catching_up: false,
            dots: Vec::new(),
            latency_us: self.latency_us.get(&node).copied(),
        }
    }
}

impl GetOp {
    pub(crate) fn info(&self, shared: &Shared, merged: &Object) -> ReplyInfo {
        let class = self.place.class;
        let mut info = shared.basic_info(class, self.ask.explain);
        info.answered = small(self.tally.counted());
        info.primaries = small(self.tally.primaries());
        info.fallbacks = small(self.tally.counted().saturating_sub(self.tally.primaries()));
        info.catching_up = small(self.tally.catching_up());
        info.session = merged.dots().collect();
        info.warnings = warnings(shared, class, merged.versions.len(), merged.bytes());
        if self.ask.explain {
            info.replicas = info
                .preference
                .iter()
                .filter_map(|&node| self.report(node))
                .collect();
            info.reason = self.reason(merged);
        }
        info
    }

    fn report(&self, node: NodeId) -> Option<ReplicaReport> {
        let answer = self.tally.answer_of(node)?;
        let reply = self.replies.get(&node);
        let stands_for = self.stand_ins.get(&node).copied();
        let name = match (answer, self.errors.get(&node)) {
            (Answer::Failed, Some(error)) => error.code.name(),
            (known, _) => answer_name(known),
        };
        let dots: Vec<Dot> = reply
            .map(|reply| reply.object.dots().collect())
            .unwrap_or_default();
        Some(ReplicaReport {
            node,
            role: reply.map_or(role_of(stands_for.is_some()), |reply| reply.role),
            stands_for,
            answer: name.to_owned(),
            counted: self.tally.counts(node),
            catching_up: answer == Answer::CatchingUp,
            dots,
            latency_us: self.latency_us.get(&node).copied(),
        })
    }

    fn reason(&self, merged: &Object) -> String {
        let need = self.tally.need();
        let counted = format!(
            "r={} needed, {} answers count",
            need.r,
            self.tally.counted()
        );
        let fallbacks = match self.tally.verdict() {
            ReadVerdict::FallbacksOnly => "; no primary answered, this is what fallbacks hold",
            ReadVerdict::Pending
            | ReadVerdict::Met
            | ReadVerdict::Waiting
            | ReadVerdict::OutOfReach => "",
        };
        let stand_ins = self.tally.counted().saturating_sub(self.tally.primaries());
        let shown = match merged.versions.len() {
            0 => "nothing is there: every version seen is superseded".to_owned(),
            1 => "one version supersedes all others seen".to_owned(),
            many => {
                format!("{many} versions are concurrent: none of their writers had seen the others")
            }
        };
        format!(
            "{counted} ({stand_ins} of fallbacks){fallbacks}; {shown}; rounds of questions about differences: {}",
            self.rounds
        )
    }
}
