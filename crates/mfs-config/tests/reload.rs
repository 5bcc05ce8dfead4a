//! `mfsmaster.cfg` (spec 01 §13): finding, reading and reloading the file, and what is wrong with it.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic like the tests"
)]

use std::net::Ipv4Addr;
use std::path::Path;

use mfs_config::{
    ConfigDirectory, ConfigError, FileError, Loaded, MasterConfig, Reload, ReplicationLimits,
    ReserveSpace,
};
use proptest::prelude::*;

const FILE: &str = "/etc/mfs/mfsmaster.cfg";

fn load(text: &str) -> (MasterConfig, Vec<String>) {
    shown(MasterConfig::parse(text.as_bytes(), Path::new(FILE)).unwrap())
}

fn reload(running: &MasterConfig, text: &str) -> (MasterConfig, Vec<String>) {
    shown(running.reparse(text.as_bytes()).unwrap())
}

fn shown<T>(loaded: Loaded<T>) -> (T, Vec<String>) {
    (
        loaded.value,
        loaded.warnings.iter().map(ToString::to_string).collect(),
    )
}

fn limits(all: [f64; 4]) -> ReplicationLimits {
    let [endangered, undergoal, rebalance, extreme_rebalance] = all;
    ReplicationLimits {
        endangered,
        undergoal,
        rebalance,
        extreme_rebalance,
    }
}

#[test]
fn remapping_needs_three_good_options() {
    let text = "REMAP_BITS = 24\nREMAP_SOURCE_IP_CLASS = 192.168.1.0\nREMAP_DESTINATION_IP_CLASS = 10.0.0.0\n";
    let (config, warnings) = load(text);
    assert_eq!(warnings, Vec::<String>::new());
    let remap = config.remap().unwrap();
    assert_eq!(
        remap.apply(Ipv4Addr::new(192, 168, 1, 77)),
        Ipv4Addr::new(10, 0, 0, 77)
    );
    assert_eq!(
        remap.apply(Ipv4Addr::new(192, 168, 2, 77)),
        Ipv4Addr::new(192, 168, 2, 77)
    );
    for (from, to) in [
        ("= 24", "= 33"),
        ("= 24", "= 0"),
        ("= 24", "= 16"),
        ("192.168.1.0", "192.168.1.4"),
        ("10.0.0.0", "10.0.0.1"),
        ("10.0.0.0", "10.0.0"),
        ("10.0.0.0", "host.x"),
        ("REMAP_BITS", "# REMAP_BITS"),
        ("REMAP_SOURCE", "# REMAP_SOURCE"),
    ] {
        let bad = text.replace(from, to);
        let (fresh, warnings) = load(&bad);
        assert_eq!(fresh.remap(), None, "{bad}");
        assert!(!warnings.is_empty(), "{bad}");
        let (reloaded, warnings) = reload(&config, &bad);
        assert_eq!(reloaded.remap(), Some(remap), "{bad}");
        assert!(!warnings.is_empty(), "{bad}");
    }
    assert_eq!(reload(&config, "").0.remap(), None);
    let all =
        "REMAP_BITS = 32\nREMAP_SOURCE_IP_CLASS = 1.2.3.4\nREMAP_DESTINATION_IP_CLASS = 5.6.7.8\n";
    assert_eq!(
        load(all)
            .0
            .remap()
            .unwrap()
            .apply(Ipv4Addr::new(1, 2, 3, 4)),
        Ipv4Addr::new(5, 6, 7, 8)
    );
}

#[test]
fn values_that_forbid_a_start_leave_the_running_ones_at_a_reload() {
    let (running, _) = load("CHUNKS_SOFT_DEL_LIMIT = 20\nCHUNKS_WRITE_REP_LIMIT = 3,3,3,3\n");
    for (text, option) in [
        ("CHUNKS_SOFT_DEL_LIMIT = 0", "CHUNKS_SOFT_DEL_LIMIT"),
        (
            "\nCHUNKS_WRITE_REP_LIMIT = 3:2:1:5",
            "CHUNKS_WRITE_REP_LIMIT",
        ),
        ("CHUNKS_READ_REP_LIMIT = x", "CHUNKS_READ_REP_LIMIT"),
    ] {
        let error = MasterConfig::parse(text.as_bytes(), Path::new(FILE)).unwrap_err();
        let expected_line = if text.starts_with('\n') { 2 } else { 1 };
        assert!(
            matches!(&error, ConfigError::Unusable { option: found, line: Some(line), .. } if *found == option && *line == expected_line),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .starts_with(&format!("{FILE}:{expected_line}: {option} = '")),
            "{error}"
        );
        let kept =
            format!("CHUNKS_SOFT_DEL_LIMIT = 20\nCHUNKS_WRITE_REP_LIMIT = 3,3,3,3\n{text}\n");
        let (config, warnings) = reload(&running, &kept);
        assert_eq!(
            (config.chunks_soft_del_limit, config.chunks_hard_del_limit),
            (20, 60)
        );
        assert_eq!(config.chunks_write_rep_limit, limits([3.0; 4]));
        assert_eq!(config.chunks_read_rep_limit, limits([10.0, 5.0, 2.0, 5.0]));
        assert!(
            warnings
                .iter()
                .any(|warning| warning.ends_with("using the running value")),
            "{warnings:?}"
        );
    }
}

