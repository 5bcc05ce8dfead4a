//! A master under test: its process, its files, its end.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::clock::{self, Clock};
use crate::slots;

/// How long a master may take to serve, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// After the clock has gone on, the slower of the two masters notices within half a second.
pub(crate) const JOBS: Duration = Duration::from_millis(750);

/// Seconds of its clock that the original takes to end.
const SECONDS_TO_END: u32 = 2;

/// Address space of a master at most, bytes.
const MEMORY: u64 = 6 << 30;

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Original,
    Ours,
}

impl Side {
    pub(crate) const BOTH: [Side; 2] = [Side::Original, Side::Ours];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::Original => "original",
            Side::Ours => "ours",
        }
    }
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) original: PathBuf,
    pub(crate) ours: PathBuf,
    pub(crate) metadump: PathBuf,
}

/// A running master.
#[derive(Debug)]
pub(crate) struct Master {
    side: Side,
    dir: PathBuf,
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Master {
    /// Starts a master in a directory of its own, on a copy of `image`.
    pub(crate) fn start(
        side: Side,
        programs: &Programs,
        dir: &Path,
        clock: &Clock,
        image: &[u8],
    ) -> Result<Master> {
        let data = dir.join("data");
        fs::create_dir_all(&data)?;
        fs::write(data.join("metadata.mfs"), image)?;
        let exports = dir.join("mfsexports.cfg");
        let topology = dir.join("mfstopology.cfg");
        fs::write(&exports, slots::exports())?;
        fs::write(&topology, "")?;
        // Held together, so that all are different.
        let ports = [0; 3].map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let mut numbers = Vec::new();
        for port in &ports {
            let port = port.as_ref().map_err(|e| anyhow::anyhow!("no port: {e}"))?;
            numbers.push(port.local_addr()?.port());
        }
        drop(ports);
        let mut config = format!(
            "DATA_PATH = {}\nEXPORTS_FILENAME = {}\nTOPOLOGY_FILENAME = {}\n",
            data.display(),
            exports.display(),
            topology.display(),
        );
        for (service, port) in ["MATOCL", "MATOCS", "MATOML"].iter().zip(&numbers) {
            config +=
                &format!("{service}_LISTEN_HOST = 127.0.0.1\n{service}_LISTEN_PORT = {port}\n");
        }
        if rustix::process::geteuid().is_root() {
            config += "WORKING_USER = root\nWORKING_GROUP = root\n";
        }
        config += "INODE_REUSE_DELAY = 300\n";
        let file = dir.join("mfsmaster.cfg");
        fs::write(&file, config)?;
        let program = match side {
            Side::Original => &programs.original,
            Side::Ours => &programs.ours,
        };
        let log = File::create(dir.join("log"))?;
        let child = Command::new(program)
            .args(["-f", "-c"])
            .arg(&file)
            .arg("start")
            .env("LD_PRELOAD", clock::library()?)
            .env("FAKETIME_TIMESTAMP_FILE", clock.file())
            .env("FAKETIME_NO_CACHE", "1")
            // Only the wall clock stands still; time-outs go on.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1")
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        // A request that takes all memory is to end the master, not the machine.
        let limit = Rlimit {
            current: Some(MEMORY),
            maximum: Some(MEMORY),
        };
        prlimit(Some(Pid::from_child(&child)), Resource::As, limit)?;
        let mut master = Master {
            side,
            dir: dir.to_owned(),
            child,
            address: (Ipv4Addr::LOCALHOST, numbers[0]).into(),
        };
        master.wait_until_serving()?;
        Ok(master)
    }

    fn wait_until_serving(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} did not start: {status}\n{}",
                    self.side.name(),
                    self.log()
                );
            }
            ensure!(
                Instant::now() < until,
                "{} does not serve",
                self.side.name()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its end, if it has ended by itself.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        // A crash shows itself first as a closed connection.
        for _ in 0..20 {
            let ended = self.child.try_wait()?;
            if ended.is_some() {
                return Ok(ended);
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        Ok(None)
    }

    fn terminate(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::TERM)?)
    }

    /// Waits until it has ended in order; the path of its image.
    fn end(mut self) -> Result<PathBuf> {
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            ensure!(
                Instant::now() < until,
                "{} does not end:\n{}",
                self.side.name(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(self.dir.join("data/metadata.mfs"))
    }

    /// The last lines that it wrote.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.dir.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(3)..].join("\n")
    }
}

/// Stops the original and ours; their images. The original ends at the second change of the second behind the
/// signal, and does what is due until then: ours is to see these seconds too, and gets as long for the last one as
/// the original takes to notice it and to end, which is longer on a busy machine.
pub(crate) fn stop([original, ours]: [Master; 2], clock: &mut Clock) -> Result<[PathBuf; 2]> {
    original.terminate()?;
    let_end(clock)?;
    let original = original.end()?;
    ours.terminate()?;
    Ok([original, ours.end()?])
}

/// Lets the seconds pass that the original takes to end.
fn let_end(clock: &mut Clock) -> Result<()> {
    for _ in 0..SECONDS_TO_END {
        std::thread::sleep(JOBS);
        clock.advance(1)?;
    }
    std::thread::sleep(JOBS);
    Ok(())
}

impl Drop for Master {
    fn drop(&mut self) {
        // Already dead after a stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An image of an empty file system that the original has made: both masters begin with it, so that the
/// id of the metadata is the same.
pub(crate) fn empty_image(programs: &Programs, dir: &Path) -> Result<Vec<u8>> {
    let mut clock = Clock::new(dir)?;
    let master = Master::start(
        Side::Original,
        programs,
        &dir.join("empty"),
        &clock,
        b"MFSM NEW",
    )?;
    master.terminate()?;
    let_end(&mut clock)?;
    let image = master.end()?;
    fs::read(&image).with_context(|| format!("cannot read {}", image.display()))
}
