//! What nodes tell each other about the cluster, fed to failure detection and to the keeper of the
//! map, message after message.
//!
//! Nothing panics; what one message sets off is bounded by the size of the versions that were said; the newest version never
//! goes back; every client is answered; what was stored can be opened again and says the same.

use std::collections::BTreeSet;

use quorate_core::keeper::{Keeper, KeeperEffect, KeeperInput, MapRequest};
use quorate_core::membership::{self, MemberEffect, MemberInput, Membership};
use quorate_core::register::{Pace, RegisterConfig, Version};
use quorate_core::{Now, Ticket};
use quorate_protocol::client::PutBucket;
use quorate_protocol::ids::LifeId;
use quorate_protocol::peer::{
    Ballot, Heartbeat, HeartbeatAck, MapAccept, MapAccepted, MapAsk, MapDecided, MapNewest,
    MapPrepare, MapPromise, MapRefused, PeerMessage,
};
use quorate_protocol::versioned::{MapChange, MapName, VersionedMap};
use quorate_protocol::{RequestId, StorageId};
use quorate_ring::NodeId;

use super::draw::{Draw, Pool};
use super::source::Source;
use super::{Tally, Target, messages, must, tell};

/// The bytes are the choices of a script.
pub(super) const TARGET: Target = Target {
    name: "cluster",
    about: "failure detection and the keeper of the cluster map under hostile peers",
    draw: |source| {
        let length = 32 + source.index(1500);
        source.fill(length)
    },
    check,
    weight: 30,
};

const ACTS_MAX: u64 = 200;
const PEERS: u64 = 4;
/// One act may send so many bytes: a few versions, and so many more for each byte that was ever said.
const ACT_BYTES: usize = 64 * 1024;
const ACT_BYTES_EACH: usize = 64;

struct Stage {
    given: Version,
    now: Now,
    membership: Membership,
    keeper: Keeper,
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
    stage.keep(KeeperInput::Tick, 0)?;
    must(
        stage.waiting.is_empty(),
        "a client that wanted the map changed was never answered",
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
        let first = VersionedMap::created(map, 0);
        let given = Version::seal(first).ok()?;
        let newest = given.name();
        let membership = Membership::new(me, 1, newest, peers, membership::Timing::default(), now);
        let seed = [source.byte(); 32];
        let keeper = Keeper::open(config(me), given.clone(), None, seed).ok()?;
        Some(Self {
            given,
            now,
            membership,
            keeper,
            stored: None,
            waiting: BTreeSet::new(),
            tickets: 0,
            said_bytes: 0,
            pool,
        })
    }

