//! An image as text, one line per object, in the form of `mfsmetadump`.
//!
//! Differences: bytes of names that would break a line or a terminal are escaped as in changelogs (`%0A`), and
//! locks show their session and owner, where `mfsmetadump` takes the one for the other.

use std::fmt::Write as _;
use std::io::{self, Write};

use mfs_meta::records::{
    Acl, ChunkRecord, ChunkserverRecord, EdgeRecord, FlockRecord, ImageSink, Kind, LabelMasks,
    NodeData, NodeRecord, PosixLockRecord, QuotaRecord, SclassRecord, SessionRecord, SinkResult,
    StructureError,
};

/// Prints the records of an image that is read into it.
pub struct Dump<W> {
    out: W,
    /// Names are printed as they are.
    raw: bool,
    line: Vec<u8>,
    failure: Option<io::Error>,
}

impl<W: Write> Dump<W> {
    /// A dump that goes to `out`.
    pub fn new(out: W) -> Dump<W> {
        Dump {
            out,
            raw: false,
            line: Vec::new(),
            failure: None,
        }
    }

    /// Prints names as they are, line ends and all.
    pub fn raw(mut self) -> Dump<W> {
        self.raw = true;
        self
    }

    /// The output, and why it could not be written.
    pub fn finish(self) -> (W, Option<io::Error>) {
        (self.out, self.failure)
    }

    /// Prints the line that was put together.
    fn print(&mut self, text: std::fmt::Arguments<'_>) -> SinkResult {
        self.text(text);
        self.end()
    }

    fn text(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _ = Write::write_fmt(&mut self.line, text);
    }

    fn name(&mut self, name: &[u8]) {
        for &byte in name {
            if self.raw || (byte >= b' ' && byte != 0x7f && byte != b'%') {
                self.line.push(byte);
            } else {
                self.text(format_args!("%{byte:02X}"));
            }
        }
    }

    fn end(&mut self) -> SinkResult {
        self.line.push(b'\n');
        let result = self.out.write_all(&self.line);
        self.line.clear();
        result.map_err(|error| {
            let text = format!("can't write: {error}");
            self.failure = Some(error);
            StructureError(text)
        })
    }
}

/// Letter of a type.
fn letter(kind: Kind) -> char {
    match kind {
        Kind::File => '-',
        Kind::Directory => 'D',
        Kind::Symlink => 'L',
        Kind::Fifo => 'F',
        Kind::BlockDevice => 'B',
        Kind::CharDevice => 'C',
        Kind::Socket => 'S',
        Kind::Trash => 'T',
        Kind::Sustained => 'R',
    }
}

fn ip(ip: u32) -> String {
    let [a, b, c, d] = ip.to_be_bytes();
    format!("{a:03}.{b:03}.{c:03}.{d:03}")
}

/// `A:BC+D:*`: copies, each of them or-groups of label sets, up to the first empty one (spec 02 §5.1).
fn labels(copies: &[LabelMasks]) -> String {
    let mut text = String::new();
    for (i, groups) in copies.iter().enumerate() {
        if i > 0 {
            text.push(':');
        }
        let mut first = true;
        for &mask in groups.iter().take_while(|&&mask| mask != 0) {
            if !std::mem::take(&mut first) {
                text.push('+');
            }
            let set = (b'A'..=b'Z')
                .zip(0..26)
                .filter(|(_, bit)| mask & (1u32 << bit) != 0);
            text.extend(set.map(|(letter, _)| char::from(letter)));
        }
        if first {
            text.push('*');
        }
    }
    text
}

/// A limit of a quota, `-` if it is not set.
fn limit(set: bool, value: u64, width: usize) -> String {
    if set {
        format!("{value:width$}")
    } else {
        format!("{:>width$}", "-")
    }
}

fn list<T>(items: &[T], each: impl Fn(&T) -> String) -> String {
    items.iter().map(each).collect::<Vec<_>>().join(",")
}

impl<W: Write> ImageSink for Dump<W> {
    fn head(&mut self, version: u64, meta_id: u64) -> SinkResult {
        self.print(format_args!("# version: {version} ; fileid: 0x{meta_id:X}"))
    }

