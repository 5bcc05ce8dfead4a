//! [`Metadata`]: the durable tables with the indexes over them, and the primitives that operations are
//! made of (the building blocks of spec 03 §5).

use crate::index::{Chained, LinearHash, sequential_hash};
use crate::inodes::UsedInodes;
use crate::op::Tolerance;
use crate::paged::{Arena, NIL};
use crate::records::{AclType, Kind};
use crate::rows::{Chunk, Dir, Edge, Node, Open, TreeStats};
use crate::slots;
use crate::status::Status;
use crate::tables::{EDGE_ID_MAX, ROOT, Sclass, Tables};
use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use std::collections::HashMap;
use std::hash::Hasher;
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
    seed: SharedSeed,
    edge_index: LinearHash,
    chunk_index: LinearHash,
    open_index: LinearHash,
    /// First row of each session's list of open files.
    open_heads: HashMap<u32, u32>,
    pub(crate) used: UsedInodes,
    pub(crate) sclass_use: Box<[SclassUse; 256]>,
    /// Copies that the real size of a file counts, by class; 1 for unknown classes.
    copies: Box<[u8; 256]>,
    /// References by class of chunks whose files have several classes.
    mixed: HashMap<u64, Vec<(u8, u32)>>,
    pub(crate) totals: Totals,
    pub(crate) tolerance: Tolerance,
    /// Lock conflicts that the next `RELEASE` or `SESDEL` must resolve (spec 03 §9.2).
    pub(crate) pending_conflicts: Vec<crate::locks::PendingConflict>,
}

impl Chained for Arena<Edge> {
    fn hash_of(&self, i: u32) -> u32 {
        self.at(i).hash
    }
    fn chain(&self, i: u32) -> u32 {
        self.at(i).chain
    }
    fn set_chain(&mut self, i: u32, next: u32) {
        self.at_mut(i).chain = next;
    }
}

impl Chained for Arena<Chunk> {
    fn hash_of(&self, i: u32) -> u32 {
        sequential_hash(self.at(i).id())
    }
    fn chain(&self, i: u32) -> u32 {
        self.at(i).chain
    }
    fn set_chain(&mut self, i: u32, next: u32) {
        self.at_mut(i).chain = next;
    }
}

impl Chained for Arena<Open> {
    fn hash_of(&self, i: u32) -> u32 {
        sequential_hash(u64::from(self.at(i).inode))
    }
    fn chain(&self, i: u32) -> u32 {
        self.at(i).chain
    }
    fn set_chain(&mut self, i: u32, next: u32) {
        self.at_mut(i).chain = next;
    }
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
            edge_index: LinearHash::default(),
            chunk_index: LinearHash::default(),
            open_index: LinearHash::default(),
            open_heads: HashMap::new(),
            used,
            sclass_use: Box::new([SclassUse::default(); 256]),
            copies: Box::new([1; 256]),
            mixed: HashMap::new(),
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

    // ---- nodes ----------------------------------------------------------------------------------

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

    // ---- edges ----------------------------------------------------------------------------------

    /// Hash of a name in a directory. Detached edges are not indexed.
    pub(crate) fn name_hash(&self, parent: u32, name: &[u8]) -> u32 {
        let mut h = FoldHasher::with_seed(u64::from(parent), &self.seed);
        h.write(name);
        let v = h.finish();
        (v ^ v >> 32) as u32
    }

    /// The edge with this name in a directory.
    pub(crate) fn find_edge(&self, parent: u32, name: &[u8]) -> Option<u32> {
        let hash = self.name_hash(parent, name);
        let mut at = self.edge_index.head(hash);
        while at != NIL {
            let e = self.t.edges.at(at);
            if e.hash == hash
                && e.parent == parent
                && usize::from(e.len) == name.len()
                && self.t.name(e) == name
            {
                return Some(at);
            }
            at = e.chain;
        }
        None
    }

