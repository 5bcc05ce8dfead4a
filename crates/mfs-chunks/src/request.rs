//! Requests of clients: read, write, truncate, the end of a write, and those that wait (spec 05 §8, §10).

use std::collections::VecDeque;

use mfs_meta::op::{Op, Outcome};
use mfs_meta::{CHUNK_BITS, CHUNK_SIZE, ChunkInfo, MAX_INDEX, Metadata, Status};

use crate::class;
use crate::copy::CopyState;
use crate::effect::{Action, Grant, Log, RequestId};
use crate::operation::{OpKind, Start};
use crate::queues::prio;
use crate::session::User;
use crate::state::{Chunks, Map};

/// Seconds after which a request that waits for a chunk is answered (spec 05 §10.2).
const PATIENCE: u32 = 30;

/// A request to read a chunk (spec 04 §7.7). Rights are tested by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// Its number.
    pub request: RequestId,
    /// File.
    pub inode: u32,
    /// Chunk index in the file.
    pub index: u32,
    /// Who asks, for the order of the copies.
    pub client_ip: u32,
    /// Session of the one who asks.
    pub session: u32,
}

/// A request to write to a chunk. Rights and quotas are tested by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteRequest {
    /// Its number.
    pub request: RequestId,
    /// File.
    pub inode: u32,
    /// Chunk index in the file.
    pub index: u32,
    /// Who asks, for the choice and the order of the copies.
    pub client_ip: u32,
    /// Session of the one who asks.
    pub session: u32,
    /// The client still holds the lock.
    pub continues: bool,
    /// mtime and ctime change.
    pub canmod: bool,
    /// The reserve of space may be used.
    pub use_reserve: bool,
}

/// A request to set the length of a file where [`truncates_chunk`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TruncateRequest {
    /// Its number.
    pub request: RequestId,
    /// File.
    pub inode: u32,
    /// New length.
    pub length: u64,
    /// Who asks, for the order of the copies.
    pub client_ip: u32,
    /// Session of the one who asks.
    pub session: u32,
    /// mtime and ctime change.
    pub canmod: bool,
}

/// Whether chunkservers have to do something before a file gets this length: the new end lies inside a chunk that
/// exists (spec 05 §8.3).
#[must_use]
pub fn truncates_chunk(meta: &Metadata, inode: u32, length: u64) -> bool {
    let Ok(index) = u32::try_from(length >> CHUNK_BITS) else {
        return false;
    };
    !length.is_multiple_of(CHUNK_SIZE) && meta.node(inode).is_some_and(|n| n.chunk(index) != 0)
}

/// How a request went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Answer it now.
    Now(Grant),
    /// It ends by [`Action::Finished`], or comes back from [`Chunks::resume`] to be executed again.
    Later,
}

/// What a request wants to do with the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Write,
    Truncate { length: u64, canmod: bool },
}

/// Who waits for an operation, and what to undo if it fails.
pub(crate) struct Waiter {
    /// `None` when the client is gone.
    pub(crate) request: Option<RequestId>,
    pub(crate) inode: u32,
    pub(crate) index: u32,
    /// Chunk that the slot had before, 0 = none.
    pub(crate) previous: u64,
    pub(crate) client_ip: u32,
    pub(crate) purpose: Purpose,
}

struct Parked {
    request: RequestId,
    status: Status,
    since: u32,
}

/// The requests that wait for one chunk, in order of arrival.
#[derive(Default)]
struct Line {
    requests: VecDeque<Parked>,
    /// They may go on: the row is in [`Waiting::awake`]. That may also have rows of which this is not true any more.
    awake: bool,
}

/// Requests that wait for a chunk to be unlocked.
#[derive(Default)]
pub(crate) struct Waiting {
    by_row: Map<u32, Line>,
    row_of: Map<RequestId, u32>,
    /// Rows whose requests may go on.
    awake: VecDeque<u32>,
    /// The request that is being executed again, and when it arrived.
    resumed: Option<(RequestId, u32)>,
}

impl Waiting {
    fn park(&mut self, row: u32, request: RequestId, status: Status, now: u32) {
        let line = self.by_row.entry(row).or_default();
        match self.resumed.take() {
            Some((resumed, since)) if resumed == request => {
                line.requests.push_front(Parked {
                    request,
                    status,
                    since,
                });
                line.awake = false;
            }
            other => {
                self.resumed = other;
                line.requests.push_back(Parked {
                    request,
                    status,
                    since: now,
                });
            }
        }
        self.row_of.insert(request, row);
    }

    /// The requests of a row may go on.
    pub(crate) fn wake(&mut self, row: u32) {
        if let Some(line) = self.by_row.get_mut(&row)
            && !line.awake
        {
            line.awake = true;
            self.awake.push_back(row);
        }
    }

