//! Figures for the monitoring (spec 05 §23, spec 06 §8).

use mfs_meta::Metadata;
use mfs_meta::records::LabelMasks;

use crate::copies::{ClassFigures, Matrix};
use crate::labels;
use crate::operation::OpKind;
use crate::servers::{HeavyLoad, Removal, Space};
use crate::state::Chunks;

/// What was done, and what should have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DoneHeld {
    /// Done.
    pub done: u32,
    /// Held back.
    pub held: u32,
}

impl DoneHeld {
    pub(crate) fn count(&mut self, done: bool) {
        let n = if done { &mut self.done } else { &mut self.held };
        *n = n.saturating_add(1);
    }
}

/// Jobs of a chunk loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Deletions of damaged and outdated copies.
    pub delete_invalid: DoneHeld,
    /// Deletions of copies of chunks that no file names.
    pub delete_unused: DoneHeld,
    /// Deletions of copies on disks marked for removal, to make room.
    pub delete_marked: DoneHeld,
    /// Deletions of copies that are too many.
    pub delete_overgoal: DoneHeld,
    /// Replications of chunks with too few copies.
    pub copy_undergoal: DoneHeld,
    /// Replications of chunks with copies in the wrong place.
    pub copy_wrong_labels: DoneHeld,
    /// Replications to balance servers.
    pub copy_rebalance: u32,
    /// Chunks with wrong labels and no server to put it right.
    pub labels_dont_match: u32,
    /// Locked or busy chunks that no file names.
    pub locked_unused: u32,
    /// Locked or busy chunks of files.
    pub locked_used: u32,
}

/// Figures of the last whole chunk loop (spec 06 §8.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoopFigures {
    /// When it began and ended, seconds; `start` 0 = there was no whole loop yet.
    pub start: u32,
    /// See `start`.
    pub end: u32,
    /// What was done.
    pub jobs: JobCounts,
}

impl LoopFigures {
    pub(crate) fn publish(&mut self, jobs: JobCounts, now: u32) {
        *self = LoopFigures {
            start: self.end,
            end: now,
            jobs,
        };
    }
}

/// Commands of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Sent.
    pub tried: u32,
    /// Answered with success.
    pub done: u32,
    /// Answered with an error.
    pub failed: u32,
}

impl Tried {
    fn ended(&mut self, done: bool) {
        if done {
            self.done += 1;
        } else {
            self.failed += 1;
        }
    }
}

/// Commands since the last look (spec 05 §23.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperationCounters {
    /// CREATE.
    pub create: Tried,
    /// DELETE.
    pub delete: Tried,
    /// REPLICATE.
    pub replicate: Tried,
    /// SET_VERSION, DUPLICATE, TRUNCATE, DUPTRUNC.
    pub change: Tried,
}

impl OperationCounters {
    fn of(&mut self, kind: OpKind) -> &mut Tried {
        match kind {
            OpKind::Create => &mut self.create,
            OpKind::Replicate => &mut self.replicate,
            _ => &mut self.change,
        }
    }

    pub(crate) fn tried(&mut self, kind: OpKind) {
        self.of(kind).tried += 1;
    }

    pub(crate) fn ended(&mut self, kind: OpKind, done: bool) {
        self.of(kind).ended(done);
    }

    pub(crate) fn delete_tried(&mut self) {
        self.delete.tried += 1;
    }

    pub(crate) fn deleted(&mut self, done: bool) {
        self.delete.ended(done);
    }
}

/// A server of the database as the monitoring sees it (spec 05 §23.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// Address.
    pub ip: u32,
    /// Port.
    pub port: u16,
    /// Its number, 0 = none.
    pub csid: u16,
    /// Program version; `None` when it is not connected.
    pub version: Option<u32>,
    /// 0 no maintenance, 1 on, 2 temporary.
    pub maintenance: u8,
    /// Its space.
    pub space: Space,
    /// I/O errors since it connected.
    pub errors: u32,
    /// Load.
    pub load: u32,
    /// Seconds for which it is left alone, or the constants for what it says itself.
    pub grace_time: u32,
    /// Labels, bit 0 = A.
    pub labels: u32,
    /// Marked disks: 0 unknown, 1 in progress, 2 can be removed.
    pub removal: u8,
    /// Chunks being written there, and running replications from and to it.
    pub written: u32,
    /// See `written`.
    pub reads: u32,
    /// See `written`.
    pub writes: u32,
    /// Deletions without answer.
    pub deletes: u32,
}

/// Whether the wanted servers for a list of labels exist (spec 06 §8.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Availability {
    /// No.
    None = 0,
    /// Only with servers without space.
    Full = 1,
    /// Only with overloaded servers.
    Overloaded = 2,
    /// Yes.
    Now = 3,
}

