//! What a cluster looks like once it is quiet: read from disks and replicas, not asked from them.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::causality::{Body, Digest, Object};
use quorate_core::record::{decode_digest, decode_log, decode_object, decode_vnode, keys};
use quorate_core::{Family, ReplicaStatus};
use quorate_protocol::ids::{ActorId, Dot};
use quorate_ring::Class;

use super::clock::WALL_START_MS;
use super::dropping;
use super::history::{Key, Shown, WriteId};
use super::node::Node;
use super::operators;
use super::world::World;

/// What expires within this time is waited for, milliseconds: nothing changes while a run is judged.
const SOON_MS: u64 = 120_000;

/// Why the cluster is not settled yet; `None` when it is: every replica current, nothing missing
/// anywhere, no hints left, and every primary of each key with the same versions.
#[must_use]
pub fn unsettled(world: &World<'_>) -> Option<String> {
    let members = world.members();
    still_a_member(world, &members)
        .or_else(|| {
            let mut nodes = members.iter().map(|&member| &world.nodes[member]);
            nodes.find_map(unsettled_node)
        })
        .or_else(|| world.unfinished_removal())
        .or_else(|| unsettled_map(world, &members))
        .or_else(|| of_members(world).find_map(dropping::left_of_dropped))
        .or_else(|| left_behind(world, &members))
        .or_else(|| {
            let different = finals(world).err()?;
            Some(different)
        })
        .or_else(|| of_members(world).find_map(|node| expiring(world, node)))
        .or_else(|| of_members(world).find_map(|node| unsealed(world, node)))
}

/// A member whose machine is gone for good, and what the ring waits for.
fn still_a_member(world: &World<'_>, members: &[usize]) -> Option<String> {
    let node = members.iter().find(|&&member| world.is_buried(member))?;
    let id = world.nodes[*node].id;
    let left = operators::unfinished(&world.newest_map()).unwrap_or_default();
    Some(format!("{id} is gone for good and a member still; {left}"))
}

/// The members. What others have is looked at by [`left_behind`].
fn of_members<'w>(world: &'w World<'_>) -> impl Iterator<Item = &'w Node> {
    let members = world.members();
    let nodes = world.nodes.iter();
    nodes.filter(move |node| members.contains(&node.index))
}

/// What has expired and is there still, or is about to expire; and an index of expiries that is not that of
/// the objects.
fn expiring(world: &World<'_>, node: &Node) -> Option<String> {
    let soon_ms = WALL_START_MS + world.at_us / 1000 + SOON_MS;
    let mut wanted = BTreeSet::new();
    for (storage_key, record) in node.disk.records(Family::Objects) {
        let (Some((class, bucket, name)), Ok(object)) = (
            keys::parse_object_key(storage_key),
            decode_object(storage_key, record),
        ) else {
            continue; // told already
        };
        for version in object.versions.iter().filter(|version| version.expires()) {
            if version.has_expired(soon_ms) {
                let key = Key::parse(bucket, name).map(|key| key.to_string());
                return Some(format!(
                    "{} holds {} of {key:?}, which expires at {}",
                    node.id, version.dot, version.expires_ms
                ));
            }
            wanted.insert(keys::expiry_key(version.expires_ms, class, bucket, name));
        }
    }
    let entries = node.disk.records(Family::Expiry);
    let noted: BTreeSet<Vec<u8>> = entries.map(|(key, _)| key.to_vec()).collect();
    // What lost its object leads nowhere, and is removed when its time has come.
    let is_due = |key: &&Vec<u8>| keys::parse_expiry_key(key).is_none_or(|(at, ..)| at <= soon_ms);
    let stray = noted.difference(&wanted).filter(is_due).count();
    let missing = wanted.difference(&noted).count();
    (stray + missing > 0).then(|| {
        format!(
            "{} notes {stray} expiries of no version, and misses {missing}",
            node.id
        )
    })
}

