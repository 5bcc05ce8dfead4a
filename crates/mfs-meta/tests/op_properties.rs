//! Properties of the changelog's text: what is printed is read as the same, whatever the values, and
//! nothing that is read makes the parser panic.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; the lint only exempts test functions, not their helpers"
)]

use std::borrow::Cow;
use std::collections::BTreeSet;

use mfs_meta::op::{
    Line, LockCmd, Op, Outcome, QuotaArgs, ScSetArgs, SessionArgs, SetAclArgs, SnapshotArgs,
    fuzz_line, parse_line, parse_op, parse_text, write_op,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

type Entry = (Op<'static>, Option<Outcome>);

/// Bytes that names may hold: anything but NUL, which cuts them.
fn name() -> impl Strategy<Value = Cow<'static, [u8]>> {
    prop_oneof![
        "[a-zA-Z0-9._ -]{0,20}".prop_map(String::into_bytes),
        prop::collection::vec(1u8..=255, 0..=255),
    ]
    .prop_map(Cow::Owned)
}

fn path() -> impl Strategy<Value = Cow<'static, [u8]>> {
    prop::collection::vec(1u8..=255, 0..600).prop_map(Cow::Owned)
}

fn data() -> impl Strategy<Value = Cow<'static, [u8]>> {
    prop::collection::vec(any::<u8>(), 0..600).prop_map(Cow::Owned)
}

fn cmd() -> impl Strategy<Value = LockCmd> {
    prop_oneof![
        Just(LockCmd::Unlock),
        Just(LockCmd::Shared),
        Just(LockCmd::Exclusive),
        Just(LockCmd::Invalid(b'x')),
        Just(LockCmd::Invalid(b')')),
    ]
}

fn terms() -> impl Strategy<Value = Vec<[u32; 4]>> {
    prop::collection::vec(any::<[u32; 4]>(), 0..=9)
}

fn session() -> impl Strategy<Value = Box<SessionArgs<'static>>> {
    let numbers = (
        any::<[u32; 9]>(),
        any::<u64>(),
        any::<[u8; 3]>(),
        0u16..0o1000,
    );
    (numbers, data()).prop_map(|((n, csum, b, umask), info)| {
        Box::new(SessionArgs {
            csum,
            root: n[0],
            flags: b[0],
            umask,
            rootuid: n[1],
            rootgid: n[2],
            mapalluid: n[3],
            mapallgid: n[4],
            mingoal: b[1],
            maxgoal: b[2],
            mintrash: n[5],
            maxtrash: n[6],
            disables: n[7],
            ip: n[8],
            info,
        })
    })
}

fn counts() -> impl Strategy<Value = Outcome> {
    any::<[u32; 3]>().prop_map(|[set, same, denied]| Outcome::Counts { set, same, denied })
}

/// Strategy for one variant: the patterns draw values, the expressions make operation and result.
macro_rules! variants {
    ($($pattern:pat in $strategy:expr => $op:expr, $recorded:expr;)*) => {
        vec![$($strategy.prop_map(|$pattern| -> Entry { ($op, $recorded) }).boxed()),*]
    };
}

