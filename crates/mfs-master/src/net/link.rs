//! The side of a connection that others see: its socket, its mailbox, and what the keep-alive looks at.

use std::future::poll_fn;
use std::io;
use std::net::Ipv4Addr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use mfs_proto::Version;
use mfs_proto::client::State;
use parking_lot::Mutex;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes of frames from others that may wait in front of a connection. A client that is so far behind is
/// closed; it connects again and forgets what it had cached.
pub const MAILBOX_MAX: usize = 4 << 20;

/// Sending neither waits nor raises a signal.
const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Who is at the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    /// A mount, a tool or a monitor.
    Client,
    /// A chunkserver.
    Chunkserver,
}

impl Party {
    /// What the keep-alive sends: type 0 and, for clients, message id 0 (spec 04 §2.5, spec 05 §3.1).
    const fn nop(self) -> &'static [u8] {
        match self {
            Party::Client => &[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0],
            Party::Chunkserver => &[0; 8],
        }
    }
}

/// Frames from others, waiting for the connection's task.
#[derive(Default)]
struct Mailbox {
    frames: Vec<u8>,
    version: u64,
}

/// Calls the connection's task. A call that finds it at work is kept until it waits.
#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    waker: AtomicWaker,
}

impl Bell {
    fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Only the connection's task asks. A call is heard once.
    fn poll(&self, task: &mut Context<'_>) -> Poll<()> {
        self.waker.register(task.waker());
        match self.rung.swap(false, Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

/// Why a connection's task goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wakened {
    /// The socket may be ready.
    Socket,
    /// There is mail, or a reason to close.
    Bell,
}

/// A connection as others see it.
pub struct Link {
    id: u64,
    party: Party,
    peer: Ipv4Addr,
    stream: TcpStream,
    /// Seconds of silence that end the connection of a chunkserver.
    timeout: AtomicU32,
    state: AtomicU8,
    version: AtomicU32,
    mailbox: Mutex<Mailbox>,
    /// Whether there is something in it.
    mail: AtomicBool,
    /// Rings when there is mail, or a reason to close.
    wake: Bell,
    closing: OnceLock<&'static str>,
    /// Requests are being executed or their answers held.
    busy: AtomicBool,
    /// The answer to the registration has been sent.
    greeted: AtomicBool,
    /// Someone writes to the socket.
    writing: AtomicBool,
    /// Bytes of a NOP that did not fit into the socket; they go out before anything else.
    nop_left: AtomicU8,
    /// Ticks of the keep-alive when something was last received and sent.
    heard: AtomicU32,
    sent: AtomicU32,
}

impl Link {
    pub(super) fn new(
        id: u64,
        party: Party,
        peer: Ipv4Addr,
        stream: TcpStream,
        timeout: u32,
        tick: u32,
    ) -> Link {
        Link {
            id,
            party,
            peer,
            stream,
            timeout: AtomicU32::new(timeout),
            state: AtomicU8::new(code(State::Unregistered)),
            version: AtomicU32::new(0),
            mailbox: Mutex::default(),
            mail: AtomicBool::new(false),
            wake: Bell::default(),
            closing: OnceLock::new(),
            busy: AtomicBool::new(false),
            greeted: AtomicBool::new(false),
            writing: AtomicBool::new(false),
            nop_left: AtomicU8::new(0),
            heard: AtomicU32::new(tick),
            sent: AtomicU32::new(tick),
        }
    }

    /// Number of the connection, unique in the process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Address of the client.
    #[must_use]
    pub fn peer(&self) -> Ipv4Addr {
        self.peer
    }

    /// Version of the client, 0 before it has registered.
    #[must_use]
    pub fn version(&self) -> Version {
        Version(self.version.load(Ordering::Relaxed))
    }

    /// Who is at the other side.
    pub(super) fn party(&self) -> Party {
        self.party
    }

    /// Seconds of silence that end the connection of a chunkserver.
    pub(super) fn timeout(&self) -> u32 {
        self.timeout.load(Ordering::Relaxed)
    }

    /// Sets the time-out that the chunkserver wants.
    pub(crate) fn set_timeout(&self, seconds: u32) {
        self.timeout.store(seconds, Ordering::Relaxed);
    }

    /// Whether a mount has registered on it.
    #[must_use]
    pub fn is_mount(&self) -> bool {
        self.state.load(Ordering::Relaxed) == code(State::Mount)
    }

    /// Whether it belongs to a tool.
    #[must_use]
    pub fn is_tools(&self) -> bool {
        self.state.load(Ordering::Relaxed) == code(State::Tools)
    }

    /// Notes what registered on it. From then on tools get no NOPs.
    pub(crate) fn registered(&self, state: State, version: Version) {
        self.version.store(version.0, Ordering::Relaxed);
        self.state.store(code(state), Ordering::Relaxed);
    }

    /// Notes that the answer to the registration has been sent: NOPs may follow at any time.
    pub(super) fn greet(&self) {
        self.greeted.store(true, Ordering::Release);
    }

    /// Puts whole frames into the mailbox; they leave when all lines below `version` are safe.
    pub fn post(&self, frames: &[u8], version: u64) {
        let mut mailbox = self.mailbox.lock();
        if mailbox.frames.len() + frames.len() > MAILBOX_MAX {
            drop(mailbox);
            self.close("it does not take its notices");
            return;
        }
        mailbox.frames.extend_from_slice(frames);
        mailbox.version = mailbox.version.max(version);
        self.mail.store(true, Ordering::Release);
        drop(mailbox);
        self.wake.ring();
    }

    /// Moves the mail to the end of `out`. Returns the version it depends on.
    pub(super) fn take_mail(&self, out: &mut Vec<u8>) -> u64 {
        if !self.mail.load(Ordering::Acquire) {
            return 0;
        }
        let mut mailbox = self.mailbox.lock();
        self.mail.store(false, Ordering::Relaxed);
        out.append(&mut mailbox.frames);
        std::mem::take(&mut mailbox.version)
    }

    /// Asks the connection to end; the first reason counts.
    pub fn close(&self, reason: &'static str) {
        let _ = self.closing.set(reason);
        self.wake.ring();
    }

    /// Why it is to end.
    pub(super) fn closing(&self) -> Option<&'static str> {
        self.closing.get().copied()
    }

    /// Waits until there is something to receive, or mail, or a reason to close.
    ///
    /// # Errors
    /// The socket failed.
    pub(super) async fn wait(&self) -> io::Result<Wakened> {
        // No more than a look at two flags when nothing is there: the runtime's futures for this enter the task into
        // lists and take it out again for every request.
        poll_fn(|task| self.poll_socket_or_bell(task, TcpStream::poll_read_ready)).await
    }

    fn poll_socket_or_bell(
        &self,
        task: &mut Context<'_>,
        socket: impl FnOnce(&TcpStream, &mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<Wakened>> {
        match socket(&self.stream, task) {
            Poll::Ready(result) => Poll::Ready(result.map(|()| Wakened::Socket)),
            Poll::Pending => self.wake.poll(task).map(|()| Ok(Wakened::Bell)),
        }
    }

    /// Receives what is there into the free space of `input`: one system call. 0 at the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub(super) fn receive(&self, input: &mut Vec<u8>, tick: u32) -> io::Result<usize> {
        let mut received = None;
        let result = self.stream.try_io(Interest::READABLE, || {
            let room = input.capacity() - input.len();
            let spare = rustix::buffer::spare_capacity(input);
            let count = rustix::net::recv(&self.stream, spare, RecvFlags::empty())?.1;
            received = Some(count);
            if count > 0 && count < room {
                // The socket is empty now: tell the runtime, which saves asking it once more.
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        match received {
            Some(count) => {
                self.heard.store(tick, Ordering::Relaxed);
                Ok(count)
            }
            None => result.map(|()| 0),
        }
    }

    /// Says that requests are being executed, or that this is over: then the client has no reason to have been
    /// silent.
    pub(super) fn set_busy(&self, busy: bool, tick: u32) {
        if !busy {
            self.heard.store(tick, Ordering::Relaxed);
        }
        self.busy.store(busy, Ordering::Release);
    }

    /// Sends all of `bytes`, which are whole frames.
    ///
    /// # Errors
    /// The connection is broken, or is to be closed.
    pub(super) async fn send(&self, bytes: &[u8], tick: &AtomicU32) -> io::Result<()> {
        // The keep-alive holds it for the time of one system call that does not wait.
        while self.writing.swap(true, Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        let _writing = Writing(self);
        self.sent
            .store(tick.load(Ordering::Relaxed), Ordering::Relaxed);
        let left = usize::from(self.nop_left.swap(0, Ordering::Relaxed));
        let nop = self.party.nop();
        let rest = nop.get(nop.len() - left..).unwrap_or_default();
        self.send_all(rest, tick).await?;
        self.send_all(bytes, tick).await
    }

    async fn send_all(&self, mut bytes: &[u8], tick: &AtomicU32) -> io::Result<()> {
        let mut woken = false;
        while !bytes.is_empty() {
            match self.send_now(bytes) {
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    self.sent
                        .store(tick.load(Ordering::Relaxed), Ordering::Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready =
                        poll_fn(|task| self.poll_socket_or_bell(task, TcpStream::poll_write_ready));
                    woken |= ready.await? == Wakened::Bell;
                    if self.closing.get().is_some() {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if woken {
            // It was mail, and the task looks at it when this is sent.
            self.wake.ring();
        }
        Ok(())
    }

    /// Sends what fits into the socket's buffer: one system call.
    fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.try_io(Interest::WRITABLE, || {
            Ok(rustix::net::send(&self.stream, bytes, SEND)?)
        })
    }

    /// The keep-alive's look at a connection, about once a second. Sends a NOP if nothing was sent lately, ends
    /// the connection if nothing was received for too long or the client does not take its answers.
    pub(super) fn keep_alive(&self, tick: u32, limits: &Limits) {
        let since = |then: &AtomicU32| tick.wrapping_sub(then.load(Ordering::Relaxed)) as i32;
        if self.writing.load(Ordering::Acquire) {
            if since(&self.sent) > limits.stuck {
                self.close("it does not take its answers");
                self.shut();
            }
            return;
        }
        let busy = self.busy.load(Ordering::Acquire);
        if !busy && since(&self.heard) > limits.silent {
            self.close("it was silent for too long");
            return;
        }
        // Who registers takes the next frame for the answer.
        let greeted = self.greeted.load(Ordering::Acquire);
        let quiet = match self.party {
            Party::Client => self.is_tools() || (busy && !greeted),
            Party::Chunkserver => !greeted,
        };
        if !quiet && since(&self.sent) >= limits.idle {
            self.send_nop(tick);
        }
    }

    fn send_nop(&self, tick: u32) {
        if self.writing.swap(true, Ordering::Acquire) {
            return;
        }
        let _writing = Writing(self);
        if self.nop_left.load(Ordering::Relaxed) > 0 {
            return;
        }
        // Errors show up in the connection's task.
        let nop = self.party.nop();
        if let Ok(count) = rustix::net::send(&self.stream, nop, SEND) {
            let left = nop.len().saturating_sub(count);
            self.nop_left
                .store(u8::try_from(left).unwrap_or(0), Ordering::Relaxed);
            self.sent.store(tick, Ordering::Relaxed);
        }
    }

    /// Ends the traffic in both directions, so that a task that waits for the socket wakes up.
    fn shut(&self) {
        // An error means that there is no connection any more.
        let _ = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Both);
    }

    /// Ends the sending direction after the last answer.
    pub(crate) fn finish(&self) {
        let _ = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Write);
    }
}

/// Times in ticks of the keep-alive.
pub(super) struct Limits {
    /// After so long without sending, a NOP is due.
    pub(super) idle: i32,
    /// After so long without receiving, the connection ends.
    pub(super) silent: i32,
    /// After so long without progress in sending, the connection ends.
    pub(super) stuck: i32,
}

/// Gives the socket's sending side back.
struct Writing<'a>(&'a Link);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.writing.store(false, Ordering::Release);
    }
}

const fn code(state: State) -> u8 {
    match state {
        State::Unregistered => 0,
        State::Mount => 1,
        State::Tools => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Waits for the bell alone.
    async fn rung(bell: &Bell) {
        poll_fn(|task| bell.poll(task)).await;
    }

    #[test]
    fn a_bell_is_heard_once_whenever_it_rings() {
        let mut task = Context::from_waker(std::task::Waker::noop());
        let bell = Bell::default();
        assert_eq!(bell.poll(&mut task), Poll::Pending);
        bell.ring();
        bell.ring();
        assert_eq!(bell.poll(&mut task), Poll::Ready(()));
        assert_eq!(bell.poll(&mut task), Poll::Pending);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_ring_is_lost_between_threads() {
        let bells = Arc::new((Bell::default(), Bell::default()));
        let there = Arc::clone(&bells);
        let answers = tokio::spawn(async move {
            for _ in 0..10_000 {
                rung(&there.0).await;
                there.1.ring();
            }
        });
        for _ in 0..10_000 {
            bells.0.ring();
            rung(&bells.1).await;
        }
        answers.await.unwrap();
    }
}
