//! One thread for the time-outs and NOPs of all connections (spec 04 §2.5).
//!
//! It takes neither the state's lock nor part in the runtime, so that clients hear from the master also while
//! everything else waits for a long operation or for the changelog.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::link::{Limits, Link, Party};
use crate::master::Master;

/// Length of a tick.
const TICK: Duration = Duration::from_millis(250);

/// Each connection is looked at once in so many ticks: a second.
const ROUND: u32 = 4;

/// Whoever takes nothing for 30 s while something waits for it ends.
const STUCK: i32 = 30 * ROUND as i32;

/// Clients (spec 04 §2.5): a NOP after a second without sending, the end after more than 10 s without receiving.
const CLIENT: Limits = Limits {
    idle: ROUND as i32,
    silent: 10 * ROUND as i32,
    stuck: STUCK,
};

fn limits_of(link: &Link) -> Limits {
    match link.party() {
        Party::Client => CLIENT,
        Party::Chunkserver => chunkserver(link.timeout()),
    }
}

/// Chunkservers (spec 05 §1.3): a NOP after a third of the time-out without sending, the end after all of it
/// without receiving.
fn chunkserver(timeout: u32) -> Limits {
    let ticks = i32::try_from(timeout.saturating_mul(ROUND)).unwrap_or(i32::MAX);
    Limits {
        // Looked at once a round: it must not come a round too late.
        idle: (ticks / 3 - ROUND as i32).max(1),
        silent: ticks,
        stuck: STUCK,
    }
}

/// The running thread; it ends when this is dropped.
pub struct KeepAlive {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl KeepAlive {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(master: Arc<Master>) -> io::Result<KeepAlive> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new()
            .name("keepalive".into())
            .spawn({
                let stop = Arc::clone(&stop);
                move || run(&master, &stop)
            })?;
        Ok(KeepAlive {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn run(master: &Master, stop: &AtomicBool) {
    let connections = &master.connections;
    let mut links = Vec::new();
    let mut next = Instant::now() + TICK;
    loop {
        while let Some(rest) = next.checked_duration_since(Instant::now())
            && !rest.is_zero()
        {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            std::thread::park_timeout(rest);
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // After a stall of the process nobody is charged for it: the clock goes on from where it stood.
        next = (next + TICK).max(Instant::now());
        let tick = connections
            .tick
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1);
        let slot = u64::from(tick % ROUND);
        if slot == 0 {
            connections.complaints().sweep();
        }
        connections.collect(&mut links, |link| link.id() % u64::from(ROUND) == slot);
        for link in links.drain(..) {
            link.keep_alive(tick, &limits_of(&link));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunkservers_choose_their_time_out() {
        let usual = chunkserver(10);
        assert_eq!((usual.idle, usual.silent), (9, 40));
        let longest = chunkserver(65_535);
        assert_eq!(longest.silent, 262_140);
        assert!(longest.idle < longest.silent / 3);
        assert!(chunkserver(0).idle > 0);
    }
}
