//! The client port from the outside: framing, keep-alive, registration, sessions, commit gate (spec 04 §2,
//! §4; spec 07 §7.3; spec 08 §8.13). A master runs inside the test; its clients are plain sockets.

#![allow(
    clippy::unwrap_used,
    reason = "tests; in helper functions clippy does not see that"
)]

mod chunkserver;
mod chunkserver_limits;
mod chunkserver_recorded;
mod disk;
mod durable;
mod gate;
mod golden;
mod jobs;
mod keepalive;
mod lifecycle;
mod registration;
mod server;
