//! TRUNCATE (spec 04 §7.3, spec 07 §7.4.10, §7.13.2).

use mfs_meta::op::Op;
use mfs_meta::records::SessionParams;
use mfs_meta::{CHUNK_BITS, CHUNK_SIZE, Metadata, NodeInfo, Status, TreeStats, W, eattr};
use mfs_proto::client::Reply;
use mfs_proto::client::data::{Truncate, TruncateReply, truncate_flags};
use mfs_proto::register::disables;

use super::attr::{self, Viewer};
use super::rights::{self, User};
use super::{notify, operation};
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

/// TRUNCATE 464.
pub(super) fn truncate(ctx: &Ctx<'_>, r: &Truncate<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    ctx.count(operation::SETATTR);
    let params = &ctx.conn.params;
    check_enabled(params, r.flags)?;
    rights::writable(params)?;
    let user = User::new(params, &r.cred);
    let session = ctx.session().id;
    let mut txn = ctx.begin();
    let node = may_truncate(txn.meta(), params, &user, r)?;
    let (inode, old) = (node.inode, node.length());
    let changed = if r.flags & truncate_flags::RESERVE != 0 {
        reserve(&mut txn, inode, old, r)
    } else if r.flags & truncate_flags::UPDATE != 0 {
        update(&mut txn, inode, old, r.length)
    } else {
        set_length(&mut txn, params, inode, old, r)
    }?;
    if r.flags & truncate_flags::UPDATE == 0 {
        txn.live().cache.modify(inode, session);
    }
    notify::length(&mut txn, inode, Some(session), changed.announced);
    Reply::Truncate(TruncateReply {
        prev_length: changed.prev_length,
        attr: attr::record_of(txn.meta(), &Viewer::from(&user), inode, 0)?,
    })
    .encode(r.mid, ctx.version(), out);
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
    params: &SessionParams,
    inode: u32,
    old: u64,
    r: &Truncate<'_>,
) -> Result<Changed, Status> {
    let length = r.length;
    let now = txn.now();
    let meta = txn.meta();
    if length < old {
        rights::enabled(params, disables::TRUNCATE)?;
    }
    if length > old {
        rights::enabled(params, disables::SETLENGTH)?;
        if length > LENGTH_MAX {
            return Err(Status::IndexTooBig);
        }
        let before = meta.figures_at_length(inode, old);
        let growth = meta.figures_at_length(inode, length).growth_since(&before);
        if !meta.quota_allows_growth(inode, &growth) {
            return Err(Status::Quota);
        }
    }
    if length != old && !length.is_multiple_of(CHUNK_SIZE) {
        needs_no_chunkserver(meta, inode, length, now)?;
    }
    let same = length == old && r.flags & truncate_flags::TIMEFIX != 0;
    txn.apply(&Op::Length {
        inode,
        length,
        canmod: !same,
    })?;
    txn.live().append.forget(inode);
    Ok(Changed {
        prev_length: old,
        announced: length,
    })
}

/// An end inside an existing chunk must be made by the chunkservers that hold it, and none is connected.
fn needs_no_chunkserver(meta: &Metadata, inode: u32, length: u64, now: u32) -> Result<(), Status> {
    let node = meta.node(inode).ok_or(Status::Enoent)?;
    let id = node.chunk((length >> CHUNK_BITS) as u32);
    if id == 0 {
        return Ok(());
    }
    let chunk = meta.chunk(id).ok_or(Status::NoChunk)?;
    Err(if chunk.locked_to >= now {
        Status::Locked
    } else {
        Status::CsNotPresent
    })
}
