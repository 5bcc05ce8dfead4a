//! `mfsmaster.cfg` and `mfsmetalogger.cfg` (spec 01 §13): values, defaults and limits.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic like the tests"
)]

use std::collections::BTreeSet;
use std::path::Path;

use mfs_config::{
    AccessTimeMode, ChangelogSaveMode, DefaultValue, Loaded, MasterConfig, MetaloggerConfig,
    ReplicationLimits, ReplicationTopology, ReserveSpace, UniqueMode,
};

const FILE: &str = "/etc/mfs/mfsmaster.cfg";

fn load(text: &str) -> (MasterConfig, Vec<String>) {
    shown(MasterConfig::parse(text.as_bytes(), Path::new(FILE)).unwrap())
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
fn defaults_of_the_master() {
    let (config, warnings) = load("");
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(
        (config.working_user.as_str(), config.working_group.as_str()),
        ("mfs", "mfs")
    );
    assert_eq!(config.syslog_ident, "mfsmaster");
    assert_eq!(
        (config.lock_memory, config.disable_oom_killer),
        (false, true)
    );
    assert_eq!(
        (
            config.limit_glibc_malloc_arenas,
            config.nice_level,
            config.file_umask
        ),
        (4, -19, 0o27)
    );
    assert_eq!(config.data_path, Path::new("/var/lib/mfs"));
    assert_eq!(
        config.exports_filename,
        Path::new("/etc/mfs/mfsexports.cfg")
    );
    assert_eq!(
        config.topology_filename,
        Path::new("/etc/mfs/mfstopology.cfg")
    );
    assert_eq!(
        (
            config.back_logs,
            config.metadata_save_freq,
            config.back_meta_keep_previous
        ),
        (50, 1, 1)
    );
    assert_eq!(config.changelog_preserve_seconds, 1800);
    assert_eq!(config.changelog_save_mode, ChangelogSaveMode::Background);
    assert_eq!(config.missing_log_capacity, 100_000);
    for host in [
        &config.matoml_listen_host,
        &config.matocs_listen_host,
        &config.matocl_listen_host,
    ] {
        assert_eq!(host, "*");
    }
    assert_eq!(
        (
            config.matoml_listen_port.as_str(),
            config.matocs_listen_port.as_str()
        ),
        ("9419", "9420")
    );
    assert_eq!(
        (config.matocl_listen_port.as_str(), config.matocs_timeout),
        ("9421", 10)
    );
    assert_eq!((config.auth_code.as_deref(), config.remap()), (None, None));
    assert_eq!(config.replications_delay_init, 60);
    assert_eq!(
        config.replications_respect_topology,
        ReplicationTopology::Ignore
    );
    assert_eq!(
        (config.creations_respect_topology, config.chunks_unique_mode),
        (0, UniqueMode::Server)
    );
    assert_eq!(
        (config.chunks_loop_max_cps, config.chunks_loop_min_time),
        (100_000, 300)
    );
    assert_eq!(
        (config.chunks_soft_del_limit, config.chunks_hard_del_limit),
        (10, 30)
    );
    assert_eq!(config.chunks_write_rep_limit, limits([2.0, 1.0, 1.0, 4.0]));
    assert_eq!(config.chunks_read_rep_limit, limits([10.0, 5.0, 2.0, 5.0]));
    assert_eq!(
        (
            config.cs_heavy_load_threshold,
            config.cs_heavy_load_grace_period
        ),
        (150, 900)
    );
    assert_eq!(config.cs_heavy_load_ratio_threshold, 3.0);
    assert_eq!(
        (
            config.acceptable_percentage_difference,
            config.priority_queues_length
        ),
        (1.0, 1_000_000)
    );
    assert_eq!(
        (
            config.cs_maintenance_mode_timeout,
            config.cs_temp_maintenance_mode_timeout
        ),
        (0, 1800)
    );
    assert_eq!(
        (config.cs_days_to_remove_unused, config.session_sustain_time),
        (7, 86_400)
    );
    assert_eq!(
        (config.quota_default_grace_period, config.atime_mode),
        (604_800, AccessTimeMode::Relative)
    );
    assert_eq!(config.reserve_space, ReserveSpace::Bytes(0));
    assert_eq!(
        (config.max_allowed_hard_links, config.inode_reuse_delay),
        (32_767, 86_400)
    );
}

#[test]
fn defaults_of_the_metalogger() {
    let loaded = MetaloggerConfig::parse(b"", Path::new("ml.cfg")).unwrap();
    let config = loaded.value;
    assert_eq!(loaded.warnings, []);
    assert_eq!(
        (config.syslog_ident.as_str(), config.data_path.as_path()),
        ("mfsmetalogger", Path::new("/var/lib/mfs"))
    );
    assert_eq!(
        (
            config.back_logs,
            config.back_meta_keep_previous,
            config.meta_download_freq
        ),
        (50, 3, 24)
    );
    assert_eq!(
        (config.master_host.as_str(), config.master_port.as_str()),
        ("mfsmaster", "9419")
    );
    assert_eq!(
        (
            config.bind_host.as_str(),
            config.master_reconnection_delay,
            config.master_timeout
        ),
        ("*", 5, 10)
    );
}

#[test]
fn ranges_of_the_metalogger() {
    let parse =
        |text: &str| shown(MetaloggerConfig::parse(text.as_bytes(), Path::new("ml.cfg")).unwrap());
    let (config, warnings) =
        parse("BACK_LOGS = 1\nBACK_META_KEEP_PREVIOUS = 100\nMASTER_TIMEOUT = 3\nLOCK_FILE = /x\n");
    assert_eq!(
        (
            config.back_logs,
            config.back_meta_keep_previous,
            config.master_timeout
        ),
        (5, 99, 10)
    );
    assert_eq!(config.meta_download_freq, 2);
    assert_eq!(warnings.len(), 4);
    assert_eq!(
        warnings[3],
        "ml.cfg: META_DOWNLOAD_FREQ is higher than half of BACK_LOGS - using 2"
    );
    let (config, warnings) = parse(
        "BACK_LOGS = 20000\nMASTER_TIMEOUT = 70000\nMETA_DOWNLOAD_FREQ = 0\nBACK_META_KEEP_PREVIOUS = 0\n",
    );
    assert_eq!(
        (
            config.back_logs,
            config.master_timeout,
            config.meta_download_freq
        ),
        (10_000, 65_535, 0)
    );
    assert_eq!(config.back_meta_keep_previous, 0);
    assert_eq!(warnings.len(), 2);
}

/// What the real programs say with `-u` about a file without options, except that a umask is shown
/// in octal here and fractions without trailing zeros.
#[test]
fn defaults_that_are_named_are_those_of_the_real_programs() {
    fn check<'a>(recorded: &str, ours: impl Iterator<Item = (&'a str, &'a str)>, also: &[&str]) {
        let ours: BTreeSet<_> = ours
            .map(|(name, text)| format!("{name} = {text}"))
            .collect();
        let recorded: BTreeSet<_> = recorded
            .lines()
            .map(|line| match line {
                "FILE_UMASK = 23" => "FILE_UMASK = 027",
                "CS_HEAVY_LOAD_RATIO_THRESHOLD = 3.000000" => "CS_HEAVY_LOAD_RATIO_THRESHOLD = 3.0",
                "ACCEPTABLE_DIFFERENCE = 0.010000" => "ACCEPTABLE_PERCENTAGE_DIFFERENCE = 1.0",
                line => line,
            })
            .collect();
        let missing: Vec<_> = recorded
            .iter()
            .filter(|line| !ours.contains(**line))
            .collect();
        assert_eq!(missing, Vec::<&&str>::new());
        let more: Vec<_> = ours
            .iter()
            .map(String::as_str)
            .filter(|line| !recorded.contains(line))
            .collect();
        assert_eq!(more, also);
    }
    let file = "WORKING_USER = u\nWORKING_GROUP = g\nDATA_PATH = /d\nEXPORTS_FILENAME = /e\nTOPOLOGY_FILENAME = /t\n";
    let (config, _) = load(file);
    let recorded = include_str!("data/defaults-mfsmaster.txt");
    check(
        recorded,
        config.defaults_used(),
        &["LIMIT_GLIBC_MALLOC_ARENAS = 4"],
    );
    let file = b"WORKING_USER = u\nWORKING_GROUP = g\nDATA_PATH = /d\nMASTER_HOST = h\n";
    let config = MetaloggerConfig::parse(file, Path::new("f")).unwrap().value;
    let recorded = include_str!("data/defaults-mfsmetalogger.txt");
    check(
        recorded,
        config.defaults_used(),
        &["LIMIT_GLIBC_MALLOC_ARENAS = 4"],
    );
}

