//! Scripts: what is sent to both masters, in order, and their text form.
//!
//! A step names the objects it means by the step that told of them, not by inode number, so that a script
//! keeps its meaning when steps are taken out of it.
//!
//! ```text
//! 12 send 0 418 <1.0>0161 01ff 0000 ...    request 418 of slot 0; the message id goes in front
//! 13 send 0 700 - <12.0>                   a message without an id
//! 14 solo 3 410 00                         a frame that may end its connection
//! 15 tick 1                                both clocks go on by a second
//! 16 drop 3                                the connection of slot 3 is cut
//! ```

use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};

/// The number of a step. Never reused, and kept when other steps are removed.
pub(crate) type Label = u32;

/// A number that is only known while a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ref {
    /// The n-th inode that the answer to a step told of; 4 bytes.
    Node(Label, u16),
    /// Where the answer to a NODE_INFO step says that the directory goes on; 8 bytes.
    Edge(Label),
    /// The session of a slot; 4 bytes.
    Session(usize),
    /// The id of the metadata; 8 bytes.
    Metaid,
}

impl Ref {
    /// Bytes that it takes in a payload.
    pub(crate) fn width(self) -> usize {
        match self {
            Ref::Node(..) | Ref::Session(_) => 4,
            Ref::Edge(_) | Ref::Metaid => 8,
        }
    }
}

/// A payload with holes for the numbers that are not known yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    /// Offset of each hole, ascending.
    refs: Vec<(usize, Ref)>,
}

impl Body {
    pub(crate) fn new() -> Body {
        Body::default()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn u8(mut self, value: u8) -> Body {
        self.bytes.push(value);
        self
    }

    pub(crate) fn u16(mut self, value: u16) -> Body {
        self.bytes.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Body {
        self.bytes.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn u64(mut self, value: u64) -> Body {
        self.bytes.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn bytes(mut self, value: &[u8]) -> Body {
        self.bytes.extend_from_slice(value);
        self
    }

    /// A name with its length in one byte; what is beyond 255 bytes is cut.
    pub(crate) fn name(self, value: &[u8]) -> Body {
        let value = &value[..value.len().min(255)];
        self.u8(value.len() as u8).bytes(value)
    }

    /// A text with its length in four bytes.
    pub(crate) fn blob(self, value: &[u8]) -> Body {
        self.u32(value.len() as u32).bytes(value)
    }

    pub(crate) fn hole(mut self, value: Ref) -> Body {
        self.refs.push((self.bytes.len(), value));
        self.bytes.resize(self.bytes.len() + value.width(), 0);
        self
    }

    /// Cuts or fills with zeros; holes that do not fit any more become plain zeros.
    pub(crate) fn resize(mut self, len: usize) -> Body {
        self.bytes.resize(len, 0);
        self.refs.retain(|(at, r)| at + r.width() <= len);
        self
    }

    /// Another value of one byte, if that is no part of a hole.
    pub(crate) fn poke(mut self, at: usize, value: u8) -> Body {
        let in_hole = |(start, r): &(usize, Ref)| (*start..*start + r.width()).contains(&at);
        if !self.refs.iter().any(in_hole)
            && let Some(byte) = self.bytes.get_mut(at)
        {
            *byte = value;
        }
        self
    }

    pub(crate) fn refs(&self) -> impl Iterator<Item = Ref> {
        self.refs.iter().map(|&(_, r)| r)
    }

    /// The payload, with the holes filled.
    pub(crate) fn resolve(&self, mut number: impl FnMut(Ref) -> u64) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for &(at, r) in &self.refs {
            let value = number(r).to_be_bytes();
            let width = r.width();
            if let Some(room) = bytes.get_mut(at..at + width) {
                room.copy_from_slice(&value[8 - width..]);
            }
        }
        bytes
    }

    fn print(&self) -> String {
        let mut text = String::new();
        let mut at = 0;
        let mut refs = self.refs.iter().peekable();
        while at < self.bytes.len() {
            if let Some(&&(_, r)) = refs.peek().filter(|(start, _)| *start == at) {
                refs.next();
                at += r.width();
                let _ = match r {
                    Ref::Node(label, index) => write!(text, "<{label}.{index}>"),
                    Ref::Edge(label) => write!(text, "<edge {label}>"),
                    Ref::Session(slot) => write!(text, "<session {slot}>"),
                    Ref::Metaid => write!(text, "<metaid>"),
                };
            } else {
                let _ = write!(text, "{:02x}", self.bytes[at]);
                at += 1;
            }
        }
        text
    }

    fn parse(mut text: &str) -> Result<Body> {
        let mut body = Body::new();
        while let Some(first) = text.chars().next() {
            if let Some(rest) = text.strip_prefix('<') {
                let (hole, rest) = rest.split_once('>').context("a < without >")?;
                body = body.hole(if hole == "metaid" {
                    Ref::Metaid
                } else if let Some(label) = hole.strip_prefix("edge ") {
                    Ref::Edge(label.parse()?)
                } else if let Some(slot) = hole.strip_prefix("session ") {
                    Ref::Session(slot.parse()?)
                } else {
                    let (label, index) = hole.split_once('.').context("a hole without index")?;
                    Ref::Node(label.parse()?, index.parse()?)
                });
                text = rest;
            } else if first == ' ' {
                text = &text[1..];
            } else {
                let (byte, rest) = text.split_at_checked(2).context("half a byte")?;
                body = body.u8(u8::from_str_radix(byte, 16)?);
                text = rest;
            }
        }
        Ok(body)
    }
}

/// A message from a slot to the masters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) slot: usize,
    pub(crate) msg: u32,
    /// Whether a message id of the runner's choice goes in front of the body.
    pub(crate) mid: bool,
    pub(crate) body: Body,
    /// May end its connection: nothing else is in flight with it.
    pub(crate) solo: bool,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Send(Message),
    /// The clock of both masters goes on by so many seconds.
    Tick(u32),
    /// The connection of a slot is cut.
    Drop(usize),
}

/// One step of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) label: Label,
    pub(crate) action: Action,
}

impl Step {
    pub(crate) fn print(&self) -> String {
        let label = self.label;
        match &self.action {
            Action::Send(m) => {
                let word = if m.solo { "solo" } else { "send" };
                let mid = if m.mid { "" } else { "- " };
                format!(
                    "{label} {word} {} {} {mid}{}",
                    m.slot,
                    m.msg,
                    m.body.print()
                )
            }
            Action::Tick(seconds) => format!("{label} tick {seconds}"),
            Action::Drop(slot) => format!("{label} drop {slot}"),
        }
    }

