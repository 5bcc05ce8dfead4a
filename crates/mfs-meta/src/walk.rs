//! Walks over trees, at once or in slices.

use crate::paged::NIL;
use crate::query::NodeInfo;
use crate::records::Kind;
use crate::rows::Edge;
use crate::state::Metadata;

/// A walk over an object and everything below it that can be interrupted: the state may change between two slices.
/// What is moved meanwhile may be met twice or not at all, as by any program that reads directories.
#[derive(Debug)]
pub struct Walk {
    /// The object to begin with, until it was met.
    first: Option<u32>,
    /// The directories on the way down, each with the entry that comes next.
    path: Vec<Place>,
}

/// A place in a directory.
#[derive(Debug, Clone, Copy)]
struct Place {
    dir: u32,
    /// Row of the next edge, [`NIL`] at the end.
    edge: u32,
    /// Id of that edge: rows are used again.
    id: u64,
}

impl Walk {
    /// A walk that begins with `inode`.
    #[must_use]
    pub fn new(inode: u32) -> Walk {
        Walk {
            first: Some(inode),
            path: Vec::new(),
        }
    }
}

impl Metadata {
    /// Calls `f` with an object and, if `recursive`, with everything below it, each name once: the directory that
    /// the walk came from (0 for the first object) and the object. Directories come before their contents.
    pub fn visit(&self, inode: u32, recursive: bool, mut f: impl FnMut(u32, NodeInfo<'_>)) {
        if recursive {
            self.walk(&mut Walk::new(inode), u32::MAX, f);
        } else if let Some(node) = self.node(inode) {
            f(0, node);
        }
    }

    /// As a recursive [`Metadata::visit`], but ends after `most` objects. True when there are more.
    pub fn walk(&self, walk: &mut Walk, most: u32, mut f: impl FnMut(u32, NodeInfo<'_>)) -> bool {
        let mut left = most;
        let mut meet = |path: &mut Vec<Place>, from, inode| {
            let Some(node) = self.node(inode) else {
                return;
            };
            f(from, node);
            if node.kind() == Kind::Directory {
                path.push(self.place_at(inode, node.first_entry()));
            }
        };
        if let Some(inode) = walk.first.take() {
            left = left.saturating_sub(1);
            meet(&mut walk.path, 0, inode);
        }
        while left > 0 {
            let Some(place) = walk.path.pop() else {
                return false;
            };
            let Some(edge) = self.entry_at(&place) else {
                continue;
            };
            walk.path.push(self.place_at(place.dir, edge.next));
            left -= 1;
            meet(&mut walk.path, place.dir, edge.child);
        }
        !walk.path.is_empty()
    }

    fn place_at(&self, dir: u32, edge: u32) -> Place {
        let id = self.t.edges.get(edge).map_or(0, Edge::id);
        Place { dir, edge, id }
    }

    /// The entry at a place, or the one that came behind it in the list.
    fn entry_at(&self, place: &Place) -> Option<&Edge> {
        if place.edge == NIL {
            return None;
        }
        let is_there = |edge: &&Edge| edge.parent == place.dir && edge.id() == place.id;
        if let Some(edge) = self.t.edges.get(place.edge).filter(is_there) {
            return Some(edge);
        }
        let dir = self
            .t
            .node(place.dir)
            .filter(|n| n.kind() == Kind::Directory)?;
        self.t
            .children(dir.dir())
            .map(|(_, edge)| edge)
            .find(|edge| edge.id() >= place.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::ROOT;
    use crate::testing::{make, unlink};

    /// root/a/{x,y,z}, root/b/{u,v}, root/c
    fn tree() -> (Metadata, [u32; 2]) {
        let mut m = Metadata::new(1, 1);
        let c = make(&mut m, ROOT, "c", 1);
        let b = make(&mut m, ROOT, "b", 2);
        let a = make(&mut m, ROOT, "a", 2);
        for name in ["z", "y", "x"] {
            make(&mut m, a, name, 1);
        }
        for name in ["v", "u"] {
            make(&mut m, b, name, 1);
        }
        assert!(c < b);
        (m, [a, b])
    }

    fn all(m: &Metadata, slice: u32) -> Vec<(u32, u32)> {
        let mut walk = Walk::new(ROOT);
        let mut met = Vec::new();
        let mut slices = 0;
        while m.walk(&mut walk, slice, |from, node| met.push((from, node.inode))) {
            slices += 1;
            assert!(slices < 100);
        }
        met
    }

    #[test]
    fn slices_meet_the_same() {
        let (m, _) = tree();
        let whole = all(&m, u32::MAX);
        assert_eq!(whole.len(), 9);
        for slice in 1..12 {
            assert_eq!(all(&m, slice), whole, "slices of {slice}");
        }
        let mut alone = Vec::new();
        m.visit(ROOT, false, |from, node| alone.push((from, node.inode)));
        assert_eq!(alone, [(0, ROOT)]);
    }

    #[test]
    fn goes_on_behind_what_went_away() {
        let (mut m, [a, b]) = tree();
        let name = |m: &Metadata, inode| {
            let node = m.node(inode).unwrap();
            let name = node.names().next().map_or(&b"/"[..], |(_, name)| name);
            String::from_utf8(name.to_vec()).unwrap()
        };
        let mut walk = Walk::new(ROOT);
        let mut met = Vec::new();
        // Root, a, x; next is y.
        assert!(m.walk(&mut walk, 3, |_, node| met.push(name(&m, node.inode))));
        unlink(&mut m, a, "y");
        // Its row is used for something else.
        make(&mut m, b, "new", 1);
        assert!(m.walk(&mut walk, 1, |_, node| met.push(name(&m, node.inode))));
        // The next one in the root is removed with what is in it.
        for inner in ["new", "u", "v"] {
            unlink(&mut m, b, inner);
        }
        unlink(&mut m, ROOT, "b");
        assert!(!m.walk(&mut walk, 100, |_, node| met.push(name(&m, node.inode))));
        assert_eq!(met, ["/", "a", "x", "z", "c"]);
    }
}