    /// The first row whose requests may go on.
    fn first_awake(&mut self) -> Option<u32> {
        while let Some(&row) = self.awake.front() {
            if self.by_row.get(&row).is_some_and(|line| line.awake) {
                return Some(row);
            }
            self.awake.pop_front();
        }
        None
    }

    /// The requests of a row may not go on yet.
    fn put_to_sleep(&mut self, row: u32) {
        if let Some(line) = self.by_row.get_mut(&row) {
            line.awake = false;
        }
    }

    fn take(&mut self, row: u32) -> Option<Parked> {
        let line = self.by_row.get_mut(&row)?;
        let parked = line.requests.pop_front();
        if line.requests.is_empty() {
            self.by_row.remove(&row);
        }
        if let Some(p) = &parked {
            self.row_of.remove(&p.request);
        }
        parked
    }

    fn remove(&mut self, request: RequestId) -> bool {
        let Some(row) = self.row_of.remove(&request) else {
            return false;
        };
        if let Some(line) = self.by_row.get_mut(&row) {
            line.requests.retain(|p| p.request != request);
            if line.requests.is_empty() {
                self.by_row.remove(&row);
            }
        }
        true
    }
}

/// A chunk that an existing slot names, fit for an operation.
struct Ready {
    row: u32,
    info: ChunkInfo,
}

impl Chunks {
    /// The chunk of a slot, unless it is locked or busy: then the request waits.
    fn ready(
        &mut self,
        log: &mut dyn Log,
        chunk: u64,
        request: RequestId,
        by: User,
        continues: bool,
        reading: bool,
    ) -> Result<Option<Ready>, Status> {
        let row = log.meta().chunk_row(chunk).ok_or(Status::NoChunk)?;
        self.settle(log, row);
        let info = log.meta().chunk_in_row(row).ok_or(Status::NoChunk)?;
        let now = log.now();
        let busy = match self.operations.get(&row) {
            // The copies that are there are not changed by it.
            Some(op) if op.kind == OpKind::Replicate => !reading,
            Some(_) => true,
            // Its last file may write to it only when no other may have to get it back.
            None => !reading && info.refs <= 1 && self.unfinished.is_previous(chunk),
        };
        let passes = continues || self.may_pass_lock(log.meta(), row, &info, by);
        let status = if Self::is_locked(&info, now) && !passes {
            Status::Locked
        } else if busy {
            Status::ChunkBusy
        } else {
            return Ok(Some(Ready { row, info }));
        };
        self.waiting.park(row, request, status, now);
        Ok(None)
    }

    /// Where a chunk can be read.
    ///
    /// # Errors
    /// `NoChunk`: the slot names a chunk that does not exist. `ChunkLost`: there is no copy, and none is missing.
    pub fn read(&mut self, log: &mut dyn Log, r: &ReadRequest) -> Result<Reply, Status> {
        let node = log.meta().node(r.inode).ok_or(Status::Enoent)?;
        let chunk = node.chunk(r.index);
        if chunk == 0 {
            return Ok(Reply::Now(Grant::hole()));
        }
        let by = User::new(r.inode, r.session);
        let Some(ready) = self.ready(log, chunk, r.request, by, false, true)? else {
            return Ok(Reply::Later);
        };
        let grant = self.grant(ready.row, &ready.info, r.client_ip);
        if grant.locations.is_empty() && self.has_all_data_of(chunk) {
            return Err(Status::ChunkLost);
        }
        Ok(Reply::Now(grant))
    }

    /// Makes a chunk writable (spec 05 §8.1, §8.2).
    ///
    /// # Errors
    /// The status for the client; nothing has changed then.
    pub fn write(&mut self, log: &mut dyn Log, w: &WriteRequest) -> Result<Reply, Status> {
        let node = log.meta().node(w.inode).ok_or(Status::Enoent)?;
        if w.index > MAX_INDEX {
            return Err(Status::IndexTooBig);
        }
        let (previous, class) = (node.chunk(w.index), node.sclass());
        if !w.use_reserve && self.system_space().available == 0 {
            return Err(Status::NoSpace);
        }
        let waiter = Waiter {
            request: Some(w.request),
            inode: w.inode,
            index: w.index,
            previous,
            client_ip: w.client_ip,
            purpose: Purpose::Write,
        };
        if previous == 0 {
            let servers = self.choose_for_create(log, class, w.client_ip)?;
            let (row, info) = self.write_line(log, w, true)?;
            let start = Start {
                kind: OpKind::Create,
                waiter,
                source: 0,
                source_version: 0,
                length: 0,
            };
            self.start_operation(log, row, &info, &servers, start);
            self.session_begins(row, info.id);
            return Ok(Reply::Later);
        }
        let by = User::new(w.inode, w.session);
        let Some(old) = self.ready(log, previous, w.request, by, w.continues, false)? else {
            return Ok(Reply::Later);
        };
        let servers = self.operable(log, &old)?;
        if !Self::is_locked(&old.info, log.now()) {
            self.session_runs_out(log, old.row);
        }
        if old.info.refs <= 1 && !self.copies.needs_increase(old.row) {
            let (row, info) = self.write_line(log, w, false)?;
            self.contents_change(info.id);
            self.session_begins(row, info.id);
            return Ok(Reply::Now(self.grant(row, &info, w.client_ip)));
        }
        let (row, info) = self.write_line(log, w, true)?;
        let kind = if info.id == previous {
            self.version_goes_up(info.id, old.info.version);
            OpKind::SetVersion
        } else {
            OpKind::Duplicate
        };
        let start = Start {
            kind,
            waiter,
            source: previous,
            source_version: old.info.version,
            length: 0,
        };
        self.start_operation(log, row, &info, &servers, start);
        self.session_begins(row, info.id);
        Ok(Reply::Later)
    }

