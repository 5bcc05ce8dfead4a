//! The records of a metadata image as plain values, and the two traits between the image codec
//! (crate `mfs-store`, which knows bytes) and the state (this crate, which knows meaning).
//!
//! Layouts: spec 02 §4–§16. Integers are in host order here, times are Unix seconds, trash times hours.

use std::fmt;

/// Number of per-session operation counters (spec 02 §4.2).
pub const SESSION_COUNTERS: usize = 16;
/// Or-groups of label masks per wanted copy (spec 02 §5.1).
pub const OR_GROUPS: usize = 4;
/// Most copies in one label set of a storage class.
pub const MAX_COPIES: usize = 9;

/// Type of a node, with the numbers of the image since NODE 1.3 (spec 02 §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Regular file.
    File = 1,
    /// Directory.
    Directory = 2,
    /// Symbolic link.
    Symlink = 3,
    /// Named pipe.
    Fifo = 4,
    /// Block device.
    BlockDevice = 5,
    /// Character device.
    CharDevice = 6,
    /// Socket.
    Socket = 7,
    /// Unlinked file that is kept for its trash time.
    Trash = 8,
    /// Unlinked file that a session still has open.
    Sustained = 9,
}

impl Kind {
    /// The kind with this number.
    pub fn from_u8(n: u8) -> Option<Kind> {
        Some(match n {
            1 => Kind::File,
            2 => Kind::Directory,
            3 => Kind::Symlink,
            4 => Kind::Fifo,
            5 => Kind::BlockDevice,
            6 => Kind::CharDevice,
            7 => Kind::Socket,
            8 => Kind::Trash,
            9 => Kind::Sustained,
            _ => return None,
        })
    }

    /// The kind with this letter of old images and changelogs (`f d l q b c s t r`, spec 02 §1).
    pub fn from_letter(c: u8) -> Option<Kind> {
        let at = b"fdlqbcstr".iter().position(|&l| l == c)?;
        Kind::from_u8(at as u8 + 1)
    }

    /// True for objects with data: file, trash, sustained ("file-like").
    pub fn is_file_like(self) -> bool {
        matches!(self, Kind::File | Kind::Trash | Kind::Sustained)
    }

    /// True for trash and sustained files, which have no name but one detached edge.
    pub fn is_detached(self) -> bool {
        matches!(self, Kind::Trash | Kind::Sustained)
    }

    /// True for kinds that carry a storage class and a trash time of their own: files and directories.
    pub fn has_sclass(self) -> bool {
        self.is_file_like() || self == Kind::Directory
    }
}

/// A client session (SESS, spec 02 §4).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SessionRecord {
    /// Session number, > 0.
    pub id: u32,
    /// The parameters that the exports gave it.
    pub params: SessionParams,
    /// 0 = connected when saved, else the time when its last connection went.
    pub disconnected: u32,
    /// Operation counters of the current hour.
    pub stats: [u32; SESSION_COUNTERS],
    /// Operation counters of the previous hour.
    pub last_stats: [u32; SESSION_COUNTERS],
}

/// What a registration decides about a session: the arguments of `SESADD` (spec 03 §6.11).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SessionParams {
    /// Checksum of the exports under which the session was accepted.
    pub exports_csum: u64,
    /// Inode that this client sees as root, 0 = meta mount.
    pub root_inode: u32,
    /// 0x01 read-only, 0x02 dynamic ip, 0x04 ignore gid, 0x08 admin, 0x10 map all.
    pub flags: u8,
    /// Umask of the export, added to that of requests.
    pub umask: u16,
    /// What uid 0 maps to.
    pub root_uid: u32,
    /// What gid of uid 0 maps to.
    pub root_gid: u32,
    /// What other uids map to with flag 0x10.
    pub mapall_uid: u32,
    /// What other gids map to with flag 0x10.
    pub mapall_gid: u32,
    /// Lowest goal that the session may set.
    pub min_goal: u8,
    /// Highest goal that the session may set.
    pub max_goal: u8,
    /// Lowest trash time that the session may set, seconds.
    pub min_trashtime: u32,
    /// Highest trash time that the session may set, seconds.
    pub max_trashtime: u32,
    /// Forbidden operations (bits of spec 02 §4.2 rule 8).
    pub disables: u32,
    /// IPv4 address of the client.
    pub peer_ip: u32,
    /// Mount point on the client, without NUL.
    pub info: Vec<u8>,
}

