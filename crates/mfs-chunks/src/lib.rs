//! Chunk management.
