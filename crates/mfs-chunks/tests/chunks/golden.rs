//! The recorded scenarios: what the real master sent to each server about the chunks of the scenario, in its order,
//! our state machine sends, too.

use mfs_chunks::Command;
use mfs_meta::Status;
use mfs_meta::op::{Op, ScSetArgs};

use crate::setup::quick;
use crate::world::{GIB, Manner, World};

/// The commands of a recording about some chunks: connection and command.
fn recorded(name: &str, chunks: &[u64]) -> Vec<(u64, Command)> {
    let path = format!("{}/tests/data/cs-{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let frames: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|frame| frame["dir"] == "m2s")
        .filter_map(|frame| {
            let command = decode(frame["type"].as_u64()?, frame["hex"].as_str()?)?;
            Some((frame["conn"].as_u64()?, command))
        })
        .filter(|(_, command)| chunks.contains(&command.chunk()))
        .collect();
    frames
}

fn decode(kind: u64, hex: &str) -> Option<Command> {
    let bytes: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect();
    let u64_at = |i: usize| u64::from_be_bytes(bytes[i..i + 8].try_into().unwrap());
    let u32_at = |i: usize| u32::from_be_bytes(bytes[i..i + 4].try_into().unwrap());
    Some(match kind {
        110 => Command::Create {
            chunk: u64_at(0),
            version: u32_at(8),
        },
        120 => Command::Delete {
            chunk: u64_at(0),
            version: u32_at(8),
        },
        130 => Command::Duplicate {
            chunk: u64_at(0),
            version: u32_at(8),
            source: u64_at(12),
            source_version: u32_at(20),
        },
        140 => Command::SetVersion {
            chunk: u64_at(0),
            version: u32_at(8),
            old_version: u32_at(12),
        },
        150 => Command::Replicate {
            chunk: u64_at(0),
            version: u32_at(8),
            ip: u32_at(12),
            port: u16::from_be_bytes(bytes[16..18].try_into().unwrap()),
        },
        160 => Command::Truncate {
            chunk: u64_at(0),
            length: u32_at(8),
            version: u32_at(12),
            old_version: u32_at(16),
        },
        170 => Command::DupTrunc {
            chunk: u64_at(0),
            version: u32_at(8),
            source: u64_at(12),
            source_version: u32_at(20),
            length: u32_at(24),
        },
        _ => return None,
    })
}

/// A cluster of the recording (labels A,B / A,C / B,C) with chunks where they were.
struct Scene {
    w: World,
    /// Commands sent before the part that is compared.
    from: usize,
}

impl Scene {
    fn new() -> Scene {
        let mut w = World::new(quick(), &[3, 5, 6], 42);
        for s in &mut w.servers {
            // So large that a copy more or less is no reason to balance.
            s.total = 100_000 * GIB;
        }
        Scene { w, from: 0 }
    }

    /// A file of this class with one chunk, on these servers (numbers of the recording, from 1).
    fn place(&mut self, chunk: u64, version: u32, class: u8, servers: &[usize]) -> u32 {
        let inode = self.w.log.create_file(&format!("c{chunk}"), class);
        if self.w.log.meta.next_chunk_id() < chunk {
            self.w.log.apply_all(&[Op::NextChunkId { id: chunk }]);
        }
        self.w.log.apply_all(&[
            Op::Write {
                inode,
                index: 0,
                opflag: true,
                canmod: false,
            },
            Op::SetVersion { id: chunk, version },
            Op::Length {
                inode,
                length: 200_000,
                canmod: false,
            },
            Op::Unlock { chunk },
        ]);
        assert_eq!(self.w.log.chunk(inode, 0), chunk);
        for &s in servers {
            let copy = crate::world::DiskCopy { version, data: 8 };
            self.w.servers[s - 1].disk.insert(chunk, copy);
        }
        self.w.allowed.insert((inode, 0), [8].into());
        inode
    }

    /// The chunks that a new one is to follow.
    fn next_chunk(&mut self, chunk: u64) {
        if self.w.log.meta.next_chunk_id() < chunk {
            self.w.log.apply_all(&[Op::NextChunkId { id: chunk }]);
        }
    }

    fn start(&mut self) {
        self.start_with(&[1, 2, 3]);
    }

    fn start_with(&mut self, servers: &[usize]) {
        for &s in servers {
            self.w.connect(s - 1);
        }
        // What is recorded as being so is so: nothing is to be done about it.
        self.w.run(15 * 50);
        self.mark();
    }

    fn mark(&mut self) {
        self.from = self.w.sent.len();
    }

    fn lines(&self) -> usize {
        self.w.log.lines.len()
    }

    /// A write that begins: everything committed, nothing answered.
    fn begin_write(&mut self, inode: u32) -> mfs_chunks::RequestId {
        let request = self.w.write(inode, 0, false);
        self.w.commit();
        request
    }

    fn obey(&mut self, server: usize, manner: Manner) {
        self.w.obey(server - 1, manner);
        self.w.commit();
    }

    /// Compares what was sent to each server about these chunks. `connections`: those of the recording that belong to
    /// servers 1, 2, 3; `skip`: commands at the beginning of the recording, and `take`: how many after them.
    #[track_caller]
    fn compare(&self, name: &str, chunks: &[u64], connections: [u64; 3], take: usize) {
        let all = recorded(name, chunks);
        assert!(all.len() >= take, "{name}: {all:?}");
        let ours: Vec<_> = self.w.sent[self.from..]
            .iter()
            .filter(|(_, c)| chunks.contains(&c.chunk()))
            .collect();
        assert_eq!(ours.len(), take, "{ours:?}");
        for (server, connection) in connections.into_iter().enumerate() {
            let theirs: Vec<_> = all[..take]
                .iter()
                .filter(|f| f.0 == connection)
                .map(|f| f.1)
                .collect();
            let ours: Vec<_> = ours.iter().filter(|f| f.0 == server).map(|f| f.1).collect();
            assert_eq!(ours, theirs, "{name}, server {}", server + 1);
        }
    }

    /// The servers that new chunks can go to.
    fn only_room_on(&mut self, servers: &[usize]) {
        for s in 0..self.w.servers.len() {
            if !servers.contains(&(s + 1)) {
                self.w.servers[s].total = 0;
            }
        }
        for s in 0..self.w.servers.len() {
            self.w.report_space(s);
        }
    }
}

#[test]
fn write_new() {
    let mut s = Scene::new();
    let inode = s.w.log.create_file("a", 2);
    s.start();
    // Connections 1, 2, 3 are servers 1, 2, 3 here.
    s.only_room_on(&[2, 3]);
    let from = s.lines();
    s.w.write_well(inode, 0, 8);
    s.compare("write-new", &[1], [1, 2, 3], 2);
    assert_eq!(
        s.w.log.texts_from(from),
        ["WRITE(2,0,1,0):1", "LENGTH(2,1000,0)", "UNLOCK(1)"]
    );
}

#[test]
fn rewrite_changes_no_version() {
    let mut s = Scene::new();
    let inode = s.w.log.create_file("a", 2);
    s.start();
    s.only_room_on(&[2, 3]);
    s.w.write_well(inode, 0, 8);
    s.mark();
    let from = s.lines();
    s.w.write_well(inode, 0, 10);
    let recording = recorded("rewrite-no-version-change", &[1]);
    assert!(
        !recording
            .iter()
            .any(|f| matches!(f.1, Command::SetVersion { .. }))
    );
    assert_eq!(s.w.sent.len(), s.from);
    assert_eq!(s.w.log.texts_from(from), ["WRITE(2,0,0,0):1", "UNLOCK(1)"]);
}

#[test]
fn snapshot_overwrite_and_truncations() {
    let mut s = Scene::new();
    let inode = s.place(1, 1, 2, &[1, 3]);
    s.start();
    let copy = s.w.log.create_file("copy", 2);
    let append = |inode, source| Op::Append {
        inode,
        source,
        from: 0,
        to: 0,
    };
    s.w.log.apply_all(&[append(copy, inode)]);
    s.w.write_well(inode, 0, 10);
    s.compare("snapshot-overwrite", &[2], [1, 2, 3], 2);

    s.mark();
    let from = s.lines();
    s.w.truncate(inode, 50_000);
    s.w.commit();
    s.w.work();
    s.compare("truncate", &[2], [1, 2, 3], 2);
    assert_eq!(
        s.w.log.texts_from(from),
        ["TRUNC(2,0):2", "UNLOCK(2)", "LENGTH(2,50000,1)"]
    );

    let other = s.w.log.create_file("other", 2);
    s.w.log.apply_all(&[append(other, inode)]);
    s.mark();
    s.w.truncate(inode, 20_000);
    s.w.commit();
    s.w.work();
    s.compare("snapshot-truncate", &[3], [1, 2, 3], 2);

    s.mark();
    s.w.truncate(inode, 30_000);
    s.w.commit();
    s.w.work();
    s.compare("truncate-up", &[3], [1, 2, 3], 2);
    assert_eq!(s.w.log.meta.node(inode).unwrap().length(), 30_000);
}

#[test]
fn goal_up_and_down() {
    let mut s = Scene::new();
    let inode = s.place(3, 2, 2, &[1]);
    s.w.log.set_class(inode, 1);
    s.start();
    // The recording had two copies; with one the source is certain.
    s.w.log.set_class(inode, 2);
    s.only_room_on(&[1, 2]);
    s.w.chunks.file_changed(&mut s.w.log, inode);
    s.w.tick();
    s.w.commit();
    s.compare("goal-up", &[3], [1, 2, 3], 1);
    s.w.work();

    let mut s = Scene::new();
    let inode = s.place(3, 2, 3, &[1, 2, 3]);
    s.start();
    // The fullest servers give theirs up.
    s.w.servers[1].total *= 10;
    s.w.report_space(1);
    s.w.log.set_class(inode, 1);
    s.w.chunks.file_changed(&mut s.w.log, inode);
    s.w.tick();
    s.w.commit();
    s.w.work();
    s.compare("goal-down", &[3], [1, 2, 3], 2);
}

#[test]
fn write_while_one_is_stopped_and_its_copy_afterwards() {
    let mut s = Scene::new();
    let inode = s.place(4, 1, 3, &[1, 2, 3]);
    s.start();
    let from = s.lines();
    let id = s.w.servers[2].connection.unwrap();
    s.w.chunks.graceful(&mut s.w.log, id);
    s.w.kill(2);
    let now = s.w.log.now;
    let expected = format!("CSDBOP(6,172819725,9422,{})", now + 1800);
    assert_eq!(s.w.log.texts_from(from), [expected]);
    // Only servers in maintenance are away: nothing is replicated.
    s.w.run(5 * 50);
    assert_eq!(s.w.sent.len(), s.from);
    s.w.write_well(inode, 0, 10);
    s.compare("write-while-one-stopped", &[4], [1, 2, 3], 2);

    s.mark();
    let from = s.lines();
    s.w.connect(2);
    s.w.run(100);
    assert_eq!(s.w.log.texts_from(from), ["CSDBOP(5,172819725,9422,0)"]);
    s.w.run(70 * 50);
    // The recorded source was server 2; either will do.
    let all = recorded("outdated-copy-cleanup", &[4]);
    let kinds = |list: &[Command]| -> Vec<_> {
        list.iter()
            .map(|c| match *c {
                Command::Replicate { chunk, version, .. } => (chunk, version, true),
                Command::Delete { chunk, version } => (chunk, version, false),
                _ => panic!("{c:?}"),
            })
            .collect()
    };
    let theirs: Vec<_> = all.iter().map(|f| f.1).collect();
    assert!(s.w.sent[s.from..].iter().all(|f| f.0 == 2));
    let ours: Vec<_> = s.w.sent[s.from..].iter().map(|f| f.1).collect();
    assert_eq!(kinds(&ours), kinds(&theirs));
    assert_eq!(s.w.check_read(inode, 0), Some(3));
}

#[test]
fn kill9_and_write() {
    let mut s = Scene::new();
    s.place(1, 1, 2, &[1, 3]);
    let five = s.place(5, 1, 3, &[1, 2, 3]);
    let seven = s.place(7, 1, 2, &[1, 3]);
    s.place(8, 1, 2, &[1, 2]);
    s.start();
    s.w.kill(0);
    s.w.tick();
    s.w.commit();
    // At once, for these have one copy left. In the recording server 3 has connection 4.
    s.compare("kill9-and-write", &[1, 7, 8], [1, 2, 4], 3);
    s.w.work();
    s.mark();
    s.w.write_well(five, 0, 10);
    s.compare("kill9-and-write", &[5], [1, 2, 4], 2);

    // The server comes back: its copy of 5 is outdated and replaced, its surplus one of 7 goes, or another.
    s.mark();
    s.w.connect(0);
    s.w.run(70 * 50);
    let theirs = recorded("restart-outdated", &[5]);
    let ours: Vec<_> = s.w.sent[s.from..]
        .iter()
        .filter(|f| f.1.chunk() == 5)
        .map(|f| f.1)
        .collect();
    assert_eq!(ours.len(), theirs.len());
    assert_eq!(ours[0], theirs[0].1);
    assert!(matches!(
        (ours[1], theirs[1].1),
        (
            Command::Replicate { chunk: a, version: v, .. },
            Command::Replicate { chunk: b, version: w, .. },
        ) if (a, v) == (b, w)
    ));
    // In the recording server 1 lost it; the choice is by usage, which is alike here.
    let surplus = Command::Delete {
        chunk: 7,
        version: 0,
    };
    let deleted = s.w.sent[s.from..].iter().filter(|f| f.1 == surplus).count();
    assert_eq!((deleted, s.w.good_copies(seven, 0)), (1, 2));
}

#[test]
fn set_version_with_an_io_error_on_one() {
    let mut s = Scene::new();
    let inode = s.place(5, 2, 2, &[1, 3]);
    s.start();
    let from = s.lines();
    let request = s.begin_write(inode);
    // Connection 1 is server 2 in this recording, 3 is server 3.
    s.obey(3, Manner::Properly);
    assert!(!s.w.answers.contains_key(&request));
    s.obey(1, Manner::Fails { done: true });
    s.obey(3, Manner::Properly);
    s.compare("setversion-io-error-one", &[5], [1, 99, 3], 3);
    let grant = s.w.granted(request).unwrap().clone();
    assert_eq!((grant.version, grant.locations.len()), (4, 1));
    s.w.end_write(5).unwrap();
    assert_eq!(
        s.w.log.texts_from(from),
        ["WRITE(2,0,1,0):5", "SETVERSION(5,4)", "UNLOCK(5)"]
    );
}

#[test]
fn set_version_refused_by_one() {
    let mut s = Scene::new();
    let inode = s.place(5, 4, 2, &[1, 3]);
    s.start();
    let request = s.begin_write(inode);
    s.obey(3, Manner::Properly);
    s.obey(1, Manner::Refuses);
    s.obey(3, Manner::Properly);
    s.compare("setversion-notdone-one", &[5], [1, 99, 3], 3);
    assert_eq!(s.w.granted(request).unwrap().version, 6);
}

#[test]
fn set_version_refused_by_all() {
    let mut s = Scene::new();
    let inode = s.place(5, 6, 2, &[1, 3]);
    s.start();
    let from = s.lines();
    let request = s.begin_write(inode);
    s.obey(3, Manner::Refuses);
    s.obey(1, Manner::Refuses);
    assert_eq!(s.w.answers.remove(&request), Some(Err(Status::NotDone)));
    let request = s.begin_write(inode);
    // The servers have done it in truth, and say so now: they are marked damaged.
    for server in [3, 1] {
        s.w.servers[server - 1].disk.get_mut(&5).unwrap().version = 7;
        s.obey(server, Manner::Properly);
    }
    s.compare("setversion-notdone-all", &[5], [1, 99, 3], 4);
    assert_eq!(s.w.answers.remove(&request), Some(Err(Status::NotDone)));
    assert_eq!(
        s.w.log.texts_from(from),
        [
            "WRITE(2,0,1,0):5",
            "SETVERSION(5,6)",
            "ROLLBACK(2,0,5,5)",
            "WRITE(2,0,1,0):5",
            "ROLLBACK(2,0,5,5)"
        ]
    );
    // Nothing of it is deleted.
    s.w.run(130 * 50);
    assert_eq!(s.w.sent.len(), s.from + 4);
}

#[test]
fn create_failures() {
    for (name, chunk, manner, status) in [
        ("create-nospace-all", 10, Manner::NoSpace, Status::NoSpace),
        (
            "create-io-error-all",
            12,
            Manner::Fails { done: false },
            Status::NotDone,
        ),
    ] {
        let mut s = Scene::new();
        s.next_chunk(chunk);
        let inode = s.w.log.create_file("g", 2);
        s.start();
        let connections = recorded(name, &[chunk])
            .iter()
            .map(|f| f.0)
            .collect::<Vec<_>>();
        // Which two servers were chosen is chance: take their connections for servers 1 and 2.
        let [a, b] = connections[..] else {
            panic!("{connections:?}");
        };
        s.only_room_on(&[1, 2]);
        let from = s.lines();
        let request = s.begin_write(inode);
        s.obey(1, manner);
        s.obey(2, manner);
        s.compare(name, &[chunk], [a, b, 99], 2);
        assert_eq!(s.w.answers.remove(&request), Some(Err(status)));
        assert_eq!(
            s.w.log.texts_from(from),
            [
                format!("WRITE(2,0,1,0):{chunk}"),
                format!("ROLLBACK(2,0,0,{chunk})")
            ]
        );
        // The client tries again, with a new chunk.
        let request = s.begin_write(inode);
        s.w.work();
        assert_eq!(s.w.granted(request).unwrap().chunk, chunk + 1);
        assert_eq!(recorded(name, &[chunk + 1]).len(), 2);
    }
}

#[test]
fn create_refused_by_one() {
    let mut s = Scene::new();
    s.next_chunk(14);
    let inode = s.w.log.create_file("g", 2);
    s.start();
    s.only_room_on(&[1, 2]);
    let request = s.begin_write(inode);
    s.obey(2, Manner::Refuses);
    s.obey(1, Manner::Properly);
    s.obey(1, Manner::Properly);
    let grant = s.w.granted(request).unwrap().clone();
    assert_eq!((grant.version, grant.locations.len()), (2, 1));
    // The missing copy is made as soon as the chunk is unlocked, on server 3.
    s.only_room_on(&[1, 3]);
    s.w.servers[2].total = 100_000 * GIB;
    s.w.report_space(2);
    s.w.end_write(14).unwrap();
    s.w.commit();
    // Connections 6, 1, 3 are servers 1, 2, 3 of the recording.
    s.compare("create-notdone-one", &[14], [6, 1, 3], 4);
}

#[test]
fn server_dies_in_mid_operation() {
    let mut s = Scene::new();
    let inode = s.place(4, 2, 2, &[2, 3]);
    s.start();
    let from = s.lines();
    let request = s.begin_write(inode);
    s.obey(3, Manner::Properly);
    assert!(!s.w.answers.contains_key(&request));
    s.w.kill(1);
    s.w.commit();
    s.obey(3, Manner::Properly);
    s.compare("midop-disconnect-one", &[4], [99, 1, 3], 3);
    assert_eq!(s.w.granted(request).unwrap().version, 4);
    assert_eq!(
        s.w.log.texts_from(from),
        ["WRITE(2,0,1,0):4", "SETVERSION(4,4)"]
    );
}

#[test]
fn all_die_in_mid_operation_and_return() {
    let mut s = Scene::new();
    s.next_chunk(4101);
    let inode = s.place(4101, 1, 2, &[1, 3]);
    s.start();
    let from = s.lines();
    let request = s.begin_write(inode);
    s.compare("midop-disconnect-all", &[4101], [13, 99, 21], 2);
    s.w.kill(0);
    s.w.kill(2);
    s.w.commit();
    assert_eq!(s.w.answers.remove(&request), Some(Err(Status::NotDone)));
    assert_eq!(
        s.w.log.texts_from(from),
        ["WRITE(2,0,1,0):4101", "ROLLBACK(2,0,4101,4101)"]
    );
    // Both come back with the version before: it is taken over, and the log says so.
    s.mark();
    let from = s.lines();
    s.w.connect(0);
    s.w.connect(2);
    s.w.run(130 * 50);
    assert_eq!(s.w.log.texts_from(from), ["SETVERSION(4101,1)"]);
    assert_eq!(s.w.sent.len(), s.from);
    assert_eq!(s.w.check_read(inode, 0), Some(2));
    // The next write gives a version that no server can have got in the operation that failed.
    s.w.write_well(inode, 0, 12);
    let ours: Vec<_> = s.w.sent[s.from..].iter().map(|f| f.1).collect();
    let expected = Command::SetVersion {
        chunk: 4101,
        version: 3,
        old_version: 1,
    };
    assert_eq!(ours, [expected; 2]);
}

#[test]
fn damage_of_all_copies_deletes_none() {
    let mut s = Scene::new();
    let inode = s.place(9, 1, 3, &[1, 2, 3]);
    s.start();
    for server in 0..3 {
        let id = s.w.servers[server].connection.unwrap();
        s.w.chunks.damaged(&mut s.w.log, id, [9]);
    }
    s.w.settle();
    s.w.run(130 * 50);
    assert!(s.w.sent[s.from..].is_empty());
    let deletions = recorded("damage", &[9])
        .iter()
        .filter(|f| f.0 == 9 && matches!(f.1, Command::Delete { .. }))
        .count();
    assert_eq!(deletions, 0);
    assert_eq!(s.w.chunks.missing_count(), 1);
    assert_eq!(s.w.check_read(inode, 0), None);
}

#[test]
fn files_removed_from_a_running_server() {
    let mut s = Scene::new();
    let inode = s.place(5, 6, 3, &[1, 2, 3]);
    s.start();
    // Connection 7 is server 2, 8 is server 3, 9 is server 1.
    s.w.servers[1].disk.remove(&5);
    let id = s.w.servers[1].connection.unwrap();
    s.w.chunks.damaged(&mut s.w.log, id, [5]);
    s.w.settle();
    s.w.write_well(inode, 0, 10);
    s.w.run(70 * 50);
    let theirs = recorded("files-removed-running", &[5]);
    let ours: Vec<_> = s.w.sent[s.from..].to_vec();
    let set_version: Vec<_> = ours[..2].iter().map(|f| f.1).collect();
    assert_eq!(set_version, [theirs[0].1, theirs[1].1]);
    assert_eq!(ours[2], (1, theirs[2].1));
    assert!(matches!(
        ours[3],
        (
            1,
            Command::Replicate {
                chunk: 5,
                version: 7,
                ..
            }
        )
    ));
    assert!(matches!(
        theirs[3].1,
        Command::Replicate {
            chunk: 5,
            version: 7,
            ..
        }
    ));
    assert_eq!(ours.len(), 4);
}

#[test]
fn deleted_files() {
    let mut s = Scene::new();
    s.place(8, 1, 2, &[1, 2]);
    s.start();
    let from = s.lines();
    s.w.log.apply_all(&[Op::Unlink {
        parent: 1,
        name: b"c8"[..].into(),
    }]);
    s.w.allowed.clear();
    s.w.run(70 * 50);
    s.compare("delete-files", &[8], [9, 7, 99], 2);
    assert_eq!(
        s.w.log.texts_from(from),
        ["UNLINK(1,c8):2", "CHUNKDEL(8,1)"]
    );
}

#[test]
fn marked_disk_and_back() {
    let mut s = Scene::new();
    s.place(1, 1, 2, &[1, 2]);
    s.start();
    // Connection 9 is server 1, 7 server 2, 10 server 3.
    s.w.servers[0].marked = true;
    s.w.report_disk(0);
    s.w.run(70 * 50);
    s.compare("mark-for-removal", &[1], [9, 7, 10], 1);
    let removal = |s: &Scene| s.w.chunks.servers(&s.w.log.meta, s.w.log.now)[0].removal;
    assert_eq!(removal(&s), 1);
    s.w.run(200 * 50);
    assert_eq!(removal(&s), 2);

    // Unmarked: a copy too many, which goes.
    s.mark();
    s.w.servers[0].marked = false;
    s.w.report_space(0);
    s.w.report_disk(0);
    s.w.servers[0].total /= 10;
    s.w.run(70 * 50);
    s.compare("unmark", &[1], [9, 7, 10], 1);
}

fn class_of(s: &mut Scene, name: &str, mode: u8, create: &[u32], keep: &[u32]) -> u8 {
    let masks = |list: &[u32]| list.iter().map(|&m| [m, 0, 0, 0]).collect::<Vec<_>>();
    let op = Op::ScSet(Box::new(ScSetArgs {
        name: name.as_bytes().into(),
        new: true,
        admin: 0,
        mode,
        delay: 0,
        create: masks(create),
        keep: masks(keep),
        archive: masks(keep),
    }));
    let Ok(mfs_meta::op::Outcome::ClassId(id)) = mfs_chunks::Log::apply(&mut s.w.log, &op) else {
        panic!("class {name}");
    };
    id as u8
}

#[test]
fn labels_decide_where_chunks_are_created() {
    // Labels A,B,Z / A,C / B,C; class create A,B keep A,C.
    let mut s = Scene::new();
    s.w.servers[0].labels = 1 << 25 | 3;
    s.next_chunk(4102);
    let labels = class_of(&mut s, "abc", 1, &[1, 2], &[1, 4]);
    let strict_z = class_of(&mut s, "zz", 2, &[1 << 25; 2], &[1 << 25; 2]);
    let strict_x = class_of(&mut s, "xx", 2, &[1 << 23; 2], &[1 << 23; 2]);
    let [p1, p2, p3] =
        [labels, strict_z, strict_x].map(|class| s.w.log.create_file(&format!("p{class}"), class));
    s.start();
    // The recorded choice is one of two: A on server 2, B on server 3.
    let theirs: Vec<_> = recorded("sclass-create-labels", &[4102])
        .iter()
        .map(|f| f.1)
        .collect();
    s.begin_write(p1);
    let ours: Vec<_> = s.w.sent[s.from..].to_vec();
    assert_eq!(ours.iter().map(|f| f.1).collect::<Vec<_>>(), theirs);
    let of = |bit: u32| ours.iter().any(|f| s.w.servers[f.0].labels & bit != 0);
    assert!(of(1) && of(2));
    s.w.work();

    s.mark();
    s.begin_write(p2);
    // Connection 22 is server 1.
    s.compare("sclass-strict-one", &[4103], [22, 98, 99], 1);
    s.w.work();

    s.mark();
    let request = s.begin_write(p3);
    assert_eq!(s.w.answers.remove(&request), Some(Err(Status::NoSpace)));
    assert_eq!(s.w.sent.len(), s.from);
    assert!(
        !recorded("sclass-strict-none", &[4104])
            .iter()
            .any(|f| matches!(f.1, Command::Create { .. }))
    );
}

#[test]
fn wrong_labels_move_chunks() {
    // Class keep A,C. In the recording connection 30 is server 3 (B,C), 29 server 1, 23 server 2.
    let mut s = Scene::new();
    s.w.servers[0].labels = 2;
    s.w.servers[1].labels = 1;
    s.w.servers[2].labels = 4;
    let class = class_of(&mut s, "abc", 1, &[1, 2], &[1, 4]);
    s.next_chunk(4100);
    let inode = s.place(4100, 2, class, &[2, 3]);
    s.start();
    assert_eq!(s.w.sent.len(), 0);
    // Server 2 becomes C, server 1 becomes A.
    for (server, labels) in [(1, 4), (0, 1)] {
        s.w.servers[server].labels = labels;
        let id = s.w.servers[server].connection.unwrap();
        s.w.chunks.labels(id, labels);
    }
    s.w.run(70 * 50);
    let theirs = recorded("wrong-labels", &[4100]);
    assert!(matches!(
        (s.w.sent[0], theirs[0]),
        (
            (
                0,
                Command::Replicate {
                    chunk: 4100,
                    version: 2,
                    ..
                }
            ),
            (
                29,
                Command::Replicate {
                    chunk: 4100,
                    version: 2,
                    ..
                }
            ),
        )
    ));
    // Then one of the two that both say C goes: which, is by their usage.
    assert_eq!(s.w.sent[1].1, theirs[1].1);
    assert!([1, 2].contains(&s.w.sent[1].0));
    assert_eq!(s.w.sent.len(), 2);
    assert_eq!(s.w.check_read(inode, 0), Some(2));
}

#[test]
fn one_in_maintenance_and_one_killed() {
    let mut s = Scene::new();
    s.place(5, 7, 2, &[1, 3]);
    s.place(7, 2, 2, &[2, 3]);
    s.start();
    let id = s.w.servers[2].connection.unwrap();
    s.w.chunks.graceful(&mut s.w.log, id);
    s.w.kill(2);
    s.w.run(5 * 50);
    assert_eq!(s.w.sent.len(), s.from);
    s.w.kill(0);
    s.w.run(100);
    // One more is away: everything that has too few copies and a source is replicated, but there is no place.
    assert_eq!(s.w.sent.len(), s.from);
    s.w.servers[0].disk.clear();
    s.w.connect(0);
    s.w.run(50);
    // Now again only the maintained one is away.
    assert_eq!(s.w.sent.len(), s.from);
    let recording = recorded("maintained-plus-killed", &[7]);
    assert!(matches!(
        recording[0].1,
        Command::Replicate {
            chunk: 7,
            version: 2,
            ..
        }
    ));
}

#[test]
fn the_only_outdated_copy_is_kept_and_can_be_repaired() {
    let mut s = Scene::new();
    let inode = s.place(5, 7, 2, &[]);
    let copy = crate::world::DiskCopy {
        version: 6,
        data: 8,
    };
    s.w.servers[0].disk.insert(5, copy);
    s.start();
    s.w.run(130 * 50);
    assert!(s.w.sent.is_empty());
    assert!(
        !recorded("lost-then-back", &[5])
            .iter()
            .any(|f| f.0 == 6 && matches!(f.1, Command::Delete { .. }))
    );
    let from = s.lines();
    let repaired = s.w.chunks.repair(&mut s.w.log, inode).unwrap();
    assert_eq!((repaired.repaired, repaired.erased), (1, 0));
    let now = s.w.log.now;
    let atime = s.w.log.meta.node(inode).unwrap().atime();
    assert_eq!(
        s.w.log.texts_from(from),
        [
            "SETVERSION(5,6)".to_owned(),
            format!("AMTIME({inode},{atime},{now},{now})")
        ]
    );
    assert_eq!(s.w.check_read(inode, 0), Some(1));
    // And then it is replicated, as recorded.
    s.w.run(100);
    assert!(matches!(
        s.w.sent[0].1,
        Command::Replicate {
            chunk: 5,
            version: 6,
            ..
        }
    ));
}

#[test]
fn an_unknown_chunk_is_kept() {
    let mut s = Scene::new();
    s.start();
    s.next_chunk(4096);
    let copy = crate::world::DiskCopy {
        version: 3,
        data: 8,
    };
    s.w.servers[2].disk.insert(4096, copy);
    s.w.kill(2);
    let from = s.lines();
    s.w.connect(2);
    let lock = s.w.log.now + 604_800;
    assert_eq!(
        s.w.log.texts_from(from),
        [format!("CHUNKADD(4096,3,{lock})")]
    );
    assert_eq!(s.w.log.meta.next_chunk_id(), 4097);
    s.w.run(130 * 50);
    assert!(s.w.sent.is_empty());
    assert!(recorded("unknown-chunk", &[4096]).is_empty());
    // When the seven days are over it goes.
    s.w.log.now = lock + 1;
    s.w.run(70 * 50);
    let delete = Command::Delete {
        chunk: 4096,
        version: 3,
    };
    assert_eq!(s.w.sent, [(2, delete)]);
    assert_eq!(s.w.log.meta.chunk(4096), None);
}