    /// Sets the length of a file where that cuts a chunk (spec 05 §8.3): where [`truncates_chunk`] holds.
    ///
    /// # Errors
    /// The status for the client; nothing has changed then.
    pub fn truncate(&mut self, log: &mut dyn Log, t: &TruncateRequest) -> Result<Reply, Status> {
        let node = log.meta().node(t.inode).ok_or(Status::Enoent)?;
        let index = u32::try_from(t.length >> CHUNK_BITS).map_err(|_| Status::IndexTooBig)?;
        let cut = (t.length & (CHUNK_SIZE - 1)) as u32;
        let previous = node.chunk(index);
        if previous == 0 || cut == 0 {
            return Err(Status::Einval);
        }
        let by = User::new(t.inode, t.session);
        let Some(old) = self.ready(log, previous, t.request, by, false, false)? else {
            return Ok(Reply::Later);
        };
        let servers = self.operable(log, &old)?;
        let line = Op::Trunc {
            inode: t.inode,
            index,
        };
        let (row, info) = self.begin_line(log, &line, t.inode, index, true)?;
        // Who is stopped half-way may have cut its copy and not raised its version.
        self.contents_change(info.id);
        let start = Start {
            kind: if info.id == previous {
                OpKind::Truncate
            } else {
                OpKind::DupTrunc
            },
            waiter: Waiter {
                request: Some(t.request),
                inode: t.inode,
                index,
                previous,
                client_ip: t.client_ip,
                purpose: Purpose::Truncate {
                    length: t.length,
                    canmod: t.canmod,
                },
            },
            source: previous,
            source_version: old.info.version,
            length: cut,
        };
        self.start_operation(log, row, &info, &servers, start);
        Ok(Reply::Later)
    }

    /// The servers that an operation on an existing chunk goes to (spec 05 §8.2 steps 2 and 5).
    fn operable(&self, log: &dyn Log, old: &Ready) -> Result<Vec<u16>, Status> {
        let class = class::in_charge(log.meta(), old.row);
        let goal = class::wanted(log.meta(), class, old.info.archived).map_or(0, |w| w.goal());
        let tally = self.copies.tally(old.row);
        if self.is_changing(log.now()) && tally.valid < goal {
            return Err(Status::Eagain);
        }
        let servers = self.servers_with(old.row, CopyState::is_valid);
        if servers.is_empty() {
            return Err(if self.has_all_data_of(old.info.id) {
                Status::ChunkLost
            } else {
                Status::CsNotPresent
            });
        }
        Ok(servers.to_vec())
    }

    fn write_line(
        &mut self,
        log: &mut dyn Log,
        w: &WriteRequest,
        opflag: bool,
    ) -> Result<(u32, ChunkInfo), Status> {
        let line = Op::Write {
            inode: w.inode,
            index: w.index,
            opflag,
            canmod: w.canmod,
        };
        self.begin_line(log, &line, w.inode, w.index, opflag)
    }

