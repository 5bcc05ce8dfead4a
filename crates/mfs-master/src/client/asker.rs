//! Who asks: what the execution of a request needs to know of its connection, so that a request that had to wait
//! can be executed again when nobody receives from that connection at the moment (spec 04 §9).

use std::sync::Arc;

use mfs_meta::Status;
use mfs_meta::records::SessionParams;
use mfs_proto::Version;

use super::rights;
use crate::context::Ctx;
use crate::live::LiveSession;

/// See the module.
pub(super) struct Asker<'a> {
    /// The session.
    pub(super) session: &'a LiveSession,
    /// Its parameters at the time of this execution.
    pub(super) params: &'a SessionParams,
    /// Version of the client.
    pub(super) version: Version,
    /// Address of the client.
    pub(super) ip: u32,
}

impl<'a> Asker<'a> {
    /// Who sent the request that is executed for the first time.
    #[inline]
    pub(super) fn of(ctx: &'a Ctx<'_>) -> Asker<'a> {
        Asker {
            session: ctx.session(),
            params: &ctx.conn.params,
            version: ctx.version(),
            ip: ctx.peer_ip(),
        }
    }

    /// Refuses writes in a read-only session, with the status that the client knows.
    pub(super) fn writable(&self) -> Result<(), Status> {
        rights::writable(self.params).map_err(|status| {
            if self.version.knows_write_erofs() {
                status
            } else {
                Status::Io
            }
        })
    }
}

/// Where the answer to a request that waits goes to.
pub(crate) struct Origin {
    pub(super) session: Arc<LiveSession>,
    connection: u64,
    version: Version,
    ip: u32,
}

impl Origin {
    pub(super) fn of(ctx: &Ctx<'_>) -> Origin {
        Origin {
            session: Arc::clone(&ctx.conn.session),
            connection: ctx.conn.id(),
            version: ctx.version(),
            ip: ctx.peer_ip(),
        }
    }

    /// Number of the connection.
    pub(crate) fn connection(&self) -> u64 {
        self.connection
    }

    /// Number of the session.
    pub(crate) fn session(&self) -> u32 {
        self.session.id
    }

    /// Executes something in the name of the one who asked.
    pub(super) fn ask<T>(&self, work: impl FnOnce(&Asker<'_>) -> T) -> T {
        let (params, _) = self.session.params();
        work(&Asker {
            session: &self.session,
            params: &params,
            version: self.version,
            ip: self.ip,
        })
    }
}
