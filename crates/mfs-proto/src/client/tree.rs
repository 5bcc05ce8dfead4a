//! Creating, removing, renaming and listing names (spec 04 §7.3 READLINK, §7.4, §7.5, §7.14 SNAPSHOT).

use super::common::{Attr, Cred};
pub use super::listing::{DirEntry, EntryInfo};
use super::{Body, Expect, mids};
use crate::frame::FrameBuf;
use crate::status::Status;
use crate::wire::{Fault, List, Reader, Writer, trim_zeros};

/// Answer of READLINK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadlinkReply<'a> {
    /// The target, without the zero byte that the wire has.
    pub target: &'a [u8],
}

impl<'a> Body<'a> for ReadlinkReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            target: r.str32z()?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.str32z(self.target);
    }
}

/// SYMLINK 414, answered with [`super::NewNode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symlink<'a> {
    /// Message id.
    pub mid: u32,
    /// The directory.
    pub parent: u32,
    /// Name of the link.
    pub name: &'a [u8],
    /// The target without trailing zero bytes; sent with one.
    pub target: &'a [u8],
    /// Who asks.
    pub cred: Cred<'a>,
}

impl<'a> Body<'a> for Symlink<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            parent: r.u32()?,
            name: r.name()?,
            target: trim_zeros(r.blob32()?),
            cred: Cred::take(r, 0)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.parent);
        w.name(self.name);
        w.str32z(self.target);
        self.cred.put(w);
    }
}

/// MKNOD 416, answered with [`super::NewNode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mknod<'a> {
    /// Message id.
    pub mid: u32,
    /// The directory.
    pub parent: u32,
    /// Name of the object.
    pub name: &'a [u8],
    /// Number (or old letter) of the type as sent, see
    /// [`FileType::from_number_or_letter`](crate::client::FileType::from_number_or_letter).
    pub kind: u8,
    /// Permission bits.
    pub mode: u16,
    /// Mask for the permission bits; old requests have none (0).
    pub umask: u16,
    /// Who asks.
    pub cred: Cred<'a>,
    /// Device number.
    pub rdev: u32,
}

impl<'a> Body<'a> for Mknod<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let mid = r.u32()?;
        let parent = r.u32()?;
        let name = r.name()?;
        let old = r.remaining() == 1 + 2 + 8 + 4;
        Ok(Self {
            mid,
            parent,
            name,
            kind: r.u8()?,
            mode: r.u16()?,
            umask: if old { 0 } else { r.u16()? },
            cred: Cred::take(r, 4)?,
            rdev: r.u32()?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.parent);
        w.name(self.name);
        w.u8(self.kind);
        w.u16(self.mode);
        w.u16(self.umask);
        self.cred.put(w);
        w.u32(self.rdev);
    }
}

/// MKDIR 418, answered with [`super::NewNode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mkdir<'a> {
    /// Message id.
    pub mid: u32,
    /// The directory to make it in.
    pub parent: u32,
    /// Its name.
    pub name: &'a [u8],
    /// Permission bits.
    pub mode: u16,
    /// Mask for the permission bits; old requests have none (0).
    pub umask: u16,
    /// Who asks.
    pub cred: Cred<'a>,
    /// Take over the setgid bit of the parent; never with old requests.
    pub copysgid: bool,
}

impl<'a> Body<'a> for Mkdir<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let mid = r.u32()?;
        let parent = r.u32()?;
        let name = r.name()?;
        let left = r.remaining();
        let shortest = left == 2 + 8;
        let old = shortest || left == 2 + 8 + 1;
        Ok(Self {
            mid,
            parent,
            name,
            mode: r.u16()?,
            umask: if old { 0 } else { r.u16()? },
            cred: Cred::take(r, usize::from(!shortest))?,
            // The byte of the old form is there but means nothing.
            copysgid: !shortest && r.u8()? != 0 && !old,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.parent);
        w.name(self.name);
        w.u16(self.mode);
        w.u16(self.umask);
        self.cred.put(w);
        w.u8(self.copysgid.into());
    }
}

/// CREATE 482: make a file and open it. Answered with [`CreateReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Create<'a> {
    /// Message id.
    pub mid: u32,
    /// The directory.
    pub parent: u32,
    /// Name of the file.
    pub name: &'a [u8],
    /// Permission bits.
    pub mode: u16,
    /// Mask for the permission bits; old requests have none (0).
    pub umask: u16,
    /// Who asks.
    pub cred: Cred<'a>,
}

