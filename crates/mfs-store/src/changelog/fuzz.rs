//! Entry for fuzzing the way from files to lines.

use mfs_meta::Status;
use mfs_meta::op::{Line, Outcome, Tolerance};

use super::block::Input;
use super::merge::Merge;
use super::replay::{OnError, Replay, ReplayOptions, replay};

/// Accepts every line, as long as its number is the one that is due.
struct Counter(u64);

impl Replay for Counter {
    fn version(&self) -> u64 {
        self.0
    }

    fn apply(&mut self, line: &Line<'_>) -> Result<Outcome, Status> {
        assert_eq!(line.version, self.0);
        self.0 += 1;
        Ok(line.recorded.unwrap_or(Outcome::None))
    }

    fn end(&self) -> Result<(), Status> {
        Ok(())
    }

    fn set_tolerance(&mut self, tolerance: Tolerance) -> Tolerance {
        tolerance
    }
}

/// Merges arbitrary bytes as changelog files (a byte 0xFF separates files) and replays them onto a state that
/// accepts everything.
///
/// # Panics
/// When lines come out of order, or when the state does not end where the report says.
pub fn fuzz_changelog(data: &[u8]) {
    let files = data.split(|&b| b == 0xff).take(4).enumerate();
    let inputs = files
        .map(|(i, bytes)| Input::Bytes(format!("changelog.{i}.mfs").into(), bytes.into()))
        .collect();
    let mut state = Counter(1);
    let options = ReplayOptions {
        on_error: OnError::KeepBest,
        ..ReplayOptions::default()
    };
    let report = replay(
        Merge::new(inputs, 1, true),
        &mut state,
        &options,
        &mut |_| (),
    );
    let report = report.expect("only a wanted version ends it");
    assert_eq!(report.end, state.0);
    assert_eq!(report.end - report.start, report.applied);
}
