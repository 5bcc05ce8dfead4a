//! The metadata of a MooseFS master: state and the operations on it. No I/O, no clock, no randomness.
