//! The chunkserver port (9420): reports and commands between chunkservers and their master (spec 05).
//!
//! [`ServerMessage`] is what a chunkserver sends, [`MasterMessage`] what the master sends; both decode from
//! a frame and encode to the same bytes. Chunk lists stay in the frame: their length is checked when the
//! frame is decoded, each chunk is read when it is asked for, and `iter().skip(n)` costs nothing, so that a
//! list can be worked off in slices.
//!
//! # The dialogue
//!
//! A chunkserver connects and registers (spec 05 §2.1):
//!
//! | chunkserver | master |
//! |---|---|
//! | [`Register::Begin`] | |
//! | | only with `AUTH_CODE`: [`MasterAck::Challenge`] |
//! | the same with a digest ([`auth_digest`](crate::register::auth_digest)) | |
//! | | [`MasterAck::Begin`]: accepted (otherwise the master closes) |
//! | [`ServerMessage::Labels`] | |
//! | [`Register::Chunks`], a part of the list | |
//! | | [`MasterAck::Chunks`], then the next part follows |
//! | [`Register::End`] | |
//!
//! Parts may be empty or missing: a chunkserver that is still scanning its disks reports the rest as
//! [`ServerMessage::ChunkNew`] after END. A master takes every report as soon as BEGIN is accepted; SPACE
//! does come before END. A chunkserver whose attempts died without an answer tries [`Register::OldBegin`]
//! instead. If that is accepted, it goes on as above and sends its space with SPACE; the other old forms,
//! [`Register::OldChunks`] and [`Register::OldEnd`], come from older chunkservers.
//!
//! Afterwards each side speaks when it has something to say:
//!
//! * The chunkserver reports [`ServerMessage::Space`] (when it changed, at most once a second),
//!   [`ServerMessage::Load`] (every 5 s), [`ServerMessage::Labels`] (after a reload), the state of chunks
//!   ([`ServerMessage::ChunkNew`], [`ServerMessage::ChunkLost`], [`ServerMessage::ChunkDamaged`]), and
//!   [`ServerMessage::ErrorOccurred`] for each I/O error.
//! * The master gives orders about chunks: [`MasterMessage::Create`], [`MasterMessage::Delete`],
//!   [`MasterMessage::SetVersion`], [`MasterMessage::Duplicate`], [`MasterMessage::Truncate`],
//!   [`MasterMessage::Duptrunc`], [`MasterMessage::Replicate`]. Each is answered by the variant of the same
//!   name ([`MasterMessage::answer`]), in any order; an answer names its chunk but not its order.
//! * Who wrote nothing for a while sends [`NOP`](ServerMessage::NOP): the chunkserver after a second, the
//!   master after a third of the time-out. Silence for the whole time-out ends the connection.
//!
//! [`Register::Disconnect`] announces that the chunkserver ends; the master closes. Whatever does not
//! decode or is not [`allowed`](ServerMessage::allowed) closes the connection, too. Maintenance and the
//! removal of chunkservers are ordered on the client port and have no messages here.
//!
//! A chunkserver closes on what it does not know either. That includes the questions GET_VERSION and
//! GET_CONFIG, which only the chunkserver may ask.
//!
//! ```
//! use mfs_proto::chunkserver::{MasterAck, MasterMessage, Register, ServerMessage};
//! use mfs_proto::{Version, msg};
//!
//! let mut payload = vec![0; 55];
//! payload[0] = 60;
//! payload[1..5].copy_from_slice(&Version::MASTER.0.to_be_bytes());
//! let mut out = Vec::new();
//! if let ServerMessage::Register(Register::Begin(begin)) =
//!     ServerMessage::decode(msg::CSTOMA_REGISTER, &payload)?
//! {
//!     let ack = MasterAck::begin(begin.version, Version::MASTER, 10, 1, 0x1234);
//!     if let Some(ack) = ack {
//!         MasterMessage::Ack(ack).encode(&mut out);
//!     }
//! }
//! assert_eq!(out.len(), 8 + 17);
//! # Ok::<(), mfs_proto::DecodeError>(())
//! ```

pub mod command;
mod common;
mod message;
pub mod register;
pub mod report;

pub use common::{ConfigAnswer, VersionAnswer};
pub use message::{MasterMessage, ServerMessage, State};
pub use register::{Begin, BeginAck, MasterAck, OldBegin, Register};
pub use report::{ReportedChunk, Space, SpaceReport};