#[test]
fn a_reload_takes_over_live_options_and_names_the_others() {
    let (running, _) =
        load("DATA_PATH = /a\nBACK_LOGS = 20\nRESERVE_SPACE = 5%\nNICE_LEVEL = -19\n");
    let (config, warnings) = reload(
        &running,
        "DATA_PATH = /b\nBACK_LOGS = 30\nRESERVE_SPACE = oops\n",
    );
    assert_eq!(
        (config.data_path.as_path(), config.back_logs),
        (Path::new("/a"), 30)
    );
    assert_eq!(config.reserve_space, ReserveSpace::Percent(5.0));
    assert_eq!(
        warnings,
        [
            "/etc/mfs/mfsmaster.cfg:1: a change of DATA_PATH needs a restart",
            "/etc/mfs/mfsmaster.cfg:3: RESERVE_SPACE = 'oops' cannot be understood - using the running value",
        ]
    );
    assert_eq!(config.raw("DATA_PATH"), Some("/b"));
    let (config, warnings) = reload(&config, "DATA_PATH = /a\n");
    assert_eq!(
        (config.back_logs, config.reserve_space),
        (50, ReserveSpace::Bytes(0))
    );
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn the_reload_column_of_the_specification() {
    let restart: Vec<_> = MasterConfig::OPTIONS
        .iter()
        .filter(|spec| spec.reload == Reload::Restart)
        .map(|spec| spec.name)
        .collect();
    let expected = [
        "WORKING_USER",
        "WORKING_GROUP",
        "SYSLOG_IDENT",
        "LOCK_MEMORY",
        "LIMIT_GLIBC_MALLOC_ARENAS",
        "DISABLE_OOM_KILLER",
        "NICE_LEVEL",
        "FILE_UMASK",
        "DATA_PATH",
    ];
    assert_eq!(restart, expected);
}

#[test]
fn finding_the_file() {
    let root = tempfile::tempdir().unwrap();
    let directory = ConfigDirectory {
        current: root.path().join("mfs"),
        former: root.path().to_owned(),
    };
    std::fs::create_dir(&directory.current).unwrap();

    let loaded = MasterConfig::load(None, &directory).unwrap();
    assert_eq!(loaded.value.back_logs, 50);
    let file = directory.current.join("mfsmaster.cfg");
    assert_eq!(
        loaded.warnings[0].to_string(),
        format!("{}: file not found - using defaults", file.display())
    );

    let explicit = root.path().join("other.cfg");
    let error = MasterConfig::load(Some(&explicit), &directory).unwrap_err();
    assert!(
        matches!(error, ConfigError::File(FileError::NotFound(missing)) if missing == explicit)
    );

    std::fs::write(directory.former.join("mfsmaster.cfg"), "BACK_LOGS = 7\n").unwrap();
    let (former, warnings) = shown(MasterConfig::load(None, &directory).unwrap());
    assert_eq!(former.back_logs, 7);
    assert!(
        warnings[0].contains("please move this file to") && warnings.len() == 1,
        "{warnings:?}"
    );

    std::fs::write(&file, "BACK_LOGS = 8\n").unwrap();
    let (config, warnings) = shown(MasterConfig::load(None, &directory).unwrap());
    assert_eq!(
        (config.back_logs, config.file(), warnings.len()),
        (8, file.as_path(), 0)
    );

    std::fs::write(&file, "BACK_LOGS = 9\n").unwrap();
    let config = config.reload().unwrap().value;
    assert_eq!(config.back_logs, 9);
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(
        config.reload(),
        Err(ConfigError::File(FileError::NotFound(_)))
    ));
}

