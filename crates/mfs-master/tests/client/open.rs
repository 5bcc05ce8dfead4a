//! OPEN, and what LOOKUP tells ahead of it: who may, and when cached data stays valid (spec 04 §7.4, §7.6, §10).

use mfs_proto::client::attr::{self, oflags, open_flags};
use mfs_proto::client::property::Seteattr;
use mfs_proto::client::quota::{QuotaControl, QuotaLimits, QuotaValues, qflags};
use mfs_proto::client::register::{NewSession, Register};
use mfs_proto::client::xattr::{Acl, AclEntry, Setfacl, acl_type};
use mfs_proto::client::{Cred, Reply, Request, data};
use mfs_proto::wire::List;
use mfs_proto::{Status, Version};

use crate::ours::{ask, create, mkdir, open, status};
use crate::server::{Client, TestServer};

#[test]
fn cutting_and_reading_may_be_the_rights_of_different_groups() {
    use open_flags::{READ, TRUNCATE, WRITE};
    let server = TestServer::start();
    let (mut client, _) = server.mount();
    let f = create(&mut client, 1, "f");
    let entry = |id, perm| AclEntry { id, perm };
    let groups = [entry(101, 4), entry(200, 2)];
    let acl = Acl {
        user: 7,
        group: 0,
        other: 0,
        mask: 7,
        users: List::from(&[][..]),
        groups: List::from(&groups[..]),
    };
    let set = Request::Setfacl(Setfacl {
        mid: 1,
        inode: f,
        uid: 0,
        acl_type: acl_type::ACCESS,
        acl,
    });
    assert_eq!(status(&mut client, &set), Status::OK);
    let mut try_open = |flags| {
        let request = Request::Open(attr::Open {
            mid: 1,
            inode: f,
            cred: Cred::new(1002, &[101, 200]),
            flags,
        });
        status(&mut client, &request)
    };
    assert_eq!(try_open(READ), Status::OK);
    assert_eq!(try_open(READ | TRUNCATE), Status::OK);
    assert_eq!(try_open(READ | WRITE), Status::EACCES);
    assert_eq!(try_open(READ | WRITE | TRUNCATE), Status::EACCES);
}

#[test]
fn a_write_that_a_quota_cuts_off_voids_what_others_have_cached() {
    use open_flags::{CACHE_CLEARED, READ};
    let server = TestServer::start();
    let ((mut one, _), (mut two, _)) = (server.mount(), server.mount());
    let dir = mkdir(&mut one, 1, "dir");
    let f = create(&mut one, dir, "f");
    for client in [&mut one, &mut two] {
        open(client, f, READ);
        assert_eq!(open(client, f, READ | CACHE_CLEARED), oflags::KEEPCACHE);
    }
    let hard = QuotaValues {
        length: 10,
        ..QuotaValues::default()
    };
    let quota = Request::QuotaControl(QuotaControl {
        mid: 1,
        inode: dir,
        qflags: qflags::HARD_LENGTH,
        limits: Some(QuotaLimits {
            grace_period: 0,
            soft: QuotaValues::default(),
            hard,
        }),
    });
    assert_eq!(status(&mut one, &quota), Status::OK);
    let end = Request::WriteChunkEnd(data::WriteChunkEnd {
        mid: 1,
        chunkid: 99,
        inode: f,
        index: Some(0),
        length: 11,
        flags: 0,
    });
    assert_eq!(status(&mut one, &end), Status::QUOTA);
    assert_eq!(open(&mut one, f, READ), oflags::KEEPCACHE);
    assert_eq!(open(&mut two, f, READ), 0);
}

#[test]
fn old_clients_learn_that_a_file_is_append_only_and_that_they_cannot_write_it() {
    use attr::lflags::{ACCESS_MASKS, ACCESS_MASKS_NO_WRITE, APPENDONLY};
    let server = TestServer::start();
    let (mut client, _) = server.mount();
    let f = create(&mut client, 1, "f");
    let set = Request::Seteattr(Seteattr {
        mid: 1,
        inode: f,
        uid: 0,
        eattr: mfs_meta::eattr::APPENDONLY,
        smode: 0,
    });
    assert_eq!(status(&mut client, &set), Status::OK);
    let mut old = mount_of(&server, Version::new(3, 0, 92));
    for (client, access) in [
        (&mut client, ACCESS_MASKS),
        (&mut old, ACCESS_MASKS_NO_WRITE),
    ] {
        assert_eq!(lookup(client).lflags, APPENDONLY | access);
    }
}

#[test]
fn old_clients_learn_from_the_attributes_alone_that_they_may_keep_data() {
    use attr::lflags::{ACCESS_MASKS, KEEPCACHE};
    use open_flags::{CACHE_CLEARED, READ};
    let server = TestServer::start();
    let mut old = mount_of(&server, Version::new(3, 0, 112));
    let (mut client, _) = server.mount();
    let f = create(&mut client, 1, "f");
    for (client, told) in [(&mut client, KEEPCACHE), (&mut old, 0)] {
        open(client, f, READ);
        open(client, f, READ | CACHE_CLEARED);
        let found = lookup(client);
        assert_eq!(found.lflags, ACCESS_MASKS | told);
        let kept = found.attr.mattr & mfs_proto::client::mattr::ALLOW_DATA_CACHE;
        assert_ne!(kept, 0);
    }
}

/// A mount of an older version.
fn mount_of(server: &TestServer, version: Version) -> Client {
    let mut old = server.client();
    old.version = version;
    old.register(Register::NewSession(NewSession {
        version,
        info: b"/mnt",
        path: b"/",
        resume: None,
        digest: None,
    }));
    old
}

/// What root is told of the file "f".
fn lookup(client: &mut Client) -> attr::LookupReply<'static> {
    let lookup = Request::Lookup(attr::Lookup {
        mid: 1,
        parent: 1,
        name: b"f",
        cred: Cred::new(0, &[0]),
    });
    ask(client, &lookup, |answer| match answer {
        Ok(Reply::Lookup(reply)) => attr::LookupReply {
            chunk_zero: None,
            ..reply
        },
        other => panic!("{other:?}"),
    })
}
