//! From [`Line`] to text: the form that 3.0.117 writes (spec 03 §6), with the substitutions that keep
//! lines readable for its replay (spec 03 §9.2).

use super::{Line, LockCmd, Op, Outcome, SessionArgs};

impl Line<'_> {
    /// Appends the whole line, `VERSION: TIMESTAMP|OP(args):results` and a line feed.
    pub fn write(&self, out: &mut Vec<u8>) {
        number(out, self.version);
        out.extend_from_slice(b": ");
        self.write_text(out);
        out.push(b'\n');
    }

    /// Appends the line without its number and line feed, as followers get it.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        let outcome = self.recorded.as_ref().unwrap_or(&Outcome::None);
        write_op(self.ts, &self.op, outcome, out);
    }
}

/// Appends `TIMESTAMP|OP(args):results`. `outcome` is what applying `op` gave.
///
/// Group ids of a `SNAPSHOT` get a leading 0, because the original's reader drops the first digit.
/// Locks are written with `R`, `W` and `U`; a session's umask with its low nine bits. It is up to the
/// caller not to write what the original cannot replay at all, e.g. a `REPAIR` with a version.
pub fn write_op(ts: u32, op: &Op<'_>, outcome: &Outcome, out: &mut Vec<u8>) {
    number(out, ts);
    out.push(b'|');
    out.extend_from_slice(op.name().as_bytes());
    out.push(b'(');
    Args { out, first: true }.op(op);
    out.push(b')');
    results(op, outcome, out);
}

/// Appends `bytes`, escaped as in the changelog: `%XX` in upper case for everything but printable ASCII
/// and for `,` `%` `(` `)` (spec 03 §3.2).
pub fn escape_into(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut rest = bytes;
    loop {
        let plain = rest.iter().take_while(|b| is_literal(**b)).count();
        let (literal, tail) = rest.split_at(plain);
        out.extend_from_slice(literal);
        let [byte, tail @ ..] = tail else {
            return;
        };
        out.extend_from_slice(&[
            b'%',
            HEX[usize::from(byte >> 4)],
            HEX[usize::from(byte & 0xF)],
        ]);
        rest = tail;
    }
}

fn is_literal(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'%' | b'(' | b')')
}

