//! TRUNCATE (spec 04 §7.3, spec 07 §7.4.10, §7.13.2).

use mfs_chunks::{Grant, Reply as ChunkReplied, RequestId, TruncateRequest, truncates_chunk};
use mfs_meta::op::Op;
use mfs_meta::records::SessionParams;
use mfs_meta::{CHUNK_BITS, Metadata, NodeInfo, Status, TreeStats, W, eattr};
use mfs_proto::client::Reply;
use mfs_proto::client::data::{ChunkHasChanged, Truncate, TruncateReply, truncate_flags};
use mfs_proto::register::disables;

use super::asker::Asker;
use super::attr::{self, Viewer};
use super::rights::{self, User};
use super::waiting::{self, Call, Progress};
use super::{Done, notify, operation};
use crate::context::Ctx;
use crate::master::Txn;

/// Longest file, bytes: chunks up to the highest index.
pub(super) const LENGTH_MAX: u64 = 1 << 57;

/// What a truncation has come to.
struct Changed {
    /// Length before, or the place that an append got.
    prev_length: u64,
    /// What other sessions are told.
    announced: u64,
}

/// How setting a length goes on.
enum Cut {
    Done(Changed),
    /// Chunkservers make the new end.
    Later,
    /// They have nothing to do.
    Now(Grant),
}

/// TRUNCATE 464.
pub(super) fn truncate(ctx: &Ctx<'_>, r: &Truncate<'_>, out: &mut Vec<u8>) -> Result<Done, Status> {
    ctx.count(operation::SETATTR);
    waiting::run(ctx, Call::Truncate(*r), out)
}

/// TRUNCATE up to the point where it is done, or waits.
pub(super) fn execute(
    txn: &mut Txn<'_>,
    asker: &Asker<'_>,
    id: RequestId,
    r: &Truncate<'_>,
    out: &mut Vec<u8>,
) -> Result<Progress, Status> {
    check_enabled(asker.params, r.flags)?;
    rights::writable(asker.params)?;
    let user = User::new(asker.params, &r.cred);
    let node = may_truncate(txn.meta(), asker.params, &user, r)?;
    let (inode, old) = (node.inode, node.length());
    let changed = if r.flags & truncate_flags::RESERVE != 0 {
        reserve(txn, inode, old, r)?
    } else if r.flags & truncate_flags::UPDATE != 0 {
        update(txn, inode, old, r.length)?
    } else {
        match set_length(txn, asker, id, inode, old, r)? {
            Cut::Done(changed) => changed,
            Cut::Later => return Ok(Progress::Waits { length: old }),
            Cut::Now(grant) => {
                chunk_truncated(txn, asker, r, old, &grant, out)?;
                return Ok(Progress::Answered);
            }
        }
    };
    if r.flags & truncate_flags::UPDATE == 0 {
        txn.live().cache.modify(inode, asker.session.id);
    }
    notify::length(txn, inode, Some(asker.session.id), changed.announced);
    reply(txn, asker, r, inode, changed.prev_length, out)?;
    Ok(Progress::Answered)
}

/// Chunkservers have made the new end, and the file has its new length: what follows, and the answer.
pub(super) fn chunk_truncated(
    txn: &mut Txn<'_>,
    asker: &Asker<'_>,
    r: &Truncate<'_>,
    prev_length: u64,
    grant: &Grant,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    let root = asker.params.root_inode;
    let inode = rights::find_opened(txn.meta(), root, r.inode)?.inode;
    txn.live().append.forget(inode);
    txn.live().cache.modify(inode, asker.session.id);
    let message = Reply::ChunkHasChanged(ChunkHasChanged {
        inode,
        index: (r.length >> CHUNK_BITS) as u32,
        chunkid: grant.chunk,
        version: grant.version,
        length: r.length,
        truncated: 1,
    });
    notify::sessions(txn, inode, Some(asker.session.id), &message);
    reply(txn, asker, r, inode, prev_length, out)
}

fn reply(
    txn: &Txn<'_>,
    asker: &Asker<'_>,
    r: &Truncate<'_>,
    inode: u32,
    prev_length: u64,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    let viewer = Viewer::from(&User::new(asker.params, &r.cred));
    Reply::Truncate(TruncateReply {
        prev_length,
        attr: attr::record_of(txn.meta(), &viewer, inode, 0)?,
    })
    .encode(r.mid, asker.version, out);
    Ok(())
}