#[test]
fn finding_the_exports_and_topology_files() {
    let root = tempfile::tempdir().unwrap();
    let directory = ConfigDirectory {
        current: root.path().join("mfs"),
        former: root.path().to_owned(),
    };
    let (config, _) = load("EXPORTS_FILENAME = /x/exports\n");
    let exports = config.exports_file(&directory);
    assert!(exports.explicit && exports.file == Path::new("/x/exports"));
    let topology = config.topology_file(&directory);
    assert!(!topology.explicit && topology.file == directory.current.join("mfstopology.cfg"));
    std::fs::write(directory.former.join("mfstopology.cfg"), "").unwrap();
    let topology = config.topology_file(&directory);
    assert!(
        topology.warning.is_some() && topology.file == directory.former.join("mfstopology.cfg")
    );
}

#[test]
fn unknown_options_are_named_and_those_of_the_commercial_edition_are_not() {
    let (config, warnings) =
        load("MASTER_HOST = x\nLICENCE_FILENAME = y\nBACK_LOG = 7\nAUTH_CODE = geheim\n");
    assert_eq!(
        warnings,
        ["/etc/mfs/mfsmaster.cfg:3: unknown option 'BACK_LOG' (ignored)"]
    );
    assert_eq!(config.raw("BACK_LOG"), Some("7"));
    assert_eq!(config.raw("MASTER_HOST"), Some("x"));
    assert_eq!(
        (
            config.raw("BACK_LOGS"),
            config.raw(""),
            config.raw("back_log")
        ),
        (None, None, None)
    );
    assert_eq!(config.auth_code.as_deref(), Some("geheim"));
}

#[test]
fn bad_lines_do_not_repeat_what_may_be_a_password() {
    let (_, warnings) = load("AUTH_CODE = ge\theim\n");
    assert_eq!(
        warnings,
        ["/etc/mfs/mfsmaster.cfg:1: bad definition of 'AUTH_CODE' (line ignored)"]
    );
}

fn any_option() -> impl Strategy<Value = &'static str> {
    let aliases = [
        "CHUNKS_LOOP_TIME",
        "QUOTA_TIME_LIMIT",
        "ACCEPTABLE_DIFFERENCE",
        "MATOCU_LISTEN_HOST",
    ];
    let names: Vec<_> = MasterConfig::OPTIONS
        .iter()
        .map(|spec| spec.name)
        .chain(aliases)
        .collect();
    prop::sample::select(names)
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(text: Vec<u8>) {
        let loaded = MasterConfig::parse(&text, Path::new("f"));
        prop_assert!(loaded.is_ok());
    }

    /// Whatever the texts are: the rules that go over several options hold, and a reload always works.
    #[test]
    fn invariants_hold_for_every_text(
        lines in prop::collection::vec((any_option(), "[0-9]{1,7}|-?[0-9a-z.,%]{0,12}|[ -~]{0,8}"), 0..20),
        before in prop::collection::vec((any_option(), "[0-9]{1,7}"), 0..5),
    ) {
        let text = |lines: &[(&str, String)]| lines.iter().map(|(name, value)| format!("{name} = {value}\n")).collect::<String>();
        let (default, _) = load("");
        let (running, _) = reload(&default, &text(&before));
        let (config, _) = reload(&running, &text(&lines));
        prop_assert!(config.metadata_save_freq >= 1);
        prop_assert!(config.metadata_save_freq <= (config.back_logs / 2).max(1));
        prop_assert!(config.back_logs <= 1000);
        prop_assert!((1..=config.chunks_hard_del_limit).contains(&config.chunks_soft_del_limit));
        prop_assert!((60..=7200).contains(&config.chunks_loop_min_time));
        prop_assert!((0.1..=10.0).contains(&config.acceptable_percentage_difference));
        let remap = [config.remap_bits.is_some(), config.remap_source_ip_class.is_some(), config.remap_destination_ip_class.is_some()];
        prop_assert!(remap == [true; 3] || remap == [false; 3]);
        for (name, value) in &lines {
            if let Some(raw) = config.raw(name) {
                prop_assert!(lines.iter().any(|(other, text)| other == name && text.trim() == raw), "{name} {value}");
            }
        }
        // The same text again changes nothing.
        let (again, _) = reload(&config, &text(&lines));
        prop_assert_eq!(again.data_path, config.data_path);
        prop_assert_eq!(again.metadata_save_freq, config.metadata_save_freq);
    }
}
