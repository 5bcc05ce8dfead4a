//! Copies are deleted only when nothing that a power cut takes back needs them.

use mfs_chunks::{ChunkConfig, Command};
use mfs_meta::op::Op;

use crate::world::{GIB, World};

fn cluster(loop_min_time: u32) -> World {
    let config = ChunkConfig {
        replications_delay_init: 5,
        loop_min_time,
        ..ChunkConfig::default()
    };
    let mut w = World::new(config, &[0; 3], 3);
    for s in 0..3 {
        w.connect(s);
    }
    w.run(20 * 50);
    w
}

fn file(w: &mut World, class: u8) -> (u32, u64) {
    let name = format!("f{}", w.log.lines.len());
    let inode = w.log.create_file(&name, class);
    let chunk = w.write_well(inode, 0, 8);
    (inode, chunk)
}

fn remove(w: &mut World, inode: u32) {
    let chunk = w.log.chunk(inode, 0);
    unlink(w, inode);
    w.chunks.chunk_changed(&mut w.log, chunk);
}

/// Chunk management does not hear of it.
fn unlink(w: &mut World, inode: u32) {
    let name = w.log.meta.node(inode).unwrap().names().next().unwrap().1;
    let name = name.to_vec();
    w.log.apply_all(&[Op::Unlink {
        parent: 1,
        name: name.into(),
    }]);
    w.allowed.remove(&(inode, 0));
}

fn deletions(w: &World) -> usize {
    let is_delete = |(_, c): &&(usize, Command)| matches!(c, Command::Delete { .. });
    w.sent.iter().filter(is_delete).count()
}

fn holders(w: &World, chunk: u64) -> Vec<usize> {
    (0..w.servers.len())
        .filter(|&s| w.servers[s].disk.contains_key(&chunk))
        .collect()
}

#[test]
fn a_chunk_stays_until_the_loss_of_its_file_is_on_the_disk() {
    let mut w = cluster(7200);
    w.hold_lines();
    let (kept, chunk) = file(&mut w, 2);
    let (inode, going) = file(&mut w, 2);
    w.sync();
    w.run(100);
    assert_eq!(w.chunks.sync_wanted(), None, "nothing waits for the disk");
    remove(&mut w, inode);
    let version = w.log.meta.version();
    w.run(1);
    assert_eq!(w.chunks.sync_wanted(), Some(version), "asked for at once");
    w.run(500);
    assert_eq!((holders(&w, going).len(), deletions(&w)), (2, 0));
    // Not everything is on the disk.
    w.log.durable = Some(version - 1);
    w.run(100);
    assert_eq!(deletions(&w), 0);
    assert_eq!(w.chunks.sync_wanted(), Some(version));
    w.sync();
    w.run(3);
    assert_eq!((holders(&w, going).len(), deletions(&w)), (0, 2));
    assert_eq!(w.chunks.sync_wanted(), None);
    assert_eq!(w.log.chunk(kept, 0), chunk);
    assert_eq!(holders(&w, chunk).len(), 2);
}

#[test]
fn a_file_that_a_power_cut_brings_back_has_its_data() {
    let mut w = cluster(60);
    w.hold_lines();
    let (inode, chunk) = file(&mut w, 2);
    w.sync();
    remove(&mut w, inode);
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
    let files: Vec<_> = (0..20).map(|_| file(&mut w, 2)).collect();
    w.sync();
    // They are rid of an outdated copy once, so that they have been free.
    for &(_, chunk) in &files {
        let holder = holders(&w, chunk)[0];
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
        unlink(&mut w, inode);
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
    let files: Vec<_> = (0..FILES).map(|_| file(&mut w, 2).0).collect();
    w.sync();
    w.run(100);
    let (mut syncs, mut ticks) = (0, 0);
    let mut left = files.into_iter();
    // A hundred files go each tick.
    while w.log.meta.chunk_count() > 0 {
        for inode in left.by_ref().take(100) {
            remove(&mut w, inode);
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
    let first = file(&mut w, 2);
    let second = file(&mut w, 2);
    w.sync();
    remove(&mut w, first.0);
    w.run(1);
    let wanted = w.chunks.sync_wanted().unwrap();
    remove(&mut w, second.0);
    w.log.durable = Some(wanted);
    w.run(10);
    assert_eq!(
        (holders(&w, first.1).len(), holders(&w, second.1).len()),
        (0, 2)
    );
    assert_eq!(w.chunks.sync_wanted(), None, "not more than one a second");
    w.run(50);
    assert!(w.chunks.sync_wanted().unwrap() > wanted);
    assert_eq!(holders(&w, second.1).len(), 2);
    w.sync();
    w.run(10);
    assert_eq!(holders(&w, second.1).len(), 0);
}

#[test]
fn an_outdated_copy_stays_until_the_new_version_is_on_the_disk() {
    let mut w = cluster(60);
    w.hold_lines();
    let (inode, chunk) = file(&mut w, 2);
    w.sync();
    let [away, stays] = holders(&w, chunk)[..] else {
        panic!("{:?}", holders(&w, chunk));
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
    assert_eq!(holders(&w, chunk), [away, stays]);
    w.allowed.insert((inode, 0), [8].into());
    assert_eq!(w.check_read(inode, 0), Some(1));
}

#[test]
fn an_outdated_copy_goes_when_the_new_version_is_on_the_disk() {
    let mut w = cluster(7200);
    w.hold_lines();
    let (inode, chunk) = file(&mut w, 3);
    w.kill(0);
    w.run(10);
    w.write_well(inode, 0, 9);
    w.connect(0);
    w.run(5 * 50);
    assert_eq!(deletions(&w), 0);
    w.sync();
    w.run(10);
    assert_eq!(deletions(&w), 1);
    assert_eq!(holders(&w, chunk).len(), 3);
    assert_eq!(w.check_read(inode, 0), Some(3));
}

#[test]
fn surplus_copies_wait_for_nothing() {
    let mut w = cluster(7200);
    w.hold_lines();
    let (inode, _) = file(&mut w, 3);
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
    let (inode, chunk) = file(&mut w, 2);
    remove(&mut w, inode);
    // The process is killed: the lines are there, for the next one, but not on the disk.
    let lines = w.log.lines.len();
    w.crash(lines);
    for s in 0..3 {
        w.connect(s);
    }
    w.run(60 * 50);
    assert_eq!((holders(&w, chunk).len(), deletions(&w)), (2, 0));
    assert!(w.chunks.sync_wanted().is_some());
    w.sync();
    w.run(3);
    assert_eq!(holders(&w, chunk).len(), 0);
}
