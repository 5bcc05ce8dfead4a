//! The clock of both masters: stands still until it is told to go on, so that all times are equal.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chrono::DateTime;

/// When scripts begin: 2024-11-21 05:00:10 UTC, far from a full hour.
const START: u32 = 1_732_165_210;

/// The file that `libfaketime` in the masters reads at each question for the time.
#[derive(Debug)]
pub(crate) struct Clock {
    file: PathBuf,
    now: u32,
}

impl Clock {
    /// A clock in a directory.
    pub(crate) fn new(dir: &Path) -> Result<Clock> {
        let mut clock = Clock {
            file: dir.join("clock"),
            now: START,
        };
        clock.advance(0)?;
        Ok(clock)
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Seconds since the epoch.
    pub(crate) fn now(&self) -> u32 {
        self.now
    }

    pub(crate) fn advance(&mut self, seconds: u32) -> Result<()> {
        self.now += seconds;
        let time = DateTime::from_timestamp(self.now.into(), 0).context("no such time")?;
        // At once for readers: they must not meet half a date.
        let new = self.file.with_extension("new");
        fs::write(&new, time.format("%Y-%m-%d %H:%M:%S\n").to_string())?;
        fs::rename(&new, &self.file)?;
        Ok(())
    }
}

/// The library that shows a process another time.
pub(crate) fn library() -> Result<PathBuf> {
    let lib = fs::read_dir("/usr/lib")?;
    lib.filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .find(|path| path.is_file())
        .context("libfaketime is missing: apt-get install libfaketime")
}
