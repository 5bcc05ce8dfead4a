//! A snapshot of the state, from which an image is written while the state goes on changing.

use crate::records::*;
use crate::rows::Edge;
use crate::slots;
use crate::state::Metadata;
use crate::tables::{ROOT, Tables};

/// The state at one version. Taking it costs microseconds at any size; pages that change afterwards are
/// copied once.
#[derive(Clone)]
pub struct View {
    t: Tables,
}

impl Metadata {
    /// A snapshot of the present state.
    pub fn view(&self) -> View {
        View { t: self.t.clone() }
    }
}

impl View {
    /// Version of the snapshot.
    pub fn version(&self) -> u64 {
        self.t.version
    }

    /// Sessions closed by their client are not stored; neither is what hangs on them (spec 02 §25).
    fn is_closed(&self, session: u32) -> bool {
        self.t.sessions.get(&session).is_some_and(|s| s.closed)
    }

    fn edge_record<'a>(&'a self, e: &'a Edge) -> EdgeRecord<'a> {
        EdgeRecord {
            parent: e.parent,
            child: e.child,
            id: e.id(),
            name: self.t.name(e),
        }
    }

    /// Pairs (session, inode) that are open in a stored session: a lock on anything else would make the image
    /// unloadable.
    fn open_pairs(&self) -> std::collections::HashSet<(u32, u32)> {
        let mut pairs = std::collections::HashSet::new();
        let _ = self.t.opens.for_each(|_, o| {
            if o.live && self.t.sessions.get(&o.session).is_some_and(|s| !s.closed) {
                pairs.insert((o.session, o.inode));
            }
            Ok::<(), ()>(())
        });
        pairs
    }
}

impl ImageSource for View {
    fn header(&self) -> Header {
        Header {
            version: self.t.version,
            meta_id: self.t.meta_id,
            next_session: self.t.next_session,
            max_inode: self.t.max_inode,
            next_edge: self.t.next_edge,
            next_chunk: self.t.next_chunk,
        }
    }

    fn sessions<E>(&self, f: &mut dyn FnMut(&SessionRecord) -> Result<(), E>) -> Result<(), E> {
        for (&id, s) in self.t.sessions.iter().filter(|(_, s)| !s.closed) {
            let (stats, last_stats) = s.counters.read();
            let params = (*s.params).clone();
            f(&SessionRecord {
                id,
                params,
                disconnected: s.disconnected,
                stats,
                last_stats,
            })?;
        }
        Ok(())
    }

    fn sclasses<E>(&self, f: &mut dyn FnMut(&SclassRecord) -> Result<(), E>) -> Result<(), E> {
        for (&id, c) in &self.t.sclasses {
            f(&SclassRecord {
                id: u16::from(id),
                name: c.name.clone(),
                def: c.def.clone(),
            })?;
        }
        Ok(())
    }

    fn node_count(&self) -> u32 {
        self.t.node_count
    }

