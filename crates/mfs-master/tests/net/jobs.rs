//! Periodic jobs: what they find due becomes a line, and nothing else does (spec 03 §7.3, spec 07 §7.14).

use std::time::Duration;

use mfs_master::jobs::{Jobs, TABLE};
use mfs_master::session::remove_expired;
use mfs_master::timers::Tick;
use mfs_meta::op::{Op, QuotaArgs, SnapshotArgs};
use mfs_proto::client::register::{CloseSession, Register};

use crate::server::{Got, TestServer, wait_until};

/// Runs a job of the table once.
fn run(jobs: &Jobs, name: &str) {
    let job = TABLE.iter().find(|job| job.name == name).unwrap();
    let tick = Tick {
        first: Duration::ZERO,
        last: Duration::ZERO,
        now: Duration::ZERO,
    };
    (job.run)(jobs, &tick);
}

fn apply(server: &TestServer, op: &Op<'_>) {
    server.master.change(|txn| txn.apply(op)).unwrap();
}

fn create(server: &TestServer, name: &str, kind: u8) {
    let op = Op::Create {
        parent: 1,
        name: name.as_bytes().into(),
        kind,
        mode: 0o755,
        umask: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
    };
    apply(server, &op);
}

#[test]
fn sessions_that_nobody_comes_back_to_are_removed() {
    let server = TestServer::start();
    let (mut closing, closed) = server.mount();
    let (gone, disconnected) = server.mount();
    let (_staying, connected) = server.mount();
    closing.register(Register::CloseSession(CloseSession {
        session_id: closed,
        metaid: None,
    }));
    assert_eq!(closing.answer(), Got::Closed);
    drop(gone);
    wait_until(|| server.master.read().live.sessions.connected().count() == 1);
    let sessions = || -> Vec<u32> {
        let state = server.master.read();
        state.meta.sessions().map(|(id, _)| id).collect()
    };
    // Only the closed one: the other may still come back.
    remove_expired(&server.master, 3600);
    assert_eq!(sessions(), [disconnected, connected]);
    assert_eq!(server.lines().last().unwrap(), &format!("SESDEL({closed})"));
    let now = server.master.clock.now();
    wait_until(|| server.master.clock.now() > now);
    remove_expired(&server.master, 0);
    assert_eq!(sessions(), [connected]);
    let lines = server.lines().len();
    remove_expired(&server.master, 0);
    assert_eq!(server.lines().len(), lines);
    assert!(server.master.read().live.sessions.get(closed).is_none());
}

#[test]
fn an_exceeded_quota_is_marked_once() {
    let server = TestServer::start();
    let jobs = Jobs::new(server.master.clone());
    create(&server, "dir", 2);
    let quota = QuotaArgs {
        inode: 1,
        exceeded: 0,
        flags: 0x01,
        since: 0,
        sinodes: 1,
        hinodes: 0,
        slength: 0,
        hlength: 0,
        ssize: 0,
        hsize: 0,
        srealsize: 0,
        hrealsize: 0,
        grace: 1000,
    };
    apply(&server, &Op::Quota(Box::new(quota)));
    let before = server.lines().len();
    run(&jobs, "quotas");
    assert_eq!(server.lines().len(), before);
    create(&server, "more", 2);
    run(&jobs, "quotas");
    run(&jobs, "quotas");
    let lines = server.lines();
    assert_eq!(lines.len(), before + 2);
    let since = server.master.read().meta.quota(1).unwrap().since;
    assert_ne!(since, 0);
    assert!(
        lines
            .last()
            .unwrap()
            .starts_with(&format!("QUOTA(1,0,1,{since},1,0,")),
        "{lines:?}"
    );
}

#[test]
fn files_that_are_open_nowhere_go_in_their_turn() {
    let server = TestServer::start();
    let jobs = Jobs::new(server.master.clone());
    create(&server, "file", 1);
    let inode = server.master.read().meta.lookup(1, b"file").unwrap();
    let open = Op::Acquire { session: 1, inode };
    apply(&server, &open);
    let gone = Op::Unlink {
        parent: 1,
        name: b"file".as_slice().into(),
    };
    apply(&server, &gone);
    // Out of the trash and, being open, sustained.
    apply(&server, &Op::Purge { inode });
    let before = server.lines().len();
    for _ in 0..256 {
        run(&jobs, "sustained files");
    }
    assert_eq!(server.lines().len(), before, "it is open");
    apply(&server, &Op::Release { session: 1, inode });
    for _ in 0..256 {
        run(&jobs, "sustained files");
    }
    let lines = server.lines();
    assert_eq!(lines.len(), before + 2);
    let bucket = inode % 256;
    assert_eq!(
        lines.last().unwrap(),
        &format!("EMPTYSUSTAINED({bucket}):1,{inode}")
    );
    assert!(server.master.read().meta.node(inode).is_none());
}

#[test]
fn an_idle_master_writes_nothing() {
    let server = TestServer::start();
    let jobs = Jobs::new(server.master.clone());
    let before = server.lines();
    for job in &TABLE {
        if !job.name.contains("image") {
            run(&jobs, job.name);
        }
    }
    assert_eq!(server.lines(), before);
}

/// Numbers of inodes come back; what the master remembers of the objects that had them does not, whichever way the
/// object went and whichever way the number is given again.
#[test]
fn a_number_that_is_given_again_inherits_nothing() {
    const SESSION: u32 = 1;
    let server = TestServer::start();
    create(&server, "source", 2);
    let of = |name: &[u8]| server.master.read().meta.lookup(1, name);
    let unlink = |name: &str| Op::Unlink {
        parent: 1,
        name: name.as_bytes().to_owned().into(),
    };
    let mut reused = 0;
    for sustained in [false, true] {
        create(&server, "file", 1);
        let inode = of(b"file").unwrap();
        {
            let state = &mut *server.master.state.write();
            assert!(!state.live.cache.open(inode, SESSION));
            state.live.cache.access(inode, SESSION);
            assert!(state.live.cache.open(inode, SESSION));
            state.live.append.reserve(inode, 1000);
        }
        if sustained {
            let session = SESSION;
            apply(&server, &Op::Acquire { session, inode });
            apply(&server, &unlink("file"));
            apply(&server, &Op::Purge { inode });
            apply(&server, &Op::Release { session, inode });
            apply(
                &server,
                &Op::EmptySustained {
                    bucket: inode % 256,
                },
            );
        } else {
            apply(&server, &unlink("file"));
            apply(&server, &Op::Purge { inode });
        }
        assert!(server.master.read().meta.node(inode).is_none());
        let free = Op::FreeInodes {
            delay: 0,
            keep_open: true,
        };
        let due = |state: &mfs_master::master::State| {
            state.meta.free_inodes_due(server.master.clock.now(), 0)
        };
        wait_until(|| due(&server.master.read()));
        apply(&server, &free);
        // Nothing but a line of its own tells that a snapshot makes objects.
        let source = of(b"source").unwrap();
        let copy = Op::Snapshot(Box::new(SnapshotArgs {
            src: source,
            parent: 1,
            name: format!("copy{sustained}").into_bytes().into(),
            smode: 0,
            sesflags: 0,
            uid: 0,
            gids: vec![0],
            umask: 0,
        }));
        apply(&server, &copy);
        if of(format!("copy{sustained}").as_bytes()) == Some(inode) {
            reused += 1;
        }
        let state = server.master.read();
        assert!(!state.live.cache.open(inode, SESSION));
        assert_eq!(state.live.append.end(inode, 0), 0);
    }
    assert_eq!(reused, 2);
}
