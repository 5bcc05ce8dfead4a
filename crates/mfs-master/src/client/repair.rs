//! CHECK and REPAIR: the copies of the chunks of a file (spec 04 §7.14).
//!
//! No chunkserver is connected, so no copy is known; and while copies may still come back, nothing is given up.

use mfs_meta::op::Op;
use mfs_meta::{MAX_INDEX, Metadata, Status, W, eattr};
use mfs_proto::client::Reply;
use mfs_proto::client::data::{Repair, RepairReply};
use mfs_proto::client::info::{Check, CheckReply};
use mfs_proto::wire::List;

use super::rights::{self, User};
use crate::context::Ctx;

/// Counter of chunks without a valid copy.
const NO_COPY: usize = 0;
/// Counter of empty slots.
const EMPTY: usize = 11;

/// CHECK 440.
pub(super) fn check(ctx: &Ctx<'_>, r: &Check, out: &mut Vec<u8>) -> Result<(), Status> {
    let state = ctx.read();
    let node = rights::find(&state.meta, ctx.conn.params.root_inode, r.inode)?;
    rights::need_file(&node)?;
    let reply = match r.index {
        Some(index) if index > MAX_INDEX => return Err(Status::IndexTooBig),
        Some(index) => {
            let id = node.chunk(index);
            let version = match id {
                0 => 0,
                id => state.meta.chunk(id).ok_or(Status::NoChunk)?.version,
            };
            CheckReply::Chunk {
                chunkid: id,
                version,
                copies: List::EMPTY,
            }
        }
        None => {
            let chunks = node.figures().chunks;
            let mut counts = [0; 12];
            counts[NO_COPY] = chunks;
            counts[EMPTY] = node.slots() - chunks;
            CheckReply::Counts(counts)
        }
    };
    Reply::Check(reply).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// REPAIR 466: slots that name a chunk which does not exist become holes.
pub(super) fn repair(ctx: &Ctx<'_>, r: &Repair<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    let params = &ctx.conn.params;
    rights::writable(params)?;
    let user = User::new(params, &r.cred);
    let mut txn = ctx.begin();
    let now = txn.now();
    let meta = txn.meta();
    let node = rights::find(meta, params.root_inode, r.inode)?;
    rights::need_file(&node)?;
    rights::lacks(&node, eattr::IMMUTABLE)?;
    user.need(meta, node.inode, W)?;
    let (inode, atime) = (node.inode, node.atime());
    let (kept, missing) = sort_slots(meta, inode);
    let reply = RepairReply {
        not_changed: kept,
        erased: missing.len() as u32,
        repaired: 0,
    };
    for &index in &missing {
        txn.apply(&Op::SetFileChunk {
            inode,
            index,
            chunk: 0,
        })?;
    }
    if !missing.is_empty() {
        txn.apply(&Op::AmTime {
            inode,
            atime,
            mtime: now,
            ctime: now,
        })?;
    }
    Reply::Repair(reply).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// The number of slots whose chunk exists, and the slots whose chunk does not.
fn sort_slots(meta: &Metadata, inode: u32) -> (u32, Vec<u32>) {
    let (mut kept, mut missing) = (0, Vec::new());
    let mut at = 0;
    while let Some((slot, id)) = meta.node(inode).and_then(|node| node.next_chunk(at)) {
        match meta.chunk(id) {
            Some(_) => kept += 1,
            None => missing.push(slot),
        }
        at = slot + 1;
    }
    (kept, missing)
}
