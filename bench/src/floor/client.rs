//! The bare program's client: a fixed number of requests under way, the next one for each that is answered.

use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::link::Links;
use super::report::Counted;
use super::store::{HEADER_BYTES, object_key};
use super::wire::{self, Frame, Kind};
use super::{Broken, Request, SERVERS};
use crate::cpu::{cpu_of_all, own_cpu};
use crate::failure::Failure;
use crate::rate::Latencies;
use crate::workload::Workload;

/// The client, and who serves it.
pub(super) struct Client {
    links: Links,
    pids: Vec<u32>,
    dice: ChaCha8Rng,
    writes: u64,
}

/// The requests of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) workload: Workload,
    pub(super) keys: u64,
    pub(super) outstanding: u32,
    pub(super) warm_up: Duration,
    pub(super) time: Duration,
}

impl Client {
    pub(super) fn new(links: Links, pids: Vec<u32>, seed: u64) -> Self {
        Self {
            links,
            pids,
            dice: ChaCha8Rng::seed_from_u64(seed),
            writes: 0,
        }
    }

    /// Writes every key once.
    pub(super) async fn fill(&mut self, load: &Load) -> Result<(), Failure> {
        let mut keys = 0..load.keys;
        let mut under_way = 0_u32;
        for key in keys.by_ref().take(load.outstanding as usize) {
            self.send(load, Request::Put, 0, key);
            under_way += 1;
        }
        self.links.flush().await?;
        while under_way > 0 {
            for came in self.links.take().await? {
                for _ in came.frames() {
                    match keys.next() {
                        Some(key) => self.send(load, Request::Put, 0, key),
                        None => under_way -= 1,
                    }
                }
            }
            self.links.flush().await?;
        }
        Ok(())
    }

    /// One run. What begins in its time counts, CPU time until the last answer.
    pub(super) async fn measure(
        &mut self,
        load: &Load,
        request: Request,
    ) -> Result<Counted, Failure> {
        let begin = Instant::now();
        let mut begun: Vec<Instant> = Vec::new();
        for id in 0..load.outstanding {
            begun.push(Instant::now());
            self.send_any(load, request, id);
        }
        self.links.flush().await?;
        let mut run = Run {
            counts_from: begin + load.warm_up,
            end: begin + load.warm_up + load.time,
            times: Latencies::default(),
            missing: 0,
        };
        let mut before = None;
        let mut under_way = load.outstanding;
        while under_way > 0 {
            let all = self.links.take().await?;
            let now = Instant::now();
            if before.is_none() && now >= run.counts_from {
                run.counts_from = now;
                before = Some(self.cpu()?);
            }
            for frame in all.iter().flat_map(|came| came.frames()) {
                let from = begun.get_mut(frame.id as usize).ok_or(Broken::Foreign)?;
                run.add(request, *from, now, &frame);
                if now < run.end {
                    *from = now;
                    self.send_any(load, request, frame.id);
                } else {
                    under_way -= 1;
                }
            }
            self.links.flush().await?;
        }
        let (servers, own) = before.ok_or(Broken::Foreign)?;
        let (servers_then, own_then) = self.cpu()?;
        Ok(Counted {
            took: run.counts_from.elapsed(),
            server_cpu: servers_then.saturating_sub(servers),
            client_cpu: own_then.saturating_sub(own),
            times: run.times,
            missing: run.missing,
            failed: 0,
        })
    }

    fn cpu(&self) -> Result<(Duration, Duration), Failure> {
        Ok((cpu_of_all(&self.pids)?, own_cpu()))
    }

    fn send_any(&mut self, load: &Load, request: Request, id: u32) {
        let key = self.dice.next_u64() % load.keys.max(1);
        self.send(load, request, id, key);
    }

    fn send(&mut self, load: &Load, request: Request, id: u32, key: u64) {
        // Each server is asked for a third of the keys.
        let server = usize::try_from(key % SERVERS as u64).unwrap_or(0);
        let out = self.links.out(server);
        let name = object_key(&load.workload.key(key));
        match request {
            Request::Put => {
                self.writes += 1;
                let value = load.workload.value(key, self.writes);
                wire::write(out, Kind::Put, id, &name, &[&value]);
            }
            Request::Get => wire::write(out, Kind::Get, id, &name, &[]),
        }
    }
}

struct Run {
    counts_from: Instant,
    end: Instant,
    times: Latencies,
    missing: u64,
}

impl Run {
    fn add(&mut self, request: Request, from: Instant, now: Instant, answer: &Frame<'_>) {
        if from < self.counts_from || from >= self.end {
            return;
        }
        self.times.add(now.saturating_duration_since(from));
        let nothing = answer.body.len() <= HEADER_BYTES;
        self.missing += u64::from(request == Request::Get && nothing);
    }
}
