//! The image codec without a state behind it.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = mfs_store::image::fuzz_read(data);
});
