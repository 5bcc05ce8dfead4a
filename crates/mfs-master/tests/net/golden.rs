//! What the real master answered to every malformed or refused registration, we answer too.

use std::collections::HashMap;

use serde_json::Value;

use crate::server::{Client, EXPORTS, Got, TestServer};

/// Bytes of the session number in the answer of a granted data session: numbers of other runs differ.
const SESSION_ID: std::ops::Range<usize> = 4..8;
const GRANTED: usize = 49;

#[test]
fn registrations_are_answered_as_recorded() {
    let exports = EXPORTS.replace("127.0.0.1", "*");
    let server = TestServer::with_exports(&exports);
    let mut clients: HashMap<i64, Client> = HashMap::new();
    let mut answers = 0;
    for row in include_str!("data/register-errors.jsonl").lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        let conn = row["conn"].as_i64().unwrap();
        let payload = bytes(row["hex"].as_str().unwrap());
        let kind = row["type"].as_i64().unwrap();
        let client = clients.entry(conn).or_insert_with(|| server.client());
        if row["dir"] == "c2m" {
            let mut frame = Vec::new();
            let message = u32::try_from(kind).unwrap();
            mfs_proto::frame::write(&mut frame, message, |out| out.extend_from_slice(&payload));
            client.send_bytes(&frame);
            continue;
        }
        answers += 1;
        let expected = match u32::try_from(kind) {
            Ok(message) => Got::Frame(message, masked(payload)),
            Err(_) => Got::Closed,
        };
        let got = match client.answer() {
            Got::Frame(message, payload) => Got::Frame(message, masked(payload)),
            Got::Closed => Got::Closed,
        };
        assert_eq!(got, expected, "connection {conn}, answer {answers}");
    }
    assert_eq!(answers, 28);
}

fn masked(mut payload: Vec<u8>) -> Vec<u8> {
    if payload.len() == GRANTED {
        payload[SESSION_ID].fill(0);
    }
    payload
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}