/// The nodes have different versions of the map, or one that does not name the storages they have.
fn unsettled_map(world: &World<'_>, members: &[usize]) -> Option<String> {
    let mut first = None;
    for node in members.iter().map(|&member| &world.nodes[member]) {
        let newest = node.newest()?;
        let first = *first.get_or_insert(newest.name());
        if newest.name() != first {
            let (id, name) = (node.id, newest.name());
            return Some(format!(
                "{id} has version {name} of the map, another {first}"
            ));
        }
        let Some(voter) = newest.map().voter(node.id) else {
            return Some(format!("{} has no vote in {first}", node.id));
        };
        if voter.storage != Some(node.kept.storage(node.id)) {
            return Some(format!("{}'s storage is not named in {first}", node.id));
        }
        if let Some(why) = operators::unfinished(newest.map()) {
            return Some(why);
        }
    }
    None
}

/// Who is a member no longer has handed over all that it had. An old copy of its disk that comes back later is nobody's.
fn left_behind(world: &World<'_>, members: &[usize]) -> Option<String> {
    let gone = world
        .nodes
        .iter()
        .filter(|node| !members.contains(&node.index));
    let judged = |node: &&Node| !world.config.faults.rewind && !world.is_buried(node.index);
    for node in gone.filter(judged) {
        for family in [Family::Objects, Family::Hints, Family::Log] {
            let mut records = node.disk.records(family);
            if let Some((key, _)) = records.next() {
                let (id, class, more) = (node.id, keys::class_of_key(key), records.count());
                return Some(format!(
                    "{id} is a member no longer and has {family:?} of {class:?}, and {more} records more"
                ));
            }
        }
    }
    None
}

fn unsettled_node(node: &Node) -> Option<String> {
    let id = node.id;
    let Some(replicas) = node.status() else {
        return Some(format!("{id} does not run"));
    };
    let unsettled = replicas
        .iter()
        .find_map(|status| unsettled_replica(node, status));
    let hints = node.disk.records(Family::Hints).count();
    let stray = (hints > 0).then(|| format!("{id} has {hints} hints on its disk and counts none"));
    unsettled.or(stray)
}

fn unsettled_replica(node: &Node, status: &ReplicaStatus) -> Option<String> {
    let id = node.id;
    if let Some(peer) = status.peers.iter().find(|peer| !peer.reachable) {
        return Some(format!("{id} does not reach {}", peer.node));
    }
    if let Some(peer) = status.peers.iter().find(|peer| peer.hints > 0) {
        return Some(format!("{id} keeps {} hints for {}", peer.hints, peer.node));
    }
    for vnode in &status.vnodes {
        let class = vnode.class;
        if vnode.damaged {
            return Some(format!("{id} says that its vnode {class} is damaged"));
        }
        if !vnode.current {
            return Some(format!(
                "{id}'s vnode {class} is not current, it waits for {:?}",
                vnode.waits_for
            ));
        }
        if vnode.lag > 0 {
            return Some(format!("{id}'s vnode {class} misses {} writes", vnode.lag));
        }
        if vnode.log_entries > 0 {
            return Some(format!(
                "{id}'s vnode {class} keeps {} log entries: {}",
                vnode.log_entries,
                log_of(node, class).join(", ")
            ));
        }
    }
    None
}

/// Actors that nobody writes with any more and that are not sealed, and what a seal has left to do.
fn unsealed(world: &World<'_>, node: &Node) -> Option<String> {
    let records = node.disk.records(Family::Vnodes);
    let vnodes = records.filter_map(|(key, record)| {
        let class = keys::parse_vnode_key(key)?;
        Some((class, decode_vnode(key, record).ok()?))
    });
    for (class, vnode) in vnodes {
        let open = |actor: &ActorId| !vnode.clock.is_complete(*actor);
        let open: Vec<ActorId> = vnode.clock.actors().filter(open).collect();
        let used = |actor: &ActorId| {
            let mut nodes = world.nodes.iter();
            nodes.any(|node| node.writes_with(class, *actor))
        };
        let retired = open.iter().find(|actor| !used(actor));
        if let Some(actor) = retired {
            return Some(format!(
                "{}'s vnode {class} has the retired actor {actor} open",
                node.id
            ));
        }
        if !vnode.promised.is_empty() {
            let promised = &vnode.promised;
            return Some(format!(
                "{}'s vnode {class} has promised {promised:?}",
                node.id
            ));
        }
    }
    None
}

