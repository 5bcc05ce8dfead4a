//! What registration needs beside its messages: blob, digests, session flags, disabled operations
//! (spec 04 §4, spec 05 §2.2). The messages are in [`crate::client::register`] and
//! [`crate::chunkserver::register`].

use md5::{Digest, Md5};

/// The 64 bytes that every registration starts with.
pub const BLOB: &[u8; 64] = b"DjI1GAQDULI5d2YjA26ypc3ovkhjvhciTQVx3CS4nYgtBoUcsljiVpsErJENHaw0";

/// The random bytes of a GETRANDOM answer, or those that a chunkserver is challenged with.
pub type Challenge = [u8; 32];

/// MD5 of a password, without a terminating zero; what `mfsmd5pass` and `md5pass=` give directly.
pub fn password_md5(password: &[u8]) -> [u8; 16] {
    Md5::digest(password).into()
}

/// The digest that a client with the right password sends (spec 04 §4.2).
pub fn password_digest(challenge: &Challenge, password_md5: &[u8; 16]) -> [u8; 16] {
    enclosed_md5(challenge, password_md5)
}

/// The digest that a chunkserver with the right `AUTH_CODE` sends (spec 05 §2.2 rule 3). A digest that nobody
/// asked for is made with a challenge of 32 zero bytes.
pub fn auth_digest(challenge: &Challenge, auth_code: &[u8]) -> [u8; 16] {
    enclosed_md5(challenge, auth_code)
}

/// MD5 of the secret between the two halves of the challenge.
fn enclosed_md5(challenge: &Challenge, secret: &[u8]) -> [u8; 16] {
    let (first, second) = challenge.split_at(16);
    Md5::new()
        .chain_update(first)
        .chain_update(secret)
        .chain_update(second)
        .finalize()
        .into()
}

/// Bits of the session flags byte (spec 04 §4.8).
pub mod session_flags {
    /// The session may not change anything.
    pub const READ_ONLY: u8 = 0x01;
    /// The session may be used from any address.
    pub const DYNAMIC_IP: u8 = 0x02;
    /// Groups are not checked.
    pub const IGNORE_GID: u8 = 0x04;
    /// Administrative operations are allowed.
    pub const ADMIN: u8 = 0x08;
    /// All users but root are mapped to one user and group.
    pub const MAP_ALL: u8 = 0x10;
    /// The bits that are sent to clients.
    pub const SENT: u8 = 0x1F;
}

/// Bits of the disabled operations of a session (spec 04 §4.9). A disabled operation answers `EPERM`
/// before any other check.
pub mod disables {
    macro_rules! bits {
        ($($name:ident = $bit:literal $text:literal;)*) => {
            $(#[doc = concat!("Bit ", stringify!($bit), ": `", $text, "`.")] pub const $name: u32 = 1 << $bit;)*

            /// Every bit with its name in the exports file.
            pub const ALL: &[(u32, &str)] = &[$(($name, $text)),*];
        };
    }

    bits! {
        CHOWN = 0 "chown";
        CHMOD = 1 "chmod";
        SYMLINK = 2 "symlink";
        MKFIFO = 3 "mkfifo";
        MKDEV = 4 "mkdev";
        MKSOCK = 5 "mksock";
        MKDIR = 6 "mkdir";
        UNLINK = 7 "unlink";
        RMDIR = 8 "rmdir";
        RENAME = 9 "rename";
        MOVE = 10 "move";
        LINK = 11 "link";
        CREATE = 12 "create";
        READDIR = 13 "readdir";
        READ = 14 "read";
        WRITE = 15 "write";
        TRUNCATE = 16 "truncate";
        SETLENGTH = 17 "setlength";
        APPENDCHUNKS = 18 "appendchunks";
        SNAPSHOT = 19 "snapshot";
        SETTRASH = 20 "settrash";
        SETSCLASS = 21 "setsclass";
        SETEATTR = 22 "seteattr";
        SETXATTR = 23 "setxattr";
        SETFACL = 24 "setfacl";
    }
}
