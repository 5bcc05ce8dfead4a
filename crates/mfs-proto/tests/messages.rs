//! The meaning of the fields: real frames against their values, every old form against the current one, and the
//! layouts of answers for old clients.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test has no public interface, and a panic is its way to fail"
)]

use mfs_proto::client::attr::{
    Access, ChunkZero, Getattr, Lookup, LookupReply, OpenReply, Setattr, lflags, sugid_clear,
};
use mfs_proto::client::data::{
    AppendSlice, ChunkReply, ChunkRequest, Truncate, TruncateReply, WriteChunkEnd, chunkop,
    truncate_flags,
};
use mfs_proto::client::info::CheckReply;
use mfs_proto::client::property::{ArchCommand, Archctl, ClassRef, Setsclass};
use mfs_proto::client::quota::{QuotaControl, QuotaReply};
use mfs_proto::client::register::{
    MetaSessionReply, NewSession, Register, RegisterReply, Resume, SessionLimits, SessionReply,
};
use mfs_proto::client::session::StatfsReply;
use mfs_proto::client::trash::Gettrash;
use mfs_proto::client::tree::{
    Create, CreateReply, DirEntry, EntryInfo, Mkdir, Mknod, Readdir, ReaddirPage, ReaddirReply,
    Remove, RemoveReply, Snapshot,
};
use mfs_proto::client::xattr::{Getfacl, Getxattr};
use mfs_proto::client::{
    Answer, Attr, AttrReply, Cred, Expect, FileType, ListFrame, Location, Reply, Request,
    UNSOLICITED, mattr, peek_mid, status_reply,
};
use mfs_proto::frame::HEADER_LEN;
use mfs_proto::wire::List;
use mfs_proto::{DecodeError, Fault, Status, Version, msg};

/// A payload put together from its fields.
#[derive(Debug, Default, Clone)]
struct P(Vec<u8>);

impl P {
    fn u8(mut self, v: u8) -> Self {
        self.0.push(v);
        self
    }
    fn u16(mut self, v: u16) -> Self {
        self.0.extend(v.to_be_bytes());
        self
    }
    fn u32(mut self, v: u32) -> Self {
        self.0.extend(v.to_be_bytes());
        self
    }
    fn u64(mut self, v: u64) -> Self {
        self.0.extend(v.to_be_bytes());
        self
    }
    fn b(mut self, v: &[u8]) -> Self {
        self.0.extend(v);
        self
    }
    fn name(self, v: &[u8]) -> Self {
        self.u8(v.len() as u8).b(v)
    }
}

fn p() -> P {
    P::default()
}

fn decode(message: u32, payload: &P) -> Result<Request<'_>, DecodeError> {
    Request::decode(message, &payload.0, Version::MASTER)
}

#[track_caller]
fn means(message: u32, payload: P, request: Request<'_>) {
    assert_eq!(decode(message, &payload), Ok(request));
}

#[track_caller]
fn refused(message: u32, payload: P, fault: Fault) {
    let length = payload.0.len();
    let error = DecodeError {
        msg: message,
        length,
        fault,
    };
    assert_eq!(decode(message, &payload), Err(error));
}

/// The payload of an answer.
fn payload_of(reply: &Reply<'_>, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    reply.encode(7, version, &mut out);
    assert_eq!(out[..4], reply.msg().to_be_bytes());
    assert_eq!(out[4..8], (out.len() as u32 - 8).to_be_bytes());
    out.split_off(HEADER_LEN)
}

const G: &[u32] = &[22];

fn cred() -> Cred<'static> {
    Cred::new(11, G)
}

#[test]
fn access_forms() {
    let request = |mode| {
        Request::Access(Access {
            mid: 1,
            inode: 2,
            cred: cred(),
            mode,
        })
    };
    let head = p().u32(1).u32(2).u32(11);
    let m = msg::CLTOMA_FUSE_ACCESS;
    means(m, head.clone().u32(1).u32(22).u16(4), request(4));
    means(m, head.clone().u32(22).u8(4), request(4));
    // As long as the old form of others, but it has a count.
    refused(
        m,
        head.clone().u32(22).u16(4),
        Fault::GroupCount { declared: 22 },
    );
    means(
        m,
        head.clone().u32(0).u16(4),
        Request::Access(Access {
            mid: 1,
            inode: 2,
            cred: Cred::new(11, &[]),
            mode: 4,
        }),
    );
    refused(m, head.clone().u32(1).u32(22).u8(4), Fault::Length);
    refused(
        m,
        head.clone().u32(2).u32(22).u16(4),
        Fault::GroupCount { declared: 2 },
    );
    refused(
        m,
        head.u32(u32::MAX).u32(22).u16(4),
        Fault::GroupCount { declared: u32::MAX },
    );
}

