//! The language of scenarios: who there is, what happens to them, and what is waited for. Requests are in
//! `ask`.

mod faults;

use std::collections::BTreeMap;

use quorate_core::Family;
use quorate_core::record::keys;
use quorate_ring::BucketId;

use super::failure::Failure;
use super::guard::Guard;
use super::load::Load;
use super::stage::Weather;
use crate::sim::dice::Dice;
use crate::sim::history::{Key, WriteId};
use crate::sim::trace::Trace;
use crate::sim::world::{Prepare, World};

/// The bucket of all scenarios.
pub const BUCKET: BucketId = BucketId::new(1);
/// The key that a scenario is about.
pub const KEY: Key = Key {
    bucket: BUCKET,
    number: 0,
};
/// In bad weather everything may take so many times longer.
const PATIENCE: u64 = 10;

/// Beside a load the walk looks around so often, microseconds.
const STEP_US: u64 = 2_000;

/// A node by its part for [`KEY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The first primary.
    P1,
    /// The second primary.
    P2,
    /// The third primary.
    P3,
    /// The first fallback.
    F4,
    /// The second fallback.
    F5,
}

pub use Who::{F4, F5, P1, P2, P3};

/// All of them, in the order of the key's preference list.
pub const ALL: [Who; 5] = [P1, P2, P3, F4, F5];
/// The key's primaries.
pub const PRIMARIES: [Who; 3] = [P1, P2, P3];

/// One scenario being walked.
pub struct Walk<'a> {
    /// The cluster.
    pub world: World<'a>,
    /// What goes on around the walk.
    pub weather: Weather,
    /// How many keys scenarios that need many write.
    pub many: u32,
    /// What was told so far.
    pub told: Vec<String>,
    /// Values by their names.
    pub(super) names: BTreeMap<WriteId, String>,
    pub(super) session: super::ask::Session,
    /// Whether the weather makes clocks jump.
    pub clocks_jump: bool,
    /// What goes on beside the walk.
    pub(super) load: Option<Load>,
    /// Values that rest, and whose copies are watched.
    pub(super) guard: Option<Guard>,
    dice: Dice,
    /// Lines are printed as they are told.
    aloud: bool,
    places: Vec<usize>,
}

impl<'a> Walk<'a> {
    /// A cluster that has been running for a moment, everybody knowing everybody.
    #[must_use]
    pub fn new(
        config: crate::sim::config::Config,
        weather: Weather,
        many: u32,
        trace: Trace,
        aloud: bool,
        prepare: Prepare<'a>,
    ) -> Self {
        let dice = Dice::new(config.seed, "gusts");
        let mut world = World::new(config, trace, prepare);
        world.run_until(2_000_000);
        let places = places(&world);
        Self {
            world,
            weather,
            many,
            told: Vec::new(),
            names: BTreeMap::new(),
            session: super::ask::Session::default(),
            clocks_jump: weather != Weather::Calm,
            load: None,
            guard: None,
            dice,
            aloud,
            places,
        }
    }

