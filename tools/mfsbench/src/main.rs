//! Load generator for the client port.
fn main() {}