#[test]
fn lookup_forms() {
    let gids = [5, 6, 7];
    let m = msg::CLTOMA_FUSE_LOOKUP;
    let head = p().u32(1).u32(2).name(b"dir").u32(11);
    let payload = head.clone().u32(3).u32(5).u32(6).u32(7);
    means(
        m,
        payload.clone(),
        Request::Lookup(Lookup {
            mid: 1,
            parent: 2,
            name: b"dir",
            cred: Cred::new(11, &gids),
        }),
    );
    let Ok(Request::Lookup(lookup)) = decode(m, &payload) else {
        panic!("not a lookup");
    };
    assert_eq!(lookup.cred.gids.primary(), 5);
    assert_eq!(lookup.cred.gids.iter().collect::<Vec<_>>(), gids);
    assert!(lookup.cred.gids.contains(7) && !lookup.cred.gids.contains(3));
    means(
        m,
        head.u32(22),
        Request::Lookup(Lookup {
            mid: 1,
            parent: 2,
            name: b"dir",
            cred: cred(),
        }),
    );
    refused(m, p().u32(1).u32(2).u8(9).b(b"short"), Fault::InnerLength);
    refused(m, p().u32(1).u32(2).name(b"x").u32(11), Fault::Length);
    refused(m, p().u32(1), Fault::Length);
}

#[test]
fn getattr_forms() {
    let request = |opened, uid, gid| {
        Request::Getattr(Getattr {
            mid: 1,
            inode: 2,
            opened,
            uid,
            gid,
        })
    };
    let m = msg::CLTOMA_FUSE_GETATTR;
    let head = p().u32(1).u32(2);
    // The oldest form names nobody; the original takes this number.
    means(m, head.clone(), request(false, 12_345, 12_345));
    means(m, head.clone().u32(11).u32(22), request(false, 11, 22));
    means(m, head.clone().u8(1).u32(11).u32(22), request(true, 11, 22));
    for extra in [1, 4, 7, 10] {
        refused(m, head.clone().b(&[0; 12][..extra]), Fault::Length);
    }
}

#[test]
fn setattr_forms() {
    let request = |opened, winattr, sugidclearmode| {
        Request::Setattr(Setattr {
            mid: 1,
            inode: 2,
            opened,
            cred: cred(),
            setmask: 3,
            mode: 4,
            uid: 5,
            gid: 6,
            atime: 7,
            mtime: 8,
            winattr,
            sugidclearmode,
        })
    };
    let values = |head: P| head.u8(3).u16(4).u32(5).u32(6).u32(7).u32(8);
    let head = p().u32(1).u32(2);
    let old = values(head.clone().u32(11).u32(22));
    let groups = values(head.clone().u8(1).u32(11).u32(1).u32(22));
    let single = values(head.u8(1).u32(11).u32(22));
    let m = msg::CLTOMA_FUSE_SETATTR;
    means(m, groups.clone().u8(9).u8(4), request(true, 9, 4));
    // With winattr there is no form with one group and no count.
    refused(m, single.clone().u8(9).u8(4), Fault::Length);
    means(m, old.clone(), request(false, 0, sugid_clear::ALWAYS));
    means(m, old.u8(4), request(false, 0, 4));
    // 37 bytes are the form of a client before 3.0.93 with one group, and nothing to a newer one.
    refused(m, single.clone().u8(4), Fault::Length);
    let earlier = Version::new(3, 0, 92);
    assert_eq!(
        Request::decode(m, &single.u8(4).0, earlier),
        Ok(request(true, 0, 4))
    );
    assert_eq!(
        Request::decode(m, &groups.u8(4).0, earlier),
        Ok(request(true, 0, 4))
    );
}

