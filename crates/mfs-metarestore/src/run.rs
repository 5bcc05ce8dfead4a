//! What is done.

use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail, ensure};
use mfs_chunks::Unfinished;
use mfs_config::{ConfigDirectory, MasterConfig};
use mfs_meta::Companion;
use mfs_store::changelog::{Input, OnError, Until};
use mfs_store::image::{self, Checked};
use mfs_store::lifecycle::{
    DataDir, LoadOptions, METADATA, METADATA_BACK, RestoreOptions, Step, TimePoint, Verdict,
    begin_companion, find_time, read_image, replay_files,
};
use mfs_store::lock::{self, DirLock, MASTER_LOCK};

use crate::cli::{Action, Cli};
use crate::dump::Dump;
use crate::report::Report;

pub(crate) fn run(cli: &Cli, action: &Action) -> anyhow::Result<()> {
    match action {
        Action::Auto(dir) => {
            restore_directory(cli, &directory(dir.as_deref(), &ConfigDirectory::default()))
        }
        Action::Files(image, out) => restore_files(cli, image, out),
        Action::Dump(image) => dump(cli, image),
    }
}

fn load_options(cli: &Cli) -> LoadOptions {
    use std::hash::{BuildHasher, RandomState};
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    LoadOptions {
        ignore: cli.ignore,
        use_all: cli.all,
        on_error: if cli.best {
            OnError::KeepBest
        } else {
            OnError::Stop
        },
        until: cli.until,
        now: u32::try_from(now).unwrap_or(u32::MAX),
        seed: RandomState::new().hash_one(now),
        ..LoadOptions::default()
    }
}

/// The directory to restore: the one given, that of the configuration, or the usual one.
fn directory(given: Option<&Path>, config: &ConfigDirectory) -> PathBuf {
    match given {
        Some(dir) => dir.to_owned(),
        // A configuration that cannot be read is not this program's matter.
        None => MasterConfig::load(None, config)
            .map_or_else(|_| "/var/lib/mfs".into(), |loaded| loaded.value.data_path),
    }
}

/// `-a`
fn restore_directory(cli: &Cli, dir: &Path) -> anyhow::Result<()> {
    ensure!(dir.is_dir(), "{}: no such directory", dir.display());
    let data = DataDir::new(dir);
    let _lock = lock_directory(dir)?;
    let options = RestoreOptions {
        load: load_options(cli),
        force: cli.force,
        need_changelogs: true,
    };
    let mut report = Report::new(cli.verbose);
    let mut unfinished = Unfinished::default();
    let restored = data.restore(&mut unfinished, &options, &mut |step| report.step(&step))?;
    if let Some(replay) = &restored.loaded.replay {
        report.replayed(replay);
    }
    for note in &restored.notes {
        report.line(note);
    }
    let metadata = dir.join(METADATA);
    let version = restored.loaded.meta.version();
    if restored.written {
        report.line(format_args!(
            "store metadata into file: {}",
            metadata.display()
        ));
    } else {
        report.line(format_args!(
            "{} is up to date: nothing to do",
            metadata.display()
        ));
    }
    let back = dir.join(METADATA_BACK);
    if let Some(Verdict::Valid(checked)) = Verdict::of(&back)
        && checked.version() > version
    {
        report.line(format_args!(
            "{} is newer (version {}): a master refuses to start until it is moved away, or with option '-i'",
            back.display(),
            checked.version()
        ));
    }
    Ok(())
}

/// Takes the lock of the directory for as long as it is worked on. A lock file that did not exist is given to the
/// owner of the directory, so that a master under that user can lock it later.
fn lock_directory(dir: &Path) -> anyhow::Result<DirLock> {
    let existed = dir.join(MASTER_LOCK).exists();
    let lock = DirLock::acquire(dir, MASTER_LOCK)
        .context("can't lock the directory (is a master running?)")?;
    if !existed && rustix::process::geteuid().is_root() {
        let owner = std::fs::metadata(dir)?;
        std::os::unix::fs::chown(lock.path(), Some(owner.uid()), Some(owner.gid()))
            .with_context(|| format!("can't change owner of {}", lock.path().display()))?;
    }
    Ok(lock)
}

