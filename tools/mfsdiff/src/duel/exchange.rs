//! Requests on their way: what is in flight together, what comes back, what comes unasked.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mfs_proto::client::Request;
use mfs_proto::msg;

use super::Duel;
use super::compare::difference;
use crate::connection::{Connection, Frame, Received};
use crate::difference::Difference;
use crate::guard;
use crate::master::Side;
use crate::rules;
use crate::script::{Action, Label, Message, Ref, Step};
use crate::slots::{ADMIN, Role, SLOTS};

/// How long a master may take for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Payload bytes in flight to one master at most: what socket buffers take without being read.
const BATCH_BYTES: usize = 60_000;

/// Steps in flight at most.
const BATCH_STEPS: usize = 64;

/// A connection that has not sent for this long is near its end (10 s).
const IDLE: Duration = Duration::from_secs(3);

/// A step on its way: its number and its request as sent.
pub(super) struct Sent<'a> {
    pub(super) step: &'a Step,
    pub(super) message: &'a Message,
    pub(super) payload: Vec<u8>,
}

impl Duel {
    /// The steps that can be in flight together.
    pub(super) fn batch<'a>(&self, steps: &'a [Step], slot: usize) -> Vec<Sent<'a>> {
        let mut batch: Vec<Sent<'a>> = Vec::new();
        let mut bytes = 0;
        for step in steps {
            let Action::Send(message) = &step.action else {
                break;
            };
            let first = batch.is_empty();
            let waits = |r| matches!(r, Ref::Node(label, _) | Ref::Edge(label) if batch.iter().any(|s| s.step.label == label));
            let alone = message.solo || guard::needed(message);
            bytes += message.body.len() + 12;
            if message.slot != slot
                || !first
                    && (alone
                        || bytes > BATCH_BYTES
                        || batch.len() == BATCH_STEPS
                        || message.body.refs().any(waits))
            {
                break;
            }
            batch.push(Sent {
                step,
                message,
                payload: self.payload(step.label, message),
            });
            if alone {
                break;
            }
        }
        batch
    }

    fn payload(&self, label: Label, message: &Message) -> Vec<u8> {
        let body = message.body.resolve(|r| self.number(r));
        if message.mid {
            let mid = label + 1;
            [&mid.to_be_bytes()[..], &body].concat()
        } else {
            body
        }
    }

    pub(super) fn exchange(
        &mut self,
        slot: usize,
        batch: Vec<Sent<'_>>,
    ) -> Result<Option<Difference>> {
        self.rules.next_batch();
        self.in_flight = batch.last().map(|sent| sent.step.label);
        for side in &mut self.connections {
            let connection = side[slot].as_mut().context("a slot is not open")?;
            for sent in &batch {
                connection.push(sent.message.msg, &sent.payload);
            }
            connection.send_marked();
        }
        let got = self.receive(slot)?;
        for side in 0..2 {
            let connection = self.connections[side][slot].as_ref();
            if connection.is_some_and(Connection::is_silent) {
                let name = Side::BOTH[side].name();
                return Ok(Some(difference(
                    batch.last(),
                    format!("{name} does not answer"),
                )));
            }
        }
        let mids: HashMap<[u8; 4], u32> = batch
            .iter()
            .filter(|sent| sent.message.mid)
            .map(|sent| ((sent.step.label + 1).to_be_bytes(), sent.message.msg + 1))
            .collect();
        let mut answers = [HashMap::new(), HashMap::new()];
        for (side, got) in got.into_iter().enumerate() {
            for (message, payload) in got {
                match payload.first_chunk::<4>() {
                    Some(mid) if mids.get(mid) == Some(&message) => {
                        answers[side].insert(*mid, payload);
                    }
                    _ => self.rest[side][slot].push((message, payload)),
                }
            }
        }
        for sent in &batch {
            let mid = (sent.step.label + 1).to_be_bytes();
            let [mut original, mut ours] = [0, 1].map(|side| answers[side].remove(&mid));
            if original.is_some() != ours.is_some() && may_be_late(sent.message.msg) {
                // Ours may have sent it behind the answer to the mark: compared with all that comes late.
                for (side, answer) in [&mut original, &mut ours].into_iter().enumerate() {
                    let late = answer.take().map(|payload| (sent.message.msg + 1, payload));
                    self.rest[side][slot].extend(late);
                }
            }
            if let Some(difference) = self.compare(sent, original, ours) {
                return Ok(Some(difference));
            }
        }
        let closed = [0, 1].map(|side| {
            let connection = self.connections[side][slot].as_ref();
            connection.is_none_or(Connection::is_closed)
        });
        if closed[0] != closed[1] {
            return Ok(Some(difference(
                batch.last(),
                format!("closed: original {}, ours {}", closed[0], closed[1]),
            )));
        }
        if closed[0] {
            for side in &mut self.connections {
                side[slot] = None;
            }
        }
        let unasked = self.rest.iter().any(|side| !side[slot].is_empty());
        let concerns_others = batch.iter().any(|s| concerns_others(s.message.msg));
        if unasked || closed[0] || concerns_others || self.settled.elapsed() > IDLE {
            return self.settle(batch.last(), slot);
        }
        Ok(None)
    }

    /// What came on the connection of a slot up to the answer to the mark, from both.
    fn receive(&mut self, slot: usize) -> Result<[Vec<Frame>; 2]> {
        Ok([self.receive_marked(0, slot)?, self.receive_marked(1, slot)?])
    }

    /// Everything up to the answer to the mark, or to the end of the connection; nothing if there is none.
    fn receive_marked(&mut self, side: usize, slot: usize) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next_frame(side, slot)? {
            if Connection::is_mark(&frame) {
                break;
            }
            frames.push(frame);
        }
        Ok(frames)
    }

    /// The next frame that means something; `None` at the end of the connection. Meanwhile the others are kept
    /// alive: masters close connections that are silent for 10 s, and one of the two may take its time.
    pub(super) fn next_frame(&mut self, side: usize, slot: usize) -> Result<Option<Frame>> {
        let until = Instant::now() + PATIENCE;
        loop {
            let Some(connection) = self.connections[side][slot].as_mut() else {
                return Ok(None);
            };
            let received = connection
                .receive()
                .with_context(|| format!("{}, slot {slot}", Side::BOTH[side].name()))?;
            match received {
                Received::Frame((msg::ANTOAN_NOP, _)) => {}
                Received::Frame(frame) => return Ok(Some(frame)),
                Received::Closed => return Ok(None),
                Received::Nothing if Instant::now() >= until => connection.give_up(),
                Received::Nothing => {
                    let all = self.connections.iter_mut().flatten().flatten();
                    all.for_each(Connection::keep_alive);
                }
            }
        }
    }

    /// Asks every open connection but one whether something is on its way to it. A notice may be behind the
    /// answer to a first question, but not behind that to a second one.
    pub(super) fn settle(
        &mut self,
        last: Option<&Sent<'_>>,
        sender: usize,
    ) -> Result<Option<Difference>> {
        self.settled = Instant::now();
        for _ in 0..2 {
            for connection in self.connections.iter_mut().flatten().flatten() {
                connection.send_marked();
            }
            for slot in 0..SLOTS.len() {
                let got = self.receive(slot)?;
                for (side, got) in got.into_iter().enumerate() {
                    self.rest[side][slot].extend(got);
                    let connection = self.connections[side][slot].as_ref();
                    if let Some(connection) = connection.filter(|c| c.is_closed()) {
                        let name = Side::BOTH[side].name();
                        let what = match connection.is_silent() {
                            true => "does not answer on",
                            false => "closed",
                        };
                        let log = self.masters[side].log();
                        let text = format!("{name} {what} slot {slot} (sender: {sender}):\n{log}");
                        return Ok(Some(difference(last, text)));
                    }
                }
            }
        }
        for (slot, owner) in SLOTS
            .iter()
            .enumerate()
            .filter_map(|(slot, s)| match s.role {
                Role::Second(owner) => Some((slot, owner)),
                _ => None,
            })
        {
            for side in &mut self.rest {
                let mut from = std::mem::take(&mut side[slot]);
                rules::take_lock_answers(&mut from, &mut side[owner]);
                side[slot] = from;
            }
        }
        for slot in 0..SLOTS.len() {
            if let Some(text) = self.compare_rest(slot, sender) {
                return Ok(Some(difference(last, text)));
            }
        }
        Ok(None)
    }

    /// Asks one master something that is no step.
    pub(super) fn ask(
        &mut self,
        side: usize,
        slot: usize,
        message: u32,
        payload: &[u8],
    ) -> Result<Vec<Frame>> {
        let connection = self.connections[side][slot]
            .as_mut()
            .context("a slot is not open")?;
        connection.push(message, payload);
        connection.send_marked();
        self.receive_marked(side, slot)
    }

    /// Asks both masters, as the administrator, for the runner's own purposes; the answer of the original.
    pub(crate) fn ask_both(&mut self, request: &Request<'_>) -> Result<Vec<u8>> {
        ensure!(self.open(ADMIN)?.is_none(), "the administrator is refused");
        let mut framed = Vec::new();
        request.encode(&mut framed);
        let payload = framed.get(8..).context("no payload")?;
        let mut answers = Vec::new();
        for side in 0..2 {
            let frames = self.ask(side, ADMIN, request.msg(), payload)?;
            let mut answer = frames.into_iter().filter(|f| f.0 == request.msg() + 1);
            answers.push(
                answer
                    .next()
                    .context("a question of the runner is not answered")?
                    .1,
            );
        }
        Ok(answers.swap_remove(0))
    }
}

/// Requests that may have to wait.
fn may_be_late(message: u32) -> bool {
    matches!(
        message,
        msg::CLTOMA_FUSE_FLOCK | msg::CLTOMA_FUSE_POSIX_LOCK
    )
}

/// Requests that may send something to others.
fn concerns_others(message: u32) -> bool {
    matches!(
        message,
        msg::CLTOMA_FUSE_REGISTER
            | msg::CLTOMA_FUSE_TRUNCATE
            | msg::CLTOMA_FUSE_WRITE_CHUNK
            | msg::CLTOMA_FUSE_WRITE_CHUNK_END
            | msg::CLTOMA_FUSE_APPEND_SLICE
            | msg::CLTOMA_FUSE_FLOCK
            | msg::CLTOMA_FUSE_POSIX_LOCK
            | msg::CLTOMA_FUSE_SUSTAINED_INODES
            | msg::CLTOMA_FUSE_SUSTAINED_INODES_DEPRECATED
    )
}
