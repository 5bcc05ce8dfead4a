//! What is done to one chunk when the loop or a queue comes to it (spec 05 §15).

use mfs_meta::ChunkInfo;
use smallvec::SmallVec;

use crate::class::{self, Wanted};
use crate::copy::{CopyList, CopyState, Tally};
use crate::effect::{Command, Log};
use crate::figures::DoneHeld;
use crate::labels;
use crate::operation::OpKind;
use crate::queues::{self, prio};
use crate::replicate::Attempt;
use crate::servers::Removal;
use crate::state::{Chunks, UNKNOWN_CHUNK_LIFE};

/// Where a visit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    /// The scan over all chunks.
    Scan,
    /// A priority queue, or the end of a write. Unlike in the original, it deletes what is useless as well (steps 3
    /// and 6); only what is to be done once a loop is left out.
    Queue,
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deletion {
    Sent,
    /// The server has too many.
    Held,
    /// The same, and it is no news.
    Waits,
}

impl Deletion {
    fn is_sent(self) -> bool {
        self == Deletion::Sent
    }

    fn count(self, figures: &mut DoneHeld) {
        match self {
            Deletion::Sent => figures.count(true),
            Deletion::Held => figures.count(false),
            Deletion::Waits => {}
        }
    }
}

impl Chunks {
    /// Runs the steps for a chunk that was just queued.
    pub(crate) fn run_queued(&mut self, log: &mut dyn Log, row: u32) {
        self.copies.set_queue(row, None);
        self.job(log, row, Visit::Queue);
    }

    pub(crate) fn job(&mut self, log: &mut dyn Log, row: u32, visit: Visit) {
        self.settle(log, row);
        let Some(info) = log.meta().chunk_in_row(row) else {
            return;
        };
        let now = log.now();
        let locked = Self::is_locked(&info, now);
        if !locked && !self.copies.has_operation(row) {
            self.session_runs_out(log, row);
        }
        self.recount(log.meta(), row, &info);
        let copies = self.copies.list(row);
        if copies.is_empty() && info.refs == 0 {
            self.drop_record(log, row);
            return;
        }
        let tally: Tally = copies.iter().copied().collect();
        let class = class::in_charge(log.meta(), row);
        let goal = class::wanted(log.meta(), class, info.archived).map_or(0, |w| w.goal());
        if info.refs > 0 && tally.regular() < goal {
            for copy in &copies {
                if matches!(copy.state, CopyState::TdValid | CopyState::TdBusy)
                    && let Some(server) = self.servers.get_mut(copy.server)
                {
                    server.removal = Removal::InProgress;
                }
            }
        }
        if !locked && !self.copies.has_operation(row) && self.mend(log, row, &info, &tally, goal) {
            return;
        }
        let free = self.is_free(log, row);
        let mut due = !self.keeps_fallback(log, row, &info, &copies, &tally)
            && self.delete_useless(log, row, &info, locked, &copies, visit);
        if due && !free {
            self.hold(row);
        }
        if visit == Visit::Scan {
            self.abandon_replication(row, now);
        }
        if locked || self.copies.has_operation(row) {
            if info.refs > 0 {
                self.jobs.locked_used += 1;
            } else {
                self.jobs.locked_unused += 1;
            }
            return;
        }
        if info.refs == 0 {
            if !self.is_held(info.id, now) {
                due |= self.delete_unused(log, row, &info, visit);
            }
        } else {
            self.reach_goal(log, row, &info, visit);
        }
        if due && !free {
            self.hold(row);
        } else if due && !self.copies.has_operation(row) {
            self.enqueue(row, prio::USELESS);
        }
    }

    /// Step 2: what can be put right without a command. True if nothing more is to be done.
    fn mend(
        &mut self,
        log: &mut dyn Log,
        row: u32,
        info: &ChunkInfo,
        tally: &Tally,
        goal: usize,
    ) -> bool {
        if info.refs == 0 || tally.usable() > 0 {
            return false;
        }
        // Only with everything known: a server that is away may have the version that the chunk should have.
        if tally.wrong > 0 && self.has_all_data_of(info.id) {
            let near = self
                .wrong_versions(row)
                .max()
                .filter(|version| tally.wrong >= goal && version.abs_diff(info.version) == 1);
            if let Some(version) = near.or_else(|| self.unharmed_version(row, info)) {
                tracing::warn!(
                    chunk = info.id,
                    from = info.version,
                    to = version,
                    "an older or newer version of a chunk is taken over: no copy of the present one is left"
                );
                self.unfinished.burn(info.id, info.version);
                self.adopt(log, row, info, version);
                self.waiting.wake(row);
                self.queue_check(log, row, true);
                return true;
            }
        }
        if self.unharmed_version(row, info).is_some() {
            self.strand(row);
        }
        // Copies that are wrong or damaged may be all that is left of the data: a person decides.
        tracing::debug!(
            chunk = info.id,
            wrong = tally.wrong,
            invalid = tally.invalid,
            "chunk without a usable copy"
        );
        true
    }