#[test]
fn truncate_forms() {
    let m = msg::CLTOMA_FUSE_TRUNCATE;
    let request = |flags, cred| {
        Request::Truncate(Truncate {
            mid: 1,
            inode: 2,
            flags,
            cred,
            length: 99,
        })
    };
    let head = p().u32(1).u32(2);
    means(
        m,
        head.clone().u8(0x0B).u32(11).u32(1).u32(22).u64(99),
        request(0x0B, cred()),
    );
    means(
        m,
        head.clone().u8(3).u32(11).u32(22).u64(99),
        request(3, cred()),
    );
    means(m, head.clone().u32(11).u32(22).u64(99), request(0, cred()));
    means(
        m,
        head.clone().u32(0).u32(22).u64(99),
        request(truncate_flags::OPENED, Cred::new(0, G)),
    );
    means(
        m,
        head.u32(0).u32(0).u64(99),
        request(0, Cred::new(0, &[0])),
    );
}

#[test]
fn creating_forms() {
    let head = p().u32(1).u32(2).name(b"n");
    let mkdir = |umask, copysgid| {
        Request::Mkdir(Mkdir {
            mid: 1,
            parent: 2,
            name: b"n",
            mode: 0o755,
            umask,
            cred: cred(),
            copysgid,
        })
    };
    let m = msg::CLTOMA_FUSE_MKDIR;
    let long = head.clone().u16(0o755).u16(0o22).u32(11);
    means(m, long.clone().u32(1).u32(22).u8(1), mkdir(0o22, true));
    means(m, long.u32(22).u8(1), mkdir(0o22, true));
    let short = head.clone().u16(0o755).u32(11).u32(22);
    means(m, short.clone().u8(1), mkdir(0, false));
    means(m, short, mkdir(0, false));

    let mknod = |umask| {
        Request::Mknod(Mknod {
            mid: 1,
            parent: 2,
            name: b"n",
            kind: b'b',
            mode: 0o644,
            umask,
            cred: cred(),
            rdev: 77,
        })
    };
    let m = msg::CLTOMA_FUSE_MKNOD;
    let long = head.clone().u8(b'b').u16(0o644).u16(0o22).u32(11);
    means(m, long.u32(1).u32(22).u32(77), mknod(0o22));
    means(
        m,
        head.clone().u8(b'b').u16(0o644).u32(11).u32(22).u32(77),
        mknod(0),
    );
    assert_eq!(
        FileType::from_number_or_letter(b'b'),
        Some(FileType::BlockDevice)
    );

    let create = |umask| {
        Request::Create(Create {
            mid: 1,
            parent: 2,
            name: b"n",
            mode: 0o644,
            umask,
            cred: cred(),
        })
    };
    let m = msg::CLTOMA_FUSE_CREATE;
    means(
        m,
        head.clone().u16(0o644).u16(0o22).u32(11).u32(1).u32(22),
        create(0o22),
    );
    means(m, head.clone().u16(0o644).u32(11).u32(22), create(0));

    let remove = Remove {
        mid: 1,
        parent: 2,
        name: b"n",
        cred: cred(),
    };
    let payload = head.u32(11).u32(22);
    means(
        msg::CLTOMA_FUSE_UNLINK,
        payload.clone(),
        Request::Unlink(remove),
    );
    means(msg::CLTOMA_FUSE_RMDIR, payload, Request::Rmdir(remove));
}

#[test]
fn readdir_forms() {
    let m = msg::CLTOMA_FUSE_READDIR;
    let page = Some(ReaddirPage {
        maxentries: 3,
        nedgeid: 4,
    });
    let request = |flags, page| {
        Request::Readdir(Readdir {
            mid: 1,
            inode: 2,
            cred: cred(),
            flags,
            page,
        })
    };
    let head = p().u32(1).u32(2).u32(11);
    means(
        m,
        head.clone().u32(1).u32(22).u8(1).u32(3).u64(4),
        request(1, page),
    );
    means(
        m,
        head.clone().u32(22).u8(1).u32(3).u64(4),
        request(1, page),
    );
    means(m, head.clone().u32(22).u8(1), request(1, None));
    means(m, head.clone().u32(22), request(0, None));
    refused(m, head.clone().u32(22).u16(1), Fault::Length);
    assert_eq!(
        request(1, page).expect(),
        Expect::Readdir {
            attr: true,
            nedgeid: true
        }
    );
    assert_eq!(
        request(2, None).expect(),
        Expect::Readdir {
            attr: false,
            nedgeid: false
        }
    );
}

