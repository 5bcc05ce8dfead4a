//! The chunkserver port from the outside (spec 05 §1–§5, §7, §22), with scripted chunkservers. They connect from the
//! loopback interface and announce addresses of another network.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mfs_chunks::{Reply, RequestId, WriteRequest};
use mfs_master::master::Master;
use mfs_meta::op::Op;
use mfs_proto::chunkserver::command::Done;
use mfs_proto::chunkserver::report::{ChunkDamaged, ChunkLost, ChunkNew, Labels, Load};
use mfs_proto::chunkserver::{
    Begin, BeginAck, MasterAck, MasterMessage, OldBegin, Register, ReportedChunk, ServerMessage,
    Space, SpaceReport,
};
use mfs_proto::client::Expect;
use mfs_proto::client::session::{GetConfig, GetVersion};
use mfs_proto::register::auth_digest;
use mfs_proto::wire::List;
use mfs_proto::{Status, Version, msg};

use crate::server::{Client, Got, META_ID, TestServer, parse_config, wait_until};

pub(crate) const IP: Ipv4Addr = Ipv4Addr::new(10, 77, 5, 11);
const PORT: u16 = 9422;
/// As `CSDBOP` lines have it.
const IP_TEXT: &str = "172819723";

/// A chunkserver's side of a connection.
pub(crate) struct Chunkserver(pub(crate) Client);

/// What the master sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Nop,
    Ack(MasterAck),
    Create(u64, u32),
    Other(u32, Vec<u8>),
    Closed,
}

impl Chunkserver {
    pub(crate) fn connect(server: &TestServer) -> Chunkserver {
        Chunkserver(Client::connect(server.chunkservers))
    }

    /// Registered, with these chunks in version 1.
    pub(crate) fn registered(
        server: &TestServer,
        ip: Ipv4Addr,
        chunks: &[ReportedChunk],
    ) -> Chunkserver {
        Chunkserver::registered_at(server.chunkservers, ip, chunks)
    }

    /// The same at the port of any master. It is not missed when it is silent.
    pub(crate) fn registered_at(
        port: SocketAddr,
        ip: Ipv4Addr,
        chunks: &[ReportedChunk],
    ) -> Chunkserver {
        let mut cs = Chunkserver(Client::connect(port));
        cs.send(&begin_with(|b| (b.ip, b.timeout) = (ip.into(), 300)));
        assert!(matches!(cs.hear(), Heard::Ack(MasterAck::Begin(_))));
        cs.register(Register::Chunks(List::from(chunks)));
        assert_eq!(cs.hear(), Heard::Ack(MasterAck::Chunks));
        cs.register(Register::End);
        cs
    }

    /// Waits for the command to create a chunk, and obeys.
    pub(crate) fn create(&mut self, chunk: u64) {
        assert_eq!(self.hear(), Heard::Create(chunk, 1));
        self.send(&ServerMessage::Create(Done {
            chunkid: chunk,
            status: Status::OK,
        }));
    }

    pub(crate) fn send(&mut self, message: &ServerMessage<'_>) {
        let mut frame = Vec::new();
        message.encode(&mut frame);
        self.0.send_bytes(&frame);
    }

    pub(crate) fn register(&mut self, register: Register<'_>) {
        self.send(&ServerMessage::Register(register));
    }

    /// The next frame, NOPs included.
    fn listen(&mut self) -> Heard {
        let (message, payload) = match self.0.next() {
            Got::Closed => return Heard::Closed,
            Got::Frame(message, payload) => (message, payload),
        };
        match MasterMessage::decode(message, &payload, Expect::Plain) {
            Ok(MasterMessage::Ignored(_)) => {
                assert_eq!((message, payload.len()), (msg::ANTOAN_NOP, 0));
                Heard::Nop
            }
            Ok(MasterMessage::Ack(ack)) => Heard::Ack(ack),
            Ok(MasterMessage::Create(order)) => Heard::Create(order.chunkid, order.version),
            _ => Heard::Other(message, payload),
        }
    }

    /// The next frame that is no NOP.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            match self.listen() {
                Heard::Nop => {}
                other => return other,
            }
        }
    }
}

pub(crate) fn begin_with(change: impl FnOnce(&mut Begin)) -> ServerMessage<'static> {
    let mut begin = Begin {
        digest: None,
        version: Version::MASTER,
        ip: IP.into(),
        port: PORT,
        timeout: 0,
        csid: 0,
        space: Space {
            total: 1 << 40,
            ..Space::default()
        },
    };
    change(&mut begin);
    ServerMessage::Register(Register::Begin(begin))
}

