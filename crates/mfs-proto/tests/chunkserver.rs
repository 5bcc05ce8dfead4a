//! The chunkserver port: recorded frames, the meaning of fields, lengths, and lists read in place.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test has no public interface, and a panic is its way to fail"
)]

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use mfs_proto::chunkserver::command::{
    ChunkBlocks, ChunkChecksum, ChunkChecksumTab, ChunkVersion, Chunkop, Done, Duplicate, Duptrunc,
    Replicate, ReplicateDone, SetVersion, Truncate, XorSource,
};
use mfs_proto::chunkserver::report::{ChunkLost, ChunkNew, Labels, Load, hlstatus};
use mfs_proto::chunkserver::{
    Begin, BeginAck, MasterAck, MasterMessage, OldBegin, Register, ReportedChunk, ServerMessage,
    Space, SpaceReport, State,
};
use mfs_proto::client::Expect;
use mfs_proto::frame::{
    CHUNKSERVER_MAX_PAYLOAD, Frame, Frames, HEADER_LEN, TO_CHUNKSERVER_MAX_PAYLOAD,
};
use mfs_proto::register::{Challenge, auth_digest};
use mfs_proto::wire::List;
use mfs_proto::{DecodeError, Fault, FrameError, Status, Version, fuzz, msg};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Debug)]
struct Event {
    conn: u64,
    from_server: bool,
    /// `None`: the side closed the connection.
    frame: Option<(u32, Vec<u8>)>,
}

fn unhex(hex: &str) -> Vec<u8> {
    assert_eq!(hex.len() % 2, 0);
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

fn load(scenario: &str) -> Vec<Event> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/chunkserver")
        .join(format!("{scenario}.jsonl"));
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| {
            let v: serde_json::Value = serde_json::from_str(line).unwrap();
            let msg = v["type"].as_i64().unwrap();
            Event {
                conn: v["conn"].as_u64().unwrap(),
                from_server: v["dir"] == "s2m",
                frame: (msg >= 0).then(|| (msg as u32, unhex(v["hex"].as_str().unwrap()))),
            }
        })
        .collect()
}

fn scenarios() -> Vec<(String, Vec<Event>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/chunkserver");
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names.len(), SCENARIOS, "all recorded scenarios are there");
    names
        .into_iter()
        .map(|name| {
            let events = load(&name);
            (name, events)
        })
        .collect()
}

const SCENARIOS: usize = 51;

/// Scenarios with a script in place of the chunkserver.
const SCRIPTED: [&str; 2] = ["cs-malformed", "cs-raw-master"];

/// Scenarios with a script in place of the master.
const SCRIPTED_MASTER: [&str; 3] = ["cs-raw-orders", "cs-raw-replicate", "cs-raw-old-register"];

fn only_frame(bytes: &[u8]) -> (u32, &[u8]) {
    let mut frames = Frames::new(bytes, CHUNKSERVER_MAX_PAYLOAD);
    let frame = frames.next_frame().unwrap().unwrap();
    assert_eq!(frames.consumed(), bytes.len());
    (frame.msg, frame.payload)
}

fn report_bytes(message: &ServerMessage<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out);
    assert_eq!(only_frame(&out).0, message.msg());
    out.split_off(HEADER_LEN)
}

fn command_bytes(message: &MasterMessage<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out);
    assert_eq!(only_frame(&out).0, message.msg());
    out.split_off(HEADER_LEN)
}

/// The next thing on the connection is that the side that received the frame closed it.
fn closed_after(events: &[Event], at: usize) -> bool {
    let event = &events[at];
    events[at + 1..]
        .iter()
        .find(|e| e.conn == event.conn)
        .is_some_and(|e| e.frame.is_none() && e.from_server != event.from_server)
}

