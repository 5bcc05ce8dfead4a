//! Start, crash, stop, hourly image, reload: what is in the data directory and who is still connected
//! (spec 01 §3.2, §7, §9.2, §10, §11).

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mfs_config::MasterConfig;
use mfs_master::clock::AHEAD_MAX;
use mfs_master::daemon::{Service, StartContext, StopFlag};
use mfs_master::master::Master;
use mfs_master::net::Port;
use mfs_master::service::Server;
use mfs_master::terminal::Terminal;
use mfs_meta::op::Op;
use mfs_proto::chunkserver::ReportedChunk;
use mfs_proto::client::register::{Register, RegisterReply};
use mfs_store::image::{Checked, check};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::chunkserver::{self, Chunkserver};
use crate::server::{Client, EXPORTS, Got, PATIENCE, reconnect, wait_until};

/// A data directory and configuration files; masters start on it.
struct Place {
    dir: TempDir,
    options: String,
    /// Gone after a crash.
    runtime: Option<Runtime>,
}

impl Place {
    /// A new file system.
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        std::fs::write(dir.path().join("data/metadata.mfs"), "MFSM NEW").unwrap();
        std::fs::write(dir.path().join("exports"), EXPORTS).unwrap();
        std::fs::write(dir.path().join("topology"), "").unwrap();
        Place {
            dir,
            options: String::new(),
            runtime: None,
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn context(&self, auto_restore: bool) -> StartContext {
        let file = self.dir.path().join("mfsmaster.cfg");
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        let mut text = format!(
            "EXPORTS_FILENAME = {}\nTOPOLOGY_FILENAME = {}\n",
            at("exports"),
            at("topology")
        );
        for port in ["MATOML", "MATOCS", "MATOCL"] {
            text += &format!("{port}_LISTEN_HOST = 127.0.0.1\n");
            if !self.options.contains(&format!("{port}_LISTEN_PORT")) {
                text += &format!("{port}_LISTEN_PORT = 0\n");
            }
        }
        text += &self.options;
        std::fs::write(&file, &text).unwrap();
        StartContext {
            config: MasterConfig::parse(text.as_bytes(), &file).unwrap().value,
            data_dir: self.data(),
            foreground: true,
            auto_restore,
            ignore_errors: false,
            verbosity: 0,
            log_defaults: false,
            terminal: Terminal::new(std::io::sink()),
            stop: StopFlag::default(),
        }
    }

    fn runtime(&mut self) -> &Runtime {
        self.runtime.get_or_insert_with(|| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap()
        })
    }

    fn try_start(&mut self, auto_restore: bool) -> anyhow::Result<Server> {
        let context = self.context(auto_restore);
        self.runtime().block_on(Server::start(context))
    }

    fn start(&mut self) -> Server {
        self.try_start(false).unwrap()
    }

    fn stop(&mut self, server: Server) {
        self.runtime().block_on(server.stop()).unwrap();
    }

    /// The master dies: what is on the disk at this moment is all that stays.
    fn crash(&mut self, server: Server) {
        let files = self.files();
        drop(server);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(PATIENCE);
        }
        std::fs::remove_dir_all(self.data()).unwrap();
        std::fs::create_dir(self.data()).unwrap();
        for (name, content) in files {
            std::fs::write(self.data().join(name), content).unwrap();
        }
    }

    /// Names and contents of the data directory.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        std::fs::read_dir(self.data())
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, std::fs::read(path).unwrap())
            })
            .collect()
    }

    fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }
}

fn client(server: &Server) -> Client {
    Client::connect(server.ports().address(Port::Clients).unwrap())
}

fn version(server: &Server) -> u64 {
    server.master().read().meta.version()
}

fn make_directory(master: &Master, name: &str) {
    master.change(|txn| {
        txn.apply(&Op::Create {
            parent: 1,
            name: name.as_bytes().into(),
            kind: 2,
            mode: 0o755,
            umask: 0,
            uid: 0,
            gid: 0,
            rdev: 0,
        })
        .unwrap();
    });
}

fn image_version(path: &Path) -> u64 {
    match check(path).unwrap() {
        Checked::Image { version, .. } => version,
        Checked::New => 1,
    }
}

/// Number of the first line of a changelog.
fn first_line(path: &Path) -> u64 {
    let text = std::fs::read_to_string(path).unwrap();
    text.split(':').next().unwrap().parse().unwrap()
}

