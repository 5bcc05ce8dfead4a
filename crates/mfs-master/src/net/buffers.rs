//! Buffers for receiving and sending, kept per thread: an idle connection holds none, a busy one allocates
//! nothing.

use std::cell::RefCell;

/// Bytes that one receive can take.
pub(super) const INPUT: usize = 64 * 1024;

/// What is left of a request that has just begun; a buffer of its own size is enough for it.
const SMALL: usize = INPUT / 16;

/// A buffer that has grown beyond this is given back to the system.
const KEEP_MAX: usize = 256 * 1024;

/// Buffers kept per thread: about as many connections have answers that wait for their lines at a time.
const KEEP: usize = 64;

/// So many of them may have grown beyond [`INPUT`].
const KEEP_GROWN: usize = 8;

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
    let most = if buffer.capacity() > INPUT {
        KEEP_GROWN
    } else {
        KEEP
    };
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < most {
            spare.push(buffer);
        }
    });
}

/// Keeps the rest of a run of frames until more arrives: a few bytes do not keep a whole buffer, or a thousand
/// clients that stop in the middle of a request would hold a thousand of them.
pub(super) fn keep(input: &mut Vec<u8>) {
    if input.len() <= SMALL && input.capacity() > SMALL {
        let rest = input.as_slice().into();
        give(std::mem::replace(input, rest));
    }
}

/// Makes room for the next receive: [`INPUT`] bytes, or as much again as an unfinished frame has delivered.
/// Memory follows what has arrived, never the length that a header announces.
pub(super) fn reserve(input: &mut Vec<u8>) {
    if input.capacity() <= SMALL {
        let rest = std::mem::replace(input, take());
        input.extend_from_slice(&rest);
    } else if input.capacity() - input.len() < INPUT / 4 {
        input.reserve(INPUT.max(input.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_grown_buffers_are_kept() {
        for _ in 0..2 * KEEP {
            give(Vec::with_capacity(KEEP_MAX));
        }
        for _ in 0..2 * KEEP {
            give(Vec::with_capacity(INPUT));
        }
        give(Vec::with_capacity(KEEP_MAX));
        let capacities = SPARE.take().into_iter().map(|b| b.capacity());
        let (grown, plain): (Vec<_>, Vec<_>) = capacities.partition(|&c| c > INPUT);
        assert_eq!((grown.len(), plain.len()), (KEEP_GROWN, KEEP - KEEP_GROWN));
    }

    #[test]
    fn memory_follows_what_has_arrived() {
        let mut input = Vec::new();
        reserve(&mut input);
        assert!(input.capacity() >= INPUT);
        input.extend_from_slice(b"begun");
        keep(&mut input);
        assert!(input.capacity() <= SMALL);
        reserve(&mut input);
        assert!(input.capacity() >= INPUT);
        assert_eq!(input, b"begun");
        input.resize(10 * INPUT, 7);
        keep(&mut input);
        reserve(&mut input);
        assert_eq!(input.len(), 10 * INPUT);
        assert!(input.capacity() <= 40 * INPUT);
    }
}