#[test]
fn a_defined_option_uses_no_default_and_neither_does_one_with_a_deprecated_name() {
    let (config, _) = load("BACK_LOGS = 50\nQUOTA_TIME_LIMIT = 5\n");
    let names: Vec<_> = config.defaults_used().map(|(name, _)| name).collect();
    assert!(!names.contains(&"BACK_LOGS") && !names.contains(&"QUOTA_DEFAULT_GRACE_PERIOD"));
    assert!(names.contains(&"METADATA_SAVE_FREQ") && !names.contains(&"AUTH_CODE"));
}

/// Every limit of spec 01 §13.2: a text, the value, and whether it draws a warning.
#[test]
fn limits_of_every_option() {
    macro_rules! limits {
        ($($name:literal $field:ident: $($text:literal => $value:expr),+;)+) => {$($(
            let (config, warnings) = load(&format!("{} = {}\n", $name, $text));
            assert_eq!(config.$field, $value, "{} = {}", $name, $text);
            let number = $text.parse::<i64>().ok();
            let taken = number.is_some_and(|number| i128::from(number) == config.$field as i128);
            assert_eq!(warnings.is_empty(), taken, "{} = {}: {warnings:?}", $name, $text);
            assert!(warnings.iter().all(|warning| warning.contains($name)), "{warnings:?}");
        )+)+};
    }
    limits! {
        "LOCK_MEMORY" lock_memory: "0" => false, "1" => true, "7" => true, "-1" => false;
        "DISABLE_OOM_KILLER" disable_oom_killer: "0" => false, "1" => true, "2" => false;
        "LIMIT_GLIBC_MALLOC_ARENAS" limit_glibc_malloc_arenas: "0" => 0, "256" => 255;
        "NICE_LEVEL" nice_level: "-20" => -20, "-21" => -20, "19" => 19, "20" => 19;
        "BACK_LOGS" back_logs: "2" => 2, "1000" => 1000, "1001" => 1000, "-1" => 0, "08 " => 0, "abc" => 50;
        "METADATA_SAVE_FREQ" metadata_save_freq: "0" => 1, "1" => 1, "25" => 25, "26" => 25, "4294967296" => 25;
        "BACK_META_KEEP_PREVIOUS" back_meta_keep_previous: "0" => 0, "99" => 99, "100" => 99;
        "CHANGELOG_PRESERVE_SECONDS" changelog_preserve_seconds: "0" => 0, "15000" => 15_000, "15001" => 15_000, "70000" => 15_000;
        "CHANGELOG_SAVE_MODE" changelog_save_mode: "0" => ChangelogSaveMode::Background, "1" => ChangelogSaveMode::Write, "2" => ChangelogSaveMode::Sync, "3" => ChangelogSaveMode::Background;
        "MISSING_LOG_CAPACITY" missing_log_capacity: "999" => 1000, "1000" => 1000, "1000000" => 1_000_000, "1000001" => 1_000_000;
        "MATOCS_TIMEOUT" matocs_timeout: "9" => 10, "10" => 10, "65535" => 65_535, "65536" => 65_535;
        "REPLICATIONS_DELAY_INIT" replications_delay_init: "0" => 0, "4294967295" => u32::MAX, "4294967296" => u32::MAX;
        "REPLICATIONS_RESPECT_TOPOLOGY" replications_respect_topology: "1" => ReplicationTopology::NearestSource, "2" => ReplicationTopology::SameRack, "9" => ReplicationTopology::SameRack;
        "CREATIONS_RESPECT_TOPOLOGY" creations_respect_topology: "7" => 7;
        "CHUNKS_UNIQUE_MODE" chunks_unique_mode: "1" => UniqueMode::Address, "2" => UniqueMode::Rack, "3" => UniqueMode::Server;
        "CHUNKS_LOOP_MAX_CPS" chunks_loop_max_cps: "9999" => 10_000, "10000" => 10_000, "10000000" => 10_000_000, "10000001" => 10_000_000;
        "CHUNKS_LOOP_MIN_TIME" chunks_loop_min_time: "59" => 60, "60" => 60, "7200" => 7200, "7201" => 7200;
        "CHUNKS_SOFT_DEL_LIMIT" chunks_soft_del_limit: "1" => 1, "4294967295" => u32::MAX;
        "CS_HEAVY_LOAD_THRESHOLD" cs_heavy_load_threshold: "0" => 0, "151" => 151;
        "CS_HEAVY_LOAD_GRACE_PERIOD" cs_heavy_load_grace_period: "0" => 0, "1" => 1;
        "PRIORITY_QUEUES_LENGTH" priority_queues_length: "9999" => 10_000, "10000" => 10_000;
        "CS_MAINTENANCE_MODE_TIMEOUT" cs_maintenance_mode_timeout: "0" => 0, "5" => 5;
        "CS_TEMP_MAINTENANCE_MODE_TIMEOUT" cs_temp_maintenance_mode_timeout: "0" => 0, "5" => 5;
        "CS_DAYS_TO_REMOVE_UNUSED" cs_days_to_remove_unused: "0" => 0, "365" => 365, "366" => 0;
        "SESSION_SUSTAIN_TIME" session_sustain_time: "59" => 60, "60" => 60, "604800" => 604_800, "604801" => 604_800;
        "QUOTA_DEFAULT_GRACE_PERIOD" quota_default_grace_period: "0" => 0, "9" => 9;
        "ATIME_MODE" atime_mode: "0" => AccessTimeMode::Always, "1" => AccessTimeMode::AlwaysFiles, "2" => AccessTimeMode::Relative, "3" => AccessTimeMode::RelativeFiles, "4" => AccessTimeMode::Never, "5" => AccessTimeMode::Always;
        "MAX_ALLOWED_HARD_LINKS" max_allowed_hard_links: "7" => 8, "8" => 8, "65000" => 65_000, "65001" => 65_000;
        "INODE_REUSE_DELAY" inode_reuse_delay: "299" => 300, "300" => 300, "3000000" => 3_000_000, "3000001" => 3_000_000;
    }
}

