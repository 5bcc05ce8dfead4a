//! Attribute records, GETATTR and ACCESS (spec 04 §5.3, §7.3; spec 07 §7.5.1).

use mfs_meta::records::{AclType, Kind};
use mfs_meta::{Metadata, NodeInfo, Status, W, eattr};
use mfs_proto::client::attr::{Access, AttrReply, Getattr};
use mfs_proto::client::{Attr, FileType, Reply, mattr};

use super::operation;
use super::rights::{self, KEPT, User};
use crate::context::Ctx;

/// To whom an attribute record is shown.
#[derive(Clone, Copy)]
pub(super) struct Viewer {
    uid: u32,
    gid: u32,
    sent_uid: u32,
    sent_gid: u32,
    map_all: bool,
}

impl Viewer {
    /// Sees everything as it is.
    pub(super) const SUPERUSER: Viewer = Viewer {
        uid: 0,
        gid: 0,
        sent_uid: 0,
        sent_gid: 0,
        map_all: false,
    };

    /// The caller of a request.
    #[inline]
    pub(super) fn from(user: &User) -> Viewer {
        Viewer {
            uid: user.uid,
            gid: user.gid(),
            sent_uid: user.sent_uid,
            sent_gid: user.sent_gid,
            map_all: user.is_mapped_with_all(),
        }
    }

    /// Mode, owner and group as this viewer sees them.
    #[inline(always)]
    fn presentation(&self, node: &NodeInfo<'_>, mode: u16) -> (u16, u32, u32) {
        if node.eattr() & eattr::NOOWNER != 0 && self.uid != 0 {
            let owner = mode >> 6 & 7;
            let mode = mode & 0o7700 | owner << 3 | owner;
            return if self.map_all {
                (mode, self.sent_uid, self.sent_gid)
            } else {
                (mode, self.uid, self.gid)
            };
        }
        if self.map_all && self.sent_uid != 0 {
            let own = |is_own: bool, sent: u32| if is_own { sent } else { 0 };
            let uid = own(node.uid() == self.uid, self.sent_uid);
            let gid = own(node.gid() == self.gid, self.sent_gid);
            return (mode, uid, gid);
        }
        (mode, node.uid(), node.gid())
    }
}

/// The mode with the rights of the access ACL, if there is one.
pub(super) fn shown_mode(meta: &Metadata, node: &NodeInfo<'_>) -> u16 {
    let mode = node.mode();
    if !node.has_access_acl() {
        return mode;
    }
    match meta.acl(node.inode, AclType::Access) {
        Some(acl) => mode & 0o7000 | (acl.user & 7) << 6 | (acl.mask & 7) << 3 | acl.other & 7,
        None => mode,
    }
}

/// The type that clients see.
pub(super) fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::File | Kind::Trash | Kind::Sustained => FileType::File,
        Kind::Directory => FileType::Directory,
        Kind::Symlink => FileType::Symlink,
        Kind::Fifo => FileType::Fifo,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::CharDevice => FileType::CharDevice,
        Kind::Socket => FileType::Socket,
    }
}

/// What a directory shows as its size: about the length of everything below (spec 04 §5.3).
fn directory_size(length: u64) -> u64 {
    let scaled = |shift: u32| (length * 100) >> shift;
    match length {
        0 => 1,
        1..0x400 => length * 100,
        0x400..0x10_0000 => scaled(10) + 1_000_000,
        0x10_0000..0x4000_0000 => scaled(20) + 2_000_000,
        0x4000_0000..0x100_0000_0000 => scaled(30) + 3_000_000,
        0x100_0000_0000..0x4_0000_0000_0000 => scaled(40) + 4_000_000,
        0x4_0000_0000_0000..0x1000_0000_0000_0000 => (((length >> 10) * 100) >> 40) + 5_000_000,
        _ => (((length >> 10) * 100) >> 50) + 6_000_000,
    }
}

