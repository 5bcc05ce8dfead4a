//! `mfsmaster.cfg` (spec 01 §13.2).

use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::file::{ConfigDirectory, Located};
use crate::settings::DefaultValue::{Derived, Text, Unset};
use crate::settings::{
    Alias, Conversion, Outside, Reader, ReplicationLimits, ReserveSpace, Rule, SettingWarning,
    coded_enum, option, settings,
};

/// Options of the commercial edition. They mean nothing here and draw no warning.
const COMMERCIAL: &[&str] = &[
    "LICENCE_FILENAME",
    "METADATA_DOWNLOAD_FREQ",
    "METADATA_DOWNLOAD_LIMIT",
    "MASTER_HOST",
    "MASTER_RECONNECTION_DELAY",
    "MASTER_TIMEOUT",
    "BIND_HOST",
];

/// Largest number that a 32-bit option can have.
const MAX_U32: i64 = u32::MAX as i64;

coded_enum! {
    /// How a change reaches the changelog (`CHANGELOG_SAVE_MODE`).
    pub enum ChangelogSaveMode {
        /// In the background.
        #[default]
        Background = 0,
        /// Written before the change is answered.
        Write = 1,
        /// Written and on the disk before the change is answered.
        Sync = 2,
    }
}

coded_enum! {
    /// When an access changes the access time (`ATIME_MODE`).
    pub enum AccessTimeMode {
        /// Always.
        Always = 0,
        /// Always, for files only.
        AlwaysFiles = 1,
        /// When it is below the modification or change time, or older than a day.
        #[default]
        Relative = 2,
        /// The same, for files only.
        RelativeFiles = 3,
        /// Never.
        Never = 4,
    }
}

coded_enum! {
    /// What two copies of a chunk should not have in common (`CHUNKS_UNIQUE_MODE`).
    pub enum UniqueMode {
        /// Nothing but the server.
        #[default]
        Server = 0,
        /// The address.
        Address = 1,
        /// The rack.
        Rack = 2,
    }
}

coded_enum! {
    /// What replications of undergoal chunks look at (`REPLICATIONS_RESPECT_TOPOLOGY`).
    pub enum ReplicationTopology {
        /// Not at the topology.
        #[default]
        Ignore = 0,
        /// The nearest source for a random destination.
        NearestSource = 1,
        /// A destination in the rack of a source as well.
        SameRack = 2,
    }
}