#[test]
fn a_new_file_system_gets_an_identity_and_stops_clean() {
    let mut place = Place::new();
    let server = place.start();
    let id = server.master().read().meta.meta_id();
    assert_ne!(id, 0);
    assert_eq!(place.names(), ["changelog.0.mfs", "metadata.mfs.back"]);
    let log = String::from_utf8(place.files()["changelog.0.mfs"].clone()).unwrap();
    assert!(log.starts_with("1: ") && log.ends_with(&format!("|SETMETAID({id})\n")));
    place.stop(server);
    // Mode 0 does not rotate at a stop.
    let names = [
        "changelog.0.mfs",
        "metadata.crc",
        "metadata.mfs",
        "metadata.mfs.back.1",
        "unfinished.2.mfs",
    ];
    assert_eq!(place.names(), names);
    assert_eq!(image_version(&place.data().join("metadata.mfs")), 2);
    // And once more: the same identity, no new line.
    let server = place.start();
    assert_eq!(server.master().read().meta.meta_id(), id);
    assert_eq!(version(&server), 2);
    place.stop(server);
}

#[test]
fn a_stop_rotates_in_mode_1() {
    let mut place = Place::new();
    place.options = "CHANGELOG_SAVE_MODE = 1\n".into();
    let server = place.start();
    place.stop(server);
    let names = [
        "changelog.1.mfs",
        "metadata.crc",
        "metadata.mfs",
        "metadata.mfs.back.1",
        "unfinished.2.mfs",
    ];
    assert_eq!(place.names(), names);
}

#[test]
fn a_crash_loses_nothing_that_was_answered() {
    let mut place = Place::new();
    let server = place.start();
    let mut mounts: Vec<Client> = (0..3).map(|_| client(&server)).collect();
    for mount in &mut mounts {
        mount.new_session(None);
    }
    let id = server.master().read().meta.meta_id();
    place.crash(server);
    assert!(place.try_start(false).is_err(), "a crash is no clean stop");
    let server = place.try_start(true).unwrap();
    assert_eq!(server.master().read().meta.meta_id(), id);
    assert_eq!(version(&server), 5);
    // The clients come back to their sessions.
    let back = mfs_proto::client::register::Reconnect {
        metaid: Some(id),
        ..reconnect(2)
    };
    let mut mount = client(&server);
    let reply = mount.register(Register::Reconnect(back));
    assert!(matches!(reply, RegisterReply::Reconnect { status, .. } if status.is_ok()));
    place.stop(server);
    // Connected to the end: a mount that leaves before the stop would be a change of its own.
    assert_eq!(mount.answer(), Got::Closed);
    assert_eq!(image_version(&place.data().join("metadata.mfs")), 5);
}

/// With `-i` a start takes what can be reached (spec 01 §8.5). From then on that is the truth: no later recovery
/// brings back what was left out.
#[test]
fn the_best_possible_state_begins_a_history_of_its_own() {
    let mut place = Place::new();
    let server = place.start();
    for name in ["kept", "lost", "out of reach"] {
        make_directory(server.master(), name);
    }
    place.crash(server);
    let log = place.data().join("changelog.0.mfs");
    let text = std::fs::read_to_string(&log).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.contains("lost")).collect();
    std::fs::write(&log, without.join("\n") + "\n").unwrap();
    let damaged = place.files();
    assert!(place.try_start(true).is_err());
    assert_eq!(place.files(), damaged);
    let mut context = place.context(true);
    context.ignore_errors = true;
    let server = place.runtime().block_on(Server::start(context)).unwrap();
    assert_eq!(version(&server), 3);
    assert_eq!(server.master().images.stored(), 3);
    assert_eq!(image_version(&place.data().join("metadata.mfs.back")), 3);
    let aside: Vec<String> = place.names();
    let aside: Vec<&String> = aside.iter().filter(|n| n.starts_with("aside.")).collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(place.files()[aside[0]], damaged["changelog.0.mfs"]);
    make_directory(server.master(), "new");
    make_directory(server.master(), "newer");
    place.crash(server);
    let server = place.try_start(true).unwrap();
    let names = |server: &Server| {
        let state = server.master().read();
        let mut names: Vec<String> = state
            .meta
            .children(1)
            .map(|child| String::from_utf8_lossy(child.name).into_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&server), ["kept", "new", "newer"]);
    assert_eq!(version(&server), 5);
    place.stop(server);
}

