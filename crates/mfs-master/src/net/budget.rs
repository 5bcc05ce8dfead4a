//! A bound for what all connections of a port together make the master hold of messages that are not complete.
//!
//! A frame of a client may be 50 MB long (spec 04 §2.2), one of a chunkserver 500 MB (spec 05 §1.1), and nothing
//! obliges anybody to send its end. What everybody needs is little, for a moment: so those who hold much are turned
//! away first, and before them whoever has not even registered as a chunkserver. Each port has a budget of its own:
//! clients cannot keep chunkservers out.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::link::Party;

/// Bytes held by all connections of a port from which on those that hold more than is fair are closed.
const SOFT: usize = 128 << 20;

/// Bytes held by all connections of a port from which on each one that needs more is closed.
const HARD: usize = 512 << 20;

/// Bytes that hold everything real clients send: the longest are values of extended attributes, 64 kB.
const FAIR_CLIENT: usize = 256 << 10;

/// Bytes that hold everything real chunkservers send: the longest are parts of a registration, 100000 chunks of 12
/// bytes, in a buffer that grows by doubling.
const FAIR_CHUNKSERVER: usize = 4 << 20;

/// What all connections hold.
#[derive(Default)]
pub(super) struct Budget {
    clients: AtomicUsize,
    chunkservers: AtomicUsize,
}

impl Budget {
    /// The share of one connection; given back when it is dropped.
    pub(super) fn share(&self, party: Party) -> Share<'_> {
        let (used, fair, fair_stranger) = match party {
            Party::Client => (&self.clients, FAIR_CLIENT, FAIR_CLIENT),
            Party::Chunkserver => (&self.chunkservers, FAIR_CHUNKSERVER, 0),
        };
        Share {
            used,
            fair,
            fair_stranger,
            held: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn used(&self, party: Party) -> usize {
        self.share(party).used.load(Ordering::Relaxed)
    }
}

/// What one connection holds.
pub(super) struct Share<'a> {
    used: &'a AtomicUsize,
    /// Bytes that do no harm, registered and before.
    fair: usize,
    fair_stranger: usize,
    held: usize,
}

impl Share<'_> {
    /// Notes how many bytes the connection, which has `registered` or not, holds now; false when that is too much at
    /// present.
    #[inline]
    pub(super) fn hold(&mut self, bytes: usize, registered: bool) -> bool {
        // Most often nothing is left of the requests that came in: 0 before, 0 now.
        if bytes == self.held {
            return true;
        }
        if bytes < self.held {
            self.used.fetch_sub(self.held - bytes, Ordering::Relaxed);
            self.held = bytes;
            return true;
        }
        let more = bytes - self.held;
        let now = self.used.fetch_add(more, Ordering::Relaxed) + more;
        self.held = bytes;
        let fair = if registered {
            self.fair
        } else {
            self.fair_stranger
        };
        now <= SOFT || (now <= HARD && bytes <= fair)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_much_is_turned_away_first() {
        for (party, fair) in [
            (Party::Client, FAIR_CLIENT),
            (Party::Chunkserver, FAIR_CHUNKSERVER),
        ] {
            let budget = Budget::default();
            let mut hogs: Vec<_> = (0..2).map(|_| budget.share(party)).collect();
            for hog in &mut hogs {
                assert!(hog.hold(SOFT / 2, true));
            }
            let mut honest = budget.share(party);
            assert!(honest.hold(fair, true));
            assert!(!hogs[0].hold(SOFT / 2 + 1, true));
            hogs.remove(0);
            assert!(hogs[0].hold(SOFT / 2 + 1, true));
            drop(hogs);
            assert_eq!(budget.used(party), fair);
            assert!(honest.hold(0, true));
            assert_eq!(budget.used(party), 0);
        }
    }

    #[test]
    fn many_small_ones_have_a_bound_too() {
        let budget = Budget::default();
        let mut shares: Vec<_> = (0..HARD / FAIR_CLIENT)
            .map(|_| budget.share(Party::Client))
            .collect();
        assert!(shares.iter_mut().all(|share| share.hold(FAIR_CLIENT, true)));
        let mut one_more = budget.share(Party::Client);
        assert!(!one_more.hold(1, true));
        shares.pop();
        assert!(one_more.hold(2, true));
    }

    #[test]
    fn strangers_go_before_registered_chunkservers() {
        let budget = Budget::default();
        let share = || budget.share(Party::Chunkserver);
        let mut strangers: Vec<_> = (0..SOFT / (16 << 10)).map(|_| share()).collect();
        assert!(strangers.iter_mut().all(|s| s.hold(16 << 10, false)));
        let mut stranger = share();
        let mut registered = share();
        assert!(!stranger.hold(1, false));
        assert!(registered.hold(FAIR_CHUNKSERVER, true));
    }

    #[test]
    fn clients_take_nothing_from_chunkservers() {
        let budget = Budget::default();
        let mut client = budget.share(Party::Client);
        assert!(!client.hold(HARD, true));
        assert!(budget.share(Party::Chunkserver).hold(SOFT, true));
    }
}
