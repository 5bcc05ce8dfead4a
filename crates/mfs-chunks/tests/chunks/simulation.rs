//! Random schedules: clients that write, cut, copy and remove files while servers fail in every way and the master
//! dies, and at the end everything that was acknowledged is there, in as many copies as wanted.

pub(crate) mod torn;

use std::collections::BTreeSet;

use mfs_chunks::{ChunkConfig, Command, Done, RequestId};
use mfs_meta::op::Op;

use crate::log::{TestLog, digest};
use crate::world::{Manner, World, cut};
use torn::TornFigures;

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// A client with one thing to do at a time.
enum Client {
    Idle,
    /// Waits for the answer to a write request.
    Asking {
        request: RequestId,
        inode: u32,
        index: u32,
        data: u64,
    },
    /// The data are with all servers; the end of the session is to be committed.
    Ending {
        inode: u32,
        index: u32,
        data: u64,
        version: u64,
    },
    Cutting {
        request: RequestId,
        inode: u32,
        index: u32,
        length: u32,
    },
    /// It went while a truncation was under way, which may yet be done.
    Leaving {
        inode: u32,
        index: u32,
    },
}

const SLOTS: u32 = 2;
/// Goals 1 to 3, and a class with labels that wants two copies.
const CLASSES: [u8; 4] = [1, 2, 3, 10];

fn goal_of(class: u8) -> usize {
    if class == 10 { 2 } else { usize::from(class) }
}

struct Run {
    w: World,
    rng: Rng,
    clients: Vec<Client>,
    files: Vec<u32>,
    made: u32,
    stamp: u64,
    faults: bool,
    crashes: usize,
    /// Lines that are safe.
    safe: usize,
    repairs: u32,
    /// Steps for which servers go and come back all the time.
    storm: usize,
}

impl Run {
    fn new(seed: u64) -> Run {
        let config = ChunkConfig {
            replications_delay_init: 3,
            loop_min_time: 2,
            ..ChunkConfig::default()
        };
        let mut w = World::new(config, &[1, 1, 2, 2, 3], seed);
        for s in 0..w.servers.len() {
            w.connect(s);
        }
        w.make_class_ab();
        w.run(15 * 50);
        w.hold_lines();
        let safe = w.log.lines.len();
        Run {
            w,
            rng: Rng(seed),
            clients: (0..4).map(|_| Client::Idle).collect(),
            files: Vec::new(),
            made: 0,
            stamp: 0,
            faults: true,
            crashes: 0,
            safe,
            repairs: 0,
            storm: 0,
        }
    }

    fn commit(&mut self) {
        self.w.commit();
        self.safe = self.w.log.lines.len();
    }

    fn slot_in_use(&self, inode: u32) -> bool {
        self.clients.iter().any(|c| match c {
            Client::Idle => false,
            Client::Asking { inode: i, .. }
            | Client::Ending { inode: i, .. }
            | Client::Cutting { inode: i, .. }
            | Client::Leaving { inode: i, .. } => *i == inode,
        })
    }

