//! Replications for chunks that have too few copies, or copies in the wrong place (spec 05 §16).

use mfs_config::ReplicationTopology;
use mfs_meta::{ChunkInfo, Status};
use smallvec::SmallVec;

use crate::class::{self, LabelMode, Wanted};
use crate::config::ReplicationClass;
use crate::copy::{CopyList, CopyState, Tally};
use crate::effect::{Command, Log};
use crate::labels;
use crate::operation::{OpKind, Operation};
use crate::queues::prio;
use crate::servers::Server;
use crate::state::{Chunks, Map, TICKS_PER_SECOND};

/// A REPLICATE without answer.
pub(crate) struct Replication {
    /// Slot of the source; `None` when that is gone.
    pub(crate) source: Option<u16>,
}

/// Outcome of an attempt to replicate a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Started,
    /// Not now: servers are busy.
    Wait,
    /// Not with the servers that there are.
    Impossible,
}

/// Longest pause after failures, seconds.
const LONGEST_PAUSE: u64 = 300;
/// Pairs of chunk and destination that are remembered; beyond, only as long as they pause.
const MAX_BACKOFFS: usize = 100_000;

struct Backoff {
    until: u64,
    failures: u32,
}

impl Backoff {
    /// Seconds for which a destination is not asked after its last failure.
    fn pause(&self) -> u64 {
        match self.failures {
            0 | 1 => 0,
            failures => (1u64 << (failures - 2).min(16)).min(LONGEST_PAUSE),
        }
    }
}

/// Destinations that failed to take a chunk, and until when they are not asked again. The first failure costs
/// nothing; from the second on the pause doubles from one second.
#[derive(Default)]
pub(crate) struct Backoffs(Map<(u32, u16), Backoff>);

impl Backoffs {
    fn failed(&mut self, key: (u32, u16), tick: u64) {
        if self.0.len() >= MAX_BACKOFFS {
            self.0.retain(|_, b| b.until > tick);
        }
        let entry = self.0.entry(key).or_insert(Backoff {
            until: 0,
            failures: 0,
        });
        entry.failures += 1;
        if entry.failures > 1 {
            entry.until = tick + entry.pause() * u64::from(TICKS_PER_SECOND);
        }
    }

    fn succeeded(&mut self, key: (u32, u16)) {
        self.0.remove(&key);
    }

    fn pauses(&self, key: (u32, u16), tick: u64) -> bool {
        !self.0.is_empty() && self.0.get(&key).is_some_and(|b| b.until > tick)
    }

    /// Whether a destination has failed for minutes.
    fn is_hopeless(&self, key: (u32, u16)) -> bool {
        !self.0.is_empty() && self.0.get(&key).is_some_and(|b| b.pause() == LONGEST_PAUSE)
    }

    /// Forgets what was long ago.
    pub(crate) fn expire(&mut self, tick: u64) {
        let keep = 2 * LONGEST_PAUSE * u64::from(TICKS_PER_SECOND);
        self.0.retain(|_, b| b.until == 0 || b.until + keep > tick);
        if self.0.len() >= MAX_BACKOFFS {
            self.0.retain(|_, b| b.until > tick);
        }
    }
}

impl Chunks {
    /// A number in [0, 1) that changes each second and differs between servers: fractional limits hold for a part
    /// of the time (spec 05 §5.4).
    fn fraction(slot: u16, now: u32) -> f64 {
        let hash = u32::from(slot)
            .wrapping_mul(0x9874_BF31)
            .wrapping_add(now.wrapping_mul(0xB489_FC37));
        f64::from(hash) / 4_294_967_296.0
    }

    /// Whether a server may take one more replication of this class.
    pub(crate) fn may_write_to(&self, slot: u16, class: ReplicationClass, now: u32) -> bool {
        let limit = class.limit(&self.config.write_rep_limit);
        self.servers
            .get(slot)
            .is_some_and(|s| f64::from(s.writes) + Self::fraction(slot, now) < limit)
    }

    /// Whether a server may be the source of one more replication of this class.
    pub(crate) fn may_read_from(&self, slot: u16, class: ReplicationClass, now: u32) -> bool {
        let limit = class.limit(&self.config.read_rep_limit);
        self.servers
            .get(slot)
            .is_some_and(|s| f64::from(s.reads) + Self::fraction(slot, now) < limit)
    }

    fn distance(&self, a: u16, b: u16) -> u32 {
        match (self.servers.get(a), self.servers.get(b)) {
            (Some(a), Some(b)) => self.topology.distance(a.ip, b.ip),
            _ => u32::MAX,
        }
    }

