//! What a client sent before it began anew never comes behind what it sent afterwards.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};

use antler_e2e::{
    CACHES_OFF, ChunkServer, Host, Kind, Master, Mount, Net, PATIENCE, Tmpfs, Tool, fixture, real,
    wait_for,
};

use super::{DISK, put};

both!(two_servers_that_lose_each_other,);

/// Where `numbers.py` writes.
const PLACE: u64 = 1000;

/// The writer: it runs until its input ends.
struct Numbers(Child);

impl Numbers {
    fn new(mount: &Mount, name: &str) -> Self {
        Self(
            Command::new(real("python3"))
                .arg(fixture("writers/numbers.py"))
                .arg(mount.join(name))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("start a writer"),
        )
    }

    /// The last number, which is safe.
    fn end(mut self) -> u32 {
        drop(self.0.stdin.take());
        let mut text = String::new();
        let mut out = self.0.stdout.take().expect("a pipe");
        out.read_to_string(&mut text).expect("listen to a writer");
        assert!(self.0.wait().expect("wait for a writer").success());
        text.trim().parse().expect("a number")
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The number in a file, or in the file of a copy (`base` = where the data begins); 0 if there is none.
fn number(file: &File, base: u64) -> u32 {
    let mut digits = [0; 8];
    file.read_exact_at(&mut digits, base + PLACE)
        .expect("read a number");
    let digits = std::str::from_utf8(&digits).unwrap_or_default();
    digits.parse().unwrap_or(0)
}

/// Whether a server has bytes for the other one that have not arrived.
fn owes(host: &Host) -> bool {
    let sockets = Tool::inside(host, real("ss"))
        .args(["-tnH", "dport", "=", ":9422"])
        .run()
        .expect(0)
        .stdout;
    // State, received and not read, sent and not confirmed, addresses.
    sockets
        .lines()
        .any(|line| line.split_whitespace().nth(2) != Some("0"))
}

/// Clients reach both servers, but what one of them hands on does not reach the other. The mount gives its write
/// session up after 2 s, begins another one, and succeeds when the servers see each other again; what they owe each
/// other from before arrives behind it. The original keeps the version of the chunk, so that is written over what
/// was confirmed meanwhile: copies differ, or are both old.
fn two_servers_that_lose_each_other(kind: Kind) {
    let (net, hosts) = Net::with_hosts(2);
    let mut master = Master::new(kind, &net);
    master
        .option("REPLICATIONS_DELAY_INIT", "0")
        // Lines can be seen at once.
        .option("CHANGELOG_SAVE_MODE", "1");
    master.start();
    let disks = [(); 2].map(|()| Tmpfs::new(&format!("size={DISK}")));
    let servers: Vec<ChunkServer> = hosts
        .iter()
        .zip(&disks)
        .map(|(host, disk)| {
            let mut server = ChunkServer::on_host(host, disk.path());
            server.start();
            server
        })
        .collect();
    let mount = Mount::with(&net, "/", &format!("{CACHES_OFF},mfscachemode=NEVER"));
    mount.wait_for_space(2 * (DISK - DISK / 20));
    Tool::inside(&net, real("mfssetgoal"))
        .arg("2")
        .arg(mount.path())
        .run()
        .expect(0);
    let mut wrong = Vec::new();
    for round in 0..4 {
        let name = format!("f{round}");
        put(&mount.join(&name), 1, 0, 800_000);
        let copies = servers[0].chunks();
        let chunk = copies.iter().map(|copy| copy.id).max().expect("a chunk");
        let writer = Numbers::new(&mount, &name);
        let file = File::open(mount.join(&name)).expect("open");
        wait_for("some writes", PATIENCE, || number(&file, 0) > 200);
        hosts[0].lose(&hosts[1]);
        wait_for("bytes that do not arrive", PATIENCE, || {
            hosts.iter().any(owes)
        });
        let sessions = || {
            let lines = master.data.changes();
            lines
                .values()
                .filter(|line| line.contains("|WRITE("))
                .count()
        };
        let before = sessions();
        wait_for("another session", PATIENCE, || sessions() > before);
        hosts[0].find(&hosts[1]);
        let last = writer.end();
        wait_for("what was owed", PATIENCE, || !hosts.iter().any(owes));
        let mut found = vec![number(&file, 0)];
        for server in &servers {
            let copy = server.chunks().into_iter().find(|copy| copy.id == chunk);
            let path = copy.expect("a copy").path;
            let copy = fs::File::open(path).expect("open a copy");
            found.push(number(&copy, antler_e2e::ChunkFile::DATA));
        }
        if found.iter().any(|number| *number != last) {
            wrong.push(format!("{name}: {last} was confirmed, {found:?} found"));
        }
    }
    match kind {
        Kind::Ours => assert!(wrong.is_empty(), "{wrong:#?}"),
        // spec 05 §8.2 step 4: a session after an orderly end keeps the version.
        Kind::Original => assert!(!wrong.is_empty(), "the original has become better"),
    }
}
