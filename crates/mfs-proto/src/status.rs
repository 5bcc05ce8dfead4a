//! Status codes of answers (spec 04 §6).

use std::fmt;

/// The status byte of an answer; 0 is success.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(pub u8);

macro_rules! statuses {
    ($($number:literal $name:ident $text:literal;)*) => {
        impl Status {
            $(#[doc = concat!($text, ".")] pub const $name: Self = Self($number);)*

            /// Every status of the protocol, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name of the protocol, for example `ENOENT`.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// The text that the tools print.
            pub const fn text(self) -> &'static str {
                match self.0 {
                    $($number => $text,)*
                    _ => "Unknown MFS error",
                }
            }
        }
    };
}

statuses! {
    0 OK "OK";
    1 EPERM "Operation not permitted";
    2 ENOTDIR "Not a directory";
    3 ENOENT "No such file or directory";
    4 EACCES "Permission denied";
    5 EEXIST "File exists";
    6 EINVAL "Invalid argument";
    7 ENOTEMPTY "Directory not empty";
    8 CHUNKLOST "Chunk lost";
    9 OUTOFMEMORY "Out of memory";
    10 INDEXTOOBIG "Index too big";
    11 LOCKED "Chunk locked";
    12 NOCHUNKSERVERS "No chunk servers";
    13 NOCHUNK "No such chunk";
    14 CHUNKBUSY "Chunk is busy";
    15 REGISTER "Incorrect register BLOB";
    16 NOTDONE "Operation not completed";
    17 NOTOPENED "File not opened";
    18 NOTSTARTED "Write not started";
    19 WRONGVERSION "Wrong chunk version";
    20 CHUNKEXIST "Chunk already exists";
    21 NOSPACE "No space left";
    22 IO "IO error";
    23 BNUMTOOBIG "Incorrect block number";
    24 WRONGSIZE "Incorrect size";
    25 WRONGOFFSET "Incorrect offset";
    26 CANTCONNECT "Can't connect";
    27 WRONGCHUNKID "Incorrect chunk id";
    28 DISCONNECTED "Disconnected";
    29 CRC "CRC error";
    30 DELAYED "Operation delayed";
    31 CANTCREATEPATH "Can't create path";
    32 MISMATCH "Data mismatch";
    33 EROFS "Read-only file system";
    34 QUOTA "Quota exceeded";
    35 BADSESSIONID "Bad session id";
    36 NOPASSWORD "Password is needed";
    37 BADPASSWORD "Incorrect password";
    38 ENOATTR "Attribute not found";
    39 ENOTSUP "Operation not supported";
    40 ERANGE "Result too large";
    41 NOTFOUND "Entity not found";
    42 ACTIVE "Entity is active";
    43 CSNOTPRESENT "Chunkserver not present";
    44 WAITING "Waiting on lock";
    45 EAGAIN "Resource temporarily unavailable";
    46 EINTR "Interrupted system call";
    47 ECANCELED "Operation canceled";
    48 ENOENT_NOCACHE "No such file or directory (not cacheable)";
    49 EPERM_NOTADMIN "Operation not permitted (mfs admin only)";
    50 CLASSEXISTS "Class name already in use";
    51 CLASSLIMITREACH "Maximum number of classes reached";
    52 NOSUCHCLASS "No such class";
    53 CLASSINUSE "Class in use";
}

impl Status {
    /// Whether this is success.
    #[inline]
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Status({})", self.0),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl From<u8> for Status {
    fn from(code: u8) -> Self {
        Self(code)
    }
}

impl From<Status> for u8 {
    fn from(status: Status) -> Self {
        status.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_dense_and_named() {
        assert_eq!(Status::ALL.len(), 54);
        for (number, status) in Status::ALL.iter().enumerate() {
            assert_eq!(usize::from(status.0), number);
            assert!(status.name().is_some());
        }
        assert_eq!(format!("{:?}", Status::ENOENT_NOCACHE), "ENOENT_NOCACHE");
        assert_eq!(format!("{:?}", Status(54)), "Status(54)");
        assert_eq!(Status(200).to_string(), "Unknown MFS error");
    }
}
