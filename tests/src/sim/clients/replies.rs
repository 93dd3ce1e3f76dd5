//! What a client makes of replies, and of none.

use std::collections::BTreeSet;

use quorate_protocol::client::{ClientReply, Got, KeyPage, ReplyInfo, Written};
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::ids::Dot;
use quorate_ring::{Class, NodeId};

use super::{Client, ClientEvent, ClientWant, Shared};
use crate::history::{Key, Kind, Outcome, Shown, write_of};
use crate::sim::counters::Counter;
use crate::sim::tries::{is_certain, is_worth_repeating, names_a_session};

/// The one replica whose answer counted.
fn only_answer(info: &ReplyInfo) -> Option<NodeId> {
    let mut counted = info.replicas.iter().filter(|replica| replica.counted);
    let first = counted.next()?.node;
    counted.next().is_none().then_some(first)
}

impl Client {
    pub(super) fn on_reply(&mut self, cx: &mut Shared<'_>, reply: ClientReply) {
        match reply {
            ClientReply::Got(got) => self.on_got(cx, &got),
            ClientReply::Written(written) => self.on_written(cx, &written),
            ClientReply::Failed(WireError { code, .. }) => self.on_error(cx, code),
            ClientReply::KeyPage(page) => self.on_page(cx, &page),
            ClientReply::Map(_)
            | ClientReply::Pong(_)
            | ClientReply::BucketStored(_)
            | ClientReply::StatusReport(_)
            | ClientReply::ReplicaPage(_)
            | ClientReply::BackupReport(_)
            | ClientReply::ScrubState(_)
            | ClientReply::MapLog(_)
            | ClientReply::RingChanged(_)
            | ClientReply::RingPlan(_)
            | ClientReply::MovesReport(_)
            | ClientReply::Version(_) => self.on_error(cx, ErrorCode::Protocol),
        }
    }

    fn on_got(&mut self, cx: &mut Shared<'_>, got: &Got) {
        let Some(current) = self.current.take() else {
            return;
        };
        let mut shown = Vec::new();
        for sibling in &got.siblings {
            match write_of(&sibling.content.value) {
                Ok(write) => shown.push(Shown {
                    write,
                    dot: sibling.dot,
                }),
                Err(why) => cx.history.damaged.push((current.key, why)),
            }
        }
        let seen = shown.iter().map(|shown| shown.write).collect();
        self.contexts
            .insert(current.key, (got.context.clone(), seen));
        self.remember(got.info.class, &got.info.session);
        let operation = &mut cx.history.operations[current.index];
        operation.shown = shown;
        operation.unsure = got.fallbacks_only || got.maybe_stale;
        operation.alone = got.info.primaries < 2;
        operation.only = only_answer(&got.info);
        operation.outcome = Outcome::Ok;
        operation.completed_us = cx.at_us;
        match (current.then, cx.map.bucket(current.key.bucket)) {
            (Some(then), Some(bucket)) => self.start(cx, bucket, current.key, then),
            (_, _) => self.pause(cx),
        }
    }

    fn on_page(&mut self, cx: &mut Shared<'_>, page: &KeyPage) {
        let Some(current) = self.current.take() else {
            return;
        };
        let bucket = current.key.bucket;
        let mut listed = BTreeSet::new();
        for key in &page.keys {
            match Key::parse(bucket, key) {
                Some(key) => {
                    listed.insert(key.number);
                }
                None => {
                    let why = format!("a listing names the key {key:?}");
                    cx.history.damaged.push((current.key, why));
                }
            }
        }
        cx.history.listed.insert(current.index, listed);
        let operation = &mut cx.history.operations[current.index];
        operation.outcome = Outcome::Ok;
        operation.completed_us = cx.at_us;
        self.pause(cx);
    }

    fn on_written(&mut self, cx: &mut Shared<'_>, written: &Written) {
        let Some(current) = self.current.take() else {
            return;
        };
        let operation = &mut cx.history.operations[current.index];
        operation.dot = written.dot;
        operation.outcome = Outcome::Ok;
        operation.completed_us = cx.at_us;
        if let Kind::Write { id, seen, .. } = &operation.kind {
            let mut now_seen = seen.clone().unwrap_or_default();
            now_seen.insert(*id);
            if written.context.is_empty() {
                self.contexts.remove(&current.key); // unseen versions stand beside it
            } else {
                self.contexts
                    .insert(current.key, (written.context.clone(), now_seen));
            }
        }
        self.remember(written.info.class, &written.info.session);
        self.pause(cx);
    }

    fn remember(&mut self, class: Option<Class>, dots: &[Dot]) {
        if let (Some(session), Some(class)) = (&mut self.session, class) {
            session.entry(class).or_default().extend(dots);
        }
    }

    /// No process has answered.
    pub(super) fn on_silence(&mut self, cx: &mut Shared<'_>, code: ErrorCode) {
        let index = self.current.as_ref().map(|current| current.index);
        cx.history.hasty.extend(index);
        self.on_error(cx, code);
    }

    pub(super) fn on_error(&mut self, cx: &mut Shared<'_>, code: ErrorCode) {
        cx.counters.count(Counter::Error(code.name()));
        let Some(current) = &mut self.current else {
            return;
        };
        current.in_doubt |= !is_certain(code);
        current.last_error = code;
        if code == ErrorCode::NoSuchBucket {
            cx.history.hasty.insert(current.index); // a node that has yet to hear of it
        }
        let patient = cx.healed && !names_a_session(&current.request);
        let tries = if patient { 100 } else { 4 };
        let goes_on = patient || !self.dice.chance(100);
        if is_worth_repeating(code) && current.attempts < tries && goes_on {
            current.waiting_to_retry = true;
            let pause_us = self.dice.between(10_000, 300_000);
            cx.wants.push(ClientWant::After(pause_us, ClientEvent::Go));
            return;
        }
        let Some(current) = self.current.take() else {
            return;
        };
        if !goes_on {
            cx.history.hasty.insert(current.index);
        }
        let operation = &mut cx.history.operations[current.index];
        operation.completed_us = cx.at_us;
        operation.outcome = if current.in_doubt {
            Outcome::Unknown
        } else {
            Outcome::Failed(current.last_error)
        };
        self.pause(cx);
    }
}
