//! CHECK and REPAIR: the copies of the chunks of a file (spec 04 §7.14).

use mfs_meta::{MAX_INDEX, Status, W, eattr};
use mfs_proto::client::Reply;
use mfs_proto::client::data::{Repair, RepairReply};
use mfs_proto::client::info::{Check, CheckReply, ChunkCopy};
use mfs_proto::wire::List;

use super::rights::{self, User};
use crate::context::Ctx;

/// CHECK 440.
pub(super) fn check(ctx: &Ctx<'_>, r: &Check, out: &mut Vec<u8>) -> Result<(), Status> {
    let state = ctx.read();
    let chunks = &state.chunks.machine;
    let node = rights::find(&state.meta, ctx.conn.params.root_inode, r.inode)?;
    rights::need_file(&node)?;
    let mut shown = Vec::new();
    let reply = match r.index {
        Some(index) if index > MAX_INDEX => return Err(Status::IndexTooBig),
        Some(index) => {
            let chunkid = node.chunk(index);
            let version = match chunkid {
                0 => 0,
                id => {
                    let (version, copies) = chunks.chunk_copies(&state.meta, id)?;
                    shown.extend(copies.iter().map(|copy| ChunkCopy {
                        ip: copy.ip,
                        port: copy.port,
                        state: copy.kind as u8,
                    }));
                    version
                }
            };
            CheckReply::Chunk {
                chunkid,
                version,
                copies: List::from(&shown),
            }
        }
        None => CheckReply::Counts(chunks.check_file(&state.meta, node.inode)?),
    };
    Reply::Check(reply).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// REPAIR 466: chunks that cannot be read become holes, or go on with the version that their copies have.
pub(super) fn repair(ctx: &Ctx<'_>, r: &Repair<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    let params = &ctx.conn.params;
    rights::writable(params)?;
    let user = User::new(params, &r.cred);
    let mut txn = ctx.begin();
    let meta = txn.meta();
    let node = rights::find(meta, params.root_inode, r.inode)?;
    rights::need_file(&node)?;
    rights::lacks(&node, eattr::IMMUTABLE)?;
    user.need(meta, node.inode, W)?;
    let inode = node.inode;
    let counts = txn.with_chunks(|chunks, log| chunks.repair(log, inode))?;
    if counts.erased > 0 || counts.repaired > 0 {
        // The tool asks, and mounts have the pages. The original leaves it to the new times of the file, which a
        // mount does not see as long as it has attributes in its cache.
        txn.live().cache.forget(inode);
    }
    let reply = RepairReply {
        not_changed: counts.not_changed,
        erased: counts.erased,
        repaired: counts.repaired,
    };
    Reply::Repair(reply).encode(r.mid, ctx.version(), out);
    Ok(())
}
