//! Registration and sessions.

use std::io::Write;
use std::net::TcpStream;

use mfs_master::session::ADDRESS_MAX;
use mfs_proto::client::Request;
use mfs_proto::client::register::{
    CloseSession, NewMetaSession, Reconnect, Register, RegisterReply, Resume,
};
use mfs_proto::register::{password_digest, password_md5};
use mfs_proto::{Status, Version, msg};

use crate::server::{
    Client, EXPORTS, Got, META_ID, TestServer, new_session, parse_exports, reconnect, wait_until,
};

const NEW: &str = "SESADD(#";

fn status(reply: RegisterReply) -> Status {
    match reply {
        RegisterReply::Status(status) | RegisterReply::Reconnect { status, .. } => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_is_granted_logged_and_disconnected() {
    let server = TestServer::start();
    let mut client = server.client();
    let RegisterReply::Session(session) = client.register(new_session(b"/", None)) else {
        panic!("no session");
    };
    assert_eq!(session.session_id, 1);
    assert_eq!(session.metaid, META_ID);
    assert_eq!(session.version, Version::MASTER);
    assert_eq!((session.flags, session.root_uid), (0x08, 0));
    let checksum = parse_exports(EXPORTS).checksum();
    let line = format!(
        "SESADD(#{checksum},1,8,0000,0,0,999,999,1,9,0,4294967295,0x00000000,2130706433,/mnt/test):1"
    );
    // It was written before the answer left.
    assert_eq!(server.lines().last(), Some(&line));
    drop(client);
    server.wait_for_line("SESDISCONNECTED(1)");
}

#[test]
fn answers_have_the_length_that_the_client_knows() {
    let server = TestServer::start();
    for (version, length) in [
        (Version::new(3, 0, 117), 49),
        (Version::new(3, 0, 112), 49),
        (Version::new(3, 0, 111), 45),
        (Version::new(3, 0, 72), 45),
        (Version::new(3, 0, 71), 43),
        (Version::new(3, 0, 11), 43),
        (Version::new(3, 0, 10), 35),
        (Version(0x0001_061A), 35),
    ] {
        let mut client = server.client();
        client.version = version;
        let Register::NewSession(mut new) = new_session(b"/", None) else {
            unreachable!()
        };
        new.version = version;
        assert_eq!(
            client.register_raw(Register::NewSession(new)).len(),
            length,
            "{version}"
        );
        let id = server.master.read().meta.next_session_id() - 1;
        let back = Reconnect {
            version,
            ..reconnect(id)
        };
        let mut again = server.client();
        again.version = version;
        let length = if version.has_long_reconnect() { 5 } else { 1 };
        assert_eq!(again.register_raw(Register::Reconnect(back)).len(), length);
        let mut tools = server.client();
        assert_eq!(tools.register_raw(Register::Tools(back)), [0]);
    }
    let mut meta = server.client();
    let request = Register::NewMetaSession(NewMetaSession {
        version: Version::MASTER,
        info: b"/mnt/meta",
        resume: None,
        digest: None,
    });
    let RegisterReply::MetaSession(session) = meta.register(request) else {
        panic!("no meta session");
    };
    let state = server.master.read();
    let params = &state.meta.session(session.session_id).unwrap().params;
    assert_eq!((params.root_inode, params.mapall_uid), (0, 0));
}

#[test]
fn paths_are_looked_up_from_the_root() {
    let server = TestServer::start();
    server.master.change(|txn| {
        for (parent, name, kind) in [(1, "a", 2), (2, "b", 2), (1, "file", 1)] {
            txn.apply(&mfs_meta::op::Op::Create {
                parent,
                name: name.as_bytes().into(),
                kind,
                mode: 0o755,
                umask: 0,
                uid: 0,
                gid: 0,
                rdev: 0,
            })
            .unwrap();
        }
    });
    let mut client = server.client();
    let refused = [
        (&b"/x"[..], Status::ENOENT),
        (b"/a/x", Status::ENOENT),
        (b"file", Status::ENOTDIR),
        (b"/file/x", Status::ENOTDIR),
        (b"/a/..", Status::EINVAL),
        (b"/./a", Status::EINVAL),
    ];
    for (path, expected) in refused {
        // A refusal leaves the connection open and unregistered.
        assert_eq!(status(client.register(new_session(path, None))), expected);
    }
    let long = [b"/".as_slice(), &[b'x'; 256]].concat();
    assert_eq!(
        status(client.register(new_session(&long, None))),
        Status::EINVAL
    );
    let RegisterReply::Session(session) = client.register(new_session(b"//a///b/", None)) else {
        panic!("refused");
    };
    let state = server.master.read();
    let params = &state.meta.session(session.session_id).unwrap().params;
    assert_eq!(params.root_inode, 3);
}

#[test]
fn passwords_and_rules() {
    let exports = "127.0.0.1 / rw,password=secret,maproot=0:0\n10.0.0.0/8 . rw\n";
    let server = TestServer::with_exports(exports);
    let mut client = server.client();
    let with_digest = |digest| {
        let Register::NewSession(mut new) = new_session(b"/", None) else {
            unreachable!()
        };
        new.digest = digest;
        Register::NewSession(new)
    };
    assert_eq!(
        status(client.register(with_digest(None))),
        Status::NOPASSWORD
    );
    assert_eq!(
        status(client.register(with_digest(Some([1; 16])))),
        Status::NOPASSWORD,
        "no challenge yet"
    );
    let RegisterReply::Random(challenge) = client.register(Register::GetRandom) else {
        panic!("no challenge");
    };
    assert_ne!(challenge, [0; 32]);
    assert_eq!(
        status(client.register(with_digest(Some([1; 16])))),
        Status::BADPASSWORD
    );
    let meta = Register::NewMetaSession(NewMetaSession {
        version: Version::MASTER,
        info: b"",
        resume: None,
        digest: None,
    });
    assert_eq!(status(client.register(meta)), Status::EACCES);
    let digest = password_digest(&challenge, &password_md5(b"secret"));
    assert!(matches!(
        client.register(with_digest(Some(digest))),
        RegisterReply::Session(_)
    ));
}

#[test]
fn taking_over_keeps_the_id_and_logs_the_change() {
    let server = TestServer::start();
    let (old, id) = server.mount();
    let ours = Resume {
        session_id: id,
        metaid: Some(META_ID),
    };
    let mut new = server.client();
    assert_eq!(new.new_session(Some(ours)), id);
    assert!(server.lines().last().unwrap().starts_with("SESCHANGED(1,#"));
    // Another file system's session, and one that does not exist.
    let foreign = Resume {
        metaid: Some(1),
        ..ours
    };
    assert_eq!(server.client().new_session(Some(foreign)), id + 1);
    let unknown = Resume {
        session_id: 77,
        metaid: None,
    };
    assert_eq!(server.client().new_session(Some(unknown)), id + 2);
    // The session ends with its last connection.
    drop(old);
    wait_until(|| server.master.read().live.sessions.links(id).len() == 1);
    assert!(!server.lines().contains(&format!("SESDISCONNECTED({id})")));
    drop(new);
    server.wait_for_line("SESDISCONNECTED(1)");
}

#[test]
fn reconnecting() {
    let server = TestServer::start();
    let (first, id) = server.mount();
    drop(first);
    server.wait_for_line("SESDISCONNECTED(1)");
    assert_ne!(
        server.master.read().meta.session(id).unwrap().disconnected,
        0
    );
    let ask = |back: Reconnect| status(server.client().register(Register::Reconnect(back)));
    assert_eq!(ask(reconnect(9)), Status::BADSESSIONID);
    let foreign = Reconnect {
        metaid: Some(5),
        ..reconnect(id)
    };
    assert_eq!(ask(foreign), Status::BADSESSIONID);
    let mut back = server.client();
    assert_eq!(
        status(back.register(Register::Reconnect(reconnect(id)))),
        Status::OK
    );
    assert_eq!(
        server.master.read().meta.session(id).unwrap().disconnected,
        0
    );
    // Other rules: ask again with NEWSESSION and the id.
    server
        .master
        .set_exports(parse_exports("127.0.0.1 / ro,maproot=0:0\n"));
    assert_eq!(ask(reconnect(id)), Status::EPERM);
    let lines = server.lines().len();
    let resume = Resume {
        session_id: id,
        metaid: Some(META_ID),
    };
    assert_eq!(server.client().new_session(Some(resume)), id);
    assert!(server.lines()[lines].starts_with("SESCHANGED(1,#"));
    let state = server.master.read();
    assert_eq!(state.meta.session(id).unwrap().params.flags, 0x01);
}

/// Sessions live on for a day after their clients: an address that makes one after the other does not fill the
/// memory.
#[test]
fn sessions_of_one_address_have_a_bound() {
    let server = TestServer::start();
    let (_mount, first) = server.mount();
    let args = {
        let state = server.master.read();
        let params = state.meta.session(first).unwrap().params.clone();
        mfs_meta::op::SessionArgs {
            csum: params.exports_csum,
            root: 1,
            flags: params.flags,
            umask: 0,
            rootuid: 0,
            rootgid: 0,
            mapalluid: 999,
            mapallgid: 999,
            mingoal: 1,
            maxgoal: 9,
            mintrash: 0,
            maxtrash: u32::MAX,
            disables: 0,
            ip: params.peer_ip,
            info: b"/mnt/leftover".as_slice().into(),
        }
    };
    server.master.change(|txn| {
        for _ in 1..ADDRESS_MAX {
            let op = mfs_meta::op::Op::SesAdd(Box::new(args.clone()));
            txn.apply(&op).unwrap();
        }
    });
    let sessions = || server.master.read().meta.sessions().count();
    assert_eq!(sessions(), ADDRESS_MAX);
    let (_another, _) = server.mount();
    assert_eq!(sessions(), ADDRESS_MAX);
    assert_eq!(
        server.lines().last().unwrap().split('(').next(),
        Some("SESADD")
    );
    server.wait_for_line("SESDEL(");
    assert!(server.master.read().meta.session(first).is_some());
    // All of them in use.
    {
        let state = &mut *server.master.state.write();
        let link = state.live.sessions.links(first)[0].clone();
        let all: Vec<u32> = state.meta.sessions().map(|(id, _)| id).collect();
        for id in all {
            let session = state.meta.session(id).unwrap();
            state.live.sessions.put(id, session);
            state.live.sessions.attach(id, link.clone());
        }
    }
    let mut refused = server.client();
    let reply = refused.register(new_session(b"/", None));
    assert_eq!(status(reply), Status::EAGAIN);
    assert_eq!(sessions(), ADDRESS_MAX);
}

/// Requests that never end: who holds much of them is closed, and others are served.
#[test]
fn unfinished_requests_have_a_bound() {
    const LENGTH: u32 = 50_000_000;
    let server = TestServer::start();
    let hogs: Vec<_> = (0..4)
        .map(|_| {
            let address = server.address;
            std::thread::spawn(move || {
                let mut socket = TcpStream::connect(address).unwrap();
                let mut header = [0; 8];
                header[4..].copy_from_slice(&LENGTH.to_be_bytes());
                // It may be closed at any moment.
                let _ = socket.write_all(&header);
                let piece = vec![0; 1 << 20];
                for _ in 0..LENGTH >> 20 {
                    if socket.write_all(&piece).is_err() {
                        break;
                    }
                }
                socket
            })
        })
        .collect();
    let sockets: Vec<TcpStream> = hogs.into_iter().map(|hog| hog.join().unwrap()).collect();
    // Two have the memory that there is for all.
    wait_until(|| server.master.connections.len() <= 2);
    server.mount();
    drop(sockets);
}

#[test]
fn closing_a_session() {
    let server = TestServer::start();
    let (mut one, id) = server.mount();
    let close = |metaid| {
        Register::CloseSession(CloseSession {
            session_id: id,
            metaid,
        })
    };
    let closed = || server.master.read().meta.session(id).unwrap().closed;
    // Two connections: answered, but the session stays.
    let mut two = server.client();
    two.register(Register::Reconnect(reconnect(id)));
    assert_eq!(status(two.register(close(Some(META_ID)))), Status::OK);
    assert_eq!(two.answer(), Got::Closed);
    assert!(!closed());
    wait_until(|| server.master.read().live.sessions.links(id).len() == 1);
    assert_eq!(status(one.register(close(Some(5)))), Status::BADSESSIONID);
    assert_eq!(one.answer(), Got::Closed);
    assert!(!closed());
    server.wait_for_line("SESDISCONNECTED(1)");
    let mut again = server.client();
    again.register(Register::Reconnect(reconnect(id)));
    assert_eq!(status(again.register(close(None))), Status::OK);
    assert!(closed());
}

#[test]
fn violations_close() {
    let server = TestServer::start();
    // CLOSESESSION before, anything else after the registration.
    let mut client = server.client();
    client.send(&Request::Register(Register::CloseSession(CloseSession {
        session_id: 1,
        metaid: None,
    })));
    assert_eq!(client.answer(), Got::Closed);
    let (mut client, _) = server.mount();
    client.send(&Request::Register(Register::GetRandom));
    assert_eq!(client.answer(), Got::Closed);
    // A request of a mount on an unregistered connection, an unknown one, a wrong length, a bad blob.
    let frames: [(u32, &[u8]); 4] = [
        (msg::CLTOMA_FUSE_GETATTR, &[0; 9]),
        (9999, &[]),
        (msg::CLTOMA_FUSE_REGISTER, &[0; 3]),
        (msg::CLTOMA_FUSE_REGISTER, &[b'x'; 65]),
    ];
    for (message, payload) in frames {
        let mut client = server.client();
        client.send_bytes(&frame(message, payload));
        assert_eq!(client.answer(), Got::Closed, "{message}");
    }
    let mut client = server.client();
    client.send_bytes(&[0, 0, 0, 0, 0x02, 0xFA, 0xF0, 0x81]);
    assert_eq!(client.answer(), Got::Closed, "too long");
}

#[test]
fn frames_may_be_split_anywhere_and_follow_each_other() {
    let server = TestServer::start();
    let mut bytes = frame(msg::ANTOAN_NOP, &[]);
    bytes.extend(frame(msg::ANTOAN_BAD_COMMAND_SIZE, &[1, 2, 3]));
    for register in [Register::GetRandom, new_session(b"/", None)] {
        Request::Register(register).encode(&mut bytes);
    }
    for step in [1, 7, bytes.len()] {
        let mut client = server.client();
        for piece in bytes.chunks(step) {
            client.send_bytes(piece);
        }
        let lengths: Vec<usize> = (0..2).map(|_| length(&mut client)).collect();
        assert_eq!(lengths, [32, 49], "pieces of {step}");
    }
}

#[test]
fn an_end_of_file_comes_after_the_answers() {
    let server = TestServer::start();
    let mut client = server.client();
    client.send(&Request::Register(new_session(b"/", None)));
    client.finish();
    assert_eq!(length(&mut client), 49);
    assert_eq!(client.answer(), Got::Closed);
    server.wait_for_line("SESDISCONNECTED(1)");
    assert!(server.lines().iter().any(|line| line.starts_with(NEW)));
}

fn length(client: &mut Client) -> usize {
    match client.answer() {
        Got::Frame(_, payload) => payload.len(),
        Got::Closed => panic!("closed"),
    }
}

fn frame(message: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    mfs_proto::frame::write(&mut bytes, message, |out| out.extend_from_slice(payload));
    bytes
}
