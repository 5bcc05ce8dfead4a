//! Lines through the gate, with disks that fail.

use super::*;
use crate::fs::faulty::{Call, Fault, FaultyFs};
use std::sync::atomic::AtomicUsize;

const ENOSPC: i32 = 28;
const OPTIONS: JournalOptions = JournalOptions {
    mode: SaveMode::Written,
    preserve_seconds: 100,
};

fn setup(options: JournalOptions) -> (tempfile::TempDir, FaultyFs, Journal) {
    let dir = tempfile::tempdir().unwrap();
    let fs = FaultyFs::default();
    let writer = Writer::with_fs(dir.path(), 5, Arc::new(fs.clone()));
    (dir, fs, Journal::new(writer, 1, options))
}

fn log(dir: &tempfile::TempDir, i: u32) -> String {
    std::fs::read_to_string(dir.path().join(format!("changelog.{i}.mfs"))).unwrap_or_default()
}

fn lines(numbers: std::ops::RangeInclusive<u64>) -> String {
    numbers.map(|n| format!("{n}: 5|IDLE()\n")).collect()
}

fn push(journal: &Journal, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        journal.push(n, 5, b"5|IDLE()");
    }
}

#[test]
fn one_write_for_many_lines() {
    let (dir, fs, journal) = setup(OPTIONS);
    push(&journal, 1..=10);
    assert_eq!((journal.safe(), log(&dir, 0)), (1, String::new()));
    assert_eq!(journal.commit(5).unwrap(), 11);
    assert_eq!(log(&dir, 0), lines(1..=10));
    assert!(matches!(journal.try_commit(11), TryCommit::Done(11)));
    assert_eq!(fs.calls().iter().filter(|c| **c == Call::Write).count(), 1);
    assert!(!fs.calls().contains(&Call::Sync));
    journal.set_options(JournalOptions {
        mode: SaveMode::Synced,
        ..OPTIONS
    });
    push(&journal, 11..=11);
    journal.commit(12).unwrap();
    assert!(fs.calls().contains(&Call::Sync));
}

#[test]
fn nothing_is_safe_before_it_is_written() {
    let (dir, fs, journal) = setup(OPTIONS);
    push(&journal, 1..=2);
    fs.plan(
        Call::Write,
        &[Fault::Short(9), Fault::Errno(ENOSPC), Fault::Errno(ENOSPC)],
    );
    let error = journal.commit(2).unwrap_err();
    assert_eq!(error.kind, io::ErrorKind::StorageFull);
    assert_eq!((journal.safe(), log(&dir, 0)), (1, String::new()));
    assert_eq!(journal.pending_bytes(), lines(1..=2).len());
    assert!(journal.failure().is_some());
    // The next try is not made at once, so that a full disk costs no time.
    let calls = fs.calls().len();
    assert!(matches!(journal.try_commit(2), TryCommit::Failed(_)));
    assert_eq!(fs.calls().len(), calls);
    assert_eq!(
        journal.read(1, 10).unwrap().len(),
        0,
        "followers get safe lines only"
    );
    // Lines that come meanwhile keep their order.
    push(&journal, 3..=4);
    let deadline = Instant::now() + Duration::from_secs(60);
    assert_eq!(journal.commit_until(5, deadline).unwrap(), 5);
    assert_eq!(log(&dir, 0), lines(1..=4));
    assert!(journal.failure().is_none());
    assert_eq!(journal.read(1, 10).unwrap().len(), 4);
    assert_eq!(journal.pending_bytes(), 0);
}

#[test]
fn a_deadline_ends_the_wait() {
    let (_dir, fs, journal) = setup(OPTIONS);
    push(&journal, 1..=1);
    fs.die_at(0);
    let error = journal.commit_until(2, Instant::now()).unwrap_err();
    assert!(error.since <= Instant::now());
    assert_eq!(error.pending, lines(1..=1).len());
}

