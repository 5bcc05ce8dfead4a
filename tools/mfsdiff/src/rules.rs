//! The differences that are meant, each as narrow as it can be told (README, "Explained differences").

use std::collections::HashSet;

use mfs_proto::client::Request;
use mfs_proto::client::attr::{lflags, oflags, open_flags};
use mfs_proto::client::data::truncate_flags;
use mfs_proto::client::mattr;
use mfs_proto::{Status, msg};

use crate::connection::Frame;
use crate::slots::SLOTS;
use crate::waits::PosixWaits;

/// What a rule may look at beside the answers.
pub(crate) struct Context<'a> {
    pub(crate) slot: usize,
    /// The request, if it can be decoded.
    pub(crate) request: Option<&'a Request<'a>>,
}

/// The rules, with what they have to remember.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Files that were cut by OPEN: ours voids what others have cached of them.
    cut: HashSet<u32>,
    /// Files with promised places beyond their end, now or earlier.
    reserved: HashSet<u32>,
    /// Those of them that some session has let go of: ours forgets the promises with the last session.
    lapsed: HashSet<u32>,
    /// Lengths that were told by UPDATE requests of this batch and are below the length of the file: inode,
    /// length told, length of the file.
    short_updates: Vec<(u32, u64, u64)>,
    /// Beginnings of the notices that the original sends for ends of writes of this batch that it refused, because
    /// the session may not write at all: inode, index, chunk.
    refused_ends: Vec<Vec<u8>>,
    /// Their files: the original has voided what all other sessions have cached of them.
    untouched: HashSet<u32>,
    /// The same with the slot that was refused: what its session has cached is valid for the original.
    refused: HashSet<(usize, u32)>,
    /// Requests for POSIX locks that wait.
    pub(crate) waits: PosixWaits,
}

impl Rules {
    /// The rule that explains why two answers to a request differ.
    pub(crate) fn explain(
        &self,
        context: &Context<'_>,
        original: Option<&[u8]>,
        ours: Option<&[u8]>,
    ) -> Option<&'static str> {
        let (original, ours) = (original?, ours?);
        let (inode, ours_keeps_less, ours_keeps_more) = match context.request? {
            Request::Open(r) => (
                r.inode,
                open_keeps_less(original, ours),
                open_keeps_less(ours, original),
            ),
            Request::Lookup(_) => (
                word(original, 4)?,
                lookup_keeps_less(context, original, ours),
                lookup_keeps_less(context, ours, original),
            ),
            _ => return None,
        };
        if ours_keeps_more {
            let is_untouched = self.untouched.contains(&inode);
            return is_untouched.then_some("cached data after a write that is refused");
        }
        if !ours_keeps_less {
            return None;
        }
        if self.refused.contains(&(context.slot, inode)) {
            return Some("cached data after a write that is refused");
        }
        let was_cut = self.cut.contains(&inode);
        was_cut.then_some("cached data after OPEN with TRUNCATE")
    }

    /// Notes what later differences may come from.
    pub(crate) fn answered(&mut self, context: &Context<'_>, original: &[u8]) {
        if let Some(Request::Open(r)) = context.request
            && r.flags & open_flags::TRUNCATE != 0
            && r.flags & open_flags::AFTER_CREATE == 0
            && status(original).is_none()
        {
            self.cut.insert(r.inode);
            self.forget(r.inode);
        }
        if let Some(Request::Truncate(r)) = context.request {
            if r.flags & truncate_flags::RESERVE != 0 {
                self.reserved.insert(r.inode);
            } else if let Some(length) = length_after(context.slot, original) {
                if r.flags & truncate_flags::UPDATE == 0 {
                    self.forget(r.inode);
                } else if r.length < length {
                    self.short_updates.push((r.inode, r.length, length));
                }
            }
        }
        if let Some(Request::WriteChunkEnd(r)) = context.request
            && matches!(status(original), Some(Status::EPERM | Status::EROFS))
            && SLOTS[context.slot].writes_nothing()
        {
            self.untouched.insert(r.inode);
            self.refused.insert((context.slot, r.inode));
            if let Some(index) = r.index {
                let fields = [
                    &[0; 4][..],
                    &r.inode.to_be_bytes(),
                    &index.to_be_bytes(),
                    &r.chunkid.to_be_bytes(),
                ];
                self.refused_ends.push(fields.concat());
            }
        }
    }

    /// The list of files that a session has open.
    pub(crate) fn sustained(&mut self, inodes: &[u32]) {
        let left_out = self.reserved.iter().filter(|inode| !inodes.contains(inode));
        self.lapsed.extend(left_out);
    }

    fn forget(&mut self, inode: u32) {
        self.reserved.remove(&inode);
        self.lapsed.remove(&inode);
    }

    /// Whether somebody has had a place beyond the end of a file promised.
    pub(crate) fn is_reserved(&self, inode: u32) -> bool {
        self.reserved.contains(&inode)
    }

    /// Whether a session has let go of a file with reservations.
    pub(crate) fn is_lapsed(&self, inode: u32) -> bool {
        self.lapsed.contains(&inode)
    }

    /// Makes the original's notices those that ours sends, where the original tells of a shorter file than there
    /// is. How many there were.
    pub(crate) fn lengthen(&self, original: &mut [Frame]) -> u64 {
        let mut changed = 0;
        for (message, payload) in original {
            if *message != msg::MATOCL_FUSE_FLENG_HAS_CHANGED {
                continue;
            }
            for &(inode, told, length) in &self.short_updates {
                let notice = |length: u64| {
                    [&[0; 4][..], &inode.to_be_bytes(), &length.to_be_bytes()].concat()
                };
                if *payload == notice(told) {
                    *payload = notice(length);
                    changed += 1;
                }
            }
        }
        changed
    }

    /// Takes out the original's notices of writes that it has refused. How many there were.
    pub(crate) fn without_refused(&self, original: &mut Vec<Frame>) -> u64 {
        let before = original.len();
        original.retain(|(message, payload)| {
            *message != msg::MATOCL_FUSE_CHUNK_HAS_CHANGED
                || !self
                    .refused_ends
                    .iter()
                    .any(|head| payload.starts_with(head))
        });
        (before - original.len()) as u64
    }

    /// A batch is over.
    pub(crate) fn next_batch(&mut self) {
        self.short_updates.clear();
        self.refused_ends.clear();
    }
}

