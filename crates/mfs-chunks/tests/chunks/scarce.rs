//! Chunks with too few copies: what is kept meanwhile, and what happens when a server comes that can take them.

use mfs_chunks::{ChunkConfig, Command};
use mfs_meta::Status;

use crate::world::{Manner, World};

/// A loop takes so long that nothing here happens because of it.
fn config() -> ChunkConfig {
    ChunkConfig {
        replications_delay_init: 5,
        loop_min_time: 7200,
        ..ChunkConfig::default()
    }
}

/// A cluster of which only the first two servers are there, and a chunk that has a newer copy on the second than on
/// the first, which is away.
fn outdated(labels: &[u32], class: u8) -> (World, u32, u64) {
    let mut w = World::new(config(), labels, 5);
    w.connect(0);
    w.connect(1);
    w.make_class_ab();
    w.run(10 * 50);
    let (inode, chunk) = w.file(class);
    w.kill(0);
    w.run(50);
    w.write_well(inode, 0, 9);
    w.sent.clear();
    (w, inode, chunk)
}

/// What was sent about copies, in its order: the destination of a replication, or the server that deletes.
fn copied_and_deleted(w: &World) -> Vec<(&'static str, usize)> {
    w.sent
        .iter()
        .filter_map(|(server, command)| match command {
            Command::Replicate { .. } => Some(("copy", *server)),
            Command::Delete { .. } => Some(("delete", *server)),
            _ => None,
        })
        .collect()
}

fn back(w: &mut World, servers: &[usize]) {
    for &s in servers {
        w.servers[s].alive = true;
        w.begin_registration(s);
        w.report_disk(s);
    }
    for &s in servers {
        w.end_registration(s);
    }
}

#[test]
fn an_outdated_copy_stays_until_there_are_enough_others() {
    let (mut w, inode, chunk) = outdated(&[0, 0, 0], 2);
    back(&mut w, &[0, 2]);
    w.run(10 * 50);
    assert_eq!(copied_and_deleted(&w), [("copy", 2), ("delete", 0)]);
    assert_eq!(w.holders(chunk), [1, 2]);
    assert_eq!(w.good_copies(inode, 0), 2);
}

#[test]
fn without_another_server_it_makes_room() {
    let (mut w, inode, chunk) = outdated(&[0, 0], 2);
    back(&mut w, &[0]);
    w.run(10 * 50);
    assert_eq!(copied_and_deleted(&w), [("delete", 0), ("copy", 0)]);
    assert_eq!(w.holders(chunk), [0, 1]);
    assert_eq!(w.good_copies(inode, 0), 2);
}

#[test]
fn where_labels_want_its_place_it_makes_room() {
    let (mut w, inode, chunk) = outdated(&[1, 2, 2], 10);
    back(&mut w, &[0, 2]);
    w.run(10 * 50);
    assert_eq!(copied_and_deleted(&w), [("delete", 0), ("copy", 0)]);
    assert_eq!(w.holders(chunk), [0, 1]);
    assert_eq!(w.good_copies(inode, 0), 2);
}

#[test]
fn a_repair_finds_it_when_the_good_copy_cannot_be_read() {
    let (mut w, inode, chunk) = outdated(&[0, 0, 0], 2);
    // The only good copy cannot be read; its server finds that out when it is to be copied.
    back(&mut w, &[0, 2]);
    while !w.servers[2].inbox.iter().any(|c| c.chunk() == chunk) {
        w.tick();
        w.commit();
    }
    let good = w.servers[1].connection.unwrap();
    w.chunks.damaged(&mut w.log, good, [chunk]);
    w.settle();
    w.servers[2].inbox.clear();
    w.disconnect(2);
    w.run(10 * 50);
    let mut deleted = copied_and_deleted(&w);
    deleted.retain(|(what, _)| *what == "delete");
    assert_eq!(deleted, []);
    w.chunks.repair(&mut w.log, inode).unwrap();
    w.settle();
    w.allowed.insert((inode, 0), [8].into());
    assert_eq!(w.check_read(inode, 0), Some(1));
}

