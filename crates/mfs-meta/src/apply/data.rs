//! File data and chunks: slots, lengths, chunk versions and locks (spec 03 §6.5, §6.6).

use super::Applied;
use crate::op::Outcome;
use crate::rows::Chunk;
use crate::slots;
use crate::state::{MAX_INDEX, Metadata, eattr};
use crate::status::Status;
use crate::tables::CHUNK_BITS;

/// Seconds that a chunk stays locked after a write to it began (spec 02 §1).
pub(crate) const CHUNK_LOCK_TIME: u32 = 120;
/// How far beyond the next chunk id a reported chunk may lie (spec 03 §6.6 CHUNKADD).
const CHUNK_ID_AHEAD: u64 = 1_000_000_000;

/// Number of chunk slots that a length covers.
fn slots_for(length: u64) -> u64 {
    length.div_ceil(1 << CHUNK_BITS)
}

impl Metadata {
    /// Checks of B12 for slot contents `old`; tells whether a new chunk is made.
    fn slot_needs_new_chunk(&self, old: u64) -> Result<bool, Status> {
        if old == 0 {
            return Ok(true);
        }
        let row = self.find_chunk(old).ok_or(Status::NoChunk)?;
        match self.t.chunks.at(row).refs {
            0 => Err(Status::ChunkLost),
            1 => Ok(false),
            _ => Ok(true),
        }
    }

    /// The checks of WRITE and TRUNC on slot contents.
    fn check_slot(&self, old: u64) -> Result<(), Status> {
        let new = self.slot_needs_new_chunk(old)?;
        // The ids have run out; only a damaged image comes near.
        if new && self.t.next_chunk == 0 {
            return Err(Status::NoSpace);
        }
        Ok(())
    }

    /// B12: makes the slot's chunk writable: a new one for a hole or a shared chunk, else perhaps a new
    /// version; locked until `ts` + 120.
    fn modify_slot(
        &mut self,
        ts: u32,
        inode: u32,
        index: u32,
        opflag: bool,
    ) -> Result<u64, Status> {
        let node = *self.need(inode)?;
        let old = slots::get(&node, &self.t.lists, index);
        let lock = ts.wrapping_add(CHUNK_LOCK_TIME);
        if self.slot_needs_new_chunk(old)? {
            let id = self.t.next_chunk;
            self.t.next_chunk = self.t.next_chunk.wrapping_add(1);
            if let Some(stale) = self.find_chunk(id) {
                // Only an image whose next id lies below its chunks gets here (spec 02 §16).
                self.remove_chunk(stale);
            }
            self.add_chunk(Chunk::new(id, 1, lock));
            self.grow_slots(inode, index + 1);
            self.set_slot(inode, index, id);
            if old != 0 {
                self.chunk_drop_ref(old, node.sclass);
            }
            self.chunk_add_ref(id, node.sclass);
            return Ok(id);
        }
        if let Some(row) = self.find_chunk(old) {
            let c = self.t.chunks.at_mut(row);
            if opflag {
                c.version = c.version.wrapping_add(1);
            }
            c.locked_to = lock;
        }
        Ok(old)
    }

    pub(super) fn op_write(
        &mut self,
        ts: u32,
        inode: u32,
        index: u32,
        opflag: bool,
        canmod: bool,
    ) -> Applied {
        let node = *self.need_file(inode, Status::Eperm)?;
        if index > MAX_INDEX {
            return Err(Status::IndexTooBig);
        }
        self.check_slot(slots::get(&node, &self.t.lists, index))?;
        self.with_figures(inode, |m| {
            let chunk = m.modify_slot(ts, inode, index, opflag)?;
            let node = m.node_mut(inode);
            node.set_length(node.length().max(u64::from(index) << CHUNK_BITS));
            node.eattr &= !eattr::SNAPSHOT;
            if canmod {
                (node.mtime, node.ctime) = (ts, ts);
            }
            Ok(Outcome::Chunk(chunk))
        })
    }

    pub(super) fn op_trunc(&mut self, ts: u32, inode: u32, index: u32) -> Applied {
        let node = *self.need_file(inode, Status::Einval)?;
        if index > MAX_INDEX {
            return Err(Status::IndexTooBig);
        }
        if index >= node.slots {
            return Err(Status::Einval);
        }
        let old = slots::get(&node, &self.t.lists, index);
        if old == 0 {
            return Err(Status::NoChunk);
        }
        self.check_slot(old)?;
        self.with_figures(inode, |m| {
            m.modify_slot(ts, inode, index, true).map(Outcome::Chunk)
        })
    }

    /// B10: sets the length; slots beyond it go.
    pub(super) fn set_length(&mut self, inode: u32, length: u64) {
        self.with_figures(inode, |m| {
            let keep = slots_for(length).min(u64::from(u32::MAX)) as u32;
            m.truncate_slots(inode, keep);
            let node = m.node_mut(inode);
            node.set_length(length);
            node.eattr &= !eattr::SNAPSHOT;
        });
    }

