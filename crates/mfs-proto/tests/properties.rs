//! Arbitrary and damaged bytes: no panic, and what decodes comes back equal; streams cut anywhere give the
//! same frames.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test has no public interface, and a panic is its way to fail"
)]

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use bytes::{Buf, BytesMut};
use mfs_proto::client::attr::{Lookup, Open, Setattr};
use mfs_proto::client::data::Truncate;
use mfs_proto::client::tree::{Mkdir, Readdir, ReaddirPage, Rename};
use mfs_proto::client::xattr::{Acl, AclEntry, Setfacl, Setxattr};
use mfs_proto::client::{Cred, Request};
use mfs_proto::frame::{self, CLIENT_MAX_PAYLOAD, FrameError, Frames, HEADER_LEN};
use mfs_proto::{Version, fuzz};
use proptest::collection::vec;
use proptest::prelude::*;

/// One recorded frame of each message and length, short ones only.
static RECORDED: LazyLock<Vec<(u32, Vec<u8>)>> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut seen = HashSet::new();
    let mut frames = Vec::new();
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    for path in files {
        if path.extension().is_none_or(|e| e != "jsonl") {
            continue;
        }
        for line in fs::read_to_string(path).unwrap().lines() {
            let v: serde_json::Value = serde_json::from_str(line).unwrap();
            let (Some(msg), Some(hex)) = (v["type"].as_u64(), v["hex"].as_str()) else {
                continue;
            };
            if hex.len() > 600 || !seen.insert((msg, hex.len())) {
                continue;
            }
            let payload = (0..hex.len())
                .step_by(2)
                .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
                .collect();
            frames.push((msg as u32, payload));
        }
    }
    assert!(frames.len() > 300);
    frames
});

fn recorded() -> impl Strategy<Value = (u32, Vec<u8>)> {
    (0..RECORDED.len()).prop_map(|i| RECORDED[i].clone())
}

/// Bytes to overwrite, as positions relative to the length, and a new length.
fn damage() -> impl Strategy<Value = (Vec<(prop::sample::Index, u8)>, i8)> {
    let edit = (
        any::<prop::sample::Index>(),
        prop_oneof![Just(0), Just(1), Just(2), Just(0xFF), any::<u8>()],
    );
    (vec(edit, 0..4), prop_oneof![3 => Just(0i8), 1 => -4i8..=8])
}

fn gids() -> impl Strategy<Value = Vec<u32>> {
    vec(any::<u32>(), 1..40)
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=255)
}

/// The request comes back equal from its own bytes, and no shorter or longer payload is taken for it.
fn comes_back(request: Request<'_>) {
    let mut out = Vec::new();
    request.encode(&mut out);
    let payload = &out[HEADER_LEN..];
    let decode = |payload| Request::decode(request.msg(), payload, Version::MASTER);
    assert_eq!(decode(payload).as_ref(), Ok(&request));
    for cut in [1, 2, 3] {
        let shorter = &payload[..payload.len() - cut];
        assert_ne!(decode(shorter).as_ref().ok(), Some(&request));
    }
    let mut longer = payload.to_vec();
    longer.push(0);
    assert_ne!(decode(&longer).as_ref().ok(), Some(&request));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn damaged_frames(
        (msg, mut payload) in recorded(),
        (edits, grow) in damage(),
    ) {
        let length = payload.len().saturating_add_signed(grow.into());
        payload.resize(length, 0);
        for (index, byte) in edits {
            if !payload.is_empty() {
                let at = index.index(payload.len());
                payload[at] = byte;
            }
        }
        fuzz::request(msg, &payload);
        fuzz::answer(msg, &payload);
    }

    #[test]
    fn arbitrary_payloads(
        msg in prop_oneof![0u32..600, 699u32..710, any::<u32>()],
        payload in vec(any::<u8>(), 0..200),
    ) {
        fuzz::request(msg, &payload);
        fuzz::answer(msg, &payload);
    }

    #[test]
    fn arbitrary_streams(bytes in vec(any::<u8>(), 0..400)) {
        fuzz::decode_any(&bytes);
    }
}

