//! Who asks and what they may: mapping of callers, what a session sees, what it must not do (spec 07 §7.4).

use mfs_meta::records::{Kind, SessionParams};
use mfs_meta::{Caller, Metadata, NodeInfo, R, ROOT, Status, W, X, eattr, is_bad_name};
use mfs_proto::client::Cred;
use mfs_proto::register::session_flags;
use smallvec::SmallVec;

/// Read and search.
pub(super) const RX: u8 = R | X;
/// Write and search: what changing the entries of a directory needs.
pub(super) const WX: u8 = W | X;

/// Bits that keep an object from being removed or replaced.
pub(super) const KEPT: u8 = eattr::UNDELETABLE | eattr::APPENDONLY | eattr::IMMUTABLE;

/// The caller of a request, as sent and as the session maps it (spec 07 §7.4.1).
pub(super) struct User {
    /// User id after the mapping.
    pub(super) uid: u32,
    /// User id as sent.
    pub(super) sent_uid: u32,
    /// Primary group as sent.
    pub(super) sent_gid: u32,
    /// Groups after the mapping, the primary one first. Never empty.
    gids: SmallVec<[u32; 16]>,
    /// Flags of the session.
    flags: u8,
}

impl User {
    /// Maps credentials: user and primary group; the other groups stay as they were sent.
    #[inline]
    pub(super) fn new(params: &SessionParams, cred: &Cred<'_>) -> User {
        User::from_ids(params, cred.uid, cred.gids.iter())
    }

    /// The caller of a request that has no more than a user and a group.
    #[inline]
    pub(super) fn of(params: &SessionParams, uid: u32, gid: u32) -> User {
        User::from_ids(params, uid, std::iter::once(gid))
    }

    fn from_ids(params: &SessionParams, uid: u32, gids: impl Iterator<Item = u32>) -> User {
        let mut gids: SmallVec<[u32; 16]> = gids.collect();
        if gids.is_empty() {
            gids.push(mfs_proto::client::Gids::NONE);
        }
        let sent_gid = gids[0];
        let mapped = if uid == 0 {
            gids[0] = params.root_gid;
            params.root_uid
        } else if maps_all(params) {
            gids[0] = params.mapall_gid;
            params.mapall_uid
        } else {
            uid
        };
        User {
            uid: mapped,
            sent_uid: uid,
            sent_gid,
            gids,
            flags: params.flags,
        }
    }

    /// Primary group after the mapping.
    #[inline]
    pub(super) fn gid(&self) -> u32 {
        self.gids[0]
    }

    /// Groups after the mapping.
    pub(super) fn gids(&self) -> &[u32] {
        &self.gids
    }

    /// The caller as the metadata wants to know them.
    #[inline]
    pub(super) fn caller(&self) -> Caller<'_> {
        Caller {
            uid: self.uid,
            gids: &self.gids,
            sesflags: self.flags,
        }
    }

    /// Whether the session maps everybody to one user.
    #[inline]
    pub(super) fn is_mapped_with_all(&self) -> bool {
        self.flags & session_flags::MAP_ALL != 0
    }

    /// EACCES unless the caller has all rights of `mask`.
    #[inline]
    pub(super) fn need(&self, meta: &Metadata, inode: u32, mask: u8) -> Result<(), Status> {
        if meta.may(inode, &self.caller(), mask) {
            Ok(())
        } else {
            Err(Status::Eacces)
        }
    }

    /// Whether the caller counts as the owner.
    pub(super) fn owns(&self, node: &NodeInfo<'_>) -> bool {
        owns(self.uid, node)
    }

    /// Whether the sticky bit of a directory lets the caller remove or rename this entry of it.
    pub(super) fn may_unstick(&self, dir: &NodeInfo<'_>, object: &NodeInfo<'_>) -> bool {
        dir.mode() & 0o1000 == 0 || self.owns(dir) || self.owns(object)
    }
}