    pub(super) fn op_length(&mut self, ts: u32, inode: u32, length: u64, canmod: bool) -> Applied {
        self.need_file(inode, Status::Einval)?;
        self.set_length(inode, length);
        if canmod {
            let node = self.node_mut(inode);
            (node.mtime, node.ctime) = (ts, ts);
        }
        Ok(Outcome::None)
    }

    pub(super) fn op_unlock(&mut self, chunk: u64) -> Applied {
        let row = self.find_chunk(chunk).ok_or(Status::NoChunk)?;
        self.t.chunks.at_mut(row).locked_to = 0;
        Ok(Outcome::None)
    }

    /// Puts `id` into a slot that exists and moves the reference from `old`.
    fn replace_slot(&mut self, inode: u32, index: u32, old: u64, id: u64) {
        self.with_figures(inode, |m| {
            let sclass = m.node_mut(inode).sclass;
            if id != 0 {
                m.chunk_add_ref(id, sclass);
            }
            if old != 0 {
                m.chunk_drop_ref(old, sclass);
            }
            m.set_slot(inode, index, id);
        });
    }

    pub(super) fn op_rollback(&mut self, inode: u32, index: u32, prev: u64, chunk: u64) -> Applied {
        let node = self.need_file(inode, Status::Eperm)?;
        if index > MAX_INDEX {
            return Err(Status::IndexTooBig);
        }
        if index >= node.slots {
            return Err(Status::Einval);
        }
        if prev != chunk {
            self.replace_slot(inode, index, chunk, prev);
        }
        if let Some(row) = self.find_chunk(chunk) {
            self.t.chunks.at_mut(row).locked_to = 0;
        }
        Ok(Outcome::None)
    }

    pub(super) fn op_repair(&mut self, ts: u32, inode: u32, index: u32, version: u32) -> Applied {
        let node = *self.need_file(inode, Status::Eperm)?;
        if index > MAX_INDEX {
            return Err(Status::IndexTooBig);
        }
        let old = slots::get(&node, &self.t.lists, index);
        let row = self.find_chunk(old).ok_or(Status::NoChunk)?;
        if self.t.chunks.at(row).refs == 0 {
            return Err(Status::ChunkLost);
        }
        if version == 0 {
            self.replace_slot(inode, index, old, 0);
        } else {
            self.t.chunks.at_mut(row).version = version;
        }
        let node = self.node_mut(inode);
        (node.mtime, node.ctime) = (ts, ts);
        Ok(Outcome::None)
    }

    pub(super) fn op_set_file_chunk(&mut self, inode: u32, index: u32, chunk: u64) -> Applied {
        let node = *self.need_file(inode, Status::Mismatch)?;
        if index >= node.slots {
            return Err(Status::Mismatch);
        }
        let old = slots::get(&node, &self.t.lists, index);
        self.replace_slot(inode, index, old, chunk);
        Ok(Outcome::None)
    }

    pub(super) fn op_chunk_add(&mut self, ts: u32, id: u64, version: u32, lock: u32) -> Applied {
        if self.find_chunk(id).is_some() {
            return Err(Status::ChunkExist);
        }
        let far = self.t.next_chunk.saturating_add(CHUNK_ID_AHEAD);
        if id == 0 || id > far || (lock != 0 && lock < ts) {
            return Err(Status::Mismatch);
        }
        self.t.next_chunk = self.t.next_chunk.max(id.saturating_add(1));
        self.add_chunk(Chunk::new(id, version, lock));
        Ok(Outcome::None)
    }

    pub(super) fn op_chunk_del(&mut self, ts: u32, id: u64, version: u32) -> Applied {
        let row = self.find_chunk(id).ok_or(Status::NoChunk)?;
        let c = self.t.chunks.at(row);
        if c.version != version {
            return Err(Status::WrongVersion);
        }
        if c.refs > 0 {
            return Err(Status::Active);
        }
        if c.locked_to >= ts && c.locked_to != 0 {
            return Err(Status::Locked);
        }
        self.remove_chunk(row);
        Ok(Outcome::None)
    }

    pub(super) fn op_set_version(&mut self, id: u64, version: impl Fn(u32) -> u32) -> Applied {
        let row = self.find_chunk(id).ok_or(Status::NoChunk)?;
        let c = self.t.chunks.at_mut(row);
        c.version = version(c.version);
        Ok(Outcome::None)
    }

    pub(super) fn op_next_chunk_id(&mut self, id: u64) -> Applied {
        if id <= self.t.next_chunk {
            return Err(Status::Mismatch);
        }
        self.t.next_chunk = id;
        Ok(Outcome::None)
    }
}
