//! A connection of a chunkserver: registration, reports, answers (spec 05 §1–§3).
//!
//! Everything that a chunkserver says is told to chunk management in exclusive sections of bounded length: long
//! lists are worked off in slices, between which everybody else has his turn.

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::sync::Arc;

use mfs_chunks::{Answer, AnswerKind, HeavyLoad, Registration, Reported, ServerId};
use mfs_proto::Version;
use mfs_proto::chunkserver::command::{Done, ReplicateDone};
use mfs_proto::chunkserver::{
    Begin, ConfigAnswer, MasterAck, MasterMessage, OldBegin, Register, ReportedChunk,
    ServerMessage, Space, State, VersionAnswer,
};
use mfs_proto::client::session::{ConfigReply, VersionReply};
use mfs_proto::frame::{CHUNKSERVER_MAX_PAYLOAD, Frame, Frames};
use mfs_proto::register::{Challenge, auth_digest};
use mfs_proto::wire::{Item, List};

use crate::access::{Access, Accessible};
use crate::client::VERSION_TEXT;
use crate::master::{Batch, Master, Txn};
use crate::net::{End, Executed, Link, Protocol, drive};

/// Work of one exclusive section, in chunks of a list: about 0.1 ms, 1 ms if none of them is known.
const SLICE: usize = 1000;

/// What a message other than a list counts as.
const MESSAGE: usize = 10;

/// Bytes of answers after which a batch ends.
const BATCH_OUTPUT: usize = 64 * 1024;

/// Longest payload of who has not registered, bytes: nobody fills the memory without being known.
const STRANGER_MAX_PAYLOAD: u32 = 16 * 1024;

/// Shortest time-out that a chunkserver may wish for, seconds; 0 = the master chooses (spec 05 §2.2 rule 4).
const MIN_TIMEOUT: u16 = 10;

/// In reported versions: the copy is on a disk marked for removal.
const MARKED: u32 = 1 << 31;

/// Serves a connection to its end.
pub(crate) async fn serve(master: Arc<Master>, link: Arc<Link>) {
    let mut guest = Guest {
        server: Server::new(Arc::clone(&link)),
        master,
    };
    let end = drive(&guest.master, &link, &mut guest.server).await;
    if guest.server.is_heard(&guest.master) {
        guest.server.log_end(&end);
    }
    drop(guest);
    link.finish();
}

/// Whatever happens to the task, the connection is taken from the lists.
struct Guest {
    server: Server,
    master: Arc<Master>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(server) = self.server.registered {
            let stopping = self.master.connections.are_closing();
            self.master.change(|txn| {
                txn.chunk_state_mut().links.remove(server);
                // What a stop leaves open is in the log; the next master decides it when the chunkservers are back.
                if !stopping {
                    txn.with_chunks(|chunks, log| chunks.disconnected(log, server));
                }
            });
        }
        self.master.connections.remove(self.server.link.id());
    }
}

/// A chunkserver as its messages see it.
struct Server {
    link: Arc<Link>,
    state: State,
    registered: Option<ServerId>,
    version: Version,
    /// Address for clients.
    ip: Ipv4Addr,
    port: u16,
    csid: u16,
    /// What it was challenged with.
    challenge: Option<Challenge>,
    space: Space,
    /// Items of the list at the front of the input that are worked off.
    taken: usize,
    /// Chunks reported since BEGIN.
    chunks: u64,
    /// Of these the strange ones, since the log has told of them.
    strange: Reported,
    /// Whether the log tells of this connection; decided at its first line.
    heard: Option<bool>,
}

/// What became of a message.
#[derive(PartialEq, Eq)]
enum Taken {
    Whole,
    /// There is more of its list.
    Part,
}

/// A chunkserver that begins to register, in whichever form.
struct Hello {
    version: Version,
    ip: u32,
    port: u16,
    timeout: u16,
    csid: u16,
    /// Registration 60.
    is_new: bool,
}

/// An exclusive section, begun when it is needed.
struct Section<'a> {
    master: &'a Master,
    access: &'a dyn Accessible,
    batch: &'a Batch,
    txn: Option<Txn<'a>>,
}

