//! Memory of the image reader is bounded by what it reads, not by what the image claims; that of the writer by the
//! state, not by the image.
//!
//! Its own program, because it counts all allocations of the process.

#![allow(
    clippy::unwrap_used,
    reason = "a helper of the test that panics is the test that fails"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use mfs_meta::Metadata;
use mfs_meta::op::parse_line;
use mfs_store::image::{NullSink, ReadFault, ReadOptions, WriteOptions, read, write};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator unchanged; the counters touch no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as given by the caller.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as given by the caller.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Most that the reader may need beside a small input: its blocks.
const BLOCKS: usize = 6 << 20;

/// Reads a section that starts with `payload`, followed by `zeros` zero bytes, and gives the peak of memory.
fn peak(section: &str, payload: &[&[u8]], zeros: u64, ignore: bool) -> (usize, ReadFault) {
    let mut image = b"MFSM 2.0".to_vec();
    image.extend([0; 16]);
    image.extend(section.bytes());
    image.extend([0xff; 8]);
    image.extend(payload.concat());
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let options = ReadOptions {
        ignore,
        ..ReadOptions::default()
    };
    let input = Cursor::new(image).chain(std::io::repeat(0).take(zeros));
    let error = read(input, &options, &mut NullSink, &mut |_| ()).unwrap_err();
    (PEAK.load(Ordering::Relaxed) - before, error.fault)
}

/// Somewhere to write to that keeps nothing.
struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Seek for Nowhere {
    fn seek(&mut self, _: SeekFrom) -> std::io::Result<u64> {
        Ok(0)
    }
}

/// One test, because the counters are of the whole process.
#[test]
fn claims_allocate_nothing() {
    const MAX: [u8; 4] = [0xff; 4];
    let common = &[0u8, 0, 0, 1][..];
    let zeros = &[0u8; 64][..];
    let claims: [(&str, &str, Vec<&[u8]>); 9] = [
        ("nodes", "NODE 1.4", vec![&MAX, &MAX]),
        (
            "chunk ids",
            "NODE 1.4",
            vec![&MAX, &MAX, &[1], common, &zeros[..27], &zeros[..8], &MAX],
        ),
        (
            "link target",
            "NODE 1.4",
            vec![&MAX, &MAX, &[3], common, &zeros[..27], &MAX],
        ),
        ("free inodes", "FREE 1.0", vec![&MAX]),
        ("quotas", "QUOT 1.1", vec![&MAX]),
        ("chunkservers", "CSDB 1.3", vec![&MAX]),
        ("attribute", "XATR 1.0", vec![common, &[5], &MAX]),
        (
            "mount point",
            "SESS 1.2",
            vec![common, &[0, 16], common, &MAX, &zeros[..60]],
        ),
        ("counters", "SESS 1.2", vec![common, &MAX[..2], common]),
    ];
    for (what, section, payload) in claims {
        for ignore in [false, true] {
            let (peak, fault) = peak(section, &payload, 0, ignore);
            assert!(peak < BLOCKS, "{what}: {peak} bytes");
            let expected = match what {
                "attribute" if !ignore => matches!(fault, ReadFault::XattrValue(u32::MAX)),
                "free inodes" => matches!(fault, ReadFault::SectionOrder(_)),
                _ => matches!(fault, ReadFault::Eof),
            };
            assert!(expected, "{what}: {fault}");
        }
    }

    // What is passed over is not kept: a link target and an attribute of 300 MB.
    let length = (300u32 << 20).to_be_bytes();
    let link = [&MAX[..], &MAX, &[3], common, &zeros[..27], &length];
    let (used, _) = peak("NODE 1.4", &link, 250 << 20, false);
    assert!(used < BLOCKS, "{used} bytes for a link");
    let (used, _) = peak("XATR 1.0", &[common, &[5], &length], 250 << 20, true);
    assert!(used < BLOCKS, "{used} bytes for an attribute");

    // Holes of a file take no room: 64 MB of chunk ids, all 0, of 4 G claimed.
    let ids = [
        &MAX[..],
        &MAX,
        &[1],
        common,
        &zeros[..27],
        &zeros[..8],
        &MAX,
    ];
    let (used, _) = peak("NODE 1.4", &ids, 64 << 20, false);
    assert!(used < BLOCKS, "{used} bytes for chunk ids");

    // One byte at 1.3 PB makes an image of 160 MB, with the holes spelled out.
    let mut meta = Metadata::new(1, 1);
    for line in [
        "1: 1|CREATE(1,a,1,420,0,0,0,0):2",
        "2: 1|WRITE(2,20000000,1,0):1",
    ] {
        let line = parse_line(line.as_bytes()).unwrap();
        meta.apply(line.ts, &line.op).unwrap();
    }
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let written = write(&meta.view(), &mut Nowhere, &WriteOptions::default()).unwrap();
    let used = PEAK.load(Ordering::Relaxed) - before;
    assert!(written.bytes > 160_000_000);
    assert!(used < 2 * BLOCKS, "{used} bytes for holes");
}
