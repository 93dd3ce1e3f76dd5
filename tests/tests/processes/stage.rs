//! One cluster for many scenarios: each takes it healthy and gives it back healed and checked.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use libtest_mimic::{Failed, Trial};
use quorate_tests::process::{Cluster, Ledger, Programs, Settings, Trouble};

/// Prints a line below the name of the scenario that runs.
macro_rules! say {
    ($($words:tt)*) => { print!("\n     {} ", format_args!($($words)*)) };
}

/// How a scenario ends.
pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The programs, a runtime, and the cluster that scenarios share.
pub(crate) struct Stage {
    programs: Programs,
    runtime: tokio::runtime::Runtime,
    cluster: Mutex<Option<Cluster>>,
}

impl Stage {
    pub(crate) fn new() -> Result<Arc<Self>, Trouble> {
        let programs = Programs::find()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(Trouble::io("a runtime"))?;
        Ok(Arc::new(Self {
            programs,
            runtime,
            cluster: Mutex::default(),
        }))
    }

    /// A scenario on the shared cluster. When it is over, all faults are ended, the replicas must
    /// agree, and everything in the ledger must be there.
    pub(crate) fn shared<F>(self: &Arc<Self>, name: &str, scenario: F) -> Trial
    where
        F: AsyncFnOnce(&mut Cluster, &mut Ledger) -> Outcome + Send + 'static,
    {
        let stage = Arc::clone(self);
        Trial::test(name, move || stage.run_shared(scenario))
    }

    /// A scenario that makes what it needs.
    pub(crate) fn alone<F>(self: &Arc<Self>, name: &str, scenario: F) -> Trial
    where
        F: AsyncFnOnce(&Programs) -> Outcome + Send + 'static,
    {
        let stage = Arc::clone(self);
        Trial::test(name, move || {
            let ended = stage.runtime.block_on(scenario(&stage.programs));
            ended.map_err(|error| Failed::from(error.to_string()))
        })
    }

    /// A scenario on a cluster of its own, which is gone afterwards. It calls [`finish`] itself
    /// where that can be asked for.
    pub(crate) fn own<F>(self: &Arc<Self>, name: &str, settings: Settings, scenario: F) -> Trial
    where
        F: AsyncFnOnce(&mut Cluster, &mut Ledger) -> Outcome + Send + 'static,
    {
        let stage = Arc::clone(self);
        Trial::test(name, move || {
            stage.runtime.block_on(async {
                let mut cluster = Cluster::start(&stage.programs, &settings).await?;
                let ended = scenario(&mut cluster, &mut Ledger::default()).await;
                ended.map_err(|error| failed(cluster, error.as_ref()))
            })
        })
    }

    fn run_shared<F>(&self, scenario: F) -> Result<(), Failed>
    where
        F: AsyncFnOnce(&mut Cluster, &mut Ledger) -> Outcome,
    {
        let waiting = self.cluster.lock().unwrap().take();
        self.runtime.block_on(async {
            let mut cluster = match waiting {
                Some(cluster) => cluster,
                None => Cluster::start(&self.programs, &Settings::default()).await?,
            };
            match walk(&mut cluster, scenario).await {
                Ok(()) => {
                    *self.cluster.lock().unwrap() = Some(cluster);
                    Ok(())
                }
                // The next scenario gets a cluster that nothing has happened to.
                Err(error) => Err(failed(cluster, error.as_ref())),
            }
        })
    }

    /// Ends the shared cluster, which must not wait for the process to end.
    pub(crate) fn close(&self) {
        drop(self.cluster.lock().unwrap().take());
    }
}

/// Leaves the files of a cluster to whoever looks into the failure.
fn failed(mut cluster: Cluster, error: &dyn std::error::Error) -> Failed {
    cluster.keep_files();
    Failed::from(error.to_string())
}

async fn walk<F>(cluster: &mut Cluster, scenario: F) -> Outcome
where
    F: AsyncFnOnce(&mut Cluster, &mut Ledger) -> Outcome,
{
    let mut ledger = Ledger::default();
    scenario(cluster, &mut ledger).await?;
    finish(cluster, &ledger).await
}

/// How every walk ends.
pub(crate) async fn finish(cluster: &mut Cluster, ledger: &Ledger) -> Outcome {
    let begin = Instant::now();
    cluster.heal().await?;
    cluster.settled().await?;
    ledger.check(cluster).await?;
    say!("healed, agreed and checked within {:.1?}", begin.elapsed());
    Ok(())
}

/// Adds scenarios that share the cluster, each under its function's name.
macro_rules! shared {
    ($stage:expr, $trials:expr, $($scenario:ident),* $(,)?) => {
        $($trials.push($stage.shared(stringify!($scenario), $scenario));)*
    };
}

/// Adds scenarios that make what they need.
macro_rules! alone {
    ($stage:expr, $trials:expr, $($scenario:ident),* $(,)?) => {
        $($trials.push($stage.alone(stringify!($scenario), $scenario));)*
    };
}

pub(crate) use {alone, say, shared};