/// What stands in a vnode's log.
fn log_of(node: &Node, class: Class) -> Vec<String> {
    let entries = node.disk.records(Family::Log).filter_map(|(key, record)| {
        let (of, dot) = keys::parse_log_key(key)?;
        let entry = decode_log(key, record).ok()?;
        let name = String::from_utf8_lossy(&entry.key).into_owned();
        (of == class).then(|| format!("{dot} {:?} of {name}", entry.kind))
    });
    entries.take(10).collect()
}

/// The versions that all primaries of each key hold.
///
/// # Errors
/// Two primaries of a key that hold different versions, or a context that is still there.
pub fn finals(world: &World<'_>) -> Result<BTreeMap<Key, BTreeSet<Shown>>, String> {
    let mut found: BTreeMap<Key, BTreeMap<usize, Object>> = BTreeMap::new();
    for node in of_members(world) {
        for (storage_key, record) in node.disk.records(Family::Objects) {
            let Some((_, bucket, name)) = keys::parse_object_key(storage_key) else {
                return Err(format!("{} has an object under a strange key", node.id));
            };
            let Some(key) = Key::parse(bucket, name) else {
                return Err(format!("{} has an object of a strange key", node.id));
            };
            let object = decode_object(storage_key, record)
                .map_err(|error| format!("{}: {key}: {error}", node.id))?;
            found.entry(key).or_default().insert(node.index, object);
        }
    }
    let mut finals = BTreeMap::new();
    for (key, objects) in found {
        finals.insert(key, equal_versions(world, key, &objects)?);
    }
    Ok(finals)
}

fn equal_versions(
    world: &World<'_>,
    key: Key,
    objects: &BTreeMap<usize, Object>,
) -> Result<BTreeSet<Shown>, String> {
    let none = Object::default();
    let mut first: Option<(usize, BTreeSet<Shown>)> = None;
    for primary in world.primaries(key) {
        let object = objects.get(&primary).unwrap_or(&none);
        if !object.context.is_empty() {
            return Err(format!("node {primary} keeps a context of {key}"));
        }
        let versions: BTreeSet<Shown> = object.versions.iter().map(shown).collect();
        match &first {
            None => first = Some((primary, versions)),
            Some((_, same)) if *same == versions => {}
            Some((other, differ)) => {
                return Err(format!(
                    "{key}: node {other} holds {differ:?} and node {primary} holds {versions:?}"
                ));
            }
        }
    }
    if let Some(stray) = objects
        .keys()
        .find(|node| !world.primaries(key).contains(node))
    {
        return Err(format!(
            "node {stray} holds an object of {key} and is no primary of it"
        ));
    }
    Ok(first.map(|(_, versions)| versions).unwrap_or_default())
}