#[test]
fn recorded_frames_decode_and_encode_to_the_same_bytes() {
    let (mut reports, mut commands, mut refused, mut closed) = (0, 0, 0, 0);
    let mut seen = BTreeSet::new();
    for (scenario, events) in scenarios() {
        let mut states: HashMap<u64, State> = HashMap::new();
        let mut questions: HashMap<u64, Expect> = HashMap::new();
        for (at, event) in events.iter().enumerate() {
            let place = format!("{scenario} line {}", at + 1);
            let Some((msg, payload)) = &event.frame else {
                continue;
            };
            // The recordings of real programs are cut from one long run: a connection may have registered
            // in another file.
            let new = SCRIPTED.contains(&scenario.as_str())
                || *msg == msg::CSTOMA_REGISTER && payload.len() > 1;
            let state = states.entry(event.conn).or_insert(match new {
                true => State::Unregistered,
                false => State::Registered,
            });
            let mut out = Vec::new();
            if event.from_server {
                let message = match ServerMessage::decode(*msg, payload) {
                    Ok(message) => message,
                    Err(error) => {
                        assert!(closed_after(&events, at), "{place}: {error}");
                        refused += 1;
                        continue;
                    }
                };
                message.encode(&mut out);
                if let ServerMessage::GetVersion(question) = &message {
                    let expect = match question.mid {
                        Some(_) => Expect::Plain,
                        None => Expect::NoMid,
                    };
                    questions.insert(event.conn, expect);
                }
                if SCRIPTED_MASTER.contains(&scenario.as_str()) {
                    // The script refuses nothing.
                } else if !message.allowed(*state) {
                    assert!(closed_after(&events, at), "{place}: {message:?}");
                    refused += 1;
                } else if let ServerMessage::Register(step) = message {
                    closed += usize::from(closed_after(&events, at));
                    *state = match step {
                        Register::Begin(_) | Register::OldBegin(_) if closed_after(&events, at) => {
                            State::Unregistered
                        }
                        // Only the next ACK tells; a challenge leaves everything as it was.
                        Register::Begin(_) if asks_for_code(&events, at) => State::Unregistered,
                        Register::End | Register::OldEnd(_) => State::Registered,
                        _ => State::Registering,
                    };
                } else {
                    assert!(!closed_after(&events, at), "{place}: {message:?}");
                }
                reports += 1;
            } else {
                let expect = questions.get(&event.conn).copied().unwrap_or_default();
                let message = match MasterMessage::decode(*msg, payload, expect) {
                    Ok(message) => message,
                    Err(error) => {
                        assert!(closed_after(&events, at), "{place}: {error}");
                        refused += 1;
                        continue;
                    }
                };
                message.encode(&mut out);
                assert!(out.len() - HEADER_LEN <= TO_CHUNKSERVER_MAX_PAYLOAD as usize);
                commands += 1;
            }
            seen.insert((event.from_server, *msg));
            assert_eq!(only_frame(&out), (*msg, payload.as_slice()), "{place}");
        }
    }
    assert_eq!((reports, commands, refused), (851, 394, 36));
    // Well-formed registrations that the master refused for what they say, and graceful leaves.
    assert_eq!(closed, 5);
    assert_eq!(seen.len(), 38);
}

fn asks_for_code(events: &[Event], at: usize) -> bool {
    events[at + 1..]
        .iter()
        .find(|e| e.conn == events[at].conn && !e.from_server)
        .and_then(|e| e.frame.as_ref())
        .is_some_and(|(msg, payload)| *msg == msg::MATOCS_MASTER_ACK && payload.first() == Some(&3))
}

/// Every order that was answered has the answer that [`MasterMessage::answer`] makes of its status.
#[test]
fn recorded_answers_belong_to_their_orders() {
    let mut answered = 0;
    for (_, events) in scenarios() {
        for (at, event) in events.iter().enumerate() {
            let Some((number, payload)) = &event.frame else {
                continue;
            };
            if event.from_server {
                continue;
            }
            let Ok(order) = MasterMessage::decode(*number, payload, Expect::Plain) else {
                continue;
            };
            if order.answer(Status::OK).is_none() {
                continue;
            }
            let candidates = events[at + 1..].iter().filter(|e| e.conn == event.conn);
            for frame in candidates.filter_map(|e| e.frame.as_ref()) {
                if frame.0 != number + 1 {
                    continue;
                }
                let status = Status(*frame.1.last().unwrap());
                let answer = order.answer(status).unwrap();
                if ServerMessage::decode(frame.0, &frame.1) == Ok(answer) {
                    answered += 1;
                    break;
                }
            }
        }
    }
    assert_eq!(answered, 256);
}

