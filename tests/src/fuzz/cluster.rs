//! What nodes tell each other about the cluster, fed to failure detection and to the agreement on
//! buckets, message after message.
//!
//! Nothing panics; what one message sets off is bounded by what was said so far; buckets in force stay
//! as they are defined; what was stored can be opened again and says the same.

use std::collections::BTreeSet;

use quorate_core::agreement::{Agreement, AgreementEffect, AgreementInput};
use quorate_core::membership::{self, MemberEffect, MemberInput, Membership};
use quorate_core::{Now, Ticket};
use quorate_protocol::client::PutBucket;
use quorate_protocol::map::{Bucket, ClusterMap};
use quorate_protocol::peer::{
    BucketCommit, BucketCommitted, BucketPropose, BucketVote, Buckets, Heartbeat, HeartbeatAck,
    PeerMessage,
};
use quorate_ring::NodeId;

use super::draw::{Draw, Pool};
use super::source::Source;
use super::{Tally, Target, messages, must, tell};

/// The bytes are the choices of a script.
pub(super) const TARGET: Target = Target {
    name: "cluster",
    about: "failure detection and the agreement on buckets under hostile peers",
    draw: |source| {
        let length = 32 + source.index(1500);
        source.fill(length)
    },
    check,
    weight: 30,
};

const ACTS_MAX: u64 = 200;
const PEERS: u64 = 4;
/// One act may send so many bytes, and so many more for each byte that was ever said: every bucket
/// goes to every peer, with what is known of it.
const ACT_BYTES: usize = 16 * 1024;
const ACT_BYTES_EACH: usize = 64;

struct Stage {
    map: ClusterMap,
    now: Now,
    membership: Membership,
    agreement: Agreement,
    stored: Option<Vec<u8>>,
    waiting: BTreeSet<Ticket>,
    tickets: u64,
    said_bytes: usize,
    pool: Pool,
}

fn check(input: &[u8]) -> Result<Tally, String> {
    let mut source = Source::bytes(input);
    let Some(mut stage) = Stage::open(&mut source) else {
        return Ok(Tally::REFUSED);
    };
    let mut tally = Tally::default();
    while !source.is_spent() && tally.inputs < ACTS_MAX {
        tally.add(stage.act(&mut source)?);
    }
    stage.now.mono_us += 120_000_000;
    stage.agree(AgreementInput::Tick, 0)?;
    must(
        stage.waiting.is_empty(),
        "a client that asked for a bucket was never answered",
    )?;
    stage.opens_again()?;
    Ok(tally)
}

impl Stage {
    fn open(source: &mut Source<'_>) -> Option<Self> {
        let pool = Pool::new(&[0, 1, 2, 3, 4, 5, u64::MAX], &[]);
        let mut map = messages::map(&mut Draw::new(&mut Source::seed(5), &pool))?;
        map.buckets.clear();
        let me = map.members.first()?.id;
        let now = Now {
            mono_us: 1_000_000,
            wall_ms: 1_700_000_000_000,
        };
        let peers = (2..2 + PEERS).map(NodeId::new);
        let membership = Membership::new(me, 1, peers, membership::Timing::default(), now);
        let seed = [source.byte(); 32];
        let agreement = Agreement::open(me, map.clone(), None, seed).ok()?;
        Some(Self {
            map,
            now,
            membership,
            agreement,
            stored: None,
            waiting: BTreeSet::new(),
            tickets: 0,
            said_bytes: 0,
            pool,
        })
    }

    fn act(&mut self, source: &mut Source<'_>) -> Result<Tally, String> {
        let from = NodeId::new(source.below(PEERS + 4));
        let in_force = self.agreement.map();
        let fed = match source.below(8) {
            0 => self.beat(source, from)?,
            1 => {
                self.now.mono_us += source.pick([1000, 90_000, 500_000, 5_000_000]);
                self.now.wall_ms = source.pick([0, 1, self.now.wall_ms, u64::MAX]);
                self.member(MemberInput::Tick)?;
                self.agree(AgreementInput::Tick, 0)?;
                true
            }
            2 => self.wish(source)?,
            3 => {
                let input = source.pick([
                    AgreementInput::PeerUp as fn(NodeId) -> AgreementInput,
                    AgreementInput::PeerDown,
                    AgreementInput::BucketsDiffer,
                ])(from);
                self.agree(input, 0)?;
                true
            }
            _ => self.message(source, from)?,
        };
        self.keeps(&in_force.buckets)?;
        Ok(if fed { Tally::ACCEPTED } else { Tally::REFUSED })
    }

