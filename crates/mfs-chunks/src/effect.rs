//! What comes out of the state machine, and the types that both sides speak.

use mfs_meta::op::{Op, Outcome};
use mfs_meta::{Metadata, Status};
use smallvec::SmallVec;

/// The durable state and its log, as the state machine sees them. A transaction of the server implements it: what
/// [`Log::apply`] does is a line of the changelog.
pub trait Log {
    /// The metadata.
    fn meta(&self) -> &Metadata;
    /// The time, seconds; it never decreases.
    fn now(&self) -> u32;
    /// All changes below this version of the metadata are on the disk: a power cut does not take them back. It never
    /// decreases.
    fn durable(&self) -> u64;
    /// Applies an operation and logs it.
    ///
    /// # Errors
    /// The status of the refusal; nothing has changed and nothing is logged then.
    fn apply(&mut self, op: &Op<'_>) -> Result<Outcome, Status>;
}

/// One connection of a chunkserver. Never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId {
    pub(crate) slot: u16,
    pub(crate) generation: u32,
}

/// A request that may have to wait; numbers are the driver's, one is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A command for a chunkserver (spec 05 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A new, empty chunk.
    Create {
        /// Chunk id.
        chunk: u64,
        /// Its version.
        version: u32,
    },
    /// The copy goes.
    Delete {
        /// Chunk id.
        chunk: u64,
        /// Version, 0 = whatever it is.
        version: u32,
    },
    /// A copy under a new id.
    Duplicate {
        /// New chunk id.
        chunk: u64,
        /// Its version.
        version: u32,
        /// Chunk to copy.
        source: u64,
        /// Version of that.
        source_version: u32,
    },
    /// Another version.
    SetVersion {
        /// Chunk id.
        chunk: u64,
        /// New version.
        version: u32,
        /// Version that the copy has.
        old_version: u32,
    },
    /// Another length.
    Truncate {
        /// Chunk id.
        chunk: u64,
        /// Length within the chunk, above 0.
        length: u32,
        /// New version.
        version: u32,
        /// Version that the copy has.
        old_version: u32,
    },
    /// A copy under a new id with another length.
    DupTrunc {
        /// New chunk id.
        chunk: u64,
        /// Its version.
        version: u32,
        /// Chunk to copy.
        source: u64,
        /// Version of that.
        source_version: u32,
        /// Length within the chunk, above 0.
        length: u32,
    },
    /// Fetch the chunk from another server.
    Replicate {
        /// Chunk id.
        chunk: u64,
        /// Its version.
        version: u32,
        /// Address of the source.
        ip: u32,
        /// Port of the source.
        port: u16,
    },
}

impl Command {
    /// The chunk that the answer will name.
    #[must_use]
    pub fn chunk(&self) -> u64 {
        match *self {
            Command::Create { chunk, .. }
            | Command::Delete { chunk, .. }
            | Command::Duplicate { chunk, .. }
            | Command::SetVersion { chunk, .. }
            | Command::Truncate { chunk, .. }
            | Command::DupTrunc { chunk, .. }
            | Command::Replicate { chunk, .. } => chunk,
        }
    }
}

/// An answer of a chunkserver (spec 05 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was answered.
    pub kind: AnswerKind,
    /// Chunk id.
    pub chunk: u64,
    /// Status, 0 = done.
    pub status: u8,
}

/// The commands that have answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnswerKind {
    /// [`Command::Create`].
    Create,
    /// [`Command::Delete`].
    Delete,
    /// [`Command::Duplicate`].
    Duplicate,
    /// [`Command::SetVersion`].
    SetVersion,
    /// [`Command::Truncate`].
    Truncate,
    /// [`Command::DupTrunc`].
    DupTrunc,
    /// [`Command::Replicate`].
    Replicate {
        /// Version that was replicated.
        version: u32,
    },
}

/// Where a client finds a copy (spec 04 §5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Address.
    pub ip: u32,
    /// Port.
    pub port: u16,
    /// Program version of the server.
    pub version: u32,
    /// Its labels, bit 0 = A.
    pub labels: u32,
}

/// Copies, best first.
pub type Locations = SmallVec<[Location; 4]>;

/// What a client may read or write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Chunk id, 0 = no chunk (reading a hole).
    pub chunk: u64,
    /// Its version.
    pub version: u32,
    /// Copies, best first; may be empty (spec 05 §20).
    pub locations: Locations,
}

impl Grant {
    /// No chunk: the data of a hole are zeros.
    #[must_use]
    pub fn hole() -> Grant {
        Grant {
            chunk: 0,
            version: 0,
            locations: Locations::new(),
        }
    }
}

/// How a delayed request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The chunk can be written.
    Write(Grant),
    /// The file has its new length; lines `UNLOCK` and `LENGTH` are in the log.
    Truncate {
        /// The chunk that holds the new end.
        grant: Grant,
    },
}

/// Something to do for the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// To be done when all lines below this metadata version are safe.
    pub version: u64,
    /// What to do.
    pub action: Action,
}

/// See [`Effect`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a command.
    Command {
        /// To this connection; dropped if it is gone.
        server: ServerId,
        /// The command.
        command: Command,
    },
    /// Answer a request that had to wait: for chunkservers, or in vain for a lock.
    Finished {
        /// The request.
        request: RequestId,
        /// How it ended.
        result: Result<Done, Status>,
    },
    /// Tell all mounts to forget where chunks are (spec 04 §8, message 706).
    InvalidateChunkCaches,
}
