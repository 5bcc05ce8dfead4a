//! An image loaded into the state, written and loaded again.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mfs_store::image::fuzz_state(data));
