//! Operations on all copies of a chunk: how they start, what answers do to copies, and how they end, with the
//! emergency version increase and every failure in the middle (spec 05 §8, §9).

use mfs_meta::op::Op;
use mfs_meta::{ChunkInfo, Status};
use smallvec::SmallVec;

use crate::copy::CopyState;
use crate::effect::{Action, Answer, AnswerKind, Command, Done, Log, ServerId};
use crate::request::{Purpose, Waiter};
use crate::state::Chunks;

/// Seconds for which a replication holds its chunk (spec 05 §16.7).
pub(crate) const REPLICATION_TIME: u32 = 120;

/// Kind of an operation; the first five change the chunk for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpKind {
    Create,
    SetVersion,
    Duplicate,
    Truncate,
    DupTrunc,
    Replicate,
}

impl OpKind {
    fn answers(self, kind: AnswerKind) -> bool {
        matches!(
            (self, kind),
            (OpKind::Create, AnswerKind::Create)
                | (OpKind::SetVersion, AnswerKind::SetVersion)
                | (OpKind::Duplicate, AnswerKind::Duplicate)
                | (OpKind::Truncate, AnswerKind::Truncate)
                | (OpKind::DupTrunc, AnswerKind::DupTrunc)
                | (OpKind::Replicate, AnswerKind::Replicate { .. })
        )
    }

    /// It changes copies that exist: a server that has not done it still has the old version.
    fn keeps_old_copies(self) -> bool {
        matches!(self, OpKind::SetVersion | OpKind::Truncate)
    }
}

/// An operation under way. A BUSY copy is one whose server is awaited.
pub(crate) struct Operation {
    pub(crate) kind: OpKind,
    /// Servers whose answers are awaited.
    pub(crate) awaited: SmallVec<[u16; 4]>,
    /// Some copy is not as the others.
    pub(crate) interrupted: bool,
    /// Some server may have done it or not: the version that was sent must not be used for anything else.
    pub(crate) unknown: bool,
    /// Failures that were answered, and those that were for lack of space.
    failed: u32,
    no_space: u32,
    /// Version of the copies before this round.
    old_version: u32,
    /// What the client asked was not done by any copy that is left.
    undone: bool,
    /// Until when a replication holds the chunk.
    pub(crate) deadline: u32,
    /// Who waits for the end.
    pub(crate) waiter: Option<Waiter>,
}

impl Operation {
    pub(crate) fn replicate(destination: u16, now: u32) -> Operation {
        Operation {
            deadline: now.saturating_add(REPLICATION_TIME),
            ..Operation::new(OpKind::Replicate, 0, None, [destination])
        }
    }

    fn new(
        kind: OpKind,
        old_version: u32,
        waiter: Option<Waiter>,
        awaited: impl IntoIterator<Item = u16>,
    ) -> Operation {
        Operation {
            kind,
            awaited: awaited.into_iter().collect(),
            interrupted: false,
            unknown: false,
            failed: 0,
            no_space: 0,
            old_version,
            undone: false,
            deadline: 0,
            waiter,
        }
    }
}

/// An operation to be started.
pub(crate) struct Start {
    pub(crate) kind: OpKind,
    pub(crate) waiter: Waiter,
    /// The chunk to copy, for those that copy.
    pub(crate) source: u64,
    pub(crate) source_version: u32,
    /// Length within the chunk, for those that cut.
    pub(crate) length: u32,
}

impl Chunks {
    pub(crate) fn set_operation(&mut self, row: u32, operation: Operation) {
        if let Some(request) = operation.waiter.as_ref().and_then(|w| w.request) {
            self.operation_of.insert(request, row);
        }
        self.operations.insert(row, operation);
        self.copies.set_has_operation(row, true);
    }

    pub(crate) fn end_operation(&mut self, row: u32) -> Option<Operation> {
        self.copies.set_has_operation(row, false);
        let operation = self.operations.remove(&row)?;
        if let Some(request) = operation.waiter.as_ref().and_then(|w| w.request) {
            self.operation_of.remove(&request);
        }
        Some(operation)
    }