    fn client_step(&mut self, c: usize) {
        match std::mem::replace(&mut self.clients[c], Client::Idle) {
            Client::Idle => self.clients[c] = self.start_something(),
            Client::Asking {
                request,
                inode,
                index,
                data,
            } => {
                let asks_on = Client::Asking {
                    request,
                    inode,
                    index,
                    data,
                };
                // It takes its time.
                let ready = !(self.faults && self.rng.one_in(2));
                let answer = self.w.answers.get(&request).cloned();
                if answer.is_some() && !ready {
                    self.clients[c] = asks_on;
                    return;
                }
                let Some(answer) = self.w.answers.remove(&request) else {
                    if self.faults && self.rng.one_in(60) {
                        self.w.cancel(request);
                    } else {
                        self.clients[c] = asks_on;
                    }
                    return;
                };
                if let Ok(Done::Write(grant)) = answer {
                    self.w
                        .allowed
                        .entry((inode, index))
                        .or_default()
                        .insert(data);
                    if self.w.write_data(&grant, data) && !(self.faults && self.rng.one_in(30)) {
                        let length = (u64::from(index) << 26) + 1000;
                        if self
                            .w
                            .log
                            .meta
                            .node(inode)
                            .is_some_and(|n| n.length() < length)
                        {
                            let canmod = false;
                            self.w.log.apply_all(&[Op::Length {
                                inode,
                                length,
                                canmod,
                            }]);
                        }
                        // Somebody else's chunk, a chunk that was rolled back: then nothing is promised.
                        if self.w.end_write(grant.chunk).is_ok() {
                            self.clients[c] = Client::Ending {
                                inode,
                                index,
                                data,
                                version: self.w.log.meta.version(),
                            };
                        }
                    } else if !self.rng.one_in(8) {
                        // A server did not take it: again, the lock is still ours.
                        let request = self.w.write(inode, index, true);
                        self.clients[c] = Client::Asking {
                            request,
                            inode,
                            index,
                            data,
                        };
                    }
                }
            }
            Client::Ending {
                inode,
                index,
                data,
                version,
            } => {
                if (self.safe as u64) + 1 >= version {
                    self.w.allowed.insert((inode, index), [data].into());
                } else {
                    self.clients[c] = Client::Ending {
                        inode,
                        index,
                        data,
                        version,
                    };
                }
            }
            Client::Cutting {
                request,
                inode,
                index,
                length,
            } => match self.w.answers.remove(&request) {
                None => {
                    if self.faults && self.rng.one_in(60) {
                        self.w.cancel(request);
                        self.clients[c] = Client::Leaving { inode, index };
                    } else {
                        self.clients[c] = Client::Cutting {
                            request,
                            inode,
                            index,
                            length,
                        };
                    }
                }
                Some(Ok(_)) => {
                    // What was possible before is cut now; an answer that was not given leaves both.
                    let before = self.w.allowed[&(inode, index)].clone();
                    let all: BTreeSet<u64> = before.iter().map(|&d| cut(d, length)).collect();
                    let now = before.intersection(&all).copied().collect();
                    self.w.allowed.insert((inode, index), now);
                }
                Some(Err(_)) => {}
            },
            Client::Leaving { inode, index } => {
                let chunk = self.w.log.chunk(inode, index);
                if self
                    .w
                    .log
                    .meta
                    .chunk(chunk)
                    .is_some_and(|c| c.locked_to != 0)
                {
                    self.clients[c] = Client::Leaving { inode, index };
                }
            }
        }
    }

    fn start_something(&mut self) -> Client {
        if self.files.len() < 6 || self.rng.one_in(25) {
            self.made += 1;
            let class = CLASSES[self.rng.below(CLASSES.len())];
            let name = format!("f{}", self.made);
            let inode = self.w.log.create_file(&name, class);
            self.files.push(inode);
            for index in 0..SLOTS {
                self.w.allowed.insert((inode, index), [0].into());
            }
        }
        let (at, index) = self.somewhere();
        let inode = self.files[at];
        if self.slot_in_use(inode) {
            return Client::Idle;
        }
        match self.rng.below(10) {
            0 => self.remove(at),
            1 => self.share(inode),
            2 => {
                let class = CLASSES[self.rng.below(CLASSES.len())];
                self.w.log.set_class(inode, class);
                self.w.chunks.file_changed(&mut self.w.log, inode);
                self.w.settle();
            }
            3 => {
                let length = 1 + self.rng.below(1000) as u32;
                let whole = u64::from(index) << 26 | u64::from(length);
                // Only the last chunk: cutting another would remove those behind it.
                let last = (index + 1..SLOTS).all(|i| self.w.log.chunk(inode, i) == 0);
                if last && mfs_chunks::truncates_chunk(&self.w.log.meta, inode, whole) {
                    let slot = self.w.allowed.get_mut(&(inode, index)).unwrap();
                    let cuts: Vec<u64> = slot.iter().map(|&d| cut(d, length)).collect();
                    slot.extend(cuts);
                    let request = self.w.truncate(inode, whole);
                    return Client::Cutting {
                        request,
                        inode,
                        index,
                        length,
                    };
                }
            }
            _ => {
                self.stamp += 2;
                let data = self.stamp;
                let request = self.w.write(inode, index, false);
                return Client::Asking {
                    request,
                    inode,
                    index,
                    data,
                };
            }
        }
        Client::Idle
    }

