//! The machinery behind `mfsmaster.cfg` and `mfsmetalogger.cfg` (spec 01 §13.1).
//!
//! - `syntax` splits a file into names and texts;
//! - `value` turns a text into a typed value under a `Rule`, `composite` does so for the types that are
//!   more than a number;
//! - `spec` describes an option ([`OptionSpec`]); the `settings!` macro there makes a table of
//!   options, a struct of their values and the code between them from one list;
//! - `reader` takes the values from a file, option by option, and collects warnings.

mod composite;
mod reader;
mod spec;
mod syntax;
mod value;

pub use composite::{ReplicationLimits, ReserveSpace};
pub use reader::{ConfigError, SettingWarning};
pub use spec::{DefaultValue, OptionSpec, Reload};
pub use value::SettingProblem;

pub(crate) use reader::Reader;
pub(crate) use spec::{Alias, Conversion, option, settings};
pub(crate) use syntax::Definitions;
pub(crate) use value::{FromText, Outside, Parsed, Rule, coded_enum, parse_int};
