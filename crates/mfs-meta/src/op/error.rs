//! Why a line cannot be read.

use std::fmt;

/// A line that cannot be read (spec 03 §3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// Where in the given text reading stopped, in bytes.
    pub offset: usize,
    /// What is wrong there.
    pub kind: LineErrorKind,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineErrorKind {
    /// Another character must stand here.
    Expected(u8),
    /// `%` is not followed by two upper-case hex digits.
    HexExpected,
    /// An element of a list of groups is no number.
    NumberOrCommaExpected,
    /// A session's umask is not `0` and three octal digits; the up to three characters behind the 0.
    WrongUmask(Vec<u8>),
    /// A number exceeds its field.
    ValueTooBig {
        /// The number.
        value: u32,
        /// The largest that is allowed.
        max: u32,
    },
    /// No such operation; the beginning of the text, at most [`MAX_ENTRY_TEXT`] bytes.
    UnknownEntry(Vec<u8>),
}

/// How much of an unknown operation's text an error keeps, in bytes.
pub const MAX_ENTRY_TEXT: usize = 80;

impl LineError {
    /// Whether a replay must stop: an unknown operation is never skipped, while a line of a known
    /// one that cannot be parsed is, because another file may still supply it (spec 03 §4.3).
    pub fn is_fatal(&self) -> bool {
        matches!(self.kind, LineErrorKind::UnknownEntry(_))
    }
}

impl fmt::Display for LineErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineErrorKind::Expected(byte) => write!(f, "'{}' expected", char::from(*byte)),
            LineErrorKind::HexExpected => f.write_str("hex expected"),
            LineErrorKind::NumberOrCommaExpected => f.write_str("number or ',' expected"),
            LineErrorKind::WrongUmask(text) => write!(
                f,
                "wrong session umask ('{}' - octal number expected)",
                text.escape_ascii()
            ),
            LineErrorKind::ValueTooBig { value, max } => {
                write!(f, "value too big ({value} - 0-{max} expected)")
            }
            LineErrorKind::UnknownEntry(text) => {
                write!(f, "unknown entry '{}'", text.escape_ascii())
            }
        }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {})", self.kind, self.offset)
    }
}

impl std::error::Error for LineError {}
