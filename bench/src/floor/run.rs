//! The floor and the real thing, in turn.

use quorate_tests::process::{Cluster, Programs};

use super::client::{Client, Load};
use super::report::{Counted, Measured, Report};
use super::stage::{Servers, join_as_client};
use super::{Broken, Request, Settings};
use crate::failure::Failure;
use crate::progress::say;
use crate::workload::Workload;
use crate::ycsb::{self, Distribution, Session, Target};

/// Measures everything that was asked for. Both are up all the time; only one is asked at a time.
///
/// # Errors
/// See [`Failure`].
pub async fn run(programs: &Programs, settings: Settings) -> Result<Report, Failure> {
    let mut bench = Bench::start(programs, settings).await?;
    let mut measured = Vec::new();
    for place in 0..bench.settings.sizes.len() {
        measured.extend(bench.size(place).await?);
    }
    Ok(Report {
        settings: bench.settings,
        measured,
    })
}

struct Bench {
    settings: Settings,
    floor: Client,
    real: Target,
    // Dropped last: processes first, then their files.
    _cluster: Cluster,
    _servers: Servers,
    _dir: tempfile::TempDir,
}

impl Bench {
    async fn start(programs: &Programs, settings: Settings) -> Result<Self, Failure> {
        let dir = tempfile::tempdir().map_err(|source| Broken::Io {
            what: "a temporary directory".to_owned(),
            source,
        })?;
        let servers = Servers::start(&settings.program, dir.path())?;
        let links = join_as_client(dir.path()).await?;
        let floor = Client::new(links, servers.pids(), settings.seed);
        let (cluster, real) = ycsb::own_cluster(programs).await?;
        Ok(Self {
            settings,
            floor,
            real,
            _cluster: cluster,
            _servers: servers,
            _dir: dir,
        })
    }

    /// All runs with values of one size.
    async fn size(&mut self, place: usize) -> Result<Vec<Measured>, Failure> {
        let settings = self.settings.clone();
        let bytes = settings.sizes[place];
        // Keys of their own: what was written with another size is not read.
        let seed = settings.seed.wrapping_add(place as u64);
        let load = Load {
            workload: Workload::new(seed, bytes),
            keys: settings.keys,
            outstanding: settings.outstanding.into(),
            warm_up: settings.warm_up,
            time: settings.time,
        };
        self.floor.fill(&load).await?;
        let session = Session::open(&self.real, real_settings(&settings, bytes, seed)).await?;
        let mut measured = Vec::new();
        for request in Request::ALL {
            let (mut floor, mut real) = (Vec::new(), Vec::new());
            for number in 0..settings.runs.max(1) {
                let bare = self.floor.measure(&load, request).await?;
                say(&format!(
                    "{} of {bytes} bytes, the bare program: {bare}",
                    request.name()
                ));
                floor.push(bare);
                let run = session.measure(number, request.into()).await?;
                real.push(Counted::from(run));
            }
            measured.push(Measured {
                request,
                bytes,
                floor,
                real,
            });
        }
        Ok(measured)
    }
}

fn real_settings(settings: &Settings, value_bytes: usize, seed: u64) -> ycsb::Settings {
    ycsb::Settings {
        // Replaced for each run.
        mix: Request::Put.into(),
        distribution: Distribution::Uniform,
        keys: settings.keys,
        value_bytes,
        outstanding: settings.outstanding.into(),
        rate: None,
        warm_up: settings.warm_up,
        time: settings.time,
        runs: settings.runs,
        seed,
    }
}
