//! NOPs and time-outs (spec 04 §2.5).

use std::time::{Duration, Instant};

use mfs_proto::client::register::Register;
use mfs_proto::msg;

use crate::server::{Got, TestServer, reconnect};

const NOP: [u8; 12] = [0; 12];

#[test]
fn idle_connections_get_a_nop_each_second_and_silent_ones_end() {
    let server = TestServer::start();
    let (mut mount, _) = server.mount();
    let mut guest = server.client();
    let started = Instant::now();
    let mut nops = 0;
    while mount.next() == Got::Frame(msg::ANTOAN_NOP, vec![0; 4]) {
        nops += 1;
    }
    // Nothing was sent by us for ten seconds.
    let took = started.elapsed();
    assert!((9..=11).contains(&nops), "{nops} NOPs");
    // Ticks of a machine that has other work are longer.
    assert!(
        took > Duration::from_secs(10) && took < Duration::from_secs(40),
        "{took:?}"
    );
    // The one that never registered fared the same.
    let mut nops = 0;
    while guest.next() == Got::Frame(msg::ANTOAN_NOP, vec![0; 4]) {
        nops += 1;
    }
    assert!((9..=11).contains(&nops), "{nops} NOPs");
    server.wait_for_line("SESDISCONNECTED(1)");
}

#[test]
fn tools_get_no_nops_and_a_nop_keeps_a_connection() {
    let server = TestServer::start();
    let (mut mount, id) = server.mount();
    let mut tools = server.client();
    tools.register(Register::Tools(reconnect(id)));
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(12) {
        // Its NOPs set the pace.
        assert_eq!(mount.next(), Got::Frame(msg::ANTOAN_NOP, vec![0; 4]));
        mount.send_bytes(&NOP[..8]);
        tools.send_bytes(&NOP[..8]);
    }
    // The tools' next frame is the end, when it has been silent for long enough.
    assert_eq!(tools.next(), Got::Closed);
}
