//! Locks where we do not follow the original (spec 03 §9.2, spec 07 §7.12 and §7.17).

use mfs_proto::client::lock::{Flock, PosixLock, flock_cmd, posix_cmd, posix_type};
use mfs_proto::client::session::SustainedInodes;
use mfs_proto::client::{Request, attr, peek_mid};
use mfs_proto::wire::List;
use mfs_proto::{Status, msg};

use crate::ours::{create, lines, open, status};
use crate::server::{Client, Got, TestServer, reconnect, wait_until};

const EVERYTHING: u64 = u64::MAX;

fn flock(mid: u32, inode: u32, owner: u64, cmd: u8) -> Request<'static> {
    Request::Flock(Flock {
        mid,
        inode,
        reqid: mid,
        owner,
        cmd,
    })
}

fn posix(
    mid: u32,
    inode: u32,
    owner: u64,
    cmd: u8,
    kind: u8,
    range: (u64, u64),
) -> Request<'static> {
    Request::PosixLock(PosixLock {
        mid,
        inode,
        reqid: mid,
        owner,
        pid: 7,
        cmd,
        kind,
        start: range.0,
        end: range.1,
    })
}

/// The next answer to a lock request: its message id and status.
fn late(client: &mut Client) -> (u32, Status) {
    match client.answer() {
        Got::Frame(msg::MATOCL_FUSE_FLOCK | msg::MATOCL_FUSE_POSIX_LOCK, payload) => {
            (peek_mid(&payload).unwrap(), Status(payload[4]))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn readers_do_not_stay_behind_an_interrupted_writer() {
    let server = TestServer::start();
    let (mut client, _) = server.mount();
    let f = create(&mut client, 1, "f");
    assert_eq!(
        status(&mut client, &flock(1, f, 1, flock_cmd::LOCK_SHARED)),
        Status::OK
    );
    client.send(&flock(2, f, 2, flock_cmd::LOCK_EXCLUSIVE));
    client.send(&flock(3, f, 3, flock_cmd::LOCK_SHARED));
    let again = flock(4, f, 4, flock_cmd::TRY_SHARED);
    assert_eq!(status(&mut client, &again), Status::EAGAIN);
    let interrupt = Request::Flock(Flock {
        mid: 5,
        inode: f,
        reqid: 2,
        owner: 2,
        cmd: flock_cmd::INTERRUPT,
    });
    client.send(&interrupt);
    let mut answers = [late(&mut client), late(&mut client), late(&mut client)];
    answers.sort_unstable();
    let expected = [(2, Status::EINTR), (3, Status::OK), (5, Status::OK)];
    assert_eq!(answers, expected);
    assert_eq!(status(&mut client, &again), Status::OK);
}

#[test]
fn conversions_of_a_flock_are_two_lines() {
    let server = TestServer::start();
    let (mut client, session) = server.mount();
    let f = create(&mut client, 1, "f");
    for (mid, cmd) in [
        (1, flock_cmd::TRY_EXCLUSIVE),
        (2, flock_cmd::TRY_SHARED),
        (3, flock_cmd::TRY_EXCLUSIVE),
    ] {
        assert_eq!(status(&mut client, &flock(mid, f, 9, cmd)), Status::OK);
    }
    let expected = ["W", "U", "R", "U", "W"].map(|c| format!("FLOCK({f},{session},9,{c})"));
    assert_eq!(lines(&server, &["FLOCK"]), expected);
    assert_eq!(
        status(&mut client, &flock(4, f, 9, flock_cmd::TRY_SHARED)),
        Status::OK
    );
    assert_eq!(
        status(&mut client, &flock(5, f, 8, flock_cmd::TRY_SHARED)),
        Status::OK
    );
    let shared_by_two = flock(6, f, 9, flock_cmd::TRY_EXCLUSIVE);
    assert_eq!(status(&mut client, &shared_by_two), Status::EAGAIN);
}

#[test]
fn locks_of_a_closed_file_are_released_before_others_get_them() {
    let server = TestServer::start();
    let ((mut holder, first), (mut waiter, second)) = (server.mount(), server.mount());
    let f = create(&mut holder, 1, "f");
    open(&mut waiter, f, attr::open_flags::READ);
    let lock = |mid| {
        posix(
            mid,
            f,
            1,
            posix_cmd::SET,
            posix_type::WRITE,
            (0, EVERYTHING),
        )
    };
    assert_eq!(status(&mut holder, &lock(1)), Status::OK);
    waiter.send(&lock(2));
    let other = posix(3, f, 5, posix_cmd::TRY, posix_type::READ, (0, 1));
    assert_eq!(status(&mut waiter, &other), Status::EAGAIN);
    holder.send(&Request::SustainedInodes(SustainedInodes {
        inodes: List::EMPTY,
    }));
    assert_eq!(late(&mut waiter), (2, Status::OK));
    server.wait_for_line("RELEASE");
    let expected = [
        format!("POSIXLOCK({f},{first},1,W,0,{EVERYTHING},7)"),
        format!("POSIXLOCK({f},{first},1,U,0,{EVERYTHING},0)"),
        format!("POSIXLOCK({f},{second},1,W,0,{EVERYTHING},7)"),
        format!("RELEASE({first},{f})"),
    ];
    assert_eq!(lines(&server, &["POSIXLOCK", "RELEASE"]), expected);
}

#[test]
fn a_removed_session_leaves_its_locks_to_others() {
    let server = TestServer::start();
    let ((mut holder, first), (mut waiter, second)) = (server.mount(), server.mount());
    let f = create(&mut holder, 1, "f");
    open(&mut waiter, f, attr::open_flags::READ);
    let range = (5, 10);
    let lock = |mid| posix(mid, f, 1, posix_cmd::SET, posix_type::WRITE, range);
    assert_eq!(status(&mut holder, &lock(1)), Status::OK);
    assert_eq!(
        status(&mut holder, &flock(2, f, 3, flock_cmd::LOCK_SHARED)),
        Status::OK
    );
    waiter.send(&lock(3));
    waiter.send(&flock(4, f, 3, flock_cmd::LOCK_EXCLUSIVE));
    let waits = posix(5, f, 5, posix_cmd::TRY, posix_type::READ, range);
    assert_eq!(status(&mut waiter, &waits), Status::EAGAIN);
    drop(holder);
    server.wait_for_line("SESDISCONNECTED");
    server
        .master
        .change(|txn| mfs_master::session::remove(txn, first))
        .unwrap();
    let mut answers = [late(&mut waiter), late(&mut waiter)];
    answers.sort_unstable();
    assert_eq!(answers, [(3, Status::OK), (4, Status::OK)]);
    server.wait_for_line("SESDEL");
    let expected = [
        format!("FLOCK({f},{first},3,U)"),
        format!("POSIXLOCK({f},{first},1,U,0,{EVERYTHING},0)"),
        format!("FLOCK({f},{second},3,W)"),
        format!("POSIXLOCK({f},{second},1,W,5,10,7)"),
        format!("SESDEL({first})"),
    ];
    let all = lines(&server, &["FLOCK", "POSIXLOCK", "SESDEL"]);
    assert_eq!(all[2..], expected);
}

#[test]
fn a_waiting_lock_is_answered_to_a_client_that_came_back() {
    let server = TestServer::start();
    let ((mut holder, _), (mut waiter, session)) = (server.mount(), server.mount());
    let f = create(&mut holder, 1, "f");
    open(&mut waiter, f, attr::open_flags::READ);
    let lock = |mid| flock(mid, f, 1, flock_cmd::LOCK_EXCLUSIVE);
    assert_eq!(status(&mut holder, &lock(1)), Status::OK);
    waiter.send(&lock(2));
    let busy = flock(3, f, 2, flock_cmd::TRY_SHARED);
    assert_eq!(status(&mut waiter, &busy), Status::EAGAIN);
    drop(waiter);
    wait_until(|| server.master.connections.len() == 1);
    let mut back = server.client();
    back.register(mfs_proto::client::register::Register::Reconnect(reconnect(
        session,
    )));
    assert_eq!(
        status(&mut holder, &flock(4, f, 1, flock_cmd::UNLOCK)),
        Status::OK
    );
    assert_eq!(late(&mut back), (2, Status::OK));
}

#[test]
fn empty_and_reversed_ranges_are_refused() {
    let server = TestServer::start();
    let (mut client, _) = server.mount();
    let f = create(&mut client, 1, "f");
    for kind in [posix_type::UNLOCK, posix_type::READ, posix_type::WRITE, 3] {
        let range = if kind == 3 { (0, 1) } else { (9, 5) };
        for cmd in [posix_cmd::GET, posix_cmd::SET, posix_cmd::TRY] {
            let request = posix(1, f, 1, cmd, kind, range);
            assert_eq!(status(&mut client, &request), Status::EINVAL);
        }
    }
    assert!(lines(&server, &["POSIXLOCK"]).is_empty());
}

#[test]
fn an_interrupt_wakes_every_request_with_its_id() {
    let server = TestServer::start();
    let ((mut holder, _), (mut waiter, _)) = (server.mount(), server.mount());
    let f = create(&mut holder, 1, "f");
    open(&mut waiter, f, attr::open_flags::READ);
    let lock = |mid, reqid, owner| {
        Request::PosixLock(PosixLock {
            mid,
            inode: f,
            reqid,
            owner,
            pid: 7,
            cmd: posix_cmd::SET,
            kind: posix_type::WRITE,
            start: 0,
            end: EVERYTHING,
        })
    };
    assert_eq!(status(&mut holder, &lock(1, 1, 1)), Status::OK);
    // One that is sent again is the same; the id may be that of another one, too, which its client has given up.
    for request in [lock(1, 5, 1), lock(2, 5, 1), lock(3, 5, 2), lock(4, 6, 3)] {
        waiter.send(&request);
    }
    let interrupt = Request::PosixLock(PosixLock {
        mid: 5,
        inode: f,
        reqid: 5,
        owner: 9,
        pid: 7,
        cmd: posix_cmd::INTERRUPT,
        kind: posix_type::UNLOCK,
        start: 0,
        end: EVERYTHING,
    });
    waiter.send(&interrupt);
    let mut answers = [late(&mut waiter), late(&mut waiter), late(&mut waiter)];
    answers.sort_unstable();
    let expected = [(2, Status::EINTR), (3, Status::EINTR), (5, Status::OK)];
    assert_eq!(answers, expected);
    let unlock = posix(6, f, 1, posix_cmd::SET, posix_type::UNLOCK, (0, EVERYTHING));
    assert_eq!(status(&mut holder, &unlock), Status::OK);
    assert_eq!(late(&mut waiter), (4, Status::OK));
}
