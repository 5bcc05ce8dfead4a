//! Connected chunkservers: where commands go.

use std::collections::HashMap;
use std::sync::Arc;

use mfs_chunks::{Command, ServerId};
use mfs_proto::chunkserver::MasterMessage;
use mfs_proto::chunkserver::command::{
    ChunkVersion, Duplicate, Duptrunc, Replicate, SetVersion, Truncate,
};

use crate::net::Link;

/// The connections of the chunkservers that have begun to register.
#[derive(Default)]
pub struct Links {
    links: HashMap<ServerId, Arc<Link>>,
    /// Spare buffer for a frame.
    frame: Vec<u8>,
}

impl Links {
    /// Enters a chunkserver.
    pub(super) fn insert(&mut self, server: ServerId, link: Arc<Link>) {
        self.links.insert(server, link);
    }

    /// Forgets one.
    pub(super) fn remove(&mut self, server: ServerId) {
        self.links.remove(&server);
    }

    /// Sends a command; it leaves when all lines below `version` are safe, behind what was sent before. Nothing
    /// happens when the server is gone: chunk management hears of that, too. One that does not take its commands
    /// is closed ([`MAILBOX_MAX`](crate::net::MAILBOX_MAX)).
    pub(super) fn command(&mut self, server: ServerId, command: &Command, version: u64) {
        if let Some(link) = self.links.get(&server) {
            self.frame.clear();
            message(command).encode(&mut self.frame);
            link.post(&self.frame, version);
        }
    }
}

/// A command as it is on the wire (spec 05 §3.1).
fn message(command: &Command) -> MasterMessage<'static> {
    match *command {
        Command::Create { chunk, version } => MasterMessage::Create(ChunkVersion {
            chunkid: chunk,
            version,
        }),
        Command::Delete { chunk, version } => MasterMessage::Delete(ChunkVersion {
            chunkid: chunk,
            version,
        }),
        Command::Duplicate {
            chunk,
            version,
            source,
            source_version,
        } => MasterMessage::Duplicate(Duplicate {
            new_chunkid: chunk,
            new_version: version,
            old_chunkid: source,
            old_version: source_version,
        }),
        Command::SetVersion {
            chunk,
            version,
            old_version,
        } => MasterMessage::SetVersion(SetVersion {
            chunkid: chunk,
            new_version: version,
            old_version,
        }),
        Command::Truncate {
            chunk,
            length,
            version,
            old_version,
        } => MasterMessage::Truncate(Truncate {
            chunkid: chunk,
            length,
            new_version: version,
            old_version,
        }),
        Command::DupTrunc {
            chunk,
            version,
            source,
            source_version,
            length,
        } => MasterMessage::Duptrunc(Duptrunc {
            new_chunkid: chunk,
            new_version: version,
            old_chunkid: source,
            old_version: source_version,
            length,
        }),
        Command::Replicate {
            chunk,
            version,
            ip,
            port,
        } => MasterMessage::Replicate(Replicate::Copy {
            chunkid: chunk,
            version,
            ip,
            port,
        }),
    }
}
