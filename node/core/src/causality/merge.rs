//! Two copies of a key become one.

use std::cmp::Ordering;

use quorate_protocol::Dot;

use super::{Body, Object, Version};

/// What came of a merge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// The object that now stands for both.
    pub object: Object,
    /// Versions of the local side that the remote side knew to be superseded.
    pub displaced: Vec<Dot>,
    /// Versions of the remote side that the local side knew to be superseded.
    pub discarded: Vec<Dot>,
    /// Whether the object differs from the local one.
    pub changed: bool,
}

/// Merges what came from a peer into a vnode's copy.
///
/// `seen_here` is the vnode's clock as it is *before* the dots that the remote object settles are
/// entered into it. `settles` are exactly those dots.
pub fn merge(
    local: &Object,
    seen_here: &dyn Fn(Dot) -> bool,
    remote: &Object,
    settles: &[Dot],
) -> Merged {
    join(local, seen_here, remote, &member_of(settles))
}

/// Merges what a peer handed over of a key that has, beyond what the object says, seen all that
/// `seen_there` says: there a dot that is seen and not held is superseded.
pub fn merge_snapshot(
    local: &Object,
    seen_here: &dyn Fn(Dot) -> bool,
    remote: &Object,
    seen_there: &dyn Fn(Dot) -> bool,
) -> Merged {
    join(local, seen_here, remote, seen_there)
}

/// Merges two hints of one key. A hint has no clock; the dots that each settles stand in for one.
/// The merged hint settles what either settled.
#[must_use]
pub fn merge_hints(
    local: &Object,
    local_settles: &[Dot],
    remote: &Object,
    remote_settles: &[Dot],
) -> Merged {
    join(
        local,
        &member_of(local_settles),
        remote,
        &member_of(remote_settles),
    )
}

/// Whether a dot is among these: of a hint there may be as many as there were writes.
fn member_of(dots: &[Dot]) -> impl Fn(Dot) -> bool {
    let mut ordered = dots.to_vec();
    ordered.sort_unstable();
    move |dot| ordered.binary_search(&dot).is_ok()
}

/// The rule of both, with what each side has seen beyond what its object says.
fn join(
    local: &Object,
    seen_here: &dyn Fn(Dot) -> bool,
    remote: &Object,
    seen_there: &dyn Fn(Dot) -> bool,
) -> Merged {
    let mut merged = Merged::default();
    for side in pair(&local.versions, &remote.versions) {
        match side {
            Side::Both(own, theirs) => merged.keep_held_by_both(own, theirs),
            Side::Local(own) if remote.context.covers(own.dot) || seen_there(own.dot) => {
                merged.displace(own)
            }
            Side::Local(own) => merged.object.versions.push(own.clone()),
            Side::Remote(theirs) if local.context.covers(theirs.dot) || seen_here(theirs.dot) => {
                merged.discarded.push(theirs.dot);
            }
            Side::Remote(theirs) => merged.take(theirs),
        }
    }
    merged.join_contexts(local, remote);
    merged
}

impl Merged {
    fn keep_held_by_both(&mut self, own: &Version, theirs: &Version) {
        if matches!(own.body, Body::Absent) && !matches!(theirs.body, Body::Absent) {
            self.take(theirs);
        } else {
            self.object.versions.push(own.clone());
        }
    }

    fn take(&mut self, theirs: &Version) {
        self.object.versions.push(theirs.clone());
        self.changed = true;
    }

    fn displace(&mut self, own: &Version) {
        self.displaced.push(own.dot);
        self.changed = true;
    }

    fn join_contexts(&mut self, local: &Object, remote: &Object) {
        self.object.context = local.context.clone();
        self.object.context.join(&remote.context);
        self.changed |= self.object.context != local.context;
    }
}

/// Who holds a version.
enum Side<'a> {
    Local(&'a Version),
    Remote(&'a Version),
    Both(&'a Version, &'a Version),
}

/// Walks two lists that are ordered by dot as one.
fn pair<'a>(mut local: &'a [Version], mut remote: &'a [Version]) -> impl Iterator<Item = Side<'a>> {
    std::iter::from_fn(move || {
        let order = match (local.first(), remote.first()) {
            (Some(own), Some(theirs)) => own.dot.cmp(&theirs.dot),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        match order {
            Ordering::Less => local.split_off_first().map(Side::Local),
            Ordering::Greater => remote.split_off_first().map(Side::Remote),
            Ordering::Equal => local
                .split_off_first()
                .zip(remote.split_off_first())
                .map(|(a, b)| Side::Both(a, b)),
        }
    })
}