/// What is random is made equal.
pub(crate) fn mask((message, payload): &mut Frame) {
    if *message == msg::MATOCL_FUSE_REGISTER && payload.len() == 32 {
        payload.fill(0);
    }
}

/// The answers to locks that waited are those of one session: ours goes to the connection that asked, the
/// original's to another one of the session. All are taken to the first.
pub(crate) fn take_lock_answers(from: &mut Vec<Frame>, to: &mut Vec<Frame>) {
    let is_lock = |frame: &mut Frame| {
        matches!(
            frame.0,
            msg::MATOCL_FUSE_FLOCK | msg::MATOCL_FUSE_POSIX_LOCK
        )
    };
    to.extend(from.extract_if(.., is_lock));
}

/// Ours lacks nothing but notices of changes.
pub(crate) fn notices_to_own_session(original: &[Frame], ours: &[Frame]) -> bool {
    let is_notice = |frame: &&Frame| {
        matches!(
            frame.0,
            msg::MATOCL_FUSE_CHUNK_HAS_CHANGED | msg::MATOCL_FUSE_FLENG_HAS_CHANGED
        )
    };
    let others: Vec<&Frame> = original.iter().filter(|f| !is_notice(f)).collect();
    ours.iter().filter(|f| !is_notice(f)).eq(others) && ours.iter().all(|f| original.contains(f))
}

/// The status of an answer that is nothing else.
fn status(answer: &[u8]) -> Option<Status> {
    match answer {
        [_, _, _, _, status] => Some(Status(*status)),
        _ => None,
    }
}

