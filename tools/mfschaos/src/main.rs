//! `mfschaos`: breaks a small cluster of real chunkservers again and again, and looks at every byte.
//!
//! It makes a private network with a master (this project's or the original), real
//! `mfschunkserver`s on machines of their own, and real mounts. Writers of several kinds work all
//! the time and remember what was acknowledged; each round does one or two things to the cluster
//! that a healthy master must survive without loss: never more than one server loses data at a
//! time, and only when every chunk has its copies. After each round everything is healed, all
//! chunks must come back to their goals, and every byte of every file is compared through a fresh
//! mount, and between all copies on the disks.
//!
//! A difference ends the run with exit code 1; it names the seed, the round, the file and the
//! offset, and all files of the run are kept. It needs root and the `moosefs-*` packages, as the
//! end-to-end tests do.

mod cluster;
mod content;
mod crew;
mod fault;
mod log;
mod supervise;
mod verify;
mod writer;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use antler_e2e::Kind;
use antler_e2e::workload::Random;
use anyhow::Result;
use clap::{Parser, ValueEnum};

use cluster::{Cluster, Program};
use crew::{Crew, Paused};
use fault::{Damaged, Fault};
use log::say;

/// Command line.
#[derive(Parser, Debug)]
#[command(version, about)]
struct Options {
    /// `ours` (beside this program), `original` (Debian's), or the path of an `mfsmaster`.
    #[arg(long, default_value = "ours")]
    master: String,
    /// Rounds to run.
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// Decides faults, victims and operations; printed when it is not given. The moments at which
    /// things meet are different each time.
    #[arg(long)]
    seed: Option<u64>,
    /// Chunkservers.
    #[arg(long, default_value_t = 4)]
    servers: usize,
    /// Mounts.
    #[arg(long, default_value_t = 2)]
    mounts: usize,
    /// Writers.
    #[arg(long, default_value_t = 8)]
    writers: u8,
    /// Faults to choose from.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<Fault>,
    /// A disk may also be full or damaged while another chunkserver is away. A real chunkserver
    /// spoils the block for which it finds no space, so a file of which it has the only current
    /// copy can be lost whatever the master does: look at what is reported.
    #[arg(long)]
    spoil: bool,
    /// Rounds after which everything is also read with each chunkserver absent in turn; it is
    /// done at the end in any case.
    #[arg(long, default_value_t = 20)]
    each_absent: u32,
    /// Directory of the run.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Keep the directory also when all is well.
    #[arg(long)]
    keep: bool,
}

/// How long one round may take in all.
const HANGS: Duration = Duration::from_secs(900);

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match std::env::var_os(supervise::RUN_DIR) {
        None => supervise::supervise(options.dir, options.keep),
        Some(dir) => {
            // Without unwinding: what is inspected later must not be taken away. The outer
            // process ends everything.
            std::panic::set_hook(Box::new(|panic| {
                say!("FAILED: {panic}");
                supervise::fail();
            }));
            run(&options, &PathBuf::from(dir)).map(|()| ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        say!("FAILED: {error:#}");
        if std::env::var_os(supervise::RUN_DIR).is_some() {
            supervise::fail();
        }
        ExitCode::FAILURE
    })
}

fn run(options: &Options, dir: &std::path::Path) -> Result<()> {
    // What the outer process can no longer take away, the next run of the harness does.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    log::open(&dir.join("chaos.log"))?;
    let seed = options.seed.unwrap_or_else(|| {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| now.as_nanos() as u64)
    });
    say!(
        "seed {seed}, master {}, files in {}",
        options.master,
        dir.display()
    );
    let program = match options.master.as_str() {
        "ours" => Program {
            kind: Kind::Ours,
            path: None,
        },
        "original" => Program {
            kind: Kind::Original,
            path: None,
        },
        path => Program {
            kind: Kind::Ours,
            path: Some(PathBuf::from(path)),
        },
    };
    let mut random = Random::new(seed);
    let mut cluster = Cluster::start(&program, options.servers, options.mounts)?;
    let crew = Crew::start(&cluster, options.writers, &mut random, dir)?;
    let allowed = match &options.faults[..] {
        [] => Fault::value_variants().to_vec(),
        chosen => chosen.to_vec(),
    };
    for number in 1..=options.rounds {
        watch(number);
        let last = number == options.rounds || number % options.each_absent.max(1) == 0;
        let result = round(&mut cluster, &crew, &allowed, options.spoil, &mut random);
        let result = result.and_then(|()| match last {
            true => each_absent(&mut cluster, &crew),
            false => Ok(()),
        });
        if let Err(error) = result {
            say!("FAILED: seed {seed}, round {number}: {error:#}");
            // At once, while everything is as it was found.
            cluster.freeze();
            supervise::fail();
        }
        say!("round {number} of {} is done", options.rounds);
    }
    watch(options.rounds + 1);
    let paused = crew.pause()?;
    let (operations, errors) = totals(&paused);
    paused.resume();
    crew.stop()?;
    say!(
        "passed: seed {seed}, {} rounds, {operations} operations, {errors} of them with an error",
        options.rounds
    );
    Ok(())
}

