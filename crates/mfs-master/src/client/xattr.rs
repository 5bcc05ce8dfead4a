//! Extended attributes and ACLs (spec 04 §7.9, spec 07 §7.11).

use mfs_meta::op::{Op, SetAclArgs};
use mfs_meta::records::AclType;
use mfs_meta::{NodeInfo, R, Status, W, Xattr, eattr};
use mfs_proto::client::Reply;
use mfs_proto::client::xattr::{
    Acl, AclEntry, Getfacl, Getxattr, GetxattrReply, Setfacl, Setxattr, getxattr_mode,
    setxattr_mode,
};
use mfs_proto::register::disables;
use mfs_proto::wire::List;

use super::rights::{self, User};
use crate::context::Ctx;

/// Longest value, bytes.
const VALUE_MAX: usize = 65_536;

/// GETXATTR 478: a value, or the list of names.
pub(super) fn get(ctx: &Ctx<'_>, r: &Getxattr<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    if r.mode > getxattr_mode::LENGTH {
        return Err(Status::Einval);
    }
    let params = &ctx.conn.params;
    let user = User::new(params, &r.cred);
    let state = ctx.read();
    let meta = &state.meta;
    let find = if r.opened {
        rights::find_opened
    } else {
        rights::find
    };
    let node = find(meta, params.root_inode, r.inode)?;
    if user.uid != 0 && r.name.starts_with(b"trusted.") {
        return Err(Status::Eperm);
    }
    if !r.opened {
        user.need(meta, node.inode, R)?;
    }
    if r.name.contains(&0) {
        return Err(Status::Einval);
    }
    let list = meta.xattrs(node.inode);
    let names;
    let value = if r.name.is_empty() {
        names = names_of(list);
        &names
    } else {
        let found = list.iter().find(|x| *x.name == *r.name);
        &*found.ok_or(Status::Enoattr)?.value
    };
    let reply = if r.mode == getxattr_mode::LENGTH {
        GetxattrReply::Length(value.len() as u32)
    } else {
        GetxattrReply::Value(value)
    };
    Reply::Getxattr(reply).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// All names, a zero byte behind each.
fn names_of(list: &[Xattr]) -> Vec<u8> {
    let mut names = Vec::new();
    for xattr in list {
        names.extend_from_slice(&xattr.name);
        names.push(0);
    }
    names
}

/// SETXATTR 480.
pub(super) fn set(ctx: &Ctx<'_>, r: &Setxattr<'_>) -> Result<(), Status> {
    let params = &ctx.conn.params;
    rights::enabled(params, disables::SETXATTR)?;
    rights::writable(params)?;
    let user = User::new(params, &r.cred);
    let mut txn = ctx.begin();
    let meta = txn.meta();
    let find = if r.opened {
        rights::find_opened
    } else {
        rights::find
    };
    let node = find(meta, params.root_inode, r.inode)?;
    may_set(&user, r.name, &node)?;
    rights::lacks(&node, eattr::IMMUTABLE)?;
    if !r.opened {
        user.need(meta, node.inode, W)?;
    }
    if r.name.is_empty() || r.name.contains(&0) || r.mode > setxattr_mode::REMOVE {
        return Err(Status::Einval);
    }
    let value = if r.mode == setxattr_mode::REMOVE {
        &[]
    } else {
        r.value
    };
    if value.len() > VALUE_MAX {
        return Err(Status::Erange);
    }
    let op = Op::SetXattr {
        inode: node.inode,
        name: r.name.into(),
        value: value.into(),
        mode: r.mode.into(),
    };
    txn.apply(&op).map(drop)
}

/// Some name spaces are not for everybody.
fn may_set(user: &User, name: &[u8], node: &NodeInfo<'_>) -> Result<(), Status> {
    let privileged = name.starts_with(b"trusted.") || name.starts_with(b"security.");
    let refused = privileged && user.uid != 0 || name.starts_with(b"system.") && !user.owns(node);
    if refused { Err(Status::Eperm) } else { Ok(()) }
}

/// GETFACL 488.
pub(super) fn get_acl(ctx: &Ctx<'_>, r: &Getfacl, out: &mut Vec<u8>) -> Result<(), Status> {
    let state = ctx.read();
    let meta = &state.meta;
    let node = rights::find(meta, ctx.conn.params.root_inode, r.inode)?;
    // There is no ACL of a kind that does not exist.
    let acl = AclType::from_u8(r.acl_type)
        .and_then(|kind| meta.acl(node.inode, kind))
        .ok_or(Status::Enoattr)?;
    let users = entries(&acl.named_users);
    let groups = entries(&acl.named_groups);
    Reply::Getfacl(Acl {
        user: acl.user,
        group: acl.group,
        other: acl.other,
        mask: acl.mask,
        users: List::from(&users),
        groups: List::from(&groups),
    })
    .encode(r.mid, ctx.version(), out);
    Ok(())
}

fn entries(named: &[(u32, u16)]) -> Vec<AclEntry> {
    named
        .iter()
        .map(|&(id, perm)| AclEntry { id, perm })
        .collect()
}

/// SETFACL 490.
pub(super) fn set_acl(ctx: &Ctx<'_>, r: &Setfacl<'_>) -> Result<(), Status> {
    let params = &ctx.conn.params;
    rights::enabled(params, disables::SETFACL)?;
    rights::writable(params)?;
    let uid = rights::map_uid(params, r.uid);
    let mut txn = ctx.begin();
    let node = rights::find(txn.meta(), params.root_inode, r.inode)?;
    if !rights::owns(uid, &node) {
        return Err(Status::Eperm);
    }
    rights::lacks(&node, eattr::IMMUTABLE)?;
    let kind = AclType::from_u8(r.acl_type).ok_or(Status::Einval)?;
    let op = Op::SetAcl(Box::new(acl_line(r, kind, &node, txn.now())));
    txn.apply(&op).map(drop)
}

/// The line for an ACL: what the request leaves out comes from the mode, and an access ACL sets the mode.
fn acl_line(r: &Setfacl<'_>, kind: AclType, node: &NodeInfo<'_>, now: u32) -> SetAclArgs<'static> {
    let acl = &r.acl;
    let removal = acl.is_removal();
    let old = node.mode();
    let fill = |perm: u16, shift: u16| {
        if perm == Acl::ABSENT && !removal {
            old >> shift & 7
        } else {
            perm
        }
    };
    let (user, group, other) = (fill(acl.user, 6), fill(acl.group, 3), fill(acl.other, 0));
    let mode = if kind == AclType::Access && !removal {
        old & 0o7000 | (user & 7) << 6 | (group & 7) << 3 | other & 7
    } else {
        old
    };
    let mut blob = Vec::new();
    for entry in acl.users.iter().chain(acl.groups.iter()) {
        blob.extend_from_slice(&entry.id.to_be_bytes());
        blob.extend_from_slice(&entry.perm.to_be_bytes());
    }
    SetAclArgs {
        inode: node.inode,
        mode,
        // The line tells whether the change time is that of the line.
        chg: mode != old || node.ctime() == now,
        acl_type: kind as u8,
        user,
        group,
        other,
        mask: acl.mask,
        nusers: acl.users.len() as u16,
        ngroups: acl.groups.len() as u16,
        blob: blob.into(),
    }
}
