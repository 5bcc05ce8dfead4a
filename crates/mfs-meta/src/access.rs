//! Who may do what with a node (spec 07 §7.4.2, §7.11.5). One rule for the live master's checks and for
//! the checks that snapshots repeat on replay.

use crate::records::{Acl, AclType};
use crate::rows::Node;
use crate::state::{Metadata, eattr};
use crate::tables::Tables;

/// Read permission in an access mask.
pub const R: u8 = 4;
/// Write permission in an access mask.
pub const W: u8 = 2;
/// Execute or search permission in an access mask.
pub const X: u8 = 1;

/// Session flag: group and other bits count together.
pub const SESFLAG_IGNOREGID: u8 = 0x04;

/// Set of allowed rwx combinations: bit n is set when combination n (r 4, w 2, x 1) is allowed. Indexed by
/// permission bits.
const ALLOWED: [u8; 8] = [0x01, 0x03, 0x05, 0x0F, 0x11, 0x33, 0x55, 0xFF];

fn allowed(perm: u16) -> u8 {
    ALLOWED[usize::from(perm & 7)]
}

/// Who asks, after the session's mapping.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// User id.
    pub uid: u32,
    /// Group ids, the primary one first.
    pub gids: &'a [u32],
    /// Flags of the session.
    pub sesflags: u8,
}

fn acl_allows(acl: &Acl, node: &Node, caller: &Caller<'_>) -> u8 {
    if caller.uid == node.uid {
        return allowed(acl.user);
    }
    if let Some((_, perm)) = acl.named_users.iter().find(|(uid, _)| *uid == caller.uid) {
        return allowed(perm & acl.mask);
    }
    let mut bits = 0;
    let mut member = false;
    if caller.gids.contains(&node.gid) {
        member = true;
        bits |= allowed(acl.group & acl.mask);
    }
    for (gid, perm) in &acl.named_groups {
        if caller.gids.contains(gid) {
            member = true;
            bits |= allowed(perm & acl.mask);
        }
    }
    if member { bits } else { allowed(acl.other) }
}

impl Tables {
    /// The rwx combinations that `caller` has on a node.
    pub(crate) fn allowed_modes(&self, inode: u32, node: &Node, caller: &Caller<'_>) -> u8 {
        if caller.uid == 0 {
            return 0xFF;
        }
        if node.has_access_acl()
            && let Some(acl) = self.acls.get(&(inode, AclType::Access))
        {
            return acl_allows(acl, node, caller);
        }
        let mode = node.mode();
        if caller.uid == node.uid || node.eattr & eattr::NOOWNER != 0 {
            allowed(mode >> 6)
        } else if caller.sesflags & SESFLAG_IGNOREGID != 0 {
            allowed(mode >> 3 | mode)
        } else if caller.gids.contains(&node.gid) {
            allowed(mode >> 3)
        } else {
            allowed(mode)
        }
    }
}

impl Metadata {
    /// The rwx combinations that `caller` has on a node: bit n set when combination n is allowed. 0 for a
    /// missing node.
    pub fn allowed_modes(&self, inode: u32, caller: &Caller<'_>) -> u8 {
        self.t
            .node(inode)
            .map_or(0, |node| self.t.allowed_modes(inode, node, caller))
    }

    /// True when `caller` has all rights of `mask` ([`R`], [`W`], [`X`]).
    pub fn may(&self, inode: u32, caller: &Caller<'_>, mask: u8) -> bool {
        self.allowed_modes(inode, caller) >> (mask & 7) & 1 != 0
    }
}