#[test]
fn fractions_and_composite_values() {
    let (config, warnings) = load(
        "FILE_UMASK = 0122\nACCEPTABLE_PERCENTAGE_DIFFERENCE = 50\nCS_HEAVY_LOAD_RATIO_THRESHOLD = -1\n\
         RESERVE_SPACE = 10 %\nCHUNKS_WRITE_REP_LIMIT = 3\nCHUNKS_READ_REP_LIMIT =\n",
    );
    assert_eq!(
        (config.file_umask, config.acceptable_percentage_difference),
        (0o22, 10.0)
    );
    assert_eq!(
        (config.cs_heavy_load_ratio_threshold, config.reserve_space),
        (0.0, ReserveSpace::Bytes(0))
    );
    assert_eq!(config.chunks_write_rep_limit, limits([3.0; 4]));
    assert_eq!(config.chunks_read_rep_limit, limits([10.0, 5.0, 2.0, 5.0]));
    assert_eq!(warnings.len(), 6);
    for expected in [
        "/etc/mfs/mfsmaster.cfg:1: FILE_UMASK = '0122' is outside of bits 077 - using 18",
        "/etc/mfs/mfsmaster.cfg:2: ACCEPTABLE_PERCENTAGE_DIFFERENCE = '50' is outside of 0.1..10 - using 10.0",
        "/etc/mfs/mfsmaster.cfg:4: RESERVE_SPACE = '10 %' cannot be understood - using the default",
        "/etc/mfs/mfsmaster.cfg:6: CHUNKS_READ_REP_LIMIT = '' is empty - using the default",
    ] {
        assert!(
            warnings.iter().any(|warning| warning == expected),
            "{warnings:?}"
        );
    }
}