#[test]
fn auth_codes_of_real_chunkservers() {
    let digest_is_right = |scenario: &str| {
        let mut challenge: Option<Challenge> = None;
        let mut verdict = None;
        for (msg, payload) in load(scenario).iter().filter_map(|e| e.frame.as_ref()) {
            if let Ok(MasterMessage::Ack(MasterAck::Challenge(random))) =
                MasterMessage::decode(*msg, payload, Expect::Plain)
            {
                challenge = Some(random);
            }
            if let Ok(ServerMessage::Register(Register::Begin(Begin {
                digest: Some(digest),
                ..
            }))) = ServerMessage::decode(*msg, payload)
            {
                verdict = Some(digest == auth_digest(&challenge.unwrap(), b"secret"));
            }
        }
        verdict
    };
    assert_eq!(digest_is_right("cs-auth-ok"), Some(true));
    assert_eq!(digest_is_right("cs-auth-wrong"), Some(false));
    assert_eq!(digest_is_right("cs-auth-missing"), None);

    let random = unhex("3dabe23a782dc508108adb01359a4523dd27ffda0219852851b16fd373a20681");
    assert_eq!(
        auth_digest(&random.try_into().unwrap(), b"secret").as_slice(),
        unhex("00a8481841fcb2feec9b8f7e7a4af338")
    );
}

const SPACE: Space = Space {
    used: 0x11,
    total: 0x22,
    chunks: 0x33,
    marked_used: 0x44,
    marked_total: 0x55,
    marked_chunks: 0x66,
};
const SPACE_HEX: &str =
    "00000000000000110000000000000022000000330000000000000044000000000000005500000066";

#[track_caller]
fn report(message: ServerMessage<'_>, msg: u32, hex: &str) {
    let payload = unhex(hex);
    assert_eq!(ServerMessage::decode(msg, &payload), Ok(message));
    assert_eq!(message.msg(), msg);
    assert_eq!(report_bytes(&message), payload);
}

#[track_caller]
fn command(message: MasterMessage<'_>, msg: u32, hex: &str) {
    let payload = unhex(hex);
    assert_eq!(
        MasterMessage::decode(msg, &payload, Expect::Plain),
        Ok(message)
    );
    assert_eq!(message.msg(), msg);
    assert_eq!(command_bytes(&message), payload);
}

#[test]
fn registration_fields() {
    let m = msg::CSTOMA_REGISTER;
    let begin = Begin {
        digest: None,
        version: Version::MASTER,
        ip: 0x0A4D_050B,
        port: 9422,
        timeout: 10,
        csid: 3,
        space: SPACE,
    };
    let head = "000300ea0a4d050b24ce000a0003";
    report(
        ServerMessage::Register(Register::Begin(begin)),
        m,
        &format!("3c{head}{SPACE_HEX}"),
    );
    report(
        ServerMessage::Register(Register::Begin(Begin {
            digest: Some([7; 16]),
            ..begin
        })),
        m,
        &format!("3c{}{head}{SPACE_HEX}", "07".repeat(16)),
    );
    let chunks = [
        ReportedChunk {
            chunkid: 5,
            version: 6,
            marked: false,
        },
        ReportedChunk {
            chunkid: 7,
            version: 0x7FFF_FFFF,
            marked: true,
        },
    ];
    let list = "0000000000000005000000060000000000000007ffffffff";
    let chunks = List::from(&chunks);
    report(
        ServerMessage::Register(Register::Chunks(chunks)),
        m,
        &format!("3d{list}"),
    );
    report(
        ServerMessage::Register(Register::OldChunks(chunks)),
        m,
        &format!("33{list}"),
    );
    report(ServerMessage::ChunkNew(ChunkNew { chunks }), 107, list);
    report(
        ServerMessage::Register(Register::Chunks(List::EMPTY)),
        m,
        "3d",
    );
    report(ServerMessage::Register(Register::End), m, "3e");
    report(ServerMessage::Register(Register::Disconnect), m, "3f");
    report(
        ServerMessage::Register(Register::OldBegin(OldBegin {
            version: Version::MASTER,
            ip: 0x0A4D_050B,
            port: 9422,
            timeout: 10,
        })),
        m,
        "32000300ea0a4d050b24ce000a",
    );
    report(
        ServerMessage::Register(Register::OldEnd(SPACE)),
        m,
        &format!("34{SPACE_HEX}"),
    );
}

