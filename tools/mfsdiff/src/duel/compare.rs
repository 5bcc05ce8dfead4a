//! The comparison of everything that comes back.

use mfs_proto::client::info::NodeInfoReply;
use mfs_proto::client::tree::EntryInfo;
use mfs_proto::client::{Answer, FileType, Reply, Request, peek_mid};
use mfs_proto::msg;

use super::exchange::Sent;
use super::{Duel, Outcome};
use crate::connection::{Connection, Frame};
use crate::difference::{Difference, hex, shown};
use crate::master::Side;
use crate::rules::{self, Context as RuleContext};
use crate::slots::{ADMIN, SLOTS};

impl Duel {
    /// Compares the answers to one request.
    pub(super) fn compare(
        &mut self,
        sent: &Sent<'_>,
        original: Option<Vec<u8>>,
        ours: Option<Vec<u8>>,
    ) -> Option<Difference> {
        let message = sent.message;
        let version = SLOTS[message.slot].version;
        let request = Request::decode(message.msg, &sent.payload, version);
        let context = RuleContext {
            slot: message.slot,
            request: request.as_ref().ok(),
        };
        let text = |answer: &Option<Vec<u8>>| answer.as_deref().map_or("-".into(), hex);
        if self.trace {
            let mark = if original == ours { ' ' } else { '!' };
            println!("{mark} {}", sent.step.print());
            println!("{mark}   sent     {}", hex(&sent.payload));
            println!("{mark}   original {}", text(&original));
            println!("{mark}   ours     {}", text(&ours));
        }
        if original != ours && !self.trace {
            let rule = self
                .rules
                .explain(&context, original.as_deref(), ours.as_deref());
            let Some(rule) = rule else {
                let text = format!(
                    "{}\n  original {}\n  ours     {}{}",
                    shown(message.msg, &sent.payload),
                    text(&original),
                    text(&ours),
                    self.closed(message.slot),
                );
                return Some(difference(Some(sent), text));
            };
            *self.figures.explained.entry(rule).or_default() += 1;
        }
        let entry = self.figures.requests.entry(message.msg).or_default();
        entry.0 += 1;
        let mut outcome = Outcome::default();
        if let (Ok(request), Some(answer)) = (&request, &original) {
            self.rules.answered(&context, answer);
            let answer = match Answer::decode(message.msg + 1, answer, version, request.expect()) {
                Ok(answer) => answer,
                Err(e) => {
                    let text = format!("{}\n  undecoded: {e}", shown(message.msg, &sent.payload));
                    return Some(difference(Some(sent), text));
                }
            };
            if let Ok(reply) = answer.result {
                outcome.ok = true;
                entry.1 += 1;
                if let Reply::Statfs(space) = &reply
                    && message.slot == ADMIN
                {
                    self.inodes = space.inodes;
                }
                if let Reply::NodeInfo(NodeInfoReply::Directory { continueid, .. }) = &reply
                    && *continueid > 1
                {
                    self.edges.insert(sent.step.label, *continueid);
                    outcome.goes_on = true;
                }
                let nodes = told(&reply, &mut outcome.listed);
                outcome.inodes.clone_from(&nodes);
                if !nodes.is_empty() {
                    self.nodes.insert(sent.step.label, nodes);
                }
            }
        } else if !message.mid {
            if let Ok(Request::SustainedInodes(r)) = &request {
                let inodes: Vec<u32> = r.inodes.iter().collect();
                self.rules.sustained(&inodes);
                if let Some(session) = self.sessions[message.slot] {
                    self.rules.waits.opened(session, &inodes);
                }
            }
            // There is nothing to fail.
            entry.1 += 1;
        } else if let (Ok(Request::PosixLock(r)), Some(session)) =
            (&request, self.sessions[message.slot])
        {
            self.rules.waits.add(session, r);
        }
        self.outcomes.push((sent.step.label, outcome));
        None
    }