#[test]
fn an_image_every_half_of_the_changelogs_and_at_least_every_hour() {
    for (text, hours) in [
        ("BACK_LOGS = 0\n", 1),
        ("BACK_LOGS = 1\n", 1),
        ("BACK_LOGS = 1\nMETADATA_SAVE_FREQ = 0\n", 1),
        ("BACK_LOGS = 10\nMETADATA_SAVE_FREQ = 5\n", 5),
        ("METADATA_SAVE_FREQ = 6\nBACK_LOGS = 10\n", 5),
    ] {
        assert_eq!(load(text).0.metadata_save_freq, hours, "{text}");
    }
    let (_, warnings) = load("METADATA_SAVE_FREQ = 6\nBACK_LOGS = 10\n");
    assert_eq!(
        warnings,
        ["/etc/mfs/mfsmaster.cfg:1: METADATA_SAVE_FREQ is higher than half of BACK_LOGS - using 5"]
    );
}

#[test]
fn limits_of_deletion() {
    let both = |text: &str| {
        let (config, warnings) = load(text);
        (
            config.chunks_soft_del_limit,
            config.chunks_hard_del_limit,
            warnings.len(),
        )
    };
    assert_eq!(both("CHUNKS_SOFT_DEL_LIMIT = 100\n"), (100, 300, 0));
    assert_eq!(both("CHUNKS_HARD_DEL_LIMIT = 25\n"), (10, 25, 0));
    assert_eq!(
        both("CHUNKS_SOFT_DEL_LIMIT = 100\nCHUNKS_HARD_DEL_LIMIT = 50\n"),
        (50, 50, 1)
    );
}