/// Time stamps of lines do not decrease over a restart, unless the clock must have been wrong.
#[test]
fn the_clock_goes_on_where_the_last_run_ended() {
    let mut place = Place::new();
    let server = place.start();
    make_directory(server.master(), "a");
    let then = server.master().clock.now();
    place.stop(server);
    let log = place.data().join("changelog.0.mfs");
    for (ahead, believed) in [(1000, true), (10 * AHEAD_MAX, false)] {
        // As if the last line had been written by a clock that was ahead.
        let text = std::fs::read_to_string(&log).unwrap();
        let (head, last) = text.trim_end().rsplit_once('\n').unwrap();
        let (number, rest) = last.split_once(": ").unwrap();
        let (_, op) = rest.split_once('|').unwrap();
        let time = then + ahead;
        std::fs::write(&log, format!("{head}\n{number}: {time}|{op}\n")).unwrap();
        let server = place.start();
        let now = server.master().clock.now();
        assert_eq!(now >= time, believed, "{ahead}");
        assert!(now >= then);
        place.stop(server);
    }
}

#[test]
fn a_busy_port_leaves_the_directory_as_it_was() {
    let mut place = Place::new();
    let server = place.start();
    make_directory(server.master(), "a");
    place.crash(server);
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    place.options = format!("MATOCL_LISTEN_PORT = {port}\n");
    let crashed = place.files();
    let error = place.try_start(true).err().unwrap();
    assert!(format!("{error:#}").contains("in use"), "{error:#}");
    assert_eq!(place.files(), crashed);
    drop(busy);
    place.options.clear();
    let server = place.try_start(true).unwrap();
    place.stop(server);
    let clean = place.files();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    place.options = format!("MATOML_LISTEN_PORT = {port}\n");
    place.try_start(false).err().unwrap();
    assert_eq!(place.files(), clean);
}

#[test]
fn the_hour_rotates_and_stores_while_changes_go_on() {
    let mut place = Place::new();
    let server = place.start();
    let data = place.data();
    let stop = Arc::new(AtomicBool::new(false));
    let changes = std::thread::spawn({
        let (master, stop) = (Arc::clone(server.master()), Arc::clone(&stop));
        move || {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                make_directory(&master, &format!("d{n}"));
                n += 1;
            }
            n
        }
    });
    for round in 0..3 {
        let before = version(&server);
        wait_until(|| version(&server) > before + 100);
        {
            let _inside = place.runtime().enter();
            server.master().images.hour(server.master(), true);
        }
        wait_until(|| server.master().images.stored() > before);
        let stored = server.master().images.stored();
        assert_eq!(image_version(&data.join("metadata.mfs.back")), stored);
        assert!(stored > before, "round {round}");
        // The lines of the new file start at the image's version.
        let log = data.join("changelog.0.mfs");
        wait_until(|| std::fs::metadata(&log).is_ok_and(|meta| meta.len() > 0));
        assert_eq!(first_line(&data.join("changelog.0.mfs")), stored);
        assert!(server.master().images.last().unwrap().stored);
    }
    stop.store(true, Ordering::Relaxed);
    let made = changes.join().unwrap();
    let end = version(&server);
    wait_until(|| server.master().gate.is_safe(end));
    place.crash(server);
    let server = place.try_start(true).unwrap();
    assert_eq!(version(&server), end);
    assert_eq!(server.master().read().meta.totals().dirs, 1 + made);
    place.stop(server);
}

#[test]
fn an_hour_without_an_image_only_rotates() {
    let mut place = Place::new();
    let server = place.start();
    {
        let _inside = place.runtime().enter();
        server.master().images.hour(server.master(), false);
    }
    wait_until(|| place.names() == ["changelog.1.mfs", "metadata.mfs.back"]);
    assert!(!server.master().images.is_running());
    place.stop(server);
}

#[test]
fn an_image_that_cannot_be_stored_is_tried_again() {
    let mut place = Place::new();
    let server = place.start();
    let data = place.data();
    // Something in the way that is no file.
    let tmp = data.join("metadata.mfs.back.tmp");
    std::fs::create_dir(&tmp).unwrap();
    {
        let _inside = place.runtime().enter();
        server.master().images.hour(server.master(), true);
    }
    wait_until(|| {
        server
            .master()
            .images
            .last()
            .is_some_and(|last| !last.stored)
    });
    assert_eq!(server.master().images.stored(), 1);
    // The master goes on, and has saved what it could.
    let mut mount = client(&server);
    mount.new_session(None);
    wait_until(|| !server.master().images.is_running());
    assert_eq!(image_version(&data.join("metadata.mfs.emergency")), 2);
    std::fs::remove_dir(&tmp).unwrap();
    {
        let _inside = place.runtime().enter();
        server.master().images.retry(server.master());
    }
    wait_until(|| server.master().images.stored() == 3);
    place.stop(server);
}

