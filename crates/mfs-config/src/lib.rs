//! Configuration files of a MooseFS master.