#[test]
fn chunk_forms() {
    let chunk = |flags| {
        Request::ReadChunk(ChunkRequest {
            mid: 1,
            inode: 2,
            index: 3,
            flags,
        })
    };
    let m = msg::CLTOMA_FUSE_READ_CHUNK;
    means(m, p().u32(1).u32(2).u32(3).u8(2), chunk(2));
    means(m, p().u32(1).u32(2).u32(3), chunk(chunkop::CANMODTIME));

    let end = |index, flags| {
        Request::WriteChunkEnd(WriteChunkEnd {
            mid: 1,
            chunkid: 2,
            inode: 3,
            index,
            length: 5,
            flags,
        })
    };
    let m = msg::CLTOMA_FUSE_WRITE_CHUNK_END;
    let head = p().u32(1).u64(2).u32(3);
    means(m, head.clone().u32(4).u64(5).u8(0), end(Some(4), 0));
    means(m, head.clone().u64(5).u8(0), end(None, 0));
    means(m, head.clone().u64(5), end(None, chunkop::CANMODTIME));
    refused(m, head.u32(4).u64(5), Fault::Length);

    let slice = |flags, from, to| {
        Request::AppendSlice(AppendSlice {
            mid: 1,
            flags,
            inode: 2,
            inode_src: 3,
            from,
            to,
            cred: cred(),
        })
    };
    let m = msg::CLTOMA_FUSE_APPEND_SLICE;
    let head = p().u32(1).u8(3).u32(2).u32(3).u32(4).u32(5).u32(11);
    means(m, head.clone().u32(1).u32(22), slice(3, 4, 5));
    refused(m, head.u32(22), Fault::Length);
    let head = p().u32(1).u32(2).u32(3).u32(11);
    means(
        m,
        head.clone().u32(1).u32(22),
        slice(0, 0, AppendSlice::WHOLE),
    );
    means(m, head.u32(22), slice(0, 0, AppendSlice::WHOLE));
}

#[test]
fn snapshot_forms() {
    let request = |smode, umask| {
        Request::Snapshot(Snapshot {
            mid: 1,
            inode: 2,
            parent_dst: 3,
            name: b"snap",
            cred: cred(),
            smode,
            umask,
        })
    };
    let m = msg::CLTOMA_FUSE_SNAPSHOT;
    let head = p().u32(1).u32(2).u32(3).name(b"snap").u32(11);
    means(
        m,
        head.clone().u32(1).u32(22).u8(0x0F).u16(0o22),
        request(0x0F, 0o22),
    );
    means(
        m,
        head.clone().u32(22).u8(0x0F).u16(0o22),
        request(0x0F, 0o22),
    );
    means(m, head.clone().u32(22).u8(0x0F), request(0x0D, 0));
    refused(
        m,
        head.u32(1).u32(22).u8(0),
        Fault::GroupCount { declared: 1 },
    );
}

