//! What is wrong with changelog files and does not stop a replay by itself. Nothing is passed over in
//! silence (spec 01 §19): every departure from a clean log is one of these.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use mfs_meta::op::LineError;

/// Most events kept of one replay; further ones are only counted.
pub const MAX_EVENTS: usize = 1000;
/// Longest part of a line that is shown, in bytes.
const SHOWN: usize = 64;

/// Something found in a changelog file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The file.
    pub file: Arc<Path>,
    /// Number of the line in the file, counted from 1; 0 if the file as a whole is meant.
    pub line: u64,
    /// Where the line starts, in bytes.
    pub offset: u64,
    /// What it is.
    pub kind: EventKind,
}

/// Kinds of [`Event`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The file ends without LF: a write was cut. These bytes are no line and are left out.
    TornTail {
        /// How many bytes.
        bytes: u64,
    },
    /// A line longer than any legal one ([`MAX_LINE`](super::MAX_LINE)), left out.
    TooLong {
        /// Its length with its LF.
        bytes: u64,
    },
    /// A line that does not begin with a number, left out.
    Garbage {
        /// Its beginning, printable.
        text: String,
    },
    /// Numbers go back to ones that the file has had; the repeated lines are the same, so nothing is
    /// lost.
    Repeated {
        /// The number that was repeated.
        number: u64,
        /// The highest number before.
        previous: u64,
    },
    /// A jump that the original takes for garbage (spec 01 §8.3).
    Jump {
        /// The number before.
        previous: u64,
        /// The number of this line.
        number: u64,
    },
    /// A line that cannot be parsed, while another file has it whole.
    Healed {
        /// Its number.
        number: u64,
        /// What is wrong with it.
        error: LineError,
        /// The file that has it.
        by: Arc<Path>,
    },
    /// The very last line cannot be parsed and is left out, as the original does (spec 01 §8.5).
    LastLineIgnored {
        /// Its number.
        number: u64,
        /// What is wrong with it.
        error: LineError,
    },
    /// The file cannot be read.
    Unreadable {
        /// What the system said.
        error: String,
    },
}

impl EventKind {
    pub(crate) fn garbage(line: &[u8]) -> EventKind {
        EventKind::Garbage { text: shown(line) }
    }
}

/// The beginning of a line, printable.
pub(crate) fn shown(line: &[u8]) -> String {
    match line.get(..SHOWN) {
        Some(start) => format!("{}...", start.escape_ascii()),
        None => line.escape_ascii().to_string(),
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        let offset = self.offset;
        match &self.kind {
            EventKind::TornTail { bytes } => write!(
                f,
                " the last line is not complete - {bytes} bytes at offset {offset} left out"
            ),
            EventKind::TooLong { bytes } => write!(
                f,
                " line of {bytes} bytes at offset {offset} is too long - left out"
            ),
            EventKind::Garbage { text } => {
                write!(f, " garbage at offset {offset} left out: '{text}'")
            }
            EventKind::Repeated { number, previous } => write!(
                f,
                " numbers go back from {previous} to {number}; the repeated lines are the same"
            ),
            EventKind::Jump { previous, number } => {
                write!(f, " numbers jump from {previous} to {number}")
            }
            EventKind::Healed { number, error, by } => write!(
                f,
                " change {number}: {error} - taken from {} instead",
                by.display()
            ),
            EventKind::LastLineIgnored { number, error } => {
                write!(f, " change {number}: {error} - last line of all, left out")
            }
            EventKind::Unreadable { error } => write!(f, " can't read: {error}"),
        }
    }
}
