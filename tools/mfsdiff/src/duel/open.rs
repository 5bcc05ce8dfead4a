//! Connections and registrations.

use anyhow::{Context, Result};
use mfs_proto::client::register::{
    NewMetaSession, NewSession, Reconnect, Register, RegisterReply, Resume,
};
use mfs_proto::client::{Answer, Reply, Request};
use mfs_proto::msg;

use super::Duel;
use crate::connection::Connection;
use crate::difference::{Difference, hex};
use crate::slots::{self, Role, SLOTS};

impl Duel {
    /// Connects and registers a slot, unless it is open. One that both masters refuse stays closed.
    pub(super) fn open(&mut self, slot: usize) -> Result<Option<Difference>> {
        if self.connections[0][slot].is_some() {
            return Ok(None);
        }
        if let Role::Tools(owner) | Role::Second(owner) = SLOTS[slot].role {
            if let Some(difference) = self.open(owner)? {
                return Ok(Some(difference));
            }
            self.sessions[slot] = self.sessions[owner];
        }
        // With its session, if it has one; if that is refused with a new one.
        for _ in 0..2 {
            for side in 0..2 {
                let connection =
                    Connection::open(slots::address(slot), self.masters[side].address)?;
                self.connections[side][slot] = Some(connection);
            }
            let Some(register) = self.registration(slot) else {
                return Ok(None);
            };
            let mut framed = Vec::new();
            Request::Register(register).encode(&mut framed);
            let mut got = [None, None];
            for (side, got) in got.iter_mut().enumerate() {
                let connection = self.connections[side][slot].as_mut().context("not open")?;
                connection.push(
                    msg::CLTOMA_FUSE_REGISTER,
                    framed.get(8..).unwrap_or_default(),
                );
                connection.send();
                *got = self.next_frame(side, slot)?;
            }
            if got[0] != got[1] {
                let [original, ours] = got.map(|frame| frame.map(|(_, p)| hex(&p)));
                return Ok(Some(Difference {
                    label: None,
                    kind: msg::CLTOMA_FUSE_REGISTER,
                    text: format!(
                        "registration of slot {slot}: {register:?}\n  original {original:?}\n  ours     {ours:?}"
                    ),
                }));
            }
            let [Some((_, payload)), _] = got else {
                break;
            };
            let version = SLOTS[slot].version;
            let answer = Answer::decode(
                msg::MATOCL_FUSE_REGISTER,
                &payload,
                version,
                Default::default(),
            )?;
            match answer.result {
                Ok(Reply::Register(RegisterReply::Session(session))) => {
                    self.sessions[slot] = Some(session.session_id);
                    self.metaid = session.metaid;
                    return Ok(None);
                }
                Ok(Reply::Register(RegisterReply::MetaSession(session))) => {
                    self.sessions[slot] = Some(session.session_id);
                    return Ok(None);
                }
                Ok(Reply::Register(RegisterReply::Reconnect { status, .. })) if status.is_ok() => {
                    return Ok(None);
                }
                Ok(Reply::Register(RegisterReply::Status(status))) if status.is_ok() => {
                    return Ok(None);
                }
                _ => {}
            }
            if self.sessions[slot].take().is_none() || !owns_session(slot) {
                break;
            }
        }
        for side in &mut self.connections {
            side[slot] = None;
        }
        Ok(None)
    }

    fn registration(&self, slot: usize) -> Option<Register<'static>> {
        let version = SLOTS[slot].version;
        let reconnect = self.sessions[slot].map(|session_id| Reconnect {
            session_id,
            version,
            metaid: Some(self.metaid),
        });
        let resume: Option<Resume> = None;
        Some(match (SLOTS[slot].role, reconnect) {
            (Role::Stranger, _) => return None,
            (Role::Tools(_), Some(session)) => Register::Tools(session),
            (Role::Tools(_) | Role::Second(_), None) => return None,
            (_, Some(session)) => Register::Reconnect(session),
            (Role::Mount(path), None) => Register::NewSession(NewSession {
                version,
                info: b"/mnt/diff",
                path: path.as_bytes(),
                resume,
                digest: None,
            }),
            (Role::Meta, None) => Register::NewMetaSession(NewMetaSession {
                version,
                info: b"/mnt/meta",
                resume,
                digest: None,
            }),
        })
    }
}

fn owns_session(slot: usize) -> bool {
    matches!(SLOTS[slot].role, Role::Mount(_) | Role::Meta)
}