impl<'a> Body<'a> for Create<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let mid = r.u32()?;
        let parent = r.u32()?;
        let name = r.name()?;
        let old = r.remaining() == 2 + 8;
        Ok(Self {
            mid,
            parent,
            name,
            mode: r.u16()?,
            umask: if old { 0 } else { r.u16()? },
            cred: Cred::take(r, 0)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.parent);
        w.name(self.name);
        w.u16(self.mode);
        w.u16(self.umask);
        self.cred.put(w);
    }
}

/// Answer of CREATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreateReply {
    /// Bits of [`super::attr::oflags`]; clients before 3.0.113 do not get them.
    pub oflags: u8,
    /// The new file.
    pub inode: u32,
    /// Its attributes.
    pub attr: Attr,
}

impl<'a> Body<'a> for CreateReply {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            oflags: if r.version().has_open_flags() {
                r.u8()?
            } else {
                0
            },
            inode: r.u32()?,
            attr: Attr::take(r)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        if w.version().has_open_flags() {
            w.u8(self.oflags);
        }
        w.u32(self.inode);
        self.attr.put(w);
    }
}

/// UNLINK 420 or RMDIR 422, answered with [`RemoveReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remove<'a> {
    /// Message id.
    pub mid: u32,
    /// The directory.
    pub parent: u32,
    /// The name to remove.
    pub name: &'a [u8],
    /// Who asks.
    pub cred: Cred<'a>,
}

impl<'a> Body<'a> for Remove<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            parent: r.u32()?,
            name: r.name()?,
            cred: Cred::take(r, 0)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.parent);
        w.name(self.name);
        self.cred.put(w);
    }
}

/// Success of UNLINK or RMDIR: the inode, or for old clients the status 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoveReply {
    /// The object that lost a name.
    pub inode: u32,
}

impl<'a> Body<'a> for RemoveReply {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        // Old clients get a status instead, which is not read here.
        if !r.version().has_removed_inode() {
            return Err(Fault::Length);
        }
        Ok(Self { inode: r.u32()? })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        if w.version().has_removed_inode() {
            w.u32(self.inode);
        } else {
            w.u8(Status::OK.0);
        }
    }
}

/// RENAME 424, answered with [`super::NewNode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rename<'a> {
    /// Message id.
    pub mid: u32,
    /// Directory of the old name.
    pub parent_src: u32,
    /// The old name.
    pub name_src: &'a [u8],
    /// Directory of the new name.
    pub parent_dst: u32,
    /// The new name.
    pub name_dst: &'a [u8],
    /// Who asks.
    pub cred: Cred<'a>,
}

impl<'a> Body<'a> for Rename<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            parent_src: r.u32()?,
            name_src: r.name()?,
            parent_dst: r.u32()?,
            name_dst: r.name()?,
            cred: Cred::take(r, 0)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.parent_src);
        w.name(self.name_src);
        w.u32(self.parent_dst);
        w.name(self.name_dst);
        self.cred.put(w);
    }
}

/// LINK 426, answered with [`super::NewNode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'a> {
    /// Message id.
    pub mid: u32,
    /// The object that gets another name.
    pub inode: u32,
    /// Directory of the new name.
    pub parent_dst: u32,
    /// The new name.
    pub name: &'a [u8],
    /// Who asks.
    pub cred: Cred<'a>,
}

impl<'a> Body<'a> for Link<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            inode: r.u32()?,
            parent_dst: r.u32()?,
            name: r.name()?,
            cred: Cred::take(r, 0)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        w.u32(self.parent_dst);
        w.name(self.name);
        self.cred.put(w);
    }
}

/// Bits of [`Readdir::flags`].
pub mod readdir_flags {
    /// Entries with attribute records.
    pub const WITH_ATTR: u8 = 1;
    /// The client will cache the entries; means nothing to the master.
    pub const ADD_TO_CACHE: u8 = 2;
}

/// Position in a listing and size of the answer; old requests have neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaddirPage {
    /// Most entries to return, `.` and `..` included; `u32::MAX` = all.
    pub maxentries: u32,
    /// Where to start: 0 = `.`, 1 = `..`, else the edge id of a child.
    pub nedgeid: u64,
}