    /// B3: takes the next edge id.
    pub(crate) fn take_edge_id(&mut self) -> u64 {
        if self.t.next_edge >= EDGE_ID_MAX {
            return 0;
        }
        let id = self.t.next_edge;
        self.t.next_edge = self.t.next_edge.wrapping_sub(1);
        id
    }

    /// Makes an edge row for a name in a directory and enters it in the child's list of names, but not in the
    /// index.
    pub(crate) fn make_unindexed_edge(
        &mut self,
        parent: u32,
        child: u32,
        id: u64,
        name: &[u8],
    ) -> u32 {
        let mut edge = Edge {
            parent,
            child,
            len: name.len() as u16,
            ..Edge::default()
        };
        edge.set_id(id);
        edge.name = self.t.bytes.insert(name);
        edge.hash = self.name_hash(parent, name);
        let node = self.t.nodes.get_mut(child);
        edge.next_name = node.parents;
        let i = self.t.edges.insert(edge);
        node.parents = i;
        i
    }

    /// Makes an edge row for a name in a directory and enters it in the index and in the child's list of
    /// names; the caller puts it into the directory's list and counts it.
    pub(crate) fn make_edge(&mut self, parent: u32, child: u32, id: u64, name: &[u8]) -> u32 {
        let i = self.make_unindexed_edge(parent, child, id, name);
        self.edge_index.insert(&mut self.t.edges, i);
        i
    }

    /// Enters all edges in the index at once, with room for them from the start: several times cheaper than
    /// one by one.
    pub(crate) fn index_edges(&mut self) {
        let edges = self.t.edges.clone();
        self.edge_index.reserve(edges.len());
        let _ = edges.for_each(|i, e| {
            if e.child != 0 && e.parent != 0 {
                self.edge_index.insert(&mut self.t.edges, i);
            }
            Ok::<(), ()>(())
        });
    }

    /// Puts an edge first in its directory's list.
    pub(crate) fn push_front(&mut self, dir: u32, edge: u32) {
        let d = self.t.dirs.at_mut(dir);
        let first = d.first;
        d.first = edge;
        d.entries += 1;
        self.t.edges.at_mut(edge).next = first;
        if first != NIL {
            self.t.edges.at_mut(first).prev = edge;
        }
    }

    /// B4: links `child` under a name into a directory.
    pub(crate) fn link(&mut self, ts: u32, parent: u32, child: u32, name: &[u8]) -> u32 {
        let id = self.take_edge_id();
        let edge = self.make_edge(parent, child, id, name);
        let node = self.t.nodes.get_mut(child);
        let is_dir = node.kind() == Kind::Directory;
        node.ctime = ts;
        node.nlink += u32::from(!is_dir);
        let node = *node;
        let dir = self.t.nodes.get_mut(parent);
        dir.eattr &= !eattr::SNAPSHOT;
        (dir.mtime, dir.ctime) = (ts, ts);
        dir.nlink += u32::from(is_dir);
        let row = dir.dir();
        self.push_front(row, edge);
        let figures = self.t.figures(&node);
        self.add_figures(parent, &figures, &TreeStats::default());
        edge
    }

    /// B5 for a name in a directory. `ts` 0 leaves the child's ctime.
    pub(crate) fn unlink_edge(&mut self, ts: u32, edge: u32) {
        let e = *self.t.edges.at(edge);
        let node = *self.t.nodes.get_mut(e.child);
        let figures = self.t.figures(&node);
        self.add_figures(e.parent, &TreeStats::default(), &figures);
        let is_dir = node.kind() == Kind::Directory;
        let dir = self.t.nodes.get_mut(e.parent);
        dir.eattr &= !eattr::SNAPSHOT;
        (dir.mtime, dir.ctime) = (ts, ts);
        if is_dir {
            dir.nlink = dir.nlink.saturating_sub(1);
        }
        let row = dir.dir();
        if e.prev == NIL {
            self.t.dirs.at_mut(row).first = e.next;
        }
        self.t.dirs.at_mut(row).entries -= 1;
        self.unchain(&e);
        let child = self.t.nodes.get_mut(e.child);
        if !is_dir {
            child.nlink = child.nlink.saturating_sub(1);
        }
        child.ctime = ts;
        self.forget_name(e.child, edge);
        self.edge_index.remove(&mut self.t.edges, edge);
        self.t.bytes.remove(usize::from(e.len), e.name);
        self.t.edges.remove(edge);
    }