    fn nodes<E>(&self, mut f: impl FnMut(&NodeRecord<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut ids = Vec::new();
        self.t.nodes.for_each(|inode, n| {
            if n.is_vacant() {
                return Ok(());
            }
            let kind = n.kind();
            let data = match kind {
                k if k.is_file_like() => {
                    slots::fill(n, &self.t.lists, &mut ids);
                    NodeData::File {
                        length: n.length(),
                        chunks: &ids,
                    }
                }
                Kind::Symlink => NodeData::Symlink(self.t.target(n)),
                Kind::BlockDevice | Kind::CharDevice => NodeData::Device(n.rdev()),
                _ => NodeData::None,
            };
            f(&NodeRecord {
                kind,
                inode,
                sclass: n.sclass,
                eattr: n.eattr,
                winattr: n.winattr,
                mode: n.mode(),
                uid: n.uid,
                gid: n.gid,
                atime: n.atime,
                mtime: n.mtime,
                ctime: n.ctime,
                trashtime: n.trashtime,
                data,
            })
        })
    }

    fn edges<E>(&self, mut f: impl FnMut(&EdgeRecord<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut stack = vec![ROOT];
        while let Some(dir) = stack.pop() {
            let Some(node) = self.t.node(dir) else {
                continue;
            };
            let base = stack.len();
            for (_, e) in self.t.children(node.dir()) {
                f(&self.edge_record(e))?;
                if self
                    .t
                    .node(e.child)
                    .is_some_and(|n| n.kind() == Kind::Directory)
                {
                    stack.push(e.child);
                }
            }
            stack[base..].reverse();
        }
        for head in self.t.trash.heads().chain(self.t.sustained.heads()) {
            for (_, e) in self.t.list(head) {
                f(&self.edge_record(e))?;
            }
        }
        Ok(())
    }

    fn free_count(&self) -> u32 {
        self.t.free.len() as u32
    }

    fn free_inodes<E>(&self, f: &mut dyn FnMut(u32, u32) -> Result<(), E>) -> Result<(), E> {
        self.t
            .free
            .iter()
            .try_for_each(|(inode, ftime)| f(inode, ftime))
    }

    fn quota_count(&self) -> u32 {
        self.t.quotas.len() as u32
    }

    fn quotas<E>(&self, f: &mut dyn FnMut(u32, &QuotaRecord) -> Result<(), E>) -> Result<(), E> {
        self.t.quotas.iter().try_for_each(|(&inode, q)| f(inode, q))
    }

    fn xattrs<E>(&self, f: &mut XattrVisitor<'_, E>) -> Result<(), E> {
        for (&inode, list) in &self.t.xattrs {
            list.iter().try_for_each(|x| f(inode, &x.name, &x.value))?;
        }
        Ok(())
    }

    fn acls<E>(&self, f: &mut dyn FnMut(u32, AclType, &Acl) -> Result<(), E>) -> Result<(), E> {
        self.t
            .acls
            .iter()
            .try_for_each(|(&(inode, kind), acl)| f(inode, kind, acl))
    }

    fn opens<E>(&self, f: &mut dyn FnMut(u32, u32) -> Result<(), E>) -> Result<(), E> {
        self.t.opens.for_each(|_, o| {
            // An entry with a zero cannot be loaded by anyone (spec 02 §12).
            if o.live && o.inode != 0 && o.session != 0 && !self.is_closed(o.session) {
                f(o.session, o.inode)
            } else {
                Ok(())
            }
        })
    }

    fn flocks<E>(&self, f: &mut dyn FnMut(&FlockRecord) -> Result<(), E>) -> Result<(), E> {
        if self.t.flocks.is_empty() {
            return Ok(());
        }
        let open = self.open_pairs();
        for (&inode, list) in &self.t.flocks {
            for l in list.iter().filter(|l| open.contains(&(l.session, inode))) {
                f(&FlockRecord {
                    inode,
                    owner: l.owner,
                    session: l.session,
                    exclusive: l.exclusive,
                })?;
            }
        }
        Ok(())
    }

    fn posix_locks<E>(
        &self,
        f: &mut dyn FnMut(&PosixLockRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.t.posix.is_empty() {
            return Ok(());
        }
        let open = self.open_pairs();
        for (&inode, list) in &self.t.posix {
            for o in list.iter().filter(|o| open.contains(&(o.session, inode))) {
                for r in &o.ranges {
                    f(&PosixLockRecord {
                        inode,
                        owner: o.owner,
                        session: o.session,
                        pid: o.pid,
                        start: r.start,
                        end: r.end,
                        kind: 1 + u8::from(r.write),
                    })?;
                }
            }
        }
        Ok(())
    }

    fn chunkserver_count(&self) -> u32 {
        self.t.chunkservers.len() as u32
    }

    fn chunkservers<E>(
        &self,
        f: &mut dyn FnMut(&ChunkserverRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        self.t.chunkservers.values().try_for_each(f)
    }

    fn chunks<E>(
        &self,
        now: u32,
        mut f: impl FnMut(&ChunkRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        self.t.chunks.for_each(|_, c| {
            if c.id() == 0 {
                return Ok(());
            }
            f(&ChunkRecord {
                id: c.id(),
                version: c.version,
                locked_to: if c.locked_to < now { 0 } else { c.locked_to },
                archived: c.archived,
            })
        })
    }
}
