//! Buffers for receiving and sending, kept per thread: an idle connection holds none, a busy one allocates
//! nothing.

use std::cell::RefCell;

/// Bytes that one receive can take.
pub(super) const INPUT: usize = 64 * 1024;

/// A buffer that has grown beyond this is given back to the system.
const KEEP_MAX: usize = 256 * 1024;

/// Buffers kept per thread.
const KEEP: usize = 8;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer, most often one with space for [`INPUT`] bytes.
pub(super) fn take() -> Vec<u8> {
    SPARE
        .with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| Vec::with_capacity(INPUT))
}

/// Returns a buffer.
pub(super) fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() < INPUT || buffer.capacity() > KEEP_MAX {
        return;
    }
    buffer.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < KEEP {
            spare.push(buffer);
        }
    });
}

/// Makes room for the next receive: [`INPUT`] bytes, or as much again as an unfinished frame has delivered.
/// Memory follows what has arrived, never the length that a header announces.
pub(super) fn reserve(input: &mut Vec<u8>) {
    if input.capacity() == 0 {
        *input = take();
    } else if input.capacity() - input.len() < INPUT / 4 {
        input.reserve(INPUT.max(input.len()));
    }
}
