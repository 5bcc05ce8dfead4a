//! `SNAPSHOT`: copies of trees that share their chunks, and their removal (spec 03 §6.7, spec 07 §7.10).
//! Trees are walked with a stack of our own: a path may be as deep as an attacker likes.

use super::tree::NewNode;
use super::{Applied, good_name};
use crate::access::{Caller, R, W, X};
use crate::op::{Outcome, SnapshotArgs};
use crate::paged::prefetch;
use crate::records::{AclType, Kind};
use crate::rows::Node;
use crate::slots;
use crate::state::{Metadata, eattr};
use crate::status::Status;
use std::collections::HashMap;

/// Bits of `smode`. Bit 0x04 (removal by force) decides what the live master tests before; the operation
/// itself always removes what may go.
pub(crate) mod smode {
    /// Existing files are overwritten.
    pub(crate) const OVERWRITE: u8 = 0x01;
    /// Attributes like those of a copy that the caller makes.
    pub(crate) const CP_LIKE: u8 = 0x02;
    /// Names of one inode become names of one copy.
    pub(crate) const HARDLINKS: u8 = 0x08;
    /// Remove instead of make.
    pub(crate) const DELETE: u8 = 0x80;
}

const PROTECTED: u8 = eattr::UNDELETABLE | eattr::IMMUTABLE | eattr::APPENDONLY;

#[derive(Default)]
struct Counts {
    xor: u32,
    removed: u32,
    same: u32,
    existing: u32,
    hardlinks: u32,
    new: u32,
}

impl From<Counts> for Outcome {
    fn from(c: Counts) -> Outcome {
        Outcome::Snapshot {
            xor: c.xor,
            removed: c.removed,
            same: c.same,
            existing: c.existing,
            hardlinks: c.hardlinks,
            new: c.new,
        }
    }
}

enum Step {
    /// Copy `src` to a name in `parent`, which existed before the operation or not.
    Copy {
        src: u32,
        parent: u32,
        name: Name,
        parent_existed: bool,
    },
    /// All entries of `src` are copied: set what copying them changed in `dst`. Their names begin at `names`.
    Finish {
        src: Node,
        dst: u32,
        existed: bool,
        names: usize,
    },
}

/// Where a name is in [`Copying::names`].
#[derive(Clone, Copy)]
struct Name {
    at: usize,
    len: usize,
}

/// Copies whose memory is asked for before it is their turn.
const AHEAD: usize = 8;

struct Copying<'a> {
    ts: u32,
    mode: u8,
    caller: Caller<'a>,
    gid: u32,
    umask: u16,
    counts: Counts,
    copies: HashMap<u32, u32>,
    steps: Vec<Step>,
    /// Names of the entries of all directories on the way down. Copies of them: what is copied may be changed, if its
    /// target is above it.
    names: Vec<u8>,
}

impl Copying<'_> {
    fn keep_name(&mut self, name: &[u8]) -> Name {
        let at = self.names.len();
        self.names.extend_from_slice(name);
        Name {
            at,
            len: name.len(),
        }
    }

    fn name(&self, name: Name) -> &[u8] {
        &self.names[name.at..name.at + name.len]
    }

    fn cp_like(&self) -> bool {
        self.mode & smode::CP_LIKE != 0
    }

    /// The caller may give copies the source's owner and full mode.
    fn owns(&self, src: &Node) -> bool {
        self.caller.uid == 0 || self.caller.uid == src.uid
    }

    /// Mode, umask, uid and gid for creating a copy.
    fn creation(&self, src: &Node) -> (u16, u16, u32, u32) {
        if self.cp_like() {
            (src.mode(), self.umask, self.caller.uid, self.gid)
        } else if self.owns(src) {
            (src.mode(), 0, src.uid, src.gid)
        } else {
            (src.mode() & 0o1777, 0, self.caller.uid, self.gid)
        }
    }
}