#[test]
fn a_reload_drops_mounts_of_other_rules_and_moves_ports() {
    let mut place = Place::new();
    let mut server = place.start();
    let before = server.ports().address(Port::Clients).unwrap();
    let mut mount = client(&server);
    mount.new_session(None);
    {
        let _inside = place.runtime().enter();
        server.reload();
    }
    // Nothing has changed for it.
    assert_eq!(server.ports().address(Port::Clients), Some(before));
    assert!(matches!(mount.next(), Got::Frame(0, _)));
    std::fs::write(place.dir.path().join("exports"), "* / ro\n").unwrap();
    {
        let _inside = place.runtime().enter();
        server.reload();
    }
    assert_eq!(mount.answer(), Got::Closed);
    // A broken configuration changes nothing.
    std::fs::write(place.dir.path().join("exports"), EXPORTS).unwrap();
    std::fs::remove_file(place.dir.path().join("mfsmaster.cfg")).unwrap();
    {
        let _inside = place.runtime().enter();
        server.reload();
    }
    let mut refused = client(&server);
    let RegisterReply::Session(session) = refused.register(crate::server::new_session(b"/", None))
    else {
        panic!("refused");
    };
    assert_eq!(session.flags, 0x01, "still read-only");
    // Another port: the new socket is there, the old one is gone, connections stay.
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    place.options = format!("MATOCL_LISTEN_PORT = {}\n", free.port());
    std::fs::write(place.dir.path().join("exports"), "* / ro\n").unwrap();
    place.context(false);
    {
        let _inside = place.runtime().enter();
        server.reload();
    }
    assert_eq!(server.ports().address(Port::Clients), Some(free));
    client(&server).new_session(None);
    assert!(matches!(refused.next(), Got::Frame(0, _)));
    wait_until(|| std::net::TcpStream::connect(before).is_err());
    place.stop(server);
}

#[test]
fn ports_that_are_not_served_are_held_and_turn_away() {
    let mut place = Place::new();
    let server = place.start();
    for port in [Port::Metaloggers, Port::Chunkservers] {
        let mut guest = Client::connect(server.ports().address(port).unwrap());
        assert_eq!(guest.next(), Got::Closed);
    }
    place.stop(server);
}

#[test]
fn a_restore_makes_a_clean_image() {
    let mut place = Place::new();
    let server = place.start();
    make_directory(server.master(), "a");
    place.crash(server);
    Server::restore(place.context(false)).unwrap();
    assert_eq!(image_version(&place.data().join("metadata.mfs")), 3);
    let server = place.start();
    assert_eq!(version(&server), 3);
    place.stop(server);
}

fn chunkserver(server: &Server, chunks: &[ReportedChunk]) -> Chunkserver {
    let port = server.ports().address(Port::Chunkservers).unwrap();
    let cs = Chunkserver::registered_at(port, chunkserver::IP, chunks);
    let machine = || server.master().read().chunks.machine.servers_with_space();
    wait_until(|| machine() == 1);
    cs
}

fn cut_off(server: &Server) -> Vec<u64> {
    let state = server.master().read();
    state.chunks.machine.unfinished().chunks().collect()
}

/// A WRITE line whose command has not been obeyed (spec 08, I20).
#[test]
fn operations_on_chunks_that_are_cut_off_are_undone() {
    let mut place = Place::new();
    let server = place.start();
    let mut cs = chunkserver(&server, &[]);
    let done = chunkserver::write(server.master());
    cs.create(done);
    wait_until(|| cut_off(&server).is_empty());
    let open = chunkserver::write(server.master());
    assert_eq!(cut_off(&server), [open]);
    place.stop(server);
    // The image has a file beside it, until the next image.
    let server = place.start();
    assert_eq!(cut_off(&server), [open]);
    place.crash(server);
    // So have lines.
    let server = place.try_start(true).unwrap();
    assert_eq!(cut_off(&server), [open]);
    // The chunkserver is back, and has never heard of it.
    let _cs = chunkserver(&server, &chunkserver::chunks(done..done + 1));
    let lines = || std::fs::read_to_string(place.data().join("changelog.0.mfs")).unwrap();
    let line = format!("|ROLLBACK(3,0,0,{open})");
    wait_until(|| lines().contains(&line));
    wait_until(|| cut_off(&server).is_empty());
    let state = server.master().read();
    assert_eq!(state.meta.node(2).unwrap().chunk(0), done);
    assert_eq!(state.meta.node(3).unwrap().chunk(0), 0);
}
