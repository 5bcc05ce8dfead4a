//! A master on a free port of the loopback interface, and a client for it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mfs_config::{ConfigDirectory, Exports, HostAccounts, MasterConfig, Topology};
use mfs_master::chunks::ChunkClock;
use mfs_master::clock::Clock;
use mfs_master::gate::Gate;
use mfs_master::image::Images;
use mfs_master::master::{Master, Parts};
use mfs_master::net::{KeepAlive, Listener, Port, Ports};
use mfs_meta::Metadata;
use mfs_meta::op::Op;
use mfs_proto::client::register::{NewSession, Reconnect, Register, RegisterReply, Resume};
use mfs_proto::client::{Answer, Expect, Reply, Request};
use mfs_proto::{Version, msg};
use mfs_store::changelog::{Journal, JournalOptions, SaveMode, Writer};
use mfs_store::fs::{Fs, OsFs};
use mfs_store::lifecycle::DataDir;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Longer than anything may take that does not wait on purpose.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const EXPORTS: &str = "127.0.0.1 / rw,alldirs,admin,maproot=0:0\n127.0.0.1 . rw\n";

/// That of the recorded master.
pub(crate) const META_ID: u64 = 0x6b00_fa3b_07ea_5021;

pub(crate) struct TestServer {
    pub(crate) master: Arc<Master>,
    pub(crate) address: SocketAddr,
    /// Where chunkservers connect.
    pub(crate) chunkservers: SocketAddr,
    pub(crate) dir: TempDir,
    _ports: Ports,
    _chunk_clock: ChunkClock,
    _keep_alive: KeepAlive,
    runtime: Option<Runtime>,
}

impl TestServer {
    pub(crate) fn start() -> TestServer {
        TestServer::with_exports(EXPORTS)
    }

    pub(crate) fn with_exports(exports: &str) -> TestServer {
        TestServer::with(exports, SaveMode::Written, Arc::new(OsFs))
    }

    pub(crate) fn with(exports: &str, mode: SaveMode, fs: Arc<dyn Fs>) -> TestServer {
        TestServer::with_clock(exports, mode, fs, Clock::starting_at(0))
    }

    pub(crate) fn with_clock(
        exports: &str,
        mode: SaveMode,
        fs: Arc<dyn Fs>,
        clock: Clock,
    ) -> TestServer {
        let dir = tempfile::tempdir().unwrap();
        let config = config("127.0.0.1");
        let meta = Metadata::new(1, 1_600_000_000);
        let writer = Writer::with_fs(dir.path(), config.back_logs, fs);
        let options = JournalOptions {
            mode,
            preserve_seconds: 0,
        };
        let gate = Gate::new(Journal::new(writer, meta.version(), options), mode).unwrap();
        let images = Images::new(DataDir::new(dir.path()), meta.version());
        let master = Arc::new(Master::new(Parts {
            meta,
            unfinished: mfs_chunks::Unfinished::default(),
            gate,
            clock,
            images,
            data_dir: dir.path().to_owned(),
            config_dir: ConfigDirectory::default(),
            config,
            exports: parse_exports(exports),
            topology: Topology::default(),
        }));
        master
            .change(|txn| txn.apply(&Op::SetMetaId { id: META_ID }))
            .unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let _inside = runtime.enter();
        let listeners: Vec<_> = [Port::Clients, Port::Chunkservers]
            .into_iter()
            .map(|port| Listener::open(port, &master.config()).unwrap())
            .collect();
        let address = listeners[0].address().unwrap();
        let chunkservers = listeners[1].address().unwrap();
        TestServer {
            _ports: Ports::serve(&master, listeners),
            _chunk_clock: ChunkClock::start(Arc::clone(&master)),
            chunkservers,
            _keep_alive: KeepAlive::start(Arc::clone(&master)).unwrap(),
            master,
            address,
            dir,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// A registered mount and its session.
    pub(crate) fn mount(&self) -> (Client, u32) {
        let mut client = self.client();
        let id = client.new_session(None);
        (client, id)
    }

    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.as_ref().unwrap().block_on(future)
    }

    /// The operations in the changelog, without numbers and times.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.path().join("changelog.0.mfs"));
        text.unwrap_or_default()
            .lines()
            .map(|line| line.split_once('|').unwrap().1.to_owned())
            .collect()
    }

