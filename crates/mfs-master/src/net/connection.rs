//! A connection of a mount or a tool: its requests are executed one after the other.

use std::net::Ipv4Addr;
use std::sync::Arc;

use mfs_proto::Version;
use mfs_proto::client::{Request, State, allowed};
use mfs_proto::frame::{CLIENT_MAX_PAYLOAD, Frame, Frames};
use mfs_proto::register::Challenge;

use super::drive::{End, Executed, Protocol, drive};
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

/// Serves a connection to its end.
pub(super) async fn serve(master: Arc<Master>, link: Arc<Link>) {
    let mut guest = Guest {
        conn: Conn::new(link, master.connections.no_session()),
        master,
    };
    let link = Arc::clone(&guest.conn.link);
    let end = drive(&guest.master, &link, &mut guest.conn).await;
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

impl Guest {
    fn log(&self, end: &End) {
        let peer = self.conn.peer;
        let session = self.conn.session.id;
        match end {
            End::Closed | End::Farewell => {
                tracing::debug!(%peer, session, "connection closed by the client");
            }
            _ if !self.master.connections.complaints().admit(peer) => {}
            End::Failed(error) => tracing::info!(%peer, session, %error, "connection lost"),
            End::Reason(reason) => tracing::info!(%peer, session, "connection closed: {reason}"),
            End::Malformed(what) => {
                tracing::warn!(%peer, session, "connection closed: bad packet: {what}");
            }
        }
    }
}

impl Protocol for Conn {
    fn execute(
        &mut self,
        master: &Master,
        input: &[u8],
        out: &mut Vec<u8>,
        batch: &Batch,
    ) -> Executed {
        let mut executed = Executed::default();
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
                    let mut ctx = Ctx::new(master, self, now, batch);
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

    fn is_registered(&self) -> bool {
        self.state != State::Unregistered
    }
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
            session::Registered::SessionClosed => return Err(End::Farewell),
        },
        request => client::handle(ctx, request, out),
    };
    match handled {
        Handled::Done | Handled::Later => Ok(()),
        Handled::Close(reason) => Err(End::Reason(reason.into())),
    }
}
