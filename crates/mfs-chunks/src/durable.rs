//! Copies are deleted only when nothing that a power cut takes back could need them.
//!
//! A line is "safe" when the operating system has it; the last ones are gone after a power cut of the master's machine
//! (`CHANGELOG_SAVE_MODE` 0 and 1). A file that had been removed is back then, with its chunks; a chunk whose version
//! had been raised is back at the old one. So copies of a chunk that no file names, outdated ones and damaged ones
//! (the others may be good only because of such a line) go when all lines up to the moment in which they were found
//! useless are on the disk ([`Log::durable`]). A surplus copy needs no such wait: as many equal ones as were wanted
//! are left, and the chunk stays what it is.
//!
//! A chunk with such copies is *held*: it enters the open batch. At most once a second, and only when the batch
//! before is through, the open batch is closed at the present version, and a sync is asked for
//! ([`Chunks::sync_wanted`]). When that version is durable its chunks are *free* and queued, so that many of them
//! share one sync. Free means: what the chunk is, its version and whether it has files, is on the disk; a change of
//! that ends it ([`Copies::doubt`](crate::copies::Copies::doubt)). Everyone who comes to a chunk that is not free
//! deletes nothing useless: the queues, the scan, the end of a write.
//!
//! A chunk without files never gets one again, except for a previous chunk of an operation, which is kept anyhow
//! (`unfinished`); even if it did, the loss of that file would be seen.

use crate::effect::Log;
use crate::queues::prio;
use crate::state::{Chunks, TICKS_PER_SECOND};

/// Ticks between two syncs.
const PACE: u64 = TICKS_PER_SECOND as u64;
/// Chunks that a tick sets free: about a millisecond.
const RELEASED: usize = 10_000;

/// The chunks that are held, by row. A row that another was put in, or that is held anew, is passed over.
#[derive(Default)]
pub(crate) struct Held {
    open: Vec<u32>,
    closed: Vec<u32>,
    /// The closed batch waits until all lines below are durable.
    version: u64,
    /// When it was closed, ticks.
    closed_at: Option<u64>,
    /// It has not come so far.
    waits: bool,
}

impl Held {
    pub(crate) fn bytes(&self) -> usize {
        (self.open.capacity() + self.closed.capacity()) * size_of::<u32>()
    }
}

impl Chunks {
    /// Whether useless copies of a chunk may go now.
    pub(crate) fn is_free(&self, log: &dyn Log, row: u32) -> bool {
        self.copies.is_free(row) || log.durable() >= log.meta().version()
    }

    /// Holds a chunk until everything up to now is on the disk.
    pub(crate) fn hold(&mut self, row: u32) {
        if self.copies.hold(row) {
            self.held.open.push(row);
        }
    }

    /// The version below which all lines have to be brought to the disk before deletions go on, as the last tick saw
    /// it. It stays until [`Log::durable`] tells that this has been done.
    #[must_use]
    pub fn sync_wanted(&self) -> Option<u64> {
        self.held.waits.then_some(self.held.version)
    }

    /// What is due each tick.
    pub(crate) fn durable_tick(&mut self, log: &dyn Log) {
        let held = &mut self.held;
        let rested = held.closed_at.is_none_or(|at| self.tick >= at + PACE);
        if held.closed.is_empty() && !held.open.is_empty() && rested {
            held.closed = std::mem::take(&mut held.open);
            held.version = log.meta().version();
            held.closed_at = Some(self.tick);
            self.copies.close_batch();
        }
        held.waits = !held.closed.is_empty() && log.durable() < held.version;
        if held.waits {
            return;
        }
        for _ in 0..RELEASED {
            let Some(row) = self.held.closed.pop() else {
                self.held.closed = Vec::new();
                return;
            };
            if self.copies.release(row) {
                self.enqueue(row, prio::USELESS);
            }
        }
    }
}
