//! What a run prints.

use crate::Options;
use crate::phase::Measured;
use anyhow::Result;

/// Prints the results as a table or as lines of JSON.
pub(crate) fn print(options: &Options, results: &[Measured]) -> Result<()> {
    if options.json {
        for r in results {
            println!("{}", serde_json::to_string(r)?);
        }
        return Ok(());
    }
    println!(
        "{} connections x {} in flight, {} idle mounts",
        options.conns, options.depth, options.idle
    );
    println!(
        "{:<8} {:>9} {:>11} {:>9} {:>9} {:>9} {:>9} {:>8}",
        "phase", "ops", "ops/s", "cpu us/op", "p50 us", "p99 us", "max us", "refused"
    );
    for r in results {
        let cpu = r
            .server_cpu_us
            .map_or("-".to_string(), |us| format!("{us:.2}"));
        let phase = format!("{:?}", r.phase).to_lowercase();
        println!(
            "{phase:<8} {:>9} {:>11.0} {cpu:>9} {:>9.0} {:>9.0} {:>9.0} {:>8}",
            r.ops, r.rate, r.p50_us, r.p99_us, r.max_us, r.refused
        );
    }
    Ok(())
}
