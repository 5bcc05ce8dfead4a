//! Operations of the changelog (spec 03): their type, their text, and the results that lines record.
//!
//! A line `VERSION: TIMESTAMP|OP(args):results` is parsed by [`parse_line`] into a [`Line`] and
//! printed by [`Line::write`]; nothing else in the program knows the text form. Old forms of an
//! operation are read as the current one with the same effect, and only current forms are written.

mod args;
mod error;
mod operation;
mod outcome;
mod owned;
mod parse;
mod print;
mod scan;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use args::{QuotaArgs, ScSetArgs, SessionArgs, SetAclArgs, SnapshotArgs};
pub use error::{LineError, LineErrorKind, MAX_ENTRY_TEXT};
pub use operation::{LockCmd, Op};
pub use outcome::{Outcome, Tolerance};
pub use parse::{fuzz_line, parse_line, parse_op, parse_text, parse_version};
pub use print::{escape_into, write_op};

/// Bucket argument that means all buckets: what an `EMPTYTRASH` or `EMPTYSUSTAINED` without an argument
/// is read as (spec 03 §6.3).
pub const ALL_BUCKETS: u32 = u32::MAX;

/// Delay in seconds of a `FREEINODES` without an argument (spec 03 §6.3).
pub const DEFAULT_INODE_REUSE_DELAY: u32 = 86_400;

/// Longest name, in bytes after decoding; a longer one is a parse error (spec 03 §3.2).
pub const MAX_NAME: usize = 255;

/// Largest number of label terms of one kind that a storage class may have; more is status 6
/// (spec 03 §6.10).
pub const MAX_LABEL_TERMS: usize = 9;

/// Set bit of `aclmode` of [`Op::Attr`]: the line comes from a master that knows the field
/// (spec 03 §6.4).
pub const ACLMODE_VALID: u16 = 0x1000;

/// A byte string of a line. It borrows from the line unless something in it was escaped.
pub type Bytes<'a> = Cow<'a, [u8]>;

/// One line of the changelog (spec 03 §3).
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'a> {
    /// The metadata version that the line leads from: V becomes `version + 1`.
    pub version: u64,
    /// Time of the event, seconds since the epoch.
    pub ts: u32,
    /// What was done.
    pub op: Op<'a>,
    /// What the writer's operation resulted in; `None` when the line records nothing to compare.
    pub recorded: Option<Outcome>,
}
