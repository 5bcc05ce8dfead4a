//! What the generator believes to exist: enough that most requests mean something, never relied on.

use std::collections::{HashMap, HashSet};

use fastrand::Rng;
use mfs_proto::client::FileType;

use crate::guard::SUB_ROOT;
use crate::script::{Label, Ref};
use crate::slots::{SLOTS, SUB};

/// Names remembered at most; older ones are forgotten at random.
const MOST_ENTRIES: usize = 1500;

/// Objects remembered at most in one of the pools.
const MOST_NODES: usize = 600;

/// An object, by its place in the list of all.
pub(super) type NodeId = usize;

/// The root of the real file system.
pub(super) const ROOT: NodeId = 0;

/// The directory that is the root of the subfolder mount.
pub(super) const SUB_DIR: NodeId = 1;

#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) reference: Option<Ref>,
    pub(super) kind: FileType,
    /// Below the root of the subfolder mount.
    pub(super) in_sub: bool,
}

/// A name in a directory, whether there is something or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) dir: NodeId,
    pub(super) name: Vec<u8>,
}

/// A name and what it means.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) child: NodeId,
}

#[derive(Debug)]
pub(super) struct World {
    nodes: Vec<Node>,
    /// Objects that are told of again are the same.
    known: HashMap<u32, NodeId>,
    /// Directories that have had quotas.
    pub(super) quotas: HashSet<NodeId>,
    /// Directories, and the steps that told where they go on.
    pub(super) pages: Vec<(NodeId, Label)>,
    dirs: Vec<NodeId>,
    files: Vec<NodeId>,
    others: Vec<NodeId>,
    /// Removed, perhaps in the trash.
    pub(super) gone: Vec<NodeId>,
    pub(super) entries: Vec<Entry>,
    /// Files that a session has opened, by slot.
    pub(super) opened: Vec<Vec<NodeId>>,
    /// Inodes of the whole file system, as STATFS tells them.
    pub(super) inodes: u32,
}

impl World {
    pub(super) fn new() -> World {
        let dir = |reference, in_sub| Node {
            reference,
            kind: FileType::Directory,
            in_sub,
        };
        World {
            nodes: vec![dir(None, false), dir(Some(SUB_ROOT), false)],
            known: HashMap::from([(1, ROOT), (2, SUB_DIR)]),
            quotas: HashSet::new(),
            pages: Vec::new(),
            dirs: vec![ROOT, SUB_DIR],
            files: Vec::new(),
            others: Vec::new(),
            gone: Vec::new(),
            entries: Vec::new(),
            opened: vec![Vec::new(); SLOTS.len()],
            inodes: 0,
        }
    }

    pub(super) fn node(&self, id: NodeId) -> Node {
        self.nodes[id]
    }

    pub(super) fn add(
        &mut self,
        rng: &mut Rng,
        (reference, inode): (Ref, u32),
        kind: FileType,
        in_sub: bool,
    ) -> NodeId {
        if let Some(&known) = self.known.get(&inode) {
            return known;
        }
        let id = self.nodes.len();
        self.known.insert(inode, id);
        self.nodes.push(Node {
            reference: Some(reference),
            kind,
            in_sub,
        });
        let pool = match kind {
            FileType::Directory => &mut self.dirs,
            FileType::File => &mut self.files,
            _ => &mut self.others,
        };
        pool.push(id);
        if pool.len() > MOST_NODES {
            // The first two directories are the roots.
            pool.swap_remove(rng.usize(2..MOST_NODES));
        }
        id
    }

    pub(super) fn enter(&mut self, rng: &mut Rng, place: Place, child: NodeId) {
        self.entries.push(Entry { place, child });
        if self.entries.len() > MOST_ENTRIES {
            self.entries.swap_remove(rng.usize(..MOST_ENTRIES));
        }
    }

    fn position(&self, place: &Place) -> Option<usize> {
        self.entries.iter().position(|e| e.place == *place)
    }

