//! Requests about chunks with chunkservers whose every answer the test gives (spec 04 §7.7, §8, §9).

use std::sync::Arc;

use mfs_chunks::{
    Answer as ServerAnswer, AnswerKind, ChunkConfig, Chunks, Flat, Log, Registration, ServerId,
    Space, Unfinished,
};
use mfs_master::chunks::ChunkClock;
use mfs_meta::op::Op;
use mfs_proto::client::data::{
    ChunkHasChanged, ChunkReply, ChunkRequest, Repair, RepairReply, WriteChunkEnd, chunkop,
};
use mfs_proto::client::info::{Check, CheckReply, NodeInfo, NodeInfoReply};
use mfs_proto::client::session::TimeSync;
use mfs_proto::client::{Answer, Expect, MidRequest, Reply, Request, attr, data};
use mfs_proto::{Status, msg};

use crate::ours::{ask, create, lines, open, root, status, truncate};
use crate::server::{Client, Got, TestServer, wait_until};

const GIB: u64 = 1 << 30;
const ADDRESS: u32 = 0x0A4D_0501;
const PORT: u16 = 9422;

struct Cluster {
    server: TestServer,
    servers: Vec<ServerId>,
}

impl Cluster {
    /// A master that runs for a minute, with so many chunkservers.
    fn start(servers: u32) -> Cluster {
        let server = TestServer::start();
        let servers = server.master.change(|txn| {
            let started = txn.now() - 60;
            let config = ChunkConfig::default();
            let machine = Chunks::new(
                config,
                Arc::new(Flat),
                txn.meta(),
                Unfinished::default(),
                started,
                1,
            );
            txn.chunk_state_mut().machine = machine;
            (0..servers)
                .map(|n| {
                    let registration = Registration {
                        ip: ADDRESS + n,
                        port: PORT,
                        csid: 0,
                        version: 0x0003_00EA,
                        takes_csid: true,
                    };
                    txn.with_chunks(|chunks, log| {
                        let id = chunks.register(log, &registration).unwrap().server;
                        let space = Space {
                            used: 10 * GIB,
                            total: 110 * GIB,
                            ..Space::default()
                        };
                        chunks.space(id, space);
                        chunks.labels(id, 1 << n);
                        chunks.registered(log, id);
                        id
                    })
                })
                .collect()
        });
        Cluster { server, servers }
    }

    fn chunks<T>(&self, work: impl FnOnce(&mut Chunks, &mut dyn Log) -> T) -> T {
        self.server.master.change(|txn| txn.with_chunks(work))
    }

    /// A chunkserver answers a command about a chunk.
    fn answers(&self, server: usize, kind: AnswerKind, chunk: u64, status: u8) {
        let answer = ServerAnswer {
            kind,
            chunk,
            status,
        };
        self.chunks(|chunks, log| chunks.answer(log, self.servers[server], &answer));
    }

    /// All chunkservers do what they were told.
    fn all_do(&self, kind: AnswerKind, chunk: u64) {
        for server in 0..self.servers.len() {
            self.answers(server, kind, chunk, 0);
        }
    }

    /// Chunk in a slot.
    fn chunk(&self, inode: u32, index: u32) -> u64 {
        let state = self.server.master.read();
        state.meta.node(inode).unwrap().chunk(index)
    }

    fn waiting(&self) -> usize {
        self.server.master.read().chunks.requests.len()
    }

    /// Writes to the first chunk of a new file until it has this length.
    fn write(&self, client: &mut Client, inode: u32, length: u64) -> u64 {
        client.send(&write(50, inode, 0, 0));
        wait_until(|| self.waiting() == 1);
        let chunk = self.chunk(inode, 0);
        self.all_do(AnswerKind::Create, chunk);
        assert_eq!(chunk_reply(client).chunk, chunk);
        assert_eq!(
            status(client, &write_end(inode, 0, chunk, length)),
            Status::OK
        );
        chunk
    }
}

