//! Changelog lines applied to a new file system; the state stays consistent and survives its image.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mfs_store::image::fuzz_changes(data));
