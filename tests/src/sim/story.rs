//! What happened to one key in a run: what clients did with it and were told, faults that touched the nodes
//! that held it, every change of its object and hints on a disk, and the messages that carried it.
//! Told in order, in a few dozen lines.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_core::causality::{Object, Version};
use quorate_core::record::{decode_hint, decode_object, keys};
use quorate_core::{Family, Write};
use quorate_protocol::peer::PeerMessage;
use quorate_ring::{Class, NodeId};

use super::fault_words::{in_words, name, touches};
use super::history::{History, Key, WriteId};
use super::trace::Begun;

/// Lines told at most.
pub const LINES_MAX: usize = 40;

/// A message is told so many times if there are too many lines.
const SAME_MAX: u32 = 2;

/// What is noted of one key while a run goes on.
#[derive(Clone, Debug)]
pub struct Story {
    key: Key,
    /// The key of its object on disks.
    object_key: Vec<u8>,
    lines: Vec<Line>,
    holders: BTreeSet<usize>,
}

/// What lines are left out first when there are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// A message on its way.
    Message,
    /// A read, or a fault.
    Event,
    /// A write of a client, or a change on a disk.
    Change,
}

#[derive(Clone, Debug)]
struct Line {
    at_us: u64,
    weight: Weight,
    text: String,
}

impl Story {
    /// A story of a key of this class, of which these nodes are the primaries.
    #[must_use]
    pub fn new(key: Key, class: Option<Class>, primaries: BTreeSet<usize>) -> Self {
        let object_key = class.map(|class| keys::object_key(class, key.bucket, &key.bytes()));
        Self {
            key,
            object_key: object_key.unwrap_or_default(),
            lines: Vec::new(),
            holders: primaries,
        }
    }

    fn add(&mut self, at_us: u64, weight: Weight, text: String) {
        self.lines.push(Line {
            at_us,
            weight,
            text,
        });
    }

    /// A node wrote a batch.
    pub fn wrote(&mut self, at_us: u64, node: usize, writes: &[Write]) {
        for write in writes {
            if let Some(text) = self.change(write) {
                self.holders.insert(node);
                self.add(at_us, Weight::Change, format!("{} {text}", name(node)));
            }
        }
    }

    fn change(&self, write: &Write) -> Option<String> {
        let (family, storage_key, record) = match write {
            Write::Put { family, key, value } => (family, key, Some(value)),
            Write::Delete { family, key } => (family, key, None),
            Write::Clear { family, from, to } => return self.cleared(*family, from, to),
        };
        match family {
            Family::Objects => {
                let (_, bucket, name) = keys::parse_object_key(storage_key)?;
                (Key::parse(bucket, name) == Some(self.key)).then(|| stored(storage_key, record))
            }
            Family::Hints => {
                let (target, _, bucket, name) = keys::parse_hint_key(storage_key)?;
                (Key::parse(bucket, name) == Some(self.key))
                    .then(|| hinted(target, storage_key, record))
            }
            Family::Chunks | Family::Log | Family::Vnodes | Family::Requests | Family::Expiry => {
                None
            }
        }
    }

    /// A whole range of records removed at once, as when a vnode is rebuilt.
    fn cleared(&self, family: Family, from: &[u8], to: &[u8]) -> Option<String> {
        let within = self.object_key.as_slice() >= from && self.object_key.as_slice() < to;
        (family == Family::Objects && within)
            .then(|| "clears the whole vnode, its object with it".to_owned())
    }

    /// A message arrived.
    pub fn delivered(&mut self, at_us: u64, from: NodeId, to: NodeId, message: &PeerMessage) {
        if let Some(what) = carried(self.key, message) {
            let text = format!("{} -> {} {what}", named(from), named(to));
            self.add(at_us, Weight::Message, text);
        }
    }

    /// The whole story, at most [`LINES_MAX`] lines in the order of their times.
    #[must_use]
    pub fn tell(mut self, history: &History, faults: &[Begun]) -> Vec<String> {
        for begun in faults {
            if touches(&begun.fault, &self.holders) {
                let text = format!("fault {}: {}", begun.number, in_words(&begun.fault));
                self.add(begun.at_us, Weight::Event, text);
            }
        }
        for operation in history.operations.iter().filter(|op| op.key == self.key) {
            let weight = match operation.write() {
                Some(_) => Weight::Change,
                None => Weight::Event,
            };
            self.lines.push(Line {
                at_us: operation.invoked_us,
                weight,
                text: operation.words(),
            });
        }
        self.lines.sort_by_key(|line| line.at_us);
        shorten(self.lines)
    }
}

