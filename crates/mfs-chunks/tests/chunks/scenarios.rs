//! Directed scenarios that were not recorded: statuses, locks, registration, back-off, and a master that dies
//! between a line and its command (spec 08, I20).

use mfs_chunks::{
    Action, Answer, AnswerKind, ChunkConfig, Command, RegisterError, Registration, RequestId,
};
use mfs_meta::Status;
use mfs_meta::op::{Op, parse_op};

use crate::log::{TestLog, digest};
use crate::setup::write_request;
use crate::world::{GIB, Manner, World};

/// A file of one chunk, a second after it was written.
fn file(w: &mut World, class: u8) -> (u32, u64) {
    let made = w.file(class);
    w.run(50);
    made
}

fn share(w: &mut World, source: u32) -> u32 {
    let name = format!("s{}", w.log.lines.len());
    let inode = w.log.create_file(&name, 2);
    w.log.apply_all(&[Op::Append {
        inode,
        source,
        from: 0,
        to: 0,
    }]);
    let allowed = w.allowed[&(source, 0)].clone();
    w.allowed.insert((inode, 0), allowed);
    inode
}

fn restart(w: &mut World, lines: usize) {
    w.crash(lines);
    w.run(50);
    for s in 0..w.servers.len() {
        w.connect(s);
    }
}

#[test]
fn a_copy_on_write_whose_command_was_lost_is_undone() {
    let mut w = World::started();
    let (inode, old) = file(&mut w, 2);
    let other = share(&mut w, inode);
    // The line is safe, the command never left.
    w.write(inode, 0, false);
    let new = w.log.chunk(inode, 0);
    assert_ne!(new, old);
    // Nobody else names the old chunk: only the entry keeps it.
    w.unlink(other);
    let lines = w.log.lines.len();
    restart(&mut w, lines);
    assert_eq!(w.check_read(inode, 0), None, "still locked");
    w.run(10 * 50);
    assert_eq!(w.log.chunk(inode, 0), new, "not before all is quiet");
    w.run(10 * 50);
    let rollback = format!("ROLLBACK({inode},0,{old},{new})");
    assert_eq!(w.log.texts_from(lines)[0], rollback);
    assert_eq!(w.log.chunk(inode, 0), old);
    assert_eq!(w.check_read(inode, 0), Some(2));
    w.run(130 * 50);
    assert_eq!(w.check_read(inode, 0), Some(2));
    let again = TestLog::replay(&w.log.lines, w.log.now);
    assert_eq!(digest(&again.meta), digest(&w.log.meta));
    assert!(w.chunks.unfinished().is_empty() && w.log.unfinished.is_empty());
}

#[test]
fn a_truncation_whose_command_was_lost_is_undone() {
    // One copy: the rule of the original for versions that are one off would do nothing with goal 2.
    let mut w = World::started();
    let (inode, chunk) = file(&mut w, 2);
    let holder = w.holders(chunk)[0];
    w.servers[holder].disk.remove(&chunk);
    w.truncate(inode, 500);
    assert_eq!(w.log.version_of(chunk), 2);
    let lines = w.log.lines.len();
    restart(&mut w, lines);
    w.run(20 * 50);
    let texts = w.log.texts_from(lines);
    assert_eq!(texts[0], format!("SETVERSION({chunk},1)"));
    assert_eq!(texts[1], format!("ROLLBACK({inode},0,{chunk},{chunk})"));
    assert_eq!(w.check_read(inode, 0), Some(2));
    assert_eq!(w.log.meta.node(inode).unwrap().length(), 1000);
}

#[test]
fn an_operation_that_was_done_is_not_undone() {
    let mut w = World::started();
    let (inode, _) = file(&mut w, 2);
    share(&mut w, inode);
    let request = w.write(inode, 0, false);
    w.commit();
    w.work();
    let grant = w.granted(request).unwrap().clone();
    assert!(w.write_data(&grant, 10));
    w.allowed.insert((inode, 0), [10].into());
    let lines = w.log.lines.len();
    assert!(
        w.log.unfinished.get(grant.chunk).is_some(),
        "lines alone do not tell"
    );
    assert!(w.chunks.unfinished().is_empty(), "the live master knows");
    restart(&mut w, lines);
    w.run(150 * 50);
    assert_eq!(w.log.chunk(inode, 0), grant.chunk);
    assert_eq!(w.check_read(inode, 0), Some(2));
}