#[test]
fn report_fields() {
    report(
        ServerMessage::Space(SpaceReport::Full(SPACE)),
        101,
        SPACE_HEX,
    );
    let mut space = SPACE;
    let plain = SpaceReport::Plain { used: 1, total: 2 };
    report(
        ServerMessage::Space(plain),
        101,
        "00000000000000010000000000000002",
    );
    plain.update(&mut space);
    assert_eq!(
        space,
        Space {
            used: 1,
            total: 2,
            ..SPACE
        }
    );
    let marked = SpaceReport::Marked {
        used: 3,
        total: 4,
        marked_used: 5,
        marked_total: 6,
    };
    report(
        ServerMessage::Space(marked),
        101,
        "0000000000000003000000000000000400000000000000050000000000000006",
    );
    marked.update(&mut space);
    assert_eq!((space.marked_total, space.chunks), (6, SPACE.chunks));
    SpaceReport::Full(SPACE).update(&mut space);
    assert_eq!(space, SPACE);
    report(
        ServerMessage::Load(Load {
            load: 9,
            hlstatus: Some(hlstatus::OVERLOADED),
        }),
        103,
        "0000000902",
    );
    report(
        ServerMessage::Load(Load {
            load: 9,
            hlstatus: None,
        }),
        103,
        "00000009",
    );
    report(
        ServerMessage::Labels(Labels { mask: 0x8000_0001 }),
        109,
        "80000001",
    );
    report(
        ServerMessage::ChunkLost(ChunkLost {
            chunks: (&[1, 2]).into(),
        }),
        105,
        "00000000000000010000000000000002",
    );
    let chunk = ChunkVersion {
        chunkid: 1,
        version: 2,
    };
    let about = "000000000000000100000002";
    report(
        ServerMessage::ChunkBlocks(ChunkBlocks {
            chunk,
            blocks: 3,
            status: Status::OK,
        }),
        251,
        &format!("{about}000300"),
    );
    report(
        ServerMessage::ChunkChecksum(ChunkChecksum {
            chunk,
            checksum: Ok(0x0102_0304),
        }),
        301,
        &format!("{about}01020304"),
    );
    report(
        ServerMessage::ChunkChecksum(ChunkChecksum {
            chunk,
            checksum: Err(Status::NOCHUNK),
        }),
        301,
        &format!("{about}0d"),
    );
    report(
        ServerMessage::ChunkChecksumTab(ChunkChecksumTab {
            chunk,
            checksums: Ok((&[9; ChunkChecksumTab::BLOCKS]).into()),
        }),
        303,
        &format!("{about}{}", "00000009".repeat(1024)),
    );
}

#[test]
fn acknowledgement_follows_the_version() {
    let ack = |chunkserver| {
        MasterAck::begin(chunkserver, Version::MASTER, 33, 2, 0x6B00)
            .map(|ack| command_bytes(&MasterMessage::Ack(ack)))
    };
    assert_eq!(ack(Version(0x0001_061B)), None);
    let short = unhex("00000300ea00210002");
    assert_eq!(ack(Version(0x0001_061C)), Some(short.clone()));
    assert_eq!(ack(Version::new(2, 0, 32)), Some(short));
    let long = unhex("00000300ea002100020000000000006b00");
    assert_eq!(ack(Version::new(2, 0, 33)), Some(long.clone()));
    assert_eq!(ack(Version::MASTER), Some(long));
    let old_begin = |chunkserver| MasterAck::old_begin(chunkserver, Version::MASTER);
    let version = Version::MASTER;
    assert_eq!(old_begin(Version(0x0001_061B)), None);
    assert_eq!(
        old_begin(Version(0x0001_061C)),
        Some(MasterAck::OldBegin { version })
    );
    assert_eq!(MasterAck::chunks(Version(0x0001_0900)), None);
    assert_eq!(
        MasterAck::chunks(Version::new(2, 0, 0)),
        Some(MasterAck::Chunks)
    );
    command(
        MasterMessage::Ack(MasterAck::Begin(BeginAck {
            version: Version::MASTER,
            timeout: 10,
            csid: 1,
            metaid: None,
        })),
        104,
        "00000300ea000a0001",
    );
    command(MasterMessage::Ack(MasterAck::Chunks), 104, "00");
    command(
        MasterMessage::Ack(MasterAck::OldBegin {
            version: Version::MASTER,
        }),
        104,
        "00000300ea",
    );
    command(
        MasterMessage::Ack(MasterAck::Challenge([5; 32])),
        104,
        &format!("03{}", "05".repeat(32)),
    );
}

