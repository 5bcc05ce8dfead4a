//! The periodic jobs of a master (spec 07 §7.14, spec 03 §7.3), in one table; [`timers`](crate::timers) runs it.
//!
//! A job that changes metadata first asks whether there is anything to do, under shared access; only then it
//! takes the exclusive section, and what it does is a line like everybody's. All of them pause while lines
//! cannot be written.
//!
//! What belongs to chunks has a clock of its own ([`ChunkClock`](crate::chunks::ChunkClock)), because it is too
//! frequent for wall-clock times:
//!
//! | every | what |
//! |---|---|
//! | 20 ms | queues and loop of the chunks (spec 05 §14), copies of servers that are gone, a sync for deletions |
//! | 100 ms | a step of the walk over all files, from 900 s after the start on, not within 600 s after the loss of a chunkserver (spec 05 §21) |
//! | 1 s | requests that wait too long, maintenance and load of chunkservers, servers for chunks that had none, pauses and holds that are over, operations that a crash cut off |
//! | 600 s | chunkservers that nobody has seen for days leave the database (spec 05 §4.6) |

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mfs_meta::op::{Op, QuotaArgs};
use mfs_meta::records::QuotaRecord;
use mfs_meta::{SUSTAINED_BUCKETS, TRASH_BUCKETS, TreeStats};

use crate::master::{Master, State};
use crate::session;
use crate::timers::{Job, Tick};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What the jobs work on.
pub struct Jobs {
    master: Arc<Master>,
    started: Instant,
    /// The next buckets; they begin at 0 with the process.
    trash: AtomicU32,
    sustained: AtomicU32,
}

impl Jobs {
    /// Jobs of a master that starts now.
    #[must_use]
    pub fn new(master: Arc<Master>) -> Jobs {
        Jobs {
            master,
            started: Instant::now(),
            trash: AtomicU32::new(0),
            sustained: AtomicU32::new(0),
        }
    }
}

/// The table. Jobs that fall together run in this order (spec 01 §6).
pub const TABLE: [Job<Jobs>; 8] = [
    Job {
        name: "changelog rotation and image",
        every: HOUR,
        offset: Duration::ZERO,
        run: |jobs, tick| hour(&jobs.master, tick),
    },
    Job {
        name: "image retry",
        every: MINUTE,
        offset: SECOND,
        run: |jobs, _| jobs.master.images.retry(&jobs.master),
    },
    Job {
        name: "session counters",
        every: HOUR,
        offset: Duration::ZERO,
        run: |jobs, _| new_hour(&jobs.master.read()),
    },
    Job {
        name: "quotas",
        every: SECOND,
        offset: Duration::ZERO,
        run: |jobs, _| check_quotas(&jobs.master),
    },
    Job {
        name: "trash",
        every: SECOND,
        offset: Duration::ZERO,
        run: |jobs, _| empty_trash(&jobs.master, next(&jobs.trash, TRASH_BUCKETS)),
    },
    Job {
        name: "sustained files",
        every: SECOND,
        offset: Duration::ZERO,
        run: |jobs, _| empty_sustained(&jobs.master, next(&jobs.sustained, SUSTAINED_BUCKETS)),
    },
    Job {
        name: "sessions",
        every: Duration::from_secs(10),
        offset: Duration::ZERO,
        run: |jobs, _| remove_sessions(jobs),
    },
    Job {
        name: "inode reuse",
        every: MINUTE,
        offset: Duration::ZERO,
        run: |jobs, _| free_inodes(&jobs.master),
    },
];

fn next(bucket: &AtomicU32, buckets: u32) -> u32 {
    bucket.fetch_add(1, Ordering::Relaxed) % buckets
}

fn hour(master: &Arc<Master>, tick: &Tick) {
    let hours = master.config().metadata_save_freq.max(1);
    let due = tick.covers_multiple_of(HOUR * hours);
    master.images.hour(master, due);
}

fn new_hour(state: &State) {
    for (_, session) in state.meta.sessions() {
        session.counters.new_hour();
    }
}

/// Applies a job's operation if it is due and logs a refusal, which would be a fault of this program.
fn apply_if(master: &Master, due: impl Fn(&State, u32) -> bool, op: &Op<'_>) {
    if master.gate.is_failing() || !due(&master.read(), master.clock.now()) {
        return;
    }
    if let Err(status) = master.change(|txn| txn.apply(op)) {
        tracing::error!(?op, %status, "periodic change refused");
    }
}

fn empty_trash(master: &Master, bucket: u32) {
    let due = |state: &State, now| state.meta.trash_due(now, bucket);
    apply_if(master, due, &Op::EmptyTrash { bucket });
}

