//! What is done to the cluster, and what ends it.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use antler_e2e::workload::Random;
use antler_e2e::{ChunkFile, Link};
use anyhow::{Context, Result};
use clap::ValueEnum;
use nix::sys::signal::Signal;

use crate::cluster::{Cluster, GOAL};
use crate::crew::{Crew, Paused};
use crate::log::say;
use crate::verify;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// kill -9 of a chunkserver, restart after a moment.
    Kill,
    /// A chunkserver is stopped in order and restarted.
    Stop,
    /// kill -9, restart with copies that are old by then.
    Old,
    /// A chunkserver stands still for a few seconds.
    Freeze,
    /// It stands still until it has timed out everywhere.
    FreezeLong,
    /// The wire to the master is cut, clients still reach the chunkserver.
    CutControl,
    /// The wire to clients and other chunkservers is cut, the master sees it well.
    CutData,
    /// Both.
    CutAll,
    /// No space left on its disk.
    Full,
    /// Its disk is marked for removal and unmarked.
    Mark,
    /// Its disk is marked for removal, and wiped when nothing needs it any more.
    Retire,
    /// All its data is lost.
    Wipe,
    /// Some bytes of some copies on it are wrong.
    Damage,
    /// kill -9 of the master, `mfsmaster -a`.
    MasterKill,
    /// The master is stopped in order and started.
    MasterStop,
    /// The master stands still for a few seconds.
    MasterFreeze,
}

/// Which faults there are and how often they are chosen.
const WEIGHTS: [(Fault, usize); 16] = [
    (Fault::Kill, 8),
    (Fault::Stop, 4),
    (Fault::Old, 8),
    (Fault::Freeze, 5),
    (Fault::FreezeLong, 4),
    (Fault::CutControl, 5),
    (Fault::CutData, 4),
    (Fault::CutAll, 4),
    (Fault::Full, 4),
    (Fault::Mark, 4),
    (Fault::Retire, 1),
    (Fault::Wipe, 8),
    (Fault::Damage, 6),
    (Fault::MasterKill, 12),
    (Fault::MasterStop, 5),
    (Fault::MasterFreeze, 3),
];

impl Fault {
    fn hits_master(self) -> bool {
        matches!(
            self,
            Self::MasterKill | Self::MasterStop | Self::MasterFreeze
        )
    }

    /// Whether copies get lost: only one server at a time may do that.
    fn destroys(self) -> bool {
        matches!(self, Self::Wipe | Self::Damage | Self::Retire)
    }

    /// Whether it may leave copies that are wrong and not known to be: no other copy may be out of reach meanwhile,
    /// or one of these would be written to as the last one. A chunkserver that finds no space in the middle of a
    /// block keeps a block that does not match its checksum.
    fn may_spoil(self) -> bool {
        matches!(self, Self::Damage | Self::Full)
    }

    /// How long it lasts, milliseconds: at least, at most.
    fn lasts(self) -> (u64, u64) {
        match self {
            Self::Kill | Self::Wipe => (0, 3000),
            Self::Stop => (500, 5000),
            Self::Old | Self::Full | Self::Mark => (3000, 7000),
            Self::Freeze | Self::MasterFreeze => (500, 4000),
            Self::FreezeLong => (11_000, 14_000),
            Self::CutControl | Self::CutData | Self::CutAll => (1000, 14_000),
            Self::Retire | Self::Damage => (1000, 2000),
            Self::MasterKill | Self::MasterStop => (0, 1500),
        }
    }
}

/// A fault with its victim and its time.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// What.
    pub(crate) fault: Fault,
    /// Which chunkserver; without a meaning for faults of the master.
    pub(crate) victim: usize,
    /// How long.
    pub(crate) lasts: Duration,
}

impl std::fmt::Display for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.fault)?;
        if !self.fault.hits_master() {
            write!(f, " of server {}", self.victim)?;
        }
        write!(f, " for {:.1} s", self.lasts.as_secs_f64())
    }
}

