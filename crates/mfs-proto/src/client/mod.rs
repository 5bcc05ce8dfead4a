//! The client port (9421): requests of mounts and tools, and their answers (spec 04).
//!
//! One module for each family of messages, request and answer side by side. [`Request::decode`] turns a
//! frame of a client into a typed request that borrows from the frame; [`Reply::encode`] writes an answer
//! in the layout that the client's version understands. The opposite directions ([`Request::encode`],
//! [`Answer::decode`]) serve programs that act as a client.
//!
//! ```
//! use mfs_proto::client::{Request, Reply, AttrReply, Attr, FileType, status_reply};
//! use mfs_proto::{msg, Status, Version};
//!
//! fn handle(request: Request<'_>, client: Version, out: &mut Vec<u8>) {
//!     match request {
//!         Request::Getattr(r) if r.inode == 1 => {
//!             let attr = Attr { file_type: FileType::Directory, mode: 0o755, ..Attr::default() };
//!             Reply::Getattr(AttrReply { attr }).encode(r.mid, client, out);
//!         }
//!         Request::Getattr(r) => {
//!             status_reply(msg::MATOCL_FUSE_GETATTR, r.mid, Status::ENOENT, out);
//!         }
//!         _ => {}
//!     }
//! }
//!
//! let client = Version::MASTER;
//! let payload = [0, 0, 0, 9, 0, 0, 0, 1];
//! let mut out = Vec::new();
//! handle(Request::decode(msg::CLTOMA_FUSE_GETATTR, &payload, client)?, client, &mut out);
//! assert_eq!(out.len(), 8 + 40);
//! # Ok::<(), mfs_proto::DecodeError>(())
//! ```

mod answer;
pub mod attr;
mod common;
pub mod data;
pub mod dispatch;
pub mod info;
mod listing;
pub mod lock;
pub mod property;
pub mod quota;
pub mod register;
mod request;
pub mod sclass;
pub mod session;
pub mod trash;
pub mod tree;
pub mod xattr;

pub use answer::{Answer, ListFrame, Reply, UNSOLICITED, peek_mid, status_reply};
pub use attr::{AttrReply, LookupReply};
pub use common::{
    Attr, Cred, FileType, Gids, InodeRequest, Location, MidRequest, NewNode, Passthrough, mattr,
};
pub use dispatch::{State, allowed};
pub use request::Request;

pub(crate) use crate::wire::{Body, fixed_item, plain_body, plain_item};

/// What a request asked for, where the layout of its answer depends on that. From [`Request::expect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expect {
    /// The layout follows from message type and client version alone.
    #[default]
    Plain,
    /// The request had no message id, so the answer has none.
    NoMid,
    /// A directory listing.
    Readdir {
        /// Entries carry whole attribute records instead of type bytes.
        attr: bool,
        /// The edge id of the request is repeated before the entries.
        nedgeid: bool,
    },
    /// CHECK of one chunk: its copies instead of counters.
    Copies,
    /// GETXATTR of the length only.
    XattrLength,
    /// A list of storage classes with their definitions.
    ClassDefinitions,
}

/// The message id of a request payload, if it has one.
pub(crate) trait Mid {
    fn message_id(&self) -> Option<u32> {
        None
    }
}

macro_rules! mids {
    ($($t:ty),* $(,)?) => {
        $(impl crate::client::Mid for $t {
            #[inline]
            fn message_id(&self) -> Option<u32> {
                self.mid.into()
            }
        })*
    };
}
pub(crate) use mids;
