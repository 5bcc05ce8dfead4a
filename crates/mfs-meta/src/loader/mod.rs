//! Filling a state from the records of an image, with the rules of spec 02 §19.3–§19.9 for what does not fit
//! together: here what each record shows, in `finish` what only the whole image does.

mod finish;

use crate::name_index::NameIndex;
use crate::paged::NIL;
use crate::records::*;
use crate::rows::{Chunk, Node};
use crate::slots;
use crate::state::{Metadata, NAME_MAX, PATH_MAX};
use crate::tables::{Counters, Flock, PosixOwner, PosixRange, ROOT, Sclass, Session, Xattr};
use std::collections::{HashMap, HashSet};
use std::thread::JoinHandle;
use triomphe::Arc;

/// How an image is loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Repair what can be repaired (`-i`) instead of refusing the image.
    pub ignore: bool,
    /// Grace period that quotas of old images get, seconds (`QUOTA_DEFAULT_GRACE_PERIOD`).
    pub default_grace: u32,
    /// Key of the name hash; any number, better a random one.
    pub seed: u64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            ignore: false,
            default_grace: 604_800,
            seed: 0,
        }
    }
}

/// A state that was loaded.
pub struct Loaded {
    /// The state.
    pub meta: Metadata,
    /// What was odd.
    pub notices: Vec<Notice>,
    /// Edges have no usable ids: `RENUMERATEEDGES` is due after the changelogs (spec 02 §7.3).
    pub renumber: bool,
}

/// Takes the records of an image; [`Loader::finish`] gives the state.
pub struct Loader {
    m: Metadata,
    options: LoadOptions,
    notices: Vec<Notice>,
    renumber: bool,
    /// Directory that edges are read of, its last edge and that edge's id.
    current: (u32, u32, u64),
    /// Last edges of directories that were read before.
    tails: HashMap<u32, u32>,
    seen_classes: HashSet<u16>,
    /// Storage classes came after nodes: their copies change figures already summed up.
    late_classes: bool,
    /// The index of the edges read so far, if it is being built.
    names: Option<JoinHandle<NameIndex>>,
}

/// Edges above which a second thread for their index is worth its start.
const MANY: u32 = 10_000;

/// No file system has seen so many changes; every version up to here has a next one.
const MAX_VERSION: u64 = 1 << 63;

fn broken(text: String) -> StructureError {
    StructureError(text)
}

impl Loader {
    /// An empty state that waits for records.
    pub fn new(options: LoadOptions) -> Loader {
        Loader {
            m: Metadata::blank(options.seed),
            options,
            notices: Vec::new(),
            renumber: false,
            current: (0, NIL, 0),
            tails: HashMap::new(),
            seen_classes: HashSet::new(),
            late_classes: false,
            names: None,
        }
    }

    fn notice(&mut self, text: String) {
        const MOST: usize = 1000;
        match self.notices.len() {
            n if n < MOST => self.notices.push(Notice(text)),
            MOST => self
                .notices
                .push(Notice("more of the kind are not listed".into())),
            _ => {}
        }
    }

    /// Refuses the image, or with `-i` notes the fault and goes on.
    fn fault(&mut self, text: String) -> SinkResult {
        if !self.options.ignore {
            return Err(broken(text));
        }
        self.notice(text);
        Ok(())
    }

    /// Lets another thread build the index of names, which takes as long as reading the chunks.
    fn begin_names(&mut self) {
        if self.m.t.edges.len() < MANY {
            return;
        }
        let (tables, seed) = (self.m.t.clone(), self.m.seed.clone());
        let thread = std::thread::Builder::new().name("names".into());
        // Without a thread it is done at the end.
        self.names = thread.spawn(move || NameIndex::of(&tables, &seed)).ok();
    }

    /// Appends an edge at the end of a directory.
    fn append_edge(&mut self, parent: u32, child: u32, id: u64, name: &[u8]) {
        let m = &mut self.m;
        let edge = m.make_unindexed_edge(parent, child, id, name);
        let (dir, tail, _) = self.current;
        let tail = if dir == parent {
            tail
        } else {
            self.tails.get(&parent).copied().unwrap_or(NIL)
        };
        let row = m.t.nodes.get_mut(parent).dir();
        m.t.dirs.at_mut(row).entries += 1;
        if tail == NIL {
            m.t.dirs.at_mut(row).first = edge;
        } else {
            m.t.edges.at_mut(tail).next = edge;
            m.t.edges.at_mut(edge).prev = tail;
        }
        if dir != parent {
            if dir != 0 {
                self.tails.insert(dir, self.current.1);
            }
            self.current.0 = parent;
        }
        self.current.1 = edge;
        self.current.2 = id;
        self.count_entry(parent, row, child);
    }