/// One strategy for each variant of `Op`.
fn variants() -> Vec<BoxedStrategy<Entry>> {
    let inode = || any::<u32>().prop_map(|id| Some(Outcome::Inode(id)));
    let class = || any::<u32>().prop_map(|id| Some(Outcome::ClassId(id)));
    variants! {
        () in Just(()) => Op::Idle, None;
        id in any::<u64>() => Op::SetMetaId { id }, None;
        inode in any::<u32>() => Op::Access { inode }, None;
        [inode, atime, mtime, ctime] in any::<[u32; 4]>()
            => Op::AmTime { inode, atime, mtime, ctime }, None;
        next in any::<u64>() => Op::RenumerateEdges, Some(Outcome::EdgeId(next));
        ([parent, uid, gid, rdev], name, kind, mode, umask, result)
            in (any::<[u32; 4]>(), name(), 0u8..16, any::<u16>(), any::<u16>(), inode())
            => Op::Create { parent, name, kind, mode, umask, uid, gid, rdev }, result;
        ([parent, uid, gid], name, path, result) in (any::<[u32; 3]>(), name(), path(), inode())
            => Op::Symlink { parent, name, path, uid, gid }, result;
        ([inode, parent], name) in (any::<[u32; 2]>(), name())
            => Op::Link { inode, parent, name }, None;
        (parent, name, result) in (any::<u32>(), name(), inode())
            => Op::Unlink { parent, name }, result;
        ([parent1, parent2], name1, name2, result) in (any::<[u32; 2]>(), name(), name(), inode())
            => Op::Move { parent1, name1, parent2, name2 }, result;
        (inode, path) in (any::<u32>(), path()) => Op::SetPath { inode, path }, None;
        inode in any::<u32>() => Op::Undel { inode }, None;
        inode in any::<u32>() => Op::Purge { inode }, None;
        [bucket, freed, sustained, xor] in any::<[u32; 4]>()
            => Op::EmptyTrash { bucket }, Some(Outcome::EmptyTrash { freed, sustained, xor });
        [bucket, freed, xor] in any::<[u32; 3]>()
            => Op::EmptySustained { bucket }, Some(Outcome::EmptySustained { freed, xor });
        ([delay, freed, xor], sustained) in (any::<[u32; 3]>(), 0u32..3)
            => Op::FreeInodes { delay, keep_open: sustained > 0 },
            Some(Outcome::FreeInodes { freed, sustained, xor });
        ([inode, uid, gid, atime, mtime], mode, winattr, aclmode)
            in (any::<[u32; 5]>(), any::<u16>(), any::<u8>(), any::<u16>())
            => Op::Attr { inode, mode, uid, gid, atime, mtime, winattr, aclmode }, None;
        ([inode, mode], name, value) in (any::<[u32; 2]>(), name(), data())
            => Op::SetXattr { inode, name, value, mode }, None;
        (inode, chg, acl_type, n, blob)
            in (any::<u32>(), any::<bool>(), any::<u8>(), any::<[u16; 7]>(), data())
            => Op::SetAcl(Box::new(SetAclArgs {
                inode, mode: n[0], chg, acl_type, user: n[1], group: n[2], other: n[3], mask: n[4],
                nusers: n[5], ngroups: n[6], blob,
            })), None;
        ([inode, index], opflag, canmod, chunk)
            in (any::<[u32; 2]>(), any::<bool>(), any::<bool>(), any::<u64>())
            => Op::Write { inode, index, opflag, canmod }, Some(Outcome::Chunk(chunk));
        ([inode, index], chunk) in (any::<[u32; 2]>(), any::<u64>())
            => Op::Trunc { inode, index }, Some(Outcome::Chunk(chunk));
        (inode, length, canmod) in (any::<u32>(), any::<u64>(), any::<bool>())
            => Op::Length { inode, length, canmod }, None;
        chunk in any::<u64>() => Op::Unlock { chunk }, None;
        ([inode, index], [prev, chunk]) in (any::<[u32; 2]>(), any::<[u64; 2]>())
            => Op::Rollback { inode, index, prev, chunk }, None;
        [inode, index, version] in any::<[u32; 3]>() => Op::Repair { inode, index, version }, None;
        ([inode, index], chunk) in (any::<[u32; 2]>(), any::<u64>())
            => Op::SetFileChunk { inode, index, chunk }, None;
        ([inode, uid, denied], cmd, [changed, same])
            in (any::<[u32; 3]>(), any::<u8>(), any::<[u64; 2]>())
            => Op::ArchChg { inode, uid, cmd }, Some(Outcome::ArchChg { changed, same, denied });
        (id, [version, lock]) in (any::<u64>(), any::<[u32; 2]>())
            => Op::ChunkAdd { id, version, lock }, None;
        (id, version) in (any::<u64>(), any::<u32>()) => Op::ChunkDel { id, version }, None;
        (id, version) in (any::<u64>(), any::<u32>()) => Op::SetVersion { id, version }, None;
        id in any::<u64>() => Op::IncVersion { id }, None;
        id in any::<u64>() => Op::NextChunkId { id }, None;
        [inode, source, from, to] in any::<[u32; 4]>()
            => Op::Append { inode, source, from, to }, None;
        ([src, parent, uid], name, [smode, sesflags], gids, umask, n)
            in (any::<[u32; 3]>(), name(), any::<[u8; 2]>(),
                prop::collection::vec(prop_oneof![Just(0), any::<u32>()], 0..40), any::<u16>(),
                prop::option::of(any::<[u32; 6]>()))
            => Op::Snapshot(Box::new(SnapshotArgs {
                src, parent, name, smode, sesflags, uid, gids, umask,
            })), n.map(|[xor, removed, same, existing, hardlinks, new]| Outcome::Snapshot {
                xor, removed, same, existing, hardlinks, new,
            });
        ([inode, uid], [src, dst, smode], counts) in (any::<[u32; 2]>(), any::<[u8; 3]>(), counts())
            => Op::SetSclass { inode, uid, src, dst, smode }, Some(counts);
        ([inode, uid, seconds], smode, counts) in (any::<[u32; 3]>(), any::<u8>(), counts())
            => Op::SetTrashtime { inode, uid, seconds, smode }, Some(counts);
        ([inode, uid], [eattr, smode], counts) in (any::<[u32; 2]>(), any::<[u8; 2]>(), counts())
            => Op::SetEattr { inode, uid, eattr, smode }, Some(counts);
        ([inode, since, sinodes, hinodes, grace], [exceeded, flags], n)
            in (any::<[u32; 5]>(), any::<[u8; 2]>(), any::<[u64; 6]>())
            => Op::Quota(Box::new(QuotaArgs {
                inode, exceeded, flags, since, sinodes, hinodes, slength: n[0], hlength: n[1],
                ssize: n[2], hsize: n[3], srealsize: n[4], hrealsize: n[5], grace,
            })), None;
        (name, new, [create, keep, archive], [mode, admin], delay, result)
            in (name(), any::<bool>(), [terms(), terms(), terms()], any::<[u8; 2]>(),
                any::<u16>(), class())
            => Op::ScSet(Box::new(ScSetArgs {
                name, new, create, keep, archive, mode, delay, admin,
            })), result;
        (old, new, [from, to]) in (name(), name(), any::<[u32; 2]>())
            => Op::ScDup { old, new }, Some(Outcome::ClassIds { old: from, new: to });
        (old, new, result) in (name(), name(), class()) => Op::ScRen { old, new }, result;
        (name, result) in (name(), class()) => Op::ScDel { name }, result;
        (session, id) in (session(), any::<u32>())
            => Op::SesAdd(session), Some(Outcome::SessionId(id));
        (id, session) in (any::<u32>(), session()) => Op::SesChanged { id, session }, None;
        id in any::<u32>() => Op::SesDisconnected { id }, None;
        id in any::<u32>() => Op::SesDel { id }, None;
        id in any::<u32>() => Op::Session, Some(Outcome::SessionId(id));
        [session, inode] in any::<[u32; 2]>() => Op::Acquire { session, inode }, None;
        [session, inode] in any::<[u32; 2]>() => Op::Release { session, inode }, None;
        ([inode, session], owner, cmd) in (any::<[u32; 2]>(), any::<u64>(), cmd())
            => Op::Flock { inode, session, owner, cmd }, None;
        ([inode, session, pid], [owner, start, end], cmd)
            in (any::<[u32; 3]>(), any::<[u64; 3]>(), cmd())
            => Op::PosixLock { inode, session, owner, cmd, start, end, pid }, None;
        ([ip, arg], op, port) in (any::<[u32; 2]>(), any::<u8>(), any::<u16>())
            => Op::CsdbOp { op, ip, port, arg }, None;
    }
}

