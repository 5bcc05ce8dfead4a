//! Chunks with too few copies for which there is no server.
//!
//! The original forgets them until its loop comes round, which takes five minutes at least and hours with many chunks:
//! when a server is replaced by an empty one, all that has a single copy waits for that. Here they stay in a queue of
//! their own, and get their turn as soon as a server can take copies that could not before.

use crate::effect::{Log, ServerId};
use crate::queues::prio;
use crate::state::Chunks;

/// Chunks that get their turn in one tick: about a millisecond.
const RELEASED: usize = 10_000;

/// A server that takes copies, and what makes it one for some chunks and not for others.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Taker {
    /// Its connection: one that comes back is another one.
    id: ServerId,
    labels: u32,
    rack: u32,
}

/// What the chunks wait for.
#[derive(Default)]
pub(crate) struct Stranded {
    /// Servers that took copies in the last second.
    takers: Vec<Taker>,
    /// Chunks whose turn it is.
    due: usize,
}

impl Chunks {
    /// Keeps a chunk until there are other servers.
    pub(crate) fn strand(&mut self, row: u32) {
        self.enqueue(row, prio::STRANDED);
    }

    /// Looks for servers that are new here: connected, relieved, emptied, or with other labels.
    pub(crate) fn stranded_second(&mut self) {
        let takers: Vec<Taker> = self
            .servers
            .connected()
            .filter(|(_, s)| s.takes_copies())
            .filter_map(|(slot, s)| {
                Some(Taker {
                    id: self.servers.id(slot)?,
                    labels: s.labels,
                    rack: s.rack,
                })
            })
            .collect();
        let old = &self.stranded.takers;
        if takers.iter().any(|t| !old.contains(t)) {
            self.stranded.due = self.queues.len(prio::STRANDED);
        }
        self.stranded.takers = takers;
    }

    /// What is due each tick in which jobs are done.
    pub(crate) fn stranded_tick(&mut self, log: &dyn Log) {
        for _ in 0..self.stranded.due.min(RELEASED) {
            self.stranded.due -= 1;
            let Some(row) = self.dequeue(prio::STRANDED) else {
                self.stranded.due = 0;
                return;
            };
            self.queue_check(log, row, false);
        }
    }
}
