//! The end-to-end tests; see the harness (`tests/src/lib.rs`) for what they stand on.
//!
//! A scenario that the original master can play too is written once, as a function of
//! [`antler_e2e::Kind`], and [`both!`] makes two tests of it: `NAME::original` proves the
//! expectation, `NAME::ours` the product. Where the product differs on purpose the scenario says
//! so with a `match` and a comment that names the defect (spec 01 §19).

/// Makes the tests `NAME::original` and `NAME::ours` of each function `NAME(Kind)`.
macro_rules! both {
    ($($name:ident),* $(,)?) => {
        $(
            mod $name {
                #[test]
                fn original() {
                    super::$name(antler_e2e::Kind::Original);
                }
                #[test]
                fn ours() {
                    super::$name(antler_e2e::Kind::Ours);
                }
            }
        )*
    };
}

mod actions;
mod crash;
mod data;
mod disk;
mod faults;
mod garbage;
mod locks;
mod namespace;
mod recover;
mod start;
mod suites;
mod tools;
mod units;
mod wrapper;
