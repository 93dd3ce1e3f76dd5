//! What happened since the node started, counted.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use quorate_core::effects::Note;

/// Names a counter for each variant of an enum and finds it by its position.
macro_rules! named {
    ($all:ident, $name:ident, $enum:ident { $($variant:ident => $text:literal, $help:literal;)* }) => {
        const $all: &[$enum] = &[$($enum::$variant,)*];

        const fn $name(which: $enum) -> (&'static str, &'static str) {
            match which { $($enum::$variant => ($text, $help),)* }
        }
    };
}

named! { NOTES, note_name, Note {
    Get => "gets", "Reads coordinated here";
    Put => "puts", "Writes coordinated here";
    Delete => "deletes", "Deletes coordinated here";
    Forwarded => "forwarded", "Requests passed on to a node that can coordinate them";
    FallbackWrite => "fallback_writes", "Writes in which a fallback took the place of a primary";
    FallbackCoordinated => "fallback_coordinated", "Writes coordinated here as a fallback";
    HintStored => "hints_stored", "Writes stored here as hints";
    HintDelivered => "hints_delivered", "Hints delivered, durably acknowledged and dropped";
    ReadRepair => "read_repairs", "Stale replicas repaired after a read";
    FallbackRepair => "fallback_repairs", "Fallbacks filled after a read";
    Superseded => "superseded", "Versions discarded on arrival because a later write had replaced them";
    SiblingsRead => "siblings_read", "Reads that found more than one sibling";
    AntiEntropyFetched => "anti_entropy_fetched", "Objects fetched by anti-entropy";
    CaughtUp => "caught_up", "Vnodes that became current";
    WaitedForCatchUp => "waited_for_catch_up", "Reads that met a replica that was catching up";
    LogDropped => "log_dropped", "Dot-log entries dropped because all members have them durably";
    LogCut => "log_entries_cut", "Dot-log entries dropped because the log was too long, although a replica lacks the write";
    ContextDropped => "context_dropped", "Causal contexts dropped whole";
    ObjectRemoved => "objects_removed", "Deleted objects of which nothing is left";
    RetryRecognised => "retries_recognised", "Retries that found their first try";
    DamageFound => "damage_found", "Damaged records met";
    DeadlineExceeded => "deadline_exceeded", "Requests ended by their deadline";
    QuorumNotMet => "quorum_not_met", "Requests that failed for want of answers";
    DotGone => "dots_gone", "Dots asked for that are no longer in the log";
    Rebuilding => "rebuilds_begun", "Vnodes that began to be filled again from a peer";
    Rebuilt => "rebuilds_ended", "Vnodes filled again from a peer";
    Scrubbed => "scrubs", "Vnodes read through and found whole";
    SilentLossFound => "silent_losses_found", "Vnodes that had lost something without any sign, found by reading them through";
    RangeRepaired => "range_repairs", "Ranges of keys read and compared with the other replicas";
    RangeLossFound => "range_losses_found", "Times that versions which had been lost without a sign were found and put back by comparing a range of keys";
    DigestsDiffer => "digests_differ", "Times a peer held something else than this node under the same clock";
    ReplicasDiffer => "replicas_differ", "Vnodes that took over what a peer held otherwise, because both seemed whole";
    PeerBehindItsWord => "peers_behind_their_word", "Peers whose durable clock fell behind what it had confirmed";
    Expired => "expired", "Versions removed because their time had passed";
    ExpiredOnArrival => "expired_on_arrival", "Versions not stored because their time had passed when they arrived";
    ExpiredHidden => "expired_hidden", "Reads that found versions whose time had passed";
    HeldAlike => "ranges_held_alike", "Ranges of keys that needed no transfer because both sides held them alike";
    Sealed => "actors_sealed", "Rounds after which it was agreed which writes retired actors have left";
    Folded => "actors_folded", "Rounds after which one clock entry stands for all actors of earlier generations";
    LateCopyRemoved => "late_copies_removed", "Versions removed because all members know their writes to be lost";
    DenialDisproved => "denials_disproved", "Times a read showed what a replica denied to be there, because another one proved that nobody replaced it";
    DenialDoubted => "denials_doubted", "Vnodes read through because a read proved that they denied what they should hold";
    OldStorageFound => "old_storage_found", "Vnodes that began with less than they had once confirmed";
    Fenced => "requests_fenced", "Requests refused because they work under another version of the placement";
    ShippedAnew => "writes_shipped_anew", "Writes under way that were sent to the nodes of a newer placement";
    Joined => "newcomers_complete", "Vnodes that have got all that the former ones had";
    Departing => "copies_departing", "Copies that lost their place and began to hand over";
    Departed => "copies_departed", "Such copies that were deleted, because all members have what they had";
    Regained => "places_regained", "Places given back to a node that still had its old copy";
    EpochsMissed => "placements_missed", "Vnodes that missed versions in which their partition moved";
    Throttled => "transfers_throttled", "Times copies were slowed down on their way because requests took longer than they should";
    DroppedRecord => "dropped_records", "Records of dropped buckets that were removed, or ranges of them";
    Swept => "drops_finished", "Times after which nothing was left of any dropped bucket";
    ClassEnded => "partitions_ended", "Vnodes that went with the last bucket that had keys in them";
}}

