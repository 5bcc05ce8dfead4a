//! File data on real chunkservers: every byte, through two mounts, and where its copies are.
//!
//! ```text
//! contents  sizes, holes, truncations, snapshots
//! writers   many at a time, and programs that check what they write
//! copies    goals, labels, servers and disks that go
//! fence     what comes late from a write session that was given up
//! ```

mod contents;
mod copies;
mod fence;
mod writers;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use antler_e2e::workload::Random;
use antler_e2e::{CACHES_OFF, Chunk, ChunkServer, Kind, Master, Mount, Net, Tool, chunks_of, real};

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
