//! Options of reads and writes, and keys.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use quorate_client::{Client, Context, Count, ReadOptions, Session, WriteOptions};
use quorate_protocol::options::ttl_ms;

use crate::files::{Access, NewFiles};
use crate::outcome::{Done, Failure};

/// A bucket and a key in it.
#[derive(Args)]
pub(crate) struct Place {
    /// The bucket
    pub(crate) bucket: String,
    /// The key
    key: String,
    /// The key is given in hexadecimal digits
    #[arg(long)]
    key_hex: bool,
}

impl Place {
    /// The key's bytes.
    pub(crate) fn key(&self) -> Result<Bytes, Failure> {
        if !self.key_hex {
            return Ok(Bytes::copy_from_slice(self.key.as_bytes()));
        }
        from_hex(&self.key).map(Bytes::from).ok_or_else(|| {
            Failure::Refused(format!(
                "the key '{}' is not in hexadecimal digits, two for each byte",
                self.key
            ))
        })
    }
}

/// Bytes from hexadecimal digits.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Hexadecimal digits of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many replicas must answer a read.
#[derive(Args, Clone, Copy)]
#[command(next_help_heading = "Quorum")]
pub(crate) struct Reading {
    /// Answers needed: a number, one, quorum or all [default: the bucket's]
    #[arg(long, value_name = "COUNT")]
    r: Option<Count>,
    /// Answers of primaries needed
    #[arg(long, value_name = "COUNT")]
    pr: Option<Count>,
    /// Let a stand-in's "nothing here" count as an answer
    #[arg(long, overrides_with = "no_notfound_ok")]
    notfound_ok: bool,
    /// Do not let it count
    #[arg(long)]
    no_notfound_ok: bool,
    /// Answer "not found" once more than half of the replicas say so
    #[arg(long)]
    basic_quorum: bool,
    /// Whether other nodes stand in for unreachable primaries
    #[arg(long, value_name = "BOOL")]
    sloppy: Option<bool>,
    /// Rather return what may be stale than fail or wait
    #[arg(long)]
    stale_ok: bool,
    /// Show each replica's answer and why the result was chosen
    #[arg(long)]
    pub(crate) explain: bool,
}

impl Reading {
    pub(crate) fn options(&self) -> ReadOptions {
        ReadOptions {
            r: self.r,
            pr: self.pr,
            notfound_ok: (self.notfound_ok || self.no_notfound_ok).then_some(self.notfound_ok),
            basic_quorum: self.basic_quorum.then_some(true),
            sloppy: self.sloppy,
            stale_ok: self.stale_ok,
            explain: self.explain,
            head: false,
        }
    }
}

/// How many replicas must acknowledge a write.
#[derive(Args, Clone, Copy)]
#[command(next_help_heading = "Quorum")]
pub(crate) struct Writing {
    /// Acknowledgements needed: a number, one, quorum or all [default: the bucket's]
    #[arg(long, value_name = "COUNT")]
    w: Option<Count>,
    /// Acknowledgements of primaries needed
    #[arg(long, value_name = "COUNT")]
    pw: Option<Count>,
    /// Acknowledgements after a sync to disk needed
    #[arg(long, value_name = "COUNT")]
    dw: Option<Count>,
    /// Whether other nodes stand in for unreachable primaries
    #[arg(long, value_name = "BOOL")]
    sloppy: Option<bool>,
    /// Show each replica's part
    #[arg(long)]
    pub(crate) explain: bool,
}

impl Writing {
    pub(crate) const fn options(&self) -> WriteOptions {
        WriteOptions {
            w: self.w,
            pw: self.pw,
            dw: self.dw,
            sloppy: self.sloppy,
            if_none_match: false,
            explain: self.explain,
        }
    }
}

/// A time to live from the command line, in milliseconds; 0 stands for `never` expiring.
pub(crate) fn ttl(text: &str) -> Result<u64, String> {
    if text == "never" {
        return Ok(0);
    }
    let ttl = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write 500ms, 10m, 30days or never"))?;
    ttl_ms(ttl).map_err(|error| error.message)
}

/// A context from the command line: its text, or a file that holds it.
pub(crate) fn context(text: &str) -> Result<Context, Failure> {
    let path = Path::new(text);
    let text = if path.is_file() {
        fs::read_to_string(path).map_err(|error| Failure::io(path.display(), &error))?
    } else {
        text.to_owned()
    };
    Ok(text.parse()?)
}

/// A session kept in a file between commands.
#[derive(Args)]
pub(crate) struct InSession {
    /// Keep a session in this file: its reads see its own writes
    #[arg(id = "session_file", long = "session", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl InSession {
    /// The session in the file, or a new one if there is none yet.
    pub(crate) fn open(&self, client: &Client) -> Result<Session, Failure> {
        let session = client.session();
        if let Some(file) = self.file.as_ref().filter(|file| file.exists()) {
            let text =
                fs::read_to_string(file).map_err(|error| Failure::io(file.display(), &error))?;
            session
                .import(&text)
                .map_err(|error| Failure::Refused(format!("{}: {error}", file.display())))?;
        }
        Ok(session)
    }

    /// Writes the session back.
    pub(crate) fn save(&self, session: &Session) -> Done {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut files = NewFiles::new(true);
        files.add(file.clone(), session.export() + "\n", Access::Secret);
        files.write()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        reading: Reading,
    }

    fn options(words: &[&str]) -> ReadOptions {
        Line::try_parse_from(["x"].iter().chain(words))
            .unwrap()
            .reading
            .options()
    }

    #[test]
    fn what_is_not_said_is_left_to_the_bucket() {
        assert_eq!(options(&[]), ReadOptions::default());
    }

    #[test]
    fn counts_are_numbers_or_words() {
        assert_eq!(options(&["--r", "2"]).r, Some(Count::Exactly(2)));
        assert_eq!(
            options(&["--r", "all", "--pr", "quorum"]).pr,
            Some(Count::Quorum)
        );
        for wrong in ["0", "256", "two", "-1"] {
            assert!(
                Line::try_parse_from(["x", "--r", wrong]).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_last_word_on_not_found_counts() {
        assert_eq!(options(&["--notfound-ok"]).notfound_ok, Some(true));
        assert_eq!(options(&["--no-notfound-ok"]).notfound_ok, Some(false));
        assert_eq!(options(&["--sloppy", "false"]).sloppy, Some(false));
    }

    #[test]
    fn hexadecimal_keys_are_any_bytes() {
        assert_eq!(from_hex("00ff7A").unwrap(), [0, 255, 122]);
        assert_eq!(hex(&[0, 255, 122]), "00ff7a");
        for wrong in ["0", "0g", "+1", "é1"] {
            assert_eq!(from_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_time_to_live_is_a_time_or_never() {
        assert_eq!(ttl("10m"), Ok(600_000));
        assert_eq!(ttl("1ms"), Ok(1));
        assert_eq!(ttl("never"), Ok(0));
        for wrong in ["0s", "11years", "soon", "10", "-1s"] {
            assert!(ttl(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_context_is_its_text_or_a_file_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "AAEC\n").unwrap();
        assert_eq!(
            context(file.to_str().unwrap()).unwrap(),
            context("AAEC").unwrap()
        );
        assert!(context("?").is_err());
    }
}