    /// A file and a slot, rather one with torn copies: a single fault more may cost it what it has.
    fn somewhere(&mut self) -> (usize, u32) {
        let mut torn = Vec::new();
        for (at, &inode) in self.files.iter().enumerate() {
            let slots = (0..SLOTS).filter(|&i| self.w.is_torn(self.w.log.chunk(inode, i)));
            torn.extend(slots.map(|index| (at, index)));
        }
        if !torn.is_empty() && self.rng.one_in(2) {
            return torn[self.rng.below(torn.len())];
        }
        let at = self.rng.below(self.files.len());
        (at, self.rng.below(SLOTS as usize) as u32)
    }

    /// The process dies. Copies that are being written may tear.
    fn kill(&mut self, s: usize) {
        for chunk in self.w.tearable(s) {
            if !self.rng.one_in(4) {
                self.w.tear(s, chunk);
                self.storm = 300;
            }
        }
        self.w.kill(s);
    }

    /// Its connection ends, perhaps after it has done what it was told.
    fn cut_off(&mut self, s: usize) {
        if self.rng.one_in(2) {
            self.w.perform(s, Manner::Properly);
        }
        self.w.disconnect(s);
    }

    /// A server is to raise the version of a chunk with torn copies: should that fail, their version may be the one
    /// that the master relies on.
    fn raises_torn(&self, s: usize) -> bool {
        let next = self.w.servers[s].inbox.front();
        next.is_some_and(
            |c| matches!(c, Command::SetVersion { chunk, .. } if self.w.is_torn(*chunk)),
        )
    }

    /// Somebody reads a torn copy, or its server tests it.
    fn find_torn(&mut self) {
        let s = self.rng.below(self.w.servers.len());
        let chunks: Vec<u64> = self.w.servers[s].torn.keys().copied().collect();
        if !chunks.is_empty() {
            let chunk = chunks[self.rng.below(chunks.len())];
            self.w.found.insert((s, chunk));
            self.w.report_torn();
        }
    }

    fn remove(&mut self, at: usize) {
        let inode = self.files.swap_remove(at);
        self.w.unlink(inode);
        // A removed file is not missed, and a crash may not bring it back here.
        self.commit();
    }

    /// A new file with the chunks of another.
    fn share(&mut self, inode: u32) {
        let length = self.w.log.meta.node(inode).unwrap().length();
        if length == 0 {
            return;
        }
        self.made += 1;
        let name = format!("f{}", self.made);
        let class = CLASSES[self.rng.below(CLASSES.len())];
        let copy = self.w.log.create_file(&name, class);
        self.w.log.apply_all(&[Op::Append {
            inode: copy,
            source: inode,
            from: 0,
            to: ((length - 1) >> 26) as u32,
        }]);
        self.files.push(copy);
        for index in 0..SLOTS {
            let there = u64::from(index) << 26 < length;
            let allowed = if there {
                self.w.allowed[&(inode, index)].clone()
            } else {
                [0].into()
            };
            self.w.allowed.insert((copy, index), allowed);
        }
        self.commit();
        self.w.chunks.file_changed(&mut self.w.log, copy);
        self.w.settle();
    }

    fn manner(&mut self) -> Manner {
        if !self.faults {
            return Manner::Properly;
        }
        match self.rng.below(40) {
            0 | 1 => Manner::Refuses,
            2 => Manner::NoSpace,
            3 => Manner::Fails {
                done: self.rng.one_in(2),
            },
            _ => Manner::Properly,
        }
    }

