//! LOOKUP (spec 04 §7.3).

use mfs_meta::records::{Kind, SessionParams};
use mfs_meta::{Metadata, NodeInfo, ROOT, Status, X, eattr};
use mfs_proto::client::attr::{ChunkZero, Lookup, LookupReply, lflags};
use mfs_proto::client::{Reply, mattr};
use mfs_proto::register::{disables, session_flags};

use super::attr::{self, Viewer};
use super::rights::{self, User};
use super::{chunks, operation};
use crate::context::Ctx;

/// What a name stands for.
struct Found<'m> {
    /// The number that the session knows it by.
    inode: u32,
    node: NodeInfo<'m>,
    /// Extra attributes of the directory that was asked.
    dir_eattr: u8,
}

/// LOOKUP 406.
pub(super) fn lookup(ctx: &Ctx<'_>, r: &Lookup<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    ctx.count(operation::LOOKUP);
    let params = &ctx.conn.params;
    let user = User::new(params, &r.cred);
    let state = ctx.read();
    let meta = &state.meta;
    let found = resolve(meta, params, &user, r).map_err(|status| match status {
        Status::EnoentNocache if !ctx.version().knows_enoent_nocache() => Status::Enoent,
        status => status,
    })?;
    let node = &found.node;
    let mut attr = attr::record(meta, &Viewer::from(&user), node, found.dir_eattr);
    let mut flags = access_flags(ctx, meta, &user, node);
    let readable_file = node.kind() == Kind::File && flags & lflags::ACCESS_MASKS_DATA != 0;
    if readable_file && flags & lflags::DIRECTMODE == 0 {
        if state.live.cache.open(node.inode, ctx.session().id) {
            // The original does not tell older clients, which learn it from the attributes alone.
            if ctx.version().has_open_flags() {
                flags |= lflags::KEEPCACHE;
            }
        } else {
            attr.mattr &= !mattr::ALLOW_DATA_CACHE;
        }
    }
    let mut reply = |chunk_zero: Option<ChunkZero<'_>>| {
        Reply::Lookup(LookupReply {
            inode: found.inode,
            attr,
            lflags: flags,
            chunk_zero,
        })
        .encode(r.mid, ctx.version(), out);
    };
    if readable_file && params.disables & disables::READ == 0 {
        chunks::with_chunk_zero(&state, node, ctx.now, ctx.peer_ip(), reply);
    } else {
        reply(None);
    }
    Ok(())
}

fn resolve<'m>(
    meta: &'m Metadata,
    params: &SessionParams,
    user: &User,
    r: &Lookup<'_>,
) -> Result<Found<'m>, Status> {
    let root = params.root_inode;
    let dir = rights::find(meta, root, r.parent).map_err(|_| Status::EnoentNocache)?;
    if dir.kind() != Kind::Directory {
        return Err(Status::Enotdir);
    }
    user.need(meta, dir.inode, X)?;
    let dir_eattr = dir.eattr();
    if r.name == b"." || r.name == b".." {
        let above = if r.name == b"." || dir.inode == root || dir.inode == ROOT {
            dir.inode
        } else {
            dir.parent()
        };
        return Ok(Found {
            inode: rights::shown(root, above),
            node: meta.node(above).ok_or(Status::EnoentNocache)?,
            dir_eattr,
        });
    }
    rights::good_name(r.name)?;
    let missing = if dir_eattr & eattr::NOENTRYCACHE != 0 {
        Status::EnoentNocache
    } else {
        Status::Enoent
    };
    let inode = meta.lookup(dir.inode, r.name).ok_or(missing)?;
    Ok(Found {
        inode,
        node: meta.node(inode).ok_or(missing)?,
        dir_eattr,
    })
}

/// What the caller may do with the object, and what it is.
fn access_flags(ctx: &Ctx<'_>, meta: &Metadata, user: &User, node: &NodeInfo<'_>) -> u16 {
    let mut flags = u16::from(meta.allowed_modes(node.inode, &user.caller()));
    let bits = node.eattr();
    let no_write = lflags::ACCESS_MASKS & !lflags::ACCESS_MASKS_NO_WRITE;
    if bits & eattr::IMMUTABLE != 0 {
        flags &= !no_write;
        flags |= lflags::IMMUTABLE;
    }
    if bits & eattr::APPENDONLY != 0 {
        if !ctx.version().has_open_flags() {
            flags &= !no_write;
        }
        flags |= lflags::APPENDONLY;
    }
    if bits & eattr::NODATACACHE != 0 {
        flags |= lflags::DIRECTMODE;
    }
    if ctx.conn.params.flags & session_flags::READ_ONLY != 0 {
        flags |= lflags::RO_FILESYSTEM;
    }
    flags
}
