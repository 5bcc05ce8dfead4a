//! Status codes of the protocol (spec 04 §6), as the errors of the metadata core.

use std::fmt;

macro_rules! statuses {
    ($($code:literal $variant:ident $name:literal $text:literal;)*) => {
        /// Why an operation was refused. The discriminants are the codes that go over the wire;
        /// code 0 ("OK") is the absence of an error and has no variant.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Status {
            $(#[doc = concat!($text, " (`", $name, "`, code ", stringify!($code), ").")]
            $variant = $code,)*
        }

        impl Status {
            /// Every status, in ascending order of its code.
            pub const ALL: &'static [Status] = &[$(Status::$variant),*];

            /// The status with this code; `None` for 0 (no error) and for codes that do not exist.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Status::$variant),)*
                    _ => None,
                }
            }

            /// The protocol's name, e.g. `ENOENT`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Status::$variant => $name,)*
                }
            }

            /// The text that tools print, e.g. `No such file or directory`.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Status::$variant => $text,)*
                }
            }
        }
    };
}

statuses! {
    1 Eperm "EPERM" "Operation not permitted";
    2 Enotdir "ENOTDIR" "Not a directory";
    3 Enoent "ENOENT" "No such file or directory";
    4 Eacces "EACCES" "Permission denied";
    5 Eexist "EEXIST" "File exists";
    6 Einval "EINVAL" "Invalid argument";
    7 Enotempty "ENOTEMPTY" "Directory not empty";
    8 ChunkLost "CHUNKLOST" "Chunk lost";
    9 OutOfMemory "OUTOFMEMORY" "Out of memory";
    10 IndexTooBig "INDEXTOOBIG" "Index too big";
    11 Locked "LOCKED" "Chunk locked";
    12 NoChunkServers "NOCHUNKSERVERS" "No chunk servers";
    13 NoChunk "NOCHUNK" "No such chunk";
    14 ChunkBusy "CHUNKBUSY" "Chunk is busy";
    15 Register "REGISTER" "Incorrect register BLOB";
    16 NotDone "NOTDONE" "Operation not completed";
    17 NotOpened "NOTOPENED" "File not opened";
    18 NotStarted "NOTSTARTED" "Write not started";
    19 WrongVersion "WRONGVERSION" "Wrong chunk version";
    20 ChunkExist "CHUNKEXIST" "Chunk already exists";
    21 NoSpace "NOSPACE" "No space left";
    22 Io "IO" "IO error";
    23 BnumTooBig "BNUMTOOBIG" "Incorrect block number";
    24 WrongSize "WRONGSIZE" "Incorrect size";
    25 WrongOffset "WRONGOFFSET" "Incorrect offset";
    26 CantConnect "CANTCONNECT" "Can't connect";
    27 WrongChunkId "WRONGCHUNKID" "Incorrect chunk id";
    28 Disconnected "DISCONNECTED" "Disconnected";
    29 Crc "CRC" "CRC error";
    30 Delayed "DELAYED" "Operation delayed";
    31 CantCreatePath "CANTCREATEPATH" "Can't create path";
    32 Mismatch "MISMATCH" "Data mismatch";
    33 Erofs "EROFS" "Read-only file system";
    34 Quota "QUOTA" "Quota exceeded";
    35 BadSessionId "BADSESSIONID" "Bad session id";
    36 NoPassword "NOPASSWORD" "Password is needed";
    37 BadPassword "BADPASSWORD" "Incorrect password";
    38 Enoattr "ENOATTR" "Attribute not found";
    39 Enotsup "ENOTSUP" "Operation not supported";
    40 Erange "ERANGE" "Result too large";
    41 NotFound "NOTFOUND" "Entity not found";
    42 Active "ACTIVE" "Entity is active";
    43 CsNotPresent "CSNOTPRESENT" "Chunkserver not present";
    44 Waiting "WAITING" "Waiting on lock";
    45 Eagain "EAGAIN" "Resource temporarily unavailable";
    46 Eintr "EINTR" "Interrupted system call";
    47 Ecanceled "ECANCELED" "Operation canceled";
    48 EnoentNocache "ENOENT_NOCACHE" "No such file or directory (not cacheable)";
    49 EpermNotadmin "EPERM_NOTADMIN" "Operation not permitted (mfs admin only)";
    50 ClassExists "CLASSEXISTS" "Class name already in use";
    51 ClassLimitReach "CLASSLIMITREACH" "Maximum number of classes reached";
    52 NoSuchClass "NOSUCHCLASS" "No such class";
    53 ClassInUse "CLASSINUSE" "Class in use";
}

impl Status {
    /// The code that goes over the wire and into error messages of a replay.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_dense_and_convert_both_ways() {
        assert_eq!(Status::ALL.len(), 53);
        for (i, &status) in Status::ALL.iter().enumerate() {
            assert_eq!(usize::from(status.code()), i + 1);
            assert_eq!(Status::from_code(status.code()), Some(status));
        }
        assert_eq!(Status::from_code(0), None);
        assert_eq!(Status::from_code(54), None);
    }

    #[test]
    fn texts_are_those_of_the_tools() {
        assert_eq!(Status::Mismatch.to_string(), "Data mismatch");
        assert_eq!(Status::Mismatch.code(), 32);
        assert_eq!(Status::Enoattr.name(), "ENOATTR");
        assert_eq!(Status::ClassInUse.code(), 53);
    }
}
