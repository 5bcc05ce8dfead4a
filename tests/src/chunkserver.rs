//! A real `mfschunkserver`.

use std::fs::{self, File};
use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::command::Tool;
use crate::net::Net;
use crate::programs::real;

/// A chunkserver with one directory for chunks; ended on drop.
#[derive(Debug)]
pub struct ChunkServer {
    dir: TempDir,
    child: Child,
}

impl ChunkServer {
    /// Starts one that serves on `port` and connects to the master on [`Net::IP`].
    pub fn new(net: &Net, port: u16) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        for name in ["data", "hdd"] {
            fs::create_dir(path(name)).expect("make a directory");
        }
        fs::write(path("mfshdd.cfg"), format!("{}\n", path("hdd").display()))
            .expect("write the list of disks");
        fs::write(
            path("mfschunkserver.cfg"),
            format!(
                "WORKING_USER = root\nWORKING_GROUP = root\nDATA_PATH = {}\n\
                 HDD_CONF_FILENAME = {}\nHDD_LEAVE_SPACE_DEFAULT = 64MiB\n\
                 MASTER_HOST = {ip}\nBIND_HOST = {ip}\nCSSERV_LISTEN_HOST = {ip}\n\
                 CSSERV_LISTEN_PORT = {port}\n",
                path("data").display(),
                path("mfshdd.cfg").display(),
                ip = Net::IP,
            ),
        )
        .expect("write the configuration");
        let log = File::create(path("chunkserver.log")).expect("make a log file");
        let child = Tool::inside(net, real("mfschunkserver"))
            .arg("-c")
            .arg(path("mfschunkserver.cfg"))
            .args(["-f", "start"])
            .spawn(&log);
        Self { dir, child }
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("chunkserver.log")).unwrap_or_default()
    }
}

impl Drop for ChunkServer {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}
