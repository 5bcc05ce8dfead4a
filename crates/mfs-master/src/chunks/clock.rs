//! The clock of chunk management: ticks of 20 ms, and seconds (spec 05 §14).

use std::sync::Arc;
use std::time::{Duration, Instant};

use mfs_chunks::TICKS_PER_SECOND;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::changed;
use crate::master::Master;

const SECOND: Duration = Duration::from_secs(1);

/// The running clock. It stops when this is dropped.
pub struct ChunkClock {
    task: JoinHandle<()>,
}

impl ChunkClock {
    /// Starts the clock. Must be called inside the runtime.
    #[must_use]
    pub fn start(master: Arc<Master>) -> ChunkClock {
        ChunkClock {
            task: tokio::spawn(run(master)),
        }
    }

    /// Stops the clock; nothing ticks any more when this returns.
    pub async fn stop(mut self) {
        self.task.abort();
        // It has been cancelled, or a panic has been reported.
        let _ = (&mut self.task).await;
    }
}

impl Drop for ChunkClock {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ticks that were missed are left out: after a stall everything goes on where it stood. While lines cannot be
/// written time stands still for chunks.
async fn run(master: Arc<Master>) {
    let mut ticks = interval(SECOND / TICKS_PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut next_second = Instant::now() + SECOND;
    loop {
        ticks.tick().await;
        if master.gate.is_failing() {
            continue;
        }
        let now = Instant::now();
        let second = now >= next_second;
        if second {
            next_second = (next_second + SECOND).max(now);
        }
        let sync = master.change(|txn| {
            changed::look(txn);
            txn.with_chunks(|chunks, log| {
                if second {
                    chunks.second(log);
                }
                chunks.tick(log);
                chunks.sync_wanted()
            })
        });
        if let Some(version) = sync {
            master.gate.sync(version);
        }
    }
}
