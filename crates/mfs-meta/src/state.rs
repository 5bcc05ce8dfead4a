//! [`Metadata`]: the durable tables with the indexes over them, and the primitives that operations are
//! made of (the building blocks of spec 03 §5).

use crate::index::RowIndex;
use crate::inodes::UsedInodes;
use crate::op::Tolerance;
use crate::opens::OpenIndex;
use crate::paged::NIL;
use crate::records::{AclType, Kind};
use crate::rows::{Dir, Node, TreeStats};
use crate::status::Status;
use crate::tables::{EDGE_ID_MAX, ROOT, Sclass, Tables};
use foldhash::SharedSeed;
use std::collections::{HashMap, VecDeque};
use triomphe::Arc;

/// Extra attribute bits (spec 03 §1).
pub mod eattr {
    /// Everyone counts as owner.
    pub const NOOWNER: u8 = 0x01;
    /// Clients do not cache attributes.
    pub const NOATTRCACHE: u8 = 0x02;
    /// Clients do not cache entries (directories).
    pub const NOENTRYCACHE: u8 = 0x04;
    /// Clients do not cache data.
    pub const NODATACACHE: u8 = 0x08;
    /// Made by a snapshot and not changed since.
    pub const SNAPSHOT: u8 = 0x10;
    /// Cannot be unlinked.
    pub const UNDELETABLE: u8 = 0x20;
    /// Can only grow.
    pub const APPENDONLY: u8 = 0x40;
    /// Cannot be changed.
    pub const IMMUTABLE: u8 = 0x80;
}

/// Longest name in a directory, bytes.
pub const NAME_MAX: usize = 255;
/// Longest path kept for a trash or sustained file, bytes.
pub const PATH_MAX: usize = 1024;
/// Longest symlink target, bytes.
pub const SYMLINK_MAX: usize = 4096;
/// Highest chunk index of a file.
pub const MAX_INDEX: u32 = 0x7FFF_FFFF;
/// Trash time of what has no trash time of its own, hours.
pub(crate) const DEFAULT_TRASHTIME: u16 = 24;

/// Files and directories that use a storage class. Derived.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct SclassUse {
    /// Files, trash and sustained ones included.
    pub files: u32,
    /// Directories.
    pub dirs: u32,
}

/// Counts over all nodes. Derived.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Directories.
    pub dirs: u32,
    /// Files with a name.
    pub files: u32,
    /// Files in the trash.
    pub trash: u32,
    /// Sustained files.
    pub sustained: u32,
    /// Length of files in the trash, bytes.
    pub trash_bytes: u64,
    /// Length of sustained files, bytes.
    pub sustained_bytes: u64,
}

/// The state of a master: namespace, chunks, sessions, locks and all that an image holds.
pub struct Metadata {
    pub(crate) t: Tables,
    pub(crate) seed: SharedSeed,
    pub(crate) edge_index: RowIndex,
    pub(crate) chunk_index: RowIndex,
    pub(crate) open_index: OpenIndex,
    pub(crate) used: UsedInodes,
    pub(crate) sclass_use: Box<[SclassUse; 256]>,
    /// Copies that the real size of a file counts, by class; 1 for unknown classes.
    copies: Box<[u8; 256]>,
    /// References by class of chunks whose files have several classes.
    pub(crate) mixed: HashMap<u64, Vec<(u8, u32)>>,
    /// References by class of chunks that slots name and that do not exist: theirs when they appear.
    pub(crate) missing: HashMap<u64, Vec<(u8, u32)>>,
    /// Rows of chunks whose classes or archive flag changed, if that is wanted.
    pub(crate) changed_chunks: Option<VecDeque<u32>>,
    pub(crate) totals: Totals,
    pub(crate) tolerance: Tolerance,
    /// Lock conflicts that the next `RELEASE` or `SESDEL` must resolve (spec 03 §9.2).
    pub(crate) pending_conflicts: Vec<crate::locks::PendingConflict>,
}

