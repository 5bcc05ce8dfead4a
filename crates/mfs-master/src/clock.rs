//! The time of lines and answers: seconds that never decrease (spec 08 I16).
//!
//! The clock follows the system's. When that is behind the newest time that was given out (it was set back, or an
//! earlier run of the master had a clock that was ahead), the clock goes on at half the speed until the system's
//! has caught up: it must not go back, and if it stood still, locks of chunks would not end and the trash would
//! not be emptied for as long.
//!
//! Over a restart that holds for a day ([`AHEAD_MAX`]). Times that lie further ahead come from a clock that was
//! wrong and is right now; to follow them for years would be worse than lines whose times go back once. The
//! original follows the system's clock in any case.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// A clock that is behind by more than this is worth a warning, seconds.
const TOLERANCE: u32 = 60;

/// How far the times of an earlier run may be ahead of the system's clock to be believed, seconds.
pub const AHEAD_MAX: u32 = 86_400;

/// See the module.
#[derive(Debug)]
pub struct Clock {
    latest: AtomicU32,
    /// Since when the system's clock is behind.
    lag: Mutex<Option<Lag>>,
    /// Whether it does not go at all.
    stands: bool,
}

#[derive(Debug)]
struct Lag {
    since: Instant,
    /// The time then.
    from: u32,
}

impl Clock {
    /// A clock that is not behind `latest`.
    #[must_use]
    pub fn starting_at(latest: u32) -> Clock {
        Clock {
            latest: AtomicU32::new(latest),
            lag: Mutex::default(),
            stands: false,
        }
    }

    /// A clock that always shows `time`: some lines depend on whether two requests fall into one second (`SETACL`,
    /// spec 03 §6.4), which a test against a recording must not leave to chance.
    #[must_use]
    pub fn standing_at(time: u32) -> Clock {
        Clock {
            stands: true,
            ..Clock::starting_at(time)
        }
    }

    /// The clock of a master that goes on where another one has ended; `newest` is the newest time that is known
    /// of it.
    #[must_use]
    pub fn continuing(newest: u32) -> Clock {
        Clock::continuing_at(newest, wall())
    }

    fn continuing_at(newest: u32, wall: u32) -> Clock {
        let ahead = newest.saturating_sub(wall);
        if ahead > AHEAD_MAX {
            tracing::error!(
                seconds = ahead,
                "the clock is far behind the last changes: one of both is wrong - times of changes go back"
            );
            Clock::starting_at(wall)
        } else {
            Clock::starting_at(newest)
        }
    }

    /// Seconds since the epoch.
    pub fn now(&self) -> u32 {
        let wall = wall();
        let latest = self.latest.load(Ordering::Relaxed);
        // Most calls fall into a second that was seen already: no write, no contention.
        if wall == latest || self.stands {
            latest
        } else if wall > latest {
            self.latest.fetch_max(wall, Ordering::Relaxed).max(wall)
        } else {
            let mut lag = self.lag.lock();
            self.slowly(&mut lag, wall, Instant::now())
        }
    }

    #[cold]
    fn slowly(&self, lag: &mut Option<Lag>, wall: u32, now: Instant) -> u32 {
        let latest = self.latest.load(Ordering::Relaxed);
        let slow = lag.as_ref().map(|lag| {
            let half = now.saturating_duration_since(lag.since).as_secs() / 2;
            let half = u32::try_from(half).unwrap_or(u32::MAX);
            lag.from.saturating_add(half)
        });
        match slow {
            // Less than `latest`: the system's clock was ahead of that in between.
            Some(slow) if slow >= latest => {
                self.latest.fetch_max(slow, Ordering::Relaxed).max(slow)
            }
            _ => {
                let seconds = latest.saturating_sub(wall);
                if seconds > TOLERANCE {
                    tracing::warn!(
                        seconds,
                        "the clock is behind the last change: time goes slowly until it has caught up"
                    );
                }
                *lag = Some(Lag {
                    since: now,
                    from: latest,
                });
                latest
            }
        }
    }
}

/// The system's clock.
fn wall() -> u32 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn follows_the_system() {
        let clock = Clock::starting_at(0);
        let first = clock.now();
        assert!(first > 1_600_000_000);
        assert!(clock.now() >= first);
    }

    #[test]
    fn goes_slowly_while_the_system_is_behind() {
        let ahead = wall() + 100_000;
        let clock = Clock::starting_at(ahead);
        assert_eq!(clock.now(), ahead);
        let mut lag = None;
        let start = Instant::now();
        let mut at = |seconds| {
            let now = start + Duration::from_secs(seconds);
            clock.slowly(&mut lag, ahead - 100_000, now)
        };
        assert_eq!(at(0), ahead);
        assert_eq!(at(21), ahead + 10);
        assert_eq!(at(41), ahead + 20);
        // It had caught up, and is set back once more.
        clock.latest.store(ahead + 500, Ordering::Relaxed);
        assert_eq!(at(50), ahead + 500);
        assert_eq!(at(60), ahead + 505);
    }

    #[test]
    fn times_of_an_earlier_run_are_believed_for_a_day() {
        let wall = 1_700_000_000;
        let latest = |newest| {
            let clock = Clock::continuing_at(newest, wall);
            clock.latest.load(Ordering::Relaxed)
        };
        assert_eq!(latest(wall - 5), wall - 5);
        assert_eq!(latest(wall + AHEAD_MAX), wall + AHEAD_MAX);
        assert_eq!(latest(wall + AHEAD_MAX + 1), wall);
        assert_eq!(latest(u32::MAX), wall);
    }
}
