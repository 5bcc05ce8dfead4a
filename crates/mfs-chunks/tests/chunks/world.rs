//! A simulated cluster: chunkservers with disks that obey commands, fail, die and come back; a commit gate that a
//! crash can strike at; and the checks that hold at every moment.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use mfs_chunks::{
    Action, Answer, AnswerKind, ChunkConfig, Chunks, Command, Done, Effect, Flat, Grant, HeavyLoad,
    Registration, Reply, RequestId, ServerId, Space, TruncateRequest, WriteRequest,
};
use mfs_config::ReplicationLimits;
use mfs_meta::Status;

use crate::log::{START, TestLog};
use crate::setup::write_request;
use crate::simulation::torn::TornFigures;

pub(crate) const GIB: u64 = 1 << 30;
/// With the version of a copy: it is on a disk marked for removal.
pub(crate) const MARKED: u32 = 1 << 31;

/// A copy on a disk. The contents of a whole chunk are one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DiskCopy {
    pub(crate) version: u32,
    pub(crate) data: u64,
}

/// Contents after a truncation.
pub(crate) fn cut(data: u64, length: u32) -> u64 {
    (data ^ u64::from(length))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(17)
        | 1
}

/// How a server carries a command out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Properly,
    /// Nothing is done, and it says so (16).
    Refuses,
    /// Nothing is done, for lack of space (21).
    NoSpace,
    /// It fails with an I/O error (22), having done it or not.
    Fails {
        done: bool,
    },
}

pub(crate) struct Server {
    pub(crate) ip: u32,
    pub(crate) port: u16,
    /// Its load, and what it says of it.
    pub(crate) load: (u32, Option<HeavyLoad>),
    pub(crate) csid: u16,
    pub(crate) labels: u32,
    pub(crate) total: u64,
    pub(crate) marked: bool,
    pub(crate) alive: bool,
    pub(crate) connection: Option<ServerId>,
    pub(crate) inbox: VecDeque<Command>,
    pub(crate) disk: BTreeMap<u64, DiskCopy>,
    /// Copies with a block that cannot be read, and whether the server has told so since it connected.
    pub(crate) torn: BTreeMap<u64, bool>,
    /// Copies that it was told to delete since it connected.
    pub(crate) doomed: BTreeSet<u64>,
}

impl Server {
    /// The copy of a chunk that can be read.
    pub(crate) fn sound(&self, chunk: u64) -> Option<DiskCopy> {
        let copy = self.disk.get(&chunk).copied();
        copy.filter(|_| !self.torn.contains_key(&chunk))
    }
}

/// What a client learns about a request.
pub(crate) type Answered = Result<Done, Status>;

pub(crate) struct World {
    pub(crate) log: TestLog,
    pub(crate) chunks: Chunks,
    pub(crate) config: ChunkConfig,
    pub(crate) servers: Vec<Server>,
    pub(crate) by_connection: HashMap<ServerId, usize>,
    /// Effects and immediate answers that wait for the commit.
    pub(crate) pending: VecDeque<Effect>,
    /// Answers that have reached their clients.
    pub(crate) answers: HashMap<RequestId, Answered>,
    /// Requests as they are executed again.
    requests: HashMap<RequestId, Request>,
    next_request: u64,
    /// Session of the client that asks.
    pub(crate) session: u32,
    pub(crate) ticks: u64,
    /// Every command sent: server and command.
    pub(crate) sent: Vec<(usize, Command)>,
    outstanding: BTreeSet<(usize, u64, u8)>,
    pub(crate) invalidations: usize,
    /// Contents that each slot of each file may have.
    pub(crate) allowed: BTreeMap<(u32, u32), BTreeSet<u64>>,
    pub(crate) reads_checked: usize,
    pub(crate) deletions_checked: usize,
    /// What a power cut leaves, when that is not everything.
    disk: Option<TestLog>,
    /// Deletions of chunks that were considered against it.
    pub(crate) power_checked: usize,
    /// The last grants of write sessions that were not ended, by chunk.
    pub(crate) sessions: BTreeMap<u64, Grant>,
    /// Torn copies that were just read.
    pub(crate) found: BTreeSet<(usize, u64)>,
    /// Chunks that were to be cut, and nobody has been told yet what became of that.
    pub(crate) cut: BTreeSet<u64>,
    /// Chunks with operations that had not ended a moment ago.
    pub(crate) unfinished: BTreeSet<u64>,
    pub(crate) torn: TornFigures,
    seed: u64,
    traced: Option<u64>,
    shown: usize,
}

