//! QUOTACONTROL (spec 04 §7.13, spec 07 §7.9.1).

use mfs_meta::op::{Op, QuotaArgs};
use mfs_meta::records::{Kind, QuotaRecord, SessionParams};
use mfs_meta::{Metadata, Status, TreeStats};
use mfs_proto::client::Reply;
use mfs_proto::client::quota::{QuotaControl, QuotaLimits, QuotaReply, QuotaValues, qflags};

use super::rights;
use crate::context::Ctx;

/// Bits of the soft limits.
const SOFT: u8 = 0x0F;

/// QUOTACONTROL 476.
pub(super) fn control(ctx: &Ctx<'_>, r: &QuotaControl, out: &mut Vec<u8>) -> Result<(), Status> {
    let params = &ctx.conn.params;
    if r.qflags == 0 {
        let state = ctx.read();
        let inode = find(&state.meta, params, r.inode)?;
        let reply = shown(&state.meta, inode);
        Reply::QuotaControl(reply).encode(r.mid, ctx.version(), out);
        return Ok(());
    }
    may_change(params)?;
    let default_grace = ctx.master.config().quota_default_grace_period;
    let mut txn = ctx.begin();
    let meta = txn.meta();
    let inode = find(meta, params, r.inode)?;
    let mut record = meta.quota(inode).copied().unwrap_or_default();
    match &r.limits {
        Some(limits) => set(&mut record, r.qflags, limits, default_grace),
        None => clear(&mut record, r.qflags),
    }
    txn.apply(&Op::Quota(Box::new(line(inode, &record))))?;
    let reply = shown(txn.meta(), inode);
    Reply::QuotaControl(reply).encode(r.mid, ctx.version(), out);
    Ok(())
}

fn may_change(params: &SessionParams) -> Result<(), Status> {
    if params.root_uid != 0 {
        return Err(Status::Eacces);
    }
    rights::writable(params)?;
    if rights::is_admin(params) {
        Ok(())
    } else {
        Err(Status::Eperm)
    }
}

fn find(meta: &Metadata, params: &SessionParams, inode: u32) -> Result<u32, Status> {
    if params.root_inode == 0 {
        return Err(Status::Eperm);
    }
    let node = rights::find(meta, params.root_inode, inode)?;
    if node.kind() == Kind::Directory {
        Ok(node.inode)
    } else {
        Err(Status::Eperm)
    }
}

/// Sets the limits that `flags` names.
fn set(record: &mut QuotaRecord, flags: u8, limits: &QuotaLimits, default_grace: u32) {
    let has = |bit: u8| flags & bit != 0;
    let wide = |place: &mut u64, bit: u8, value: u64| {
        if has(bit) {
            *place = value;
        }
    };
    let (soft, hard) = (&limits.soft, &limits.hard);
    if has(qflags::SOFT_INODES) {
        record.soft_inodes = soft.inodes;
    }
    if has(qflags::HARD_INODES) {
        record.hard_inodes = hard.inodes;
    }
    wide(&mut record.soft_length, qflags::SOFT_LENGTH, soft.length);
    wide(&mut record.soft_size, qflags::SOFT_SIZE, soft.size);
    wide(
        &mut record.soft_realsize,
        qflags::SOFT_REALSIZE,
        soft.realsize,
    );
    wide(&mut record.hard_length, qflags::HARD_LENGTH, hard.length);
    wide(&mut record.hard_size, qflags::HARD_SIZE, hard.size);
    wide(
        &mut record.hard_realsize,
        qflags::HARD_REALSIZE,
        hard.realsize,
    );
    record.flags |= flags;
    if limits.grace_period != 0 {
        record.grace = limits.grace_period;
    } else if record.grace == 0 && record.flags & SOFT != 0 {
        // The original leaves 0, and a soft limit that blocks after a second.
        record.grace = default_grace;
    }
}

/// Removes the limits that `flags` names.
fn clear(record: &mut QuotaRecord, flags: u8) {
    record.flags &= !flags;
    if record.flags == 0 {
        *record = QuotaRecord::default();
        return;
    }
    let kept = *record;
    let wide = |bit: u8, value: u64| if kept.flags & bit != 0 { value } else { 0 };
    let narrow = |bit: u8, value: u32| if kept.flags & bit != 0 { value } else { 0 };
    record.soft_inodes = narrow(qflags::SOFT_INODES, kept.soft_inodes);
    record.hard_inodes = narrow(qflags::HARD_INODES, kept.hard_inodes);
    record.soft_length = wide(qflags::SOFT_LENGTH, kept.soft_length);
    record.hard_length = wide(qflags::HARD_LENGTH, kept.hard_length);
    record.soft_size = wide(qflags::SOFT_SIZE, kept.soft_size);
    record.hard_size = wide(qflags::HARD_SIZE, kept.hard_size);
    record.soft_realsize = wide(qflags::SOFT_REALSIZE, kept.soft_realsize);
    record.hard_realsize = wide(qflags::HARD_REALSIZE, kept.hard_realsize);
}

fn line(inode: u32, q: &QuotaRecord) -> QuotaArgs {
    QuotaArgs {
        inode,
        exceeded: q.exceeded,
        flags: q.flags,
        since: q.since,
        sinodes: q.soft_inodes,
        hinodes: q.hard_inodes,
        slength: q.soft_length,
        hlength: q.hard_length,
        ssize: q.soft_size,
        hsize: q.hard_size,
        srealsize: q.soft_realsize,
        hrealsize: q.hard_realsize,
        grace: q.grace,
    }
}

/// The quota of a directory and what is in it.
fn shown(meta: &Metadata, inode: u32) -> QuotaReply {
    let q = meta.quota(inode).copied().unwrap_or_default();
    let below = meta
        .node(inode)
        .map_or(TreeStats::default(), |node| node.below());
    QuotaReply {
        qflags: q.flags,
        grace_period: q.grace,
        soft: QuotaValues {
            inodes: q.soft_inodes,
            length: q.soft_length,
            size: q.soft_size,
            realsize: q.soft_realsize,
        },
        hard: QuotaValues {
            inodes: q.hard_inodes,
            length: q.hard_length,
            size: q.hard_size,
            realsize: q.hard_realsize,
        },
        current: QuotaValues {
            inodes: below.inodes,
            length: below.length,
            size: below.size,
            realsize: below.realsize,
        },
    }
}
