//! Options of an exports line (spec 07 §7.1.2).

use md5::{Digest as _, Md5};

use super::parse::ExportsWarning;
use super::{
    Digest, ExportRule, ExportTarget, SESSION_ADMIN, SESSION_DYNAMIC_IP, SESSION_IGNORE_GID,
    SESSION_MAP_ALL, SESSION_READ_ONLY,
};
use crate::accounts::{Account, Accounts};
use crate::lines::{shown, trim_blanks};

/// Operations that `disable=` names; the index is the bit in the disables word.
pub const DISABLE_NAMES: [&str; 25] = [
    "chown",
    "chmod",
    "symlink",
    "mkfifo",
    "mkdev",
    "mksock",
    "mkdir",
    "unlink",
    "rmdir",
    "rename",
    "move",
    "link",
    "create",
    "readdir",
    "read",
    "write",
    "truncate",
    "setlength",
    "appendchunks",
    "snapshot",
    "settrash",
    "setsclass",
    "seteattr",
    "setxattr",
    "setfacl",
];

/// Why the value of an option cannot be used. Passwords are not repeated in the text.
///
/// Numbers that do not fit are refused. (The original takes ids and version parts modulo 2^32, so
/// `maproot=4294967296:1` maps root to root there, and a trash time of 2^32 seconds becomes 0.)
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The text has not the form that the option wants.
    #[error("incorrect definition '{0}'")]
    Syntax(String),
    /// The digest is not 32 hexadecimal digits.
    #[error("not 32 hexadecimal digits")]
    Digest,
    /// A minimum above the maximum in force, or the reverse.
    #[error("minimum above maximum in '{0}'")]
    Crossed(String),
    /// No such user on this host.
    #[error("can't find user named '{0}'")]
    UnknownUser(String),
    /// No such group on this host.
    #[error("can't find group named '{0}'")]
    UnknownGroup(String),
    /// Only a uid was given and no user has it.
    #[error("can't determine gid, because can't find user with uid {0}")]
    NoPrimaryGroup(u32),
    /// The user database failed.
    #[error("can't look up '{name}': {reason}")]
    Lookup {
        /// What was looked for.
        name: String,
        /// What the host said.
        reason: String,
    },
}

/// An option that makes its line unusable.
pub(super) struct LineError {
    pub(super) option: &'static str,
    pub(super) source: ValueError,
}

/// What the options of a line need around them.
pub(super) struct OptionContext<'a> {
    pub(super) accounts: &'a dyn Accounts,
    pub(super) warn: &'a mut dyn FnMut(ExportsWarning),
}

type Applied = Result<(), ValueError>;