impl Metadata {
    pub(super) fn op_snapshot(&mut self, ts: u32, a: &SnapshotArgs<'_>) -> Applied {
        let Some(&gid) = a.gids.first() else {
            return Err(Status::Mismatch);
        };
        let caller = Caller {
            uid: a.uid,
            gids: &a.gids,
            sesflags: a.sesflags,
        };
        if a.smode & smode::DELETE != 0 {
            return self.remove_snapshot(ts, a, &caller);
        }
        self.check_snapshot(a.src, a.parent, &a.name, a.smode)?;
        let mut c = Copying {
            ts,
            mode: a.smode,
            caller,
            gid,
            umask: a.umask,
            counts: Counts::default(),
            copies: HashMap::new(),
            steps: Vec::new(),
            names: Vec::new(),
        };
        let name = c.keep_name(&a.name);
        c.steps.push(Step::Copy {
            src: a.src,
            parent: a.parent,
            name,
            parent_existed: true,
        });
        let mut own_name = Vec::new();
        while let Some(step) = c.steps.pop() {
            self.prefetch_copy(&c);
            match step {
                Step::Copy {
                    src,
                    parent,
                    name,
                    parent_existed,
                } => {
                    own_name.clear();
                    own_name.extend_from_slice(c.name(name));
                    self.snapshot_copy(&mut c, src, parent, &own_name, parent_existed)?;
                }
                Step::Finish {
                    src,
                    dst,
                    existed,
                    names,
                } => {
                    c.names.truncate(names);
                    self.snapshot_finish(&c, &src, dst, existed);
                }
            }
        }
        Ok(c.counts.into())
    }

    /// Asks for the memory of a copy whose turn comes soon: most of the time of a snapshot of many files goes by
    /// waiting for the place of each new name in the index.
    fn prefetch_copy(&self, c: &Copying<'_>) {
        let soon = c
            .steps
            .len()
            .checked_sub(AHEAD)
            .and_then(|at| c.steps.get(at));
        if let Some(Step::Copy {
            src, parent, name, ..
        }) = soon
        {
            let hash = self.name_hash(*parent, c.name(*name));
            self.edge_index.prefetch(hash);
            if let Some(node) = self.t.nodes.get(*src) {
                prefetch(node);
            }
        }
    }

    /// The checks of making a snapshot that are part of the operation (spec 03 §6.7).
    pub fn check_snapshot(
        &self,
        src: u32,
        parent: u32,
        name: &[u8],
        mode: u8,
    ) -> Result<(), Status> {
        if src == 0 {
            return Err(Status::Einval);
        }
        let source = self.need(src)?;
        self.need_dir(parent, Status::Eperm)?;
        if source.kind() == Kind::Directory && self.is_at_or_below(parent, src) {
            return Err(Status::Einval);
        }
        good_name(name)?;
        let mut pairs = Vec::new();
        if let Some(edge) = self.find_edge(parent, name) {
            pairs.push((src, self.t.edges.at(edge).child));
        }
        while let Some((s, t)) = pairs.pop() {
            if s == t {
                return Err(Status::Einval);
            }
            let (from, to) = (self.need(s)?, self.need(t)?);
            if to.eattr & PROTECTED != 0 || from.kind() != to.kind() {
                return Err(Status::Eperm);
            }
            if from.kind() != Kind::Directory {
                if mode & smode::OVERWRITE == 0 {
                    return Err(Status::Eexist);
                }
                continue;
            }
            let base = pairs.len();
            for (_, e) in self.t.children(from.dir()) {
                if let Some(other) = self.find_edge(t, self.t.name(e)) {
                    pairs.push((e.child, self.t.edges.at(other).child));
                }
            }
            pairs[base..].reverse();
        }
        Ok(())
    }

    fn snapshot_copy(
        &mut self,
        c: &mut Copying<'_>,
        src: u32,
        parent: u32,
        name: &[u8],
        parent_existed: bool,
    ) -> Result<(), Status> {
        let Some(&source) = self.t.node(src) else {
            return Ok(());
        };
        let kind = source.kind();
        if kind.is_detached() || (kind == Kind::File && !self.may(src, &c.caller, R)) {
            return Ok(());
        }
        let target = if parent_existed {
            self.find_edge(parent, name)
        } else {
            None
        };
        let (dst, existed) = match target {
            Some(edge) => (
                self.snapshot_existing(c, src, &source, parent, name, edge)?,
                true,
            ),
            None => match self.snapshot_new(c, src, &source, parent, name)? {
                Some(dst) => (dst, false),
                None => return Ok(()),
            },
        };
        if kind != Kind::Directory {
            self.snapshot_finish(c, &source, dst, existed);
            return Ok(());
        }
        c.steps.push(Step::Finish {
            src: source,
            dst,
            existed,
            names: c.names.len(),
        });
        if self.may(src, &c.caller, R | X) {
            let base = c.steps.len();
            for (_, e) in self.t.children(source.dir()) {
                let name = c.keep_name(self.t.name(e));
                c.steps.push(Step::Copy {
                    src: e.child,
                    parent: dst,
                    name,
                    parent_existed: existed,
                });
            }
            c.steps[base..].reverse();
        }
        Ok(())
    }

