//! Frames of the client port: what decodes is encoded and decoded as the same again.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mfs_proto::fuzz::decode_any(data));
