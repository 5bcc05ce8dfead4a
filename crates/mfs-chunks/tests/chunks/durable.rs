//! Copies are deleted only when nothing that a power cut takes back needs them.

use mfs_chunks::{ChunkConfig, Command};

use crate::setup::quick;
use crate::world::{GIB, World};

/// Three servers.
fn cluster(loop_min_time: u32) -> World {
    let config = ChunkConfig {
        loop_min_time,
        ..quick()
    };
    World::up(config, &[0; 3], 3, 20)
}

fn deletions(w: &World) -> usize {
    let is_delete = |(_, c): &&(usize, Command)| matches!(c, Command::Delete { .. });
    w.sent.iter().filter(is_delete).count()
}

#[test]
fn a_chunk_stays_until_the_loss_of_its_file_is_on_the_disk() {
    let mut w = cluster(7200);
    w.hold_lines();
    let (kept, chunk) = w.file(2);
    let (inode, going) = w.file(2);
    w.sync();
    w.run(100);
    assert_eq!(w.chunks.sync_wanted(), None, "nothing waits for the disk");
    w.remove(inode);
    let version = w.log.meta.version();
    w.run(1);
    assert_eq!(w.chunks.sync_wanted(), Some(version), "asked for at once");
    w.run(500);
    assert_eq!((w.holders(going).len(), deletions(&w)), (2, 0));
    // Not everything is on the disk.
    w.log.durable = Some(version - 1);
    w.run(100);
    assert_eq!(deletions(&w), 0);
    assert_eq!(w.chunks.sync_wanted(), Some(version));
    w.sync();
    w.run(3);
    assert_eq!((w.holders(going).len(), deletions(&w)), (0, 2));
    assert_eq!(w.chunks.sync_wanted(), None);
    assert_eq!(w.log.chunk(kept, 0), chunk);
    assert_eq!(w.holders(chunk).len(), 2);
}

#[test]
fn a_file_that_a_power_cut_brings_back_has_its_data() {
    let mut w = cluster(60);
    w.hold_lines();
    let (inode, chunk) = w.file(2);
    w.sync();
    w.remove(inode);
    // Two whole loops: the scan comes to it, too.
    w.run(150 * 50);
    assert!(w.chunks.sync_wanted().is_some());
    w.cut_power();
    for s in 0..3 {
        w.connect(s);
    }
    w.run(20 * 50);
    w.allowed.insert((inode, 0), [8].into());
    assert_eq!(w.log.chunk(inode, 0), chunk);
    assert_eq!(w.check_read(inode, 0), Some(2));
}

#[test]
fn the_scan_may_come_before_the_change_is_looked_at() {
    let mut w = cluster(60);
    w.hold_lines();
    let files: Vec<_> = (0..20).map(|_| w.file(2)).collect();
    w.sync();
    // They are rid of an outdated copy once, so that they have been free.
    for &(_, chunk) in &files {
        let holder = w.holders(chunk)[0];
        let id = w.servers[holder].connection.unwrap();
        w.chunks.damaged(&mut w.log, id, [chunk]);
    }
    for _ in 0..20 {
        w.sync();
        w.run(50);
    }
    let before = deletions(&w);
    assert!(before >= files.len());
    for &(inode, _) in &files {
        w.unlink(inode);
    }
    w.run(150 * 50);
    assert_eq!(deletions(&w), before, "the scan does not delete them");
    for &(_, chunk) in &files {
        w.chunks.chunk_changed(&mut w.log, chunk);
    }
    w.run(100);
    assert_eq!(deletions(&w), before);
    w.sync();
    w.run(50);
    w.sync();
    w.run(50);
    assert!(w.servers.iter().all(|s| s.disk.is_empty()));
    assert_eq!(w.log.meta.chunk_count(), 0);
}

#[test]
fn many_deletions_share_a_sync() {
    const FILES: usize = 3000;
    let mut w = cluster(7200);
    for server in &mut w.servers {
        server.total = 1000 * GIB;
    }
    w.hold_lines();
    let files: Vec<_> = (0..FILES).map(|_| w.file(2).0).collect();
    w.sync();
    w.run(100);
    let (mut syncs, mut ticks) = (0, 0);
    let mut left = files.into_iter();
    // A hundred files go each tick.
    while w.log.meta.chunk_count() > 0 {
        for inode in left.by_ref().take(100) {
            w.remove(inode);
        }
        w.run(1);
        ticks += 1;
        if w.chunks.sync_wanted().is_some() {
            w.sync();
            syncs += 1;
        }
        assert!(ticks < 500, "{} chunks are left", w.log.meta.chunk_count());
    }
    assert_eq!(deletions(&w), 2 * FILES);
    assert!(syncs <= 1 + ticks / 50, "{syncs} syncs in {ticks} ticks");
}

