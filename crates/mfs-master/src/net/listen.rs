//! The listening sockets (spec 04 §2.8).

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mfs_config::MasterConfig;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::AbortHandle;

use super::link::Party;
use crate::master::Master;

/// Connections that may wait to be accepted (spec 04 §2.8).
const BACKLOG: u32 = 100;

/// Pause after a failure to accept, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often the log tells that someone was turned away.
const NOTICE: Duration = Duration::from_secs(60);

/// The ports of a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Metaloggers, 9419.
    Metaloggers,
    /// Chunkservers, 9420.
    Chunkservers,
    /// Mounts, tools and monitors, 9421.
    Clients,
}

impl Port {
    /// All of them, in the order in which they are opened.
    pub const ALL: [Port; 3] = [Port::Metaloggers, Port::Chunkservers, Port::Clients];

    /// The part of the master behind it, in the words of the original's log.
    const fn module(self) -> &'static str {
        match self {
            Port::Metaloggers => "master <-> metaloggers module",
            Port::Chunkservers => "master <-> chunkservers module",
            Port::Clients => "main master server module",
        }
    }

    /// Who connects, for the log.
    const fn who(self) -> &'static str {
        match self {
            Port::Metaloggers => "metaloggers",
            Port::Chunkservers => "chunkservers",
            Port::Clients => "clients",
        }
    }

    fn address(self, config: &MasterConfig) -> (&str, &str) {
        match self {
            Port::Metaloggers => (&config.matoml_listen_host, &config.matoml_listen_port),
            Port::Chunkservers => (&config.matocs_listen_host, &config.matocs_listen_port),
            Port::Clients => (&config.matocl_listen_host, &config.matocl_listen_port),
        }
    }
}

/// A port cannot be opened.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The configured address means nothing.
    #[error("can't resolve {host}:{port} for {who}: {source}")]
    Resolve {
        /// Who would connect.
        who: &'static str,
        /// As configured.
        host: String,
        /// As configured.
        port: String,
        /// What the system said.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("can't listen on {address} for {who}: {source}")]
    Bind {
        /// Who would connect.
        who: &'static str,
        /// The address.
        address: SocketAddrV4,
        /// What the system said.
        source: io::Error,
    },
}

/// A socket that listens, nobody accepts yet.
pub struct Listener {
    port: Port,
    /// Host and port as configured.
    configured: (String, String),
    socket: TcpListener,
}

impl Listener {
    /// Opens a port. Must be called inside the runtime.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn open(port: Port, config: &MasterConfig) -> Result<Listener, ListenError> {
        let (host, number) = port.address(config);
        let address = resolve(host, number).map_err(|source| ListenError::Resolve {
            who: port.who(),
            host: host.to_owned(),
            port: number.to_owned(),
            source,
        })?;
        let socket = bind(address).map_err(|source| ListenError::Bind {
            who: port.who(),
            address,
            source,
        })?;
        tracing::info!("{}: listen on {host}:{number}", port.module());
        Ok(Listener {
            port,
            configured: (host.to_owned(), number.to_owned()),
            socket,
        })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Starts to accept.
    fn serve(self, master: &Arc<Master>) -> Serving {
        let master = Arc::clone(master);
        let address = self.address().ok();
        let Listener {
            port,
            configured,
            socket,
        } = self;
        let task = match port {
            Port::Clients => tokio::spawn(accept_all(master, Party::Client, socket)),
            Port::Chunkservers => tokio::spawn(accept_all(master, Party::Chunkserver, socket)),
            Port::Metaloggers => tokio::spawn(turn_away(socket, port)),
        };
        Serving {
            port,
            configured,
            address,
            task: task.abort_handle(),
        }
    }
}

/// A port that is served until this is dropped.
struct Serving {
    port: Port,
    configured: (String, String),
    address: Option<SocketAddr>,
    task: AbortHandle,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The open ports.
pub struct Ports {
    serving: Vec<Serving>,
}

impl Ports {
    /// Starts to accept on opened sockets.
    #[must_use]
    pub fn serve(master: &Arc<Master>, listeners: Vec<Listener>) -> Ports {
        Ports {
            serving: listeners
                .into_iter()
                .map(|listener| listener.serve(master))
                .collect(),
        }
    }

    /// The address that a port listens on.
    #[must_use]
    pub fn address(&self, port: Port) -> Option<SocketAddr> {
        let serving = self.serving.iter().find(|serving| serving.port == port)?;
        serving.address
    }