impl<'a> Section<'a> {
    fn txn(&mut self) -> &mut Txn<'a> {
        let Section {
            master,
            access,
            batch,
            txn,
        } = self;
        txn.get_or_insert_with(|| {
            let now = master.clock.now();
            Txn::new(*access, master.gate.journal(), now, batch)
        })
    }
}

impl Protocol for Server {
    fn execute(
        &mut self,
        master: &Master,
        input: &[u8],
        out: &mut Vec<u8>,
        batch: &Batch,
    ) -> Executed {
        let mut executed = Executed::default();
        let access = Access::new(&master.state);
        let mut section = Section {
            master,
            access: &access,
            batch,
            txn: None,
        };
        let known = self.is_registered();
        let limit = if known {
            CHUNKSERVER_MAX_PAYLOAD
        } else {
            STRANGER_MAX_PAYLOAD
        };
        let mut frames = Frames::new(input, limit);
        let mut budget = SLICE;
        loop {
            // Behind an accepted BEGIN frames may be longer.
            if budget == 0 || out.len() >= BATCH_OUTPUT || self.is_registered() != known {
                executed.more = true;
                return executed;
            }
            match frames.next_frame() {
                Ok(Some(frame)) => match self.message(&mut section, &frame, &mut budget, out) {
                    Ok(Taken::Whole) => executed.consumed = frames.consumed(),
                    Ok(Taken::Part) => {
                        executed.more = true;
                        return executed;
                    }
                    Err(end) => executed.end = Some(end),
                },
                Ok(None) => return executed,
                Err(error) => executed.end = Some(End::Malformed(error.to_string())),
            }
            if executed.end.is_some() {
                return executed;
            }
        }
    }

    fn wants_turn(&self, _: &[u8]) -> bool {
        true
    }

    fn is_registered(&self) -> bool {
        self.state != State::Unregistered
    }
}

impl Server {
    fn new(link: Arc<Link>) -> Server {
        Server {
            ip: link.peer(),
            link,
            state: State::Unregistered,
            registered: None,
            version: Version(0),
            port: 0,
            csid: 0,
            challenge: None,
            space: Space::default(),
            taken: 0,
            chunks: 0,
            strange: Reported::default(),
            heard: None,
        }
    }

    /// Whether the log tells of this connection: one that comes and goes all the time must not fill it.
    fn is_heard(&mut self, master: &Master) -> bool {
        let peer = self.link.peer();
        *self
            .heard
            .get_or_insert_with(|| master.connections.complaints().admit(peer))
    }

    /// Executes a message, or as much of it as the budget allows.
    fn message(
        &mut self,
        section: &mut Section<'_>,
        frame: &Frame<'_>,
        budget: &mut usize,
        out: &mut Vec<u8>,
    ) -> Result<Taken, End> {
        let message = ServerMessage::decode(frame.msg, frame.payload)
            .map_err(|error| End::Malformed(error.to_string()))?;
        if !message.allowed(self.state) {
            return Err(End::Malformed(format!(
                "message {} is not allowed here",
                frame.msg
            )));
        }
        match message {
            ServerMessage::Register(register) => {
                return self.register(section, &register, budget, out);
            }
            ServerMessage::ChunkNew(new) => {
                let taken = self.report(section, &new.chunks, budget);
                if taken == Taken::Whole && self.state == State::Registered {
                    self.log_strange(section.master);
                }
                return Ok(taken);
            }
            ServerMessage::ChunkLost(lost) => {
                return Ok(self.list(&lost.chunks, budget, |server, slice| {
                    section
                        .txn()
                        .with_chunks(|chunks, log| chunks.lost(log, server, slice));
                }));
            }
            ServerMessage::ChunkDamaged(damaged) => {
                return Ok(self.list(&damaged.chunks, budget, |server, slice| {
                    section
                        .txn()
                        .with_chunks(|chunks, log| chunks.damaged(log, server, slice));
                }));
            }
            _ => {}
        }
        *budget = budget.saturating_sub(MESSAGE);
        if let Some(server) = self.registered {
            self.report_or_answer(section, server, &message);
        }
        answer_question(section.master, &message, out);
        Ok(Taken::Whole)
    }

