//! A log for tests: metadata, a clock that the test sets, and the lines as text.

use mfs_chunks::{Log, Unfinished};
use mfs_meta::op::{Line, Op, Outcome, parse_line};
use mfs_meta::records::{ChunkRecord, ImageSource, NodeData};
use mfs_meta::{Metadata, Status};

/// Seed of the hash of names; it decides nothing.
const SEED: u64 = 1;
/// Time at which the metadata of all tests begin.
pub(crate) const START: u32 = 1_000_000;

pub(crate) struct TestLog {
    pub(crate) meta: Metadata,
    pub(crate) now: u32,
    pub(crate) lines: Vec<Vec<u8>>,
    /// Kept by the rules of a replay, from lines alone.
    pub(crate) unfinished: Unfinished,
    /// What is on the disk; `None`: every line, at once.
    pub(crate) durable: Option<u64>,
    /// Chunks that got another version by itself, from which and to which; to be taken.
    pub(crate) changed: Vec<(u64, u32, u32)>,
}

impl TestLog {
    pub(crate) fn new() -> TestLog {
        TestLog {
            meta: Metadata::new(SEED, START),
            now: START,
            lines: Vec::new(),
            unfinished: Unfinished::default(),
            durable: None,
            changed: Vec::new(),
        }
    }

    /// What a restart makes of the first `count` lines.
    pub(crate) fn replay(lines: &[Vec<u8>], now: u32) -> TestLog {
        let mut log = TestLog::new();
        log.now = now;
        log.replay_more(lines);
        log
    }

    /// Replays lines that follow.
    pub(crate) fn replay_more(&mut self, lines: &[Vec<u8>]) {
        let log = self;
        for text in lines {
            let line = parse_line(text.strip_suffix(b"\n").unwrap()).unwrap();
            let shown = String::from_utf8_lossy(text).into_owned();
            assert_eq!(line.version, log.meta.version(), "{shown}");
            let before = log.unfinished.before(&log.meta, &line.op);
            let outcome = log
                .meta
                .apply(line.ts, &line.op)
                .unwrap_or_else(|status| panic!("{status}: {shown}"));
            log.unfinished.after(before, &outcome);
            assert!(
                outcome.matches(line.recorded.as_ref(), mfs_meta::op::Tolerance::Strict),
                "{shown}: {outcome:?}"
            );
            log.lines.push(text.clone());
        }
    }

    /// The lines from a version on, without numbers and times.
    pub(crate) fn texts_from(&self, first: usize) -> Vec<String> {
        self.lines[first..]
            .iter()
            .map(|l| {
                let text = String::from_utf8_lossy(l).into_owned();
                text.split_once('|').unwrap().1.trim_end().to_owned()
            })
            .collect()
    }

    pub(crate) fn apply_all(&mut self, ops: &[Op<'_>]) {
        for op in ops {
            self.apply(op).unwrap();
        }
    }

    /// Makes a file in the root with this storage class.
    pub(crate) fn create_file(&mut self, name: &str, class: u8) -> u32 {
        let op = Op::Create {
            parent: 1,
            name: name.as_bytes().into(),
            kind: 1,
            mode: 0o644,
            umask: 0,
            uid: 0,
            gid: 0,
            rdev: 0,
        };
        let Outcome::Inode(inode) = self.apply(&op).unwrap() else {
            panic!("no inode");
        };
        self.set_class(inode, class);
        self.apply(&Op::SetTrashtime {
            inode,
            uid: 0,
            seconds: 0,
            smode: 0,
        })
        .unwrap();
        inode
    }

    pub(crate) fn set_class(&mut self, inode: u32, class: u8) {
        self.apply(&Op::SetSclass {
            inode,
            uid: 0,
            src: class,
            dst: class,
            smode: 0,
        })
        .unwrap();
    }

    pub(crate) fn chunk(&self, inode: u32, index: u32) -> u64 {
        self.meta.node(inode).map_or(0, |n| n.chunk(index))
    }

    pub(crate) fn version_of(&self, chunk: u64) -> u32 {
        self.meta.chunk(chunk).map_or(0, |c| c.version)
    }
}

impl Log for TestLog {
    fn meta(&self) -> &Metadata {
        &self.meta
    }

    fn now(&self) -> u32 {
        self.now
    }

    fn durable(&self) -> u64 {
        self.durable.unwrap_or(self.meta.version())
    }

    fn apply(&mut self, op: &Op<'_>) -> Result<Outcome, Status> {
        let version = self.meta.version();
        if let Op::SetVersion { id, version } = *op {
            self.changed.push((id, self.version_of(id), version));
        }
        let before = self.unfinished.before(&self.meta, op);
        let outcome = self.meta.apply(self.now, op)?;
        self.unfinished.after(before, &outcome);
        let mut text = Vec::new();
        Line {
            version,
            ts: self.now,
            op: op.clone(),
            recorded: Some(outcome),
        }
        .write(&mut text);
        self.lines.push(text);
        Ok(outcome)
    }
}

/// Inode, length, chunks.
type FileDigest = (u32, u64, Vec<(u32, u64)>);

/// What two metadata must have in common: chunks, files, chunkservers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    version: u64,
    next_chunk: u64,
    chunks: Vec<ChunkRecord>,
    files: Vec<FileDigest>,
    servers: Vec<mfs_meta::records::ChunkserverRecord>,
}

pub(crate) fn digest(meta: &Metadata) -> Digest {
    let view = meta.view();
    let mut chunks = Vec::new();
    view.chunks::<()>(0, |c| {
        chunks.push(*c);
        Ok(())
    })
    .unwrap();
    chunks.sort_by_key(|c| c.id);
    let mut files = Vec::new();
    view.nodes::<()>(|n| {
        if let NodeData::File { length, chunks } = n.data {
            files.push((n.inode, length, chunks.to_vec()));
        }
        Ok(())
    })
    .unwrap();
    Digest {
        version: meta.version(),
        next_chunk: meta.next_chunk_id(),
        chunks,
        files,
        servers: meta.chunkservers().copied().collect(),
    }
}
