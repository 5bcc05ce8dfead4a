//! The chunk loop: what happens each tick and each second (spec 05 §14, §17).

use crate::effect::Log;
use crate::job::Visit;
use crate::queues::{QUEUES, prio};
use crate::servers::Removal;
use crate::state::{Chunks, TICKS_PER_SECOND};

/// Rows that a tick sweeps for copies on servers that are gone: some 3 ms if all of them need a decision.
const SWEEP_ROWS: u32 = 30_000;
/// Part of a tick's chunks that is reserved for each queue (spec 05 §14.3).
const RESERVES: [f64; QUEUES] = [1.0, 0.1, 0.1, 0.01, 0.05, 0.01, 0.3, 0.3];
/// Chunks of one queue for deletions that are put back one after the other before a tick leaves the queue alone:
/// the servers have as many deletions as they may have.
const MOST_PUT_BACK: u32 = 100;
/// Loops between two adaptations of the deletion limit.
const ADAPTATION: u64 = 16;

fn coprime(mut a: u64, mut b: u64) -> bool {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

impl Chunks {
    /// What is due each tick of 20 ms.
    pub fn tick(&mut self, log: &mut dyn Log) {
        self.tick += 1;
        self.sweep(log, SWEEP_ROWS);
        self.complete_since = if self.has_all_data() {
            Some(self.complete_since.unwrap_or(self.tick))
        } else {
            None
        };
        self.file_loop_tick(log);
        self.undo_walk_tick(log);
        if self.scan.started == 0 {
            self.begin_scan(log);
        }
        if !self.may_do_jobs(log.now()) || log.meta().chunk_count() == 0 {
            return;
        }
        let most = self.config.loop_max_cps.div_ceil(TICKS_PER_SECOND) as usize;
        self.durable_tick(log);
        self.stranded_tick(log);
        self.run_queues(log, most);
        self.run_scan(log, most);
    }

    /// What is due each second.
    pub fn second(&mut self, log: &mut dyn Log) {
        self.seconds += 1;
        self.servers_second(log);
        self.stranded_second();
        self.waiting_second(log);
        self.backoffs.expire(self.tick);
        let now = log.now();
        self.holds.retain(|_, until| *until >= now);
        self.resolve_unfinished(log);
    }

    fn run_queues(&mut self, log: &mut dyn Log, most: usize) {
        let mut n = 0;
        for (queue, reserve) in RESERVES.iter().enumerate() {
            n = n.min((most as f64 * (1.0 - reserve)) as usize);
            let queue = queue as u8;
            let mut put_back = 0;
            // What is put back now has its turn in the next tick.
            for _ in 0..self.queues.len(queue) {
                if n >= most || (queue >= prio::OVERGOAL && put_back >= MOST_PUT_BACK) {
                    break;
                }
                let Some(row) = self.dequeue(queue) else {
                    break;
                };
                n += 1;
                self.job(log, row, Visit::Queue);
                if self.copies.queue(row) == Some(queue) {
                    put_back += 1;
                } else {
                    put_back = 0;
                }
            }
        }
    }

    fn run_scan(&mut self, log: &mut dyn Log, most: usize) {
        let ticks = f64::from(self.config.loop_min_time) * f64::from(TICKS_PER_SECOND);
        self.scan.rest += f64::from(self.scan.rows) / ticks;
        let mut due = (self.scan.rest as usize).min(most);
        self.scan.rest = (self.scan.rest - due as f64).min(most as f64);
        while due > 0 && self.scan.position < self.scan.rows {
            let s = &self.scan;
            let at = u64::from(s.position) * u64::from(s.step) + u64::from(s.offset);
            let row = (at % u64::from(s.rows)) as u32 + 1;
            self.scan.position += 1;
            self.job(log, row, Visit::Scan);
            due -= 1;
        }
        let over = log.now() >= self.scan.started.saturating_add(self.config.loop_min_time);
        if self.scan.position >= self.scan.rows && over {
            self.end_scan(log);
            self.begin_scan(log);
        }
    }

    fn begin_scan(&mut self, log: &dyn Log) {
        let rows = log.meta().chunk_row_limit().saturating_sub(1);
        let mut step = 1;
        if rows > 2 {
            step = 1 + self.rng.below(rows as usize - 1) as u64;
            while !coprime(step, u64::from(rows)) {
                step = step % (u64::from(rows) - 1) + 1;
            }
        }
        self.scan.position = 0;
        self.scan.rows = rows;
        self.scan.step = step as u32;
        self.scan.offset = self.rng.below(rows as usize) as u32;
        self.scan.started = log.now();
        self.scan.rest = 0.0;
    }

    /// The end of a loop (spec 05 §14.5).
    fn end_scan(&mut self, log: &dyn Log) {
        self.scan.loops += 1;
        self.loop_figures
            .publish(std::mem::take(&mut self.jobs), log.now());
        if self.scan.loops.is_multiple_of(ADAPTATION) {
            let limit = &mut self.delete_limit;
            let (soft, hard) = (
                f64::from(self.config.soft_del_limit),
                f64::from(self.config.hard_del_limit),
            );
            let total = limit.held + limit.done;
            if limit.held > limit.done && total > limit.last_total {
                limit.current = (limit.current * 1.5).min(hard);
            } else if total < limit.last_total || total == 0 {
                limit.current = (limit.current / 1.5).max(soft);
            }
            (limit.held, limit.done, limit.last_total) = (0, 0, total);
        }
        for s in &mut self.servers.list {
            s.removal = match s.removal {
                Removal::Unknown => Removal::Soon,
                Removal::InProgress => Removal::WasInProgress,
                Removal::Soon | Removal::WasInProgress | Removal::Ready => Removal::Ready,
            };
        }
    }
}