    /// Brings an existing target in line with its source; returns the inode that stands there afterwards.
    fn snapshot_existing(
        &mut self,
        c: &mut Copying<'_>,
        src: u32,
        source: &Node,
        parent: u32,
        name: &[u8],
        edge: u32,
    ) -> Result<u32, Status> {
        let old = self.t.edges.at(edge).child;
        let target = *self.need(old)?;
        if source.kind() == Kind::File {
            if target.length() == source.length() && slots::equal(&target, source, &self.t.lists) {
                c.counts.same += 1;
                return Ok(old);
            }
            self.unlink_name(c.ts, edge);
            let (mode, umask, uid, gid) = c.creation(source);
            let new = NewNode {
                parent,
                name,
                kind: Kind::File,
                mode,
                umask,
                uid,
                gid,
            };
            let dst = self.create_node(c.ts, &new)?;
            c.counts.existing += 1;
            c.counts.xor ^= old ^ dst;
            self.change_sclass(dst, source.sclass);
            self.node_mut(dst).trashtime = source.trashtime;
            self.share_file(src, source, dst);
            return Ok(dst);
        }
        c.counts.existing += 1;
        match source.kind() {
            Kind::Symlink => {
                let path = self.t.target(source).to_vec();
                self.set_symlink_target(old, &path);
            }
            Kind::BlockDevice | Kind::CharDevice => self.node_mut(old).set_rdev(source.rdev()),
            _ => {}
        }
        Ok(old)
    }

    /// Makes a copy where nothing stands. `None` when a link to an earlier copy was made instead.
    fn snapshot_new(
        &mut self,
        c: &mut Copying<'_>,
        src: u32,
        source: &Node,
        parent: u32,
        name: &[u8],
    ) -> Result<Option<u32>, Status> {
        let kind = source.kind();
        let many_names =
            c.mode & smode::HARDLINKS != 0 && kind != Kind::Directory && source.nlink > 1;
        if many_names && let Some(&copy) = c.copies.get(&src) {
            self.link(c.ts, parent, copy, name);
            c.counts.hardlinks += 1;
            return Ok(None);
        }
        let (mode, umask, uid, gid) = c.creation(source);
        let dst = self.create_node(
            c.ts,
            &NewNode {
                parent,
                name,
                kind,
                mode,
                umask,
                uid,
                gid,
            },
        )?;
        if many_names {
            c.copies.insert(src, dst);
        }
        c.counts.xor ^= dst;
        c.counts.new += 1;
        if !c.cp_like() {
            if kind.has_sclass() {
                self.change_sclass(dst, source.sclass);
            }
            let node = self.node_mut(dst);
            node.trashtime = source.trashtime;
            node.eattr = source.eattr;
            node.winattr = source.winattr;
            node.set_mode(mode);
            if source.has_xattr()
                && let Some(list) = self.t.xattrs.get(&src).cloned()
            {
                self.t.xattrs.insert(dst, list);
                self.node_mut(dst).set_has_xattr(true);
            }
            for which in [AclType::Access, AclType::Default] {
                if let Some(acl) = self.t.acls.get(&(src, which)).cloned() {
                    self.store_acl(dst, which, Some(acl));
                }
            }
        }
        match kind {
            Kind::File => self.share_file(src, source, dst),
            Kind::Symlink => {
                let path = self.t.target(source).to_vec();
                self.set_symlink_target(dst, &path);
            }
            Kind::BlockDevice | Kind::CharDevice => self.node_mut(dst).set_rdev(source.rdev()),
            _ => {}
        }
        Ok(Some(dst))
    }

