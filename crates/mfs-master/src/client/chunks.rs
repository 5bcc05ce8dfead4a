//! READ_CHUNK, WRITE_CHUNK, WRITE_CHUNK_END (spec 04 §7.7).

use std::cell::Cell;

use mfs_chunks::{Grant, ReadRequest, Reply as ChunkReplied, RequestId, WriteRequest};
use mfs_config::AccessTimeMode;
use mfs_meta::op::Op;
use mfs_meta::{CHUNK_SIZE, MAX_INDEX, Metadata, NodeInfo, Status, TreeStats, eattr};
use mfs_proto::Version;
use mfs_proto::client::attr::ChunkZero;
use mfs_proto::client::data::{ChunkHasChanged, ChunkReply, ChunkRequest, WriteChunkEnd, chunkop};
use mfs_proto::client::{Location, Reply};
use mfs_proto::register::disables;
use mfs_proto::wire::List;
use smallvec::SmallVec;

use super::asker::Asker;
use super::length::LENGTH_MAX;
use super::waiting::{self, Call, Progress};
use super::{Done, notify, operation, rights, upkeep};
use crate::context::Ctx;
use crate::master::{State, Txn};

/// Copies in the form of the answers.
struct Locations(SmallVec<[Location; 4]>);

impl Locations {
    fn of(grant: &Grant) -> Locations {
        let shown = grant.locations.iter().map(|l| Location {
            ip: l.ip,
            port: l.port,
            version: Version(l.version),
            labels: l.labels,
        });
        Locations(shown.collect())
    }

    fn list(&self) -> List<'_, Location> {
        List::from(&self.0[..])
    }
}

/// A number that is another one each time, to spread the readers of a chunk over its copies.
fn random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(getrandom::u64().unwrap_or_default());
    }
    STATE.with(|state| {
        let next = state.get().wrapping_add(1);
        state.set(next);
        next
    })
}

/// What may be read of a slot, as long as nobody writes there.
fn shared_grant(
    state: &State,
    node: &NodeInfo<'_>,
    index: u32,
    now: u32,
    ip: u32,
) -> Option<Result<Grant, Status>> {
    let chunk = node.chunk(index);
    state
        .chunks
        .machine
        .read_shared(&state.meta, now, chunk, ip, random())
}

/// Gives `tell` the data of the only chunk of a file for the answer to LOOKUP; none if that is not so, or cannot be
/// read at once (spec 04 §7.3).
pub(super) fn with_chunk_zero<T>(
    state: &State,
    node: &NodeInfo<'_>,
    now: u32,
    ip: u32,
    tell: impl FnOnce(Option<ChunkZero<'_>>) -> T,
) -> T {
    let grant = (node.slots() == 1)
        .then(|| shared_grant(state, node, 0, now, ip))
        .flatten();
    let Some(Ok(grant)) = grant else {
        return tell(None);
    };
    tell(Some(ChunkZero {
        chunkid: grant.chunk,
        version: grant.version,
        locations: Locations::of(&grant).list(),
    }))
}

/// READ_CHUNK 432.
pub(super) fn read(ctx: &Ctx<'_>, r: &ChunkRequest, out: &mut Vec<u8>) -> Result<Done, Status> {
    let asker = Asker::of(ctx);
    let read = {
        let state = ctx.read();
        let node = readable(&state.meta, &asker, r)?;
        match shared_grant(&state, &node, r.index, ctx.now, asker.ip).transpose()? {
            Some(grant) => {
                state.live.cache.access(node.inode, asker.session.id);
                reply_read(&asker, r, &node, &grant, out);
                Some(node.inode)
            }
            None => None,
        }
    };
    let sets_times = may_set_times(asker.version, r.flags);
    let Some(inode) = read else {
        let atime = sets_times.then(|| ctx.master.config().atime_mode);
        return waiting::run(ctx, Call::Read(*r, atime), out);
    };
    if sets_times {
        upkeep::touch_atime(ctx, inode);
    }
    Ok(Done::Answered)
}

/// The file, if the request may read there.
fn readable<'m>(
    meta: &'m Metadata,
    asker: &Asker<'_>,
    r: &ChunkRequest,
) -> Result<NodeInfo<'m>, Status> {
    rights::enabled(asker.params, disables::READ)?;
    let node = rights::find_opened(meta, asker.params.root_inode, r.inode)?;
    rights::need_file(&node)?;
    if r.index > MAX_INDEX {
        return Err(Status::IndexTooBig);
    }
    Ok(node)
}

