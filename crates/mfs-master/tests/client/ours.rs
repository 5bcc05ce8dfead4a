//! Where we do not follow the original: it crashes, writes lines that it cannot replay, breaks its promises or its
//! files (spec README, spec 03 §9.2, spec 07 §7.17).

use mfs_proto::client::info::{NodeInfo, NodeInfoReply};
use mfs_proto::client::property::{ChangedReply, ClassRef, Setsclass, Settrashtime, smode};
use mfs_proto::client::quota::{QuotaControl, QuotaLimits, QuotaValues, qflags};
use mfs_proto::client::xattr::Setxattr;
use mfs_proto::client::{Answer, Cred, InodeRequest, Reply, Request, attr, data, peek_mid, tree};
use mfs_proto::{Status, msg};

use crate::server::{Client, Got, TestServer};

/// The grace period of quotas by default, seconds.
const WEEK: u32 = 604_800;

pub(crate) fn root() -> Cred<'static> {
    Cred::new(0, &[0])
}

fn user() -> Cred<'static> {
    Cred::new(1000, &[100])
}

/// Sends a request and gives its answer to `look`.
pub(crate) fn ask<T>(
    client: &mut Client,
    request: &Request<'_>,
    look: impl FnOnce(Result<Reply<'_>, Status>) -> T,
) -> T {
    client.send(request);
    loop {
        match client.answer() {
            Got::Frame(message, payload) if message == request.msg() + 1 => {
                if peek_mid(&payload) != request.mid() && request.mid().is_some() {
                    continue;
                }
                let answer = Answer::decode(message, &payload, client.version, request.expect());
                return look(answer.unwrap().result);
            }
            Got::Frame(..) => {}
            Got::Closed => panic!("closed after {request:?}"),
        }
    }
}

pub(crate) fn status(client: &mut Client, request: &Request<'_>) -> Status {
    ask(client, request, |answer| answer.err().unwrap_or(Status::OK))
}

/// The number of the object that an answer tells of.
pub(crate) fn made(client: &mut Client, request: &Request<'_>) -> u32 {
    ask(client, request, |answer| match answer {
        Ok(Reply::Create(reply)) => reply.inode,
        Ok(Reply::Mkdir(reply) | Reply::Mknod(reply)) => reply.inode,
        other => panic!("{other:?}"),
    })
}

pub(crate) fn create(client: &mut Client, parent: u32, name: &str) -> u32 {
    create_as(client, parent, name, root())
}

fn create_as(client: &mut Client, parent: u32, name: &str, cred: Cred<'_>) -> u32 {
    let request = Request::Create(tree::Create {
        mid: 1,
        parent,
        name: name.as_bytes(),
        mode: 0o666,
        umask: 0,
        cred,
    });
    made(client, &request)
}

pub(crate) fn mkdir(client: &mut Client, parent: u32, name: &str) -> u32 {
    let request = Request::Mkdir(tree::Mkdir {
        mid: 1,
        parent,
        name: name.as_bytes(),
        mode: 0o777,
        umask: 0,
        cred: root(),
        copysgid: false,
    });
    made(client, &request)
}

pub(crate) fn open(client: &mut Client, inode: u32, flags: u8) -> u8 {
    let request = Request::Open(attr::Open {
        mid: 1,
        inode,
        cred: root(),
        flags,
    });
    ask(client, &request, |answer| match answer {
        Ok(Reply::Open(reply)) => reply.oflags,
        other => panic!("{other:?}"),
    })
}

fn rename<'a>(from: u32, name: &'a str, to: u32, new: &'a str) -> Request<'a> {
    Request::Rename(tree::Rename {
        mid: 1,
        parent_src: from,
        name_src: name.as_bytes(),
        parent_dst: to,
        name_dst: new.as_bytes(),
        cred: root(),
    })
}

fn unlink(parent: u32, name: &str) -> Request<'_> {
    Request::Unlink(tree::Remove {
        mid: 1,
        parent,
        name: name.as_bytes(),
        cred: root(),
    })
}

