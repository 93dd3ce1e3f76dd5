//! Requests of a walk: what is asked, of whom, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_protocol::client::{ClientReply, ClientRequest, ReplyInfo, SessionNeed};
use quorate_protocol::error::ErrorCode;
use quorate_protocol::ids::Dot;
use quorate_ring::{Class, RingVersion};

use super::failure::{Failure, Refused};
use super::request::{Request, What};
use super::tell::told_written;
use super::walk::{KEY, Walk, Who};
use crate::sim::clients::ClientEvent;
use crate::sim::driven::{Ask, Sent};
use crate::sim::history::{Key, Kind, Outcome, Shown, WriteId, write_of};
use crate::sim::workload;

/// In bad weather a request that must succeed is tried so often.
const TRIES: u32 = 30;
/// Between two tries, milliseconds.
const BETWEEN_TRIES_MS: u64 = 100;
/// Bytes of a value.
const VALUE_BYTES: usize = 40;
/// The client of requests under the session; all others are of client 1.
const SESSION_CLIENT: u32 = 2;

/// What the walk's session has seen, class by class.
pub(super) type Session = BTreeMap<Class, BTreeSet<Dot>>;

/// A write that was acknowledged.
#[derive(Clone, Debug)]
pub struct Wrote {
    /// The write.
    pub id: WriteId,
    /// Its dot; `None`: there was nothing to delete.
    pub dot: Option<Dot>,
    /// What it returned to write on with.
    pub context: Bytes,
    /// Who answered.
    pub info: ReplyInfo,
    /// How long it took, microseconds.
    pub took_us: u64,
}

/// What a read returned.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The writes whose values were shown, in order.
    pub writes: Vec<WriteId>,
    /// The token to write back with.
    pub context: Bytes,
    /// No primary confirmed it.
    pub fallbacks_only: bool,
    /// It said that it may be stale.
    pub maybe_stale: bool,
    /// Who answered.
    pub info: ReplyInfo,
    /// How long it took, microseconds.
    pub took_us: u64,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub struct UnderWay {
    sent: Sent,
    until_us: u64,
    from_us: u64,
    text: String,
    /// Its write, if it is one.
    pub id: Option<WriteId>,
    silent: bool,
    session: bool,
}

