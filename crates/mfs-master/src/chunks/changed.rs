//! Chunks whose files got another storage class or another archive flag, or lost a file (spec 05 §13.2).
//!
//! One line can change millions of chunks. The metadata lists them while it applies the line; each tick looks at a
//! part of the list, so that nobody waits for the whole of it.

use crate::master::Txn;

/// Chunks that one tick looks at: a few milliseconds of exclusive access.
const SLICE: usize = 5000;

/// Looks at the oldest changes: figures follow, and chunks that need other copies now are queued. To be called
/// before each tick of the machine.
pub(crate) fn look(txn: &mut Txn<'_>) {
    let rows = txn.meta_soft().take_chunk_changes(SLICE);
    if rows.is_empty() {
        return;
    }
    txn.with_chunks(|chunks, log| {
        for row in rows {
            chunks.row_changed(log, row);
        }
    });
}