#[test]
fn deprecated_names() {
    let (config, warnings) = load("MATOCU_LISTEN_HOST = h\nMATOCU_LISTEN_PORT = 1\n");
    assert_eq!(
        (
            config.matocl_listen_host.as_str(),
            config.matocl_listen_port.as_str()
        ),
        ("h", "1")
    );
    assert_eq!(
        warnings[0],
        "/etc/mfs/mfsmaster.cfg:1: option 'MATOCU_LISTEN_HOST' is deprecated - use MATOCL_LISTEN_HOST"
    );
    let (config, _) = load("MATOCU_LISTEN_HOST = h\nMATOCL_LISTEN_PORT = 1\n");
    assert_eq!(
        (
            config.matocl_listen_host.as_str(),
            config.matocl_listen_port.as_str()
        ),
        ("*", "1")
    );

    let (config, _) =
        load("CHUNKS_LOOP_TIME = 100\nCHUNKS_LOOP_MIN_TIME = 200\nCHUNKS_LOOP_MAX_CPS = 20000\n");
    assert_eq!(
        (config.chunks_loop_min_time, config.chunks_loop_max_cps),
        (100, u32::MAX)
    );
    assert_eq!(load("CHUNKS_LOOP_TIME = 5\n").0.chunks_loop_min_time, 60);

    assert_eq!(
        load("ACCEPTABLE_DIFFERENCE = 0.05\n")
            .0
            .acceptable_percentage_difference,
        5.0
    );
    assert_eq!(
        load("ACCEPTABLE_DIFFERENCE = 0.5\n")
            .0
            .acceptable_percentage_difference,
        10.0
    );
    let (config, _) = load("ACCEPTABLE_DIFFERENCE = 0.05\nACCEPTABLE_PERCENTAGE_DIFFERENCE = 2\n");
    assert_eq!(config.acceptable_percentage_difference, 2.0);

    assert_eq!(
        load("QUOTA_TIME_LIMIT = 5\n").0.quota_default_grace_period,
        5
    );
    assert_eq!(
        load("QUOTA_TIME_LIMIT = 5\nQUOTA_DEFAULT_GRACE_PERIOD = 6\n")
            .0
            .quota_default_grace_period,
        6
    );
}

