//! The program as a user meets it: options, exit codes, what it leaves on disk (spec 01 §16).

use std::os::unix::fs::MetadataExt;

use crate::common::{Dir, comparable, recorded};
use mfs_store::lock::{DirLock, MASTER_LOCK};

fn crashed() -> Dir {
    Dir::copy_of(&recorded("mfs-store/tests/data/lifecycle/crashed-master"))
}

#[test]
fn usage_and_version() {
    let dir = Dir::new();
    for args in [
        &["-?"][..],
        &[],
        &["-a", "-m", "x"],
        &["-o", "x"],
        &["-Q"],
        &["-a", "--until", "never"],
    ] {
        let output = dir.run(args);
        assert_eq!(output.code, Some(1), "{args:?}");
        assert!(
            output.stderr.contains("mfsmetarestore [-bifx[x]]"),
            "{args:?}: {}",
            output.stderr
        );
        assert_eq!(output.stdout, "");
    }
    let output = dir.run(&["-v"]);
    assert_eq!((output.code, &output.stdout[..9]), (Some(0), "version: "));
    assert_eq!(dir.run(&["--help"]).code, Some(0));
}

#[test]
fn a_directory() {
    let dir = crashed();
    let before = dir.files();
    let output = dir.run(&["-a", "-x", "-d", "."]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stdout, "");
    for text in [
        "using changelog file: ./changelog.0.mfs (changes: 13 - 17)",
        "skipping changelog file: ./changelog.1.mfs (changes: 1 - 12)",
        "5 changes applied, metadata version 18",
        "store metadata into file: ./metadata.mfs",
    ] {
        assert!(output.stderr.contains(text), "{text}: {}", output.stderr);
    }
    assert_eq!(dir.version("metadata.mfs"), 18);
    let mut after = dir.files();
    after.remove("metadata.mfs");
    assert!(after.remove("unfinished.18.mfs").is_some());
    assert_eq!(after, before);
    let output = dir.run(&["-a", "-d", "."]);
    assert_eq!(output.code, Some(0));
    assert!(output.stderr.contains("nothing to do"), "{}", output.stderr);
}

#[test]
fn owner_and_mode() {
    let dir = crashed();
    assert_eq!(dir.run(&["-a", "-d", "."]).code, Some(0));
    let owner = std::fs::metadata(dir.path()).unwrap();
    for name in ["metadata.mfs", MASTER_LOCK] {
        let meta = std::fs::metadata(dir.path().join(name)).unwrap();
        assert_eq!(
            (meta.uid(), meta.gid()),
            (owner.uid(), owner.gid()),
            "{name}"
        );
        assert_eq!(meta.mode() & 0o111, 0);
    }
}

#[test]
fn a_locked_directory_is_refused() {
    let dir = crashed();
    // Reading the lock file would give the lock back: the snapshots are taken before and after.
    let before = dir.files();
    let lock = DirLock::acquire(dir.path(), MASTER_LOCK).unwrap();
    let output = dir.run(&["-a", "-d", "."]);
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("already locked"),
        "{}",
        output.stderr
    );
    let output = dir.run(&["-m", "metadata.mfs.back", "-o", "metadata.mfs"]);
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("running master"),
        "{}",
        output.stderr
    );
    drop(lock);
    assert_eq!(dir.files(), before);
    assert_eq!(dir.run(&["-a", "-d", "."]).code, Some(0));
}

#[test]
fn nothing_to_restore() {
    let dir = Dir::new();
    assert_eq!(dir.run(&["-a", "-d", "."]).code, Some(1));
    assert_eq!(dir.run(&["-a", "-d", "missing"]).code, Some(1));
    let dir = crashed();
    for i in 0..2 {
        std::fs::remove_file(dir.path().join(format!("changelog.{i}.mfs"))).unwrap();
    }
    let output = dir.run(&["-a", "-d", "."]);
    assert_eq!(
        (output.code, output.stderr.trim()),
        (Some(1), "changelog files not found")
    );
}

