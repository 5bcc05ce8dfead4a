//! The messages of each direction as one type.

use super::command::{
    ChunkBlocks, ChunkChecksum, ChunkChecksumTab, ChunkVersion, Chunkop, ChunkopDone, Done,
    Duplicate, Duptrunc, Replicate, ReplicateDone, SetVersion, Truncate,
};
use super::common::{ConfigAnswer, VersionAnswer};
use super::register::{MasterAck, Register};
use super::report::{ChunkDamaged, ChunkLost, ChunkNew, ErrorOccurred, Labels, Load, SpaceReport};
use crate::client::session::{GetConfig, GetVersion};
use crate::client::{Expect, Passthrough};
use crate::frame::{self, FrameBuf};
use crate::msg;
use crate::status::Status;
use crate::version::Version;
use crate::wire::{Body, DecodeError, Fault, Reader, Writer};

macro_rules! messages {
    ($(#[$doc:meta])* $name:ident; $($variant:ident($body:ty) = $msg:ident;)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name<'a> {
            $(#[doc = concat!("[`msg::", stringify!($msg), "`]")] $variant($body),)*
            /// NOP and its like (types 0, 1, 2): accepted in any state with any length, and ignored.
            Ignored(Passthrough<'a>),
        }

        impl<'a> $name<'a> {
            fn decode_body(
                message: u32,
                payload: &'a [u8],
                expect: Expect,
            ) -> Result<Self, DecodeError> {
                let mut r = Reader::new(payload, Version::MASTER, expect);
                Self::take(message, &mut r)
                    .and_then(|decoded| r.end().map(|()| decoded))
                    .map_err(|fault| DecodeError {
                        msg: message,
                        length: payload.len(),
                        fault,
                    })
            }

            fn take(message: u32, r: &mut Reader<'a>) -> Result<Self, Fault> {
                match message {
                    $(msg::$msg => <$body>::take(r).map(Self::$variant),)*
                    msg::ANTOAN_NOP | msg::ANTOAN_UNKNOWN_COMMAND | msg::ANTOAN_BAD_COMMAND_SIZE => {
                        Ok(Self::Ignored(Passthrough {
                            msg: message,
                            payload: r.tail(),
                        }))
                    }
                    _ => Err(Fault::UnknownType),
                }
            }

            /// NOP, which keeps a silent connection alive.
            pub const NOP: Self = Self::Ignored(Passthrough {
                msg: msg::ANTOAN_NOP,
                payload: &[],
            });

            /// The message number.
            pub fn msg(&self) -> u32 {
                match self {
                    $(Self::$variant(_) => msg::$msg,)*
                    Self::Ignored(p) => p.msg,
                }
            }

            /// Appends the message as a frame.
            #[inline]
            pub fn encode<B: FrameBuf>(&self, out: &mut B) {
                frame::write(out, self.msg(), |out| {
                    let mut w = Writer::new(out, Version::MASTER);
                    match self {
                        $(Self::$variant(body) => body.put(&mut w),)*
                        Self::Ignored(p) => w.bytes(p.payload),
                    }
                });
            }
        }
    };
}

messages! {
    /// A message of a chunkserver to its master (spec 05 §3.2). Lists are borrowed from the frame.
    ServerMessage;
    GetVersion(GetVersion) = ANTOAN_GET_VERSION;
    GetConfig(GetConfig<'a>) = ANTOAN_GET_CONFIG;
    Register(Register<'a>) = CSTOMA_REGISTER;
    Space(SpaceReport) = CSTOMA_SPACE;
    ChunkDamaged(ChunkDamaged<'a>) = CSTOMA_CHUNK_DAMAGED;
    Load(Load) = CSTOMA_CURRENT_LOAD;
    ChunkLost(ChunkLost<'a>) = CSTOMA_CHUNK_LOST;
    ErrorOccurred(ErrorOccurred) = CSTOMA_ERROR_OCCURRED;
    ChunkNew(ChunkNew<'a>) = CSTOMA_CHUNK_NEW;
    Labels(Labels) = CSTOMA_LABELS;
    Create(Done) = CSTOMA_CREATE;
    Delete(Done) = CSTOMA_DELETE;
    Duplicate(Done) = CSTOMA_DUPLICATE;
    SetVersion(Done) = CSTOMA_SET_VERSION;
    Replicate(ReplicateDone) = CSTOMA_REPLICATE;
    Chunkop(ChunkopDone) = CSTOMA_CHUNKOP;
    Truncate(Done) = CSTOMA_TRUNCATE;
    Duptrunc(Done) = CSTOMA_DUPTRUNC;
    ChunkBlocks(ChunkBlocks) = CSTOAN_CHUNK_BLOCKS;
    ChunkChecksum(ChunkChecksum) = CSTOAN_CHUNK_CHECKSUM;
    ChunkChecksumTab(ChunkChecksumTab<'a>) = CSTOAN_CHUNK_CHECKSUM_TAB;
}

messages! {
    /// A message of the master to a chunkserver (spec 05 §3.1).
    MasterMessage;
    Version(VersionAnswer<'a>) = ANTOAN_VERSION;
    Config(ConfigAnswer<'a>) = ANTOAN_CONFIG_VALUE;
    Ack(MasterAck) = MATOCS_MASTER_ACK;
    Create(ChunkVersion) = MATOCS_CREATE;
    Delete(ChunkVersion) = MATOCS_DELETE;
    Duplicate(Duplicate) = MATOCS_DUPLICATE;
    SetVersion(SetVersion) = MATOCS_SET_VERSION;
    Replicate(Replicate<'a>) = MATOCS_REPLICATE;
    Chunkop(Chunkop) = MATOCS_CHUNKOP;
    Truncate(Truncate) = MATOCS_TRUNCATE;
    Duptrunc(Duptrunc) = MATOCS_DUPTRUNC;
    GetChunkBlocks(ChunkVersion) = ANTOCS_GET_CHUNK_BLOCKS;
    GetChunkChecksum(ChunkVersion) = ANTOCS_GET_CHUNK_CHECKSUM;
    GetChunkChecksumTab(ChunkVersion) = ANTOCS_GET_CHUNK_CHECKSUM_TAB;
}

/// Registration state of a chunkserver's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// No BEGIN was accepted yet.
    Unregistered,
    /// BEGIN was accepted, the lists are on their way.
    Registering,
    /// END was received.
    Registered,
}

impl<'a> ServerMessage<'a> {
    /// Decodes the payload of one frame from a chunkserver. An error means: close the connection.
    #[inline]
    pub fn decode(message: u32, payload: &'a [u8]) -> Result<Self, DecodeError> {
        Self::decode_body(message, payload, Expect::Plain)
    }

    /// Whether the message is legal in a connection's state (spec 05 §1.5, §2.2). If not, close.
    pub fn allowed(&self, state: State) -> bool {
        match self {
            Self::Ignored(_) | Self::GetVersion(_) | Self::GetConfig(_) => true,
            Self::Register(Register::Begin(_) | Register::OldBegin(_)) => {
                state == State::Unregistered
            }
            // After an old BEGIN a 3.0 chunkserver goes on with the new forms.
            Self::Register(
                Register::Chunks(_) | Register::End | Register::OldChunks(_) | Register::OldEnd(_),
            ) => state == State::Registering,
            // Answers to what a 3.0 master does not send.
            Self::Chunkop(_) | Self::ChunkBlocks(_) | Self::ChunkChecksumTab(_) => false,
            _ => state != State::Unregistered,
        }
    }
}

impl<'a> MasterMessage<'a> {
    /// Decodes the payload of one frame from the master. `expect` is [`Expect::NoMid`] for the answer to a
    /// GET_VERSION without message id, otherwise [`Expect::Plain`].
    #[inline]
    pub fn decode(message: u32, payload: &'a [u8], expect: Expect) -> Result<Self, DecodeError> {
        Self::decode_body(message, payload, expect)
    }

    /// What a chunkserver answers when the order ended with `status`; `None` if it is not an order about a
    /// chunk, or has more to tell than a status.
    pub fn answer(&self, status: Status) -> Option<ServerMessage<'static>> {
        let done = |chunkid| Done { chunkid, status };
        Some(match self {
            Self::Create(order) => ServerMessage::Create(done(order.chunkid)),
            Self::Delete(order) => ServerMessage::Delete(done(order.chunkid)),
            Self::Duplicate(order) => ServerMessage::Duplicate(done(order.new_chunkid)),
            Self::SetVersion(order) => ServerMessage::SetVersion(done(order.chunkid)),
            Self::Truncate(order) => ServerMessage::Truncate(done(order.chunkid)),
            Self::Duptrunc(order) => ServerMessage::Duptrunc(done(order.new_chunkid)),
            Self::Replicate(order) => {
                let ChunkVersion { chunkid, version } = order.chunk();
                ServerMessage::Replicate(ReplicateDone {
                    chunkid,
                    version,
                    status,
                })
            }
            Self::Chunkop(order) => ServerMessage::Chunkop(ChunkopDone {
                order: *order,
                status,
            }),
            _ => return None,
        })
    }
}