/// Request ids of simulated writes end with the write's id.
fn shown(version: &quorate_core::causality::Version) -> Shown {
    let [.., a, b, c, d, e, f, g, h] = version.request.to_bytes();
    Shown {
        write: WriteId(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        dot: version.dot,
    }
}

/// What a disk lacks that must be on it, in words.
#[must_use]
pub fn lost(node: &Node) -> Option<String> {
    wrong_digest(node)
        .or_else(|| wrong_pieces(node))
        .or_else(|| wrong_log(node))
}

/// Whether a replica counts other log entries than its disk holds.
fn wrong_log(node: &Node) -> Option<String> {
    let replicas = node.status()?;
    let vnodes = replicas.iter().flat_map(|replica| &replica.vnodes);
    let counted: u64 = vnodes.map(|vnode| vnode.log_entries).sum();
    let held = node.disk.records(Family::Log).count() as u64;
    (counted != held).then(|| format!("{} counts {counted} log entries and holds {held}", node.id))
}

/// Vnodes of members whose digest is not what their objects sum up to.
#[must_use]
pub fn wrong_digests(world: &World<'_>) -> Vec<String> {
    of_members(world).filter_map(wrong_digest).collect()
}

fn wrong_digest(node: &Node) -> Option<String> {
    match (digests(node), sums(node)) {
        (Err(why), _) | (_, Err(why)) => Some(format!("{}: {why}", node.id)),
        (Ok(digests), Ok(sums)) => {
            let of = |all: &BTreeMap<Class, Digest>, class| {
                all.get(class).copied().unwrap_or(Digest::EMPTY)
            };
            let mut classes = digests.keys().chain(sums.keys());
            let class = classes.find(|class| of(&digests, class) != of(&sums, class))?;
            Some(format!(
                "{}: the objects of {class} sum up to {:?} and its digest says {:?}",
                node.id,
                of(&sums, class),
                of(&digests, class)
            ))
        }
    }
}

fn digests(node: &Node) -> Result<BTreeMap<Class, Digest>, String> {
    let records = node.disk.records(Family::Vnodes);
    let digests = records.filter_map(|(key, record)| {
        let class = keys::parse_digest_key(key)?;
        Some(
            decode_digest(key, record)
                .map(|digest| (class, digest))
                .map_err(|error| format!("the digest of {class}: {error}")),
        )
    });
    digests.collect()
}

/// What the objects of each class on a disk sum up to.
fn sums(node: &Node) -> Result<BTreeMap<Class, Digest>, String> {
    let mut sums = BTreeMap::new();
    for (key, record) in node.disk.records(Family::Objects) {
        let Some((class, bucket, name)) = keys::parse_object_key(key) else {
            return Err("an object under a strange key".to_owned());
        };
        let object = decode_object(key, record).map_err(|error| error.to_string())?;
        let sum: &mut Digest = sums.entry(class).or_default();
        sum.add(Digest::of_object(bucket, name, &object));
    }
    Ok(sums)
}

/// Pieces of long values that no version owns, or that a version lacks, on any member's disk.
#[must_use]
pub fn stray_pieces(world: &World<'_>) -> Vec<String> {
    of_members(world).filter_map(wrong_pieces).collect()
}

fn wrong_pieces(node: &Node) -> Option<String> {
    let wanted = wanted_pieces(node);
    let found: BTreeSet<Vec<u8>> = node
        .disk
        .records(Family::Chunks)
        .map(|(key, _)| key.to_vec())
        .collect();
    let stray = || found.difference(&wanted);
    let first = || stray().next().and_then(|key| keys::parse_chunk_key(key));
    (wanted != found).then(|| {
        format!(
            "{} holds {} pieces that no version owns (first: {:?}) and lacks {} that one does",
            node.id,
            stray().count(),
            first(),
            wanted.difference(&found).count()
        )
    })
}

fn wanted_pieces(node: &Node) -> BTreeSet<Vec<u8>> {
    let mut wanted = BTreeSet::new();
    for (storage_key, record) in node.disk.records(Family::Objects) {
        let (Some((class, bucket, _)), Ok(object)) = (
            keys::parse_object_key(storage_key),
            decode_object(storage_key, record),
        ) else {
            continue;
        };
        for version in &object.versions {
            let dot: Dot = version.dot;
            if let Body::Chunked { pieces, .. } = version.body {
                wanted.extend((0..pieces).map(|piece| {
                    keys::chunk_key(keys::ChunkOwner::Vnode, class, bucket, dot, piece)
                }));
            }
        }
    }
    wanted
}
