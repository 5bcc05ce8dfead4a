//! Nothing leaves before its line is safe; a disk that takes no lines holds answers, not connections.

use std::sync::Arc;

use mfs_proto::client::Request;
use mfs_proto::msg;
use mfs_store::changelog::SaveMode;

use crate::disk::Disk;
use crate::server::{EXPORTS, Got, PATIENCE, TestServer, new_session, wait_until};

#[test]
fn a_full_disk_holds_answers_and_keeps_connections() {
    let disk = Disk::default();
    let server = TestServer::with(EXPORTS, SaveMode::Written, Arc::new(disk.clone()));
    let (mut mount, _) = server.mount();
    // Silent for now, so that its first answer must wait.
    let mut late = server.client();
    disk.set_full(true);
    let lines = server.lines();
    late.send(&Request::Register(new_session(b"/", None)));
    // The session exists in memory, and NOPs go on for whoever is registered...
    wait_until(|| server.master.read().meta.next_session_id() == 3);
    for _ in 0..3 {
        assert_eq!(mount.next(), Got::Frame(msg::ANTOAN_NOP, vec![0; 4]));
        mount.send_bytes(&[0; 8]);
    }
    assert!(server.master.gate.is_failing());
    // ...but nothing of it is on the disk, and the answer has not come.
    assert_eq!(server.lines(), lines);
    disk.set_full(false);
    // It is the first frame: no NOP came before it.
    let Got::Frame(msg::MATOCL_FUSE_REGISTER, answer) = late.next() else {
        panic!("no answer");
    };
    assert_eq!(answer.len(), 49);
    assert!(server.lines().last().unwrap().starts_with("SESADD(#"));
    wait_until(|| !server.master.gate.is_failing());
}

#[test]
fn answers_wait_for_the_disk_in_mode_2() {
    let disk = Disk::default();
    let server = TestServer::with(EXPORTS, SaveMode::Synced, Arc::new(disk.clone()));
    for _ in 0..3 {
        let before = disk.line_syncs_begun();
        let _mount = server.mount();
        assert!(disk.line_syncs_begun() > before);
    }
}

#[test]
fn notices_leave_when_their_version_is_safe() {
    let disk = Disk::default();
    let server = TestServer::with(EXPORTS, SaveMode::Written, Arc::new(disk.clone()));
    let (mut mount, id) = server.mount();
    let frame = |n: u8| [0, 0, 2, 194, 0, 0, 0, 4, 0, 0, 0, n];
    let notify = |n: u8, version: u64| {
        server.master.read().live.notify(id, &frame(n), version);
    };
    let safe = server.master.read().meta.version();
    notify(1, safe);
    assert_eq!(mount.answer(), Got::Frame(706, vec![0, 0, 0, 1]));
    disk.set_full(true);
    let version = server.master.change(|txn| {
        txn.apply(&mfs_meta::op::Op::Idle).unwrap();
        txn.version()
    });
    notify(2, version);
    for _ in 0..2 {
        assert_eq!(mount.next(), Got::Frame(msg::ANTOAN_NOP, vec![0; 4]));
    }
    disk.set_full(false);
    assert_eq!(mount.answer(), Got::Frame(706, vec![0, 0, 0, 2]));
    assert!(server.master.gate.is_safe(version));
}

#[test]
fn a_client_that_takes_nothing_is_closed() {
    let server = TestServer::start();
    let (mount, id) = server.mount();
    let frame = {
        let mut frame = vec![0, 0, 2, 194, 0, 1, 0, 0];
        frame.resize(8 + 0x10000, 0);
        frame
    };
    // More than the sockets' buffers and the mailbox together.
    wait_until(|| {
        server.master.read().live.notify(id, &frame, 0);
        server.master.read().live.sessions.links(id).is_empty()
    });
    drop(mount);
    server.wait_for_line("SESDISCONNECTED(1)");
}

#[test]
fn closing_all_leaves_the_sessions_connected() {
    let server = TestServer::start();
    let mut mounts: Vec<_> = (0..5).map(|_| server.mount().0).collect();
    let closing = server.master.connections.close_all("test");
    server
        .block_on(async { tokio::time::timeout(PATIENCE, closing).await })
        .unwrap();
    for mount in &mut mounts {
        assert_eq!(mount.answer(), Got::Closed);
    }
    assert!(
        server
            .lines()
            .iter()
            .all(|line| !line.starts_with("SESDISC"))
    );
}