/// `grace_time` of a server that balances its disks, and of one that is overloaded.
const GRACE_REBALANCE: u32 = 0x8000_0000;
const GRACE_OVERLOADED: u32 = 0xC000_0000;

impl Chunks {
    /// All known servers, by address.
    #[must_use]
    pub fn servers(&self, meta: &Metadata, now: u32) -> Vec<ServerInfo> {
        meta.chunkservers()
            .map(|entry| {
                let key = (entry.ip, entry.port);
                let known = self.servers.known.get(&key).copied().unwrap_or_default();
                let server = known.slot.and_then(|s| self.servers.get(s));
                let mut info = ServerInfo {
                    ip: entry.ip,
                    port: entry.port,
                    csid: entry.id,
                    version: None,
                    maintenance: entry.maintenance,
                    space: Space::default(),
                    errors: 0,
                    load: known.load,
                    grace_time: self.grace_left(key, now),
                    labels: 0,
                    removal: 0,
                    written: 0,
                    reads: 0,
                    writes: 0,
                    deletes: 0,
                };
                if let (Some(s), Some(slot)) = (server, known.slot) {
                    info.version = Some(s.version);
                    info.space = s.space;
                    info.errors = s.errors;
                    info.labels = s.labels;
                    info.written = self.copies.written(slot);
                    info.reads = s.reads;
                    info.writes = s.writes;
                    info.deletes = s.deletes;
                    info.removal = match s.removal {
                        Removal::Unknown | Removal::Soon => 0,
                        Removal::InProgress | Removal::WasInProgress => 1,
                        Removal::Ready => 2,
                    };
                    info.grace_time = match s.load {
                        HeavyLoad::Ok => 0,
                        HeavyLoad::Overloaded => GRACE_OVERLOADED,
                        HeavyLoad::Rebalance => GRACE_REBALANCE,
                        HeavyLoad::Unknown | HeavyLoad::Graceful => info.grace_time,
                    };
                }
                info
            })
            .collect()
    }

    /// Chunks by goal and number of copies: all usable ones, or those not marked for removal.
    #[must_use]
    pub fn matrix(&self, regular: bool) -> &Matrix {
        self.copies.matrix(regular)
    }

    /// Chunks of files without a usable copy, now.
    #[must_use]
    pub fn missing_count(&self) -> u32 {
        self.matrix(false)[1..].iter().map(|row| row[0]).sum()
    }

    /// Chunks that a class decides about.
    #[must_use]
    pub fn class_figures(&self, class: u8) -> ClassFigures {
        self.copies.class_figures(class)
    }

    /// Figures of the last whole chunk loop.
    #[must_use]
    pub fn loop_figures(&self) -> &LoopFigures {
        &self.loop_figures
    }

    /// Commands since the last call.
    pub fn take_counters(&mut self) -> OperationCounters {
        std::mem::take(&mut self.counters)
    }

    /// Connected servers with space.
    #[must_use]
    pub fn servers_with_space(&self) -> usize {
        self.servers
            .connected()
            .filter(|(_, s)| s.space.total > 0)
            .count()
    }

    /// Connected servers that fit an entry of a storage class.
    #[must_use]
    pub fn fitting_servers(&self, entry: &LabelMasks) -> usize {
        self.servers
            .connected()
            .filter(|(_, s)| labels::fits(entry, s.labels))
            .count()
    }

    /// Whether the servers that a list of a storage class wants exist.
    #[must_use]
    pub fn availability(&self, entries: &[LabelMasks]) -> Availability {
        let enough = |fits: &dyn Fn(&crate::servers::Server) -> bool| {
            let servers: Vec<_> = self
                .servers
                .connected()
                .filter(|(_, s)| fits(s))
                .map(|(slot, _)| self.candidate(slot))
                .collect();
            let m = labels::matching(entries, &servers);
            m.server.iter().all(Option::is_some)
        };
        if enough(&|s| s.is_countable() && !s.is_almost_full() && s.is_fit()) {
            Availability::Now
        } else if enough(&|s| s.is_countable() && !s.is_almost_full()) {
            Availability::Overloaded
        } else if enough(&|_| true) {
            Availability::Full
        } else {
            Availability::None
        }
    }

    /// Chunks known, and usable copies of all of them (more than ten of a chunk count as ten), all and regular.
    #[must_use]
    pub fn copy_counts(&self, meta: &Metadata) -> (u32, u64, u64) {
        let sum = |m: &Matrix| {
            m.iter()
                .flat_map(|row| row.iter().enumerate())
                .map(|(n, &chunks)| n as u64 * u64::from(chunks))
                .sum()
        };
        (
            meta.chunk_count(),
            sum(self.matrix(false)),
            sum(self.matrix(true)),
        )
    }
}