fn begin(ip: Ipv4Addr) -> ServerMessage<'static> {
    begin_with(|b| b.ip = ip.into())
}

fn ack(csid: u16) -> Heard {
    ack_with(csid, 10)
}

fn ack_with(csid: u16, timeout: u16) -> Heard {
    Heard::Ack(MasterAck::Begin(BeginAck {
        version: Version::MASTER,
        timeout,
        csid,
        metaid: Some(META_ID),
    }))
}

pub(crate) fn chunks(ids: std::ops::Range<u64>) -> Vec<ReportedChunk> {
    ids.map(|chunkid| ReportedChunk {
        chunkid,
        version: 1,
        marked: false,
    })
    .collect()
}

/// Lines that begin so.
fn count(server: &TestServer, operation: &str) -> usize {
    let lines = server.lines();
    lines.iter().filter(|l| l.starts_with(operation)).count()
}

pub(crate) fn connected(server: &TestServer) -> usize {
    server.master.read().chunks.machine.servers_with_space()
}

#[test]
fn a_registration() {
    let server = TestServer::start();
    let mut cs = Chunkserver::connect(&server);
    cs.send(&begin(IP));
    assert_eq!(cs.hear(), ack(1));
    cs.send(&ServerMessage::Labels(Labels { mask: 3 }));
    for part in [chunks(1..4), chunks(4..6), Vec::new()] {
        cs.register(Register::Chunks(List::from(&part)));
        assert_eq!(cs.hear(), Heard::Ack(MasterAck::Chunks));
    }
    assert_eq!(server.master.read().chunks.machine.progress() & 2, 2);
    cs.register(Register::End);
    cs.send(&ServerMessage::ChunkNew(ChunkNew {
        chunks: List::from(&chunks(5..8)),
    }));
    server.wait_for_line("CHUNKADD(7,1,");
    assert_eq!(
        server.lines()[1..3],
        [
            format!("CSDBOP(0,{IP_TEXT},9422,0)"),
            format!("CSDBOP(3,{IP_TEXT},9422,1)")
        ]
    );
    assert_eq!(count(&server, "CHUNKADD("), 7);
    let state = server.master.read();
    assert_eq!(state.meta.chunk_count(), 7);
    assert_eq!(state.chunks.machine.servers_with_space(), 1);
}

#[test]
fn the_same_server_twice() {
    let server = TestServer::start();
    let first = Chunkserver::registered(&server, IP, &[]);
    let mut second = Chunkserver::connect(&server);
    second.send(&begin(IP));
    assert_eq!(second.hear(), Heard::Closed);
    drop(first);
    wait_until(|| connected(&server) == 0);
    // It is known, whatever number it says it has.
    let mut again = Chunkserver::connect(&server);
    again.send(&begin_with(|b| b.csid = 77));
    assert_eq!(again.hear(), ack(1));
    // One that has moved is known by its number.
    drop(again);
    wait_until(|| connected(&server) == 0);
    let mut moved = Chunkserver::connect(&server);
    moved.send(&begin_with(|b| (b.csid, b.port) = (1, 9522)));
    assert_eq!(moved.hear(), ack(1));
    server.wait_for_line(&format!("CSDBOP(2,{IP_TEXT},9522,1)"));
    let mut other = Chunkserver::connect(&server);
    other.send(&begin(Ipv4Addr::new(10, 77, 5, 12)));
    assert_eq!(other.hear(), ack(2));
}

#[test]
fn addresses() {
    let server = TestServer::start();
    // Its own address is that of the connection, which nobody else could use.
    for ip in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(127, 3, 2, 1)] {
        let mut cs = Chunkserver::connect(&server);
        cs.send(&begin(ip));
        assert_eq!(cs.hear(), Heard::Closed, "{ip}");
    }
    assert_eq!(count(&server, "CSDBOP"), 0);
    server.master.set_config(parse_config(
        "REMAP_BITS = 8\nREMAP_SOURCE_IP_CLASS = 127.0.0.0\nREMAP_DESTINATION_IP_CLASS = 10.0.0.0\n",
    ));
    let mut cs = Chunkserver::connect(&server);
    cs.send(&begin(Ipv4Addr::new(127, 77, 5, 11)));
    assert_eq!(cs.hear(), ack(1));
    server.wait_for_line(&format!("CSDBOP(0,{IP_TEXT},9422,0)"));
}

