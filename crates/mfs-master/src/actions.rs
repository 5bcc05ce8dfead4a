//! The actions of the command line that deal with a master that runs already (spec 01 §4): finding
//! it by the lock of its data directory, signalling it, waiting for its end.

use std::path::Path;
use std::time::{Duration, Instant};

use mfs_store::lock::{self, DirLock, LockError, MASTER_LOCK, Owner};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;

use crate::terminal::Terminal;

/// How often a lock whose owner is to end is looked at.
const POLL: Duration = Duration::from_millis(100);

/// How often a dot is shown while waiting.
const DOT: Duration = Duration::from_secs(10);

/// Why an action failed. The texts are those of the original where it has one.
#[derive(Debug, Error)]
pub enum ActionError {
    /// `start` while a master runs.
    #[error("can't start: lockfile is already locked by another process")]
    AlreadyRunning,
    /// `restore` while a master runs, which must not be stopped for it.
    #[error("can't restore: the data directory is in use ({0}) - stop that process first")]
    InUse(Owner),
    /// `test` without a master.
    #[error("mfsmaster is not running")]
    NotRunning,
    /// `try-restart`, `reload` or `info` without a master.
    #[error("can't find process to {0}")]
    NoProcess(&'static str),
    /// The lock owner did not end in time.
    #[error("the lock owner ({owner}) did not end within {seconds} seconds")]
    TimedOut {
        /// Who was waited for.
        owner: Owner,
        /// How long.
        seconds: u64,
    },
    /// The lock owner cannot be signalled.
    #[error("can't kill lock owner ({owner}): {reason}")]
    CannotSignal {
        /// Who.
        owner: Owner,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The lock file cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// What the actions work with. Each method that fails wants its error printed and exit code 1.
pub struct Actions<'a> {
    /// The data directory.
    pub dir: &'a Path,
    /// How long to wait for the end of a master.
    pub timeout: Duration,
    /// Where to tell what happens.
    pub terminal: &'a Terminal,
}

impl Actions<'_> {
    fn owner(&self) -> Result<Option<Owner>, ActionError> {
        Ok(lock::owner(self.dir, MASTER_LOCK)?)
    }

    /// `stop` (with SIGTERM) and `kill` (with SIGKILL): ends the master and waits for its end.
    /// No master is no error.
    ///
    /// # Errors
    /// When it does not end in time or may not be signalled.
    pub fn end(&self, signal: Signal) -> Result<(), ActionError> {
        let Some(owner) = self.owner()? else {
            self.terminal.line("can't find process to terminate");
            return Ok(());
        };
        self.end_owner(owner, signal, || {
            Ok(match lock::owner(self.dir, MASTER_LOCK)? {
                None => Probe::Free(()),
                Some(owner) => Probe::Held(owner),
            })
        })
    }

    /// `reload`: sends SIGHUP.
    ///
    /// # Errors
    /// When there is no master or it may not be signalled.
    pub fn reload(&self) -> Result<(), ActionError> {
        self.send_named(Signal::HUP, "send reload signal")?;
        self.terminal.line("reload signal has been sent");
        Ok(())
    }

    /// `info`: sends SIGUSR1.
    ///
    /// # Errors
    /// When there is no master or it may not be signalled.
    pub fn info(&self) -> Result<(), ActionError> {
        self.send_named(Signal::USR1, "send info signal")?;
        self.terminal.line("info signal has been sent");
        Ok(())
    }

    /// `test`, `status`: tells the process id of the master.
    ///
    /// # Errors
    /// [`ActionError::NotRunning`].
    pub fn test(&self) -> Result<(), ActionError> {
        match self.owner()?.ok_or(ActionError::NotRunning)? {
            Owner::Process(pid) => self.terminal.line(format_args!("mfsmaster pid: {pid}")),
            unknown @ Owner::Unknown => {
                self.terminal
                    .line(format_args!("mfsmaster is run by {unknown}"));
            }
        }
        Ok(())
    }

    /// Takes the lock for `start`.
    ///
    /// # Errors
    /// [`ActionError::AlreadyRunning`].
    pub fn lock_to_start(&self) -> Result<DirLock, ActionError> {
        match self.try_lock()? {
            Probe::Free(lock) => Ok(lock),
            Probe::Held(_) => Err(ActionError::AlreadyRunning),
        }
    }

    /// Takes the lock for `restart`, after ending the master that holds it, if any.
    ///
    /// # Errors
    /// When it does not end in time or may not be signalled.
    pub fn lock_to_restart(&self) -> Result<DirLock, ActionError> {
        match self.try_lock()? {
            Probe::Free(lock) => Ok(lock),
            Probe::Held(owner) => self.end_owner(owner, Signal::TERM, || self.try_lock()),
        }
    }

    /// Takes the lock for `try-restart`, after ending the master that holds it.
    ///
    /// # Errors
    /// When there is none, it does not end in time, or it may not be signalled.
    pub fn lock_to_try_restart(&self) -> Result<DirLock, ActionError> {
        let owner = self.owner()?.ok_or(ActionError::NoProcess("restart"))?;
        self.end_owner(owner, Signal::TERM, || self.try_lock())
    }

    /// Takes the lock for `restore`, which never stops a master.
    ///
    /// # Errors
    /// [`ActionError::InUse`].
    pub fn lock_to_restore(&self) -> Result<DirLock, ActionError> {
        match self.try_lock()? {
            Probe::Free(lock) => Ok(lock),
            Probe::Held(owner) => Err(ActionError::InUse(owner)),
        }
    }

    fn try_lock(&self) -> Result<Probe<DirLock>, LockError> {
        match DirLock::acquire(self.dir, MASTER_LOCK) {
            Ok(lock) => Ok(Probe::Free(lock)),
            Err(LockError::Held { owner, .. }) => Ok(Probe::Held(owner)),
            Err(error) => Err(error),
        }
    }

    fn send_named(&self, signal: Signal, purpose: &'static str) -> Result<(), ActionError> {
        send(
            self.owner()?.ok_or(ActionError::NoProcess(purpose))?,
            signal,
        )
    }

    /// Sends `signal` to the lock owner, and to each one that takes its place, until `probe` finds
    /// the lock free.
    fn end_owner<T>(
        &self,
        first: Owner,
        signal: Signal,
        mut probe: impl FnMut() -> Result<Probe<T>, LockError>,
    ) -> Result<T, ActionError> {
        let terminal = self.terminal;
        let name = if signal == Signal::KILL {
            "SIGKILL"
        } else {
            "SIGTERM"
        };
        let mut signalled = None;
        let mut owner = first;
        let started = Instant::now();
        let mut dots = 0;
        loop {
            if signalled != Some(owner) {
                if signalled.is_some() {
                    terminal.finish("new lock owner detected");
                }
                terminal.line(format_args!("sending {name} to lock owner ({owner})"));
                send(owner, signal)?;
                terminal.part("waiting for termination ");
                signalled = Some(owner);
            }
            std::thread::sleep(POLL);
            match probe()? {
                Probe::Free(value) => {
                    terminal.finish("terminated");
                    return Ok(value);
                }
                Probe::Held(now) => owner = now,
            }
            let waited = started.elapsed();
            if waited >= self.timeout {
                terminal.finish(":giving up");
                let seconds = self.timeout.as_secs();
                return Err(ActionError::TimedOut { owner, seconds });
            }
            if waited.as_secs() / DOT.as_secs() > dots {
                dots += 1;
                terminal.part(".");
            }
        }
    }
}

/// What a look at the lock found.
enum Probe<T> {
    Free(T),
    Held(Owner),
}

fn send(owner: Owner, signal: Signal) -> Result<(), ActionError> {
    let failed = |reason| ActionError::CannotSignal { owner, reason };
    let Owner::Process(pid) = owner else {
        return Err(failed(std::io::ErrorKind::Unsupported.into()));
    };
    let raw = i32::try_from(pid).ok();
    let Some(pid) = raw.and_then(Pid::from_raw) else {
        return Err(failed(std::io::ErrorKind::InvalidInput.into()));
    };
    match kill_process(pid, signal) {
        // It has just ended by itself, which the next look at the lock will show.
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(failed(errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::Captured;

    // The rows of spec 01 §4 without a lock owner; those with one need other processes and are in
    // tests/process.rs.
    fn without_owner<T>(action: fn(&Actions<'_>) -> Result<T, ActionError>) -> (bool, String) {
        let dir = tempfile::tempdir().unwrap();
        let captured = Captured::default();
        let done = action(&Actions {
            dir: dir.path(),
            timeout: Duration::from_secs(1),
            terminal: &Terminal::new(captured.clone()),
        });
        match done {
            Ok(_) => (true, captured.text()),
            Err(error) => {
                assert_eq!(captured.text(), "");
                (false, error.to_string())
            }
        }
    }

    #[test]
    fn actions_without_a_master() {
        let fails = |text: &str| (false, text.to_owned());
        let says = |text: &str| (true, text.to_owned());
        assert_eq!(without_owner(|a| a.lock_to_start()), says(""));
        assert_eq!(without_owner(|a| a.lock_to_restart()), says(""));
        assert_eq!(without_owner(|a| a.lock_to_restore()), says(""));
        assert_eq!(
            without_owner(|a| a.lock_to_try_restart()),
            fails("can't find process to restart")
        );
        let nothing_to_end = says("can't find process to terminate\n");
        assert_eq!(without_owner(|a| a.end(Signal::TERM)), nothing_to_end);
        assert_eq!(without_owner(|a| a.end(Signal::KILL)), nothing_to_end);
        assert_eq!(
            without_owner(|a| a.test()),
            fails("mfsmaster is not running")
        );
        assert_eq!(
            without_owner(|a| a.reload()),
            fails("can't find process to send reload signal")
        );
        assert_eq!(
            without_owner(|a| a.info()),
            fails("can't find process to send info signal")
        );
    }

    #[test]
    fn a_directory_that_refuses_the_lock_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let actions = Actions {
            dir: &missing,
            timeout: DOT,
            terminal: &Terminal::new(Captured::default()),
        };
        let error = actions.test().unwrap_err().to_string();
        assert!(error.starts_with("can't create lockfile in working directory "));
    }
}