    fn server_step(&mut self) {
        let s = self.rng.below(self.w.servers.len());
        // Trouble does not come alone.
        let (pace, away) = if self.storm > 0 { (8, 5) } else { (1, 1) };
        self.storm = self.storm.saturating_sub(1);
        if self.faults && self.rng.one_in(12) && !self.w.tearable(s).is_empty() {
            self.kill(s);
            return;
        }
        if self.storm > 0 && self.raises_torn(s) && self.rng.one_in(2) {
            self.cut_off(s);
            return;
        }
        if self.w.servers[s].alive {
            if self.w.servers[s].connection.is_none() {
                if self.rng.one_in(20 / away) {
                    self.w.connect(s);
                }
            } else if self.faults && self.rng.one_in(250 / pace) {
                self.cut_off(s);
            } else if self.faults && self.rng.one_in(250 / pace) {
                // It dies, perhaps having done what it was told and not having said so.
                if self.rng.one_in(2) {
                    self.w.perform(s, Manner::Properly);
                }
                if let Some(id) = self.w.servers[s].connection
                    && self.rng.one_in(3)
                {
                    self.w.chunks.graceful(&mut self.w.log, id);
                }
                self.kill(s);
            } else if self.faults && self.rng.one_in(400) {
                // Its disk is marked for removal, or no longer.
                self.w.servers[s].marked = !self.w.servers[s].marked;
                self.w.report_space(s);
                self.w.report_disk(s);
            } else {
                let manner = self.manner();
                self.w.obey(s, manner);
            }
        } else if self.rng.one_in(30 / away) {
            self.w.servers[s].alive = true;
            self.w.connect(s);
        }
    }

    /// Losses that leave every slot a good copy elsewhere.
    fn lose_something(&mut self) {
        let s = self.rng.below(self.w.servers.len());
        let chunks: Vec<u64> = self.w.servers[s].disk.keys().copied().collect();
        if chunks.is_empty() {
            return;
        }
        let chunk = chunks[self.rng.below(chunks.len())];
        let Some(id) = self.w.servers[s].connection else {
            return;
        };
        if self.w.servers[s].torn.contains_key(&chunk) {
            return;
        }
        let copy = self.w.servers[s].disk.remove(&chunk).unwrap();
        let slots: Vec<_> = self.w.allowed.keys().copied().collect();
        let may_come_back = self.w.chunks.unfinished().is_previous(chunk)
            || self.w.log.unfinished.is_previous(chunk);
        let harmless = !may_come_back
            && slots.iter().all(|&(inode, index)| {
                self.w.log.chunk(inode, index) != chunk || self.has_current_elsewhere(inode, index)
            });
        if !harmless {
            self.w.servers[s].disk.insert(chunk, copy);
            return;
        }
        if self.rng.one_in(2) {
            self.w.chunks.lost(&mut self.w.log, id, [chunk]);
        } else {
            self.w.servers[s].disk.insert(chunk, copy);
            self.w.chunks.damaged(&mut self.w.log, id, [chunk]);
        }
        self.w.settle();
    }

    /// Two connected servers have the right version of the chunk with right contents, and nothing is under way.
    fn has_current_elsewhere(&self, inode: u32, index: u32) -> bool {
        let chunk = self.w.log.chunk(inode, index);
        let version = self.w.log.version_of(chunk);
        let allowed = &self.w.allowed[&(inode, index)];
        let good = self.w.servers.iter().filter(|s| {
            s.connection.is_some()
                && s.inbox.iter().all(|c| c.chunk() != chunk)
                && s.sound(chunk)
                    .is_some_and(|c| c.version == version && allowed.contains(&c.data))
        });
        good.count() >= 2 && !self.slot_in_use(inode) && !self.w.has_pending_command(chunk)
    }

