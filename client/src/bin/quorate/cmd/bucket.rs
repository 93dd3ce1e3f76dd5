//! `quorate bucket`: creates, lists, describes and drops buckets.

use std::time::Duration;

use clap::{Args, Subcommand};
use quorate_client::{BucketDefinition, BucketMode, BucketProps, Client, Count, QuorumDefaults};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::connect::Connect;
use crate::options;
use crate::outcome::{Done, Failure};
use crate::output::{Out, table};

#[derive(Subcommand)]
pub(crate) enum Bucket {
    /// Create a bucket, or change an existing one's defaults; n and mode cannot change
    Create(Create),
    /// List all buckets
    List(List),
    /// Show one bucket
    Describe(Describe),
    /// Drop a bucket with all that is in it
    ///
    /// Counts its keys first. Without --yes nothing more is done. What was in it is removed on every node, on those
    /// that are away when they come back, and cannot be had again. A bucket made later under the same name
    /// is another one, and begins empty.
    Drop(DropBucket),
}

#[derive(Args)]
pub(crate) struct Create {
    /// The bucket
    name: String,
    /// Copies of each key
    #[arg(long, default_value_t = 3)]
    n: u8,
    /// How concurrent writes are shown: siblings (all of them) or lww (the latest)
    #[arg(long, default_value = "siblings")]
    mode: BucketMode,
    /// Answers that end a read: a number, one, quorum or all
    #[arg(long, value_name = "COUNT", default_value = "quorum")]
    r: Count,
    /// Answers of primaries that a read needs
    #[arg(long, value_name = "COUNT")]
    pr: Option<Count>,
    /// Acknowledgements that end a write
    #[arg(long, value_name = "COUNT", default_value = "quorum")]
    w: Count,
    /// Acknowledgements of primaries that a write needs
    #[arg(long, value_name = "COUNT")]
    pw: Option<Count>,
    /// Acknowledgements after a sync to disk that a write needs
    #[arg(long, value_name = "COUNT")]
    dw: Option<Count>,
    /// Whether a stand-in's "nothing here" counts as an answer
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    notfound_ok: bool,
    /// Whether "not found" may be answered once more than half of the replicas say so
    #[arg(long, value_name = "BOOL", default_value_t = false, action = clap::ArgAction::Set)]
    basic_quorum: bool,
    /// Whether other nodes stand in for unreachable primaries
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    sloppy: bool,
    /// How long values live that do not say it themselves, 1ms to 10 years, or never
    #[arg(long, value_name = "TIME", default_value = "never", value_parser = options::ttl)]
    ttl: u64,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    connect: Connect,
}

#[derive(Args)]
pub(crate) struct Describe {
    /// The bucket
    name: String,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Args)]
pub(crate) struct DropBucket {
    /// The bucket
    name: String,
    /// Drop it: without this, what would go is only shown
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) async fn run(command: Bucket, out: &mut Out) -> Done {
    match command {
        Bucket::Create(args) => create(args, out).await,
        Bucket::List(args) => list(args, out).await,
        Bucket::Describe(args) => describe(args, out).await,
        Bucket::Drop(args) => drop_bucket(args, out).await,
    }
}

async fn create(args: Create, out: &mut Out) -> Done {
    let defaults = QuorumDefaults {
        r: args.r,
        pr: args.pr,
        w: args.w,
        pw: args.pw,
        dw: args.dw,
        notfound_ok: args.notfound_ok,
        basic_quorum: args.basic_quorum,
        sloppy: args.sloppy,
        ttl_ms: args.ttl,
    };
    let client = args.connect.client().await?;
    let props = BucketProps {
        n: args.n,
        mode: args.mode,
        defaults,
    };
    let (bucket, changed) = client.create_bucket(&args.name, props).await?;
    client.close().await;
    if out.is_json() {
        let mut shown = bucket_json(&bucket);
        shown["changed"] = changed.into();
        return out.json(&shown);
    }
    let what = if changed {
        "it is in the cluster map"
    } else {
        "it was so already"
    };
    out.line(format_args!(
        "bucket {} ({}), revision {}: {what}",
        bucket.name, bucket.id, bucket.revision
    ))
}