#[derive(Clone, Copy)]
enum Request {
    Write(WriteRequest),
    Truncate(TruncateRequest),
}

/// The greatest of the limits.
pub(crate) fn greatest(limits: &ReplicationLimits) -> f64 {
    limits
        .endangered
        .max(limits.undergoal)
        .max(limits.rebalance)
        .max(limits.extreme_rebalance)
}

fn class_of(command: &Command) -> u8 {
    match command {
        Command::Delete { .. } => 1,
        Command::Replicate { .. } => 2,
        _ => 0,
    }
}

impl World {
    pub(crate) fn new(config: ChunkConfig, labels: &[u32], seed: u64) -> World {
        let log = TestLog::new();
        let servers = labels
            .iter()
            .enumerate()
            .map(|(i, &labels)| Server {
                ip: 0x0A4D_050B + i as u32,
                port: 9422,
                load: (1, Some(HeavyLoad::Ok)),
                csid: 0,
                labels,
                total: 100 * GIB,
                marked: false,
                alive: true,
                connection: None,
                inbox: VecDeque::new(),
                disk: BTreeMap::new(),
                torn: BTreeMap::new(),
                doomed: BTreeSet::new(),
            })
            .collect();
        let chunks = Chunks::new(
            config.clone(),
            Arc::new(Flat),
            &log.meta,
            log.unfinished.clone(),
            START,
            seed,
        );
        World {
            log,
            chunks,
            config,
            servers,
            by_connection: HashMap::new(),
            pending: VecDeque::new(),
            answers: HashMap::new(),
            requests: HashMap::new(),
            next_request: 1,
            session: 1,
            ticks: 0,
            sent: Vec::new(),
            outstanding: BTreeSet::new(),
            invalidations: 0,
            allowed: BTreeMap::new(),
            reads_checked: 0,
            deletions_checked: 0,
            disk: None,
            power_checked: 0,
            sessions: BTreeMap::new(),
            found: BTreeSet::new(),
            cut: BTreeSet::new(),
            unfinished: BTreeSet::new(),
            torn: TornFigures::default(),
            seed,
            traced: std::env::var("CHUNKS_TRACE")
                .ok()
                .and_then(|v| v.parse().ok()),
            shown: 0,
        }
    }

    /// Prints what happens to the chunk in `CHUNKS_TRACE` (0 = to all).
    pub(crate) fn trace(&self, chunk: u64, what: impl FnOnce() -> String) {
        if self.traced.is_some_and(|t| t == 0 || t == chunk) {
            println!("{} {}", self.ticks, what());
        }
    }

    /// Prints the lines since the last call that name the traced chunk.
    fn trace_lines(&mut self) {
        if let Some(chunk) = self.traced {
            for line in &self.log.lines[self.shown.min(self.log.lines.len())..] {
                let text = String::from_utf8_lossy(line);
                if chunk == 0 || text.contains(&chunk.to_string()) {
                    print!("{} line {text}", self.ticks);
                }
            }
            self.shown = self.log.lines.len();
        }
    }

    // ---- power ----------------------------------------------------------------------------------

    /// From now on lines are on the disk only when [`World::sync`] brings them there.
    pub(crate) fn hold_lines(&mut self) {
        self.disk = Some(TestLog::replay(&self.log.lines, self.log.now));
        self.log.durable = Some(self.log.meta.version());
    }

    /// All lines are on the disk from now on, as soon as they are made.
    pub(crate) fn release_lines(&mut self) {
        self.disk = None;
        self.log.durable = None;
    }

    /// Brings all lines to the disk.
    pub(crate) fn sync(&mut self) {
        if let Some(disk) = &mut self.disk {
            disk.replay_more(&self.log.lines[disk.lines.len()..]);
            self.log.durable = Some(self.log.meta.version());
        }
    }

    /// The machine of the master loses its power: only what was on the disk is left.
    pub(crate) fn cut_power(&mut self) {
        let lines = self
            .disk
            .as_ref()
            .map_or(self.log.lines.len(), |disk| disk.lines.len());
        self.crash(lines);
    }