#[test]
fn other_optional_parts() {
    means(
        msg::CLTOMA_FUSE_GETTRASH,
        p().u32(1),
        Request::Gettrash(Gettrash {
            mid: 1,
            bucket: None,
        }),
    );
    means(
        msg::CLTOMA_FUSE_GETTRASH,
        p().u32(1).u32(4095),
        Request::Gettrash(Gettrash {
            mid: 1,
            bucket: Some(4095),
        }),
    );
    means(
        msg::CLTOMA_FUSE_GETTRASH,
        p().u32(1).u32(4096),
        Request::Gettrash(Gettrash {
            mid: 1,
            bucket: None,
        }),
    );

    let getfacl = Request::Getfacl(Getfacl {
        mid: 1,
        inode: 2,
        acl_type: 1,
    });
    let m = msg::CLTOMA_FUSE_GETFACL;
    let head = p().u32(1).u32(2).u8(1);
    means(m, head.clone(), getfacl);
    means(m, head.clone().u8(0).u32(11).u32(22), getfacl);
    means(m, head.clone().u8(0).u32(11).u32(1).u32(22), getfacl);
    for extra in 1..9 {
        refused(m, head.clone().b(&[0; 8][..extra]), Fault::Length);
    }

    let m = msg::CLTOMA_FUSE_GETXATTR;
    let getxattr = Getxattr {
        mid: 1,
        inode: 2,
        name: b"user.a",
        mode: 1,
        opened: true,
        cred: cred(),
    };
    let head = p().u32(1).u32(2).name(b"user.a").u8(1).u8(1).u32(11);
    means(m, head.clone().u32(22), Request::Getxattr(getxattr));
    means(m, head.u32(1).u32(22), Request::Getxattr(getxattr));
    assert_eq!(Request::Getxattr(getxattr).expect(), Expect::XattrLength);

    let quota = |limits| {
        Request::QuotaControl(QuotaControl {
            mid: 1,
            inode: 2,
            qflags: 3,
            limits,
        })
    };
    let m = msg::CLTOMA_FUSE_QUOTACONTROL;
    let head = p().u32(1).u32(2).u8(3);
    means(m, head.clone(), quota(None));
    refused(m, head.clone().b(&[0; 55]), Fault::Length);
    let values = |head: P| head.u32(1).u64(2).u64(3).u64(4).u32(5).u64(6).u64(7).u64(8);
    let long = values(head.clone().u32(60));
    let Ok(Request::QuotaControl(QuotaControl {
        limits: Some(limits),
        ..
    })) = decode(m, &long)
    else {
        panic!("no limits");
    };
    assert_eq!(limits.grace_period, 60);
    assert_eq!(limits.soft.realsize, 4);
    assert_eq!(limits.hard.inodes, 5);
    let mut without_grace = limits;
    without_grace.grace_period = 0;
    means(m, values(head), quota(Some(without_grace)));
}

#[test]
fn property_forms() {
    let m = msg::CLTOMA_FUSE_SETSCLASS;
    let request = |smode, class, old_class| {
        Request::Setsclass(Setsclass {
            mid: 1,
            inode: 2,
            uid: 3,
            smode,
            class,
            old_class,
            surplus: &[],
        })
    };
    let head = p().u32(1).u32(2).u32(3);
    means(
        m,
        head.clone().u8(4).u8(0),
        request(0, ClassRef::Number(4), None),
    );
    means(
        m,
        head.clone().u8(255).u8(4).name(b"new"),
        request(4, ClassRef::Name(b"new"), None),
    );
    means(
        m,
        head.clone().u8(255).u8(7).name(b"old").name(b"new"),
        request(7, ClassRef::Name(b"new"), Some(b"old")),
    );
    refused(m, head.clone().u8(255).u8(3).name(b"old"), Fault::Length);
    refused(m, head.u8(255).u8(0), Fault::Length);

    let m = msg::CLTOMA_FUSE_ARCHCTL;
    let request = |command| {
        Request::Archctl(Archctl {
            mid: 1,
            inode: 2,
            command,
        })
    };
    let head = p().u32(1).u32(2);
    means(m, head.clone().u8(2), request(ArchCommand::Get));
    means(
        m,
        head.clone().u8(1).u32(9),
        request(ArchCommand::Set { uid: 9 }),
    );
    means(
        m,
        head.clone().u8(0).u32(9),
        request(ArchCommand::Clear { uid: 9 }),
    );
    refused(m, head.clone().u8(2).u32(9), Fault::Length);
    refused(m, head.u8(1), Fault::Length);
}

#[test]
fn setsclass_keeps_what_is_behind_its_fields() {
    let m = msg::CLTOMA_FUSE_SETSCLASS;
    let head = |number, smode| p().u32(1).u32(2).u32(3).u8(number).u8(smode);
    let exact = [
        head(1, 0),
        head(9, 255),
        head(0, 0),
        head(10, 7),
        head(254, 3),
        head(255, 0).name(b"new"),
        head(255, 2).name(b""),
        head(255, 7).name(b"old").name(b"new"),
    ];
    for payload in exact {
        let Ok(Request::Setsclass(request)) = decode(m, &payload) else {
            panic!("{payload:?}");
        };
        assert!(request.surplus.is_empty() && request.has_legal_length());
        for length in 0..payload.0.len() {
            let error = decode(m, &P(payload.0[..length].to_vec())).unwrap_err();
            assert!(matches!(error.fault, Fault::Length | Fault::InnerLength));
        }
        for surplus in [&b"x"[..], b"more"] {
            let longer = payload.clone().b(surplus);
            let bent = Setsclass { surplus, ..request };
            means(m, longer.clone(), Request::Setsclass(bent));
            let exact_only = matches!(bent.class, ClassRef::Number(1..=9));
            assert_eq!(bent.has_legal_length(), !exact_only);
            let mut encoded = Vec::new();
            Request::Setsclass(bent).encode(&mut encoded);
            assert_eq!(encoded[HEADER_LEN..], longer.0);
        }
    }
}

