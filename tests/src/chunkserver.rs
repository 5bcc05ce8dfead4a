//! A real `mfschunkserver`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::command::Tool;
use crate::net::{Host, Link, Namespace, Net};
use crate::programs::real;
use crate::tmpfs::Tmpfs;
use crate::wait::until;

/// How long a chunkserver may take to stop in order.
const STOP: Duration = Duration::from_secs(10);

/// A file that holds one copy of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkFile {
    /// The chunk's number.
    pub id: u64,
    /// The version of the copy.
    pub version: u32,
    /// Where it is.
    pub path: PathBuf,
}

impl ChunkFile {
    /// Where the data of the chunk begins in the file, behind the header and the checksums.
    pub const DATA: u64 = 8192;

    /// `chunk_<id>_<version>.mfs`, both in hexadecimal.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (id, version) = name
            .strip_prefix("chunk_")?
            .strip_suffix(".mfs")?
            .split_once('_')?;
        Some(Self {
            id: u64::from_str_radix(id, 16).ok()?,
            version: u32::from_str_radix(version, 16).ok()?,
            path: path.to_owned(),
        })
    }
}

/// A chunkserver with one disk; ended on drop.
#[derive(Debug)]
pub struct ChunkServer {
    dir: TempDir,
    netns: PathBuf,
    address: String,
    options: Vec<(String, String)>,
    disk: PathBuf,
    marked: bool,
    child: Option<Child>,
    /// What its disk is, when it has one of its own; unmounted when the process has ended.
    memory: Option<Tmpfs>,
}

/// The addresses of one that runs beside its master: the master's, and its own two.
fn on_net() -> [String; 3] {
    [Net::IP, Net::IP, Net::IP].map(str::to_owned)
}

