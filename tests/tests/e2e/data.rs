//! File data on real chunkservers: every byte, through two mounts, and where its copies are.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use antler_e2e::workload::Random;
use antler_e2e::{
    CACHES_OFF, Chunk, ChunkServer, Kind, Master, Mount, Net, Tool, chunks_of, installed, real,
    wait_for,
};

both!(
    files_of_all_sizes,
    holes_and_truncations,
    snapshots_and_appended_chunks,
    writers_on_two_mounts,
    appenders_on_two_mounts,
    fsx,
    fio,
    a_tree_of_small_files,
    goals,
    labels,
    a_server_dies,
    a_disk_is_retired,
);

const CHUNK: u64 = 64 << 20;
const BLOCK: u64 = 64 << 10;
/// What each chunkserver offers.
const DISK: u64 = 8 << 30;
/// How long the master may take to bring copies to where they should be: a turn of its loop,
/// which looks at each chunk, takes a minute.
const SETTLE: Duration = Duration::from_secs(150);

/// Three chunkservers and two mounts. The fields end in their order.
struct Cluster {
    mounts: [Mount; 2],
    servers: Vec<ChunkServer>,
    net: Net,
    // Ends last: nobody waits for it.
    _master: Master,
}

impl Cluster {
    fn new(kind: Kind) -> Self {
        Self::labelled(kind, ["A", "B", "C"])
    }

    fn labelled(kind: Kind, labels: [&str; 3]) -> Self {
        let net = Net::new();
        let mut master = Master::new(kind, &net);
        master
            .option("REPLICATIONS_DELAY_INIT", "0")
            .option("CHUNKS_LOOP_MIN_TIME", "60");
        master.start();
        let servers = labels
            .iter()
            .zip(9422..)
            .map(|(labels, port)| ChunkServer::labelled(&net, port, labels, "8GiB"))
            .collect();
        // No mount may answer from what it has written itself.
        let options = format!("{CACHES_OFF},mfscachemode=NEVER");
        let mounts = [(); 2].map(|()| Mount::with(&net, "/", &options));
        mounts[0].wait_for_space(3 * (DISK - DISK / 20));
        Self {
            mounts,
            servers,
            net,
            _master: master,
        }
    }

    /// The chunks of a file.
    fn chunks(&self, name: &str) -> Vec<Chunk> {
        chunks_of(&self.net, &[self.mounts[0].join(name)])
            .expect("mfsfileinfo")
            .remove(0)
    }

    /// Waits until every chunk of a file has exactly its copies on servers that fit, and no
    /// others.
    fn wait_for_copies(&self, name: &str, copies: usize, fits: impl Fn(&str) -> bool) {
        let mut chunks = Vec::new();
        let settled = antler_e2e::until(SETTLE, || {
            chunks = self.chunks(name);
            chunks.iter().all(|chunk| {
                chunk.valid().len() == copies
                    && chunk.copies.len() == copies
                    && chunk.valid().into_iter().all(&fits)
            })
        });
        assert!(settled, "{name}: not {copies} copies in place: {chunks:?}");
    }

    fn tool(&self, name: &str) -> Tool {
        Tool::inside(&self.net, real(name))
    }

    fn set_goal(&self, goal: usize, name: &str) {
        self.tool("mfssetgoal")
            .args(["-r", &goal.to_string()])
            .arg(self.mounts[0].join(name))
            .run()
            .expect(0);
    }
}

/// Bytes that are different in every file and place.
fn pattern(seed: u64, offset: u64, length: usize) -> Vec<u8> {
    let first = offset / 8;
    let words = length / 8 + 2;
    let mut bytes: Vec<u8> = (first..first + words as u64)
        .flat_map(|word| Random::new(seed << 40 ^ word).next_u64().to_le_bytes())
        .collect();
    bytes.drain(..(offset % 8) as usize);
    bytes.truncate(length);
    bytes
}

fn open(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .expect("open")
}

/// Writes a pattern and waits until it is on the chunkservers.
fn put(path: &Path, seed: u64, offset: u64, length: u64) {
    let file = open(path);
    let mut place = offset;
    while place < offset + length {
        let now = (offset + length - place).min(1 << 20) as usize;
        file.write_all_at(&pattern(seed, place, now), place)
            .expect("write");
        place += now as u64;
    }
    file.sync_all().expect("fsync");
}

