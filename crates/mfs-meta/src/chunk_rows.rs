//! Chunks by row: what the soft state of chunk management hangs on (spec 05 §6).
//!
//! A chunk keeps its row number as long as it exists, so a table of what the chunkservers have can use the same
//! numbers and needs neither an index nor the ids of its own.

use std::collections::VecDeque;

use crate::rows::Chunk;
use crate::state::Metadata;

/// Entries for which an empty list of changed chunks keeps its room.
const KEPT_ROOM: usize = 65_536;

/// A chunk as its row has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkInfo {
    /// Chunk id, > 0.
    pub id: u64,
    /// Version.
    pub version: u32,
    /// Time until which it is locked for writing, 0 = not locked.
    pub locked_to: u32,
    /// Slots of files that name it.
    pub refs: u32,
    /// The archive set applies.
    pub archived: bool,
}

impl From<&Chunk> for ChunkInfo {
    fn from(c: &Chunk) -> Self {
        ChunkInfo {
            id: c.id(),
            version: c.version,
            locked_to: c.locked_to,
            refs: c.refs,
            archived: c.archived,
        }
    }
}

impl Metadata {
    /// Row of a chunk. The number is above 0 and stays until the chunk is removed; then another chunk may get it.
    #[inline]
    #[must_use]
    pub fn chunk_row(&self, id: u64) -> Option<u32> {
        self.find_chunk(id)
    }

    /// All row numbers are below this.
    #[must_use]
    pub fn chunk_row_limit(&self) -> u32 {
        self.t.chunks.limit()
    }

    /// The chunk in a row, if the row is in use.
    #[inline]
    #[must_use]
    pub fn chunk_in_row(&self, row: u32) -> Option<ChunkInfo> {
        self.t
            .chunks
            .get(row)
            .filter(|c| c.id() != 0)
            .map(ChunkInfo::from)
    }

    /// Begins to collect the rows of chunks whose storage classes or archive flag change. Off after a load, so a
    /// replay costs nothing.
    pub fn collect_chunk_changes(&mut self) {
        self.changed_chunks.get_or_insert_default();
    }

    /// Takes rows of chunks that need a look because their storage classes or their archive flag changed, at most
    /// `limit`, the oldest first. A chunk is in the list once, which takes 4 bytes; it may have been removed
    /// meanwhile.
    pub fn take_chunk_changes(&mut self, limit: usize) -> Vec<u32> {
        let Some(list) = &mut self.changed_chunks else {
            return Vec::new();
        };
        let rows: Vec<u32> = list.drain(..limit.min(list.len())).collect();
        if list.is_empty() && list.capacity() > KEPT_ROOM {
            *list = VecDeque::new();
        }
        for &row in &rows {
            if self.t.chunks.get(row).is_some_and(|c| c.noted) {
                self.t.chunks.at_mut(row).noted = false;
            }
        }
        rows
    }

    /// Whether [`Metadata::take_chunk_changes`] would give something.
    #[must_use]
    pub fn has_chunk_changes(&self) -> bool {
        self.changed_chunks.as_ref().is_some_and(|l| !l.is_empty())
    }

    /// Notes a chunk whose storage classes or archive flag changed.
    #[inline]
    pub(crate) fn note_chunk_change(&mut self, row: u32) {
        if let Some(list) = &mut self.changed_chunks {
            let c = self.t.chunks.at_mut(row);
            if !c.noted {
                c.noted = true;
                list.push_back(row);
            }
        }
    }

    /// Calls `f` with each storage class of the files that name the chunk in a row, in no order.
    #[inline]
    pub fn visit_chunk_classes(&self, row: u32, mut f: impl FnMut(u8)) {
        let Some(c) = self.t.chunks.get(row).filter(|c| c.refs > 0) else {
            return;
        };
        match self.mixed.get(&c.id()) {
            Some(list) if c.mixed => list.iter().for_each(|&(class, _)| f(class)),
            _ => f(c.sclass),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Op, Outcome};

    #[test]
    fn rows_are_found_by_id_and_tell_what_they_hold() {
        let mut m = Metadata::new(1, 1);
        for id in [5, 9] {
            let op = Op::ChunkAdd {
                id,
                version: 3,
                lock: 0,
            };
            m.apply(10, &op).unwrap();
        }
        let row = m.chunk_row(9).unwrap();
        assert!(row < m.chunk_row_limit());
        let info = m.chunk_in_row(row).unwrap();
        assert_eq!((info.id, info.version, info.refs), (9, 3, 0));
        m.apply(11, &Op::ChunkDel { id: 9, version: 3 }).unwrap();
        assert_eq!((m.chunk_row(9), m.chunk_in_row(row)), (None, None));
        assert_eq!((m.chunk_in_row(0), m.chunk_in_row(u32::MAX)), (None, None));
        let mut classes = 0;
        m.visit_chunk_classes(m.chunk_row(5).unwrap(), |_| classes += 1);
        assert_eq!(classes, 0);
    }

    #[test]
    fn changes_of_classes_and_archive_flags_are_collected() {
        let mut m = Metadata::new(1, 1);
        let write = |m: &mut Metadata, name: &[u8]| {
            let file = Op::Create {
                parent: 1,
                name: name.into(),
                kind: 1,
                mode: 0o644,
                umask: 0,
                uid: 0,
                gid: 0,
                rdev: 0,
            };
            let Outcome::Inode(inode) = m.apply(10, &file).unwrap() else {
                panic!("no inode");
            };
            let write = Op::Write {
                inode,
                index: 0,
                opflag: true,
                canmod: false,
            };
            m.apply(10, &write).unwrap();
            let length = Op::Length {
                inode,
                length: 5,
                canmod: false,
            };
            m.apply(10, &length).unwrap();
            inode
        };
        let first = write(&mut m, b"a");
        assert!(!m.has_chunk_changes(), "a replay collects nothing");
        m.collect_chunk_changes();
        let second = write(&mut m, b"b");
        let rows = [first, second].map(|i| m.chunk_row(m.node(i).unwrap().chunk(0)).unwrap());
        assert_eq!(m.take_chunk_changes(9), [rows[1]]);

        let class = Op::SetSclass {
            inode: 1,
            uid: 0,
            src: 3,
            dst: 3,
            smode: 4,
        };
        m.apply(11, &class).unwrap();
        let archive = Op::ArchChg {
            inode: 1,
            uid: 0,
            cmd: 1,
        };
        m.apply(11, &archive).unwrap();
        let mut changed = m.take_chunk_changes(1);
        assert!(m.has_chunk_changes());
        changed.extend(m.take_chunk_changes(9));
        changed.sort_unstable();
        assert_eq!(changed, rows, "each once, in slices");

        // One more reference of the same class changes nothing; another class does.
        let append = |inode, source| Op::Append {
            inode,
            source,
            from: 0,
            to: 0,
        };
        m.apply(12, &append(second, first)).unwrap();
        assert!(!m.has_chunk_changes());
        let class = Op::SetSclass {
            inode: second,
            uid: 0,
            src: 2,
            dst: 2,
            smode: 0,
        };
        m.apply(13, &class).unwrap();
        let mut changed = m.take_chunk_changes(9);
        changed.sort_unstable();
        assert_eq!(changed, rows);
    }
}
