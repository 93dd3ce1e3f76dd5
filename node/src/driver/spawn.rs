//! Where the driver's loops run.

use std::io;
use std::pin::Pin;

use tokio::sync::oneshot;

/// A loop of the driver.
pub type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Resolves when a job has ended: with `Ok` if it returned, with an error if it panicked.
pub type Ended = oneshot::Receiver<()>;

/// Runs jobs.
pub trait Spawner: Send + Sync {
    /// Starts `job` under a name for thread lists and traces.
    ///
    /// # Errors
    /// The system refuses a thread or what a runtime needs.
    fn spawn(&self, name: &str, job: Job) -> io::Result<Ended>;
}

/// A thread with a runtime of its own for each job.
#[derive(Clone, Copy, Debug, Default)]
pub struct Threads;

impl Spawner for Threads {
    fn spawn(&self, name: &str, job: Job) -> io::Result<Ended> {
        let (done, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                runtime.block_on(job);
                // Nobody waits any more where the node is ending by itself.
                let _ = done.send(());
            })?;
        Ok(ended)
    }
}

/// A task of the runtime that calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneRuntime;

impl Spawner for OneRuntime {
    fn spawn(&self, _name: &str, job: Job) -> io::Result<Ended> {
        let (done, ended) = oneshot::channel();
        tokio::spawn(async move {
            job.await;
            let _ = done.send(());
        });
        Ok(ended)
    }
}