impl OptionContext<'_> {
    /// Applies one option, blanks already cut, to `rule`.
    pub(super) fn apply(&mut self, rule: &mut ExportRule, option: &[u8]) -> Result<(), LineError> {
        match option.iter().position(|&byte| byte == b'=') {
            None => {
                self.apply_word(rule, option);
                Ok(())
            }
            Some(at) => {
                let (name, value) = option.split_at(at);
                self.apply_value(rule, option, name, value.get(1..).unwrap_or_default())
            }
        }
    }

    fn apply_word(&mut self, rule: &mut ExportRule, option: &[u8]) {
        let meta = rule.target == ExportTarget::Meta;
        let flags = &mut rule.session.flags;
        match option {
            b"ro" | b"readonly" => *flags |= SESSION_READ_ONLY,
            b"rw" | b"readwrite" => *flags &= !SESSION_READ_ONLY,
            b"dynamicip" => *flags |= SESSION_DYNAMIC_IP,
            b"alldirs" | b"ignoregid" | b"admin" | b"canchangequota" if meta => {
                self.ignored_for_meta(option)
            }
            b"alldirs" => rule.alldirs = true,
            b"ignoregid" => *flags |= SESSION_IGNORE_GID,
            b"admin" | b"canchangequota" => *flags |= SESSION_ADMIN,
            _ => (self.warn)(ExportsWarning::UnknownOption(shown(option))),
        }
    }

    fn apply_value(
        &mut self,
        rule: &mut ExportRule,
        whole: &[u8],
        name: &[u8],
        value: &[u8],
    ) -> Result<(), LineError> {
        let meta = rule.target == ExportTarget::Meta;
        let (option, applied) = match name {
            b"maproot" | b"mapall" | b"disable" if meta => {
                self.ignored_for_meta(whole);
                return Ok(());
            }
            b"maproot" => ("maproot", self.map_root(rule, value)),
            b"mapall" => ("mapall", self.map_all(rule, value)),
            b"disable" => {
                self.disable(rule, value);
                return Ok(());
            }
            b"password" => {
                rule.password = Some(Md5::digest(value).into());
                return Ok(());
            }
            b"md5pass" => (
                "md5pass",
                parse_digest(value).map(|digest| rule.password = Some(digest)),
            ),
            b"minversion" => (
                "minversion",
                parse_version(value).map(|version| rule.min_version = version),
            ),
            b"mingoal" => ("mingoal", set_min_goal(rule, value)),
            b"maxgoal" => ("maxgoal", set_max_goal(rule, value)),
            b"mintrashtime" => ("mintrashtime", set_min_trash_time(rule, value)),
            b"maxtrashtime" => ("maxtrashtime", set_max_trash_time(rule, value)),
            b"umask" => ("umask", self.set_umask(rule, value)),
            _ => {
                (self.warn)(ExportsWarning::UnknownOption(shown(whole)));
                return Ok(());
            }
        };
        applied.map_err(|source| LineError { option, source })
    }

    fn ignored_for_meta(&mut self, option: &[u8]) {
        (self.warn)(ExportsWarning::MetaOption(shown(option)));
    }

    fn map_root(&mut self, rule: &mut ExportRule, value: &[u8]) -> Applied {
        let account = self.account("maproot", value)?;
        rule.maproot_given = true;
        rule.session.root_uid = account.uid;
        rule.session.root_gid = account.gid;
        Ok(())
    }

    fn map_all(&mut self, rule: &mut ExportRule, value: &[u8]) -> Applied {
        let account = self.account("mapall", value)?;
        rule.session.flags |= SESSION_MAP_ALL;
        rule.session.mapall_uid = account.uid;
        rule.session.mapall_gid = account.gid;
        Ok(())
    }

    /// `USER[:GROUP]`: digits are ids and need not exist; without a group the user's primary group.
    fn account(&mut self, option: &'static str, value: &[u8]) -> Result<Account, ValueError> {
        let (user, group) = match value.iter().position(|&byte| byte == b':') {
            Some(at) => (value.split_at(at).0, value.get(at + 1..)),
            None => (value, None),
        };
        if user.is_empty() || group.is_some_and(<[u8]>::is_empty) {
            (self.warn)(ExportsWarning::EmptyId(option));
        }
        let uid = parse_id(user)?;
        let named = |name: &[u8]| String::from_utf8(name.to_vec()).ok();
        let found = match (uid, group) {
            (Some(uid), None) => {
                let found = self
                    .accounts
                    .user_of_id(uid)
                    .map_err(|error| lookup_error(user, &error))?;
                return found
                    .map(|account| Account {
                        uid,
                        gid: account.gid,
                    })
                    .ok_or(ValueError::NoPrimaryGroup(uid));
            }
            (Some(uid), Some(_)) => Account { uid, gid: 0 },
            (None, _) => {
                let unknown = || ValueError::UnknownUser(shown(user));
                let name = named(user).ok_or_else(unknown)?;
                self.accounts
                    .user(&name)
                    .map_err(|error| lookup_error(user, &error))?
                    .ok_or_else(unknown)?
            }
        };
        let Some(group) = group else { return Ok(found) };
        let gid = match parse_id(group)? {
            Some(gid) => gid,
            None => {
                let unknown = || ValueError::UnknownGroup(shown(group));
                let name = named(group).ok_or_else(unknown)?;
                self.accounts
                    .group(&name)
                    .map_err(|error| lookup_error(group, &error))?
                    .ok_or_else(unknown)?
            }
        };
        Ok(Account { gid, ..found })
    }

    fn disable(&mut self, rule: &mut ExportRule, value: &[u8]) {
        for name in value.split(|&byte| byte == b':').map(trim_blanks) {
            match DISABLE_NAMES
                .iter()
                .position(|known| known.as_bytes() == name)
            {
                Some(bit) => rule.session.disables |= 1 << bit,
                None => (self.warn)(ExportsWarning::UnknownDisable(shown(name))),
            }
        }
    }

    /// `0` and three octal digits. As in the original, what follows them does not count.
    fn set_umask(&mut self, rule: &mut ExportRule, value: &[u8]) -> Applied {
        let [
            b'0',
            a @ b'0'..=b'7',
            b @ b'0'..=b'7',
            c @ b'0'..=b'7',
            tail @ ..,
        ] = value
        else {
            return Err(ValueError::Syntax(shown(value)));
        };
        rule.session.umask = [a, b, c]
            .iter()
            .fold(0, |umask, digit| umask << 3 | u16::from(*digit - b'0'));
        if !tail.is_empty() {
            (self.warn)(ExportsWarning::UmaskTail(shown(value.split_at(4).0)));
        }
        Ok(())
    }
}