    /// Counts a new entry of a directory, which has this row, in the figures of both its ends.
    fn count_entry(&mut self, parent: u32, row: u32, child: u32) {
        let m = &mut self.m;
        let node = *m.t.nodes.get_mut(child);
        if node.kind() == Kind::Directory {
            m.t.nodes.get_mut(parent).nlink += 1;
        } else {
            m.t.nodes.get_mut(child).nlink += 1;
            let figures = m.t.figures(&node);
            m.t.dirs.at_mut(row).stats.add(&figures);
        }
    }

    fn is_directory(&self, inode: u32) -> bool {
        self.m
            .t
            .node(inode)
            .is_some_and(|n| n.kind() == Kind::Directory)
    }
}

impl ImageSink for Loader {
    fn head(&mut self, version: u64, meta_id: u64) -> SinkResult {
        if version > MAX_VERSION {
            return Err(broken(format!("metadata version {version} is impossible")));
        }
        self.m.t.version = version;
        self.m.t.meta_id = meta_id;
        Ok(())
    }

    fn next_session(&mut self, id: u32) -> SinkResult {
        self.m.t.next_session = id;
        Ok(())
    }

    fn session(&mut self, rec: SessionRecord) -> SinkResult {
        if self.m.t.sessions.contains_key(&rec.id) {
            self.notice(format!("session {} is stored twice", rec.id));
        }
        let counters = Counters::default();
        counters.set(&rec.stats, &rec.last_stats);
        let session = Session {
            params: Arc::new(rec.params),
            disconnected: rec.disconnected,
            closed: false,
            counters: Arc::new(counters),
        };
        self.m.t.sessions.insert(rec.id, session);
        Ok(())
    }

    fn sclass(&mut self, rec: SclassRecord) -> SinkResult {
        let id = match u8::try_from(rec.id) {
            Ok(id) if id > 0 && (id > 9 || !rec.name.is_empty()) => id,
            _ => return self.fault(format!("bad storage class id: {}", rec.id)),
        };
        if id > 9 && !self.seen_classes.insert(rec.id) {
            return self.fault(format!("storage class {id} is stored twice"));
        }
        let name = if rec.name.is_empty() {
            format!("sclass_{}", id - 9).into_bytes()
        } else {
            rec.name
        };
        self.m.put_sclass(id, Sclass { name, def: rec.def });
        self.late_classes |= self.m.t.node_count > 0;
        Ok(())
    }

    fn node_head(&mut self, max_inode: u32, _count_hint: u32) -> SinkResult {
        self.m.t.max_inode = self.m.t.max_inode.max(max_inode);
        Ok(())
    }

    fn node(&mut self, rec: &NodeRecord<'_>) -> SinkResult {
        if rec.inode == 0 {
            return Err(broken("a node has inode 0".into()));
        }
        if self.m.t.node(rec.inode).is_some() {
            return self.fault(format!("inode {} is stored twice", rec.inode));
        }
        let mut node = Node::new(rec.kind);
        if rec.kind.has_sclass() {
            node.sclass = rec.sclass;
            if rec.sclass == 0 {
                // The original dies of class 0 later (spec 02 §6.2).
                self.notice(format!("inode {} has storage class 0, set to 1", rec.inode));
                node.sclass = 1;
            }
        }
        (node.eattr, node.winattr) = (rec.eattr, rec.winattr);
        node.set_mode(rec.mode);
        (node.uid, node.gid) = (rec.uid, rec.gid);
        (node.atime, node.mtime, node.ctime) = (rec.atime, rec.mtime, rec.ctime);
        node.trashtime = rec.trashtime;
        match &rec.data {
            NodeData::None => {}
            NodeData::Device(rdev) => node.set_rdev(*rdev),
            NodeData::Symlink(path) => {
                let cell = if path.is_empty() {
                    0
                } else {
                    self.m.t.bytes.insert(path)
                };
                node.set_target(cell, path.len());
            }
            NodeData::File { length, chunks } => {
                node.set_length(*length);
                let used = chunks.last().map_or(0, |&(i, _)| i.saturating_add(1));
                slots::resize(&mut node, &mut self.m.t.lists, used);
                for &(i, id) in *chunks {
                    slots::set(&mut node, &mut self.m.t.lists, i, id);
                }
            }
        }
        self.m.add_node(rec.inode, node);
        Ok(())
    }

    fn edge_head(&mut self, next_edge: Option<u64>) -> SinkResult {
        match next_edge {
            Some(id) => self.m.t.next_edge = id,
            None => self.renumber = true,
        }
        Ok(())
    }

