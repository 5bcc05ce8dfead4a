//! Storage classes of objects and trees (spec 04 §7.11, spec 07 §7.7.3). The classes themselves are in [`admin`].

pub(super) mod admin;

use std::collections::BTreeMap;

use mfs_meta::op::Op;
use mfs_meta::records::SessionParams;
use mfs_meta::{Metadata, NodeInfo, Status, eattr};
use mfs_proto::Version;
use mfs_proto::client::Reply;
use mfs_proto::client::property::{
    ChangedReply, ClassCount, ClassRef, ClassReply, GetProperty, Setsclass, smode,
};
use mfs_proto::register::disables;
use mfs_proto::wire::List;

use super::property::{self, changed, find_classed, good_mode, histogram, is_recursive};
use super::{Done, rights};
use crate::context::Ctx;
use crate::master::Txn;

/// The last of the classes that always exist, `1` to `9`: n copies anywhere.
const LAST_BUILTIN: u8 = 9;

/// GETSCLASS 446.
pub(super) fn get(ctx: &Ctx<'_>, r: &GetProperty, out: &mut Vec<u8>) -> Result<(), Status> {
    let recursive = is_recursive(r)?;
    let version = ctx.version();
    let inode = property::classed_inode(ctx, r.inode)?;
    let found = histogram(ctx, inode, recursive, |meta, node| {
        node.kind()
            .has_sclass()
            .then(|| known_class(meta, version, node.sclass()))
    });
    let state = ctx.read();
    let meta = &state.meta;
    let list = |group: BTreeMap<u8, u32>| -> Vec<ClassCount<'_>> {
        let item = |(id, count)| ClassCount {
            class: class_ref(meta, id),
            count,
        };
        group.into_iter().map(item).collect()
    };
    let (files, dirs) = (list(found.files), list(found.dirs));
    Reply::Getsclass(ClassReply {
        files: List::from(&files),
        dirs: List::from(&dirs),
    })
    .encode(r.mid, version, out);
    Ok(())
}

/// Clients that know no names see the class with as many copies.
fn known_class(meta: &Metadata, version: Version, id: u8) -> u8 {
    if version.has_named_classes() || id <= LAST_BUILTIN {
        return id;
    }
    let copies = meta.sclass(id).map_or(1, |class| class.def.keep.len());
    (copies as u8).clamp(1, LAST_BUILTIN)
}

fn class_ref(meta: &Metadata, id: u8) -> ClassRef<'_> {
    match meta.sclass(id) {
        Some(class) if id > LAST_BUILTIN => ClassRef::Name(&class.name),
        _ => ClassRef::Number(id),
    }
}

/// A change of class that the session may ask for.
struct Change {
    inode: u32,
    uid: u32,
    /// Class to replace with the mode that exchanges, else the new one.
    src: u8,
    dst: u8,
    mode: u8,
    is_admin: bool,
}

impl Change {
    fn is_recursive(&self) -> bool {
        self.mode & smode::RECURSIVE != 0
    }

    fn op(&self, inode: u32, mode: u8) -> Op<'static> {
        Op::SetSclass {
            inode,
            uid: self.uid,
            src: self.src,
            dst: self.dst,
            smode: mode,
        }
    }

    /// Whether the object has a class that the mode replaces.
    fn concerns(&self, node: &NodeInfo<'_>) -> bool {
        match self.mode & smode::OPERATION_MASK {
            smode::SET => node.sclass() != self.dst,
            smode::INCREASE => node.sclass() < self.dst,
            smode::DECREASE => node.sclass() > self.dst,
            _ => node.sclass() == self.src,
        }
    }

    /// Whether the caller may change this object.
    fn may_touch(&self, node: &NodeInfo<'_>) -> bool {
        rights::owns(self.uid, node) && node.eattr() & eattr::IMMUTABLE == 0
    }

    /// Whether only administrators may give or take the class of this object.
    fn is_reserved(&self, meta: &Metadata, node: &NodeInfo<'_>) -> bool {
        let reserved = |id| {
            meta.sclass(id)
                .is_some_and(|class| class.def.admin_only != 0)
        };
        !self.is_admin && (reserved(node.sclass()) || reserved(self.dst))
    }

    /// Whether the caller may change the class of this object.
    fn may_change(&self, meta: &Metadata, node: &NodeInfo<'_>) -> bool {
        self.may_touch(node) && !self.is_reserved(meta, node)
    }

    /// Whether a line would change more than the caller may: lines do not know of reserved classes.
    fn line_goes_too_far(&self, meta: &Metadata) -> bool {
        if self.is_admin || meta.sclasses().all(|(_, class)| class.def.admin_only == 0) {
            return false;
        }
        let mut found = false;
        meta.visit(self.inode, self.is_recursive(), |_, node| {
            found |=
                node.kind().has_sclass() && self.may_touch(&node) && self.is_reserved(meta, &node);
        });
        found
    }
}