#[test]
fn nothing_is_undone_while_a_server_is_away() {
    let mut w = World::started();
    let (inode, _) = file(&mut w, 2);
    share(&mut w, inode);
    w.write(inode, 0, false);
    let new = w.log.chunk(inode, 0);
    let lines = w.log.lines.len();
    w.crash(lines);
    w.connect(0);
    w.connect(1);
    w.run(200 * 50);
    assert_eq!(w.log.chunk(inode, 0), new);
    w.connect(2);
    w.run(20 * 50);
    assert_ne!(w.log.chunk(inode, 0), new);
}

#[test]
fn the_last_file_of_a_previous_chunk_cannot_overwrite_it() {
    let mut w = World::started();
    let (inode, old) = file(&mut w, 2);
    let other = share(&mut w, inode);
    let first = w.write(inode, 0, false);
    w.commit();
    // The other file is now the only one that names the old chunk, but the first may have to get it back.
    let second = w.write(other, 0, false);
    w.commit();
    assert_eq!(w.log.version_of(old), 1);
    for s in 0..3 {
        if !w.servers[s].inbox.is_empty() {
            w.obey(s, Manner::NoSpace);
        }
    }
    w.commit();
    assert_eq!(w.answers.remove(&first), Some(Err(Status::NoSpace)));
    assert_eq!(w.log.chunk(inode, 0), old);
    // Now it is shared again, and the second copies it.
    w.work();
    assert_ne!(w.granted(second).unwrap().chunk, old);
}

#[test]
fn a_rollback_does_not_touch_a_slot_that_has_changed() {
    let mut w = World::started();
    let inode = w.log.create_file("f", 1);
    let request = w.write(inode, 0, false);
    w.commit();
    let chunk = w.log.chunk(inode, 0);
    // The file is cut to nothing and written again, while the creation is under way.
    w.log.apply_all(&[Op::Length {
        inode,
        length: 0,
        canmod: true,
    }]);
    let again = w.write(inode, 0, false);
    w.commit();
    let s = (0..3)
        .find(|&s| w.servers[s].inbox.iter().any(|c| c.chunk() == chunk))
        .unwrap();
    w.obey(s, Manner::NoSpace);
    w.commit();
    w.work();
    assert_eq!(w.answers.remove(&request), Some(Err(Status::NoSpace)));
    assert_eq!(w.log.chunk(inode, 0), w.granted(again).unwrap().chunk);
}

#[test]
fn requests_for_a_locked_chunk_wait_and_go_on_even_if_no_copy_can_be_made() {
    // Goal 2 and one server: the original leaves the second request waiting for 30 s.
    let config = ChunkConfig {
        replications_delay_init: 5,
        ..ChunkConfig::default()
    };
    let mut w = World::up(config, &[1], 3, 20);
    let inode = w.log.create_file("f", 2);
    let first = w.write(inode, 0, false);
    w.commit();
    w.work();
    let chunk = w.granted(first).unwrap().chunk;
    let second = w.write(inode, 0, false);
    let third = w.write(inode, 0, false);
    w.run(20);
    assert!(!w.answers.contains_key(&second));
    w.end_write(chunk).unwrap();
    w.commit();
    // One at a time, in their order.
    assert!(w.granted(second).is_some() && !w.answers.contains_key(&third));
    w.run(29 * 50);
    assert!(!w.answers.contains_key(&third));
    w.run(3 * 50);
    assert_eq!(w.answers.remove(&third), Some(Err(Status::Locked)));
    assert_eq!(w.end_write(chunk), Ok(()));
    assert_eq!(w.end_write(chunk + 1), Err(Status::NoChunk));
}

