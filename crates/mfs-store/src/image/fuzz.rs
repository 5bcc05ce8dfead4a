//! Entries for fuzzers: any bytes, no panic, memory bounded by the input, and what we write must load.

use std::io::Cursor;

use mfs_meta::op::{Op, Outcome, Tolerance, parse_line, parse_op};
use mfs_meta::{LoadOptions, Loaded, Loader, Metadata, ROOT};

use super::read::{ReadError, ReadOptions, ReadReport, read_direct};
use super::section::{Section, SectionHeader};
use super::write::{WriteOptions, write_direct};
use super::{NullSink, TAIL};

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
        let Ok(Loaded {
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
        exercise(&mut meta);
        check(&meta);
        reload(&meta);
    }
}

/// Objects of a loaded state that [`exercise`] works on.
const OBJECTS: usize = 12;

/// Does a bit of everything to what was loaded. Whether an operation is refused does not matter.
fn exercise(meta: &mut Metadata) {
    const TS: u32 = 2_000_000_000;
    let mut inodes = Vec::new();
    meta.visit(ROOT, true, |_, node| inodes.push(node.inode));
    inodes.truncate(OBJECTS);
    let detached = meta.trash(u32::MAX).chain(meta.sustained());
    inodes.extend(detached.map(|child| child.inode).take(OBJECTS));
    let names: Vec<(u32, Vec<u8>)> = inodes
        .iter()
        .filter_map(|&inode| meta.node(inode))
        .flat_map(|node| node.names())
        .map(|(parent, name)| (parent, name.to_vec()))
        .collect();
    let sessions: Vec<u32> = meta.sessions().map(|(id, _)| id).take(OBJECTS).collect();
    let mut text = String::new();
    for (i, &inode) in inodes.iter().enumerate() {
        let other = inodes[(i + 1) % inodes.len()];
        text += &format!(
            "WRITE({inode},0,1,1):0\nWRITE({inode},2,0,0):0\nTRUNC({inode},0):0\nLENGTH({inode},70000000,1)\n\
             APPEND({inode},{other},4294967295,0)\nLINK({inode},1,link{i})\nSETXATTR({inode},a,b,0)\n\
             SETPATH({inode},p/q{i})\nREPAIR({inode},0):0\nSETFILECHUNK({inode},1,0)\n\
             CREATE({inode},new,2,511,0,0,0,0):0\nSETSCLASS({inode},0,3,3,4):0,0,0\n\
             SETTRASHTIME({inode},0,3600,4):0,0,0\n\
             SETACL({inode},420,1,1,6,4,4,7,1,0,%00%00%03%E8%00%06)\nQUOTA({inode},0,1,0,5,0,0,0,0,0,0,0,1)\n\
             SETEATTR({inode},0,1,5):0,0,0\nARCHCHG({inode},0,1):0,0,0\nSYMLINK({inode},s,x,0,0):0\nACCESS({inode})\nACQUIRE(7,{inode})\n\
             ATTR({inode},511,1,2,3,4,5,4095)\nMOVE(1,link{i},{other},moved{i}):0\n\
             SNAPSHOT({inode},1,snap{i},9,0,0,[0],18):0,0,0,0,0,0\n"
        );
    }
    text += "SCSET(fuzz,1,W1,K1,A1,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0):0\nSCDUP(1,copy):0,0\nSCREN(copy,moved):0\n\
             SCDEL(fuzz):0\nCHUNKADD(7,3,0)\nNEXTCHUNKID(1000)\nSESSION():0\n\
             SESADD(#1,1,8,0000,0,0,9,9,1,9,0,4294967295,0x00000000,172819201,/mnt/mfs):0\n\
             CSDBOP(0,1,2,5)\nCSDBOP(2,3,4,5)\nCSDBOP(3,3,4,6)\nCSDBOP(4,3,4,99)\n";
    for id in sessions {
        for inode in &inodes {
            text += &format!(
                "ACQUIRE({id},{inode})\nFLOCK({inode},{id},5,R)\nFLOCK({inode},{id},6,R)\n\
                 POSIXLOCK({inode},{id},7,W,0,20,100)\nPOSIXLOCK({inode},{id},7,U,5,9,100)\n"
            );
        }
        if id % 2 == 0 {
            continue;
        }
        text += &format!("SESDISCONNECTED({id})\nSESDEL({id})\n");
    }
    for (i, inode) in inodes.iter().enumerate() {
        text += &format!(
            "UNDEL({inode})\nSNAPSHOT(0,1,snap{i},132,0,0,[0],0):0,0,0,0,0,0\nRELEASE(7,{inode})\n"
        );
    }
    text += "EMPTYTRASH(4096):0,0,0\nEMPTYSUSTAINED(256):0,0\nFREEINODES(1):0,0,0\n\
             CREATE(1,reused,1,420,0,0,0,0):0\nRENUMERATEEDGES():0\n";
    for line in text.lines() {
        let (op, _) = parse_op(line.as_bytes()).unwrap_or_else(|e| panic!("{line}: {e}"));
        let _ = meta.apply(TS, &op);
    }
    for (parent, name) in names {
        let _ = meta.apply(
            TS,
            &Op::Unlink {
                parent,
                name: name.into(),
            },
        );
    }
    let empty = parse_op(b"EMPTYTRASH(4096):0,0,0").map(|(op, _)| meta.apply(u32::MAX, &op));
    assert!(empty.is_ok_and(|result| result.is_ok()));
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
        if is_far(&line.op) || is_astray(&live, &line.op) {
            continue;
        }
        let before = live.version();
        let result = live.apply(line.ts, &line.op);
        assert_eq!(live.version(), before + u64::from(result.is_ok()));
        if let Some(twin) = &mut twin {
            // Why a line is refused is written nowhere.
            let again = twin.apply(line.ts, &line.op);
            assert_eq!(again.ok(), result.ok(), "{:?}", line.op);
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
    reload_from(&live, &image);
    if let Some(twin) = &twin {
        check(twin);
        assert!(
            sorted(&image_of(twin)) == sorted(&image),
            "the image changed something"
        );
    }
}

/// True for a change of a slot that no master writes: it does not hold what the line takes out of it. The original
/// then counts a reference of the wrong chunk, and does not find holes at the end of a file after a restart; both are
/// in recorded logs, so we do the same.
fn is_astray(meta: &Metadata, op: &Op<'_>) -> bool {
    let held = |inode, index| meta.node(inode).map_or(0, |n| n.chunk(index));
    match *op {
        Op::Rollback {
            inode,
            index,
            chunk,
            ..
        } => chunk == 0 || held(inode, index) != chunk,
        Op::SetFileChunk { inode, index, .. } => held(inode, index) == 0,
        _ => false,
    }
}

fn is_far(op: &Op<'_>) -> bool {
    matches!(op, Op::Write { index, .. } if *index >= SLOTS_MAX)
}

fn load(data: &[u8], ignore: bool) -> Result<Loaded, String> {
    let mut loader = Loader::new(LoadOptions {
        ignore,
        ..LoadOptions::default()
    });
    let options = ReadOptions {
        ignore,
        ..ReadOptions::default()
    };
    let block = data.len().clamp(1, 1 << 20);
    read_direct(data, block, &options, &mut loader, &mut |_| ()).map_err(|e| e.to_string())?;
    loader.finish().map_err(|e| e.to_string())
}

fn image_of(meta: &Metadata) -> Vec<u8> {
    let mut image = Cursor::new(Vec::new());
    write_direct(&meta.view(), &mut image, &WriteOptions::default())
        .expect("every state can be written");
    image.into_inner()
}

/// An image with what has no order sorted: paths in their buckets, numbers that wait for reuse (those freed at one
/// time have none), open files, chunks.
fn sorted(image: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let (head, mut rest) = image.split_at(24);
    parts.push(head.to_vec());
    while let Some((header, after)) = rest.split_first_chunk::<16>() {
        if header == TAIL {
            break;
        }
        let header = SectionHeader::decode(header);
        let (payload, after) = after.split_at(header.length as usize);
        rest = after;
        // Size of what comes before the records and of one record.
        let (start, size) = match Section::from_name(header.name) {
            Some(Section::Edge) => {
                parts.extend(sorted_edges(payload));
                continue;
            }
            Some(Section::Free) => (4, 8),
            Some(Section::Open) => (0, 8),
            Some(Section::Chnk) => (8, 17),
            _ => (payload.len(), 1),
        };
        let (start, records) = payload.split_at(start);
        let mut records: Vec<&[u8]> = records.chunks(size).collect();
        records.sort_unstable();
        parts.push(start.to_vec());
        parts.push(records.concat());
    }
    parts
}

/// The records of EDGE, those without a directory sorted.
fn sorted_edges(payload: &[u8]) -> Vec<Vec<u8>> {
    let (next, mut rest) = payload.split_at(8);
    let (mut names, mut paths) = (vec![next.to_vec()], Vec::new());
    while let Some(fixed) = rest.first_chunk::<18>() {
        let length = usize::from(u16::from_be_bytes([fixed[16], fixed[17]]));
        let (record, after) = rest.split_at(18 + length);
        rest = after;
        match fixed {
            [0, 0, 0, 0, ..] => paths.push(record.to_vec()),
            _ => names.push(record.to_vec()),
        }
    }
    paths.sort_unstable();
    names.extend(paths);
    names
}

/// Loads what we wrote.
fn load_ours(image: &[u8], of: &Metadata) -> Loaded {
    let loaded = load(image, false).unwrap_or_else(|e| panic!("we write what does not load: {e}"));
    check(&loaded.meta);
    assert_eq!(loaded.meta.version(), of.version());
    loaded
}

/// Writes the state and loads it: what comes out is the same. `None` when the state had something that a load
/// changes by design: it drops what sessions that do not exist have open and locks of files that are not open, and
/// asks for new edge ids when one occurs twice in a directory (spec 02 §7.3).
fn reload(meta: &Metadata) -> Option<Metadata> {
    reload_from(meta, &image_of(meta))
}

fn reload_from(meta: &Metadata, image: &[u8]) -> Option<Metadata> {
    let loaded = load_ours(image, meta);
    let again = image_of(&loaded.meta);
    if loaded.renumber || volatile(meta) != volatile(&loaded.meta) {
        let twice = load_ours(&again, &loaded.meta);
        assert!(
            sorted(&image_of(&twice.meta)) == sorted(&again),
            "a second load changes the image"
        );
        return None;
    }
    assert!(sorted(&again) == sorted(image), "a load changes the image");
    Some(loaded.meta)
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