impl ChunkServer {
    /// Starts one that serves on `port` and connects to the master on [`Net::IP`].
    pub fn new(net: &Net, port: u16) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let disk = dir.path().join("hdd");
        fs::create_dir(&disk).expect("make a directory");
        let mut server = Self::with(net, dir, on_net(), port, disk);
        server.start();
        server
    }

    /// Starts one with labels (letters) and a disk of its own, in memory, of a size like `8GiB`.
    /// (A limit in `mfshdd.cfg` would not do: whatever else is on the disk counts towards it.)
    pub fn labelled(net: &Net, port: u16, labels: &str, size: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let disk = Tmpfs::new(&format!("size={}", size.trim_end_matches("iB")));
        let path = disk.path().to_owned();
        let mut server = Self::with(net, dir, on_net(), port, path);
        server.memory = Some(disk);
        server.option("LABELS", labels).start();
        server
    }

    /// One on a machine of its own, with its chunks in a directory that lies elsewhere. It is
    /// not started.
    pub fn on_host(host: &Host, disk: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let addresses = [
            Link::Control.net_ip(),
            host.ip(Link::Control),
            host.ip(Link::Data),
        ];
        Self::with(host, dir, addresses, 9422, disk.to_owned())
    }

    fn with(
        place: &impl Namespace,
        dir: TempDir,
        [master, bind, listen]: [String; 3],
        port: u16,
        disk: PathBuf,
    ) -> Self {
        fs::create_dir(dir.path().join("data")).expect("make a directory");
        let mut server = Self {
            dir,
            netns: place.file(),
            address: format!("{listen}:{port}"),
            options: Vec::new(),
            disk,
            marked: false,
            child: None,
            memory: None,
        };
        for (name, value) in [
            ("WORKING_USER", "root"),
            ("WORKING_GROUP", "root"),
            ("HDD_LEAVE_SPACE_DEFAULT", "64MiB"),
            ("MASTER_HOST", &master),
            ("BIND_HOST", &bind),
            ("CSSERV_LISTEN_HOST", &listen),
            ("CSSERV_LISTEN_PORT", &port.to_string()),
            // Do not let tests wait for a server that waits for its master.
            ("MASTER_RECONNECTION_DELAY", "1"),
        ] {
            server.option(name, value);
        }
        server.write_disks();
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Sets an option of `mfschunkserver.cfg`; the file is rewritten at once.
    pub fn option(&mut self, name: &str, value: &str) -> &mut Self {
        self.options.retain(|(old, _)| old != name);
        self.options.push((name.to_owned(), value.to_owned()));
        let mut text = format!(
            "DATA_PATH = {}\nHDD_CONF_FILENAME = {}\n",
            self.path("data").display(),
            self.path("mfshdd.cfg").display()
        );
        for (name, value) in &self.options {
            text.push_str(&format!("{name} = {value}\n"));
        }
        fs::write(self.path("mfschunkserver.cfg"), text).expect("write the configuration");
        self
    }

    fn write_disks(&self) {
        let mark = if self.marked { "*" } else { "" };
        fs::write(
            self.path("mfshdd.cfg"),
            format!("{mark}{}\n", self.disk.display()),
        )
        .expect("write the list of disks");
    }

    /// `IP:PORT` where clients meet it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where its chunks are.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// Whether its process was started and not ended by this harness.
    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// Starts it; it registers with the master some time later.
    ///
    /// # Panics
    /// When it runs already.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.address);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("chunkserver.log"))
            .expect("open a log file");
        let child = Tool::new(real("nsenter"))
            .arg(format!("--net={}", self.netns.display()))
            .arg(real("mfschunkserver"))
            .arg("-c")
            .arg(self.path("mfschunkserver.cfg"))
            .args(["-f", "start"])
            .spawn(&log);
        self.child = Some(child);
    }

    /// Sends its process a signal.
    ///
    /// # Panics
    /// When it does not run.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("a running chunkserver");
        let pid = i32::try_from(child.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("send a signal");
    }

    /// Ends it as a crash would.
    ///
    /// # Panics
    /// When it does not run.
    #[track_caller]
    pub fn kill9(&mut self) {
        self.signal(Signal::SIGKILL);
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }

    /// Stops it in order: it takes leave of the master, which waits for it then. Tells whether it
    /// ended in time; one that did not is killed. (3.0.117 waits for whatever it sends to others.)
    ///
    /// # Panics
    /// When it does not run.
    #[track_caller]
    pub fn stop(&mut self) -> bool {
        self.signal(Signal::SIGTERM);
        let mut child = self.child.take().expect("a running chunkserver");
        let ended = until(STOP, || {
            child.try_wait().expect("wait for a chunkserver").is_some()
        });
        if !ended {
            let _ = child.kill();
            let _ = child.wait();
        }
        ended
    }

    /// Marks its disk for removal or takes the mark away; when it runs it is told.
    pub fn mark(&mut self, marked: bool) {
        self.marked = marked;
        self.write_disks();
        if self.child.is_some() {
            self.signal(Signal::SIGHUP);
        }
    }

    /// Whether its disk is marked for removal.
    pub fn is_marked(&self) -> bool {
        self.marked
    }

    /// The copies on its disk. While it runs they change: some may be gone already.
    pub fn chunks(&self) -> Vec<ChunkFile> {
        let folders = fs::read_dir(&self.disk).expect("list a disk");
        folders
            .filter_map(|folder| fs::read_dir(folder.ok()?.path()).ok())
            .flatten()
            .filter_map(|entry| ChunkFile::of(&entry.ok()?.path()))
            .collect()
    }

    /// Loses all its chunks, as a replaced disk does.
    ///
    /// # Panics
    /// When it runs: it would be asked for files that it believes to have.
    pub fn wipe(&self) {
        assert!(self.child.is_none(), "{} runs", self.address);
        for entry in fs::read_dir(&self.disk).expect("list a disk") {
            let path = entry.expect("list a disk").path();
            if path.is_dir() {
                fs::remove_dir_all(&path).expect("wipe a disk");
            } else {
                fs::remove_file(&path).expect("wipe a disk");
            }
        }
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("chunkserver.log")).unwrap_or_default()
    }
}

impl Drop for ChunkServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
