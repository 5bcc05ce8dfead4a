//! The end-to-end harness: private networks, masters, mounts, tools and crash workloads.
//!
//! Every test builds its own small cluster out of these parts. Each part owns what it
//! started and takes it away when it is dropped, also while a test panics: processes are
//! ended by their process id, mounts are detached, network namespaces deleted. Nothing has
//! a fixed name, so any number of tests and of checkouts run side by side.
//!
//! The tests need root (network namespaces, FUSE) and the programs of Debian's
//! `moosefs-*` 3.0.117 packages; `scripts/test` installs them. What is missing fails the
//! test that needs it, with the name of the package; nothing is skipped.
//!
//! [`Kind`] chooses between this project's `mfsmaster` and the original one. A scenario
//! that runs with both shows that its expectations are facts and not our own habits.

mod actor;
mod chunkserver;
mod command;
mod copies;
mod dump;
mod ext4;
mod files;
mod master;
mod mount;
mod net;
mod programs;
pub mod script;
mod tmpfs;
mod wait;
pub mod workload;

pub use actor::Actor;
pub use chunkserver::{ChunkFile, ChunkServer};
pub use command::{Run, Tool};
pub use copies::{Chunk, Copy, chunks_of};
pub use dump::{differences, dump, durable, records};
pub use ext4::Ext4;
pub use files::{DataDir, fixture};
pub use master::Master;
pub use mount::{CACHES_OFF, Mount};
pub use net::{Host, Link, Namespace, Net, sweep_after};
pub use programs::{Kind, installed, metarestore, ours, real};
pub use tmpfs::Tmpfs;
pub use wait::{PATIENCE, until, wait_for};
