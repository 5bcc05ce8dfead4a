//! Messages to sessions that have a file open which somebody else changes (spec 04 §8).

use mfs_proto::Version;
use mfs_proto::client::data::FlengHasChanged;
use mfs_proto::client::{Reply, UNSOLICITED};

use crate::master::Txn;

/// Sends a message to the mounts of all sessions that have the file open, but not to session `except`. It leaves
/// with the changes made so far.
pub(super) fn sessions(txn: &mut Txn<'_>, inode: u32, except: Option<u32>, reply: &Reply<'_>) {
    let version = txn.version();
    let (meta, live) = txn.parts();
    let mut frame = Vec::new();
    for session in meta.sessions_of_open(inode).filter(|&s| Some(s) != except) {
        if frame.is_empty() {
            // The layout of these messages is the same for all who get them.
            reply.encode(UNSOLICITED, Version::MASTER, &mut frame);
        }
        live.notify_if(session, Version::gets_chunk_has_changed, &frame, version);
    }
}

/// Tells of a new length.
pub(super) fn length(txn: &mut Txn<'_>, inode: u32, except: Option<u32>, length: u64) {
    let message = Reply::FlengHasChanged(FlengHasChanged { inode, length });
    sessions(txn, inode, except, &message);
}
