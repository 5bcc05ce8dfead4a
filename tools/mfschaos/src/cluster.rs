//! The cluster under attack: a master, chunkservers on machines of their own, mounts.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use antler_e2e::{
    CACHES_OFF, Chunk, ChunkServer, Host, Kind, Link, Master, Mount, Net, Tmpfs, Tool, chunks_of,
    real, until,
};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

/// Copies of each file, if not set otherwise.
pub(crate) const GOAL: usize = 2;

/// Size of each disk, bytes. Nothing is reserved: a tmpfs takes what is written. A server must
/// have 64 MiB free for each chunk being written on it, ten times over, to get new ones.
const DISK: u64 = 32 << 30;

/// How long a master may take to serve, and all chunkservers to register with it.
const APPEAR: Duration = Duration::from_secs(60);

/// How long a master may take to stop. (The original once took more than a minute.)
const STOP: Duration = Duration::from_secs(180);

/// Options of a mount that asks for everything: attributes, names and data.
fn no_caches() -> String {
    format!("{CACHES_OFF},mfscachemode=NEVER")
}

/// A chunkserver with its machine and its disk, and what is wrong with them.
#[derive(Debug)]
pub(crate) struct Server {
    /// The program.
    pub(crate) program: ChunkServer,
    disk: Tmpfs,
    host: Host,
    frozen: bool,
    cut: Vec<Link>,
    full: bool,
}

impl Server {
    fn new(host: Host, label: char) -> Self {
        let disk = Tmpfs::new(&format!("size={DISK}"));
        let mut program = ChunkServer::on_host(&host, disk.path());
        program
            .option("LABELS", &label.to_string())
            // Damaged copies are found by reading everything over and over.
            .option("HDD_TEST_SPEED", "50")
            .option("HDD_MIN_TEST_INTERVAL", "3")
            // Damage is our doing: it must not make the server give up its disk.
            .option("HDD_ERROR_TOLERANCE_COUNT", "10")
            .option("HDD_ERROR_TOLERANCE_PERIOD", "10");
        Self {
            program,
            disk,
            host,
            frozen: false,
            cut: Vec::new(),
            full: false,
        }
    }

    /// Stops its process without ending it.
    pub(crate) fn freeze(&mut self) {
        self.program.signal(Signal::SIGSTOP);
        self.frozen = true;
    }

    /// Lets it go on.
    pub(crate) fn thaw(&mut self) {
        if std::mem::take(&mut self.frozen) && self.program.is_started() {
            self.program.signal(Signal::SIGCONT);
        }
    }

    /// Cuts wires.
    pub(crate) fn cut(&mut self, links: &[Link]) {
        for link in links {
            self.host.cut(*link);
            self.cut.push(*link);
        }
    }

    /// Mends all wires.
    pub(crate) fn join(&mut self) {
        for link in std::mem::take(&mut self.cut) {
            self.host.join(link);
        }
    }

    /// Leaves it almost no place on its disk.
    pub(crate) fn fill(&mut self) {
        self.disk.shrink(1 << 20);
        self.full = true;
    }

    /// Gives it its place back. A server that got many errors has given its disk up by then and
    /// looks at it again only when it starts.
    pub(crate) fn empty(&mut self) {
        if std::mem::take(&mut self.full) {
            self.disk.remount(&format!("size={DISK}"));
            if self.program.is_started() {
                self.program.kill9();
                self.program.start();
            }
        }
    }

    /// Ends whatever is wrong with it.
    fn heal(&mut self) {
        self.thaw();
        self.join();
        self.empty();
        if self.program.is_marked() {
            self.program.mark(false);
        }
        if !self.program.is_started() {
            self.program.start();
        }
    }
}

/// All of it. The order of the fields is the order in which they end.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The mounts of the writers.
    pub(crate) mounts: Vec<Mount>,
    /// The chunkservers.
    pub(crate) servers: Vec<Server>,
    /// The master.
    pub(crate) master: Master,
    /// The network of the master and of the mounts.
    pub(crate) net: Net,
}

/// Which master to break.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Whose it is.
    pub(crate) kind: Kind,
    /// Its file, when not the usual one.
    pub(crate) path: Option<PathBuf>,
}

