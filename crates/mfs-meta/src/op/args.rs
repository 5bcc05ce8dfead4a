//! Arguments of the rare operations with many fields; boxed, so that [`Op`](super::Op) stays small.

use super::Bytes;

/// Arguments of `SETACL(inode,mode,chg,type,user,group,other,mask,nusers,ngroups,blob)`
/// (spec 03 §6.4).
#[derive(Clone, Debug, PartialEq)]
pub struct SetAclArgs<'a> {
    /// Any type of node.
    pub inode: u32,
    /// Resulting mode of the node.
    pub mode: u16,
    /// ctime := time of the line.
    pub chg: bool,
    /// 1 access, 2 default; others are status 6.
    pub acl_type: u8,
    /// Permissions of the owner.
    pub user: u16,
    /// Permissions of the group.
    pub group: u16,
    /// Permissions of others.
    pub other: u16,
    /// Mask, 0xFFFF for none.
    pub mask: u16,
    /// Number of named users in `blob`.
    pub nusers: u16,
    /// Number of named groups in `blob`, behind the users.
    pub ngroups: u16,
    /// Named entries, each `id: u32, perm: u16`, big-endian. A length other than 6 bytes per entry
    /// is status 32.
    pub blob: Bytes<'a>,
}

/// Arguments of `SNAPSHOT(src,parent,name,smode,sesflags,uid,[gids],umask)` (spec 03 §6.7).
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotArgs<'a> {
    /// Source node; 0 when deleting.
    pub src: u32,
    /// Directory that gets the copy.
    pub parent: u32,
    /// Name of the copy.
    pub name: Bytes<'a>,
    /// 0x01 overwrite, 0x02 cp-like attributes, 0x04 force removal, 0x08 preserve hard links,
    /// 0x80 delete.
    pub smode: u8,
    /// Flags of the session that asks.
    pub sesflags: u8,
    /// Who asks.
    pub uid: u32,
    /// Groups of who asks, the main one first. Empty (which is status 32) for an empty list and for
    /// an old binary list of the wrong length.
    pub gids: Vec<u32>,
    /// umask of who asks.
    pub umask: u16,
}

/// Arguments of `QUOTA(inode,exceeded,flags,since,…,grace)` (spec 03 §6.9).
#[derive(Clone, Debug, PartialEq)]
pub struct QuotaArgs {
    /// Directory.
    pub inode: u32,
    /// The soft limits count as hard ones.
    pub exceeded: u8,
    /// Which limits are set: 0x01 soft inodes, 0x02 soft length, 0x04 soft size, 0x08 soft real size,
    /// 0x10…0x80 the same hard. 0 drops the quota.
    pub flags: u8,
    /// Since when a soft limit is exceeded, 0 for not.
    pub since: u32,
    /// Soft limit of inodes.
    pub sinodes: u32,
    /// Hard limit of inodes.
    pub hinodes: u32,
    /// Soft limit of length, bytes.
    pub slength: u64,
    /// Hard limit of length, bytes.
    pub hlength: u64,
    /// Soft limit of size, bytes.
    pub ssize: u64,
    /// Hard limit of size, bytes.
    pub hsize: u64,
    /// Soft limit of real size, bytes.
    pub srealsize: u64,
    /// Hard limit of real size, bytes.
    pub hrealsize: u64,
    /// Grace period in seconds; 0 (also in old lines, which have none) keeps the old one.
    pub grace: u32,
}

/// Arguments of `SCSET(name,new,Wc,Kk,Aa,mode,delay,admin,masks…)` (spec 03 §6.10).
///
/// A label term is an OR-group: four bit masks of labels, all 0 for "any". More than
/// [`MAX_LABEL_TERMS`](super::MAX_LABEL_TERMS) terms of one kind, or none, is status 6.
#[derive(Clone, Debug, PartialEq)]
pub struct ScSetArgs<'a> {
    /// Class name.
    pub name: Bytes<'a>,
    /// The class is made, else changed.
    pub new: bool,
    /// Terms while writing (`W`).
    pub create: Vec<[u32; 4]>,
    /// Terms for keeping (`K`).
    pub keep: Vec<[u32; 4]>,
    /// Terms for archived chunks (`A`).
    pub archive: Vec<[u32; 4]>,
    /// 0 loose, 1 standard, 2 strict.
    pub mode: u8,
    /// Days until archiving.
    pub delay: u16,
    /// 1: only administrators may give this class.
    pub admin: u8,
}

/// Fields of a session in `SESADD` and `SESCHANGED` (spec 03 §6.11).
#[derive(Clone, Debug, PartialEq)]
pub struct SessionArgs<'a> {
    /// Checksum of the exports line; 0 in old lines without it.
    pub csum: u64,
    /// Root inode, 0 for a meta session.
    pub root: u32,
    /// Session flags; bit 0x80 is dropped when stored.
    pub flags: u8,
    /// umask of the session; 0 in old lines without it.
    pub umask: u16,
    /// uid that root is mapped to.
    pub rootuid: u32,
    /// gid that root is mapped to.
    pub rootgid: u32,
    /// uid that everyone is mapped to.
    pub mapalluid: u32,
    /// gid that everyone is mapped to.
    pub mapallgid: u32,
    /// Lowest goal allowed.
    pub mingoal: u8,
    /// Highest goal allowed.
    pub maxgoal: u8,
    /// Shortest trash time allowed, seconds.
    pub mintrash: u32,
    /// Longest trash time allowed, seconds.
    pub maxtrash: u32,
    /// Disabled commands, one bit each; 0 in old lines without it.
    pub disables: u32,
    /// Client's IPv4 address, most significant byte first.
    pub ip: u32,
    /// Mount point as the client names it; trailing NUL bytes are dropped when stored.
    pub info: Bytes<'a>,
}
