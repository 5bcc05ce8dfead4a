//! Frames recorded between the original programs decode, and encode to the same bytes
//! (`tests/data/README.md` says how they were recorded).

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test has no public interface, and a panic is its way to fail"
)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use mfs_proto::client::register::{Register, RegisterReply};
use mfs_proto::client::{Answer, Expect, Reply, Request, State, allowed, peek_mid};
use mfs_proto::frame::{CLIENT_MAX_PAYLOAD, Frames};
use mfs_proto::register::{password_digest, password_md5};
use mfs_proto::{Status, Version, msg};

#[derive(Debug)]
struct Event {
    conn: u64,
    from_client: bool,
    /// `None`: the side closed the connection.
    frame: Option<(u32, Vec<u8>)>,
}

fn data_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn unhex(hex: &str) -> Vec<u8> {
    assert_eq!(hex.len() % 2, 0);
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

fn load(path: &Path) -> Vec<Event> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| {
            let v: serde_json::Value = serde_json::from_str(line).unwrap();
            let msg = v["type"].as_i64().unwrap();
            Event {
                conn: v["conn"].as_u64().unwrap(),
                from_client: v["dir"] == "c2m",
                frame: (msg >= 0).then(|| (msg as u32, unhex(v["hex"].as_str().unwrap()))),
            }
        })
        .collect()
}

fn scenarios() -> Vec<(String, Vec<Event>)> {
    let mut found: Vec<_> = fs::read_dir(data_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, load(&path))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found.len(), 25, "all recorded scenarios are there");
    found
}

/// What the client side of a connection has said so far.
struct Connection {
    version: Version,
    state: State,
    asked: HashMap<(u32, Option<u32>), Expect>,
    registering: Option<(Version, State)>,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            version: Version::MASTER,
            state: State::Unregistered,
            asked: HashMap::new(),
            registering: None,
        }
    }
}

impl Connection {
    fn request(&mut self, request: &Request<'_>) {
        if let Request::Register(register) = request {
            self.registering = match register {
                Register::NewSession(s) => Some((s.version, State::Mount)),
                Register::NewMetaSession(s) => Some((s.version, State::Mount)),
                Register::Reconnect(s) => Some((s.version, State::Mount)),
                Register::Tools(s) => Some((s.version, State::Tools)),
                Register::GetRandom | Register::CloseSession(_) => None,
            };
            if let Some((version, _)) = self.registering {
                self.version = version;
            }
        }
        let key = (request.msg() + 1, request.mid());
        self.asked.insert(key, request.expect());
    }

    fn expectation(&self, msg: u32, payload: &[u8]) -> Expect {
        self.asked
            .get(&(msg, peek_mid(payload)))
            .or_else(|| self.asked.get(&(msg, None)))
            .copied()
            .unwrap_or_default()
    }
}

fn only_frame(bytes: &[u8]) -> (u32, &[u8]) {
    let mut frames = Frames::new(bytes, CLIENT_MAX_PAYLOAD);
    let frame = frames.next_frame().unwrap().unwrap();
    assert_eq!(frames.consumed(), bytes.len());
    (frame.msg, frame.payload)
}

#[test]
fn requests_decode_and_encode() {
    let mut exact = 0;
    let mut refused = 0;
    let mut old_forms: BTreeMap<(String, u32), usize> = BTreeMap::new();
    for (scenario, events) in scenarios() {
        let mut connections: HashMap<u64, Connection> = HashMap::new();
        for (at, event) in events.iter().enumerate() {
            let connection = connections.entry(event.conn).or_default();
            let Some((msg, payload)) = &event.frame else {
                continue;
            };
            if !event.from_client {
                if let (msg::MATOCL_FUSE_REGISTER, Some((_, state))) =
                    (*msg, connection.registering)
                {
                    let ok = payload.len() > 5 || payload.last() == Some(&0);
                    if ok {
                        connection.state = state;
                    }
                }
                continue;
            }
            let place = format!("{scenario} line {}", at + 1);
            let request = match Request::decode(*msg, payload, connection.version) {
                Ok(request) => request,
                Err(error) => {
                    // The real master refused it too: the next thing it did was to close.
                    let next = events[at + 1..]
                        .iter()
                        .find(|e| e.conn == event.conn)
                        .unwrap_or_else(|| panic!("{place}: {error}"));
                    assert!(
                        next.frame.is_none() && !next.from_client,
                        "{place}: {error}"
                    );
                    refused += 1;
                    continue;
                }
            };
            let answered = events[at + 1..].iter().any(|e| {
                e.conn == event.conn
                    && matches!(&e.frame, Some((m, p)) if *m == msg + 1 && peek_mid(p) == request.mid())
            });
            if answered && request.mid().is_some() {
                assert!(allowed(*msg, connection.state), "{place}: {request:?}");
            }
            connection.request(&request);

            let mut out = Vec::new();
            request.encode_as(connection.version, &mut out);
            let (again_msg, again) = only_frame(&out);
            if (again_msg, again) == (*msg, payload.as_slice()) {
                exact += 1;
            } else {
                assert_eq!(
                    Request::decode(again_msg, again, connection.version).as_ref(),
                    Ok(&request),
                    "{place}"
                );
                *old_forms.entry((scenario.clone(), *msg)).or_default() += 1;
            }
        }
    }
    // Only the current forms are encoded. These frames have another form of the same meaning.
    let old_forms: Vec<_> = old_forms
        .iter()
        .map(|((scenario, msg), count)| (scenario.as_str(), *msg, *count))
        .collect();
    assert_eq!(old_forms, OTHER_FORMS);
    assert_eq!((exact, refused), (2412, 22));
}

