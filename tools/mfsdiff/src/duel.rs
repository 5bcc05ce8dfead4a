//! Two masters, the same steps, and the comparison of everything that comes back.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mfs_proto::client::info::NodeInfoReply;
use mfs_proto::client::register::{
    NewMetaSession, NewSession, Reconnect, Register, RegisterReply, Resume,
};
use mfs_proto::client::tree::EntryInfo;
use mfs_proto::client::{Answer, FileType, Reply, Request};
use mfs_proto::msg;

use crate::clock::Clock;
use crate::connection::{Connection, Frame};
use crate::guard;
use crate::master::{self, Master, Programs, Side};
use crate::rules::{self, Context as RuleContext, Rules};
use crate::script::{Action, Label, Message, Ref, Step};
use crate::slots::{self, ADMIN, Role, SLOTS};

/// Payload bytes in flight to one master at most: what socket buffers take without being read.
const BATCH_BYTES: usize = 60_000;

/// Steps in flight at most.
const BATCH_STEPS: usize = 64;

/// A master has noticed by then that a connection is gone.
const DISCONNECTED: Duration = Duration::from_millis(100);

/// A connection that has not sent for this long is near its end (10 s).
const IDLE: Duration = Duration::from_secs(3);

/// What a step led to, for the generator.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// It was answered with something else than an error.
    pub(crate) ok: bool,
    /// Names and types of a listing, in the order of the inodes that [`Ref::Node`] counts.
    pub(crate) listed: Vec<(Vec<u8>, Option<FileType>)>,
    /// A directory goes on at an edge, which [`Ref::Edge`] means.
    pub(crate) goes_on: bool,
    /// The inodes that were told.
    pub(crate) inodes: Vec<u32>,
}

/// The kind of a difference that is the end of a master.
const DEATH: u32 = u32::MAX - 1;

/// The first thing that nothing explains.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    /// The last step that was sent when it showed itself; `None` at the end.
    pub(crate) label: Option<Label>,
    /// Message number, to tell this difference from others.
    pub(crate) kind: u32,
    pub(crate) text: String,
}

/// Figures of a run.
#[derive(Debug, Default, Clone)]
pub(crate) struct Figures {
    /// Requests sent to each master, and those that succeeded, by message number.
    pub(crate) requests: BTreeMap<u32, (u64, u64)>,
    /// Steps left out because the original would not survive them, by reason.
    pub(crate) guarded: BTreeMap<&'static str, u64>,
    /// Differences that a rule explains, by its name.
    pub(crate) explained: BTreeMap<&'static str, u64>,
    /// Frames that came without having been asked for, or late.
    pub(crate) notices: u64,
}

impl Figures {
    pub(crate) fn total(&self) -> (u64, u64) {
        let sum = |f: fn(&(u64, u64)) -> u64| self.requests.values().map(f).sum();
        (sum(|r| r.0), sum(|r| r.1))
    }

    pub(crate) fn add(&mut self, other: &Figures) {
        for (&message, &(sent, succeeded)) in &other.requests {
            let entry = self.requests.entry(message).or_default();
            entry.0 += sent;
            entry.1 += succeeded;
        }
        for (&reason, &n) in &other.guarded {
            *self.guarded.entry(reason).or_default() += n;
        }
        for (&rule, &n) in &other.explained {
            *self.explained.entry(rule).or_default() += n;
        }
        self.notices += other.notices;
    }
}

/// Both masters.
pub(crate) struct Duel {
    clock: Clock,
    masters: [Master; 2],
    connections: [Vec<Option<Connection>>; 2],
    /// The sessions of the slots, equal on both sides.
    sessions: [Option<u32>; SLOTS.len()],
    metaid: u64,
    /// Inodes that answers told of.
    nodes: HashMap<Label, Vec<u32>>,
    /// Edges that answers to NODE_INFO told of.
    edges: HashMap<Label, u64>,
    pub(crate) outcomes: Vec<(Label, Outcome)>,
    pub(crate) figures: Figures,
    /// Inodes of the whole file system, when they were told last.
    pub(crate) inodes: u32,
    /// Print what is compared, and do not stop at answers that differ.
    pub(crate) trace: bool,
    pub(crate) rules: Rules,
    settled: Instant,
    dropped: bool,
    /// The last step that was sent.
    in_flight: Option<Label>,
    /// What came without being an answer to a request with an id, by side and slot, until it is compared.
    rest: [Vec<Vec<Frame>>; 2],
}

