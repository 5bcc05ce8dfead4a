//! The time of lines and answers: seconds that never decrease (spec 08 I16).

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall clock in seconds. When the system's clock is set back, it stands still until that has caught up: time
/// stamps of changelog lines must not decrease.
#[derive(Debug)]
pub struct Clock {
    latest: AtomicU32,
}

impl Clock {
    /// A clock that is not behind `latest`, the time stamp of the last line.
    #[must_use]
    pub fn starting_at(latest: u32) -> Clock {
        Clock {
            latest: AtomicU32::new(latest),
        }
    }

    /// Seconds since the epoch.
    pub fn now(&self) -> u32 {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
            });
        let latest = self.latest.load(Ordering::Relaxed);
        // Most calls fall into a second that was seen already: no write, no contention.
        if wall > latest {
            self.latest.fetch_max(wall, Ordering::Relaxed).max(wall)
        } else {
            latest
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_back() {
        let clock = Clock::starting_at(0);
        let first = clock.now();
        assert!(first > 1_600_000_000);
        assert!(clock.now() >= first);
        let ahead = Clock::starting_at(first + 1000);
        assert_eq!(ahead.now(), first + 1000);
    }
}