impl Metadata {
    /// No objects at all, not even a root: what an image is loaded into. `seed` keys the hash of names, so
    /// that clients cannot choose names that collide; it decides no result.
    pub(crate) fn blank(seed: u64) -> Metadata {
        let t = Tables {
            next_edge: EDGE_ID_MAX - 1,
            next_chunk: 1,
            next_session: 0,
            ..Tables::default()
        };
        let mut used = UsedInodes::default();
        used.set(0);
        let mut m = Metadata {
            t,
            seed: SharedSeed::from_u64(seed),
            edge_index: RowIndex::default(),
            chunk_index: RowIndex::default(),
            open_index: OpenIndex::default(),
            used,
            sclass_use: Box::new([SclassUse::default(); 256]),
            copies: Box::new([1; 256]),
            mixed: HashMap::new(),
            missing: HashMap::new(),
            changed_chunks: None,
            totals: Totals::default(),
            tolerance: Tolerance::Strict,
            pending_conflicts: Vec::new(),
        };
        for n in 1..=9 {
            m.put_sclass(n, Sclass::builtin(n));
        }
        m
    }

    /// A new file system (`MFSM NEW`, spec 02 §2.1): version 1, id 0, one root directory.
    pub fn new(seed: u64, now: u32) -> Metadata {
        let mut m = Metadata::blank(seed);
        m.t.version = 1;
        m.t.next_session = 1;
        let mut root = Node::new(Kind::Directory);
        root.sclass = 2;
        root.trashtime = DEFAULT_TRASHTIME;
        root.set_mode(0o777);
        (root.atime, root.mtime, root.ctime) = (now, now, now);
        m.add_node(ROOT, root);
        m
    }

    /// Puts a node row in place with its derived parts: number, directory row, counters.
    pub(crate) fn add_node(&mut self, inode: u32, mut node: Node) {
        let kind = node.kind();
        if kind == Kind::Directory {
            let row = self.t.dirs.insert(Dir {
                inode,
                ..Dir::default()
            });
            node.set_data(u64::from(row));
            node.nlink = 2;
        }
        if kind.is_file_like() {
            node.set_ratio(self.copies_of(node.sclass));
        }
        if kind.has_sclass() {
            self.count_sclass(node.sclass, kind, true);
        }
        self.count_kind(kind, node.length_if_file(), true);
        self.used.set(inode);
        self.t.max_inode = self.t.max_inode.max(inode);
        self.t.node_count += 1;
        *self.t.nodes.get_mut(inode) = node;
    }

    #[inline]
    pub(crate) fn copies_of(&self, sclass: u8) -> u8 {
        self.copies[usize::from(sclass)]
    }

    /// Defines a storage class.
    pub(crate) fn put_sclass(&mut self, id: u8, class: Sclass) {
        self.copies[usize::from(id)] = class.copies();
        self.t.sclasses.insert(id, Arc::new(class));
    }

    pub(crate) fn count_sclass(&mut self, sclass: u8, kind: Kind, up: bool) {
        let u = &mut self.sclass_use[sclass as usize];
        let n = if kind == Kind::Directory {
            &mut u.dirs
        } else {
            &mut u.files
        };
        *n = if up {
            n.wrapping_add(1)
        } else {
            n.wrapping_sub(1)
        };
    }

    fn count_kind(&mut self, kind: Kind, length: u64, up: bool) {
        let t = &mut self.totals;
        let (n, bytes) = match kind {
            Kind::Directory => (&mut t.dirs, None),
            Kind::File => (&mut t.files, None),
            Kind::Trash => (&mut t.trash, Some(&mut t.trash_bytes)),
            Kind::Sustained => (&mut t.sustained, Some(&mut t.sustained_bytes)),
            _ => return,
        };
        *n = if up {
            n.wrapping_add(1)
        } else {
            n.wrapping_sub(1)
        };
        if let Some(b) = bytes {
            *b = if up {
                b.wrapping_add(length)
            } else {
                b.wrapping_sub(length)
            };
        }
    }

    /// Changes a file-like node's type and the counters with it.
    pub(crate) fn change_kind(&mut self, inode: u32, kind: Kind) {
        let node = self.t.nodes.get_mut(inode);
        let (old, length) = (node.kind(), node.length());
        node.set_kind(kind);
        self.count_kind(old, length, false);
        self.count_kind(kind, length, true);
    }

    /// The node or ENOENT.
    #[inline]
    pub(crate) fn need(&self, inode: u32) -> Result<&Node, Status> {
        self.t.node(inode).ok_or(Status::Enoent)
    }

    /// The node if it is file-like, or the status for other types.
    pub(crate) fn need_file(&self, inode: u32, otherwise: Status) -> Result<&Node, Status> {
        let node = self.need(inode)?;
        if node.kind().is_file_like() {
            Ok(node)
        } else {
            Err(otherwise)
        }
    }

