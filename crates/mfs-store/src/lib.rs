//! The data directory of a MooseFS master: images, changelogs, lock, life cycle.
