//! The state machine driven from outside: by a simulated cluster with faults, by directed scenarios, and by the
//! scenarios that were recorded from the real programs.

mod golden;
mod log;
mod memory;
mod scenarios;
mod simulation;
mod world;
