//! The differences that are meant, each as narrow as it can be told (README, "Explained differences").

use std::collections::HashSet;

use mfs_proto::client::Request;
use mfs_proto::client::attr::{lflags, oflags, open_flags};
use mfs_proto::client::data::truncate_flags;
use mfs_proto::client::mattr;
use mfs_proto::{Status, msg};

use crate::connection::Frame;
use crate::slots::SLOTS;

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
}

impl Rules {
    /// The rule that explains why two answers to a request differ.
    pub(crate) fn explain(
        &mut self,
        context: &Context<'_>,
        original: Option<&[u8]>,
        ours: Option<&[u8]>,
    ) -> Option<&'static str> {
        match (context.request, original, ours) {
            (Some(Request::Open(r)), Some(original), Some(ours))
                if self.cut.contains(&r.inode) && open_keeps_less(original, ours) =>
            {
                Some("cached data after OPEN with TRUNCATE")
            }
            (Some(Request::Lookup(_)), Some(original), Some(ours))
                if self.cut.contains(&word(original, 4)?)
                    && lookup_keeps_less(context, original, ours) =>
            {
                Some("cached data after OPEN with TRUNCATE")
            }
            _ => None,
        }
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

    /// A batch is over.
    pub(crate) fn next_batch(&mut self) {
        self.short_updates.clear();
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