#[test]
fn what_an_abandoned_session_has_sent_is_kept_out() {
    let mut w = World::started();
    let inode = w.log.create_file("f", 2);
    let mut session = |ticks: u64, ends: bool| {
        let request = w.write(inode, 0, false);
        w.commit();
        w.work();
        let grant = w.granted(request).unwrap().clone();
        w.run(ticks);
        if ends {
            w.end_write(grant.chunk).unwrap();
            w.commit();
        }
        grant.version
    };
    assert_eq!(session(20, true), 1);
    // That was short: the client has got all its answers.
    assert_eq!(session(30, true), 1);
    // That was not: the next one has another version.
    assert_eq!(session(1, true), 2);
    assert_eq!(session(1, false), 2);
    // Another client, when the lock has run out.
    w.run(119 * 50);
    let late = w.write(inode, 0, false);
    w.run(5 * 50);
    assert_eq!(w.granted(late).unwrap().version, 3);
}

#[test]
fn a_lock_of_an_earlier_run_does_not_hold_up_the_only_user() {
    for (others, is_away) in [(0, false), (1, false), (1, true)] {
        let mut w = World::started();
        let inode = w.log.create_file("f", 2);
        for session in 1..=1 + others {
            let mount =
                b"SESADD(#1,1,8,0000,0,0,999,999,1,9,0,4294967295,0x00000000,172818433,/mnt):0";
            let mount = parse_op(mount).unwrap().0;
            w.log.apply_all(&[mount, Op::Acquire { session, inode }]);
        }
        if is_away {
            w.log.apply_all(&[Op::SesDisconnected { id: 2 }]);
        }
        let first = w.write(inode, 0, false);
        w.commit();
        w.work();
        let version = w.granted(first).unwrap().version;
        // The grant is lost, its line is not.
        let lines = w.log.lines.len();
        restart(&mut w, lines);
        w.run(15 * 50);
        let again = w.write(inode, 0, false);
        w.run(50);
        if others == 0 || is_away {
            assert_eq!(w.granted(again).unwrap().version, version + 1);
            // From now on it is locked as always.
            let next = w.write(inode, 0, false);
            w.run(50);
            assert!(!w.answers.contains_key(&next));
        } else {
            assert!(!w.answers.contains_key(&again), "the other may write");
        }
        w.session = 3;
        let stranger = w.write(inode, 0, false);
        w.run(50);
        assert!(!w.answers.contains_key(&stranger));
    }
}

#[test]
fn a_cut_of_an_earlier_run_does_not_hold_up_the_next() {
    for is_done in [false, true] {
        let mut w = World::started();
        let (inode, _) = w.file(2);
        w.truncate(inode, 500);
        // The master dies when the line is safe, and before or after the command has left.
        let lines = w.log.lines.len();
        if is_done {
            w.commit();
            w.work();
        }
        restart(&mut w, lines);
        w.run(15 * 50);
        let again = w.truncate(inode, 500);
        w.run(50);
        assert!(w.granted(again).is_some(), "{is_done}");
    }
}

#[test]
fn a_lock_ends_by_itself() {
    let mut w = World::started();
    let inode = w.log.create_file("f", 1);
    let first = w.write(inode, 0, false);
    w.commit();
    w.work();
    assert!(w.granted(first).is_some());
    w.run(119 * 50);
    let late = w.write(inode, 0, false);
    w.run(5 * 50);
    assert!(w.granted(late).is_some());
}

#[test]
fn statuses_tell_whether_waiting_helps() {
    let mut w = World::started();
    let (inode, chunk) = file(&mut w, 2);
    let holders = w.holders(chunk);
    for &s in &holders {
        w.kill(s);
    }
    w.tick();
    let status = |w: &mut World, inode| {
        let request = w.write(inode, 0, false);
        w.commit();
        w.answers.remove(&request)
    };
    assert_eq!(w.check_read(inode, 0), Some(0));
    assert_eq!(status(&mut w, inode), Some(Err(Status::CsNotPresent)));
    // They come back empty: while that is new nobody knows, then the chunk is lost.
    for &s in &holders {
        w.servers[s].disk.clear();
        w.connect(s);
    }
    assert_eq!(status(&mut w, inode), Some(Err(Status::Eagain)));
    w.run(4 * 50);
    assert_eq!(status(&mut w, inode), Some(Err(Status::ChunkLost)));
    assert_eq!(w.check_read(inode, 0), None);
    // Nowhere to create: first because nobody is there.
    for s in 0..3 {
        w.kill(s);
    }
    let new = w.log.create_file("new", 1);
    let request = w.write(new, 0, false);
    w.commit();
    assert_eq!(
        w.answers.remove(&request),
        Some(Err(Status::NoSpace)),
        "no space at all"
    );
}

