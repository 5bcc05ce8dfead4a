//! The shared heart of the server: the state behind its lock, the gate to the changelog, and the settings.
//!
//! A request asks under [`Ctx::read`](crate::context::Ctx::read) (shared) or changes under
//! [`Ctx::begin`](crate::context::Ctx::begin) (exclusive). A change is [`Txn::apply`]: one operation is applied
//! and its line enters the journal under the same exclusive section, so line order = version order = order of
//! application. Nothing of a batch leaves the server before the journal has committed the highest version that
//! the batch has read or made ([`Gate`]).

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mfs_chunks::{Chunks, Log, Unfinished};
use mfs_config::{ConfigDirectory, Exports, MasterConfig, Topology};
use mfs_meta::op::{Op, Outcome};
use mfs_meta::{Metadata, Status};
use mfs_store::changelog::Journal;
use parking_lot::{RwLock, RwLockReadGuard};

use crate::access::{Access, Accessible, WriteState};
use crate::chunks::{self, ChunkState};
use crate::clock::Clock;
use crate::gate::Gate;
use crate::image::Images;
use crate::live::Live;
use crate::net::Connections;

/// What the lock protects: the metadata and the live state that has no line of its own.
pub struct State {
    /// Durable state; changed through [`Txn::apply`] only.
    pub meta: Metadata,
    /// Connections of sessions, waiting locks, data-cache records, append reservations.
    pub live: Live,
    /// Where copies of chunks are, chunkservers, requests that wait for them.
    pub chunks: ChunkState,
}

/// The lock around the state.
pub type Shared = RwLock<State>;

/// A running master: everything that connections and jobs share.
pub struct Master {
    /// The state.
    pub state: Shared,
    /// The commit gate in front of the changelog.
    pub gate: Gate,
    /// The time of lines.
    pub clock: Clock,
    /// Everyone who is connected to the client port.
    pub connections: Connections,
    /// The job that stores images.
    pub images: Images,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Where configuration files are looked for.
    pub config_dir: ConfigDirectory,
    config: RwLock<Arc<MasterConfig>>,
    exports: RwLock<Arc<Exports>>,
    exports_checksum: AtomicU64,
    topology: RwLock<Arc<Topology>>,
}

/// What a [`Master`] is made of.
pub struct Parts {
    /// The loaded metadata.
    pub meta: Metadata,
    /// Operations on chunks that an earlier run has begun and not ended (spec 08, I20).
    pub unfinished: Unfinished,
    /// The gate in front of the journal that continues it.
    pub gate: Gate,
    /// The clock, not behind the last line.
    pub clock: Clock,
    /// The image job.
    pub images: Images,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Where configuration files are looked for.
    pub config_dir: ConfigDirectory,
    /// The settings.
    pub config: MasterConfig,
    /// The export rules.
    pub exports: Exports,
    /// The topology.
    pub topology: Topology,
}

impl Master {
    /// Puts a master together.
    #[must_use]
    pub fn new(mut parts: Parts) -> Master {
        parts.meta.collect_chunk_changes();
        let live = Live::new(&parts.meta);
        let chunks = ChunkState::new(
            &parts.config,
            &parts.topology,
            &parts.meta,
            parts.unfinished,
            parts.clock.now(),
        );
        Master {
            state: RwLock::new(State {
                meta: parts.meta,
                live,
                chunks,
            }),
            gate: parts.gate,
            clock: parts.clock,
            connections: Connections::default(),
            images: parts.images,
            data_dir: parts.data_dir,
            config_dir: parts.config_dir,
            exports_checksum: AtomicU64::new(parts.exports.checksum()),
            config: RwLock::new(Arc::new(parts.config)),
            exports: RwLock::new(Arc::new(parts.exports)),
            topology: RwLock::new(Arc::new(parts.topology)),
        }
    }

    /// The settings in use. [`MasterConfig::raw`] has the texts that GET_CONFIG tells.
    #[must_use]
    pub fn config(&self) -> Arc<MasterConfig> {
        Arc::clone(&self.config.read())
    }

