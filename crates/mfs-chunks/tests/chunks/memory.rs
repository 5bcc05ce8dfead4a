//! Memory for the copies of chunks: a figure that the product states.

use std::sync::Arc;

use mfs_chunks::{ChunkConfig, Chunks, Flat, Log, Registration, Unfinished};
use mfs_meta::op::Op;

use crate::log::{START, TestLog};

const CHUNKS: u64 = 200_000;

fn bytes_per_chunk(copies: usize) -> f64 {
    let mut log = TestLog::new();
    for id in 1..=CHUNKS {
        // Without files, but kept for a while: nothing is to be done about them.
        let (version, lock) = (1, START + 604_800);
        log.meta
            .apply(START, &Op::ChunkAdd { id, version, lock })
            .unwrap();
    }
    let mut chunks = Chunks::new(
        ChunkConfig::default(),
        Arc::new(Flat),
        log.meta(),
        Unfinished::default(),
        START,
        1,
    );
    for s in 0..copies {
        let r = Registration {
            ip: 0x0A00_0001 + s as u32,
            port: 9422,
            csid: 0,
            version: 0x0003_00EA,
            takes_csid: true,
        };
        let server = chunks.register(&mut log, &r).unwrap().server;
        chunks.report(&mut log, server, (1..=CHUNKS).map(|id| (id, 1)));
        chunks.registered(&mut log, server);
    }
    chunks.memory() as f64 / CHUNKS as f64
}

#[test]
fn sixteen_bytes_hold_a_chunk_with_up_to_three_copies() {
    for copies in 1..=3 {
        let bytes = bytes_per_chunk(copies);
        assert!(bytes < 16.3, "{copies} copies: {bytes} bytes");
    }
    let bytes = bytes_per_chunk(4);
    assert!(bytes < 32.5, "4 copies: {bytes} bytes");
    let bytes = bytes_per_chunk(9);
    assert!(bytes < 65.0, "9 copies: {bytes} bytes");
}