#[test]
fn order_fields_and_answers() {
    let one = "0000000000000001";
    let two = "0000000000000002";
    let chunk = ChunkVersion {
        chunkid: 1,
        version: 3,
    };
    let done = |chunkid| Done {
        chunkid,
        status: Status::IO,
    };
    let answer = |order: MasterMessage<'_>| order.answer(Status::IO).unwrap();

    let order = MasterMessage::Create(chunk);
    command(order, 110, &format!("{one}00000003"));
    assert_eq!(answer(order), ServerMessage::Create(done(1)));
    report(answer(order), 111, &format!("{one}16"));

    let order = MasterMessage::Delete(chunk);
    command(order, 120, &format!("{one}00000003"));
    assert_eq!(answer(order), ServerMessage::Delete(done(1)));

    let order = MasterMessage::SetVersion(SetVersion {
        chunkid: 1,
        new_version: 4,
        old_version: 3,
    });
    command(order, 140, &format!("{one}0000000400000003"));
    assert_eq!(answer(order), ServerMessage::SetVersion(done(1)));

    let order = MasterMessage::Duplicate(Duplicate {
        new_chunkid: 2,
        new_version: 1,
        old_chunkid: 1,
        old_version: 3,
    });
    command(order, 130, &format!("{two}00000001{one}00000003"));
    assert_eq!(answer(order), ServerMessage::Duplicate(done(2)));

    let order = MasterMessage::Truncate(Truncate {
        chunkid: 1,
        length: 5,
        new_version: 4,
        old_version: 3,
    });
    command(order, 160, &format!("{one}000000050000000400000003"));
    assert_eq!(answer(order), ServerMessage::Truncate(done(1)));

    let order = MasterMessage::Duptrunc(Duptrunc {
        new_chunkid: 2,
        new_version: 1,
        old_chunkid: 1,
        old_version: 3,
        length: 5,
    });
    command(order, 170, &format!("{two}00000001{one}0000000300000005"));
    assert_eq!(answer(order), ServerMessage::Duptrunc(done(2)));

    let order = MasterMessage::Chunkop(Chunkop {
        chunkid: 1,
        version: 3,
        new_version: 4,
        copy_chunkid: 2,
        copy_version: 6,
        length: 5,
    });
    let fields = format!("{one}0000000300000004{two}0000000600000005");
    command(order, 152, &fields);
    report(answer(order), 153, &format!("{fields}16"));

    let replicated = ServerMessage::Replicate(ReplicateDone {
        chunkid: 1,
        version: 3,
        status: Status::IO,
    });
    let order = MasterMessage::Replicate(Replicate::Copy {
        chunkid: 1,
        version: 3,
        ip: 0x0A4D_050B,
        port: 9422,
    });
    command(order, 150, &format!("{one}000000030a4d050b24ce"));
    assert_eq!(answer(order), replicated);
    report(replicated, 151, &format!("{one}0000000316"));

    let source = XorSource {
        chunkid: 2,
        version: 7,
        ip: 0x0A4D_050C,
        port: 9423,
    };
    for count in 1..=Replicate::MAX_SOURCES {
        let sources = vec![source; count];
        let order = MasterMessage::Replicate(Replicate::Xor {
            chunkid: 1,
            version: 3,
            masks: [0x88; 16],
            sources: (&sources).into(),
        });
        let listed = format!("{two}000000070a4d050c24cf").repeat(count);
        command(
            order,
            150,
            &format!("{one}00000003{}{listed}", "88".repeat(16)),
        );
        assert_eq!(answer(order), replicated);
    }

    assert_eq!(MasterMessage::NOP.answer(Status::OK), None);
    assert_eq!(
        MasterMessage::GetChunkBlocks(chunk).answer(Status::OK),
        None
    );
}

