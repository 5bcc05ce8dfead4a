//! Limits and privileges that only root may change, set before the working user takes over
//! (spec 01 §3.2, §13.2). What the system refuses is told and otherwise lived with.

use anyhow::{Context, Result, ensure};
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, geteuid, getrlimit, set_dumpable_behavior,
    setpriority_process, setrlimit,
};

/// The number of open files that a master wants at least (one per connection).
const WANTED_FILES: u64 = 16384;

/// The smallest number of open files it asks for when the wanted one is refused.
const LEAST_FILES: u64 = 1024;

/// A limit of nothing.
const UNLIMITED: Rlimit = Rlimit {
    current: None,
    maximum: None,
};

/// Raises the limit of open files to 16384, or to what the system allows at most if that is more;
/// if that is refused, to smaller values, down to 1024.
pub(super) fn raise_open_files() {
    let before = getrlimit(Resource::Nofile);
    let allowed = before.maximum.unwrap_or(u64::MAX);
    let mut wanted = allowed.max(WANTED_FILES);
    loop {
        let limit = Rlimit {
            current: Some(wanted),
            maximum: Some(wanted.max(allowed)),
        };
        match setrlimit(Resource::Nofile, limit) {
            Ok(()) => {
                tracing::info!("open files limit has been set to: {wanted}");
                return;
            }
            Err(_) if wanted > WANTED_FILES => wanted = WANTED_FILES,
            Err(_) if wanted > LEAST_FILES => wanted = (wanted / 4 * 3).max(LEAST_FILES),
            Err(error) => {
                let current = before.current.unwrap_or(u64::MAX);
                tracing::warn!(%error, "can't raise the open files limit, it stays at {current}");
                return;
            }
        }
    }
}

/// Takes the processor before others (or after them): `NICE_LEVEL`, -20 to 19. Without the
/// privilege nothing changes.
pub(super) fn set_nice_level(level: i32) {
    if let Err(error) = setpriority_process(None, level) {
        tracing::debug!(%error, level, "can't change the nice level");
    }
}

/// Allows the memory of the process to be locked, while that may still be changed.
pub(super) fn allow_memory_lock() {
    if let Err(error) = setrlimit(Resource::Memlock, UNLIMITED) {
        tracing::warn!(%error, "can't set memory lock limit to unlimited");
    }
}

/// Keeps all memory of the process, present and future, out of the swap: `LOCK_MEMORY`. Not under
/// a limit: the kernel would refuse the first allocation that goes beyond it.
pub(super) fn lock_memory() {
    let limit = getrlimit(Resource::Memlock).current;
    if let (Some(bytes), false) = (limit, geteuid().is_root()) {
        tracing::warn!(bytes, "can't lock memory in RAM under a limit");
        return;
    }
    match mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE) {
        Ok(()) => tracing::info!("process memory was successfully locked in RAM"),
        Err(error) => tracing::warn!(%error, "can't lock memory in RAM"),
    }
}

/// Lets a crash leave a core file in the data directory.
pub(super) fn raise_core_limit() {
    if let Err(error) = setrlimit(Resource::Core, UNLIMITED) {
        tracing::warn!(%error, "can't raise the limit of the core size");
    }
}

/// Undoes what the change of user did to core files: the kernel turns them off with it.
pub(super) fn allow_core() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::Dumpable) {
        tracing::warn!(%error, "can't allow core files");
    }
}

/// Makes the process the last one that the kernel ends when memory runs out:
/// `DISABLE_OOM_KILLER`.
pub(super) fn disable_oom_killer() {
    match std::fs::write("/proc/self/oom_score_adj", "-1000") {
        Ok(()) => tracing::info!("out of memory killer disabled"),
        Err(error) => tracing::info!(%error, "can't disable out of memory killer"),
    }
}

/// Bounds the number of heaps that the C library keeps for its threads:
/// `LIMIT_GLIBC_MALLOC_ARENAS`; 0 leaves it alone.
pub(super) fn limit_malloc_arenas(arenas: u32) -> Result<()> {
    #[cfg(target_env = "gnu")]
    if arenas > 0 {
        let arenas = arenas.try_into().context("too large")?;
        // SAFETY: mallopt only sets a number inside the allocator, under the allocator's lock.
        let done = unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas) };
        ensure!(done == 1, "refused by the C library");
    }
    Ok(())
}
