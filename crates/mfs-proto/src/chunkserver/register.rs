//! REGISTER 100 and MASTER_ACK 104 (spec 05 §2).

use super::report::{ReportedChunk, Space};
use crate::frame::FrameBuf;
use crate::register::Challenge;
use crate::version::Version;
use crate::wire::{Body, Fault, List, Reader, Writer};

/// Chunks in one CHUNKS part if a chunkserver is not configured otherwise (spec 05 §2.1).
pub const CHUNKS_PER_PART: usize = 10_000;

const OLD_BEGIN: u8 = 50;
const OLD_CHUNKS: u8 = 51;
const OLD_END: u8 = 52;
const BEGIN: u8 = 60;
const CHUNKS: u8 = 61;
const END: u8 = 62;
const DISCONNECT: u8 = 63;

const DIGEST_LEN: usize = 16;
/// Payload of BEGIN after its first byte, without a digest.
const BEGIN_LEN: usize = 54;

/// One step of a registration; the first byte of the payload (`rver`) says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Register<'a> {
    /// 60: who the chunkserver is. Answered with [`MasterAck::Begin`] or [`MasterAck::Challenge`].
    Begin(Begin),
    /// 61: a part of its chunks. Answered with [`MasterAck::Chunks`], whichever BEGIN there was.
    Chunks(List<'a, ReportedChunk>),
    /// 62: all parts were sent. Not answered.
    End,
    /// 63: the chunkserver leaves in good order; the master closes.
    Disconnect,
    /// 50: what a 3.0 chunkserver tries instead of 60 when its attempts died without an answer. Answered
    /// with [`MasterAck::OldBegin`], after which it goes on with 61 and 62.
    OldBegin(OldBegin),
    /// 51: a part of the chunks of an older chunkserver. Not answered.
    OldChunks(List<'a, ReportedChunk>),
    /// 52: all parts were sent. Not answered.
    OldEnd(Space),
}

/// A chunkserver begins to register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Proof of the `AUTH_CODE` ([`crate::register::auth_digest`]).
    pub digest: Option<[u8; DIGEST_LEN]>,
    /// Version of the chunkserver.
    pub version: Version,
    /// Address for clients; 0 = that of the connection.
    pub ip: u32,
    /// Port for clients.
    pub port: u16,
    /// Time-out of the connection in seconds; 0 = the master chooses, 1 to 9 are not allowed.
    pub timeout: u16,
    /// The number that the chunkserver has; 0 = none yet.
    pub csid: u16,
    /// Space and number of chunks; zeros while the disks are being scanned.
    pub space: Space,
}

/// A chunkserver begins to register in the old form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldBegin {
    /// Version of the chunkserver.
    pub version: Version,
    /// Address for clients; 0 = that of the connection.
    pub ip: u32,
    /// Port for clients.
    pub port: u16,
    /// Time-out of the connection in seconds; less than 10 is not allowed.
    pub timeout: u16,
}

impl<'a> Body<'a> for Begin {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let digest = match r.remaining() {
            BEGIN_LEN => None,
            _ => Some(r.raw()?),
        };
        Ok(Self {
            digest,
            version: Version(r.u32()?),
            ip: r.u32()?,
            port: r.u16()?,
            timeout: r.u16()?,
            csid: r.u16()?,
            space: Space::take(r)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        if let Some(digest) = self.digest {
            w.bytes(&digest);
        }
        w.u32(self.version.0);
        w.u32(self.ip);
        w.u16(self.port);
        w.u16(self.timeout);
        w.u16(self.csid);
        self.space.put(w);
    }
}

impl<'a> Body<'a> for OldBegin {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            version: Version(r.u32()?),
            ip: r.u32()?,
            port: r.u16()?,
            timeout: r.u16()?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.version.0);
        w.u32(self.ip);
        w.u16(self.port);
        w.u16(self.timeout);
    }
}

