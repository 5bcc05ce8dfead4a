//! Names: edges in directories and detached paths, and the building blocks B3 to B5, B7's path (spec 03 §5).

use crate::name_index::hash_of;
use crate::paged::NIL;
use crate::records::Kind;
use crate::rows::{Edge, TreeStats};
use crate::state::{Metadata, PATH_MAX, eattr};
use crate::tables::{EDGE_ID_MAX, ROOT};

impl Metadata {
    /// Hash of a name in a directory. Detached edges are not indexed.
    pub(crate) fn name_hash(&self, parent: u32, name: &[u8]) -> u32 {
        hash_of(&self.seed, parent, name)
    }

    /// The edge with this name in a directory.
    pub(crate) fn find_edge(&self, parent: u32, name: &[u8]) -> Option<u32> {
        let hash = self.name_hash(parent, name);
        self.edge_index.find(hash, |row| {
            let e = self.t.edges.at(row);
            e.parent == parent && usize::from(e.len) == name.len() && self.t.name(e) == name
        })
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
        let hash = self.name_hash(parent, name);
        self.edge_index.insert(hash, i);
        i
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
        let child = self.t.nodes.get_mut(e.child);
        if !is_dir {
            child.nlink = child.nlink.saturating_sub(1);
        }
        child.ctime = ts;
        let hash = self.name_hash(e.parent, self.t.name(&e));
        self.edge_index.remove(hash, edge);
        self.take_out(row, edge);
    }

    /// Gives an edge another name in its directory: as [`Metadata::unlink_edge`] and [`Metadata::link`], where
    /// what one takes away and the other adds is left alone.
    pub(crate) fn rename_edge(&mut self, ts: u32, edge: u32, name: &[u8]) {
        let id = self.take_edge_id();
        let e = *self.t.edges.at(edge);
        let hash = self.name_hash(e.parent, self.t.name(&e));
        self.edge_index.remove(hash, edge);
        self.edge_index.insert(self.name_hash(e.parent, name), edge);
        self.forget_name(e.child, edge);
        let child = self.t.nodes.get_mut(e.child);
        child.ctime = ts;
        let next_name = child.parents;
        child.parents = edge;
        let dir = self.t.nodes.get_mut(e.parent);
        dir.eattr &= !eattr::SNAPSHOT;
        (dir.mtime, dir.ctime) = (ts, ts);
        let dir = dir.dir();
        self.leave_list(dir, &e);
        self.t.bytes.remove(usize::from(e.len), e.name);
        let cell = self.t.bytes.insert(name);
        let row = self.t.edges.at_mut(edge);
        row.set_id(id);
        row.name = cell;
        row.len = name.len() as u16;
        row.next_name = next_name;
        row.prev = NIL;
        self.push_front(dir, edge);
    }

    /// Takes a name out of its directory's list and of its child's, and away. Index and figures are the caller's
    /// matter.
    pub(crate) fn take_out(&mut self, dir: u32, edge: u32) {
        let e = *self.t.edges.at(edge);
        self.leave_list(dir, &e);
        self.forget_name(e.child, edge);
        self.t.bytes.remove(usize::from(e.len), e.name);
        self.t.edges.remove(edge);
    }

    fn leave_list(&mut self, dir: u32, e: &Edge) {
        let d = self.t.dirs.at_mut(dir);
        d.entries -= 1;
        if e.prev == NIL {
            d.first = e.next;
        }
        self.unchain(e);
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
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::op::{Op, Outcome};
    use crate::records::Kind;
    use crate::state::Metadata;
    use crate::testing::make;

    /// What can be told of a namespace, lists in their order.
    fn facts(m: &Metadata) -> Vec<String> {
        (1..=m.max_inode())
            .filter_map(|inode| m.node(inode))
            .map(|n| {
                let entries: Vec<_> = m.children(n.inode).collect();
                let names: Vec<_> = n.names().collect();
                let times = (n.mtime(), n.ctime());
                let own = (n.inode, n.kind(), n.eattr(), n.nlink(), times);
                format!("{own:?} {names:?} {entries:?} {:?}", n.figures())
            })
            .collect()
    }

    /// MOVE as it is for two directories.
    fn move_the_long_way(m: &mut Metadata, ts: u32, dir: u32, from: &str, to: &str) {
        let edge = m.find_edge(dir, from.as_bytes()).unwrap();
        if let Some(target) = m.find_edge(dir, to.as_bytes()) {
            if target == edge {
                return;
            }
            let parent = dir;
            let name = to.as_bytes().into();
            m.apply(ts, &Op::Unlink { parent, name }).unwrap();
        }
        let child = m.t.edges.at(edge).child;
        m.unlink_edge(ts, edge);
        m.link(ts, dir, child, to.as_bytes());
    }

    proptest! {
        #[test]
        fn a_new_name_in_the_same_directory_is_a_name_less_and_a_name_more(
            steps in proptest::collection::vec((0u8..4, 0u8..6, 0u8..6, 0u8..3), 1..60)
        ) {
            let mut ours = Metadata::new(1, 1);
            let mut dirs = vec![1];
            dirs.extend(["x", "y"].map(|name| make(&mut ours, 1, name, 2)));
            let mut other = Metadata::new(1, 1);
            for name in ["x", "y"] {
                make(&mut other, 1, name, 2);
            }
            for (i, &(what, from, to, dir)) in steps.iter().enumerate() {
                let ts = 100 + i as u32;
                let dir = dirs[usize::from(dir)];
                let (from, to) = (format!("n{from}"), format!("n{to}"));
                let there = ours.lookup(dir, from.as_bytes());
                match (what, there) {
                    (0, None) => {
                        for m in [&mut ours, &mut other] {
                            make(m, dir, &from, 1 + u8::from(i % 5 == 0));
                        }
                    }
                    // Another name for it.
                    (1, Some(inode)) if ours.node(inode).unwrap().kind() == Kind::File => {
                        let op = Op::Link {
                            inode,
                            parent: dirs[i % 3],
                            name: to.as_bytes().into(),
                        };
                        let done = [&mut ours, &mut other].map(|m| m.apply(ts, &op).is_ok());
                        prop_assert_eq!(done[0], done[1]);
                    }
                    (_, Some(inode)) => {
                        let op = Op::Move {
                            parent1: dir,
                            name1: from.as_bytes().into(),
                            parent2: dir,
                            name2: to.as_bytes().into(),
                        };
                        prop_assert_eq!(ours.apply(ts, &op), Ok(Outcome::Inode(inode)));
                        move_the_long_way(&mut other, ts, dir, &from, &to);
                    }
                    _ => {}
                }
                ours.audit().unwrap();
                prop_assert_eq!(facts(&ours), facts(&other));
            }
        }
    }
}