fn any_entry() -> impl Strategy<Value = Entry> {
    prop::strategy::Union::new(variants())
}

/// Whether a text is printable ASCII.
fn is_clean(text: &[u8]) -> bool {
    text.iter().all(|b| (0x20..0x7F).contains(b))
}

#[test]
fn what_is_printed_is_read_as_the_same() {
    let variants = variants();
    let mut names = BTreeSet::new();
    for variant in &variants {
        let mut runner = TestRunner::default();
        let strategy = (variant.clone(), any::<u64>(), any::<u32>());
        runner
            .run(&strategy, |((op, recorded), version, ts)| {
                let line = Line {
                    version,
                    ts,
                    op,
                    recorded,
                };
                let mut text = Vec::new();
                line.write(&mut text);
                let parsed = parse_line(&text);
                prop_assert_eq!(parsed.as_ref(), Ok(&line));
                let body = text.strip_suffix(b"\n").unwrap();
                prop_assert!(is_clean(body), "{}", body.escape_ascii());
                let mut again = Vec::new();
                line.clone().into_owned().write(&mut again);
                prop_assert_eq!(&again, &text);
                Ok(())
            })
            .unwrap();
        let (op, _) = variant.new_tree(&mut runner).unwrap().current();
        names.insert(op.name());
    }
    assert_eq!(names.len(), variants.len(), "a variant is there twice");
    assert_eq!(names.len(), 52);
}

proptest! {
    #[test]
    fn followers_get_the_line_without_its_number((op, recorded) in any_entry(), ts: u32) {
        let outcome = recorded.unwrap_or(Outcome::None);
        let mut text = Vec::new();
        write_op(ts, &op, &outcome, &mut text);
        let line = Line { version: 77, ts, op, recorded };
        let parsed = parse_text(77, &text);
        prop_assert_eq!(parsed.as_ref(), Ok(&line));
        let mut whole = Vec::new();
        line.write(&mut whole);
        prop_assert_eq!(whole, [b"77: ", text.as_slice(), b"\n"].concat());
        let behind_bar = text.splitn(2, |b| *b == b'|').nth(1).unwrap();
        prop_assert_eq!(parse_op(behind_bar), Ok((line.op, line.recorded)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_line(&bytes);
        fuzz_line(&[b"1: 2|", bytes.as_slice()].concat());
    }

    #[test]
    fn damaged_lines_never_panic(
        (op, recorded) in any_entry(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..4),
    ) {
        let mut text = Vec::new();
        Line { version: 1, ts: 2, op, recorded }.write(&mut text);
        for (at, byte, how) in damage {
            if text.is_empty() {
                break;
            }
            let at = at.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => text[at] = b",()[]:%#-0x|"[usize::from(byte) % 12],
                2 => text.insert(at, byte),
                _ => text.truncate(at),
            }
        }
        fuzz_line(&text);
    }

    #[test]
    fn an_error_points_into_the_text(
        (op, recorded) in any_entry(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut text = Vec::new();
        Line { version: 1, ts: 2, op, recorded }.write(&mut text);
        text.truncate(cut.index(text.len()));
        if let Err(error) = parse_line(&text) {
            prop_assert!(error.offset <= text.len());
        }
    }
}