/// Labels wanted for one copy: or-groups of masks, bit 0 = label A; all zero = any server.
pub type LabelMasks = [u32; OR_GROUPS];

/// Definition of a storage class (SCLA, spec 02 §5), without its id and name.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SclassDef {
    /// Only admin sessions may use it.
    pub admin_only: u8,
    /// 0 loose, 1 standard, 2 strict (not validated).
    pub mode: u8,
    /// Days after ctime until the archive set applies; 0 = never.
    pub arch_delay: u16,
    /// Wanted servers at creation, 1–9 entries.
    pub create: Vec<LabelMasks>,
    /// Wanted servers to keep, 1–9 entries.
    pub keep: Vec<LabelMasks>,
    /// Wanted servers for archived chunks, 1–9 entries.
    pub archive: Vec<LabelMasks>,
}

/// A storage class of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SclassRecord {
    /// 1–255 (u16 in the file so that wrong ids can be told).
    pub id: u16,
    /// Name, without NUL; empty in old files = derived from the id.
    pub name: Vec<u8>,
    /// Definition.
    pub def: SclassDef,
}

/// A node of an image (NODE, spec 02 §6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord<'a> {
    /// Type.
    pub kind: Kind,
    /// Inode number, > 0.
    pub inode: u32,
    /// Storage class of files and directories, 0 for the rest.
    pub sclass: u8,
    /// Extra attribute bits.
    pub eattr: u8,
    /// Opaque byte of some clients.
    pub winattr: u8,
    /// Low 12 bits: permissions with suid, sgid, sticky.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Access time.
    pub atime: u32,
    /// Modification time.
    pub mtime: u32,
    /// Change time.
    pub ctime: u32,
    /// Trash time in hours.
    pub trashtime: u16,
    /// What follows the common part.
    pub data: NodeData<'a>,
}

/// The part of a node that depends on its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeData<'a> {
    /// Directory, fifo, socket.
    None,
    /// Device number of block and character devices, as the client sent it.
    Device(u32),
    /// Target of a symbolic link.
    Symlink(&'a [u8]),
    /// Length and chunks.
    File {
        /// Length in bytes.
        length: u64,
        /// Index and id of every slot that holds a chunk, indexes ascending. An image spells the holes out; here
        /// they take no room, since a file may be a hole of two billion slots with one chunk behind it.
        chunks: &'a [(u32, u64)],
    },
}

/// A name (EDGE, spec 02 §7). `parent` 0: the detached path of a trash or sustained node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeRecord<'a> {
    /// Directory, or 0.
    pub parent: u32,
    /// Named inode.
    pub child: u32,
    /// Id, 0 in files that have none (EDGE 1.0).
    pub id: u64,
    /// Name or path.
    pub name: &'a [u8],
}

/// A quota (QUOT, spec 02 §9). Also the arguments of `QUOTA` (spec 03 §6.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct QuotaRecord {
    /// Grace period in seconds.
    pub grace: u32,
    /// 1 = the grace period of a soft limit has run out.
    pub exceeded: u8,
    /// Which limits are set: soft 0x01 inodes, 0x02 length, 0x04 size, 0x08 realsize; hard 0x10…0x80.
    pub flags: u8,
    /// Time when a soft limit was passed, 0 = not passed.
    pub since: u32,
    /// Soft limit of inodes.
    pub soft_inodes: u32,
    /// Hard limit of inodes.
    pub hard_inodes: u32,
    /// Soft limit of length, bytes.
    pub soft_length: u64,
    /// Hard limit of length, bytes.
    pub hard_length: u64,
    /// Soft limit of size, bytes.
    pub soft_size: u64,
    /// Hard limit of size, bytes.
    pub hard_size: u64,
    /// Soft limit of real size, bytes.
    pub soft_realsize: u64,
    /// Hard limit of real size, bytes.
    pub hard_realsize: u64,
}

/// Which ACL of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum AclType {
    /// Checked on access.
    Access = 1,
    /// Inherited by new children.
    Default = 2,
}

impl AclType {
    /// The type with this number.
    pub fn from_u8(n: u8) -> Option<AclType> {
        match n {
            1 => Some(AclType::Access),
            2 => Some(AclType::Default),
            _ => None,
        }
    }
}

