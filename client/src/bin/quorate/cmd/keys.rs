//! `quorate keys`: lists a bucket's keys.

use clap::Args;
use serde_json::json;

use crate::connect::Connect;
use crate::options::hex;
use crate::outcome::{Done, Failure, complain, error_json};
use crate::output::Out;
use crate::show;

/// List a bucket's keys
///
/// One key a line, in no order that means anything. Keys that are not printable text are shown in
/// hexadecimal digits after 0x. If partitions could not be asked, they are named and the exit code
/// is 1. With --json: one object a line, for each key and at the end.
#[derive(Args)]
pub(crate) struct Keys {
    /// The bucket
    bucket: String,
    /// Print all keys in hexadecimal digits
    #[arg(long)]
    key_hex: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) async fn run(args: Keys, out: &mut Out) -> Done {
    let client = args.connect.client().await?;
    let mut listing = client.bucket(&args.bucket).keys();
    let mut count: u64 = 0;
    while let Some(page) = listing.next_page().await? {
        for key in &page {
            count += 1;
            if out.is_json() {
                out.json(&json!({ "key": show::bytes_json(key), "key_hex": hex(key) }))?;
            } else {
                out.line(text(key, args.key_hex))?;
            }
        }
        out.flush()?;
    }
    let unanswered = listing.unanswered();
    if out.is_json() {
        let unanswered: Vec<_> = unanswered
            .iter()
            .map(|(partition, error)| json!({ "partition": partition.get(), "error": error_json(error) }))
            .collect();
        out.json(&json!({ "keys": count, "unanswered": unanswered }))?;
    }
    for (partition, error) in unanswered {
        complain(format_args!(
            "partition {partition} could not be asked, its keys are missing: {error}"
        ));
    }
    let whole = unanswered.is_empty();
    client.close().await;
    if whole {
        Ok(())
    } else {
        Err(Failure::Shown(1))
    }
}

fn text(key: &[u8], always_hex: bool) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !always_hex && !text.contains(char::is_control) && !text.starts_with("0x") => {
            text.to_owned()
        }
        _ if always_hex => hex(key),
        Ok(_) | Err(_) => format!("0x{}", hex(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_one_line_and_no_two_look_alike() {
        assert_eq!(text("a/ü".as_bytes(), false), "a/ü");
        assert_eq!(text(b"a\nb", false), "0x610a62");
        assert_eq!(text(b"0x610a62", false), "0x3078363130613632");
        assert_eq!(text(&[255], false), "0xff");
        assert_eq!(text(b"a", true), "61");
    }
}
