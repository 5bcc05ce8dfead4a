//! The metadata of a MooseFS master: state and the operations on it. No I/O, no clock, no randomness.
//!
//! [`Metadata`] holds the namespace, chunks, sessions, locks and everything else that an image holds
//! (spec 02). It changes by [`Metadata::apply`] only, one [`op::Op`] of the changelog at a time (spec 03), so
//! that the live master and every replay do the same. A [`View`] is a snapshot in constant time, from which
//! images are written while the state goes on changing; a [`Loader`] fills a state from an image.

mod access;
mod apply;
mod audit;
mod check;
mod chunk_rows;
mod chunks;
mod companion;
mod edges;
mod index;
mod inodes;
mod loader;
mod locks;
mod name_index;
pub mod op;
mod opens;
mod paged;
mod query;
pub mod records;
mod rows;
mod slab;
mod slots;
mod soon;
mod state;
pub mod status;
mod tables;
#[cfg(test)]
mod testing;
mod view;
mod walk;

pub use access::{Caller, R, SESFLAG_IGNOREGID, W, X};
pub use apply::is_bad_name;
pub use audit::AuditError;
pub use chunk_rows::ChunkInfo;
pub use companion::Companion;
pub use loader::{LoadOptions, Loaded, Loader};
pub use paged::prefetch;
pub use query::{Child, NodeInfo};
pub use rows::TreeStats;
pub use soon::{SOON_MAX, Soon};
pub use state::{MAX_INDEX, Metadata, NAME_MAX, PATH_MAX, SYMLINK_MAX, SclassUse, Totals, eattr};
pub use status::Status;
pub use tables::{
    BLOCK_SIZE, CHUNK_BITS, CHUNK_HEADER, CHUNK_SIZE, Counters, EDGE_ID_MAX, Flock, PosixOwner,
    PosixRange, ROOT, SUSTAINED_BUCKETS, Sclass, Session, TRASH_BUCKETS, Xattr,
};
pub use view::View;
pub use walk::Walk;