fn totals(paused: &Paused<'_>) -> (u64, u64) {
    let sum = |of: fn(&writer::Writer) -> u64| paused.writers.iter().map(|writer| of(writer)).sum();
    (sum(|writer| writer.operations), sum(|writer| writer.errors))
}

/// Ends the run when the next call does not come in time: a mount that hangs cannot be
/// interrupted in any other way.
fn watch(round: u32) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NOW: AtomicU32 = AtomicU32::new(0);
    NOW.store(round, Ordering::Release);
    std::thread::spawn(move || {
        std::thread::sleep(HANGS);
        if NOW.load(Ordering::Acquire) == round {
            say!("FAILED: round {round} hangs");
            supervise::fail();
        }
    });
}

/// One round: work, faults, work, peace, verification.
fn round(
    cluster: &mut Cluster,
    crew: &Crew,
    allowed: &[Fault],
    spoil: bool,
    random: &mut Random,
) -> Result<()> {
    let mut damage = Vec::new();
    let pause = |random: &mut Random, most: usize| {
        std::thread::sleep(Duration::from_millis(300 + random.below(most) as u64));
    };
    pause(random, 1200);
    let planned = fault::plan(allowed, cluster.servers.len(), spoil, random);
    // The first one destroys data, if any does, and begins while all is well.
    let mut running: Vec<(Instant, &fault::Planned)> = Vec::new();
    for planned in &planned {
        fault::begin(planned, cluster, crew, random, &mut damage)?;
        running.push((Instant::now() + planned.lasts, planned));
        pause(random, 2000);
    }
    running.sort_by_key(|(end, _)| *end);
    for (end, planned) in running {
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
        fault::end(planned, cluster, crew)?;
    }
    pause(random, 1500);
    let healing = Instant::now();
    cluster.heal()?;
    crew.check()?;
    let mut paused = crew.pause()?;
    say!(
        "all writers stand still {:.1?} after the faults",
        healing.elapsed()
    );
    if random.below(2) == 0 {
        replace_damaged(cluster, crew, &paused, &damage)?;
    }
    let taken = verify::wait_for_goal(cluster, &paused, crew, &damage)?;
    say!("all chunks have their copies after {taken:.1?}");
    check(cluster, crew, &paused)?;
    verify::drop_uncertain(cluster, &mut paused, crew)?;
    paused.resume();
    Ok(())
}

/// Looks at everything.
fn check(cluster: &Cluster, crew: &Crew, paused: &Paused<'_>) -> Result<()> {
    let mount = cluster.fresh_mount()?;
    verify::all_files(&mount, paused, crew)?;
    mount.unmount();
    verify::all_copies(cluster, paused)
}

/// Takes damaged copies away that the master has replaced on other servers: an administrator does
/// that, the master does it in one turn of its loop.
fn replace_damaged(
    cluster: &mut Cluster,
    crew: &Crew,
    paused: &Paused<'_>,
    damage: &[Damaged],
) -> Result<()> {
    let Some(victim) = damage.first().map(|damaged| damaged.server) else {
        return Ok(());
    };
    verify::wait_for_replacement(cluster, paused, crew, damage)?;
    let server = &mut cluster.servers[victim].program;
    server.stop();
    for file in server.chunks() {
        if damage.iter().any(|damaged| damaged.chunk == file.id) {
            std::fs::remove_file(&file.path)?;
            say!("removed {}", file.path.display());
        }
    }
    server.start();
    cluster.wait_for_servers()
}

/// Reads everything with each chunkserver absent in turn: each copy must be good alone.
fn each_absent(cluster: &mut Cluster, crew: &Crew) -> Result<()> {
    let paused = crew.pause()?;
    for number in 0..cluster.servers.len() {
        verify::wait_for_goal(cluster, &paused, crew, &[])?;
        say!("without server {number}");
        // In order: the master waits for it and copies nothing.
        cluster.servers[number].program.stop();
        let mount = cluster.fresh_mount()?;
        verify::all_files(&mount, &paused, crew)?;
        mount.unmount();
        cluster.servers[number].program.start();
        cluster.wait_for_servers()?;
    }
    paused.resume();
    Ok(())
}