    fn register(
        &mut self,
        section: &mut Section<'_>,
        register: &Register<'_>,
        budget: &mut usize,
        out: &mut Vec<u8>,
    ) -> Result<Taken, End> {
        match register {
            Register::Begin(begin) => self.begin(section, begin, out)?,
            Register::OldBegin(begin) => self.old_begin(section, begin, out)?,
            Register::Chunks(chunks) => {
                let taken = self.report(section, chunks, budget);
                if taken == Taken::Part {
                    return Ok(taken);
                }
                acknowledge(MasterAck::chunks(self.version), out);
            }
            Register::OldChunks(chunks) => return Ok(self.report(section, chunks, budget)),
            Register::End => self.end(section),
            Register::OldEnd(space) => {
                self.space = *space;
                self.tell_space(section);
                self.end(section);
            }
            Register::Disconnect => {
                if let Some(server) = self.registered {
                    section
                        .txn()
                        .with_chunks(|chunks, log| chunks.graceful(log, server));
                }
                return Err(End::Farewell);
            }
        }
        *budget = budget.saturating_sub(MESSAGE);
        Ok(Taken::Whole)
    }

    fn begin(
        &mut self,
        section: &mut Section<'_>,
        begin: &Begin,
        out: &mut Vec<u8>,
    ) -> Result<(), End> {
        if let Some(code) = &section.master.config().auth_code {
            // A digest that was not asked for proves nothing: who has seen one could repeat it.
            let (Some(challenge), Some(digest)) = (self.challenge, begin.digest) else {
                let mut challenge = Challenge::default();
                getrandom::fill(&mut challenge).map_err(|_| refusal("no random numbers"))?;
                self.challenge = Some(challenge);
                MasterMessage::Ack(MasterAck::Challenge(challenge)).encode(out);
                return Ok(());
            };
            if digest != auth_digest(&challenge, code.as_bytes()) {
                return Err(refusal("it does not know the AUTH_CODE"));
            }
        }
        let timeout = match begin.timeout {
            0 => u16::try_from(section.master.config().matocs_timeout).unwrap_or(u16::MAX),
            chosen => chosen,
        };
        let hello = Hello {
            version: begin.version,
            ip: begin.ip,
            port: begin.port,
            timeout,
            csid: begin.csid,
            is_new: true,
        };
        let server = self.enter(section, &hello)?;
        self.space = begin.space;
        self.tell_space(section);
        let meta_id = section.txn().meta().meta_id();
        let ack = MasterAck::begin(self.version, Version::MASTER, timeout, self.csid, meta_id);
        acknowledge(ack, out);
        self.registered = Some(server);
        Ok(())
    }

    fn old_begin(
        &mut self,
        section: &mut Section<'_>,
        begin: &OldBegin,
        out: &mut Vec<u8>,
    ) -> Result<(), End> {
        if section.master.config().auth_code.is_some() {
            return Err(refusal("it does not know the AUTH_CODE"));
        }
        let hello = Hello {
            version: begin.version,
            ip: begin.ip,
            port: begin.port,
            timeout: begin.timeout,
            csid: 0,
            is_new: false,
        };
        self.enter(section, &hello)?;
        acknowledge(MasterAck::old_begin(self.version, Version::MASTER), out);
        Ok(())
    }