/// `-m IMAGE -o OUT [CHANGELOG...]`
fn restore_files(cli: &Cli, image: &Path, out: &Path) -> anyhow::Result<()> {
    let mut options = load_options(cli);
    let mut report = Report::new(cli.verbose);
    let mut inputs = Vec::new();
    for log in &cli.logs {
        std::fs::File::open(log)
            .with_context(|| format!("can't open changelog file: {}", log.display()))?;
        inputs.push(Input::File(log.clone()));
    }
    if let Some(Until::Time(time)) = options.until {
        options.until = match find_time(inputs.clone(), time)? {
            TimePoint::Before(version) => Some(Until::Version(version)),
            TimePoint::End => None,
        };
    }
    let (mut meta, renumber) = read_image(image, &options, &mut |step| report.step(&step))
        .with_context(|| format!("can't read metadata from file: {}", image.display()))?;
    if report.verbose() > 0 && renumber {
        report.line("edges have no ids: the master renumbers them at its next start");
    }
    let mut unfinished = Unfinished::default();
    if let Some(note) = begin_companion(&mut unfinished, image, meta.version()) {
        report.step(&Step::Note(&note));
    }
    let replay = replay_files(
        &mut meta,
        &mut unfinished,
        inputs,
        &options,
        &mut |step: Step<'_>| report.step(&step),
    )?;
    report.replayed(&replay);
    check_output(cli, image, out, meta.version(), meta.meta_id())?;
    report.line(format_args!("store metadata into file: {}", out.display()));
    let companion = unfinished.file(meta.version());
    DataDir::write_image(&meta.view(), companion.as_deref(), out, options.now)
        .with_context(|| format!("can't write metadata to file: {}", out.display()))
}

/// Whether the output may be replaced.
fn check_output(
    cli: &Cli,
    image: &Path,
    out: &Path,
    version: u64,
    meta_id: u64,
) -> anyhow::Result<()> {
    let dir = out
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if dir.join(MASTER_LOCK).exists()
        && let Some(owner) = lock::owner(dir, MASTER_LOCK)?
    {
        bail!(
            "{} is the directory of a running master ({owner})",
            dir.display()
        );
    }
    let Ok(there) = std::fs::metadata(out) else {
        return Ok(());
    };
    ensure!(there.is_file(), "{} is not a file", out.display());
    for input in std::iter::once(image).chain(cli.logs.iter().map(PathBuf::as_path)) {
        if let Ok(input) = std::fs::metadata(input) {
            let same = (input.dev(), input.ino()) == (there.dev(), there.ino());
            ensure!(!same, "{} is an input, too", out.display());
        }
    }
    let older = match image::check(out) {
        Ok(Checked::New) => true,
        Ok(old) => {
            let known = old.meta_id() != 0 && meta_id != 0;
            old.version() <= version && !(known && old.meta_id() != meta_id)
        }
        Err(_) => there.len() == 0,
    };
    if older || cli.force {
        return Ok(());
    }
    Err(anyhow!(
        "{} is newer than the result, of another file system, or no image - use --force to replace it",
        out.display()
    ))
}

/// `-m IMAGE`
fn dump(cli: &Cli, image: &Path) -> anyhow::Result<()> {
    let mut out = Dump::new(BufWriter::new(io::stdout().lock()));
    let options = image::ReadOptions {
        ignore: cli.ignore,
        ..image::ReadOptions::default()
    };
    let result = image::read_path(image, &options, &mut out, &mut |_| ());
    let (mut out, failure) = out.finish();
    // Whoever reads the output may have had enough.
    if failure
        .as_ref()
        .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    {
        return Ok(());
    }
    if let Some(error) = failure {
        return Err(error).context("can't write");
    }
    let report =
        result.with_context(|| format!("can't read metadata from file: {}", image.display()))?;
    if report.head == Checked::New {
        writeln!(out, "empty file")?;
    }
    out.flush().context("can't write")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_comes_from_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let config = ConfigDirectory {
            current: dir.path().join("mfs"),
            former: dir.path().to_owned(),
        };
        assert_eq!(directory(None, &config), Path::new("/var/lib/mfs"));
        std::fs::create_dir(dir.path().join("mfs")).unwrap();
        std::fs::write(
            dir.path().join("mfs/mfsmaster.cfg"),
            "DATA_PATH = /srv/meta\n",
        )
        .unwrap();
        assert_eq!(directory(None, &config), Path::new("/srv/meta"));
        assert_eq!(directory(Some(Path::new("/x")), &config), Path::new("/x"));
    }
}
