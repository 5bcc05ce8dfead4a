//! The wire of a MooseFS 3.0 cluster: frames, message numbers, typed requests and replies. No I/O.
