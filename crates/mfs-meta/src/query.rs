//! What the server asks: read-only questions that change nothing.

use crate::op::Tolerance;
use crate::paged::{NIL, prefetch};
use crate::records::{Acl, AclType, ChunkRecord, ChunkserverRecord, Kind, QuotaRecord};
use crate::rows::{Edge, Node, TreeStats};
use crate::slots;
use crate::state::{Metadata, SclassUse, Totals};
use crate::tables::{Sclass, Session, Tables, Xattr};

/// A node as the outside sees it.
#[derive(Clone, Copy)]
pub struct NodeInfo<'a> {
    t: &'a Tables,
    node: &'a Node,
    /// Inode number.
    pub inode: u32,
}

impl<'a> NodeInfo<'a> {
    /// Type.
    pub fn kind(&self) -> Kind {
        self.node.kind()
    }
    /// Storage class, 0 for types without one.
    pub fn sclass(&self) -> u8 {
        self.node.sclass
    }
    /// Extra attribute bits.
    pub fn eattr(&self) -> u8 {
        self.node.eattr
    }
    /// Opaque attribute byte.
    pub fn winattr(&self) -> u8 {
        self.node.winattr
    }
    /// Permission bits with suid, sgid, sticky.
    pub fn mode(&self) -> u16 {
        self.node.mode()
    }
    /// Owner.
    pub fn uid(&self) -> u32 {
        self.node.uid
    }
    /// Group.
    pub fn gid(&self) -> u32 {
        self.node.gid
    }
    /// Access time, seconds.
    pub fn atime(&self) -> u32 {
        self.node.atime
    }
    /// Modification time, seconds.
    pub fn mtime(&self) -> u32 {
        self.node.mtime
    }
    /// Change time, seconds.
    pub fn ctime(&self) -> u32 {
        self.node.ctime
    }
    /// Trash time, hours.
    pub fn trashtime(&self) -> u16 {
        self.node.trashtime
    }
    /// Names of a non-directory (0 when detached); 2 + subdirectories of a directory.
    pub fn nlink(&self) -> u32 {
        self.node.nlink
    }
    /// Length of a file-like node, 0 for others.
    pub fn length(&self) -> u64 {
        self.node.length_if_file()
    }
    /// Device number of a device, 0 for others.
    pub fn rdev(&self) -> u32 {
        if matches!(self.kind(), Kind::BlockDevice | Kind::CharDevice) {
            self.node.rdev()
        } else {
            0
        }
    }
    /// Target of a symlink.
    pub fn target(&self) -> Option<&'a [u8]> {
        (self.kind() == Kind::Symlink).then(|| self.t.target(self.node))
    }
    /// True with at least one extended attribute.
    pub fn has_xattr(&self) -> bool {
        self.node.has_xattr()
    }
    /// True with an access ACL.
    pub fn has_access_acl(&self) -> bool {
        self.node.has_access_acl()
    }
    /// True with a default ACL.
    pub fn has_default_acl(&self) -> bool {
        self.node.has_default_acl()
    }
    /// Number of chunk slots of a file-like node.
    pub fn slots(&self) -> u32 {
        self.node.slots
    }
    /// Chunk id in a slot, 0 for a hole.
    pub fn chunk(&self, index: u32) -> u64 {
        if self.kind().is_file_like() {
            slots::get(self.node, &self.t.lists, index)
        } else {
            0
        }
    }
    /// First slot from `from` on with a chunk: (index, id).
    pub fn next_chunk(&self, from: u32) -> Option<(u32, u64)> {
        if self.kind().is_file_like() {
            slots::next(self.node, &self.t.lists, from)
        } else {
            None
        }
    }
    /// Copies that the real size of a file-like node counts for each chunk.
    pub fn copies(&self) -> u8 {
        self.node.ratio()
    }
    /// Entries of a directory.
    pub fn entries(&self) -> u32 {
        if self.kind() == Kind::Directory {
            self.t.dirs.at(self.node.dir()).entries
        } else {
            0
        }
    }
    /// Row of the newest edge of a directory; none for others.
    pub(crate) fn first_entry(&self) -> u32 {
        if self.kind() == Kind::Directory {
            self.t.dirs.at(self.node.dir()).first
        } else {
            NIL
        }
    }
    /// Figures of everything below a directory, itself left out.
    pub fn below(&self) -> TreeStats {
        if self.kind() == Kind::Directory {
            self.t.dirs.at(self.node.dir()).stats
        } else {
            TreeStats::default()
        }
    }
    /// Figures of the object with everything below it.
    pub fn figures(&self) -> TreeStats {
        self.t.figures(self.node)
    }
    /// The first directory that names it; 0 for the root and for detached files.
    pub fn parent(&self) -> u32 {
        if self.node.parents == NIL {
            0
        } else {
            self.t.edges.at(self.node.parents).parent
        }
    }
    /// Directories and names that name it, newest first. A detached file has its path with parent 0.
    pub fn names(&self) -> impl Iterator<Item = (u32, &'a [u8])> + use<'a> {
        let t = self.t;
        t.names_of(self.node)
            .map(move |(_, e)| (e.parent, t.name(e)))
    }
}

