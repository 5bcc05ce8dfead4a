//! The rows of the big tables. Everything here is `Copy`, four-byte aligned and counted in bytes: these
//! rows are what a file costs (a file with one chunk: 56 node + 36 edge + 24 chunk + its name + 16 for each of two index entries).

use crate::paged::{NIL, Slot};
use crate::records::Kind;

/// Two halves of a u64, so that rows need no eight-byte alignment.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wide([u32; 2]);

impl Wide {
    #[inline]
    pub(crate) fn get(self) -> u64 {
        u64::from(self.0[0]) | u64::from(self.0[1]) << 32
    }
}

impl From<u64> for Wide {
    #[inline]
    fn from(v: u64) -> Self {
        Wide([v as u32, (v >> 32) as u32])
    }
}

/// Flags kept in the upper four bits of a node's mode word.
const HAS_XATTR: u16 = 0x1000;
const HAS_ACCESS_ACL: u16 = 0x2000;
const HAS_DEFAULT_ACL: u16 = 0x4000;

/// A node; found by its inode number. A row of kind 0 is vacant.
#[derive(Clone, Copy, Default)]
pub(crate) struct Node {
    /// Low four bits kind, high four bits the copies that `realsize` counts.
    kind_ratio: u8,
    pub(crate) sclass: u8,
    pub(crate) eattr: u8,
    pub(crate) winattr: u8,
    mode_flags: u16,
    pub(crate) trashtime: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) atime: u32,
    pub(crate) mtime: u32,
    pub(crate) ctime: u32,
    /// First edge that names this node (newest first), or its detached edge.
    pub(crate) parents: u32,
    /// Names of a non-directory; 2 + subdirectories of a directory.
    pub(crate) nlink: u32,
    /// Chunk slots of a file-like node.
    pub(crate) slots: u32,
    /// File-like: length. Symlink: target cell and length. Device: rdev.
    a: Wide,
    /// File-like: the chunk id (one slot) or the chunk list row (more). Directory: its [`Dir`] row.
    b: Wide,
}

impl Node {
    pub(crate) fn new(kind: Kind) -> Node {
        Node {
            kind_ratio: kind as u8,
            ..Node::default()
        }
    }

    #[inline]
    pub(crate) fn is_vacant(&self) -> bool {
        self.kind_ratio & 15 == 0
    }

    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        Kind::from_u8(self.kind_ratio & 15).unwrap_or(Kind::File)
    }

    pub(crate) fn set_kind(&mut self, kind: Kind) {
        self.kind_ratio = self.kind_ratio & 0xF0 | kind as u8;
    }

    #[inline]
    pub(crate) fn ratio(&self) -> u8 {
        self.kind_ratio >> 4
    }

    pub(crate) fn set_ratio(&mut self, ratio: u8) {
        self.kind_ratio = self.kind_ratio & 15 | ratio << 4;
    }

    #[inline]
    pub(crate) fn mode(&self) -> u16 {
        self.mode_flags & 0o7777
    }

    pub(crate) fn set_mode(&mut self, mode: u16) {
        self.mode_flags = self.mode_flags & 0xF000 | mode & 0o7777;
    }

    pub(crate) fn has_xattr(&self) -> bool {
        self.mode_flags & HAS_XATTR != 0
    }

    pub(crate) fn has_access_acl(&self) -> bool {
        self.mode_flags & HAS_ACCESS_ACL != 0
    }

    pub(crate) fn has_default_acl(&self) -> bool {
        self.mode_flags & HAS_DEFAULT_ACL != 0
    }

    fn flag(&mut self, bit: u16, on: bool) {
        self.mode_flags = if on {
            self.mode_flags | bit
        } else {
            self.mode_flags & !bit
        };
    }

    pub(crate) fn set_has_xattr(&mut self, on: bool) {
        self.flag(HAS_XATTR, on);
    }

    pub(crate) fn set_has_access_acl(&mut self, on: bool) {
        self.flag(HAS_ACCESS_ACL, on);
    }

    pub(crate) fn set_has_default_acl(&mut self, on: bool) {
        self.flag(HAS_DEFAULT_ACL, on);
    }

    /// Length of a file-like node.
    #[inline]
    pub(crate) fn length(&self) -> u64 {
        self.a.get()
    }

    /// Length, 0 for other types.
    pub(crate) fn length_if_file(&self) -> u64 {
        if self.kind().is_file_like() {
            self.length()
        } else {
            0
        }
    }

    pub(crate) fn set_length(&mut self, length: u64) {
        self.a = length.into();
    }

    /// Device number of a device node.
    pub(crate) fn rdev(&self) -> u32 {
        self.a.0[0]
    }

    pub(crate) fn set_rdev(&mut self, rdev: u32) {
        self.a = u64::from(rdev).into();
    }

    /// Cell and length of a symlink's target.
    pub(crate) fn target(&self) -> (u32, usize) {
        (self.a.0[0], self.a.0[1] as usize)
    }

    pub(crate) fn set_target(&mut self, cell: u32, len: usize) {
        self.a = Wide([cell, len as u32]);
    }

    /// The raw second word: one chunk id, or a row number.
    #[inline]
    pub(crate) fn data(&self) -> u64 {
        self.b.get()
    }

    pub(crate) fn set_data(&mut self, v: u64) {
        self.b = v.into();
    }

    /// Row of a directory's figures.
    #[inline]
    pub(crate) fn dir(&self) -> u32 {
        self.b.0[0]
    }
}

