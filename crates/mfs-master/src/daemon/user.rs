//! The user and group that the program works as: `WORKING_USER`, `WORKING_GROUP` (spec 01 §3.2).

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, geteuid, initgroups, setgid, setgroups, setuid};
use thiserror::Error;

/// Why the program cannot work as it is told.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum UserError {
    #[error("{0}: no such user !!!")]
    NoSuchUser(String),
    #[error("{0}: no such group !!!")]
    NoSuchGroup(String),
    #[error("{0}: no such user id - can't obtain group id")]
    NoGroupOf(u32),
    #[error("can't set {what} to {id}: {errno}")]
    Refused {
        what: &'static str,
        id: u32,
        errno: nix::errno::Errno,
    },
}

/// A user and a group that exist.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    uid: Uid,
    gid: Gid,
    /// Name of the user; none for a bare number.
    name: Option<CString>,
}

impl Identity {
    /// Finds the user `user` and the group `group`, each a name or `#` and a number; an empty group
    /// means the user's own.
    pub(super) fn find(user: &str, group: &str) -> Result<Identity, UserError> {
        let no_such_user = || UserError::NoSuchUser(user.to_owned());
        let no_such_group = || UserError::NoSuchGroup(group.to_owned());
        let (uid, entry) = match user.strip_prefix('#') {
            Some(number) => {
                let uid = Uid::from_raw(number.trim().parse().map_err(|_| no_such_user())?);
                (uid, User::from_uid(uid).ok().flatten())
            }
            None => {
                let entry = User::from_name(user).ok().flatten();
                let entry = entry.ok_or_else(no_such_user)?;
                (entry.uid, Some(entry))
            }
        };
        let gid = if group.is_empty() {
            let entry = entry.as_ref();
            entry.ok_or(UserError::NoGroupOf(uid.as_raw()))?.gid
        } else if let Some(number) = group.strip_prefix('#') {
            Gid::from_raw(number.trim().parse().map_err(|_| no_such_group())?)
        } else {
            let entry = Group::from_name(group).ok().flatten();
            entry.ok_or_else(no_such_group)?.gid
        };
        let name = entry.and_then(|entry| CString::new(entry.name).ok());
        Ok(Identity { uid, gid, name })
    }

    /// Becomes that user for good. The supplementary groups become the user's too: those of root
    /// are not for a daemon. Call it before any thread is started.
    fn assume(&self) -> Result<(), UserError> {
        let refused = |what, id| move |errno| UserError::Refused { what, id, errno };
        let (uid, gid) = (self.uid.as_raw(), self.gid.as_raw());
        let groups = match &self.name {
            Some(name) => initgroups(name, self.gid),
            None => setgroups(&[self.gid]),
        };
        if let Err(error) = groups {
            // The root of a container may lack the right, and then has no groups worth dropping.
            tracing::warn!(%error, "can't set the supplementary groups");
        }
        setgid(self.gid).map_err(refused("gid", gid))?;
        setuid(self.uid).map_err(refused("uid", uid))?;
        tracing::debug!(uid, gid, "working user and group are set");
        Ok(())
    }
}

/// Gives up root for the working user; whoever else runs the program goes on as that user.
pub(super) fn drop_root(user: &str, group: &str) -> Result<(), UserError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    Identity::find(user, group)?.assume()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_found() {
        let root = Identity::find("root", "").unwrap();
        assert_eq!((root.uid.as_raw(), root.gid.as_raw()), (0, 0));
        assert_eq!(root, Identity::find("#0", "root").unwrap());
        assert_eq!(root, Identity::find("#0", "").unwrap());
        let numbers = Identity::find("#4242424", "#17").unwrap();
        assert_eq!(
            (numbers.uid.as_raw(), numbers.gid.as_raw()),
            (4_242_424, 17)
        );
        assert_eq!(numbers.name, None);
    }

    #[test]
    fn what_does_not_exist_is_named_as_the_original_does() {
        let said = |user, group| Identity::find(user, group).unwrap_err().to_string();
        assert_eq!(said("no:such", ""), "no:such: no such user !!!");
        assert_eq!(said("#x", ""), "#x: no such user !!!");
        assert_eq!(said("root", "no:such"), "no:such: no such group !!!");
        assert_eq!(said("root", "#-1"), "#-1: no such group !!!");
        assert_eq!(
            said("#4242424", ""),
            "4242424: no such user id - can't obtain group id"
        );
    }
}
