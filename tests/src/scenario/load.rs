//! A load beside a walk: to each of some keys values in ascending order are written, each over what was written before,
//! and all keys are read all the time, at two answers of three. Whatever else the walk does meanwhile, no read may show
//! less than what was acknowledged before it began, and no request may fail for longer than a client has patience.

use std::collections::BTreeMap;

use super::ask::{Seen, UnderWay};
use super::failure::{Failure, Refused};
use super::request::{Over, Request, get, put};
use super::stage::Weather;
use super::walk::{BUCKET, Walk};
use crate::sim::history::{Key, WriteId};

/// A try has so long, milliseconds.
const TRY_MS: u32 = 2_000;
/// A client gives up a request after so long, milliseconds.
const BUDGET_MS: u64 = 10_000;
/// Between two requests for one key, milliseconds at most.
const PAUSE_MS: u64 = 120;
/// Between two tries of one, milliseconds.
const AGAIN_MS: u64 = 50;

/// A load.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    lines: Vec<Line>,
    /// Requests that ended well.
    pub done: usize,
    /// Tries that did not.
    pub tried_again: usize,
    /// What was not as it must be.
    broken: Option<Failure>,
    /// New requests are begun.
    goes_on: bool,
}

/// What is written to one key, and read of it.
#[derive(Clone, Debug)]
struct Line {
    key: Key,
    /// All writes begun, in order.
    written: BTreeMap<WriteId, usize>,
    /// How many of them are acknowledged.
    acknowledged: usize,
    /// What the next write replaces; nothing where the last one was told that something unseen stands beside it: then
    /// it is read first.
    over: Option<Over>,
    /// Tries of writes that did not end well: each may stand beside what came of the next one.
    doubtful: usize,
    /// A write and a read: each at its own pace.
    jobs: [Job; 2],
}

#[derive(Clone, Debug, Default)]
struct Job {
    current: Option<Current>,
    next_us: u64,
}

#[derive(Clone, Debug)]
struct Current {
    request: Request,
    under_way: Option<UnderWay>,
    from_us: u64,
    /// Writes acknowledged before it began.
    floor: usize,
}

const WRITE: usize = 0;

