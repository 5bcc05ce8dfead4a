//! The durable state: what an image holds, in tables that clone in constant time.

use crate::inodes::FreeQueue;
use crate::paged::{Arena, NIL, PagedVec};
use crate::records::*;
use crate::rows::{Chunk, Dir, Edge, Node, Open, TreeStats};
use crate::slab::ByteSlab;
use crate::slots::{self, Lists};
use imbl::OrdMap;
use std::sync::atomic::{AtomicU32, Ordering};
use triomphe::Arc;

/// Number of trash buckets; a file's bucket is its inode modulo this (spec 02 §1).
pub const TRASH_BUCKETS: u32 = 4096;
/// Number of buckets of sustained files.
pub const SUSTAINED_BUCKETS: u32 = 256;
/// Inode of the root directory.
pub const ROOT: u32 = 1;
/// Largest id that an edge can have; reaching it stops the counting (spec 02 §7.2).
pub const EDGE_ID_MAX: u64 = 0x7FFF_FFFF_FFFF_FFFF;
/// Bytes of a chunk as a power of two.
pub const CHUNK_BITS: u32 = 26;
/// Bytes of a chunk.
pub const CHUNK_SIZE: u64 = 1 << CHUNK_BITS;
/// Bytes of the header of a chunk file.
pub const CHUNK_HEADER: u64 = 8192;
/// Bytes of a block.
pub const BLOCK_SIZE: u64 = 65536;

/// Operation counters of a session: not from the changelog, so atomics that readers bump.
#[derive(Default)]
pub struct Counters {
    current: [AtomicU32; SESSION_COUNTERS],
    last: [AtomicU32; SESSION_COUNTERS],
}

impl Counters {
    /// Counts one operation (index of spec 04 §14).
    pub fn count(&self, index: usize) {
        if let Some(c) = self.current.get(index) {
            c.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Starts a new hour: current becomes last.
    pub fn new_hour(&self) {
        for (c, l) in self.current.iter().zip(&self.last) {
            l.store(c.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Counters of this hour and of the one before.
    pub fn read(&self) -> ([u32; SESSION_COUNTERS], [u32; SESSION_COUNTERS]) {
        let read = |a: &[AtomicU32; SESSION_COUNTERS]| {
            std::array::from_fn(|i| a[i].load(Ordering::Relaxed))
        };
        (read(&self.current), read(&self.last))
    }

    pub(crate) fn set(&self, current: &[u32; SESSION_COUNTERS], last: &[u32; SESSION_COUNTERS]) {
        for i in 0..SESSION_COUNTERS {
            self.current[i].store(current[i], Ordering::Relaxed);
            self.last[i].store(last[i], Ordering::Relaxed);
        }
    }
}

/// A session as the state keeps it.
#[derive(Clone)]
pub struct Session {
    /// Parameters from its registration.
    pub params: Arc<SessionParams>,
    /// Time when its last connection went; 0 = connected.
    pub disconnected: u32,
    /// Closed by its client: not stored in images, removed at the next clean-up. Not durable.
    pub closed: bool,
    /// Operation counters.
    pub counters: Arc<Counters>,
}

/// A storage class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sclass {
    /// Name without NUL.
    pub name: Vec<u8>,
    /// Definition.
    pub def: SclassDef,
}

impl Sclass {
    /// Copies that the real size of a file counts: the larger of the keep and archive sets (spec 07 §7.5.3).
    pub fn copies(&self) -> u8 {
        self.def.keep.len().max(self.def.archive.len()).min(15) as u8
    }

    /// The built-in class `n` (1–9): n copies anywhere.
    pub fn builtin(n: u8) -> Sclass {
        let any = vec![[0; OR_GROUPS]; n as usize];
        Sclass {
            name: vec![b'0' + n],
            def: SclassDef {
                admin_only: 0,
                mode: 1,
                arch_delay: 0,
                create: any.clone(),
                keep: any.clone(),
                archive: any,
            },
        }
    }
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xattr {
    /// Full name, without NUL.
    pub name: Box<[u8]>,
    /// Value.
    pub value: Box<[u8]>,
}

/// A held flock, newest first in the list of its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flock {
    /// Session of the holder.
    pub session: u32,
    /// Owner id of the holder's kernel.
    pub owner: u64,
    /// Exclusive or shared.
    pub exclusive: bool,
}

/// A locked range `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PosixRange {
    /// First byte.
    pub start: u64,
    /// Byte behind the last.
    pub end: u64,
    /// Write lock (else read).
    pub write: bool,
}

/// The ranges of one owner on one inode, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PosixOwner {
    /// Session.
    pub session: u32,
    /// Owner id of the client kernel.
    pub owner: u64,
    /// Process of the owner's first lock.
    pub pid: u32,
    /// Ranges, never empty.
    pub ranges: Vec<PosixRange>,
}

/// Everything that an image holds.
#[derive(Clone, Default)]
pub(crate) struct Tables {
    pub(crate) version: u64,
    pub(crate) meta_id: u64,
    pub(crate) nodes: PagedVec<Node>,
    pub(crate) node_count: u32,
    pub(crate) max_inode: u32,
    pub(crate) dirs: Arena<Dir>,
    pub(crate) edges: Arena<Edge>,
    pub(crate) next_edge: u64,
    pub(crate) bytes: ByteSlab,
    pub(crate) lists: Lists,
    pub(crate) chunks: Arena<Chunk>,
    pub(crate) next_chunk: u64,
    pub(crate) free: FreeQueue,
    /// First edge of each trash bucket.
    pub(crate) trash: Buckets<{ TRASH_BUCKETS as usize }>,
    /// First edge of each bucket of sustained files.
    pub(crate) sustained: Buckets<{ SUSTAINED_BUCKETS as usize }>,
    pub(crate) opens: Arena<Open>,
    pub(crate) sessions: OrdMap<u32, Session>,
    pub(crate) next_session: u32,
    pub(crate) sclasses: OrdMap<u8, Arc<Sclass>>,
    pub(crate) quotas: OrdMap<u32, QuotaRecord>,
    pub(crate) xattrs: OrdMap<u32, Arc<Vec<Xattr>>>,
    pub(crate) acls: OrdMap<(u32, AclType), Arc<Acl>>,
    pub(crate) flocks: OrdMap<u32, Vec<Flock>>,
    pub(crate) posix: OrdMap<u32, Vec<PosixOwner>>,
    pub(crate) chunkservers: OrdMap<(u32, u16), ChunkserverRecord>,
}

/// Heads of bucket lists.
#[derive(Clone)]
pub(crate) struct Buckets<const N: usize>(Arc<[u32; N]>);

impl<const N: usize> Default for Buckets<N> {
    fn default() -> Self {
        Buckets(Arc::new([NIL; N]))
    }
}

impl<const N: usize> Buckets<N> {
    pub(crate) fn head(&self, inode: u32) -> u32 {
        self.0[inode as usize % N]
    }

    pub(crate) fn set_head(&mut self, inode: u32, edge: u32) {
        Arc::make_mut(&mut self.0)[inode as usize % N] = edge;
    }

    pub(crate) fn heads(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }
}

impl Tables {
    /// The node, if it exists.
    #[inline]
    pub(crate) fn node(&self, inode: u32) -> Option<&Node> {
        self.nodes.get(inode).filter(|n| !n.is_vacant())
    }

    /// Name of an edge.
    #[inline]
    pub(crate) fn name(&self, edge: &Edge) -> &[u8] {
        self.bytes.get(usize::from(edge.len), edge.name)
    }

    /// Target of a symlink.
    pub(crate) fn target(&self, node: &Node) -> &[u8] {
        match node.target() {
            // An empty target, which only images have, takes no cell.
            (_, 0) => &[],
            (cell, len) => self.bytes.get(len, cell),
        }
    }

    /// Edges of a directory, newest first.
    pub(crate) fn children(&self, dir: u32) -> impl Iterator<Item = (u32, &Edge)> + '_ {
        self.list(self.dirs.at(dir).first)
    }

    /// An edge list from `first` on.
    pub(crate) fn list(&self, first: u32) -> impl Iterator<Item = (u32, &Edge)> + '_ {
        let mut at = first;
        std::iter::from_fn(move || {
            (at != NIL).then(|| {
                let i = at;
                let edge = self.edges.at(i);
                at = edge.next;
                (i, edge)
            })
        })
    }