fn lookup_error(name: &[u8], error: &std::io::Error) -> ValueError {
    ValueError::Lookup {
        name: shown(name),
        reason: error.to_string(),
    }
}

fn set_min_goal(rule: &mut ExportRule, value: &[u8]) -> Applied {
    let goal = parse_goal(value)?;
    if goal > rule.session.max_goal {
        return Err(ValueError::Crossed(shown(value)));
    }
    rule.session.min_goal = goal;
    Ok(())
}

fn set_max_goal(rule: &mut ExportRule, value: &[u8]) -> Applied {
    let goal = parse_goal(value)?;
    if goal < rule.session.min_goal {
        return Err(ValueError::Crossed(shown(value)));
    }
    rule.session.max_goal = goal;
    Ok(())
}

fn set_min_trash_time(rule: &mut ExportRule, value: &[u8]) -> Applied {
    let seconds = parse_duration(value)?;
    if seconds > rule.session.max_trash_time {
        return Err(ValueError::Crossed(shown(value)));
    }
    rule.session.min_trash_time = seconds;
    Ok(())
}

fn set_max_trash_time(rule: &mut ExportRule, value: &[u8]) -> Applied {
    let seconds = parse_duration(value)?;
    if seconds < rule.session.min_trash_time {
        return Err(ValueError::Crossed(shown(value)));
    }
    rule.session.max_trash_time = seconds;
    Ok(())
}

/// All digits: the id (the empty text is 0). Anything else: `None`, a name.
fn parse_id(text: &[u8]) -> Result<Option<u32>, ValueError> {
    if !text.iter().all(u8::is_ascii_digit) {
        return Ok(None);
    }
    decimal(text)
        .and_then(|id| u32::try_from(id).ok())
        .map(Some)
        .ok_or_else(|| ValueError::Syntax(shown(text)))
}

/// Value of decimal digits, 0 for none; `None` above `u64`.
fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |sum, digit| {
        sum.checked_mul(10)?
            .checked_add(u64::from(digit.wrapping_sub(b'0')))
    })
}

fn parse_digest(text: &[u8]) -> Result<Digest, ValueError> {
    let mut digest = Digest::default();
    if text.len() != 2 * digest.len() {
        return Err(ValueError::Digest);
    }
    for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
        for &digit in pair {
            let value = char::from(digit).to_digit(16).ok_or(ValueError::Digest)?;
            *byte = *byte << 4 | value as u8;
        }
    }
    Ok(digest)
}

/// `X[.Y[.Z]]` with parts 0..255.
fn parse_version(text: &[u8]) -> Result<u32, ValueError> {
    let wrong = || ValueError::Syntax(shown(text));
    let mut version = 0;
    let mut shift = 16_u32;
    for (index, part) in text.split(|&byte| byte == b'.').enumerate() {
        if index == 3 || part.is_empty() || !part.iter().all(u8::is_ascii_digit) {
            return Err(wrong());
        }
        let part = decimal(part)
            .and_then(|part| u8::try_from(part).ok())
            .ok_or_else(wrong)?;
        version |= u32::from(part) << shift;
        shift = shift.saturating_sub(8);
    }
    Ok(version)
}