fn reply_read(
    asker: &Asker<'_>,
    r: &ChunkRequest,
    node: &NodeInfo<'_>,
    grant: &Grant,
    out: &mut Vec<u8>,
) {
    asker.session.counters.count(operation::READ);
    Reply::ReadChunk(ChunkReply {
        length: node.length(),
        chunkid: grant.chunk,
        version: grant.version,
        locations: Locations::of(grant).list(),
    })
    .encode(r.mid, asker.version, out);
}

/// READ_CHUNK where somebody writes.
pub(super) fn execute_read(
    txn: &mut Txn<'_>,
    asker: &Asker<'_>,
    id: RequestId,
    r: &ChunkRequest,
    atime: Option<AccessTimeMode>,
    out: &mut Vec<u8>,
) -> Result<Progress, Status> {
    let node = readable(txn.meta(), asker, r)?;
    let (inode, length) = (node.inode, node.length());
    let request = ReadRequest {
        request: id,
        inode,
        index: r.index,
        client_ip: asker.ip,
        session: asker.session.id,
    };
    let reply = txn.with_chunks_unsettled(|chunks, log| chunks.read(log, &request))?;
    let ChunkReplied::Now(grant) = reply else {
        return Ok(Progress::Waits { length });
    };
    txn.live().cache.access(inode, asker.session.id);
    let node = txn.meta().node(inode).ok_or(Status::Enoent)?;
    reply_read(asker, r, &node, &grant, out);
    if let Some(mode) = atime {
        upkeep::touch_atime_in(txn, mode, inode);
    }
    Ok(Progress::Answered)
}

/// Clients before 3.0.74 leave the times to the master, unless they say otherwise.
fn may_set_times(version: Version, flags: u8) -> bool {
    !version.gets_chunk_has_changed() && flags & chunkop::CANMODTIME != 0
}

/// WRITE_CHUNK 434.
pub(super) fn write(ctx: &Ctx<'_>, r: &ChunkRequest, out: &mut Vec<u8>) -> Result<Done, Status> {
    waiting::run(ctx, Call::Write(*r), out)
}

/// WRITE_CHUNK up to the point where it is granted, or waits.
pub(super) fn execute_write(
    txn: &mut Txn<'_>,
    asker: &Asker<'_>,
    id: RequestId,
    r: &ChunkRequest,
    out: &mut Vec<u8>,
) -> Result<Progress, Status> {
    rights::enabled(asker.params, disables::WRITE)?;
    asker.writable()?;
    let use_reserve = r.flags & chunkop::CANUSERESERVESPACE != 0;
    if !use_reserve && txn.chunk_state().machine.system_space().available == 0 {
        return Err(Status::NoSpace);
    }
    let meta = txn.meta();
    let node = rights::find_opened(meta, asker.params.root_inode, r.inode)?;
    rights::need_file(&node)?;
    rights::lacks(&node, eattr::IMMUTABLE)?;
    if r.index > MAX_INDEX {
        return Err(Status::IndexTooBig);
    }
    if !meta.quota_allows_growth(node.inode, &write_growth(meta, &node, r.index)) {
        return Err(Status::Quota);
    }
    let length = node.length();
    let request = WriteRequest {
        request: id,
        inode: node.inode,
        index: r.index,
        client_ip: asker.ip,
        session: asker.session.id,
        continues: r.flags & chunkop::CONTINUEOP != 0,
        canmod: may_set_times(asker.version, r.flags),
        use_reserve,
    };
    match txn.with_chunks_unsettled(|chunks, log| chunks.write(log, &request))? {
        ChunkReplied::Later => Ok(Progress::Waits { length }),
        ChunkReplied::Now(grant) => {
            granted(txn, asker, r, &grant, out)?;
            Ok(Progress::Answered)
        }
    }
}