/// A step on its way: its number and its request as sent.
struct Sent<'a> {
    step: &'a Step,
    message: &'a Message,
    payload: Vec<u8>,
}

impl Duel {
    /// Two masters on copies of `image`, in `dir`.
    pub(crate) fn start(programs: &Programs, dir: &Path, image: &[u8]) -> Result<Duel> {
        let clock = Clock::new(dir)?;
        let start =
            |side: Side| Master::start(side, programs, &dir.join(side.name()), &clock, image);
        let masters = [start(Side::Original)?, start(Side::Ours)?];
        let none = || SLOTS.iter().map(|_| None).collect();
        Ok(Duel {
            clock,
            masters,
            connections: [none(), none()],
            sessions: [None; SLOTS.len()],
            metaid: 0,
            nodes: HashMap::new(),
            edges: HashMap::new(),
            outcomes: Vec::new(),
            figures: Figures::default(),
            inodes: 0,
            trace: false,
            rules: Rules::default(),
            settled: Instant::now(),
            dropped: false,
            in_flight: None,
            rest: [0, 1].map(|_| vec![Vec::new(); SLOTS.len()]),
        })
    }

    pub(crate) fn now(&self) -> u32 {
        self.clock.now()
    }

    /// Stops both masters; their images.
    pub(crate) fn stop(mut self) -> Result<[PathBuf; 2]> {
        drop(self.connections);
        // The time of the disconnections is kept.
        std::thread::sleep(DISCONNECTED);
        master::stop(self.masters, &mut self.clock)
    }

    /// Executes steps up to the first difference.
    pub(crate) fn run(&mut self, steps: &[Step]) -> Result<Option<Difference>> {
        let mut at = 0;
        while let Some(step) = steps.get(at) {
            let (taken, difference) = match &step.action {
                Action::Tick(seconds) => (1, self.tick(*seconds)?),
                Action::Drop(slot) => {
                    for side in &mut self.connections {
                        side[*slot] = None;
                    }
                    self.dropped = true;
                    (1, None)
                }
                Action::Send(message) => {
                    if let Some(difference) = self.open(message.slot)? {
                        return Ok(Some(difference));
                    }
                    if self.connections[0][message.slot].is_none() {
                        // Refused on both sides.
                        (1, None)
                    } else if let Some(reason) = guard::reason(self, message)? {
                        *self.figures.guarded.entry(reason).or_default() += 1;
                        (1, None)
                    } else {
                        let batch = self.batch(&steps[at..], message.slot);
                        (batch.len(), self.exchange(message.slot, batch)?)
                    }
                }
            };
            if let Some(mut difference) = difference {
                self.name_the_dead(&mut difference)?;
                // What came behind may have had to do with it.
                difference.label = difference.label.and(self.in_flight);
                return Ok(Some(difference));
            }
            at += taken;
        }
        Ok(None)
    }

