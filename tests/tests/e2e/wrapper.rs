//! `scripts/mfsmaster-start`, the wrapper of 2010 (spec 01 §18.4), and the sample files.

use std::path::{Path, PathBuf};

use antler_e2e::{Kind, Master, Mount, Net, Run, Tool, metarestore, real};

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the checkout")
        .to_owned()
}

fn wrapper(net: &Net, master: &Master) -> Run {
    Tool::inside(net, checkout().join("scripts/mfsmaster-start"))
        .env("MFSMASTER", master.kind.mfsmaster())
        .env("MFSMETARESTORE", metarestore())
        .arg("-c")
        .arg(master.config())
        .run()
}

#[test]
fn starts_a_clean_master() {
    let net = Net::new();
    let master = Master::new(Kind::Ours, &net);
    wrapper(&net, &master).expect(0);
    assert!(master.pid().is_some());
    // Its exit code is that of `mfsmaster start`.
    wrapper(&net, &master).expect(1);
}

#[test]
fn recovers_a_crashed_master() {
    let net = Net::new();
    let master = Master::new(Kind::Ours, &net);
    master.start();
    {
        let mount = Mount::new(&net);
        std::fs::create_dir(mount.join("d")).expect("mkdir");
    }
    master.kill9();
    wrapper(&net, &master).expect(0);
    let mount = Mount::new(&net);
    assert!(mount.join("d").is_dir());
}

/// A recovery that fails leaves everything as it was, and no master runs.
#[test]
fn does_not_start_on_less() {
    let net = Net::new();
    let master = Master::empty(Kind::Ours, &net);
    master
        .data
        .put_fixture("lifecycle/v13.mfs", "metadata.mfs.back");
    master.data.put(
        "changelog.0.mfs",
        "15: 1795248003|CREATE(1,f3,2,511,18,0,0,0):12\n",
    );
    let before = master.data.snapshot();
    wrapper(&net, &master).expect(1);
    master.assert_ended();
    assert_eq!(before, master.data.snapshot());
}

/// The sample files are what they say: with every option of `mfsmaster.cfg` written out, at its
/// default, the master starts and finds nothing to complain about.
#[test]
fn sample_configuration() {
    let net = Net::new();
    let master = Master::new(Kind::Ours, &net);
    let sample = std::fs::read_to_string(checkout().join("config/mfsmaster.cfg")).expect("read");
    let elsewhere = [
        "WORKING_USER",
        "WORKING_GROUP",
        "DATA_PATH",
        "EXPORTS_",
        "TOPOLOGY_",
    ];
    // Old names of other options, and options that are not set by default.
    let unset = [
        "CHUNKS_LOOP_TIME",
        "ACCEPTABLE_DIFFERENCE",
        "QUOTA_TIME_LIMIT",
        "AUTH_CODE",
        "REMAP_",
    ];
    let mut text = std::fs::read_to_string(master.config()).expect("read");
    let mut options = 0;
    for line in sample.lines().filter_map(|line| line.strip_prefix("# ")) {
        let name = line
            .split(" = ")
            .next()
            .filter(|name| line.contains(" = ") && !name.contains(' ') && *name != "NAME");
        let Some(name) = name else { continue };
        options += 1;
        if !elsewhere
            .iter()
            .chain(&unset)
            .any(|start| name.starts_with(start))
        {
            text.push_str(line);
            text.push('\n');
        }
    }
    assert!(options > 50, "only {options} options in the sample");
    std::fs::write(master.config(), text).expect("write");
    master.set_exports(
        &std::fs::read_to_string(checkout().join("config/mfsexports.cfg")).expect("read"),
    );
    let run = master.run(&["start"]).expect(0);
    for word in ["unknown", "warning", "wrong", "deprecated", "too "] {
        assert!(!run.text().to_lowercase().contains(word), "{word}: {run}");
    }
    let mount = Mount::new(&net);
    std::fs::create_dir(mount.join("d")).expect("mkdir");
}

/// The units for systemd are sound as far as systemd can tell without running them.
#[test]
fn units_verify() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for name in ["antler-master.service", "antler-recover.service"] {
        let unit = std::fs::read_to_string(checkout().join("config").join(name)).expect("read");
        // The programs need not be installed on this machine, nor the user exist.
        let unit = unit
            .replace(
                "/usr/sbin/mfsmaster",
                &Kind::Ours.mfsmaster().to_string_lossy(),
            )
            .replace("/usr/sbin/mfsmetarestore", &metarestore().to_string_lossy());
        std::fs::write(dir.path().join(name), unit).expect("write");
    }
    let run = Tool::new(real("systemd-analyze"))
        .args(["verify", "--man=no"])
        .arg(dir.path().join("antler-master.service"))
        .arg(dir.path().join("antler-recover.service"))
        .run()
        .expect(0);
    assert_eq!(run.text().trim(), "", "systemd-analyze complains");
}
