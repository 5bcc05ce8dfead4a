//! Copies that no file needs are deleted when that is on the disk, in every save mode, and a slow or broken disk holds
//! nothing else up.

use std::sync::Arc;

use mfs_chunks::{Reply, RequestId, WriteRequest};
use mfs_meta::op::Op;
use mfs_proto::Status;
use mfs_proto::chunkserver::ServerMessage;
use mfs_proto::chunkserver::command::Done;
use mfs_proto::client::session::GetVersion;
use mfs_proto::msg;
use mfs_store::changelog::SaveMode;

use crate::chunkserver::{Chunkserver, Heard, IP, connected};
use crate::disk::{Disk, Syncs};
use crate::server::{EXPORTS, TestServer, parse_config, wait_until};

/// A master that deletes without delay after its start, a disk under control, and a chunkserver.
fn cluster(mode: SaveMode) -> (TestServer, Disk, Chunkserver) {
    let disk = Disk::default();
    let server = TestServer::with(EXPORTS, mode, Arc::new(disk.clone()));
    server
        .master
        .set_config(parse_config("REPLICATIONS_DELAY_INIT = 0\n"));
    let cs = Chunkserver::registered(&server, IP, &[]);
    wait_until(|| connected(&server) == 1);
    (server, disk, cs)
}

/// A file without trash time that has been written; its chunk.
fn written_file(server: &TestServer, cs: &mut Chunkserver, name: &'static str) -> u64 {
    let chunk = server.master.change(|txn| {
        txn.apply(&Op::Create {
            parent: 1,
            name: name.as_bytes().into(),
            kind: 1,
            mode: 0o644,
            umask: 0,
            uid: 0,
            gid: 0,
            rdev: 0,
        })
        .unwrap();
        let inode = txn.meta().max_inode();
        txn.apply(&Op::SetTrashtime {
            inode,
            uid: 0,
            seconds: 0,
            smode: 0,
        })
        .unwrap();
        let request = WriteRequest {
            request: RequestId(u64::MAX - u64::from(inode)),
            inode,
            index: 0,
            client_ip: 1,
            session: 1,
            continues: false,
            canmod: true,
            use_reserve: false,
        };
        let reply = txn.with_chunks(|chunks, log| chunks.write(log, &request));
        assert_eq!(reply, Ok(Reply::Later));
        txn.meta().node(inode).unwrap().chunk(0)
    });
    cs.create(chunk);
    let done = || {
        server.master.change(|txn| {
            txn.with_chunks(|chunks, log| {
                chunks.usable_copies(log.meta(), chunk) == Some(1)
                    && chunks.unlock(log, chunk).is_ok()
            })
        })
    };
    wait_until(done);
    chunk
}

fn remove(server: &TestServer, name: &'static str) {
    server.master.change(|txn| {
        txn.apply(&Op::Unlink {
            parent: 1,
            name: name.as_bytes().into(),
        })
        .unwrap();
    });
}

/// The master has sent nothing so far.
fn assert_silent(cs: &mut Chunkserver) {
    cs.send(&ServerMessage::GetVersion(GetVersion { mid: None }));
    match cs.hear() {
        Heard::Other(msg::ANTOAN_VERSION, _) => {}
        other => panic!("{other:?}"),
    }
}

fn expect_deletion(cs: &mut Chunkserver, chunk: u64) {
    let order = [&chunk.to_be_bytes()[..], &1_u32.to_be_bytes()].concat();
    assert_eq!(cs.hear(), Heard::Other(msg::MATOCS_DELETE, order));
    cs.send(&ServerMessage::Delete(Done {
        chunkid: chunk,
        status: Status::OK,
    }));
}

#[test]
fn a_chunk_is_deleted_when_the_loss_of_its_file_is_on_the_disk() {
    let (server, disk, mut cs) = cluster(SaveMode::Written);
    let chunk = written_file(&server, &mut cs, "f");
    disk.set_syncs(Syncs::Hangs);
    let begun = disk.syncs_begun();
    remove(&server, "f");
    server.wait_for_line("UNLINK(1,f)");
    // The master is at it.
    wait_until(|| disk.syncs_begun() > begun);
    assert_silent(&mut cs);
    // Nobody else waits for the disk.
    let (_mount, _) = server.mount();
    let other = written_file(&server, &mut cs, "g");
    assert_silent(&mut cs);
    let version = server.master.read().meta.version();
    assert!(server.master.gate.journal().durable() < version);
    disk.set_syncs(Syncs::Works);
    expect_deletion(&mut cs, chunk);
    server.wait_for_line(&format!("CHUNKDEL({chunk},1)"));
    remove(&server, "g");
    expect_deletion(&mut cs, other);
}

#[test]
fn a_disk_that_fails_stops_deletions_until_an_image_is_stored() {
    let (server, disk, mut cs) = cluster(SaveMode::Written);
    let chunk = written_file(&server, &mut cs, "f");
    disk.set_syncs(Syncs::Fails);
    let begun = disk.syncs_begun();
    remove(&server, "f");
    wait_until(|| disk.syncs_begun() > begun);
    // The next sync would work, but who knows what is on the disk.
    disk.set_syncs(Syncs::Works);
    wait_until(|| server.master.gate.journal().sync().is_err());
    assert_silent(&mut cs);
    let (_mount, _) = server.mount();
    assert_silent(&mut cs);
    server.block_on(async { server.master.images.hour(&server.master, true) });
    expect_deletion(&mut cs, chunk);
    let last = server.master.images.last().unwrap();
    assert!(last.stored);
}

#[test]
fn in_mode_2_the_write_of_the_line_is_enough() {
    let (server, disk, mut cs) = cluster(SaveMode::Synced);
    // The first time the master wants to be sure of what it found at its start.
    let first = written_file(&server, &mut cs, "f");
    remove(&server, "f");
    expect_deletion(&mut cs, first);
    let second = written_file(&server, &mut cs, "g");
    disk.set_syncs(Syncs::Hangs);
    let begun = disk.syncs_begun();
    remove(&server, "g");
    wait_until(|| disk.syncs_begun() > begun);
    let version = server.master.read().meta.version();
    assert!(!server.master.gate.is_safe(version));
    assert!(server.master.gate.journal().durable() < version);
    disk.set_syncs(Syncs::Works);
    expect_deletion(&mut cs, second);
    assert!(server.master.gate.journal().durable() >= version);
}