fn read(mid: u32, inode: u32, index: u32) -> Request<'static> {
    Request::ReadChunk(ChunkRequest {
        mid,
        inode,
        index,
        flags: 0,
    })
}

fn write(mid: u32, inode: u32, index: u32, flags: u8) -> Request<'static> {
    Request::WriteChunk(ChunkRequest {
        mid,
        inode,
        index,
        flags,
    })
}

fn write_end(inode: u32, index: u32, chunkid: u64, length: u64) -> Request<'static> {
    Request::WriteChunkEnd(WriteChunkEnd {
        mid: 60,
        chunkid,
        inode,
        index: Some(index),
        length,
        flags: 0,
    })
}

fn truncation(mid: u32, inode: u32, length: u64) -> Request<'static> {
    Request::Truncate(data::Truncate {
        mid,
        inode,
        flags: 0,
        cred: root(),
        length,
    })
}

/// What the answer to a request for a chunk says.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    mid: u32,
    length: u64,
    chunk: u64,
    version: u32,
    /// Last bytes of the addresses, ascending.
    servers: Vec<u8>,
}

impl Told {
    fn new(mid: u32, r: &ChunkReply<'_>) -> Told {
        let mut servers: Vec<u8> = r.locations.iter().map(|l| l.ip as u8).collect();
        servers.sort_unstable();
        Told {
            mid,
            length: r.length,
            chunk: r.chunkid,
            version: r.version,
            servers,
        }
    }
}