    /// Waits until a line of this operation is in the changelog.
    pub(crate) fn wait_for_line(&self, operation: &str) {
        wait_until(|| self.lines().iter().any(|line| line.starts_with(operation)));
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // Connections do not end by themselves.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn config(host: &str) -> MasterConfig {
    parse_config(&format!(
        "MATOCL_LISTEN_HOST = {host}\nMATOCL_LISTEN_PORT = 0\n\
         MATOCS_LISTEN_HOST = {host}\nMATOCS_LISTEN_PORT = 0\n"
    ))
}

pub(crate) fn parse_config(text: &str) -> MasterConfig {
    MasterConfig::parse(text.as_bytes(), Path::new("test.cfg"))
        .unwrap()
        .value
}

pub(crate) fn parse_exports(text: &str) -> Exports {
    Exports::parse(text.as_bytes(), Path::new("exports"), &HostAccounts).value
}

pub(crate) struct Client {
    socket: TcpStream,
    pub(crate) version: Version,
}

/// A frame, or the end of the connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Frame(u32, Vec<u8>),
    Closed,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Client {
            socket,
            version: Version::MASTER,
        }
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// As [`Client::send_bytes`]; false when the other side does not take them any more.
    pub(crate) fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Bytes until the end of the connection, however it comes.
    pub(crate) fn drain(&mut self) -> usize {
        let mut bytes = Vec::new();
        if let Err(error) = self.socket.read_to_end(&mut bytes) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        }
        bytes.len()
    }

    pub(crate) fn send(&mut self, request: &Request<'_>) {
        let mut frame = Vec::new();
        request.encode_as(self.version, &mut frame);
        self.send_bytes(&frame);
    }

    /// The next frame, NOPs included.
    pub(crate) fn next(&mut self) -> Got {
        let mut head = [0; 8];
        if let Err(error) = self.socket.read_exact(&mut head) {
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ),
                "{error}"
            );
            return Got::Closed;
        }
        let field = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
        let mut payload = vec![0; field(4) as usize];
        self.socket.read_exact(&mut payload).unwrap();
        Got::Frame(field(0), payload)
    }

    /// The next frame that is no NOP.
    pub(crate) fn answer(&mut self) -> Got {
        loop {
            match self.next() {
                Got::Frame(msg::ANTOAN_NOP, _) => {}
                other => return other,
            }
        }
    }

    /// Registers and returns the payload of the answer.
    pub(crate) fn register_raw(&mut self, register: Register<'_>) -> Vec<u8> {
        self.send(&Request::Register(register));
        match self.answer() {
            Got::Frame(msg::MATOCL_FUSE_REGISTER, payload) => payload,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn register(&mut self, register: Register<'_>) -> RegisterReply {
        let payload = self.register_raw(register);
        let answer = Answer::decode(
            msg::MATOCL_FUSE_REGISTER,
            &payload,
            self.version,
            Expect::NoMid,
        );
        match answer.unwrap().result {
            Ok(Reply::Register(reply)) => reply,
            other => panic!("{other:?}"),
        }
    }

    /// Registers as a data mount of the root; returns the session.
    pub(crate) fn new_session(&mut self, resume: Option<Resume>) -> u32 {
        match self.register(new_session(b"/", resume)) {
            RegisterReply::Session(session) => session.session_id,
            other => panic!("{other:?}"),
        }
    }

    /// Nothing more is sent; the connection stays open for answers.
    pub(crate) fn finish(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }
}

pub(crate) fn new_session(path: &[u8], resume: Option<Resume>) -> Register<'_> {
    Register::NewSession(NewSession {
        version: Version::MASTER,
        info: b"/mnt/test",
        path,
        resume,
        digest: None,
    })
}

pub(crate) fn reconnect(session_id: u32) -> Reconnect {
    Reconnect {
        session_id,
        version: Version::MASTER,
        metaid: Some(META_ID),
    }
}
