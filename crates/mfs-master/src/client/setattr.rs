//! SETATTR: mode, owner, group, times (spec 04 §7.3, spec 07 §7.4.8).

use mfs_meta::op::{ACLMODE_VALID, Op};
use mfs_meta::records::{AclType, Kind, SessionParams};
use mfs_meta::{Metadata, NodeInfo, SESFLAG_IGNOREGID, Status, W, eattr};
use mfs_proto::client::Reply;
use mfs_proto::client::attr::{AttrReply, Setattr, setmask, sugid_clear};
use mfs_proto::register::disables;

use super::attr::{self, Viewer};
use super::operation;
use super::rights::{self, User};
use crate::context::Ctx;

/// Setuid and setgid.
const SUGID: u16 = 0o6000;
const SGID: u16 = 0o2000;

/// Bits that change the owner or the group.
const OWNERSHIP: u8 = setmask::UID | setmask::GID;

/// SETATTR 410.
pub(super) fn setattr(ctx: &Ctx<'_>, r: &Setattr<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    ctx.count(operation::SETATTR);
    let params = &ctx.conn.params;
    if r.setmask & OWNERSHIP != 0 {
        rights::enabled(params, disables::CHOWN)?;
    }
    if r.setmask & setmask::MODE != 0 {
        rights::enabled(params, disables::CHMOD)?;
    }
    if r.setmask & setmask::WINATTR != 0 && !ctx.version().has_attr36() {
        return Err(Status::Einval);
    }
    rights::writable(params)?;
    let user = User::new(params, &r.cred);
    let mut txn = ctx.begin();
    let now = txn.now();
    let meta = txn.meta();
    let find = if r.opened {
        rights::find_opened
    } else {
        rights::find
    };
    let node = find(meta, params.root_inode, r.inode)?;
    rights::lacks(&node, eattr::IMMUTABLE)?;
    may_set(meta, params, &user, r, &node)?;
    let op = plan(meta, &user, r, &node, now);
    let inode = node.inode;
    txn.apply(&op)?;
    let attr = attr::record_of(txn.meta(), &Viewer::from(&user), inode, 0)?;
    Reply::Setattr(AttrReply { attr }).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// Whether the caller may change what the request names.
fn may_set(
    meta: &Metadata,
    params: &SessionParams,
    user: &User,
    r: &Setattr<'_>,
    node: &NodeInfo<'_>,
) -> Result<(), Status> {
    let has = |bits: u8| r.setmask & bits != 0;
    let require = |allowed: bool| if allowed { Ok(()) } else { Err(Status::Eperm) };
    if user.uid == 0 || is_kernel_clearing(r, node.mode()) {
        return Ok(());
    }
    require(!(user.is_mapped_with_all() && has(OWNERSHIP)))?;
    if !user.owns(node) {
        require(!has(setmask::MODE
            | OWNERSHIP
            | setmask::ATIME
            | setmask::MTIME))?;
        if has(setmask::ATIME_NOW | setmask::MTIME_NOW) {
            user.need(meta, node.inode, W)?;
        }
    }
    require(!has(setmask::UID) || r.uid == user.uid)?;
    let any_group = params.flags & SESFLAG_IGNOREGID != 0;
    require(!has(setmask::GID) || any_group || user.gids().contains(&r.gid))
}

/// The kernel of a client takes setuid and setgid away when somebody writes to a file.
fn is_kernel_clearing(r: &Setattr<'_>, old: u16) -> bool {
    r.setmask == setmask::MODE && old & SUGID != 0 && r.mode & 0o7777 == old & !SUGID
}

/// What a change of owner or group takes from the mode (spec 07 §7.4.8 rule 5).
fn cleared(r: &Setattr<'_>, user: &User, node: &NodeInfo<'_>, old: u16) -> u16 {
    if r.setmask & OWNERSHIP == 0 || old & SUGID == 0 {
        return 0;
    }
    let by_user = if user.uid == 0 { 0 } else { SUGID };
    // Also under an ACL it is the entry of the group that counts, not the mask that is shown.
    let as_ext = if node.mode() & 0o010 != 0 {
        SUGID
    } else {
        0o4000
    };
    let is_dir = node.kind() == Kind::Directory;
    match r.sugidclearmode {
        sugid_clear::ALWAYS => SUGID,
        sugid_clear::OSX => by_user,
        sugid_clear::BSD if r.setmask & setmask::GID != 0 && r.gid != node.gid() => by_user,
        sugid_clear::EXT if !is_dir => as_ext,
        sugid_clear::XFS if !is_dir => as_ext,
        sugid_clear::XFS => by_user,
        _ => 0,
    }
}

/// The line for a request that is allowed: all attributes as they will be.
fn plan(
    meta: &Metadata,
    user: &User,
    r: &Setattr<'_>,
    node: &NodeInfo<'_>,
    now: u32,
) -> Op<'static> {
    let has = |bits: u8| r.setmask & bits != 0;
    let pick = |bit: u8, new: u32, old: u32| if has(bit) { new } else { old };
    let uid = pick(setmask::UID, r.uid, node.uid());
    let gid = pick(setmask::GID, r.gid, node.gid());
    let old = attr::shown_mode(meta, node);
    let clear = cleared(r, user, node, old);
    let mut asked = None;
    if has(setmask::MODE) {
        let mut mode = r.mode & 0o7777;
        if has(OWNERSHIP) {
            // The kernel of the client has cleared them already; the rule above decides.
            mode |= old & SUGID;
        }
        mode &= !clear;
        if user.uid != 0 && !user.gids().contains(&gid) {
            mode &= !SGID;
        }
        asked = Some(mode);
    }
    let (mode, aclmode) = match node
        .has_access_acl()
        .then(|| meta.acl(node.inode, AclType::Access))
        .flatten()
    {
        None => (asked.unwrap_or(node.mode() & !clear), 0),
        // The group bits go to the mask; those of the node stay.
        Some(_) => {
            let shown = asked.unwrap_or(old & !clear);
            let own = match asked {
                Some(mode) => mode & !0o070 | node.mode() & 0o070,
                None => node.mode() & !clear,
            };
            (own, ACLMODE_VALID | shown & 0o777)
        }
    };
    let time = |now_bit: u8, bit: u8, new: u32, old: u32| {
        if has(now_bit) {
            now
        } else {
            pick(bit, new, old)
        }
    };
    Op::Attr {
        inode: node.inode,
        mode,
        uid,
        gid,
        atime: time(setmask::ATIME_NOW, setmask::ATIME, r.atime, node.atime()),
        mtime: time(setmask::MTIME_NOW, setmask::MTIME, r.mtime, node.mtime()),
        winattr: if has(setmask::WINATTR) {
            r.winattr
        } else {
            node.winattr()
        },
        aclmode,
    }
}