settings! {
    /// Settings of the master. Times are in seconds unless something else is said.
    pub struct MasterConfig from "mfsmaster.cfg", ignoring COMMERCIAL;

    /// User to run as; `#N` is a user id.
    working_user: String = option("WORKING_USER", Text("mfs")).restart();
    /// Group to run as; `#N` is a group id, empty the user's own group.
    working_group: String = option("WORKING_GROUP", Text("mfs")).restart();
    /// Name in the system log.
    syslog_ident: String = option("SYSLOG_IDENT", Text("mfsmaster")).restart();
    /// Lock the process into memory.
    lock_memory: bool = option("LOCK_MEMORY", Text("0")).clamped(0, 1).restart();
    /// Number of allocation arenas of the C library, 0 = leave it alone.
    limit_glibc_malloc_arenas: u32 = option("LIMIT_GLIBC_MALLOC_ARENAS", Text("4")).clamped(0, 255).restart();
    /// Exempt the process from the out-of-memory killer.
    disable_oom_killer: bool = option("DISABLE_OOM_KILLER", Text("1")).whole(0, 1, Outside::Becomes(0)).restart();
    /// Scheduling priority.
    nice_level: i32 = option("NICE_LEVEL", Text("-19")).clamped(-20, 19).restart();
    /// Mode bits of group and others that new files do not get.
    file_umask: u32 = option("FILE_UMASK", Text("027")).rule(Rule::Bits { mask: 0o77 }).restart();
    /// Directory of the metadata.
    data_path: PathBuf = option("DATA_PATH", Text("/var/lib/mfs")).restart();
    /// The exports file, see [`MasterConfig::exports_file`].
    exports_filename: PathBuf = option("EXPORTS_FILENAME", Text("/etc/mfs/mfsexports.cfg"));
    /// The topology file, see [`MasterConfig::topology_file`].
    topology_filename: PathBuf = option("TOPOLOGY_FILENAME", Text("/etc/mfs/mfstopology.cfg"));

    /// Number of rotated changelogs to keep.
    back_logs: u32 = option("BACK_LOGS", Text("50")).clamped(0, 1000);
    /// Hours between images, 1 up to half of `back_logs` but never less than 1.
    metadata_save_freq: u32 = option("METADATA_SAVE_FREQ", Text("1")).clamped(1, MAX_U32);
    /// Number of previous images to keep.
    back_meta_keep_previous: u32 = option("BACK_META_KEEP_PREVIOUS", Text("1")).clamped(0, 99);
    /// For how long changes stay in memory for followers.
    changelog_preserve_seconds: u32 = option("CHANGELOG_PRESERVE_SECONDS", Text("1800")).clamped(0, 15_000);
    /// How a change reaches the changelog.
    changelog_save_mode: ChangelogSaveMode =
        option("CHANGELOG_SAVE_MODE", Text("0")).whole(0, 2, Outside::Becomes(0));
    /// Number of missing chunks to remember for the monitoring.
    missing_log_capacity: u32 = option("MISSING_LOG_CAPACITY", Text("100000")).clamped(1000, 1_000_000);

    /// Address to listen on for metaloggers, `*` = any.
    matoml_listen_host: String = option("MATOML_LISTEN_HOST", Text("*"));
    /// Port or service to listen on for metaloggers.
    matoml_listen_port: String = option("MATOML_LISTEN_PORT", Text("9419"));
    /// Address to listen on for chunkservers, `*` = any.
    matocs_listen_host: String = option("MATOCS_LISTEN_HOST", Text("*"));
    /// Port or service to listen on for chunkservers.
    matocs_listen_port: String = option("MATOCS_LISTEN_PORT", Text("9420"));
    /// Address to listen on for mounts and tools, `*` = any.
    matocl_listen_host: String =
        option("MATOCL_LISTEN_HOST", Text("*")).aliases(&[former_client_option("MATOCU_LISTEN_HOST")]);
    /// Port or service to listen on for mounts and tools.
    matocl_listen_port: String =
        option("MATOCL_LISTEN_PORT", Text("9421")).aliases(&[former_client_option("MATOCU_LISTEN_PORT")]);

    /// Silence after which a chunkserver counts as gone.
    matocs_timeout: u32 = option("MATOCS_TIMEOUT", Text("10")).clamped(10, 65_535);
    /// Secret that chunkservers must know, if set.
    auth_code: Option<String> = option("AUTH_CODE", Unset).secret();
    /// Leading bits of an address that [`MasterConfig::remap`] replaces.
    remap_bits: Option<u32> = option("REMAP_BITS", Unset).whole(1, 32, Outside::Unusable);
    /// Network whose addresses are replaced.
    remap_source_ip_class: Option<Ipv4Addr> = option("REMAP_SOURCE_IP_CLASS", Unset);
    /// Network that they are replaced with.
    remap_destination_ip_class: Option<Ipv4Addr> = option("REMAP_DESTINATION_IP_CLASS", Unset);

    /// Time after the start without replications.
    replications_delay_init: u32 = option("REPLICATIONS_DELAY_INIT", Text("60")).clamped(0, MAX_U32);
    /// What replications of undergoal chunks look at.
    replications_respect_topology: ReplicationTopology =
        option("REPLICATIONS_RESPECT_TOPOLOGY", Text("0")).clamped(0, 2);
    /// Servers nearer to the client than this come first for new chunks; 0 = all alike.
    creations_respect_topology: u32 = option("CREATIONS_RESPECT_TOPOLOGY", Text("0")).clamped(0, MAX_U32);
    /// What two copies of a chunk should not have in common.
    chunks_unique_mode: UniqueMode = option("CHUNKS_UNIQUE_MODE", Text("0")).whole(0, 2, Outside::Becomes(0));
    /// Chunks per second that the chunk loop looks at, at most; `u32::MAX` when the deprecated
    /// CHUNKS_LOOP_TIME is given.
    chunks_loop_max_cps: u32 = option("CHUNKS_LOOP_MAX_CPS", Text("100000")).clamped(10_000, 10_000_000);
    /// Length of a chunk loop, at least.
    chunks_loop_min_time: u32 = option("CHUNKS_LOOP_MIN_TIME", Text("300"))
        .clamped(60, 7200)
        .aliases(&[Alias { name: "CHUNKS_LOOP_TIME", conversion: Conversion::Same, unless: &[] }]);
    /// Deletions on one chunkserver at a time, normally.
    chunks_soft_del_limit: u32 =
        option("CHUNKS_SOFT_DEL_LIMIT", Text("10")).whole(1, MAX_U32, Outside::Unusable).refuse();
    /// Deletions on one chunkserver at a time, at most; never below the soft limit.
    chunks_hard_del_limit: u32 =
        option("CHUNKS_HARD_DEL_LIMIT", Derived("three times CHUNKS_SOFT_DEL_LIMIT")).clamped(1, MAX_U32);
    /// Replications to one chunkserver at a time.
    chunks_write_rep_limit: ReplicationLimits = option("CHUNKS_WRITE_REP_LIMIT", Text("2,1,1,4")).refuse();
    /// Replications from one chunkserver at a time.
    chunks_read_rep_limit: ReplicationLimits = option("CHUNKS_READ_REP_LIMIT", Text("10,5,2,5")).refuse();
    /// Load above which a chunkserver may be overloaded.
    cs_heavy_load_threshold: u32 = option("CS_HEAVY_LOAD_THRESHOLD", Text("150")).clamped(0, MAX_U32);
    /// Multiple of the average load above which it is.
    cs_heavy_load_ratio_threshold: f64 =
        option("CS_HEAVY_LOAD_RATIO_THRESHOLD", Text("3.0")).rule(Rule::Float { min: 0.0, max: 1e9 });
    /// For how long an overloaded chunkserver is left alone.
    cs_heavy_load_grace_period: u32 = option("CS_HEAVY_LOAD_GRACE_PERIOD", Text("900")).clamped(0, MAX_U32);
    /// Difference of space usage between chunkservers that needs no balancing, percentage points.
    acceptable_percentage_difference: f64 = option("ACCEPTABLE_PERCENTAGE_DIFFERENCE", Text("1.0"))
        .rule(Rule::Float { min: 0.1, max: 10.0 })
        .aliases(&[Alias {
            name: "ACCEPTABLE_DIFFERENCE",
            conversion: Conversion::TimesHundred,
            unless: &["ACCEPTABLE_PERCENTAGE_DIFFERENCE"],
        }]);
    /// Length of each priority queue of chunks.
    priority_queues_length: u32 = option("PRIORITY_QUEUES_LENGTH", Text("1000000")).clamped(10_000, MAX_U32);
    /// End of a maintenance mode, 0 = never.
    cs_maintenance_mode_timeout: u32 = option("CS_MAINTENANCE_MODE_TIMEOUT", Text("0")).clamped(0, MAX_U32);
    /// End of the maintenance mode of a chunkserver that was stopped.
    cs_temp_maintenance_mode_timeout: u32 =
        option("CS_TEMP_MAINTENANCE_MODE_TIMEOUT", Text("1800")).clamped(0, MAX_U32);
    /// Days after which an absent chunkserver is forgotten, 0 = never.
    cs_days_to_remove_unused: u32 = option("CS_DAYS_TO_REMOVE_UNUSED", Text("7")).whole(0, 365, Outside::Becomes(0));

    /// For how long a session without connections stays.
    session_sustain_time: u32 = option("SESSION_SUSTAIN_TIME", Text("86400")).clamped(60, 604_800);
    /// Grace period of a soft quota that has none of its own.
    quota_default_grace_period: u32 = option("QUOTA_DEFAULT_GRACE_PERIOD", Text("604800"))
        .clamped(0, MAX_U32)
        .aliases(&[Alias {
            name: "QUOTA_TIME_LIMIT",
            conversion: Conversion::Same,
            unless: &["QUOTA_DEFAULT_GRACE_PERIOD"],
        }]);
    /// When an access changes the access time.
    atime_mode: AccessTimeMode = option("ATIME_MODE", Text("2")).whole(0, 4, Outside::Becomes(0));
    /// Space that is kept free for the superuser.
    reserve_space: ReserveSpace = option("RESERVE_SPACE", Text("0"));
    /// Links that one object may have.
    max_allowed_hard_links: u32 = option("MAX_ALLOWED_HARD_LINKS", Text("32767")).clamped(8, 65_000);
    /// For how long the number of a deleted object is not used again.
    inode_reuse_delay: u32 = option("INODE_REUSE_DELAY", Text("86400")).clamped(300, 3_000_000);
}