#[test]
fn a_rotation_keeps_its_place_among_the_lines() {
    let (dir, fs, journal) = setup(OPTIONS);
    push(&journal, 1..=3);
    journal.push_rotation(5, 1);
    push(&journal, 4..=5);
    // The lines before it are written, those behind it not.
    fs.plan(Call::Write, &[Fault::Pass, Fault::Errno(ENOSPC)]);
    journal.commit(6).unwrap_err();
    assert_eq!(journal.safe(), 4);
    push(&journal, 6..=6);
    journal.push_rotation(5, 4);
    push(&journal, 7..=7);
    journal
        .commit_until(8, Instant::now() + Duration::from_secs(60))
        .unwrap();
    assert_eq!(
        (log(&dir, 2), log(&dir, 1), log(&dir, 0)),
        (lines(1..=3), lines(4..=6), lines(7..=7))
    );
    // Without lines it is done by a flush.
    journal.push_rotation(5, 8);
    assert_eq!(journal.flush().unwrap(), 8);
    assert_eq!((log(&dir, 1), log(&dir, 0)), (lines(7..=7), String::new()));
    // One that fails leaves everything working.
    push(&journal, 8..=8);
    journal.commit(9).unwrap();
    fs.plan(Call::Rename, &[Fault::Errno(5)]);
    journal.push_rotation(5, 8);
    push(&journal, 9..=9);
    journal.commit(10).unwrap();
    assert_eq!(log(&dir, 0), lines(8..=9));
}

fn count(fs: &FaultyFs, call: Call) -> usize {
    fs.calls().iter().filter(|c| **c == call).count()
}

