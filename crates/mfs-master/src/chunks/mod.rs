//! Chunks and chunkservers of a running master (spec 05).
//!
//! [`mfs_chunks::Chunks`] decides; this module is its driver. It lives under the state's lock: every report of a
//! chunkserver, request of a client and tick goes through [`Txn::with_chunks`], after which `settle` executes
//! again what may go on and sends what was asked for. Commands and answers carry the version of the metadata that
//! they depend on and leave when all lines below it are safe. Deletions that cannot be undone are asked for only
//! when their lines are on the disk; the [clock](ChunkClock) has them brought there.

mod changed;
mod clock;
mod config;
mod connection;
mod requests;
mod servers;

use mfs_chunks::{Action, Chunks, Unfinished};
use mfs_config::{MasterConfig, Topology};
use mfs_meta::Metadata;
use mfs_proto::Version;
use mfs_proto::client::{Reply, UNSOLICITED};

use crate::master::Txn;

pub use clock::ChunkClock;
pub(crate) use connection::serve;
pub use requests::Requests;
pub(crate) use requests::connection_closed;
pub use servers::Links;

/// What the state's lock protects about chunks.
pub struct ChunkState {
    /// Copies, servers, jobs, waiting requests.
    pub machine: Chunks,
    /// Connections of chunkservers.
    pub links: Links,
    /// Requests of clients that wait.
    pub requests: Requests,
}

impl ChunkState {
    /// The state after a load: no chunkserver is connected.
    #[must_use]
    pub fn new(
        config: &MasterConfig,
        topology: &Topology,
        meta: &Metadata,
        unfinished: Unfinished,
        now: u32,
    ) -> ChunkState {
        ChunkState {
            machine: Chunks::new(
                config::options(config),
                config::topology(topology),
                meta,
                unfinished,
                now,
                seed(),
            ),
            links: Links::default(),
            requests: Requests::default(),
        }
    }

    /// Takes new settings.
    pub(crate) fn set_config(&mut self, config: &MasterConfig) {
        self.machine.set_config(config::options(config));
    }

    /// Takes a new topology.
    pub(crate) fn set_topology(&mut self, topology: &Topology) {
        self.machine.set_topology(config::topology(topology));
    }
}

/// Where the random choices begin: anything that differs from run to run.
fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| std::process::id().into())
}

/// Executes again the requests that may go on, and sends off commands and answers.
pub(crate) fn settle(txn: &mut Txn<'_>) {
    requests::close_greedy(txn);
    loop {
        let effects = txn.chunk_state_mut().machine.take_effects();
        for effect in effects {
            match effect.action {
                Action::Command { server, command } => {
                    let links = &mut txn.chunk_state_mut().links;
                    links.command(server, &command, effect.version);
                }
                Action::Finished { request, result } => {
                    requests::finished(txn, request, result, effect.version);
                }
                Action::InvalidateChunkCaches => invalidate_caches(txn, effect.version),
            }
        }
        let resumed = txn.with_chunks_unsettled(|chunks, log| chunks.resume(log));
        let Some(request) = resumed else {
            return;
        };
        requests::resume(txn, request);
    }
}

/// Tells all mounts to forget where chunks are (spec 04 §8).
fn invalidate_caches(txn: &mut Txn<'_>, version: u64) {
    let mut frame = Vec::new();
    Reply::InvalidateChunkCache.encode(UNSOLICITED, Version::MASTER, &mut frame);
    txn.live()
        .notify_all_if(Version::gets_invalidate_chunk_cache, &frame, version);
}