    /// Step 3: copies with a wrong version, damaged ones, and, in a scan, those whose deletion failed; only if the chunk
    /// is free (`durable`). True if some are left.
    fn delete_useless(
        &mut self,
        log: &mut dyn Log,
        row: u32,
        info: &ChunkInfo,
        locked: bool,
        copies: &CopyList,
        visit: Visit,
    ) -> bool {
        let operation = self.operations.get(&row).map(|op| op.kind);
        let quiet = operation.is_none_or(|kind| kind == OpKind::Replicate);
        let others = copies.iter().any(|c| c.state.is_valid());
        let unused = info.refs == 0 && !locked && !self.is_held(info.id, log.now());
        // While an operation runs, a copy that has not done it may be the only good one in the end.
        if !quiet || !(others || unused) {
            return false;
        }
        let free = self.is_free(log, row);
        let mut left = false;
        for copy in copies {
            let useless = match copy.state {
                CopyState::Wrong | CopyState::TdWrong => {
                    !self.is_from_the_future(log, row, copy.server, info)
                }
                CopyState::Invalid => true,
                CopyState::Deleting => visit == Visit::Scan,
                _ => false,
            };
            if useless && !self.deletions.contains(&(row, copy.server)) {
                if !free {
                    return true;
                }
                let deletion = self.delete(log, row, info, copy.server, 0, visit);
                deletion.count(&mut self.jobs.delete_invalid);
                left |= !deletion.is_sent();
            }
        }
        left
    }

    /// A copy with a greater version than the master has ever given comes from metadata that is newer than ours: it
    /// is kept as long as an unknown chunk.
    fn is_from_the_future(&self, log: &dyn Log, row: u32, server: u16, info: &ChunkInfo) -> bool {
        let version = self.copies.wrong_version(row, server);
        let given = self.unfinished.burned(info.id);
        version > info.version.max(given)
            && log.now() <= self.started.saturating_add(UNKNOWN_CHUNK_LIFE)
    }

    /// Step 4: a replication that takes too long holds its chunk no longer.
    fn abandon_replication(&mut self, row: u32, now: u32) {
        let late = self
            .operations
            .get(&row)
            .is_some_and(|op| op.kind == OpKind::Replicate && op.deadline < now);
        if late {
            for server in self.servers_with(row, CopyState::is_busy) {
                self.copies.set(row, server, CopyState::Invalid);
            }
            self.end_operation(row);
            self.copies.set_needs_increase(row, true);
            self.waiting.wake(row);
        }
    }

    /// Step 6: a chunk that no file names; only if it is free (`durable`). True if something is left.
    fn delete_unused(
        &mut self,
        log: &mut dyn Log,
        row: u32,
        info: &ChunkInfo,
        visit: Visit,
    ) -> bool {
        let free = self.is_free(log, row);
        let mut left = false;
        for server in self.servers_with(row, CopyState::is_valid) {
            if !free {
                return true;
            }
            let deletion = self.delete(log, row, info, server, info.version, visit);
            deletion.count(&mut self.jobs.delete_unused);
            left |= !deletion.is_sent();
        }
        left
    }

    /// Sends DELETE if the server has not too many of them.
    fn delete(
        &mut self,
        log: &mut dyn Log,
        row: u32,
        info: &ChunkInfo,
        slot: u16,
        version: u32,
        visit: Visit,
    ) -> Deletion {
        let limit = self.delete_limit.current as u32;
        let Some(server) = self.servers.get_mut(slot) else {
            return Deletion::Waits;
        };
        if server.deletes >= limit {
            // A queue tries again each tick; what a loop holds back is counted once.
            if visit == Visit::Queue {
                return Deletion::Waits;
            }
            self.delete_limit.held += 1;
            return Deletion::Held;
        }
        server.deletes += 1;
        self.delete_limit.done += 1;
        self.deletions.insert((row, slot));
        self.copies.set(row, slot, CopyState::Deleting);
        self.copies.set_needs_increase(row, true);
        let chunk = info.id;
        self.counters.delete_tried();
        self.command(log, slot, Command::Delete { chunk, version });
        Deletion::Sent
    }