    fn next_session(&mut self, id: u32) -> SinkResult {
        self.print(format_args!("# nextsessionid: {id}"))
    }

    fn session(&mut self, rec: SessionRecord) -> SinkResult {
        let p = &rec.params;
        let counters = |c: &[u32]| list(c, u32::to_string);
        self.text(format_args!(
            "SESSION|s:{:10}|e:#{}|p:{}|r:{:10}|f:0x{:02X}|u:0{:03o}|g:{}-{}|t:{:10}-{:10}|m:{:10},{:10},{:10},{:10}|x:0x{:08X}|d:{:10}|c:[{}]|l:[{}]|i:",
            rec.id, p.exports_csum, ip(p.peer_ip), p.root_inode, p.flags, p.umask, p.min_goal, p.max_goal,
            p.min_trashtime, p.max_trashtime, p.root_uid, p.root_gid, p.mapall_uid, p.mapall_gid, p.disables,
            rec.disconnected, counters(&rec.stats), counters(&rec.last_stats)
        ));
        self.name(&p.info);
        self.end()
    }

    fn sclass(&mut self, rec: SclassRecord) -> SinkResult {
        let def = &rec.def;
        self.text(format_args!(
            "SCLASS|#:{:5}|x:{}|m:{}|d:{:5}|c: {} |k: {} |a: {} |n:",
            rec.id,
            def.admin_only,
            def.mode,
            def.arch_delay,
            labels(&def.create),
            labels(&def.keep),
            labels(&def.archive)
        ));
        self.name(&rec.name);
        self.end()
    }

    fn node_head(&mut self, max_inode: u32, count_hint: u32) -> SinkResult {
        self.print(format_args!(
            "# maxinode: {max_inode} ; hashelements: {count_hint}"
        ))
    }

    fn node(&mut self, rec: &NodeRecord<'_>) -> SinkResult {
        self.text(format_args!(
            "NODE|k:{}|i:{:10}|#:{}|e:0x{:02X}|w:0x{:01X}|m:{:05o}|u:{:10}|g:{:10}|a:{:10},m:{:10},c:{:10}|t:{:5}h",
            letter(rec.kind), rec.inode, rec.sclass, rec.eattr, rec.winattr, rec.mode, rec.uid, rec.gid,
            rec.atime, rec.mtime, rec.ctime, rec.trashtime
        ));
        match rec.data {
            NodeData::None => {}
            NodeData::Device(dev) => {
                self.text(format_args!("|d:{:5},{:5}", dev >> 16, dev & 0xffff))
            }
            NodeData::Symlink(path) => {
                self.text(format_args!("|p:"));
                self.name(path);
            }
            NodeData::File { length, chunks } => {
                self.text(format_args!("|l:{length:20}|c:("));
                let last = chunks.last().map_or(0, |&(index, _)| index);
                let mut next = 0;
                for &(index, chunk) in chunks {
                    for _ in next..index {
                        self.text(format_args!("N,"));
                    }
                    let comma = if index < last { "," } else { "" };
                    self.text(format_args!("{chunk:016X}{comma}"));
                    next = index + 1;
                }
                self.text(format_args!(")"));
            }
        }
        self.end()
    }

    fn edge_head(&mut self, next_edge: Option<u64>) -> SinkResult {
        match next_edge {
            Some(id) => self.print(format_args!("# nextedgeid: {id:016X}")),
            None => Ok(()),
        }
    }

    fn edge(&mut self, rec: &EdgeRecord<'_>) -> SinkResult {
        let parent = if rec.parent == 0 {
            "NULL".to_owned()
        } else {
            rec.parent.to_string()
        };
        self.text(format_args!(
            "EDGE|p:{parent:>10}|c:{:10}|i:0x{:016X}|n:",
            rec.child, rec.id
        ));
        self.name(rec.name);
        self.end()
    }

    fn free_head(&mut self, count: u32) -> SinkResult {
        self.print(format_args!("# free nodes: {count}"))
    }

    fn free_inode(&mut self, inode: u32, ftime: u32) -> SinkResult {
        self.print(format_args!("FREEID|i:{inode:10}|f:{ftime:10}"))
    }

