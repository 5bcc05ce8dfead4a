//! Configuration files of a MooseFS master.
//!
//! | file | type | specification |
//! |---|---|---|
//! | `mfsmaster.cfg` | [`MasterConfig`] | 01 §13.1, §13.2 |
//! | `mfsmetalogger.cfg` | [`MetaloggerConfig`] | 01 §13.3 |
//! | `mfsexports.cfg` | [`Exports`] | 07 §7.1 |
//! | `mfstopology.cfg` | [`Topology`] | 07 §7.2 |
//!
//! Every parser takes bytes and a file name and returns what it understood together with a list of
//! [`Warning`]s, each with file and line. Nothing here logs, and nothing but the `load` functions
//! touches the disk; names of users and groups go through the [`Accounts`] trait.
//!
//! Accepted input is the original's. Where the original silently does something dangerous with a
//! faulty value (wraps a user id to 0, divides by a zero interval), this crate refuses the value
//! with a warning instead; each such place says so in its documentation.

mod accounts;
mod address;
mod exports;
mod file;
mod lines;
mod master;
mod metalogger;
mod settings;
mod topology;
mod warning;

pub use accounts::{Account, Accounts, HostAccounts};
pub use address::{AddressError, AddressRange};
pub use exports::{
    Challenge, DISABLE_NAMES, Digest, EXPORT_ALLDIRS, EXPORT_PASSWORD, ExportRefusal, ExportRule,
    ExportTarget, Exports, ExportsWarning, MountRequest, MountTarget, NoExports, SESSION_ADMIN,
    SESSION_DYNAMIC_IP, SESSION_IGNORE_GID, SESSION_MAP_ALL, SESSION_READ_ONLY, SessionParameters,
    ValueError, password_answer,
};
pub use file::{ConfigDirectory, FileError, Located, read};
pub use master::{
    AccessTimeMode, AddressRemap, ChangelogSaveMode, MasterConfig, ReplicationTopology, UniqueMode,
};
pub use metalogger::MetaloggerConfig;
pub use settings::{
    ConfigError, DefaultValue, OptionSpec, Reload, ReplicationLimits, ReserveSpace, SettingProblem,
    SettingWarning,
};
pub use topology::{Topology, TopologyWarning};
pub use warning::{Loaded, Warning, WarningKind};
