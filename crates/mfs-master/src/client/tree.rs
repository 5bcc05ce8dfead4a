//! Making objects and names: MKNOD, MKDIR, SYMLINK, LINK; and READLINK (spec 04 §7.3, §7.4; spec 07 §7.4.6,
//! §7.4.7).

use mfs_meta::op::{Op, Outcome};
use mfs_meta::records::{Kind, SessionParams};
use mfs_meta::{Metadata, NodeInfo, SYMLINK_MAX, Status, TreeStats, eattr};
use mfs_proto::client::tree::{self, Mkdir, Mknod, ReadlinkReply, Symlink};
use mfs_proto::client::{self, FileType, InodeRequest, Reply};
use mfs_proto::register::disables;

use super::attr::{self, Viewer};
use super::rights::{self, User, WX};
use super::{operation, upkeep};
use crate::context::Ctx;
use crate::master::Txn;

/// What a request wants to be made.
pub(super) struct NewNode<'a> {
    pub(super) parent: u32,
    pub(super) name: &'a [u8],
    /// Anything but a symlink.
    pub(super) file_type: FileType,
    pub(super) mode: u16,
    /// The client's, without the session's.
    pub(super) umask: u16,
    /// A directory takes over the setgid bit of its parent.
    pub(super) copy_sgid: bool,
    /// Device number; means nothing to other types.
    pub(super) rdev: u32,
}

/// What was made.
pub(super) struct Made {
    pub(super) inode: u32,
    /// Extra attributes of the directory.
    pub(super) dir_eattr: u8,
}

/// The directory that gets a new name, if the caller may make it and it is free.
pub(super) fn place<'m>(
    meta: &'m Metadata,
    params: &SessionParams,
    user: &User,
    parent: u32,
    name: &[u8],
) -> Result<NodeInfo<'m>, Status> {
    let dir = rights::find_dir(meta, params.root_inode, parent)?;
    rights::lacks(&dir, eattr::IMMUTABLE)?;
    user.need(meta, dir.inode, WX)?;
    rights::good_name(name)?;
    if meta.lookup(dir.inode, name).is_some() {
        return Err(Status::Eexist);
    }
    Ok(dir)
}

fn one_inode() -> TreeStats {
    TreeStats {
        inodes: 1,
        ..TreeStats::default()
    }
}

fn quota_for(meta: &Metadata, dir: u32, add: &TreeStats) -> Result<(), Status> {
    if meta.quota_allows(dir, add) {
        Ok(())
    } else {
        Err(Status::Quota)
    }
}

fn made(txn: &mut Txn<'_>, op: &Op<'_>, dir_eattr: u8) -> Result<Made, Status> {
    match txn.apply(op)? {
        Outcome::Inode(inode) => Ok(Made { inode, dir_eattr }),
        _ => Err(Status::Io),
    }
}

/// Makes an object, after the checks that all types have in common.
pub(super) fn make(
    txn: &mut Txn<'_>,
    params: &SessionParams,
    user: &User,
    new: &NewNode<'_>,
) -> Result<Made, Status> {
    let meta = txn.meta();
    let dir = place(meta, params, user, new.parent, new.name)?;
    quota_for(meta, dir.inode, &one_inode())?;
    let dir_sgid = dir.mode() & 0o2000;
    let mut mode = new.mode;
    if new.copy_sgid {
        mode |= dir_sgid;
    }
    let op = Op::Create {
        parent: dir.inode,
        name: new.name.into(),
        kind: new.file_type.number(),
        mode,
        umask: new.umask | params.umask,
        uid: user.uid,
        gid: if dir_sgid != 0 { dir.gid() } else { user.gid() },
        rdev: new.rdev,
    };
    let dir_eattr = dir.eattr();
    made(txn, &op, dir_eattr)
}

fn reply(txn: &Txn<'_>, user: &User, made: &Made) -> Result<client::NewNode, Status> {
    Ok(client::NewNode {
        inode: made.inode,
        attr: attr::record_of(txn.meta(), &Viewer::from(user), made.inode, made.dir_eattr)?,
    })
}

