//! What chunkservers report about copies, and copies that go with their server (spec 05 §7).

use std::ops::AddAssign;

use mfs_meta::op::Op;

use crate::copy::CopyState;
use crate::effect::{Log, ServerId};
use crate::operation::OpKind;
use crate::state::{Chunks, LOST_DELAY, NEW_DELAY, UNKNOWN_CHUNK_LIFE};

/// In reported versions: the copy is on a disk marked for removal.
const MARKED: u32 = 1 << 31;

/// What was strange about reported chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// They were not known; they are now, and are kept for seven days.
    pub unknown: u32,
    /// Their numbers cannot be; they are ignored.
    pub impossible: u32,
}

impl AddAssign for Reported {
    fn add_assign(&mut self, more: Reported) {
        self.unknown = self.unknown.saturating_add(more.unknown);
        self.impossible = self.impossible.saturating_add(more.impossible);
    }
}

/// A row of the table of chunks for one that a server reports.
struct Row {
    row: u32,
    is_new: bool,
}

impl Chunks {
    /// Copies that a server has: a part of its registration, or new ones (spec 05 §7.1). Bit 31 of a version =
    /// marked for removal.
    pub fn report(
        &mut self,
        log: &mut dyn Log,
        server: ServerId,
        copies: impl IntoIterator<Item = (u64, u32)>,
    ) -> Reported {
        let mut reported = Reported::default();
        let Some(slot) = self.servers.slot(server) else {
            return reported;
        };
        self.new_until = self.tick + NEW_DELAY;
        let csid = self.servers.csid(slot);
        for (chunk, version) in copies {
            let marked = version & MARKED != 0;
            let version = version & !MARKED;
            tracing::trace!(csid, chunk, version, marked, "reported");
            match self.known_row(log, chunk, version) {
                Some(Row { row, is_new }) => {
                    reported.unknown += u32::from(is_new);
                    self.report_copy(log, slot, row, version, marked);
                }
                None => reported.impossible += 1,
            }
        }
        reported
    }

    fn report_copy(&mut self, log: &mut dyn Log, slot: u16, row: u32, version: u32, marked: bool) {
        self.settle(log, row);
        let Some(info) = log.meta().chunk_in_row(row) else {
            return;
        };
        match self.copies.find(row, slot) {
            Some(state) => {
                if state.is_usable() && state.is_marked() != marked {
                    self.copies.set(row, slot, state.marked(marked));
                }
            }
            None => {
                let added = if version == info.version {
                    self.copies.set(row, slot, CopyState::Valid.marked(marked))
                } else {
                    self.copies.set_wrong(row, slot, version, marked)
                };
                let chunk = info.id;
                if !added {
                    tracing::debug!(chunk, "more copies of a chunk than can be recorded");
                }
                self.copies.set_needs_increase(row, true);
                if self.unfinished.get(chunk).is_some() && !self.copies.has_operation(row) {
                    self.unresolved.insert(chunk);
                }
                if info.refs == 0 || self.copies.has_surplus(row) {
                    self.queue_check(log, row, false);
                }
            }
        }
    }

    /// The row of a chunk that a server reports. A chunk that is not known becomes so, for it may belong to files
    /// that this metadata has lost: it is kept for seven days, damaged or not.
    fn known_row(&mut self, log: &mut dyn Log, chunk: u64, version: u32) -> Option<Row> {
        if let Some(row) = log.meta().chunk_row(chunk) {
            return Some(Row { row, is_new: false });
        }
        let op = Op::ChunkAdd {
            id: chunk,
            version,
            lock: log.now().saturating_add(UNKNOWN_CHUNK_LIFE),
        };
        if let Err(status) = log.apply(&op) {
            tracing::debug!(chunk, version, %status, "a chunkserver reports an impossible chunk");
            return None;
        }
        // The driver tells how many there are: a server of another file system has millions.
        tracing::debug!(
            chunk,
            version,
            "a chunkserver has a chunk that is not known"
        );
        let row = log.meta().chunk_row(chunk)?;
        if let Some(info) = log.meta().chunk_in_row(row) {
            self.recount(log.meta(), row, &info);
        }
        Some(Row { row, is_new: true })
    }

    /// Copies that cannot be read (spec 05 §7.2).
    pub fn damaged(
        &mut self,
        log: &mut dyn Log,
        server: ServerId,
        chunks: impl IntoIterator<Item = u64>,
    ) {
        let Some(slot) = self.servers.slot(server) else {
            return;
        };
        let csid = self.servers.csid(slot);
        for chunk in chunks {
            tracing::debug!(csid, chunk, "damaged");
            let Some(Row { row, .. }) = self.known_row(log, chunk, 0) else {
                continue;
            };
            self.settle(log, row);
            if self.copies.find(row, slot) == Some(CopyState::Invalid) {
                continue;
            }
            self.copies.set(row, slot, CopyState::Invalid);
            self.copies.set_needs_increase(row, true);
            self.copies_vanished(log, row);
        }
    }

