//! A connection of a mount or a tool: its requests are executed one after the other.

use std::net::Ipv4Addr;
use std::sync::Arc;

use mfs_proto::Version;
use mfs_proto::client::{Request, State, allowed};
use mfs_proto::frame::{CLIENT_MAX_PAYLOAD, Frames};
use mfs_proto::register::Challenge;
use smallvec::SmallVec;

use super::drive::{End, Executed, Protocol, drive};
use super::link::Link;
use crate::access::{Access, Accessible};
use crate::client::{self, Needs};
use crate::context::{Ctx, Handled};
use crate::live::LiveSession;
use crate::live::sessions::Params;
use crate::master::{Batch, Master};
use crate::session;

/// Frames executed before their answers are sent and others get their turn.
const BATCH_FRAMES: usize = 256;

/// Requests that are looked at before the first of them is executed, and that may share one access to the state:
/// others wait for the state meanwhile, some 30 microseconds.
const RUN_FRAMES: usize = 32;

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
    drop(guest);
    link.finish();
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

/// Requests that are looked at together; they lie on the stack.
type Run<'i> = SmallVec<[Arrived<'i>; RUN_FRAMES]>;

/// A request that has arrived in full.
struct Arrived<'i> {
    request: Request<'i>,
    /// Where its frame ends in the input.
    end: usize,
}

/// Number of requests at the start that can share one access to the state; at least 1.
fn run_length(arrived: &[Arrived<'_>]) -> usize {
    let mut needs = arrived.iter().map(|a| Needs::of(&a.request));
    match needs.next() {
        None | Some(Needs::Own | Needs::Long) => 1,
        Some(first) => 1 + needs.take_while(|n| *n == first).count(),
    }
}

fn is_long(run: &[Arrived<'_>]) -> bool {
    run.first()
        .is_some_and(|a| Needs::of(&a.request) == Needs::Long)
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
        let access = Access::new(&master.state);
        let mut frames = Frames::new(input, CLIENT_MAX_PAYLOAD);
        let mut arrived = Run::new();
        let mut count = 0;
        loop {
            let end = self.look_ahead(&mut frames, &mut arrived);
            let mut rest = arrived.as_slice();
            while !rest.is_empty() {
                let (run, behind) = rest.split_at(run_length(rest));
                // A long one begins a batch, so that nobody waits for its answer, or in the queue of those who change
                // something, while it runs.
                if count >= BATCH_FRAMES || count > 0 && is_long(run) {
                    executed.more = true;
                    return executed;
                }
                count += run.len();
                rest = behind;
                if run.len() > 1 {
                    access.keep(true);
                    prefetch_run(&access, self, run);
                }
                for Arrived { request, end } in run {
                    if out.len() >= BATCH_OUTPUT {
                        executed.more = true;
                        return executed;
                    }
                    let mut ctx = Ctx::new(master, self, now, &access, batch);
                    if let Err(end) = handle(&mut ctx, *request, out) {
                        executed.end = Some(end);
                        return executed;
                    }
                    executed.consumed = *end;
                }
                access.keep(false);
            }
            if end.is_some() || arrived.is_empty() {
                executed.end = end;
                return executed;
            }
        }
    }

    fn wants_turn(&self, input: &[u8]) -> bool {
        let first = Frames::new(input, CLIENT_MAX_PAYLOAD).next_frame();
        first.is_ok_and(|frame| frame.is_some_and(|f| Needs::of_message(f.msg) == Needs::Exclusive))
    }

    fn is_registered(&self) -> bool {
        self.state != State::Unregistered
    }
}

/// Asks for the memory that a run will need, under the access that it will have.
fn prefetch_run(access: &Access<'_>, conn: &Conn, run: &[Arrived<'_>]) {
    let requests = run.iter().map(|a| &a.request);
    match run.first().map(|a| Needs::of(&a.request)) {
        Some(Needs::Exclusive) => client::prefetch(&access.write(), conn, requests),
        _ => client::prefetch(&access.read(), conn, requests),
    }
}

impl Conn {
    /// Decodes the next requests, at most [`RUN_FRAMES`] and none behind a registration, which decides how others
    /// are understood. Tells why there is none behind them, if that ends the connection.
    fn look_ahead<'i>(&self, frames: &mut Frames<'i>, arrived: &mut Run<'i>) -> Option<End> {
        arrived.clear();
        while arrived.len() < RUN_FRAMES {
            let frame = match frames.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return None,
                Err(error) => return Some(End::Malformed(error.to_string())),
            };
            if !allowed(frame.msg, self.state) {
                let what = format!("message {} is not allowed here", frame.msg);
                return Some(End::Malformed(what));
            }
            let request = match Request::decode(frame.msg, frame.payload, self.version) {
                Ok(request) => request,
                Err(error) => return Some(End::Malformed(error.to_string())),
            };
            arrived.push(Arrived {
                request,
                end: frames.consumed(),
            });
            if matches!(request, Request::Register(_)) {
                return None;
            }
        }
        None
    }
}

/// Executes one request.
#[inline]
fn handle(ctx: &mut Ctx<'_>, request: Request<'_>, out: &mut Vec<u8>) -> Result<(), End> {
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
        request if Needs::of(&request) == Needs::Long => {
            // Other connections of this thread are served by another one meanwhile.
            tokio::task::block_in_place(|| client::handle(ctx, request, out))
        }
        request => client::handle(ctx, request, out),
    };
    match handled {
        Handled::Done | Handled::Later => Ok(()),
        Handled::Close(reason) => Err(End::Reason(reason.into())),
    }
}