    fn crash(&mut self) {
        self.crashes += 1;
        let lines = self.w.log.lines.len();
        let keep = self.safe + self.rng.below(lines - self.safe + 1);
        // What servers were told, they do or not; nobody hears of it.
        for s in 0..self.w.servers.len() {
            while self.rng.one_in(2) && self.w.perform(s, Manner::Properly).is_some() {}
        }
        self.w.crash(keep);
        self.safe = keep;
        for c in 0..self.clients.len() {
            let client = std::mem::replace(&mut self.clients[c], Client::Idle);
            if let Client::Ending {
                inode,
                index,
                data,
                version,
            } = client
                && (keep as u64) + 1 >= version
            {
                self.w.allowed.insert((inode, index), [data].into());
            }
        }
        // A file that was not yet safe never was.
        let meta = &self.w.log.meta;
        self.files.retain(|&i| meta.node(i).is_some());
        let files = &self.files;
        self.w.allowed.retain(|k, _| files.contains(&k.0));
    }

    fn step(&mut self) {
        match self.rng.below(20) {
            0..=4 => {
                let c = self.rng.below(self.clients.len());
                self.client_step(c);
            }
            5..=11 => self.server_step(),
            12..=15 => self.commit(),
            16..=18 => {
                for _ in 0..1 + self.rng.below(20) {
                    self.w.tick();
                }
            }
            _ => {
                if !self.files.is_empty() {
                    let inode = self.files[self.rng.below(self.files.len())];
                    let index = self.rng.below(SLOTS as usize) as u32;
                    self.w.check_read(inode, index);
                }
            }
        }
        if self.rng.one_in(60) || self.w.chunks.sync_wanted().is_some() && self.rng.one_in(20) {
            self.commit();
            self.w.sync();
        }
        if self.faults && self.rng.one_in(150) {
            self.lose_something();
        }
        if self.faults && self.rng.one_in(600) {
            self.find_torn();
        }
        if self.faults && self.storm == 0 && self.rng.one_in(700) {
            self.crash();
        }
    }

    /// Everything works again: what was acknowledged is there, in as many copies as wanted, and nothing else.
    fn heal(&mut self) {
        self.faults = false;
        self.w.release_lines();
        for s in 0..self.w.servers.len() {
            self.w.servers[s].marked = false;
            // Damage marks go with the connection (spec 05 §22.5).
            self.w.disconnect(s);
        }
        self.commit();
        for s in 0..self.w.servers.len() {
            self.w.connect(s);
        }
        self.commit();
        self.w.run(50 * 200);
        let mut clients = std::mem::take(&mut self.clients);
        for client in clients.drain(..) {
            if let Client::Ending {
                inode, index, data, ..
            } = client
            {
                self.w.allowed.insert((inode, index), [data].into());
            }
        }
        self.w.run(50 * 30);
        // Whoever reads finds what is torn, and that is made good.
        for inode in self.files.clone() {
            for index in 0..SLOTS {
                loop {
                    let found = self.w.torn.found;
                    self.w.check_read(inode, index);
                    if self.w.torn.found == found {
                        break;
                    }
                    self.w.run(50 * 20);
                }
            }
        }
        self.w.run(50 * 30);
        for inode in self.files.clone() {
            for index in 0..SLOTS {
                if self.w.log.chunk(inode, index) == 0 {
                    continue;
                }
                if self.w.check_read(inode, index) == Some(0)
                    || self.w.check_read(inode, index).is_none()
                {
                    // Only a person can decide now; the data must be there for them.
                    assert!(
                        self.w.good_copies(inode, index) > 0,
                        "file {inode} slot {index} chunk {} has no good copy left",
                        self.w.log.chunk(inode, index)
                    );
                    let repaired = self.w.chunks.repair(&mut self.w.log, inode).unwrap();
                    // It does not count as a takeover.
                    self.w.log.changed.clear();
                    self.repairs += repaired.repaired;
                    assert_eq!(repaired.erased, 0, "file {inode} slot {index} was given up");
                    self.w.settle();
                    self.w.run(50 * 20);
                }
                self.await_goal(inode, index);
            }
        }
        let lone: Vec<u64> = (1..self.w.log.meta.next_chunk_id())
            .filter(|&id| self.w.log.meta.chunk(id).is_some())
            .filter(|&id| self.w.log.meta.chunk_refs(id).is_empty())
            .filter(|&id| self.w.log.meta.chunk(id).unwrap().locked_to < self.w.log.now)
            .collect();
        assert!(
            lone.is_empty(),
            "chunks that nobody names are still there: {lone:?}"
        );
        for s in &self.w.servers {
            for id in s.disk.keys() {
                assert!(self.w.log.meta.chunk(*id).is_some(), "stray copy of {id}");
            }
        }
    }

