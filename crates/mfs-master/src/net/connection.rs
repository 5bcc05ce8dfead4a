//! The task of a connection: receive, execute every complete frame, commit once, send once.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use mfs_proto::Version;
use mfs_proto::client::{Request, State, allowed};
use mfs_proto::frame::{CLIENT_MAX_PAYLOAD, Frame, Frames};
use mfs_proto::register::Challenge;

use super::buffers;
use super::link::Link;
use crate::client;
use crate::context::{Ctx, Handled};
use crate::live::LiveSession;
use crate::live::sessions::Params;
use crate::master::{Batch, Master};
use crate::session;

/// Frames executed before their answers are sent and others get their turn.
const BATCH_FRAMES: usize = 256;

/// Bytes of answers after which a batch ends. One answer may go beyond it.
const BATCH_OUTPUT: usize = 256 * 1024;

/// A connection as its requests see it.
pub struct Conn {
    /// The side that others see.
    pub link: Arc<Link>,
    /// Address of the client.
    pub peer: Ipv4Addr,
    /// Version that the client registered with.
    pub version: Version,
    /// What has registered.
    pub state: State,
    /// The session; number 0 without one.
    pub session: Arc<LiveSession>,
    /// The session's parameters at the beginning of the request.
    pub params: Params,
    epoch: u32,
    /// What GETRANDOM gave, or zeros.
    pub challenge: Challenge,
}

impl Conn {
    fn new(link: Arc<Link>, none: &Arc<LiveSession>) -> Conn {
        let (params, epoch) = none.params();
        Conn {
            peer: link.peer(),
            link,
            version: Version::MASTER,
            state: State::Unregistered,
            session: Arc::clone(none),
            params,
            epoch,
            challenge: Challenge::default(),
        }
    }

    /// Number of the connection, to which a late answer goes.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.link.id()
    }

    /// Takes on a session. The caller has attached the link to it.
    pub(crate) fn register(&mut self, state: State, version: Version, session: Arc<LiveSession>) {
        (self.params, self.epoch) = session.params();
        self.session = session;
        self.version = version;
        self.state = state;
        self.link.registered(state, version);
    }
}

/// Why a connection ended.
enum End {
    /// The client closed it.
    Closed,
    /// The socket failed.
    Failed(io::Error),
    /// The master closes it.
    Reason(&'static str),
    /// The client said something that is no request.
    Malformed(String),
    /// After the answer to CLOSESESSION.
    SessionClosed,
}

/// Serves a connection to its end.
pub(super) async fn serve(master: Arc<Master>, link: Arc<Link>) {
    let mut guest = Guest {
        conn: Conn::new(link, master.connections.no_session()),
        master,
    };
    let end = guest.run().await;
    guest.log(&end);
}

/// Whatever happens to the task, the connection is taken from the lists.
struct Guest {
    conn: Conn,
    master: Arc<Master>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.master.connections.remove(self.conn.id());
        if self.conn.state != State::Unregistered {
            let stopping = self.master.connections.are_closing();
            session::detach(&self.master, &self.conn, stopping);
        }
    }
}

/// What became of a batch.
#[derive(Default)]
struct Executed {
    /// Bytes of the frames that were executed.
    consumed: usize,
    /// There may be more complete frames.
    more: bool,
    end: Option<End>,
}

impl Guest {
    async fn run(&mut self) -> End {
        let mut input = Vec::new();
        loop {
            let link = &self.conn.link;
            let readable = tokio::select! {
                readable = link.readable() => match readable {
                    Ok(()) => true,
                    Err(error) => return End::Failed(error),
                },
                () = link.woken() => false,
            };
            if let Some(reason) = link.closing() {
                return End::Reason(reason);
            }
            let mut closed = false;
            if readable {
                buffers::reserve(&mut input);
                match link.receive(&mut input, self.master.connections.tick()) {
                    Ok(count) => closed = count == 0,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return End::Failed(error),
                }
            }
            if let Err(end) = self.turn(&mut input).await {
                return end;
            }
            if closed {
                return End::Closed;
            }
        }
    }

