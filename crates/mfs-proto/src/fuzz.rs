//! Entry points for fuzzing: plain functions over arbitrary bytes that panic when a promise of this crate is
//! broken.

use crate::chunkserver::{MasterMessage, ServerMessage};
use crate::client::{Answer, Expect, Request};
use crate::frame::{CHUNKSERVER_MAX_PAYLOAD, CLIENT_MAX_PAYLOAD, Frame, Frames};
use crate::status::Status;
use crate::version::Version;

/// One client version from each generation of layouts.
pub const VERSIONS: [Version; 6] = [
    Version(0x0001_061A),
    Version::new(2, 1, 7),
    Version::new(3, 0, 20),
    Version::new(3, 0, 75),
    Version::new(3, 0, 100),
    Version::MASTER,
];

/// Everything that an answer may depend on in its request.
pub const EXPECTATIONS: [Expect; 9] = [
    Expect::Plain,
    Expect::NoMid,
    Expect::Readdir {
        attr: false,
        nedgeid: false,
    },
    Expect::Readdir {
        attr: false,
        nedgeid: true,
    },
    Expect::Readdir {
        attr: true,
        nedgeid: false,
    },
    Expect::Readdir {
        attr: true,
        nedgeid: true,
    },
    Expect::Copies,
    Expect::XattrLength,
    Expect::ClassDefinitions,
];

/// Splits `bytes` into frames and decodes each as a request and as an answer.
pub fn decode_any(bytes: &[u8]) {
    let mut frames = Frames::new(bytes, CLIENT_MAX_PAYLOAD);
    while let Ok(Some(frame)) = frames.next_frame() {
        request(frame.msg, frame.payload);
        answer(frame.msg, frame.payload);
    }
    assert!(frames.consumed() <= bytes.len());
}

/// What decodes as a request means the same after it was encoded and decoded again.
pub fn request(msg: u32, payload: &[u8]) {
    for version in VERSIONS {
        let Ok(decoded) = Request::decode(msg, payload, version) else {
            continue;
        };
        let mut out = Vec::new();
        decoded.encode_as(version, &mut out);
        let frame = only_frame(&out);
        let again = Request::decode(frame.msg, frame.payload, version);
        assert_eq!(again.as_ref(), Ok(&decoded));
    }
}

/// What decodes as an answer means the same after it was encoded and decoded again.
pub fn answer(msg: u32, payload: &[u8]) {
    for version in VERSIONS {
        for expect in EXPECTATIONS {
            let Ok(decoded) = Answer::decode(msg, payload, version, expect) else {
                continue;
            };
            let mut out = Vec::new();
            decoded.encode(version, &mut out);
            let frame = only_frame(&out);
            let again = Answer::decode(frame.msg, frame.payload, version, expect);
            assert_eq!(again.as_ref(), Ok(&decoded));
        }
    }
}

/// Splits `bytes` into frames of the chunkserver port and decodes each in both directions.
pub fn chunkserver_stream(bytes: &[u8]) {
    let mut frames = Frames::new(bytes, CHUNKSERVER_MAX_PAYLOAD);
    while let Ok(Some(frame)) = frames.next_frame() {
        chunkserver_report(frame.msg, frame.payload);
        chunkserver_command(frame.msg, frame.payload);
    }
    assert!(frames.consumed() <= bytes.len());
}

/// What decodes as a message of a chunkserver encodes to the same bytes.
pub fn chunkserver_report(msg: u32, payload: &[u8]) {
    let Ok(decoded) = ServerMessage::decode(msg, payload) else {
        return;
    };
    let mut out = Vec::new();
    decoded.encode(&mut out);
    assert_eq!(only_frame(&out), Frame { msg, payload });
}

/// What decodes as a message of the master to a chunkserver encodes to the same bytes, and its
/// answer decodes.
pub fn chunkserver_command(msg: u32, payload: &[u8]) {
    for expect in [Expect::Plain, Expect::NoMid] {
        let Ok(decoded) = MasterMessage::decode(msg, payload, expect) else {
            continue;
        };
        let mut out = Vec::new();
        decoded.encode(&mut out);
        assert_eq!(only_frame(&out), Frame { msg, payload });
        if let Some(answer) = decoded.answer(Status::IO) {
            out.clear();
            answer.encode(&mut out);
            let frame = only_frame(&out);
            let again = ServerMessage::decode(frame.msg, frame.payload);
            assert_eq!(again, Ok(answer));
        }
    }
}

fn only_frame(bytes: &[u8]) -> Frame<'_> {
    let mut frames = Frames::new(bytes, u32::MAX);
    match frames.next_frame() {
        Ok(Some(frame)) if frames.consumed() == bytes.len() => frame,
        other => panic!(
            "the encoder wrote {} bytes that split into {other:?}",
            bytes.len()
        ),
    }
}