/// SETSCLASS 448.
pub(super) fn set(ctx: &Ctx<'_>, r: &Setsclass<'_>, out: &mut Vec<u8>) -> Result<Done, Status> {
    let params = &ctx.conn.params;
    rights::enabled(params, disables::SETSCLASS)?;
    if !r.has_legal_length() {
        return Ok(Done::Close("SETSCLASS is longer than its fields"));
    }
    let mut txn = ctx.begin();
    let change = may_set(txn.meta(), params, r)?;
    let reply = apply(&mut txn, &change)?;
    Reply::Setsclass(reply).encode(r.mid, ctx.version(), out);
    Ok(Done::Answered)
}

fn may_set(meta: &Metadata, params: &SessionParams, r: &Setsclass<'_>) -> Result<Change, Status> {
    let by_name = |name: &[u8]| meta.sclass_by_name(name).ok_or(Status::Einval);
    let dst = match r.class {
        ClassRef::Number(n @ 1..=LAST_BUILTIN) => n,
        ClassRef::Number(_) => return Err(Status::Einval),
        ClassRef::Name(name) => by_name(name)?,
    };
    let src = match (r.old_class, r.class) {
        (Some(name), _) => by_name(name)?,
        // Means nothing; what lines of the original have.
        (None, ClassRef::Name(_)) => 1,
        (None, ClassRef::Number(_)) => dst,
    };
    if dst <= LAST_BUILTIN {
        property::within(r.smode, dst, params.min_goal, params.max_goal)?;
    } else if matches!(
        r.smode & smode::OPERATION_MASK,
        smode::INCREASE | smode::DECREASE
    ) {
        return Err(Status::Einval);
    }
    good_mode(r.smode)?;
    rights::writable(params)?;
    let change = Change {
        inode: find_classed(meta, params.root_inode, r.inode)?.inode,
        uid: rights::map_uid(params, r.uid),
        src,
        dst,
        mode: r.smode,
        is_admin: rights::is_admin(params),
    };
    let copies = meta.sclass(dst).map_or(1, |class| class.copies());
    let grows = matches!(
        r.smode & smode::OPERATION_MASK,
        smode::SET | smode::INCREASE
    );
    let allowed = !grows
        || meta.quota_allows_copies(change.inode, change.is_recursive(), copies, |node| {
            change.concerns(node) && change.may_change(meta, node)
        });
    if allowed {
        Ok(change)
    } else {
        Err(Status::Quota)
    }
}

fn apply(txn: &mut Txn<'_>, change: &Change) -> Result<ChangedReply, Status> {
    let meta = txn.meta();
    if !change.line_goes_too_far(meta) {
        let outcome = txn.apply(&change.op(change.inode, change.mode))?;
        return changed(outcome);
    }
    // What the caller may not change is left out by writing a line for each of the others.
    let mut counts = ChangedReply::default();
    let mut todo = Vec::new();
    meta.visit(change.inode, change.is_recursive(), |_, node| {
        if !node.kind().has_sclass() {
            return;
        }
        if !change.may_change(meta, &node) {
            counts.not_permitted += 1;
        } else if change.concerns(&node) {
            todo.push(node.inode);
        } else {
            counts.not_changed += 1;
        }
    });
    if !change.is_recursive() && counts.not_permitted > 0 {
        return Err(Status::Eperm);
    }
    for inode in todo {
        // A second name of a file that was changed already counts as unchanged.
        let one = changed(txn.apply(&change.op(inode, change.mode & smode::OPERATION_MASK))?)?;
        counts.changed += one.changed;
        counts.not_changed += one.not_changed;
    }
    Ok(counts)
}
