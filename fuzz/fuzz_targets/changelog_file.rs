//! Changelog files, separated by a byte 0xFF: merged and replayed onto a state that accepts everything.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mfs_store::changelog::fuzz_changelog(data));