    /// Whether nothing but the walk itself happens, so that counts are exact.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.weather == Weather::Calm
    }

    /// Tells something.
    pub fn say(&mut self, text: impl AsRef<str>) {
        let line = format!(
            "{:>9.3} s  {}",
            self.world.at_us as f64 / 1e6,
            text.as_ref()
        );
        if self.aloud {
            println!("{line}");
        }
        self.told.push(line);
    }

    /// Where somebody stands in the list of nodes.
    #[must_use]
    pub fn place(&self, who: Who) -> usize {
        self.places[who as usize]
    }

    /// Who stands at a place of the list of nodes.
    #[must_use]
    pub fn who(&self, place: usize) -> Option<Who> {
        let index = self.places.iter().position(|other| *other == place)?;
        ALL.get(index).copied()
    }

    /// The name of somebody, with the node's.
    #[must_use]
    pub fn name(&self, who: Who) -> String {
        format!("{who:?} (n{})", self.place(who) + 1)
    }

    fn names_of(&self, who: &[Who]) -> String {
        let names: Vec<String> = who.iter().map(|&who| self.name(who)).collect();
        names.join(", ")
    }

    /// All of them in an order that the seed decides.
    pub fn shuffled(&mut self) -> [Who; 5] {
        let mut order = ALL;
        for last in (1..order.len()).rev() {
            order.swap(last, self.dice.index(last + 1));
        }
        order
    }

    /// Now and then a clock jumps, by less than what nodes refuse to believe.
    pub(super) fn gust(&mut self) {
        if self.clocks_jump && self.dice.chance(200) {
            let node = self.dice.index(self.places.len());
            let skew_ms = i64::try_from(self.dice.below(800)).unwrap_or(0) - 400;
            self.world.nodes[node].clock.skew_ms = skew_ms;
        }
    }

    // What is waited for.

    /// Time passes, milliseconds.
    pub fn pass(&mut self, ms: u64) {
        let until_us = self.world.at_us + ms * 1000;
        while (self.load.is_some() || self.guard.is_some()) && self.world.at_us < until_us {
            self.world
                .run_until(until_us.min(self.world.at_us + STEP_US));
            self.pump();
            self.look_after();
        }
        self.world.run_until(until_us);
    }

    /// Chance, for what goes on beside the walk.
    pub(super) fn chance_below(&mut self, most: u64) -> u64 {
        self.dice.below(most)
    }

    /// Some member that runs.
    pub(super) fn some_running(&mut self) -> Option<usize> {
        let running = self.running();
        self.dice.pick(&running).copied()
    }

    /// How long something may take here that takes `ms` at most where nothing else happens.
    #[must_use]
    pub fn patience_ms(&self, ms: u64) -> u64 {
        if self.is_calm() { ms } else { PATIENCE * ms }
    }

    /// Waits until something is so; tells and returns how long it took, milliseconds.
    ///
    /// # Errors
    /// It did not come to pass in time.
    pub fn until(
        &mut self,
        what: &str,
        within_ms: u64,
        so: impl Fn(&Self) -> Result<(), String>,
    ) -> Result<u64, Failure> {
        let within_ms = self.patience_ms(within_ms);
        let from_us = self.world.at_us;
        loop {
            self.check_load()?;
            self.check_guard()?;
            let is = match so(self) {
                Ok(()) => break,
                Err(is) => is,
            };
            if self.world.at_us >= from_us + within_ms * 1000 {
                let what = what.to_owned();
                return Err(Failure::Late {
                    what,
                    within_ms,
                    is,
                });
            }
            self.pass(10);
        }
        let took_ms = (self.world.at_us - from_us) / 1000;
        self.say(format!("{what}, after {took_ms} ms"));
        Ok(took_ms)
    }

    /// Waits until those who run know that somebody is not there.
    ///
    /// # Errors
    /// They did not notice within five seconds.
    pub fn missed(&mut self, who: Who) -> Result<u64, Failure> {
        let what = format!("the others notice that {} is not there", self.name(who));
        let place = self.place(who);
        self.until(&what, 5_000, |walk| {
            match walk.others(place).find(|&other| walk.reaches(other, place)) {
                None => Ok(()),
                Some(other) => Err(format!("n{} still counts on it", other + 1)),
            }
        })
    }

    /// Waits until those who run reach somebody again.
    ///
    /// # Errors
    /// They did not notice within five seconds.
    pub fn noticed(&mut self, who: Who) -> Result<u64, Failure> {
        let what = format!("the others notice that {} is there", self.name(who));
        let place = self.place(who);
        self.until(&what, 5_000, |walk| {
            match walk
                .others(place)
                .find(|&other| !walk.reaches(other, place))
            {
                None => Ok(()),
                Some(other) => Err(format!("n{} does not reach it", other + 1)),
            }
        })
    }

    /// Waits until no hint for somebody is left anywhere.
    ///
    /// # Errors
    /// Some are left after ten seconds.
    pub fn handed_over(&mut self, who: Who) -> Result<u64, Failure> {
        let what = format!("no hint for {} is left", self.name(who));
        self.until(&what, 10_000, |walk| match walk.hints(None, Some(who)) {
            0 => Ok(()),
            left => Err(format!("{left} hints are left")),
        })
    }

    /// Waits until somebody has caught up: it is current in everything and misses nothing.
    ///
    /// # Errors
    /// It has not after ten seconds.
    pub fn caught_up(&mut self, who: Who) -> Result<u64, Failure> {
        let what = format!("{} has caught up", self.name(who));
        self.until(&what, 10_000, |walk| walk.is_current(who))
    }

    /// Waits until everybody who runs has caught up and no hint is left.
    ///
    /// # Errors
    /// It is not so after thirty seconds.
    pub fn idle(&mut self) -> Result<u64, Failure> {
        self.until("everything is where it belongs", 30_000, |walk| {
            ALL.iter()
                .filter(|who| walk.world.nodes[walk.place(**who)].is_running())
                .try_for_each(|who| walk.is_current(*who))?;
            match walk.hints(None, None) {
                0 => Ok(()),
                left => Err(format!("{left} hints are left")),
            }
        })
    }

    // What can be seen from outside.

    fn others(&self, place: usize) -> impl Iterator<Item = usize> {
        let nodes = self.world.nodes.iter();
        nodes
            .filter(move |node| node.index != place && node.is_running())
            .filter(|node| node.paused_until_us == 0)
            .map(|node| node.index)
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        let id = self.world.nodes[to].id;
        let status = self.world.nodes[from].status().unwrap_or_default();
        let mut peers = status.iter().flat_map(|replica| &replica.peers);
        peers.any(|peer| peer.node == id && peer.reachable)
    }

    /// Whether somebody is current in everything and misses nothing; if not, why.
    ///
    /// # Errors
    /// What it still waits for.
    pub fn is_current(&self, who: Who) -> Result<(), String> {
        self.is_up_to_date(self.place(who))
    }

    /// As [`Self::is_current`], of the node at a place.
    ///
    /// # Errors
    /// What it still waits for.
    pub fn is_up_to_date(&self, place: usize) -> Result<(), String> {
        let name = match self.who(place) {
            Some(who) => self.name(who),
            None => format!("n{}", place + 1),
        };
        let Some(status) = self.world.nodes[place].status() else {
            return Err(format!("{name} does not run"));
        };
        let mut vnodes = status.iter().flat_map(|replica| &replica.vnodes);
        match vnodes.find(|vnode| !vnode.current || vnode.lag > 0) {
            None => Ok(()),
            Some(vnode) => Err(format!(
                "{name}: {} is {}current, misses {} writes, waits for {:?}",
                vnode.class,
                if vnode.current { "" } else { "not " },
                vnode.lag,
                vnode.waits_for
            )),
        }
    }

    /// Hints on disks: of one holder or of all, for one target or for all.
    #[must_use]
    pub fn hints(&self, holder: Option<Who>, target: Option<Who>) -> usize {
        let target = target.map(|who| self.world.nodes[self.place(who)].id);
        let nodes = self.world.nodes.iter();
        nodes
            .filter(|node| holder.is_none_or(|who| self.place(who) == node.index))
            .flat_map(|node| node.disk.records(Family::Hints))
            .filter(|(key, _)| {
                let of = keys::parse_hint_key(key).map(|(target, ..)| target);
                target.is_none_or(|target| of == Some(target))
            })
            .count()
    }

    /// Who has an object of [`KEY`] on disk.
    #[must_use]
    pub fn holders(&self) -> Vec<Who> {
        let holds = |who: &Who| {
            let disk = &self.world.nodes[self.place(*who)].disk;
            let mut objects = disk.records(Family::Objects);
            objects.any(|(key, _)| {
                let parsed = keys::parse_object_key(key);
                parsed.is_some_and(|(_, bucket, name)| Key::parse(bucket, name) == Some(KEY))
            })
        };
        ALL.into_iter().filter(holds).collect()
    }

    /// Demands something.
    ///
    /// # Errors
    /// It is otherwise.
    pub fn expect(
        &mut self,
        what: &str,
        should: impl std::fmt::Debug,
        is: impl std::fmt::Debug,
        holds: bool,
    ) -> Result<(), Failure> {
        if holds {
            return Ok(());
        }
        Err(Failure::Unlike {
            what: what.to_owned(),
            should: format!("{should:?}"),
            is: format!("{is:?}"),
        })
    }

    /// Demands that something is just so.
    ///
    /// # Errors
    /// It is otherwise.
    pub fn equal<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: &str,
        should: T,
        is: T,
    ) -> Result<(), Failure> {
        let holds = should == is;
        self.expect(what, should, is, holds)
    }

    /// As [`Self::equal`], for what a lost or late message may change: only where nothing else happens.
    ///
    /// # Errors
    /// It is otherwise.
    pub fn exactly<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: &str,
        should: T,
        is: T,
    ) -> Result<(), Failure> {
        if self.is_calm() {
            self.equal(what, should, is)
        } else {
            Ok(())
        }
    }
}

/// The places of the key's primaries and fallbacks, in the order of its preference list.
fn places(world: &World<'_>) -> Vec<usize> {
    let ring = &world.config.map.ring;
    let class = quorate_ring::Class {
        n: 3,
        partition: ring.partition_of(KEY.bucket, &KEY.bytes()),
    };
    let primaries = ring.primaries(class).iter().copied();
    primaries
        .chain(ring.fallbacks(class))
        .filter_map(|id| world.nodes.iter().position(|node| node.id == id))
        .collect()
}
