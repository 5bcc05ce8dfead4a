//! The service under the tests' command.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use mfs_master::daemon::{Event, Events, Service, StartContext};
use rustix::process::{Signal, kill_process};

/// The variable of the environment that names how the service behaves.
pub(crate) const SERVICE: &str = "MFS_TEST_SERVICE";

/// Serves nothing; writes what happens to it into `events` of its data directory.
pub(crate) struct Probe {
    dir: PathBuf,
    behaviour: String,
}

impl Probe {
    fn note(dir: &Path, event: &str) -> Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut file = options.append(true).create(true).open(dir.join("events"))?;
        writeln!(file, "{event}")?;
        Ok(())
    }
}

impl Service for Probe {
    async fn start(context: StartContext) -> Result<Probe> {
        let behaviour = std::env::var(SERVICE)?;
        let step = context.terminal.step("loading nothing");
        match behaviour.as_str() {
            "fail" => bail!("can't find nothing"),
            "die" => kill_process(rustix::process::getpid(), Signal::KILL)?,
            "vanish" => std::process::exit(0),
            "panic" => panic!("not foreseen"),
            "wait" => {
                while !context.data_dir.join("go").exists() {
                    if context.stop.is_set() {
                        bail!("interrupted");
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            _ => {}
        }
        step.ok();
        Probe::note(&context.data_dir, "start")?;
        Ok(Probe {
            dir: context.data_dir,
            behaviour,
        })
    }

    async fn run(&mut self, events: &mut Events) -> Result<()> {
        if self.behaviour == "broken" {
            bail!("broken in mid-run");
        }
        loop {
            match events.next().await {
                Event::Reload => Probe::note(&self.dir, "reload")?,
                Event::Info => Probe::note(&self.dir, "info")?,
                Event::Stop => return Ok(()),
            }
        }
    }

    async fn stop(self) -> Result<()> {
        if self.behaviour == "stubborn" {
            std::future::pending::<()>().await;
        }
        Probe::note(&self.dir, "stop")
    }

    fn restore(context: StartContext) -> Result<()> {
        Probe::note(&context.data_dir, "restore")
    }
}