    /// Sends an operation to the servers given: their copies become BUSY.
    pub(crate) fn start_operation(
        &mut self,
        log: &mut dyn Log,
        row: u32,
        info: &ChunkInfo,
        servers: &[u16],
        start: Start,
    ) {
        let Start {
            kind,
            waiter,
            source,
            source_version,
            length,
        } = start;
        let (chunk, version) = (info.id, info.version);
        self.copies.doubt(row);
        for &slot in servers {
            let marked = self
                .copies
                .find(row, slot)
                .is_some_and(CopyState::is_marked);
            self.copies.set(row, slot, CopyState::Busy.marked(marked));
            let command = match kind {
                OpKind::Create => Command::Create { chunk, version },
                OpKind::Duplicate => Command::Duplicate {
                    chunk,
                    version,
                    source,
                    source_version,
                },
                OpKind::DupTrunc => Command::DupTrunc {
                    chunk,
                    version,
                    source,
                    source_version,
                    length,
                },
                OpKind::Truncate => Command::Truncate {
                    chunk,
                    length,
                    version,
                    old_version: source_version,
                },
                OpKind::SetVersion | OpKind::Replicate => Command::SetVersion {
                    chunk,
                    version,
                    old_version: source_version,
                },
            };
            self.counters.tried(kind);
            self.command(log, slot, command);
        }
        let operation = Operation::new(kind, source_version, Some(waiter), servers.iter().copied());
        self.set_operation(row, operation);
    }

    /// An answer of a chunkserver (spec 05 §9).
    pub fn answer(&mut self, log: &mut dyn Log, server: ServerId, answer: &Answer) {
        let Some(slot) = self.servers.slot(server) else {
            return;
        };
        tracing::trace!(csid = self.servers.csid(slot), ?answer, "answer");
        let Some(row) = log.meta().chunk_row(answer.chunk) else {
            return;
        };
        self.settle(log, row);
        match answer.kind {
            AnswerKind::Delete => self.delete_answer(log, row, slot, answer.status),
            AnswerKind::Replicate { version } => {
                self.replicate_answer(log, row, slot, version, answer.status);
            }
            kind => self.operation_answer(log, row, slot, kind, answer),
        }
    }

    fn operation_answer(
        &mut self,
        log: &mut dyn Log,
        row: u32,
        slot: u16,
        kind: AnswerKind,
        answer: &Answer,
    ) {
        let state = self.copies.find(row, slot);
        let (Some(op), Some(state)) = (self.operations.get_mut(&row), state) else {
            return;
        };
        if !op.kind.answers(kind) || !op.awaited.contains(&slot) || !state.is_busy() {
            tracing::debug!(chunk = answer.chunk, ?kind, "answer that nobody waits for");
            return;
        }
        op.awaited.retain(|s| *s != slot);
        self.counters.ended(op.kind, answer.status == 0);
        if answer.status == 0 {
            self.copies.set(row, slot, state.settled());
        } else {
            op.interrupted = true;
            op.failed += 1;
            op.no_space += u32::from(answer.status == Status::NoSpace.code());
            if answer.status != Status::NotDone.code() {
                op.unknown = true;
                self.copies.set(row, slot, CopyState::Invalid);
            } else if op.kind.keeps_old_copies() {
                let old = op.old_version;
                self.copies.set_wrong(row, slot, old, state.is_marked());
            } else {
                self.copies.remove(row, slot);
            }
            self.copies.set_needs_increase(row, true);
        }
        self.conclude_if_over(log, row);
    }

    /// Ends an operation when no server is awaited any more (spec 05 §9.2, §9.4).
    pub(crate) fn conclude_if_over(&mut self, log: &mut dyn Log, row: u32) {
        let Some(op) = self.operations.get(&row) else {
            return;
        };
        let Some(info) = log.meta().chunk_in_row(row) else {
            return;
        };
        let tally = self.copies.tally(row);
        if !op.awaited.is_empty() {
            return;
        }
        if op.kind == OpKind::Replicate {
            self.end_operation(row);
            self.queue_check(log, row, true);
            self.waiting.wake(row);
        } else if tally.any_valid() {
            if op.interrupted {
                let servers = self.servers_with(row, CopyState::is_valid);
                self.raise_version(log, row, &info, info.version, &servers);
            } else if op.undone {
                self.fail(log, row, &info, Status::NotDone);
            } else {
                self.succeed(log, row, &info);
            }
        } else {
            self.no_copy_left(log, row, &info);
        }
    }

    /// Servers of the copies in such a state.
    pub(crate) fn servers_with(
        &self,
        row: u32,
        state: impl Fn(CopyState) -> bool,
    ) -> SmallVec<[u16; 8]> {
        self.copies
            .list(row)
            .iter()
            .filter(|c| state(c.state))
            .map(|c| c.server)
            .collect()
    }