    /// Enters the chunkserver, or refuses it (spec 05 §2.2 rules 4 to 6).
    fn enter(&mut self, section: &mut Section<'_>, hello: &Hello) -> Result<ServerId, End> {
        if hello.timeout < MIN_TIMEOUT {
            return Err(End::Reason(
                format!("it wants a time-out of {} s, too short", hello.timeout).into(),
            ));
        }
        let mut ip = Ipv4Addr::from(hello.ip);
        if ip.is_unspecified() {
            ip = self.link.peer();
        }
        if let Some(remap) = section.master.config().remap() {
            ip = remap.apply(ip);
        }
        (self.ip, self.port, self.version) = (ip, hello.port, hello.version);
        if ip.is_loopback() {
            return Err(refusal(
                "its address is a loopback address, which clients and other chunkservers cannot use",
            ));
        }
        let registration = Registration {
            ip: u32::from(ip),
            port: hello.port,
            csid: hello.csid,
            version: hello.version.0,
            takes_csid: hello.is_new,
        };
        let txn = section.txn();
        // A chunkserver would accept any other metadata that have none, either.
        if txn.meta().meta_id() == 0 {
            return Err(refusal("the metadata have no id"));
        }
        let registered = txn
            .with_chunks(|chunks, log| chunks.register(log, &registration))
            .map_err(|error| End::Reason(error.to_string().into()))?;
        let server = registered.server;
        txn.chunk_state_mut()
            .links
            .insert(server, Arc::clone(&self.link));
        self.registered = Some(server);
        self.csid = registered.csid;
        self.state = State::Registering;
        self.link.set_timeout(hello.timeout.into());
        if self.is_heard(section.master) {
            tracing::info!(
                ip = %self.ip,
                port = self.port,
                csid = self.csid,
                version = %self.version,
                "chunkserver connected"
            );
        }
        Ok(server)
    }

    fn end(&mut self, section: &mut Section<'_>) {
        if let Some(server) = self.registered {
            section
                .txn()
                .with_chunks(|chunks, log| chunks.registered(log, server));
        }
        self.state = State::Registered;
        if self.is_heard(section.master) {
            tracing::info!(
                ip = %self.ip,
                port = self.port,
                csid = self.csid,
                chunks = self.chunks,
                used = self.space.used,
                total = self.space.total,
                "chunkserver registered"
            );
        }
        self.log_strange(section.master);
    }

    /// Works off a list as far as the budget goes.
    fn list<'f, T: Item<'f>>(
        &mut self,
        list: &List<'f, T>,
        budget: &mut usize,
        take: impl FnOnce(ServerId, std::iter::Take<std::iter::Skip<mfs_proto::wire::ListIter<'f, T>>>),
    ) -> Taken {
        let count = (list.len() - self.taken).min(*budget);
        if let Some(server) = self.registered {
            take(server, list.iter().skip(self.taken).take(count));
        }
        self.taken += count;
        *budget = budget.saturating_sub(count.max(MESSAGE));
        if self.taken < list.len() {
            return Taken::Part;
        }
        self.taken = 0;
        Taken::Whole
    }

    fn report(
        &mut self,
        section: &mut Section<'_>,
        list: &List<'_, ReportedChunk>,
        budget: &mut usize,
    ) -> Taken {
        let before = self.taken;
        let mut strange = Reported::default();
        let taken = self.list(list, budget, |server, slice| {
            let copies = slice.map(|copy| {
                let marked = if copy.marked { MARKED } else { 0 };
                (copy.chunkid, copy.version | marked)
            });
            strange = section
                .txn()
                .with_chunks(|chunks, log| chunks.report(log, server, copies));
        });
        let after = if taken == Taken::Whole {
            list.len()
        } else {
            self.taken
        };
        self.chunks += after.saturating_sub(before) as u64;
        self.strange += strange;
        taken
    }

    fn tell_space(&mut self, section: &mut Section<'_>) {
        let Some(server) = self.registered else {
            return;
        };
        let space = mfs_chunks::Space {
            used: self.space.used,
            total: self.space.total,
            chunks: self.space.chunks,
            td_used: self.space.marked_used,
            td_total: self.space.marked_total,
            td_chunks: self.space.marked_chunks,
        };
        section
            .txn()
            .with_chunks(|chunks, _| chunks.space(server, space));
    }

    /// What a registered chunkserver tells beside lists.
    fn report_or_answer(
        &mut self,
        section: &mut Section<'_>,
        server: ServerId,
        message: &ServerMessage<'_>,
    ) {
        match *message {
            ServerMessage::Space(report) => {
                report.update(&mut self.space);
                self.tell_space(section);
            }
            ServerMessage::Labels(labels) => section
                .txn()
                .with_chunks(|chunks, _| chunks.labels(server, labels.mask)),
            ServerMessage::Load(load) => {
                let state = load.hlstatus.map(HeavyLoad::from_u8);
                section
                    .txn()
                    .with_chunks(|chunks, log| chunks.load(log.now(), server, load.load, state));
            }
            ServerMessage::ErrorOccurred(_) => section
                .txn()
                .with_chunks(|chunks, _| chunks.error_occurred(server)),
            ServerMessage::ChunkChecksum(answer) => tracing::info!(
                csid = self.csid,
                chunk = answer.chunk.chunkid,
                version = answer.chunk.version,
                checksum = ?answer.checksum,
                "checksum of a chunk"
            ),
            _ => {
                if let Some(answer) = answer_of(message) {
                    section
                        .txn()
                        .with_chunks(|chunks, log| chunks.answer(log, server, &answer));
                }
            }
        }
    }

    /// Tells of chunks that files do not explain; at most once for a list.
    fn log_strange(&mut self, master: &Master) {
        let strange = std::mem::take(&mut self.strange);
        let silent = strange == Reported::default();
        if silent || !master.connections.complaints().admit(self.link.peer()) {
            return;
        }
        if strange.unknown > 0 {
            tracing::warn!(
                ip = %self.ip,
                port = self.port,
                csid = self.csid,
                chunks = strange.unknown,
                "chunkserver has chunks that are not known: they are kept for 7 days"
            );
        }
        if strange.impossible > 0 {
            tracing::warn!(
                ip = %self.ip,
                port = self.port,
                csid = self.csid,
                chunks = strange.impossible,
                "chunkserver has chunks with impossible numbers: ignored"
            );
        }
    }

    fn log_end(&self, end: &End) {
        let reason: Cow<'_, str> = match end {
            End::Closed => "it closed the connection".into(),
            End::Failed(error) => format!("connection lost: {error}").into(),
            End::Reason(reason) => Cow::Borrowed(reason),
            End::Malformed(what) => format!("bad packet: {what}").into(),
            End::Farewell => "it is being stopped".into(),
        };
        let peer = self.link.peer();
        if self.registered.is_some() {
            tracing::info!(
                ip = %self.ip,
                port = self.port,
                csid = self.csid,
                "chunkserver disconnected: {reason}"
            );
        } else if matches!(end, End::Closed) {
            tracing::debug!(%peer, "chunkserver connection ended before registration");
        } else {
            tracing::warn!(%peer, ip = %self.ip, port = self.port, "chunkserver refused: {reason}");
        }
    }
}

