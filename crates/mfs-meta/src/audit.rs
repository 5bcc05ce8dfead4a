//! Proof that a state is consistent: everything derived is computed anew and compared. Linear in the size of the
//! state; for tests, fuzzers and operators in doubt, not for the path of a request.

use crate::paged::NIL;
use crate::records::{AclType, Kind};
use crate::rows::{Edge, Node, TreeStats};
use crate::slots;
use crate::state::{Metadata, SclassUse, Totals};
use crate::tables::ROOT;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What is inconsistent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("inconsistent metadata: {0}")]
pub struct AuditError(String);

type Found = Result<(), AuditError>;

macro_rules! demand {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(AuditError(format!($($text)+)));
        }
    };
}

/// What the walk over the nodes counts.
#[derive(Default)]
struct Sums {
    nodes: u32,
    dirs: u32,
    max_inode: u32,
    names: u32,
    lists: u32,
    acls: usize,
    xattrs: usize,
    totals: Totals,
    classes: HashMap<u8, SclassUse>,
    /// References of chunks by storage class.
    refs: HashMap<u64, BTreeMap<u8, u32>>,
}

impl Metadata {
    /// Compares everything that is derived (indexes, lists, counts, figures of directories, references of chunks,
    /// the set of used inodes) with what it is derived from.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn audit(&self) -> Result<(), AuditError> {
        let mut sums = Sums::default();
        self.t
            .nodes
            .for_each(|inode, node| match node.is_vacant() {
                true => Ok(()),
                false => self.audit_node(inode, node, &mut sums),
            })?;
        self.audit_sums(&sums)?;
        self.audit_tree()?;
        self.audit_detached()?;
        self.audit_chunks(&sums.refs)?;
        self.audit_inodes()?;
        self.audit_opens()?;
        self.audit_locks()
    }

    fn audit_node(&self, inode: u32, node: &Node, sums: &mut Sums) -> Found {
        let kind = node.kind();
        sums.nodes += 1;
        sums.max_inode = sums.max_inode.max(inode);
        let (mut names, mut detached) = (0, 0);
        for (row, e) in self.t.names_of(node) {
            demand!(
                e.child == inode,
                "name {row} of inode {inode} is of {}",
                e.child
            );
            sums.names += 1;
            if e.parent == 0 {
                detached += 1;
                continue;
            }
            names += 1;
            let parent = self.t.node(e.parent).map(Node::kind);
            demand!(
                parent == Some(Kind::Directory),
                "inode {inode} is named in {}, which is no directory",
                e.parent
            );
            demand!(
                self.find_edge(e.parent, self.t.name(e)) == Some(row),
                "name {row} of inode {inode} is not the one that a lookup finds"
            );
        }
        demand!(
            detached <= u32::from(kind.is_detached()),
            "inode {inode} of type {kind:?} has {detached} detached paths"
        );
        demand!(
            (names + detached == 0) == (inode == ROOT),
            "inode {inode} has {names} names and {detached} detached paths"
        );
        match kind {
            Kind::Directory => {
                sums.dirs += 1;
                demand!(
                    inode == ROOT || names == 1,
                    "directory {inode} has {names} names"
                );
                self.audit_directory(inode, node)?;
            }
            _ => demand!(
                node.nlink == names,
                "inode {inode} has {names} names and counts {}",
                node.nlink
            ),
        }
        if kind.has_sclass() {
            let class = sums.classes.entry(node.sclass).or_default();
            match kind {
                Kind::Directory => class.dirs += 1,
                _ => class.files += 1,
            }
        }
        let totals = &mut sums.totals;
        match kind {
            Kind::Directory => totals.dirs += 1,
            Kind::File => totals.files += 1,
            Kind::Trash => {
                totals.trash += 1;
                totals.trash_bytes = totals.trash_bytes.wrapping_add(node.length());
            }
            Kind::Sustained => {
                totals.sustained += 1;
                totals.sustained_bytes = totals.sustained_bytes.wrapping_add(node.length());
            }
            _ => {}
        }
        if kind.is_file_like() {
            sums.lists += u32::from(node.slots > 1);
            let mut used = 0;
            slots::for_each_from(node, &self.t.lists, 0, |_, id| {
                used += 1;
                let classes = sums.refs.entry(id).or_default();
                *classes.entry(node.sclass).or_default() += 1;
            });
            demand!(
                slots::used(node, &self.t.lists) == used,
                "inode {inode} has {used} chunks and counts {}",
                slots::used(node, &self.t.lists)
            );
        }
        for (which, marked) in [
            (AclType::Access, node.has_access_acl()),
            (AclType::Default, node.has_default_acl()),
        ] {
            let held = self.t.acls.contains_key(&(inode, which));
            demand!(
                held == marked,
                "mark of the {which:?} ACL of inode {inode} is {marked}"
            );
            sums.acls += usize::from(held);
        }
        let held = self.t.xattrs.get(&inode);
        demand!(
            held.is_some() == node.has_xattr() && held.is_none_or(|list| !list.is_empty()),
            "mark of the extended attributes of inode {inode} is {}",
            node.has_xattr()
        );
        sums.xattrs += usize::from(held.is_some());
        Ok(())
    }

    /// Entries and figures of one directory.
    fn audit_directory(&self, inode: u32, node: &Node) -> Found {
        let dir = self.t.dirs.at(node.dir());
        demand!(
            dir.inode == inode,
            "row of directory {inode} is of {}",
            dir.inode
        );
        let (mut entries, mut below, mut last) = (0, 0, NIL);
        let mut stats = TreeStats::default();
        for (row, e) in self.t.children(node.dir()) {
            demand!(
                e.parent == inode && e.prev == last,
                "edge {row} of directory {inode} is linked to {} in {}",
                e.prev,
                e.parent
            );
            last = row;
            entries += 1;
            let Some(child) = self.t.node(e.child) else {
                return Err(AuditError(format!(
                    "directory {inode} names {}, which is none",
                    e.child
                )));
            };
            below += u32::from(child.kind() == Kind::Directory);
            stats.add(&self.t.figures(child));
        }
        demand!(
            dir.entries == entries && node.nlink == 2 + below,
            "directory {inode} has {entries} entries, {below} of them directories, and counts {} and {}",
            dir.entries,
            node.nlink
        );
        demand!(
            dir.stats == stats,
            "directory {inode} counts {:?} below, there is {stats:?}",
            dir.stats
        );
        Ok(())
    }

    fn audit_sums(&self, sums: &Sums) -> Found {
        let (t, root) = (&self.t, self.t.node(ROOT).map(Node::kind));
        demand!(root == Some(Kind::Directory), "there is no root directory");
        let counted = (t.node_count, t.dirs.len(), t.edges.len(), t.lists.len());
        let found = (sums.nodes, sums.dirs, sums.names, sums.lists);
        demand!(
            counted == found,
            "nodes, directories, edges, chunk lists are {found:?}, counted {counted:?}"
        );
        let counted = (t.acls.len(), t.xattrs.len());
        let found = (sums.acls, sums.xattrs);
        demand!(
            counted == found,
            "ACLs, extended attributes are {found:?} of nodes, {counted:?} in all"
        );
        demand!(
            t.max_inode >= sums.max_inode,
            "inode {} is above the highest",
            sums.max_inode
        );
        demand!(
            self.totals == sums.totals,
            "totals are {:?}, counted {:?}",
            sums.totals,
            self.totals
        );
        for class in 0..=u8::MAX {
            let (counted, found) = (self.sclass_use(class), sums.classes.get(&class).copied());
            demand!(
                counted == found.unwrap_or_default(),
                "class {class} is used by {found:?}, counted {counted:?}"
            );
        }
        for inode in t.quotas.keys() {
            let kind = t.node(*inode).map(Node::kind);
            demand!(
                kind == Some(Kind::Directory),
                "inode {inode} with a quota is {kind:?}"
            );
        }
        Ok(())
    }

    /// Every directory hangs below the root, once.
    fn audit_tree(&self) -> Found {
        let (mut seen, mut stack) = (HashSet::new(), vec![ROOT]);
        while let Some(inode) = stack.pop() {
            demand!(seen.insert(inode), "directory {inode} is in the tree twice");
            let Some(node) = self.t.node(inode) else {
                continue;
            };
            let is_dir = |e: &Edge| {
                self.t
                    .node(e.child)
                    .is_some_and(|n| n.kind() == Kind::Directory)
            };
            stack.extend(
                self.t
                    .children(node.dir())
                    .filter(|(_, e)| is_dir(e))
                    .map(|(_, e)| e.child),
            );
        }
        let (found, counted) = (seen.len(), self.t.dirs.len());
        demand!(
            found == counted as usize,
            "{found} of {counted} directories hang below the root"
        );
        Ok(())
    }

    /// Buckets of trash and sustained files.
    fn audit_detached(&self) -> Found {
        let (trash, sustained) = (&self.t.trash, &self.t.sustained);
        let heads = (trash.heads().map(|h| (h, Kind::Trash)))
            .chain(sustained.heads().map(|h| (h, Kind::Sustained)));
        let mut listed = 0;
        for (head, kind) in heads {
            let mut last = NIL;
            for (row, e) in self.t.list(head) {
                listed += 1;
                let child = self.t.node(e.child);
                let own = match kind {
                    Kind::Trash => trash.head(e.child),
                    _ => sustained.head(e.child),
                };
                demand!(
                    child.is_some_and(|n| n.kind() == kind && self.t.detached_edge(n) == Some(row))
                        && own == head
                        && e.prev == last,
                    "path {row} of inode {} in a list of {kind:?} files",
                    e.child
                );
                last = row;
            }
        }
        let mut detached = 0;
        self.t.edges.for_each(|_, e| {
            detached += u32::from(e.child != 0 && e.parent == 0);
            Ok::<(), AuditError>(())
        })?;
        demand!(
            detached == listed,
            "{listed} of {detached} detached paths are listed"
        );
        Ok(())
    }

    fn audit_chunks(&self, refs: &HashMap<u64, BTreeMap<u8, u32>>) -> Found {
        let (mut chunks, mut mixed) = (0, 0);
        self.t.chunks.for_each(|row, c| {
            if c.id() == 0 {
                return Ok(());
            }
            chunks += 1;
            mixed += usize::from(c.mixed);
            demand!(
                self.find_chunk(c.id()) == Some(row),
                "chunk {:016X} is not found",
                c.id()
            );
            let found: BTreeMap<u8, u32> = self.chunk_classes(row).into_iter().collect();
            let expected = refs.get(&c.id()).cloned().unwrap_or_default();
            demand!(
                found == expected && c.refs == expected.values().sum::<u32>(),
                "chunk {:016X} counts {found:?}, {} in all, and is named by {expected:?}",
                c.id(),
                c.refs
            );
            Ok(())
        })?;
        demand!(
            chunks == self.t.chunks.len(),
            "{chunks} chunks, counted {}",
            self.t.chunks.len()
        );
        demand!(
            mixed == self.mixed.len(),
            "{mixed} chunks of several classes, {} listed",
            self.mixed.len()
        );
        let missing = refs.keys().filter(|id| self.find_chunk(**id).is_none());
        demand!(
            missing.count() == self.missing.len(),
            "{} chunks are listed as missing",
            self.missing.len()
        );
        for (id, list) in &self.missing {
            let found: BTreeMap<u8, u32> = list.iter().copied().collect();
            demand!(
                refs.get(id) == Some(&found),
                "missing chunk {id:016X} counts {found:?} and is named by {:?}",
                refs.get(id)
            );
        }
        Ok(())
    }

    /// Used numbers: those of nodes, 0, and those that wait for reuse. Of the latter some may be free, because images
    /// of originals may list one twice.
    fn audit_inodes(&self) -> Found {
        let mut used = HashSet::from([0]);
        self.t.nodes.for_each(|inode, node| {
            if !node.is_vacant() {
                used.insert(inode);
            }
            Ok::<(), AuditError>(())
        })?;
        for &inode in &used {
            demand!(
                self.used.contains(inode),
                "inode {inode} is in use and counts as free"
            );
        }
        let waiting = self.t.free.iter().map(|(inode, _)| inode);
        used.extend(waiting.filter(|&inode| self.used.contains(inode)));
        let counted = self.used.count();
        demand!(
            counted == used.len(),
            "{} inodes are in use, counted {counted}",
            used.len()
        );
        Ok(())
    }

    fn audit_opens(&self) -> Found {
        let mut pairs = HashSet::new();
        self.t.opens.for_each(|row, o| {
            if !o.live {
                return Ok(());
            }
            let (session, inode) = (o.session, o.inode);
            let listed = self.is_open_by(session, inode)
                && self.opens_of(session).any(|i| i == inode)
                && self.sessions_of_open(inode).any(|s| s == session);
            demand!(
                pairs.insert((session, inode)) && listed,
                "open file {row} of session {session}, inode {inode} is listed wrongly"
            );
            Ok(())
        })?;
        let counted = self.t.opens.len();
        demand!(
            pairs.len() == counted as usize,
            "{} open files, counted {counted}",
            pairs.len()
        );
        Ok(())
    }

    fn audit_locks(&self) -> Found {
        for (inode, list) in &self.t.flocks {
            let alone = list.len() == 1 || list.iter().all(|l| !l.exclusive);
            demand!(
                !list.is_empty() && alone,
                "flocks of inode {inode} contradict each other"
            );
        }
        for (inode, owners) in &self.t.posix {
            let keys: HashSet<(u32, u64)> = owners.iter().map(|o| (o.session, o.owner)).collect();
            demand!(
                !keys.is_empty() && keys.len() == owners.len(),
                "owners of locks on inode {inode}"
            );
            for o in owners {
                let apart = o.ranges.windows(2).all(|w| match w {
                    [a, b] => a.end < b.start || (a.end == b.start && a.write != b.write),
                    _ => true,
                });
                demand!(
                    !o.ranges.is_empty() && apart && o.ranges.iter().all(|r| r.start < r.end),
                    "ranges of session {} on inode {inode} are out of order",
                    o.session
                );
            }
        }
        Ok(())
    }
}
