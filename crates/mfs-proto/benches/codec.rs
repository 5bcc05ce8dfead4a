//! Cost of decoding a request and encoding its answer, for the messages that dominate a metadata load.

use divan::{Bencher, black_box};
use mfs_proto::chunkserver::{Register, ReportedChunk, ServerMessage};
use mfs_proto::client::attr::{Getattr, Lookup, LookupReply};
use mfs_proto::client::{Attr, AttrReply, Cred, Reply, Request};
use mfs_proto::frame::{CLIENT_MAX_PAYLOAD, Frames};
use mfs_proto::{Version, msg};

fn main() {
    divan::main();
}

fn payload(request: &Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    request.encode(&mut out);
    out.split_off(8)
}

fn lookup() -> Request<'static> {
    Request::Lookup(Lookup {
        mid: 1,
        parent: 2,
        name: b"some-file.dat",
        cred: Cred::new(1000, &[1000, 10, 20, 30]),
    })
}

fn getattr() -> Request<'static> {
    Request::Getattr(Getattr {
        mid: 1,
        inode: 2,
        opened: false,
        uid: 1000,
        gid: 1000,
    })
}

#[divan::bench]
fn decode_lookup(bencher: Bencher<'_, '_>) {
    let payload = payload(&lookup());
    bencher.bench(|| {
        Request::decode(
            black_box(msg::CLTOMA_FUSE_LOOKUP),
            black_box(&payload),
            black_box(Version::MASTER),
        )
        .is_ok()
    });
}

#[divan::bench]
fn decode_getattr(bencher: Bencher<'_, '_>) {
    let payload = payload(&getattr());
    bencher.bench(|| {
        Request::decode(
            black_box(msg::CLTOMA_FUSE_GETATTR),
            black_box(&payload),
            black_box(Version::MASTER),
        )
        .is_ok()
    });
}

/// 32 requests in one buffer: splitting and decoding.
#[divan::bench]
fn split_and_decode_32(bencher: Bencher<'_, '_>) {
    let mut stream = Vec::new();
    for _ in 0..16 {
        lookup().encode(&mut stream);
        getattr().encode(&mut stream);
    }
    bencher
        .counter(divan::counter::ItemsCount::new(32u32))
        .bench(|| {
            let mut frames = Frames::new(black_box(&stream), CLIENT_MAX_PAYLOAD);
            let mut mids = 0;
            while let Ok(Some(frame)) = frames.next_frame() {
                if let Ok(request) = Request::decode(frame.msg, frame.payload, Version::MASTER) {
                    mids += request.mid().unwrap_or(0);
                }
            }
            mids
        });
}

#[divan::bench]
fn encode_getattr_reply(bencher: Bencher<'_, '_>) {
    let mut out = Vec::with_capacity(4096);
    bencher.bench_local(|| {
        out.clear();
        let attr = black_box(Attr::default());
        Reply::Getattr(AttrReply { attr }).encode(7, black_box(Version::MASTER), &mut out);
        out.len()
    });
}

#[divan::bench]
fn encode_lookup_reply(bencher: Bencher<'_, '_>) {
    let mut out = bytes::BytesMut::with_capacity(4096);
    bencher.bench_local(|| {
        out.clear();
        let reply = LookupReply {
            inode: 5,
            attr: black_box(Attr::default()),
            lflags: 0xFF,
            chunk_zero: None,
        };
        Reply::Lookup(reply).encode(7, black_box(Version::MASTER), &mut out);
        out.len()
    });
}

/// One part of a chunkserver's registration: decoding and reading every chunk.
#[divan::bench]
fn decode_register_chunks_10000(bencher: Bencher<'_, '_>) {
    let chunks: Vec<_> = (0..10_000)
        .map(|chunkid| ReportedChunk {
            chunkid,
            version: 1,
            marked: false,
        })
        .collect();
    let mut frame = Vec::new();
    ServerMessage::Register(Register::Chunks((&chunks).into())).encode(&mut frame);
    let payload = frame.split_off(8);
    bencher
        .counter(divan::counter::ItemsCount::new(chunks.len()))
        .bench(
            || match ServerMessage::decode(msg::CSTOMA_REGISTER, black_box(&payload)) {
                Ok(ServerMessage::Register(Register::Chunks(list))) => {
                    list.iter().fold(0, |sum, chunk| {
                        sum ^ chunk.chunkid ^ u64::from(chunk.version)
                    })
                }
                _ => 0,
            },
        );
}
