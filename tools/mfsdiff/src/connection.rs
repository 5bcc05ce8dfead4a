//! A connection of a client to one master.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use mfs_proto::{frame, msg};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

/// A wait for one connection is broken off after this time, so that the others are kept alive.
const WAIT: Duration = Duration::from_secs(2);

/// Message id of the question behind everything else that was sent.
const MARK: u32 = 0xFFFF_FFFE;

/// Message number and payload.
pub(crate) type Frame = (u32, Vec<u8>);

/// What a connection had to offer.
#[derive(Debug)]
pub(crate) enum Received {
    Frame(Frame),
    /// Nothing yet.
    Nothing,
    /// The master has closed.
    Closed,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    closed: bool,
    silent: bool,
    received: Vec<u8>,
    to_send: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(from: Ipv4Addr, master: SocketAddr) -> Result<Connection> {
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&fd, &SocketAddrV4::new(from, 0))?;
        connect(&fd, &master).context("cannot connect")?;
        let stream = TcpStream::from(fd);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(WAIT))?;
        Ok(Connection {
            stream,
            closed: false,
            silent: false,
            received: Vec::new(),
            to_send: Vec::new(),
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether it was waited for in vain.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent
    }

    /// Puts a frame behind what is to be sent.
    pub(crate) fn push(&mut self, message: u32, payload: &[u8]) {
        frame::write(&mut self.to_send, message, |out| {
            out.extend_from_slice(payload);
        });
    }

    /// Sends what is to be sent, and a question that every state of a connection allows.
    pub(crate) fn send_marked(&mut self) {
        self.push(msg::ANTOAN_GET_VERSION, &MARK.to_be_bytes());
        self.send();
    }

    /// Sends what is to be sent. That a master has closed shows itself at reading.
    pub(crate) fn send(&mut self) {
        let _ = self.stream.write_all(&self.to_send);
        self.to_send.clear();
    }

    /// Sends something that means nothing.
    pub(crate) fn keep_alive(&mut self) {
        self.push(msg::ANTOAN_NOP, &[0; 4]);
        self.send();
    }

    /// Gives up waiting for it.
    pub(crate) fn give_up(&mut self) {
        self.silent = true;
        self.closed = true;
    }

    /// Whether a frame is the answer to the question of [`Connection::send_marked`].
    pub(crate) fn is_mark((message, payload): &Frame) -> bool {
        *message == msg::ANTOAN_VERSION && payload.starts_with(&MARK.to_be_bytes())
    }

    /// The next frame.
    pub(crate) fn receive(&mut self) -> Result<Received> {
        if self.closed {
            return Ok(Received::Closed);
        }
        loop {
            if let Some(frame) = self.take() {
                return Ok(Received::Frame(frame));
            }
            let mut room = [0; 1 << 16];
            match self.stream.read(&mut room) {
                Ok(0) => break,
                Ok(n) => self.received.extend_from_slice(&room[..n]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::ConnectionReset => break,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Received::Nothing),
                Err(e) => return Err(e.into()),
            }
        }
        self.closed = true;
        Ok(Received::Closed)
    }

    fn take(&mut self) -> Option<Frame> {
        let (head, rest) = self.received.split_first_chunk::<8>()?;
        let [message, length] = [0, 4].map(|at| {
            let field = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            u32::from_be_bytes(field)
        });
        let payload = rest.get(..length as usize)?.to_vec();
        self.received.drain(..8 + payload.len());
        Some((message, payload))
    }
}