/// Requests whose form the encoder does not write: file, message, number of frames.
const OTHER_FORMS: &[(&str, u32, usize)] = &[
    ("client-raw-legacy-lengths", msg::CLTOMA_FUSE_ACCESS, 1),
    ("client-raw-legacy-lengths", msg::CLTOMA_FUSE_LOOKUP, 1),
    ("client-raw-legacy-lengths", msg::CLTOMA_FUSE_GETATTR, 6),
    ("client-raw-legacy-lengths", msg::CLTOMA_FUSE_SETATTR, 2),
    // A target without the zero byte that the encoder appends.
    ("client-raw-legacy-lengths", msg::CLTOMA_FUSE_SYMLINK, 1),
    ("client-raw-legacy-lengths", msg::CLTOMA_FUSE_MKNOD, 1),
    ("client-raw-legacy-lengths", msg::CLTOMA_FUSE_MKDIR, 2),
    ("client-raw-legacy-lengths", msg::CLTOMA_FUSE_UNLINK, 1),
    ("client-raw-legacy-lengths", msg::CLTOMA_FUSE_RMDIR, 1),
    ("client-raw-legacy-lengths", msg::CLTOMA_FUSE_READDIR, 7),
    ("client-raw-legacy-lengths", msg::CLTOMA_FUSE_OPEN, 1),
    ("client-raw-legacy-lengths", msg::CLTOMA_FUSE_READ_CHUNK, 1),
    (
        "client-raw-legacy-lengths",
        msg::CLTOMA_FUSE_WRITE_CHUNK_END,
        1,
    ),
    ("client-raw-legacy-lengths", msg::CLTOMA_FUSE_GETTRASH, 1),
    ("client-raw-legacy-lengths", msg::CLTOMA_FUSE_TRUNCATE, 2),
    ("client-raw-legacy-lengths", msg::CLTOMA_FUSE_CREATE, 1),
    // Empty texts written as a single zero byte.
    ("client-raw-tools-register", msg::CLTOMA_FUSE_REGISTER, 1),
];

#[test]
fn answers_decode_and_encode_to_the_same_bytes() {
    let mut exact = 0;
    for (scenario, events) in scenarios() {
        let mut connections: HashMap<u64, Connection> = HashMap::new();
        for (at, event) in events.iter().enumerate() {
            let connection = connections.entry(event.conn).or_default();
            let Some((msg, payload)) = &event.frame else {
                continue;
            };
            if event.from_client {
                if let Ok(request) = Request::decode(*msg, payload, connection.version) {
                    connection.request(&request);
                }
                continue;
            }
            let place = format!("{scenario} line {}", at + 1);
            let expect = match *msg {
                // Some requests of this one were sent in pieces and are not in the file.
                msg::ANTOAN_VERSION if payload.starts_with(&Version::MASTER.0.to_be_bytes()) => {
                    Expect::NoMid
                }
                _ => connection.expectation(*msg, payload),
            };
            let answer = Answer::decode(*msg, payload, connection.version, expect)
                .unwrap_or_else(|error| panic!("{place}: {error}"));
            if let Some(mid) = answer.mid {
                assert_eq!(peek_mid(payload), Some(mid), "{place}");
            }
            let mut out = Vec::new();
            answer.encode(connection.version, &mut out);
            assert_eq!(
                only_frame(&out),
                (*msg, payload.as_slice()),
                "{place}: {answer:?}"
            );
            exact += 1;
        }
    }
    assert_eq!(exact, 2524);
}

#[test]
fn message_names() {
    let text = fs::read_to_string(data_dir().join("client-names.json")).unwrap();
    let names: BTreeMap<String, u32> = serde_json::from_str(&text).unwrap();
    let own: BTreeMap<String, u32> = msg::CLIENT_PORT
        .iter()
        .map(|&(number, name)| (name.to_owned(), number))
        .collect();
    assert_eq!(own, names);
}

#[test]
fn password_digests_of_real_mounts() {
    // Data mounts with a wrong, the right, and the right but hashed password; a meta mount with its own.
    let events = load(&data_dir().join("client-password.jsonl"));
    let mut challenge = None;
    let mut right = None;
    let mut outcomes = Vec::new();
    for event in &events {
        let Some((msg, payload)) = &event.frame else {
            continue;
        };
        if event.from_client {
            let (digest, password) = match Request::decode(*msg, payload, Version::MASTER) {
                Ok(Request::Register(Register::NewSession(s))) => (s.digest, &b"secret"[..]),
                Ok(Request::Register(Register::NewMetaSession(s))) => (s.digest, &b"meta"[..]),
                _ => continue,
            };
            right = challenge.map(|c| digest == Some(password_digest(&c, &password_md5(password))));
        } else if *msg == msg::MATOCL_FUSE_REGISTER {
            match Answer::decode(*msg, payload, Version::MASTER, Expect::Plain)
                .unwrap()
                .result
            {
                Ok(Reply::Register(RegisterReply::Random(random))) => challenge = Some(random),
                Ok(Reply::Register(RegisterReply::Status(status))) if !status.is_ok() => {
                    outcomes.push((right, status));
                }
                Ok(Reply::Register(RegisterReply::Session(_) | RegisterReply::MetaSession(_))) => {
                    outcomes.push((right, Status::OK))
                }
                _ => {}
            }
        }
    }
    assert_eq!(
        outcomes,
        [
            (None, Status::NOPASSWORD),
            (Some(false), Status::BADPASSWORD),
            (Some(true), Status::OK),
            (Some(true), Status::OK),
            (Some(true), Status::OK),
        ]
    );
}