impl<'a> Body<'a> for Register<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        match r.u8()? {
            BEGIN => Begin::take(r).map(Self::Begin),
            CHUNKS => r.list().map(Self::Chunks),
            END => Ok(Self::End),
            DISCONNECT => Ok(Self::Disconnect),
            OLD_BEGIN => OldBegin::take(r).map(Self::OldBegin),
            OLD_CHUNKS => r.list().map(Self::OldChunks),
            OLD_END => Space::take(r).map(Self::OldEnd),
            // Also the one-packet registrations of 1.5 and 1.6 chunkservers, which are not served.
            rver => Err(Fault::Value {
                field: "rver",
                value: rver.into(),
            }),
        }
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        match self {
            Self::Begin(begin) => {
                w.u8(BEGIN);
                begin.put(w);
            }
            Self::Chunks(chunks) => {
                w.u8(CHUNKS);
                w.list(chunks);
            }
            Self::End => w.u8(END),
            Self::Disconnect => w.u8(DISCONNECT),
            Self::OldBegin(begin) => {
                w.u8(OLD_BEGIN);
                begin.put(w);
            }
            Self::OldChunks(chunks) => {
                w.u8(OLD_CHUNKS);
                w.list(chunks);
            }
            Self::OldEnd(space) => {
                w.u8(OLD_END);
                space.put(w);
            }
        }
    }
}

const CHALLENGE: u8 = 3;

/// The master's side of a registration (spec 05 §2.3); which one it is follows from its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MasterAck {
    /// A part of the chunks was taken; the next may be sent.
    Chunks,
    /// [`Register::OldBegin`] is accepted.
    OldBegin {
        /// Version of the master; at least 3.0.75.
        version: Version,
    },
    /// [`Register::Begin`] is accepted.
    Begin(BeginAck),
    /// An `AUTH_CODE` is needed: send BEGIN again with a digest of these bytes.
    Challenge(Challenge),
}

/// BEGIN is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeginAck {
    /// Version of the master; at least 3.0.75, or the chunkserver leaves things out.
    pub version: Version,
    /// Time-out of the connection in seconds; at least 10.
    pub timeout: u16,
    /// The number of the chunkserver.
    pub csid: u16,
    /// Id of the metadata; a chunkserver that knows another one ends itself. Versions before 2.0.33 do not
    /// get it.
    pub metaid: Option<u64>,
}

/// 1.6.28.
const FIRST_ANSWERED: Version = Version(0x0001_061C);

impl MasterAck {
    /// The answer to [`Register::Begin`] in the form for a chunkserver of the given version; `None`: those
    /// before 1.6.28 are not answered.
    pub fn begin(
        chunkserver: Version,
        master: Version,
        timeout: u16,
        csid: u16,
        metaid: u64,
    ) -> Option<Self> {
        const FIRST_WITH_METAID: Version = Version::new(2, 0, 33);
        (chunkserver >= FIRST_ANSWERED).then(|| {
            Self::Begin(BeginAck {
                version: master,
                timeout,
                csid,
                metaid: (chunkserver >= FIRST_WITH_METAID).then_some(metaid),
            })
        })
    }

    /// The answer to [`Register::OldBegin`] of a chunkserver of the given version; `None`: those before
    /// 1.6.28 are not answered.
    pub fn old_begin(chunkserver: Version, master: Version) -> Option<Self> {
        (chunkserver >= FIRST_ANSWERED).then_some(Self::OldBegin { version: master })
    }

    /// The answer to [`Register::Chunks`] of a chunkserver of the given version; `None`: those before 2.0.0
    /// are not answered.
    pub fn chunks(chunkserver: Version) -> Option<Self> {
        (chunkserver >= Version::new(2, 0, 0)).then_some(Self::Chunks)
    }
}

impl<'a> Body<'a> for MasterAck {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let length = r.remaining();
        let atype = r.u8()?;
        match (atype, length) {
            (0, 1) => Ok(Self::Chunks),
            (0, 5) => Ok(Self::OldBegin {
                version: Version(r.u32()?),
            }),
            (0, 9 | 17) => Ok(Self::Begin(BeginAck {
                version: Version(r.u32()?),
                timeout: r.u16()?,
                csid: r.u16()?,
                metaid: if r.is_empty() { None } else { Some(r.u64()?) },
            })),
            (CHALLENGE, 33) => Ok(Self::Challenge(r.raw()?)),
            (0 | CHALLENGE, _) => Err(Fault::Length),
            _ => Err(Fault::Value {
                field: "atype",
                value: atype.into(),
            }),
        }
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        match self {
            Self::Chunks => w.u8(0),
            Self::OldBegin { version } => {
                w.u8(0);
                w.u32(version.0);
            }
            Self::Begin(ack) => {
                w.u8(0);
                w.u32(ack.version.0);
                w.u16(ack.timeout);
                w.u16(ack.csid);
                if let Some(metaid) = ack.metaid {
                    w.u64(metaid);
                }
            }
            Self::Challenge(random) => {
                w.u8(CHALLENGE);
                w.bytes(random);
            }
        }
    }
}