#[test]
fn a_sync_makes_durable_what_a_write_does_not() {
    let (dir, fs, journal) = setup(OPTIONS);
    for (name, text) in [
        ("changelog.1.mfs", ""),
        ("metadata.mfs.back", "x"),
        ("mfsmaster.lock", ""),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    push(&journal, 1..=3);
    journal.commit(4).unwrap();
    assert_eq!((journal.safe(), journal.durable()), (4, 0));
    // A line that is not even written yet is written first.
    push(&journal, 4..=4);
    assert_eq!(journal.sync().unwrap(), 5);
    assert_eq!((journal.safe(), journal.durable()), (5, 5));
    assert_eq!(log(&dir, 0), lines(1..=4));
    // Both changelogs and the image that were found, the file that is written, and the names.
    assert_eq!(
        (count(&fs, Call::Sync), count(&fs, Call::SyncDir)),
        (4, 1),
        "{:?}",
        fs.calls()
    );
    push(&journal, 5..=5);
    assert_eq!((journal.sync().unwrap(), count(&fs, Call::Sync)), (6, 5));
    // What was rotated away has been synced by that.
    push(&journal, 6..=6);
    journal.push_rotation(5, 1);
    push(&journal, 7..=7);
    assert_eq!((journal.sync().unwrap(), count(&fs, Call::Sync)), (8, 7));
    assert_eq!((log(&dir, 1), log(&dir, 0)), (lines(1..=6), lines(7..=7)));
}

#[test]
fn synced_lines_are_durable_once_the_files_of_the_start_are() {
    let (_dir, fs, journal) = setup(JournalOptions {
        mode: SaveMode::Synced,
        ..OPTIONS
    });
    push(&journal, 1..=1);
    journal.commit(2).unwrap();
    assert_eq!(journal.durable(), 0, "an older file may be missing");
    journal.sync().unwrap();
    let syncs = count(&fs, Call::Sync);
    push(&journal, 2..=2);
    journal.commit(3).unwrap();
    assert_eq!((journal.durable(), count(&fs, Call::Sync)), (3, syncs + 1));
    // The lines are written again after a failure, so nothing is in doubt.
    fs.plan(Call::Sync, &[Fault::Errno(5)]);
    push(&journal, 3..=3);
    journal.commit(4).unwrap_err();
    assert_eq!((journal.safe(), journal.durable()), (3, 3));
    journal
        .commit_until(4, Instant::now() + Duration::from_secs(60))
        .unwrap();
    assert_eq!(journal.durable(), 4);
}

#[test]
fn after_a_failed_sync_only_an_image_helps() {
    for call in [Call::Sync, Call::SyncDir] {
        let (_dir, fs, journal) = setup(OPTIONS);
        journal.sync().unwrap();
        push(&journal, 1..=2);
        journal.commit(3).unwrap();
        fs.plan(call, &[Fault::Errno(5)]);
        assert!(matches!(journal.sync(), Err(SyncError::Sync(_))));
        // The system says yes to the next one, but has forgotten what it could not write.
        push(&journal, 3..=3);
        let calls = fs.calls().len();
        let error = journal.sync().unwrap_err();
        assert!(matches!(error, SyncError::Doubt { below: 3 }), "{error}");
        assert_eq!((fs.calls().len(), journal.durable()), (calls, 1));
        journal.image_stored(2);
        assert_eq!(journal.durable(), 2);
        journal.sync().unwrap_err();
        // Clients are served all the time.
        journal.commit(4).unwrap();
        journal.image_stored(3);
        assert_eq!(journal.durable(), 3);
        assert_eq!(journal.sync().unwrap(), 4);
    }
}

#[test]
fn whatever_breaks_the_log_off_is_in_doubt() {
    // A rotation whose sync fails, or whose names cannot be changed.
    for call in [Call::Sync, Call::Rename, Call::SyncDir] {
        let (_dir, fs, journal) = setup(OPTIONS);
        push(&journal, 1..=1);
        journal.sync().unwrap();
        push(&journal, 2..=2);
        journal.push_rotation(5, 1);
        fs.plan(call, &[Fault::Errno(5)]);
        assert_eq!(journal.flush().unwrap(), 3);
        journal.sync().unwrap_err();
        assert_eq!(journal.durable(), 2, "{call:?}");
        journal.image_stored(3);
        assert_eq!(journal.sync().unwrap(), 3);
    }
    // Another file in the place of the log.
    let (dir, _, journal) = setup(OPTIONS);
    push(&journal, 1..=1);
    journal.commit(2).unwrap();
    let path = dir.path().join("changelog.0.mfs");
    std::fs::rename(&path, dir.path().join("elsewhere")).unwrap();
    push(&journal, 2..=2);
    let error = journal.sync().unwrap_err();
    assert!(matches!(error, SyncError::Doubt { below: 3 }), "{error}");
    // A log that was unlinked and made again is synced as a whole.
    let (dir, fs, journal) = setup(OPTIONS);
    push(&journal, 1..=1);
    journal.sync().unwrap();
    let syncs = count(&fs, Call::Sync);
    std::fs::remove_file(dir.path().join("changelog.0.mfs")).unwrap();
    push(&journal, 2..=2);
    journal.commit(3).unwrap();
    assert_eq!(count(&fs, Call::Sync), syncs + 1);
    assert_eq!((journal.durable(), journal.sync().unwrap()), (2, 3));
    // A state from an image that is not in the directory.
    let (_dir, _, journal) = setup(OPTIONS);
    journal.loaded_from_elsewhere();
    journal.sync().unwrap_err();
    journal.image_stored(1);
    assert_eq!(journal.sync().unwrap(), 1);
}

#[test]
fn what_cannot_be_written_is_not_durable() {
    let (_dir, fs, journal) = setup(OPTIONS);
    journal.sync().unwrap();
    push(&journal, 1..=1);
    fs.plan(Call::Write, &[Fault::Errno(ENOSPC)]);
    assert!(matches!(journal.sync(), Err(SyncError::Commit(_))));
    assert_eq!((journal.safe(), journal.durable()), (1, 1));
    let deadline = Instant::now() + Duration::from_secs(60);
    journal.commit_until(2, deadline).unwrap();
    assert_eq!(journal.sync().unwrap(), 2);
}

#[test]
fn many_threads() {
    let (dir, fs, journal) = setup(OPTIONS);
    fs.plan(
        Call::Write,
        &[Fault::Pass, Fault::Short(100), Fault::Errno(ENOSPC)],
    );
    let next = Mutex::new(1u64);
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let journal = journal.with_listener(Box::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let mine = {
                        let mut next = next.lock();
                        journal.push(*next, 5, b"5|IDLE()");
                        *next += 1;
                        *next
                    };
                    let deadline = Instant::now() + Duration::from_secs(60);
                    assert!(journal.commit_until(mine, deadline).unwrap() >= mine);
                    assert!(journal.safe() >= mine);
                }
            });
        }
        // Syncs go on beside the writes, and promise no more than was written when they began.
        scope.spawn(|| {
            while journal.durable() < 2001 {
                let safe = journal.safe();
                if let Ok(durable) = journal.sync() {
                    assert!(durable >= safe && durable <= journal.safe());
                }
            }
        });
    });
    assert_eq!(journal.safe(), 2001);
    assert_eq!(journal.durable(), 2001);
    assert_eq!(log(&dir, 0), lines(1..=2000));
    assert!(told.load(Ordering::Relaxed) > 0);
    let kept = journal.read(1, usize::MAX).unwrap();
    assert_eq!(kept.len(), 2000);
    assert!(kept.iter().all(|(_, text)| text == b"5|IDLE()"));
}

#[test]
#[should_panic(expected = "out of order")]
fn numbers_have_no_gaps() {
    let (_dir, _, journal) = setup(OPTIONS);
    journal.push(2, 5, b"5|IDLE()");
}