async fn list(args: List, out: &mut Out) -> Done {
    let client = args.connect.client().await?;
    let map = client.map();
    client.close().await;
    if out.is_json() {
        return out
            .json(&json!({ "buckets": map.buckets.iter().map(bucket_json).collect::<Vec<_>>() }));
    }
    let mut rows = table(&["BUCKET", "ID", "N", "MODE", "R", "W", "DW", "REVISION"]);
    for bucket in &map.buckets {
        let props = &bucket.props;
        rows.add_row([
            bucket.name.clone(),
            bucket.id.to_string(),
            props.n.to_string(),
            props.mode.name().to_owned(),
            props.defaults.r.to_string(),
            props.defaults.w.to_string(),
            count(props.defaults.dw),
            bucket.revision.to_string(),
        ]);
    }
    out.table(&rows)
}

async fn describe(args: Describe, out: &mut Out) -> Done {
    let client = args.connect.client().await?;
    let bucket = client.bucket(&args.name).definition().await?;
    client.close().await;
    if out.is_json() {
        return out.json(&bucket_json(&bucket));
    }
    let defaults = &bucket.props.defaults;
    let rows = [
        ("bucket", bucket.name.clone()),
        ("id", bucket.id.to_string()),
        ("revision", bucket.revision.to_string()),
        ("n", bucket.props.n.to_string()),
        ("mode", bucket.props.mode.name().to_owned()),
        ("r", defaults.r.to_string()),
        ("pr", count(defaults.pr)),
        ("w", defaults.w.to_string()),
        ("pw", count(defaults.pw)),
        ("dw", count(defaults.dw)),
        ("notfound_ok", defaults.notfound_ok.to_string()),
        ("basic_quorum", defaults.basic_quorum.to_string()),
        ("sloppy", defaults.sloppy.to_string()),
        ("ttl", ttl(defaults.ttl_ms)),
    ];
    rows.iter()
        .try_for_each(|(name, value)| out.line(format_args!("{name:<12}  {value}")))
}

/// As many keys are counted; a bucket with more has "at least" so many.
const COUNTED_MAX: u64 = 1_000_000;
/// And for so long: partitions that cannot be asked take their time.
const COUNTED_FOR: Duration = Duration::from_secs(10);

async fn drop_bucket(args: DropBucket, out: &mut Out) -> Done {
    let client = args.connect.client().await?;
    let bucket = client.bucket(&args.name).definition().await?;
    let (keys, all) = count_keys(&client, &args.name).await?;
    if args.yes {
        client.drop_bucket(&args.name).await?;
    }
    client.close().await;
    if out.is_json() {
        let mut shown = bucket_json(&bucket);
        shown["keys"] = keys.into();
        shown["keys_counted"] = all.into();
        shown["dropped"] = args.yes.into();
        out.json(&shown)?;
    } else {
        let least = if all { "" } else { "at least " };
        let (does, end) = if args.yes {
            ("is dropped", "")
        } else {
            ("would go", ", for good: say --yes")
        };
        out.line(format_args!(
            "bucket {} ({}), {} copies of {least}{keys} keys: it {does}{end}",
            bucket.name, bucket.id, bucket.props.n
        ))?;
    }
    if args.yes {
        Ok(())
    } else {
        Err(Failure::Shown(1))
    }
}

/// How many keys a bucket has, and whether that is all of them: partitions may be silent, or keys too many.
async fn count_keys(client: &Client, name: &str) -> Result<(u64, bool), Failure> {
    let mut listing = client.bucket(name).keys();
    let (mut keys, until) = (0, Instant::now() + COUNTED_FOR);
    while keys < COUNTED_MAX {
        match timeout_at(until, listing.next_page()).await {
            Ok(Ok(Some(page))) => keys += page.len() as u64,
            Ok(Ok(None)) => return Ok((keys, listing.unanswered().is_empty())),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => break,
        }
    }
    Ok((keys, false))
}

/// As `--ttl` takes it.
fn ttl(ms: u64) -> String {
    if ms == 0 {
        return "never".to_owned();
    }
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}

fn count(count: Option<Count>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

fn bucket_json(bucket: &BucketDefinition) -> Value {
    let defaults = &bucket.props.defaults;
    let words = |count: Option<Count>| count.map(|count| count.to_string());
    json!({
        "bucket": bucket.name,
        "id": bucket.id.to_string(),
        "revision": bucket.revision,
        "n": bucket.props.n,
        "mode": bucket.props.mode.name(),
        "r": defaults.r.to_string(),
        "pr": words(defaults.pr),
        "w": defaults.w.to_string(),
        "pw": words(defaults.pw),
        "dw": words(defaults.dw),
        "notfound_ok": defaults.notfound_ok,
        "basic_quorum": defaults.basic_quorum,
        "sloppy": defaults.sloppy,
        "ttl_ms": (defaults.ttl_ms > 0).then_some(defaults.ttl_ms),
    })
}
