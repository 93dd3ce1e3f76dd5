//! What lies in a node's storage, counted: every record of every family, and what of it is metadata.
//!
//! A replica at rest has, beside what clients wrote, one dot for each object and one clock for each vnode, and
//! of deleted keys nothing. This is the count that shows it, of a stopped node's database and in the simulator.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::causality::{Body, Clock, Object};
use crate::record::{decode_hint, decode_object, decode_vnode, keys};
use crate::store::{Family, Store, StoreError};

/// Records of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FamilyCount {
    /// How many.
    pub entries: u64,
    /// Bytes of their storage keys.
    pub key_bytes: u64,
    /// Bytes of the records.
    pub record_bytes: u64,
}

/// Versions and contexts of objects, or of hints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectCount {
    /// Versions, each with its dot.
    pub dots: u64,
    /// The most versions that one of them has.
    pub dots_max: u64,
    /// Objects without a version: deletes of which somebody may not know yet.
    pub deleted: u64,
    /// Objects that name what they superseded.
    pub contexts: u64,
    /// Actors that those contexts name, all together.
    pub context_entries: u64,
    /// Bytes that clients gave: keys, values, content types and user metadata, of values in pieces all but the values.
    pub client_bytes: u64,
    /// All other bytes of storage keys and records.
    pub metadata_bytes: u64,
}

/// Clocks of vnodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockCount {
    /// Vnodes with a record.
    pub vnodes: u64,
    /// Actors in their clocks, all together.
    pub actors: u64,
    /// Actors of whom more than a base is kept: writes before their last are missing, or they are closed.
    pub actors_with_runs: u64,
    /// The most actors that one clock has.
    pub actors_max: u64,
}

/// All that lies in one storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    families: BTreeMap<Family, FamilyCount>,
    /// Of the vnodes' own objects.
    pub objects: ObjectCount,
    /// Of what is kept for absent primaries.
    pub hints: ObjectCount,
    /// Of the vnodes' clocks.
    pub clocks: ClockCount,
    /// Records that are not what they should be.
    pub unreadable: u64,
}

impl Census {
    /// Counts all that `store` holds. Reads everything once, however much that is.
    ///
    /// # Errors
    /// Storage could not be read to its end. A record that is no record counts as unreadable instead.
    pub fn take(store: &dyn Store) -> Result<Self, StoreError> {
        let mut census = Self::default();
        let (from, to) = keys::everything();
        for family in Family::ALL {
            store.read_through(family, &from, &to, &mut |key, record| {
                census.count(family, key, record);
                ControlFlow::Continue(())
            })?;
        }
        Ok(census)
    }

    /// The records of one family.
    #[must_use]
    pub fn family(&self, family: Family) -> FamilyCount {
        self.families.get(&family).copied().unwrap_or_default()
    }

    /// All figures, each under a name that stays, in an order that stays.
    #[must_use]
    pub fn figures(&self) -> Vec<(String, u64)> {
        let mut figures = Vec::new();
        for family in Family::ALL {
            let (name, count) = (family.name(), self.family(family));
            figures.push((format!("{name}.entries"), count.entries));
            figures.push((format!("{name}.key_bytes"), count.key_bytes));
            figures.push((format!("{name}.record_bytes"), count.record_bytes));
        }
        figures.extend(object_figures("objects", self.objects));
        figures.extend(object_figures("hints", self.hints));
        figures.push(("clocks.vnodes".to_owned(), self.clocks.vnodes));
        figures.push(("clocks.actors".to_owned(), self.clocks.actors));
        let open = self.clocks.actors_with_runs;
        figures.push(("clocks.actors_with_runs".to_owned(), open));
        figures.push(("clocks.actors_max".to_owned(), self.clocks.actors_max));
        figures.push(("unreadable".to_owned(), self.unreadable));
        figures
    }

    fn count(&mut self, family: Family, key: &[u8], record: &[u8]) {
        let count = self.families.entry(family).or_default();
        count.entries += 1;
        count.key_bytes += key.len() as u64;
        count.record_bytes += record.len() as u64;
        let understood = match family {
            Family::Objects => self.count_object(key, record),
            Family::Hints => self.count_hint(key, record),
            Family::Vnodes => self.count_vnode(key, record),
            Family::Chunks | Family::Log | Family::Requests | Family::Expiry => Some(()),
        };
        self.unreadable += u64::from(understood.is_none());
    }

    fn count_object(&mut self, key: &[u8], record: &[u8]) -> Option<()> {
        let (_, _, client_key) = keys::parse_object_key(key)?;
        let object = decode_object(key, record).ok()?;
        let stored = key.len() + record.len();
        self.objects.add(&object, client_key, stored);
        Some(())
    }

    fn count_hint(&mut self, key: &[u8], record: &[u8]) -> Option<()> {
        let (_, _, _, client_key) = keys::parse_hint_key(key)?;
        let hint = decode_hint(key, record).ok()?;
        let stored = key.len() + record.len();
        self.hints.add(&hint.object, client_key, stored);
        Some(())
    }

    fn count_vnode(&mut self, key: &[u8], record: &[u8]) -> Option<()> {
        // Digests, marks, and who was alive when have no clock.
        if keys::parse_vnode_key(key).is_some() {
            let vnode = decode_vnode(key, record).ok()?;
            self.clocks.add(&vnode.clock);
        }
        Some(())
    }
}

impl ObjectCount {
    fn add(&mut self, object: &Object, key: &[u8], stored: usize) {
        let dots = object.versions.len() as u64;
        self.dots += dots;
        self.dots_max = self.dots_max.max(dots);
        self.deleted += u64::from(dots == 0);
        self.contexts += u64::from(!object.context.is_empty());
        self.context_entries += object.context.iter().count() as u64;
        let bodies = object
            .versions
            .iter()
            .map(|version| client_bytes(&version.body));
        let client = key.len() + bodies.sum::<usize>();
        self.client_bytes += client as u64;
        self.metadata_bytes += stored.saturating_sub(client) as u64;
    }
}

/// What a client gave, as far as it stands in the record itself.
fn client_bytes(body: &Body) -> usize {
    let about = |content_type: &str, meta: &[(String, bytes::Bytes)]| {
        let meta = meta.iter().map(|(name, value)| name.len() + value.len());
        content_type.len() + meta.sum::<usize>()
    };
    match body {
        Body::Whole(content) => content.value.len() + about(&content.content_type, &content.meta),
        Body::Chunked {
            content_type, meta, ..
        } => about(content_type, meta),
        Body::Absent => 0,
    }
}

impl ClockCount {
    fn add(&mut self, clock: &Clock) {
        let entries = clock.to_wire();
        self.vnodes += 1;
        self.actors += entries.len() as u64;
        self.actors_max = self.actors_max.max(entries.len() as u64);
        let more = entries.iter().filter(|entry| !entry.runs.is_empty());
        self.actors_with_runs += more.count() as u64;
    }
}

fn object_figures(name: &str, count: ObjectCount) -> [(String, u64); 7] {
    [
        ("dots", count.dots),
        ("dots_max", count.dots_max),
        ("deleted", count.deleted),
        ("contexts", count.contexts),
        ("context_entries", count.context_entries),
        ("client_bytes", count.client_bytes),
        ("metadata_bytes", count.metadata_bytes),
    ]
    .map(|(figure, number)| (format!("{name}.{figure}"), number))
}