#[test]
fn files_in_any_order() {
    let dir = crashed();
    let before = dir.files();
    for logs in [
        ["changelog.0.mfs", "changelog.1.mfs"],
        ["changelog.1.mfs", "changelog.0.mfs"],
    ] {
        let output = dir.run(&["-m", "metadata.mfs.back.1", "-o", "out", logs[0], logs[1]]);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        assert_eq!(dir.version("out"), 18);
    }
    // Without a changelog the image is rewritten.
    let output = dir.run(&["-m", "metadata.mfs.back", "-o", "copy"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(
        comparable(&dir.dump("copy")),
        comparable(&dir.dump("metadata.mfs.back"))
    );
    let mut after = dir.files();
    after.remove("out");
    after.remove("copy");
    // What images leave open stands beside them.
    for file in ["unfinished.13.mfs", "unfinished.18.mfs"] {
        assert!(after.remove(file).is_some(), "{file}");
    }
    assert_eq!(after, before);
}

#[test]
fn errors_in_files() {
    let dir = crashed();
    let run = |args: &[&str]| {
        let before = dir.files();
        let output = dir.run(args);
        assert_eq!(output.code, Some(1), "{args:?}");
        assert_eq!(dir.files(), before, "{args:?}");
        output.stderr
    };
    let message = run(&[
        "-m",
        "metadata.mfs.back",
        "-o",
        "out",
        "changelog.0.mfs",
        "missing",
    ]);
    assert!(
        message.contains("can't open changelog file: missing"),
        "{message}"
    );
    let message = run(&["-m", "metadata.mfs.back.1", "-o", "out", "changelog.0.mfs"]);
    assert!(
        message.contains(
            "hole in change files (entries from image:9 to changelog.0.mfs:12 are missing)"
        ),
        "{message}"
    );
    let message = run(&["-m", "changelog.0.mfs", "-o", "out"]);
    assert!(
        message.contains("can't read metadata from file: changelog.0.mfs"),
        "{message}"
    );
    let message = run(&["-m", "metadata.mfs.back", "-o", "missing/out"]);
    assert!(
        message.contains("can't write metadata to file: missing/out"),
        "{message}"
    );
    let message = run(&[
        "-m",
        "metadata.mfs.back",
        "-o",
        "changelog.0.mfs",
        "changelog.0.mfs",
    ]);
    assert!(message.contains("is an input, too"), "{message}");
    let message = run(&["-m", "metadata.mfs.back.1", "-o", "metadata.mfs.back"]);
    assert!(message.contains("--force"), "{message}");
    let message = run(&["-m", "metadata.mfs.back", "-o", "changelog.1.mfs"]);
    assert!(message.contains("--force"), "{message}");
    assert_eq!(
        dir.run(&[
            "--force",
            "-m",
            "metadata.mfs.back.1",
            "-o",
            "metadata.mfs.back"
        ])
        .code,
        Some(0)
    );
    assert_eq!(dir.version("metadata.mfs.back"), 9);
}

#[test]
fn the_best_state() {
    let dir = crashed();
    let log = String::from_utf8(dir.files()["changelog.0.mfs"].clone()).unwrap();
    let kept: Vec<&str> = log
        .lines()
        .filter(|line| !line.starts_with("15:"))
        .collect();
    dir.put("changelog.0.mfs", (kept.join("\n") + "\n").as_bytes());
    let before = dir.files();
    let output = dir.run(&["-a", "-d", "."]);
    assert_eq!(output.code, Some(1));
    assert!(
        output
            .stderr
            .contains("changelog.0.mfs:15 to changelog.0.mfs:15 are missing"),
        "{}",
        output.stderr
    );
    assert_eq!(dir.files(), before);
    let output = dir.run(&["-a", "-b", "-d", "."]);
    assert_eq!(output.code, Some(0));
    assert!(
        output.stderr.contains("left out: 2 changes (16 - 17)"),
        "{}",
        output.stderr
    );
    assert_eq!(dir.version("metadata.mfs"), 15);
}

#[test]
fn until() {
    let dir = crashed();
    let run = |args: &[&str], version| {
        let output = dir.run(args);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        let file = if args[0] == "-a" {
            "metadata.mfs"
        } else {
            "out"
        };
        assert_eq!(dir.version(file), version);
    };
    run(
        &[
            "-m",
            "metadata.mfs.back",
            "-o",
            "out",
            "--until",
            "15",
            "changelog.0.mfs",
        ],
        15,
    );
    run(
        &[
            "-m",
            "metadata.mfs.back.1",
            "-o",
            "out",
            "--force",
            "--until",
            "11",
            "changelog.1.mfs",
        ],
        11,
    );
    // The time of a line is within.
    let log = String::from_utf8(dir.files()["changelog.0.mfs"].clone()).unwrap();
    let time = |number: u64| {
        let line = log
            .lines()
            .find(|l| l.starts_with(&format!("{number}:")))
            .unwrap();
        line.split([' ', '|'])
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let number = (13..17).find(|&n| time(n) < time(n + 1)).unwrap();
    let point = format!("@{}", time(number));
    let logs = ["changelog.0.mfs", "changelog.1.mfs"];
    run(
        &[
            "-m",
            "metadata.mfs.back",
            "-o",
            "out",
            "--until",
            &point,
            logs[0],
            logs[1],
            "--force",
        ],
        number + 1,
    );
    run(&["-a", "-d", ".", "--until", "15"], 15);
    let output = dir.run(&["-a", "-d", ".", "--until", "11"]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert_eq!(dir.version("metadata.mfs"), 15);
    let output = dir.run(&["-a", "-d", ".", "--until", "11", "--force"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stderr.contains("is newer (version 13)"),
        "{}",
        output.stderr
    );
    assert_eq!(dir.version("metadata.mfs"), 11);
    let output = dir.run(&["-a", "-d", ".", "--until", "99"]);
    assert!(
        output.stderr.contains("changelogs end at version 18"),
        "{}",
        output.stderr
    );
}

#[test]
fn dump() {
    let dir = crashed();
    let output = dir.run(&["-m", "metadata.mfs.back"]);
    assert_eq!(output.code, Some(0));
    assert!(output.stdout.starts_with("# version: 13 ; fileid: 0x"));
    assert!(
        output
            .stdout
            .lines()
            .any(|l| l.starts_with("NODE|k:D|i:         1|"))
    );
    dir.put("new", b"MFSM NEW");
    assert_eq!(dir.run(&["-m", "new"]).stdout, "empty file\n");
    let image = dir.files()["metadata.mfs.back"].clone();
    dir.put("cut", &image[..image.len() - 1]);
    let output = dir.run(&["-m", "cut"]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("wrong ending"), "{}", output.stderr);
}
