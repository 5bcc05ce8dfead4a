//! Attributes, times, extended attributes and ACLs (spec 03 §6.1, §6.4).

use super::Applied;
use crate::op::{ACLMODE_VALID, Outcome, SetAclArgs};
use crate::records::{Acl, AclType};
use crate::state::{Metadata, NAME_MAX};
use crate::status::Status;
use crate::tables::Xattr;
use triomphe::Arc;

/// Longest value of an extended attribute, bytes.
pub(crate) const XATTR_VALUE_MAX: usize = 65536;
/// Longest list of names of an inode, bytes, each name counted with its NUL.
pub(crate) const XATTR_LIST_MAX: usize = 65536;

impl Metadata {
    pub(super) fn op_set_meta_id(&mut self, id: u64) -> Applied {
        if self.t.meta_id != 0 && self.t.meta_id != id {
            return Err(Status::Einval);
        }
        self.t.meta_id = id;
        Ok(Outcome::None)
    }

    pub(super) fn op_access(&mut self, ts: u32, inode: u32) -> Applied {
        self.need(inode)?;
        self.node_mut(inode).atime = ts;
        Ok(Outcome::None)
    }

    pub(super) fn op_amtime(&mut self, inode: u32, atime: u32, mtime: u32, ctime: u32) -> Applied {
        self.need(inode)?;
        let node = self.node_mut(inode);
        (node.atime, node.mtime, node.ctime) = (atime, mtime, ctime);
        Ok(Outcome::None)
    }

    #[expect(clippy::too_many_arguments, reason = "the arguments of the line")]
    pub(super) fn op_attr(
        &mut self,
        ts: u32,
        inode: u32,
        mode: u16,
        uid: u32,
        gid: u32,
        atime: u32,
        mtime: u32,
        winattr: u8,
        aclmode: u16,
    ) -> Applied {
        if mode > 0o7777 {
            return Err(Status::Einval);
        }
        self.need(inode)?;
        let node = self.node_mut(inode);
        node.set_mode(mode);
        (node.uid, node.gid) = (uid, gid);
        (node.atime, node.mtime, node.ctime) = (atime, mtime, ts);
        node.winattr = winattr;
        if node.has_access_acl() {
            let bits = if aclmode & ACLMODE_VALID != 0 {
                aclmode
            } else {
                mode & 0o707 | 0o070
            };
            if let Some(acl) = self.t.acls.get_mut(&(inode, AclType::Access)) {
                let acl = Arc::make_mut(acl);
                acl.user = acl.user & !7 | bits >> 6 & 7;
                acl.mask = acl.mask & !7 | bits >> 3 & 7;
                acl.other = acl.other & !7 | bits & 7;
            }
        }
        Ok(Outcome::None)
    }

    /// The checks of `SETXATTR`, for the live master to ask before it logs.
    pub fn check_set_xattr(
        &self,
        inode: u32,
        name: &[u8],
        value: &[u8],
        mode: u32,
    ) -> Result<(), Status> {
        if name.is_empty() || name.len() > NAME_MAX || value.len() > XATTR_VALUE_MAX || mode > 3 {
            return Err(Status::Einval);
        }
        self.need(inode)?;
        let list = self.t.xattrs.get(&inode);
        let exists = list.is_some_and(|l| l.iter().any(|x| *x.name == *name));
        match mode {
            1 if exists => return Err(Status::Eexist),
            2 | 3 if !exists => return Err(Status::Enoattr),
            _ => {}
        }
        if mode != 3 && !exists {
            let held: usize = list.map_or(0, |l| l.iter().map(|x| x.name.len() + 1).sum());
            if held + name.len() + 1 > XATTR_LIST_MAX {
                return Err(Status::Erange);
            }
        }
        Ok(())
    }

    pub(super) fn op_set_xattr(
        &mut self,
        ts: u32,
        inode: u32,
        name: &[u8],
        value: &[u8],
        mode: u32,
    ) -> Applied {
        self.check_set_xattr(inode, name, value, mode)?;
        if mode == 3 {
            let empty = match self.t.xattrs.get_mut(&inode) {
                Some(list) => {
                    let list = Arc::make_mut(list);
                    list.retain(|x| *x.name != *name);
                    list.is_empty()
                }
                None => true,
            };
            if empty {
                self.t.xattrs.remove(&inode);
                self.node_mut(inode).set_has_xattr(false);
            }
        } else {
            let list = Arc::make_mut(
                self.t
                    .xattrs
                    .entry(inode)
                    .or_insert_with(|| Arc::new(Vec::new())),
            );
            match list.iter_mut().find(|x| *x.name == *name) {
                Some(x) => x.value = value.into(),
                None => list.insert(
                    0,
                    Xattr {
                        name: name.into(),
                        value: value.into(),
                    },
                ),
            }
            self.node_mut(inode).set_has_xattr(true);
        }
        self.node_mut(inode).ctime = ts;
        Ok(Outcome::None)
    }

    pub(super) fn op_set_acl(&mut self, ts: u32, a: &SetAclArgs<'_>) -> Applied {
        if a.blob.len() != 6 * (usize::from(a.nusers) + usize::from(a.ngroups)) {
            return Err(Status::Mismatch);
        }
        self.need(a.inode)?;
        let kind = AclType::from_u8(a.acl_type).ok_or(Status::Einval)?;
        let mut entries = a.blob.chunks_exact(6).map(|e| {
            (
                u32::from_be_bytes([e[0], e[1], e[2], e[3]]),
                u16::from_be_bytes([e[4], e[5]]),
            )
        });
        let acl = Acl {
            user: a.user,
            group: a.group,
            other: a.other,
            mask: a.mask,
            named_users: entries.by_ref().take(usize::from(a.nusers)).collect(),
            named_groups: entries.collect(),
        };
        let nameless = acl.named_users.is_empty() && acl.named_groups.is_empty();
        if nameless && acl.user & acl.group & acl.other & acl.mask == 0xFFFF {
            self.store_acl(a.inode, kind, None);
            return Ok(Outcome::None);
        }
        let minimal =
            nameless && acl.user <= 7 && acl.group <= 7 && acl.other <= 7 && acl.mask == 0xFFFF;
        let drop = kind == AclType::Access && minimal;
        self.store_acl(a.inode, kind, if drop { None } else { Some(Arc::new(acl)) });
        let node = self.node_mut(a.inode);
        node.set_mode(a.mode);
        if a.chg {
            node.ctime = ts;
        }
        Ok(Outcome::None)
    }

    /// Sets or drops an ACL and the mark in the node.
    pub(crate) fn store_acl(&mut self, inode: u32, kind: AclType, acl: Option<Arc<Acl>>) {
        let on = acl.is_some();
        match acl {
            Some(acl) => {
                self.t.acls.insert((inode, kind), acl);
            }
            None => {
                self.t.acls.remove(&(inode, kind));
            }
        }
        let node = self.node_mut(inode);
        match kind {
            AclType::Access => node.set_has_access_acl(on),
            AclType::Default => node.set_has_default_acl(on),
        }
    }
}
