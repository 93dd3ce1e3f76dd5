//! `quorate verify`: compares the files of a directory with what is stored.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use quorate_client::{Bucket, Client, Count, Error, Member, ReadOptions};
use serde_json::{Value, json};

use crate::checksum::Checksum;
use crate::cmd::load::read;
use crate::connect::{Connect, member};
use crate::outcome::{Done, Failure, complain, error_json};
use crate::output::{Out, table};
use crate::parallel;
use crate::progress::Progress;
use crate::show;
use crate::walk::{self, Item};

/// Problems kept of each pass.
const PROBLEMS_MAX: usize = 1000;
/// Problems shown to people.
const SHOWN_MAX: usize = 20;

/// Compare the files of a directory with what is stored
///
/// Reads every file's key and compares checksums: once for each --r and each --through. Exit code
/// 1 if a value is missing or differs, 2 if a read failed.
#[derive(Args)]
pub(crate) struct Verify {
    /// The bucket
    bucket: String,
    /// The directory
    dir: PathBuf,
    /// Answers needed: one or more of a number, one, quorum or all, separated by commas
    #[arg(long, value_name = "COUNTS", value_delimiter = ',')]
    r: Vec<Count>,
    /// Read through these nodes, by name or id, or through each: one pass for each of them
    #[arg(long, value_name = "NODES", value_delimiter = ',')]
    through: Vec<String>,
    /// How values are compared
    #[arg(long, value_enum, default_value_t = Checksum::Xxh3)]
    checksum: Checksum,
    /// Values read at the same time
    #[arg(long, value_name = "FILES", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    #[command(flatten)]
    connect: Connect,
}

/// A file and its checksum.
struct Expected {
    item: Item,
    checksum: Vec<u8>,
}

/// What a read of one key showed.
enum Seen {
    Same,
    NotFound,
    Differs,
    Siblings(usize),
    Failed(Error),
}

/// One pass over all keys.
#[derive(Default)]
struct Pass {
    through: Option<String>,
    r: Option<Count>,
    keys: u64,
    bytes: u64,
    not_found: u64,
    mismatches: u64,
    errors: u64,
    problems: Vec<Value>,
    took: Duration,
}

pub(crate) async fn run(args: Verify, out: &mut Out) -> Done {
    let found = walk::walk(&args.dir)
        .map_err(|error| Failure::Refused(format!("{}: {error}", args.dir.display())))?;
    let client = args.connect.client().await?;
    client.bucket(&args.bucket).definition().await?;
    let through = args.nodes(&client)?;
    let mut skipped = found.skipped;
    let (expected, mut interrupted) = expect(found.items, &args, &mut skipped).await;
    let counts = if args.r.is_empty() {
        vec![None]
    } else {
        args.r.iter().copied().map(Some).collect()
    };
    let mut passes = Vec::new();
    for node in &through {
        for r in &counts {
            if !interrupted {
                let (pass, stopped) = pass(&client, node.as_ref(), *r, &expected, &args).await;
                passes.push(pass);
                interrupted = stopped;
            }
        }
    }
    client.close().await;
    for skipped in skipped.iter().take(SHOWN_MAX) {
        complain(format_args!(
            "skipped {}: {}",
            skipped.path.display(),
            skipped.reason
        ));
    }
    report(&args, &passes, &skipped, interrupted, out)?;
    end(&passes, interrupted)
}

impl Verify {
    /// The nodes to read through; one `None` where the client chooses.
    fn nodes(&self, client: &Client) -> Result<Vec<Option<Member>>, Failure> {
        let map = client.map();
        if self.through.is_empty() {
            return Ok(vec![None]);
        }
        if self.through == ["each"] {
            let mut members = map.members.clone();
            members.sort_by(|a, b| a.name.cmp(&b.name));
            return Ok(members.into_iter().map(Some).collect());
        }
        self.through
            .iter()
            .map(|name| member(&map, name).cloned().map(Some))
            .collect()
    }
}

async fn expect(
    items: Vec<Item>,
    args: &Verify,
    skipped: &mut Vec<walk::Skipped>,
) -> (Arc<Vec<Expected>>, bool) {
    let mut expected = Vec::with_capacity(items.len());
    let mut progress = Progress::new("read files", items.len());
    let checksum = args.checksum;
    let work = |item: Item| async move {
        let content = read(&item.path).await;
        let sum = content.map(|content| checksum.of(&content));
        (item, sum)
    };
    let interrupted = parallel::each(items, args.concurrency.into(), work, |(item, sum)| {
        progress.step(item.bytes);
        match sum {
            Ok(checksum) => expected.push(Expected { item, checksum }),
            Err(error) => skipped.push(walk::Skipped {
                path: item.path,
                reason: format!("unreadable: {error}"),
            }),
        }
    })
    .await;
    progress.finish();
    expected.sort_by(|a, b| a.item.key.cmp(&b.item.key));
    (Arc::new(expected), interrupted)
}

