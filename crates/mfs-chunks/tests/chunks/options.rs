//! Heavy load, the database of servers, chunks that nobody knows, the reserve of space, and the limit of deletions
//! (spec 05 §4.6, §4.7, §5.2, §7.1, §17).

use mfs_chunks::{ChunkConfig, Command, HeavyLoad, RequestId};
use mfs_config::ReserveSpace;
use mfs_meta::Status;

use crate::setup::{quick, write_request};
use crate::world::{DiskCopy, GIB, World};

const DAY: u32 = 86_400;

/// Servers without labels that are up and quiet.
fn cluster(config: ChunkConfig, servers: usize) -> World {
    World::up(config, &vec![0; servers], 7, 20)
}

/// The servers that a new chunk of this goal goes to, or why to none.
fn created(w: &mut World, class: u8) -> Result<Vec<usize>, Status> {
    let inode = w.log.create_file(&format!("n{}", w.log.lines.len()), class);
    let from = w.sent.len();
    let request = w.write(inode, 0, false);
    w.commit();
    w.work();
    match w.answers.remove(&request).unwrap() {
        Err(status) => Err(status),
        Ok(_) => {
            let mut servers: Vec<usize> = w.sent[from..]
                .iter()
                .filter(|(_, c)| matches!(c, Command::Create { .. }))
                .map(|(s, _)| *s)
                .collect();
            servers.sort_unstable();
            let chunk = w.log.chunk(inode, 0);
            w.end_write(chunk).unwrap();
            w.allowed.insert((inode, 0), [0].into());
            Ok(servers)
        }
    }
}

/// Says what a server thinks of its load, from now on.
fn say(w: &mut World, s: usize, state: HeavyLoad) {
    w.servers[s].load.1 = Some(state);
    w.report_space(s);
}

#[test]
fn an_overloaded_server_gets_no_new_chunks_and_is_waited_for() {
    let mut w = cluster(quick(), 3);
    say(&mut w, 2, HeavyLoad::Overloaded);
    for _ in 0..6 {
        assert_eq!(created(&mut w, 2), Ok(vec![0, 1]));
    }
    assert_eq!(created(&mut w, 3), Err(Status::Eagain), "it comes back");
    assert_eq!(
        created(&mut w, 4).unwrap(),
        [0, 1],
        "it would not be enough"
    );
    for s in 0..2 {
        say(&mut w, s, HeavyLoad::Overloaded);
    }
    assert_eq!(created(&mut w, 1), Err(Status::Eagain));
    for s in 0..3 {
        say(&mut w, s, HeavyLoad::Ok);
    }
    assert_eq!(created(&mut w, 3), Ok(vec![0, 1, 2]));
}