/// Whether the request is part of writing.
fn is_write(flags: u8) -> bool {
    flags & (truncate_flags::UPDATE | truncate_flags::RESERVE) != 0
}

fn check_enabled(params: &SessionParams, flags: u8) -> Result<(), Status> {
    const BOTH: u32 = disables::TRUNCATE | disables::SETLENGTH;
    if is_write(flags) {
        rights::enabled(params, disables::WRITE)
    } else if params.disables & BOTH == BOTH {
        Err(Status::Eperm)
    } else {
        Ok(())
    }
}

fn may_truncate<'m>(
    meta: &'m Metadata,
    params: &SessionParams,
    user: &User,
    r: &Truncate<'_>,
) -> Result<NodeInfo<'m>, Status> {
    let opened = r.flags & truncate_flags::OPENED != 0;
    let node = if opened {
        rights::find_opened(meta, params.root_inode, r.inode)?
    } else {
        rights::find(meta, params.root_inode, r.inode)?
    };
    rights::lacks(&node, eattr::IMMUTABLE)?;
    if !is_write(r.flags) {
        rights::lacks(&node, eattr::APPENDONLY)?;
    }
    if !opened {
        user.need(meta, node.inode, W)?;
    }
    rights::need_file(&node)?;
    Ok(node)
}

/// Promises the next bytes behind the end to an appending client. The file does not change.
fn reserve(
    txn: &mut Txn<'_>,
    inode: u32,
    length: u64,
    r: &Truncate<'_>,
) -> Result<Changed, Status> {
    let start = txn.live().append.end(inode, length);
    let end = start
        .checked_add(r.length)
        .filter(|&end| end <= LENGTH_MAX)
        .ok_or(Status::IndexTooBig)?;
    if r.flags & truncate_flags::UPDATE == 0 {
        let growth = TreeStats {
            length: end - length,
            ..TreeStats::default()
        };
        if !txn.meta().quota_allows_growth(inode, &growth) {
            return Err(Status::Quota);
        }
    }
    txn.live().append.reserve(inode, end);
    Ok(Changed {
        prev_length: start,
        announced: end,
    })
}

/// A client tells how long a file is that it has written to: it never gets shorter.
fn update(txn: &mut Txn<'_>, inode: u32, old: u64, length: u64) -> Result<Changed, Status> {
    if length > LENGTH_MAX {
        return Err(Status::IndexTooBig);
    }
    if length > old {
        txn.apply(&Op::Length {
            inode,
            length,
            canmod: false,
        })?;
        txn.live().append.reached(inode, length);
    }
    Ok(Changed {
        prev_length: old,
        announced: length.max(old),
    })
}

fn set_length(
    txn: &mut Txn<'_>,
    asker: &Asker<'_>,
    id: RequestId,
    inode: u32,
    old: u64,
    r: &Truncate<'_>,
) -> Result<Cut, Status> {
    let length = r.length;
    let meta = txn.meta();
    if length < old {
        rights::enabled(asker.params, disables::TRUNCATE)?;
    }
    if length > old {
        rights::enabled(asker.params, disables::SETLENGTH)?;
        if length > LENGTH_MAX {
            return Err(Status::IndexTooBig);
        }
        let before = meta.figures_at_length(inode, old);
        let growth = meta.figures_at_length(inode, length).growth_since(&before);
        if !meta.quota_allows_growth(inode, &growth) {
            return Err(Status::Quota);
        }
    }
    if length != old && truncates_chunk(meta, inode, length) {
        let request = TruncateRequest {
            request: id,
            inode,
            length,
            client_ip: asker.ip,
            session: asker.session.id,
            canmod: true,
        };
        let reply = txn.with_chunks_unsettled(|chunks, log| chunks.truncate(log, &request))?;
        return Ok(match reply {
            ChunkReplied::Later => Cut::Later,
            ChunkReplied::Now(grant) => Cut::Now(grant),
        });
    }
    let same = length == old && r.flags & truncate_flags::TIMEFIX != 0;
    txn.apply(&Op::Length {
        inode,
        length,
        canmod: !same,
    })?;
    txn.live().append.forget(inode);
    Ok(Cut::Done(Changed {
        prev_length: old,
        announced: length,
    }))
}
