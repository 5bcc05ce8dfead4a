//! Choosing the rule for a client (spec 07 §7.1.4).

use std::net::Ipv4Addr;

use md5::{Digest as _, Md5};

use super::parse::strip_slashes;
use super::{Digest, ExportRule, ExportTarget, Exports, SESSION_ADMIN, SESSION_READ_ONLY};

/// Random bytes that a connection was given to prove that it knows a password.
pub type Challenge = [u8; 32];

/// What a client asks for when it registers.
#[derive(Debug, Clone, Copy)]
pub struct MountRequest<'a> {
    /// Where the connection comes from.
    pub peer: Ipv4Addr,
    /// Version word of the client as on the wire.
    pub version: u32,
    /// What it wants to mount.
    pub target: MountTarget<'a>,
    /// The challenge that this connection was given, if it asked for one.
    pub challenge: Option<&'a Challenge>,
    /// The client's answer to the challenge, if it gave one.
    pub answer: Option<&'a Digest>,
}

/// What is to be mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountTarget<'a> {
    /// The trash and the sustained files.
    Meta,
    /// A directory; `/` at either end does not count, the empty path is the root.
    Directory(&'a [u8]),
}

/// Why no rule lets the client in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExportRefusal {
    /// No rule fits (status EACCES).
    #[error("no matching export rule")]
    Access,
    /// A rule fits but needs a password and the client gave no answer or never asked for a challenge
    /// (status NOPASSWORD).
    #[error("password needed")]
    NoPassword,
    /// A rule fits but the answer is wrong (status BADPASSWORD).
    #[error("wrong password")]
    BadPassword,
}

impl Exports {
    /// The rule that applies to a client. Among the rules that fit, a later one replaces the best so
    /// far when it has the first advantage of these that tells them apart in its favour: it is writable, its root stays root, it
    /// is for administrators, it has a password, its path is longer. That relation is no order, so the order of the file counts.
    ///
    /// The caller then resolves the path in the namespace.
    ///
    /// # Errors
    /// [`ExportRefusal`].
    pub fn check(&self, request: &MountRequest<'_>) -> Result<&ExportRule, ExportRefusal> {
        let mut best: Option<&ExportRule> = None;
        let mut refusal = ExportRefusal::Access;
        for rule in self.rules.iter().filter(|rule| fits(rule, request)) {
            match check_password(rule, request) {
                Ok(()) if best.is_none_or(|best| outranks(rule, best)) => best = Some(rule),
                Ok(()) => {}
                Err(password) => refusal = password,
            }
        }
        best.ok_or(refusal)
    }
}

/// The answer of a client that knows a password: MD5 over the first half of the challenge, the MD5 of
/// the password, and the second half.
#[must_use]
pub fn password_answer(challenge: &Challenge, digest: &Digest) -> Digest {
    let (first, second) = challenge.split_at(16);
    Md5::new()
        .chain_update(first)
        .chain_update(digest)
        .chain_update(second)
        .finalize()
        .into()
}

/// Everything but the password.
fn fits(rule: &ExportRule, request: &MountRequest<'_>) -> bool {
    let target = match (&rule.target, request.target) {
        (ExportTarget::Meta, MountTarget::Meta) => true,
        (ExportTarget::Directory(root), MountTarget::Directory(path)) => {
            covers(root, rule.alldirs, strip_slashes(path))
        }
        _ => false,
    };
    target && rule.addresses.contains(request.peer) && request.version >= rule.min_version
}

fn covers(root: &[u8], alldirs: bool, path: &[u8]) -> bool {
    match path.strip_prefix(root) {
        Some([]) => true,
        Some(below) => alldirs && (root.is_empty() || below.starts_with(b"/")),
        None => false,
    }
}

fn check_password(rule: &ExportRule, request: &MountRequest<'_>) -> Result<(), ExportRefusal> {
    let Some(digest) = &rule.password else {
        return Ok(());
    };
    let (Some(challenge), Some(answer)) = (request.challenge, request.answer) else {
        return Err(ExportRefusal::NoPassword);
    };
    if *challenge == Challenge::default() {
        return Err(ExportRefusal::NoPassword);
    }
    if password_answer(challenge, digest) == *answer {
        Ok(())
    } else {
        Err(ExportRefusal::BadPassword)
    }
}

/// True if the first of the five advantages that `rule` has over `best` exists.
fn outranks(rule: &ExportRule, best: &ExportRule) -> bool {
    let writable = |rule: &ExportRule| rule.session.flags & SESSION_READ_ONLY == 0;
    let admin = |rule: &ExportRule| rule.session.flags & SESSION_ADMIN != 0;
    let path = |rule: &ExportRule| match &rule.target {
        ExportTarget::Meta => 0,
        ExportTarget::Directory(path) => path.len(),
    };
    writable(rule) && !writable(best)
        || rule.session.root_uid == 0 && best.session.root_uid != 0
        || admin(rule) && !admin(best)
        || rule.password.is_some() && best.password.is_none()
        || path(rule) > path(best)
}