    /// Replaces the settings.
    pub fn set_config(&self, config: MasterConfig) {
        self.state.write().chunks.set_config(&config);
        *self.config.write() = Arc::new(config);
    }

    /// The export rules in use.
    #[must_use]
    pub fn exports(&self) -> Arc<Exports> {
        Arc::clone(&self.exports.read())
    }

    /// The checksum of the export rules in use, which sessions are compared with (spec 07 §7.1.6).
    #[must_use]
    pub fn exports_checksum(&self) -> u64 {
        self.exports_checksum.load(Ordering::Acquire)
    }

    /// Replaces the export rules.
    pub fn set_exports(&self, exports: Exports) {
        let mut current = self.exports.write();
        self.exports_checksum
            .store(exports.checksum(), Ordering::Release);
        *current = Arc::new(exports);
    }

    /// The network topology in use.
    #[must_use]
    pub fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.topology.read())
    }

    /// Replaces the network topology.
    pub fn set_topology(&self, topology: Topology) {
        self.state.write().chunks.set_topology(&topology);
        *self.topology.write() = Arc::new(topology);
    }

    /// Shared access to the state for work outside of requests, whose results do not leave the server.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// Runs `work` in an exclusive section of its own (jobs, the end of connections) and lets the lines go to
    /// the changelog. Requests use [`Ctx::begin`](crate::context::Ctx::begin).
    pub fn change<T>(&self, work: impl FnOnce(&mut Txn<'_>) -> T) -> T {
        let batch = Batch::default();
        let access = Access::new(&self.state);
        let mut txn = Txn::new(&access, self.gate.journal(), self.clock.now(), &batch);
        let done = work(&mut txn);
        drop(txn);
        self.gate.hasten(batch.commit.get());
        done
    }
}

/// Takes lines while the state is held exclusively. It must only append to a buffer (no I/O under the lock).
pub trait LineSink: Send + Sync {
    /// Queues a line: its number, its time stamp and its text with neither number nor line end.
    fn push(&self, number: u64, ts: u32, text: &[u8]);
    /// All changes below this version are on the disk. Costs a read of memory.
    fn durable(&self) -> u64;
}

impl LineSink for Journal {
    fn push(&self, number: u64, ts: u32, text: &[u8]) {
        Journal::push(self, number, ts, text);
    }

    fn durable(&self) -> u64 {
        Journal::durable(self)
    }
}

/// What a run of requests has seen and made.
#[derive(Default)]
pub struct Batch {
    /// Every line below this number must be safe before anything of the batch leaves.
    pub commit: Cell<u64>,
    /// Spare buffer for the text of a line.
    line: Cell<Vec<u8>>,
}

impl Batch {
    /// Notes that the batch depends on all lines below `version`.
    pub fn depends_on(&self, version: u64) {
        if version > self.commit.get() {
            self.commit.set(version);
        }
    }
}

/// Where the lines of a section go.
struct Lines<'a> {
    sink: &'a dyn LineSink,
    now: u32,
    line: Vec<u8>,
    batch: &'a Batch,
}

impl Lines<'_> {
    fn apply(&mut self, meta: &mut Metadata, op: &Op<'_>) -> Result<Outcome, Status> {
        let version = meta.version();
        let outcome = meta.apply(self.now, op)?;
        self.line.clear();
        mfs_meta::op::write_op(self.now, op, &outcome, &mut self.line);
        self.sink.push(version, self.now, &self.line);
        self.batch.depends_on(version + 1);
        Ok(outcome)
    }
}

/// Exclusive access to the state, in which operations are applied and logged.
pub struct Txn<'a> {
    state: WriteState<'a>,
    lines: Lines<'a>,
}

