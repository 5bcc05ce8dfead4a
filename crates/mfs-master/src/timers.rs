//! Periodic jobs (spec 01 §6, 07 §7.14): one table of name, period, offset and function.
//!
//! A job with period P and offset o is due at the wall-clock times ≡ o (mod P) counted from the
//! epoch, so "hourly" means the full UTC hour whenever the master was started. Where the original
//! drops the events that fell into a stall or a forward jump of the clock, here they run late, once:
//! a master that was suspended over the full hour still rotates its changelog and writes its image.
//!
//! When the clock goes back, a job waits for the grid point it waited for before, so that nothing is
//! done twice; only when that is more than two periods away (the clock was set back far) it takes
//! up the new grid.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The longest the runner sleeps, so that it notices soon when the wall clock is set.
const MAX_SLEEP: Duration = Duration::from_millis(500);

/// A delay beyond this is worth a line in the log: the process or the machine stood still.
const STALL: Duration = Duration::from_secs(5);

/// A job that keeps the others waiting for longer than this is named in the log.
const SLOW_JOB: Duration = Duration::from_secs(1);

/// A line of the table of periodic jobs. `C` is what the functions work on.
pub struct Job<C: ?Sized> {
    /// Name for the log.
    pub name: &'static str,
    /// Period; at least a millisecond.
    pub every: Duration,
    /// Where in the period it runs.
    pub offset: Duration,
    /// What to do. It must return soon: longer work belongs into a task of its own.
    pub run: fn(&C, &Tick),
}

/// When a job runs, and for which grid points. Times are durations since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// The earliest grid point that has not been served.
    pub first: Duration,
    /// The latest grid point that is not in the future; equals `first` unless some were missed.
    pub last: Duration,
    /// The time at which the scheduler looked.
    pub now: Duration,
}

impl Tick {
    /// Whether one of the grid points served by this run is a multiple of `period`: asks for a
    /// rarer event of a job with offset 0, such as "every second hour", without losing it when
    /// several grid points are served by one late run.
    #[must_use]
    pub fn covers_multiple_of(&self, period: Duration) -> bool {
        let Some(period) = non_zero_millis(period) else {
            return false;
        };
        let last_multiple = millis(self.last) / period * period;
        last_multiple >= millis(self.first)
    }
}

/// When each job is due next: the pure part, without a clock.
#[derive(Debug)]
pub struct Schedule {
    entries: Vec<Entry>,
}

/// All in milliseconds since the epoch.
#[derive(Debug)]
struct Entry {
    every: u64,
    offset: u64,
    next: u64,
}

/// A job that is due: its place in the table and the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Index in the table.
    pub job: usize,
    /// What it is due for.
    pub tick: Tick,
}

impl Schedule {
    /// A schedule of jobs given as (period, offset), each due at its first grid point after `now`.
    pub fn new(jobs: impl IntoIterator<Item = (Duration, Duration)>, now: Duration) -> Schedule {
        let now = millis(now);
        let entries = jobs
            .into_iter()
            .map(|(every, offset)| {
                let every = non_zero_millis(every).unwrap_or(1);
                let offset = millis(offset) % every;
                let mut entry = Entry {
                    every,
                    offset,
                    next: 0,
                };
                entry.next = entry.last_at(now).map_or(offset, |last| last + every);
                entry
            })
            .collect();
        Schedule { entries }
    }

    /// The time at which something is due next; `None` for an empty table.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        let next = self.entries.iter().map(|entry| entry.next).min()?;
        Some(Duration::from_millis(next))
    }

    /// Takes everything that is due at `now` into `due` (emptied first), in order of time, at equal
    /// times in order of the table.
    pub fn take(&mut self, now: Duration, due: &mut Vec<Due>) {
        due.clear();
        let now_millis = millis(now);
        for (job, entry) in self.entries.iter_mut().enumerate() {
            if let Some((first, last)) = entry.take(now_millis) {
                let tick = Tick {
                    first: Duration::from_millis(first),
                    last: Duration::from_millis(last),
                    now,
                };
                due.push(Due { job, tick });
            }
        }
        due.sort_by_key(|due| due.tick.first);
    }
}

impl Entry {
    /// The latest grid point that is not after `now`.
    fn last_at(&self, now: u64) -> Option<u64> {
        let since_first = now.checked_sub(self.offset)?;
        Some(now - since_first % self.every)
    }

