//! How long parsing and applying a changelog takes, without files and threads:
//! `cargo run --release -p mfs-meta --example replay_speed [FILES [OUT]]`. With OUT the changelog is written
//! to that file instead, for timing whole programs (`scripts/bench-restore`).
//!
//! Each file is CREATE, WRITE, LENGTH, UNLOCK with an 18-byte name, 1000 files a directory.

use mfs_meta::Metadata;
use mfs_meta::op::{Tolerance, parse_line};
use std::fmt::Write as _;
use std::time::Instant;

fn log(files: u32) -> String {
    let mut text = String::new();
    let (mut n, mut inode, mut dir) = (1, 1, 1);
    for i in 0..files {
        if i % 1000 == 0 {
            inode += 1;
            dir = inode;
            let _ = writeln!(
                text,
                "{n}: 1600000000|CREATE(1,dir{i:010},2,493,0,0,0,0):{dir}"
            );
            n += 1;
        }
        inode += 1;
        let chunk = i + 1;
        let _ = writeln!(
            text,
            "{n}: 1600000001|CREATE({dir},file-{i:013},1,420,18,0,0,0):{inode}"
        );
        let _ = writeln!(text, "{}: 1600000001|WRITE({inode},0,1,0):{chunk}", n + 1);
        let _ = writeln!(text, "{}: 1600000001|LENGTH({inode},6,0)", n + 2);
        let _ = writeln!(text, "{}: 1600000001|UNLOCK({chunk})", n + 3);
        n += 4;
    }
    text
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm
        .split(' ')
        .nth(1)
        .and_then(|p| p.parse::<u64>().ok())
        .unwrap_or(0)
        * 4096
}

fn main() {
    let files = std::env::args()
        .nth(1)
        .and_then(|a| a.parse().ok())
        .unwrap_or(2_000_000);
    let text = log(files);
    if let Some(out) = std::env::args().nth(2) {
        if let Err(e) = std::fs::write(&out, text) {
            eprintln!("{out}: {e}");
            std::process::exit(1);
        }
        return;
    }
    let start = Instant::now();
    let parsed = text
        .as_bytes()
        .split(|&b| b == b'\n')
        .filter(|l| parse_line(l).is_ok())
        .count();
    println!("parse: {parsed} lines in {:?}", start.elapsed());
    let before = resident();
    let mut meta = Metadata::new(1, 0);
    let start = Instant::now();
    for line in text
        .as_bytes()
        .split(|&b| b == b'\n')
        .filter(|l| !l.is_empty())
    {
        let Ok(line) = parse_line(line) else { continue };
        match meta.apply(line.ts, &line.op) {
            Ok(o) if o.matches(line.recorded.as_ref(), Tolerance::Strict) => {}
            other => {
                println!("line {}: {other:?}", line.version);
                return;
            }
        }
    }
    println!("parse and apply: {:?}", start.elapsed());
    println!(
        "{:.1} bytes a file resident, {:.1} in tables",
        (resident() - before) as f64 / f64::from(files),
        meta.memory() as f64 / f64::from(files)
    );
    let start = Instant::now();
    let view = meta.view();
    println!(
        "snapshot: {:?} (version {})",
        start.elapsed(),
        view.version()
    );
}