/// Every message accepts the lengths of spec 05 §2.2, §2.3, §3 and no other.
#[test]
fn exact_lengths() {
    let lists = |item: usize| move |n: usize| n.is_multiple_of(item);
    let only = |lengths: &'static [usize]| move |n: usize| lengths.contains(&n);
    type Rule = Box<dyn Fn(usize) -> bool>;
    let reports: Vec<(u32, &[u8], Rule)> = vec![
        (10, &[], Box::new(only(&[0, 4]))),
        (100, &[60], Box::new(only(&[55, 71]))),
        (100, &[61], Box::new(|n| (n - 1).is_multiple_of(12))),
        (100, &[62], Box::new(only(&[1]))),
        (100, &[63], Box::new(only(&[1]))),
        (100, &[50], Box::new(only(&[13]))),
        (100, &[51], Box::new(|n| (n - 1).is_multiple_of(12))),
        (100, &[52], Box::new(only(&[41]))),
        (101, &[], Box::new(only(&[16, 32, 40]))),
        (102, &[], Box::new(lists(8))),
        (103, &[], Box::new(only(&[4, 5]))),
        (105, &[], Box::new(lists(8))),
        (106, &[], Box::new(only(&[0]))),
        (107, &[], Box::new(lists(12))),
        (109, &[], Box::new(only(&[4]))),
        (111, &[], Box::new(only(&[9]))),
        (121, &[], Box::new(only(&[9]))),
        (131, &[], Box::new(only(&[9]))),
        (141, &[], Box::new(only(&[9]))),
        (151, &[], Box::new(only(&[13]))),
        (153, &[], Box::new(only(&[33]))),
        (161, &[], Box::new(only(&[9]))),
        (171, &[], Box::new(only(&[9]))),
        (251, &[], Box::new(only(&[15]))),
        (301, &[], Box::new(only(&[13, 16]))),
        (303, &[], Box::new(only(&[13, 4108]))),
    ];
    let commands: Vec<(u32, &[u8], Rule)> = vec![
        (104, &[0], Box::new(only(&[1, 5, 9, 17]))),
        (104, &[3], Box::new(only(&[33]))),
        (110, &[], Box::new(only(&[12]))),
        (120, &[], Box::new(only(&[12]))),
        (130, &[], Box::new(only(&[24]))),
        (140, &[], Box::new(only(&[16]))),
        (
            150,
            &[],
            Box::new(only(&[18, 46, 64, 82, 100, 118, 136, 154, 172])),
        ),
        (152, &[], Box::new(only(&[32]))),
        (160, &[], Box::new(only(&[20]))),
        (170, &[], Box::new(only(&[28]))),
        (250, &[], Box::new(only(&[12]))),
        (300, &[], Box::new(only(&[12]))),
        (302, &[], Box::new(only(&[12]))),
    ];
    let lengths = || (0..260).chain([4107, 4108, 4109]);
    let payload = |start: &[u8], length: usize| {
        let mut payload = start.to_vec();
        payload.resize(length, 0);
        payload
    };
    let error = |msg, length| DecodeError {
        msg,
        length,
        fault: Fault::Length,
    };
    for (msg, start, fits) in &reports {
        for length in lengths().filter(|n| *n >= start.len()) {
            let payload = payload(start, length);
            let decoded = ServerMessage::decode(*msg, &payload);
            if fits(length) {
                assert_eq!(report_bytes(&decoded.unwrap()), payload, "{msg}");
            } else {
                assert_eq!(decoded, Err(error(*msg, length)));
            }
        }
    }
    for (msg, start, fits) in &commands {
        for length in lengths().filter(|n| *n >= start.len()) {
            let payload = payload(start, length);
            let decoded = MasterMessage::decode(*msg, &payload, Expect::Plain);
            if fits(length) {
                assert_eq!(command_bytes(&decoded.unwrap()), payload, "{msg}");
            } else {
                assert_eq!(decoded, Err(error(*msg, length)));
            }
        }
    }
    assert_eq!(
        ServerMessage::decode(msg::CSTOMA_REGISTER, &[]),
        Err(error(100, 0))
    );
}

#[test]
fn unknown_values_are_named() {
    let fault = |field, value| Fault::Value { field, value };
    for rver in [0, 1, 4, 49, 53, 59, 64, 255] {
        let error = ServerMessage::decode(msg::CSTOMA_REGISTER, &[rver, 0]).unwrap_err();
        assert_eq!(error.fault, fault("rver", rver.into()));
    }
    for atype in [1, 2, 4, 255] {
        let error =
            MasterMessage::decode(msg::MATOCS_MASTER_ACK, &[atype], Expect::Plain).unwrap_err();
        assert_eq!(error.fault, fault("atype", atype.into()));
    }
    for number in [3, 99, 104, 108, 110, 999, u32::MAX] {
        let error = ServerMessage::decode(number, &[]).unwrap_err();
        assert_eq!(error.fault, Fault::UnknownType);
    }
    let error = ServerMessage::decode(msg::CSTOMA_LABELS, &[0; 3]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "message 109 (CSTOMA_LABELS) of 3 bytes: wrong payload length"
    );
    let error = MasterMessage::decode(msg::CSTOMA_CREATE, &[], Expect::Plain).unwrap_err();
    assert_eq!(error.fault, Fault::UnknownType);
}