proptest! {
    #[test]
    fn named_requests_come_back(
        (mid, inode, other, uid) in any::<(u32, u32, u32, u32)>(),
        gids in gids(),
        name in name(),
        second in name(),
        (mode, umask, flags, copysgid, opened) in any::<(u16, u16, u8, bool, bool)>(),
        (length, atime, mtime, setmask, winattr) in any::<(u64, u32, u32, u8, u8)>(),
    ) {
        let cred = Cred::new(uid, &gids);
        comes_back(Request::Lookup(Lookup { mid, parent: inode, name: &name, cred }));
        comes_back(Request::Mkdir(Mkdir {
            mid, parent: inode, name: &name, mode, umask, cred, copysgid,
        }));
        comes_back(Request::Rename(Rename {
            mid, parent_src: inode, name_src: &name, parent_dst: other, name_dst: &second, cred,
        }));
        comes_back(Request::Open(Open { mid, inode, cred, flags }));
        comes_back(Request::Truncate(Truncate { mid, inode, flags, cred, length }));
        comes_back(Request::Setattr(Setattr {
            mid, inode, opened, cred, setmask, mode, uid: other, gid: uid, atime, mtime, winattr,
            sugidclearmode: flags,
        }));
        comes_back(Request::Readdir(Readdir {
            mid, inode, cred, flags,
            page: Some(ReaddirPage { maxentries: other, nedgeid: length }),
        }));
        comes_back(Request::Setxattr(Setxattr {
            mid, inode, name: &name, value: &second, mode: flags, opened, cred,
        }));
    }

    #[test]
    fn acls_come_back(
        (mid, inode, uid, acl_type) in any::<(u32, u32, u32, u8)>(),
        (user, group, other, mask) in any::<(u16, u16, u16, u16)>(),
        users in vec(any::<(u32, u16)>(), 0..20),
        groups in vec(any::<(u32, u16)>(), 0..20),
    ) {
        let entries = |list: Vec<(u32, u16)>| -> Vec<AclEntry> {
            list.into_iter().map(|(id, perm)| AclEntry { id, perm }).collect()
        };
        let users = entries(users);
        let groups = entries(groups);
        let acl = Acl {
            user, group, other, mask,
            users: (&users).into(),
            groups: (&groups).into(),
        };
        comes_back(Request::Setfacl(Setfacl { mid, inode, uid, acl_type, acl }));
    }

    /// A stream that arrives in arbitrary pieces gives the frames that were written.
    #[test]
    fn split_anywhere(
        frames in vec((any::<u32>(), vec(any::<u8>(), 0..100)), 0..20),
        pieces in vec(1usize..50, 1..50),
    ) {
        let mut stream = Vec::new();
        for (msg, payload) in &frames {
            frame::write(&mut stream, *msg, |out| out.extend_from_slice(payload));
        }
        let mut borrowed = Vec::new();
        let mut taken = Vec::new();
        let mut walked = BytesMut::new();
        let mut cut = BytesMut::new();
        let mut rest = stream.as_slice();
        let mut sizes = pieces.iter().cycle();
        while !rest.is_empty() {
            let (piece, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            rest = later;
            walked.extend_from_slice(piece);
            cut.extend_from_slice(piece);
            let mut split = Frames::new(&walked, CLIENT_MAX_PAYLOAD);
            while let Some(frame) = split.next_frame().unwrap() {
                borrowed.push((frame.msg, frame.payload.to_vec()));
            }
            let used = split.consumed();
            walked.advance(used);
            while let Some((msg, payload)) = frame::take(&mut cut, CLIENT_MAX_PAYLOAD).unwrap() {
                taken.push((msg, payload.to_vec()));
            }
        }
        prop_assert!(walked.is_empty() && cut.is_empty());
        prop_assert_eq!(&borrowed, &frames);
        prop_assert_eq!(&taken, &frames);
    }

    /// An oversized header is an error, after the frames in front of it; its length reserves nothing.
    #[test]
    fn oversized(
        payload in vec(any::<u8>(), 0..50),
        length in CLIENT_MAX_PAYLOAD + 1..,
    ) {
        let mut stream = BytesMut::new();
        frame::write(&mut stream, 1, |out| out.extend_from_slice(&payload));
        stream.extend_from_slice(&7u32.to_be_bytes());
        stream.extend_from_slice(&length.to_be_bytes());
        let error = FrameError::TooLong { msg: 7, length, limit: CLIENT_MAX_PAYLOAD };
        let mut split = Frames::new(&stream, CLIENT_MAX_PAYLOAD);
        prop_assert_eq!(split.next_frame().unwrap().unwrap().payload, payload.as_slice());
        prop_assert_eq!(split.next_frame(), Err(error));
        prop_assert!(frame::take(&mut stream, CLIENT_MAX_PAYLOAD).unwrap().is_some());
        prop_assert_eq!(frame::take(&mut stream, CLIENT_MAX_PAYLOAD), Err(error));
    }
}

#[test]
fn longest_frame_is_not_refused_and_not_reserved() {
    let mut buf = BytesMut::new();
    buf.extend_from_slice(&400u32.to_be_bytes());
    buf.extend_from_slice(&CLIENT_MAX_PAYLOAD.to_be_bytes());
    assert_eq!(frame::take(&mut buf, CLIENT_MAX_PAYLOAD), Ok(None));
    frame::reserve(&mut buf);
    assert!(buf.capacity() <= 2 * frame::READ_STEP);
    // The buffer follows what arrives.
    for _ in 0..100 {
        frame::reserve(&mut buf);
        let room = buf.capacity() - buf.len();
        assert!(room >= frame::READ_STEP / 4);
        buf.extend_from_slice(&vec![0; room.min(10_000)]);
        assert!(buf.capacity() <= 3 * buf.len() + 2 * frame::READ_STEP);
    }
}