fn parse_goal(text: &[u8]) -> Result<u8, ValueError> {
    match text {
        [digit @ b'1'..=b'9'] => Ok(digit - b'0'),
        _ => Err(ValueError::Syntax(shown(text))),
    }
}

/// Seconds: a plain number, or numbers with the units W D H M S, each at most once and in this order.
fn parse_duration(text: &[u8]) -> Result<u32, ValueError> {
    const UNITS: [(u8, u64); 5] = [
        (b'W', 604_800),
        (b'D', 86_400),
        (b'H', 3600),
        (b'M', 60),
        (b'S', 1),
    ];
    let wrong = || ValueError::Syntax(shown(text));
    let mut units = UNITS.iter();
    let mut rest = text;
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, tail) = rest.split_at(digits);
        if number.is_empty() {
            return Err(wrong());
        }
        let number = decimal(number).ok_or_else(wrong)?;
        let factor = match tail {
            [] if rest.len() == text.len() => 1,
            [] => return Err(wrong()),
            [unit, ..] => {
                units
                    .find(|(name, _)| *name == unit.to_ascii_uppercase())
                    .ok_or_else(wrong)?
                    .1
            }
        };
        sum = number
            .checked_mul(factor)
            .and_then(|seconds| sum.checked_add(seconds))
            .ok_or_else(wrong)?;
        rest = tail.get(1..).unwrap_or_default();
    }
    if text.is_empty() {
        return Err(wrong());
    }
    u32::try_from(sum).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("0", 0),
            ("86400", 86_400),
            ("4294967295", u32::MAX),
            ("1w2d3h4m5s", 788_645),
            ("1W2D3H4M5S", 788_645),
            ("48H", 172_800),
            ("0w0d", 0),
            ("49710d6h28m15s", u32::MAX),
        ] {
            assert_eq!(parse_duration(text.as_bytes()), Ok(seconds), "{text}");
        }
        for text in [
            "",
            "w",
            "1x",
            "-1",
            "+1",
            "1.5h",
            "30m12h",
            "1h1h",
            "30m12",
            "1h 30m",
            " 1h",
            "50000d",
            "4294967296",
            "49710d6h28m16s",
            "18446744073709551615w",
            "99999999999999999999",
        ] {
            assert!(parse_duration(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_in_units_is_the_sum_of_its_parts(w in 0_u32..1000, d in 0_u32..1000, h in 0_u32..1000, m: u16, s: u16) {
            let sum = w * 604_800 + d * 86_400 + h * 3600 + u32::from(m) * 60 + u32::from(s);
            let text = format!("{w}w{d}D{h}h{m}M{s}s");
            prop_assert_eq!(parse_duration(text.as_bytes()), Ok(sum));
            prop_assert_eq!(parse_duration(sum.to_string().as_bytes()), Ok(sum));
        }

        #[test]
        fn a_digest_is_read_in_either_case(digest: Digest) {
            let lower: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(parse_digest(lower.as_bytes()), Ok(digest));
            prop_assert_eq!(parse_digest(lower.to_uppercase().as_bytes()), Ok(digest));
            prop_assert_eq!(parse_digest(lower.replacen(|_| true, "g", 1).as_bytes()), Err(ValueError::Digest));
        }

        #[test]
        fn a_version_is_three_bytes(x: u8, y: u8, z: u8) {
            let [x, y, z] = [x, y, z].map(u32::from);
            prop_assert_eq!(parse_version(format!("{x}.{y}.{z}").as_bytes()), Ok(x << 16 | y << 8 | z));
            prop_assert_eq!(parse_version(format!("{x}.{y}").as_bytes()), Ok(x << 16 | y << 8));
            prop_assert_eq!(parse_version(format!("{x}").as_bytes()), Ok(x << 16));
        }
    }
}