    fn edge(&mut self, rec: &EdgeRecord<'_>) -> SinkResult {
        // No image is known that has edges behind its chunks; the index would miss them.
        self.names = None;
        let child = rec.child;
        let unnamed;
        let mut name = rec.name;
        if name.is_empty() {
            self.fault(format!("edge {}->{child} has an empty name", rec.parent))?;
            unnamed = format!("(empty {child})");
            name = unnamed.as_bytes();
        }
        let most = if rec.parent == 0 { PATH_MAX } else { NAME_MAX };
        if name.len() > most {
            self.notice(format!(
                "name of edge {}->{child} is too long, its last {most} bytes are kept",
                rec.parent
            ));
            name = &name[name.len() - most..];
        }
        let Some((kind, named)) = self.m.t.node(child).map(|n| (n.kind(), n.parents != NIL)) else {
            return self.fault(format!("edge {}->{child}: child not found", rec.parent));
        };
        // The original loads such trees (spec 02 §7.5), and then walks them for ever.
        if kind == Kind::Directory && (named || child == ROOT) {
            return self.fault(format!(
                "edge {}->{child}: the directory has a place already",
                rec.parent
            ));
        }
        if rec.parent == 0 {
            if !kind.is_detached() {
                return Err(broken(format!(
                    "edge of inode {child} without parent, but it is in use"
                )));
            }
            let node = *self.m.t.nodes.get_mut(child);
            if self.m.t.detached_edge(&node).is_some() {
                return self.fault(format!("inode {child} has two detached paths"));
            }
            // Buckets are stored front first, and entries are put in front: turned round at the end of the
            // section would be the same order; the order inside a bucket decides nothing that lasts.
            self.m.add_detached(child, rec.id, name);
            return Ok(());
        }
        let mut parent = rec.parent;
        if !self.is_directory(parent) {
            let what = if self.m.t.node(parent).is_some() {
                "is no directory"
            } else {
                "not found"
            };
            self.fault(format!("edge {parent}->{child}: parent {what}"))?;
            if !self.is_directory(ROOT) {
                return Err(broken("root node not found".into()));
            }
            parent = ROOT;
        }
        if parent != self.current.0 && parent != ROOT && self.tails.contains_key(&parent) {
            self.fault(format!(
                "parent node sequence error (directory {parent}, inode {child})"
            ))?;
        }
        let last = if parent == self.current.0 {
            self.current.2
        } else {
            self.tails
                .get(&parent)
                .map_or(0, |&t| self.m.t.edges.at(t).id())
        };
        if rec.id <= last && !self.renumber {
            self.notice(format!(
                "edge ids of directory {parent} are not ascending, edges get new ids"
            ));
            self.renumber = true;
        }
        self.append_edge(parent, child, rec.id, name);
        Ok(())
    }

    fn free_head(&mut self, _count: u32) -> SinkResult {
        self.m.t.free = Default::default();
        Ok(())
    }

    fn free_inode(&mut self, inode: u32, ftime: u32) -> SinkResult {
        if self.m.t.node(inode).is_some() {
            self.notice(format!("freed inode {inode} is in use"));
        }
        self.m.t.free.restore(inode, ftime);
        Ok(())
    }

    fn quota(&mut self, inode: u32, mut rec: QuotaRecord, grace: Option<u32>) -> SinkResult {
        if !self.is_directory(inode) {
            return self.fault(format!("quota for inode {inode}, which is no directory"));
        }
        if self.m.t.quotas.contains_key(&inode) {
            self.notice(format!(
                "two quotas for inode {inode}, the later one is kept"
            ));
        }
        rec.grace = grace.unwrap_or(self.options.default_grace);
        self.m.t.quotas.insert(inode, rec);
        Ok(())
    }

    fn xattr(&mut self, inode: u32, name: &[u8], value: &[u8]) -> SinkResult {
        if self.m.t.node(inode).is_none() {
            return Ok(());
        }
        if name.is_empty() {
            return self.fault(format!(
                "empty name of an extended attribute of inode {inode}"
            ));
        }
        if value.len() > 65536 {
            return self.fault(format!(
                "value of an extended attribute of inode {inode} is too long"
            ));
        }
        let list = Arc::make_mut(
            self.m
                .t
                .xattrs
                .entry(inode)
                .or_insert_with(|| Arc::new(Vec::new())),
        );
        if list.iter().any(|x| *x.name == *name) {
            self.notice(format!(
                "an extended attribute of inode {inode} is stored twice, the first is kept"
            ));
            return Ok(());
        }
        list.push(Xattr {
            name: name.into(),
            value: value.into(),
        });
        self.m.node_mut(inode).set_has_xattr(true);
        Ok(())
    }