#[test]
fn registration_finds_servers_by_number_and_address() {
    let mut w = World::started();
    let r = |ip, port, csid| Registration {
        ip,
        port,
        csid,
        version: 0x0003_00EA,
        takes_csid: true,
    };
    let ip = w.servers[0].ip;
    let from = w.log.lines.len();
    let twice = w.chunks.register(&mut w.log, &r(ip, 9422, 1));
    assert_eq!(twice.unwrap_err(), RegisterError::Connected);
    w.kill(2);
    let ip = w.servers[2].ip;
    let moved = w.chunks.register(&mut w.log, &r(ip, 9522, 3)).unwrap();
    assert_eq!(moved.csid, 3);
    let new = w.chunks.register(&mut w.log, &r(9, 9422, 0)).unwrap();
    let wish = w.chunks.register(&mut w.log, &r(10, 9422, 77)).unwrap();
    let taken = w.chunks.register(&mut w.log, &r(11, 9422, 77)).unwrap();
    assert_eq!((new.csid, wish.csid, taken.csid), (4, 77, 5));
    assert_eq!(
        w.log.texts_from(from),
        [
            "CSDBOP(2,172819725,9522,3)",
            "CSDBOP(0,9,9422,0)",
            "CSDBOP(3,9,9422,4)",
            "CSDBOP(0,10,9422,77)",
            "CSDBOP(0,11,9422,0)",
            "CSDBOP(3,11,9422,5)",
        ]
    );
    assert_eq!(
        w.chunks.remove_server(&mut w.log, 9, 9422),
        Err(Status::Active)
    );
    assert_eq!(
        w.chunks.remove_server(&mut w.log, 99, 9422),
        Err(Status::NotFound)
    );
    w.chunks.disconnected(&mut w.log, new.server);
    assert_eq!(w.chunks.remove_server(&mut w.log, 9, 9422), Ok(()));
}

#[test]
fn a_destination_that_fails_is_asked_less_and_less() {
    let mut w = World::started();
    let inode = w.log.create_file("f", 2);
    // Server 2 has a leftover that the master does not know.
    for s in [1, 2] {
        w.servers[s].total = 0;
        w.report_space(s);
    }
    let chunk = w.write_well(inode, 0, 8);
    w.servers[1].total = 100 * GIB;
    w.report_space(1);
    w.chunks.file_changed(&mut w.log, inode);
    let mut asked = 0;
    for _ in 0..60 * 50 {
        w.tick();
        w.commit();
        while !w.servers[1].inbox.is_empty() {
            asked += 1;
            w.obey(1, Manner::Fails { done: false });
            w.commit();
        }
        w.work();
    }
    assert!((5..=10).contains(&asked), "{asked} times in a minute");
    w.run(70 * 50);
    assert_eq!(w.check_read(inode, 0), Some(2), "chunk {chunk}");
}

#[test]
fn a_leftover_at_the_destination_is_removed_first() {
    let mut w = World::started();
    let inode = w.log.create_file("f", 2);
    w.servers[1].disk.insert(
        1,
        crate::world::DiskCopy {
            version: 9,
            data: 1,
        },
    );
    for s in [1, 2] {
        w.servers[s].total = 0;
        w.report_space(s);
    }
    assert_eq!(w.write_well(inode, 0, 8), 1);
    let from = w.sent.len();
    w.servers[1].total = 100 * GIB;
    w.report_space(1);
    w.run(320 * 50);
    assert_eq!(w.check_read(inode, 0), Some(2));
    let deletes = w.sent[from..]
        .iter()
        .filter(|f| {
            matches!(
                f.1,
                Command::Delete {
                    chunk: 1,
                    version: 0
                }
            )
        })
        .count();
    assert_eq!(deletes, 1);
    assert!(w.sent.len() - from < 12, "{:?}", &w.sent[from..]);
}