    /// A power cut right after the deletion must leave every file what it needs.
    fn check_power(&mut self, s: usize, chunk: u64) {
        let (Some(disk), Some(copy)) = (&self.disk, self.servers[s].disk.get(&chunk)) else {
            return;
        };
        self.power_checked += 1;
        if disk.meta.chunk_refs(chunk).is_empty() {
            return;
        }
        let version = disk.version_of(chunk);
        let others = self
            .servers
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != s);
        let others: Vec<u32> = others
            .filter_map(|(_, x)| Some(x.disk.get(&chunk)?.version))
            .collect();
        assert!(
            others.contains(&version)
                || others.contains(&copy.version)
                || copy.version != version && others.iter().any(|&other| other > version),
            "server {s} deletes {copy:?} of chunk {chunk}, which has version {version} after a power cut, others {others:?}"
        );
    }

    // ---- connections ----------------------------------------------------------------------------

    pub(crate) fn begin_registration(&mut self, s: usize) {
        let server = &mut self.servers[s];
        server.alive = true;
        server.inbox.clear();
        server.torn.values_mut().for_each(|known| *known = false);
        server.doomed.clear();
        let r = Registration {
            ip: server.ip,
            port: server.port,
            csid: server.csid,
            version: 0x0003_00EA,
            takes_csid: true,
        };
        let registered = self.chunks.register(&mut self.log, &r).unwrap();
        self.servers[s].csid = registered.csid;
        self.servers[s].connection = Some(registered.server);
        self.by_connection.insert(registered.server, s);
        self.chunks
            .labels(registered.server, self.servers[s].labels);
        self.report_space(s);
        self.settle();
    }

    pub(crate) fn report_disk(&mut self, s: usize) {
        for (&id, copy) in &self.servers[s].disk {
            self.trace(id, || format!("server {s} reports {id}: {copy:?}"));
        }
        let server = &self.servers[s];
        let mark = if server.marked { MARKED } else { 0 };
        let list: Vec<_> = server
            .disk
            .iter()
            .map(|(&id, c)| (id, c.version | mark))
            .collect();
        if let Some(id) = server.connection {
            self.chunks.report(&mut self.log, id, list);
        }
        self.settle();
    }

    pub(crate) fn end_registration(&mut self, s: usize) {
        if let Some(id) = self.servers[s].connection {
            self.chunks.registered(&mut self.log, id);
        }
        self.settle();
    }

    pub(crate) fn connect(&mut self, s: usize) {
        self.begin_registration(s);
        self.report_disk(s);
        self.end_registration(s);
    }

    pub(crate) fn report_space(&mut self, s: usize) {
        let server = &self.servers[s];
        let used = (server.disk.len() as u64) << 26;
        let space = if server.marked {
            Space {
                td_used: used,
                td_total: server.total,
                td_chunks: server.disk.len() as u32,
                ..Space::default()
            }
        } else {
            Space {
                used,
                total: server.total,
                chunks: server.disk.len() as u32,
                ..Space::default()
            }
        };
        if let Some(id) = server.connection {
            self.chunks.space(id, space);
            let (load, state) = server.load;
            self.chunks.load(self.log.now, id, load, state);
        }
    }

    /// The process dies; what the master hears of it is the end of the connection.
    pub(crate) fn kill(&mut self, s: usize) {
        self.trace(self.traced.unwrap_or(0), || format!("kill {s}"));
        self.servers[s].alive = false;
        self.servers[s].inbox.clear();
        self.disconnect(s);
    }

    /// The connection ends; the server lives.
    pub(crate) fn disconnect(&mut self, s: usize) {
        if let Some(id) = self.servers[s].connection.take() {
            self.by_connection.remove(&id);
            self.outstanding.retain(|o| o.0 != s);
            self.chunks.disconnected(&mut self.log, id);
        }
        self.settle();
    }

    // ---- time and effects -----------------------------------------------------------------------

    pub(crate) fn tick(&mut self) {
        self.ticks += 1;
        if self.ticks.is_multiple_of(50) {
            self.log.now += 1;
            for s in 0..self.servers.len() {
                self.report_space(s);
            }
            self.chunks.second(&mut self.log);
        }
        self.chunks.tick(&mut self.log);
        self.settle();
    }

    /// Ticks with servers that do what they are told.
    pub(crate) fn run(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.tick();
            self.commit();
            self.work();
        }
    }

    /// Takes the effects, and executes again what may go on.
    pub(crate) fn settle(&mut self) {
        self.trace_lines();
        loop {
            self.take_effects();
            let Some(request) = self.chunks.resume(&self.log) else {
                break;
            };
            self.execute(request);
        }
        self.take_effects();
    }

    fn take_effects(&mut self) {
        for effect in self.chunks.take_effects() {
            match effect.action {
                Action::Finished {
                    result: Ok(ref done),
                    ..
                } => self.promised(done),
                Action::Command {
                    server,
                    command: Command::Delete { chunk, .. },
                } => self.excuse_deletion(server, chunk),
                Action::Command {
                    command:
                        Command::Truncate {
                            chunk, old_version, ..
                        },
                    ..
                } => self.excuse_truncation(chunk, old_version),
                _ => {}
            }
            self.pending.push_back(effect);
        }
        self.count_takeovers();
    }

    /// Whether a command about a chunk waits for the commit.
    pub(crate) fn has_pending_command(&self, chunk: u64) -> bool {
        self.pending.iter().any(
            |e| matches!(&e.action, Action::Command { command, .. } if command.chunk() == chunk),
        )
    }

    /// The lines are safe: what depends on them leaves.
    pub(crate) fn commit(&mut self) {
        while let Some(effect) = self.pending.pop_front() {
            assert!(effect.version <= self.log.meta.version());
            self.deliver(effect.action);
        }
    }

    fn deliver(&mut self, action: Action) {
        match action {
            Action::Command { server, command } => {
                let Some(&s) = self.by_connection.get(&server) else {
                    return;
                };
                let key = (s, command.chunk(), class_of(&command));
                assert!(
                    self.outstanding.insert(key),
                    "second {command:?} to server {s}"
                );
                // The other way round is right: a copy that was reported damaged goes while it is operated on.
                assert!(
                    key.2 != 0 || !self.outstanding.contains(&(s, key.1, 1)),
                    "operation on a copy that is being deleted: {command:?}"
                );
                if let Command::Delete { chunk, .. } = command {
                    self.servers[s].doomed.insert(chunk);
                    self.check_deletion(s, chunk);
                    self.check_power(s, chunk);
                }
                self.trace(command.chunk(), || format!("to {s}: {command:?}"));
                self.sent.push((s, command));
                self.servers[s].inbox.push_back(command);
                self.check_limits();
            }
            Action::Finished { request, result } => {
                self.requests.remove(&request);
                let earlier = self.answers.insert(request, result);
                assert!(earlier.is_none(), "two answers");
            }
            Action::InvalidateChunkCaches => self.invalidations += 1,
        }
    }

    /// The master dies: of the lines not known to be safe some are, and the effects that wait are lost.
    pub(crate) fn crash(&mut self, keep_lines: usize) {
        let all = self.log.lines.len();
        self.trace(self.traced.unwrap_or(0), || {
            format!("crash, {keep_lines} of {all} lines")
        });
        self.shown = self.shown.min(keep_lines);
        self.seed += 1;
        self.pending.clear();
        self.requests.clear();
        self.outstanding.clear();
        self.by_connection.clear();
        self.sessions.clear();
        self.found.clear();
        self.cut.clear();
        self.unfinished.clear();
        for s in &mut self.servers {
            s.connection = None;
            s.inbox.clear();
        }
        let now = self.log.now + 1;
        self.log = TestLog::replay(&self.log.lines[..keep_lines], now);
        // What was found is not known to be on the disk.
        self.log.durable = self.disk.is_some().then_some(0);
        let bytes = self.log.unfinished.encode(self.log.meta.version());
        let (_, unfinished) = mfs_chunks::Unfinished::decode(&bytes).unwrap();
        self.chunks = Chunks::new(
            self.config.clone(),
            Arc::new(Flat),
            &self.log.meta,
            unfinished,
            now,
            self.seed,
        );
        self.forget_fallbacks();
    }

    // ---- chunkservers ---------------------------------------------------------------------------

    /// All servers empty their inboxes.
    pub(crate) fn work(&mut self) {
        loop {
            let Some(s) = (0..self.servers.len()).find(|&s| !self.servers[s].inbox.is_empty())
            else {
                return;
            };
            self.obey(s, Manner::Properly);
            self.commit();
        }
    }

    /// Carries out the first command of an inbox; gives the answer without sending it.
    pub(crate) fn perform(&mut self, s: usize, manner: Manner) -> Option<Answer> {
        let command = self.servers[s].inbox.pop_front()?;
        let status = match manner {
            Manner::Properly => self.change_disk(s, &command),
            Manner::Refuses => 16,
            Manner::NoSpace => 21,
            Manner::Fails { done } => {
                if done {
                    self.change_disk(s, &command);
                }
                22
            }
        };
        let kind = match command {
            Command::Create { .. } => AnswerKind::Create,
            Command::Delete { .. } => AnswerKind::Delete,
            Command::Duplicate { .. } => AnswerKind::Duplicate,
            Command::SetVersion { .. } => AnswerKind::SetVersion,
            Command::Truncate { .. } => AnswerKind::Truncate,
            Command::DupTrunc { .. } => AnswerKind::DupTrunc,
            Command::Replicate { version, .. } => AnswerKind::Replicate { version },
        };
        let chunk = command.chunk();
        self.outstanding.remove(&(s, chunk, class_of(&command)));
        self.trace(chunk, || {
            format!("server {s} {manner:?} {command:?}: {status}")
        });
        Some(Answer {
            kind,
            chunk,
            status,
        })
    }

    pub(crate) fn obey(&mut self, s: usize, manner: Manner) {
        if let Some(answer) = self.perform(s, manner) {
            self.report_torn();
            self.answer(s, &answer);
        }
    }

    pub(crate) fn answer(&mut self, s: usize, answer: &Answer) {
        if let Some(id) = self.servers[s].connection {
            self.chunks.answer(&mut self.log, id, answer);
        }
        self.settle();
    }

    fn change_disk(&mut self, s: usize, command: &Command) -> u8 {
        let disk = &self.servers[s].disk;
        let mut is_torn = self.servers[s].torn.contains_key(&command.chunk());
        let (chunk, new) = match *command {
            Command::Create { chunk, version } => {
                if disk.contains_key(&chunk) {
                    return 20;
                }
                (chunk, DiskCopy { version, data: 0 })
            }
            Command::Delete { chunk, version } => {
                return match disk.get(&chunk) {
                    None => 13,
                    Some(c) if version != 0 && c.version != version => 19,
                    Some(_) => {
                        self.servers[s].disk.remove(&chunk);
                        self.servers[s].torn.remove(&chunk);
                        0
                    }
                };
            }
            Command::Duplicate {
                chunk,
                version,
                source,
                source_version,
            }
            | Command::DupTrunc {
                chunk,
                version,
                source,
                source_version,
                ..
            } => {
                let Some(old) = disk.get(&source) else {
                    return 13;
                };
                if old.version != source_version {
                    return 19;
                }
                if disk.contains_key(&chunk) {
                    return 20;
                }
                let data = match *command {
                    Command::DupTrunc { length, .. } => cut(old.data, length),
                    _ => old.data,
                };
                is_torn = self.servers[s].torn.contains_key(&source);
                (chunk, DiskCopy { version, data })
            }
            Command::SetVersion {
                chunk,
                version,
                old_version,
            }
            | Command::Truncate {
                chunk,
                version,
                old_version,
                ..
            } => {
                let Some(old) = disk.get(&chunk) else {
                    return 13;
                };
                if old.version != old_version {
                    return 19;
                }
                let data = match *command {
                    Command::Truncate { length, .. } => cut(old.data, length),
                    _ => old.data,
                };
                (chunk, DiskCopy { version, data })
            }
            Command::Replicate {
                chunk,
                version,
                ip,
                port,
            } => {
                if disk.contains_key(&chunk) {
                    return 20;
                }
                let mut servers = self.servers.iter();
                let source = servers.position(|x| (x.ip, x.port) == (ip, port) && x.alive);
                match source.and_then(|x| Some((x, *self.servers[x].disk.get(&chunk)?))) {
                    None => return 26,
                    Some((_, c)) if c.version != version => return 19,
                    Some((x, _)) if self.servers[x].torn.contains_key(&chunk) => {
                        self.torn_source(x, chunk);
                        return 29;
                    }
                    Some((_, c)) => (chunk, c),
                }
            }
        };
        let server = &mut self.servers[s];
        server.disk.insert(chunk, new);
        server.doomed.remove(&chunk);
        if is_torn {
            server.torn.insert(chunk, false);
        } else {
            server.torn.remove(&chunk);
        }
        if is_torn {
            self.excuse_cut(s, command);
        }
        0
    }

    // ---- clients --------------------------------------------------------------------------------

    fn number(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    /// Sends a write request; the answer comes to [`World::answers`].
    pub(crate) fn write(&mut self, inode: u32, index: u32, continues: bool) -> RequestId {
        let request = self.number();
        let w = WriteRequest {
            index,
            session: self.session,
            continues,
            ..write_request(request, inode)
        };
        self.requests.insert(request, Request::Write(w));
        self.execute(request);
        self.settle();
        request
    }

    pub(crate) fn truncate(&mut self, inode: u32, length: u64) -> RequestId {
        let request = self.number();
        let t = TruncateRequest {
            request,
            inode,
            length,
            client_ip: 1,
            session: self.session,
            canmod: true,
        };
        self.requests.insert(request, Request::Truncate(t));
        self.execute(request);
        self.settle();
        request
    }

    fn execute(&mut self, request: RequestId) {
        let reply = match self.requests.get(&request) {
            None => return,
            Some(Request::Write(w)) => self.chunks.write(&mut self.log, w),
            Some(Request::Truncate(t)) => self.chunks.truncate(&mut self.log, t),
        };
        let result = match reply {
            Ok(Reply::Later) => return,
            Ok(Reply::Now(grant)) => Ok(Done::Write(grant)),
            Err(status) => Err(status),
        };
        self.take_effects();
        if let Ok(done) = &result {
            self.promised(done);
        }
        self.pending.push_back(Effect {
            version: self.log.meta.version(),
            action: Action::Finished { request, result },
        });
    }

    /// The client of a request is gone.
    pub(crate) fn cancel(&mut self, request: RequestId) {
        self.requests.remove(&request);
        self.chunks.cancel(&mut self.log, request);
        self.settle();
    }

    /// The end of a write session; the status is known at once, the line is safe at the next commit.
    pub(crate) fn end_write(&mut self, chunk: u64) -> Result<(), Status> {
        let result = self.chunks.unlock(&mut self.log, chunk);
        if result.is_ok() {
            self.sessions.remove(&chunk);
        }
        self.settle();
        result
    }

    pub(crate) fn granted(&self, request: RequestId) -> Option<&Grant> {
        match self.answers.get(&request)? {
            Ok(Done::Write(grant) | Done::Truncate { grant }) => Some(grant),
            Err(_) => None,
        }
    }

    /// Writes to the servers of a grant; true if all have taken it.
    pub(crate) fn write_data(&mut self, grant: &Grant, data: u64) -> bool {
        self.trace(grant.chunk, || format!("data {data:x} to {grant:?}"));
        let mut all = !grant.locations.is_empty();
        for l in &grant.locations {
            let s = self.server_at(l.ip, l.port);
            let server = &mut self.servers[s];
            let copy = server
                .disk
                .get_mut(&grant.chunk)
                .filter(|c| server.alive && c.version == grant.version);
            // A part of the torn block cannot be written without reading the rest; other blocks can.
            let hits = server.torn.contains_key(&grant.chunk) && data & 2 != 0;
            match copy {
                Some(_) if hits => {
                    self.found.insert((s, grant.chunk));
                    all = false;
                }
                Some(copy) => copy.data = data,
                None => all = false,
            }
        }
        self.report_torn();
        all
    }

    /// A whole write with everything working.
    pub(crate) fn write_well(&mut self, inode: u32, index: u32, data: u64) -> u64 {
        let request = self.write(inode, index, false);
        self.commit();
        self.work();
        let grant = self.granted(request).unwrap().clone();
        assert!(self.write_data(&grant, data));
        let length = (u64::from(index) << 26) + 1000;
        if self.log.meta.node(inode).unwrap().length() < length {
            self.log.apply_all(&[mfs_meta::op::Op::Length {
                inode,
                length,
                canmod: false,
            }]);
        }
        self.end_write(grant.chunk).unwrap();
        self.commit();
        self.allowed.insert((inode, index), [data].into());
        grant.chunk
    }

    // ---- what must always hold ------------------------------------------------------------------

    /// Limits of the default configuration; greater ones are the greatest of all classes.
    fn check_limits(&self) {
        let replications = self.replications();
        let read_limit = &self.config.read_rep_limit;
        for (s, (reads, writes)) in replications.into_iter().enumerate() {
            assert!(
                f64::from(reads) <= greatest(read_limit).ceil(),
                "server {s}"
            );
            assert!(f64::from(writes) <= greatest(&self.config.write_rep_limit).ceil());
        }
        for s in 0..self.servers.len() {
            assert!(self.deletions(s) <= self.config.hard_del_limit as usize);
        }
    }

    /// Deletions that a server has not answered.
    pub(crate) fn deletions(&self, s: usize) -> usize {
        self.outstanding
            .iter()
            .filter(|o| o.0 == s && o.2 == 1)
            .count()
    }

    /// Whether a server was told to delete a copy. When it has refused, the copy counts nothing until it is reported
    /// again.
    pub(crate) fn is_deleting(&self, s: usize, chunk: u64) -> bool {
        self.outstanding.contains(&(s, chunk, 1)) || self.servers[s].doomed.contains(&chunk)
    }

    /// Replications that run: by server, how many from there and how many to there.
    pub(crate) fn replications(&self) -> Vec<(u32, u32)> {
        let mut running = vec![(0, 0); self.servers.len()];
        for (destination, server) in self.servers.iter().enumerate() {
            for command in &server.inbox {
                if let Command::Replicate { ip, port, .. } = *command {
                    running[destination].1 += 1;
                    let mut sources = self.servers.iter();
                    let source = sources.position(|s| (s.ip, s.port) == (ip, port));
                    running[source.unwrap()].0 += u32::from(
                        // One that has gone is not burdened any more.
                        self.servers[source.unwrap()].connection.is_some(),
                    );
                }
            }
        }
        running
    }

    /// Disks that hold contents which a slot may have, under the chunk that the slot names; those that are to delete
    /// it left out.
    pub(crate) fn good_copies(&self, inode: u32, index: u32) -> usize {
        let chunk = self.log.chunk(inode, index);
        let allowed = &self.allowed[&(inode, index)];
        self.servers
            .iter()
            .enumerate()
            .filter(|(s, _)| !self.is_deleting(*s, chunk))
            .filter(|(_, s)| s.sound(chunk).is_some_and(|c| allowed.contains(&c.data)))
            .count()
    }

    pub(crate) fn server_at(&self, ip: u32, port: u16) -> usize {
        let mut servers = self.servers.iter();
        servers.position(|s| (s.ip, s.port) == (ip, port)).unwrap()
    }

    fn check_deletion(&mut self, s: usize, chunk: u64) {
        self.deletions_checked += 1;
        let named: Vec<_> = self
            .allowed
            .keys()
            .filter(|(inode, index)| self.log.chunk(*inode, *index) == chunk)
            .copied()
            .collect();
        for (inode, index) in named {
            assert!(
                self.good_copies(inode, index) > 0,
                "server {s} deletes the last good copy of chunk {chunk}, file {inode} slot {index}"
            );
        }
    }

    /// Reads a slot: whatever a client is told must be right. The number of copies that it can read.
    pub(crate) fn check_read(&mut self, inode: u32, index: u32) -> Option<usize> {
        let r = mfs_chunks::ReadRequest {
            request: self.number(),
            inode,
            index,
            client_ip: 1,
            session: self.session,
        };
        let result = self.chunks.read(&mut self.log, &r);
        let grant = match result {
            Ok(Reply::Now(grant)) => grant,
            Ok(Reply::Later) => {
                self.chunks.cancel(&mut self.log, r.request);
                return None;
            }
            // A single copy that failed is lost as long as its server does not say otherwise.
            Err(_) => return None,
        };
        let allowed = self.allowed.get(&(inode, index))?.clone();
        if grant.chunk == 0 {
            assert!(
                allowed.contains(&0),
                "file {inode} slot {index} became a hole"
            );
            return Some(0);
        }
        let mut readable = grant.locations.len();
        for l in &grant.locations {
            let s = self.server_at(l.ip, l.port);
            let server = &self.servers[s];
            if !server.alive || server.connection.is_none() {
                continue;
            }
            let copy = server.disk.get(&grant.chunk);
            let copy = copy.unwrap_or_else(|| panic!("no copy of {grant:?} on {:08x}", l.ip));
            assert_eq!(copy.version, grant.version, "chunk {}", grant.chunk);
            if server.torn.contains_key(&grant.chunk) {
                // The reader gets nothing from there, and tries the next.
                self.found.insert((s, grant.chunk));
                readable -= 1;
                continue;
            }
            assert!(
                allowed.contains(&copy.data),
                "file {inode} slot {index} chunk {}: {:x} not in {allowed:x?}",
                grant.chunk,
                copy.data
            );
            self.reads_checked += 1;
        }
        self.report_torn();
        Some(readable)
    }
}
