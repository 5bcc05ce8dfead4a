//! One changelog line: what can be read is printed and read as the same again.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mfs_meta::op::fuzz_line(data));
