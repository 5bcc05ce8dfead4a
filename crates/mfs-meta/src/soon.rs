//! Asking for memory ahead of a run of requests.
//!
//! In a large namespace each step from a name to its object (bucket of the index, edge, name, node) waits for
//! memory. A run of requests takes each step for all of them before the next one, so that they wait together.

use crate::paged::{NIL, prefetch};
use crate::state::Metadata;

/// What a request is going to ask for.
#[derive(Debug, Clone, Copy)]
pub enum Soon<'a> {
    /// An object.
    Node(u32),
    /// A name in a directory, and what it stands for.
    Name(u32, &'a [u8]),
}

/// Most that one call looks at; more is left alone.
pub const SOON_MAX: usize = 64;

impl Metadata {
    /// Asks for the memory behind `soon`, and tells the inodes that the names seem to stand for. Only a hint:
    /// nothing may depend on it.
    pub fn prefetch(&self, soon: &[Soon<'_>], mut found: impl FnMut(u32)) {
        let soon = &soon[..soon.len().min(SOON_MAX)];
        // Hash, then row of the edge.
        let mut keys = [0u32; SOON_MAX];
        for (soon, key) in soon.iter().zip(&mut keys) {
            let (inode, name) = match *soon {
                Soon::Node(inode) => (inode, None),
                Soon::Name(parent, name) => (parent, Some(name)),
            };
            if let Some(node) = self.t.nodes.get(inode) {
                prefetch(node);
            }
            if let Some(name) = name {
                *key = self.name_hash(inode, name);
                self.edge_index.prefetch(*key);
            }
        }
        for (soon, key) in soon.iter().zip(&mut keys) {
            if matches!(soon, Soon::Node(_)) {
                continue;
            }
            *key = self.edge_index.find(*key, |_| true).unwrap_or(NIL);
            if let Some(edge) = self.t.edges.get(*key) {
                prefetch(edge);
            }
        }
        // What is no name has no edge: its key is still 0.
        for &edge in &keys[..soon.len()] {
            if let Some(edge) = self.t.edges.get(edge) {
                prefetch(self.t.name(edge));
                // A name that goes is taken from between its neighbours.
                for row in [edge.prev, edge.next] {
                    if let Some(neighbour) = self.t.edges.get(row) {
                        prefetch(neighbour);
                    }
                }
                if let Some(node) = self.t.nodes.get(edge.child) {
                    prefetch(node);
                }
                found(edge.child);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::ROOT;
    use crate::testing::make;

    #[test]
    fn tells_what_names_stand_for() {
        let mut meta = Metadata::new(1, 1);
        let (a, b) = (make(&mut meta, ROOT, "a", 1), make(&mut meta, ROOT, "b", 1));
        let mut soon = vec![
            Soon::Node(a),
            Soon::Name(ROOT, b"b"),
            Soon::Name(ROOT, b"nothing"),
            Soon::Name(a, b"no directory"),
            Soon::Node(u32::MAX),
            Soon::Name(ROOT, b"a"),
        ];
        let mut found = Vec::new();
        meta.prefetch(&soon, |inode| found.push(inode));
        assert_eq!(found, [b, a]);
        soon.resize(SOON_MAX + 1, Soon::Name(ROOT, b"a"));
        found.clear();
        meta.prefetch(&soon, |inode| found.push(inode));
        assert_eq!(found.len(), 2 + SOON_MAX - 6);
    }
}