    /// Names of a node, newest first.
    pub(crate) fn names_of(&self, node: &Node) -> impl Iterator<Item = (u32, &Edge)> + '_ {
        let mut at = node.parents;
        std::iter::from_fn(move || {
            (at != NIL).then(|| {
                let i = at;
                let edge = self.edges.at(i);
                at = edge.next_name;
                (i, edge)
            })
        })
    }

    /// The detached edge (trash or sustained path) of a node. Images of originals may name such a node in a
    /// directory too (spec 02 §19.4).
    pub(crate) fn detached_edge(&self, node: &Node) -> Option<u32> {
        self.names_of(node)
            .find(|(_, e)| e.parent == 0)
            .map(|(i, _)| i)
    }

    /// Figures of one file-like node (spec 07 §7.5.3).
    pub(crate) fn file_figures(&self, node: &Node) -> TreeStats {
        let length = node.length();
        let chunks = slots::used(node, &self.lists);
        let size = if chunks == 0 {
            0
        } else {
            let last = length.saturating_sub(1) >> CHUNK_BITS;
            let (mut at_last, mut beyond) = (0u64, 0u64);
            if u64::from(node.slots) > last {
                slots::for_each_from(node, &self.lists, last as u32, |i, _| {
                    if u64::from(i) == last {
                        at_last = 1
                    } else {
                        beyond += 1
                    }
                });
            }
            (u64::from(chunks) - at_last - beyond) * (CHUNK_SIZE + CHUNK_HEADER)
                + at_last * (last_chunk_bytes(length) + CHUNK_HEADER)
        };
        TreeStats {
            inodes: 1,
            dirs: 0,
            files: 1,
            chunks,
            length,
            size,
            realsize: size.wrapping_mul(u64::from(node.ratio())),
        }
    }

    /// What a name of this node adds to the directory that holds it: the object with everything below.
    pub(crate) fn figures(&self, node: &Node) -> TreeStats {
        match node.kind() {
            k if k.is_file_like() => self.file_figures(node),
            Kind::Directory => {
                let mut s = self.dirs.at(node.dir()).stats;
                s.inodes = s.inodes.wrapping_add(1);
                s.dirs = s.dirs.wrapping_add(1);
                s
            }
            Kind::Symlink => TreeStats {
                inodes: 1,
                length: node.target().1 as u64,
                ..TreeStats::default()
            },
            _ => TreeStats {
                inodes: 1,
                ..TreeStats::default()
            },
        }
    }
}

/// Bytes that the last chunk of a file of this length takes, without its header: whole blocks, at least one,
/// none for an empty file.
pub(crate) fn last_chunk_bytes(length: u64) -> u64 {
    if length == 0 {
        0
    } else {
        (((length - 1) % CHUNK_SIZE) / BLOCK_SIZE + 1) * BLOCK_SIZE
    }
}