    fn quota(&mut self, inode: u32, rec: QuotaRecord, grace: Option<u32>) -> SinkResult {
        let small = |bit: u8, value: u32| limit(rec.flags & bit != 0, value.into(), 10);
        let large = |bit: u8, value: u64| limit(rec.flags & bit != 0, value, 20);
        self.print(format_args!(
            "QUOTA|i:{inode:10}|g:{}|e:{}|f:0x{:02X}|s:{:10}|si:{}|hi:{}|sl:{}|hl:{}|ss:{}|hs:{}|sr:{}|hr:{}",
            grace.unwrap_or(rec.grace), rec.exceeded, rec.flags, rec.since,
            small(0x01, rec.soft_inodes), small(0x10, rec.hard_inodes),
            large(0x02, rec.soft_length), large(0x20, rec.hard_length),
            large(0x04, rec.soft_size), large(0x40, rec.hard_size),
            large(0x08, rec.soft_realsize), large(0x80, rec.hard_realsize)
        ))
    }

    fn xattr(&mut self, inode: u32, name: &[u8], value: &[u8]) -> SinkResult {
        self.text(format_args!("XATTR|i:{inode:10}|n:"));
        self.name(name);
        self.text(format_args!("|v:"));
        for byte in value {
            self.text(format_args!("{byte:02X}"));
        }
        self.end()
    }

    fn acl(&mut self, inode: u32, kind: u8, acl: Acl, _: bool) -> SinkResult {
        let mut named = String::new();
        let users = acl.named_users.iter().map(|entry| ('u', entry));
        for (who, (id, perm)) in users.chain(acl.named_groups.iter().map(|entry| ('g', entry))) {
            let comma = if named.is_empty() { "" } else { "," };
            // Writing to a string does not fail.
            let _ = write!(named, "{comma}{who}({id}):0{perm:05o}");
        }
        self.print(format_args!(
            "POSIXACL|i:{inode:10}|t:{kind}|u:0{:05o}|g:0{:05o}|o:0{:05o}|m:0{:05o}|n:({named})",
            acl.user, acl.group, acl.other, acl.mask
        ))
    }

    fn open(&mut self, session: u32, inode: u32, _: bool) -> SinkResult {
        self.print(format_args!("OPENFILE|s:{session:10}|i:{inode:10}"))
    }

    fn flock(&mut self, rec: FlockRecord) -> SinkResult {
        let kind = if rec.exclusive { 'W' } else { 'R' };
        self.print(format_args!(
            "FLOCK|i:{:10}|s:{:10}|o:{:016X}|t:{kind}",
            rec.inode, rec.session, rec.owner
        ))
    }

    fn posix_lock(&mut self, rec: PosixLockRecord) -> SinkResult {
        let kind = match rec.kind {
            1 => 'R',
            2 => 'W',
            _ => '?',
        };
        self.print(format_args!(
            "POSIXLOCK|i:{:10}|s:{:10}|o:0x{:016X}|p:{:10}|r:<{:20},{:20})|t:{kind}",
            rec.inode, rec.session, rec.owner, rec.pid, rec.start, rec.end
        ))
    }

    fn chunkserver(&mut self, rec: ChunkserverRecord) -> SinkResult {
        let maintenance = match rec.maintenance {
            0 => "off",
            1 => "on",
            _ => "temp",
        };
        self.print(format_args!(
            "CHUNKSERVER|i:{}|p:{:5}|#:{:5}|m:{maintenance:>4}|t:{:10}",
            ip(rec.ip),
            rec.port,
            rec.id,
            rec.maintenance_timeout
        ))
    }

    fn next_chunk(&mut self, id: u64) -> SinkResult {
        self.print(format_args!("# nextchunkid: {id:016X}"))
    }

    fn chunk(&mut self, rec: ChunkRecord) -> SinkResult {
        self.print(format_args!(
            "CHUNK|i:0x{:016X}|v:0x{:08X}|t:{:10}|a:{}",
            rec.id,
            rec.version,
            rec.locked_to,
            u8::from(rec.archived)
        ))
    }
}
