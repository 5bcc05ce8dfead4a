//! Names: `CREATE SYMLINK LINK UNLINK MOVE RENUMERATEEDGES` and the building blocks B6 to B9.

use super::{Applied, good_name};
use crate::op::Outcome;
use crate::paged::NIL;
use crate::records::{Acl, AclType, Kind};
use crate::rows::Node;
use crate::state::{DEFAULT_TRASHTIME, Metadata, SYMLINK_MAX, eattr};
use crate::status::Status;
use crate::tables::{EDGE_ID_MAX, ROOT};
use triomphe::Arc;

/// Bits that children inherit from a directory.
const INHERITED: u8 =
    eattr::NOOWNER | eattr::NOATTRCACHE | eattr::NOENTRYCACHE | eattr::NODATACACHE;

/// Mode, access ACL and default ACL of a new node under a default ACL (spec 03 B6 step 6).
fn inherit_acl(default: &Acl, mode: u16) -> (u16, Option<Acl>) {
    let simple = default.named_users.is_empty()
        && default.named_groups.is_empty()
        && default.user <= 7
        && default.group <= 7
        && default.other <= 7
        && default.mask == 0xFFFF;
    if simple {
        let perm = default.user << 6 | default.group << 3 | default.other;
        return (mode & (0o7000 | perm), None);
    }
    let acl = Acl {
        user: mode >> 6 & 7 & default.user,
        group: default.group,
        other: mode & 7 & default.other,
        mask: mode >> 3 & 7 & default.mask,
        named_users: default.named_users.clone(),
        named_groups: default.named_groups.clone(),
    };
    (
        mode & 0o7000 | acl.user << 6 | (acl.group & 7) << 3 | acl.other,
        Some(acl),
    )
}

