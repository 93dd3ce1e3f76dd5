//! Telling a node that takes its time from one that is gone.
//!
//! A node that lives acknowledges our packets within tens of milliseconds, however long it thinks
//! about the request: QUIC does so without asking the application. So when somebody waits and not
//! one datagram arrives for a second, the node is dead, stopped or cut off, and waiting for the
//! request's deadline would be a waste.

use std::time::Duration;

/// How often to look.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Looks in a row without a datagram after which a node counts as gone. Looks are counted, not
/// time, so that a client which was itself stopped for a while accuses nobody.
const LOOKS_MAX: u32 = 6;
/// The same where nothing has come since somebody began to wait: the connection was idle, and its
/// node may have died long ago. With a few such connections in a row, waiting for each as long as
/// for one in use would eat up a request's deadline.
const LOOKS_UNHEARD_MAX: u32 = 3;

/// What was seen on one connection.
#[derive(Debug, Default)]
pub(super) struct Silence {
    datagrams: u64,
    looks: u32,
    /// Something came since somebody began to wait.
    heard: bool,
}

impl Silence {
    /// Takes a look: `datagrams` received so far, and whether anybody waits. Returns whether the
    /// node is to be given up.
    pub(super) fn look(&mut self, datagrams: u64, awaited: bool) -> bool {
        let silent = datagrams == self.datagrams;
        self.datagrams = datagrams;
        self.looks = if awaited && silent { self.looks + 1 } else { 0 };
        self.heard = awaited && (self.heard || !silent);
        let most = if self.heard {
            LOOKS_MAX
        } else {
            LOOKS_UNHEARD_MAX
        };
        self.looks >= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_sends_anything_is_waited_for() {
        let mut silence = Silence::default();
        assert!((1..100).all(|datagrams| !silence.look(datagrams, true)));
    }

    #[test]
    fn nothing_is_expected_where_nobody_waits() {
        let mut silence = Silence::default();
        assert!((0..100).all(|_| !silence.look(7, false)));
    }

    #[test]
    fn an_idle_connection_that_stays_silent_when_used_is_given_up_sooner() {
        let mut silence = Silence::default();
        silence.look(7, false);
        let gone: Vec<bool> = (0..3).map(|_| silence.look(7, true)).collect();
        assert_eq!(gone, [false, false, true]);
    }

    #[test]
    fn six_looks_without_a_datagram_are_enough() {
        let mut silence = Silence::default();
        silence.look(7, true);
        let gone: Vec<bool> = (0..6).map(|_| silence.look(7, true)).collect();
        assert_eq!(gone, [false, false, false, false, false, true]);
    }
}