    /// Moves ports whose addresses have changed: the new socket is opened first, then the old one closed; if
    /// that fails the old one stays. Connections stay in any case.
    pub fn reload(&mut self, master: &Arc<Master>) {
        let config = master.config();
        for serving in &mut self.serving {
            let (host, number) = serving.port.address(&config);
            if serving.configured.0 == host && serving.configured.1 == number {
                continue;
            }
            match Listener::open(serving.port, &config) {
                Ok(listener) => *serving = listener.serve(master),
                Err(error) => tracing::error!(%error, "keeping the old socket"),
            }
        }
    }
}

fn bind(address: SocketAddrV4) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address.into())?;
    socket.listen(BACKLOG)
}

/// An address from host (`*`, an address or a name) and port (a number or a service).
fn resolve(host: &str, port: &str) -> io::Result<SocketAddrV4> {
    let port = match port.parse() {
        Ok(port) => port,
        Err(_) => service(port)?,
    };
    if host == "*" {
        return Ok(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port));
    }
    let mut addresses = (host, port).to_socket_addrs()?;
    addresses
        .find_map(|address| match address {
            SocketAddr::V4(address) => Some(address),
            SocketAddr::V6(_) => None,
        })
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no IPv4 address"))
}

/// The number of a TCP service (`/etc/services`).
fn service(name: &str) -> io::Result<u16> {
    let services = std::fs::read_to_string("/etc/services")?;
    find_service(&services, name)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "unknown service"))
}

fn find_service(services: &str, name: &str) -> Option<u16> {
    services.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let official = words.next()?;
        let number = words.next()?.strip_suffix("/tcp")?;
        let named = official == name || words.any(|alias| alias == name);
        if named { number.parse().ok() } else { None }
    })
}

async fn accept_all(master: Arc<Master>, party: Party, socket: TcpListener) {
    let mut failures = Notices::default();
    let mut refusals = Notices::default();
    loop {
        match accept(&socket).await {
            Ok((stream, peer)) => {
                let accepted = master.connections.accept(&master, party, stream, peer);
                if !accepted && refusals.due() {
                    tracing::error!(
                        %peer,
                        connections = master.connections.len(),
                        "connection refused: the limit of open files allows no more"
                    );
                }
            }
            Err(error) => {
                if failures.due() {
                    tracing::error!(%error, "can't accept connections");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accept(socket: &TcpListener) -> io::Result<(TcpStream, Ipv4Addr)> {
    let (stream, peer) = socket.accept().await?;
    // The socket may be gone already; then the task of the connection finds out.
    let _ = stream.set_nodelay(true);
    let peer = match peer {
        SocketAddr::V4(peer) => *peer.ip(),
        SocketAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    Ok((stream, peer))
}

/// Ports of parts that this master does not have yet are held, so that no other program takes them and a second
/// master notices the first, but everyone who connects is closed at once.
async fn turn_away(socket: TcpListener, port: Port) {
    let mut notices = Notices::default();
    loop {
        match accept(&socket).await {
            Ok((stream, peer)) => {
                drop(stream);
                if notices.due() {
                    tracing::warn!(%peer, "connection closed: {} are not served yet", port.who());
                }
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Keeps a repeated event from filling the log.
#[derive(Default)]
struct Notices {
    last: Option<Instant>,
}

impl Notices {
    fn due(&mut self) -> bool {
        let due = self.last.is_none_or(|last| last.elapsed() >= NOTICE);
        if due {
            self.last = Some(Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let any = resolve("*", "9421").unwrap();
        assert_eq!(any.to_string(), "0.0.0.0:9421");
        assert_eq!(
            resolve("127.0.0.1", "1").unwrap().to_string(),
            "127.0.0.1:1"
        );
        assert!(resolve("::1", "1").is_err());
        assert!(resolve("*", "no-such-service").is_err());
        assert!(resolve("*", "65536").is_err());
    }

    #[test]
    fn services() {
        let text = "# x 1/tcp\nssh 22/udp\nssh\t22/tcp # shell\nmfs 9421/tcp mfsmaster\nbad\n";
        assert_eq!(find_service(text, "ssh"), Some(22));
        assert_eq!(find_service(text, "mfsmaster"), Some(9421));
        assert_eq!(find_service(text, "x"), None);
        assert_eq!(find_service(text, "bad"), None);
    }
}