#[test]
fn time_outs_that_are_wished_for() {
    let server = TestServer::start();
    for (timeout, given) in [(1, None), (9, None), (10, Some(10)), (300, Some(300))] {
        let mut cs = Chunkserver::connect(&server);
        cs.send(&begin_with(|b| b.timeout = timeout));
        match given {
            None => assert_eq!(cs.hear(), Heard::Closed, "{timeout}"),
            Some(given) => assert_eq!(cs.hear(), ack_with(1, given)),
        }
        drop(cs);
        wait_until(|| connected(&server) == 0);
    }
    server
        .master
        .set_config(parse_config("MATOCS_TIMEOUT = 33\n"));
    let mut cs = Chunkserver::connect(&server);
    cs.send(&begin(IP));
    assert_eq!(cs.hear(), ack_with(1, 33));
}

#[test]
fn the_secret() {
    let server = TestServer::start();
    server
        .master
        .set_config(parse_config("AUTH_CODE = secret\n"));
    let challenged = |cs: &mut Chunkserver| match cs.hear() {
        Heard::Ack(MasterAck::Challenge(challenge)) => challenge,
        other => panic!("{other:?}"),
    };
    let mut cs = Chunkserver::connect(&server);
    cs.send(&begin(IP));
    let challenge = challenged(&mut cs);
    let digest = auth_digest(&challenge, b"secret");
    cs.send(&begin_with(|b| b.digest = Some(digest)));
    assert_eq!(cs.hear(), ack(1));

    let mut wrong = Chunkserver::connect(&server);
    wrong.send(&begin(IP));
    let challenge = challenged(&mut wrong);
    wrong.send(&begin_with(|b| {
        b.digest = Some(auth_digest(&challenge, b"Secret"));
    }));
    assert_eq!(wrong.hear(), Heard::Closed);

    // What somebody has heard proves nothing on another connection, nor what is made without a challenge.
    for digest in [digest, auth_digest(&[0; 32], b"secret")] {
        let mut replayed = Chunkserver::connect(&server);
        replayed.send(&begin_with(|b| b.digest = Some(digest)));
        challenged(&mut replayed);
        replayed.send(&begin_with(|b| b.digest = Some(digest)));
        assert_eq!(replayed.hear(), Heard::Closed);
    }

    let mut old = Chunkserver::connect(&server);
    old.register(Register::OldBegin(old_begin(10)));
    assert_eq!(old.hear(), Heard::Closed);
}

fn old_begin(timeout: u16) -> OldBegin {
    OldBegin {
        version: Version::new(2, 0, 50),
        ip: IP.into(),
        port: PORT,
        timeout,
    }
}

#[test]
fn older_registrations() {
    let server = TestServer::start();
    let mut hasty = Chunkserver::connect(&server);
    hasty.register(Register::OldBegin(old_begin(0)));
    assert_eq!(hasty.hear(), Heard::Closed);
    let mut cs = Chunkserver::connect(&server);
    cs.register(Register::OldBegin(old_begin(10)));
    assert_eq!(
        cs.hear(),
        Heard::Ack(MasterAck::OldBegin {
            version: Version::MASTER
        })
    );
    cs.register(Register::OldChunks(List::from(&chunks(1..3_001))));
    cs.register(Register::OldEnd(Space {
        total: 1 << 30,
        ..Space::default()
    }));
    server.wait_for_line("CHUNKADD(3000,1,");
    wait_until(|| connected(&server) == 1);
    assert_eq!(count(&server, "CSDBOP(3"), 0, "it takes no number");
}

#[test]
fn what_has_no_place_ends_the_connection() {
    let server = TestServer::start();
    let closed = |registered: bool, frame: &[u8]| {
        let mut cs = Chunkserver::connect(&server);
        if registered {
            cs = Chunkserver::registered(&server, IP, &[]);
        }
        cs.0.send_bytes(frame);
        assert_eq!(cs.hear(), Heard::Closed, "{registered} {frame:?}");
        wait_until(|| connected(&server) == 0);
    };
    let frame = |message: &ServerMessage<'_>| {
        let mut frame = Vec::new();
        message.encode(&mut frame);
        frame
    };
    let raw = |message: u32, length: u32, payload: &[u8]| {
        [&message.to_be_bytes(), &length.to_be_bytes(), payload].concat()
    };
    let new = ServerMessage::ChunkNew(ChunkNew {
        chunks: List::EMPTY,
    });
    let answer = ServerMessage::Create(Done {
        chunkid: 1,
        status: Status::OK,
    });
    for early in [
        new,
        answer,
        ServerMessage::Register(Register::End),
        ServerMessage::Register(Register::Chunks(List::EMPTY)),
        ServerMessage::Register(Register::Disconnect),
    ] {
        closed(false, &frame(&early));
    }
    for late in [
        begin(IP),
        ServerMessage::Register(Register::End),
        ServerMessage::Register(Register::Chunks(List::EMPTY)),
    ] {
        closed(true, &frame(&late));
    }
    for registered in [false, true] {
        closed(registered, &raw(msg::CSTOMA_REGISTER, 500_000_001, &[]));
        closed(registered, &raw(msg::CSTOMA_REGISTER, 1, &[4]));
        closed(registered, &raw(9999, 0, &[]));
    }
    closed(false, &raw(msg::CSTOMA_CHUNK_NEW, 16_385, &[]));
    closed(true, &raw(msg::CSTOMA_SPACE, 3, &[0; 3]));
    closed(true, &raw(msg::CSTOMA_CHUNK_NEW, 13, &[0; 13]));
    closed(true, &raw(msg::CSTOMA_CHUNKOP, 33, &[0; 33]));
    // A second BEGIN while the first registration goes on.
    let mut cs = Chunkserver::connect(&server);
    cs.send(&begin(IP));
    assert_eq!(cs.hear(), ack(1));
    cs.send(&begin(IP));
    assert_eq!(cs.hear(), Heard::Closed);
}