/// Asserts that a file holds a pattern, or zeros, in a range.
#[track_caller]
fn assert_holds(path: &Path, seed: Option<u64>, offset: u64, length: u64) {
    let file = File::open(path).expect("open");
    let mut place = offset;
    while place < offset + length {
        let mut found = vec![1; (offset + length - place).min(1 << 20) as usize];
        file.read_exact_at(&mut found, place).expect("read");
        let expected = match seed {
            Some(seed) => pattern(seed, place, found.len()),
            None => vec![0; found.len()],
        };
        if let Some(at) = expected.iter().zip(&found).position(|(a, b)| a != b) {
            panic!(
                "{}: byte {} is {}, not {}",
                path.display(),
                place + at as u64,
                found[at],
                expected[at]
            );
        }
        place += found.len() as u64;
    }
}

#[track_caller]
fn assert_size(path: &Path, size: u64) {
    assert_eq!(fs::metadata(path).expect("stat").len(), size, "{path:?}");
}

/// Whole files around the borders of blocks and chunks, one large one, and what statfs and the
/// tools say of them.
fn files_of_all_sizes(kind: Kind) {
    let cluster = Cluster::new(kind);
    let [one, other] = &cluster.mounts;
    let (total, free) = one.space().expect("statfs");
    assert!(total <= 3 * DISK && free <= total, "{free} of {total}");
    cluster.set_goal(2, "");
    let sizes = [
        0,
        1,
        BLOCK - 1,
        BLOCK,
        BLOCK + 1,
        CHUNK - 1,
        CHUNK,
        CHUNK + 1,
    ];
    for (seed, size) in (1..).zip(sizes) {
        put(&one.join(format!("f{size}")), seed, 0, size);
    }
    fs::create_dir(one.join("large")).expect("mkdir");
    cluster.set_goal(1, "large");
    let large = 3 * CHUNK + 5 * BLOCK + 17;
    put(&one.join("large/f"), 99, 0, large);
    for (seed, size) in (1..).zip(sizes) {
        let name = format!("f{size}");
        assert_size(&other.join(&name), size);
        assert_holds(&other.join(&name), Some(seed), 0, size);
        let chunks = cluster.chunks(&name);
        assert_eq!(chunks.len() as u64, size.div_ceil(CHUNK), "{name}");
        cluster.wait_for_copies(&name, 2, |_| true);
        let checked = cluster
            .tool("mfscheckfile")
            .arg(other.join(&name))
            .run()
            .expect(0);
        let line = checked
            .stdout
            .lines()
            .find(|line| line.contains("with 2 copies"))
            .and_then(|line| line.split_whitespace().last()?.parse().ok());
        assert_eq!(line, (size > 0).then_some(chunks.len() as u64), "{checked}");
    }
    assert_size(&other.join("large/f"), large);
    assert_holds(&other.join("large/f"), Some(99), 0, large);
    cluster.wait_for_copies("large/f", 1, |_| true);
    let written = 2 * sizes.iter().sum::<u64>() + large;
    let mut after = free;
    wait_for("statfs to count what was written", SETTLE, || {
        after = one.space().expect("statfs").1;
        after <= free - written
    });
    assert!(
        after > free - 2 * written,
        "{free} was free, {after} is: {written} bytes were written"
    );
}

