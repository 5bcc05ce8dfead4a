//! Entries for fuzzers: any bytes, no panic, memory bounded by the input, and what we write must load.

use std::io::Cursor;

use mfs_meta::op::{Op, Outcome, Tolerance, parse_line};
use mfs_meta::{LoadOptions, Loaded, Loader, Metadata};

use super::NullSink;
use super::read::{ReadError, ReadOptions, ReadReport, read_direct};
use super::write::{WriteOptions, write};

/// Reads `data` as an image with and without `-i` and drops the records. Whatever the bytes are: gives what
/// the codec makes of them (without `-i`), never panics.
///
/// # Errors
/// See [`ReadError`].
pub fn fuzz_read(data: &[u8]) -> Result<ReadReport, ReadError> {
    let block = data.len().clamp(1, 1 << 20);
    let run = |ignore| {
        let options = ReadOptions {
            ignore,
            ..ReadOptions::default()
        };
        read_direct(data, block, &options, &mut NullSink, &mut |_| ())
    };
    let tolerant = run(true);
    let strict = run(false);
    debug_assert!(
        strict.is_err() || tolerant.is_ok(),
        "-i refuses what loads without it"
    );
    strict
}

/// Loads `data` as an image, with and without `-i`. A state that comes out of it must be consistent and survive
/// being written and loaded, however odd the image was.
///
/// # Panics
/// When it is not or does not.
pub fn fuzz_state(data: &[u8]) {
    for ignore in [true, false] {
        let Some(Loaded {
            mut meta, renumber, ..
        }) = load(data, ignore)
        else {
            continue;
        };
        if renumber {
            // A start does that next (spec 02 §17).
            meta.apply(0, &Op::RenumerateEdges)
                .expect("edges can always be numbered");
        }
        check(&meta);
        reload(&meta);
    }
}

/// Longest list of chunk slots that the lines of a fuzzer may make: the image holds 8 bytes for each, and two
/// billion are legal.
const SLOTS_MAX: u32 = 1 << 16;

/// Applies `data` as lines of a changelog to a new file system, whatever their numbers and results. At each empty
/// line the state is written and loaded, and what was loaded does the rest as well: it must come to the same.
/// A `~` at the start chooses the tolerance for lines of originals.
///
/// # Panics
/// When a state is inconsistent, when its image is refused or differs, when an operation that fails changes
/// something, or when the state that went through an image does anything else than the one that did not.
pub fn fuzz_changes(data: &[u8]) {
    let (data, tolerance) = match data.strip_prefix(b"~") {
        Some(rest) => (rest, Tolerance::Original),
        None => (data, Tolerance::Strict),
    };
    let mut live = Metadata::new(1, 1_600_000_000);
    live.set_tolerance(tolerance);
    let mut twin: Option<Metadata> = None;
    for text in data.split(|&b| b == b'\n') {
        if text.is_empty() {
            if live.end_replay().is_ok() {
                check(&live);
                twin = reload(&live);
                if let Some(twin) = &mut twin {
                    twin.set_tolerance(tolerance);
                }
            }
            continue;
        }
        let Ok(line) = parse_line(text) else {
            continue;
        };
        if is_far(&line.op) {
            continue;
        }
        let before = live.version();
        let result = live.apply(line.ts, &line.op);
        assert_eq!(live.version(), before + u64::from(result.is_ok()));
        if let Some(twin) = &mut twin {
            assert_eq!(twin.apply(line.ts, &line.op), result, "{:?}", line.op);
        }
        let slots = match result {
            Ok(Outcome::Inode(inode)) => live.node(inode).map_or(0, |n| n.slots()),
            _ => match line.op {
                Op::Append { inode, .. } => live.node(inode).map_or(0, |n| n.slots()),
                _ => 0,
            },
        };
        if slots > SLOTS_MAX {
            return;
        }
    }
    if live.end_replay().is_err() {
        return;
    }
    check(&live);
    let image = image_of(&live);
    reload(&live);
    if let Some(twin) = &twin {
        check(twin);
        assert!(image_of(twin) == image, "the image changed something");
    }
}

fn is_far(op: &Op<'_>) -> bool {
    matches!(op, Op::Write { index, .. } if *index >= SLOTS_MAX)
}

fn load(data: &[u8], ignore: bool) -> Option<Loaded> {
    let mut loader = Loader::new(LoadOptions {
        ignore,
        ..LoadOptions::default()
    });
    let options = ReadOptions {
        ignore,
        ..ReadOptions::default()
    };
    let block = data.len().clamp(1, 1 << 20);
    read_direct(data, block, &options, &mut loader, &mut |_| ()).ok()?;
    loader.finish().ok()
}

fn image_of(meta: &Metadata) -> Vec<u8> {
    let mut image = Cursor::new(Vec::new());
    write(&meta.view(), &mut image, &WriteOptions::default()).expect("every state can be written");
    image.into_inner()
}

fn load_ours(image: &[u8], of: &Metadata) -> Metadata {
    let loaded = load(image, false).expect("what we write must load");
    assert!(!loaded.renumber, "edge ids of our own image");
    let meta = loaded.meta;
    check(&meta);
    assert_eq!(meta.version(), of.version());
    meta
}

/// Writes the state and loads it: what comes out is the same. `None` when the state had something that images
/// do not hold by design: what sessions that do not exist have open, and locks of files that are not open.
fn reload(meta: &Metadata) -> Option<Metadata> {
    let image = image_of(meta);
    let loaded = load_ours(&image, meta);
    let again = image_of(&loaded);
    if volatile(meta) != volatile(&loaded) {
        let twice = load_ours(&again, &loaded);
        assert!(image_of(&twice) == again, "a second load changes the image");
        return None;
    }
    assert!(again == image, "a load changes the image");
    Some(loaded)
}

/// Open files and held locks: what a load may leave out.
fn volatile(meta: &Metadata) -> (u32, (usize, usize)) {
    (meta.open_count(), meta.lock_counts())
}

fn check(meta: &Metadata) {
    if let Err(e) = meta.audit() {
        panic!("{e}");
    }
}