    /// The steps that can be in flight together.
    fn batch<'a>(&self, steps: &'a [Step], slot: usize) -> Vec<Sent<'a>> {
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

    /// The value of a hole. What a step should have told of and did not is an inode that nobody has.
    pub(crate) fn number(&self, r: Ref) -> u64 {
        match r {
            Ref::Node(label, index) => {
                let nodes = self.nodes.get(&label);
                let known = nodes.and_then(|nodes| nodes.get(usize::from(index)));
                known.map_or(0x7000_0000 + u64::from(label), |&inode| inode.into())
            }
            Ref::Edge(label) => self.edges.get(&label).copied().unwrap_or(2),
            Ref::Session(slot) => self.sessions[slot].unwrap_or(0x7000_0000).into(),
            Ref::Metaid => self.metaid,
        }
    }

    fn exchange(&mut self, slot: usize, batch: Vec<Sent<'_>>) -> Result<Option<Difference>> {
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

    /// What came on the connection of a slot, from both.
    fn receive(&mut self, slot: usize) -> Result<[Vec<Frame>; 2]> {
        let mut got = [Vec::new(), Vec::new()];
        for (side, got) in got.iter_mut().enumerate() {
            if let Some(connection) = self.connections[side][slot].as_mut() {
                let name = Side::BOTH[side].name();
                *got = connection
                    .receive_marked()
                    .with_context(|| format!("{name}, slot {slot}"))?;
            }
        }
        Ok(got)
    }

    /// Compares the answers to one request.
    fn compare(
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
            }
            // There is nothing to fail.
            entry.1 += 1;
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
    fn compare_rest(&mut self, slot: usize, sender: usize) -> Option<String> {
        let mut got = [0, 1].map(|side| std::mem::take(&mut self.rest[side][slot]));
        for frames in &mut got {
            frames.iter_mut().for_each(rules::mask);
            // A notice may overtake others on the way.
            frames.sort_unstable();
        }
        self.figures.notices += got[0].len() as u64;
        let [mut original, ours] = got;
        if original == ours {
            return None;
        }
        let lengthened = self.rules.lengthen(&mut original);
        original.sort_unstable();
        if lengthened > 0 {
            let rule = "notices of UPDATE tell the length of the file";
            *self.figures.explained.entry(rule).or_default() += lengthened;
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

    /// Asks every open connection but one whether something is on its way to it. A notice may be behind the
    /// answer to a first question, but not behind that to a second one.
    fn settle(&mut self, last: Option<&Sent<'_>>, sender: usize) -> Result<Option<Difference>> {
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
                    if connection.is_some_and(|c| c.is_closed() || c.is_silent()) {
                        let name = Side::BOTH[side].name();
                        let text = format!(
                            "{name} closed slot {slot}, or does not answer (sender: {sender})"
                        );
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

    fn tick(&mut self, seconds: u32) -> Result<Option<Difference>> {
        if std::mem::take(&mut self.dropped) {
            // The time of a disconnection is kept.
            std::thread::sleep(DISCONNECTED);
        }
        if let Some(difference) = self.open(ADMIN)? {
            return Ok(Some(difference));
        }
        self.clock.advance(seconds)?;
        let now = u64::from(self.clock.now()) * 1_000_000;
        for side in 0..2 {
            loop {
                let frames = self.ask(side, ADMIN, msg::CLTOMA_FUSE_TIME_SYNC, &[0; 4])?;
                let seen = frames.iter().find_map(|(message, payload)| {
                    let time = payload.get(4..12)?;
                    (*message == msg::MATOCL_FUSE_TIME_SYNC)
                        .then(|| time.iter().fold(0, |n, &b| n << 8 | u64::from(b)))
                });
                if seen.context("no answer to TIME_SYNC")? >= now {
                    break;
                }
            }
        }
        std::thread::sleep(master::JOBS);
        self.settle(None, ADMIN)
    }

    /// Asks one master something that is no step.
    fn ask(
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
        connection.receive_marked()
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

    /// Connects and registers a slot, unless it is open. One that both masters refuse stays closed.
    fn open(&mut self, slot: usize) -> Result<Option<Difference>> {
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
                *got = connection.receive()?;
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

    /// A closed connection may mean that a master is dead.
    fn name_the_dead(&mut self, difference: &mut Difference) -> Result<()> {
        for master in &mut self.masters {
            if let Some(status) = master.ended()? {
                difference.kind = DEATH;
                let _ = write!(difference.text, "\n  DEAD: {status}\n{}", master.log());
            }
        }
        Ok(())
    }
}

fn owns_session(slot: usize) -> bool {
    matches!(SLOTS[slot].role, Role::Mount(_) | Role::Meta)
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

fn difference(sent: Option<&Sent<'_>>, text: String) -> Difference {
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

fn shown(message: u32, payload: &[u8]) -> String {
    let name = msg::name(message).unwrap_or("unknown");
    format!("{name} {}", hex(payload))
}

fn hex(bytes: &[u8]) -> String {
    let mut text: String = bytes.iter().take(300).map(|b| format!("{b:02x}")).collect();
    if bytes.len() > 300 {
        let _ = write!(text, "... ({} bytes)", bytes.len());
    }
    text
}
