//! What was found: the first thing that nothing explains.

use std::fmt::Write as _;

use mfs_proto::msg;

use crate::script::Label;

/// The kind of a difference that is the end of a master.
pub(crate) const DEATH: u32 = u32::MAX - 1;

/// The first thing that nothing explains.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    /// The last step that was sent when it showed itself; `None` at the end.
    pub(crate) label: Option<Label>,
    /// Message number, to tell this difference from others.
    pub(crate) kind: u32,
    pub(crate) text: String,
}

/// A frame as a text.
pub(crate) fn shown(message: u32, payload: &[u8]) -> String {
    let name = msg::name(message).unwrap_or("unknown");
    format!("{name} {}", hex(payload))
}

/// The beginning of some bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text: String = bytes.iter().take(300).map(|b| format!("{b:02x}")).collect();
    if bytes.len() > 300 {
        let _ = write!(text, "... ({} bytes)", bytes.len());
    }
    text
}