impl Walk<'_> {
    /// A load on so many keys goes on until [`Self::end_load`].
    pub fn begin_load(&mut self, keys: u32) {
        let first = self.world.config.keys;
        self.world.config.keys = first + keys;
        let line = |number| Line {
            key: Key {
                bucket: BUCKET,
                number,
            },
            written: BTreeMap::new(),
            acknowledged: 0,
            over: None,
            doubtful: 0,
            jobs: [Job::default(), Job::default()],
        };
        self.load = Some(Load {
            lines: (first..first + keys).map(line).collect(),
            goes_on: true,
            ..Load::default()
        });
        self.say(format!(
            "from now on ascending values are written to each of {keys} keys, and all of them are read, all the time"
        ));
    }

    /// The load ends; what is under way comes to its end.
    ///
    /// # Errors
    /// Something was not as it must be.
    pub fn end_load(&mut self) -> Result<(), Failure> {
        if let Some(load) = &mut self.load {
            load.goes_on = false;
        }
        let busy = |walk: &Self| {
            let lines = walk.load.iter().flat_map(|load| &load.lines);
            let mut jobs = lines.flat_map(|line| &line.jobs);
            jobs.any(|job| job.current.is_some())
        };
        while busy(self) && self.check_load().is_ok() {
            self.pass(5);
        }
        self.check_load()?;
        let Some(load) = self.load.take() else {
            return Ok(());
        };
        let writes: usize = load.lines.iter().map(|line| line.acknowledged).sum();
        self.say(format!(
            "the load ends: {} requests, {writes} of them writes, all right; {} tries were made again",
            load.done, load.tried_again
        ));
        for line in &load.lines {
            let read = self.get_at(&get().of(line.key).silently(), None)?;
            self.load_shows(line, &read, line.acknowledged)?;
        }
        Ok(())
    }

    /// Demands that nothing was wrong with the load up to now.
    ///
    /// # Errors
    /// Something was.
    pub fn check_load(&mut self) -> Result<(), Failure> {
        let broken = self.load.as_mut().and_then(|load| load.broken.take());
        broken.map_or(Ok(()), Err)
    }

    /// Sends what is due, and looks at what has come.
    pub(super) fn pump(&mut self) {
        let Some(mut load) = self.load.take() else {
            return;
        };
        for line in &mut load.lines {
            for job in 0..line.jobs.len() {
                if load.broken.is_some() {
                    break;
                }
                match self.pump_job(line, job, load.goes_on) {
                    Ok((done, again)) => {
                        load.done += usize::from(done);
                        load.tried_again += usize::from(again);
                    }
                    Err(failure) => load.broken = Some(failure),
                }
            }
        }
        self.load = Some(load);
    }

    /// Returns whether a request ended well, and whether a try did not.
    fn pump_job(
        &mut self,
        line: &mut Line,
        job: usize,
        goes_on: bool,
    ) -> Result<(bool, bool), Failure> {
        if line.jobs[job].next_us > self.world.at_us {
            return Ok((false, false));
        }
        let Some(mut current) = line.jobs[job].current.take() else {
            let may_write = line.over.is_some() || line.written.is_empty();
            if goes_on && (job != WRITE || may_write) {
                line.jobs[job].current = Some(self.next_of(line, job));
            }
            return Ok((false, false));
        };
        let Some(under_way) = current.under_way.take() else {
            current.under_way = self.try_once(&current.request);
            if let (Some(id), WRITE) = (current.under_way.as_ref().and_then(|way| way.id), job) {
                current.request = current.request.clone().again(id);
                let index = line.written.len() + 1;
                line.written.entry(id).or_insert(index);
            }
            line.jobs[job].current = Some(current);
            return Ok((false, false));
        };
        if !self.has_ended(&under_way) {
            current.under_way = Some(under_way);
            line.jobs[job].current = Some(current);
            return Ok((false, false));
        }
        match self.outcome(line, &current, &under_way)? {
            Ok(()) => {
                let pause_ms = self.chance_below(PAUSE_MS);
                line.jobs[job].next_us = self.world.at_us + pause_ms * 1_000;
                Ok((true, false))
            }
            Err(refused) => {
                let most_ms = self.patience_ms(BUDGET_MS);
                if self.world.at_us > current.from_us + most_ms * 1_000 {
                    let what = format!("a request of the load for {}", line.key);
                    return Err(Failure::Refused { what, refused });
                }
                line.doubtful += usize::from(job == WRITE);
                line.jobs[job].next_us = self.world.at_us + AGAIN_MS * 1_000;
                line.jobs[job].current = Some(current);
                Ok((false, true))
            }
        }
    }

    fn next_of(&self, line: &Line, job: usize) -> Current {
        let request = match (job, &line.over) {
            (WRITE, Some(over)) => put(format!("{}", line.written.len() + 1)).over(over.clone()),
            (WRITE, None) => put("1"),
            (_, _) => get(),
        };
        // Where messages are lost, whoever stands in may be taken for the only one there: r + w > n holds for strict quorums.
        let request = if self.weather == Weather::Stormy {
            request
                .writing(|options| options.sloppy = Some(false))
                .reading(|options| options.sloppy = Some(false))
        } else {
            request
        };
        Current {
            request: request.of(line.key).deadline_ms(TRY_MS).silently(),
            under_way: None,
            from_us: self.world.at_us,
            floor: line.acknowledged,
        }
    }

    /// At some member that runs: a client finds out at once which do not listen.
    fn try_once(&mut self, request: &Request) -> Option<UnderWay> {
        let place = self.some_running()?;
        Some(self.send_to(request, place))
    }

    /// What came of a try.
    fn outcome(
        &mut self,
        line: &mut Line,
        current: &Current,
        under_way: &UnderWay,
    ) -> Result<Result<(), Refused>, Failure> {
        let reply = match self.wait(under_way) {
            Ok(reply) => reply,
            Err(refused) => return Ok(Err(refused)),
        };
        if under_way.id.is_some() {
            return Ok(self.wrote(under_way, reply).map(|wrote| {
                line.acknowledged = line.written.len();
                line.over = (!wrote.context.is_empty()).then(|| Over::from(&wrote));
            }));
        }
        match self.seen(under_way, reply) {
            Ok(seen) => {
                if line.over.is_none() && current.floor == line.acknowledged {
                    line.over = Some(Over::from(&seen));
                }
                self.load_shows(line, &seen, current.floor).map(Ok)
            }
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// A read shows one value, and none from before what was acknowledged when it began.
    fn load_shows(&mut self, line: &Line, seen: &Seen, floor: usize) -> Result<(), Failure> {
        let shown = seen.writes.iter();
        let indices: Vec<usize> = shown
            .map(|id| line.written.get(id).copied().unwrap_or(0))
            .collect();
        let newest = indices.iter().copied().max().unwrap_or(0);
        let what = format!("the value of {} that a read shows", line.key);
        self.expect(
            &what,
            format!("{floor} or later"),
            &indices,
            newest >= floor,
        )?;
        let most = 1 + line.doubtful;
        self.expect(
            &what,
            format!("{most} at most"),
            &indices,
            indices.len() <= most,
        )
    }
}
