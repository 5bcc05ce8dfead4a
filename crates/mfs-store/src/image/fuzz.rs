//! Entry for fuzzers: any bytes, no panic, memory bounded by the input.

use super::NullSink;
use super::read::{ReadError, ReadOptions, ReadReport, read_direct};

/// Reads `data` as an image with and without `-i` and drops the records. Whatever the bytes are: gives what
/// the codec makes of them (without `-i`), never panics.
///
/// # Errors
/// See [`ReadError`].
pub fn fuzz_read(data: &[u8]) -> Result<ReadReport, ReadError> {
    let block = data.len().clamp(1, 1 << 20);
    let run = |ignore| {
        let options = ReadOptions {
            ignore,
            ..ReadOptions::default()
        };
        read_direct(data, block, &options, &mut NullSink, &mut |_| ())
    };
    let tolerant = run(true);
    let strict = run(false);
    debug_assert!(
        strict.is_err() || tolerant.is_ok(),
        "-i refuses what loads without it"
    );
    strict
}
