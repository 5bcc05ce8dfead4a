//! The systemd units, driven in a booted Debian system by `scripts/test-units`.

use std::path::Path;

use antler_e2e::{Kind, Tool};

/// Start at boot, reload, stop, `kill -9`, restart and death of the machine, and a recovery that
/// must be refused.
#[test]
fn in_a_booted_system() {
    let programs = Kind::Ours.mfsmaster();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/test-units");
    let run = Tool::new(script)
        .arg("run")
        .arg(programs.parent().expect("the directory of the programs"))
        .run()
        .expect(0);
    assert!(run.stdout.ends_with("all unit tests passed\n"), "{run}");
}
