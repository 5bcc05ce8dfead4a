//! Copies that outlive the text a line was parsed from.

use std::borrow::Cow;

use super::{Bytes, Line, Op, ScSetArgs, SessionArgs, SetAclArgs, SnapshotArgs};

impl Line<'_> {
    /// The same line without ties to the text it was parsed from.
    pub fn into_owned(self) -> Line<'static> {
        Line {
            version: self.version,
            ts: self.ts,
            op: self.op.into_owned(),
            recorded: self.recorded,
        }
    }
}

impl Op<'_> {
    /// The same operation without ties to the text it was parsed from.
    pub fn into_owned(self) -> Op<'static> {
        match self {
            Op::Idle => Op::Idle,
            Op::SetMetaId { id } => Op::SetMetaId { id },
            Op::Access { inode } => Op::Access { inode },
            Op::AmTime {
                inode,
                atime,
                mtime,
                ctime,
            } => Op::AmTime {
                inode,
                atime,
                mtime,
                ctime,
            },
            Op::RenumerateEdges => Op::RenumerateEdges,
            Op::Create {
                parent,
                name,
                kind,
                mode,
                umask,
                uid,
                gid,
                rdev,
            } => Op::Create {
                parent,
                name: owned(name),
                kind,
                mode,
                umask,
                uid,
                gid,
                rdev,
            },
            Op::Symlink {
                parent,
                name,
                path,
                uid,
                gid,
            } => Op::Symlink {
                parent,
                name: owned(name),
                path: owned(path),
                uid,
                gid,
            },
            Op::Link {
                inode,
                parent,
                name,
            } => Op::Link {
                inode,
                parent,
                name: owned(name),
            },
            Op::Unlink { parent, name } => Op::Unlink {
                parent,
                name: owned(name),
            },
            Op::Move {
                parent1,
                name1,
                parent2,
                name2,
            } => Op::Move {
                parent1,
                name1: owned(name1),
                parent2,
                name2: owned(name2),
            },
            Op::SetPath { inode, path } => Op::SetPath {
                inode,
                path: owned(path),
            },
            Op::Undel { inode } => Op::Undel { inode },
            Op::Purge { inode } => Op::Purge { inode },
            Op::EmptyTrash { bucket } => Op::EmptyTrash { bucket },
            Op::EmptySustained { bucket } => Op::EmptySustained { bucket },
            Op::FreeInodes { delay, keep_open } => Op::FreeInodes { delay, keep_open },
            Op::Attr {
                inode,
                mode,
                uid,
                gid,
                atime,
                mtime,
                winattr,
                aclmode,
            } => Op::Attr {
                inode,
                mode,
                uid,
                gid,
                atime,
                mtime,
                winattr,
                aclmode,
            },
            Op::SetXattr {
                inode,
                name,
                value,
                mode,
            } => Op::SetXattr {
                inode,
                name: owned(name),
                value: owned(value),
                mode,
            },
            Op::SetAcl(args) => Op::SetAcl(Box::new(args.into_owned())),
            Op::Write {
                inode,
                index,
                opflag,
                canmod,
            } => Op::Write {
                inode,
                index,
                opflag,
                canmod,
            },
            Op::Trunc { inode, index } => Op::Trunc { inode, index },
            Op::Length {
                inode,
                length,
                canmod,
            } => Op::Length {
                inode,
                length,
                canmod,
            },
            Op::Unlock { chunk } => Op::Unlock { chunk },
            Op::Rollback {
                inode,
                index,
                prev,
                chunk,
            } => Op::Rollback {
                inode,
                index,
                prev,
                chunk,
            },
            Op::Repair {
                inode,
                index,
                version,
            } => Op::Repair {
                inode,
                index,
                version,
            },
            Op::SetFileChunk {
                inode,
                index,
                chunk,
            } => Op::SetFileChunk {
                inode,
                index,
                chunk,
            },
            Op::ArchChg { inode, uid, cmd } => Op::ArchChg { inode, uid, cmd },
            Op::ChunkAdd { id, version, lock } => Op::ChunkAdd { id, version, lock },
            Op::ChunkDel { id, version } => Op::ChunkDel { id, version },
            Op::SetVersion { id, version } => Op::SetVersion { id, version },
            Op::IncVersion { id } => Op::IncVersion { id },
            Op::NextChunkId { id } => Op::NextChunkId { id },
            Op::Append {
                inode,
                source,
                from,
                to,
            } => Op::Append {
                inode,
                source,
                from,
                to,
            },
            Op::Snapshot(args) => Op::Snapshot(Box::new(args.into_owned())),
            Op::SetSclass {
                inode,
                uid,
                src,
                dst,
                smode,
            } => Op::SetSclass {
                inode,
                uid,
                src,
                dst,
                smode,
            },
            Op::SetTrashtime {
                inode,
                uid,
                seconds,
                smode,
            } => Op::SetTrashtime {
                inode,
                uid,
                seconds,
                smode,
            },
            Op::SetEattr {
                inode,
                uid,
                eattr,
                smode,
            } => Op::SetEattr {
                inode,
                uid,
                eattr,
                smode,
            },
            Op::Quota(args) => Op::Quota(args),
            Op::ScSet(args) => Op::ScSet(Box::new(args.into_owned())),
            Op::ScDup { old, new } => Op::ScDup {
                old: owned(old),
                new: owned(new),
            },
            Op::ScRen { old, new } => Op::ScRen {
                old: owned(old),
                new: owned(new),
            },
            Op::ScDel { name } => Op::ScDel { name: owned(name) },
            Op::SesAdd(args) => Op::SesAdd(Box::new(args.into_owned())),
            Op::SesChanged { id, session } => Op::SesChanged {
                id,
                session: Box::new(session.into_owned()),
            },
            Op::SesDisconnected { id } => Op::SesDisconnected { id },
            Op::SesDel { id } => Op::SesDel { id },
            Op::Session => Op::Session,
            Op::Acquire { session, inode } => Op::Acquire { session, inode },
            Op::Release { session, inode } => Op::Release { session, inode },
            Op::Flock {
                inode,
                session,
                owner,
                cmd,
            } => Op::Flock {
                inode,
                session,
                owner,
                cmd,
            },
            Op::PosixLock {
                inode,
                session,
                owner,
                cmd,
                start,
                end,
                pid,
            } => Op::PosixLock {
                inode,
                session,
                owner,
                cmd,
                start,
                end,
                pid,
            },
            Op::CsdbOp { op, ip, port, arg } => Op::CsdbOp { op, ip, port, arg },
        }
    }
}

impl SetAclArgs<'_> {
    /// The same arguments without ties to the line.
    pub fn into_owned(self) -> SetAclArgs<'static> {
        SetAclArgs {
            blob: owned(self.blob),
            ..self
        }
    }
}

impl SnapshotArgs<'_> {
    /// The same arguments without ties to the line.
    pub fn into_owned(self) -> SnapshotArgs<'static> {
        SnapshotArgs {
            name: owned(self.name),
            ..self
        }
    }
}

impl ScSetArgs<'_> {
    /// The same arguments without ties to the line.
    pub fn into_owned(self) -> ScSetArgs<'static> {
        ScSetArgs {
            name: owned(self.name),
            ..self
        }
    }
}

impl SessionArgs<'_> {
    /// The same arguments without ties to the line.
    pub fn into_owned(self) -> SessionArgs<'static> {
        SessionArgs {
            info: owned(self.info),
            ..self
        }
    }
}

/// Detaches a byte string from the line.
fn owned(bytes: Bytes<'_>) -> Bytes<'static> {
    Cow::Owned(bytes.into_owned())
}