    fn parse(line: &str) -> Result<Step> {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().context("the line is too short");
        let label = word()?.parse()?;
        let kind = word()?;
        let rest = word()?;
        let action = match kind {
            "tick" => Action::Tick(rest.trim().parse()?),
            "drop" => Action::Drop(rest.trim().parse()?),
            "send" | "solo" => {
                let mut words = rest.splitn(3, ' ');
                let slot = words.next().context("no slot")?.parse()?;
                ensure!(slot < crate::slots::SLOTS.len(), "there is no slot {slot}");
                let msg = words.next().context("no message number")?.parse()?;
                let body = words.next().unwrap_or("");
                let (mid, body) = match body.strip_prefix('-') {
                    Some(body) => (false, body),
                    None => (true, body),
                };
                Action::Send(Message {
                    slot,
                    msg,
                    mid,
                    body: Body::parse(body)?,
                    solo: kind == "solo",
                })
            }
            _ => bail!("unknown kind of step `{kind}`"),
        };
        Ok(Step { label, action })
    }
}

/// The text of a script.
pub(crate) fn print(steps: &[Step]) -> String {
    steps.iter().map(|step| step.print() + "\n").collect()
}

/// Reads what [`print()`] wrote; empty lines and lines that begin with `#` mean nothing.
pub(crate) fn parse(text: &str) -> Result<Vec<Step>> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(at, line)| Step::parse(line).with_context(|| format!("line {}: {line}", at + 1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(body: Body, mid: bool) -> Action {
        Action::Send(Message {
            slot: 3,
            msg: 418,
            mid,
            body,
            solo: false,
        })
    }

    #[test]
    fn scripts_come_back_from_their_text() {
        let body = Body::new()
            .u32(7)
            .hole(Ref::Node(12, 3))
            .name(b"n")
            .hole(Ref::Session(2))
            .hole(Ref::Edge(4))
            .hole(Ref::Metaid);
        let actions = [
            send(body, true),
            send(Body::new(), true),
            send(Body::new(), false),
            send(Body::new().u8(9), false),
            Action::Tick(1),
            Action::Drop(4),
        ];
        let steps: Vec<Step> = actions
            .into_iter()
            .zip(5..)
            .map(|(action, label)| Step { label, action })
            .collect();
        assert_eq!(parse(&print(&steps)).unwrap(), steps);
    }

    #[test]
    fn holes_are_filled_and_survive_mutation_only_whole() {
        let body = Body::new().u8(1).hole(Ref::Node(1, 0)).u8(2);
        let number = |_| 0x0102_0304;
        assert_eq!(body.resolve(number), [1, 1, 2, 3, 4, 2]);
        assert_eq!(body.clone().resize(4).resolve(number), [1, 0, 0, 0]);
        assert_eq!(body.clone().poke(2, 9), body);
        assert_eq!(body.poke(0, 9).resolve(number), [9, 1, 2, 3, 4, 2]);
    }

    #[test]
    fn faults_are_named_with_their_line() {
        for text in [
            "1 send",
            "1 leap 2",
            "1 send 99 1 -",
            "1 send 0 1 <1",
            "1 send 0 1 0",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
