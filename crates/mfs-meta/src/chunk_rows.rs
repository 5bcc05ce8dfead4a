//! Chunks by row: what the soft state of chunk management hangs on (spec 05 §6).
//!
//! A chunk keeps its row number as long as it exists, so a table of what the chunkservers have can use the same
//! numbers and needs neither an index nor the ids of its own.

use crate::rows::Chunk;
use crate::state::Metadata;

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
    use crate::op::Op;

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
}
