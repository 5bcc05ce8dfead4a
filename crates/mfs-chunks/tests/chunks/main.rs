//! The state machine driven from outside: by a simulated cluster with faults, by directed scenarios, and by the
//! scenarios that were recorded from the real programs.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, also in its helpers"
)]

mod durable;
mod golden;
mod limits;
mod log;
mod memory;
mod options;
mod pace;
mod placement;
mod scarce;
mod scenarios;
mod setup;
mod simulation;
mod world;
