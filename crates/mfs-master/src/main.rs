//! `mfsmaster`: the metadata master.
fn main() {}