fn refusal(reason: &'static str) -> End {
    End::Reason(reason.into())
}

fn acknowledge(ack: Option<MasterAck>, out: &mut Vec<u8>) {
    if let Some(ack) = ack {
        MasterMessage::Ack(ack).encode(out);
    }
}

/// The answer to a command that a message is.
fn answer_of(message: &ServerMessage<'_>) -> Option<Answer> {
    let done = |kind, done: Done| Answer {
        kind,
        chunk: done.chunkid,
        status: done.status.0,
    };
    Some(match *message {
        ServerMessage::Create(d) => done(AnswerKind::Create, d),
        ServerMessage::Delete(d) => done(AnswerKind::Delete, d),
        ServerMessage::Duplicate(d) => done(AnswerKind::Duplicate, d),
        ServerMessage::SetVersion(d) => done(AnswerKind::SetVersion, d),
        ServerMessage::Truncate(d) => done(AnswerKind::Truncate, d),
        ServerMessage::Duptrunc(d) => done(AnswerKind::DupTrunc, d),
        ServerMessage::Replicate(ReplicateDone {
            chunkid,
            version,
            status,
        }) => Answer {
            kind: AnswerKind::Replicate { version },
            chunk: chunkid,
            status: status.0,
        },
        _ => return None,
    })
}

/// Answers questions about the master itself.
fn answer_question(master: &Master, message: &ServerMessage<'_>, out: &mut Vec<u8>) {
    match message {
        ServerMessage::GetVersion(question) => MasterMessage::Version(VersionAnswer {
            mid: question.mid,
            reply: VersionReply {
                version: Version::MASTER,
                text: VERSION_TEXT,
            },
        })
        .encode(out),
        ServerMessage::GetConfig(question) => MasterMessage::Config(ConfigAnswer {
            mid: question.mid,
            reply: ConfigReply {
                value: master.config().told(question.option).as_bytes(),
            },
        })
        .encode(out),
        _ => {}
    }
}