/// The length of the file in a successful answer to TRUNCATE.
fn length_after(slot: usize, answer: &[u8]) -> Option<u64> {
    // mid, length before (unless the client is old), attributes
    let at = if SLOTS[slot].version.has_open_flags() {
        12
    } else {
        4
    } + 27;
    let bytes = answer.get(at..at + 8)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// `ours` is `original` without these bits at these offsets, and without others it is the same.
fn lacks(original: &[u8], ours: &[u8], bits: &[(usize, u8)]) -> bool {
    let mut less = original.to_vec();
    for &(at, bit) in bits {
        match less.get_mut(at) {
            Some(byte) => *byte &= !bit,
            None => return false,
        }
    }
    less == ours
}

fn open_keeps_less(original: &[u8], ours: &[u8]) -> bool {
    // mid, flags (unless the client is old), attributes
    if original.len() == 41 {
        lacks(
            original,
            ours,
            &[(4, oflags::KEEPCACHE), (5, mattr::ALLOW_DATA_CACHE)],
        )
    } else {
        lacks(original, ours, &[(4, mattr::ALLOW_DATA_CACHE)])
    }
}

fn lookup_keeps_less(context: &Context<'_>, original: &[u8], ours: &[u8]) -> bool {
    // mid, inode, attributes, flags
    let attr = 8;
    let flags = attr
        + if SLOTS[context.slot].version.has_attr36() {
            36
        } else {
            35
        };
    let keep = (lflags::KEEPCACHE >> 8) as u8;
    lacks(
        original,
        ours,
        &[(attr, mattr::ALLOW_DATA_CACHE), (flags, keep)],
    ) || lacks(original, ours, &[(attr, mattr::ALLOW_DATA_CACHE)])
}

#[cfg(test)]
mod tests {
    use mfs_proto::client::Cred;
    use mfs_proto::client::attr::Open;
    use mfs_proto::client::data::WriteChunkEnd;

    use super::*;
    use crate::slots::ADMIN;

    const READ_ONLY: usize = 4;

    fn open(flags: u8) -> Request<'static> {
        Request::Open(Open {
            mid: 1,
            inode: 7,
            cred: Cred::new(0, &[]),
            flags,
        })
    }

    fn context<'a>(slot: usize, request: &'a Request<'a>) -> Context<'a> {
        Context {
            slot,
            request: Some(request),
        }
    }

    /// Answers to OPEN: the data may be kept, or not.
    fn answers() -> [Vec<u8>; 2] {
        let mut keeps = vec![0; 41];
        keeps[4] = oflags::KEEPCACHE;
        keeps[5] = mattr::ALLOW_DATA_CACHE;
        [keeps, vec![0; 41]]
    }

    #[test]
    fn ours_keeps_less_of_a_file_that_was_cut_only() {
        let mut rules = Rules::default();
        let request = open(open_flags::READ);
        let context = context(ADMIN, &request);
        let [keeps, lacks] = answers();
        assert_eq!(rules.explain(&context, Some(&keeps), Some(&lacks)), None);
        let cut = open(open_flags::READ | open_flags::TRUNCATE);
        rules.answered(&self::context(ADMIN, &cut), &keeps);
        let explained = rules.explain(&context, Some(&keeps), Some(&lacks));
        assert!(explained.is_some());
        assert_eq!(rules.explain(&context, Some(&lacks), Some(&keeps)), None);
        // Something else is different, too.
        let mut other = lacks;
        other[20] = 1;
        assert_eq!(rules.explain(&context, Some(&keeps), Some(&other)), None);
    }

    #[test]
    fn ours_keeps_more_after_a_refused_write_only() {
        let mut rules = Rules::default();
        let request = open(open_flags::READ);
        let context = context(ADMIN, &request);
        let [keeps, lacks] = answers();
        assert_eq!(rules.explain(&context, Some(&lacks), Some(&keeps)), None);
        let end = Request::WriteChunkEnd(WriteChunkEnd {
            mid: 1,
            chunkid: 3,
            inode: 7,
            index: Some(2),
            length: 0,
            flags: 0,
        });
        rules.answered(&self::context(ADMIN, &end), &[0, 0, 0, 1, Status::EPERM.0]);
        assert_eq!(rules.explain(&context, Some(&lacks), Some(&keeps)), None);
        rules.answered(
            &self::context(READ_ONLY, &end),
            &[0, 0, 0, 1, Status::EROFS.0],
        );
        assert!(
            rules
                .explain(&context, Some(&lacks), Some(&keeps))
                .is_some()
        );
        // The other way round for the one that was refused.
        let own = self::context(READ_ONLY, &request);
        assert!(rules.explain(&own, Some(&keeps), Some(&lacks)).is_some());
        assert_eq!(rules.explain(&context, Some(&keeps), Some(&lacks)), None);
        // The notice of it is left out, and only that.
        let mut notice = vec![0; 4];
        notice.extend([0, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
        let notices = [notice.clone(), vec![1; 20]];
        let mut original = notices
            .map(|n| (msg::MATOCL_FUSE_CHUNK_HAS_CHANGED, n))
            .to_vec();
        assert_eq!(rules.without_refused(&mut original), 1);
        assert_eq!(original.len(), 1);
    }
}