/// What was never written is zero: holes inside and before chunks, behind a truncation and
/// between a truncation and a later write.
fn holes_and_truncations(kind: Kind) {
    let cluster = Cluster::new(kind);
    let [one, other] = &cluster.mounts;
    cluster.set_goal(2, "");
    let (sparse, name) = (one.join("sparse"), other.join("sparse"));
    put(&sparse, 1, 100, 1000);
    put(&sparse, 1, 2 * CHUNK - 70_000, 140_000);
    let size = 2 * CHUNK + 70_000;
    assert_size(&name, size);
    assert_holds(&name, None, 0, 100);
    assert_holds(&name, Some(1), 100, 1000);
    assert_holds(&name, None, 1100, 2 * CHUNK - 70_000 - 1100);
    assert_holds(&name, Some(1), 2 * CHUNK - 70_000, 140_000);
    let indexes = |cluster: &Cluster| -> Vec<u32> {
        cluster.chunks("sparse").iter().map(|c| c.index).collect()
    };
    assert_eq!(indexes(&cluster), [0, 1, 2]);
    // Only holes: no chunk at all.
    File::create(one.join("hole"))
        .and_then(|file| file.set_len(3 * CHUNK))
        .expect("truncate");
    assert_eq!(cluster.chunks("hole"), []);
    assert_holds(&other.join("hole"), None, 2 * CHUNK - 1000, CHUNK);
    // Down into the first chunk, up across a border, and a write behind.
    let cut = |size| open(&one.join("sparse")).set_len(size).expect("truncate");
    cut(500);
    assert_size(&name, 500);
    assert_eq!(indexes(&cluster), [0]);
    cut(CHUNK + 5000);
    assert_size(&name, CHUNK + 5000);
    assert_holds(&name, Some(1), 100, 400);
    assert_holds(&name, None, 500, CHUNK + 4500);
    // Only who has a file open is told that a hole has become a chunk.
    let listening = File::open(&name).expect("open");
    put(&sparse, 2, CHUNK - 10, 1020);
    assert_holds(&name, Some(2), CHUNK - 10, 1020);
    drop(listening);
    assert_holds(&name, None, CHUNK + 1010, 3990);
    // To the byte, to the border of a block and of a chunk.
    for size in [
        CHUNK + 1000,
        CHUNK + 1,
        CHUNK,
        CHUNK - 1,
        BLOCK,
        BLOCK - 1,
        101,
        0,
    ] {
        cut(size);
        cut(CHUNK + BLOCK);
        // For a moment the other mount may still believe in chunks that are cut off.
        let fresh = Mount::new(&cluster.net);
        let name = fresh.join("sparse");
        assert_holds(&name, None, size, CHUNK + BLOCK - size);
        if (CHUNK - 9..CHUNK + 1010).contains(&size) {
            assert_holds(&name, Some(2), CHUNK - 10, size - (CHUNK - 10));
        }
        let left = size.clamp(100, 500) - 100;
        assert_holds(&name, Some(1), 100, left);
        cut(size);
    }
    assert_size(&name, 0);
}

/// A snapshot shares chunks until one side is written; then both have their own bytes.
/// `mfsappendchunks` shares them, too.
fn snapshots_and_appended_chunks(kind: Kind) {
    let cluster = Cluster::new(kind);
    let [one, other] = &cluster.mounts;
    cluster.set_goal(2, "");
    let size = CHUNK + 200_000;
    put(&one.join("a"), 1, CHUNK - 200_000, 400_000);
    put(&one.join("a"), 1, 0, 300_000);
    let snapshot = |from: &str, to: &str| {
        cluster
            .tool("mfsmakesnapshot")
            .args([one.join(from), one.join(to)])
            .run()
            .expect(0);
    };
    let ids = |name: &str| -> Vec<u64> { cluster.chunks(name).iter().map(|c| c.id).collect() };
    snapshot("a", "b");
    snapshot("a", "c");
    assert_eq!(ids("a"), ids("b"));
    // The snapshot, the original, by truncation; through the other mount as well.
    put(&one.join("b"), 2, 100_000, 50_000);
    put(&other.join("a"), 3, CHUNK - 1000, 2000);
    open(&other.join("c")).set_len(200_001).expect("truncate");
    for mount in [one, other] {
        assert_size(&mount.join("a"), size);
        assert_size(&mount.join("b"), size);
        assert_size(&mount.join("c"), 200_001);
        assert_holds(&mount.join("a"), Some(1), 0, 300_000);
        assert_holds(&mount.join("a"), Some(1), CHUNK - 200_000, 199_000);
        assert_holds(&mount.join("a"), Some(3), CHUNK - 1000, 2000);
        assert_holds(&mount.join("a"), Some(1), CHUNK + 1000, 199_000);
        assert_holds(&mount.join("b"), Some(1), 0, 100_000);
        assert_holds(&mount.join("b"), Some(2), 100_000, 50_000);
        assert_holds(&mount.join("b"), Some(1), 150_000, 150_000);
        assert_holds(&mount.join("b"), Some(1), CHUNK - 200_000, 400_000);
        assert_holds(&mount.join("c"), Some(1), 0, 200_001);
    }
    let [a, b, c] = ["a", "b", "c"].map(ids);
    assert!(a[0] != b[0] && a[1] != b[1] && c[0] != a[0] && c[0] != b[0]);
    cluster
        .tool("mfsappendchunks")
        .args(["all", "c", "b"].map(|name| one.join(name)))
        .run()
        .expect(0);
    assert_eq!(ids("all"), [c[0], b[0], b[1]]);
    let all = other.join("all");
    assert_size(&all, CHUNK + size);
    assert_holds(&all, Some(1), 0, 200_001);
    assert_holds(&all, None, 200_001, CHUNK - 200_001);
    put(&one.join("all"), 4, 0, 1000);
    put(&one.join("c"), 5, 0, 1000);
    assert_holds(&all, Some(4), 0, 1000);
    assert_holds(&other.join("c"), Some(5), 0, 1000);
    // Removing one owner takes nothing from the others.
    fs::remove_file(one.join("b")).expect("unlink");
    fs::remove_file(one.join("c")).expect("unlink");
    let file = File::open(&all).expect("open");
    let mut found = vec![0; 50_000];
    file.read_exact_at(&mut found, CHUNK + 100_000)
        .expect("read");
    assert_eq!(found, pattern(2, 100_000, 50_000));
    for name in ["a", "all"] {
        cluster.wait_for_copies(name, 2, |_| true);
    }
}

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