    fn acl(&mut self, inode: u32, kind: u8, mut acl: Acl, old: bool) -> SinkResult {
        let Some(&node) = self.m.t.node(inode) else {
            return Ok(());
        };
        let Some(kind) = AclType::from_u8(kind) else {
            return self.fault(format!("ACL of inode {inode} has unknown type {kind}"));
        };
        if self.m.t.acls.contains_key(&(inode, kind)) {
            return self.fault(format!("ACL of inode {inode} is stored twice"));
        }
        if old && acl.mask == 0 {
            self.notice(format!("ACL of inode {inode} has mask 0, set to 7"));
            acl.mask = 7;
            acl.user = acl.user & !7 | node.mode() >> 6 & 7;
            acl.other = acl.other & !7 | node.mode() & 7;
        }
        self.m.store_acl(inode, kind, Some(Arc::new(acl)));
        Ok(())
    }

    fn open(&mut self, session: u32, inode: u32, counted: bool) -> SinkResult {
        if counted {
            if self.m.add_open(session, inode) {
                self.m.t.version += 1;
            }
            return Ok(());
        }
        if self.m.t.sessions.contains_key(&session) {
            self.m.add_open(session, inode);
        }
        Ok(())
    }

    fn flock(&mut self, rec: FlockRecord) -> SinkResult {
        if !self.m.is_open_by(rec.session, rec.inode) {
            // The original writes such images itself and then refuses them (spec 02 §25).
            self.notice(format!(
                "flock of session {} on inode {}, which it has not open: dropped",
                rec.session, rec.inode
            ));
            return Ok(());
        }
        if self
            .m
            .flocks(rec.inode)
            .iter()
            .any(|l| l.exclusive || rec.exclusive)
        {
            return self.fault(format!(
                "wrong flock of session {} on inode {}",
                rec.session, rec.inode
            ));
        }
        let lock = Flock {
            session: rec.session,
            owner: rec.owner,
            exclusive: rec.exclusive,
        };
        self.m.t.flocks.entry(rec.inode).or_default().push(lock);
        Ok(())
    }

    fn posix_lock(&mut self, rec: PosixLockRecord) -> SinkResult {
        let PosixLockRecord {
            inode,
            owner,
            session,
            pid,
            start,
            end,
            kind,
        } = rec;
        if !self.m.is_open_by(session, inode) {
            self.notice(format!(
                "POSIX lock of session {session} on inode {inode}, which it has not open: dropped"
            ));
            return Ok(());
        }
        let range = PosixRange {
            start,
            end,
            write: kind == 2,
        };
        let last = self
            .m
            .posix_locks(inode)
            .iter()
            .find(|o| (o.session, o.owner) == (session, owner))
            .and_then(|o| o.ranges.last().copied());
        let at = format!("POSIX lock range {start}-{end} of session {session} on inode {inode}");
        if start >= end {
            return self.fault(format!("{at} is empty"));
        }
        match last {
            Some(l) if start < l.end => return self.fault(format!("{at} is not in order")),
            Some(l) if start == l.end && l.write == range.write => {
                return self.fault(format!("{at} is not joined to the one before"));
            }
            _ => {}
        }
        let list = self.m.t.posix.entry(inode).or_default();
        match list
            .iter_mut()
            .find(|o| (o.session, o.owner) == (session, owner))
        {
            Some(o) => o.ranges.push(range),
            None => list.push(PosixOwner {
                session,
                owner,
                pid,
                ranges: vec![range],
            }),
        }
        Ok(())
    }

    fn chunkserver(&mut self, mut rec: ChunkserverRecord) -> SinkResult {
        let key = (rec.ip, rec.port);
        if self.m.t.chunkservers.contains_key(&key) {
            return self.fault(format!(
                "chunkserver {:#x}:{} is stored twice",
                rec.ip, rec.port
            ));
        }
        if rec.id != 0 && self.m.t.chunkservers.values().any(|c| c.id == rec.id) {
            self.fault(format!("chunkserver id {} is used twice", rec.id))?;
            // The original keeps both and then refuses the image that it writes; this one gets a new id.
            rec.id = 0;
        }
        self.m.t.chunkservers.insert(key, rec);
        Ok(())
    }

    fn next_chunk(&mut self, id: u64) -> SinkResult {
        if id == 0 {
            // No chunk can have the number 0.
            self.notice("the next chunk id is 0, set to 1".into());
        }
        self.m.t.next_chunk = id.max(1);
        Ok(())
    }

    fn chunk(&mut self, rec: ChunkRecord) -> SinkResult {
        if self.m.t.chunks.is_empty() {
            self.begin_names();
        }
        if self.m.find_chunk(rec.id).is_some() {
            self.notice(format!(
                "chunk {:016X} is stored twice, the first is kept",
                rec.id
            ));
            return Ok(());
        }
        let mut chunk = Chunk::new(rec.id, rec.version, rec.locked_to);
        chunk.archived = rec.archived;
        self.m.add_chunk(chunk);
        Ok(())
    }
}
