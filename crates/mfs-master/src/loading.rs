//! Loading the state at a start or for a restore, with progress for who waits (spec 01 §3.4).

use anyhow::{Context, Result};
use mfs_chunks::Unfinished;
use mfs_meta::Metadata;
use mfs_store::changelog::OnError;
use mfs_store::image::{Progress, Section};
use mfs_store::lifecycle::{DataDir, LoadOptions, Loaded, Mode, RestoreOptions, Step};

use crate::daemon::StartContext;
use crate::terminal::{self, Terminal};

/// Messages of a recovery that only `-x` shows.
const VERBOSE: u8 = 1;

/// Loads the state as the command line wants it, and which operations on chunks it leaves open. Nothing on disk
/// changes.
///
/// # Errors
/// There is no state to load.
pub fn load(dir: &DataDir, context: &StartContext, now: u32) -> Result<(Loaded, Unfinished)> {
    let mode = if context.auto_restore {
        Mode::Restore
    } else {
        Mode::Plain
    };
    context.terminal.line("loading metadata ...");
    let options = options(context, now)?;
    let mut reporter = Reporter::new(context);
    let mut unfinished = Unfinished::default();
    let loaded = dir.load_with(&mut unfinished, mode, &options, &mut |step| {
        reporter.step(&step);
    });
    reporter.finish(loaded.is_ok());
    let loaded = loaded.map_err(|error| hint(error.into(), context))?;
    report(&loaded);
    tell_figures(&loaded.meta);
    tracing::info!(
        version = loaded.meta.version(),
        "metadata file has been loaded"
    );
    if !unfinished.is_empty() {
        tracing::info!(
            operations = unfinished.len(),
            "operations on chunks were not ended: decided when all chunkservers are back"
        );
    }
    Ok((loaded, unfinished))
}

/// Restores the newest state to `metadata.mfs` (the action `restore`).
///
/// # Errors
/// Nothing was restored; nothing has changed.
pub fn restore(dir: &DataDir, context: &StartContext, now: u32) -> Result<()> {
    let options = RestoreOptions {
        load: options(context, now)?,
        ..RestoreOptions::default()
    };
    let mut reporter = Reporter::new(context);
    let mut unfinished = Unfinished::default();
    let restored = dir.restore(&mut unfinished, &options, &mut |step| {
        reporter.step(&step);
    });
    reporter.finish(restored.is_ok());
    let restored = restored
        .map_err(|error| hint(error.into(), context))
        .context("metadata restore failed")?;
    report(&restored.loaded);
    for note in &restored.notes {
        tracing::warn!("{note}");
    }
    let version = restored.loaded.meta.version();
    if restored.written {
        tracing::info!(version, "metadata restored to metadata.mfs");
    } else {
        tracing::info!(version, "metadata.mfs is the newest state already");
    }
    Ok(())
}

fn options(context: &StartContext, now: u32) -> Result<LoadOptions> {
    Ok(LoadOptions {
        ignore: context.ignore_errors,
        on_error: if context.ignore_errors {
            OnError::KeepBest
        } else {
            OnError::Stop
        },
        now,
        seed: getrandom::u64().context("no random numbers")?,
        default_grace: context.config.quota_default_grace_period,
        ..LoadOptions::default()
    })
}

/// What the flag `-i` could do about changelogs that cannot be applied.
fn hint(error: anyhow::Error, context: &StartContext) -> anyhow::Error {
    let replay = error
        .chain()
        .any(|cause| cause.is::<mfs_store::changelog::ReplayError>());
    if replay && !context.ignore_errors {
        error.context("error applying changelogs - fix changelogs manually or use '-i' flag")
    } else {
        error
    }
}

/// How the changelogs were applied.
fn report(loaded: &Loaded) {
    let Some(replay) = &loaded.replay else {
        return;
    };
    tracing::info!(
        image = %loaded.image.path.display(),
        from = replay.start,
        to = replay.end,
        lines = replay.applied,
        "changelogs applied"
    );
    if replay.more_events > 0 {
        tracing::warn!(more = replay.more_events, "more oddities in the changelogs");
    }
    if let Some(error) = &replay.stopped {
        tracing::error!("{error}");
        tracing::error!(
            "error applying changelogs - ignoring (using best possible metadata version)"
        );
    }
    if let Some(left) = replay.left_out {
        tracing::error!(
            first = left.first,
            last = left.last,
            lines = left.lines,
            "CHANGES ARE LEFT OUT"
        );
    }
}

fn tell_figures(meta: &Metadata) {
    let totals = meta.totals();
    tracing::info!(
        "all inodes: {} ; directory inodes: {} ; file inodes: {} ; chunks: {}",
        meta.node_count(),
        totals.dirs,
        totals
            .files
            .saturating_add(totals.trash)
            .saturating_add(totals.sustained),
        meta.chunk_count()
    );
}

/// Shows the steps of a load.
struct Reporter {
    terminal: Terminal,
    verbosity: u8,
    /// What is going on.
    current: Option<terminal::Step>,
    /// Percent of the changelogs that was shown last.
    percent: u64,
}

impl Reporter {
    fn new(context: &StartContext) -> Reporter {
        Reporter {
            terminal: context.terminal.clone(),
            verbosity: context.verbosity,
            current: None,
            percent: 0,
        }
    }

    fn step(&mut self, step: &Step<'_>) {
        match step {
            Step::Note(note) => {
                // With a line open it is about the image that could not be read.
                self.finish(false);
                tracing::warn!("{note}");
            }
            Step::Image(image) => {
                if self.verbosity >= VERBOSE {
                    tracing::info!("loading {}", image.path.display());
                }
            }
            Step::ImageProgress(Progress::Begin(section)) => {
                let title = format!("loading {}", section.title());
                self.begin(&title);
            }
            Step::ImageProgress(Progress::End(report)) => {
                self.finish(true);
                // The records are there; what follows takes time, too.
                if report.section == Section::Chnk {
                    self.begin("checking filesystem consistency");
                }
            }
            Step::ImageProgress(Progress::Notice(text)) => tracing::warn!("{text}"),
            Step::ImageNotice(notice) => tracing::warn!("{notice}"),
            Step::Changelogs(files) => {
                self.finish(true);
                for source in files.iter().filter(|_| self.verbosity >= VERBOSE) {
                    let used = if source.used { "used" } else { "not needed" };
                    tracing::info!("{}: {used}", source.file.display());
                }
            }
            Step::ReplayProgress(progress) => {
                let percent = progress.bytes.saturating_mul(100) / progress.total_bytes.max(1);
                if percent > self.percent {
                    self.percent = percent;
                    self.terminal.part(format_args!(
                        "\rprogress: current change: {} ({percent}%)",
                        progress.version
                    ));
                }
            }
            Step::ChangelogEvent(event) => tracing::warn!("{event}"),
        }
    }

    fn begin(&mut self, what: &str) {
        self.finish(true);
        self.current = Some(self.terminal.step(what));
    }

    /// Ends the line of what is going on.
    fn finish(&mut self, well: bool) {
        match self.current.take() {
            Some(step) if well => step.ok(),
            Some(step) => step.done("error"),
            None => {}
        }
    }
}