    /// Executes everything that is complete in `input` and sends the answers and the mail.
    async fn turn(&mut self, input: &mut Vec<u8>) -> Result<(), End> {
        loop {
            let mut out = buffers::take();
            let batch = Batch::default();
            let link = Arc::clone(&self.conn.link);
            link.set_busy(true, 0);
            let executed = execute(&self.master, &mut self.conn, input, &mut out, &batch);
            let mail = link.take_mail(&mut out);
            let commit = batch.commit.get().max(mail);
            drop(batch);
            input.drain(..executed.consumed);
            if input.is_empty() {
                buffers::give(std::mem::take(input));
            }
            let connections = &self.master.connections;
            if out.is_empty() {
                self.master.gate.hasten(commit);
            } else {
                if !self.master.gate.is_safe(commit) {
                    // Connections that are ready now execute first: their lines go into the same write.
                    tokio::task::yield_now().await;
                    self.master.gate.commit(commit).await;
                }
                if let Err(error) = link.send(&out, connections.ticks()).await {
                    return Err(link.closing().map_or(End::Failed(error), End::Reason));
                }
            }
            if self.conn.state != State::Unregistered {
                link.greet();
            }
            link.set_busy(false, connections.tick());
            buffers::give(out);
            if let Some(end) = executed.end {
                link.finish();
                return Err(end);
            }
            if !executed.more {
                return Ok(());
            }
            if let Some(reason) = link.closing() {
                return Err(End::Reason(reason));
            }
            tokio::task::yield_now().await;
        }
    }

    fn log(&self, end: &End) {
        let peer = self.conn.peer;
        let session = self.conn.session.id;
        match end {
            End::Closed | End::SessionClosed => {
                tracing::debug!(%peer, session, "connection closed by the client");
            }
            End::Failed(error) => tracing::info!(%peer, session, %error, "connection lost"),
            End::Reason(reason) => tracing::info!(%peer, session, "connection closed: {reason}"),
            End::Malformed(what) => {
                tracing::warn!(%peer, session, "connection closed: bad packet: {what}");
            }
        }
    }
}

/// Executes the complete frames of `input`, a bounded number of them.
fn execute(
    master: &Master,
    conn: &mut Conn,
    input: &[u8],
    out: &mut Vec<u8>,
    batch: &Batch,
) -> Executed {
    let mut executed = Executed::default();
    if input.is_empty() {
        return executed;
    }
    let now = master.clock.now();
    let mut frames = Frames::new(input, CLIENT_MAX_PAYLOAD);
    let mut count = 0;
    loop {
        if count == BATCH_FRAMES || out.len() >= BATCH_OUTPUT {
            executed.more = true;
            break;
        }
        match frames.next_frame() {
            Ok(Some(frame)) => {
                count += 1;
                let mut ctx = Ctx::new(master, conn, now, batch);
                if let Err(end) = handle(&mut ctx, &frame, out) {
                    executed.end = Some(end);
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                executed.end = Some(End::Malformed(error.to_string()));
                break;
            }
        }
    }
    executed.consumed = frames.consumed();
    executed
}

/// Executes one frame.
#[inline]
fn handle(ctx: &mut Ctx<'_>, frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), End> {
    if !allowed(frame.msg, ctx.conn.state) {
        return Err(End::Malformed(format!(
            "message {} is not allowed here",
            frame.msg
        )));
    }
    let request = Request::decode(frame.msg, frame.payload, ctx.conn.version)
        .map_err(|error| End::Malformed(error.to_string()))?;
    ctx.conn
        .session
        .refresh(&mut ctx.conn.params, &mut ctx.conn.epoch);
    let handled = match request {
        Request::Ignored(_) => Handled::Done,
        Request::Register(register) => match session::register(ctx, &register, out) {
            session::Registered::Done => Handled::Done,
            session::Registered::Refused(reason) => Handled::Close(reason),
            session::Registered::SessionClosed => return Err(End::SessionClosed),
        },
        request => client::handle(ctx, request, out),
    };
    match handled {
        Handled::Done | Handled::Later => Ok(()),
        Handled::Close(reason) => Err(End::Reason(reason)),
    }
}