    fn take(&mut self, now: u64) -> Option<(u64, u64)> {
        if self.next > now {
            if self.next - now > self.every.saturating_mul(2) {
                self.next = self
                    .last_at(now)
                    .map_or(self.offset, |last| last + self.every);
            }
            return None;
        }
        let first = self.next;
        let last = self.last_at(now)?;
        self.next = last + self.every;
        Some((first, last))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 4)
}

fn non_zero_millis(time: Duration) -> Option<u64> {
    Some(millis(time)).filter(|&millis| millis > 0)
}

/// The wall clock, as time since the epoch.
#[must_use]
pub fn wall_clock() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Runs the jobs of a table on `context` for ever, by the given clock ([`wall_clock`] outside
/// tests). Drop the future to end it.
pub async fn run<C: ?Sized>(jobs: &[Job<C>], context: &C, clock: impl Fn() -> Duration) {
    let mut schedule = Schedule::new(jobs.iter().map(|job| (job.every, job.offset)), clock());
    let mut due = Vec::new();
    loop {
        let now = clock();
        schedule.take(now, &mut due);
        if let Some(late) = due
            .iter()
            .map(|due| now.saturating_sub(due.tick.first))
            .max()
            && late > STALL
        {
            tracing::warn!(
                seconds = late.as_secs(),
                jobs = due.len(),
                "the process or the clock stood still: periodic jobs run late"
            );
        }
        for &Due { job, ref tick } in &due {
            let Some(job) = jobs.get(job) else { continue };
            let started = Instant::now();
            (job.run)(context, tick);
            let took = started.elapsed();
            if took > SLOW_JOB {
                tracing::warn!(job = job.name, ?took, "a periodic job took long");
            }
        }
        let until_next = schedule.next().map(|next| next.saturating_sub(clock()));
        tokio::time::sleep(until_next.unwrap_or(MAX_SLEEP).min(MAX_SLEEP)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use proptest::prelude::*;

    const HOUR: u64 = 3600;
    // 2024-11-21 04:00:00 UTC: a full hour, and an even one of the epoch.
    const FULL_HOUR: u64 = 1_732_161_600;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn schedule(jobs: &[(u64, u64)], now: u64) -> Schedule {
        let jobs = jobs
            .iter()
            .map(|&(every, offset)| (secs(every), secs(offset)));
        Schedule::new(jobs, secs(now))
    }

    /// (job, first, last) of everything that is due.
    fn take(schedule: &mut Schedule, now: u64) -> Vec<(usize, u64, u64)> {
        let mut due = Vec::new();
        schedule.take(secs(now), &mut due);
        due.iter()
            .map(|due| (due.job, due.tick.first.as_secs(), due.tick.last.as_secs()))
            .collect()
    }

    #[test]
    fn jobs_are_on_the_grid_of_the_epoch_not_of_the_start() {
        let mut schedule = schedule(&[(HOUR, 0), (HOUR, 30), (60, 0)], FULL_HOUR + 61);
        assert_eq!(schedule.next(), Some(secs(FULL_HOUR + 120)));
        assert_eq!(take(&mut schedule, FULL_HOUR + 119), []);
        let minute = (2, FULL_HOUR + 120, FULL_HOUR + 120);
        assert_eq!(take(&mut schedule, FULL_HOUR + 120), [minute]);
        assert_eq!(take(&mut schedule, FULL_HOUR + 120), []);
        assert_eq!(take(&mut schedule, FULL_HOUR + 121), []);
    }

    #[test]
    fn equal_times_run_in_the_order_of_the_table() {
        let mut schedule = schedule(&[(HOUR, 0), (60, 0), (HOUR, 0)], FULL_HOUR - 1);
        assert_eq!(
            take(&mut schedule, FULL_HOUR),
            [0, 1, 2].map(|job| (job, FULL_HOUR, FULL_HOUR))
        );
    }

    #[test]
    fn missed_events_run_late_and_once_in_order_of_time() {
        let mut schedule = schedule(&[(HOUR, 30), (HOUR, 0), (1, 0)], FULL_HOUR - 10);
        let now = FULL_HOUR + HOUR + 100;
        assert_eq!(
            take(&mut schedule, now),
            [
                (2, FULL_HOUR - 9, now),
                (1, FULL_HOUR, FULL_HOUR + HOUR),
                (0, FULL_HOUR + 30, FULL_HOUR + HOUR + 30),
            ]
        );
        assert_eq!(take(&mut schedule, now), []);
        assert_eq!(schedule.next(), Some(secs(now + 1)));
    }

    #[test]
    fn a_small_step_back_over_a_served_event_repeats_nothing() {
        let mut schedule = schedule(&[(HOUR, 0)], FULL_HOUR - 1);
        assert_eq!(take(&mut schedule, FULL_HOUR).len(), 1);
        assert_eq!(take(&mut schedule, FULL_HOUR - 30), []);
        assert_eq!(take(&mut schedule, FULL_HOUR), []);
        assert_eq!(schedule.next(), Some(secs(FULL_HOUR + HOUR)));
    }

    #[test]
    fn a_step_back_within_the_period_keeps_the_event() {
        let mut schedule = schedule(&[(HOUR, 0)], FULL_HOUR + 100);
        assert_eq!(take(&mut schedule, FULL_HOUR + 50), []);
        assert_eq!(schedule.next(), Some(secs(FULL_HOUR + HOUR)));
    }

    #[test]
    fn a_clock_set_back_far_does_not_stop_the_jobs() {
        let mut schedule = schedule(&[(60, 5)], FULL_HOUR);
        let past = FULL_HOUR - 30 * 24 * HOUR;
        assert_eq!(take(&mut schedule, past), []);
        assert_eq!(schedule.next(), Some(secs(past + 5)));
        assert_eq!(take(&mut schedule, past + 6), [(0, past + 5, past + 5)]);
    }

    #[test]
    fn rarer_events_survive_a_stall() {
        let tick = |first, last| Tick {
            first: secs(first),
            last: secs(last),
            now: secs(last + 7),
        };
        let two_hours = secs(2 * HOUR);
        let even = FULL_HOUR;
        assert!(tick(even, even).covers_multiple_of(two_hours));
        assert!(!tick(even + HOUR, even + HOUR).covers_multiple_of(two_hours));
        assert!(tick(even - HOUR, even).covers_multiple_of(two_hours));
        assert!(tick(even, even + HOUR).covers_multiple_of(two_hours));
        assert!(!tick(even, even).covers_multiple_of(Duration::ZERO));
    }

    proptest! {
        /// Whatever the clock does, a run serves only grid points of the past, never one twice as
        /// long as the clock does not go back, and the next event is at most two periods away.
        #[test]
        fn the_grid_is_kept(
            every in 1u64..5000,
            offset in 0u64..10_000,
            start in 0u64..10_000_000,
            steps in proptest::collection::vec(-20_000i64..20_000, 1..100),
        ) {
            let offset_on_grid = offset % every;
            let mut schedule = Schedule::new(
                [(Duration::from_millis(every), Duration::from_millis(offset))],
                Duration::from_millis(start),
            );
            let mut now = start;
            let mut served = None;
            let mut due = Vec::new();
            for step in steps {
                now = now.saturating_add_signed(step);
                if step < 0 {
                    served = None;
                }
                schedule.take(Duration::from_millis(now), &mut due);
                for due in &due {
                    let first = millis(due.tick.first);
                    let last = millis(due.tick.last);
                    prop_assert_eq!(last % every, offset_on_grid);
                    prop_assert_eq!(first % every, offset_on_grid);
                    prop_assert!(first <= last && last <= now && now - last < every);
                    prop_assert!(served.is_none_or(|served| served < first));
                    served = Some(last);
                }
                let next = millis(schedule.next().unwrap());
                prop_assert!(next > now && next - now <= 2 * every);
                prop_assert_eq!(next % every, offset_on_grid);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_runner_follows_the_clock() {
        let origin = tokio::time::Instant::now();
        let clock = || secs(FULL_HOUR) - Duration::from_millis(1500) + origin.elapsed();
        type Seen = Mutex<Vec<(&'static str, Duration)>>;
        let seen = Seen::default();
        let jobs: [Job<Seen>; 2] = [
            Job {
                name: "second",
                every: secs(1),
                offset: Duration::ZERO,
                run: |seen, tick| seen.lock().push(("second", tick.last)),
            },
            Job {
                name: "hour",
                every: secs(HOUR),
                offset: Duration::ZERO,
                run: |seen, tick| seen.lock().push(("hour", tick.last)),
            },
        ];
        let _ = tokio::time::timeout(Duration::from_millis(2600), run(&jobs, &seen, clock)).await;
        assert_eq!(
            *seen.lock(),
            [
                ("second", secs(FULL_HOUR - 1)),
                ("second", secs(FULL_HOUR)),
                ("hour", secs(FULL_HOUR)),
                ("second", secs(FULL_HOUR + 1)),
            ]
        );
    }
}
