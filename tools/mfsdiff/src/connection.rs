//! A connection of a client to one master.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use mfs_proto::{frame, msg};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

/// How long a master may take for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Message id of the question behind everything else that was sent.
const MARK: u32 = 0xFFFF_FFFE;

/// Message number and payload.
pub(crate) type Frame = (u32, Vec<u8>);

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
        stream.set_read_timeout(Some(PATIENCE))?;
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

    /// Everything up to the answer to the mark, or to the end of the connection.
    pub(crate) fn receive_marked(&mut self) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        while let Some(frame) = self.receive()? {
            match frame.0 {
                msg::ANTOAN_NOP => {}
                msg::ANTOAN_VERSION if frame.1.starts_with(&MARK.to_be_bytes()) => break,
                _ => frames.push(frame),
            }
        }
        Ok(frames)
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) fn receive(&mut self) -> Result<Option<Frame>> {
        if self.closed {
            return Ok(None);
        }
        loop {
            if let Some(frame) = self.take() {
                return Ok(Some(frame));
            }
            let mut room = [0; 1 << 16];
            match self.stream.read(&mut room) {
                Ok(0) => break,
                Ok(n) => self.received.extend_from_slice(&room[..n]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::ConnectionReset => break,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.silent = true;
                    break;
                }
                Err(e) => return Err(e.into()),
            }
        }
        self.closed = true;
        Ok(None)
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
