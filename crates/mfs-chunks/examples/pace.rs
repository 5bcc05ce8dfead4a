//! How fast chunks are registered, scanned and swept, and how much memory their copies take:
//! `cargo run --release -p mfs-chunks --example pace [CHUNKS] [COPIES]`.

use std::sync::Arc;
use std::time::Instant;

use mfs_chunks::{ChunkConfig, Chunks, Flat, Log, Registration, Space, Unfinished};
use mfs_meta::op::{Op, Outcome};
use mfs_meta::{Metadata, Status};

struct Memory {
    meta: Metadata,
    now: u32,
}

impl Log for Memory {
    fn meta(&self) -> &Metadata {
        &self.meta
    }

    fn now(&self) -> u32 {
        self.now
    }

    fn durable(&self) -> u64 {
        self.meta.version()
    }

    fn apply(&mut self, op: &Op<'_>) -> Result<Outcome, Status> {
        self.meta.apply(self.now, op)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let count: u64 = args.next().map_or(Ok(1_000_000), |a| a.parse())?;
    let copies: u32 = args.next().map_or(Ok(3), |a| a.parse())?;
    let mut log = Memory {
        meta: Metadata::new(1, 1000),
        now: 1000,
    };
    let file = |log: &mut Memory, name: String| -> Result<u32, Status> {
        let op = Op::Create {
            parent: 1,
            name: name.into_bytes().into(),
            kind: 1,
            mode: 0o644,
            umask: 0,
            uid: 0,
            gid: 0,
            rdev: 0,
        };
        match log.apply(&op)? {
            Outcome::Inode(inode) => Ok(inode),
            _ => Err(Status::Einval),
        }
    };
    for i in 0..count {
        let inode = file(&mut log, i.to_string())?;
        // The predefined class with this number wants so many copies.
        let class = copies.clamp(1, 9) as u8;
        log.apply(&Op::SetSclass {
            inode,
            uid: 0,
            src: class,
            dst: class,
            smode: 0,
        })?;
        let op = Op::Write {
            inode,
            index: 0,
            opflag: true,
            canmod: false,
        };
        log.apply(&op)?;
        log.apply(&Op::Unlock { chunk: i + 1 })?;
    }
    let start = Instant::now();
    let config = ChunkConfig::default();
    let mut chunks = Chunks::new(
        config,
        Arc::new(Flat),
        &log.meta,
        Unfinished::default(),
        log.now,
        1,
    );
    println!("{count} chunks counted in {:?}", start.elapsed());
    let mut servers = Vec::new();
    for s in 0..copies {
        let r = Registration {
            ip: s + 1,
            port: 9422,
            csid: 0,
            version: 0x0003_00EA,
            takes_csid: true,
        };
        let server = chunks.register(&mut log, &r)?.server;
        let space = Space {
            used: 1 << 40,
            total: 1 << 50,
            ..Space::default()
        };
        chunks.space(server, space);
        let start = Instant::now();
        let mut longest = start.elapsed();
        for first in (1..=count).step_by(10_000) {
            let part = Instant::now();
            let last = (first + 9999).min(count);
            chunks.report(&mut log, server, (first..=last).map(|id| (id, 1)));
            longest = longest.max(part.elapsed());
        }
        chunks.registered(&mut log, server);
        let all = start.elapsed();
        println!(
            "server {}: registered in {all:?}, longest part of 10000 {longest:?}",
            s + 1
        );
        servers.push(server);
    }
    let per_chunk = chunks.memory() as f64 / count as f64;
    println!("{per_chunk:.2} bytes a chunk with {copies} copies");
    log.now += 1000;
    let run = |chunks: &mut Chunks, log: &mut Memory, what: &str| {
        let start = Instant::now();
        let mut longest = start.elapsed();
        for _ in 0..500 {
            let part = Instant::now();
            chunks.tick(log);
            longest = longest.max(part.elapsed());
        }
        let mean = start.elapsed() / 500;
        println!("{what}: {mean:?} a tick, longest {longest:?}");
    };
    run(&mut chunks, &mut log, "scan");
    if let Some(&server) = servers.first() {
        chunks.disconnected(&mut log, server);
        run(&mut chunks, &mut log, "sweep and replication");
    }
    Ok(())
}