#[test]
fn stray_answers_change_nothing() {
    let mut w = World::started();
    let (inode, chunk) = file(&mut w, 2);
    let from = w.log.lines.len();
    for s in 0..3 {
        for kind in [
            AnswerKind::Create,
            AnswerKind::SetVersion,
            AnswerKind::Truncate,
            AnswerKind::Delete,
            AnswerKind::Duplicate,
            AnswerKind::DupTrunc,
            AnswerKind::Replicate { version: 1 },
        ] {
            for status in [0, 13, 16, 22] {
                for chunk in [chunk, 77] {
                    let answer = Answer {
                        kind,
                        chunk,
                        status,
                    };
                    w.answer(s, &answer);
                }
            }
        }
    }
    w.run(50);
    assert_eq!(w.check_read(inode, 0), Some(2));
    assert_eq!(w.log.lines.len(), from);
}

#[test]
fn a_version_that_a_dead_server_may_have_is_not_used_again() {
    let mut w = World::started();
    let (inode, chunk) = file(&mut w, 2);
    let holders = w.holders(chunk);
    let third = (0..3).find(|s| !holders.contains(s)).unwrap();
    w.kill(third);
    w.tick();
    let needs = w.chunks.unfinished().len();
    assert_eq!(needs, 0);
    // Force a raise: a copy that came back.
    let (a, b) = (holders[0], holders[1]);
    w.kill(a);
    w.connect(a);
    w.run(5 * 50);
    let request = w.write(inode, 0, false);
    w.commit();
    // One does it and dies without a word; the other refuses.
    w.perform(a, Manner::Properly).unwrap();
    w.kill(a);
    w.obey(b, Manner::Refuses);
    w.commit();
    // It is asked again, for a version above the one that the dead server has, and refuses again.
    assert_eq!(
        *w.servers[b].inbox.front().unwrap(),
        Command::SetVersion {
            chunk,
            version: 3,
            old_version: 1
        }
    );
    w.obey(b, Manner::Refuses);
    w.commit();
    assert_eq!(w.answers.remove(&request), Some(Err(Status::NotDone)));
    assert_eq!(w.log.version_of(chunk), 1);
    // Also after a restart, the next version is one that nobody can have.
    let lines = w.log.lines.len();
    w.crash(lines);
    w.connect(b);
    w.run(20 * 50);
    let request = w.write(inode, 0, false);
    w.commit();
    w.work();
    let grant = w.granted(request).unwrap().clone();
    assert_eq!(grant.version, 4);
    assert!(w.write_data(&grant, 10));
    w.end_write(chunk).unwrap();
    w.allowed.insert((inode, 0), [10].into());
    w.connect(a);
    w.connect(third);
    w.run(150 * 50);
    assert_eq!(w.check_read(inode, 0), Some(2));
}

#[test]
fn caches_are_invalidated_when_servers_come_and_go() {
    let mut w = World::new(ChunkConfig::default(), &[1, 1], 1);
    w.begin_registration(0);
    w.begin_registration(1);
    w.end_registration(0);
    w.commit();
    assert_eq!(w.invalidations, 0, "one is still registering");
    w.end_registration(1);
    w.commit();
    assert_eq!(w.invalidations, 1);
    w.kill(0);
    w.commit();
    assert_eq!(w.invalidations, 2);
}

#[test]
fn effects_carry_the_version_that_they_depend_on() {
    let mut w = World::started();
    let inode = w.log.create_file("f", 1);
    let request = write_request(RequestId(1), inode);
    w.chunks.write(&mut w.log, &request).unwrap();
    let effects = w.chunks.take_effects();
    assert_eq!(effects.len(), 1);
    assert_eq!(effects[0].version, w.log.meta.version());
    assert!(matches!(
        effects[0].action,
        Action::Command {
            command: Command::Create { .. },
            ..
        }
    ));
}

