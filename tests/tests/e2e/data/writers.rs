//! Many writes, on two mounts at a time, and by programs that check what they have written.

use std::fs::{self, File};
use std::path::Path;

use antler_e2e::workload::Random;
use antler_e2e::{Kind, Tool, installed, real};

use super::{CHUNK, Cluster, assert_holds, assert_size, pattern, put};

both!(
    writers_on_two_mounts,
    appenders_on_two_mounts,
    fsx,
    fio,
    a_tree_of_small_files,
);

/// Two mounts write different parts of the same chunks at the same time.
fn writers_on_two_mounts(kind: Kind) {
    const PART: u64 = 100_000;
    const PARTS: u64 = 24;
    let cluster = Cluster::new(kind);
    cluster.set_goal(2, "");
    File::create(cluster.mounts[0].join("f")).expect("create");
    // Around the border of two chunks.
    let start = CHUNK - PART * PARTS / 2;
    std::thread::scope(|scope| {
        for (parity, mount) in (0..).zip(&cluster.mounts) {
            scope.spawn(move || {
                for part in (0..PARTS).filter(|part| part % 2 == parity) {
                    put(&mount.join("f"), 10 + parity, start + part * PART, PART);
                }
            });
        }
    });
    for mount in &cluster.mounts {
        assert_size(&mount.join("f"), start + PARTS * PART);
        for part in 0..PARTS {
            let place = start + part * PART;
            assert_holds(&mount.join("f"), Some(10 + part % 2), place, PART);
        }
    }
}

/// Appenders on two mounts that take a lock lose nothing and mix nothing.
fn appenders_on_two_mounts(kind: Kind) {
    const RECORDS: usize = 60;
    let cluster = Cluster::new(kind);
    cluster.set_goal(2, "");
    File::create(cluster.mounts[0].join("log")).expect("create");
    let script = "import fcntl, os, sys\n\
        path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])\n\
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)\n\
        for i in range(count):\n\
        \x20   fcntl.lockf(fd, fcntl.LOCK_EX)\n\
        \x20   record = ('%s %d ' % (name, i)).ljust(99, 'x') + '\\n'\n\
        \x20   assert os.write(fd, record.encode()) == 100\n\
        \x20   os.fsync(fd)\n\
        \x20   fcntl.lockf(fd, fcntl.LOCK_UN)\n";
    std::thread::scope(|scope| {
        for (name, mount) in ["a", "b"].iter().zip(&cluster.mounts) {
            scope.spawn(move || {
                Tool::new(real("python3"))
                    .args(["-c", script])
                    .arg(mount.join("log"))
                    .args([name, RECORDS.to_string().as_str()])
                    .run()
                    .expect(0);
            });
        }
    });
    for mount in &cluster.mounts {
        let text = fs::read_to_string(mount.join("log")).expect("read");
        assert_eq!(text.len(), 2 * RECORDS * 100);
        for name in ["a", "b"] {
            let found: Vec<usize> = text
                .lines()
                .filter_map(|line| {
                    line.strip_prefix(name)?
                        .split_whitespace()
                        .next()?
                        .parse()
                        .ok()
                })
                .collect();
            assert_eq!(found, (0..RECORDS).collect::<Vec<_>>(), "of {name}");
        }
    }
}

/// Random reads, writes, truncations and mappings of one file, each checked.
fn fsx(kind: Kind) {
    let cluster = Cluster::new(kind);
    cluster.set_goal(2, "");
    for (seed, mount) in ["7", "8"].iter().zip(&cluster.mounts) {
        Tool::new(installed("fsx", "0.3.2"))
            .args(["-q", "-N", "1500", "-S", seed, "-P", "/tmp"])
            .arg(mount.join(format!("fsx-{seed}")))
            .run()
            .expect(0);
    }
}

/// Random and sequential writes of blocks with checksums, verified.
fn fio(kind: Kind) {
    let cluster = Cluster::new(kind);
    cluster.set_goal(2, "");
    for (mount, rest) in [
        (0, ["--rw=randwrite", "--bs=4k-100k", "--bs_unaligned=1"]),
        (1, ["--rw=write", "--bs=256k", "--iodepth=4"]),
    ] {
        Tool::new(real("fio"))
            .args([
                "--name=data",
                "--size=24m",
                "--numjobs=2",
                "--ioengine=psync",
            ])
            .args([
                "--verify=crc32c",
                "--verify_fatal=1",
                "--do_verify=1",
                "--end_fsync=1",
                "--verify_state_save=0",
            ])
            .args(rest)
            .arg(format!(
                "--directory={}",
                cluster.mounts[mount].path().display()
            ))
            .arg("--randseed=5")
            .run()
            .expect(0);
    }
}

/// A tree of 2000 small files is the same through the other mount.
fn a_tree_of_small_files(kind: Kind) {
    let cluster = Cluster::new(kind);
    cluster.set_goal(2, "");
    let source = tempfile::tempdir().expect("a temporary directory");
    let mut random = Random::new(4);
    for number in 0..2000 {
        let dir = source
            .path()
            .join(format!("d{}/e{}", number % 13, number % 7));
        fs::create_dir_all(&dir).expect("mkdir");
        let length = random.below(6000);
        let bytes = pattern(number, 0, length);
        fs::write(dir.join(format!("f{number}")), bytes).expect("write");
    }
    Tool::new(real("cp"))
        .arg("-a")
        .args([source.path(), &cluster.mounts[0].join("tree")])
        .run()
        .expect(0);
    let mut compared = 0;
    compare_trees(
        source.path(),
        &cluster.mounts[1].join("tree"),
        &mut compared,
    );
    assert_eq!(compared, 2000);
}

fn compare_trees(one: &Path, other: &Path, compared: &mut usize) {
    let names = |dir: &Path| {
        let mut names: Vec<_> = fs::read_dir(dir)
            .expect("readdir")
            .map(|entry| entry.expect("readdir").file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(one), names(other));
    for name in names(one) {
        let (one, other) = (one.join(&name), other.join(&name));
        if one.is_dir() {
            compare_trees(&one, &other, compared);
        } else {
            assert!(
                fs::read(&one).expect("read") == fs::read(&other).expect("read"),
                "{} differs",
                other.display()
            );
            *compared += 1;
        }
    }
}