/// Counts only when no option of the present name is given.
const fn former_client_option(name: &'static str) -> Alias {
    Alias {
        name,
        conversion: Conversion::Same,
        unless: &["MATOCL_LISTEN_HOST", "MATOCL_LISTEN_PORT"],
    }
}

impl MasterConfig {
    /// What concerns more than one option.
    fn finish(&mut self, reader: &mut Reader<'_>, running: Option<&Self>) {
        let longest = (self.back_logs / 2).max(1);
        if self.metadata_save_freq > longest {
            self.metadata_save_freq = longest;
            reader.warn(
                "METADATA_SAVE_FREQ",
                SettingWarning::Conflict {
                    option: "METADATA_SAVE_FREQ",
                    reason: "is higher than half of BACK_LOGS",
                    used: longest.to_string(),
                },
            );
        }
        if reader.defines("CHUNKS_LOOP_TIME") {
            self.chunks_loop_max_cps = u32::MAX;
        }
        self.finish_delete_limits(reader);
        self.finish_remap(reader, running);
    }

    fn finish_delete_limits(&mut self, reader: &mut Reader<'_>) {
        if !reader.defines("CHUNKS_HARD_DEL_LIMIT") {
            self.chunks_hard_del_limit = self.chunks_soft_del_limit.saturating_mul(3);
        } else if self.chunks_soft_del_limit > self.chunks_hard_del_limit {
            self.chunks_soft_del_limit = self.chunks_hard_del_limit;
            reader.warn(
                "CHUNKS_HARD_DEL_LIMIT",
                SettingWarning::Conflict {
                    option: "CHUNKS_SOFT_DEL_LIMIT",
                    reason: "is greater than CHUNKS_HARD_DEL_LIMIT",
                    used: format!("{} for both", self.chunks_hard_del_limit),
                },
            );
        }
    }

