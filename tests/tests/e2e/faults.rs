//! Chunkservers that die, lie, lose their disks and come back, and masters that crash in the
//! middle: a few rounds of `mfschaos`, which looks at every byte after each. Long runs are made
//! by hand: `mfschaos --rounds 100`.

use antler_e2e::{Tool, ours};

fn chaos(rounds: u32, seed: u32, faults: &str) {
    let run = Tool::new(ours("mfschaos"))
        .args(["--rounds", &rounds.to_string(), "--seed", &seed.to_string()])
        .args(["--faults", faults])
        .run();
    println!("{run}");
    run.expect(0);
}

/// Chunkservers crash, lose everything, get wrong bytes and return with old copies.
#[test]
fn of_chunkservers() {
    chaos(3, 1, "kill,old,wipe,freeze");
}

/// The master crashes and is restored in the middle of writes, while chunkservers fail.
#[test]
fn of_the_master() {
    chaos(3, 2, "master-kill,master-stop,wipe,damage");
}