/// The next frame, as (message, message id, answer).
fn next<T>(client: &mut Client, look: impl FnOnce(u32, u32, Result<Reply<'_>, Status>) -> T) -> T {
    let Got::Frame(message, payload) = client.answer() else {
        panic!("closed");
    };
    let answer = Answer::decode(message, &payload, client.version, Expect::Plain).unwrap();
    look(message, answer.mid.unwrap_or_default(), answer.result)
}

fn chunk_reply(client: &mut Client) -> Told {
    next(client, |_, mid, answer| match answer {
        Ok(Reply::ReadChunk(r) | Reply::WriteChunk(r)) => Told::new(mid, &r),
        other => panic!("{other:?}"),
    })
}

fn refusal(client: &mut Client) -> (u32, Status) {
    next(client, |_, mid, answer| (mid, answer.unwrap_err()))
}

fn notice(client: &mut Client) -> ChunkHasChanged {
    next(client, |_, _, answer| match answer {
        Ok(Reply::ChunkHasChanged(r)) => r,
        other => panic!("{other:?}"),
    })
}

/// Makes sure that everything sent so far was executed: answers of others do not stand in its way.
fn sync(client: &mut Client) {
    client.send(&Request::TimeSync(TimeSync { mid: Some(99) }));
    match client.answer() {
        Got::Frame(msg::MATOCL_FUSE_TIME_SYNC, _) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_chunk_is_written_and_read() {
    let cluster = Cluster::start(2);
    let (mut one, _) = cluster.server.mount();
    let (mut two, _) = cluster.server.mount();
    let f = create(&mut one, 1, "f");
    open(&mut two, f, attr::open_flags::READ);

    one.send(&write(7, f, 0, 0));
    // The request that waits for the chunkservers holds up no other of its connection.
    sync(&mut one);
    let chunk = cluster.chunk(f, 0);
    cluster.answers(0, AnswerKind::Create, chunk, 0);
    sync(&mut one);
    cluster.answers(1, AnswerKind::Create, chunk, 0);
    let granted = chunk_reply(&mut one);
    let expected = Told {
        mid: 7,
        length: 0,
        chunk,
        version: 1,
        servers: vec![1, 2],
    };
    assert_eq!(granted, expected);
    assert_eq!((notice(&mut two).chunkid, cluster.waiting()), (chunk, 0));

    // Readers and other writers wait for the end of the write.
    two.send(&read(8, f, 0));
    two.send(&write(9, f, 0, 0));
    two.send(&read(10, f, 0));
    sync(&mut two);
    assert_eq!(cluster.waiting(), 3);
    assert_eq!(status(&mut one, &write_end(f, 0, chunk, 500)), Status::OK);
    let told = |mid| Told {
        mid,
        length: 500,
        chunk,
        version: 1,
        servers: vec![1, 2],
    };
    assert_eq!(chunk_reply(&mut two), told(8));
    // This one locks the chunk again, so the next one still waits.
    assert_eq!(chunk_reply(&mut two), told(9));
    assert_eq!(notice(&mut two).length, 500);
    assert_eq!(cluster.waiting(), 1);
    assert_eq!(status(&mut two, &write_end(f, 0, chunk, 0)), Status::OK);
    assert_eq!(cluster.waiting(), 0);
    assert_eq!(
        lines(&cluster.server, &["WRITE", "UNLOCK", "LENGTH"]),
        [
            format!("WRITE({f},0,1,0):{chunk}"),
            format!("LENGTH({f},500,0)"),
            format!("UNLOCK({chunk})"),
            format!("WRITE({f},0,0,0):{chunk}"),
            format!("UNLOCK({chunk})"),
        ]
    );
}

#[test]
fn what_clients_and_tools_learn_about_chunks() {
    let cluster = Cluster::start(2);
    let (mut one, _) = cluster.server.mount();
    let f = create(&mut one, 1, "f");
    let chunk = cluster.write(&mut one, f, 500);

    one.send(&read(1, f, 0));
    assert_eq!(chunk_reply(&mut one).servers, [1, 2]);
    one.send(&read(2, f, 1));
    assert_eq!(chunk_reply(&mut one).chunk, 0, "a hole");

    let lookup = Request::Lookup(attr::Lookup {
        mid: 1,
        parent: 1,
        name: b"f",
        cred: root(),
    });
    ask(&mut one, &lookup, |answer| match answer {
        Ok(Reply::Lookup(r)) => {
            let zero = r.chunk_zero.unwrap();
            assert_eq!((zero.chunkid, zero.locations.len()), (chunk, 2));
        }
        other => panic!("{other:?}"),
    });
    let info = Request::NodeInfo(NodeInfo {
        mid: Some(1),
        inode: f,
        maxentries: 10,
        continueid: 0,
    });
    ask(&mut one, &info, |answer| match answer {
        Ok(Reply::NodeInfo(NodeInfoReply::File { chunks, .. })) => {
            let copies: Vec<_> = chunks.iter().map(|c| (c.chunkid, c.copies)).collect();
            assert_eq!(copies, [(chunk, 2)]);
        }
        other => panic!("{other:?}"),
    });
    let check = |index| {
        Request::Check(Check {
            mid: 1,
            inode: f,
            index,
        })
    };
    ask(&mut one, &check(None), |answer| match answer {
        Ok(Reply::Check(CheckReply::Counts(counts))) => assert_eq!((counts[0], counts[2]), (0, 1)),
        other => panic!("{other:?}"),
    });
    cluster.chunks(|chunks, log| chunks.damaged(log, cluster.servers[1], [chunk]));
    ask(&mut one, &check(Some(0)), |answer| match answer {
        Ok(Reply::Check(CheckReply::Chunk { copies, .. })) => {
            let mut copies: Vec<_> = copies.iter().map(|c| (c.ip as u8, c.state)).collect();
            copies.sort_unstable();
            assert_eq!(copies, [(1, 0), (2, 4)]);
        }
        other => panic!("{other:?}"),
    });
    ask(
        &mut one,
        &Request::Statfs(MidRequest { mid: 1 }),
        |answer| match answer {
            Ok(Reply::Statfs(r)) => {
                assert_eq!((r.total, r.free), (220 * GIB, 200 * GIB));
                assert_eq!(r.avail, 200 * GIB);
            }
            other => panic!("{other:?}"),
        },
    );
}

#[test]
fn a_cut_waits_for_the_chunkservers() {
    let cluster = Cluster::start(2);
    let (mut one, _) = cluster.server.mount();
    let (mut two, _) = cluster.server.mount();
    let f = create(&mut one, 1, "f");
    let chunk = cluster.write(&mut one, f, 500);
    open(&mut two, f, attr::open_flags::READ);

    one.send(&truncation(7, f, 100));
    sync(&mut one);
    let length = |c: &Cluster| c.server.master.read().meta.node(f).unwrap().length();
    assert_eq!(length(&cluster), 500, "not before it is done");
    cluster.all_do(AnswerKind::Truncate, chunk);
    next(&mut one, |_, mid, answer| match answer {
        Ok(Reply::Truncate(r)) => assert_eq!((mid, r.prev_length, r.attr.size), (7, 500, 100)),
        other => panic!("{other:?}"),
    });
    let expected = ChunkHasChanged {
        inode: f,
        index: 0,
        chunkid: chunk,
        version: 2,
        length: 100,
        truncated: 1,
    };
    assert_eq!(notice(&mut two), expected);
    assert_eq!(
        lines(&cluster.server, &["TRUNC", "UNLOCK", "LENGTH"])[2..],
        [
            format!("TRUNC({f},0):{chunk}"),
            format!("UNLOCK({chunk})"),
            format!("LENGTH({f},100,1)"),
        ]
    );
    // Lengths on a boundary need nobody, also while somebody writes.
    one.send(&write(8, f, 0, 0));
    assert_eq!(chunk_reply(&mut one).version, 2);
    assert_eq!(truncate(&mut two, f, 0, 0), Ok(100));
}

#[test]
fn failures_are_told_and_undone() {
    let cluster = Cluster::start(2);
    let (mut one, _) = cluster.server.mount();
    let f = create(&mut one, 1, "f");
    for code in [Status::NOTDONE, Status::NOSPACE] {
        one.send(&write(7, f, 0, 0));
        sync(&mut one);
        let chunk = cluster.chunk(f, 0);
        for server in [0, 1] {
            cluster.answers(server, AnswerKind::Create, chunk, code.0);
        }
        assert_eq!(refusal(&mut one), (7, code));
        assert_eq!((cluster.chunk(f, 0), cluster.waiting()), (0, 0));
    }
    assert_eq!(lines(&cluster.server, &["ROLLBACK"]).len(), 2);
}

#[test]
fn what_a_lost_connection_has_begun_is_undone() {
    let cluster = Cluster::start(2);
    let (mut one, _) = cluster.server.mount();
    let (mut two, _) = cluster.server.mount();
    let f = create(&mut one, 1, "f");
    let chunk = cluster.write(&mut one, f, 500);
    one.send(&write(7, f, 0, 0));
    chunk_reply(&mut one);
    two.send(&write(8, f, 1, 0));
    two.send(&read(9, f, 0));
    wait_until(|| cluster.waiting() == 2);
    drop(two);
    wait_until(|| cluster.waiting() == 0);
    assert_eq!(cluster.chunk(f, 1), 0);
    cluster.server.wait_for_line("ROLLBACK");
    // Nobody is answered who is gone; the others go on.
    assert_eq!(status(&mut one, &write_end(f, 0, chunk, 0)), Status::OK);
}

#[test]
fn a_request_that_waited_is_tested_again() {
    let cluster = Cluster::start(2);
    let (mut one, _) = cluster.server.mount();
    let (mut two, _) = cluster.server.mount();
    let f = create(&mut one, 1, "f");
    let chunk = cluster.write(&mut one, f, 500);
    one.send(&write(7, f, 0, 0));
    chunk_reply(&mut one);
    two.send(&write(8, f, 0, 0));
    two.send(&truncation(9, f, 50));
    two.send(&read(10, f, 0));
    wait_until(|| cluster.waiting() == 3);
    let immutable = Op::SetEattr {
        inode: f,
        uid: 0,
        eattr: mfs_meta::eattr::IMMUTABLE,
        smode: 0,
    };
    cluster
        .server
        .master
        .change(|txn| txn.apply(&immutable).unwrap());
    assert_eq!(status(&mut one, &write_end(f, 0, chunk, 0)), Status::OK);
    assert_eq!(refusal(&mut two), (8, Status::EPERM));
    assert_eq!(refusal(&mut two), (9, Status::EPERM));
    assert_eq!(chunk_reply(&mut two).mid, 10);
}

#[test]
fn the_writer_goes_on_with_its_lock() {
    let cluster = Cluster::start(2);
    let (mut one, _) = cluster.server.mount();
    let f = create(&mut one, 1, "f");
    let chunk = cluster.write(&mut one, f, 500);
    one.send(&write(7, f, 0, 0));
    chunk_reply(&mut one);
    // A copy failed: the next write raises the version.
    cluster.chunks(|chunks, log| chunks.lost(log, cluster.servers[1], [chunk]));
    one.send(&write(8, f, 0, chunkop::CONTINUEOP));
    // Nothing ends a write that has not begun.
    let busy = status(&mut one, &write_end(f, 0, chunk, 0));
    assert_eq!(busy, Status::CHUNKBUSY);
    cluster.answers(0, AnswerKind::SetVersion, chunk, 0);
    let told = chunk_reply(&mut one);
    assert_eq!((told.mid, told.version, told.servers), (8, 2, vec![1]));
    assert_eq!(status(&mut one, &write_end(f, 0, chunk, 0)), Status::OK);
}

#[test]
fn lost_chunks_are_given_up_by_repair_only() {
    let cluster = Cluster::start(1);
    let (mut one, _) = cluster.server.mount();
    let f = create(&mut one, 1, "f");
    let chunk = cluster.write(&mut one, f, 500);
    for keeps in [0, attr::oflags::KEEPCACHE] {
        assert_eq!(open(&mut one, f, attr::open_flags::READ), keeps);
        one.send(&read(1, f, 0));
        assert_eq!(chunk_reply(&mut one).chunk, chunk);
    }
    cluster.chunks(|chunks, log| {
        chunks.lost(log, cluster.servers[0], [chunk]);
        // As long as copies are only just reported nothing is sure.
        for _ in 0..50 {
            chunks.tick(log);
        }
    });
    assert_eq!(status(&mut one, &read(1, f, 0)), Status::CHUNKLOST);
    assert_eq!(status(&mut one, &write(2, f, 0, 0)), Status::CHUNKLOST);
    let repair = Request::Repair(Repair {
        mid: 3,
        inode: f,
        cred: root(),
    });
    let counts = ask(&mut one, &repair, |answer| match answer {
        Ok(Reply::Repair(counts)) => counts,
        other => panic!("{other:?}"),
    });
    let erased = RepairReply {
        erased: 1,
        ..RepairReply::default()
    };
    assert_eq!(counts, erased);
    // What a mount has cached of the lost data is void.
    assert_eq!(open(&mut one, f, attr::open_flags::READ), 0);
    one.send(&read(4, f, 0));
    assert_eq!(chunk_reply(&mut one).chunk, 0);
}

/// Whole trees change in one line; the chunks follow in slices.
#[test]
fn chunks_follow_the_class_of_their_files() {
    let cluster = Cluster::start(2);
    let (mut one, _) = cluster.server.mount();
    let files: Vec<u32> = (0..3)
        .map(|n| create(&mut one, 1, &format!("f{n}")))
        .collect();
    for &f in &files {
        cluster.write(&mut one, f, 500);
    }
    let of_class = |class| {
        let state = cluster.server.master.read();
        state.chunks.machine.class_figures(class).keep
    };
    let master = &cluster.server.master;
    let _clock = cluster
        .server
        .block_on(async { ChunkClock::start(Arc::clone(master)) });
    let class = Op::SetSclass {
        inode: 1,
        uid: 0,
        src: 3,
        dst: 3,
        smode: 4,
    };
    master.change(|txn| txn.apply(&class).unwrap());
    wait_until(|| of_class(3) == [3, 0, 0]);
    assert_eq!(of_class(2), [0; 3]);
}