#[test]
fn a_client_that_goes_leaves_the_file_as_it_was() {
    let mut w = World::started();
    let inode = w.log.create_file("f", 2);
    let request = w.write(inode, 0, false);
    w.commit();
    let from = w.log.lines.len();
    w.cancel(request);
    assert_eq!(w.log.texts_from(from), [format!("ROLLBACK({inode},0,0,1)")]);
    w.work();
    w.run(130 * 50);
    assert!(w.servers.iter().all(|s| s.disk.is_empty()));
    assert_eq!(w.log.texts_from(from)[1..], ["CHUNKDEL(1,1)"]);
    assert!(!w.answers.contains_key(&request));
}

#[test]
fn missing_chunks_are_found_by_the_walk() {
    let mut w = World::started();
    let (inode, chunk) = file(&mut w, 1);
    let holder = w.holders(chunk)[0];
    w.servers[holder].disk.clear();
    w.kill(holder);
    w.connect(holder);
    w.run(50);
    assert_eq!(w.chunks.missing_count(), 1);
    assert!(w.chunks.missing_chunks().is_empty());
    // A walk takes 32768 steps of five ticks.
    for _ in 0..32768 * 5 {
        w.chunks.tick(&mut w.log);
    }
    assert!(
        w.chunks.missing_chunks().is_empty(),
        "not in the first minutes"
    );
    w.log.now += 2000;
    for _ in 0..32768 * 5 {
        w.chunks.tick(&mut w.log);
    }
    let missing = w.chunks.missing_chunks();
    assert_eq!(missing.len(), 1);
    assert_eq!(
        (missing[0].chunk, missing[0].inode, missing[0].index),
        (chunk, inode, 0)
    );
    let figures = w.chunks.file_figures();
    assert_eq!(
        (figures.files, figures.missing_files, figures.chunks),
        (1, 1, 1)
    );
    assert!(figures.start > 0);
}

#[test]
fn old_files_are_archived() {
    use mfs_meta::op::ScSetArgs;
    let mut w = World::started();
    w.log.apply_all(&[Op::ScSet(Box::new(ScSetArgs {
        name: b"old"[..].into(),
        new: true,
        admin: 0,
        mode: 1,
        delay: 1,
        create: vec![[0; 4]; 2],
        keep: vec![[0; 4]; 2],
        archive: vec![[0; 4]],
    }))]);
    let (inode, chunk) = file(&mut w, 10);
    let from = w.log.lines.len();
    w.log.now += 86_400 + 100;
    for _ in 0..32768 * 5 {
        w.chunks.tick(&mut w.log);
    }
    assert_eq!(
        w.log.texts_from(from)[0],
        format!("ARCHCHG({inode},0,1):1,0,0")
    );
    assert!(w.log.meta.chunk(chunk).unwrap().archived);
    w.settle();
    w.run(50);
    assert_eq!(w.check_read(inode, 0), Some(1), "one copy is enough now");
    let figures = w.chunks.class_figures(10);
    assert_eq!((figures.keep, figures.archive), ([0, 0, 0], [0, 1, 0]));
}

#[test]
fn figures_tell_what_was_done() {
    let mut w = World::started();
    let (_, chunk) = file(&mut w, 2);
    assert_eq!(w.chunks.matrix(false)[2][2], 1);
    let counters = w.chunks.take_counters();
    assert_eq!((counters.create.tried, counters.create.done), (2, 2));
    let holder = w.holders(chunk)[0];
    w.kill(holder);
    w.run(50);
    let counters = w.chunks.take_counters();
    assert_eq!((counters.replicate.tried, counters.replicate.done), (1, 1));
    w.run(200 * 50);
    let figures = w.chunks.loop_figures();
    assert!(figures.end > figures.start && figures.start > 0);
    let servers = w.chunks.servers(&w.log.meta, w.log.now);
    assert_eq!(servers.iter().filter(|s| s.version.is_none()).count(), 1);
    let space = w.chunks.system_space();
    assert_eq!(space.total, 200 * GIB);
    assert_eq!(space.free, space.available);
    assert_eq!(w.chunks.check_file(&w.log.meta, 2).unwrap()[2], 1);
}
