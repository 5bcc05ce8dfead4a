//! STATFS (spec 04 §7.2, spec 07 §7.9.5).

use mfs_meta::records::QuotaRecord;
use mfs_meta::{Metadata, ROOT, Status, TreeStats};
use mfs_proto::client::session::StatfsReply;
use mfs_proto::client::{MidRequest, Reply};

use super::operation;
use crate::context::Ctx;

/// Space of the chunkservers, bytes.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
struct Space {
    total: u64,
    avail: u64,
    free: u64,
}

impl Space {
    /// Not more than what `limit` leaves to somebody who uses `used`.
    fn limit(&mut self, limit: u64, used: u64) {
        let left = limit.saturating_sub(used);
        self.avail = self.avail.min(left);
        self.free = self.free.min(left);
        self.total = self.total.min(limit).min(used.saturating_add(self.avail));
    }

    fn limit_by_quota(&mut self, quota: &QuotaRecord, used: &TreeStats) {
        let smaller = |soft_bit: u8, soft: u64, hard_bit: u8, hard: u64| {
            let soft = (quota.flags & soft_bit != 0).then_some(soft);
            let hard = (quota.flags & hard_bit != 0).then_some(hard);
            soft.into_iter().chain(hard).min()
        };
        let limits = [
            (
                smaller(0x08, quota.soft_realsize, 0x80, quota.hard_realsize),
                used.realsize,
            ),
            (
                smaller(0x04, quota.soft_size, 0x40, quota.hard_size),
                used.size,
            ),
            (
                smaller(0x02, quota.soft_length, 0x20, quota.hard_length),
                used.length,
            ),
        ];
        for (limit, used) in limits {
            if let Some(limit) = limit {
                self.limit(limit, used);
            }
        }
    }
}

/// STATFS 402.
pub(super) fn statfs(ctx: &Ctx<'_>, r: &MidRequest, out: &mut Vec<u8>) -> Result<(), Status> {
    ctx.count(operation::STATFS);
    let state = ctx.read();
    let space = state.chunks.machine.system_space();
    let space = Space {
        total: space.total,
        avail: space.available,
        free: space.free,
    };
    let reply = figures(&state.meta, ctx.conn.params.root_inode, space);
    Reply::Statfs(reply).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// What the session with this root is told.
fn figures(meta: &Metadata, root: u32, mut space: Space) -> StatfsReply {
    let Some(node) = meta.node(root) else {
        return StatfsReply::default();
    };
    let mut at = root;
    while let Some(dir) = meta.node(at).filter(|_| at != 0) {
        if let Some(quota) = meta.quota(at) {
            space.limit_by_quota(quota, &dir.below());
        }
        at = if at == ROOT { 0 } else { dir.parent() };
    }
    let totals = meta.totals();
    let (trash, sustained) = if root == ROOT {
        (totals.trash_bytes, totals.sustained_bytes)
    } else {
        (0, 0)
    };
    StatfsReply {
        total: space.total,
        avail: space.avail,
        free: space.free,
        trash,
        sustained,
        inodes: node.figures().inodes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_limit_of_each_dimension_counts() {
        let quota = QuotaRecord {
            flags: 0x22,
            soft_length: 67_249_994,
            hard_length: 99_999_999,
            ..QuotaRecord::default()
        };
        let used = TreeStats {
            length: 67_249_494,
            ..TreeStats::default()
        };
        let much = 1 << 40;
        let mut space = Space {
            total: much,
            avail: much,
            free: much,
        };
        space.limit_by_quota(&quota, &used);
        let left = Space {
            total: 67_249_994,
            avail: 500,
            free: 500,
        };
        assert_eq!(space, left);
        space = Space {
            total: 1000,
            avail: 10,
            free: 20,
        };
        space.limit(500, 600);
        assert_eq!(
            space,
            Space {
                total: 500,
                avail: 0,
                free: 0
            }
        );
    }
}