/// The attribute record of an object. `parent_eattr` are the extra attributes of the directory that the request
/// named, 0 where it named none.
#[inline(always)]
pub(super) fn record(
    meta: &Metadata,
    viewer: &Viewer,
    node: &NodeInfo<'_>,
    parent_eattr: u8,
) -> Attr {
    let bits = node.eattr();
    let mut flags = 0;
    let mut set = |condition: bool, flag: u8| {
        if condition {
            flags |= flag;
        }
    };
    set(
        bits & (eattr::NOOWNER | eattr::NOATTRCACHE) != 0 || viewer.map_all,
        mattr::NO_ATTR_CACHE,
    );
    set(
        parent_eattr & eattr::NOENTRYCACHE != 0,
        mattr::NO_ENTRY_CACHE,
    );
    if bits & eattr::NODATACACHE == 0 {
        set(true, mattr::ALLOW_DATA_CACHE);
    } else {
        set(true, mattr::DIRECT_MODE);
    }
    let plain = !node.has_xattr() && !node.has_access_acl() && !node.has_default_acl();
    set(plain, mattr::NO_XATTR);
    set(bits & KEPT != 0, mattr::UNDELETABLE);
    let (mode, uid, gid) = viewer.presentation(node, shown_mode(meta, node));
    let kind = node.kind();
    Attr {
        mattr: flags,
        file_type: file_type(kind),
        mode,
        uid,
        gid,
        atime: node.atime(),
        mtime: node.mtime(),
        ctime: node.ctime(),
        nlink: node.nlink(),
        size: match kind {
            Kind::Directory => directory_size(node.below().length),
            Kind::Symlink => node.target().map_or(0, |target| target.len() as u64),
            Kind::BlockDevice | Kind::CharDevice => Attr::device(node.rdev()),
            _ => node.length(),
        },
        winattr: node.winattr(),
    }
}

/// The record of an object by its real number, after a change.
pub(super) fn record_of(
    meta: &Metadata,
    viewer: &Viewer,
    inode: u32,
    parent_eattr: u8,
) -> Result<Attr, Status> {
    let node = meta.node(inode).ok_or(Status::Enoent)?;
    Ok(record(meta, viewer, &node, parent_eattr))
}

/// GETATTR 408.
pub(super) fn getattr(ctx: &Ctx<'_>, r: &Getattr, out: &mut Vec<u8>) -> Result<(), Status> {
    ctx.count(operation::GETATTR);
    let params = &ctx.conn.params;
    let viewer = Viewer::from(&User::of(params, r.uid, r.gid));
    let state = ctx.read();
    let find = if r.opened {
        rights::find_opened
    } else {
        rights::find
    };
    let node = find(&state.meta, params.root_inode, r.inode)?;
    let attr = record(&state.meta, &viewer, &node, 0);
    Reply::Getattr(AttrReply { attr }).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// ACCESS 404.
pub(super) fn access(ctx: &Ctx<'_>, r: &Access<'_>) -> Result<(), Status> {
    let params = &ctx.conn.params;
    let mask = (r.mode & 7) as u8;
    if mask & W != 0 {
        rights::writable(params)?;
    }
    let user = User::new(params, &r.cred);
    let state = ctx.read();
    let node = rights::find_opened(&state.meta, params.root_inode, r.inode)?;
    if mask & W != 0 {
        rights::lacks(&node, eattr::IMMUTABLE)?;
    }
    user.need(&state.meta, node.inode, mask)
}

#[cfg(test)]
mod tests {
    use super::directory_size;

    #[test]
    fn directory_sizes_tell_magnitude_and_two_decimals() {
        for (length, size) in [
            (0, 1),
            (1, 100),
            (1023, 102_300),
            (1024, 1_000_100),
            (69_997, 1_006_835),
            ((1 << 20) - 1, 1_102_399),
            (1_124_000, 2_000_107),
            (1 << 30, 3_000_100),
            (1 << 40, 4_000_100),
            (1 << 50, 5_000_100),
            (1 << 60, 6_000_100),
            (u64::MAX, 6_001_599),
        ] {
            assert_eq!(directory_size(length), size, "length {length}");
        }
    }
}