pub(crate) fn truncate(
    client: &mut Client,
    inode: u32,
    length: u64,
    flags: u8,
) -> Result<u64, Status> {
    let request = Request::Truncate(data::Truncate {
        mid: 1,
        inode,
        flags,
        cred: root(),
        length,
    });
    ask(client, &request, |answer| match answer {
        Ok(Reply::Truncate(reply)) => Ok(reply.prev_length),
        Ok(other) => panic!("{other:?}"),
        Err(status) => Err(status),
    })
}

/// Lines of these operations.
pub(crate) fn lines(server: &TestServer, operations: &[&str]) -> Vec<String> {
    server
        .lines()
        .into_iter()
        .filter(|line| {
            operations
                .iter()
                .any(|operation| line.starts_with(operation))
        })
        .collect()
}

#[test]
fn a_directory_does_not_move_into_itself() {
    let server = TestServer::start();
    let (mut client, _) = server.mount();
    let dir = mkdir(&mut client, 1, "dir");
    let below = mkdir(&mut client, dir, "below");
    for target in [dir, below] {
        assert_eq!(
            status(&mut client, &rename(1, "dir", target, "x")),
            Status::EINVAL
        );
    }
}

#[test]
fn what_has_no_name_has_no_parents() {
    let server = TestServer::start();
    let (mut client, _) = server.mount();
    let (trash, sustained) = (create(&mut client, 1, "t"), create(&mut client, 1, "s"));
    let request = Request::Settrashtime(Settrashtime {
        mid: 1,
        inode: sustained,
        uid: 0,
        trashtime: 0,
        smode: smode::SET,
    });
    assert_eq!(status(&mut client, &request), Status::OK);
    for name in ["t", "s"] {
        assert_eq!(status(&mut client, &unlink(1, name)), Status::OK);
    }
    for inode in [trash, sustained] {
        let request = Request::Parents(InodeRequest { mid: 1, inode });
        let parents = ask(&mut client, &request, |answer| match answer {
            Ok(Reply::Parents(reply)) => reply.inodes.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(parents, 0);
    }
}

#[test]
fn node_info_is_answered_before_a_registration() {
    let server = TestServer::start();
    let (mut client, _) = server.mount();
    let inode = create(&mut client, 1, "f");
    let mut stranger = server.client();
    let request = Request::NodeInfo(NodeInfo {
        mid: Some(1),
        inode: 1,
        maxentries: 10,
        continueid: 0,
    });
    let children = ask(&mut stranger, &request, |answer| match answer {
        Ok(Reply::NodeInfo(NodeInfoReply::Directory { children, .. })) => {
            children.iter().collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(children, [inode]);
}

#[test]
fn attributes_that_no_image_can_hold_are_refused() {
    let server = TestServer::start();
    let (mut client, _) = server.mount();
    let f = create(&mut client, 1, "f");
    let mut set = |name: &str, value: &[u8]| {
        let request = Request::Setxattr(Setxattr {
            mid: 1,
            inode: f,
            name: name.as_bytes(),
            value,
            mode: 0,
            opened: false,
            cred: root(),
        });
        status(&mut client, &request)
    };
    assert_eq!(set("user.x", &vec![1; 65_537]), Status::ERANGE);
    assert_eq!(set("", b"1"), Status::EINVAL);
    assert_eq!(set("user.x", &vec![1; 65_536]), Status::OK);
    assert_eq!(lines(&server, &["SETXATTR"]).len(), 1);
}

#[test]
fn soft_limits_have_the_configured_grace_period() {
    let server = TestServer::start();
    let (mut client, _) = server.mount();
    let control = |qflags, limits| {
        Request::QuotaControl(QuotaControl {
            mid: 1,
            inode: 1,
            qflags,
            limits,
        })
    };
    let grace = |client: &mut Client, request: &Request<'_>| {
        ask(client, request, |answer| match answer {
            Ok(Reply::QuotaControl(reply)) => reply.grace_period,
            other => panic!("{other:?}"),
        })
    };
    let limits = |grace_period| QuotaLimits {
        grace_period,
        soft: QuotaValues {
            inodes: 5,
            ..QuotaValues::default()
        },
        hard: QuotaValues {
            inodes: 9,
            ..QuotaValues::default()
        },
    };
    let hard = control(qflags::HARD_INODES, Some(limits(0)));
    assert_eq!(grace(&mut client, &hard), 0);
    let soft = control(qflags::SOFT_INODES, Some(limits(0)));
    assert_eq!(grace(&mut client, &soft), WEEK);
    let other = control(qflags::SOFT_INODES, Some(limits(77)));
    assert_eq!(grace(&mut client, &other), 77);
    // A query stores nothing.
    let query = control(0, Some(limits(5)));
    assert_eq!(grace(&mut client, &query), 77);
    assert_eq!(lines(&server, &["QUOTA"]).len(), 3);
}

#[test]
fn an_update_keeps_what_is_promised_beyond_it() {
    use data::truncate_flags::{OPENED, RESERVE, UPDATE};
    const APPEND: u8 = OPENED | UPDATE | RESERVE;
    let server = TestServer::start();
    let (mut client, _) = server.mount();
    let f = create(&mut client, 1, "f");
    assert_eq!(truncate(&mut client, f, 9, APPEND), Ok(0));
    assert_eq!(truncate(&mut client, f, 10, APPEND), Ok(9));
    assert_eq!(truncate(&mut client, f, 9, OPENED | UPDATE), Ok(0));
    assert_eq!(truncate(&mut client, f, 1, APPEND), Ok(19));
    assert_eq!(truncate(&mut client, f, 5, OPENED), Ok(9));
    assert_eq!(truncate(&mut client, f, 1, APPEND), Ok(5));
    // Nor does it go beyond what a file can be.
    let most = 1 << 57;
    assert_eq!(
        truncate(&mut client, f, most + 1, OPENED | UPDATE),
        Err(Status::INDEXTOOBIG)
    );
    assert_eq!(
        truncate(&mut client, f, u64::MAX, APPEND),
        Err(Status::INDEXTOOBIG)
    );
}

#[test]
fn an_unlock_that_fails_is_no_line() {
    let server = TestServer::start();
    let (mut client, _) = server.mount();
    let f = create(&mut client, 1, "f");
    let request = Request::WriteChunkEnd(data::WriteChunkEnd {
        mid: 1,
        chunkid: 99,
        inode: f,
        index: Some(0),
        length: 5,
        flags: 0,
    });
    assert_eq!(status(&mut client, &request), Status::NOCHUNK);
    let expected = [format!("LENGTH({f},5,0)")];
    assert_eq!(lines(&server, &["LENGTH", "UNLOCK"]), expected);
}

#[test]
fn a_request_to_append_without_a_slice_means_the_whole_file() {
    let server = TestServer::start();
    let (mut client, _) = server.mount();
    let (f, source) = (
        create(&mut client, 1, "f"),
        create(&mut client, 1, "source"),
    );
    assert_eq!(truncate(&mut client, source, 70_000, 0), Ok(0));
    let mut frame = Vec::new();
    mfs_proto::frame::write(&mut frame, msg::CLTOMA_FUSE_APPEND_SLICE, |out| {
        for field in [1, f, source, 0, 0] {
            out.extend_from_slice(&u32::to_be_bytes(field));
        }
    });
    client.send_bytes(&frame);
    let getattr = Request::Getattr(attr::Getattr {
        mid: 2,
        inode: f,
        opened: false,
        uid: 0,
        gid: 0,
    });
    let length = ask(&mut client, &getattr, |answer| match answer {
        Ok(Reply::Getattr(reply)) => reply.attr.size,
        other => panic!("{other:?}"),
    });
    assert_eq!(length, 70_000);
}

#[test]
fn opening_with_truncation_voids_what_others_have_cached() {
    use attr::oflags::KEEPCACHE;
    use attr::open_flags::{CACHE_CLEARED, READ, TRUNCATE, WRITE};
    let server = TestServer::start();
    let ((mut one, _), (mut two, _)) = (server.mount(), server.mount());
    let f = create(&mut one, 1, "f");
    for client in [&mut one, &mut two] {
        open(client, f, READ);
        assert_eq!(open(client, f, READ | CACHE_CLEARED), KEEPCACHE);
    }
    assert_eq!(open(&mut one, f, WRITE | TRUNCATE), KEEPCACHE);
    assert_eq!(open(&mut two, f, READ), 0);
}

/// Lines know nothing of classes that only administrators may give and take.
#[test]
fn reserved_classes_are_left_out_of_a_tree_line_by_line() {
    let server = TestServer::with_exports("127.0.0.1 / rw,maproot=0:0\n");
    let (mut client, _) = server.mount();
    let dir = mkdir(&mut client, 1, "dir");
    let (a, b) = (create(&mut client, dir, "a"), create(&mut client, dir, "b"));
    let c = create_as(&mut client, dir, "c", user());
    let any = vec![[0; 4]];
    let class = |name: &'static str, admin_only| {
        let def = mfs_meta::op::ScSetArgs {
            name: name.as_bytes().into(),
            new: true,
            create: any.clone(),
            keep: any.clone(),
            archive: any.clone(),
            mode: 1,
            delay: 0,
            admin: admin_only,
        };
        let op = mfs_meta::op::Op::ScSet(Box::new(def));
        server.master.change(|txn| txn.apply(&op)).unwrap();
    };
    class("reserved", 1);
    class("free", 0);
    let give = mfs_meta::op::Op::SetSclass {
        inode: b,
        uid: 0,
        src: 1,
        dst: 10,
        smode: smode::SET,
    };
    server.master.change(|txn| txn.apply(&give)).unwrap();
    let set = |inode, name: &'static str, mode| {
        Request::Setsclass(Setsclass {
            mid: 1,
            inode,
            uid: 0,
            smode: mode,
            class: ClassRef::Name(name.as_bytes()),
            old_class: None,
            surplus: &[],
        })
    };
    let counts = ask(
        &mut client,
        &set(dir, "free", smode::RECURSIVE),
        |answer| match answer {
            Ok(Reply::Setsclass(reply)) => reply,
            other => panic!("{other:?}"),
        },
    );
    let expected = ChangedReply {
        changed: 3,
        not_changed: 0,
        not_permitted: 1,
    };
    assert_eq!(counts, expected);
    assert_eq!(
        status(&mut client, &set(b, "free", smode::SET)),
        Status::EPERM
    );
    assert_eq!(
        status(&mut client, &set(a, "reserved", smode::SET)),
        Status::EPERM
    );
    let mut written = lines(&server, &["SETSCLASS"]);
    written[1..].sort_unstable();
    let mut own: Vec<String> = [dir, a, c]
        .iter()
        .map(|inode| format!("SETSCLASS({inode},0,1,11,0):1,0,0"))
        .collect();
    own.sort_unstable();
    assert_eq!(written[1..], own);
}

/// The number of a directory is not a way around a disabled operation.
#[test]
fn a_directory_is_a_directory_also_for_mknod() {
    let server = TestServer::with_exports("127.0.0.1 / rw,maproot=0:0,disable=mkdir\n");
    let (mut client, _) = server.mount();
    let request = Request::Mknod(tree::Mknod {
        mid: 1,
        parent: 1,
        name: b"dir",
        kind: 2,
        mode: 0o755,
        umask: 0,
        cred: root(),
        rdev: 0,
    });
    assert_eq!(status(&mut client, &request), Status::EPERM);
}