/// What the driver itself counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A batch was written.
    Commit,
    /// The storage was synced.
    Sync,
    /// A commit, sync or opening failed.
    StorageFailure,
    /// A client's request was refused for load.
    Overloaded,
    /// A client's frame was not a request of ours.
    BadRequest,
    /// A peer's frame was not a message of ours.
    BadPeerFrame,
    /// A message to a peer was not taken by the network.
    PeerSendDropped,
    /// A peer's message was dropped for load.
    PeerFrameDropped,
    /// A reply was not taken by the network.
    ReplyDropped,
    /// Frames for a peer were taken by the network; counted in bytes, headers included.
    PeerBytesSent,
    /// A peer's frame arrived; counted in bytes, header included.
    PeerBytesReceived,
}

named! { EVENTS, event_name, Event {
    Commit => "commits", "Batches written";
    Sync => "syncs", "Times the storage was synced";
    StorageFailure => "storage_failures", "Commits, syncs and openings that failed";
    Overloaded => "overloaded", "Requests refused for load";
    BadRequest => "bad_requests", "Client frames that were no request";
    BadPeerFrame => "bad_peer_frames", "Peer frames that were no message";
    PeerSendDropped => "peer_sends_dropped", "Messages to peers that the network did not take";
    PeerFrameDropped => "peer_frames_dropped", "Messages of peers dropped for load";
    ReplyDropped => "replies_dropped", "Replies that the network did not take";
    PeerBytesSent => "peer_bytes_sent", "Bytes of frames given to the network for peers";
    PeerBytesReceived => "peer_bytes_received", "Bytes of frames that came from peers";
}}

/// All counters of a node.
#[derive(Debug)]
pub struct Counters {
    notes: Vec<Counter>,
    events: Vec<Counter>,
}

impl Default for Counters {
    fn default() -> Self {
        let zeros = |count| (0..count).map(|_| Counter::default()).collect();
        Self {
            notes: zeros(NOTES.len()),
            events: zeros(EVENTS.len()),
        }
    }
}

impl Counters {
    /// Counts what the core noted.
    pub fn note(&self, note: Note) {
        self.notes[note as usize].inc();
    }

    /// Counts what the driver met.
    pub fn event(&self, event: Event) {
        self.events[event as usize].inc();
    }

    /// Counts bytes, for events that are counted so.
    pub fn bytes(&self, event: Event, bytes: usize) {
        self.events[event as usize].inc_by(bytes as u64);
    }

    /// The count of one of the core's notes.
    #[must_use]
    pub fn of_note(&self, note: Note) -> u64 {
        self.notes[note as usize].get()
    }

    /// The count of one of the driver's events.
    #[must_use]
    pub fn of_event(&self, event: Event) -> u64 {
        self.events[event as usize].get()
    }

    /// Names and counts, in a fixed order.
    #[must_use]
    pub fn list(&self) -> Vec<(String, u64)> {
        self.named()
            .map(|(name, _, counter)| (name.to_owned(), counter.get()))
            .collect()
    }

    /// Makes all counters part of a registry, under their names.
    pub fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in self.named() {
            registry.register(name, help, counter.clone());
        }
    }

    fn named(&self) -> impl Iterator<Item = (&'static str, &'static str, &Counter)> {
        let notes = NOTES
            .iter()
            .map(|&note| (note_name(note), &self.notes[note as usize]));
        let events = EVENTS
            .iter()
            .map(|&event| (event_name(event), &self.events[event as usize]));
        notes
            .chain(events)
            .map(|((name, help), counter)| (name, help, counter))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_counter_has_a_place_and_a_name_of_its_own() {
        assert!(
            NOTES
                .iter()
                .enumerate()
                .all(|(place, &note)| place == note as usize)
        );
        assert!(
            EVENTS
                .iter()
                .enumerate()
                .all(|(place, &event)| place == event as usize)
        );
        let names: BTreeSet<String> = Counters::default()
            .list()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names.len(), NOTES.len() + EVENTS.len());
    }

    #[test]
    fn what_happened_is_counted_under_its_name() {
        let counters = Counters::default();
        counters.note(Note::DotGone);
        counters.event(Event::Sync);
        let counted: Vec<_> = counters
            .list()
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(
            counted,
            [("dots_gone".to_owned(), 1), ("syncs".to_owned(), 1)]
        );
    }
}