    /// Gives an empty file the length and the chunks of another.
    fn share_file(&mut self, src: u32, source: &Node, dst: u32) {
        self.with_figures(dst, |m| {
            m.grow_slots(dst, source.slots);
            if source.slots > 0 {
                m.share_slots(dst, 0, src, 0, source.slots - 1);
            }
            m.node_mut(dst).set_length(source.length());
        });
    }

    /// Owner, mode, times and the snapshot mark, after everything below is in place.
    fn snapshot_finish(&mut self, c: &Copying<'_>, source: &Node, dst: u32, existed: bool) {
        let (cp_like, owns) = (c.cp_like(), c.owns(source));
        let node = self.node_mut(dst);
        if existed && cp_like {
            (node.uid, node.gid) = (c.caller.uid, c.gid);
            node.set_mode(source.mode() & !c.umask);
            node.ctime = c.ts;
        } else if existed {
            if owns {
                (node.uid, node.gid, node.ctime) = (source.uid, source.gid, source.ctime);
                node.set_mode(source.mode());
            } else {
                (node.uid, node.gid, node.ctime) = (c.caller.uid, c.gid, c.ts);
                node.set_mode(source.mode() & 0o1777);
            }
            (node.atime, node.mtime) = (source.atime, source.mtime);
        } else if !cp_like {
            (node.atime, node.mtime, node.ctime) = (source.atime, source.mtime, source.ctime);
        }
        node.eattr |= eattr::SNAPSHOT;
    }

    // ---- removal --------------------------------------------------------------------------------

    fn remove_snapshot(&mut self, ts: u32, a: &SnapshotArgs<'_>, caller: &Caller<'_>) -> Applied {
        if a.src != 0 {
            return Err(Status::Einval);
        }
        self.need_dir(a.parent, Status::Eperm)?;
        good_name(&a.name)?;
        let top = self.find_edge(a.parent, &a.name).ok_or(Status::Enoent)?;
        let mut counts = Counts::default();
        enum Visit {
            Enter(u32),
            Leave { edge: u32, inode: u32, eattr: u8 },
        }
        let mut stack = vec![Visit::Enter(top)];
        while let Some(visit) = stack.pop() {
            let (edge, inode) = match visit {
                Visit::Enter(edge) => {
                    let inode = self.t.edges.at(edge).child;
                    let Some(&node) = self.t.node(inode) else {
                        continue;
                    };
                    if node.kind() == Kind::Directory && self.may(inode, caller, W | X) {
                        stack.push(Visit::Leave {
                            edge,
                            inode,
                            eattr: node.eattr,
                        });
                        let base = stack.len();
                        stack.extend(
                            self.t
                                .children(node.dir())
                                .map(|(child, _)| Visit::Enter(child)),
                        );
                        stack[base..].reverse();
                        continue;
                    }
                    (edge, inode)
                }
                Visit::Leave { edge, inode, eattr } => {
                    if self
                        .t
                        .node(inode)
                        .is_some_and(|n| self.t.dirs.at(n.dir()).entries == 0)
                    {
                        self.node_mut(inode).eattr = eattr;
                    }
                    (edge, inode)
                }
            };
            self.remove_snapshot_name(ts, edge, inode, &mut counts);
        }
        Ok(counts.into())
    }

    /// Removes one name of a tree that is being removed, if it may go.
    fn remove_snapshot_name(&mut self, ts: u32, edge: u32, inode: u32, counts: &mut Counts) {
        let Some(&node) = self.t.node(inode) else {
            return;
        };
        if node.kind() == Kind::Directory && self.t.dirs.at(node.dir()).entries > 0 {
            return;
        }
        let parent = self
            .t
            .node(self.t.edges.at(edge).parent)
            .map_or(0, |n| n.eattr);
        if node.eattr & eattr::SNAPSHOT == 0
            || node.eattr & PROTECTED != 0
            || parent & (eattr::APPENDONLY | eattr::IMMUTABLE) != 0
        {
            return;
        }
        self.node_mut(inode).trashtime = 0;
        self.unlink_name(ts, edge);
        counts.removed += 1;
        counts.xor ^= inode;
    }
}