    /// The node if it is a directory: ENOENT, or `otherwise` for other types.
    pub(crate) fn need_dir(&self, inode: u32, otherwise: Status) -> Result<&Node, Status> {
        let node = self.need(inode)?;
        if node.kind() == Kind::Directory {
            Ok(node)
        } else {
            Err(otherwise)
        }
    }

    /// Writes to a node that was found before.
    #[inline]
    pub(crate) fn node_mut(&mut self, inode: u32) -> &mut Node {
        self.t.nodes.get_mut(inode)
    }

    /// B1: the smallest free inode number.
    pub(crate) fn allocate_inode(&mut self) -> Result<u32, Status> {
        self.used.take_smallest().ok_or(Status::NoSpace)
    }

    /// B9: removes a node that has no name left.
    pub(crate) fn remove_node(&mut self, ts: u32, inode: u32) {
        let Some(&node) = self.t.node(inode) else {
            return;
        };
        let kind = node.kind();
        match kind {
            Kind::Directory => {
                self.t.quotas.remove(&inode);
                self.t.dirs.remove(node.dir());
            }
            Kind::Symlink => {
                let (cell, len) = node.target();
                if len > 0 {
                    self.t.bytes.remove(len, cell);
                }
            }
            _ => {}
        }
        if kind.is_file_like() {
            self.truncate_slots(inode, 0);
        }
        if kind.has_sclass() {
            self.count_sclass(node.sclass, kind, false);
        }
        self.count_kind(kind, node.length_if_file(), false);
        if node.has_xattr() {
            self.t.xattrs.remove(&inode);
        }
        if node.has_access_acl() {
            self.t.acls.remove(&(inode, AclType::Access));
        }
        if node.has_default_acl() {
            self.t.acls.remove(&(inode, AclType::Default));
        }
        *self.t.nodes.get_mut(inode) = Node::default();
        self.t.node_count -= 1;
        self.t.free.push(inode, ts);
    }

    /// Adds `plus` and takes `minus` in a directory and all its ancestors.
    pub(crate) fn add_figures(&mut self, dir: u32, plus: &TreeStats, minus: &TreeStats) {
        let mut at = dir;
        loop {
            let Some(node) = self.t.node(at) else { return };
            if node.kind() != Kind::Directory {
                return;
            }
            let (row, up) = (node.dir(), node.parents);
            let stats = &mut self.t.dirs.at_mut(row).stats;
            stats.add(plus);
            stats.sub(minus);
            if at == ROOT || up == NIL {
                return;
            }
            at = self.t.edges.at(up).parent;
        }
    }

    /// Runs a change of a file-like node's length, slots or class and carries the difference of its figures
    /// to the directories of all its names.
    pub(crate) fn with_figures<R>(
        &mut self,
        inode: u32,
        change: impl FnOnce(&mut Metadata) -> R,
    ) -> R {
        let before = self
            .t
            .node(inode)
            .map(|n| (self.t.file_figures(n), n.length()));
        let result = change(self);
        if let (Some((before, old)), Some(&node)) = (before, self.t.node(inode)) {
            let after = self.t.file_figures(&node);
            match node.kind() {
                Kind::Trash => {
                    self.totals.trash_bytes = self
                        .totals
                        .trash_bytes
                        .wrapping_sub(old)
                        .wrapping_add(node.length());
                }
                Kind::Sustained => {
                    self.totals.sustained_bytes = self
                        .totals
                        .sustained_bytes
                        .wrapping_sub(old)
                        .wrapping_add(node.length());
                }
                _ => {}
            }
            if before != after {
                // Images of originals may name a trash file in a directory too (spec 02 §19.4).
                let mut at = node.parents;
                while at != NIL {
                    let e = self.t.edges.at(at);
                    let (parent, next) = (e.parent, e.next_name);
                    self.add_figures(parent, &after, &before);
                    at = next;
                }
            }
        }
        result
    }

    /// Bytes that the tables and indexes hold, for the monitor and for the load report.
    pub fn memory(&self) -> usize {
        self.t.nodes.bytes()
            + self.t.dirs.bytes()
            + self.t.edges.bytes()
            + self.t.bytes.bytes()
            + self.t.lists.bytes()
            + self.t.chunks.bytes()
            + self.t.opens.bytes()
            + self.edge_index.bytes()
            + self.chunk_index.bytes()
            + self.open_index.bytes()
    }
}
