//! Recorded chunkservers, and one that does everything wrong, against our port: what the real master answered to
//! registrations and questions, we answer, too. Commands are left out: they depend on chunks that are not here.

use std::collections::HashMap;
use std::path::PathBuf;

use mfs_proto::msg;
use mfs_proto::register::auth_digest;
use serde_json::Value;

use crate::server::{Client, Got, TestServer, parse_config, wait_until};

/// Where the script of the recording ran: it announced address 0, which is ours here and a loopback address.
const SCRIPT: [u8; 4] = [10, 77, 5, 14];

/// Length of a BEGIN with a digest.
const WITH_DIGEST: usize = 71;

struct Row {
    conn: u64,
    from_server: bool,
    /// -1 for the end of the connection.
    kind: i64,
    payload: Vec<u8>,
}

fn rows(name: &str) -> Vec<Row> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/net/data/chunkservers");
    let text = std::fs::read_to_string(dir.join(format!("{name}.jsonl"))).unwrap();
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let hex = row["hex"].as_str().unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        Row {
            conn: row["conn"].as_u64().unwrap(),
            from_server: row["dir"] == "s2m",
            kind: row["type"].as_i64().unwrap(),
            payload: (0..hex.len()).step_by(2).map(byte).collect(),
        }
    };
    text.lines().map(row).collect()
}

/// Where the address and the port are in a BEGIN of any form; `None` for what is none.
fn address_at(kind: i64, payload: &[u8]) -> Option<usize> {
    (kind == i64::from(msg::CSTOMA_REGISTER)).then_some(()).and(
        match (payload.first()?, payload.len()) {
            (60, 55) | (50, 13) => Some(5),
            (60, WITH_DIGEST) => Some(21),
            _ => None,
        },
    )
}

fn is_answer(kind: i64) -> bool {
    let answers = [
        msg::MATOCS_MASTER_ACK,
        msg::ANTOAN_VERSION,
        msg::ANTOAN_CONFIG_VALUE,
    ];
    kind == -1 || answers.iter().any(|&a| i64::from(a) == kind)
}

/// An answer without what differs from run to run: the id of the file system, random numbers.
fn masked(kind: i64, mut payload: Vec<u8>) -> (i64, Vec<u8>) {
    if kind == i64::from(msg::MATOCS_MASTER_ACK) {
        match payload.len() {
            17 => payload[9..].fill(0),
            33 => payload[1..].fill(0),
            _ => {}
        }
    }
    (kind, payload)
}

struct Replay {
    server: TestServer,
    clients: HashMap<u64, Client>,
    /// Connections by announced address and port, and by the number that was given to them.
    places: HashMap<Vec<u8>, u64>,
    numbers: HashMap<Vec<u8>, u64>,
    /// Challenges, of the recording and ours.
    challenges: HashMap<u64, ([u8; 32], [u8; 32])>,
    answers: usize,
}

impl Replay {
    fn is_connected(&self, place: &[u8]) -> bool {
        self.server.master.change(|txn| {
            txn.with_chunks(|chunks, log| {
                chunks.servers(log.meta(), log.now()).iter().any(|s| {
                    let at = [&s.ip.to_be_bytes()[..], &s.port.to_be_bytes()].concat();
                    at == place && s.version.is_some()
                })
            })
        })
    }

    /// What is to be sent instead of what was recorded.
    fn adapted(&self, row: &Row) -> Vec<u8> {
        let mut payload = row.payload.clone();
        let Some(at) = address_at(row.kind, &payload) else {
            return payload;
        };
        if payload[at..at + 4] == [0; 4] {
            payload[at..at + 4].copy_from_slice(&SCRIPT);
        }
        if payload.len() == WITH_DIGEST {
            let (theirs, ours) = &self.challenges[&row.conn];
            let right = payload[1..17] == auth_digest(theirs, b"secret");
            let code: &[u8] = if right { b"secret" } else { b"another" };
            payload[1..17].copy_from_slice(&auth_digest(ours, code));
        }
        payload
    }

    fn send(&mut self, row: &Row, is_refused: bool) {
        let payload = self.adapted(row);
        let begin = address_at(row.kind, &payload);
        if let Some(at) = begin {
            let place = payload[at..at + 6].to_vec();
            let new = !self.clients.contains_key(&row.conn);
            if new && !is_refused {
                // The process that had this address or number before has ended.
                let number = payload.get(at + 8..at + 10).unwrap_or_default();
                let before = [self.places.get(&place), self.numbers.get(number)];
                for conn in before.into_iter().flatten().copied().collect::<Vec<_>>() {
                    self.clients.remove(&conn);
                    let of_it = |entry: &(&Vec<u8>, &u64)| *entry.1 == conn;
                    let old = self.places.iter().find(of_it).map(|(p, _)| p.clone());
                    wait_until(|| old.as_ref().is_none_or(|p| !self.is_connected(p)));
                }
                self.places.insert(place, row.conn);
            }
        }
        let server = &self.server;
        let client = self
            .clients
            .entry(row.conn)
            .or_insert_with(|| Client::connect(server.chunkservers));
        let mut frame = Vec::new();
        let message = u32::try_from(row.kind).unwrap();
        mfs_proto::frame::write(&mut frame, message, |out| out.extend_from_slice(&payload));
        client.send_bytes(&frame);
    }