    /// The three options of the mapping are good together, or those in use stay.
    fn finish_remap(&mut self, reader: &mut Reader<'_>, running: Option<&Self>) {
        let (option, reason) = match (
            self.remap_bits,
            self.remap_source_ip_class,
            self.remap_destination_ip_class,
        ) {
            (None, None, None) => return,
            (Some(bits), Some(source), Some(destination)) => {
                let remap = AddressRemap {
                    bits,
                    source,
                    destination,
                };
                let host_bits = |network: Ipv4Addr| u32::from(network) & !remap.mask() != 0;
                if host_bits(source) {
                    ("REMAP_SOURCE_IP_CLASS", "has bits beyond REMAP_BITS")
                } else if host_bits(destination) {
                    ("REMAP_DESTINATION_IP_CLASS", "has bits beyond REMAP_BITS")
                } else {
                    return;
                }
            }
            (bits, source, _) => {
                let given = if bits.is_some() {
                    "REMAP_BITS"
                } else if source.is_some() {
                    "REMAP_SOURCE_IP_CLASS"
                } else {
                    "REMAP_DESTINATION_IP_CLASS"
                };
                (given, "needs all three REMAP options, and good ones")
            }
        };
        self.remap_bits = running.and_then(|running| running.remap_bits);
        self.remap_source_ip_class = running.and_then(|running| running.remap_source_ip_class);
        self.remap_destination_ip_class =
            running.and_then(|running| running.remap_destination_ip_class);
        let used = self.remap().map_or(
            "no mapping of addresses",
            |_| "the running mapping of addresses",
        );
        reader.warn(
            option,
            SettingWarning::Conflict {
                option,
                reason,
                used: used.to_owned(),
            },
        );
    }

    /// The mapping of chunkserver addresses, if one is configured.
    #[must_use]
    pub fn remap(&self) -> Option<AddressRemap> {
        Some(AddressRemap {
            bits: self.remap_bits?,
            source: self.remap_source_ip_class?,
            destination: self.remap_destination_ip_class?,
        })
    }

    /// What the file assigns to a name, for anybody who asks over the network: nothing for secrets.
    #[must_use]
    pub fn told(&self, option: &[u8]) -> &str {
        let is_secret = |name: &str| {
            let mut options = Self::OPTIONS.iter();
            options.any(|spec| spec.secret && spec.name == name)
        };
        std::str::from_utf8(option)
            .ok()
            .filter(|name| !is_secret(name))
            .and_then(|name| self.raw(name))
            .unwrap_or_default()
    }

    /// Where the exports file is: as configured, else in the configuration directory or its
    /// predecessor (spec 07 §7.1.1).
    #[must_use]
    pub fn exports_file(&self, directory: &ConfigDirectory) -> Located {
        let explicit = self
            .raw("EXPORTS_FILENAME")
            .map(|_| self.exports_filename.as_path());
        directory.locate(explicit, "mfsexports.cfg")
    }

    /// Where the topology file is, as [`Self::exports_file`].
    #[must_use]
    pub fn topology_file(&self, directory: &ConfigDirectory) -> Located {
        let explicit = self
            .raw("TOPOLOGY_FILENAME")
            .map(|_| self.topology_filename.as_path());
        directory.locate(explicit, "mfstopology.cfg")
    }
}

/// A mapping of chunkserver addresses into another network, for clusters with one network for control
/// and one for data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRemap {
    bits: u32,
    source: Ipv4Addr,
    destination: Ipv4Addr,
}

impl AddressRemap {
    /// The address with its network replaced; addresses of other networks stay.
    #[must_use]
    pub fn apply(&self, address: Ipv4Addr) -> Ipv4Addr {
        let mask = self.mask();
        let (address, source) = (u32::from(address), u32::from(self.source));
        if (address ^ source) & mask == 0 {
            Ipv4Addr::from(u32::from(self.destination) | address & !mask)
        } else {
            address.into()
        }
    }

    fn mask(&self) -> u32 {
        u32::MAX
            .checked_shl(32_u32.saturating_sub(self.bits))
            .unwrap_or(0)
    }
}
