//! The master server.
//!
//! ```text
//! daemon, cli, actions, terminal, log   the process around the master
//! service     start, run, stop, restore, reload
//! master      the shared heart: state behind its lock, gate, settings
//! gate        nothing leaves before its line is safe
//! net         client port: listener, connections, keep-alive
//! session     registration, life of sessions
//! context     what a request is executed with
//! client      the requests of the client port
//! chunks      chunks and chunkservers: the state machine of mfs-chunks and what drives it
//! live        live state without lines: connections, waiting locks, caches
//! jobs        the table of periodic jobs;  timers: when they run
//! loading     the state at a start or restore
//! image       rotation and images while the master serves
//! ```

pub mod access;
pub mod actions;
pub mod chunks;
pub mod cli;
pub mod client;
pub mod clock;
pub mod context;
pub mod daemon;
pub mod gate;
pub mod image;
pub mod jobs;
pub mod live;
pub mod loading;
pub mod log;
pub mod master;
pub mod net;
pub mod service;
pub mod session;
pub mod terminal;
pub mod timers;
