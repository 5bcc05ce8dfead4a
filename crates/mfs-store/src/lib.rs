//! The data directory of a MooseFS master: images, changelogs, lock, life cycle.

pub mod changelog;
pub mod fs;
pub mod image;
pub mod lifecycle;
pub mod lock;