#[test]
fn registration_forms() {
    let m = msg::CLTOMA_FUSE_REGISTER;
    let start = |code| p().b(mfs_proto::register::BLOB).u8(code);
    let head = start(2)
        .u32(Version::MASTER.0)
        .u32(5)
        .b(b"/mnt\0")
        .u32(5)
        .b(b"/sub\0");
    let request = |resume, digest| {
        Request::Register(Register::NewSession(NewSession {
            version: Version::MASTER,
            info: b"/mnt",
            path: b"/sub",
            resume,
            digest,
        }))
    };
    let resume = |metaid| {
        Some(Resume {
            session_id: 5,
            metaid,
        })
    };
    let digest = [9; 16];
    means(m, head.clone(), request(None, None));
    means(m, head.clone().u32(5), request(resume(None), None));
    means(
        m,
        head.clone().u32(5).u64(6),
        request(resume(Some(6)), None),
    );
    means(m, head.clone().b(&digest), request(None, Some(digest)));
    means(
        m,
        head.clone().u32(5).b(&digest),
        request(resume(None), Some(digest)),
    );
    means(
        m,
        head.clone().u32(5).u64(6).b(&digest),
        request(resume(Some(6)), Some(digest)),
    );
    for extra in [1, 8, 15, 17, 24, 29] {
        refused(m, head.clone().b(&[0; 32][..extra]), Fault::Length);
    }
    refused(
        m,
        start(2).u32(0).u32(0).u32(2).b(b"/x"),
        Fault::Unterminated,
    );
    refused(m, p().b(&[b'x'; 64]).u8(1), Fault::Blob);
    refused(
        m,
        start(7),
        Fault::Value {
            field: "rcode",
            value: 7,
        },
    );
    refused(m, p().b(mfs_proto::register::BLOB), Fault::Length);

    assert!(Register::GetRandom.allowed(false));
    assert!(!Register::GetRandom.allowed(true));
    let Ok(Request::Register(close)) = decode(m, &start(6).u32(5)).map(|r| match r {
        Request::Register(Register::CloseSession(c)) => {
            Request::Register(Register::CloseSession(c))
        }
        other => panic!("{other:?}"),
    }) else {
        panic!("close is not understood");
    };
    assert!(close.allowed(true) && !close.allowed(false));
}

fn some_attr() -> Attr {
    Attr {
        mattr: mattr::NO_XATTR | mattr::ALLOW_DATA_CACHE,
        file_type: FileType::File,
        mode: 0o644,
        uid: 1,
        gid: 2,
        atime: 3,
        mtime: 4,
        ctime: 5,
        nlink: 6,
        size: 7,
        winattr: 8,
    }
}

#[test]
fn attribute_record() {
    let body = p().u32(1).u32(2).u32(3).u32(4).u32(5).u32(6).u64(7);
    let reply = Reply::Getattr(AttrReply { attr: some_attr() });
    let head = p().u32(7).u8(0x0C).u16(0x11A4).b(&body.0);
    assert_eq!(payload_of(&reply, Version::MASTER), head.clone().u8(8).0);
    assert_eq!(payload_of(&reply, Version::new(3, 0, 92)), head.0);
    let oldest = p().u32(7).u8(b'f').u16(0xC1A4).b(&body.0);
    assert_eq!(payload_of(&reply, Version(0x0001_061A)), oldest.0);
    assert_eq!(Attr::device(0x0507), 0x0507_0000_0000);
    let device = Attr {
        size: Attr::device(0x0507),
        ..some_attr()
    };
    assert_eq!(device.rdev(), 0x0507);
    // A type that does not exist does not decode.
    let bad = p().u32(7).u8(0).u16(0x81A4).b(&body.0).u8(0);
    assert!(
        Answer::decode(
            msg::MATOCL_FUSE_GETATTR,
            &bad.0,
            Version::MASTER,
            Expect::Plain
        )
        .is_err()
    );
}