    fn unchain(&mut self, e: &Edge) {
        if e.prev != NIL {
            self.t.edges.at_mut(e.prev).next = e.next;
        }
        if e.next != NIL {
            self.t.edges.at_mut(e.next).prev = e.prev;
        }
    }

    /// Takes an edge out of its child's list of names.
    fn forget_name(&mut self, child: u32, edge: u32) {
        let after = self.t.edges.at(edge).next_name;
        let node = self.t.nodes.get_mut(child);
        if node.parents == edge {
            node.parents = after;
            return;
        }
        let mut at = node.parents;
        while at != NIL {
            let next = self.t.edges.at(at).next_name;
            if next == edge {
                self.t.edges.at_mut(at).next_name = after;
                return;
            }
            at = next;
        }
        debug_assert!(false, "edge {edge} is not a name of inode {child}");
    }

    /// Puts a detached edge (trash or sustained path) first in the bucket that its child's type names.
    pub(crate) fn attach_detached(&mut self, edge: u32) {
        let child = self.t.edges.at(edge).child;
        let trash = self.t.nodes.get_mut(child).kind() == Kind::Trash;
        let head = if trash {
            let head = self.t.trash.head(child);
            self.t.trash.set_head(child, edge);
            head
        } else {
            let head = self.t.sustained.head(child);
            self.t.sustained.set_head(child, edge);
            head
        };
        let e = self.t.edges.at_mut(edge);
        (e.prev, e.next) = (NIL, head);
        e.bucket_kind = if trash { 1 } else { 2 };
        if head != NIL {
            self.t.edges.at_mut(head).prev = edge;
        }
    }

    /// Takes a detached edge out of its bucket; the row stays.
    pub(crate) fn detach_from_bucket(&mut self, edge: u32) {
        let e = *self.t.edges.at(edge);
        if e.prev == NIL {
            if e.bucket_kind == 1 {
                self.t.trash.set_head(e.child, e.next);
            } else {
                self.t.sustained.set_head(e.child, e.next);
            }
        }
        self.unchain(&e);
    }

    /// Makes a detached edge with this id and path and puts it into its bucket.
    pub(crate) fn add_detached(&mut self, child: u32, id: u64, path: &[u8]) -> u32 {
        let mut edge = Edge {
            child,
            len: path.len() as u16,
            ..Edge::default()
        };
        edge.set_id(id);
        edge.name = self.t.bytes.insert(path);
        let node = self.t.nodes.get_mut(child);
        edge.next_name = node.parents;
        let i = self.t.edges.insert(edge);
        node.parents = i;
        self.attach_detached(i);
        i
    }

    /// B5 for a detached edge: out of its bucket and away. `ts` 0 leaves the child's ctime.
    pub(crate) fn drop_detached(&mut self, ts: u32, edge: u32) {
        self.detach_from_bucket(edge);
        let e = *self.t.edges.at(edge);
        self.forget_name(e.child, edge);
        if ts != 0 {
            self.t.nodes.get_mut(e.child).ctime = ts;
        }
        self.t.bytes.remove(usize::from(e.len), e.name);
        self.t.edges.remove(edge);
    }