/// A POSIX ACL (PACL, spec 02 §11). 0xFFFF = entry not given.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Acl {
    /// Owner permissions.
    pub user: u16,
    /// Owning group permissions.
    pub group: u16,
    /// Other permissions.
    pub other: u16,
    /// Mask, 0xFFFF = none.
    pub mask: u16,
    /// Named users: (uid, permissions), order kept.
    pub named_users: Vec<(u32, u16)>,
    /// Named groups: (gid, permissions), order kept.
    pub named_groups: Vec<(u32, u16)>,
}

/// A held BSD lock (FLCK, spec 02 §13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlockRecord {
    /// Locked inode.
    pub inode: u32,
    /// Owner id of the client kernel.
    pub owner: u64,
    /// Session.
    pub session: u32,
    /// Exclusive (writer) or shared (reader).
    pub exclusive: bool,
}

/// A held POSIX lock range (PLCK, spec 02 §14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PosixLockRecord {
    /// Locked inode.
    pub inode: u32,
    /// Owner id of the client kernel.
    pub owner: u64,
    /// Session.
    pub session: u32,
    /// Process on the client.
    pub pid: u32,
    /// First byte.
    pub start: u64,
    /// Byte behind the last one; all ones = to the end of the file.
    pub end: u64,
    /// 1 read, 2 write.
    pub kind: u8,
}

/// A known chunkserver (CSDB, spec 02 §15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkserverRecord {
    /// IPv4 address.
    pub ip: u32,
    /// Port for clients.
    pub port: u16,
    /// Server id, 0 = not assigned.
    pub id: u16,
    /// 0 off, 1 on, 2 temporary.
    pub maintenance: u8,
    /// When maintenance ends, 0 = never.
    pub maintenance_timeout: u32,
}

/// A chunk (CHNK, spec 02 §16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRecord {
    /// Chunk id, > 0.
    pub id: u64,
    /// Version.
    pub version: u32,
    /// Time until which it is locked for writing, 0 = not locked.
    pub locked_to: u32,
    /// The archive set applies.
    pub archived: bool,
}

/// Numbers that stand outside the tables of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Header {
    /// Metadata version: number of the next changelog line.
    pub version: u64,
    /// Identity of the installation, 0 = not assigned.
    pub meta_id: u64,
    /// Next session id.
    pub next_session: u32,
    /// Highest inode ever allocated.
    pub max_inode: u32,
    /// Id of the next edge.
    pub next_edge: u64,
    /// Id of the next chunk.
    pub next_chunk: u64,
}

/// Something odd in an image that does not stop the load; for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice(pub String);

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A structural fault that refuses an image (spec 02 §19), with the objects it is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StructureError(pub String);

/// Result of handing one record to the state.
pub type SinkResult = Result<(), StructureError>;