async fn pass(
    client: &Client,
    node: Option<&Member>,
    r: Option<Count>,
    expected: &Arc<Vec<Expected>>,
    args: &Verify,
) -> (Pass, bool) {
    let client = node.map_or_else(|| client.clone(), |node| client.through(node.id));
    let bucket = client.bucket(&args.bucket);
    let mut pass = Pass {
        through: node.map(|node| node.name.clone()),
        r,
        ..Pass::default()
    };
    let mut progress = Progress::new(format!("verify {}", pass.name()), expected.len());
    let (options, checksum) = (
        ReadOptions {
            r,
            ..ReadOptions::default()
        },
        args.checksum,
    );
    let work = |at: usize| {
        let (bucket, expected) = (bucket.clone(), Arc::clone(expected));
        async move { (at, look(&bucket, &expected[at], options, checksum).await) }
    };
    let interrupted = parallel::each(
        0..expected.len(),
        args.concurrency.into(),
        work,
        |(at, seen)| {
            progress.step(expected[at].item.bytes);
            pass.add(&expected[at].item, &seen);
        },
    )
    .await;
    pass.took = progress.elapsed();
    progress.finish();
    (pass, interrupted)
}

async fn look(
    bucket: &Bucket,
    expected: &Expected,
    options: ReadOptions,
    checksum: Checksum,
) -> Seen {
    match bucket.get(&expected.item.key).options(options).send().await {
        Ok(read) => match read.siblings.as_slice() {
            [] => Seen::NotFound,
            [one] if checksum.of(&one.data) == expected.checksum => Seen::Same,
            [_] => Seen::Differs,
            several => Seen::Siblings(several.len()),
        },
        Err(error) => Seen::Failed(error),
    }
}

impl Pass {
    fn name(&self) -> String {
        let through = self
            .through
            .as_ref()
            .map(|name| format!("through {name} "))
            .unwrap_or_default();
        let r = self
            .r
            .map_or_else(|| "the bucket's r".to_owned(), |r| format!("r={r}"));
        format!("{through}at {r}")
    }

    fn add(&mut self, item: &Item, seen: &Seen) {
        self.keys += 1;
        let problem = match seen {
            Seen::Same => {
                self.bytes += item.bytes;
                return;
            }
            Seen::NotFound => {
                self.not_found += 1;
                json!({ "problem": "not_found" })
            }
            Seen::Differs => {
                self.mismatches += 1;
                json!({ "problem": "mismatch" })
            }
            Seen::Siblings(siblings) => {
                self.mismatches += 1;
                json!({ "problem": "siblings", "siblings": siblings })
            }
            Seen::Failed(error) => {
                self.errors += 1;
                json!({ "problem": "error", "error": error_json(error) })
            }
        };
        if self.problems.len() < PROBLEMS_MAX {
            let mut problem = problem;
            problem["key"] = show::bytes_json(&item.key);
            self.problems.push(problem);
        }
    }

    fn json(&self) -> Value {
        json!({
            "through": self.through, "r": self.r.map(|r| r.to_string()), "keys": self.keys, "bytes": self.bytes,
            "not_found": self.not_found, "mismatches": self.mismatches, "errors": self.errors,
            "problems": self.problems, "seconds": self.took.as_secs_f64(),
        })
    }
}

fn sums(passes: &[Pass]) -> (u64, u64, u64) {
    let sum = |of: fn(&Pass) -> u64| passes.iter().map(of).sum();
    (
        sum(|pass| pass.not_found),
        sum(|pass| pass.mismatches),
        sum(|pass| pass.errors),
    )
}

fn report(
    args: &Verify,
    passes: &[Pass],
    skipped: &[walk::Skipped],
    interrupted: bool,
    out: &mut Out,
) -> Done {
    if out.is_json() {
        let (not_found, mismatches, errors) = sums(passes);
        return out.json(&json!({
            "bucket": args.bucket, "passes": passes.iter().map(Pass::json).collect::<Vec<_>>(),
            "not_found": not_found, "mismatches": mismatches, "errors": errors,
            "skipped": skipped.iter().map(|skipped| json!({ "path": skipped.path, "reason": skipped.reason })).collect::<Vec<_>>(),
            "interrupted": interrupted,
        }));
    }
    let mut rows = table(&[
        "THROUGH",
        "R",
        "KEYS",
        "SAME BYTES",
        "NOT FOUND",
        "MISMATCHES",
        "ERRORS",
        "TIME",
    ]);
    for pass in passes {
        rows.add_row([
            pass.through.clone().unwrap_or_else(|| "any".to_owned()),
            pass.r
                .map_or_else(|| "default".to_owned(), |r| r.to_string()),
            pass.keys.to_string(),
            pass.bytes.to_string(),
            pass.not_found.to_string(),
            pass.mismatches.to_string(),
            pass.errors.to_string(),
            format!("{:.1} s", pass.took.as_secs_f64()),
        ]);
        for problem in pass.problems.iter().take(SHOWN_MAX) {
            complain(format_args!("{}: {problem}", pass.name()));
        }
    }
    out.table(&rows)
}

fn end(passes: &[Pass], interrupted: bool) -> Done {
    match sums(passes) {
        _ if interrupted => Err(Failure::Failed(
            "interrupted: not everything was read".to_owned(),
        )),
        (0, 0, 0) => Ok(()),
        (0, 0, _) => Err(Failure::Shown(2)),
        (_, _, _) => Err(Failure::Shown(1)),
    }
}