    /// The versions of the copies that have a wrong one.
    pub(crate) fn wrong_versions(&self, row: u32) -> impl Iterator<Item = u32> + '_ {
        self.servers_with(row, CopyState::is_wrong)
            .into_iter()
            .map(move |server| self.copies.wrong_version(row, server))
    }

    /// Nothing has the version that was sent. Servers that have done nothing still have the one before.
    fn no_copy_left(&mut self, log: &mut dyn Log, row: u32, info: &ChunkInfo) {
        let Some(op) = self.operations.get(&row) else {
            return;
        };
        let old = op.old_version;
        let status = if op.failed > 0 && op.failed == op.no_space {
            Status::NoSpace
        } else {
            Status::NotDone
        };
        let (keeps, unknown, first) = (op.kind.keeps_old_copies(), op.unknown, !op.undone);
        let unchanged: SmallVec<[u16; 8]> = if keeps {
            self.servers_with(row, CopyState::is_wrong)
                .into_iter()
                .filter(|&s| self.copies.wrong_version(row, s) == old)
                .collect()
        } else {
            SmallVec::new()
        };
        if !unchanged.is_empty() && unknown && first {
            // Going back would use this version again, for other contents, while a server that went may have it.
            if let Some(op) = self.operations.get_mut(&row) {
                op.undone = true;
            }
            self.raise_version(log, row, info, old, &unchanged);
            return;
        }
        if !unchanged.is_empty() {
            if unknown || !first {
                self.unfinished.burn(info.id, info.version);
            }
            self.adopt(log, row, info, old);
        }
        self.fail(log, row, info, status);
    }

    /// Makes a version that copies have the version of the chunk, with a line.
    pub(crate) fn adopt(&mut self, log: &mut dyn Log, row: u32, info: &ChunkInfo, version: u32) {
        let op = Op::SetVersion {
            id: info.id,
            version,
        };
        if log.apply(&op).is_err() {
            return;
        }
        self.version_changes(info, version);
        self.copies.doubt(row);
        for copy in self.copies.list(row) {
            if copy.state.is_wrong() {
                if self.copies.wrong_version(row, copy.server) == version {
                    let state = CopyState::Valid.marked(copy.state.is_marked());
                    self.copies.set(row, copy.server, state);
                }
            } else if copy.state.is_valid() && version != info.version {
                self.copies
                    .set_wrong(row, copy.server, info.version, copy.state.is_marked());
            }
        }
        self.copies.set_needs_increase(row, true);
    }

    /// Emergency version increase (spec 05 §9.2): the copies on `servers`, which have version `old`, get one that
    /// nobody else can have.
    fn raise_version(
        &mut self,
        log: &mut dyn Log,
        row: u32,
        info: &ChunkInfo,
        old: u32,
        servers: &[u16],
    ) {
        let version = self.unfinished.fresh_version(info.id, info.version);
        let op = Op::SetVersion {
            id: info.id,
            version,
        };
        if log.apply(&op).is_err() {
            return;
        }
        self.copies.doubt(row);
        for &slot in servers {
            let marked = self
                .copies
                .find(row, slot)
                .is_some_and(CopyState::is_marked);
            self.copies.set(row, slot, CopyState::Busy.marked(marked));
            self.counters.tried(OpKind::SetVersion);
            let command = Command::SetVersion {
                chunk: info.id,
                version,
                old_version: old,
            };
            self.command(log, slot, command);
        }
        if let Some(op) = self.operations.get_mut(&row) {
            *op = Operation {
                undone: op.undone,
                ..Operation::new(
                    OpKind::SetVersion,
                    old,
                    op.waiter.take(),
                    servers.iter().copied(),
                )
            };
        }
    }

    fn succeed(&mut self, log: &mut dyn Log, row: u32, info: &ChunkInfo) {
        let Some(op) = self.end_operation(row) else {
            return;
        };
        self.copies.set_needs_increase(row, false);
        self.close_entry(log, info.id);
        match op.waiter {
            Some(waiter) => self.finish_waiter(log, row, info, &waiter),
            None if info.locked_to == 0 => self.unlocked(log, row),
            None => {}
        }
    }

    fn finish_waiter(&mut self, log: &mut dyn Log, row: u32, info: &ChunkInfo, waiter: &Waiter) {
        if waiter.purpose == Purpose::Write && waiter.request.is_none() {
            // Nobody is there to write and to unlock.
            self.roll_back(log, row, info, waiter);
            return;
        }
        self.contents_change(info.id);
        let result = match waiter.purpose {
            Purpose::Write => Ok(Done::Write(self.grant(row, info, waiter.client_ip))),
            Purpose::Truncate { length, canmod } => {
                // A chunk that is locked exists.
                let _ = log.apply(&Op::Unlock { chunk: info.id });
                let set = Op::Length {
                    inode: waiter.inode,
                    length,
                    canmod,
                };
                let result = log.apply(&set).map(|_| Done::Truncate {
                    grant: self.grant(row, info, waiter.client_ip),
                });
                self.unlocked(log, row);
                result
            }
        };
        self.finished(log, waiter, result);
    }

    fn finished(&mut self, log: &dyn Log, waiter: &Waiter, result: Result<Done, Status>) {
        if let Some(request) = waiter.request {
            self.effect(log, Action::Finished { request, result });
        }
    }

    fn fail(&mut self, log: &mut dyn Log, row: u32, info: &ChunkInfo, status: Status) {
        let Some(op) = self.end_operation(row) else {
            return;
        };
        match op.waiter {
            Some(waiter) => {
                self.roll_back(log, row, info, &waiter);
                self.finished(log, &waiter, Err(status));
            }
            None => {
                if !self.undo_shared(log, row, info.id) {
                    self.close_entry(log, info.id);
                }
                self.unlocked(log, row);
            }
        }
    }

    /// Undoes what a request did to its file (spec 05 §9.3), if the file has not changed meanwhile.
    pub(crate) fn roll_back(
        &mut self,
        log: &mut dyn Log,
        row: u32,
        info: &ChunkInfo,
        waiter: &Waiter,
    ) {
        roll_back_line(log, waiter.inode, waiter.index, waiter.previous, info.id);
        if waiter.previous == info.id && self.copies.tally(row).usable() == 0 {
            // Nobody was ever told the new version: the old one may come back with a server.
            self.unresolved.insert(info.id);
        } else if waiter.previous != info.id && self.copies.has_operation(row) {
            // The client is gone, the operation goes on: files that share the chunk depend on its end.
        } else if !self.undo_shared(log, row, info.id) {
            self.close_entry(log, info.id);
        }
        if let Some(info) = log.meta().chunk_in_row(row) {
            self.recount(log.meta(), row, &info);
        }
        if waiter.previous != info.id && waiter.previous != 0 {
            self.chunk_changed(log, waiter.previous);
        }
        self.unlocked(log, row);
    }

    /// A DELETE was answered (spec 05 §9.5).
    fn delete_answer(&mut self, log: &mut dyn Log, row: u32, slot: u16, status: u8) {
        if !self.deletions.remove(&(row, slot)) {
            return;
        }
        if let Some(server) = self.servers.get_mut(slot) {
            server.deletes = server.deletes.saturating_sub(1);
        }
        let done = status == 0 || status == Status::NoChunk.code();
        self.counters.deleted(done);
        if !done {
            return;
        }
        match self.copies.find(row, slot) {
            Some(CopyState::Deleting) => {
                self.copies.remove(row, slot);
                self.copies.set_needs_increase(row, true);
            }
            // It was reported again meanwhile: before or after the deletion, nobody knows.
            Some(state) if status == 0 && !state.is_busy() => {
                self.copies.set(row, slot, CopyState::Invalid);
            }
            _ => {}
        }
        self.queue_check(log, row, true);
        self.drop_record(log, row);
    }
}

/// Writes the line that gives a slot its previous chunk again and unlocks the new one; only the unlocking when the
/// slot has got another chunk meanwhile, for then there is nothing to undo.
pub(crate) fn roll_back_line(log: &mut dyn Log, inode: u32, index: u32, previous: u64, chunk: u64) {
    let in_slot = log.meta().node(inode).map_or(0, |n| n.chunk(index));
    let previous_exists = previous == 0 || log.meta().chunk_row(previous).is_some();
    let rolled_back = in_slot == chunk
        && previous_exists
        && log
            .apply(&Op::Rollback {
                inode,
                index,
                prev: previous,
                chunk,
            })
            .is_ok();
    if !rolled_back && log.meta().chunk_row(chunk).is_some() {
        // The chunk exists.
        let _ = log.apply(&Op::Unlock { chunk });
    }
}
