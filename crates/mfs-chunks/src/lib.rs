//! Management of chunks (spec 05): which chunkserver has which copy, operations on copies, replication, deletion,
//! balancing, and what clients are told.
//!
//! [`Chunks`] is a state machine without I/O, clock, threads or randomness of its own. The driver tells it what
//! chunkservers and clients send, when a tick of 20 ms ([`Chunks::tick`]) and a second ([`Chunks::second`]) has
//! passed, and carries out what it asks for ([`Chunks::take_effects`]). Durable facts (versions, locks, references,
//! the database of servers) are in the metadata and change only by [`Log::apply`], so every change is a line; where
//! copies are is soft state, told by the chunkservers.
//!
//! Rules of the driver:
//! - an [`Effect`] leaves when all lines below its version are safe; effects for one server keep their order;
//! - after every call that changes something, requests from [`Chunks::resume`] are executed again, from the start,
//!   until there are none;
//! - when [`Chunks::sync_wanted`] says so after a tick, lines are brought to the disk, not necessarily at once;
//! - port 9420 is not served before the metadata is complete (spec 05 §22.3);
//! - a replay hands lines to [`Unfinished`] and its table to [`Chunks::new`]; an image gets the table of its
//!   version as a file beside it.
//!
//! | module | subject |
//! |---|---|
//! | `state` | the struct, predicates |
//! | `servers`, `csdb` | connections; database of servers, maintenance, load, space |
//! | `copies`, `copy`, `blocks` | the table of copies, 16 bytes a chunk |
//! | `reports` | copies reported, damaged, lost, gone with their server |
//! | `request` | read, write, truncate, unlock; requests that wait |
//! | `operation` | answers, emergency version increase, rollback |
//! | `class`, `labels`, `queues` | what a chunk should have, and how urgent it is |
//! | `loop_`, `job`, `replicate`, `rebalance` | the chunk loop and its jobs |
//! | `stranded` | chunks that wait for servers |
//! | `durable` | nothing is deleted that a power cut could make needed again |
//! | `create`, `lists` | servers for a new chunk, lists for clients |
//! | `missing` | the walk over files, repair |
//! | `unfinished` | operations that a crash cut off (spec 08, I20) |
//! | `unharmed` | older copies that are as good |
//! | `figures` | for the monitoring |

mod blocks;
mod class;
mod config;
mod copies;
mod copy;
mod create;
mod csdb;
mod durable;
mod effect;
mod figures;
mod job;
mod labels;
mod lists;
mod loop_;
mod missing;
mod operation;
mod queues;
mod rebalance;
mod replicate;
mod reports;
mod request;
mod rng;
mod servers;
mod session;
mod state;
mod stranded;
mod topology;
mod unfinished;
mod unharmed;

pub use config::{ChunkConfig, ReplicationClass};
pub use copies::{ClassFigures, Matrix};
pub use copy::CopyState;
pub use csdb::SystemSpace;
pub use effect::{
    Action, Answer, AnswerKind, Command, Done, Effect, Grant, Location, Locations, Log, RequestId,
    ServerId,
};
pub use figures::{
    Availability, DoneHeld, JobCounts, LoopFigures, OperationCounters, ServerInfo, Tried,
};
pub use lists::{CopyInfo, CopyKind};
pub use missing::{FileFigures, MissingChunk, MissingKind, Repaired};
pub use reports::Reported;
pub use request::{ReadRequest, Reply, TruncateRequest, WriteRequest, truncates_chunk};
pub use servers::{HeavyLoad, RegisterError, Registered, Registration, Space};
pub use state::{Chunks, TICKS_PER_SECOND};
pub use topology::{Flat, Topology};
pub use unfinished::{Before, DecodeError, Entry, Unfinished};
