//! What the fuzzers demand, for the recorded data that they start from and for inputs that they found.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::path::{Path, PathBuf};

use mfs_store::image::{fuzz_changes, fuzz_read, fuzz_state};

/// All files below a directory whose name `wanted` recognises.
fn files(below: &str, wanted: fn(&str) -> bool) -> Vec<PathBuf> {
    let mut dirs = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(below)];
    let mut found = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if wanted(&path.file_name().unwrap().to_string_lossy()) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn recorded_images_give_states_that_survive() {
    let images = files("tests/data/images", |name| name.ends_with(".mfs"));
    assert!(images.len() > 100);
    for image in images {
        let bytes = fs::read(&image).unwrap();
        let read = std::panic::catch_unwind(|| {
            let _ = fuzz_read(&bytes);
            fuzz_state(&bytes);
        });
        assert!(read.is_ok(), "{}", image.display());
    }
}

#[test]
fn recorded_changes_give_states_that_survive() {
    let logs = files("../mfs-meta/tests/data/replay", |name| {
        name.starts_with("changelog")
    });
    assert!(logs.len() > 100);
    for log in logs {
        let bytes = fs::read(&log).unwrap();
        // Whole lines of the first part, an image in the middle, and the rest.
        let most = bytes.len().min(100_000);
        let end = bytes[..most].iter().rposition(|&b| b == b'\n').unwrap_or(0);
        let half = bytes[..end / 2]
            .iter()
            .rposition(|&b| b == b'\n')
            .unwrap_or(0);
        let text = [b"~", &bytes[..half], b"\n\n", &bytes[half..end]].concat();
        let replayed = std::panic::catch_unwind(|| fuzz_changes(&text));
        assert!(replayed.is_ok(), "{}", log.display());
    }
}

#[test]
fn snapshots_do_not_see_holes_at_the_end() {
    // The write at index 1 fails and leaves a hole. The image in between does not hold it, and the snapshot that
    // compares the files must not see it either.
    let text = "1: 5|CREATE(1,a,1,420,0,0,0,0):2\n\
                1: 5|WRITE(2,0,1,0):1\n\
                1: 5|LENGTH(2,70000000,0)\n\
                1: 5|SNAPSHOT(2,1,b,1,0,0,[0],0):3,0,0,0,0,1\n\
                1: 5|WRITE(2,1,1,0):2\n\
                1: 5|ROLLBACK(2,1,0,2)\n\n\
                1: 5|SNAPSHOT(2,1,b,1,0,0,[0],0):0,0,1,0,0,0\n\
                1: 5|CREATE(1,c,1,420,0,0,0,0):4\n";
    fuzz_changes(text.as_bytes());
}