    /// Whatever peers say, a bucket in force stays, and stays what it is.
    fn keeps(&self, before: &[Bucket]) -> Result<(), String> {
        let now = self.agreement.map();
        for bucket in before {
            let kept = now.bucket_named(&bucket.name);
            must(
                kept.is_some_and(|kept| {
                    kept.id == bucket.id
                        && kept.revision >= bucket.revision
                        && (kept.props.n, kept.props.mode) == (bucket.props.n, bucket.props.mode)
                }),
                "a bucket in force was taken away or changed",
            )?;
        }
        now.check()
    }

    fn beat(&mut self, source: &mut Source<'_>, from: NodeId) -> Result<bool, String> {
        let mut draw = Draw::new(source, &self.pool);
        let input = match draw.source.below(5) {
            0 => MemberInput::Heard(from),
            1 => MemberInput::Linked(from),
            2 => MemberInput::Unlinked(from),
            3 => MemberInput::Heartbeat {
                from,
                hb: draw.value::<Heartbeat>().ok_or("no heartbeat")?,
            },
            _ => MemberInput::Ack {
                from,
                hb: draw.value::<HeartbeatAck>().ok_or("no heartbeat")?,
            },
        };
        self.member(input)?;
        Ok(true)
    }

    fn member(&mut self, input: MemberInput) -> Result<(), String> {
        let mut effects = Vec::new();
        self.membership.handle(self.now, input, &mut effects);
        must(effects.len() <= 64, "one event sent a flood of heartbeats")?;
        for effect in effects {
            if let MemberEffect::Send { message, .. } = effect {
                self.learn(&message);
            }
        }
        Ok(())
    }

    fn wish(&mut self, source: &mut Source<'_>) -> Result<bool, String> {
        let Some(request) = Draw::new(source, &self.pool).value::<PutBucket>() else {
            return Ok(false);
        };
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket);
        let input = AgreementInput::Client {
            ticket,
            request,
            deadline_ms: source.pick([1, 5000, u32::MAX]).min(55_000),
        };
        self.agree(input, 300)?;
        Ok(true)
    }

    fn message(&mut self, source: &mut Source<'_>, from: NodeId) -> Result<bool, String> {
        let mut draw = Draw::new(source, &self.pool);
        let message: Option<PeerMessage> = match draw.source.below(5) {
            0 => draw.value::<BucketPropose>().map(Into::into),
            1 => draw.value::<BucketVote>().map(Into::into),
            2 => draw.value::<BucketCommit>().map(Into::into),
            3 => draw.value::<BucketCommitted>().map(Into::into),
            _ => draw.value::<Buckets>().map(Into::into),
        };
        let Some(message) = message else {
            return Ok(false);
        };
        let mut body = Vec::new();
        message.encode_body(&mut body);
        self.agree(AgreementInput::Peer { from, message }, body.len())?;
        Ok(true)
    }

    fn agree(&mut self, input: AgreementInput, bytes: usize) -> Result<(), String> {
        self.said_bytes += bytes;
        tell(|| format!("{:>9} us  {input:?}", self.now.mono_us));
        let mut effects = Vec::new();
        self.agreement.handle(self.now, input, &mut effects);
        let mut persisted = None;
        let mut sent = 0;
        for effect in effects {
            match effect {
                AgreementEffect::Persist { number, bytes } => {
                    sent += bytes.len();
                    self.stored = Some(bytes);
                    persisted = Some(number);
                }
                AgreementEffect::Send { message, .. } => sent += self.learn(&message),
                AgreementEffect::Reply { ticket, .. } => must(
                    self.waiting.remove(&ticket),
                    "a client was answered twice, or never asked",
                )?,
                AgreementEffect::MapChanged(_) | AgreementEffect::Contradiction { .. } => {}
            }
        }
        must(
            sent <= ACT_BYTES + ACT_BYTES_EACH * self.said_bytes,
            "one message about buckets sent a flood",
        )?;
        match persisted {
            Some(number) => self.agree(AgreementInput::Persisted(number), 0),
            None => Ok(()),
        }
    }

    /// Takes note of the operation's number; gives the message's length.
    fn learn(&mut self, message: &PeerMessage) -> usize {
        let mut body = Vec::new();
        message.encode_body(&mut body);
        if let Some([0xcf, number @ ..]) = body.get(1..10)
            && let Ok(number) = number.try_into()
        {
            self.pool.learn(u64::from_be_bytes(number));
        }
        body.len()
    }

    fn opens_again(&self) -> Result<(), String> {
        let Some(stored) = &self.stored else {
            return Ok(());
        };
        let me = self.map.members.first().map(|member| member.id);
        let again = Agreement::open(
            me.ok_or("no members")?,
            self.map.clone(),
            Some(stored),
            [1; 32],
        )
        .map_err(|error| format!("what was stored cannot be opened: {error}"))?;
        must(
            again.digest() == self.agreement.digest(),
            "other buckets are in force after a restart",
        )
    }
}