fn empty_sustained(master: &Master, bucket: u32) {
    let due = |state: &State, _| state.meta.sustained_due(bucket);
    apply_if(master, due, &Op::EmptySustained { bucket });
}

fn free_inodes(master: &Master) {
    let delay = master.config().inode_reuse_delay;
    let due = |state: &State, now| state.meta.free_inodes_due(now, delay);
    let op = Op::FreeInodes {
        delay,
        keep_open: true,
    };
    apply_if(master, due, &op);
}

fn remove_sessions(jobs: &Jobs) {
    let delay = Duration::from_secs(session::REMOVAL_DELAY.into());
    let master = &jobs.master;
    if jobs.started.elapsed() >= delay && !master.gate.is_failing() {
        session::remove_expired(master, master.config().session_sustain_time);
    }
}

/// Soft limits that are newly exceeded, or no longer, or whose grace period has run out (spec 07 §7.9.2).
fn check_quotas(master: &Master) {
    if master.gate.is_failing() {
        return;
    }
    let now = master.clock.now();
    if quota_changes(&master.read(), now).is_empty() {
        return;
    }
    master.change(|txn| {
        for args in quota_changes_of(txn.meta(), txn.now()) {
            let inode = args.inode;
            if let Err(status) = txn.apply(&Op::Quota(Box::new(args))) {
                tracing::error!(inode, %status, "quota can't be marked");
            }
        }
    });
}

fn quota_changes(state: &State, now: u32) -> Vec<QuotaArgs> {
    quota_changes_of(&state.meta, now)
}

fn quota_changes_of(meta: &mfs_meta::Metadata, now: u32) -> Vec<QuotaArgs> {
    meta.quotas()
        .filter_map(|(inode, quota)| {
            let used = meta.node(inode)?.below();
            quota_change(inode, quota, &used, now)
        })
        .collect()
}

fn quota_change(inode: u32, quota: &QuotaRecord, used: &TreeStats, now: u32) -> Option<QuotaArgs> {
    let since = match (is_over(quota, used), quota.since) {
        (true, 0) => now,
        (true, since) => since,
        (false, _) => 0,
    };
    let exceeded = u8::from(since != 0 && since.saturating_add(quota.grace) < now);
    if since == quota.since && exceeded == quota.exceeded {
        return None;
    }
    Some(QuotaArgs {
        inode,
        exceeded,
        flags: quota.flags,
        since,
        sinodes: quota.soft_inodes,
        hinodes: quota.hard_inodes,
        slength: quota.soft_length,
        hlength: quota.hard_length,
        ssize: quota.soft_size,
        hsize: quota.hard_size,
        srealsize: quota.soft_realsize,
        hrealsize: quota.hard_realsize,
        grace: quota.grace,
    })
}

/// Whether a soft limit is exceeded.
fn is_over(quota: &QuotaRecord, used: &TreeStats) -> bool {
    let soft = |bit: u8| quota.flags & bit != 0;
    (soft(0x01) && used.inodes > quota.soft_inodes)
        || (soft(0x02) && used.length > quota.soft_length)
        || (soft(0x04) && used.size > quota.soft_size)
        || (soft(0x08) && used.realsize > quota.soft_realsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(since: u32, exceeded: u8) -> QuotaRecord {
        QuotaRecord {
            flags: 0x01 | 0x20,
            soft_inodes: 2,
            hard_length: 1,
            grace: 10,
            since,
            exceeded,
            ..QuotaRecord::default()
        }
    }

    fn change(quota: &QuotaRecord, inodes: u32, now: u32) -> Option<(u32, u8)> {
        let used = TreeStats {
            inodes,
            length: 100,
            ..TreeStats::default()
        };
        quota_change(5, quota, &used, now).map(|args| (args.since, args.exceeded))
    }

    #[test]
    fn soft_limits_are_marked_once_and_run_out_after_the_grace_period() {
        assert_eq!(change(&quota(0, 0), 2, 100), None, "at the limit");
        assert_eq!(change(&quota(0, 0), 3, 100), Some((100, 0)));
        assert_eq!(
            change(&quota(100, 0), 3, 110),
            None,
            "within the grace period"
        );
        assert_eq!(change(&quota(100, 0), 3, 111), Some((100, 1)));
        assert_eq!(change(&quota(100, 1), 3, 200), None);
        assert_eq!(change(&quota(100, 1), 2, 200), Some((0, 0)), "below again");
    }

    #[test]
    fn buckets_follow_each_other() {
        let counter = AtomicU32::new(254);
        let buckets: Vec<u32> = (0..4).map(|_| next(&counter, 256)).collect();
        assert_eq!(buckets, [254, 255, 0, 1]);
    }
}