#[test]
fn a_destination_that_fails_for_minutes_is_no_reason_to_wait() {
    let (mut w, inode, chunk) = outdated(&[0, 0, 0], 2);
    back(&mut w, &[0, 2]);
    let mut ticks = 0;
    while w.good_copies(inode, 0) < 2 {
        w.tick();
        w.commit();
        while !w.servers[2].inbox.is_empty() {
            w.obey(2, Manner::Fails { done: false });
            w.commit();
        }
        w.work();
        ticks += 1;
        assert!(ticks < 1200 * 50, "{:?}", copied_and_deleted(&w));
    }
    assert!(ticks > 200 * 50, "{ticks}");
    assert_eq!(w.holders(chunk), [0, 1]);
}

/// A write for which the version was raised on nothing but a server that was cut off before it could do it, while the
/// other one had been killed and came back: `[first, second]` have versions 1 and 3, and nobody has written. The
/// second one has been killed while it wrote; it is the one that the master relies on.
fn raised_in_vain() -> (World, u32, u64) {
    let mut w = World::up(config(), &[0, 0], 5, 200);
    let (inode, chunk) = w.file(2);
    w.kill(1);
    w.run(50);
    let request = w.write(inode, 0, false);
    w.commit();
    back(&mut w, &[1]);
    w.servers[0].inbox.clear();
    w.disconnect(0);
    w.commit();
    w.work();
    assert_eq!(w.answers.get(&request), Some(&Err(Status::NotDone)));
    w.run(10 * 50);
    let versions = [0, 1].map(|s| w.servers[s].disk[&chunk].version);
    assert_eq!(versions, [1, 3]);
    (w, inode, chunk)
}

fn damage(w: &mut World, server: usize, chunk: u64) {
    let id = w.servers[server].connection.unwrap();
    w.chunks.damaged(&mut w.log, id, [chunk]);
    w.settle();
}

#[test]
fn an_older_copy_that_has_everything_replaces_a_broken_one() {
    for is_away in [false, true] {
        let (mut w, inode, chunk) = raised_in_vain();
        if is_away {
            damage(&mut w, 1, chunk);
            w.run(2 * 50);
            assert_eq!(w.check_read(inode, 0), Some(0));
            back(&mut w, &[0]);
        } else {
            back(&mut w, &[0]);
            damage(&mut w, 1, chunk);
        }
        w.run(10 * 50);
        assert_eq!(w.good_copies(inode, 0), 2, "{is_away}");
        assert_eq!(w.check_read(inode, 0), Some(2));
        // The version that is broken is not given again.
        w.write_well(inode, 0, 9);
        assert_eq!(w.log.version_of(chunk), 4);
        assert_eq!(w.check_read(inode, 0), Some(2));
    }
}

#[test]
fn an_older_copy_stays_out_when_something_was_written_since() {
    let (mut w, inode, chunk) = raised_in_vain();
    w.write_well(inode, 0, 9);
    back(&mut w, &[0]);
    w.servers[0].inbox.clear();
    damage(&mut w, 1, chunk);
    w.run(10 * 50);
    assert_eq!(w.check_read(inode, 0), None, "lost, and not old");
    assert_eq!(w.servers[0].disk[&chunk].data, 8);
}

#[test]
fn a_new_server_gets_what_had_no_other_place() {
    let mut w = World::new(config(), &[0, 0, 0], 5);
    w.connect(0);
    w.run(10 * 50);
    let files: Vec<_> = (0..50).map(|_| w.file(2)).collect();
    w.run(2 * 50);
    w.connect(1);
    // The delay after a registration, and ten replications at a time.
    w.run(10 * 50);
    for &(inode, _) in &files {
        assert_eq!(w.good_copies(inode, 0), 2);
    }
    // It goes, and its chunks wait for another one.
    w.kill(1);
    w.run(5 * 50);
    w.connect(2);
    w.run(10 * 50);
    for &(inode, _) in &files {
        assert_eq!(w.good_copies(inode, 0), 2 + 1, "with the copy that is away");
    }
}