    /// Who has closed the connection of a slot, as a text.
    fn closed(&self, slot: usize) -> String {
        let closed = |side: &Side| {
            let connection = self.connections[*side as usize][slot].as_ref();
            connection.is_some_and(Connection::is_closed)
        };
        Side::BOTH
            .iter()
            .filter(|side| closed(side))
            .map(|&side| {
                let log = self.masters[side as usize].log();
                format!("\n  {} closed slot {slot}:\n{log}", side.name())
            })
            .collect()
    }

    /// Compares what was no answer to a request with an id: notices, late answers.
    pub(super) fn compare_rest(&mut self, slot: usize, sender: usize) -> Option<String> {
        let mut got = [0, 1].map(|side| std::mem::take(&mut self.rest[side][slot]));
        for frames in &mut got {
            frames.iter_mut().for_each(rules::mask);
            // A notice may overtake others on the way.
            frames.sort_unstable();
        }
        self.figures.notices += got[0].len() as u64;
        for (message, payload) in &got[0] {
            if *message == msg::MATOCL_FUSE_POSIX_LOCK
                && let Some(mid) = peek_mid(payload)
            {
                self.rules.waits.answered(mid);
            }
        }
        let [mut original, ours] = got;
        if original == ours {
            return None;
        }
        let lengthened = self.rules.lengthen(&mut original);
        original.sort_unstable();
        let refused = self.rules.without_refused(&mut original);
        let explained = [
            ("notices of UPDATE tell the length of the file", lengthened),
            ("no notices of writes that are refused", refused),
        ];
        for (rule, count) in explained.into_iter().filter(|rule| rule.1 > 0) {
            *self.figures.explained.entry(rule).or_default() += count;
        }
        if original == ours {
            return None;
        }
        if slot != sender
            && self.sessions[slot] == self.sessions[sender]
            && rules::notices_to_own_session(&original, &ours)
        {
            *self
                .figures
                .explained
                .entry("notices to other connections of the own session")
                .or_default() += 1;
            return None;
        }
        let list = |frames: &[Frame]| {
            let frames = frames
                .iter()
                .take(20)
                .map(|(m, p)| format!("\n    {}", shown(*m, p)));
            frames.collect::<String>()
        };
        Some(format!(
            "unasked or late, slot {slot}\n  original{}\n  ours{}",
            list(&original),
            list(&ours)
        ))
    }
}

/// The inodes that an answer tells of.
fn told(reply: &Reply<'_>, listed: &mut Vec<(Vec<u8>, Option<FileType>)>) -> Vec<u32> {
    match reply {
        Reply::Lookup(r) => vec![r.inode],
        Reply::Create(r) => vec![r.inode],
        Reply::Symlink(r)
        | Reply::Mknod(r)
        | Reply::Mkdir(r)
        | Reply::Rename(r)
        | Reply::Link(r) => {
            vec![r.inode]
        }
        Reply::Readdir(r) => r
            .entries
            .iter()
            .map(|entry| {
                let file_type = match entry.info {
                    EntryInfo::Type(file_type) => file_type,
                    EntryInfo::Attr(attr) => attr.file_type,
                };
                listed.push((entry.name.to_vec(), Some(file_type)));
                entry.inode
            })
            .collect(),
        Reply::Gettrash(r) | Reply::Getsustained(r) => r
            .entries
            .iter()
            .map(|entry| {
                listed.push((entry.name.to_vec(), None));
                entry.inode
            })
            .collect(),
        _ => Vec::new(),
    }
}

pub(super) fn difference(sent: Option<&Sent<'_>>, text: String) -> Difference {
    Difference {
        label: sent.map(|sent| sent.step.label),
        kind: sent.map_or(0, |sent| sent.message.msg),
        text: match sent {
            Some(sent) => format!(
                "{}\n  {text}",
                sent.step.print().chars().take(600).collect::<String>()
            ),
            None => text,
        },
    }
}
