//! OPEN and CREATE (spec 04 §7.4, §7.6). What they open is recorded at once; SUSTAINED_INODES tells later what is
//! closed.

use mfs_meta::op::Op;
use mfs_meta::records::SessionParams;
use mfs_meta::{Metadata, NodeInfo, R, Status, W, eattr};
use mfs_proto::client::attr::{Open, OpenReply, oflags, open_flags};
use mfs_proto::client::tree::{Create, CreateReply};
use mfs_proto::client::{FileType, Reply, mattr};
use mfs_proto::register::disables;

use super::attr::{self, Viewer};
use super::operation;
use super::rights::{self, User};
use super::tree::{self, NewNode};
use crate::context::Ctx;
use crate::live::Live;
use crate::master::Txn;

/// OPEN 430.
pub(super) fn open(ctx: &Ctx<'_>, r: &Open<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    ctx.count(operation::OPEN);
    let params = &ctx.conn.params;
    if r.flags & open_flags::TRUNCATE != 0 {
        rights::enabled(params, disables::TRUNCATE)?;
    }
    if r.flags & open_flags::WRITE != 0 {
        rights::writable(params)?;
    }
    let user = User::new(params, &r.cred);
    let session = ctx.session().id;
    let truncate =
        r.flags & (open_flags::TRUNCATE | open_flags::AFTER_CREATE) == open_flags::TRUNCATE;
    {
        let state = ctx.read();
        let node = may_open(&state.meta, params, &user, r)?;
        // A session opens the same files again and again.
        if !truncate && state.meta.is_open_by(session, node.inode) {
            answer(ctx, &state.meta, &state.live, &user, r, node.inode, out)?;
            return Ok(());
        }
    }
    let mut txn = ctx.begin();
    let inode = may_open(txn.meta(), params, &user, r)?.inode;
    if truncate {
        let op = Op::Length {
            inode,
            length: 0,
            canmod: true,
        };
        txn.apply(&op)?;
        txn.live().append.forget(inode);
        // The original leaves the records, and another session may go on to serve old data.
        txn.live().cache.revoke_others(inode, session);
    }
    acquire(&mut txn, session, inode)?;
    let (meta, live) = txn.parts();
    answer(ctx, meta, live, &user, r, inode, out)
}

/// The file, if the caller may open it like this.
fn may_open<'m>(
    meta: &'m Metadata,
    params: &SessionParams,
    user: &User,
    r: &Open<'_>,
) -> Result<NodeInfo<'m>, Status> {
    let flags = r.flags;
    let node = rights::find(meta, params.root_inode, r.inode)?;
    rights::need_file(&node)?;
    if flags & (open_flags::WRITE | open_flags::TRUNCATE) != 0 {
        rights::lacks(&node, eattr::IMMUTABLE)?;
    }
    if flags & open_flags::TRUNCATE != 0 {
        rights::lacks(&node, eattr::APPENDONLY)?;
    }
    if flags & open_flags::AFTER_CREATE == 0 {
        let mut mask = 0;
        if flags & open_flags::READ != 0 {
            mask |= R;
        }
        if flags & open_flags::WRITE != 0 {
            mask |= W;
        }
        user.need(meta, node.inode, mask)?;
        // A question of its own: one group of an ACL may give the one right, and another group the other.
        if flags & open_flags::TRUNCATE != 0 {
            user.need(meta, node.inode, W)?;
        }
    }
    Ok(node)
}

/// Records a file as open.
fn acquire(txn: &mut Txn<'_>, session: u32, inode: u32) -> Result<(), Status> {
    if !txn.meta().is_open_by(session, inode) {
        txn.apply(&Op::Acquire { session, inode })?;
    }
    Ok(())
}

fn answer(
    ctx: &Ctx<'_>,
    meta: &Metadata,
    live: &Live,
    user: &User,
    r: &Open<'_>,
    inode: u32,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    let session = ctx.session().id;
    let node = meta.node(inode).ok_or(Status::Enoent)?;
    let mut attr = attr::record(meta, &Viewer::from(user), &node, 0);
    let mut flags = open_flags_of(&node);
    if r.flags & open_flags::CACHE_CLEARED != 0 {
        live.cache.access(inode, session);
    }
    if flags & oflags::DIRECTMODE == 0 {
        if live.cache.open(inode, session) {
            flags |= oflags::KEEPCACHE;
        } else {
            attr.mattr &= !mattr::ALLOW_DATA_CACHE;
        }
    }
    let reply = OpenReply {
        oflags: flags,
        attr,
    };
    Reply::Open(reply).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// What an opened file is.
fn open_flags_of(node: &NodeInfo<'_>) -> u8 {
    let mut flags = 0;
    if node.eattr() & eattr::NODATACACHE != 0 {
        flags |= oflags::DIRECTMODE;
    }
    if node.eattr() & eattr::APPENDONLY != 0 {
        flags |= oflags::APPENDONLY;
    }
    flags
}

/// CREATE 482.
pub(super) fn create(ctx: &Ctx<'_>, r: &Create<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    ctx.count(operation::MKNOD);
    ctx.count(operation::OPEN);
    let params = &ctx.conn.params;
    rights::enabled(params, disables::CREATE)?;
    rights::writable(params)?;
    let user = User::new(params, &r.cred);
    let new = NewNode {
        parent: r.parent,
        name: r.name,
        file_type: FileType::File,
        mode: r.mode,
        umask: r.umask,
        copy_sgid: false,
        rdev: 0,
    };
    let mut txn = ctx.begin();
    let made = tree::make(&mut txn, params, &user, &new)?;
    acquire(&mut txn, ctx.session().id, made.inode)?;
    let meta = txn.meta();
    let node = meta.node(made.inode).ok_or(Status::Enoent)?;
    let mut attr = attr::record(meta, &Viewer::from(&user), &node, made.dir_eattr);
    attr.mattr &= !mattr::ALLOW_DATA_CACHE;
    Reply::Create(CreateReply {
        oflags: open_flags_of(&node),
        inode: made.inode,
        attr,
    })
    .encode(r.mid, ctx.version(), out);
    Ok(())
}
