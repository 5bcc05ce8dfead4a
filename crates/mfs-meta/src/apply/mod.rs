//! The operations: the only code that changes durable state. The live master, the restore tools and
//! replicas all come through [`Metadata::apply`].
//!
//! All checks come before the first change: an operation that fails has changed nothing. Operations on the
//! namespace are in [`tree`], trash and reuse in [`trash`], attributes in [`attr`], file data and chunks in
//! [`data`], append and snapshots in [`share`] and [`snapshot`], recursive settings in [`recursive`],
//! storage classes, quotas, sessions and chunkservers in [`admin`], locks in [`crate::locks`].

mod admin;
mod attr;
mod data;
mod recursive;
mod share;
mod snapshot;
mod trash;
mod tree;

use crate::op::{Op, Outcome};
use crate::state::{Metadata, NAME_MAX};
use crate::status::Status;

type Applied = Result<Outcome, Status>;

/// A name that no directory may hold: empty, longer than 255 bytes, `.`, `..`, with NUL or `/` (spec 03
/// §6.2).
pub fn is_bad_name(name: &[u8]) -> bool {
    name.is_empty()
        || name.len() > NAME_MAX
        || name == b"."
        || name == b".."
        || memchr::memchr2(0, b'/', name).is_some()
}

fn good_name(name: &[u8]) -> Result<&[u8], Status> {
    if is_bad_name(name) {
        Err(Status::Einval)
    } else {
        Ok(name)
    }
}

impl Metadata {
    /// Applies one operation at time `ts` (seconds; the time stamp of its line) and raises the version by
    /// one. Rights, quotas and limits of the live system are not tested here (spec 03 §4.4): the caller
    /// asks first.
    ///
    /// # Errors
    /// The status of the first failed check; nothing has changed then.
    pub fn apply(&mut self, ts: u32, op: &Op<'_>) -> Applied {
        self.check_pending_conflicts(op)?;
        let outcome = match op {
            Op::Idle => Ok(Outcome::None),
            Op::SetMetaId { id } => self.op_set_meta_id(*id),
            Op::Access { inode } => self.op_access(ts, *inode),
            Op::AmTime {
                inode,
                atime,
                mtime,
                ctime,
            } => self.op_amtime(*inode, *atime, *mtime, *ctime),
            Op::RenumerateEdges => self.op_renumerate_edges(),
            Op::Create {
                parent,
                name,
                kind,
                mode,
                umask,
                uid,
                gid,
                rdev,
            } => self.op_create(ts, *parent, name, *kind, *mode, *umask, *uid, *gid, *rdev),
            Op::Symlink {
                parent,
                name,
                path,
                uid,
                gid,
            } => self.op_symlink(ts, *parent, name, path, *uid, *gid),
            Op::Link {
                inode,
                parent,
                name,
            } => self.op_link(ts, *inode, *parent, name),
            Op::Unlink { parent, name } => self.op_unlink(ts, *parent, name),
            Op::Move {
                parent1,
                name1,
                parent2,
                name2,
            } => self.op_move(ts, *parent1, name1, *parent2, name2),
            Op::SetPath { inode, path } => self.op_set_path(*inode, path),
            Op::Undel { inode } => self.op_undel(ts, *inode),
            Op::Purge { inode } => self.op_purge(ts, *inode),
            Op::EmptyTrash { bucket } => self.op_empty_trash(ts, *bucket),
            Op::EmptySustained { bucket } => self.op_empty_sustained(ts, *bucket),
            Op::FreeInodes { delay, keep_open } => self.op_free_inodes(ts, *delay, *keep_open),
            Op::Attr {
                inode,
                mode,
                uid,
                gid,
                atime,
                mtime,
                winattr,
                aclmode,
            } => self.op_attr(
                ts, *inode, *mode, *uid, *gid, *atime, *mtime, *winattr, *aclmode,
            ),
            Op::SetXattr {
                inode,
                name,
                value,
                mode,
            } => self.op_set_xattr(ts, *inode, name, value, *mode),
            Op::SetAcl(args) => self.op_set_acl(ts, args),
            Op::Write {
                inode,
                index,
                opflag,
                canmod,
            } => self.op_write(ts, *inode, *index, *opflag, *canmod),
            Op::Trunc { inode, index } => self.op_trunc(ts, *inode, *index),
            Op::Length {
                inode,
                length,
                canmod,
            } => self.op_length(ts, *inode, *length, *canmod),
            Op::Unlock { chunk } => self.op_unlock(*chunk),
            Op::Rollback {
                inode,
                index,
                prev,
                chunk,
            } => self.op_rollback(*inode, *index, *prev, *chunk),
            Op::Repair {
                inode,
                index,
                version,
            } => self.op_repair(ts, *inode, *index, *version),
            Op::SetFileChunk {
                inode,
                index,
                chunk,
            } => self.op_set_file_chunk(*inode, *index, *chunk),
            Op::ArchChg { inode, uid, cmd } => self.op_archchg(ts, *inode, *uid, *cmd),
            Op::ChunkAdd { id, version, lock } => self.op_chunk_add(ts, *id, *version, *lock),
            Op::ChunkDel { id, version } => self.op_chunk_del(ts, *id, *version),
            Op::SetVersion { id, version } => self.op_set_version(*id, |_| *version),
            Op::IncVersion { id } => self.op_set_version(*id, |v| v.wrapping_add(1)),
            Op::NextChunkId { id } => self.op_next_chunk_id(*id),
            Op::Append {
                inode,
                source,
                from,
                to,
            } => self.op_append(ts, *inode, *source, *from, *to),
            Op::Snapshot(args) => self.op_snapshot(ts, args),
            Op::SetSclass {
                inode,
                uid,
                src,
                dst,
                smode,
            } => self.op_set_sclass(ts, *inode, *uid, *src, *dst, *smode),
            Op::SetTrashtime {
                inode,
                uid,
                seconds,
                smode,
            } => self.op_set_trashtime(ts, *inode, *uid, *seconds, *smode),
            Op::SetEattr {
                inode,
                uid,
                eattr,
                smode,
            } => self.op_set_eattr(ts, *inode, *uid, *eattr, *smode),
            Op::Quota(args) => self.op_quota(args),
            Op::ScSet(args) => self.op_sc_set(args),
            Op::ScDup { old, new } => self.op_sc_dup(old, new),
            Op::ScRen { old, new } => self.op_sc_ren(old, new),
            Op::ScDel { name } => self.op_sc_del(name),
            Op::SesAdd(args) => self.op_ses_add(args),
            Op::SesChanged { id, session } => self.op_ses_changed(*id, session),
            Op::SesDisconnected { id } => self.op_ses_disconnected(ts, *id),
            Op::SesDel { id } => self.op_ses_del(*id),
            Op::Session => self.op_session(),
            Op::Acquire { session, inode } => self.op_acquire(*session, *inode),
            Op::Release { session, inode } => self.op_release(*session, *inode),
            Op::Flock {
                inode,
                session,
                owner,
                cmd,
            } => self.op_flock(*inode, *session, *owner, *cmd),
            Op::PosixLock {
                inode,
                session,
                owner,
                cmd,
                start,
                end,
                pid,
            } => self.op_posix_lock(*inode, *session, *owner, *cmd, *start, *end, *pid),
            Op::CsdbOp { op, ip, port, arg } => self.op_csdb(*op, *ip, *port, *arg),
        }?;
        self.t.version += 1;
        Ok(outcome)
    }
}
