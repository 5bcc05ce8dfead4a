//! Answers about the master itself (spec 05 §3.1). The questions are those of the client port.

use crate::client::Expect;
use crate::client::session::{ConfigReply, VersionReply};
use crate::frame::FrameBuf;
use crate::wire::{Body, Fault, Reader, Writer};

/// VERSION 11, answer of GET_VERSION.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionAnswer<'a> {
    /// Message id; the answer has one exactly if the question has.
    pub mid: Option<u32>,
    /// The version.
    pub reply: VersionReply<'a>,
}

impl<'a> Body<'a> for VersionAnswer<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: match r.expect() {
                Expect::NoMid => None,
                _ => Some(r.u32()?),
            },
            reply: VersionReply::take(r)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        if let Some(mid) = self.mid {
            w.u32(mid);
        }
        self.reply.put(w);
    }
}

/// CONFIG_VALUE 81, answer of GET_CONFIG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigAnswer<'a> {
    /// Message id of the question.
    pub mid: u32,
    /// The value.
    pub reply: ConfigReply<'a>,
}

impl<'a> Body<'a> for ConfigAnswer<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            reply: ConfigReply::take(r)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        self.reply.put(w);
    }
}
