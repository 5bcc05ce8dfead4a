//! Sends a recording to a master and compares.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use mfs_master::clock::Clock;
use mfs_proto::{frame, msg};
use mfs_store::changelog::SaveMode;
use mfs_store::fs::OsFs;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::recording::{CLOSED, Frame, Frames, Recording, Step, Times};
use crate::server::{PATIENCE, TestServer};

/// Message ids of the questions between steps.
const SETTLE: [u32; 2] = [0xFFFF_FFF0, 0xFFFF_FFF1];

/// Creation time of the file systems that tests make.
const ROOT_TIME: u32 = 1_600_000_000;

/// Lines that depend on when and how often something runs, or on the connections.
const UNRELATED: [&str; 6] = [
    "SETMETAID",
    "SES",
    "ACCESS",
    "EMPTY",
    "FREEINODES",
    "RENUMERATE",
];

pub(crate) fn replay(text: &str) {
    let recording = Recording::parse(text);
    let exports: String = recording
        .exports
        .iter()
        .map(|(client, rule)| format!("{} {rule}\n", address(*client)))
        .collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_secs() as u32;
    // No line depends on when a second ends.
    let clock = Clock::standing_at(now);
    let server = TestServer::with_clock(&exports, SaveMode::Written, Arc::new(OsFs), clock);
    let times = Times::since(now).and(ROOT_TIME);
    let mut clients = Clients {
        server: server.address,
        register: &recording.register,
        open: BTreeMap::new(),
    };
    let mut differences = Vec::new();
    for (at, step) in recording.steps.iter().enumerate() {
        let got = masked(clients.execute(step), &times);
        let expected = match &step.deviation {
            None => step.got.clone(),
            Some((_, Some(ours))) => ours.clone(),
            Some((_, None)) => continue,
        };
        let expected = masked(expected, &recording.times);
        if got != expected {
            differences.push(format!(
                "step {at}, client {}: {}\n  expected {}\n  got      {}",
                step.from,
                shown(&step.frame),
                list(&expected),
                list(&got)
            ));
        }
    }
    let total = differences.len();
    differences.truncate(40);
    assert!(
        total == 0,
        "{total} answers differ:\n{}",
        differences.join("\n")
    );
    compare_lines(&recording, &server, &times);
}

fn compare_lines(recording: &Recording, server: &TestServer, times: &Times) {
    let related = |lines: &[String], times: &Times| -> Vec<String> {
        lines
            .iter()
            .filter(|line| !UNRELATED.iter().any(|prefix| line.starts_with(prefix)))
            .map(|line| without_leading_zeros(&times.mask_line(line)))
            .collect()
    };
    let expected = related(&recording.lines, &recording.times);
    let got = related(&server.lines(), times);
    for (at, (expected, got)) in expected.iter().zip(&got).enumerate() {
        assert_eq!(got, expected, "line {at}");
    }
    assert_eq!(got.len(), expected.len(), "number of lines");
}

/// The original misreads the first digit of each group of a SNAPSHOT line, so ours have a 0 in front (spec 03
/// §9.2).
fn without_leading_zeros(line: &str) -> String {
    match (line.starts_with("SNAPSHOT"), line.split_once('[')) {
        (true, Some((head, groups))) => {
            let (groups, tail) = groups.split_once(']').unwrap();
            let groups: Vec<u32> = groups.split(',').map(|gid| gid.parse().unwrap()).collect();
            format!("{head}{groups:?}{tail}")
        }
        _ => line.to_owned(),
    }
}

/// In a form that can be compared. Notices and late answers may overtake other answers (spec 04 §2.4).
fn masked(mut frames: Frames, times: &Times) -> Frames {
    for list in frames.values_mut() {
        for (_, payload) in list.iter_mut() {
            times.mask_frame(payload);
        }
        list.sort_unstable();
    }
    frames
}

fn shown((message, payload): &Frame) -> String {
    let name = mfs_proto::msg::name(*message).unwrap_or("closed");
    let hex: String = payload.iter().map(|b| format!("{b:02x}")).collect();
    format!("{name} {hex:.400}")
}

fn list(frames: &Frames) -> String {
    let one = |(client, frames): (&u8, &Vec<Frame>)| {
        let frames: Vec<String> = frames.iter().map(shown).collect();
        format!("{client}: {}", frames.join(" "))
    };
    frames.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn address(client: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, client)
}

struct Clients<'a> {
    server: SocketAddr,
    register: &'a BTreeMap<u8, Vec<u8>>,
    open: BTreeMap<u8, Client>,
}

impl Clients<'_> {
    /// Sends the request of a step and takes everything that anybody gets.
    fn execute(&mut self, step: &Step) -> Frames {
        if self.open.get(&step.from).is_none_or(|client| client.closed) {
            let client = Client::register(self.server, step.from, &self.register[&step.from]);
            self.open.insert(step.from, client);
            for client in self.open.values_mut() {
                client.settle();
            }
        }
        let (message, payload) = &step.frame;
        self.open
            .get_mut(&step.from)
            .unwrap()
            .send(*message, payload);
        let mut got = Frames::new();
        let (first, others): (Vec<_>, Vec<_>) =
            self.open.iter_mut().partition(|(n, _)| **n == step.from);
        for (&number, client) in first.into_iter().chain(others) {
            let frames = client.settle();
            if !frames.is_empty() {
                got.insert(number, frames);
            }
        }
        got
    }
}

struct Client {
    stream: TcpStream,
    closed: bool,
}

impl Client {
    fn register(server: SocketAddr, number: u8, payload: &[u8]) -> Client {
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&fd, &SocketAddrV4::new(address(number), 0)).unwrap();
        connect(&fd, &server).unwrap();
        let stream = TcpStream::from(fd);
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client {
            stream,
            closed: false,
        };
        client.send(msg::CLTOMA_FUSE_REGISTER, payload);
        let (message, answer) = client.frame().unwrap();
        assert_eq!(message, msg::MATOCL_FUSE_REGISTER);
        assert!(answer.len() > 1, "client {number} is refused: {answer:?}");
        client
    }

    fn send(&mut self, message: u32, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, message, |out| out.extend_from_slice(payload));
        // A connection that the master has closed shows itself when it is read.
        let _ = self.stream.write_all(&bytes);
    }

    /// The next frame that is no NOP; `None` at the end of the connection.
    fn frame(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0; frame::HEADER_LEN];
            self.stream.read_exact(&mut head).ok()?;
            let field = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
            let mut payload = vec![0; field(4) as usize];
            self.stream.read_exact(&mut payload).ok()?;
            if field(0) != msg::ANTOAN_NOP {
                return Some((field(0), payload));
            }
        }
    }

    /// Everything that is on its way to this client. A notice may be behind the answer to a first question, but
    /// not behind that to a second one.
    fn settle(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        for mid in SETTLE {
            if self.closed {
                break;
            }
            self.send(msg::CLTOMA_FUSE_TIME_SYNC, &mid.to_be_bytes());
            loop {
                match self.frame() {
                    Some((msg::MATOCL_FUSE_TIME_SYNC, payload))
                        if payload.starts_with(&mid.to_be_bytes()) =>
                    {
                        break;
                    }
                    Some(frame) => frames.push(frame),
                    None => {
                        self.closed = true;
                        frames.push((CLOSED, Vec::new()));
                        break;
                    }
                }
            }
        }
        frames
    }
}
