//! Who may mount what: `mfsexports.cfg` (spec 07 §7.1).
//!
//! - `parse` turns lines into rules, `options` the options of a line into a rule's fields;
//! - `check` chooses the rule for a client;
//! - `checksum` condenses the whole list into the number that sessions carry.

mod check;
mod checksum;
mod options;
mod parse;

use std::path::Path;

use crate::accounts::Accounts;
use crate::address::AddressRange;
use crate::file::{self, FileError};
use crate::warning::Loaded;

pub use check::{Challenge, ExportRefusal, MountRequest, MountTarget, password_answer};
pub use options::{DISABLE_NAMES, ValueError};
pub use parse::ExportsWarning;

/// MD5 of a password, or the answer to a password challenge.
pub type Digest = [u8; 16];

/// Session flag: nothing may be changed.
pub const SESSION_READ_ONLY: u8 = 0x01;
/// Session flag: the client may reconnect from another address.
pub const SESSION_DYNAMIC_IP: u8 = 0x02;
/// Session flag: group permissions are not told apart from those of others.
pub const SESSION_IGNORE_GID: u8 = 0x04;
/// Session flag: may administer quotas and storage classes.
pub const SESSION_ADMIN: u8 = 0x08;
/// Session flag: user ids other than 0 are mapped.
pub const SESSION_MAP_ALL: u8 = 0x10;

/// Export flag of the monitoring protocol: subdirectories may be mounted too (spec 06 §8.4).
pub const EXPORT_ALLDIRS: u8 = 0x01;
/// Export flag of the monitoring protocol: a password is needed (spec 06 §8.4).
pub const EXPORT_PASSWORD: u8 = 0x02;

/// The rules of an exports file, in its order. `DEFAULTS` lines are rules too: for the address
/// 0.0.0.0, which no client has (spec 07 §7.1.3); they count in the checksum and are listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exports {
    rules: Vec<ExportRule>,
}

/// One line of the exports file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRule {
    /// Whom it is for.
    pub addresses: AddressRange,
    /// What may be mounted.
    pub target: ExportTarget,
    /// True when subdirectories of the target may be mounted too.
    pub alldirs: bool,
    /// MD5 of the password, if one is needed.
    pub password: Option<Digest>,
    /// Lowest client version, `X<<16 | Y<<8 | Z` as written: compared with the wire's version word,
    /// where Z is doubled (spec 07 §7.1.2). 0 = any.
    pub min_version: u32,
    /// True when `maproot` was given here or in a `DEFAULTS` line.
    pub maproot_given: bool,
    /// What a session gets.
    pub session: SessionParameters,
}

/// What a rule opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportTarget {
    /// The trash and the sustained files (`.` in the file).
    Meta,
    /// A directory, without `/` at either end; empty for the root. Existence is not checked.
    Directory(Box<[u8]>),
}

/// Parameters that a session takes over from its export rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionParameters {
    /// `SESSION_*` bits.
    pub flags: u8,
    /// Bits cleared in the mode of new objects.
    pub umask: u16,
    /// Uid 0 becomes this.
    pub root_uid: u32,
    /// Gid that goes with `root_uid`.
    pub root_gid: u32,
    /// Other uids become this when [`SESSION_MAP_ALL`] is set.
    pub mapall_uid: u32,
    /// Gid that goes with `mapall_uid`.
    pub mapall_gid: u32,
    /// Lowest goal that may be set.
    pub min_goal: u8,
    /// Highest goal that may be set.
    pub max_goal: u8,
    /// Lowest trash time that may be set, seconds.
    pub min_trash_time: u32,
    /// Highest trash time that may be set, seconds.
    pub max_trash_time: u32,
    /// Forbidden operations, bit N for [`DISABLE_NAMES`]`[N]`.
    pub disables: u32,
}

impl Default for SessionParameters {
    /// Spec 07 §7.1.3.
    fn default() -> Self {
        Self {
            flags: SESSION_READ_ONLY,
            umask: 0,
            root_uid: 999,
            root_gid: 999,
            mapall_uid: 999,
            mapall_gid: 999,
            min_goal: 1,
            max_goal: 9,
            min_trash_time: 0,
            max_trash_time: u32::MAX,
            disables: 0,
        }
    }
}

/// The file has no rule at all, so nobody could mount anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no exports defined")]
pub struct NoExports;

impl Exports {
    /// Parses an exports file. A line that is wrong in any way that matters is left out with a
    /// warning. `file` appears in the warnings only; `accounts` resolves names in `maproot` and
    /// `mapall`.
    #[must_use]
    pub fn parse(text: &[u8], file: &Path, accounts: &dyn Accounts) -> Loaded<Self> {
        parse::parse(text, file, accounts)
    }

    /// Reads and parses `file`. At a reload the caller keeps its old rules on an error.
    ///
    /// # Errors
    /// The file is missing or unreadable.
    pub fn load(file: &Path, accounts: &dyn Accounts) -> Result<Loaded<Self>, FileError> {
        Ok(Self::parse(&file::read(file)?, file, accounts))
    }

    /// A master does not start without rules (spec 07 §7.1.1); a reload may leave none.
    ///
    /// # Errors
    /// [`NoExports`].
    pub fn require_rules(&self) -> Result<(), NoExports> {
        if self.rules.is_empty() {
            Err(NoExports)
        } else {
            Ok(())
        }
    }

    /// The rules in the order of the file.
    #[must_use]
    pub fn rules(&self) -> &[ExportRule] {
        &self.rules
    }
}

impl ExportRule {
    /// The path as it is listed: `.` for the meta file system, else with one leading `/`.
    #[must_use]
    pub fn shown_path(&self) -> Vec<u8> {
        match &self.target {
            ExportTarget::Meta => b".".to_vec(),
            ExportTarget::Directory(path) => [b"/", &path[..]].concat(),
        }
    }

    /// `EXPORT_*` bits of the exports listing.
    #[must_use]
    pub fn listing_flags(&self) -> u8 {
        let alldirs = if self.alldirs { EXPORT_ALLDIRS } else { 0 };
        let password = if self.password.is_some() {
            EXPORT_PASSWORD
        } else {
            0
        };
        alldirs | password
    }

    /// Parameters of a session that this rule lets in: those of the rule, but a meta session has no
    /// mapped ids (spec 07 §7.1.5).
    #[must_use]
    pub fn session_parameters(&self) -> SessionParameters {
        match self.target {
            ExportTarget::Directory(_) => self.session,
            ExportTarget::Meta => SessionParameters {
                root_uid: 0,
                root_gid: 0,
                mapall_uid: 0,
                mapall_gid: 0,
                ..self.session
            },
        }
    }
}