#[test]
fn questions() {
    let server = TestServer::start();
    server
        .master
        .set_config(parse_config("AUTH_CODE = secret\nBACK_LOGS = 7\n"));
    let mut cs = Chunkserver::connect(&server);
    let version = [&Version::MASTER.0.to_be_bytes()[..], b"3.0.117-1"].concat();
    cs.send(&ServerMessage::GetVersion(GetVersion { mid: None }));
    assert_eq!(
        cs.hear(),
        Heard::Other(msg::ANTOAN_VERSION, version.clone())
    );
    cs.send(&ServerMessage::GetVersion(GetVersion { mid: Some(9) }));
    let with_mid = [&9_u32.to_be_bytes()[..], &version].concat();
    assert_eq!(cs.hear(), Heard::Other(msg::ANTOAN_VERSION, with_mid));
    for (option, value) in [("BACK_LOGS", &b"\x017"[..]), ("AUTH_CODE", b"\0")] {
        cs.send(&ServerMessage::GetConfig(GetConfig {
            mid: 3,
            option: option.as_bytes(),
        }));
        let answer = [&3_u32.to_be_bytes()[..], value].concat();
        assert_eq!(cs.hear(), Heard::Other(msg::ANTOAN_CONFIG_VALUE, answer));
    }
}

#[test]
fn a_server_that_is_stopped_is_in_maintenance_until_it_is_back() {
    let server = TestServer::start();
    let mut cs = Chunkserver::registered(&server, IP, &[]);
    cs.register(Register::Disconnect);
    assert_eq!(cs.hear(), Heard::Closed);
    server.wait_for_line(&format!("CSDBOP(6,{IP_TEXT},9422,"));
    assert_eq!(count(&server, "CSDBOP(5"), 0);
    let _back = Chunkserver::registered(&server, IP, &[]);
    server.wait_for_line(&format!("CSDBOP(5,{IP_TEXT},9422,0)"));
}

#[test]
fn silence() {
    let server = TestServer::start();
    let mut registered = Chunkserver::connect(&server);
    // Nobody gets a NOP before the answer to BEGIN: it would be taken for that.
    let mut unknown = Chunkserver::connect(&server);
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(unknown.listen(), Heard::Closed));
        registered.send(&begin(IP));
        assert_eq!(registered.listen(), ack(1));
        let start = Instant::now();
        let mut nops = 0;
        while registered.listen() == Heard::Nop {
            nops += 1;
        }
        let after = start.elapsed();
        assert!(nops >= 2, "{nops}");
        assert!(after >= Duration::from_secs(10), "{after:?}");
        wait_until(|| connected(&server) == 0);
    });
}

#[test]
fn all_mounts_forget_where_chunks_are() {
    let server = TestServer::start();
    let (mut mount, _) = server.mount();
    let mut notices = |number| {
        let heard: Vec<_> = (0..number).map(|_| mount.answer()).collect();
        let notice = || Got::Frame(msg::MATOCL_FUSE_INVALIDATE_CHUNK_CACHE, vec![0; 4]);
        assert_eq!(heard, (0..number).map(|_| notice()).collect::<Vec<_>>());
    };
    let cs = Chunkserver::registered(&server, IP, &[]);
    notices(1);
    drop(cs);
    notices(1);
}

