//! Every recorded replay case gives the image that MooseFS 3.0.117 restored, by the original's own
//! `mfsmetadump`; the lines that it refuses are refused.
//!
//! How the cases were recorded: `crates/mfs-meta/tests/data/replay/README.md`.

#![allow(clippy::unwrap_used, reason = "a test may")]

use mfs_meta::{LoadOptions, Loader, Metadata};
use mfs_store::changelog::{Input, Merge, ReplayError, ReplayOptions, replay};
use mfs_store::image::{self, ReadOptions, WriteOptions};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every lock time of the cases is long ago or after 2090, so any time between does (data README).
const NOW: u32 = 1_700_000_000;

/// Cases in which ours is right and the original is not, and what is different.
const BETTER: &[(&str, &str)] = &[
    (
        "defect-file-without-final-newline",
        "the original ignores the whole file, ours applies its complete lines",
    ),
    (
        "defect-snapshot-gid-list",
        "the original drops the first digit of group numbers",
    ),
    (
        "f05-id-goes-back-ends-file",
        "the original drops the rest of the file without a word, ours refuses",
    ),
    (
        "f06-id-jump-10000-ends-file",
        "the original drops the rest of the file without a word, ours refuses",
    ),
];

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mfs-meta/tests/data/replay");
    let mut cases: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_dir())
        .collect();
    cases.sort();
    cases
}

fn name(case: &Path) -> String {
    case.file_name().unwrap().to_string_lossy().into_owned()
}

fn start(case: &Path) -> Metadata {
    let path = case.join("metadata.mfs.back");
    if !path.exists() {
        return Metadata::new(7, 0);
    }
    let mut loader = Loader::new(LoadOptions::default());
    let options = ReadOptions {
        ignore: false,
        now: NOW,
        sessions_mfs: None,
    };
    image::read_path(&path, &options, &mut loader, &mut |_| {}).unwrap();
    loader.finish().unwrap().meta
}

fn restore(case: &Path) -> Result<Metadata, Box<ReplayError>> {
    let mut meta = start(case);
    let logs: Vec<Input> = fs::read_dir(case)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| {
            p.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("changelog")
        })
        .map(Input::File)
        .collect();
    let merge = Merge::new(logs, meta.version(), false);
    replay(merge, &mut meta, &ReplayOptions::default(), &mut |_| {})?;
    Ok(meta)
}

fn dump(meta: &Metadata, path: &Path) -> Vec<String> {
    let file = File::create(path).unwrap();
    let options = WriteOptions {
        now: NOW,
        sync: false,
        cancel: None,
    };
    image::write_file(&meta.view(), &file, path, &options).unwrap();
    let output = Command::new("mfsmetadump")
        .arg(path)
        .output()
        .expect("mfsmetadump of the package moosefs-netdump or moosefs-master must be installed");
    assert!(output.status.success(), "{}", path.display());
    sorted(&output.stdout)
}

fn sorted(dump: &[u8]) -> Vec<String> {
    let mut lines: Vec<String> = dump
        .split(|&b| b == b'\n')
        .map(|l| l.escape_ascii().to_string())
        .collect();
    lines.sort();
    lines
}

/// Takes out what is about locks. The original stores locks of files that their session has not open and
/// then refuses the image (spec 02 §25); ours leaves them out.
fn split_locks(dump: Vec<String>) -> (Vec<String>, Vec<String>) {
    let (locks, rest): (Vec<String>, Vec<String>) = dump
        .into_iter()
        .filter(|l| !l.contains("header: FLCK") && !l.contains("header: PLCK"))
        .partition(|l| l.starts_with("FLOCK|") || l.starts_with("POSIXLOCK|"));
    (rest, locks)
}

/// Locks held without the file being open.
fn unopened_locks(meta: &Metadata) -> usize {
    let stored =
        |session, inode| meta.session(session).is_some() && meta.is_open_by(session, inode);
    (0..=meta.max_inode() + 1000)
        .map(|inode| {
            let flocks = meta.flocks(inode).iter();
            let posix = meta.posix_locks(inode).iter();
            flocks.filter(|l| !stored(l.session, inode)).count()
                + posix
                    .filter(|o| !stored(o.session, inode))
                    .map(|o| o.ranges.len())
                    .sum::<usize>()
        })
        .sum()
}

fn difference(ours: &[String], theirs: &[String]) -> String {
    let only = |a: &[String], b: &[String], sign: &str| -> Vec<String> {
        let set: std::collections::HashSet<&String> = b.iter().collect();
        a.iter()
            .filter(|l| !set.contains(l))
            .take(6)
            .map(|l| format!("{sign} {l}"))
            .collect()
    };
    [only(theirs, ours, "-"), only(ours, theirs, "+")]
        .concat()
        .join("\n")
}

#[test]
fn cases_restore_to_the_originals_image() {
    let dir = tempfile::tempdir().unwrap();
    let (mut compared, mut wrong) = (0, Vec::new());
    for case in cases() {
        let name = name(&case);
        let expected = case.join("expected.dump.txt");
        if !expected.exists() || BETTER.iter().any(|(n, _)| *n == name) {
            continue;
        }
        compared += 1;
        match restore(&case) {
            Err(e) => wrong.push(format!("{name}: {e}")),
            Ok(meta) => {
                let (ours, our_locks) = split_locks(dump(&meta, &dir.path().join(&name)));
                let (theirs, their_locks) = split_locks(sorted(&fs::read(&expected).unwrap()));
                if ours != theirs {
                    wrong.push(format!("{name}:\n{}", difference(&ours, &theirs)));
                }
                let kept = our_locks.iter().all(|l| their_locks.contains(l));
                if !kept || our_locks.len() + unopened_locks(&meta) != their_locks.len() {
                    wrong.push(format!(
                        "{name}, locks:\n{}",
                        difference(&our_locks, &their_locks)
                    ));
                }
            }
        }
    }
    assert!(compared > 45, "only {compared} cases compared");
    assert!(
        wrong.is_empty(),
        "{} of {compared} differ\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn refused_cases_are_refused() {
    let mut refused = 0;
    for case in cases() {
        let name = name(&case);
        if !name.starts_with("e-") && !name.starts_with("f05") && !name.starts_with("f06") {
            continue;
        }
        refused += 1;
        let error = restore(&case)
            .err()
            .unwrap_or_else(|| panic!("{name} was accepted"));
        let text = error.to_string();
        assert!(
            text.contains("changelog") || text.contains("by the last lines"),
            "{name}: no place in {text:?}"
        );
    }
    assert!(refused > 45, "only {refused} cases");
}

#[test]
fn logs_of_healthy_originals_are_accepted() {
    for case in cases().iter().filter(|c| name(c).starts_with("defect-")) {
        let meta = restore(case).unwrap_or_else(|e| panic!("{}: {e}", name(case)));
        match &name(case)[..] {
            "defect-snapshot-gid-list" => {
                let wanted = 1234;
                let copies = (1..=meta.max_inode())
                    .filter_map(|i| meta.node(i))
                    .filter(|n| n.gid() == wanted)
                    .count();
                assert!(copies > 0, "no copy has group {wanted}");
            }
            "defect-posix-waiter-before-release" => {
                for inode in 1..=meta.max_inode() {
                    assert!(meta.posix_locks(inode).is_empty(), "inode {inode}");
                }
            }
            _ => {}
        }
    }
}
