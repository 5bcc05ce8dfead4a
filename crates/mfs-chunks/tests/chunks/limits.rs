//! Limits of replications (spec 05 §5.4, §16.1): reached, and never exceeded.

use mfs_chunks::{ChunkConfig, Command};
use mfs_config::ReplicationLimits;

use crate::setup::quick;
use crate::world::{GIB, Manner, World, greatest};

const CHUNK: u64 = 64 << 20;

fn limits(endangered: f64, undergoal: f64, rebalance: f64, extreme: f64) -> ReplicationLimits {
    ReplicationLimits {
        endangered,
        undergoal,
        rebalance,
        extreme_rebalance: extreme,
    }
}

fn config(write: ReplicationLimits, read: ReplicationLimits) -> ChunkConfig {
    ChunkConfig {
        write_rep_limit: write,
        read_rep_limit: read,
        ..quick()
    }
}

/// Servers that are up, and files of one chunk each on the first `goal` of them; then all have room.
fn filled(config: ChunkConfig, servers: usize, goal: u8, files: usize) -> World {
    let mut w = World::new(config, &vec![0; servers], 5);
    for s in 0..servers {
        w.servers[s].total = if s < usize::from(goal) {
            100_000 * GIB
        } else {
            0
        };
        w.connect(s);
    }
    w.run(20 * 50);
    for _ in 0..files {
        w.file(goal);
    }
    for s in 0..servers {
        w.servers[s].total = 100_000 * GIB;
        w.report_space(s);
    }
    w
}

/// Ticks in which nobody answers. Gives the most replications that a server had, from there and to there.
fn unanswered(w: &mut World, ticks: u32) -> (u32, u32) {
    let mut most = (0, 0);
    for _ in 0..ticks {
        w.tick();
        w.commit();
        for (reads, writes) in w.replications() {
            most = (most.0.max(reads), most.1.max(writes));
        }
    }
    most
}

#[test]
fn endangered_chunks() {
    let read = limits(10.0, 1.0, 1.0, 1.0);
    // One server to read from, two to write to.
    for (write, most) in [(2.0, (4, 2)), (3.0, (6, 3)), (50.0, (10, 10))] {
        let write = limits(write, 1.0, 1.0, 1.0);
        let mut w = filled(config(write, read), 4, 2, 60);
        w.kill(0);
        let (reads, writes) = unanswered(&mut w, 300);
        assert_eq!(reads, most.0, "{write:?}");
        assert!(writes <= most.1, "{writes} {write:?}");
        w.run(100 * 50);
        for s in 1..4 {
            assert!(w.servers[s].disk.len() >= 20, "each took its part");
        }
    }
}

#[test]
fn other_chunks_with_too_few_copies() {
    // Two servers to read from, two to write to: limits of both, and replications that run then.
    for (write, read, running) in [(1.0, 5.0, 2), (4.0, 3.0, 6), (2.0, 2.0, 4), (0.0, 5.0, 0)] {
        let config = config(limits(9.0, write, 9.0, 9.0), limits(9.0, read, 9.0, 9.0));
        let mut w = filled(config, 5, 3, 60);
        w.kill(0);
        let (reads, writes) = unanswered(&mut w, 300);
        assert!(f64::from(reads) <= read && f64::from(writes) <= write);
        let all: u32 = w.replications().iter().map(|r| r.1).sum();
        assert_eq!(all, running, "{write} {read}");
    }
}

#[test]
fn balancing() {
    // A large difference, a small one.
    for (total, most) in [(200, 4), (1000, 1)] {
        let mut config = config(limits(9.0, 9.0, 1.0, 4.0), limits(9.0, 9.0, 2.0, 5.0));
        config.acceptable_difference = 9.0;
        let mut w = filled(config, 2, 1, 100);
        for s in 0..2 {
            w.servers[s].total = total * CHUNK;
            w.report_space(s);
        }
        assert_eq!(w.servers[0].disk.len(), 100);
        assert_eq!(unanswered(&mut w, 70 * 50), (most, most), "{total}");
    }
}