/// An entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child<'a> {
    /// Edge id: the position for paged listings.
    pub id: u64,
    /// Name.
    pub name: &'a [u8],
    /// Inode.
    pub inode: u32,
}

impl Metadata {
    /// Metadata version: number of the next changelog line.
    pub fn version(&self) -> u64 {
        self.t.version
    }
    /// Identity of the installation, 0 = not assigned.
    pub fn meta_id(&self) -> u64 {
        self.t.meta_id
    }
    /// Number of nodes.
    pub fn node_count(&self) -> u32 {
        self.t.node_count
    }
    /// Number of chunks.
    pub fn chunk_count(&self) -> u32 {
        self.t.chunks.len()
    }
    /// Highest inode ever allocated.
    pub fn max_inode(&self) -> u32 {
        self.t.max_inode
    }
    /// Id that the next new chunk gets.
    pub fn next_chunk_id(&self) -> u64 {
        self.t.next_chunk
    }
    /// Counts over all nodes.
    pub fn totals(&self) -> Totals {
        self.totals
    }
    /// How lines are compared with what they do.
    pub fn tolerance(&self) -> Tolerance {
        self.tolerance
    }
    /// Sets how lines are compared with what they do.
    pub fn set_tolerance(&mut self, tolerance: Tolerance) {
        self.tolerance = tolerance;
    }

