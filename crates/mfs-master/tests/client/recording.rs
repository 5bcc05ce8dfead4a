//! The rows of a recording.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::Value;

/// Seconds that a recording or its replay may take.
const LONGEST: u32 = 600;

/// Message number that stands for the end of a connection.
pub(crate) const CLOSED: u32 = u32::MAX;

/// Message number and payload.
pub(crate) type Frame = (u32, Vec<u8>);

/// Frames by client.
pub(crate) type Frames = BTreeMap<u8, Vec<Frame>>;

pub(crate) struct Step {
    pub(crate) from: u8,
    pub(crate) frame: Frame,
    pub(crate) got: Frames,
    /// Where we do not follow the original: why, and what we answer if that can be told.
    pub(crate) deviation: Option<(String, Option<Frames>)>,
}

pub(crate) struct Recording {
    pub(crate) times: Times,
    /// Export rules without their addresses.
    pub(crate) exports: BTreeMap<u8, String>,
    /// Payloads of registrations.
    pub(crate) register: BTreeMap<u8, Vec<u8>>,
    pub(crate) steps: Vec<Step>,
    pub(crate) lines: Vec<String>,
}

impl Recording {
    pub(crate) fn parse(text: &str) -> Recording {
        let mut rows = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let head = rows.next().unwrap();
        let start = u32::try_from(head["time"].as_u64().unwrap()).unwrap();
        let mut recording = Recording {
            times: Times::since(start),
            exports: by_client(&head["exports"], |rule| rule.as_str().unwrap().to_owned()),
            register: by_client(&head["register"], bytes),
            steps: Vec::new(),
            lines: Vec::new(),
        };
        for row in rows {
            match row["line"].as_str() {
                // A line that only the original writes.
                Some(_) if row["unwritten"] == true => {}
                Some(line) => recording.lines.push(line.to_owned()),
                None => recording.steps.push(step(&row)),
            }
        }
        recording
    }
}

fn step(row: &Value) -> Step {
    Step {
        from: u8::try_from(row["from"].as_u64().unwrap()).unwrap(),
        frame: (number(&row["type"]), bytes(&row["hex"])),
        got: frames(&row["got"]),
        deviation: row["why"].as_str().map(|why| {
            let ours = row.get("ours").filter(|ours| ours.is_object());
            (why.to_owned(), ours.map(frames))
        }),
    }
}

fn frames(value: &Value) -> Frames {
    by_client(value, |list| {
        let list = list.as_array().unwrap().iter();
        list.map(|f| (number(&f[0]), bytes(&f[1]))).collect()
    })
}

fn by_client<T>(value: &Value, item: impl Fn(&Value) -> T) -> BTreeMap<u8, T> {
    let map = value.as_object().unwrap().iter();
    map.map(|(client, v)| (client.parse().unwrap(), item(v)))
        .collect()
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    let hex = value.as_str().unwrap();
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// Times that mean "about when this ran".
pub(crate) struct Times(Vec<RangeInclusive<u32>>);

impl Times {
    pub(crate) fn since(start: u32) -> Times {
        Times(vec![start - 10..=start + LONGEST])
    }

    /// Also this very time.
    pub(crate) fn and(mut self, time: u32) -> Times {
        self.0.push(time..=time);
        self
    }

    fn contain(&self, time: u32) -> bool {
        self.0.iter().any(|range| range.contains(&time))
    }

    /// Zeros instead of such times, wherever they are.
    pub(crate) fn mask_frame(&self, payload: &mut [u8]) {
        let mut at = 0;
        while at + 4 <= payload.len() {
            let field = &mut payload[at..at + 4];
            if self.contain(u32::from_be_bytes(field.try_into().unwrap())) {
                field.fill(0);
                at += 4;
            } else {
                at += 1;
            }
        }
    }

    /// A `T` instead of such times.
    pub(crate) fn mask_line(&self, line: &str) -> String {
        let mut masked = String::new();
        for part in line.split_inclusive(|c: char| !c.is_ascii_digit()) {
            let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
            match digits.parse() {
                Ok(time) if self.contain(time) => {
                    masked.push('T');
                    masked.push_str(&part[digits.len()..]);
                }
                _ => masked.push_str(part),
            }
        }
        masked
    }
}
