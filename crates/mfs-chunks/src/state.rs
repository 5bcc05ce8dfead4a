//! [`Chunks`]: the soft state, its construction, and the predicates that everything asks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::FixedState;
use mfs_meta::{ChunkInfo, Metadata};

use crate::class;
use crate::config::ChunkConfig;
use crate::copies::Copies;
use crate::durable::Held;
use crate::effect::{Action, Command, Effect, Log, RequestId};
use crate::figures::{JobCounts, LoopFigures, OperationCounters};
use crate::missing::FileLoop;
use crate::operation::Operation;
use crate::queues::Queues;
use crate::replicate::{Backoffs, Replication};
use crate::request::Waiting;
use crate::rng::Rng;
use crate::servers::Servers;
use crate::stranded::Stranded;
use crate::topology::Topology;
use crate::unfinished::{UndoWalk, Unfinished};
use crate::unharmed::Unharmed;

/// Length of a tick (spec 05 §0).
pub const TICKS_PER_SECOND: u32 = 50;
/// Ticks without jobs after a copy was reported (spec 05 §7.1).
pub(crate) const NEW_DELAY: u64 = 150;
/// Ticks without jobs after a copy was lost (spec 05 §7.3).
pub(crate) const LOST_DELAY: u64 = 50;
/// Seconds after the start in which the state is not stable (spec 05 §8).
const SETTLING: u32 = 10;
/// Seconds for which a chunk is kept that may belong to files that this metadata does not know (spec 05 §22.2).
pub(crate) const UNKNOWN_CHUNK_LIFE: u32 = 7 * 86_400;

/// A map with a fast hash; what is hashed is not chosen by clients.
pub(crate) type Map<K, V> = HashMap<K, V, FixedState>;
pub(crate) type Set<K> = HashSet<K, FixedState>;

/// Position of the chunk loop (spec 05 §14.4).
#[derive(Default)]
pub(crate) struct Scan {
    /// Rows visited of this loop.
    pub(crate) position: u32,
    /// Rows of this loop, and the step of its permutation.
    pub(crate) rows: u32,
    pub(crate) step: u32,
    pub(crate) offset: u32,
    /// When the loop began.
    pub(crate) started: u32,
    /// Part of a row that was left over.
    pub(crate) rest: f64,
    /// Loops ended.
    pub(crate) loops: u64,
}

/// Adaptation of the deletion limit (spec 05 §17).
pub(crate) struct DeleteLimit {
    pub(crate) current: f64,
    pub(crate) held: u64,
    pub(crate) done: u64,
    pub(crate) last_total: u64,
}

/// Management of chunks: see the crate.
pub struct Chunks {
    pub(crate) config: ChunkConfig,
    pub(crate) topology: Arc<dyn Topology>,
    pub(crate) rng: Rng,
    /// When this process began, seconds.
    pub(crate) started: u32,
    /// Ticks since then.
    pub(crate) tick: u64,
    pub(crate) copies: Copies,
    pub(crate) servers: Servers,
    /// Operations under way, by row.
    pub(crate) operations: Map<u32, Operation>,
    /// Rows of the operations that requests wait for.
    pub(crate) operation_of: Map<RequestId, u32>,
    /// REPLICATEs without answer, by row and destination.
    pub(crate) replications: Map<(u32, u16), Replication>,
    /// DELETEs without answer, by row and server.
    pub(crate) deletions: Set<(u32, u16)>,
    /// Destinations that failed.
    pub(crate) backoffs: Backoffs,
    /// Requests that wait for a chunk.
    pub(crate) waiting: Waiting,
    pub(crate) queues: Queues,
    pub(crate) stranded: Stranded,
    pub(crate) held: Held,
    pub(crate) scan: Scan,
    pub(crate) delete_limit: DeleteLimit,
    pub(crate) unfinished: Unfinished,
    /// Entries of `unfinished` that came from the log of an earlier run and are not decided yet.
    pub(crate) unresolved: Set<u64>,
    pub(crate) undo_walk: UndoWalk,
    /// Other versions that are as good as the present one, by chunk.
    pub(crate) unharmed: Map<u64, Unharmed>,
    /// Since when nothing is in progress and all servers are there, in ticks.
    pub(crate) complete_since: Option<u64>,
    /// Chunks that no file names but that are to be kept until then (spec 05 §21.2).
    pub(crate) holds: Map<u64, u32>,
    /// "New chunks" and "lost chunks" delays run until these ticks.
    pub(crate) new_until: u64,
    pub(crate) lost_until: u64,
    /// Time of the last rebalance, in seconds with fraction of ticks.
    pub(crate) last_rebalance: f64,
    /// Usage and slot of possible destinations, the emptiest first, and the tick of this list.
    pub(crate) rebalance_order: Vec<(f64, u16)>,
    pub(crate) rebalance_ordered: u64,
    pub(crate) file_loop: FileLoop,
    /// Write sessions: the tick at which each began, by chunk.
    pub(crate) sessions: Map<u64, u64>,
    pub(crate) jobs: JobCounts,
    pub(crate) loop_figures: LoopFigures,
    pub(crate) counters: OperationCounters,
    effects: Vec<Effect>,
    pub(crate) seconds: u64,
}