    fn act(&mut self, source: &mut Source<'_>) -> Result<Tally, String> {
        let from = NodeId::new(source.below(PEERS + 4));
        let before = self.keeper.register().newest().name();
        let fed = match source.below(8) {
            0 => self.beat(source, from)?,
            1 => {
                self.now.mono_us += source.pick([1000, 90_000, 500_000, 5_000_000]);
                self.now.wall_ms = source.pick([0, 1, self.now.wall_ms, u64::MAX]);
                self.member(MemberInput::Tick)?;
                self.keep(KeeperInput::Tick, 0)?;
                true
            }
            2 => self.wish(source)?,
            3 => {
                let input = match source.below(3) {
                    0 => KeeperInput::PeerUp(from),
                    1 => KeeperInput::PeerDown(from),
                    _ => KeeperInput::Differs {
                        peer: from,
                        newest: self.name(source),
                    },
                };
                self.keep(input, 0)?;
                true
            }
            _ => self.message(source, from)?,
        };
        must(
            self.keeper.register().newest().name().version >= before.version,
            "the newest version went back",
        )?;
        self.keeper.map().check()?;
        Ok(if fed { Tally::ACCEPTED } else { Tally::REFUSED })
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
        let request = Draw::new(source, &self.pool).value::<PutBucket>();
        let Some(request) = request else {
            return Ok(false);
        };
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket);
        let input = KeeperInput::Client {
            ticket,
            request: MapRequest::Put(request),
            deadline_ms: source.pick([1, 5000, u32::MAX]).min(55_000),
        };
        self.keep(input, 300)?;
        Ok(true)
    }

    fn message(&mut self, source: &mut Source<'_>, from: NodeId) -> Result<bool, String> {
        let Some(message) = self.spoken(source) else {
            return Ok(false);
        };
        let mut body = Vec::new();
        message.encode_body(&mut body);
        self.keep(KeeperInput::Peer { from, message }, body.len())?;
        Ok(true)
    }

    /// A message of the register's: out of nothing now and then, of real versions and ballots otherwise.
    fn spoken(&self, source: &mut Source<'_>) -> Option<PeerMessage> {
        if source.one_in(4) {
            return self.noise(source);
        }
        let parent = self.name(source);
        let (node, life) = (NodeId::new(source.below(6)), LifeId::new(source.below(3)));
        let ballot = Ballot::new(source.below(8), node, life);
        let storage = StorageId::new(source.below(6));
        let map = self.version(source).bytes().clone();
        let accepted = source.one_in(2).then(|| (ballot, map.clone()));
        Some(match source.below(8) {
            0 => MapPrepare { parent, ballot }.into(),
            1 => MapPromise {
                parent,
                ballot,
                storage,
                accepted,
            }
            .into(),
            2 => MapAccept {
                parent,
                ballot,
                map,
            }
            .into(),
            3 => MapAccepted {
                parent,
                ballot,
                storage,
            }
            .into(),
            4 => MapRefused {
                parent,
                ballot,
                promised: ballot,
            }
            .into(),
            5 => MapNewest { newest: parent }.into(),
            6 => MapAsk { have: parent }.into(),
            _ => MapDecided { map }.into(),
        })
    }

    fn noise(&self, source: &mut Source<'_>) -> Option<PeerMessage> {
        let mut draw = Draw::new(source, &self.pool);
        match draw.source.below(8) {
            0 => draw.value::<MapPrepare>().map(Into::into),
            1 => draw.value::<MapPromise>().map(Into::into),
            2 => draw.value::<MapAccept>().map(Into::into),
            3 => draw.value::<MapAccepted>().map(Into::into),
            4 => draw.value::<MapRefused>().map(Into::into),
            5 => draw.value::<MapNewest>().map(Into::into),
            6 => draw.value::<MapAsk>().map(Into::into),
            _ => draw.value::<MapDecided>().map(Into::into),
        }
    }

    /// The newest version, a child of it or of the first one, or a child's child.
    fn version(&self, source: &mut Source<'_>) -> Version {
        let newest = self.keeper.register().newest();
        let mut version = source.pick([&self.given, newest, newest, newest]).clone();
        for _ in 0..source.below(3) {
            let mut draft = version.draft();
            for voter in &mut draft.voters {
                voter.storage = Some(StorageId::new(source.below(6)));
            }
            let change = MapChange {
                request: RequestId::new(source.below(3), source.below(3)),
                by: NodeId::new(source.below(6)),
                wall_ms: 0,
                what: "fuzzed".to_owned(),
            };
            if let Ok(child) = version.child(change, draft) {
                version = child;
            }
        }
        version
    }

    fn name(&self, source: &mut Source<'_>) -> MapName {
        self.version(source).name()
    }

    fn keep(&mut self, input: KeeperInput, bytes: usize) -> Result<(), String> {
        self.said_bytes += bytes;
        tell(|| format!("{:>9} us  {input:?}", self.now.mono_us));
        let mut effects = Vec::new();
        self.keeper.handle(self.now, input, &mut effects);
        let mut persisted = None;
        let mut sent = 0;
        for effect in effects {
            match effect {
                KeeperEffect::Persist { number, bytes } => {
                    sent += bytes.len();
                    self.stored = Some(bytes);
                    persisted = Some(number);
                }
                KeeperEffect::Send { message, .. } => sent += self.learn(&message),
                KeeperEffect::Reply { ticket, .. } => must(
                    self.waiting.remove(&ticket),
                    "a client was answered twice, or never asked",
                )?,
                KeeperEffect::Changed(_)
                | KeeperEffect::GivenUp { .. }
                | KeeperEffect::Contradiction { .. } => {}
            }
        }
        must(
            sent <= ACT_BYTES + ACT_BYTES_EACH * self.said_bytes,
            "one message about the map sent a flood",
        )?;
        match persisted {
            Some(number) => self.keep(KeeperInput::Persisted(number), 0),
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
        let me = self.given.map().map.members.first().map(|member| member.id);
        let config = config(me.ok_or("no members")?);
        let again = Keeper::open(config, self.given.clone(), Some(stored), [1; 32])
            .map_err(|error| format!("what was stored cannot be opened: {error}"))?;
        must(
            again.register().newest() == self.keeper.register().newest(),
            "another version is the newest after a restart",
        )
    }
}

fn config(me: NodeId) -> RegisterConfig {
    RegisterConfig {
        me,
        storage: StorageId::new(me.get()),
        pace: Pace::default(),
    }
}
