//! `quorate get`: reads a value.

use std::path::{Path, PathBuf};

use clap::Args;
use quorate_client::{ClusterMap, Read};
use serde_json::json;

use crate::connect::{self, Connect};
use crate::files::{Access, NewFiles};
use crate::options::{InSession, Place, Reading};
use crate::outcome::{Done, Failure, complain};
use crate::output::Out;
use crate::show;

/// Read a value
///
/// Prints the value as it is. Of a key with siblings each is printed, after a line that describes
/// it, and the exit code is 0; --out-dir writes each to a file instead. With --explain, how the
/// answer came about is printed in place of the value. A key that holds nothing: exit code 1.
#[derive(Args)]
pub(crate) struct Get {
    #[command(flatten)]
    place: Place,
    /// Write the values to files in this directory: sibling-1, sibling-2 and so on
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
    /// Write the context to a file, for a later put or delete
    #[arg(long, value_name = "FILE")]
    context_out: Option<PathBuf>,
    /// Ask this node, by name or id, whoever holds the key
    #[arg(long, value_name = "NODE")]
    through: Option<String>,
    #[command(flatten)]
    session: InSession,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) async fn run(args: Get, out: &mut Out) -> Done {
    let key = args.place.key()?;
    let mut client = args.connect.client().await?;
    if let Some(name) = &args.through {
        let node = connect::member(&client.map(), name)?.id;
        client = client.through(node);
    }
    let session = args.session.open(&client)?;
    let read = session
        .bucket(&args.place.bucket)
        .get(&key)
        .options(args.reading.options())
        .send()
        .await?;
    args.session.save(&session)?;
    if let Some(file) = &args.context_out {
        let mut files = NewFiles::new(true);
        files.add(file.clone(), format!("{}\n", read.context), Access::Open);
        files.write()?;
    }
    args.report(&client.map(), &read, out)?;
    client.close().await;
    if read.is_found() {
        return Ok(());
    }
    if !out.is_json() {
        complain("not found");
    }
    Err(Failure::Shown(1))
}

impl Get {
    fn report(&self, map: &ClusterMap, read: &Read, out: &mut Out) -> Done {
        doubts(read);
        if let Some(dir) = &self.out_dir {
            write_all(dir, read)?;
        }
        if out.is_json() {
            return out.json(&json!({
                "found": read.is_found(),
                "siblings": read.siblings.iter().map(show::value_json).collect::<Vec<_>>(),
                "context": read.context.to_string(),
                "fallbacks_only": read.fallbacks_only,
                "maybe_stale": read.maybe_stale,
                "info": show::info_json(map, &read.info),
            }));
        }
        if self.reading.explain {
            show::explain(map, &read.info, out)?;
            return read.siblings.iter().try_for_each(|value| {
                out.line(format_args!("value            {}", describe(value)))
            });
        }
        match (read.siblings.as_slice(), &self.out_dir) {
            ([], _) => Ok(()),
            (_, Some(_)) => (1..).zip(&read.siblings).try_for_each(|(number, value)| {
                out.line(format_args!("sibling-{number}  {}", describe(value)))
            }),
            ([one], None) => out.value(&one.data),
            (several, None) => (1..).zip(several).try_for_each(|(number, value)| {
                out.line(format_args!(
                    "--- sibling {number} of {}: {}",
                    several.len(),
                    describe(value)
                ))?;
                out.raw(&value.data)?;
                out.line("")
            }),
        }
    }
}

fn describe(value: &quorate_client::Value) -> String {
    let modified = humantime::format_rfc3339_millis(value.modified);
    let content_type = if value.content_type.is_empty() {
        String::new()
    } else {
        format!(", {}", value.content_type)
    };
    let expires = value.expires.map_or_else(String::new, |expires| {
        format!(", expires {}", humantime::format_rfc3339_millis(expires))
    });
    format!(
        "{} bytes{content_type}, written {modified}{expires}, dot {}",
        value.size, value.dot
    )
}

fn write_all(dir: &Path, read: &Read) -> Done {
    let mut files = NewFiles::new(true);
    for (number, value) in (1..).zip(&read.siblings) {
        files.add(
            dir.join(format!("sibling-{number}")),
            value.data.to_vec(),
            Access::Open,
        );
    }
    files.write()
}

fn doubts(read: &Read) {
    if read.fallbacks_only {
        complain(
            "only stand-ins answered: none of the key's own replicas confirmed that this is the latest",
        );
    }
    if read.maybe_stale {
        complain("this may be stale: not enough current replicas answered");
    }
    read.info
        .warnings
        .iter()
        .for_each(|warning| complain(format_args!("warning: {warning}")));
}
