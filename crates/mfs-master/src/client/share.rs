//! Sharing chunks between files: APPEND_SLICE and SNAPSHOT (spec 04 §7.14, spec 07 §7.10).

use mfs_meta::op::{Op, SnapshotArgs};
use mfs_meta::records::{Kind, SessionParams};
use mfs_meta::{CHUNK_SIZE, MAX_INDEX, Metadata, R, Status, W, eattr};
use mfs_proto::client::data::{AppendSlice, append_flags};
use mfs_proto::client::tree::{Snapshot, snapshot_mode};
use mfs_proto::register::disables;

use super::notify;
use super::rights::{self, User, WX};
use crate::context::Ctx;

/// Flag of a session in SNAPSHOT lines: the client knows attribute records with types (spec 07 §7.3.1).
const SESFLAG_TYPED_ATTR: u8 = 0x40;

/// APPEND_SLICE 438.
pub(super) fn append(ctx: &Ctx<'_>, r: &AppendSlice<'_>) -> Result<(), Status> {
    let params = &ctx.conn.params;
    rights::enabled(params, disables::APPENDCHUNKS)?;
    if r.inode == r.inode_src {
        return Err(Status::Einval);
    }
    rights::writable(params)?;
    let user = User::new(params, &r.cred);
    let mut txn = ctx.begin();
    let plan = plan_append(txn.meta(), params, &user, r)?;
    let inode = plan.inode;
    if let Some(op) = plan.op {
        // Nothing that anybody has read or been promised changes: pages and reservations stay good.
        txn.apply(&op)?;
    }
    notify::length(&mut txn, inode, None, plan.length);
    Ok(())
}

struct Append {
    /// The line; `None` if there is nothing to append.
    op: Option<Op<'static>>,
    inode: u32,
    /// Length of the file afterwards.
    length: u64,
}

/// What an append comes to.
fn plan_append(
    meta: &Metadata,
    params: &SessionParams,
    user: &User,
    r: &AppendSlice<'_>,
) -> Result<Append, Status> {
    let source = rights::find(meta, params.root_inode, r.inode_src)?;
    let target = rights::find(meta, params.root_inode, r.inode)?;
    rights::need_file(&source)?;
    user.need(meta, source.inode, R)?;
    rights::need_file(&target)?;
    rights::lacks(&target, eattr::IMMUTABLE)?;
    user.need(meta, target.inode, W)?;
    if target.inode == source.inode {
        return Err(Status::Einval);
    }
    let chunks = source.length().div_ceil(CHUNK_SIZE);
    let position = |value: u32, from_end: u8| {
        if r.flags & from_end != 0 {
            chunks.saturating_sub(value.into())
        } else {
            u64::from(value).min(chunks)
        }
    };
    let from = position(r.from, append_flags::FROM_END);
    let to = position(r.to, append_flags::TO_END);
    if from >= to {
        return Ok(Append {
            op: None,
            inode: target.inode,
            length: target.length(),
        });
    }
    let padded = target.length().div_ceil(CHUNK_SIZE);
    if padded + (to - from) > u64::from(MAX_INDEX) + 1 {
        return Err(Status::IndexTooBig);
    }
    let (from, to) = (from as u32, (to - 1) as u32);
    let (growth, length) = meta.append_growth(target.inode, source.inode, from, to);
    if !meta.quota_allows_growth(target.inode, &growth) {
        return Err(Status::Quota);
    }
    Ok(Append {
        op: Some(Op::Append {
            inode: target.inode,
            source: source.inode,
            from,
            to,
        }),
        inode: target.inode,
        length,
    })
}

/// SNAPSHOT 468: makes a snapshot or removes one.
pub(super) fn snapshot(ctx: &Ctx<'_>, r: &Snapshot<'_>) -> Result<(), Status> {
    let params = &ctx.conn.params;
    let remove = r.smode & snapshot_mode::DELETE != 0;
    if remove {
        rights::enabled(params, disables::UNLINK | disables::RMDIR)?;
    } else {
        rights::enabled(params, disables::SNAPSHOT)?;
    }
    rights::writable(params)?;
    let user = User::new(params, &r.cred);
    let mut txn = ctx.begin();
    let (src, parent) = if remove {
        (0, may_remove(txn.meta(), params, &user, r)?)
    } else {
        may_make(txn.meta(), params, &user, r)?
    };
    let typed = if ctx.version().has_typed_attr() {
        SESFLAG_TYPED_ATTR
    } else {
        0
    };
    let args = SnapshotArgs {
        src,
        parent,
        name: r.name.into(),
        smode: r.smode,
        sesflags: params.flags | typed,
        uid: user.uid,
        gids: user.gids().to_vec(),
        umask: r.umask | params.umask,
    };
    txn.apply(&Op::Snapshot(Box::new(args))).map(drop)
}

/// Source and directory of a snapshot that may be made.
fn may_make(
    meta: &Metadata,
    params: &SessionParams,
    user: &User,
    r: &Snapshot<'_>,
) -> Result<(u32, u32), Status> {
    if r.inode == 0 {
        return Err(Status::Einval);
    }
    let source = rights::find(meta, params.root_inode, r.inode)?;
    let dir = rights::find(meta, params.root_inode, r.parent_dst)?;
    rights::lacks(&dir, eattr::IMMUTABLE)?;
    user.need(meta, source.inode, R)?;
    if dir.kind() != Kind::Directory {
        return Err(Status::Eperm);
    }
    if source.kind() == Kind::Directory && meta.is_at_or_below(dir.inode, source.inode) {
        return Err(Status::Einval);
    }
    user.need(meta, dir.inode, WX)?;
    meta.check_snapshot(source.inode, dir.inode, r.name, r.smode)?;
    if !meta.quota_allows_snapshot(source.inode, dir.inode, r.name) {
        return Err(Status::Quota);
    }
    Ok((source.inode, dir.inode))
}

/// Directory of a snapshot that may be removed.
fn may_remove(
    meta: &Metadata,
    params: &SessionParams,
    user: &User,
    r: &Snapshot<'_>,
) -> Result<u32, Status> {
    if r.inode != 0 {
        return Err(Status::Einval);
    }
    let dir = rights::find(meta, params.root_inode, r.parent_dst)?;
    if dir.kind() != Kind::Directory {
        return Err(Status::Eperm);
    }
    user.need(meta, dir.inode, WX)?;
    rights::good_name(r.name)?;
    let top = meta.lookup(dir.inode, r.name).ok_or(Status::Enoent)?;
    let top = meta.node(top).ok_or(Status::Enoent)?;
    if !user.may_unstick(&dir, &top) {
        return Err(Status::Eperm);
    }
    if r.smode & snapshot_mode::FORCE_REMOVAL == 0 {
        meta.check_snapshot_removal(dir.inode, r.name, &user.caller())?;
    }
    Ok(dir.inode)
}
