//! `mfsmaster.cfg` and `mfsmetalogger.cfg`: read for a start, then again as a reload. A byte 0xFF separates the two
//! texts; without one the reload finds the same file.

#![no_main]

use std::net::Ipv4Addr;
use std::path::Path;

use mfs_config::{MasterConfig, MetaloggerConfig};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut texts = data.splitn(2, |&b| b == 0xff);
    let first = texts.next().unwrap_or_default();
    let second = texts.next().unwrap_or(first);
    if let Ok(master) = MasterConfig::parse(first, Path::new("/etc/mfs/mfsmaster.cfg")) {
        let again = master
            .value
            .reparse(second)
            .expect("a reload has a value for everything");
        for warning in master.warnings.iter().chain(&again.warnings) {
            let _ = warning.to_string();
        }
        for config in [&master.value, &again.value] {
            assert!((-20..=19).contains(&config.nice_level));
            assert!(config.file_umask & !0o77 == 0);
            assert!(config.back_logs <= 1000);
            assert!(config.metadata_save_freq >= 1);
            if let Some(remap) = config.remap() {
                let _ = remap.apply(Ipv4Addr::new(10, 1, 2, 3));
            }
        }
        // These options need a restart.
        let fixed = |c: &MasterConfig| {
            (
                c.working_user.clone(),
                c.data_path.clone(),
                c.nice_level,
                c.file_umask,
                c.lock_memory,
            )
        };
        assert_eq!(fixed(&master.value), fixed(&again.value));
    }
    if let Ok(logger) = MetaloggerConfig::parse(first, Path::new("/etc/mfs/mfsmetalogger.cfg")) {
        let again = logger
            .value
            .reparse(second)
            .expect("a reload has a value for everything");
        for warning in logger.warnings.iter().chain(&again.warnings) {
            let _ = warning.to_string();
        }
    }
});