/// A node's short name.
fn named(node: NodeId) -> String {
    format!("n{}", node.get())
}

fn told(line: &Line) -> String {
    format!("{:>9.3} s  {}", line.at_us as f64 / 1e6, line.text)
}

/// Leaves out the lightest lines first, beginning with messages that say the same again and again; of the
/// rest, the end is told in full.
fn shorten(mut lines: Vec<Line>) -> Vec<String> {
    let all = lines.len();
    if all > LINES_MAX {
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        lines.retain(|line| {
            let times = seen.entry(line.text.clone()).or_default();
            *times += 1;
            line.weight != Weight::Message || *times <= SAME_MAX
        });
    }
    for weight in [Weight::Message, Weight::Event] {
        if lines.len() > LINES_MAX - 1 {
            lines.retain(|line| line.weight != weight);
        }
    }
    let first = lines.len().saturating_sub(LINES_MAX - 1);
    let left_out = all - (lines.len() - first);
    let mut texts: Vec<String> = lines.iter().skip(first).map(told).collect();
    if left_out > 0 {
        texts.insert(0, format!("({left_out} more lines are left out)"));
    }
    texts
}

/// Request ids of simulated writes end with the write's id.
fn write_of(version: &Version) -> WriteId {
    let [.., a, b, c, d, e, f, g, h] = version.request.to_bytes();
    WriteId(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

fn versions(object: &Object) -> String {
    let versions: Vec<String> = object
        .versions
        .iter()
        .map(|version| format!("{} ({})", write_of(version), version.dot))
        .collect();
    let context = if object.context.is_empty() {
        ""
    } else {
        ", with a context"
    };
    format!("[{}]{context}", versions.join(", "))
}

fn stored(storage_key: &[u8], record: Option<&Bytes>) -> String {
    match record.map(|record| decode_object(storage_key, record)) {
        None => "removes its object: nothing is left".to_owned(),
        Some(Ok(object)) => format!("stores the object {}", versions(&object)),
        Some(Err(error)) => format!("stores an object that cannot be read: {error}"),
    }
}

fn hinted(target: NodeId, storage_key: &[u8], record: Option<&Bytes>) -> String {
    match record.map(|record| decode_hint(storage_key, record)) {
        None => format!("drops its hint for {}", named(target)),
        Some(Ok(hint)) => format!(
            "keeps a hint for {}: {}",
            named(target),
            versions(&hint.object)
        ),
        Some(Err(error)) => format!(
            "keeps a hint for {} that cannot be read: {error}",
            named(target)
        ),
    }
}

/// What a message does with a key, if it carries it.
fn carried(key: Key, message: &PeerMessage) -> Option<String> {
    let is_key = |bucket, name: &Bytes| Key::parse(bucket, name) == Some(key);
    let among = |objects: &[quorate_protocol::peer::SettledObject]| {
        objects
            .iter()
            .any(|object| is_key(object.bucket, &object.key))
    };
    if let PeerMessage::ReplicaPut(put) = message
        && is_key(put.bucket, &put.key)
    {
        return Some(match (put.repair, put.hint_for) {
            (true, None) => "read repair".to_owned(),
            (true, Some(target)) => format!("read repair, a hint for {}", named(target)),
            (false, None) => "a write to store".to_owned(),
            (false, Some(target)) => format!("a write to keep as a hint for {}", named(target)),
        });
    }
    if let PeerMessage::DotsAnswer(answer) = message
        && among(&answer.objects)
    {
        return Some("anti-entropy brings the object".to_owned());
    }
    if let PeerMessage::Hints(hints) = message
        && among(&hints.objects)
    {
        return Some("hints are handed over".to_owned());
    }
    if let PeerMessage::FindRequest(find) = message
        && is_key(find.bucket, &find.key)
    {
        return Some("asks whether a request was seen".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(weight: Weight, count: u64) -> Vec<Line> {
        let line = |at_us| Line {
            at_us,
            weight,
            text: format!("line {at_us}"),
        };
        (0..count).map(line).collect()
    }

    #[test]
    fn a_short_story_is_told_whole() {
        assert_eq!(shorten(lines(Weight::Message, 10)).len(), 10);
    }

    #[test]
    fn a_long_story_keeps_changes_and_its_end() {
        let mut all = lines(Weight::Message, 100);
        all.extend(lines(Weight::Change, 60));
        let told = shorten(all);
        assert_eq!(told.len(), LINES_MAX);
        assert!(told[0].contains("121 more"), "{}", told[0]);
        assert!(told[LINES_MAX - 1].ends_with("line 59"));
    }
}