impl Chunks {
    /// The soft state beside a metadata that has just been loaded: all servers are absent, no copy is known.
    /// `unfinished` is what the image and the lines after it leave open; `seed` starts the random choices. Takes
    /// time proportional to the number of chunks.
    #[must_use]
    pub fn new(
        config: ChunkConfig,
        topology: Arc<dyn Topology>,
        meta: &Metadata,
        unfinished: Unfinished,
        now: u32,
        seed: u64,
    ) -> Chunks {
        let config = config.checked();
        let mut chunks = Chunks {
            topology,
            rng: Rng::new(seed),
            started: now,
            tick: 0,
            copies: Copies::default(),
            servers: Servers::new(meta, now),
            operations: Map::default(),
            operation_of: Map::default(),
            replications: Map::default(),
            deletions: Set::default(),
            backoffs: Backoffs::default(),
            waiting: Waiting::default(),
            queues: Queues::new(config.queue_length),
            stranded: Stranded::default(),
            held: Held::default(),
            scan: Scan::default(),
            delete_limit: DeleteLimit {
                current: f64::from(config.soft_del_limit),
                held: 0,
                done: 0,
                last_total: 0,
            },
            unresolved: unfinished.chunks().collect(),
            unfinished,
            undo_walk: UndoWalk::default(),
            unharmed: Map::default(),
            complete_since: None,
            holds: Map::default(),
            new_until: 0,
            lost_until: 0,
            last_rebalance: 0.0,
            rebalance_order: Vec::new(),
            rebalance_ordered: 0,
            file_loop: FileLoop::new(now),
            sessions: Map::default(),
            jobs: JobCounts::default(),
            loop_figures: LoopFigures::default(),
            counters: OperationCounters::default(),
            effects: Vec::new(),
            seconds: 0,
            config,
        };
        for row in 1..meta.chunk_row_limit() {
            if let Some(info) = meta.chunk_in_row(row) {
                chunks.recount(meta, row, &info);
            }
        }
        chunks
    }

    /// Takes new options. A new queue length empties the queues (spec 05 §13.3).
    pub fn set_config(&mut self, config: ChunkConfig) {
        let config = config.checked();
        if config.queue_length != self.config.queue_length {
            for row in self.queues.reset(config.queue_length) {
                self.copies.set_queue(row, None);
            }
        }
        self.delete_limit.current = self.delete_limit.current.clamp(
            f64::from(config.soft_del_limit),
            f64::from(config.hard_del_limit),
        );
        self.config = config;
    }

    /// Takes a new topology.
    pub fn set_topology(&mut self, topology: Arc<dyn Topology>) {
        self.topology = topology;
        self.servers.set_racks(&*self.topology);
    }

    /// The effects since the last call, oldest first.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// The operations that are begun and not ended, for the file beside an image (spec 08, I20).
    #[must_use]
    pub fn unfinished(&self) -> &Unfinished {
        &self.unfinished
    }

    /// Bytes held for copies of chunks.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.copies.bytes() + self.queues.bytes() + self.held.bytes()
    }

    pub(crate) fn effect(&mut self, log: &dyn Log, action: Action) {
        self.effects.push(Effect {
            version: log.meta().version(),
            action,
        });
    }

    pub(crate) fn command(&mut self, log: &dyn Log, slot: u16, command: Command) {
        if let Some(server) = self.servers.id(slot) {
            tracing::trace!(csid = self.servers.csid(slot), ?command, "command");
            self.effect(log, Action::Command { server, command });
        }
    }

    /// Puts a chunk in the figures under its present class. Whoever comes to a chunk does this first, so that the loss
    /// of its last file is seen here.
    pub(crate) fn recount(&mut self, meta: &Metadata, row: u32, info: &ChunkInfo) {
        if info.refs == 0 && self.copies.is_counted_used(row) {
            self.copies.doubt(row);
        }
        let class = class::in_charge(meta, row);
        let goal = class::wanted(meta, class, info.archived).map_or(0, |w| w.goal());
        self.copies.count(row, class, goal, info.archived);
    }

    // ---- predicates (spec 05 §8, §14.1) -----------------------------------------------------------

    /// "Counters in progress": bit 0 = servers that are gone are still being swept, or copies were just lost; bit
    /// 1 = servers register, or copies were just reported. While it is not 0 no job is done.
    #[must_use]
    pub fn progress(&self) -> u8 {
        let lost = self.servers.gone() > 0 || self.tick < self.lost_until;
        let new = self.servers.registering() > 0 || self.tick < self.new_until;
        u8::from(lost) | u8::from(new) << 1
    }

    pub(crate) fn is_stable(&self, now: u32) -> bool {
        now > self.started.saturating_add(SETTLING) && self.servers.registering() == 0
    }

    pub(crate) fn is_changing(&self, now: u32) -> bool {
        !self.is_stable(now) || self.tick < self.new_until
    }

    /// Every copy that exists is known: all servers are connected and settled.
    #[must_use]
    pub fn has_all_data(&self) -> bool {
        self.progress() == 0 && self.servers.absent() == 0
    }

    /// The same for one chunk: what an earlier run left open about it is decided, too.
    pub(crate) fn has_all_data_of(&self, chunk: u64) -> bool {
        self.has_all_data() && !self.unresolved.contains(&chunk)
    }

    /// Whether replications and deletions are allowed (spec 05 §14.2).
    pub(crate) fn may_do_jobs(&self, now: u32) -> bool {
        self.progress() == 0
            && now
                >= self
                    .started
                    .saturating_add(self.config.replications_delay_init)
            && self.servers.countable() > 0
    }

    pub(crate) fn is_locked(info: &ChunkInfo, now: u32) -> bool {
        info.locked_to != 0 && info.locked_to >= now
    }
}