/// A wrong byte that was put into a copy.
#[derive(Debug, Clone)]
pub(crate) struct Damaged {
    /// The chunkserver.
    pub(crate) server: usize,
    /// The chunk.
    pub(crate) chunk: u64,
    /// Where in the file of the copy.
    pub(crate) offset: u64,
    /// The wrong value.
    pub(crate) byte: u8,
}

/// The faults of one round: one, sometimes two that overlap. With `spoil`, also a chunkserver that may spoil
/// copies beside another one that is out of reach.
pub(crate) fn plan(
    allowed: &[Fault],
    servers: usize,
    spoil: bool,
    random: &mut Random,
) -> Vec<Planned> {
    let Some(first) = choose(random, |fault| allowed.contains(&fault)) else {
        return Vec::new();
    };
    let victim = random.below(servers);
    let mut planned = vec![planned(first, victim, random)];
    if random.below(2) == 0 {
        let second = choose(random, |fault| {
            allowed.contains(&fault)
                && !fault.destroys()
                && (spoil
                    || first.hits_master()
                    || fault.hits_master()
                    || !(first.may_spoil() || fault.may_spoil()))
                && !(first.hits_master() && fault.hits_master())
        });
        if let Some(second) = second {
            let other = (victim + 1 + random.below(servers.saturating_sub(1))) % servers.max(1);
            planned.push(self::planned(second, other, random));
        }
    }
    planned
}

fn planned(fault: Fault, victim: usize, random: &mut Random) -> Planned {
    let (least, most) = fault.lasts();
    let lasts = least + random.next_u64() % (most - least).max(1);
    Planned {
        fault,
        victim,
        lasts: Duration::from_millis(lasts),
    }
}

fn choose(random: &mut Random, allowed: impl Fn(Fault) -> bool) -> Option<Fault> {
    let possible = || WEIGHTS.iter().filter(|(fault, _)| allowed(*fault));
    let mut ticket = random.below(possible().map(|(_, weight)| weight).sum());
    possible()
        .find(|(_, weight)| match ticket.checked_sub(*weight) {
            Some(rest) => {
                ticket = rest;
                false
            }
            None => true,
        })
        .map(|(fault, _)| *fault)
}

/// Begins a fault.
///
/// # Errors
/// When the cluster is not well enough for a fault that destroys data, or the harness fails.
pub(crate) fn begin(
    planned: &Planned,
    cluster: &mut Cluster,
    crew: &Crew,
    random: &mut Random,
    damage: &mut Vec<Damaged>,
) -> Result<()> {
    say!("begin {planned}");
    if planned.fault == Fault::Wipe || planned.fault == Fault::Damage {
        // Every byte must be on two servers at the moment when one of them loses it.
        let paused = crew.pause()?;
        verify::wait_for_goal(cluster, &paused, crew, &[])?;
        if planned.fault == Fault::Damage {
            damage_some(planned.victim, cluster, &paused, random, damage)?;
        } else {
            let server = &mut cluster.servers[planned.victim].program;
            server.kill9();
            server.wipe();
        }
        paused.resume();
        return Ok(());
    }
    let server = &mut cluster.servers[planned.victim];
    match planned.fault {
        Fault::Kill | Fault::Old => server.program.kill9(),
        Fault::Stop => {
            if !server.program.stop() {
                say!("server {} did not stop in order", planned.victim);
            }
        }
        Fault::Freeze | Fault::FreezeLong => server.freeze(),
        Fault::CutControl => server.cut(&[Link::Control]),
        Fault::CutData => server.cut(&[Link::Data]),
        Fault::CutAll => server.cut(&[Link::Control, Link::Data]),
        Fault::Full => server.fill(),
        Fault::Mark | Fault::Retire => server.program.mark(true),
        Fault::Wipe | Fault::Damage => {}
        Fault::MasterKill => cluster.kill_master(),
        Fault::MasterStop => cluster.stop_master()?,
        Fault::MasterFreeze => cluster.master.signal(Signal::SIGSTOP),
    }
    Ok(())
}