/// Copies come and go with the goal, the bytes stay.
fn goals(kind: Kind) {
    let cluster = Cluster::new(kind);
    let [one, other] = &cluster.mounts;
    cluster.set_goal(1, "");
    put(&one.join("f"), 1, 0, 300_000);
    put(&one.join("f"), 1, CHUNK, 300_000);
    cluster.wait_for_copies("f", 1, |_| true);
    for goal in [2, 3, 1, 3, 2] {
        cluster.set_goal(goal, "f");
        cluster.wait_for_copies("f", goal, |_| true);
        assert_holds(&other.join("f"), Some(1), 0, 300_000);
        assert_holds(&other.join("f"), Some(1), CHUNK, 300_000);
    }
}

/// Storage classes put copies on servers with their labels, and move them when they change.
fn labels(kind: Kind) {
    let cluster = Cluster::labelled(kind, ["A", "A,B", "B"]);
    let [one, other] = &cluster.mounts;
    let sclass = |args: &[&str]| {
        cluster
            .tool("mfsscadmin")
            .arg(one.path())
            .args(args)
            .run()
            .expect(0);
    };
    sclass(&["create", "2A", "twice"]);
    sclass(&["create", "B", "once"]);
    fs::create_dir(one.join("d")).expect("mkdir");
    let set = |class: &str, name: &str| {
        cluster
            .tool("mfssetsclass")
            .args(["-r", class])
            .arg(one.join(name))
            .run()
            .expect(0);
    };
    set("twice", "d");
    put(&one.join("d/f"), 1, 0, 200_000);
    let on = |servers: &[usize]| {
        let addresses: Vec<String> = servers
            .iter()
            .map(|server| cluster.servers[*server].address().to_owned())
            .collect();
        move |address: &str| addresses.iter().any(|fits| fits == address)
    };
    // At once, not only after a while.
    let created = cluster.chunks("d/f");
    assert!(
        created[0].valid().into_iter().all(on(&[0, 1])),
        "{created:?}"
    );
    cluster.wait_for_copies("d/f", 2, on(&[0, 1]));
    set("once", "d");
    cluster.wait_for_copies("d/f", 1, on(&[1, 2]));
    sclass(&["create", "A,B", "mixed"]);
    set("mixed", "d");
    cluster.wait_for_copies("d/f", 2, |_| true);
    assert_holds(&other.join("d/f"), Some(1), 0, 200_000);
    sclass(&["create", "-m", "s", "A+B", "strict"]);
    set("strict", "d");
    cluster.wait_for_copies("d/f", 1, |_| true);
    assert_holds(&other.join("d/f"), Some(1), 0, 200_000);
    // Nobody has this label, and the class accepts nothing else.
    sclass(&["create", "-m", "s", "Z", "nowhere"]);
    let picky = Mount::with(
        &cluster.net,
        "/",
        &format!("{CACHES_OFF},mfserroronnospace"),
    );
    set("nowhere", "d");
    let mut refused = None;
    wait_for("a refusal", SETTLE, || {
        let written = File::create(picky.join("d/g")).and_then(|mut file| {
            file.write_all(b"x")?;
            file.sync_all()
        });
        refused = written.err().and_then(|error| error.raw_os_error());
        refused.is_some()
    });
    assert_eq!(refused, Some(28), "ENOSPC");
    // The old file keeps its copy.
    assert_holds(&other.join("d/f"), Some(1), 0, 200_000);
}

