//! Every request of the client port against what the original master answered (spec 04 §7, 07 §7.4 to §7.12).
//!
//! `data/*.jsonl` are recordings of the original: requests of several clients with different export rules, all
//! frames that came back, and the lines of its changelog. The same requests go to a master inside the test;
//! answers, notices to other clients and lines must be equal. Times of the recording and of the test are masked.

#![allow(
    clippy::unwrap_used,
    reason = "tests; in helper functions clippy does not see that"
)]

mod cluster;
mod locks;
mod open;
mod ours;
mod recording;
mod replay;
#[path = "../net/server.rs"]
#[allow(dead_code, reason = "the other test program uses all of it")]
mod server;
mod times;

macro_rules! recordings {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay::replay(include_str!(concat!("data/", stringify!($name), ".jsonl")));
        })*
    };
}

recordings! {
    names moves attributes sgid permissions listing subfolder opening chunks flags classes trashcan quotas
    snapshots appending xattrs locking forbidden lengths
}