    /// The path that a deleted name leaves behind: names joined by `/`, the last 1024 bytes (spec 03 B7).
    pub(crate) fn path_of_edge(&self, edge: u32) -> Vec<u8> {
        let mut parts: Vec<&[u8]> = Vec::new();
        let mut len = 0;
        let mut at = edge;
        while at != NIL && len <= PATH_MAX {
            let e = self.t.edges.at(at);
            let name = self.t.name(e);
            len += name.len() + 1;
            parts.push(name);
            at = match self.t.node(e.parent) {
                Some(dir) if e.parent != ROOT => dir.parents,
                _ => NIL,
            };
        }
        parts.reverse();
        let path = parts.join(&b'/');
        let cut = path.len().saturating_sub(PATH_MAX);
        path[cut..].to_vec()
    }

    // ---- figures --------------------------------------------------------------------------------

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
                _ if before != after => {
                    let mut at = node.parents;
                    while at != NIL {
                        let e = self.t.edges.at(at);
                        let (parent, next) = (e.parent, e.next_name);
                        self.add_figures(parent, &after, &before);
                        at = next;
                    }
                }
                _ => {}
            }
        }
        result
    }

    // ---- chunks ---------------------------------------------------------------------------------

    /// Row of a chunk.
    #[inline]
    pub(crate) fn find_chunk(&self, id: u64) -> Option<u32> {
        if id == 0 {
            return None;
        }
        let mut at = self.chunk_index.head(sequential_hash(id));
        while at != NIL {
            let c = self.t.chunks.at(at);
            if c.id() == id {
                return Some(at);
            }
            at = c.chain;
        }
        None
    }

    /// Adds a chunk that does not exist yet.
    pub(crate) fn add_chunk(&mut self, chunk: Chunk) -> u32 {
        let row = self.t.chunks.insert(chunk);
        self.chunk_index.insert(&mut self.t.chunks, row);
        row
    }

    /// Removes a chunk.
    pub(crate) fn remove_chunk(&mut self, row: u32) {
        self.mixed.remove(&self.t.chunks.at(row).id());
        self.chunk_index.remove(&mut self.t.chunks, row);
        self.t.chunks.remove(row);
    }

    /// B11: one slot of a file with this class names the chunk. A missing chunk is left alone.
    pub(crate) fn chunk_add_ref(&mut self, id: u64, sclass: u8) {
        let Some(row) = self.find_chunk(id) else {
            return;
        };
        let c = self.t.chunks.at_mut(row);
        if c.refs == 0 {
            c.sclass = sclass;
        }
        c.refs = c.refs.saturating_add(1);
        if c.mixed || c.sclass != sclass {
            let (first, others) = (c.sclass, c.refs - 1);
            let list = self
                .mixed
                .entry(id)
                .or_insert_with(|| vec![(first, others)]);
            match list.iter_mut().find(|(s, _)| *s == sclass) {
                Some((_, n)) => *n += 1,
                None => list.push((sclass, 1)),
            }
            c.mixed = true;
        }
    }

    /// B11 reversed.
    pub(crate) fn chunk_drop_ref(&mut self, id: u64, sclass: u8) {
        let Some(row) = self.find_chunk(id) else {
            return;
        };
        let c = self.t.chunks.at_mut(row);
        c.refs = c.refs.saturating_sub(1);
        if c.mixed
            && let Some(list) = self.mixed.get_mut(&id)
        {
            if let Some((_, n)) = list.iter_mut().find(|(s, _)| *s == sclass) {
                *n = n.saturating_sub(1);
            }
            list.retain(|(_, n)| *n > 0);
            if list.len() <= 1 {
                c.sclass = list.first().map_or(0, |(s, _)| *s);
                c.mixed = false;
                self.mixed.remove(&id);
            }
        }
    }

    /// References of a chunk by storage class.
    pub(crate) fn chunk_classes(&self, row: u32) -> Vec<(u8, u32)> {
        let c = self.t.chunks.at(row);
        match self.mixed.get(&c.id()) {
            Some(list) if c.mixed => list.clone(),
            _ if c.refs == 0 => Vec::new(),
            _ => vec![(c.sclass, c.refs)],
        }
    }

    /// Cuts the slots of a file to `n`, releasing the chunks beyond.
    pub(crate) fn truncate_slots(&mut self, inode: u32, n: u32) {
        let Some(&node) = self.t.node(inode) else {
            return;
        };
        if node.slots <= n {
            return;
        }
        let mut at = n;
        while let Some((i, id)) = slots::next(&node, &self.t.lists, at) {
            self.chunk_drop_ref(id, node.sclass);
            at = i + 1;
        }
        slots::resize(self.t.nodes.get_mut(inode), &mut self.t.lists, n);
    }

    /// Sets one slot that exists; references are the caller's matter.
    pub(crate) fn set_slot(&mut self, inode: u32, index: u32, id: u64) {
        slots::set(self.t.nodes.get_mut(inode), &mut self.t.lists, index, id);
    }

    /// Makes a file have at least `n` slots.
    pub(crate) fn grow_slots(&mut self, inode: u32, n: u32) {
        if self.t.node(inode).is_some_and(|node| node.slots < n) {
            slots::resize(self.t.nodes.get_mut(inode), &mut self.t.lists, n);
        }
    }

    // ---- open files -----------------------------------------------------------------------------

    fn find_open(&self, session: u32, inode: u32) -> Option<u32> {
        let mut at = self.open_index.head(sequential_hash(u64::from(inode)));
        while at != NIL {
            let o = self.t.opens.at(at);
            if o.inode == inode && o.session == session {
                return Some(at);
            }
            at = o.chain;
        }
        None
    }

    /// True when any session has the inode open.
    pub fn is_open(&self, inode: u32) -> bool {
        self.sessions_of_open(inode).next().is_some()
    }

    /// True when this session has the inode open.
    pub fn is_open_by(&self, session: u32, inode: u32) -> bool {
        self.find_open(session, inode).is_some()
    }

    /// Sessions that have the inode open.
    pub fn sessions_of_open(&self, inode: u32) -> impl Iterator<Item = u32> + '_ {
        let mut at = self.open_index.head(sequential_hash(u64::from(inode)));
        std::iter::from_fn(move || {
            while at != NIL {
                let o = self.t.opens.at(at);
                at = o.chain;
                if o.inode == inode {
                    return Some(o.session);
                }
            }
            None
        })
    }

    /// Inodes that a session has open, newest first.
    pub fn opens_of(&self, session: u32) -> impl Iterator<Item = u32> + '_ {
        let mut at = self.open_heads.get(&session).copied().unwrap_or(NIL);
        std::iter::from_fn(move || {
            (at != NIL).then(|| {
                let o = self.t.opens.at(at);
                at = o.next;
                o.inode
            })
        })
    }

    /// Adds an open file; false when it is there already.
    pub(crate) fn add_open(&mut self, session: u32, inode: u32) -> bool {
        if self.find_open(session, inode).is_some() {
            return false;
        }
        let head = self.open_heads.get(&session).copied().unwrap_or(NIL);
        let row = self.t.opens.insert(Open {
            inode,
            session,
            next: head,
            live: true,
            ..Open::default()
        });
        if head != NIL {
            self.t.opens.at_mut(head).prev = row;
        }
        self.open_heads.insert(session, row);
        self.open_index.insert(&mut self.t.opens, row);
        true
    }

    /// Removes an open file; false when it is not there.
    pub(crate) fn remove_open(&mut self, session: u32, inode: u32) -> bool {
        let Some(row) = self.find_open(session, inode) else {
            return false;
        };
        let o = *self.t.opens.at(row);
        if o.prev != NIL {
            self.t.opens.at_mut(o.prev).next = o.next;
        } else if o.next != NIL {
            self.open_heads.insert(session, o.next);
        } else {
            self.open_heads.remove(&session);
        }
        if o.next != NIL {
            self.t.opens.at_mut(o.next).prev = o.prev;
        }
        self.open_index.remove(&mut self.t.opens, row);
        self.t.opens.remove(row);
        true
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
