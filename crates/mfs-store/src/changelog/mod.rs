//! Changelogs: the text files that hold every change of the metadata (spec 01 §8, §9; spec 03 §2–§4).
//!
//! ```text
//! names     changelog.N.mfs and the metalogger's two families
//! block     a file as blocks of whole lines, what is cut or too long told apart
//! reader    one file: lines in ascending order, events for everything else
//! probe     first and last number of a file
//! merge     many files: one ascending sequence of parsed lines, on a thread of its own
//! replay    lines applied to the state, results compared
//! writer    lines to the end of changelog.0.mfs, whole or not at all
//! rotation  the files' numbers go up by one
//! recent    lines in memory for followers
//! journal   the commit gate: pending lines, one write for many requests
//! ```

mod block;
mod event;
mod fuzz;
mod journal;
mod merge;
pub mod names;
mod probe;
mod reader;
mod recent;
mod replay;
mod rotation;
mod writer;

pub use block::{Input, MAX_LINE};
pub use event::{Event, EventKind, MAX_EVENTS};
pub use fuzz::fuzz_changelog;
pub use journal::{
    CommitError, Journal, JournalOptions, Listener, RETRY, SaveMode, SyncError, TryCommit,
};
pub use merge::{Ahead, Bad, Batch, Entry, Merge, Place, Source};
pub use probe::{Probe, probe};
pub use reader::{FileReader, ReadError, ReadFault};
pub use recent::Lines;
pub use replay::{
    LeftOut, OnError, Progress, Replay, ReplayError, ReplayFault, ReplayOptions, ReplayReport,
    Until, replay,
};
pub use rotation::{RotateError, Rotated, rotate};
pub use writer::{Notice, WriteError, Writer};

#[cfg(test)]
mod tests;