#[test]
fn messages_wait_for_registration() {
    use State::{Registered, Registering, Unregistered};
    let allowed = |number: u32, payload: &[u8]| {
        let message = ServerMessage::decode(number, payload).unwrap();
        [Unregistered, Registering, Registered].map(|state| message.allowed(state))
    };
    let anywhere = [true, true, true];
    let after_begin = [false, true, true];
    assert_eq!(allowed(msg::ANTOAN_NOP, b"abc"), anywhere);
    assert_eq!(allowed(msg::ANTOAN_BAD_COMMAND_SIZE, b"abc"), anywhere);
    assert_eq!(allowed(msg::ANTOAN_GET_VERSION, &[]), anywhere);
    assert_eq!(
        allowed(msg::ANTOAN_GET_CONFIG, &[0, 0, 0, 1, 1, b'A']),
        anywhere
    );
    let mut begin = [0; 55];
    begin[0] = 60;
    assert_eq!(allowed(msg::CSTOMA_REGISTER, &begin), [true, false, false]);
    for step in [61, 62, 51] {
        assert_eq!(allowed(msg::CSTOMA_REGISTER, &[step]), [false, true, false]);
    }
    assert_eq!(allowed(msg::CSTOMA_REGISTER, &[63]), after_begin);
    assert_eq!(allowed(msg::CSTOMA_LABELS, &[0; 4]), after_begin);
    assert_eq!(allowed(msg::CSTOMA_CHUNK_NEW, &[0; 12]), after_begin);
    assert_eq!(allowed(msg::CSTOMA_CREATE, &[0; 9]), after_begin);
    assert_eq!(allowed(msg::CSTOAN_CHUNK_CHECKSUM, &[0; 13]), after_begin);
    assert_eq!(allowed(msg::CSTOMA_CHUNKOP, &[0; 33]), [false; 3]);
}

#[test]
fn longest_frame() {
    let header = |length: u32| {
        let mut bytes = msg::CSTOMA_REGISTER.to_be_bytes().to_vec();
        bytes.extend(length.to_be_bytes());
        bytes
    };
    fn split(bytes: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
        Frames::new(bytes, CHUNKSERVER_MAX_PAYLOAD).next_frame()
    }
    assert_eq!(split(&header(500_000_000)), Ok(None));
    assert_eq!(
        split(&header(500_000_001)),
        Err(FrameError::TooLong {
            msg: msg::CSTOMA_REGISTER,
            length: 500_000_001,
            limit: 500_000_000,
        })
    );
}

/// A list of a million chunks is the received bytes: decoding it does not read them, and any place in it is
/// reached at once.
#[test]
fn long_lists_are_read_in_place() {
    const COUNT: u64 = 1_000_000;
    let chunks: Vec<_> = (1..=COUNT)
        .map(|chunkid| ReportedChunk {
            chunkid,
            version: chunkid as u32 % 7,
            marked: chunkid.is_multiple_of(5),
        })
        .collect();
    let payload = report_bytes(&ServerMessage::Register(Register::Chunks((&chunks).into())));
    assert_eq!(payload.len() as u64, 1 + 12 * COUNT);
    // Reading through every chunk each time would take hours.
    for (at, chunk) in chunks.iter().enumerate() {
        let Ok(ServerMessage::Register(Register::Chunks(list))) =
            ServerMessage::decode(msg::CSTOMA_REGISTER, &payload)
        else {
            panic!("chunks");
        };
        assert_eq!(list.len(), COUNT as usize);
        let mut rest = list.iter().skip(at);
        assert_eq!(rest.len(), COUNT as usize - at);
        assert_eq!(rest.next(), Some(*chunk));
    }
    let Ok(ServerMessage::Register(Register::Chunks(list))) =
        ServerMessage::decode(msg::CSTOMA_REGISTER, &payload)
    else {
        panic!("chunks");
    };
    assert!(list.iter().eq(chunks.iter().copied()));
    assert_eq!(list.iter().nth(COUNT as usize), None);
    assert_eq!(list.iter().nth(usize::MAX), None);
}