/// A chunkserver that dies is replaced: its copies are made anew from the others, reading and
/// writing go on meanwhile, and its old copies do no harm when it returns.
fn a_server_dies(kind: Kind) {
    let mut cluster = Cluster::new(kind);
    cluster.set_goal(2, "");
    let names: Vec<String> = (0..12).map(|number| format!("f{number}")).collect();
    for (seed, name) in (0..).zip(&names) {
        put(&cluster.mounts[0].join(name), seed, 0, 150_000);
    }
    for name in &names {
        cluster.wait_for_copies(name, 2, |_| true);
    }
    let lost = cluster.servers[0].address().to_owned();
    assert!(!cluster.servers[0].chunks().is_empty());
    cluster.servers[0].kill9();
    for (seed, name) in (0..).zip(&names) {
        assert_holds(&cluster.mounts[1].join(name), Some(seed), 0, 150_000);
        put(&cluster.mounts[0].join(name), 100 + seed, 50_000, 20_000);
    }
    for name in &names {
        cluster.wait_for_copies(name, 2, |address| address != lost);
    }
    let intact = |cluster: &Cluster| {
        for (seed, name) in (0..).zip(&names) {
            let path = cluster.mounts[1].join(name);
            assert_holds(&path, Some(seed), 0, 50_000);
            assert_holds(&path, Some(100 + seed), 50_000, 20_000);
            assert_holds(&path, Some(seed), 70_000, 80_000);
        }
    };
    intact(&cluster);
    cluster.servers[0].start();
    cluster.mounts[0].wait_for_space(3 * (DISK - DISK / 20));
    intact(&cluster);
    // The others have everything, and of its own copies only those that are not old count.
    cluster.servers[1].kill9();
    intact(&cluster);
}

/// In one turn of the master's loop: a disk marked for removal is emptied onto the others and can
/// be taken away, and chunks that no file holds any more leave the disks.
fn a_disk_is_retired(kind: Kind) {
    let mut cluster = Cluster::new(kind);
    cluster.set_goal(2, "");
    let names: Vec<String> = (0..6).map(|number| format!("f{number}")).collect();
    for (seed, name) in (0..).zip(&names) {
        put(&cluster.mounts[0].join(name), seed, 0, 100_000);
        cluster.wait_for_copies(name, 2, |_| true);
    }
    let marked = cluster.servers[1].address().to_owned();
    let on_marked: Vec<&String> = names
        .iter()
        .filter(|name| cluster.chunks(name)[0].valid().contains(&marked.as_str()))
        .collect();
    assert!(!on_marked.is_empty());
    // Cut, not removed: a removed file would stay for minutes, while mounts that had it open could
    // still ask for it.
    put(&cluster.mounts[0].join("cut"), 99, 0, 1000);
    let useless = cluster.chunks("cut")[0].id;
    open(&cluster.mounts[0].join("cut"))
        .set_len(0)
        .expect("truncate");
    cluster.servers[1].mark(true);
    wait_for("the removal of useless copies", SETTLE, || {
        let mut stored = cluster.servers.iter().flat_map(ChunkServer::chunks);
        !stored.any(|file| file.id == useless)
    });
    wait_for("two copies elsewhere", SETTLE, || {
        on_marked.iter().all(|name| {
            let chunk = &cluster.chunks(name)[0];
            chunk.valid().len() == 2
                && !chunk.valid().contains(&marked.as_str())
                && chunk.with_status("MARKED FOR REMOVAL") == [marked.as_str()]
        })
    });
    cluster.servers[1].kill9();
    cluster.servers[1].wipe();
    for (seed, name) in (0..).zip(&names) {
        assert_holds(&cluster.mounts[1].join(name), Some(seed), 0, 100_000);
    }
    cluster.servers[1].mark(false);
    cluster.servers[1].start();
    for name in &names {
        cluster.wait_for_copies(name, 2, |_| true);
    }
}