    /// The node.
    pub fn node(&self, inode: u32) -> Option<NodeInfo<'_>> {
        let node = self.t.node(inode)?;
        Some(NodeInfo {
            t: &self.t,
            node,
            inode,
        })
    }

    /// Inode under a name in a directory.
    pub fn lookup(&self, parent: u32, name: &[u8]) -> Option<u32> {
        self.find_edge(parent, name)
            .map(|e| self.t.edges.at(e).child)
    }

    fn child<'a>(&'a self, e: &'a Edge) -> Child<'a> {
        Child {
            id: e.id(),
            name: self.t.name(e),
            inode: e.child,
        }
    }

    /// Entries of a directory, newest first (ids ascending). Nothing for other types.
    pub fn children(&self, dir: u32) -> impl Iterator<Item = Child<'_>> + '_ {
        let row = self
            .t
            .node(dir)
            .filter(|n| n.kind() == Kind::Directory)
            .map(|n| n.dir());
        row.into_iter()
            .flat_map(|row| self.t.children(row))
            .map(|(_, e)| self.child(e))
    }

    /// Calls `f` for the entries of a directory from edge id `from` on, newest first, with the nodes that they
    /// name. Meant for whole listings: names and nodes of the entries that come next are fetched meanwhile, so
    /// that nothing waits for memory.
    ///
    /// # Errors
    /// The first of `f`.
    pub fn visit_children<'a, E>(
        &'a self,
        dir: u32,
        from: u64,
        mut f: impl FnMut(Child<'a>, NodeInfo<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        const AHEAD: usize = 16;
        let t = &self.t;
        let Some(node) = t.node(dir).filter(|n| n.kind() == Kind::Directory) else {
            return Ok(());
        };
        let mut next = t.dirs.at(node.dir()).first;
        while next != NIL && t.edges.at(next).id() < from {
            next = t.edges.at(next).next;
        }
        // A ring, in three arrays: what is put there is small and stays where it is until it is wanted.
        let mut edges: [Option<&'a Edge>; AHEAD] = [None; AHEAD];
        let mut names: [&'a [u8]; AHEAD] = [&[]; AHEAD];
        let mut nodes: [Option<&'a Node>; AHEAD] = [None; AHEAD];
        let mut filled = false;
        loop {
            for i in 0..AHEAD {
                let (edge, name, node) = (edges[i].take(), names[i], nodes[i]);
                if next != NIL {
                    let edge = t.edges.at(next);
                    next = edge.next;
                    edges[i] = Some(edge);
                    names[i] = t.name(edge);
                    nodes[i] = t.nodes.get(edge.child);
                    prefetch(names[i]);
                    if let Some(node) = nodes[i] {
                        prefetch(node);
                    }
                }
                let Some(edge) = edge else {
                    if filled {
                        return Ok(());
                    }
                    continue;
                };
                if let Some(node) = node.filter(|node| !node.is_vacant()) {
                    let (id, inode) = (edge.id(), edge.child);
                    f(Child { id, name, inode }, NodeInfo { t, node, inode })?;
                }
            }
            filled = true;
        }
    }

    /// Entries of a trash bucket (all when `bucket` is 4096 or more), newest first.
    pub fn trash(&self, bucket: u32) -> impl Iterator<Item = Child<'_>> + '_ {
        let all = bucket >= crate::tables::TRASH_BUCKETS;
        let one = (!all).then(|| self.t.trash.head(bucket));
        one.into_iter()
            .chain(self.t.trash.heads().filter(move |_| all))
            .flat_map(|head| self.t.list(head))
            .map(|(_, e)| self.child(e))
    }

    /// All sustained files.
    pub fn sustained(&self) -> impl Iterator<Item = Child<'_>> + '_ {
        self.t
            .sustained
            .heads()
            .flat_map(|head| self.t.list(head))
            .map(|(_, e)| self.child(e))
    }

    /// Path kept for a trash or sustained file.
    pub fn detached_path(&self, inode: u32) -> Option<&[u8]> {
        let edge = self.t.detached_edge(self.t.node(inode)?)?;
        Some(self.t.name(self.t.edges.at(edge)))
    }

    /// Extended attributes in list order.
    pub fn xattrs(&self, inode: u32) -> &[Xattr] {
        self.t.xattrs.get(&inode).map_or(&[], |l| l)
    }

    /// An ACL.
    pub fn acl(&self, inode: u32, kind: AclType) -> Option<&Acl> {
        self.t.acls.get(&(inode, kind)).map(|a| &**a)
    }

    /// A quota.
    pub fn quota(&self, inode: u32) -> Option<&QuotaRecord> {
        self.t.quotas.get(&inode)
    }

    /// Number of open files: pairs of session and inode.
    pub fn open_count(&self) -> u32 {
        self.t.opens.len()
    }

    /// Numbers of held flocks and of held ranges of POSIX locks.
    pub fn lock_counts(&self) -> (usize, usize) {
        let owners = self.t.posix.values().flatten();
        (
            self.t.flocks.values().map(Vec::len).sum(),
            owners.map(|o| o.ranges.len()).sum(),
        )
    }

    /// All quotas by inode.
    pub fn quotas(&self) -> impl Iterator<Item = (u32, &QuotaRecord)> {
        self.t.quotas.iter().map(|(&i, q)| (i, q))
    }

    /// A session.
    pub fn session(&self, id: u32) -> Option<&Session> {
        self.t.sessions.get(&id)
    }

    /// All sessions by id.
    pub fn sessions(&self) -> impl Iterator<Item = (u32, &Session)> {
        self.t.sessions.iter().map(|(&i, s)| (i, s))
    }

    /// Id that the next session gets.
    pub fn next_session_id(&self) -> u32 {
        self.t.next_session
    }

    /// Marks a session as closed by its client, or not: kept in memory only (spec 03 §8).
    pub fn set_session_closed(&mut self, id: u32, closed: bool) {
        if let Some(s) = self.t.sessions.get_mut(&id) {
            s.closed = closed;
        }
    }

    /// Marks a session as connected again: the changelog does not tell (spec 03 §8).
    pub fn set_session_connected(&mut self, id: u32) {
        if let Some(s) = self.t.sessions.get_mut(&id) {
            s.disconnected = 0;
            s.closed = false;
        }
    }

    /// A storage class.
    pub fn sclass(&self, id: u8) -> Option<&Sclass> {
        self.t.sclasses.get(&id).map(|c| &**c)
    }

    /// Storage classes by id.
    pub fn sclasses(&self) -> impl Iterator<Item = (u8, &Sclass)> {
        self.t.sclasses.iter().map(|(&i, c)| (i, &**c))
    }

    /// Files and directories that use a class.
    pub fn sclass_use(&self, id: u8) -> SclassUse {
        self.sclass_use[usize::from(id)]
    }

    /// Known chunkservers.
    pub fn chunkservers(&self) -> impl Iterator<Item = &ChunkserverRecord> {
        self.t.chunkservers.values()
    }

    /// A chunk.
    pub fn chunk(&self, id: u64) -> Option<ChunkRecord> {
        let c = self.t.chunks.at(self.find_chunk(id)?);
        Some(ChunkRecord {
            id,
            version: c.version,
            locked_to: c.locked_to,
            archived: c.archived,
        })
    }

    /// References of a chunk by storage class; empty for one that nobody names or that does not exist.
    pub fn chunk_refs(&self, id: u64) -> Vec<(u8, u32)> {
        self.find_chunk(id)
            .map_or_else(Vec::new, |row| self.chunk_classes(row))
    }

    /// Freed inodes that wait for reuse: (inode, time), oldest first.
    pub fn freed_inodes(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.t.free.iter()
    }
}