/// A chunk can be written: what follows, and the answer.
pub(super) fn granted(
    txn: &mut Txn<'_>,
    asker: &Asker<'_>,
    r: &ChunkRequest,
    grant: &Grant,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    let node = rights::find_opened(txn.meta(), asker.params.root_inode, r.inode)?;
    let (inode, length) = (node.inode, node.length());
    asker.session.counters.count(operation::WRITE);
    txn.live().cache.modify(inode, asker.session.id);
    let message = Reply::ChunkHasChanged(ChunkHasChanged {
        inode,
        index: r.index,
        chunkid: grant.chunk,
        version: grant.version,
        length,
        truncated: 0,
    });
    notify::sessions(txn, inode, Some(asker.session.id), &message);
    Reply::WriteChunk(ChunkReply {
        length,
        chunkid: grant.chunk,
        version: grant.version,
        locations: Locations::of(grant).list(),
    })
    .encode(r.mid, asker.version, out);
    Ok(())
}

/// What the quotas must have room for before a chunk is written: a whole chunk where there is none, the rest of
/// it for the last one, and the length up to its beginning (spec 07 §7.9.4).
fn write_growth(meta: &Metadata, node: &NodeInfo<'_>, index: u32) -> TreeStats {
    let start = u64::from(index) * CHUNK_SIZE;
    let length = node.length().max(start);
    let before = meta.figures_at_length(node.inode, node.length());
    let full = meta.figures_at_length(node.inode, length.max(start + CHUNK_SIZE));
    let mut growth = full.growth_since(&before);
    growth.length = length - node.length();
    if node.chunk(index) == 0 {
        const WHOLE: u64 = CHUNK_SIZE + mfs_meta::CHUNK_HEADER;
        growth.size += WHOLE;
        growth.realsize += WHOLE * u64::from(node.copies());
    }
    growth
}

/// WRITE_CHUNK_END 436.
pub(super) fn write_end(ctx: &Ctx<'_>, r: &WriteChunkEnd) -> Result<(), Status> {
    let asker = Asker::of(ctx);
    rights::enabled(asker.params, disables::WRITE)?;
    asker.writable()?;
    let session = asker.session.id;
    let mut txn = ctx.begin();
    let canmod = may_set_times(asker.version, r.flags);
    let grown = grow(&mut txn, &asker, r, canmod);
    let version = txn.meta().chunk(r.chunkid).map_or(0, |chunk| chunk.version);
    // Those who wait for the chunk are answered by this, with what has been logged so far.
    let result = match grown {
        Ok(_) => txn.with_chunks(|chunks, log| chunks.unlock(log, r.chunkid)),
        // The chunk stays locked until its time runs out: its data is not part of the file.
        Err(status) => Err(status),
    };
    // Also if a quota keeps the file as it was: the data has been written.
    txn.live().cache.modify(r.inode, session);
    match r.index {
        Some(index) => {
            let message = Reply::ChunkHasChanged(ChunkHasChanged {
                inode: r.inode,
                index,
                chunkid: r.chunkid,
                version,
                length: r.length,
                truncated: 0,
            });
            notify::sessions(&mut txn, r.inode, Some(session), &message);
        }
        None if grown == Ok(true) => {
            notify::length(&mut txn, r.inode, Some(session), r.length);
        }
        None => {}
    }
    result
}

/// Raises the length of the file to what was written; tells whether it grew.
fn grow(
    txn: &mut Txn<'_>,
    asker: &Asker<'_>,
    r: &WriteChunkEnd,
    canmod: bool,
) -> Result<bool, Status> {
    if r.length == 0 {
        return Ok(false);
    }
    let meta = txn.meta();
    let node = rights::find_opened(meta, asker.params.root_inode, r.inode)?;
    rights::need_file(&node)?;
    let (inode, length) = (node.inode, r.length);
    if length <= node.length() {
        return Ok(false);
    }
    if length > LENGTH_MAX {
        return Err(Status::IndexTooBig);
    }
    let before = meta.figures_at_length(inode, node.length());
    let growth = TreeStats {
        length: meta
            .figures_at_length(inode, length)
            .growth_since(&before)
            .length,
        ..TreeStats::default()
    };
    if !meta.quota_allows_growth(inode, &growth) {
        return Err(Status::Quota);
    }
    txn.apply(&Op::Length {
        inode,
        length,
        canmod,
    })?;
    txn.live().append.reached(inode, length);
    Ok(true)
}