fn number(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `value` in the given radix, with at least `width` digits.
fn digits(out: &mut Vec<u8>, value: u32, radix: u32, width: u32) {
    for position in (0..width).rev() {
        let digit = value / radix.pow(position) % radix;
        // A digit below the radix always has a character.
        let char = char::from_digit(digit, radix).unwrap_or('0');
        out.push(char.to_ascii_uppercase() as u8);
    }
}

/// Writer of arguments: puts the commas between them.
struct Args<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl Args<'_> {
    fn separate(&mut self) -> &mut Vec<u8> {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out
    }

    fn num(&mut self, value: impl itoa::Integer) -> &mut Self {
        number(self.separate(), value);
        self
    }

    fn flag(&mut self, value: bool) -> &mut Self {
        self.num(u8::from(value))
    }

    fn bytes(&mut self, value: &[u8]) -> &mut Self {
        escape_into(value, self.separate());
        self
    }

    fn lock_cmd(&mut self, cmd: LockCmd) -> &mut Self {
        self.separate().push(match cmd {
            LockCmd::Unlock => b'U',
            LockCmd::Shared => b'R',
            LockCmd::Exclusive => b'W',
            LockCmd::Invalid(byte) => byte,
        });
        self
    }

    /// `[0,01,0234]`: a leading 0 is right for every reader, and 0 itself needs none.
    fn gids(&mut self, gids: &[u32]) -> &mut Self {
        let out = self.separate();
        out.push(b'[');
        for (i, gid) in gids.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            if *gid != 0 {
                out.push(b'0');
            }
            number(out, *gid);
        }
        out.push(b']');
        self
    }

    fn term_count(&mut self, letter: u8, terms: &[[u32; 4]]) -> &mut Self {
        let out = self.separate();
        out.push(letter);
        number(out, terms.len());
        self
    }

    fn session(&mut self, session: &SessionArgs<'_>) -> &mut Self {
        let out = self.separate();
        out.push(b'#');
        number(out, session.csum);
        self.num(session.root).num(session.flags);
        let out = self.separate();
        out.push(b'0');
        digits(out, u32::from(session.umask), 8, 3);
        self.num(session.rootuid)
            .num(session.rootgid)
            .num(session.mapalluid)
            .num(session.mapallgid)
            .num(session.mingoal)
            .num(session.maxgoal)
            .num(session.mintrash)
            .num(session.maxtrash);
        let out = self.separate();
        out.extend_from_slice(b"0x");
        digits(out, session.disables, 16, 8);
        self.num(session.ip).bytes(&session.info)
    }

    fn op(&mut self, op: &Op<'_>) {
        match op {
            Op::Idle | Op::RenumerateEdges | Op::Session => self,
            Op::SetMetaId { id } => self.num(*id),
            Op::Access { inode } | Op::Undel { inode } | Op::Purge { inode } => self.num(*inode),
            Op::AmTime {
                inode,
                atime,
                mtime,
                ctime,
            } => self.num(*inode).num(*atime).num(*mtime).num(*ctime),
            Op::Create {
                parent,
                name,
                kind,
                mode,
                umask,
                uid,
                gid,
                rdev,
            } => self
                .num(*parent)
                .bytes(name)
                .num(*kind)
                .num(*mode)
                .num(*umask)
                .num(*uid)
                .num(*gid)
                .num(*rdev),
            Op::Symlink {
                parent,
                name,
                path,
                uid,
                gid,
            } => self
                .num(*parent)
                .bytes(name)
                .bytes(path)
                .num(*uid)
                .num(*gid),
            Op::Link {
                inode,
                parent,
                name,
            } => self.num(*inode).num(*parent).bytes(name),
            Op::Unlink { parent, name } => self.num(*parent).bytes(name),
            Op::Move {
                parent1,
                name1,
                parent2,
                name2,
            } => self.num(*parent1).bytes(name1).num(*parent2).bytes(name2),
            Op::SetPath { inode, path } => self.num(*inode).bytes(path),
            Op::EmptyTrash { bucket } | Op::EmptySustained { bucket } => self.num(*bucket),
            Op::FreeInodes { delay, .. } => self.num(*delay),
            Op::Attr {
                inode,
                mode,
                uid,
                gid,
                atime,
                mtime,
                winattr,
                aclmode,
            } => self
                .num(*inode)
                .num(*mode)
                .num(*uid)
                .num(*gid)
                .num(*atime)
                .num(*mtime)
                .num(*winattr)
                .num(*aclmode),
            Op::SetXattr {
                inode,
                name,
                value,
                mode,
            } => self.num(*inode).bytes(name).bytes(value).num(*mode),
            Op::SetAcl(a) => self
                .num(a.inode)
                .num(a.mode)
                .flag(a.chg)
                .num(a.acl_type)
                .num(a.user)
                .num(a.group)
                .num(a.other)
                .num(a.mask)
                .num(a.nusers)
                .num(a.ngroups)
                .bytes(&a.blob),
            Op::Write {
                inode,
                index,
                opflag,
                canmod,
            } => self.num(*inode).num(*index).flag(*opflag).flag(*canmod),
            Op::Trunc { inode, index } | Op::Repair { inode, index, .. } => {
                self.num(*inode).num(*index)
            }
            Op::Length {
                inode,
                length,
                canmod,
            } => self.num(*inode).num(*length).flag(*canmod),
            Op::Unlock { chunk } => self.num(*chunk),
            Op::Rollback {
                inode,
                index,
                prev,
                chunk,
            } => self.num(*inode).num(*index).num(*prev).num(*chunk),
            Op::SetFileChunk {
                inode,
                index,
                chunk,
            } => self.num(*inode).num(*index).num(*chunk),
            Op::ArchChg { inode, uid, cmd } => self.num(*inode).num(*uid).num(*cmd),
            Op::ChunkAdd { id, version, lock } => self.num(*id).num(*version).num(*lock),
            Op::ChunkDel { id, version } | Op::SetVersion { id, version } => {
                self.num(*id).num(*version)
            }
            Op::IncVersion { id } | Op::NextChunkId { id } => self.num(*id),
            Op::Append {
                inode,
                source,
                from,
                to,
            } => self.num(*inode).num(*source).num(*from).num(*to),
            Op::Snapshot(a) => self
                .num(a.src)
                .num(a.parent)
                .bytes(&a.name)
                .num(a.smode)
                .num(a.sesflags)
                .num(a.uid)
                .gids(&a.gids)
                .num(a.umask),
            Op::SetSclass {
                inode,
                uid,
                src,
                dst,
                smode,
            } => self.num(*inode).num(*uid).num(*src).num(*dst).num(*smode),
            Op::SetTrashtime {
                inode,
                uid,
                seconds,
                smode,
            } => self.num(*inode).num(*uid).num(*seconds).num(*smode),
            Op::SetEattr {
                inode,
                uid,
                eattr,
                smode,
            } => self.num(*inode).num(*uid).num(*eattr).num(*smode),
            Op::Quota(a) => self
                .num(a.inode)
                .num(a.exceeded)
                .num(a.flags)
                .num(a.since)
                .num(a.sinodes)
                .num(a.hinodes)
                .num(a.slength)
                .num(a.hlength)
                .num(a.ssize)
                .num(a.hsize)
                .num(a.srealsize)
                .num(a.hrealsize)
                .num(a.grace),
            Op::ScSet(a) => {
                self.bytes(&a.name)
                    .flag(a.new)
                    .term_count(b'W', &a.create)
                    .term_count(b'K', &a.keep)
                    .term_count(b'A', &a.archive)
                    .num(a.mode)
                    .num(a.delay)
                    .num(a.admin);
                let mut masks = [&a.create, &a.keep, &a.archive]
                    .into_iter()
                    .flatten()
                    .flatten()
                    .peekable();
                if masks.peek().is_none() {
                    self.separate().push(b'-');
                }
                masks.fold(self, |args, mask| args.num(*mask))
            }
            Op::ScDup { old, new } | Op::ScRen { old, new } => self.bytes(old).bytes(new),
            Op::ScDel { name } => self.bytes(name),
            Op::SesAdd(a) => self.session(a),
            Op::SesChanged { id, session } => self.num(*id).session(session),
            Op::SesDisconnected { id } | Op::SesDel { id } => self.num(*id),
            Op::Acquire { session, inode } | Op::Release { session, inode } => {
                self.num(*session).num(*inode)
            }
            Op::Flock {
                inode,
                session,
                owner,
                cmd,
            } => self.num(*inode).num(*session).num(*owner).lock_cmd(*cmd),
            Op::PosixLock {
                inode,
                session,
                owner,
                cmd,
                start,
                end,
                pid,
            } => self
                .num(*inode)
                .num(*session)
                .num(*owner)
                .lock_cmd(*cmd)
                .num(*start)
                .num(*end)
                .num(*pid),
            Op::CsdbOp { op, ip, port, arg } => self.num(*op).num(*ip).num(*port).num(*arg),
        };
    }
}

