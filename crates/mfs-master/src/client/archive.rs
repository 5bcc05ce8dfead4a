//! ARCHCTL: the archive flag of chunks (spec 04 §7.11, spec 07 §7.7.5).

use mfs_meta::op::{Op, Outcome};
use mfs_meta::{Metadata, NodeInfo, Status};
use mfs_proto::client::Reply;
use mfs_proto::client::property::{ArchCommand, ArchReply, Archctl};
use mfs_proto::register::disables;

use super::property::{self, find_classed};
use super::rights;
use crate::context::Ctx;

/// ARCHCTL 496.
pub(super) fn archive(ctx: &Ctx<'_>, r: &Archctl, out: &mut Vec<u8>) -> Result<(), Status> {
    let params = &ctx.conn.params;
    let (uid, cmd) = match r.command {
        ArchCommand::Get => {
            let inode = property::classed_inode(ctx, r.inode)?;
            Reply::Archctl(count(ctx, inode)).encode(r.mid, ctx.version(), out);
            return Ok(());
        }
        ArchCommand::Clear { uid } => (uid, 0),
        ArchCommand::Set { uid } => (uid, 1),
    };
    rights::enabled(params, disables::SETEATTR)?;
    rights::writable(params)?;
    let mut txn = ctx.begin();
    let op = Op::ArchChg {
        inode: find_classed(txn.meta(), params.root_inode, r.inode)?.inode,
        uid: rights::map_uid(params, uid),
        cmd,
    };
    let Outcome::ArchChg {
        changed,
        same,
        denied,
    } = txn.apply(&op)?
    else {
        return Err(Status::Io);
    };
    Reply::Archctl(ArchReply::Changed {
        changed,
        not_changed: same,
        not_permitted: denied,
    })
    .encode(r.mid, ctx.version(), out);
    Ok(())
}

/// Counts chunks and files of a tree. A file without chunks is not counted.
fn count(ctx: &Ctx<'_>, inode: u32) -> ArchReply {
    let (mut archived, mut others) = (0, 0);
    let (mut all, mut part, mut none) = (0, 0, 0);
    property::visit_slowly(ctx, inode, |meta, node| {
        let (with, without) = count_file(meta, node);
        archived += with;
        others += without;
        match (with, without) {
            (0, 0) => {}
            (_, 0) => all += 1,
            (0, _) => none += 1,
            _ => part += 1,
        }
    });
    ArchReply::Counts {
        arch_chunks: archived,
        notarch_chunks: others,
        arch_inodes: all,
        partial_inodes: part,
        notarch_inodes: none,
    }
}

/// Chunks of a file with the flag and without.
fn count_file(meta: &Metadata, node: &NodeInfo<'_>) -> (u64, u64) {
    let (mut with, mut without) = (0, 0);
    let mut at = 0;
    while let Some((slot, id)) = node.next_chunk(at) {
        if meta.chunk(id).is_some_and(|chunk| chunk.archived) {
            with += 1;
        } else {
            without += 1;
        }
        at = slot + 1;
    }
    (with, without)
}