impl Walk<'_> {
    /// Sends a request to somebody and does not wait.
    pub fn send(&mut self, request: &Request, who: Who) -> UnderWay {
        let place = self.place(who);
        self.send_to(request, place)
    }

    /// Sends a request to the node at a place and does not wait.
    pub fn send_to(&mut self, request: &Request, place: usize) -> UnderWay {
        self.gust();
        let (kind, wire, again) = self.spell(request);
        let id = match kind {
            Kind::Write { id, .. } => Some(id),
            Kind::Get { .. } | Kind::List { .. } => None,
        };
        let from_us = self.world.at_us;
        let sent = self.world.ask(Ask {
            client: if request.session { SESSION_CLIENT } else { 1 },
            node: place,
            key: request.key,
            kind,
            request: wire,
            deadline_ms: request.deadline_ms,
            again,
        });
        let at = match self.who(place) {
            Some(who) if request.key == KEY => self.name(who),
            Some(_) | None => format!("n{}", place + 1),
        };
        UnderWay {
            sent,
            until_us: from_us + u64::from(request.deadline_ms + 1_000) * 1000,
            from_us,
            text: format!("{} at {at}", self.words(request, id)),
            id,
            silent: request.silent,
            session: request.session,
        }
    }

    fn spell(&mut self, request: &Request) -> (Kind, ClientRequest, Option<usize>) {
        let bucket = self.world.config.map.buckets[0].clone();
        match &request.what {
            What::Get(options) => {
                let session = request.session.then(|| self.need(request.key));
                let get = workload::get(request.key, *options, session);
                (workload::read_kind(&get, &bucket), get.into(), None)
            }
            What::Write {
                id: first,
                name,
                over,
                options,
            } => {
                let id = first.unwrap_or_else(|| self.world.new_write());
                let (token, seen) = over.clone().map(|over| (over.context, over.seen)).unzip();
                let again = first.and_then(|first| self.began(first));
                let delete = name.is_none();
                let kind = workload::write_kind(id, delete, seen, options, &bucket);
                let mut wire: ClientRequest = match name {
                    Some(name) => {
                        self.names.insert(id, name.clone());
                        workload::put(request.key, id, VALUE_BYTES, token, *options).into()
                    }
                    None => workload::delete(request.key, id, token, *options).into(),
                };
                match &mut wire {
                    ClientRequest::Put(put) => put.retry = again.is_some(),
                    ClientRequest::Delete(delete) => delete.retry = again.is_some(),
                    ClientRequest::Get(_)
                    | ClientRequest::Keys(_)
                    | ClientRequest::GetMap(_)
                    | ClientRequest::Ping(_)
                    | ClientRequest::PutBucket(_)
                    | ClientRequest::Status(_)
                    | ClientRequest::Replicas(_)
                    | ClientRequest::Backup(_)
                    | ClientRequest::Scrub(_)
                    | ClientRequest::MapHistory(_)
                    | ClientRequest::ChangeRing(_)
                    | ClientRequest::PlanRing(_)
                    | ClientRequest::Moves(_)
                    | ClientRequest::GetVersion(_) => {}
                }
                (kind, wire, again)
            }
        }
    }

    fn began(&self, id: WriteId) -> Option<usize> {
        let operations = &self.world.history.operations;
        operations.iter().position(|op| op.write() == Some(id))
    }

    fn need(&self, key: Key) -> SessionNeed {
        let dots = self.world.config.class_of(key);
        let dots = dots.and_then(|class| self.session.get(&class));
        SessionNeed {
            dots: dots.into_iter().flatten().copied().collect(),
            up_to: Vec::new(),
        }
    }

    /// Waits for what becomes of a request.
    ///
    /// # Errors
    /// It was refused, failed, or nothing came.
    pub fn wait(&mut self, under_way: &UnderWay) -> Result<ClientReply, Refused> {
        let sent = under_way.sent;
        let world = &mut self.world;
        world.run_until_so(under_way.until_us, |world| world.is_answered(sent));
        let event = world.answer(sent).map(|(_, event)| event);
        world.give_up(sent);
        let result = match event {
            Some(ClientEvent::Reply(_, reply)) => match *reply {
                ClientReply::Failed(error) => Err(Refused::from(error)),
                reply @ (ClientReply::Got(_)
                | ClientReply::Written(_)
                | ClientReply::KeyPage(_)
                | ClientReply::Map(_)
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
                | ClientReply::Version(_)) => Ok(reply),
            },
            Some(ClientEvent::Refused(_)) => Err(unanswered("nobody listens there", true)),
            Some(ClientEvent::Lost(_) | ClientEvent::Go | ClientEvent::TimedOut(_)) => {
                Err(unanswered("the connection ended, so it is in doubt", false))
            }
            None => Err(unanswered("nothing came in time, so it is in doubt", false)),
        };
        self.note(under_way, &result);
        result
    }

    /// Whether [`Self::wait`] has nothing to wait for.
    #[must_use]
    pub fn has_ended(&self, under_way: &UnderWay) -> bool {
        self.world.at_us >= under_way.until_us || self.world.is_answered(under_way.sent)
    }

    /// The number of the ring that stands in the header of a reply, once.
    pub fn ring_told(&mut self, under_way: &UnderWay) -> Option<RingVersion> {
        self.world.ring_told(under_way.sent)
    }

    /// Enters into the history what came of a request, and tells it.
    fn note(&mut self, under_way: &UnderWay, result: &Result<ClientReply, Refused>) {
        let at_us = self.world.at_us;
        let operation = &mut self.world.history.operations[under_way.sent.operation];
        operation.completed_us = at_us;
        let told = match result {
            Ok(ClientReply::Got(got)) => {
                operation.outcome = Outcome::Ok;
                operation.unsure = got.fallbacks_only || got.maybe_stale;
                operation.shown = got.siblings.iter().filter_map(shown).collect();
                self.told_got(got)
            }
            Ok(ClientReply::Written(written)) => {
                operation.outcome = Outcome::Ok;
                operation.dot = written.dot;
                told_written(written)
            }
            Ok(other) => format!("{other:?}"),
            Err(refused) => {
                // A try that may have had an effect makes the whole write doubtful, whatever comes after it.
                let certain = refused.code.is_some_and(is_certain);
                let doubtful = operation.outcome == Outcome::Unknown;
                operation.outcome = match refused.code {
                    Some(code) if certain && !doubtful => Outcome::Failed(code),
                    Some(_) | None => Outcome::Unknown,
                };
                refused.to_string()
            }
        };
        if under_way.session {
            self.remember(result);
        }
        if !under_way.silent {
            let ms = (at_us - under_way.from_us) as f64 / 1000.0;
            self.say(format!("{}: {told}, after {ms:.1} ms", under_way.text));
        }
    }

    fn remember(&mut self, result: &Result<ClientReply, Refused>) {
        let info = match result {
            Ok(ClientReply::Got(got)) => &got.info,
            Ok(ClientReply::Written(written)) => &written.info,
            Ok(_) | Err(_) => return,
        };
        if let Some(class) = info.class {
            self.session.entry(class).or_default().extend(&info.session);
        }
    }

    /// Nobody waits for this request any more.
    pub fn forget(&mut self, under_way: &UnderWay) {
        self.world.give_up(under_way.sent);
    }

    /// A read, tried once.
    ///
    /// # Errors
    /// It was refused, failed, or nothing came.
    pub fn try_get(&mut self, request: &Request, who: Who) -> Result<Seen, Refused> {
        let under_way = self.send(request, who);
        let reply = self.wait(&under_way)?;
        self.seen(&under_way, reply)
    }

    /// A write, tried once.
    ///
    /// # Errors
    /// It was refused, failed, or nothing came.
    pub fn try_put(&mut self, request: &Request, who: Who) -> Result<Wrote, Refused> {
        let under_way = self.send(request, who);
        let reply = self.wait(&under_way)?;
        self.wrote(&under_way, reply)
    }

    /// What a read returned.
    ///
    /// # Errors
    /// The reply is not one to a read.
    pub fn seen(&self, under_way: &UnderWay, reply: ClientReply) -> Result<Seen, Refused> {
        let ClientReply::Got(got) = reply else {
            return Err(unanswered("a read was answered as something else", true));
        };
        Ok(Seen {
            writes: got
                .siblings
                .iter()
                .filter_map(|sibling| Some(shown(sibling)?.write))
                .collect(),
            context: got.context,
            fallbacks_only: got.fallbacks_only,
            maybe_stale: got.maybe_stale,
            info: got.info,
            took_us: self.world.at_us - under_way.from_us,
        })
    }

    /// What a write returned.
    ///
    /// # Errors
    /// The reply is not one to a write.
    pub fn wrote(&self, under_way: &UnderWay, reply: ClientReply) -> Result<Wrote, Refused> {
        let (ClientReply::Written(written), Some(id)) = (reply, under_way.id) else {
            return Err(unanswered("a write was answered as something else", true));
        };
        Ok(Wrote {
            id,
            dot: written.dot,
            context: written.context,
            info: written.info,
            took_us: self.world.at_us - under_way.from_us,
        })
    }

    /// A read that must succeed: at once where nothing else happens, otherwise after some tries.
    ///
    /// # Errors
    /// It did not.
    pub fn get(&mut self, request: &Request, who: Who) -> Result<Seen, Failure> {
        let mut tries = 1;
        loop {
            match self.try_get(request, who) {
                Ok(seen) => return Ok(seen),
                Err(refused) => self.may_try_again(&mut tries, request, refused)?,
            }
        }
    }

    /// A write that must succeed: at once where nothing else happens, otherwise after some tries under one
    /// request id.
    ///
    /// # Errors
    /// It did not.
    pub fn put(&mut self, request: &Request, who: Who) -> Result<Wrote, Failure> {
        let (mut tries, mut request) = (1, request.clone());
        loop {
            let under_way = self.send(&request, who);
            let result = self.wait(&under_way);
            match result.and_then(|reply| self.wrote(&under_way, reply)) {
                Ok(wrote) => return Ok(wrote),
                Err(refused) => self.may_try_again(&mut tries, &request, refused)?,
            }
            if let Some(id) = under_way.id {
                request = request.again(id);
            }
        }
    }

    /// As [`Self::get`], at the node of a place; at some member or other if none is given.
    ///
    /// # Errors
    /// It did not succeed.
    pub fn get_at(&mut self, request: &Request, place: Option<usize>) -> Result<Seen, Failure> {
        let mut tries = 1;
        loop {
            let at = place.or_else(|| self.some_running()).unwrap_or(0);
            match self.try_get_at(request, at) {
                Ok(seen) => return Ok(seen),
                Err(refused) => self.may_try_again(&mut tries, request, refused)?,
            }
        }
    }

    /// As [`Self::put`], at the node of a place; at some member or other if none is given.
    ///
    /// # Errors
    /// It did not succeed.
    pub fn put_at(&mut self, request: &Request, place: Option<usize>) -> Result<Wrote, Failure> {
        let (mut tries, mut request) = (1, request.clone());
        loop {
            let at = place.or_else(|| self.some_running()).unwrap_or(0);
            let under_way = self.send_to(&request, at);
            let result = self.wait(&under_way);
            match result.and_then(|reply| self.wrote(&under_way, reply)) {
                Ok(wrote) => return Ok(wrote),
                Err(refused) => self.may_try_again(&mut tries, &request, refused)?,
            }
            if let Some(id) = under_way.id {
                request = request.again(id);
            }
        }
    }

    /// A read at the node of a place, tried once.
    ///
    /// # Errors
    /// It was refused, failed, or nothing came.
    pub fn try_get_at(&mut self, request: &Request, place: usize) -> Result<Seen, Refused> {
        let under_way = self.send_to(request, place);
        let reply = self.wait(&under_way)?;
        self.seen(&under_way, reply)
    }

    /// A write at the node of a place, tried once.
    ///
    /// # Errors
    /// It was refused, failed, or nothing came.
    pub fn try_put_at(&mut self, request: &Request, place: usize) -> Result<Wrote, Refused> {
        let under_way = self.send_to(request, place);
        let reply = self.wait(&under_way)?;
        self.wrote(&under_way, reply)
    }

    /// As [`Self::put_at`], at one member after the other and as patient as a client, also where nothing else happens: in the
    /// moment in which a class goes on, a try may meet nodes that know of it and others that do not.
    ///
    /// # Errors
    /// It did not succeed.
    pub fn put_patiently(&mut self, request: &Request) -> Result<Wrote, Failure> {
        let mut request = request.clone();
        for _ in 1..TRIES {
            let at = self.some_running().unwrap_or(0);
            let under_way = self.send_to(&request, at);
            let result = self.wait(&under_way);
            if let Ok(wrote) = result.and_then(|reply| self.wrote(&under_way, reply)) {
                return Ok(wrote);
            }
            if let Some(id) = under_way.id {
                request = request.again(id);
            }
            self.pass(BETWEEN_TRIES_MS);
        }
        self.put_at(&request, None)
    }

    fn may_try_again(
        &mut self,
        tries: &mut u32,
        request: &Request,
        refused: Refused,
    ) -> Result<(), Failure> {
        if self.is_calm() || *tries >= TRIES {
            let what = self.words(request, None);
            return Err(Failure::Refused { what, refused });
        }
        *tries += 1;
        self.pass(BETWEEN_TRIES_MS);
        Ok(())
    }

    /// Demands that a read showed these values and no others.
    ///
    /// # Errors
    /// It did not.
    pub fn shows(&mut self, seen: &Seen, writes: &[&Wrote]) -> Result<(), Failure> {
        let should: BTreeSet<WriteId> = writes.iter().map(|wrote| wrote.id).collect();
        self.shows_ids(seen, &should)
    }

    /// As [`Self::shows`], by ids.
    ///
    /// # Errors
    /// It did not.
    pub fn shows_ids(&mut self, seen: &Seen, should: &BTreeSet<WriteId>) -> Result<(), Failure> {
        let is: BTreeSet<WriteId> = seen.writes.iter().copied().collect();
        if is == *should {
            return Ok(());
        }
        Err(Failure::Unlike {
            what: "what the read shows".to_owned(),
            should: self.values(should),
            is: self.values(&is),
        })
    }

    /// Demands that a request failed with this code.
    ///
    /// # Errors
    /// It did not, or otherwise.
    pub fn fails<T: std::fmt::Debug>(
        &mut self,
        what: &str,
        code: ErrorCode,
        result: Result<T, Refused>,
    ) -> Result<Refused, Failure> {
        match result {
            Err(refused) if refused.code == Some(code) => Ok(refused),
            // In bad weather an answer that never came is no answer to judge.
            Err(refused) if refused.code.is_none_or(is_late) && !self.is_calm() => Ok(refused),
            Err(refused) => Err(Failure::Unlike {
                what: what.to_owned(),
                should: code.name().to_owned(),
                is: refused.to_string(),
            }),
            Ok(result) => Err(Failure::Allowed {
                what: what.to_owned(),
                should: code.name().to_owned(),
                is: format!("{result:?}"),
            }),
        }
    }
}

pub(super) fn shown(sibling: &quorate_protocol::client::Sibling) -> Option<Shown> {
    Some(Shown {
        write: write_of(&sibling.content.value).ok()?,
        dot: sibling.dot,
    })
}

fn unanswered(message: &str, certain: bool) -> Refused {
    Refused {
        code: certain.then_some(ErrorCode::Unavailable),
        needed: None,
        got: None,
        nodes: Vec::new(),
        message: message.to_owned(),
    }
}

/// Whether an error says that certainly nothing was done.
const fn is_certain(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::Unavailable
            | ErrorCode::DeadlineExceeded
            | ErrorCode::TooLarge
            | ErrorCode::BadContext
            | ErrorCode::Overloaded
            | ErrorCode::Invalid
    )
}

/// Whether an error may come of messages that were lost or late.
const fn is_late(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::DeadlineExceeded
            | ErrorCode::InDoubt
            | ErrorCode::QuorumNotMet
            | ErrorCode::Unavailable
    )
}
