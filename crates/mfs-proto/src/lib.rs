//! The wire of a MooseFS 3.0 cluster: frames, message numbers, typed requests and replies. No I/O.
//!
//! * [`frame`]: the 8-byte header every port shares, splitting a byte stream into frames, writing frames.
//! * [`msg`], [`status`], [`version`]: the numbers of the protocol and their names.
//! * [`register`]: what the registration of a client or a chunkserver needs beside its messages.
//! * [`client`]: requests and answers of the client port (9421).
//! * [`chunkserver`]: reports and commands of the chunkserver port (9420).
//!
//! All integers are big-endian. Decoding borrows from the received bytes and does not allocate;
//! every length is checked, and a frame that does not decode means that the connection must be closed
//! (spec 04 §2.6, spec 05 §1.5).

pub mod chunkserver;
pub mod client;
pub mod frame;
pub mod fuzz;
pub mod msg;
pub mod register;
pub mod status;
pub mod version;
pub mod wire;

pub use frame::{Frame, FrameBuf, FrameError};
pub use status::Status;
pub use version::Version;
pub use wire::{DecodeError, Fault};