#[test]
fn servers_under_strain_get_new_chunks_only_when_they_are_many() {
    let mut w = cluster(quick(), 5);
    say(&mut w, 4, HeavyLoad::Rebalance);
    for _ in 0..6 {
        // One of five is not more than 20 %.
        assert!(!created(&mut w, 2).unwrap().contains(&4));
    }
    assert_eq!(created(&mut w, 5).unwrap(), [0, 1, 2, 3]);
    say(&mut w, 3, HeavyLoad::Rebalance);
    assert_eq!(created(&mut w, 5).unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn an_overloaded_server_takes_only_what_is_endangered() {
    for (class, lost, copies) in [(2, 1, 2), (3, 1, 2)] {
        let mut w = cluster(quick(), 3);
        let inode = w.log.create_file("f", class);
        // Only two servers have room: the third one is to get the copy that is missing.
        w.servers[2].total = 0;
        w.report_space(2);
        let chunk = w.write_well(inode, 0, 8);
        w.servers[2].total = 100 * GIB;
        say(&mut w, 2, HeavyLoad::Overloaded);
        w.servers[lost].disk.clear();
        if class == 2 {
            w.kill(lost);
        }
        w.run(100 * 50);
        let has = w.servers[2].disk.contains_key(&chunk);
        assert_eq!((has, class), (class == 2, class), "{copies}");
        if class == 3 {
            say(&mut w, 2, HeavyLoad::Ok);
            w.run(100 * 50);
            assert!(w.servers[2].disk.contains_key(&chunk), "now it can take it");
        }
    }
}

fn grace(w: &World, s: usize) -> u32 {
    let servers = w.chunks.servers(&w.log.meta, w.log.now);
    let at = (w.servers[s].ip, w.servers[s].port);
    let info = servers.iter().find(|i| (i.ip, i.port) == at).unwrap();
    info.grace_time
}

#[test]
fn a_load_far_above_the_others_gives_a_rest() {
    let mut w = cluster(quick(), 6);
    for s in 0..6 {
        w.servers[s].load = (60, Some(HeavyLoad::Unknown));
        w.report_space(s);
    }
    w.run(50);
    // At the threshold, and not more than three times the others: nothing.
    for load in [150, 180] {
        w.servers[0].load.0 = load;
        w.report_space(0);
        assert_eq!(grace(&w, 0), 0, "{load}");
    }
    w.servers[0].load.0 = 181;
    w.report_space(0);
    assert_eq!(grace(&w, 0), 900);
    w.servers[0].load.0 = 60;
    w.run(2 * 50);
    for _ in 0..6 {
        assert!(!created(&mut w, 2).unwrap().contains(&0), "one of six");
    }
    assert_eq!(grace(&w, 0), 898);
    w.run(897 * 50);
    assert!(!created(&mut w, 2).unwrap().contains(&0));
    w.run(3 * 50);
    assert_eq!(grace(&w, 0), 0);
    let chosen: Vec<_> = (0..6).flat_map(|_| created(&mut w, 2).unwrap()).collect();
    assert!(chosen.contains(&0), "{chosen:?}");
}

#[test]
fn the_administrator_ends_a_rest() {
    let mut w = cluster(quick(), 2);
    for s in 0..2 {
        w.servers[s].load = (10, Some(HeavyLoad::Unknown));
        w.report_space(s);
    }
    w.servers[1].load.0 = 1000;
    w.report_space(1);
    assert_eq!(grace(&w, 1), 900);
    w.servers[1].load.0 = 10;
    let (ip, port) = (w.servers[1].ip, w.servers[1].port);
    assert_eq!(w.chunks.back_to_work(ip, port), Ok(()));
    assert_eq!(grace(&w, 1), 0);
    assert_eq!(w.chunks.back_to_work(ip, 1), Err(Status::NotFound));
    // What a server says itself is shown as that.
    say(&mut w, 0, HeavyLoad::Rebalance);
    say(&mut w, 1, HeavyLoad::Overloaded);
    assert_eq!((grace(&w, 0), grace(&w, 1)), (0x8000_0000, 0xC000_0000));
}

#[test]
fn servers_that_stay_away_are_forgotten() {
    for (days, forgotten) in [(7, true), (8, false), (0, false)] {
        let config = ChunkConfig {
            days_to_remove_unused: days,
            ..quick()
        };
        let mut w = cluster(config, 2);
        let away = w.servers[1].ip;
        w.kill(1);
        let from = w.log.lines.len();
        w.log.now += 7 * DAY - 700;
        w.run(650 * 50);
        assert_eq!(w.log.texts_from(from), [""; 0], "not yet");
        w.run(700 * 50);
        let expected = format!("CSDBOP(1,{away},9422,0)");
        let lines = w.log.texts_from(from);
        assert_eq!(lines == [expected], forgotten, "{days}: {lines:?}");
        assert_eq!(w.chunks.has_all_data(), forgotten);
    }
}

#[test]
fn the_time_away_begins_anew_with_the_master() {
    let mut w = cluster(quick(), 2);
    w.kill(1);
    w.log.now += 6 * DAY;
    w.run(50);
    let lines = w.log.lines.len();
    w.crash(lines);
    w.connect(0);
    w.log.now += 6 * DAY;
    w.run(1000 * 50);
    assert_eq!(w.log.meta.chunkservers().count(), 2);
    w.log.now += DAY;
    w.run(1000 * 50);
    assert_eq!(w.log.meta.chunkservers().count(), 1);
}

#[test]
fn chunks_that_nobody_knows_are_kept_for_seven_days() {
    let mut w = cluster(quick(), 2);
    let copy = DiskCopy {
        version: 3,
        data: 5,
    };
    w.servers[0].disk.insert(0x1000, copy);
    w.kill(0);
    let from = w.log.lines.len();
    w.connect(0);
    let until = w.log.now + 7 * DAY;
    assert_eq!(
        w.log.texts_from(from),
        [format!("CHUNKADD(4096,3,{until})")]
    );
    assert_eq!(w.log.meta.next_chunk_id(), 4097);
    w.run(100 * 50);
    w.log.now = until - 200;
    w.run(150 * 50);
    assert_eq!(w.servers[0].disk.len(), 1);
    w.run(150 * 50);
    assert!(w.servers[0].disk.is_empty());
    let delete = Command::Delete {
        chunk: 0x1000,
        version: 3,
    };
    assert_eq!(w.sent, [(0, delete)]);
    assert_eq!(w.log.texts_from(from)[1..], ["CHUNKDEL(4096,3)"]);
}

#[test]
fn the_reserve_of_space_is_not_for_clients() {
    // Two servers: 100 GiB with 40 used, 300 GiB with 60 used.
    for (reserve, reserved) in [
        (ReserveSpace::Bytes(5 * GIB), 5 * GIB),
        (ReserveSpace::Percent(10.0), 40 * GIB),
        (ReserveSpace::MostUsed(1.5), 90 * GIB),
        (ReserveSpace::LargestServer(0.5), 150 * GIB),
        (ReserveSpace::LargestServer(1.0), 300 * GIB),
        (ReserveSpace::Percent(500.0), 300 * GIB),
    ] {
        let config = ChunkConfig {
            reserve_space: reserve,
            ..quick()
        };
        let mut w = cluster(config, 2);
        for (s, (total, used)) in [(100, 40), (300, 60)].into_iter().enumerate() {
            let id = w.servers[s].connection.unwrap();
            let space = mfs_chunks::Space {
                used: used * GIB,
                total: total * GIB,
                ..mfs_chunks::Space::default()
            };
            w.chunks.space(id, space);
        }
        let space = w.chunks.system_space();
        assert_eq!((space.total, space.free), (400 * GIB, 300 * GIB));
        assert_eq!(space.available, 300 * GIB - reserved, "{reserve:?}");
        let expected = if space.available == 0 {
            Err(Status::NoSpace)
        } else {
            Ok(vec![0, 1])
        };
        assert_eq!(created(&mut w, 2), expected, "{reserve:?}");
    }
}

#[test]
fn the_reserve_can_be_used_by_who_may() {
    let config = ChunkConfig {
        reserve_space: ReserveSpace::Percent(100.0),
        ..quick()
    };
    let mut w = cluster(config, 1);
    let inode = w.log.create_file("f", 1);
    let mut request = write_request(RequestId(1), inode);
    let refused = w.chunks.write(&mut w.log, &request);
    assert_eq!(refused, Err(Status::NoSpace));
    request.use_reserve = true;
    let accepted = w.chunks.write(&mut w.log, &request);
    assert_eq!(accepted, Ok(mfs_chunks::Reply::Later));
}

/// Files of one chunk each, on all servers alike.
fn fill(w: &mut World, files: usize) -> Vec<u32> {
    (0..files).map(|_| w.file(1).0).collect()
}

fn remove_all(w: &mut World, inodes: &[u32]) {
    for &inode in inodes {
        w.remove(inode);
    }
}

/// Ticks with a server that answers a DELETE only now and then. Gives the most that it had at a time.
fn slowly(w: &mut World, seconds: u32) -> usize {
    let mut most = 0;
    for tick in 0..seconds * 50 {
        w.tick();
        w.commit();
        most = most.max(w.deletions(0));
        if tick % 50 == 0 && !w.servers[0].inbox.is_empty() {
            w.obey(0, crate::world::Manner::Properly);
            w.commit();
        }
    }
    most
}

#[test]
fn the_limit_of_deletions_follows_what_is_held_back() {
    let config = ChunkConfig {
        loop_min_time: 1,
        ..quick()
    };
    let mut w = cluster(config, 1);
    fill(&mut w, 1);
    let files = fill(&mut w, 500);
    let mut limits = Vec::new();
    // Each sixteen loops there is more to delete.
    for part in files.chunks(100) {
        remove_all(&mut w, part);
        limits.extend((0..16).map(|_| slowly(&mut w, 1)));
    }
    limits.dedup();
    assert_eq!(limits, [10, 15, 22, 25], "by half, up to the hard limit");
    // It becomes less again.
    w.run(2 * 50);
    assert_eq!((w.servers[0].disk.len(), w.log.meta.chunk_count()), (1, 1));
    w.run(100 * 50);
    let files = fill(&mut w, 50);
    remove_all(&mut w, &files);
    assert_eq!(slowly(&mut w, 1), 10, "down to the soft limit");
}

#[test]
fn a_slow_server_does_not_hold_up_the_deletions_of_others() {
    let mut w = cluster(quick(), 2);
    let files = fill(&mut w, 2000);
    let on = |w: &World, s: usize| w.servers[s].disk.len();
    assert!(on(&w, 0) > 800 && on(&w, 1) > 800);
    remove_all(&mut w, &files);
    // Server 0 answers nothing.
    for _ in 0..10 * 50 {
        w.tick();
        w.commit();
        while !w.servers[1].inbox.is_empty() {
            w.obey(1, crate::world::Manner::Properly);
            w.commit();
        }
    }
    assert_eq!((w.deletions(0), on(&w, 1)), (10, 0));
    w.run(10 * 50);
    assert_eq!((w.log.meta.chunk_count(), on(&w, 0)), (0, 0));
}

#[test]
fn a_deletion_that_fails_waits_for_the_next_loop() {
    let mut w = cluster(quick(), 1);
    let files = fill(&mut w, 1);
    remove_all(&mut w, &files);
    let mut asked = 0;
    for _ in 0..300 * 50 {
        w.tick();
        w.commit();
        while !w.servers[0].inbox.is_empty() {
            asked += 1;
            w.obey(0, crate::world::Manner::Fails { done: false });
            w.commit();
        }
    }
    assert!((4..=6).contains(&asked), "{asked} times in five loops");
    w.run(130 * 50);
    assert_eq!(w.log.meta.chunk_count(), 0);
}