/// Ends a fault.
///
/// # Errors
/// When the master does not come back, or a disk marked for removal is still needed after minutes.
pub(crate) fn end(planned: &Planned, cluster: &mut Cluster, crew: &Crew) -> Result<()> {
    say!("end {planned}");
    let server = &mut cluster.servers[planned.victim];
    match planned.fault {
        Fault::Kill | Fault::Stop | Fault::Old | Fault::Wipe => {
            // A disk that was retired meanwhile wanted all the others.
            if !server.program.is_started() {
                server.program.start();
            }
        }
        Fault::Freeze | Fault::FreezeLong => server.thaw(),
        Fault::CutControl | Fault::CutData | Fault::CutAll => server.join(),
        Fault::Full => server.empty(),
        Fault::Mark => server.program.mark(false),
        Fault::Retire => retire(planned.victim, cluster, crew)?,
        Fault::Damage => {}
        Fault::MasterKill => cluster.start_master(&["-a"])?,
        Fault::MasterStop => cluster.start_master(&[])?,
        Fault::MasterFreeze => cluster.master.signal(Signal::SIGCONT),
    }
    Ok(())
}

/// Waits until nothing needs the marked disk, and loses it.
fn retire(victim: usize, cluster: &mut Cluster, crew: &Crew) -> Result<()> {
    cluster.heal_others(victim);
    let paused = crew.pause()?;
    // Copies on marked disks do not count.
    let taken = verify::wait_for_goal(cluster, &paused, crew, &[])?;
    say!("the marked disk is not needed any more after {taken:.1?}");
    let server = &mut cluster.servers[victim].program;
    server.kill9();
    server.wipe();
    server.mark(false);
    server.start();
    paused.resume();
    Ok(())
}

/// Changes bytes in up to three copies on a server.
fn damage_some(
    victim: usize,
    cluster: &Cluster,
    paused: &Paused<'_>,
    random: &mut Random,
    damage: &mut Vec<Damaged>,
) -> Result<()> {
    let names = verify::certain(paused);
    let files = cluster.chunks(&names)?;
    let server = &cluster.servers[victim].program;
    let stored = server.chunks();
    let mut candidates: Vec<(&ChunkFile, usize)> = Vec::new();
    for (number, chunk) in files
        .iter()
        .enumerate()
        .flat_map(|(number, chunks)| chunks.iter().map(move |chunk| (number, chunk)))
    {
        let valid = chunk.valid();
        if valid.len() >= GOAL && valid.contains(&server.address()) {
            candidates.extend(
                stored
                    .iter()
                    .find(|file| file.id == chunk.id && file.version == chunk.version)
                    .map(|file| (file, number)),
            );
        }
    }
    for _ in 0..=random.below(3) {
        if candidates.is_empty() {
            break;
        }
        let (chunk, number) = candidates.swap_remove(random.below(candidates.len()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&chunk.path)
            .with_context(|| format!("cannot open {}", chunk.path.display()))?;
        let data = file.metadata()?.len().saturating_sub(ChunkFile::DATA);
        if data == 0 || damage.iter().any(|other| other.chunk == chunk.id) {
            continue;
        }
        let offset = ChunkFile::DATA + random.next_u64() % data;
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset)?;
        byte[0] ^= 1 << random.below(8);
        file.write_all_at(&byte, offset)?;
        say!(
            "damaged byte {} of chunk {} ({}) on server {victim}",
            offset - ChunkFile::DATA,
            chunk.id,
            names[number].display()
        );
        damage.push(Damaged {
            server: victim,
            chunk: chunk.id,
            offset,
            byte: byte[0],
        });
    }
    Ok(())
}
