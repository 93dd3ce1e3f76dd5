//! `quorate load`: stores the files of a directory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use quorate_client::{Bucket, Error, Kind, ReadOptions, WriteOptions};
use quorate_protocol::limits::VALUE_BYTES_MAX;
use serde_json::json;

use crate::connect::Connect;
use crate::journal::Journal;
use crate::options::Writing;
use crate::outcome::{Done, Failure, complain, error_json};
use crate::output::Out;
use crate::parallel;
use crate::progress::Progress;
use crate::show;
use crate::walk::{self, Item, Skipped};

/// Tries of one file. A try reads first, so none can leave a second value beside the first.
const TRIES_MAX: u32 = 4;
/// Problems shown to people; programs get all.
const SHOWN_MAX: usize = 20;

/// Store the files of a directory, each under its path
///
/// Each file is stored under its path below the directory. What a key holds already is replaced.
/// Files over 16 MiB, unreadable ones and what is no file are skipped and named. Ctrl-C ends it
/// after the files under way; with --resume the next run goes on from there.
#[derive(Args)]
pub(crate) struct Load {
    /// The bucket
    bucket: String,
    /// The directory
    dir: PathBuf,
    /// Files stored at the same time
    #[arg(long, value_name = "FILES", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Remember in this file what is stored, and skip what it says
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Do not read before writing: faster, and leaves siblings where a key holds something
    #[arg(long)]
    blind: bool,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    connect: Connect,
}

/// What became of one file.
enum End {
    Stored { bytes: u64, retries: u32 },
    Skipped(String),
    Failed(Error),
}

#[derive(Default)]
struct Tally {
    stored: u64,
    bytes: u64,
    retried: u64,
    failed: Vec<(Vec<u8>, Error)>,
    skipped: Vec<Skipped>,
    journal_failed: Option<Failure>,
}

pub(crate) async fn run(args: Load, out: &mut Out) -> Done {
    let found = walk::walk(&args.dir)
        .map_err(|error| Failure::Refused(format!("{}: {error}", args.dir.display())))?;
    let client = args.connect.client().await?;
    let bucket = client.bucket(&args.bucket);
    bucket.definition().await?;
    let cluster = client.map().cluster.to_string();
    let mut journal = args
        .resume
        .as_deref()
        .map(|path| Journal::open(path, &cluster, &args.bucket))
        .transpose()?;
    let (resumed, items): (Vec<Item>, Vec<Item>) = found
        .items
        .into_iter()
        .partition(|item| journal.as_ref().is_some_and(|journal| journal.has(item)));
    let mut tally = Tally {
        skipped: found.skipped,
        ..Tally::default()
    };
    let mut progress = Progress::new("load", items.len());
    let total = items.len();
    let (options, blind) = (args.writing.options(), args.blind);
    let work = |item: Item| {
        let bucket = bucket.clone();
        async move {
            let end = store(&bucket, &item, options, blind).await;
            (item, end)
        }
    };
    let interrupted = parallel::each(items, args.concurrency.into(), work, |(item, end)| {
        progress.step(item.bytes);
        tally.add(&item, end, journal.as_mut());
    })
    .await;
    let took = progress.elapsed();
    progress.finish();
    client.close().await;
    tally.report(&args, resumed.len(), interrupted, took, out)?;
    tally.end(&args, interrupted, total)
}

/// Stores one file, trying again where that is safe and may help.
async fn store(bucket: &Bucket, item: &Item, options: WriteOptions, blind: bool) -> End {
    let value = match read(&item.path).await {
        Ok(value) if value.len() > VALUE_BYTES_MAX => {
            return End::Skipped("it grew over the limit".to_owned());
        }
        Ok(value) => bytes::Bytes::from(value),
        Err(error) => return End::Skipped(format!("unreadable: {error}")),
    };
    let mut retries = 0;
    loop {
        let tried = try_store(bucket, item, value.clone(), options, blind).await;
        match tried {
            Ok(()) => {
                return End::Stored {
                    bytes: value.len() as u64,
                    retries,
                };
            }
            Err(error)
                if !blind
                    && retries + 1 < TRIES_MAX
                    && matches!(error.kind(), Kind::Retry | Kind::InDoubt) =>
            {
                retries += 1;
                tokio::time::sleep(
                    error
                        .retry_after()
                        .unwrap_or(Duration::from_millis(200 << retries)),
                )
                .await;
            }
            Err(error) => return End::Failed(error),
        }
    }
}