impl<'a> Txn<'a> {
    /// Opens an exclusive section at time `now`. The batch depends on what it finds there and on every line
    /// that it writes.
    pub fn new(
        access: &'a dyn Accessible,
        sink: &'a dyn LineSink,
        now: u32,
        batch: &'a Batch,
    ) -> Txn<'a> {
        let state = access.write();
        batch.depends_on(state.meta.version());
        Txn {
            state,
            lines: Lines {
                sink,
                now,
                line: batch.line.take(),
                batch,
            },
        }
    }

    /// Time of this section, seconds; the time stamp of its lines.
    #[must_use]
    pub fn now(&self) -> u32 {
        self.lines.now
    }

    /// The metadata, to ask.
    #[must_use]
    pub fn meta(&self) -> &Metadata {
        &self.state.meta
    }

    /// The live state.
    pub fn live(&mut self) -> &mut Live {
        &mut self.state.live
    }

    /// Both at once.
    pub fn parts(&mut self) -> (&Metadata, &mut Live) {
        let state = &mut *self.state;
        (&state.meta, &mut state.live)
    }

    /// The chunks' soft state, to ask.
    #[must_use]
    pub fn chunk_state(&self) -> &ChunkState {
        &self.state.chunks
    }

    /// The chunks' soft state, for what changes neither metadata nor copies.
    pub fn chunk_state_mut(&mut self) -> &mut ChunkState {
        &mut self.state.chunks
    }

    /// Lets `work` change the state of chunks. What it asks for (commands, answers to requests that waited) is
    /// on its way when this returns, and requests that may go on have been executed again.
    pub fn with_chunks<T>(&mut self, work: impl FnOnce(&mut Chunks, &mut dyn Log) -> T) -> T {
        let done = self.with_chunks_unsettled(work);
        chunks::settle(self);
        done
    }

    /// As [`Txn::with_chunks`], for the code that settles.
    pub(crate) fn with_chunks_unsettled<T>(
        &mut self,
        work: impl FnOnce(&mut Chunks, &mut dyn Log) -> T,
    ) -> T {
        let state = &mut *self.state;
        let mut log = ChunkLog {
            meta: &mut state.meta,
            lines: &mut self.lines,
        };
        work(&mut state.chunks.machine, &mut log)
    }

    /// Number that the next line gets: a message that tells of what was done so far leaves when all lines
    /// below it are safe ([`Live::notify`]).
    #[must_use]
    pub fn version(&self) -> u64 {
        self.state.meta.version()
    }

    /// Applies an operation and logs its line.
    ///
    /// # Errors
    /// The operation's status; then nothing has changed and nothing is logged.
    pub fn apply(&mut self, op: &Op<'_>) -> Result<Outcome, Status> {
        if let Op::FreeInodes { delay, .. } = *op {
            self.forget_freed(delay);
        }
        self.lines.apply(&mut self.state.meta, op)
    }

    /// Live state must not go over to the next object that gets an inode number. It is made for objects that
    /// exist only, and this is the only way by which the number of one that is gone becomes free, so this is the
    /// one place that has to see to it.
    fn forget_freed(&mut self, delay: u32) {
        let State { meta, live, .. } = &mut *self.state;
        for inode in meta.inodes_due(self.lines.now, delay) {
            live.cache.forget(inode);
            live.append.forget(inode);
        }
    }

    /// Marks of sessions that have no line (connected, closed).
    pub fn meta_soft(&mut self) -> &mut Metadata {
        &mut self.state.meta
    }
}

impl Drop for Txn<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Half of a change may be in memory and nobody can tell which half. The log has only what is
            // whole: a crash and a recovery give the last good state, going on would not.
            tracing::error!("panic in the middle of a change: the master ends at once");
            std::process::abort();
        }
        self.lines
            .batch
            .line
            .set(std::mem::take(&mut self.lines.line));
    }
}

/// The metadata and its log as the management of chunks sees them.
struct ChunkLog<'t, 'a> {
    meta: &'t mut Metadata,
    lines: &'t mut Lines<'a>,
}

impl Log for ChunkLog<'_, '_> {
    fn meta(&self) -> &Metadata {
        self.meta
    }

    fn now(&self) -> u32 {
        self.lines.now
    }

    fn durable(&self) -> u64 {
        self.lines.sink.durable()
    }

    fn apply(&mut self, op: &Op<'_>) -> Result<Outcome, Status> {
        self.lines.apply(self.meta, op)
    }
}
