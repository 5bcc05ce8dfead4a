//! How soon copies that are of no use go: within moments, not with the next chunk loop, and never while the delays of
//! spec 05 §14.1 and §14.2 hold.

use mfs_chunks::{ChunkConfig, Command};
use mfs_meta::op::Op;

use crate::world::{Manner, World};

/// A loop takes so long that nothing here happens because of it.
const LOOP: u32 = 7200;

fn config() -> ChunkConfig {
    ChunkConfig {
        replications_delay_init: 30,
        loop_min_time: LOOP,
        ..ChunkConfig::default()
    }
}

fn cluster(servers: usize) -> World {
    World::up(config(), &vec![0; servers], 3, 40)
}

#[test]
fn chunks_of_removed_files_go_at_once() {
    let mut w = cluster(3);
    let files: Vec<_> = (0..100).map(|_| w.file(2)).collect();
    let from = w.sent.len();
    for &(inode, _) in &files {
        w.remove(inode);
    }
    // 200 copies on three servers, ten at a time each.
    w.run(50);
    assert!(w.servers.iter().all(|s| s.disk.is_empty()));
    assert_eq!(w.log.meta.chunk_count(), 0);
    assert_eq!(w.sent.len() - from, 200);
    let versions = w.sent[from..]
        .iter()
        .all(|(_, c)| matches!(c, Command::Delete { version: 1, .. }));
    assert!(
        versions,
        "with the version of the chunk: none other is meant"
    );
}

#[test]
fn nothing_goes_before_its_time() {
    let mut w = cluster(2);
    let (inode, chunk) = w.file(2);
    let lines = w.log.lines.len();
    w.crash(lines);
    w.connect(0);
    // One server is still registering.
    w.begin_registration(1);
    w.report_disk(1);
    w.remove(inode);
    w.run(40 * 50);
    assert_eq!(w.holders(chunk), [0, 1]);
    w.end_registration(1);
    w.run(1);
    assert_eq!(w.holders(chunk), [0; 0]);
    // And not before the delay after the start.
    let (inode, chunk) = w.file(2);
    let lines = w.log.lines.len();
    w.crash(lines);
    w.connect(0);
    w.connect(1);
    w.remove(inode);
    w.run(28 * 50);
    assert_eq!(w.holders(chunk), [0, 1]);
    w.run(3 * 50);
    assert_eq!(w.holders(chunk), [0; 0]);
}

#[test]
fn a_server_that_returns_gives_up_what_is_outdated_and_what_is_too_much() {
    let mut w = cluster(3);
    let written = w.file(3);
    let removed = w.file(3);
    let replaced = w.file(2);
    let away = w.holders(replaced.1)[0];
    w.kill(away);
    w.run(5 * 50);
    assert_eq!(w.good_copies(replaced.0, 0), 3, "one more was made");
    w.write_well(written.0, 0, 9);
    w.remove(removed.0);
    w.run(50);
    assert_eq!(w.log.meta.chunk_count(), 3, "the third server may have it");
    let from = w.sent.len();
    w.connect(away);
    w.run(149);
    assert_eq!(w.sent.len(), from, "3 s after a report nothing is done");
    w.run(50);
    assert_eq!(w.servers[away].disk[&written.1].data, 9);
    assert_eq!(w.holders(replaced.1).len(), 2);
    assert_eq!(w.holders(removed.1), [0; 0]);
    assert_eq!(w.log.meta.chunk_count(), 2);
}

#[test]
fn a_damaged_copy_is_replaced_at_once_on_the_only_server_for_it() {
    let mut w = cluster(2);
    let (inode, chunk) = w.file(2);
    let id = w.servers[1].connection.unwrap();
    w.chunks.damaged(&mut w.log, id, [chunk]);
    w.servers[1].disk.get_mut(&chunk).unwrap().data = 0;
    w.settle();
    let from = w.sent.len();
    w.run(10);
    let [(1, delete), (1, replicate)] = w.sent[from..] else {
        panic!("{:?}", &w.sent[from..]);
    };
    assert_eq!(delete, Command::Delete { chunk, version: 0 });
    assert!(matches!(replicate, Command::Replicate { .. }));
    assert_eq!(w.check_read(inode, 0), Some(2));
}

#[test]
fn a_chunk_that_lost_a_copy_is_not_held_up_by_deletions() {
    let mut w = cluster(3);
    let kept = w.file(2);
    let deleted: Vec<_> = (0..300).map(|_| w.file(3)).collect();
    // Servers that delete nothing: all deletions wait.
    for &(inode, _) in &deleted {
        w.log.set_class(inode, 1);
        w.chunks.file_changed(&mut w.log, inode);
    }
    for _ in 0..50 {
        w.tick();
        w.commit();
    }
    assert!((0..3).map(|s| w.deletions(s)).sum::<usize>() >= 20);
    // The kept one waits for a deletion as well, and loses a copy then.
    w.log.set_class(kept.0, 1);
    w.chunks.file_changed(&mut w.log, kept.0);
    w.log.set_class(kept.0, 2);
    let lost = w.holders(kept.1)[0];
    let id = w.servers[lost].connection.unwrap();
    w.servers[lost].disk.remove(&kept.1);
    w.chunks.lost(&mut w.log, id, [kept.1]);
    w.settle();
    for _ in 0..60 {
        w.tick();
        w.commit();
    }
    let replications: Vec<_> = w
        .servers
        .iter()
        .flat_map(|s| &s.inbox)
        .filter(|c| matches!(c, Command::Replicate { chunk, .. } if *chunk == kept.1))
        .collect();
    assert_eq!(replications.len(), 1);
}

#[test]
fn a_chunk_that_was_copied_for_a_write_goes_when_the_write_has_begun() {
    let mut w = cluster(2);
    let (inode, old) = w.file(2);
    let other = w.log.create_file("other", 2);
    w.log.apply_all(&[Op::Append {
        inode: other,
        source: inode,
        from: 0,
        to: 0,
    }]);
    w.allowed.insert((other, 0), [8].into());
    let request = w.write(inode, 0, false);
    w.commit();
    w.remove(other);
    // The new chunk may still fail: then the file gets the old one back.
    for _ in 0..100 {
        w.tick();
        w.commit();
    }
    assert_eq!(w.holders(old), [0, 1]);
    w.work();
    let new = w.granted(request).unwrap().chunk;
    w.allowed.insert((inode, 0), [8].into());
    w.run(10);
    assert_eq!((w.holders(old), w.holders(new)), (vec![], vec![0, 1]));
}

#[test]
fn a_creation_that_failed_leaves_nothing() {
    let mut w = cluster(2);
    let inode = w.log.create_file("f", 2);
    w.write(inode, 0, false);
    w.commit();
    w.obey(0, Manner::Fails { done: true });
    w.obey(1, Manner::Fails { done: false });
    w.commit();
    w.run(10);
    assert!(w.servers[0].disk.is_empty());
    assert_eq!(w.log.meta.chunk_count(), 0);
}
