//! `mfsdiff`: drives the original `mfsmaster` and ours with the same requests and compares every answer, every
//! notice, and in the end both images. See the README beside this program.

mod clock;
mod connection;
mod difference;
mod duel;
mod dump;
mod figures;
mod generate;
mod guard;
mod master;
mod rules;
mod script;
mod shrink;
mod slots;
mod waits;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use difference::Difference;
use duel::Duel;
use figures::Figures;
use generate::Generator;
use master::Programs;
use script::Step;

/// Differential tester of two metadata masters.
#[derive(Parser)]
#[command(version, about)]
struct Options {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Clone)]
struct Place {
    /// The original master.
    #[arg(long, global = true, default_value = "/usr/sbin/mfsmaster")]
    original: PathBuf,
    /// Our master; by default the one that was built beside this program.
    #[arg(long, global = true)]
    ours: Option<PathBuf>,
    /// The program that prints images.
    #[arg(long, global = true, default_value = "/usr/sbin/mfsmetadump")]
    metadump: PathBuf,
    /// Where failing scripts are written.
    #[arg(long, global = true, default_value = ".")]
    out: PathBuf,
    /// Seconds that the search for a shorter failing script may take; 0: no search.
    #[arg(long, global = true, default_value_t = 180)]
    shrink: u64,
}

#[derive(Subcommand)]
enum Command {
    /// Random requests, for each of a range of seeds.
    Run {
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Number of seeds.
        #[arg(long, default_value_t = 20)]
        seeds: u64,
        /// Steps for each seed.
        #[arg(long, default_value_t = 50_000)]
        steps: usize,
    },
    /// The steps of a script.
    Replay {
        /// The script.
        script: PathBuf,
        /// Print every request with both answers, and go on after differences of answers.
        #[arg(long)]
        trace: bool,
    },
}

/// What is needed for a pair of masters.
struct Arena {
    programs: Programs,
    image: Vec<u8>,
}

impl Arena {
    fn new(place: &Place) -> Result<Arena> {
        let ours = match &place.ours {
            Some(ours) => ours.clone(),
            None => std::env::current_exe()?.with_file_name("mfsmaster"),
        };
        let programs = Programs {
            original: place.original.clone(),
            ours,
            metadump: place.metadump.clone(),
        };
        let dir = tempfile::tempdir()?;
        let image = master::empty_image(&programs, dir.path())?;
        Ok(Arena { programs, image })
    }

    fn duel(&self, dir: &Path) -> Result<Duel> {
        Duel::start(&self.programs, dir, &self.image)
    }

    /// Runs a whole script, images included.
    fn replay(&self, steps: &[Step], trace: bool) -> Result<(Option<Difference>, Figures)> {
        let dir = tempfile::tempdir()?;
        let mut duel = self.duel(dir.path())?;
        duel.trace = trace;
        let difference = duel.run(steps)?;
        let figures = duel.figures.clone();
        match difference {
            Some(difference) => Ok((Some(difference), figures)),
            None => Ok((self.end(duel)?, figures)),
        }
    }

    fn end(&self, duel: Duel) -> Result<Option<Difference>> {
        let images = duel.stop()?;
        let text = dump::differences(&self.programs, &images)?;
        Ok((!text.is_empty()).then(|| Difference {
            label: None,
            kind: u32::MAX,
            text: format!("images:\n{text}"),
        }))
    }

    /// Random steps up to a number of them or to the first difference.
    fn random(&self, seed: u64, count: usize) -> Result<(Vec<Step>, Option<Difference>, Figures)> {
        let dir = tempfile::tempdir()?;
        let mut duel = self.duel(dir.path())?;
        let mut generator = Generator::new(seed);
        let mut steps = generator.preamble();
        let mut difference = duel.run(&steps)?;
        while difference.is_none() && steps.len() < count {
            let next = generator.next(duel.now());
            difference = duel.run(&next)?;
            steps.extend(next);
            generator.learn(std::mem::take(&mut duel.outcomes), duel.inodes);
        }
        let figures = duel.figures.clone();
        if difference.is_none() {
            difference = self.end(duel)?;
        }
        Ok((steps, difference, figures))
    }
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let arena = Arena::new(&options.place)?;
    let same = match &options.command {
        Command::Replay { script, trace } => replay(&arena, script, *trace)?,
        Command::Run { seed, seeds, steps } => {
            let mut total = Figures::default();
            let mut different = 0;
            for seed in *seed..seed + seeds {
                let (same, figures) = run(&arena, &options.place, seed, *steps)?;
                total.add(&figures);
                different += u64::from(!same);
            }
            total.report();
            println!("{seeds} seeds, {different} with a difference that nothing explains");
            different == 0
        }
    };
    Ok(if same {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn replay(arena: &Arena, script: &Path, trace: bool) -> Result<bool> {
    let text =
        fs::read_to_string(script).with_context(|| format!("cannot read {}", script.display()))?;
    let (difference, figures) = arena.replay(&script::parse(&text)?, trace)?;
    figures.report();
    match &difference {
        Some(difference) => println!("{}", difference.text),
        None => println!("no difference"),
    }
    Ok(difference.is_none())
}

fn run(arena: &Arena, place: &Place, seed: u64, count: usize) -> Result<(bool, Figures)> {
    let started = Instant::now();
    let (steps, difference, figures) = arena.random(seed, count)?;
    let (sent, succeeded) = figures.total();
    println!(
        "seed {seed}: {} steps, {sent} requests, {} % successful, {:.0} s",
        steps.len(),
        (succeeded * 100).checked_div(sent).unwrap_or(0),
        started.elapsed().as_secs_f32()
    );
    let Some(difference) = difference else {
        return Ok((true, figures));
    };
    println!("DIFFERENCE: {}", difference.text);
    let mut shortest = (steps, difference);
    let file = place.out.join(format!("seed-{seed}.script"));
    fs::write(&file, script::print(&shortest.0))?;
    if place.shrink > 0 {
        let limit = Duration::from_secs(place.shrink);
        shortest = shrink::shrink(&shortest.0, shortest.1, limit, |steps| {
            Ok(arena.replay(steps, false)?.0)
        })?;
        let text = script::print(&shortest.0);
        println!(
            "{} steps are enough:\n{text}{}",
            shortest.0.len(),
            shortest.1.text
        );
        let comment = shortest.1.text.replace('\n', "\n# ");
        fs::write(&file, format!("# {comment}\n{text}"))?;
    }
    println!("written to {}", file.display());
    Ok((false, figures))
}
