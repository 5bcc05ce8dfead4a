//! The image codec against recorded and hand-made images, at the level of records.

#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test that panics is a test that fails"
)]

mod damage;
mod data;
mod golden;
mod model;
mod old;
mod state;
mod writing;
