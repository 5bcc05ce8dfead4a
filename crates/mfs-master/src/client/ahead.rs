//! Looking ahead over the requests of a batch: which of them can share one access to the state, and what memory they
//! will need.

use mfs_meta::{SOON_MAX, Soon};
use mfs_proto::client::Request;
use mfs_proto::msg;

use super::rights;
use crate::master::State;
use crate::net::Conn;

/// The access that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Shared, short, and nothing else that locks.
    Shared,
    /// Exclusive, short, and nothing else that locks.
    Exclusive,
    /// It may take other locks: it is executed on its own.
    Own,
    /// As [`Needs::Own`], and it may take long, because it visits a tree or a table.
    Long,
}

impl Needs {
    /// What a request needs. Those that are many are worth an answer other than [`Needs::Own`].
    #[inline]
    pub(crate) fn of(request: &Request<'_>) -> Needs {
        Needs::of_message(request.msg())
    }

    /// As [`Needs::of`] by the type of the message.
    #[inline]
    pub(crate) fn of_message(message: u32) -> Needs {
        match message {
            msg::CLTOMA_FUSE_LOOKUP | msg::CLTOMA_FUSE_GETATTR | msg::CLTOMA_FUSE_ACCESS => {
                Needs::Shared
            }
            msg::CLTOMA_FUSE_SETATTR
            | msg::CLTOMA_FUSE_MKNOD
            | msg::CLTOMA_FUSE_MKDIR
            | msg::CLTOMA_FUSE_CREATE
            | msg::CLTOMA_FUSE_SYMLINK
            | msg::CLTOMA_FUSE_UNLINK
            | msg::CLTOMA_FUSE_RMDIR
            | msg::CLTOMA_FUSE_RENAME
            | msg::CLTOMA_FUSE_LINK => Needs::Exclusive,
            msg::CLTOMA_FUSE_SNAPSHOT
            | msg::CLTOMA_FUSE_APPEND_SLICE
            | msg::CLTOMA_FUSE_REPAIR
            | msg::CLTOMA_FUSE_CHECK
            | msg::CLTOMA_FUSE_GETTRASHTIME
            | msg::CLTOMA_FUSE_SETTRASHTIME
            | msg::CLTOMA_FUSE_GETEATTR
            | msg::CLTOMA_FUSE_SETEATTR
            | msg::CLTOMA_FUSE_GETSCLASS
            | msg::CLTOMA_FUSE_SETSCLASS
            | msg::CLTOMA_FUSE_ARCHCTL
            | msg::CLTOMA_FUSE_QUOTACONTROL
            | msg::CLTOMA_FUSE_GETTRASH
            | msg::CLTOMA_FUSE_GETSUSTAINED
            | msg::CLTOMA_FUSE_PATHS => Needs::Long,
            _ => Needs::Own,
        }
    }
}

/// Asks for the memory that a run of requests needs.
pub(crate) fn prefetch<'r, 'a: 'r>(
    state: &State,
    conn: &Conn,
    run: impl Iterator<Item = &'r Request<'a>>,
) {
    let mut wanted = [Soon::Node(0); SOON_MAX];
    let mut count = 0;
    let root = conn.params.root_inode;
    let real = |inode| rights::meant(root, inode);
    let mut want = |soon| {
        if let Some(place) = wanted.get_mut(count) {
            *place = soon;
            count += 1;
        }
    };
    let mut asks_for_data = false;
    for request in run {
        use Request as Q;
        let (parent, name) = match request {
            Q::Lookup(r) => {
                asks_for_data = true;
                (r.parent, r.name)
            }
            Q::Mknod(r) => (r.parent, r.name),
            Q::Mkdir(r) => (r.parent, r.name),
            Q::Create(r) => (r.parent, r.name),
            Q::Symlink(r) => (r.parent, r.name),
            Q::Unlink(r) | Q::Rmdir(r) => (r.parent, r.name),
            Q::Rename(r) => {
                want(Soon::Name(real(r.parent_src), r.name_src));
                (r.parent_dst, r.name_dst)
            }
            Q::Link(r) => {
                want(Soon::Node(real(r.inode)));
                (r.parent_dst, r.name)
            }
            Q::Getattr(r) => {
                want(Soon::Node(real(r.inode)));
                continue;
            }
            Q::Access(r) => {
                want(Soon::Node(real(r.inode)));
                continue;
            }
            Q::Setattr(r) => {
                want(Soon::Node(real(r.inode)));
                continue;
            }
            _ => continue,
        };
        want(Soon::Name(real(parent), name));
    }
    let session = conn.session.id;
    state.meta.prefetch(&wanted[..count], |inode| {
        if asks_for_data {
            state.live.cache.prefetch(inode, session);
        }
    });
}
