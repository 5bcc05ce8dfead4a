//! Users and groups by name. Export rules may name them; they are resolved on the master's host.

use std::io;

use nix::unistd::{Group, Uid, User};

/// What is needed of a user: the two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
}

/// A user and group database. `Ok(None)` means "no such name"; an error means that the database
/// could not be asked.
pub trait Accounts {
    /// The user with this name.
    ///
    /// # Errors
    /// The database failed.
    fn user(&self, name: &str) -> io::Result<Option<Account>>;

    /// The user with this id.
    ///
    /// # Errors
    /// The database failed.
    fn user_of_id(&self, uid: u32) -> io::Result<Option<Account>>;

    /// The id of the group with this name.
    ///
    /// # Errors
    /// The database failed.
    fn group(&self, name: &str) -> io::Result<Option<u32>>;
}

/// The database of this host (passwd, group and whatever its name service adds).
#[derive(Debug, Clone, Copy, Default)]
pub struct HostAccounts;

impl Accounts for HostAccounts {
    fn user(&self, name: &str) -> io::Result<Option<Account>> {
        Ok(User::from_name(name)?.map(Account::from))
    }

    fn user_of_id(&self, uid: u32) -> io::Result<Option<Account>> {
        Ok(User::from_uid(Uid::from_raw(uid))?.map(Account::from))
    }

    fn group(&self, name: &str) -> io::Result<Option<u32>> {
        Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
    }
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_has_root() {
        assert_eq!(
            HostAccounts.user("root").unwrap(),
            Some(Account { uid: 0, gid: 0 })
        );
        assert_eq!(
            HostAccounts.user_of_id(0).unwrap(),
            Some(Account { uid: 0, gid: 0 })
        );
        assert_eq!(HostAccounts.user("no such user").unwrap(), None);
        assert_eq!(HostAccounts.group("no such group").unwrap(), None);
    }
}
