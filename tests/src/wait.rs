//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// Longer than anything takes that is not slow on purpose, also on a small machine that has other work. Tests end
/// when what they wait for is there, so it costs time only when they fail.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How often a condition is asked.
const POLL: Duration = Duration::from_millis(5);

/// Asks `condition` until it holds or `limit` has passed; tells whether it held.
pub fn until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(POLL);
    }
}

/// Waits for `condition`; a test that waits in vain fails with `what` it waited for.
///
/// # Panics
/// When the condition does not hold within `limit`.
pub fn wait_for(what: &str, limit: Duration, condition: impl FnMut() -> bool) {
    assert!(
        until(limit, condition),
        "waited {limit:?} in vain for: {what}"
    );
}