    /// Applies a `WRITE` or `TRUNC` line; gives the chunk that the slot has then.
    fn begin_line(
        &mut self,
        log: &mut dyn Log,
        line: &Op<'_>,
        inode: u32,
        index: u32,
        operates: bool,
    ) -> Result<(u32, ChunkInfo), Status> {
        let previous = log.meta().node(inode).map_or(0, |n| n.chunk(index));
        let old_version = log.meta().chunk(previous).map_or(0, |c| c.version);
        let Outcome::Chunk(chunk) = log.apply(line)? else {
            return Err(Status::Einval);
        };
        let row = log.meta().chunk_row(chunk).ok_or(Status::NoChunk)?;
        if chunk != previous {
            self.copies.clear(row);
        }
        if operates {
            self.unfinished
                .begin(chunk, inode, index, previous, old_version);
            self.unresolved.remove(&chunk);
        }
        let mut info = log.meta().chunk_in_row(row).ok_or(Status::NoChunk)?;
        if operates && chunk == previous && self.unfinished.burned(chunk) >= info.version {
            // A server that went may have this version with other contents: take one that nobody has.
            let version = self.unfinished.fresh_version(chunk, info.version);
            log.apply(&Op::SetVersion { id: chunk, version })?;
            info.version = version;
        }
        self.recount(log.meta(), row, &info);
        if chunk != previous
            && let Some(old) = log.meta().chunk_row(previous)
            && let Some(info) = log.meta().chunk_in_row(old)
        {
            self.recount(log.meta(), old, &info);
        }
        Ok((row, info))
    }

    /// The end of a write session (spec 05 §10.3). `LENGTH` is the caller's matter and comes first.
    ///
    /// # Errors
    /// `NoChunk`; `ChunkBusy` while the operation that begins the session is under way. Nothing is logged then.
    pub fn unlock(&mut self, log: &mut dyn Log, chunk: u64) -> Result<(), Status> {
        let row = log.meta().chunk_row(chunk).ok_or(Status::NoChunk)?;
        self.settle(log, row);
        let pending = self.operations.get(&row);
        if pending.is_some_and(|op| op.kind != OpKind::Replicate) {
            return Err(Status::ChunkBusy);
        }
        log.apply(&Op::Unlock { chunk })?;
        self.close_entry(log, chunk);
        self.unlocked(log, row);
        Ok(())
    }

    /// What follows when a chunk was unlocked: copies that are missing are made at once, and those who wait go on.
    pub(crate) fn unlocked(&mut self, log: &mut dyn Log, row: u32) {
        self.session_ends(log, row);
        let urgent = self.queue_check(log, row, true)
            && self.copies.queue(row).is_some_and(|q| q < prio::OVERGOAL);
        if urgent && self.may_do_jobs(log.now()) {
            self.run_queued(log, row);
        }
        self.waiting.wake(row);
    }

    /// The next request whose chunk has become free. The driver calls this after whatever it did here, and executes
    /// what it gets from the start, until there is nothing more.
    pub fn resume(&mut self, log: &dyn Log) -> Option<RequestId> {
        self.waiting.resumed = None;
        while let Some(row) = self.waiting.first_awake() {
            let locked = log
                .meta()
                .chunk_in_row(row)
                .is_some_and(|info| Self::is_locked(&info, log.now()));
            let pending = self.operations.get(&row);
            let busy = pending.is_some_and(|op| op.kind != OpKind::Replicate);
            // Whatever else holds a request up is found when it is executed again.
            if !locked
                && !busy
                && let Some(parked) = self.waiting.take(row)
            {
                self.waiting.resumed = Some((parked.request, parked.since));
                return Some(parked.request);
            }
            self.waiting.put_to_sleep(row);
        }
        None
    }

    /// A client is gone: its request waits no longer, and what it began is undone (spec 04 §9).
    pub fn cancel(&mut self, log: &mut dyn Log, request: RequestId) {
        if self.waiting.remove(request) {
            return;
        }
        let Some(row) = self.operation_of.remove(&request) else {
            return;
        };
        let Some(op) = self.operations.get_mut(&row) else {
            return;
        };
        let Some(info) = log.meta().chunk_in_row(row) else {
            return;
        };
        if let Some(waiter) = op.waiter.take_if(|w| w.previous != info.id) {
            // The file has its old chunk again; the new one is deleted when it is done.
            self.roll_back(log, row, &info, &waiter);
        } else if let Some(waiter) = &mut op.waiter {
            // A new version of the same chunk cannot be undone before its end is known.
            waiter.request = None;
        }
    }

    /// What is due each second: locks that ran out, and patience.
    pub(crate) fn waiting_second(&mut self, log: &mut dyn Log) {
        let now = log.now();
        let mut rows: Vec<u32> = self.waiting.by_row.keys().copied().collect();
        rows.sort_unstable();
        for row in rows {
            let late: Vec<(RequestId, Status)> = self
                .waiting
                .by_row
                .get(&row)
                .into_iter()
                .flat_map(|line| &line.requests)
                .filter(|p| now > p.since.saturating_add(PATIENCE))
                .map(|p| (p.request, p.status))
                .collect();
            for (request, status) in late {
                self.waiting.remove(request);
                let result = Err(status);
                self.effect(log, Action::Finished { request, result });
            }
            self.waiting.wake(row);
        }
    }
}
