//! Chunk rows, their references by storage class, and the slots of files that name them (spec 03 §5 B11).

use crate::index::sequential_hash;
use crate::rows::Chunk;
use crate::slots;
use crate::state::Metadata;

/// One more of a class. True if it was not in the list.
fn count_up(list: &mut Vec<(u8, u32)>, sclass: u8) -> bool {
    match list.iter_mut().find(|(s, _)| *s == sclass) {
        Some((_, n)) => {
            *n += 1;
            false
        }
        None => {
            list.push((sclass, 1));
            true
        }
    }
}

/// One less of a class; classes without any leave. True if one left.
fn count_down(list: &mut Vec<(u8, u32)>, sclass: u8) -> bool {
    if let Some((_, n)) = list.iter_mut().find(|(s, _)| *s == sclass) {
        *n = n.saturating_sub(1);
    }
    let before = list.len();
    list.retain(|(_, n)| *n > 0);
    list.len() < before
}

impl Metadata {
    /// Row of a chunk.
    #[inline]
    pub(crate) fn find_chunk(&self, id: u64) -> Option<u32> {
        if id == 0 {
            return None;
        }
        self.chunk_index
            .find(sequential_hash(id), |row| self.t.chunks.at(row).id() == id)
    }

    /// Adds a chunk that does not exist yet. Slots that name it already are its references.
    pub(crate) fn add_chunk(&mut self, mut chunk: Chunk) -> u32 {
        let id = chunk.id();
        // Most often there are none, and the question would cost a hash.
        if !self.missing.is_empty()
            && let Some(list) = self.missing.remove(&id)
        {
            chunk.refs = list.iter().fold(0, |sum, (_, n)| sum.saturating_add(*n));
            chunk.sclass = list.first().map_or(0, |(sclass, _)| *sclass);
            chunk.mixed = list.len() > 1;
            if chunk.mixed {
                self.mixed.insert(id, list);
            }
        }
        let row = self.t.chunks.insert(chunk);
        self.chunk_index.insert(sequential_hash(id), row);
        row
    }

    /// Removes a chunk.
    pub(crate) fn remove_chunk(&mut self, row: u32) {
        let id = self.t.chunks.at(row).id();
        let classes = self.chunk_classes(row);
        if !classes.is_empty() {
            self.missing.insert(id, classes);
        }
        self.mixed.remove(&id);
        self.chunk_index.remove(sequential_hash(id), row);
        self.t.chunks.remove(row);
    }

    /// B11: one slot of a file with this class names the chunk.
    pub(crate) fn chunk_add_ref(&mut self, id: u64, sclass: u8) {
        let Some(row) = self.find_chunk(id) else {
            if id != 0 {
                count_up(self.missing.entry(id).or_default(), sclass);
            }
            return;
        };
        let c = self.t.chunks.at_mut(row);
        let mut changed = c.refs == 0;
        if changed {
            c.sclass = sclass;
        }
        c.refs = c.refs.saturating_add(1);
        if c.mixed || c.sclass != sclass {
            let (first, others) = (c.sclass, c.refs - 1);
            let list = self
                .mixed
                .entry(id)
                .or_insert_with(|| vec![(first, others)]);
            changed |= count_up(list, sclass);
            c.mixed = true;
        }
        if changed {
            self.note_chunk_change(row);
        }
    }

    /// B11 reversed.
    pub(crate) fn chunk_drop_ref(&mut self, id: u64, sclass: u8) {
        let Some(row) = self.find_chunk(id) else {
            if let Some(list) = self.missing.get_mut(&id) {
                count_down(list, sclass);
                if list.is_empty() {
                    self.missing.remove(&id);
                }
            }
            return;
        };
        let c = self.t.chunks.at_mut(row);
        c.refs = c.refs.saturating_sub(1);
        let mut changed = c.refs == 0;
        if c.mixed
            && let Some(list) = self.mixed.get_mut(&id)
        {
            changed |= count_down(list, sclass);
            if list.len() <= 1 {
                c.sclass = list.first().map_or(0, |(s, _)| *s);
                c.mixed = false;
                self.mixed.remove(&id);
            }
        }
        if changed {
            self.note_chunk_change(row);
        }
    }

    /// References of a chunk by storage class.
    pub(crate) fn chunk_classes(&self, row: u32) -> Vec<(u8, u32)> {
        let c = self.t.chunks.at(row);
        match self.mixed.get(&c.id()) {
            Some(list) if c.mixed => list.clone(),
            _ if c.refs == 0 => Vec::new(),
            _ => vec![(c.sclass, c.refs)],
        }
    }

    /// Cuts the slots of a file to `n`, releasing the chunks beyond.
    pub(crate) fn truncate_slots(&mut self, inode: u32, n: u32) {
        let Some(&node) = self.t.node(inode) else {
            return;
        };
        if node.slots <= n {
            return;
        }
        let mut at = n;
        while let Some((i, id)) = slots::next(&node, &self.t.lists, at) {
            self.chunk_drop_ref(id, node.sclass);
            at = i + 1;
        }
        slots::resize(self.t.nodes.get_mut(inode), &mut self.t.lists, n);
    }

    /// Sets one slot that exists; references are the caller's matter.
    pub(crate) fn set_slot(&mut self, inode: u32, index: u32, id: u64) {
        slots::set(self.t.nodes.get_mut(inode), &mut self.t.lists, index, id);
    }

    /// Makes a file have at least `n` slots.
    pub(crate) fn grow_slots(&mut self, inode: u32, n: u32) {
        if self.t.node(inode).is_some_and(|node| node.slots < n) {
            slots::resize(self.t.nodes.get_mut(inode), &mut self.t.lists, n);
        }
    }
}