/// MKNOD 416.
pub(super) fn mknod(ctx: &Ctx<'_>, r: &Mknod<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    ctx.count(operation::MKNOD);
    let params = &ctx.conn.params;
    let file_type = FileType::from_number_or_letter(r.kind);
    let operation = match file_type {
        Some(FileType::File) => disables::CREATE,
        Some(FileType::Directory) => disables::MKDIR,
        Some(FileType::Fifo) => disables::MKFIFO,
        Some(FileType::BlockDevice | FileType::CharDevice) => disables::MKDEV,
        Some(FileType::Socket) => disables::MKSOCK,
        Some(FileType::Symlink) | None => 0,
    };
    rights::enabled(params, operation)?;
    rights::writable(params)?;
    let file_type = file_type
        .filter(|&t| t != FileType::Symlink)
        .ok_or(Status::Einval)?;
    let user = User::new(params, &r.cred);
    let new = NewNode {
        parent: r.parent,
        name: r.name,
        file_type,
        mode: r.mode,
        umask: r.umask,
        copy_sgid: false,
        rdev: r.rdev,
    };
    let mut txn = ctx.begin();
    let made = make(&mut txn, params, &user, &new)?;
    Reply::Mknod(reply(&txn, &user, &made)?).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// MKDIR 418.
pub(super) fn mkdir(ctx: &Ctx<'_>, r: &Mkdir<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    ctx.count(operation::MKDIR);
    let params = &ctx.conn.params;
    rights::enabled(params, disables::MKDIR)?;
    rights::writable(params)?;
    let user = User::new(params, &r.cred);
    let new = NewNode {
        parent: r.parent,
        name: r.name,
        file_type: FileType::Directory,
        mode: r.mode,
        umask: r.umask,
        copy_sgid: r.copysgid,
        rdev: 0,
    };
    let mut txn = ctx.begin();
    let made = make(&mut txn, params, &user, &new)?;
    Reply::Mkdir(reply(&txn, &user, &made)?).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// SYMLINK 414.
pub(super) fn symlink(ctx: &Ctx<'_>, r: &Symlink<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    ctx.count(operation::SYMLINK);
    let params = &ctx.conn.params;
    rights::enabled(params, disables::SYMLINK)?;
    rights::writable(params)?;
    let target = r.target;
    if target.is_empty() || target.len() > SYMLINK_MAX || target.contains(&0) {
        return Err(Status::Einval);
    }
    let user = User::new(params, &r.cred);
    let mut txn = ctx.begin();
    let meta = txn.meta();
    let dir = place(meta, params, &user, r.parent, r.name)?;
    let figures = TreeStats {
        length: target.len() as u64,
        ..one_inode()
    };
    quota_for(meta, dir.inode, &figures)?;
    let op = Op::Symlink {
        parent: dir.inode,
        name: r.name.into(),
        path: target.into(),
        uid: user.uid,
        gid: user.gid(),
    };
    let dir_eattr = dir.eattr();
    let made = made(&mut txn, &op, dir_eattr)?;
    Reply::Symlink(reply(&txn, &user, &made)?).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// LINK 426.
pub(super) fn link(ctx: &Ctx<'_>, r: &tree::Link<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    ctx.count(operation::LINK);
    let params = &ctx.conn.params;
    rights::enabled(params, disables::LINK)?;
    rights::writable(params)?;
    let user = User::new(params, &r.cred);
    let most = ctx.master.config().max_allowed_hard_links;
    let mut txn = ctx.begin();
    let meta = txn.meta();
    let source = rights::find(meta, params.root_inode, r.inode)?;
    rights::find(meta, params.root_inode, r.parent_dst)?;
    rights::lacks(&source, eattr::IMMUTABLE)?;
    match source.kind() {
        kind if kind.is_detached() => return Err(Status::Enoent),
        Kind::Directory => return Err(Status::Eperm),
        _ if source.nlink() >= most => return Err(Status::NoSpace),
        _ => {}
    }
    let dir = place(meta, params, &user, r.parent_dst, r.name)?;
    quota_for(meta, dir.inode, &source.figures())?;
    let made = Made {
        inode: source.inode,
        dir_eattr: dir.eattr(),
    };
    let op = Op::Link {
        inode: source.inode,
        parent: dir.inode,
        name: r.name.into(),
    };
    txn.apply(&op)?;
    Reply::Link(reply(&txn, &user, &made)?).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// READLINK 412.
pub(super) fn readlink(ctx: &Ctx<'_>, r: &InodeRequest, out: &mut Vec<u8>) -> Result<(), Status> {
    ctx.count(operation::READLINK);
    let inode = {
        let state = ctx.read();
        let node = rights::find(&state.meta, ctx.conn.params.root_inode, r.inode)?;
        let target = node.target().ok_or(Status::Einval)?;
        Reply::Readlink(ReadlinkReply { target }).encode(r.mid, ctx.version(), out);
        node.inode
    };
    upkeep::touch_atime(ctx, inode);
    Ok(())
}
