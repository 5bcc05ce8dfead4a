//! `mfsmetarestore`: image + changelogs -> image.
fn main() {}