    /// Tries to make one more copy of a chunk that is neither locked nor busy.
    pub(crate) fn replicate(
        &mut self,
        log: &mut dyn Log,
        row: u32,
        info: &ChunkInfo,
        wanted: &Wanted<'_>,
        copies: &CopyList,
        priority: u8,
    ) -> Attempt {
        let now = log.now();
        if self.is_replicated(row) {
            return Attempt::Wait;
        }
        let endangered = priority <= prio::ENDANGERED;
        let class = if endangered {
            ReplicationClass::Endangered
        } else {
            ReplicationClass::Undergoal
        };
        let valid: SmallVec<[u16; 8]> = copies
            .iter()
            .filter(|c| c.state == CopyState::Valid)
            .map(|c| c.server)
            .collect();
        // Servers that have no record of this chunk, by what speaks against them.
        let (mut candidates, mut unfit, mut busy) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, server) in self.servers.connected() {
            if !server.has_room() {
                continue;
            }
            if copies.iter().any(|c| c.server == slot) {
                // There will be room in a moment.
                if self.deletions.contains(&(row, slot)) {
                    busy.push(slot);
                }
                continue;
            }
            if !self.may_write_to(slot, class, now) || self.backoffs.pauses((row, slot), self.tick)
            {
                busy.push(slot);
            } else if !server.is_fit() {
                unfit.push(slot);
            } else {
                candidates.push(slot);
            }
        }
        self.rng.shuffle(&mut candidates);
        if endangered {
            self.rng.shuffle(&mut unfit);
            candidates.append(&mut unfit);
        } else {
            busy.append(&mut unfit);
        }
        if self.config.replication_topology == ReplicationTopology::SameRack {
            candidates.sort_by_key(|&c| {
                let near = copies
                    .iter()
                    .filter(|s| s.state.is_valid())
                    .any(|s| self.distance(s.server, c) <= 1);
                !near
            });
        }
        let choice = if self.needs_matching(wanted) {
            self.choose_by_labels(wanted, &valid, &candidates, &busy)
        } else if valid.len() >= wanted.goal() {
            Err(Attempt::Impossible)
        } else if let Some(&first) = candidates.first() {
            Ok(first)
        } else if busy.is_empty() {
            Err(Attempt::Impossible)
        } else {
            Err(Attempt::Wait)
        };
        let destination = match choice {
            Ok(slot) => slot,
            Err(attempt) => return attempt,
        };
        let Some(source) = self.choose_source(copies, destination, class, now) else {
            return Attempt::Wait;
        };
        self.copies.set(row, destination, CopyState::Busy);
        self.set_operation(row, Operation::replicate(destination, now));
        self.send_replicate(log, row, info, source, destination);
        Attempt::Started
    }

    /// Whether outdated and damaged copies stay for now: the chunk has fewer good ones than wanted, and servers that
    /// have nothing of it can take what is missing. That nobody can read the good ones may show only when they are
    /// copied, and then the others are all that is left for a repair (spec 05 §21.4). The original deletes them first,
    /// and copies to where they were (spec 05 §15.3). Where labels leave no other place, or there are no other
    /// servers, they go first here, too.
    pub(crate) fn keeps_fallback(
        &self,
        log: &dyn Log,
        row: u32,
        info: &ChunkInfo,
        copies: &CopyList,
        tally: &Tally,
    ) -> bool {
        if info.refs == 0 || tally.wrong + tally.invalid == 0 || !tally.any_valid() {
            return false;
        }
        let class = class::in_charge(log.meta(), row);
        let Some(wanted) = class::wanted(log.meta(), class, info.archived) else {
            return false;
        };
        if tally.valid >= wanted.goal() {
            return false;
        }
        if self.is_replicated(row) {
            return true;
        }
        let others: Vec<u16> = self
            .servers
            .connected()
            .filter(|&(slot, server)| {
                server.takes_copies()
                    && !self.backoffs.is_hopeless((row, slot))
                    && copies.iter().all(|c| c.server != slot)
            })
            .map(|(slot, _)| slot)
            .collect();
        if others.is_empty() || !self.needs_matching(&wanted) {
            return !others.is_empty();
        }
        let valid = copies.iter().filter(|c| c.state == CopyState::Valid);
        let without: Vec<u16> = others.into_iter().chain(valid.map(|c| c.server)).collect();
        // Labels that cannot be had with their places either are no reason to give them up.
        let useless = copies
            .iter()
            .filter(|c| c.state.is_wrong() || c.state == CopyState::Invalid)
            .filter(|c| self.servers.get(c.server).is_some_and(Server::takes_copies))
            .map(|c| c.server);
        let with: Vec<u16> = without.iter().copied().chain(useless).collect();
        let matched = |slots: &[u16]| {
            let servers: Vec<_> = slots.iter().map(|&s| self.candidate(s)).collect();
            let m = labels::matching(wanted.entries, &servers);
            m.server.iter().flatten().count()
        };
        matched(&without) >= matched(&with)
    }

    /// A source below its limit: VALID copies first, or the nearest ones (spec 05 §16.4).
    fn choose_source(
        &mut self,
        copies: &CopyList,
        destination: u16,
        class: ReplicationClass,
        now: u32,
    ) -> Option<u16> {
        let near = self.config.replication_topology != ReplicationTopology::Ignore;
        let mut sources: SmallVec<[(u32, bool, u16); 8]> = copies
            .iter()
            .filter(|c| c.state.is_valid() && self.may_read_from(c.server, class, now))
            .map(|c| {
                let distance = if near {
                    self.distance(c.server, destination)
                } else {
                    0
                };
                (distance, c.state == CopyState::TdValid, c.server)
            })
            .collect();
        self.rng.shuffle(&mut sources);
        sources.iter().min_by_key(|s| (s.0, s.1)).map(|s| s.2)
    }

    fn choose_by_labels(
        &self,
        wanted: &Wanted<'_>,
        valid: &[u16],
        candidates: &[u16],
        busy: &[u16],
    ) -> Result<u16, Attempt> {
        let order: Vec<u16> = busy
            .iter()
            .chain(candidates.iter().rev())
            .chain(valid)
            .copied()
            .collect();
        let servers: Vec<_> = order.iter().map(|&s| self.candidate(s)).collect();
        let m = labels::matching(wanted.entries, &servers);
        let (first_candidate, first_valid) = (busy.len(), busy.len() + candidates.len());
        let is_candidate = |s: usize| (first_candidate..first_valid).contains(&s);
        let undergoal = valid.len() < wanted.goal();
        // Best last.
        let spare = (first_candidate..first_valid)
            .rev()
            .find(|&s| m.entry[s].is_none());
        let mut wait = false;
        for server in &m.server {
            match *server {
                Some(s) if s >= first_valid => {}
                Some(s) if is_candidate(s) => return Ok(order[s]),
                Some(_) => {
                    wait = true;
                    if undergoal
                        && wanted.mode == LabelMode::Loose
                        && let Some(s) = spare
                    {
                        return Ok(order[s]);
                    }
                }
                None => {
                    if undergoal && wanted.mode != LabelMode::Strict {
                        if let Some(s) = spare {
                            return Ok(order[s]);
                        }
                        wait |= !busy.is_empty();
                    }
                }
            }
        }
        Err(if wait {
            Attempt::Wait
        } else {
            Attempt::Impossible
        })
    }

    pub(crate) fn send_replicate(
        &mut self,
        log: &dyn Log,
        row: u32,
        info: &ChunkInfo,
        source: u16,
        destination: u16,
    ) {
        let Some((ip, port)) = self.servers.get_mut(source).map(|s| {
            s.reads += 1;
            (s.ip, s.port)
        }) else {
            return;
        };
        if let Some(server) = self.servers.get_mut(destination) {
            server.writes += 1;
        }
        let source = Some(source);
        self.replications
            .insert((row, destination), Replication { source });
        self.counters.tried(OpKind::Replicate);
        let command = Command::Replicate {
            chunk: info.id,
            version: info.version,
            ip,
            port,
        };
        self.command(log, destination, command);
    }

    /// Counters of a replication that is over.
    pub(crate) fn replication_ended_at(&mut self, source: Option<u16>, destination: Option<u16>) {
        if let Some(s) = source.and_then(|s| self.servers.get_mut(s)) {
            s.reads = s.reads.saturating_sub(1);
        }
        if let Some(s) = destination.and_then(|s| self.servers.get_mut(s)) {
            s.writes = s.writes.saturating_sub(1);
        }
    }

    /// A REPLICATE was answered (spec 05 §9.6).
    pub(crate) fn replicate_answer(
        &mut self,
        log: &mut dyn Log,
        row: u32,
        slot: u16,
        version: u32,
        status: u8,
    ) {
        let Some(replication) = self.replications.remove(&(row, slot)) else {
            return;
        };
        self.replication_ended_at(replication.source, Some(slot));
        self.counters.ended(OpKind::Replicate, status == 0);
        let Some(info) = log.meta().chunk_in_row(row) else {
            return;
        };
        if status == 0 {
            self.backoffs.succeeded((row, slot));
        } else {
            self.backoffs.failed((row, slot), self.tick);
            self.copies.set_needs_increase(row, true);
        }
        let held = self
            .operations
            .get_mut(&row)
            .filter(|op| op.kind == OpKind::Replicate && op.awaited.contains(&slot));
        let state = self.copies.find(row, slot);
        if let (Some(op), Some(state)) = (held, state) {
            op.awaited.retain(|s| *s != slot);
            if status == 0 && version == info.version {
                self.copies.set(row, slot, state.settled());
            } else if status == 0 || status == Status::ChunkExist.code() {
                // Something is there, but not what we wanted: it is deleted, then there is room for the copy.
                self.copies.set(row, slot, CopyState::Invalid);
            } else {
                self.copies.remove(row, slot);
            }
            self.conclude_if_over(log, row);
            return;
        }
        if state.is_none() {
            let quiet = !Self::is_locked(&info, log.now()) && !self.copies.has_operation(row);
            if status == 0 && quiet && version == info.version {
                self.copies.set(row, slot, CopyState::Valid);
            } else if status == 0 || status == Status::ChunkExist.code() {
                self.copies.set(row, slot, CopyState::Invalid);
            }
        }
        self.queue_check(log, row, true);
    }
}