#[test]
fn answer_lengths_by_client_version() {
    let version = Version::new;
    let attr = some_attr();
    let length = |reply: &Reply<'_>, v| payload_of(reply, v).len();

    let statfs = Reply::Statfs(StatfsReply::default());
    assert_eq!(length(&statfs, version(3, 0, 102)), 48);
    assert_eq!(length(&statfs, version(3, 0, 101)), 40);
    assert_eq!(length(&statfs, version(4, 0, 0)), 40);
    assert_eq!(length(&statfs, version(4, 9, 0)), 48);

    let quota = Reply::QuotaControl(QuotaReply::default());
    assert_eq!(length(&quota, version(3, 0, 9)), 93);
    assert_eq!(length(&quota, version(3, 0, 8)), 89);

    let check = Reply::Check(CheckReply::Counts([1; 12]));
    assert_eq!(length(&check, version(3, 0, 30)), 52);
    assert_eq!(length(&check, version(3, 0, 29)), 48);

    let open = Reply::Open(OpenReply { oflags: 1, attr });
    assert_eq!(length(&open, version(3, 0, 113)), 41);
    assert_eq!(length(&open, version(3, 0, 112)), 40);

    let create = Reply::Create(CreateReply {
        oflags: 1,
        inode: 2,
        attr,
    });
    assert_eq!(length(&create, version(3, 0, 113)), 45);
    assert_eq!(length(&create, version(3, 0, 112)), 44);

    let truncate = Reply::Truncate(TruncateReply {
        prev_length: 1,
        attr,
    });
    assert_eq!(length(&truncate, version(3, 0, 113)), 48);
    assert_eq!(length(&truncate, version(3, 0, 112)), 40);

    let unlink = Reply::Unlink(RemoveReply { inode: 3 });
    assert_eq!(length(&unlink, version(3, 0, 107)), 8);
    assert_eq!(payload_of(&unlink, version(3, 0, 106)), [0, 0, 0, 7, 0]);
    assert_eq!(length(&unlink, version(4, 17, 0)), 5);

    let locations = [Location {
        ip: 1,
        port: 2,
        version: Version::MASTER,
        labels: 3,
    }; 2];
    let chunk = Reply::ReadChunk(ChunkReply {
        length: 1,
        chunkid: 2,
        version: 3,
        locations: (&locations).into(),
    });
    assert_eq!(length(&chunk, version(3, 0, 10)), 25 + 2 * 14);
    assert_eq!(length(&chunk, version(3, 0, 9)), 25 + 2 * 10);
    assert_eq!(length(&chunk, Version(0x0001_061A)), 24 + 2 * 6);

    let lookup = |chunk_zero| {
        Reply::Lookup(LookupReply {
            inode: 1,
            attr,
            lflags: 0xFF,
            chunk_zero,
        })
    };
    let zero = ChunkZero {
        chunkid: 0,
        version: 0,
        locations: (&locations).into(),
    };
    assert_eq!(length(&lookup(None), Version::MASTER), 46);
    assert_eq!(length(&lookup(Some(zero)), Version::MASTER), 59 + 2 * 14);
    assert_eq!(length(&lookup(Some(zero)), version(3, 0, 39)), 43);
    let bytes = payload_of(&lookup(Some(zero)), Version::MASTER);
    assert_eq!(
        bytes[44..46],
        (0xFF | lflags::CHUNK_ZERO_DATA).to_be_bytes()
    );

    let limits = SessionLimits::default();
    let session = Reply::Register(RegisterReply::Session(SessionReply {
        version: Version::MASTER,
        session_id: 1,
        metaid: 2,
        flags: 3,
        umask: 4,
        root_uid: 5,
        root_gid: 6,
        mapall_uid: 7,
        mapall_gid: 8,
        limits,
        disables: 9,
    }));
    let meta = Reply::Register(RegisterReply::MetaSession(MetaSessionReply {
        version: Version::MASTER,
        session_id: 1,
        metaid: 2,
        flags: 3,
        limits,
    }));
    let reconnect = Reply::Register(RegisterReply::Reconnect {
        version: Version::MASTER,
        status: Status::EPERM,
    });
    // A registration has no message id.
    let length = |reply: &Reply<'_>, v| {
        let mut out = Vec::new();
        reply.encode(None, v, &mut out);
        out.len() - HEADER_LEN
    };
    for (minor, expected) in [
        (117, 49),
        (112, 49),
        (111, 45),
        (72, 45),
        (71, 43),
        (11, 43),
        (10, 35),
    ] {
        assert_eq!(length(&session, version(3, 0, minor)), expected);
    }
    assert_eq!(length(&meta, version(3, 0, 11)), 27);
    assert_eq!(length(&meta, version(3, 0, 10)), 19);
    assert_eq!(length(&reconnect, version(3, 0, 95)), 5);
    assert_eq!(length(&reconnect, version(3, 0, 94)), 1);
}