/// A new file, and the chunk that is made for its first write.
pub(crate) fn write(master: &Master) -> u64 {
    let (inode, chunk) = master.change(|txn| {
        txn.apply(&Op::Create {
            parent: 1,
            name: format!("f{}", txn.version()).into_bytes().into(),
            kind: 1,
            mode: 0o644,
            umask: 0,
            uid: 0,
            gid: 0,
            rdev: 0,
        })
        .unwrap();
        let inode = txn.meta().max_inode();
        let request = WriteRequest {
            request: RequestId(u64::MAX),
            inode,
            index: 0,
            client_ip: 1,
            session: 1,
            continues: false,
            canmod: true,
            use_reserve: false,
        };
        let reply = txn.with_chunks(|chunks, log| chunks.write(log, &request));
        assert_eq!(reply, Ok(Reply::Later));
        (inode, txn.meta().node(inode).unwrap().chunk(0))
    });
    assert!(inode > 1);
    chunk
}

#[test]
fn commands_leave_after_their_lines() {
    let server = TestServer::start();
    let mut cs = Chunkserver::registered(&server, IP, &[]);
    wait_until(|| connected(&server) == 1);
    let chunk = write(&server.master);
    cs.create(chunk);
    let line = format!("WRITE(2,0,1,1):{chunk}");
    assert!(server.lines().contains(&line), "{:?}", server.lines());
    let usable = || {
        server.master.change(|txn| {
            txn.with_chunks(|chunks, log| chunks.usable_copies(log.meta(), chunk)) == Some(1)
                && txn.chunk_state().machine.unfinished().is_empty()
        })
    };
    wait_until(usable);
}

#[test]
fn reports() {
    let server = TestServer::start();
    let mut cs = Chunkserver::registered(&server, IP, &chunks(1..4));
    cs.send(&ServerMessage::Space(SpaceReport::Plain {
        used: 5 << 30,
        total: 6 << 30,
    }));
    cs.send(&ServerMessage::Labels(Labels { mask: 6 }));
    cs.send(&ServerMessage::Load(Load {
        load: 42,
        hlstatus: Some(1),
    }));
    cs.send(&ServerMessage::ChunkLost(ChunkLost {
        chunks: List::from(&[2_u64]),
    }));
    cs.send(&ServerMessage::ChunkDamaged(ChunkDamaged {
        chunks: List::from(&[3_u64, 9]),
    }));
    server.wait_for_line("CHUNKADD(9,0,");
    server.master.change(|txn| {
        txn.with_chunks(|chunks, log| {
            let info = chunks.servers(log.meta(), log.now()).remove(0);
            assert_eq!(info.space.used, 5 << 30);
            assert_eq!((info.labels, info.load), (6, 42));
            let usable: Vec<_> = [1, 2, 3, 9]
                .map(|chunk| chunks.usable_copies(log.meta(), chunk))
                .into();
            assert_eq!(usable, [Some(1), Some(0), Some(0), Some(0)]);
        });
    });
}

#[test]
fn long_lists_let_others_in_between() {
    const CHUNKS: u64 = 200_000;
    let server = TestServer::start();
    let mut cs = Chunkserver::registered(&server, IP, &[]);
    let list = chunks(1..CHUNKS + 1);
    cs.send(&ServerMessage::ChunkNew(ChunkNew {
        chunks: List::from(&list),
    }));
    let known = || server.master.read().meta.chunk_count();
    wait_until(|| known() > 0);
    // A client registers meanwhile, and a chunkserver.
    let mut client = server.client();
    client.new_session(None);
    let _other = Chunkserver::registered(&server, Ipv4Addr::new(10, 77, 5, 12), &[]);
    assert!(u64::from(known()) < CHUNKS, "it was not asked in between");
    wait_until(|| u64::from(known()) == CHUNKS);
    assert_eq!(count(&server, "CHUNKADD("), CHUNKS as usize);
}

#[test]
fn a_list_is_taken_into_account_before_the_connection_ends() {
    let server = TestServer::start();
    let mut cs = Chunkserver::registered(&server, IP, &[]);
    let list = chunks(1..30_001);
    cs.send(&ServerMessage::ChunkNew(ChunkNew {
        chunks: List::from(&list),
    }));
    cs.0.finish();
    assert_eq!(cs.hear(), Heard::Closed);
    wait_until(|| connected(&server) == 0);
    assert_eq!(server.master.read().meta.chunk_count(), 30_000);
}

#[test]
fn an_orderly_stop_closes_chunkservers_and_leaves_them_known() {
    let server = TestServer::start();
    let mut cs = Chunkserver::registered(&server, IP, &chunks(1..2));
    server.wait_for_line("CHUNKADD(1,1,");
    let lines = server.lines();
    server.block_on(server.master.connections.close_all("the master stops"));
    assert_eq!(cs.hear(), Heard::Closed);
    assert_eq!(server.lines(), lines, "nothing is changed by that");
}
