//! The task of a connection, whatever is spoken on it: receive, execute every complete frame, commit once, send
//! once.

use std::borrow::Cow;
use std::io;

use super::buffers;
use super::link::{Link, Wakened};
use crate::master::{Batch, Master};

/// So few bytes of answers that depend on nothing leave at once. More let the others have their turn: who sends many
/// requests must not keep the thread.
const FEW_BYTES: usize = 1024;

/// One side of a dialogue.
pub(crate) trait Protocol {
    /// Executes complete frames at the start of `input`, a bounded amount of work. Answers go to `out`; they leave
    /// when everything that `batch` depends on is safe.
    fn execute(
        &mut self,
        master: &Master,
        input: &[u8],
        out: &mut Vec<u8>,
        batch: &Batch,
    ) -> Executed;

    /// Whether `input` begins with something that needs the state for itself. Such batches queue up for it as tasks,
    /// which costs a fraction of threads that sleep in front of a lock and are woken.
    fn wants_turn(&self, input: &[u8]) -> bool;

    /// Whether the other side has registered: NOPs may follow what was sent so far.
    fn is_registered(&self) -> bool;
}

/// Why a connection ended.
pub(crate) enum End {
    /// The other side closed it.
    Closed,
    /// The socket failed.
    Failed(io::Error),
    /// The master closes it.
    Reason(Cow<'static, str>),
    /// The other side said something that has no meaning.
    Malformed(String),
    /// The other side has said that it goes; this was answered.
    Farewell,
}

/// What became of a batch.
#[derive(Default)]
pub(crate) struct Executed {
    /// Bytes of the frames that were executed entirely.
    pub(crate) consumed: usize,
    /// There may be more to execute.
    pub(crate) more: bool,
    /// The connection ends when the answers are sent.
    pub(crate) end: Option<End>,
}

/// Serves a connection to its end. The caller ends the sending side ([`Link::finish`]) when nothing is left of the
/// connection in the state: who sees the end may come back at once, and must not be refused as somebody who is here.
pub(crate) async fn drive<P: Protocol>(master: &Master, link: &Link, protocol: &mut P) -> End {
    let mut input = Vec::new();
    let mut share = master.connections.budget().share(link.party());
    loop {
        let wakened = match link.wait().await {
            Ok(wakened) => wakened,
            Err(error) => return End::Failed(error),
        };
        if let Some(reason) = link.closing() {
            return End::Reason(reason.into());
        }
        let mut closed = false;
        if wakened == Wakened::Socket {
            buffers::reserve(&mut input);
            match link.receive(&mut input, master.connections.tick()) {
                Ok(count) => closed = count == 0,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return End::Failed(error),
            }
        }
        if let Err(end) = turn(master, link, protocol, &mut input).await {
            return end;
        }
        if closed {
            return End::Closed;
        }
        buffers::keep(&mut input);
        if !share.hold(input.capacity(), protocol.is_registered()) {
            return End::Reason("too many unfinished messages are held".into());
        }
    }
}

/// Executes everything that is complete in `input` and sends the answers and the mail.
async fn turn<P: Protocol>(
    master: &Master,
    link: &Link,
    protocol: &mut P,
    input: &mut Vec<u8>,
) -> Result<(), End> {
    let connections = &master.connections;
    loop {
        let mut out = buffers::take();
        let batch = Batch::default();
        link.set_busy(true, 0);
        let executed = if input.is_empty() {
            Executed::default()
        } else {
            let turn = if protocol.wants_turn(input) {
                Some(connections.turn().lock().await)
            } else {
                None
            };
            let executed = protocol.execute(master, input, &mut out, &batch);
            drop(turn);
            executed
        };
        let mail = link.take_mail(&mut out);
        let commit = batch.commit.get().max(mail);
        drop(batch);
        input.drain(..executed.consumed);
        if input.is_empty() {
            buffers::give(std::mem::take(input));
        }
        if out.is_empty() && !executed.more {
            master.gate.hasten(commit);
        } else if out.len() > FEW_BYTES || !master.gate.is_safe(commit) {
            // Connections that are ready now execute first: their lines go into the same write, and those who
            // wait for answers are woken by one and find the others.
            tokio::task::yield_now().await;
            master.gate.commit(commit).await;
        }
        if !out.is_empty()
            && let Err(error) = link.send(&out, connections.ticks()).await
        {
            let reason = link.closing();
            return Err(reason.map_or(End::Failed(error), |reason| End::Reason(reason.into())));
        }
        if protocol.is_registered() {
            link.greet();
        }
        link.set_busy(false, connections.tick());
        buffers::give(out);
        if let Some(end) = executed.end {
            return Err(end);
        }
        if !executed.more {
            return Ok(());
        }
        if let Some(reason) = link.closing() {
            return Err(End::Reason(reason.into()));
        }
        tokio::task::yield_now().await;
    }
}