/// Appends `:` and the results, if there are any.
fn results(op: &Op<'_>, outcome: &Outcome, out: &mut Vec<u8>) {
    if let Op::Repair { version, .. } = op {
        out.push(b':');
        number(out, *version);
        return;
    }
    if *outcome == Outcome::None {
        return;
    }
    out.push(b':');
    let mut args = Args { out, first: true };
    match *outcome {
        Outcome::None => &mut args,
        Outcome::Inode(id) | Outcome::ClassId(id) | Outcome::SessionId(id) => args.num(id),
        Outcome::Chunk(id) | Outcome::EdgeId(id) => args.num(id),
        Outcome::EmptyTrash {
            freed,
            sustained,
            xor,
        }
        | Outcome::FreeInodes {
            freed,
            sustained,
            xor,
        } => args.num(freed).num(sustained).num(xor),
        Outcome::EmptySustained { freed, xor } => args.num(freed).num(xor),
        Outcome::ArchChg {
            changed,
            same,
            denied,
        } => args.num(changed).num(same).num(denied),
        Outcome::Counts { set, same, denied } => args.num(set).num(same).num(denied),
        Outcome::Snapshot {
            xor,
            removed,
            same,
            existing,
            hardlinks,
            new,
        } => args
            .num(xor)
            .num(removed)
            .num(same)
            .num(existing)
            .num(hardlinks)
            .num(new),
        Outcome::ClassIds { old, new } => args.num(old).num(new),
    };
}
