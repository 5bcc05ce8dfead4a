//! The outer process: it only starts the run and takes away whatever the run leaves behind, also
//! when the run is killed, hangs, or is interrupted from the keyboard.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};

use antler_e2e::{Tool, real, sweep_after};
use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::getppid;

/// Set for the inner process.
pub(crate) const RUN_DIR: &str = "MFSCHAOS_RUN_DIR";

/// Runs this program again as the inner process and cleans up after it.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn supervise(dir: Option<PathBuf>, keep: bool) -> Result<ExitCode> {
    let dir = dir
        .unwrap_or_else(|| std::env::temp_dir().join(format!("mfschaos-{}", std::process::id())));
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut signals = SigSet::empty();
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGCHLD,
        FAILED,
    ] {
        signals.add(signal);
    }
    // Blocked here and taken one by one below; a child of `Command` starts with none blocked.
    signals.thread_block()?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(RUN_DIR, &dir)
        .env("TMPDIR", &dir)
        .spawn()
        .context("cannot start the run")?;
    let end = wait(&mut child, &signals)?;
    if end == End::Failed {
        keep_disks(&dir);
    }
    // Threads that wait for a mount cannot die before the mount does.
    child.kill()?;
    sweep_after(child.id());
    child.wait()?;
    sweep_after(child.id());
    if end == End::Failed || end == End::Passed && keep {
        println!("all files of the run: {}", dir.display());
    } else {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    Ok(match end {
        End::Passed => ExitCode::SUCCESS,
        End::Failed => ExitCode::FAILURE,
        End::Interrupted => ExitCode::from(130),
    })
}

/// Told by the inner process that it is lost: it may be unable to end by itself.
const FAILED: Signal = Signal::SIGUSR1;

/// Ends the inner process after a failure. Nothing is taken away that could be inspected.
pub(crate) fn fail() -> ! {
    // When the outer process is gone nobody needs to know.
    let _ = kill(getppid(), FAILED);
    std::process::exit(1)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Passed,
    Failed,
    Interrupted,
}

fn wait(child: &mut Child, signals: &SigSet) -> Result<End> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(if status.success() {
                End::Passed
            } else {
                End::Failed
            });
        }
        match signals.wait()? {
            Signal::SIGCHLD => {}
            FAILED => return Ok(End::Failed),
            signal => {
                println!("interrupted by {signal}");
                return Ok(End::Interrupted);
            }
        }
    }
}

/// The disks of the chunkservers are in memory and end with the run: their files are copied to
/// where they can be looked at.
fn keep_disks(dir: &Path) {
    let Ok(table) = fs::read_to_string("/proc/self/mounts") else {
        return;
    };
    for line in table.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(point), Some("tmpfs")) = (fields.next(), fields.next()) else {
            continue;
        };
        if Path::new(point).starts_with(dir) {
            let run = Tool::new(real("cp"))
                .args(["-a", "--sparse=always", point])
                .arg(format!("{point}.kept"))
                .run();
            if run.code != Some(0) {
                // After a panic the servers still run and remove files.
                let lines = run.stderr.lines().count();
                println!("{point}.kept: {lines} files could not be copied");
            }
        }
    }
}
