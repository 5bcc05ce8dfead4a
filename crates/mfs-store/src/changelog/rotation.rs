//! Rotation: the numbers of the changelog files go up by one (spec 01 §9.2).

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::block::Input;
use super::names::Family;
use super::probe::probe;
use crate::fs::{Fs, ignore_missing};

/// Most files that are kept beyond `BACK_LOGS` because no image has their changes. At one rotation an hour
/// that is more than a year without a stored image.
const MOST_EXTRA: u32 = 10_000;

/// A file could not be renamed, removed or the directory not be brought to the disk. Files with higher numbers
/// have moved already; nothing is lost and the next rotation goes on.
#[derive(Debug, Error)]
#[error("can't rotate {}: {source}", path.display())]
pub struct RotateError {
    /// The file or directory.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A completed rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// Files that are kept although `BACK_LOGS` says no, because no stored image has their changes.
    pub extra: u32,
}

/// Renames `changelog.(i-1).mfs` to `changelog.i.mfs` for i = `back_logs` … 1; with 0 the current file is
/// removed. Missing files are not renamed, so that there may be gaps.
///
/// `stored` is the version of the newest image that is safe on disk: a file with changes from that number on is
/// still needed for a recovery. It is kept beyond `back_logs`, where the original drops it and the changes with
/// it if images cannot be written for long enough.
///
/// # Errors
/// See [`RotateError`].
pub fn rotate(
    fs: &dyn Fs,
    dir: &Path,
    back_logs: u32,
    stored: u64,
) -> Result<Rotated, RotateError> {
    let name = |i: u32| dir.join(Family::Master.file_name(i));
    let failed = |path: PathBuf| move |source| RotateError { path, source };
    let mut top = back_logs;
    while top < back_logs.saturating_add(MOST_EXTRA) && is_needed(&name(top), stored) {
        top += 1;
    }
    if top == 0 {
        ignore_missing(fs.unlink(&name(0))).map_err(failed(name(0)))?;
    }
    for i in (1..=top).rev() {
        // A failure ends it: the next rename would replace the file that has not moved.
        ignore_missing(fs.rename(&name(i - 1), &name(i))).map_err(failed(name(i - 1)))?;
    }
    fs.sync_dir(dir).map_err(failed(dir.to_owned()))?;
    Ok(Rotated {
        extra: top - back_logs,
    })
}

/// Whether a file holds changes that no stored image has. One that cannot be read may.
fn is_needed(path: &Path, stored: u64) -> bool {
    match probe(&Input::File(path.to_owned())) {
        Ok(probe) if probe.size == 0 => false,
        Ok(probe) => probe.last.is_none_or(|last| last >= stored),
        Err(e) => e.kind() != io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::OsFs;
    use crate::fs::faulty::{Call, Fault, FaultyFs};

    fn put(dir: &Path, i: u32, text: &str) {
        std::fs::write(dir.join(Family::Master.file_name(i)), text).unwrap();
    }

    fn files(dir: &Path) -> Vec<(u32, String)> {
        (0..20)
            .filter_map(|i| {
                let text = std::fs::read_to_string(dir.join(Family::Master.file_name(i))).ok()?;
                Some((i, text))
            })
            .collect()
    }

    fn expect(of: &[(u32, &str)]) -> Vec<(u32, String)> {
        of.iter().map(|&(i, text)| (i, text.to_owned())).collect()
    }

    #[test]
    fn numbers_go_up_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        put(dir, 0, "5: c\n");
        put(dir, 1, "3: b\n");
        put(dir, 2, "1: a\n");
        assert_eq!(rotate(&OsFs, dir, 2, 6).unwrap(), Rotated { extra: 0 });
        assert_eq!(files(dir), expect(&[(1, "5: c\n"), (2, "3: b\n")]));
        // An hour without changes leaves a gap.
        rotate(&OsFs, dir, 2, 6).unwrap();
        assert_eq!(files(dir), expect(&[(2, "5: c\n")]));
        rotate(&OsFs, dir, 0, 6).unwrap();
        assert_eq!(files(dir), expect(&[(2, "5: c\n")]));
        put(dir, 0, "6: d\n");
        rotate(&OsFs, dir, 0, 7).unwrap();
        assert_eq!(files(dir), expect(&[(2, "5: c\n")]));
    }

    #[test]
    fn files_that_no_image_has_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        put(dir, 0, "5: c\n");
        put(dir, 1, "3: b\n4: b\n");
        put(dir, 2, "1: a\n");
        assert_eq!(rotate(&OsFs, dir, 1, 4).unwrap(), Rotated { extra: 1 });
        assert_eq!(files(dir), expect(&[(1, "5: c\n"), (2, "3: b\n4: b\n")]));
        put(dir, 0, "6: d\n");
        assert_eq!(rotate(&OsFs, dir, 0, 4).unwrap(), Rotated { extra: 3 });
        assert_eq!(
            files(dir),
            expect(&[(1, "6: d\n"), (2, "5: c\n"), (3, "3: b\n4: b\n")])
        );
        // Garbage might be needed.
        put(dir, 0, "\0\0\0\0");
        assert_eq!(rotate(&OsFs, dir, 0, 100).unwrap(), Rotated { extra: 1 });
        assert_eq!(files(dir)[0], (1, "\0\0\0\0".to_owned()));
    }

    #[test]
    fn a_failed_rename_replaces_nothing() {
        for n in 0..4 {
            let dir = tempfile::tempdir().unwrap();
            let dir = dir.path();
            for i in 0..3 {
                put(dir, i, &format!("{}: x\n", 9 - i));
            }
            let fs = FaultyFs::default();
            fs.die_at(n);
            rotate(&fs, dir, 3, 100).unwrap_err();
            let mut texts: Vec<_> = files(dir).into_iter().map(|(_, text)| text).collect();
            texts.sort();
            assert_eq!(texts, ["7: x\n", "8: x\n", "9: x\n"], "failing at {n}");
        }
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), 0, "1: x\n");
        let fs = FaultyFs::default();
        fs.plan(Call::Rename, &[Fault::Errno(13)]);
        let error = rotate(&fs, dir.path(), 1, 9).unwrap_err();
        assert_eq!(error.source.raw_os_error(), Some(13));
        rotate(&fs, dir.path(), 1, 9).unwrap();
        assert_eq!(files(dir.path()), expect(&[(1, "1: x\n")]));
    }
}
