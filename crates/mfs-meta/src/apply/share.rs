//! Sharing chunks between files: `APPEND`, and the copying of slots for snapshots (spec 03 §6.7).

use super::Applied;
use crate::op::Outcome;
use crate::slots;
use crate::state::{MAX_INDEX, Metadata};
use crate::status::Status;
use crate::tables::CHUNK_BITS;

impl Metadata {
    /// Puts the chunks of `source` slots `from..=to` into `target` slots from `at` on, each with one more
    /// reference. The slots exist and are holes.
    pub(super) fn share_slots(&mut self, target: u32, at: u32, source: u32, from: u32, to: u32) {
        let Some(sclass) = self.t.node(target).map(|n| n.sclass) else {
            return;
        };
        let mut i = from;
        while let Some((slot, id)) = self
            .t
            .node(source)
            .and_then(|n| slots::next(n, &self.t.lists, i))
        {
            if slot > to {
                break;
            }
            self.chunk_add_ref(id, sclass);
            self.set_slot(target, at + (slot - from), id);
            i = slot + 1;
        }
    }

    pub(super) fn op_append(
        &mut self,
        ts: u32,
        inode: u32,
        source: u32,
        from: u32,
        to: u32,
    ) -> Applied {
        if inode == source {
            return Err(Status::Einval);
        }
        let (target, src) = (*self.need(inode)?, *self.need(source)?);
        if !target.kind().is_file_like() || !src.kind().is_file_like() {
            return Err(Status::Eperm);
        }
        if src.length() == 0 {
            return Ok(Outcome::None);
        }
        let last = (src.length() - 1) >> CHUNK_BITS;
        let whole = from == u32::MAX && to == 0;
        let (from, to) = if whole {
            (0, last)
        } else {
            (u64::from(from), u64::from(to))
        };
        if from > last || to > last || from > to {
            return Err(Status::Einval);
        }
        let d = target.length().div_ceil(1 << CHUNK_BITS);
        if d + (to - from) + 1 > u64::from(MAX_INDEX) + 1 {
            return Err(Status::IndexTooBig);
        }
        let length = if to == last {
            (d << CHUNK_BITS) + src.length() - (from << CHUNK_BITS)
        } else {
            (d + to - from + 1) << CHUNK_BITS
        };
        let (d, from, to) = (d as u32, from as u32, to as u32);
        self.with_figures(inode, |m| {
            m.truncate_slots(inode, d);
            // Holes get their slots too: CHECK counts them.
            m.grow_slots(inode, d + (to - from) + 1);
            m.share_slots(inode, d, source, from, to);
            m.node_mut(inode).set_length(length);
        });
        let node = self.node_mut(inode);
        (node.mtime, node.atime) = (ts, ts);
        self.node_mut(source).atime = ts;
        Ok(Outcome::None)
    }
}