/// A name in a directory, or the detached path of a trash or sustained node. `child` 0 is vacant.
#[derive(Clone, Copy, Default)]
pub(crate) struct Edge {
    /// Directory; 0 when detached.
    pub(crate) parent: u32,
    pub(crate) child: u32,
    pub(crate) id: Wide,
    /// Cell of the name.
    pub(crate) name: u32,
    pub(crate) len: u16,
    /// Detached edges: 1 in a trash bucket, 2 in a sustained bucket.
    pub(crate) bucket_kind: u16,
    /// Neighbours in the directory (ids ascending = newest first) or in the bucket.
    pub(crate) prev: u32,
    pub(crate) next: u32,
    /// Next name of the same child.
    pub(crate) next_name: u32,
}

impl Edge {
    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.id.get()
    }

    pub(crate) fn set_id(&mut self, id: u64) {
        self.id = id.into();
    }
}

impl Slot for Edge {
    fn free_link(&self) -> u32 {
        self.next
    }

    fn release(&mut self, next: u32) {
        *self = Edge {
            next,
            ..Edge::default()
        };
    }
}

/// Figures of everything below a directory (spec 07 §7.5.3).
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct TreeStats {
    /// Names of objects.
    pub inodes: u32,
    /// Directories.
    pub dirs: u32,
    /// Files.
    pub files: u32,
    /// Chunks.
    pub chunks: u32,
    /// Sum of lengths, bytes.
    pub length: u64,
    /// Sum of sizes on chunkservers of one copy, bytes.
    pub size: u64,
    /// Sum of sizes of all copies, bytes.
    pub realsize: u64,
}

impl TreeStats {
    /// Adds. Figures wrap like those of the original; they are shown, never trusted.
    pub fn add(&mut self, o: &TreeStats) {
        self.inodes = self.inodes.wrapping_add(o.inodes);
        self.dirs = self.dirs.wrapping_add(o.dirs);
        self.files = self.files.wrapping_add(o.files);
        self.chunks = self.chunks.wrapping_add(o.chunks);
        self.length = self.length.wrapping_add(o.length);
        self.size = self.size.wrapping_add(o.size);
        self.realsize = self.realsize.wrapping_add(o.realsize);
    }

    /// Takes away.
    pub fn sub(&mut self, o: &TreeStats) {
        self.inodes = self.inodes.wrapping_sub(o.inodes);
        self.dirs = self.dirs.wrapping_sub(o.dirs);
        self.files = self.files.wrapping_sub(o.files);
        self.chunks = self.chunks.wrapping_sub(o.chunks);
        self.length = self.length.wrapping_sub(o.length);
        self.size = self.size.wrapping_sub(o.size);
        self.realsize = self.realsize.wrapping_sub(o.realsize);
    }
}

/// What a directory has beyond its node. A row whose `inode` is 0 is vacant.
#[derive(Clone, Copy, Default)]
pub(crate) struct Dir {
    pub(crate) inode: u32,
    /// First child edge (newest), or the free link.
    pub(crate) first: u32,
    pub(crate) entries: u32,
    pub(crate) stats: TreeStats,
}

impl Slot for Dir {
    fn free_link(&self) -> u32 {
        self.first
    }

    fn release(&mut self, next: u32) {
        *self = Dir {
            first: next,
            ..Dir::default()
        };
    }
}

/// A chunk. Id 0 is vacant.
#[derive(Clone, Copy, Default)]
pub(crate) struct Chunk {
    pub(crate) id: Wide,
    pub(crate) version: u32,
    pub(crate) locked_to: u32,
    /// Slots that name it.
    pub(crate) refs: u32,
    /// Storage class of its files, when all have the same.
    pub(crate) sclass: u8,
    pub(crate) archived: bool,
    /// Its files have several classes: counted in a side table.
    pub(crate) mixed: bool,
    /// It stands in the list of changed chunks.
    pub(crate) noted: bool,
}

impl Chunk {
    pub(crate) fn new(id: u64, version: u32, locked_to: u32) -> Chunk {
        Chunk {
            id: id.into(),
            version,
            locked_to,
            ..Chunk::default()
        }
    }

    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.id.get()
    }
}

impl Slot for Chunk {
    fn free_link(&self) -> u32 {
        self.refs
    }

    fn release(&mut self, next: u32) {
        *self = Chunk {
            refs: next,
            ..Chunk::default()
        };
    }
}

/// An open file: a pair of session and inode.
#[derive(Clone, Copy, Default)]
pub(crate) struct Open {
    pub(crate) inode: u32,
    pub(crate) session: u32,
    /// Neighbours in the session's list; `next` is the free link of a vacant row.
    pub(crate) prev: u32,
    pub(crate) next: u32,
    /// Neighbours in the inode's list.
    pub(crate) prev_of_inode: u32,
    pub(crate) next_of_inode: u32,
    /// Inode 0 is legal in changelogs (`ACQUIRE(s,0)`), so vacancy needs its own mark.
    pub(crate) live: bool,
}

impl Slot for Open {
    fn free_link(&self) -> u32 {
        self.next
    }

    fn release(&mut self, next: u32) {
        *self = Open {
            next,
            ..Open::default()
        };
    }
}

const _: () = {
    assert!(size_of::<Node>() == 56);
    assert!(size_of::<Edge>() == 36);
    assert!(size_of::<Chunk>() == 24);
    assert!(NIL == 0);
};