#[test]
fn every_option_is_described_once() {
    for options in [MasterConfig::OPTIONS, MetaloggerConfig::OPTIONS] {
        let names: BTreeSet<_> = options.iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), options.len());
        assert!(
            options
                .iter()
                .all(|spec| !spec.help.trim().is_empty() && spec.default != DefaultValue::Text(""))
        );
    }
    // The options that the program files of 3.0.117 name, but for the deprecated ones, and
    // LIMIT_GLIBC_MALLOC_ARENAS, which only the manual pages know.
    let known = "ACCEPTABLE_PERCENTAGE_DIFFERENCE ATIME_MODE AUTH_CODE BACK_LOGS BACK_META_KEEP_PREVIOUS \
        CHANGELOG_PRESERVE_SECONDS CHANGELOG_SAVE_MODE CHUNKS_HARD_DEL_LIMIT CHUNKS_LOOP_MAX_CPS \
        CHUNKS_LOOP_MIN_TIME CHUNKS_READ_REP_LIMIT CHUNKS_SOFT_DEL_LIMIT CHUNKS_UNIQUE_MODE \
        CHUNKS_WRITE_REP_LIMIT CREATIONS_RESPECT_TOPOLOGY CS_DAYS_TO_REMOVE_UNUSED CS_HEAVY_LOAD_GRACE_PERIOD \
        CS_HEAVY_LOAD_RATIO_THRESHOLD CS_HEAVY_LOAD_THRESHOLD CS_MAINTENANCE_MODE_TIMEOUT \
        CS_TEMP_MAINTENANCE_MODE_TIMEOUT DATA_PATH DISABLE_OOM_KILLER EXPORTS_FILENAME FILE_UMASK \
        INODE_REUSE_DELAY LOCK_MEMORY MATOCL_LISTEN_HOST MATOCL_LISTEN_PORT MATOCS_LISTEN_HOST \
        MATOCS_LISTEN_PORT MATOCS_TIMEOUT MATOML_LISTEN_HOST MATOML_LISTEN_PORT MAX_ALLOWED_HARD_LINKS \
        METADATA_SAVE_FREQ MISSING_LOG_CAPACITY NICE_LEVEL PRIORITY_QUEUES_LENGTH QUOTA_DEFAULT_GRACE_PERIOD \
        REMAP_BITS REMAP_DESTINATION_IP_CLASS REMAP_SOURCE_IP_CLASS REPLICATIONS_DELAY_INIT \
        REPLICATIONS_RESPECT_TOPOLOGY RESERVE_SPACE SESSION_SUSTAIN_TIME SYSLOG_IDENT TOPOLOGY_FILENAME \
        WORKING_GROUP WORKING_USER LIMIT_GLIBC_MALLOC_ARENAS";
    let names: BTreeSet<_> = MasterConfig::OPTIONS.iter().map(|spec| spec.name).collect();
    assert_eq!(names, known.split_whitespace().collect());
    let secret: Vec<_> = MasterConfig::OPTIONS
        .iter()
        .filter(|spec| spec.secret)
        .map(|spec| spec.name)
        .collect();
    assert_eq!(secret, ["AUTH_CODE"]);
}

/// Spelled out defaults are the defaults: each option given its own default draws no warning.
#[test]
fn every_default_can_be_written_into_the_file() {
    let text: String = MasterConfig::OPTIONS
        .iter()
        .filter_map(|spec| match spec.default {
            DefaultValue::Text(text) => Some(format!("{} = {text}\n", spec.name)),
            _ => None,
        })
        .collect();
    let (config, warnings) = load(&text);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(config.defaults_used().count(), 0);
    assert_eq!(
        format!("{:?}", load("").0.chunks_write_rep_limit),
        format!("{:?}", config.chunks_write_rep_limit)
    );
}

#[test]
fn secrets_are_not_told() {
    let text = b"AUTH_CODE = secret\nDATA_PATH = /srv\nWHATEVER = 1\n";
    let config = MasterConfig::parse(text, Path::new("mfsmaster.cfg"))
        .unwrap()
        .value;
    assert_eq!(config.told(b"DATA_PATH"), "/srv");
    assert_eq!(config.told(b"WHATEVER"), "1");
    assert_eq!(config.told(b"AUTH_CODE"), "");
    assert_eq!(config.told(b"BACK_LOGS"), "", "not in the file");
    assert_eq!(config.told(b"\xff"), "");
}
