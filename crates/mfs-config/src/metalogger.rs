//! `mfsmetalogger.cfg` (spec 01 §13.3).

use std::path::PathBuf;

use crate::settings::DefaultValue::Text;
use crate::settings::{Outside, Reader, Rule, SettingWarning, option, settings};

/// Options of older versions that no longer do anything.
const FORMER: &[&str] = &["LOCK_FILE"];

settings! {
    /// Settings of the metalogger. Times are in seconds unless something else is said.
    pub struct MetaloggerConfig from "mfsmetalogger.cfg", ignoring FORMER;

    /// User to run as; `#N` is a user id.
    working_user: String = option("WORKING_USER", Text("mfs")).restart();
    /// Group to run as; `#N` is a group id, empty the user's own group.
    working_group: String = option("WORKING_GROUP", Text("mfs")).restart();
    /// Name in the system log.
    syslog_ident: String = option("SYSLOG_IDENT", Text("mfsmetalogger")).restart();
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
    /// Directory of the files.
    data_path: PathBuf = option("DATA_PATH", Text("/var/lib/mfs")).restart();

    /// Number of rotated changelogs to keep.
    back_logs: u32 = option("BACK_LOGS", Text("50")).clamped(5, 10_000);
    /// Number of previous images to keep.
    back_meta_keep_previous: u32 = option("BACK_META_KEEP_PREVIOUS", Text("3")).clamped(0, 99);
    /// Hours between downloads of the image, up to half of `back_logs`; 0 = none after the first.
    meta_download_freq: u32 = option("META_DOWNLOAD_FREQ", Text("24")).clamped(0, u32::MAX as i64);

    /// The master.
    master_host: String = option("MASTER_HOST", Text("mfsmaster"));
    /// Its port or service for metaloggers.
    master_port: String = option("MASTER_PORT", Text("9419"));
    /// Local address, `*` = any.
    bind_host: String = option("BIND_HOST", Text("*"));
    /// Time between attempts to connect, 0 = no further ones.
    master_reconnection_delay: u32 = option("MASTER_RECONNECTION_DELAY", Text("5")).clamped(0, u32::MAX as i64);
    /// Silence after which the master counts as gone.
    master_timeout: u32 = option("MASTER_TIMEOUT", Text("10")).clamped(10, 65_535);
}

impl MetaloggerConfig {
    /// What concerns more than one option.
    fn finish(&mut self, reader: &mut Reader<'_>, _: Option<&Self>) {
        let longest = self.back_logs / 2;
        if self.meta_download_freq > longest {
            self.meta_download_freq = longest;
            reader.warn(
                "META_DOWNLOAD_FREQ",
                SettingWarning::Conflict {
                    option: "META_DOWNLOAD_FREQ",
                    reason: "is higher than half of BACK_LOGS",
                    used: longest.to_string(),
                },
            );
        }
    }
}