    fn compare(&mut self, name: &str, row: &Row) {
        let client = self.clients.get_mut(&row.conn).unwrap();
        let (kind, payload) = loop {
            match client.next() {
                Got::Closed => break (-1, Vec::new()),
                Got::Frame(message, payload) if is_answer(message.into()) => {
                    break (message.into(), payload);
                }
                // A NOP, or a command.
                Got::Frame(..) => {}
            }
        };
        if let (Ok(theirs), Ok(ours)) = (
            <[u8; 33]>::try_from(&row.payload[..]),
            <[u8; 33]>::try_from(&payload[..]),
        ) {
            let random = |ack: [u8; 33]| ack[1..].try_into().unwrap();
            self.challenges
                .insert(row.conn, (random(theirs), random(ours)));
        }
        if payload.len() == 17 {
            self.numbers.insert(payload[7..9].to_vec(), row.conn);
        }
        assert_eq!(
            masked(kind, payload),
            masked(row.kind, row.payload.clone()),
            "{name}, connection {}",
            row.conn
        );
        self.answers += 1;
    }

    fn recording(&mut self, name: &str, config: &str) {
        let rows = rows(name);
        let first = |conn| rows.iter().find(|row| row.conn == conn);
        for (at, row) in rows.iter().enumerate() {
            let begins = first(row.conn)
                .is_some_and(|row| row.from_server && (name == "malformed" || is_begin(row)));
            if !begins {
                continue;
            }
            if row.from_server {
                let next = rows[at + 1..].iter().find(|r| r.conn == row.conn);
                if is_begin(row) && row.payload.len() != WITH_DIGEST {
                    let asks = next.is_some_and(|next| next.payload.len() == 33);
                    let code = if asks { "AUTH_CODE = secret\n" } else { "" };
                    let config = parse_config(&format!("{config}{code}"));
                    self.server.master.set_config(config);
                }
                self.send(row, next.is_some_and(|next| next.kind == -1));
            } else if is_answer(row.kind) && !is_of_silence(&rows[..at], row) {
                self.compare(name, row);
            }
        }
    }
}

/// Replays the connections of recordings whose beginnings are in them, one recording after the other. Gives the
/// number of answers compared.
fn replay(names: &[&str], config: &str) -> usize {
    let mut replay = Replay {
        server: TestServer::start(),
        clients: HashMap::new(),
        places: HashMap::new(),
        numbers: HashMap::new(),
        challenges: HashMap::new(),
        answers: 0,
    };
    replay.server.master.set_config(parse_config(config));
    for name in names {
        replay.recording(name, config);
    }
    replay.answers
}

fn is_begin(row: &Row) -> bool {
    address_at(row.kind, &row.payload).is_some()
}

/// Whether the connection ended because nothing was heard of it: another test waits for that.
fn is_of_silence(before: &[Row], row: &Row) -> bool {
    let last = before.iter().rev().find(|r| r.conn == row.conn);
    row.kind == -1 && last.is_some_and(|r| !r.from_server)
}

#[test]
fn registrations_of_chunkservers_are_answered_as_recorded() {
    for (names, answers) in [
        ("register-first", 3),
        ("restart-after-graceful", 2),
        ("master-restart", 6),
        ("all-servers-back", 5),
        ("new-port", 4),
        ("unknown-chunk", 2),
        ("metaid-mismatch metaid-from-hdd", 3),
        ("wipe-and-restart", 1),
    ] {
        let names: Vec<&str> = names.split(' ').collect();
        assert_eq!(replay(&names, ""), answers, "{names:?}");
    }
}

#[test]
fn chunkservers_that_know_the_secret_or_not_are_answered_as_recorded() {
    for (name, answers) in [("auth-ok", 3), ("auth-missing", 1), ("auth-wrong", 4)] {
        assert_eq!(replay(&[name], ""), answers, "{name}");
    }
}

#[test]
fn malformed_messages_are_answered_as_recorded() {
    let answers = replay(&["malformed"], "DATA_PATH = /var/lib/mfs/test\n");
    assert_eq!(answers, 33);
}
