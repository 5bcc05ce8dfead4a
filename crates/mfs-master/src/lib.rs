//! The master server.