/// Fields as bytes: one recorded or made-up payload per message, damaged.
fn numbers() -> impl Strategy<Value = u32> {
    let known: Vec<u32> = [msg::CLIENT_PORT, msg::CHUNKSERVER_PORT]
        .concat()
        .iter()
        .map(|&(number, _)| number)
        .filter(|number| *number < 350)
        .collect();
    prop_oneof![9 => prop::sample::select(known), 1 => any::<u32>()]
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    let lengths = prop_oneof![
        3 => prop::sample::select(vec![
            0, 1, 4, 5, 9, 12, 13, 15, 16, 17, 18, 20, 24, 25, 28, 32, 33, 37, 40, 41, 46, 55, 64, 71, 172, 4108,
        ]),
        1 => 0usize..200,
    ];
    let first = prop_oneof![
        prop::sample::select(vec![0u8, 3, 50, 51, 52, 60, 61, 62, 63]),
        any::<u8>(),
    ];
    (lengths, first, any::<u64>()).prop_flat_map(|(length, first, _)| {
        vec(any::<u8>(), length).prop_map(move |mut payload| {
            if let Some(byte) = payload.first_mut() {
                *byte = first;
            }
            payload
        })
    })
}

fn chunk() -> impl Strategy<Value = ReportedChunk> {
    (any::<u64>(), 0..1u32 << 31, any::<bool>()).prop_map(|(chunkid, version, marked)| {
        ReportedChunk {
            chunkid,
            version,
            marked,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn arbitrary_payloads(number in numbers(), payload in payloads()) {
        fuzz::chunkserver_report(number, &payload);
        fuzz::chunkserver_command(number, &payload);
    }

    #[test]
    fn arbitrary_streams(
        frames in vec((numbers(), payloads()), 0..4),
        garbage in vec(any::<u8>(), 0..40),
    ) {
        let mut stream = Vec::new();
        for (number, payload) in &frames {
            stream.extend(number.to_be_bytes());
            stream.extend((payload.len() as u32).to_be_bytes());
            stream.extend(payload);
        }
        stream.extend(garbage);
        fuzz::chunkserver_stream(&stream);
    }
}

proptest! {
    #[test]
    fn chunk_lists_come_back(chunks in vec(chunk(), 0..100), at in 0usize..120) {
        let list = List::from(&chunks);
        for message in [
            ServerMessage::Register(Register::Chunks(list)),
            ServerMessage::Register(Register::OldChunks(list)),
            ServerMessage::ChunkNew(ChunkNew { chunks: list }),
        ] {
            let payload = report_bytes(&message);
            let decoded = ServerMessage::decode(message.msg(), &payload).unwrap();
            prop_assert_eq!(decoded, message);
            let (ServerMessage::Register(Register::Chunks(received) | Register::OldChunks(received))
            | ServerMessage::ChunkNew(ChunkNew { chunks: received })) = decoded
            else {
                panic!("a chunk list became {decoded:?}");
            };
            prop_assert_eq!(received.len(), chunks.len());
            prop_assert!(received.iter().skip(at).eq(chunks.iter().copied().skip(at)));
            prop_assert!(list.iter().skip(at).eq(chunks.iter().copied().skip(at)));
            prop_assert_eq!(received.iter().nth(at), chunks.get(at).copied());
        }
    }

    #[test]
    fn begins_come_back(
        digest in any::<Option<[u8; 16]>>(),
        (version, ip) in any::<(u32, u32)>(),
        (port, timeout, csid) in any::<(u16, u16, u16)>(),
        (used, total, marked_used, marked_total) in any::<(u64, u64, u64, u64)>(),
        (chunks, marked_chunks) in any::<(u32, u32)>(),
    ) {
        let space = Space { used, total, chunks, marked_used, marked_total, marked_chunks };
        let version = Version(version);
        let begin = Begin { digest, version, ip, port, timeout, csid, space };
        for step in [
            Register::Begin(begin),
            Register::OldBegin(OldBegin { version, ip, port, timeout }),
            Register::OldEnd(space),
        ] {
            let message = ServerMessage::Register(step);
            let payload = report_bytes(&message);
            prop_assert_eq!(ServerMessage::decode(message.msg(), &payload), Ok(message));
        }
        let ack = MasterMessage::Ack(MasterAck::Begin(BeginAck {
            version, timeout, csid, metaid: digest.map(|_| used),
        }));
        let payload = command_bytes(&ack);
        prop_assert_eq!(MasterMessage::decode(ack.msg(), &payload, Expect::Plain), Ok(ack));
    }
}
