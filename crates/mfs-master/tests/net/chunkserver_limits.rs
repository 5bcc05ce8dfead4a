//! What bad chunkservers and greedy clients can make the master hold, and what they can make it log.

use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::{Mutex, Once};

use mfs_chunks::{Reply, RequestId, WriteRequest};
use mfs_meta::op::Op;
use mfs_proto::chunkserver::Register;
use mfs_proto::client::Request;
use mfs_proto::client::data::ChunkRequest;
use mfs_proto::msg;
use mfs_proto::wire::List;

use crate::chunkserver::{Chunkserver, Heard, IP, begin_with, chunks, connected};
use crate::server::{Got, TestServer, wait_until};

/// Space for every chunk that a test wants.
const HUGE: u64 = 1 << 60;

/// A registered chunkserver with space without end, which is not missed when it is silent.
fn spacious(server: &TestServer, ip: Ipv4Addr) -> Chunkserver {
    let mut cs = Chunkserver::connect(server);
    cs.send(&begin_with(|b| {
        (b.ip, b.timeout) = (ip.into(), 300);
        b.space.total = HUGE;
    }));
    assert!(matches!(cs.hear(), Heard::Ack(_)));
    cs.register(Register::End);
    wait_until(|| connected(server) >= 1);
    cs
}

/// A file in the root.
fn create_file(server: &TestServer) -> u32 {
    server.master.change(|txn| {
        txn.apply(&Op::Create {
            parent: 1,
            name: b"file"[..].into(),
            kind: 1,
            mode: 0o666,
            umask: 0,
            uid: 0,
            gid: 0,
            rdev: 0,
        })
        .unwrap();
        txn.meta().max_inode()
    })
}

#[test]
fn lists_that_never_end_are_not_kept() {
    const MIB: usize = 1 << 20;
    let server = TestServer::start();
    let mut hog = Chunkserver::registered(&server, IP, &[]);
    wait_until(|| connected(&server) == 1);
    let mut head = msg::CSTOMA_CHUNK_NEW.to_be_bytes().to_vec();
    head.extend(480_000_000_u32.to_be_bytes());
    let sent = (0..400).take_while(|_| {
        let part = vec![0; MIB];
        hog.0.try_send_bytes(&std::mem::take(&mut head)) && hog.0.try_send_bytes(&part)
    });
    let sent = sent.count();
    assert!(sent < 400, "it could send everything");
    wait_until(|| connected(&server) == 0);
    // The longest list that a real one sends is no matter.
    let _honest =
        Chunkserver::registered(&server, Ipv4Addr::new(10, 77, 5, 12), &chunks(1..100_001));
    wait_until(|| server.master.read().meta.chunk_count() == 100_000);
}

#[test]
fn a_chunkserver_that_does_not_take_its_commands_is_closed() {
    let server = TestServer::start();
    let mut deaf = spacious(&server, IP);
    let inode = create_file(&server);
    // Each write makes a command of 20 bytes; the sockets take some MB, the mailbox four.
    let mut index = 0;
    while connected(&server) == 1 {
        assert!(index < 2_000_000, "commands without end are kept");
        server.master.change(|txn| {
            txn.with_chunks(|chunks, log| {
                for _ in 0..20_000 {
                    let request = WriteRequest {
                        request: RequestId(u64::MAX - u64::from(index)),
                        inode,
                        index,
                        client_ip: 1,
                        session: 1,
                        continues: false,
                        canmod: false,
                        use_reserve: true,
                    };
                    index += 1;
                    // Refused when it has been closed.
                    match chunks.write(log, &request) {
                        Ok(Reply::Later) | Err(_) => {}
                        Ok(reply) => panic!("{reply:?}"),
                    }
                }
            });
        });
    }
    assert!(index > 200_000, "closed after {index}");
    // What it has got of them is what there was room for.
    let got = deaf.0.drain();
    assert!(got < 20 * index as usize, "{got} bytes of {index} commands");
    // It may come back.
    let _back = spacious(&server, IP);
}

#[test]
fn a_client_with_too_many_waiting_requests_is_closed() {
    let server = TestServer::start();
    let _deaf = spacious(&server, IP);
    let inode = create_file(&server);
    let (mut greedy, _) = server.mount();
    let (mut modest, _) = server.mount();
    let write = |mid: u32, index: u32| {
        Request::WriteChunk(ChunkRequest {
            mid,
            inode,
            index,
            flags: 0,
        })
    };
    let waiting = || server.master.read().chunks.requests.len();
    for n in 0..2000 {
        modest.send(&write(n + 1, n));
    }
    wait_until(|| waiting() == 2000);
    let mut frames = Vec::new();
    for n in 0..20_000 {
        write(n + 1, 2000 + n).encode_as(greedy.version, &mut frames);
    }
    greedy.try_send_bytes(&frames);
    while let Got::Frame(message, _) = greedy.answer() {
        // The mounts are told of the chunkserver, nothing else is ready.
        assert_eq!(message, msg::MATOCL_FUSE_INVALIDATE_CHUNK_CACHE);
    }
    // Its files are as before, and others still wait.
    wait_until(|| waiting() == 2000);
    let node = server.master.change(|txn| {
        let node = txn.meta().node(inode).unwrap();
        (node.chunk(1999) != 0, node.chunk(2000))
    });
    assert_eq!(node, (true, 0));
}

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct ToLog;

impl Write for ToLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Lines of the log that name an address. Other tests may log meanwhile.
fn lines_about(ip: Ipv4Addr) -> usize {
    let log = LOG.lock().unwrap();
    let text = String::from_utf8_lossy(&log);
    let name = format!("ip={ip} ");
    text.lines().filter(|line| line.contains(&name)).count()
}

#[test]
fn one_that_comes_and_goes_does_not_fill_the_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(|| ToLog)
            .init();
    });
    let server = TestServer::start();
    let ip = Ipv4Addr::new(10, 77, 99, 99);
    for n in 0..60_u64 {
        let mut cs = Chunkserver::registered(&server, ip, &[]);
        for chunk in [10 * n + 1, u64::MAX - 1] {
            // One that is not known, one that cannot be.
            cs.send(&mfs_proto::chunkserver::ServerMessage::ChunkNew(
                mfs_proto::chunkserver::report::ChunkNew {
                    chunks: List::from(&chunks(chunk..chunk + 1)),
                },
            ));
        }
        drop(cs);
        wait_until(|| connected(&server) == 0);
    }
    let lines = lines_about(ip);
    // Three lines for each connection that is told of, and those about its chunks.
    assert!((6..=60).contains(&lines), "{lines} lines");
}