/// READDIR 428, answered with [`ReaddirReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readdir<'a> {
    /// Message id.
    pub mid: u32,
    /// The directory.
    pub inode: u32,
    /// Who asks.
    pub cred: Cred<'a>,
    /// Bits of [`readdir_flags`].
    pub flags: u8,
    /// The part wanted. `None` (old request): everything, and the answer does not repeat the edge id. A
    /// request without it has a single group; more are not sent.
    pub page: Option<ReaddirPage>,
}

impl Readdir<'_> {
    /// Whether the entries of the answer carry attributes.
    #[inline]
    pub fn with_attr(&self) -> bool {
        self.flags & readdir_flags::WITH_ATTR != 0
    }
}

impl<'a> Body<'a> for Readdir<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let length = r.remaining();
        let mid = r.u32()?;
        let inode = r.u32()?;
        let (flags_len, page_len) = match length {
            16 => (0, 0),
            17 => (1, 0),
            _ => (1, 12),
        };
        Ok(Self {
            mid,
            inode,
            cred: Cred::take(r, flags_len + page_len)?,
            flags: if flags_len == 0 { 0 } else { r.u8()? },
            page: if page_len == 0 {
                None
            } else {
                Some(ReaddirPage {
                    maxentries: r.u32()?,
                    nedgeid: r.u64()?,
                })
            },
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        match self.page {
            Some(page) => {
                self.cred.put(w);
                w.u8(self.flags);
                w.u32(page.maxentries);
                w.u64(page.nedgeid);
            }
            None => {
                w.u32(self.cred.uid);
                w.u32(self.cred.gids.primary());
                w.u8(self.flags);
            }
        }
    }
}

/// Answer of READDIR. To send a listing without collecting it first, see [`super::ListFrame`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaddirReply<'a> {
    /// The edge id of the request, if it had one.
    pub nedgeid: Option<u64>,
    /// The entries.
    pub entries: List<'a, DirEntry<'a>>,
}

impl<'a> Body<'a> for ReaddirReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let has_nedgeid = !matches!(r.expect(), Expect::Readdir { nedgeid: false, .. });
        Ok(Self {
            nedgeid: if has_nedgeid { Some(r.u64()?) } else { None },
            entries: r.list()?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        if let Some(nedgeid) = self.nedgeid {
            w.u64(nedgeid);
        }
        w.list(&self.entries);
    }
}

/// Bits of [`Snapshot::smode`].
pub mod snapshot_mode {
    /// Overwrite what is there.
    pub const OVERWRITE: u8 = 0x01;
    /// Set owner, mode and times as `cp` does.
    pub const CP_LIKE: u8 = 0x02;
    /// Remove even what is not marked as a snapshot.
    pub const FORCE_REMOVAL: u8 = 0x04;
    /// Keep hard links within the copied tree.
    pub const PRESERVE_HARDLINKS: u8 = 0x08;
    /// Remove a snapshot tree instead of making one.
    pub const DELETE: u8 = 0x80;
}

/// SNAPSHOT 468; answered with a status only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot<'a> {
    /// Message id.
    pub mid: u32,
    /// What to copy; 0 with [`snapshot_mode::DELETE`].
    pub inode: u32,
    /// Directory to put it in.
    pub parent_dst: u32,
    /// Name to give it.
    pub name: &'a [u8],
    /// Who asks.
    pub cred: Cred<'a>,
    /// Bits of [`snapshot_mode`]; never [`snapshot_mode::CP_LIKE`] in the oldest form, which has no mask.
    pub smode: u8,
    /// Mask for the permission bits; the oldest form has none (0).
    pub umask: u16,
}

impl<'a> Body<'a> for Snapshot<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let mid = r.u32()?;
        let inode = r.u32()?;
        let parent_dst = r.u32()?;
        let name = r.name()?;
        let oldest = r.remaining() == 8 + 1;
        let cred = Cred::take(r, if oldest { 1 } else { 3 })?;
        let smode = r.u8()?;
        Ok(Self {
            mid,
            inode,
            parent_dst,
            name,
            cred,
            smode: if oldest {
                smode & !snapshot_mode::CP_LIKE
            } else {
                smode
            },
            umask: if oldest { 0 } else { r.u16()? },
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        w.u32(self.parent_dst);
        w.name(self.name);
        self.cred.put(w);
        w.u8(self.smode);
        w.u16(self.umask);
    }
}

mids!(
    Symlink<'_>,
    Mknod<'_>,
    Mkdir<'_>,
    Create<'_>,
    Remove<'_>,
    Rename<'_>,
    Link<'_>,
    Readdir<'_>,
    Snapshot<'_>,
);
