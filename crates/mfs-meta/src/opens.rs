//! Open files: the set of pairs (session, inode), asked by pair, by inode ("is it open?") and by session (its
//! removal). Neither side has to exist (spec 03 §6.11).

use crate::index::{RowIndex, sequential_hash};
use crate::paged::NIL;
use crate::rows::Open;
use crate::state::Metadata;
use std::collections::HashMap;

/// The ways to find a row. Derived.
#[derive(Default)]
pub(crate) struct OpenIndex {
    pairs: RowIndex,
    /// First row of each inode's list.
    inodes: RowIndex,
    /// First row of each session's list.
    sessions: HashMap<u32, u32>,
}

impl OpenIndex {
    pub(crate) fn bytes(&self) -> usize {
        self.pairs.bytes() + self.inodes.bytes() + self.sessions.capacity() * 9
    }
}

fn inode_hash(inode: u32) -> u32 {
    sequential_hash(u64::from(inode))
}

/// Spreads the sessions that have one inode open.
fn pair_hash(session: u32, inode: u32) -> u32 {
    let key = (u64::from(session) << 32 | u64::from(inode)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (key >> 32) as u32
}

impl Metadata {
    fn find_open(&self, session: u32, inode: u32) -> Option<u32> {
        self.open_index
            .pairs
            .find(pair_hash(session, inode), |row| {
                let o = self.t.opens.at(row);
                o.inode == inode && o.session == session
            })
    }

    fn first_of_inode(&self, inode: u32) -> Option<u32> {
        self.open_index
            .inodes
            .find(inode_hash(inode), |row| self.t.opens.at(row).inode == inode)
    }

    /// True when any session has the inode open.
    pub fn is_open(&self, inode: u32) -> bool {
        self.first_of_inode(inode).is_some()
    }

    /// True when this session has the inode open.
    pub fn is_open_by(&self, session: u32, inode: u32) -> bool {
        self.find_open(session, inode).is_some()
    }

    /// Sessions that have the inode open, latest first.
    pub fn sessions_of_open(&self, inode: u32) -> impl Iterator<Item = u32> + '_ {
        let mut at = self.first_of_inode(inode).unwrap_or(NIL);
        std::iter::from_fn(move || {
            (at != NIL).then(|| {
                let o = self.t.opens.at(at);
                at = o.next_of_inode;
                o.session
            })
        })
    }

    /// Inodes that a session has open, latest first.
    pub fn opens_of(&self, session: u32) -> impl Iterator<Item = u32> + '_ {
        let mut at = self
            .open_index
            .sessions
            .get(&session)
            .copied()
            .unwrap_or(NIL);
        std::iter::from_fn(move || {
            (at != NIL).then(|| {
                let o = self.t.opens.at(at);
                at = o.next;
                o.inode
            })
        })
    }

    /// Adds an open file; false when it is there already.
    pub(crate) fn add_open(&mut self, session: u32, inode: u32) -> bool {
        if self.find_open(session, inode).is_some() {
            return false;
        }
        let next = self
            .open_index
            .sessions
            .get(&session)
            .copied()
            .unwrap_or(NIL);
        let next_of_inode = self.first_of_inode(inode).unwrap_or(NIL);
        let row = Open {
            inode,
            session,
            next,
            next_of_inode,
            live: true,
            ..Open::default()
        };
        let row = self.t.opens.insert(row);
        if next != NIL {
            self.t.opens.at_mut(next).prev = row;
        }
        self.open_index.sessions.insert(session, row);
        if next_of_inode != NIL {
            self.t.opens.at_mut(next_of_inode).prev_of_inode = row;
            self.open_index
                .inodes
                .remove(inode_hash(inode), next_of_inode);
        }
        self.open_index.inodes.insert(inode_hash(inode), row);
        self.open_index.pairs.insert(pair_hash(session, inode), row);
        true
    }

    /// Removes an open file; false when it is not there.
    pub(crate) fn remove_open(&mut self, session: u32, inode: u32) -> bool {
        let Some(row) = self.find_open(session, inode) else {
            return false;
        };
        let o = *self.t.opens.at(row);
        if o.prev != NIL {
            self.t.opens.at_mut(o.prev).next = o.next;
        } else if o.next != NIL {
            self.open_index.sessions.insert(session, o.next);
        } else {
            self.open_index.sessions.remove(&session);
        }
        if o.next != NIL {
            self.t.opens.at_mut(o.next).prev = o.prev;
        }
        if o.next_of_inode != NIL {
            self.t.opens.at_mut(o.next_of_inode).prev_of_inode = o.prev_of_inode;
        }
        if o.prev_of_inode != NIL {
            self.t.opens.at_mut(o.prev_of_inode).next_of_inode = o.next_of_inode;
        } else {
            self.open_index.inodes.remove(inode_hash(inode), row);
            if o.next_of_inode != NIL {
                self.open_index
                    .inodes
                    .insert(inode_hash(inode), o.next_of_inode);
            }
        }
        self.open_index.pairs.remove(pair_hash(session, inode), row);
        self.t.opens.remove(row);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    proptest::proptest! {
        #[test]
        fn behaves_like_a_set(ops in proptest::collection::vec((0u32..6, 0u32..6, proptest::bool::ANY), 1..300)) {
            let mut m = Metadata::new(0, 0);
            let mut model: BTreeSet<(u32, u32)> = BTreeSet::new();
            for (session, inode, add) in ops {
                if add {
                    proptest::prop_assert_eq!(m.add_open(session, inode), model.insert((session, inode)));
                } else {
                    proptest::prop_assert_eq!(m.remove_open(session, inode), model.remove(&(session, inode)));
                }
                for s in 0..6 {
                    let of_session: BTreeSet<u32> = m.opens_of(s).collect();
                    let wanted: BTreeSet<u32> = model.iter().filter(|p| p.0 == s).map(|p| p.1).collect();
                    proptest::prop_assert_eq!(of_session, wanted);
                    let of_inode: BTreeSet<u32> = m.sessions_of_open(s).collect();
                    let wanted: BTreeSet<u32> = model.iter().filter(|p| p.1 == s).map(|p| p.0).collect();
                    proptest::prop_assert_eq!(of_inode, wanted);
                }
            }
        }
    }
}