/// Receives the records of an image in file order. The state's loader implements it; which faults are
/// tolerated (`-i`) is the loader's matter (spec 02 §19.3–§19.9), framing faults are the codec's (§19.2).
/// Old forms are converted by the codec, so that a sink sees only today's records.
pub trait ImageSink {
    /// Version and metadata id of the head.
    fn head(&mut self, version: u64, meta_id: u64) -> SinkResult;
    /// Next session id of SESS.
    fn next_session(&mut self, id: u32) -> SinkResult;
    /// One session.
    fn session(&mut self, rec: SessionRecord) -> SinkResult;
    /// One storage class.
    fn sclass(&mut self, rec: SclassRecord) -> SinkResult;
    /// Head of NODE: highest inode and number of nodes (a size hint, not to be trusted).
    fn node_head(&mut self, max_inode: u32, count_hint: u32) -> SinkResult;
    /// One node.
    fn node(&mut self, rec: &NodeRecord<'_>) -> SinkResult;
    /// Head of EDGE (`next_edge`), or `None` for EDGE 1.0, whose edges have no ids.
    fn edge_head(&mut self, next_edge: Option<u64>) -> SinkResult;
    /// One edge.
    fn edge(&mut self, rec: &EdgeRecord<'_>) -> SinkResult;
    /// Start of FREE: a second section replaces the first.
    fn free_head(&mut self, count: u32) -> SinkResult;
    /// One freed inode, oldest first.
    fn free_inode(&mut self, inode: u32, ftime: u32) -> SinkResult;
    /// One quota. Grace is `None` in QUOT 1.0: the configured default is stored.
    fn quota(&mut self, inode: u32, rec: QuotaRecord, grace: Option<u32>) -> SinkResult;
    /// One extended attribute, in list order of its inode.
    fn xattr(&mut self, inode: u32, name: &[u8], value: &[u8]) -> SinkResult;
    /// One ACL. `kind` raw so that wrong types can be told. `old`: PACL 1.0 (mask rule, spec 02 §20.4).
    fn acl(&mut self, inode: u32, kind: u8, acl: Acl, old: bool) -> SinkResult;
    /// One open file. `counted`: comes from an old NODE record and raises the version (spec 02 §20.3).
    fn open(&mut self, session: u32, inode: u32, counted: bool) -> SinkResult;
    /// One held flock.
    fn flock(&mut self, rec: FlockRecord) -> SinkResult;
    /// One held POSIX lock range.
    fn posix_lock(&mut self, rec: PosixLockRecord) -> SinkResult;
    /// One chunkserver.
    fn chunkserver(&mut self, rec: ChunkserverRecord) -> SinkResult;
    /// Next chunk id of CHNK.
    fn next_chunk(&mut self, id: u64) -> SinkResult;
    /// One chunk.
    fn chunk(&mut self, rec: ChunkRecord) -> SinkResult;
}

/// Takes inode, name and value of an extended attribute.
pub type XattrVisitor<'a, E> = dyn FnMut(u32, &[u8], &[u8]) -> Result<(), E> + 'a;

/// Gives the records of a state in the order in which an image holds them (spec 02 §3, §7.4).
/// Every method visits all records of its section; the visitor's error stops the walk.
/// `E` is the codec's I/O error.
pub trait ImageSource {
    /// Counters and ids.
    fn header(&self) -> Header;
    /// Sessions that are stored (closed ones are not).
    fn sessions<E>(&self, f: &mut dyn FnMut(&SessionRecord) -> Result<(), E>) -> Result<(), E>;
    /// Storage classes, ids ascending.
    fn sclasses<E>(&self, f: &mut dyn FnMut(&SclassRecord) -> Result<(), E>) -> Result<(), E>;
    /// Number of nodes.
    fn node_count(&self) -> u32;
    /// Nodes, inodes ascending.
    fn nodes<E>(&self, f: impl FnMut(&NodeRecord<'_>) -> Result<(), E>) -> Result<(), E>;
    /// Edges: depth first from the root, then trash by bucket, then sustained by bucket (spec 02 §7.4).
    fn edges<E>(&self, f: impl FnMut(&EdgeRecord<'_>) -> Result<(), E>) -> Result<(), E>;
    /// Number of freed inodes.
    fn free_count(&self) -> u32;
    /// Freed inodes (inode, time), oldest first.
    fn free_inodes<E>(&self, f: &mut dyn FnMut(u32, u32) -> Result<(), E>) -> Result<(), E>;
    /// Number of quotas.
    fn quota_count(&self) -> u32;
    /// Quotas by inode.
    fn quotas<E>(&self, f: &mut dyn FnMut(u32, &QuotaRecord) -> Result<(), E>) -> Result<(), E>;
    /// Extended attributes, inodes ascending, list order inside.
    fn xattrs<E>(&self, f: &mut XattrVisitor<'_, E>) -> Result<(), E>;
    /// ACLs, inodes ascending.
    fn acls<E>(&self, f: &mut dyn FnMut(u32, AclType, &Acl) -> Result<(), E>) -> Result<(), E>;
    /// Open files (session, inode) of stored sessions.
    fn opens<E>(&self, f: &mut dyn FnMut(u32, u32) -> Result<(), E>) -> Result<(), E>;
    /// Held flocks of stored sessions, grouped by inode.
    fn flocks<E>(&self, f: &mut dyn FnMut(&FlockRecord) -> Result<(), E>) -> Result<(), E>;
    /// Held POSIX locks of stored sessions, grouped by inode, then owner, ranges ascending.
    fn posix_locks<E>(&self, f: &mut dyn FnMut(&PosixLockRecord) -> Result<(), E>)
    -> Result<(), E>;
    /// Number of chunkservers.
    fn chunkserver_count(&self) -> u32;
    /// Known chunkservers.
    fn chunkservers<E>(
        &self,
        f: &mut dyn FnMut(&ChunkserverRecord) -> Result<(), E>,
    ) -> Result<(), E>;
    /// Chunks. Lock times before `now` are given as 0 (spec 02 §16).
    fn chunks<E>(&self, now: u32, f: impl FnMut(&ChunkRecord) -> Result<(), E>) -> Result<(), E>;
}