/// What a new node is made of (B6).
pub(super) struct NewNode<'a> {
    pub(super) parent: u32,
    pub(super) name: &'a [u8],
    pub(super) kind: Kind,
    pub(super) mode: u16,
    pub(super) umask: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Metadata {
    /// B6: creates a node under a name that is free.
    pub(super) fn create_node(&mut self, ts: u32, new: &NewNode<'_>) -> Result<u32, Status> {
        let parent = *self.need(new.parent)?;
        let inode = self.allocate_inode()?;
        let mut node = Node::new(new.kind);
        (node.atime, node.mtime, node.ctime) = (ts, ts, ts);
        if new.kind.has_sclass() {
            node.sclass = parent.sclass;
            node.trashtime = parent.trashtime;
        } else {
            node.trashtime = DEFAULT_TRASHTIME;
        }
        node.eattr = parent.eattr & INHERITED;
        if new.kind != Kind::Directory {
            node.eattr &= !eattr::NOENTRYCACHE;
        }
        node.uid = new.uid;
        node.gid = if parent.mode() & 0o2000 != 0 {
            parent.gid
        } else {
            new.gid
        };
        let default = if parent.has_default_acl() {
            self.t.acls.get(&(new.parent, AclType::Default)).cloned()
        } else {
            None
        };
        match default {
            None => node.set_mode(new.mode & !new.umask),
            Some(default) => {
                let (mode, access) = inherit_acl(&default, new.mode);
                node.set_mode(mode);
                if let Some(access) = access {
                    node.set_has_access_acl(true);
                    self.t
                        .acls
                        .insert((inode, AclType::Access), Arc::new(access));
                }
                if new.kind == Kind::Directory {
                    node.set_has_default_acl(true);
                    self.t.acls.insert((inode, AclType::Default), default);
                }
            }
        }
        self.add_node(inode, node);
        self.link(ts, new.parent, inode, new.name);
        Ok(inode)
    }

    /// B7: removes a name, and with the last one the node (or keeps it in the trash or as sustained).
    pub(super) fn unlink_name(&mut self, ts: u32, edge: u32) {
        let inode = self.t.edges.at(edge).child;
        let Some(&node) = self.t.node(inode) else {
            return;
        };
        let last_name = node.parents == edge && self.t.edges.at(edge).next_name == NIL;
        let kept = if node.kind() != Kind::File || !last_name {
            None
        } else if node.trashtime > 0 {
            Some(Kind::Trash)
        } else if self.is_open(inode) {
            Some(Kind::Sustained)
        } else {
            None
        };
        let path = kept.map(|_| self.path_of_edge(edge));
        self.unlink_edge(ts, edge);
        if self.t.node(inode).is_some_and(|n| n.parents != NIL) {
            return;
        }
        match (kept, path) {
            (Some(kind), Some(path)) => {
                self.change_kind(inode, kind);
                let id = self.take_edge_id();
                self.add_detached(inode, id, &path);
            }
            _ => self.remove_node(ts, inode),
        }
    }

    fn check_new_name(&self, parent: u32, name: &[u8]) -> Result<(), Status> {
        self.need_dir(parent, Status::Enotdir)?;
        good_name(name)?;
        if self.find_edge(parent, name).is_some() {
            Err(Status::Eexist)
        } else {
            Ok(())
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the arguments of the line")]
    pub(super) fn op_create(
        &mut self,
        ts: u32,
        parent: u32,
        name: &[u8],
        kind: u8,
        mode: u16,
        umask: u16,
        uid: u32,
        gid: u32,
        rdev: u32,
    ) -> Applied {
        let kind = match Kind::from_u8(kind) {
            Some(k) if k != Kind::Symlink && !k.is_detached() => k,
            _ => return Err(Status::Einval),
        };
        self.check_new_name(parent, name)?;
        let inode = self.create_node(
            ts,
            &NewNode {
                parent,
                name,
                kind,
                mode,
                umask,
                uid,
                gid,
            },
        )?;
        if matches!(kind, Kind::BlockDevice | Kind::CharDevice) {
            self.node_mut(inode).set_rdev(rdev);
        }
        Ok(Outcome::Inode(inode))
    }

    pub(super) fn op_symlink(
        &mut self,
        ts: u32,
        parent: u32,
        name: &[u8],
        path: &[u8],
        uid: u32,
        gid: u32,
    ) -> Applied {
        if path.is_empty() || path.len() > SYMLINK_MAX {
            return Err(Status::Einval);
        }
        self.check_new_name(parent, name)?;
        let new = NewNode {
            parent,
            name,
            kind: Kind::Symlink,
            mode: 0o777,
            umask: 0,
            uid,
            gid,
        };
        let inode = self.create_node(ts, &new)?;
        self.set_symlink_target(inode, path);
        Ok(Outcome::Inode(inode))
    }

    /// Sets the target of a symlink that has names, with the figures above it.
    pub(super) fn set_symlink_target(&mut self, inode: u32, path: &[u8]) {
        let Some(&node) = self.t.node(inode) else {
            return;
        };
        let before = self.t.figures(&node);
        let (cell, len) = node.target();
        if len > 0 {
            self.t.bytes.remove(len, cell);
        }
        let cell = if path.is_empty() {
            0
        } else {
            self.t.bytes.insert(path)
        };
        let node = self.node_mut(inode);
        node.set_target(cell, path.len());
        let node = *node;
        let after = self.t.figures(&node);
        let parents: Vec<u32> = self.t.names_of(&node).map(|(_, e)| e.parent).collect();
        for parent in parents {
            self.add_figures(parent, &after, &before);
        }
    }

    pub(super) fn op_link(&mut self, ts: u32, inode: u32, parent: u32, name: &[u8]) -> Applied {
        let node = self.need(inode)?;
        match node.kind() {
            k if k.is_detached() => return Err(Status::Enoent),
            Kind::Directory => return Err(Status::Eperm),
            _ => {}
        }
        self.check_new_name(parent, name)?;
        self.link(ts, parent, inode, name);
        Ok(Outcome::None)
    }

    pub(super) fn op_unlink(&mut self, ts: u32, parent: u32, name: &[u8]) -> Applied {
        self.need_dir(parent, Status::Enotdir)?;
        good_name(name)?;
        let edge = self.find_edge(parent, name).ok_or(Status::Enoent)?;
        let inode = self.t.edges.at(edge).child;
        self.check_empty(inode)?;
        self.unlink_name(ts, edge);
        Ok(Outcome::Inode(inode))
    }

    fn check_empty(&self, inode: u32) -> Result<(), Status> {
        let node = self.need(inode)?;
        if node.kind() == Kind::Directory && self.t.dirs.at(node.dir()).entries > 0 {
            return Err(Status::Enotempty);
        }
        Ok(())
    }

    /// True when `dir` is `above` or lies below it.
    pub fn is_at_or_below(&self, dir: u32, above: u32) -> bool {
        let mut at = dir;
        loop {
            if at == above {
                return true;
            }
            let Some(node) = self.t.node(at) else {
                return false;
            };
            if at == ROOT || node.parents == NIL {
                return false;
            }
            at = self.t.edges.at(node.parents).parent;
        }
    }

    pub(super) fn op_move(
        &mut self,
        ts: u32,
        parent1: u32,
        name1: &[u8],
        parent2: u32,
        name2: &[u8],
    ) -> Applied {
        let (dir1, dir2) = (self.need(parent1)?.kind(), self.need(parent2)?.kind());
        if dir1 != Kind::Directory {
            return Err(Status::Enotdir);
        }
        good_name(name1)?;
        let edge = self.find_edge(parent1, name1).ok_or(Status::Enoent)?;
        if dir2 != Kind::Directory {
            return Err(Status::Enotdir);
        }
        let inode = self.t.edges.at(edge).child;
        if self.need(inode)?.kind() == Kind::Directory && self.is_at_or_below(parent2, inode) {
            return Err(Status::Einval);
        }
        good_name(name2)?;
        let target = self.find_edge(parent2, name2);
        if target == Some(edge) {
            return Ok(Outcome::Inode(inode));
        }
        if let Some(target) = target {
            self.check_empty(self.t.edges.at(target).child)?;
            self.unlink_name(ts, target);
        }
        if parent1 == parent2 {
            self.rename_edge(ts, edge, name2);
        } else {
            self.unlink_edge(ts, edge);
            self.link(ts, parent2, inode, name2);
        }
        Ok(Outcome::Inode(inode))
    }

    pub(super) fn op_renumerate_edges(&mut self) -> Applied {
        let mut next = EDGE_ID_MAX - 1;
        let mut stack = vec![ROOT];
        let mut below = Vec::new();
        while let Some(dir) = stack.pop() {
            let Some(node) = self.t.node(dir).copied() else {
                continue;
            };
            let d = *self.t.dirs.at(node.dir());
            next -= u64::from(d.entries);
            let mut id = next;
            let mut at = d.first;
            below.clear();
            while at != NIL {
                let e = self.t.edges.at_mut(at);
                e.set_id(id);
                id += 1;
                let (child, after) = (e.child, e.next);
                if self
                    .t
                    .node(child)
                    .is_some_and(|n| n.kind() == Kind::Directory)
                {
                    below.push(child);
                }
                at = after;
            }
            stack.extend(below.iter().rev());
        }
        self.t.next_edge = next;
        Ok(Outcome::EdgeId(next))
    }
}
