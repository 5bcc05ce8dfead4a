//! What is read is what was written, whatever the size, with holes, after truncations and in snapshots.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use antler_e2e::{Kind, Mount, wait_for};

use super::{BLOCK, CHUNK, Cluster, DISK, SETTLE, assert_holds, assert_size, open, pattern, put};

both!(
    files_of_all_sizes,
    holes_and_truncations,
    snapshots_and_appended_chunks,
);

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