impl Cluster {
    /// Starts everything.
    ///
    /// # Errors
    /// When something does not start.
    pub(crate) fn start(program: &Program, servers: usize, mounts: usize) -> Result<Self> {
        let (net, hosts) = Net::with_hosts(servers);
        let mut master = Master::new(program.kind, &net);
        if let Some(path) = &program.path {
            master.program(path);
        }
        if program.kind == Kind::Original {
            // Its default mode loses answered changes when it is killed.
            master.option("CHANGELOG_SAVE_MODE", "1");
        }
        master
            .option("REPLICATIONS_DELAY_INIT", "0")
            .option("CHUNKS_LOOP_MIN_TIME", "60")
            .option("CHUNKS_WRITE_REP_LIMIT", "10")
            .option("CHUNKS_READ_REP_LIMIT", "20")
            .option("CHUNKS_SOFT_DEL_LIMIT", "50")
            .option("CHUNKS_HARD_DEL_LIMIT", "100");
        let mut cluster = Self {
            mounts: Vec::new(),
            servers: hosts
                .into_iter()
                .zip(('A'..='Z').cycle())
                .map(|(host, label)| Server::new(host, label))
                .collect(),
            master,
            net,
        };
        cluster.start_master(&[])?;
        for server in &mut cluster.servers {
            server.program.start();
        }
        for number in 0..mounts {
            // One as careful, the next as careless as a mount can be.
            let options = if number % 2 == 0 {
                CACHES_OFF
            } else {
                "mfscachemode=AUTO"
            };
            cluster.mounts.push(cluster.mount_when_ready(options)?);
        }
        cluster.wait_for_servers()?;
        for args in [["mfssetgoal", "2"], ["mfssettrashtime", "0"]] {
            let [tool, value] = args;
            Tool::inside(&cluster.net, real(tool))
                .args(["-r", value])
                .arg(cluster.root())
                .run()
                .expect(0);
        }
        Ok(cluster)
    }

    /// Where the first mount is.
    pub(crate) fn root(&self) -> PathBuf {
        self.mounts.first().map(Mount::path).unwrap_or_default()
    }

    /// Starts the master, `-a` for after a crash.
    ///
    /// # Errors
    /// When it does not keep running.
    pub(crate) fn start_master(&mut self, args: &[&str]) -> Result<()> {
        self.master.start_foreground(args);
        let started = until(APPEAR, || self.master.pid().is_some());
        ensure!(started, "the master did not start: {}", self.master.log());
        Ok(())
    }

    /// Kills the master.
    pub(crate) fn kill_master(&mut self) {
        self.master.kill9();
        self.master.wait_foreground(APPEAR);
    }

    /// Stops the master in order.
    ///
    /// # Errors
    /// When it ends with an error.
    pub(crate) fn stop_master(&mut self) -> Result<()> {
        self.master.signal(Signal::SIGTERM);
        match self.master.wait_foreground(STOP) {
            Some(0) => Ok(()),
            code => bail!("the master stopped with {code:?}: {}", self.master.log()),
        }
    }

    fn mount_when_ready(&self, options: &str) -> Result<Mount> {
        let end = Instant::now() + APPEAR;
        loop {
            match Mount::try_with(&self.net, "/", options) {
                Ok(mount) => return Ok(mount),
                Err(text) if Instant::now() >= end => bail!("cannot mount: {text}"),
                Err(_) => {}
            }
        }
    }

    /// A mount that knows nothing yet and keeps nothing.
    ///
    /// # Errors
    /// When it does not appear.
    pub(crate) fn fresh_mount(&self) -> Result<Mount> {
        self.mount_when_ready(&no_caches())
    }

    /// Waits until all chunkservers are registered.
    ///
    /// # Errors
    /// When they are not in time.
    pub(crate) fn wait_for_servers(&self) -> Result<()> {
        let mount = self.mounts.first().context("no mount")?;
        // Each leaves a little.
        let all = self.servers.len() as u64 * (DISK - DISK / 100);
        let found = until(APPEAR * 2, || {
            mount.space().is_ok_and(|(total, _)| total >= all)
        });
        ensure!(
            found,
            "not all chunkservers are with the master: {:?} of {all} bytes",
            mount.space()
        );
        Ok(())
    }

    /// Ends whatever is wrong, and waits until all servers are with the master again.
    ///
    /// # Errors
    /// When they do not come back, or the master does not run.
    pub(crate) fn heal(&mut self) -> Result<()> {
        for server in &mut self.servers {
            server.heal();
        }
        ensure!(
            self.master.pid().is_some(),
            "the master has ended by itself: {}",
            self.master.log()
        );
        self.wait_for_servers()
    }

    /// Ends whatever is wrong with all chunkservers but one, without waiting.
    pub(crate) fn heal_others(&mut self, except: usize) {
        for (number, server) in self.servers.iter_mut().enumerate() {
            if number != except {
                server.heal();
            }
        }
    }

    /// Stops all chunkservers without ending them, so that nothing on their disks changes.
    pub(crate) fn freeze(&mut self) {
        for server in &mut self.servers {
            if server.program.is_started() {
                server.freeze();
            }
        }
    }

    /// The chunks of files below the root, in their order.
    ///
    /// # Errors
    /// When the master or the tool fails.
    pub(crate) fn chunks(&self, names: &[impl AsRef<Path>]) -> Result<Vec<Vec<Chunk>>> {
        let root = self.root();
        let mut chunks = Vec::new();
        for some in names.chunks(100) {
            let paths: Vec<PathBuf> = some.iter().map(|name| root.join(name)).collect();
            chunks.extend(chunks_of(&self.net, &paths).map_err(anyhow::Error::msg)?);
        }
        Ok(chunks)
    }

    /// The chunkserver that clients meet at an address.
    pub(crate) fn server_at(&self, address: &str) -> Option<&Server> {
        self.servers
            .iter()
            .find(|server| server.program.address() == address)
    }
}