    /// Copies that a server has no longer (spec 05 §7.3).
    pub fn lost(
        &mut self,
        log: &mut dyn Log,
        server: ServerId,
        chunks: impl IntoIterator<Item = u64>,
    ) {
        let Some(slot) = self.servers.slot(server) else {
            return;
        };
        self.lost_until = self.tick + LOST_DELAY;
        let csid = self.servers.csid(slot);
        for chunk in chunks {
            tracing::debug!(csid, chunk, "lost");
            let Some(row) = log.meta().chunk_row(chunk) else {
                continue;
            };
            self.settle(log, row);
            if self.copies.find(row, slot).is_none() {
                continue;
            }
            self.copies.remove(row, slot);
            self.copies.set_needs_increase(row, true);
            self.copies_vanished(log, row);
            self.drop_record(log, row);
        }
    }

    /// Drops the copies of a chunk that are on servers which are gone (spec 05 §7.4).
    pub(crate) fn settle(&mut self, log: &mut dyn Log, row: u32) {
        if self.servers.gone() == 0 {
            return;
        }
        let mut dropped = false;
        for copy in self.copies.list(row) {
            if self.servers.is_gone(copy.server) {
                self.copies.remove(row, copy.server);
                dropped = true;
            }
        }
        if dropped {
            self.copies.set_needs_increase(row, true);
            self.copies_vanished(log, row);
        }
    }

    /// What follows when copies of a chunk went or became useless: an operation on them may be over now, and other
    /// copies may be needed.
    fn copies_vanished(&mut self, log: &mut dyn Log, row: u32) {
        let copies = &self.copies;
        if let Some(op) = self.operations.get_mut(&row) {
            op.awaited
                .retain(|s| copies.find(row, *s).is_some_and(CopyState::is_busy));
            if op.kind != OpKind::Replicate {
                // Also when it has answered already: its copy has the new version, and will not get what is written.
                op.interrupted = true;
                op.unknown = true;
            }
            self.conclude_if_over(log, row);
        }
        self.queue_check(log, row, true);
    }

    /// Settles at once what waits for a server that is gone; all other chunks are settled when they are touched.
    pub(crate) fn forget_server(&mut self, log: &mut dyn Log, slot: u16) {
        self.deletions.retain(|&(_, s)| s != slot);
        let mut forgotten = Vec::new();
        self.replications.retain(|&(row, dst), r| {
            if r.source == Some(slot) {
                r.source = None;
            }
            if dst == slot {
                forgotten.push((row, r.source));
            }
            dst != slot
        });
        for (_, source) in forgotten {
            self.replication_ended_at(source, None);
        }
        let mut rows: Vec<u32> = self
            .operations
            .iter()
            .filter(|(_, op)| op.awaited.contains(&slot))
            .map(|(&row, _)| row)
            .collect();
        rows.sort_unstable();
        for row in rows {
            self.settle(log, row);
        }
    }

    /// Removes the record of a chunk that nobody names and that nobody has, if nothing speaks against it (spec 05
    /// §7.5).
    pub(crate) fn drop_record(&mut self, log: &mut dyn Log, row: u32) {
        let Some(info) = log.meta().chunk_in_row(row) else {
            return;
        };
        let now = log.now();
        let droppable = info.refs == 0
            && !Self::is_locked(&info, now)
            && self.has_all_data_of(info.id)
            && self.copies.tally(row).total() == 0
            && !self.copies.has_operation(row)
            && !self.is_held(info.id, now);
        if droppable {
            let op = Op::ChunkDel {
                id: info.id,
                version: info.version,
            };
            match log.apply(&op) {
                Ok(_) => self.forget_chunk(row, info.id),
                Err(status) => {
                    tracing::error!(chunk = info.id, %status, "chunk cannot be removed");
                }
            }
        }
    }

    fn forget_chunk(&mut self, row: u32, chunk: u64) {
        self.copies.clear(row);
        self.holds.remove(&chunk);
        self.sessions.remove(&chunk);
        self.unharmed.remove(&chunk);
        self.unfinished.forget(chunk);
        self.unresolved.remove(&chunk);
        self.waiting.wake(row);
    }

    /// Whether a chunk without files is kept: because an operation that copies it may have to be undone, or for a
    /// while.
    pub(crate) fn is_held(&self, chunk: u64, now: u32) -> bool {
        self.unfinished.is_previous(chunk) || self.holds.get(&chunk).is_some_and(|&to| to >= now)
    }
}