/// Whether a mapped user id counts as the owner of an object.
pub(super) fn owns(uid: u32, node: &NodeInfo<'_>) -> bool {
    uid == 0 || uid == node.uid() || node.eattr() & eattr::NOOWNER != 0
}

/// A user id that comes without groups, mapped.
pub(super) fn map_uid(params: &SessionParams, uid: u32) -> u32 {
    if uid == 0 {
        params.root_uid
    } else if maps_all(params) {
        params.mapall_uid
    } else {
        uid
    }
}

fn maps_all(params: &SessionParams) -> bool {
    params.flags & session_flags::MAP_ALL != 0
}

/// EPERM if the session has this operation disabled (a bit of [`mfs_proto::register::disables`]).
#[inline]
pub(super) fn enabled(params: &SessionParams, operation: u32) -> Result<(), Status> {
    if params.disables & operation == 0 {
        Ok(())
    } else {
        Err(Status::Eperm)
    }
}

/// EROFS for a read-only session.
#[inline]
pub(super) fn writable(params: &SessionParams) -> Result<(), Status> {
    if params.flags & session_flags::READ_ONLY == 0 {
        Ok(())
    } else {
        Err(Status::Erofs)
    }
}

/// Whether the session may administrate.
pub(super) fn is_admin(params: &SessionParams) -> bool {
    params.flags & session_flags::ADMIN != 0
}

/// EPERM if the object has one of these extra attribute bits.
#[inline]
pub(super) fn lacks(node: &NodeInfo<'_>, bits: u8) -> Result<(), Status> {
    if node.eattr() & bits == 0 {
        Ok(())
    } else {
        Err(Status::Eperm)
    }
}

/// The object that a session means by a number (spec 07 §7.4.3): below its root, whose number is 1 for it. A meta
/// session (`root` 0) sees what has no name any more.
#[inline]
pub(super) fn find(meta: &Metadata, root: u32, inode: u32) -> Result<NodeInfo<'_>, Status> {
    let node = find_opened(meta, root, inode)?;
    if root > ROOT && inode != ROOT && !is_below(meta, &node, root) {
        return Err(Status::Enoent);
    }
    Ok(node)
}

/// As [`find`] for what a client has open: it need not be below the root of the session any more.
#[inline]
pub(super) fn find_opened(meta: &Metadata, root: u32, inode: u32) -> Result<NodeInfo<'_>, Status> {
    meta.node(meant(root, inode))
        .filter(|node| root != 0 || node.kind().is_detached())
        .ok_or(Status::Enoent)
}

/// Whether one of the names of an object is below a directory. The directory itself is not.
fn is_below(meta: &Metadata, node: &NodeInfo<'_>, dir: u32) -> bool {
    node.names()
        .any(|(parent, _)| parent != 0 && meta.is_at_or_below(parent, dir))
}

/// The directory that a session means by a number: ENOENT, ENOTDIR.
pub(super) fn find_dir(meta: &Metadata, root: u32, inode: u32) -> Result<NodeInfo<'_>, Status> {
    let dir = find(meta, root, inode)?;
    if dir.kind() == Kind::Directory {
        Ok(dir)
    } else {
        Err(Status::Enotdir)
    }
}

/// EPERM for what is neither a file nor a detached file.
pub(super) fn need_file(node: &NodeInfo<'_>) -> Result<(), Status> {
    if node.kind().is_file_like() {
        Ok(())
    } else {
        Err(Status::Eperm)
    }
}

/// EINVAL for a name that no directory may hold.
pub(super) fn good_name(name: &[u8]) -> Result<(), Status> {
    if is_bad_name(name) {
        Err(Status::Einval)
    } else {
        Ok(())
    }
}

/// The object that a session with this root (0: a meta session) means by a number.
#[inline]
pub(super) fn meant(root: u32, inode: u32) -> u32 {
    if inode == ROOT && root != 0 {
        root
    } else {
        inode
    }
}

/// The number that the session knows a directory by.
pub(super) fn shown(root: u32, inode: u32) -> u32 {
    if inode == root { ROOT } else { inode }
}
