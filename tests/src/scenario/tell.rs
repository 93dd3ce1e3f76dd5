//! Requests and replies in words.

use std::collections::BTreeSet;

use quorate_protocol::client::{Got, ReplyInfo, Written};
use quorate_protocol::options::{Count, ReadOptions, WriteOptions};

use super::ask::shown;
use super::request::{Request, What};
use super::walk::{KEY, Walk};
use crate::sim::history::WriteId;

impl Walk<'_> {
    pub(super) fn values(&self, writes: &BTreeSet<WriteId>) -> String {
        if writes.is_empty() {
            return "nothing".to_owned();
        }
        let names: Vec<String> = writes.iter().map(|id| self.value(*id)).collect();
        names.join(" and ")
    }

    fn value(&self, id: WriteId) -> String {
        let name = self.names.get(&id);
        name.map_or_else(|| id.to_string(), |name| format!("\"{name}\""))
    }

    pub(super) fn told_got(&self, got: &Got) -> String {
        let shown = got.siblings.iter().filter_map(shown);
        let writes: BTreeSet<WriteId> = shown.map(|shown| shown.write).collect();
        let mut text = format!("{} ({})", self.values(&writes), answered(&got.info));
        for (marked, mark) in [
            (got.fallbacks_only, ", marked fallbacks_only"),
            (got.maybe_stale, ", marked maybe_stale"),
        ] {
            if marked {
                text.push_str(mark);
            }
        }
        text
    }

    pub(super) fn words(&self, request: &Request, id: Option<WriteId>) -> String {
        let (what, options) = match &request.what {
            What::Get(options) => ("get".to_owned(), read_words(options)),
            What::Write {
                id: first,
                name,
                over,
                options,
            } => {
                let mut text = match name {
                    Some(name) => format!("put \"{name}\""),
                    None => "delete".to_owned(),
                };
                if let Some(over) = over {
                    text.push_str(&format!(" over {}", self.values(&over.seen)));
                }
                if first.is_some() && id.is_some() {
                    text.push_str(" again");
                }
                (text, write_words(options))
            }
        };
        let key = if request.key == KEY {
            String::new()
        } else {
            format!(" {}", request.key)
        };
        let session = if request.session {
            " in the session"
        } else {
            ""
        };
        format!("{what}{key}{options}{session}")
    }
}

fn answered(info: &ReplyInfo) -> String {
    let mut text = format!(
        "{} answered: {} primaries, {} fallbacks",
        info.answered, info.primaries, info.fallbacks
    );
    if info.catching_up > 0 {
        text.push_str(&format!("; {} are catching up", info.catching_up));
    }
    text
}

pub(super) fn told_written(written: &Written) -> String {
    match written.dot {
        None => "there was nothing to delete".to_owned(),
        Some(_) => format!("done ({})", answered(&written.info)),
    }
}

fn counts(options: [(&str, Option<Count>); 4]) -> String {
    let given = options
        .into_iter()
        .filter_map(|(name, count)| Some(format!(" {name}={}", count?)));
    given.collect()
}

fn read_words(options: &ReadOptions) -> String {
    let mut text = counts([("r", options.r), ("pr", options.pr), ("", None), ("", None)]);
    if options.notfound_ok == Some(false) {
        text.push_str(" notfound_ok=false");
    }
    if options.stale_ok {
        text.push_str(" stale_ok");
    }
    text
}

fn write_words(options: &WriteOptions) -> String {
    counts([
        ("w", options.w),
        ("pw", options.pw),
        ("dw", options.dw),
        ("", None),
    ])
}
