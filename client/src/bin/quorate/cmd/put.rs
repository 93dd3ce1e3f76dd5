//! `quorate put`: writes a value.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use quorate_client::Write;
use quorate_protocol::limits::VALUE_BYTES_MAX;
use serde_json::json;

use crate::connect::Connect;
use crate::files::{Access, NewFiles};
use crate::options::{self, InSession, Place, Writing};
use crate::outcome::{Done, Failure, complain};
use crate::output::Out;
use crate::show;

#[derive(Args)]
pub(crate) struct Put {
    #[command(flatten)]
    place: Place,
    /// The value; - reads it from standard input
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    value: Option<String>,
    /// Take the value from a file
    #[arg(long)]
    file: Option<PathBuf>,
    /// What the value is, such as text/plain
    #[arg(long, default_value = "", hide_default_value = true)]
    content_type: String,
    /// A note to keep with the value; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    meta: Vec<String>,
    /// Let the value expire after this time, 1ms to 10 years, or never [default: the bucket's]
    #[arg(long, value_name = "TIME", value_parser = options::ttl)]
    ttl: Option<u64>,
    #[command(flatten)]
    change: Change,
}

/// What `put` and `delete` have in common.
#[derive(Args)]
pub(crate) struct Change {
    /// Replace what this context has seen: its text, or a file that holds it
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
    /// Print the context after the write; nothing if unseen siblings stand beside it
    #[arg(long)]
    print_context: bool,
    /// Write the context after the write to a file
    #[arg(long, value_name = "FILE")]
    context_out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) session: InSession,
    #[command(flatten)]
    pub(crate) writing: Writing,
    #[command(flatten)]
    pub(crate) connect: Connect,
}

impl Change {
    /// The context given, if any.
    pub(crate) fn context(&self) -> Result<Option<quorate_client::Context>, Failure> {
        self.context.as_deref().map(options::context).transpose()
    }

    /// Shows an acknowledged write.
    pub(crate) fn report(
        &self,
        map: &quorate_client::ClusterMap,
        write: &Write,
        out: &mut Out,
    ) -> Done {
        if let (Some(file), Some(context)) = (&self.context_out, &write.context) {
            let mut files = NewFiles::new(true);
            files.add(file.clone(), format!("{context}\n"), Access::Open);
            files.write()?;
        }
        write
            .info
            .warnings
            .iter()
            .for_each(|warning| complain(format_args!("warning: {warning}")));
        if out.is_json() {
            return out.json(&json!({
                "dot": write.dot.map(|dot| dot.to_string()),
                "context": write.context.as_ref().map(ToString::to_string),
                "siblings": write.siblings,
                "info": show::info_json(map, &write.info),
            }));
        }
        if write.siblings > 1 {
            complain(format_args!(
                "the key has {} siblings now: read them, and write with the context of that read",
                write.siblings
            ));
        }
        if self.writing.explain {
            show::explain(map, &write.info, out)?;
        }
        match &write.context {
            Some(context) if self.print_context => out.line(context),
            Some(_) | None => Ok(()),
        }
    }
}

pub(crate) async fn run(args: Put, out: &mut Out) -> Done {
    let value = args.value()?;
    let (key, context) = (args.place.key()?, args.change.context()?);
    let client = args.change.connect.client().await?;
    let session = args.change.session.open(&client)?;
    let mut put = session
        .bucket(&args.place.bucket)
        .put(&key, value)
        .options(args.change.writing.options());
    for note in &args.meta {
        let (name, value) = note.split_once('=').ok_or_else(|| {
            Failure::Refused(format!("the note '{note}' is not of the form NAME=VALUE"))
        })?;
        put = put.meta(name, value.to_owned());
    }
    if let Some(context) = context {
        put = put.context(context);
    }
    put = match args.ttl {
        None => put,
        Some(0) => put.lasting(),
        Some(ms) => put.ttl(Duration::from_millis(ms)),
    };
    let write = put.content_type(args.content_type).send().await?;
    args.change.session.save(&session)?;
    args.change.report(&client.map(), &write, out)?;
    client.close().await;
    Ok(())
}

impl Put {
    fn value(&self) -> Result<Bytes, Failure> {
        match (&self.file, self.value.as_deref()) {
            (Some(path), _) => {
                let file = File::open(path)
                    .map_err(|error| Failure::Refused(format!("{}: {error}", path.display())))?;
                read_value(file, &path.display().to_string())
            }
            (None, Some("-") | None) => read_value(std::io::stdin().lock(), "standard input"),
            (None, Some(value)) => Ok(Bytes::copy_from_slice(value.as_bytes())),
        }
    }
}

/// Reads a value, and no more of a source than a value can have.
fn read_value(source: impl std::io::Read, name: &str) -> Result<Bytes, Failure> {
    let mut value = Vec::new();
    let most = VALUE_BYTES_MAX as u64;
    source
        .take(most + 1)
        .read_to_end(&mut value)
        .map_err(|error| Failure::io(name, &error))?;
    if value.len() > VALUE_BYTES_MAX {
        return Err(Failure::Refused(format!(
            "{name} has more than {VALUE_BYTES_MAX} bytes, which is the most for a value"
        )));
    }
    Ok(value.into())
}