    /// What is known to be at a place.
    pub(super) fn find(&self, place: &Place) -> Option<NodeId> {
        self.position(place).map(|at| self.entries[at].child)
    }

    /// A name is gone, but not the object, which is returned.
    pub(super) fn forget(&mut self, place: &Place) -> Option<NodeId> {
        let at = self.position(place)?;
        Some(self.entries.swap_remove(at).child)
    }

    /// A name is gone, and perhaps the object with it.
    pub(super) fn leave(&mut self, place: &Place) {
        let Some(child) = self.forget(place) else {
            return;
        };
        if self.entries.iter().any(|e| e.child == child) || child <= SUB_DIR {
            return;
        }
        for pool in [&mut self.dirs, &mut self.files, &mut self.others] {
            pool.retain(|&id| id != child);
        }
        self.gone.push(child);
        if self.gone.len() > 60 {
            self.gone.remove(0);
        }
    }

    /// One of a pool that the slot can see.
    fn visible(&self, rng: &mut Rng, slot: usize, pool: &[NodeId]) -> Option<NodeId> {
        let mut pick = || {
            // Half of the time one of the newest: things are to happen to the same objects.
            let recent = pool.len().min(30);
            let at = match rng.bool() {
                true => pool.len().checked_sub(1 + rng.usize(..recent.max(1)))?,
                false => rng.usize(..pool.len().max(1)),
            };
            pool.get(at).copied()
        };
        let mut id = pick()?;
        if slot == SUB {
            for _ in 0..40 {
                if self.nodes[id].in_sub {
                    break;
                }
                id = pick()?;
            }
        }
        Some(id)
    }

    /// A directory; its root if the slot sees no other.
    pub(super) fn dir(&self, rng: &mut Rng, slot: usize) -> NodeId {
        if rng.u8(..8) == 0 {
            return ROOT;
        }
        let id = self.visible(rng, slot, &self.dirs).unwrap_or(ROOT);
        if slot == SUB && !self.nodes[id].in_sub {
            ROOT
        } else {
            id
        }
    }

    pub(super) fn file(&self, rng: &mut Rng, slot: usize) -> Option<NodeId> {
        self.visible(rng, slot, &self.files)
    }

    pub(super) fn other(&self, rng: &mut Rng, slot: usize) -> Option<NodeId> {
        self.visible(rng, slot, &self.others)
    }

    /// An object of any kind.
    pub(super) fn any(&self, rng: &mut Rng, slot: usize) -> NodeId {
        let id = match rng.u8(..10) {
            0..5 => self.file(rng, slot),
            5..9 => Some(self.dir(rng, slot)),
            _ => self.other(rng, slot),
        };
        id.unwrap_or(ROOT)
    }

    pub(super) fn symlink(&self, rng: &mut Rng, slot: usize) -> Option<NodeId> {
        let links: Vec<NodeId> = self
            .others
            .iter()
            .copied()
            .filter(|&id| self.nodes[id].kind == FileType::Symlink)
            .collect();
        self.visible(rng, slot, &links)
    }

    /// A name that should exist, if possible of the wanted kind.
    pub(super) fn entry(
        &self,
        rng: &mut Rng,
        slot: usize,
        wanted: impl Fn(FileType) -> bool,
    ) -> Option<Entry> {
        let mut last = None;
        for _ in 0..40 {
            let at = rng.usize(..self.entries.len().max(1));
            let entry = self.entries.get(at)?;
            last = Some(entry);
            let visible = slot != SUB || self.nodes[entry.child].in_sub;
            if visible && wanted(self.nodes[entry.child].kind) {
                break;
            }
        }
        last.cloned()
    }

    pub(super) fn open(&mut self, slot: usize, id: NodeId) {
        let opened = &mut self.opened[slot];
        opened.retain(|&other| other != id);
        opened.push(id);
        if opened.len() > 40 {
            opened.remove(0);
        }
    }
}
