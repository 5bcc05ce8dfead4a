//! A bound for what all clients together make the master hold of requests that are not complete.
//!
//! A frame may be 50 MB long (spec 04 §2.2), and nothing obliges a client to send its end. What every client needs
//! is a few kB for a moment, so those who hold much are turned away first.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes held by all connections together from which on those that hold more than [`FAIR`] are closed.
const SOFT: usize = 128 << 20;

/// Bytes held by all connections together from which on each one that needs more is closed.
const HARD: usize = 512 << 20;

/// Bytes that hold everything real clients send: the longest are values of extended attributes, 64 kB.
const FAIR: usize = 256 << 10;

/// What all connections hold.
#[derive(Default)]
pub(super) struct Budget {
    used: AtomicUsize,
}

impl Budget {
    /// The share of one connection; given back when it is dropped.
    pub(super) fn share(&self) -> Share<'_> {
        Share {
            budget: self,
            held: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// What one connection holds.
pub(super) struct Share<'a> {
    budget: &'a Budget,
    held: usize,
}

impl Share<'_> {
    /// Notes how many bytes the connection holds now; false when that is too much at present.
    #[inline]
    pub(super) fn hold(&mut self, bytes: usize) -> bool {
        // Most often nothing is left of the requests that came in: 0 before, 0 now.
        if bytes == self.held {
            return true;
        }
        let used = &self.budget.used;
        if bytes < self.held {
            used.fetch_sub(self.held - bytes, Ordering::Relaxed);
            self.held = bytes;
            return true;
        }
        let more = bytes - self.held;
        let now = used.fetch_add(more, Ordering::Relaxed) + more;
        self.held = bytes;
        now <= SOFT || (now <= HARD && bytes <= FAIR)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_much_is_turned_away_first() {
        let budget = Budget::default();
        let mut hogs: Vec<_> = (0..2).map(|_| budget.share()).collect();
        for hog in &mut hogs {
            assert!(hog.hold(SOFT / 2));
        }
        let mut honest = budget.share();
        assert!(honest.hold(FAIR));
        assert!(!hogs[0].hold(SOFT / 2 + 1));
        hogs.remove(0);
        assert!(hogs[0].hold(SOFT / 2 + 1));
        drop(hogs);
        assert_eq!(budget.used(), FAIR);
        assert!(honest.hold(0));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn many_small_ones_have_a_bound_too() {
        let budget = Budget::default();
        let mut shares: Vec<_> = (0..HARD / FAIR).map(|_| budget.share()).collect();
        assert!(shares.iter_mut().all(|share| share.hold(FAIR)));
        let mut one_more = budget.share();
        assert!(!one_more.hold(1));
        shares.pop();
        assert!(one_more.hold(2));
    }
}
