//! Directories and changelogs that the original wrote are restored to what the original makes of them.

use std::path::PathBuf;

use crate::common::{Dir, comparable, recorded};

/// Where the original loses lines in silence, we refuse (spec 01 §19/2).
const REFUSED: [&str; 2] = ["f05-id-goes-back-ends-file", "f06-id-jump-10000-ends-file"];

fn cases(prefix: &str) -> Vec<(String, PathBuf)> {
    let root = recorded("mfs-meta/tests/data/replay");
    let mut cases: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|e| e.unwrap())
        .filter(|e| e.path().is_dir())
        .map(|e| (e.file_name().to_string_lossy().into_owned(), e.path()))
        .filter(|(name, _)| name.starts_with(prefix))
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "{prefix}");
    cases
}

fn directory(case: &std::path::Path) -> Dir {
    let dir = Dir::copy_of(case);
    if !case.join("metadata.mfs.back").exists() {
        dir.put("metadata.mfs", b"MFSM NEW");
    }
    dir
}

#[track_caller]
fn assert_restored(name: &str, dir: &Dir, expected: &[u8]) {
    let output = dir.run(&["-a", "-d", "."]);
    assert_eq!(output.code, Some(0), "{name}: {}", output.stderr);
    let (got, expected) = (comparable(&dir.dump("metadata.mfs")), comparable(expected));
    let missing: Vec<_> = expected
        .iter()
        .filter(|line| !got.contains(line))
        .take(5)
        .collect();
    let extra: Vec<_> = got
        .iter()
        .filter(|line| !expected.contains(line))
        .take(5)
        .collect();
    assert!(
        got == expected,
        "{name}:\nmissing {missing:#?}\ntoo much {extra:#?}"
    );
}

#[track_caller]
fn assert_refused(name: &str, dir: &Dir) {
    let before = dir.files();
    let output = dir.run(&["-a", "-d", "."]);
    assert_eq!(output.code, Some(1), "{name}: {}", output.stderr);
    assert!(!output.stderr.is_empty());
    assert_eq!(dir.files(), before, "{name}");
}

fn check(prefix: &str) {
    for (name, case) in cases(prefix) {
        let dir = directory(&case);
        if REFUSED.contains(&&*name) || case.join("expected.error.txt").exists() {
            assert_refused(&name, &dir);
        } else {
            assert_restored(
                &name,
                &dir,
                &std::fs::read(case.join("expected.dump.txt")).unwrap(),
            );
        }
    }
}

#[test]
fn every_operation() {
    check("m");
}

#[test]
fn files_and_lines() {
    check("f");
}

#[test]
fn lines_that_must_be_refused() {
    check("e-");
}

#[test]
fn random_lines() {
    check("rnd-");
}

#[test]
fn recorded_clusters() {
    check("live-");
}

/// Logs of healthy masters that the original cannot replay or misreads.
#[test]
fn what_the_original_gets_wrong() {
    for (name, case) in cases("defect-") {
        let dir = directory(&case);
        let expected = std::fs::read(case.join("expected.dump.txt"));
        if name == "defect-snapshot-gid-list" {
            let expected = String::from_utf8(expected.unwrap()).unwrap();
            let mended = expected.replace("|g:       234|", "|g:      1234|");
            assert_ne!(mended, expected);
            assert_restored(&name, &dir, mended.as_bytes());
            continue;
        }
        let output = dir.run(&["-a", "-d", "."]);
        assert_eq!(output.code, Some(0), "{name}: {}", output.stderr);
        let last = |text: &[u8]| {
            let lines = text
                .split(|&b| b == b'\n')
                .filter(|l| !l.is_empty())
                .count();
            lines as u64
        };
        if name == "defect-file-without-final-newline" {
            // Its last line is not complete.
            assert_eq!(dir.version("metadata.mfs"), 7);
            assert!(output.stderr.contains("not complete"), "{}", output.stderr);
        } else if !case.join("metadata.mfs.back").exists() {
            let log = std::fs::read(case.join("changelog.0.mfs")).unwrap();
            assert_eq!(dir.version("metadata.mfs"), last(&log) + 1, "{name}");
        }
        if name == "defect-posix-waiter-before-release" {
            let dump = String::from_utf8(dir.dump("metadata.mfs")).unwrap();
            assert!(!dump.contains("POSIXLOCK"), "{dump}");
        }
    }
}

#[test]
fn recorded_directories() {
    for name in ["crashed-master", "metalogger"] {
        let data = recorded("mfs-store/tests/data/lifecycle");
        let dir = Dir::copy_of(&data.join(name));
        let before = dir.files();
        let expected = data.join(format!("expected/{name}-restored.dump.txt"));
        assert_restored(name, &dir, &std::fs::read(expected).unwrap());
        let mut after = dir.files();
        after.remove("metadata.mfs");
        after.retain(|name, _| !name.starts_with("unfinished."));
        assert_eq!(after, before, "{name}");
    }
}