#[test]
fn a_fraction_is_a_part_of_the_time() {
    for (limit, seconds) in [(0.5, 30..=70), (1.5, 100..=100), (0.1, 1..=25)] {
        let write = limits(9.0, limit, 9.0, 9.0);
        let mut w = filled(config(write, limits(9.0, 9.0, 9.0, 9.0)), 4, 3, 300);
        w.kill(0);
        // The next tick begins a second.
        w.run(49 - w.ticks % 50);
        let (mut with, mut two) = (0, 0);
        for _ in 0..100 {
            let (_, writes) = unanswered(&mut w, 50);
            with += u32::from(writes > 0);
            two += u32::from(writes > 1);
            w.commit();
            w.work();
        }
        assert!(seconds.contains(&with), "{limit}: {with}");
        assert_eq!(two > 25 && two < 75, limit > 1.0, "{limit}: {two}");
    }
}

/// A number from 0 to `n` − 1.
fn random(state: &mut u64, n: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as usize % n
}

/// The counters of the state machine and those of the servers are the same.
fn check_counters(w: &World) {
    let running = w.replications();
    for info in w.chunks.servers(&w.log.meta, w.log.now) {
        let s = w.servers.iter().position(|s| s.ip == info.ip).unwrap();
        assert_eq!(info.writes, running[s].1, "to server {s}");
        // A source that went and came back does not know of what it was asked for before.
        assert!(info.reads <= running[s].0, "from server {s}");
        assert_eq!(info.deletes as usize, w.deletions(s), "on server {s}");
    }
}

#[test]
fn they_hold_in_any_cluster() {
    let (mut replications, mut deletions, mut at_limit) = (0, 0, 0);
    for seed in 1..=25u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut limit = || {
            let quarters = random(&mut state, 16);
            quarters as f64 / 4.0
        };
        let write = limits(limit() + 1.0, limit() + 1.0, limit(), limit());
        let read = limits(limit() + 1.0, limit() + 1.0, limit(), limit());
        let mut config = config(write, read);
        config.loop_min_time = 3;
        config.soft_del_limit = 1 + random(&mut state, 5) as u32;
        config.hard_del_limit = config.soft_del_limit * 2;
        let servers = 3 + random(&mut state, 4);
        let mut w = World::new(config, &vec![0; servers], seed);
        for s in 0..servers {
            w.servers[s].total = (50 + random(&mut state, 500) as u64) * CHUNK;
            w.connect(s);
        }
        w.run(20 * 50);
        let inodes: Vec<u32> = (0..60)
            .map(|_| {
                let goal = 1 + random(&mut state, 3) as u8;
                w.file(goal).0
            })
            .collect();
        for _ in 0..2500 {
            // The world checks the limits whenever a command arrives.
            w.tick();
            w.commit();
            for (_, writes) in w.replications() {
                at_limit += u32::from(f64::from(writes) >= greatest(&write).floor());
            }
            match random(&mut state, 40) {
                0 => {
                    let inode = inodes[random(&mut state, inodes.len())];
                    w.log.set_class(inode, 1 + random(&mut state, 4) as u8);
                    w.chunks.file_changed(&mut w.log, inode);
                }
                1 if w.servers.iter().all(|s| s.connection.is_some()) => {
                    w.kill(random(&mut state, servers));
                }
                2 => {
                    let away = (0..servers).find(|&s| w.servers[s].connection.is_none());
                    away.into_iter().for_each(|s| w.connect(s));
                }
                _ => {}
            }
            for s in 0..servers {
                while !w.servers[s].inbox.is_empty() && random(&mut state, 12) == 0 {
                    let manner = match random(&mut state, 8) {
                        0 => Manner::Refuses,
                        1 => Manner::Fails { done: false },
                        _ => Manner::Properly,
                    };
                    w.obey(s, manner);
                    w.commit();
                }
            }
            check_counters(&w);
        }
        for s in 0..servers {
            if w.servers[s].connection.is_none() {
                w.connect(s);
            }
        }
        w.run(400 * 50);
        for info in w.chunks.servers(&w.log.meta, w.log.now) {
            assert_eq!((info.deletes, info.writes > 8), (0, false), "seed {seed}");
        }
        for (_, command) in &w.sent {
            replications += u32::from(matches!(command, Command::Replicate { .. }));
            deletions += u32::from(matches!(command, Command::Delete { .. }));
        }
    }
    println!("{replications} replications, {deletions} deletions, {at_limit} times at the limit");
    assert!(replications > 2000 && deletions > 1000 && at_limit > 1000);
}