#[test]
fn statuses_and_unsolicited() {
    let mut out = Vec::new();
    status_reply(msg::MATOCL_FUSE_RENAME, 9, Status::EACCES, &mut out);
    assert_eq!(out, p().u32(425).u32(5).u32(9).u8(4).0);
    let answer = |message, payload: &P| {
        Answer::decode(message, &payload.0, Version::MASTER, Expect::Plain)
            .unwrap()
            .result
            .map(|reply| reply.msg())
    };
    let error = p().u32(9).u8(4);
    assert_eq!(answer(425, &error), Err(Status::EACCES));
    assert_eq!(peek_mid(&error.0), Some(9));
    let done = p().u32(9).u8(0);
    assert_eq!(answer(msg::MATOCL_FUSE_FLOCK, &done), Ok(493));
    // An answer without error form: this is an empty value, not a status.
    let config = Answer::decode(
        msg::ANTOAN_CONFIG_VALUE,
        &done.0,
        Version::MASTER,
        Expect::Plain,
    );
    assert!(matches!(
        config,
        Ok(Answer { result: Ok(Reply::Config(c)), .. }) if c.value.is_empty()
    ));

    let mut out = Vec::new();
    Reply::Nop.encode(UNSOLICITED, Version::MASTER, &mut out);
    Reply::InvalidateChunkCache.encode(UNSOLICITED, Version::MASTER, &mut out);
    assert_eq!(out, p().u32(0).u32(4).u32(0).u32(706).u32(4).u32(0).0);
}

#[test]
fn listing_item_by_item_is_the_listing_at_once() {
    let entries = [
        DirEntry {
            name: b".",
            inode: 1,
            info: EntryInfo::Attr(some_attr()),
        },
        DirEntry {
            name: b"file",
            inode: 9,
            info: EntryInfo::Attr(some_attr()),
        },
    ];
    let reply = |entries| {
        Reply::Readdir(ReaddirReply {
            nedgeid: Some(3),
            entries,
        })
    };
    let mut out = b"before".to_vec();
    let mut listing = ListFrame::begin(&reply(List::EMPTY), 7, Version::MASTER, &mut out);
    for entry in &entries {
        listing.push(entry);
    }
    assert_eq!(listing.len(), 12 + 2 * (1 + 4 + 36) + 5);
    listing.finish();
    let mut at_once = b"before".to_vec();
    reply((&entries).into()).encode(7, Version::MASTER, &mut at_once);
    assert_eq!(out, at_once);

    let mut listing = ListFrame::begin(&reply(List::EMPTY), 7, Version::MASTER, &mut out);
    listing.push(&entries[0]);
    listing.abandon();
    assert_eq!(out, at_once);
}

#[test]
fn unknown_messages() {
    refused(msg::CLTOMA_FUSE_FSYNC, p().u32(1), Fault::UnknownType);
    refused(msg::MATOCL_FUSE_LOOKUP, p().u32(1), Fault::UnknownType);
    refused(9999, p(), Fault::UnknownType);
    for message in 0..3 {
        assert!(matches!(
            decode(message, &p().b(b"anything")),
            Ok(Request::Ignored(i)) if i.msg == message
        ));
    }
    assert!(matches!(
        decode(msg::CLTOMA_INFO, &p().u8(1)),
        Ok(Request::Monitoring(m)) if m.msg == 510 && m.payload == [1]
    ));
    let error = decode(9999, &p()).map(|_| ()).map_err(|e| e.to_string());
    assert_eq!(
        error,
        Err("message 9999 (unknown) of 0 bytes: unknown message type".to_owned())
    );
}