    /// A copy more is there now and then, when one is on its way to another server.
    fn await_goal(&mut self, inode: u32, index: u32) {
        let mut copies = None;
        for _ in 0..40 {
            let chunk = self.w.log.chunk(inode, index);
            let refs = self.w.log.meta.chunk_refs(chunk);
            let goal = refs.iter().map(|&(c, _)| goal_of(c)).max().unwrap();
            copies = self.w.check_read(inode, index);
            let labels = refs.iter().all(|&(c, _)| c == 10);
            if copies == Some(goal) && (!labels || self.has_labels(chunk)) {
                return;
            }
            self.w.run(13);
        }
        let chunk = self.w.log.chunk(inode, index);
        panic!("file {inode} slot {index} chunk {chunk} has {copies:?} copies");
    }

    /// A copy on a server with label A, and another on one with label B.
    fn has_labels(&self, chunk: u64) -> bool {
        let labels: Vec<u32> = self
            .w
            .servers
            .iter()
            .filter(|s| s.disk.contains_key(&chunk))
            .map(|s| s.labels)
            .collect();
        labels.len() == 2
            && (labels[0] & 1 != 0 && labels[1] & 2 != 0
                || labels[0] & 2 != 0 && labels[1] & 1 != 0)
    }

    fn check_replay(&self) {
        let again = TestLog::replay(&self.w.log.lines, self.w.log.now);
        assert_eq!(digest(&again.meta), digest(&self.w.log.meta));
    }
}

fn schedule(seed: u64, steps: usize) -> Run {
    let mut run = Run::new(seed);
    for _ in 0..steps {
        run.step();
    }
    run.heal();
    run.check_replay();
    run
}

/// Seeds of one test run; `CHUNKS_SEED` runs one alone, `CHUNKS_ROUNDS` more of them.
fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    match number("CHUNKS_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("CHUNKS_ROUNDS").unwrap_or(200)).collect(),
    }
}

#[test]
fn acknowledged_data_survive_random_faults() {
    let (mut reads, mut deletions, mut crashes, mut repairs) = (0, 0, 0, Vec::new());
    let mut power = 0;
    let mut torn = TornFigures::default();
    for seed in seeds() {
        println!("seed {seed}");
        let run = schedule(seed, 4000);
        reads += run.w.reads_checked;
        deletions += run.w.deletions_checked;
        crashes += run.crashes;
        power += run.w.power_checked;
        if run.repairs > 0 {
            repairs.push(seed);
        }
        torn.add(&run.w.torn);
    }
    println!("{torn:?}");
    println!(
        "{reads} copies read, {deletions} deletions, {power} before a power cut, {crashes} crashes"
    );
    assert_eq!(
        repairs, [0; 0],
        "seeds with chunks that only a person could bring back"
    );
    assert!(
        reads > 100 && deletions > 50 && power > 50,
        "{reads} reads, {deletions} and {power} deletions"
    );
    assert!(
        torn.found > 100 && torn.takeovers > 2 && torn.fallbacks > 5,
        "{torn:?}"
    );
}

#[test]
fn the_same_seed_gives_the_same_lines() {
    let a = schedule(7, 800);
    let b = schedule(7, 800);
    assert_eq!(a.w.log.lines, b.w.log.lines);
}
