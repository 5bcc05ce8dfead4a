//! READ_CHUNK, WRITE_CHUNK, WRITE_CHUNK_END (spec 04 §7.7).
//!
//! No chunkserver is connected: holes and lengths are served, chunks have no copy that could be named, and
//! nothing can be written (spec 04 §5.4, §7.7 and the recorded answers of a master without chunkservers).

use mfs_meta::op::Op;
use mfs_meta::records::SessionParams;
use mfs_meta::{CHUNK_SIZE, MAX_INDEX, Metadata, NodeInfo, Status, TreeStats, eattr};
use mfs_proto::Version;
use mfs_proto::client::Reply;
use mfs_proto::client::data::{ChunkHasChanged, ChunkReply, ChunkRequest, WriteChunkEnd, chunkop};
use mfs_proto::register::disables;
use mfs_proto::wire::List;

use super::length::LENGTH_MAX;
use super::rights;
use super::{notify, operation, upkeep};
use crate::context::Ctx;
use crate::master::Txn;

/// Id and version of the chunk in a slot, zeros for a hole.
///
/// # Errors
/// INDEXTOOBIG; NOCHUNK for a slot that names a chunk which does not exist; LOCKED while somebody writes.
pub(super) fn readable(
    meta: &Metadata,
    node: &NodeInfo<'_>,
    index: u32,
    now: u32,
) -> Result<(u64, u32), Status> {
    if index > MAX_INDEX {
        return Err(Status::IndexTooBig);
    }
    let id = node.chunk(index);
    if id == 0 {
        return Ok((0, 0));
    }
    let chunk = meta.chunk(id).ok_or(Status::NoChunk)?;
    if chunk.locked_to >= now {
        return Err(Status::Locked);
    }
    Ok((id, chunk.version))
}

/// READ_CHUNK 432.
pub(super) fn read(ctx: &Ctx<'_>, r: &ChunkRequest, out: &mut Vec<u8>) -> Result<(), Status> {
    let params = &ctx.conn.params;
    rights::enabled(params, disables::READ)?;
    let inode = {
        let state = ctx.read();
        let node = rights::find_opened(&state.meta, params.root_inode, r.inode)?;
        rights::need_file(&node)?;
        let (chunkid, version) = readable(&state.meta, &node, r.index, ctx.now)?;
        state.live.cache.access(node.inode, ctx.session().id);
        Reply::ReadChunk(ChunkReply {
            length: node.length(),
            chunkid,
            version,
            locations: List::EMPTY,
        })
        .encode(r.mid, ctx.version(), out);
        node.inode
    };
    ctx.count(operation::READ);
    if may_set_times(ctx.version(), r.flags) {
        upkeep::touch_atime(ctx, inode);
    }
    Ok(())
}

/// Clients before 3.0.74 leave the times to the master, unless they say otherwise.
fn may_set_times(version: Version, flags: u8) -> bool {
    !version.gets_chunk_has_changed() && flags & chunkop::CANMODTIME != 0
}

/// Refuses writes in a read-only session, with the status that the client knows.
fn writable(ctx: &Ctx<'_>, params: &SessionParams) -> Result<(), Status> {
    rights::writable(params).map_err(|status| {
        if ctx.version().knows_write_erofs() {
            status
        } else {
            Status::Io
        }
    })
}

/// WRITE_CHUNK 434: refused, for there is no space without chunkservers.
pub(super) fn write(ctx: &Ctx<'_>, r: &ChunkRequest) -> Result<(), Status> {
    let params = &ctx.conn.params;
    rights::enabled(params, disables::WRITE)?;
    writable(ctx, params)?;
    if r.flags & chunkop::CANUSERESERVESPACE == 0 {
        return Err(Status::NoSpace);
    }
    let state = ctx.read();
    let meta = &state.meta;
    let node = rights::find_opened(meta, params.root_inode, r.inode)?;
    rights::need_file(&node)?;
    rights::lacks(&node, eattr::IMMUTABLE)?;
    if r.index > MAX_INDEX {
        return Err(Status::IndexTooBig);
    }
    if !meta.quota_allows_growth(node.inode, &write_growth(meta, &node, r.index)) {
        return Err(Status::Quota);
    }
    let id = node.chunk(r.index);
    if id == 0 {
        return Err(Status::NoChunkServers);
    }
    let chunk = meta.chunk(id).ok_or(Status::NoChunk)?;
    if chunk.locked_to >= ctx.now && r.flags & chunkop::CONTINUEOP == 0 {
        return Err(Status::Locked);
    }
    Err(Status::CsNotPresent)
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
    let params = &ctx.conn.params;
    rights::enabled(params, disables::WRITE)?;
    writable(ctx, params)?;
    let session = ctx.session().id;
    let mut txn = ctx.begin();
    let canmod = may_set_times(ctx.version(), r.flags);
    let grown = grow(&mut txn, params, r, canmod);
    let result = match grown {
        Ok(_) if txn.meta().chunk(r.chunkid).is_none() => Err(Status::NoChunk),
        Ok(_) => txn.apply(&Op::Unlock { chunk: r.chunkid }).map(drop),
        // The chunk stays locked until its time runs out: its data is not part of the file.
        Err(status) => Err(status),
    };
    if matches!(result, Ok(()) | Err(Status::NoChunk)) {
        txn.live().cache.modify(r.inode, session);
    }
    match r.index {
        Some(index) => {
            let version = txn.meta().chunk(r.chunkid).map_or(0, |chunk| chunk.version);
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
    params: &SessionParams,
    r: &WriteChunkEnd,
    canmod: bool,
) -> Result<bool, Status> {
    if r.length == 0 {
        return Ok(false);
    }
    let meta = txn.meta();
    let node = rights::find_opened(meta, params.root_inode, r.inode)?;
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
