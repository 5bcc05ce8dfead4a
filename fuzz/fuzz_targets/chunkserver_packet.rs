//! Frames of the chunkserver port: what decodes is encoded to the same bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mfs_proto::fuzz::chunkserver_stream(data));
