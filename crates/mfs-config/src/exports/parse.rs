//! Lines of an exports file (spec 07 §7.1.1 to §7.1.3).

use std::net::Ipv4Addr;
use std::path::Path;

use super::options::{LineError, OptionContext, ValueError};
use super::{ExportRule, ExportTarget, Exports, SESSION_MAP_ALL, SessionParameters};
use crate::accounts::Accounts;
use crate::address::{AddressError, AddressRange};
use crate::lines::{self, shown, split_word};
use crate::warning::{Loaded, Warnings};

/// Longest line, bytes. The original cuts longer ones and reads the rest as another rule.
const MAX_LINE: usize = 9999;

/// A remark about a line of an exports file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportsWarning {
    /// Line dropped.
    #[error("line longer than {MAX_LINE} bytes (line ignored)")]
    TooLong,
    /// Line used as far as it goes.
    #[error("NUL byte (rest of line ignored)")]
    NulByte,
    /// Line dropped.
    #[error("incomplete definition (line ignored)")]
    Incomplete,
    /// Line dropped.
    #[error("{source}: '{text}' (line ignored)")]
    Address {
        /// The first word of the line.
        text: String,
        /// What is wrong.
        source: AddressError,
    },
    /// Line used.
    #[error("'{0}' means every address")]
    EveryAddress(String),
    /// Option ignored.
    #[error("unknown option '{0}' (ignored)")]
    UnknownOption(String),
    /// Option ignored.
    #[error("option '{0}' means nothing for the meta file system (ignored)")]
    MetaOption(String),
    /// Operation ignored.
    #[error("unknown disable command '{0}' (ignored)")]
    UnknownDisable(String),
    /// Option used: the empty name stands for id 0.
    #[error("{0}: empty user or group taken as 0")]
    EmptyId(&'static str),
    /// Option used: the text after the fourth digit is ignored.
    #[error("umask: text after '{0}' ignored")]
    UmaskTail(String),
    /// Line dropped.
    #[error("{option}: {source} (line ignored)")]
    Value {
        /// Name of the option.
        option: &'static str,
        /// What is wrong.
        source: ValueError,
    },
}

pub(super) fn parse(text: &[u8], file: &Path, accounts: &dyn Accounts) -> Loaded<Exports> {
    let mut warnings = Warnings::new(file);
    let mut defaults = ExportRule {
        addresses: AddressRange {
            first: Ipv4Addr::UNSPECIFIED,
            last: Ipv4Addr::UNSPECIFIED,
        },
        target: ExportTarget::Directory(Box::default()),
        alldirs: false,
        password: None,
        min_version: 0,
        maproot_given: false,
        session: SessionParameters::default(),
    };
    let mut rules = Vec::new();
    for (number, line) in lines::numbered(text) {
        let mut warn = |warning: ExportsWarning| warnings.push(Some(number), warning);
        match parse_line(line, &mut defaults, accounts, &mut warn) {
            Ok(rule) => rules.extend(rule),
            Err(warning) => warn(warning),
        }
    }
    warnings.finish(Exports { rules })
}

/// The rule of a line, `None` for an empty one. A `DEFAULTS` line changes `defaults` as well.
fn parse_line(
    line: &[u8],
    defaults: &mut ExportRule,
    accounts: &dyn Accounts,
    warn: &mut dyn FnMut(ExportsWarning),
) -> Result<Option<ExportRule>, ExportsWarning> {
    if line.len() > MAX_LINE {
        return Err(ExportsWarning::TooLong);
    }
    let (content, cut) = lines::content(line);
    if cut {
        warn(ExportsWarning::NulByte);
    }
    let Some(content) = content else {
        return Ok(None);
    };
    let (address, rest) = split_word(content);
    if rest.is_empty() {
        return Err(ExportsWarning::Incomplete);
    }
    if address.eq_ignore_ascii_case(b"DEFAULTS") {
        let rule = with_options(defaults.clone(), rest, accounts, warn)?;
        *defaults = rule.clone();
        return Ok(Some(rule));
    }
    let addresses = AddressRange::parse(address).map_err(|source| ExportsWarning::Address {
        text: shown(address),
        source,
    })?;
    if addresses == AddressRange::ALL && address.contains(&b'/') && !address.ends_with(b"/0.0.0.0")
    {
        warn(ExportsWarning::EveryAddress(shown(address)));
    }
    let (path, options) = split_word(rest);
    let mut rule = ExportRule {
        addresses,
        target: target(path),
        ..defaults.clone()
    };
    if rule.target == ExportTarget::Meta && !rule.maproot_given {
        rule.session.root_uid = 0;
        rule.session.root_gid = 0;
    }
    with_options(rule, options, accounts, warn).map(Some)
}

fn target(path: &[u8]) -> ExportTarget {
    if path == b"." {
        ExportTarget::Meta
    } else {
        ExportTarget::Directory(strip_slashes(path).into())
    }
}

/// Cuts `/` at both ends.
pub(super) fn strip_slashes(mut path: &[u8]) -> &[u8] {
    while let [b'/', rest @ ..] = path {
        path = rest;
    }
    lines::trim_end(path, |byte| byte == b'/')
}

fn with_options(
    mut rule: ExportRule,
    options: &[u8],
    accounts: &dyn Accounts,
    warn: &mut dyn FnMut(ExportsWarning),
) -> Result<ExportRule, ExportsWarning> {
    // Without any option a line keeps the ids of its defaults, even a meta line after a DEFAULTS
    // line with mapall: the checksum depends on it.
    if options.is_empty() {
        return Ok(rule);
    }
    let mut context = OptionContext { accounts, warn };
    for option in options.split(|&byte| byte == b',') {
        context
            .apply(&mut rule, lines::trim_blanks(option))
            .map_err(|LineError { option, source }| ExportsWarning::Value { option, source })?;
    }
    let session = &mut rule.session;
    if session.flags & SESSION_MAP_ALL != 0 && !rule.maproot_given {
        session.root_uid = session.mapall_uid;
        session.root_gid = session.mapall_gid;
    }
    Ok(rule)
}