    /// Steps 8 to 12: as many copies as wanted, where they are wanted.
    fn reach_goal(&mut self, log: &mut dyn Log, row: u32, info: &ChunkInfo, visit: Visit) {
        // The definition is small, and the metadata is needed for writing below.
        let class = class::in_charge(log.meta(), row);
        let Some(wanted) = class::wanted(log.meta(), class, info.archived) else {
            return;
        };
        let (entries, mode) = (wanted.entries.to_vec(), wanted.mode);
        let wanted = Wanted {
            entries: &entries,
            mode,
        };
        let goal = wanted.goal();
        let copies = self.copies.list(row);
        let tally: Tally = copies.iter().copied().collect();
        if !tally.any_valid() {
            return;
        }
        if tally.valid > goal {
            self.delete_overgoal(log, row, info, &wanted, &copies, visit);
            return;
        }
        if visit == Visit::Scan && self.make_room(log, row, info, &copies, &tally, goal) {
            return;
        }
        let wrong_labels = tally.valid >= goal && self.has_wrong_labels(&wanted, &copies);
        if tally.valid < goal || wrong_labels {
            if self.servers.only_maintained_absent() {
                if tally.valid < goal {
                    self.strand(row);
                }
                return;
            }
            let Some(priority) = queues::priority(&tally, goal, wrong_labels) else {
                return;
            };
            let attempt = if visit == Visit::Scan && self.queues.any_before(priority) {
                Attempt::Wait
            } else {
                self.replicate(log, row, info, &wanted, &copies, priority)
            };
            let count = if priority == prio::WRONG_LABELS {
                &mut self.jobs.copy_wrong_labels
            } else {
                &mut self.jobs.copy_undergoal
            };
            match attempt {
                Attempt::Started => {
                    count.count(true);
                    return;
                }
                Attempt::Wait => {
                    count.count(false);
                    self.enqueue(row, priority);
                    return;
                }
                Attempt::Impossible => {
                    count.count(false);
                    if wrong_labels {
                        self.jobs.labels_dont_match += 1;
                    } else {
                        self.strand(row);
                    }
                }
            }
        }
        let urgent = self.queues.any_before(prio::OVERGOAL) && !self.servers.any_almost_full();
        if visit == Visit::Scan && !urgent && tally.valid == goal {
            self.rebalance(log, row, info, &wanted, &copies);
        }
    }

    /// Step 8: more copies than wanted; those on the fullest servers go.
    fn delete_overgoal(
        &mut self,
        log: &mut dyn Log,
        row: u32,
        info: &ChunkInfo,
        wanted: &Wanted<'_>,
        copies: &CopyList,
        visit: Visit,
    ) {
        let valid = copies.iter().filter(|c| c.state == CopyState::Valid);
        let mut surplus = valid.clone().count().saturating_sub(wanted.goal());
        let mut servers: SmallVec<[(f64, u16); 8]> = valid
            .filter_map(|c| self.servers.get(c.server).map(|s| (c.server, s)))
            .filter(|(_, s)| s.is_fit())
            .map(|(slot, s)| (s.usage(), slot))
            .collect();
        servers.sort_by(|a, b| b.0.total_cmp(&a.0));
        if self.needs_matching(wanted) {
            let candidates: Vec<_> = servers.iter().map(|s| self.candidate(s.1)).collect();
            let m = labels::matching(wanted.entries, &candidates);
            let mut at = 0;
            servers.retain(|_| {
                at += 1;
                m.entry[at - 1].is_none()
            });
        }
        for (_, slot) in servers {
            if surplus == 0 {
                break;
            }
            let deletion = self.delete(log, row, info, slot, 0, visit);
            deletion.count(&mut self.jobs.delete_overgoal);
            if !deletion.is_sent() {
                self.enqueue(row, prio::OVERGOAL);
                break;
            }
            surplus -= 1;
        }
    }

    /// Step 9: every server has a copy, one of them on a disk marked for removal: it goes, so that a good one can come
    /// there.
    fn make_room(
        &mut self,
        log: &mut dyn Log,
        row: u32,
        info: &ChunkInfo,
        copies: &CopyList,
        tally: &Tally,
        goal: usize,
    ) -> bool {
        let needed = tally.valid < goal && tally.td_valid > 0 && tally.valid + tally.td_valid > 1;
        if !needed || self.queues.any_before(prio::MARKED) {
            return false;
        }
        let with_room: SmallVec<[u16; 8]> = copies
            .iter()
            .filter(|c| c.state == CopyState::TdValid)
            .filter(|c| {
                self.servers
                    .get(c.server)
                    .is_some_and(|s| s.is_countable() && !s.is_almost_full())
            })
            .map(|c| c.server)
            .collect();
        if tally.valid + with_room.len() < self.servers.countable() {
            return false;
        }
        let Some(&slot) = with_room.first() else {
            return false;
        };
        let deletion = self.delete(log, row, info, slot, 0, Visit::Scan);
        deletion.count(&mut self.jobs.delete_marked);
        true
    }
}
