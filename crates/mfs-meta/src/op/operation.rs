//! The operations themselves.

use super::{Bytes, QuotaArgs, ScSetArgs, SessionArgs, SetAclArgs, SnapshotArgs};

/// Command of a lock operation: one character (spec 03 §6.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockCmd {
    /// `U`: release.
    Unlock,
    /// `R`: take shared.
    Shared,
    /// `W`: take exclusive.
    Exclusive,
    /// Any other character; applying it is status 6.
    Invalid(u8),
}

/// One variant per operation of the changelog (spec 03 §6).
///
/// Fields have the names of the specification. The time stamp of the line is no part of the
/// operation, and results are an [`Outcome`](super::Outcome) of their own; only where the recorded result decides what
/// is done (`Repair`, `FreeInodes`) it is a field here.
#[derive(Clone, Debug, PartialEq)]
pub enum Op<'a> {
    /// `IDLE()`: nothing but the version.
    Idle,
    /// `SETMETAID(id)`: identity of a new filesystem.
    SetMetaId {
        /// The metadata id.
        id: u64,
    },
    /// `ACCESS(inode)`: atime := time of the line.
    Access {
        /// Any type of node.
        inode: u32,
    },
    /// `AMTIME(inode,atime,mtime,ctime)`: times as reported by a mount.
    AmTime {
        /// Any type of node.
        inode: u32,
        /// New atime.
        atime: u32,
        /// New mtime.
        mtime: u32,
        /// New ctime.
        ctime: u32,
    },
    /// `RENUMERATEEDGES():next`: new ids for all edges below the root. Outcome [`Outcome::EdgeId`](super::Outcome::EdgeId).
    RenumerateEdges,

    /// `CREATE(parent,name,type,mode,umask,uid,gid,rdev):inode`. Outcome [`Outcome::Inode`](super::Outcome::Inode).
    Create {
        /// Directory.
        parent: u32,
        /// Name in `parent`; may be unusable, which is status 6.
        name: Bytes<'a>,
        /// Type number as given: 1 file, 2 directory, 4 fifo, 5 block, 6 character device, 7 socket.
        /// Anything else (0 for an unknown old type letter) is status 6.
        kind: u8,
        /// Mode before umask and default ACL.
        mode: u16,
        /// Client's umask; 0 in old lines, which have none.
        umask: u16,
        /// Owner.
        uid: u32,
        /// Group; the parent's if that has 02000.
        gid: u32,
        /// Device number of types 5 and 6.
        rdev: u32,
    },
    /// `SYMLINK(parent,name,path,uid,gid):inode`. Outcome [`Outcome::Inode`](super::Outcome::Inode).
    Symlink {
        /// Directory.
        parent: u32,
        /// Name in `parent`.
        name: Bytes<'a>,
        /// Target; empty or longer than 4096 bytes is status 6.
        path: Bytes<'a>,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// `LINK(inode,parent,name)`: another name.
    Link {
        /// The node that gets a name.
        inode: u32,
        /// Directory.
        parent: u32,
        /// Name in `parent`.
        name: Bytes<'a>,
    },
    /// `UNLINK(parent,name):inode`, also rmdir. Outcome [`Outcome::Inode`](super::Outcome::Inode).
    Unlink {
        /// Directory.
        parent: u32,
        /// Name in `parent`.
        name: Bytes<'a>,
    },
    /// `MOVE(parent1,name1,parent2,name2):inode`. Outcome [`Outcome::Inode`](super::Outcome::Inode) (the moved node).
    Move {
        /// Source directory.
        parent1: u32,
        /// Source name.
        name1: Bytes<'a>,
        /// Destination directory.
        parent2: u32,
        /// Destination name; an existing one is replaced.
        name2: Bytes<'a>,
    },

    /// `SETPATH(inode,path)`: new path of a trash entry.
    SetPath {
        /// A file in trash.
        inode: u32,
        /// Path; empty or longer than 1024 bytes is status 6.
        path: Bytes<'a>,
    },
    /// `UNDEL(inode)`: back from trash to its path.
    Undel {
        /// A file in trash.
        inode: u32,
    },
    /// `PURGE(inode)`: out of trash for good.
    Purge {
        /// A file in trash.
        inode: u32,
    },
    /// `EMPTYTRASH(bucket):freed,sustained,xor`. Outcome [`Outcome::EmptyTrash`](super::Outcome::EmptyTrash).
    EmptyTrash {
        /// Bucket (`inode mod 4096`); 4096 and more, e.g. [`ALL_BUCKETS`](super::ALL_BUCKETS), means all.
        bucket: u32,
    },
    /// `EMPTYSUSTAINED(bucket):freed,xor` (old name `EMPTYRESERVED`). Outcome
    /// [`Outcome::EmptySustained`](super::Outcome::EmptySustained).
    EmptySustained {
        /// Bucket (`inode mod 256`); 256 and more, e.g. [`ALL_BUCKETS`](super::ALL_BUCKETS), means all.
        bucket: u32,
    },
    /// `FREEINODES(delay):freed,sustained,xor`. Outcome [`Outcome::FreeInodes`](super::Outcome::FreeInodes).
    FreeInodes {
        /// Seconds that a freed number rests.
        delay: u32,
        /// Whether numbers that are still open stay queued. A line whose recorded `sustained` is 0
        /// (or missing) is replayed without this test (spec 03 §6.3); always true when live.
        keep_open: bool,
    },

    /// `ATTR(inode,mode,uid,gid,atime,mtime,winattr,aclmode)`: resulting attributes; ctime := time of
    /// the line.
    Attr {
        /// Any type of node.
        inode: u32,
        /// Mode; above 07777 is status 6.
        mode: u16,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// New atime.
        atime: u32,
        /// New mtime.
        mtime: u32,
        /// Windows attributes; 0 in old lines.
        winattr: u8,
        /// [`ACLMODE_VALID`](super::ACLMODE_VALID) and the access ACL's user, mask and other bits, or 0; the mode itself in
        /// lines with six arguments.
        aclmode: u16,
    },
    /// `SETXATTR(inode,name,value,mode)`.
    SetXattr {
        /// Any type of node.
        inode: u32,
        /// Attribute name.
        name: Bytes<'a>,
        /// Value, empty when removing.
        value: Bytes<'a>,
        /// 0 set, 1 create only, 2 replace only, 3 remove; more is status 6.
        mode: u32,
    },
    /// `SETACL(...)`: sets or drops an access or default ACL.
    SetAcl(Box<SetAclArgs<'a>>),

    /// `WRITE(inode,index,opflag,canmod):chunk`. Outcome [`Outcome::Chunk`](super::Outcome::Chunk).
    Write {
        /// File.
        inode: u32,
        /// Chunk index in the file.
        index: u32,
        /// The version of an unshared chunk is raised.
        opflag: bool,
        /// mtime and ctime := time of the line.
        canmod: bool,
    },
    /// `TRUNC(inode,index):chunk`: truncate inside a chunk. Outcome [`Outcome::Chunk`](super::Outcome::Chunk).
    Trunc {
        /// File.
        inode: u32,
        /// Chunk index in the file.
        index: u32,
    },
    /// `LENGTH(inode,length,canmod)`.
    Length {
        /// File.
        inode: u32,
        /// New length in bytes.
        length: u64,
        /// mtime and ctime := time of the line.
        canmod: bool,
    },
    /// `UNLOCK(chunk)`: end of a write.
    Unlock {
        /// Chunk id.
        chunk: u64,
    },
    /// `ROLLBACK(inode,index,prev,chunk)`: undo of a failed `WRITE` or `TRUNC`.
    Rollback {
        /// File.
        inode: u32,
        /// Chunk index in the file.
        index: u32,
        /// Id that the slot had before.
        prev: u64,
        /// Id that the slot has.
        chunk: u64,
    },
    /// `REPAIR(inode,index):version`: a chunk is given up or set to a version that exists.
    Repair {
        /// File.
        inode: u32,
        /// Chunk index in the file.
        index: u32,
        /// 0 clears the slot, else the chunk's new version. Must be 0 in lines that we write
        /// (spec 03 §9.2: the original cannot replay others; `SETVERSION` + `AMTIME` do the same).
        version: u32,
    },
    /// `SETFILECHUNK(inode,index,chunk)`.
    SetFileChunk {
        /// File.
        inode: u32,
        /// Chunk index in the file.
        index: u32,
        /// New id of the slot, 0 for none.
        chunk: u64,
    },
    /// `ARCHCHG(inode,uid,cmd):changed,same,denied`, recursive. Outcome [`Outcome::ArchChg`](super::Outcome::ArchChg).
    ArchChg {
        /// File or directory.
        inode: u32,
        /// Who asks.
        uid: u32,
        /// 1 sets the archive flag, 0 clears it (and sets ctime), others clear it.
        cmd: u8,
    },

    /// `CHUNKADD(id,version,lock)`: a chunkserver has a chunk that is not known.
    ChunkAdd {
        /// Chunk id.
        id: u64,
        /// Chunk version.
        version: u32,
        /// Locked until this time, 0 for not locked.
        lock: u32,
    },
    /// `CHUNKDEL(id,version)`: the last copy is gone.
    ChunkDel {
        /// Chunk id.
        id: u64,
        /// Chunk version.
        version: u32,
    },
    /// `SETVERSION(id,version)`.
    SetVersion {
        /// Chunk id.
        id: u64,
        /// New version.
        version: u32,
    },
    /// `INCVERSION(id)` (not written since 2.0).
    IncVersion {
        /// Chunk id.
        id: u64,
    },
    /// `NEXTCHUNKID(id)`.
    NextChunkId {
        /// The next new chunk's id.
        id: u64,
    },

    /// `APPEND(inode,source,from,to)`: chunks of another file are shared behind the last one. The old
    /// form without a range has `from` `u32::MAX` and `to` 0: the whole source.
    Append {
        /// Target file.
        inode: u32,
        /// Source file.
        source: u32,
        /// First chunk index, inclusive.
        from: u32,
        /// Last chunk index, inclusive.
        to: u32,
    },
    /// `SNAPSHOT(...)`: makes or removes a snapshot. Outcome [`Outcome::Snapshot`](super::Outcome::Snapshot).
    Snapshot(Box<SnapshotArgs<'a>>),

    /// `SETSCLASS(inode,uid,src,dst,smode):set,same,denied` (old form `SETGOAL` with one class).
    /// Outcome [`Outcome::Counts`](super::Outcome::Counts).
    SetSclass {
        /// Where to start.
        inode: u32,
        /// Who asks.
        uid: u32,
        /// Class to replace (exchange only).
        src: u8,
        /// New class.
        dst: u8,
        /// Low two bits 0 set, 1 increase, 2 decrease, 3 exchange; 4 recursive; others status 6.
        smode: u8,
    },
    /// `SETTRASHTIME(inode,uid,seconds,smode):set,same,denied`. Outcome [`Outcome::Counts`](super::Outcome::Counts).
    SetTrashtime {
        /// Where to start.
        inode: u32,
        /// Who asks.
        uid: u32,
        /// Trash time; stored as hours, rounded up.
        seconds: u32,
        /// As in [`Op::SetSclass`].
        smode: u8,
    },
    /// `SETEATTR(inode,uid,eattr,smode):set,same,denied`. Outcome [`Outcome::Counts`](super::Outcome::Counts).
    SetEattr {
        /// Where to start.
        inode: u32,
        /// Who asks.
        uid: u32,
        /// Extra attribute bits.
        eattr: u8,
        /// As in [`Op::SetSclass`].
        smode: u8,
    },

    /// `QUOTA(...)`: sets or drops the quota of a directory.
    Quota(Box<QuotaArgs>),

    /// `SCSET(...):id`: makes or changes a storage class. Outcome [`Outcome::ClassId`](super::Outcome::ClassId).
    ScSet(Box<ScSetArgs<'a>>),
    /// `SCDUP(old,new):oldid,newid`. Outcome [`Outcome::ClassIds`](super::Outcome::ClassIds).
    ScDup {
        /// Class to copy.
        old: Bytes<'a>,
        /// Name of the copy.
        new: Bytes<'a>,
    },
    /// `SCREN(old,new):id`. Outcome [`Outcome::ClassId`](super::Outcome::ClassId).
    ScRen {
        /// Present name.
        old: Bytes<'a>,
        /// New name.
        new: Bytes<'a>,
    },
    /// `SCDEL(name):id`. Outcome [`Outcome::ClassId`](super::Outcome::ClassId).
    ScDel {
        /// Class name.
        name: Bytes<'a>,
    },

    /// `SESADD(...):id`. Outcome [`Outcome::SessionId`](super::Outcome::SessionId).
    SesAdd(Box<SessionArgs<'a>>),
    /// `SESCHANGED(id,...)`: all fields of a session are replaced.
    SesChanged {
        /// Session id.
        id: u32,
        /// The new fields.
        session: Box<SessionArgs<'a>>,
    },
    /// `SESDISCONNECTED(id)`.
    SesDisconnected {
        /// Session id.
        id: u32,
    },
    /// `SESDEL(id)`.
    SesDel {
        /// Session id.
        id: u32,
    },
    /// `SESSION():id`, `CUSTOMER():id` (before 1.7): only uses up a session id. Outcome
    /// [`Outcome::SessionId`](super::Outcome::SessionId).
    Session,
    /// `ACQUIRE(session,inode)` (also `AQUIRE`): an open file.
    Acquire {
        /// Session id.
        session: u32,
        /// Inode.
        inode: u32,
    },
    /// `RELEASE(session,inode)`: no longer open.
    Release {
        /// Session id.
        session: u32,
        /// Inode.
        inode: u32,
    },

    /// `FLOCK(inode,session,owner,cmd)`.
    Flock {
        /// Inode.
        inode: u32,
        /// Session id.
        session: u32,
        /// Owner within the session.
        owner: u64,
        /// What to do.
        cmd: LockCmd,
    },
    /// `POSIXLOCK(inode,session,owner,cmd,start,end,pid)`.
    PosixLock {
        /// Inode.
        inode: u32,
        /// Session id.
        session: u32,
        /// Owner within the session.
        owner: u64,
        /// What to do.
        cmd: LockCmd,
        /// First byte.
        start: u64,
        /// Byte behind the last.
        end: u64,
        /// Process that asked.
        pid: u32,
    },

    /// `CSDBOP(op,ip,port,arg)` (old forms `CSADD`, `CSDEL`): the chunkserver database.
    CsdbOp {
        /// 0 add, 1 delete, 2 new address, 3 new id, 4 maintenance on, 5 off, 6 temporary; more is
        /// status 32.
        op: u8,
        /// IPv4 address, most significant byte first (10.77.3.1 is 172819201).
        ip: u32,
        /// Port.
        port: u16,
        /// Server id or timeout, by `op`.
        arg: u32,
    },
}

impl Op<'_> {
    /// The operation's keyword in the changelog.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Idle => "IDLE",
            Op::SetMetaId { .. } => "SETMETAID",
            Op::Access { .. } => "ACCESS",
            Op::AmTime { .. } => "AMTIME",
            Op::RenumerateEdges => "RENUMERATEEDGES",
            Op::Create { .. } => "CREATE",
            Op::Symlink { .. } => "SYMLINK",
            Op::Link { .. } => "LINK",
            Op::Unlink { .. } => "UNLINK",
            Op::Move { .. } => "MOVE",
            Op::SetPath { .. } => "SETPATH",
            Op::Undel { .. } => "UNDEL",
            Op::Purge { .. } => "PURGE",
            Op::EmptyTrash { .. } => "EMPTYTRASH",
            Op::EmptySustained { .. } => "EMPTYSUSTAINED",
            Op::FreeInodes { .. } => "FREEINODES",
            Op::Attr { .. } => "ATTR",
            Op::SetXattr { .. } => "SETXATTR",
            Op::SetAcl(_) => "SETACL",
            Op::Write { .. } => "WRITE",
            Op::Trunc { .. } => "TRUNC",
            Op::Length { .. } => "LENGTH",
            Op::Unlock { .. } => "UNLOCK",
            Op::Rollback { .. } => "ROLLBACK",
            Op::Repair { .. } => "REPAIR",
            Op::SetFileChunk { .. } => "SETFILECHUNK",
            Op::ArchChg { .. } => "ARCHCHG",
            Op::ChunkAdd { .. } => "CHUNKADD",
            Op::ChunkDel { .. } => "CHUNKDEL",
            Op::SetVersion { .. } => "SETVERSION",
            Op::IncVersion { .. } => "INCVERSION",
            Op::NextChunkId { .. } => "NEXTCHUNKID",
            Op::Append { .. } => "APPEND",
            Op::Snapshot(_) => "SNAPSHOT",
            Op::SetSclass { .. } => "SETSCLASS",
            Op::SetTrashtime { .. } => "SETTRASHTIME",
            Op::SetEattr { .. } => "SETEATTR",
            Op::Quota(_) => "QUOTA",
            Op::ScSet(_) => "SCSET",
            Op::ScDup { .. } => "SCDUP",
            Op::ScRen { .. } => "SCREN",
            Op::ScDel { .. } => "SCDEL",
            Op::SesAdd(_) => "SESADD",
            Op::SesChanged { .. } => "SESCHANGED",
            Op::SesDisconnected { .. } => "SESDISCONNECTED",
            Op::SesDel { .. } => "SESDEL",
            Op::Session => "SESSION",
            Op::Acquire { .. } => "ACQUIRE",
            Op::Release { .. } => "RELEASE",
            Op::Flock { .. } => "FLOCK",
            Op::PosixLock { .. } => "POSIXLOCK",
            Op::CsdbOp { .. } => "CSDBOP",
        }
    }
}
