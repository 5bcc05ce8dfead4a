//! UNLINK and RMDIR (spec 04 §7.4, spec 07 §7.4.6).

use mfs_meta::op::Op;
use mfs_meta::records::{Kind, SessionParams};
use mfs_meta::{Metadata, Status, eattr};
use mfs_proto::client::Reply;
use mfs_proto::client::tree::{Remove, RemoveReply};
use mfs_proto::register::disables;

use super::operation;
use super::rights::{self, KEPT, User, WX};
use crate::context::Ctx;
use crate::master::Txn;

/// UNLINK 420.
pub(super) fn unlink(ctx: &Ctx<'_>, r: &Remove<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    ctx.count(operation::UNLINK);
    rights::enabled(&ctx.conn.params, disables::UNLINK)?;
    let inode = remove(ctx, r, |kind| match kind {
        Kind::Directory => Err(Status::Eperm),
        _ => Ok(()),
    })?;
    Reply::Unlink(RemoveReply { inode }).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// RMDIR 422.
pub(super) fn rmdir(ctx: &Ctx<'_>, r: &Remove<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    ctx.count(operation::RMDIR);
    rights::enabled(&ctx.conn.params, disables::RMDIR)?;
    let inode = remove(ctx, r, |kind| match kind {
        Kind::Directory => Ok(()),
        _ => Err(Status::Enotdir),
    })?;
    Reply::Rmdir(RemoveReply { inode }).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// Removes a name of an object whose type suits.
fn remove(
    ctx: &Ctx<'_>,
    r: &Remove<'_>,
    suits: impl Fn(Kind) -> Result<(), Status>,
) -> Result<u32, Status> {
    let params = &ctx.conn.params;
    rights::writable(params)?;
    let user = User::new(params, &r.cred);
    let mut txn = ctx.begin();
    let (dir, inode) = removable(txn.meta(), params, &user, r, suits)?;
    let op = Op::Unlink {
        parent: dir,
        name: r.name.into(),
    };
    txn.apply(&op)?;
    forget_if_gone(&mut txn, inode);
    Ok(inode)
}

fn removable(
    meta: &Metadata,
    params: &SessionParams,
    user: &User,
    r: &Remove<'_>,
    suits: impl Fn(Kind) -> Result<(), Status>,
) -> Result<(u32, u32), Status> {
    let dir = rights::find_dir(meta, params.root_inode, r.parent)?;
    rights::lacks(&dir, eattr::IMMUTABLE | eattr::APPENDONLY)?;
    user.need(meta, dir.inode, WX)?;
    rights::good_name(r.name)?;
    let inode = meta.lookup(dir.inode, r.name).ok_or(Status::Enoent)?;
    let node = meta.node(inode).ok_or(Status::Enoent)?;
    if !user.may_unstick(&dir, &node) {
        return Err(Status::Eperm);
    }
    rights::lacks(&node, KEPT)?;
    suits(node.kind())?;
    if node.entries() > 0 {
        return Err(Status::Enotempty);
    }
    Ok((dir.inode, inode))
}

/// Live state about an object that no longer exists goes with it.
pub(super) fn forget_if_gone(txn: &mut Txn<'_>, inode: u32) {
    if txn.meta().node(inode).is_none() {
        txn.live().cache.forget(inode);
        txn.live().append.forget(inode);
    }
}