async fn try_store(
    bucket: &Bucket,
    item: &Item,
    value: bytes::Bytes,
    options: WriteOptions,
    blind: bool,
) -> Result<(), Error> {
    let mut put = bucket.put(&item.key, value).options(options);
    if !blind {
        let head = ReadOptions {
            head: true,
            ..ReadOptions::default()
        };
        let read = bucket.get(&item.key).options(head).send().await?;
        if read.is_found() {
            put = put.context(read.context);
        }
    }
    put.send().await.map(|_| ())
}

/// Reads a file beside the runtime's own thread.
pub(crate) async fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || std::fs::read(path))
        .await
        .map_err(std::io::Error::other)?
}

impl Tally {
    fn add(&mut self, item: &Item, end: End, journal: Option<&mut Journal>) {
        match end {
            End::Stored { bytes, retries } => {
                self.stored += 1;
                self.bytes += bytes;
                self.retried += u64::from(retries > 0);
                if let Some(Err(error)) = journal.map(|journal| journal.add(item)) {
                    self.journal_failed.get_or_insert(error);
                }
            }
            End::Skipped(reason) => self.skipped.push(Skipped {
                path: item.path.clone(),
                reason,
            }),
            End::Failed(error) => self.failed.push((item.key.clone(), error)),
        }
    }

    fn report(
        &self,
        args: &Load,
        resumed: usize,
        interrupted: bool,
        took: Duration,
        out: &mut Out,
    ) -> Done {
        if out.is_json() {
            let failed: Vec<_> =
                self.failed.iter().map(|(key, error)| json!({ "key": show::bytes_json(key), "error": error_json(error) })).collect();
            let skipped: Vec<_> = self
                .skipped
                .iter()
                .map(|skipped| json!({ "path": skipped.path, "reason": skipped.reason }))
                .collect();
            return out.json(&json!({
                "bucket": args.bucket, "stored": self.stored, "bytes": self.bytes, "resumed": resumed, "retried": self.retried,
                "errors": self.failed.len(), "failed": failed, "skipped": skipped, "interrupted": interrupted,
                "seconds": took.as_secs_f64(),
            }));
        }
        for skipped in self.skipped.iter().take(SHOWN_MAX) {
            complain(format_args!(
                "skipped {}: {}",
                skipped.path.display(),
                skipped.reason
            ));
        }
        for (key, error) in self.failed.iter().take(SHOWN_MAX) {
            complain(format_args!(
                "failed {}: {error}",
                String::from_utf8_lossy(key)
            ));
        }
        out.line(format_args!(
            "stored {} files, {} bytes, in {:.1} s; {resumed} were stored before, {} skipped, {} failed",
            self.stored, self.bytes, took.as_secs_f64(), self.skipped.len(), self.failed.len()
        ))
    }

    fn end(self, args: &Load, interrupted: bool, total: usize) -> Done {
        if let Some(error) = self.journal_failed {
            return Err(error);
        }
        if interrupted {
            let again = match &args.resume {
                Some(path) => format!("run it again with --resume {} to go on", path.display()),
                None => "with --resume FILE the next one could go on from there".to_owned(),
            };
            return Err(Failure::Failed(format!(
                "interrupted after {} of {total} files: {again}",
                self.stored
            )));
        }
        if self.failed.is_empty() {
            Ok(())
        } else {
            Err(Failure::Shown(2))
        }
    }
}