#[test]
fn what_comes_later_waits_for_a_later_sync() {
    let mut w = cluster(7200);
    w.hold_lines();
    let first = w.file(2);
    let second = w.file(2);
    w.sync();
    w.remove(first.0);
    w.run(1);
    let wanted = w.chunks.sync_wanted().unwrap();
    w.remove(second.0);
    w.log.durable = Some(wanted);
    w.run(10);
    assert_eq!(
        (w.holders(first.1).len(), w.holders(second.1).len()),
        (0, 2)
    );
    assert_eq!(w.chunks.sync_wanted(), None, "not more than one a second");
    w.run(50);
    assert!(w.chunks.sync_wanted().unwrap() > wanted);
    assert_eq!(w.holders(second.1).len(), 2);
    w.sync();
    w.run(10);
    assert_eq!(w.holders(second.1).len(), 0);
}

#[test]
fn an_outdated_copy_stays_until_the_new_version_is_on_the_disk() {
    let mut w = cluster(60);
    w.hold_lines();
    let (inode, chunk) = w.file(2);
    w.sync();
    let [away, stays] = w.holders(chunk)[..] else {
        panic!("{:?}", w.holders(chunk));
    };
    let other = (0..3).find(|s| ![away, stays].contains(s)).unwrap();
    // No third server may take a copy, which would hide what happens.
    w.servers[other].total = 0;
    w.run(60);
    w.disconnect(away);
    w.run(10);
    // The version is raised twice by lines that are not on the disk.
    w.write_well(inode, 0, 9);
    w.disconnect(stays);
    w.connect(stays);
    w.run(5 * 50);
    w.write_well(inode, 0, 10);
    assert_eq!(
        w.servers[stays].disk[&chunk].version,
        w.servers[away].disk[&chunk].version + 2
    );
    w.connect(away);
    w.run(100 * 50);
    assert_eq!(deletions(&w), 0);
    // A power cut makes the outdated copy the right one, and keeps the newer one.
    w.cut_power();
    for s in 0..3 {
        w.connect(s);
    }
    w.run(100 * 50);
    assert_eq!(w.holders(chunk), [away, stays]);
    w.allowed.insert((inode, 0), [8].into());
    assert_eq!(w.check_read(inode, 0), Some(1));
}

#[test]
fn an_outdated_copy_goes_when_the_new_version_is_on_the_disk() {
    let mut w = cluster(7200);
    w.hold_lines();
    let (inode, chunk) = w.file(3);
    w.kill(0);
    w.run(10);
    w.write_well(inode, 0, 9);
    w.connect(0);
    w.run(5 * 50);
    assert_eq!(deletions(&w), 0);
    w.sync();
    w.run(10);
    assert_eq!(deletions(&w), 1);
    assert_eq!(w.holders(chunk).len(), 3);
    assert_eq!(w.check_read(inode, 0), Some(3));
}

#[test]
fn surplus_copies_wait_for_nothing() {
    let mut w = cluster(7200);
    w.hold_lines();
    let (inode, _) = w.file(3);
    w.sync();
    w.log.set_class(inode, 1);
    w.chunks.file_changed(&mut w.log, inode);
    w.run(10);
    assert_eq!((deletions(&w), w.chunks.sync_wanted()), (2, None));
}

#[test]
fn after_a_start_nothing_counts_as_durable() {
    let mut w = cluster(7200);
    w.hold_lines();
    let (inode, chunk) = w.file(2);
    w.remove(inode);
    // The process is killed: the lines are there, for the next one, but not on the disk.
    let lines = w.log.lines.len();
    w.crash(lines);
    for s in 0..3 {
        w.connect(s);
    }
    w.run(60 * 50);
    assert_eq!((w.holders(chunk).len(), deletions(&w)), (2, 0));
    assert!(w.chunks.sync_wanted().is_some());
    w.sync();
    w.run(3);
    assert_eq!(w.holders(chunk).len(), 0);
}
