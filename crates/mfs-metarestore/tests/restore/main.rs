//! `mfsmetarestore` from outside: recorded cases, and the program as a user meets it.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;
mod golden;
mod program;
