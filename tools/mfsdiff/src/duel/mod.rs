//! Two masters, the same steps, and the comparison of everything that comes back.

mod compare;
mod exchange;
mod open;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mfs_proto::client::FileType;
use mfs_proto::msg;

use crate::clock::Clock;
use crate::connection::{Connection, Frame};
use crate::difference::{DEATH, Difference};
use crate::figures::Figures;
use crate::guard;
use crate::master::{self, Master, Programs, Side};
use crate::rules::Rules;
use crate::script::{Action, Label, Ref, Step};
use crate::slots::{ADMIN, SLOTS};

/// A master has noticed by then that a connection is gone.
const DISCONNECTED: Duration = Duration::from_millis(100);

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

/// Both masters.
pub(crate) struct Duel {
    clock: Clock,
    masters: [Master; 2],
    connections: [Vec<Option<Connection>>; 2],
    /// The sessions of the slots, equal on both sides.
    pub(crate) sessions: [Option<u32>; SLOTS.len()],
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
