//! What a program does inside the process framework.

use std::future::Future;
use std::path::PathBuf;

use anyhow::Result;
use mfs_config::MasterConfig;

use super::signals::{Events, StopFlag};
use crate::terminal::Terminal;

/// What a start or a restore is given.
#[derive(Clone)]
pub struct StartContext {
    /// The configuration; it knows its file, for [`MasterConfig::reload`].
    pub config: MasterConfig,
    /// The data directory: absolute, locked, and the working directory of the process.
    pub data_dir: PathBuf,
    /// `-f`: signals of the terminal count, and the terminal stays.
    pub foreground: bool,
    /// `-a`: recover from image and changelogs when the last stop was not clean.
    pub auto_restore: bool,
    /// `-i`: tolerate damage.
    pub ignore_errors: bool,
    /// `-x` (1), `-xx` (2): how much a recovery tells.
    pub verbosity: u8,
    /// `-u`: tell about options whose default is used, see
    /// [`report_config`](super::report_config).
    pub log_defaults: bool,
    /// For progress. In the background it is the starter's, let go when the service is ready.
    pub terminal: Terminal,
    /// Set when the process is asked to stop; a long start may fail then, with any error.
    pub stop: StopFlag,
}

/// A program that loads its state, serves and stops in order: the master.
pub trait Service: Sized {
    /// Loads the state and opens the ports. The starter is told of success when it returns. It may
    /// block: other tasks of the runtime have threads of their own.
    ///
    /// # Errors
    /// Fails the start with this error; whatever it opened it has closed again.
    fn start(context: StartContext) -> impl Future<Output = Result<Self>>;

    /// Serves until [`Event::Stop`](super::Event::Stop) or for a reason of its own; waits for
    /// `events.next()` all the time (systemd's watchdog looks at that).
    ///
    /// # Errors
    /// Makes the exit code 1, after [`Service::stop`].
    fn run(&mut self, events: &mut Events) -> impl Future<Output = Result<()>>;

    /// Closes the ports and leaves a clean data directory.
    ///
    /// # Errors
    /// Makes the exit code 1.
    fn stop(self) -> impl Future<Output = Result<()>>;

    /// The action `restore`: makes a clean image from the best image and the changelogs.
    ///
    /// # Errors
    /// Makes the exit code 1; nothing in the directory has changed.
    fn restore(context: StartContext) -> Result<()>;
}
