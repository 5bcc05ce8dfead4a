//! The options of chunk management (spec 05 §24), with their defaults.

use mfs_config::{ReplicationLimits, ReplicationTopology, ReserveSpace, UniqueMode};

/// Why a chunk is replicated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplicationClass {
    /// One copy is left (priorities 0 and 1).
    Endangered,
    /// Fewer copies than wanted, or wrong labels.
    Undergoal,
    /// Balancing, small difference.
    Rebalance,
    /// Balancing, large difference.
    ExtremeRebalance,
}

impl ReplicationClass {
    /// The limit of the class: how many replications one chunkserver may have at a time; fractions mean "for that
    /// part of the time" (spec 05 §16.1).
    pub(crate) fn limit(self, limits: &ReplicationLimits) -> f64 {
        match self {
            ReplicationClass::Endangered => limits.endangered,
            ReplicationClass::Undergoal => limits.undergoal,
            ReplicationClass::Rebalance => limits.rebalance,
            ReplicationClass::ExtremeRebalance => limits.extreme_rebalance,
        }
    }
}

/// All options. Limits of single values are the configuration's matter; those that would break an invariant
/// are kept by [`ChunkConfig::checked`].
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkConfig {
    /// Seconds after the start without replications and deletions (`REPLICATIONS_DELAY_INIT`).
    pub replications_delay_init: u32,
    /// Chunks per second that are looked at, at most (`CHUNKS_LOOP_MAX_CPS`).
    pub loop_max_cps: u32,
    /// Seconds of a chunk loop, at least (`CHUNKS_LOOP_MIN_TIME`).
    pub loop_min_time: u32,
    /// Deletions on one server at a time, at first (`CHUNKS_SOFT_DEL_LIMIT`).
    pub soft_del_limit: u32,
    /// Deletions on one server at a time, at most (`CHUNKS_HARD_DEL_LIMIT`).
    pub hard_del_limit: u32,
    /// Replications to one server at a time (`CHUNKS_WRITE_REP_LIMIT`).
    pub write_rep_limit: ReplicationLimits,
    /// Replications from one server at a time (`CHUNKS_READ_REP_LIMIT`).
    pub read_rep_limit: ReplicationLimits,
    /// What two copies may not have in common (`CHUNKS_UNIQUE_MODE`).
    pub unique_mode: UniqueMode,
    /// What replications look at (`REPLICATIONS_RESPECT_TOPOLOGY`).
    pub replication_topology: ReplicationTopology,
    /// Servers nearer than this to the client come first for new chunks, 0 = all alike
    /// (`CREATIONS_RESPECT_TOPOLOGY`).
    pub creation_topology: u32,
    /// Difference of usage that needs no balancing, percentage points (`ACCEPTABLE_PERCENTAGE_DIFFERENCE`).
    pub acceptable_difference: f64,
    /// Length of each priority queue (`PRIORITY_QUEUES_LENGTH`).
    pub queue_length: u32,
    /// Load above which a server may be overloaded (`CS_HEAVY_LOAD_THRESHOLD`).
    pub heavy_load_threshold: u32,
    /// Multiple of the average load above which it is (`CS_HEAVY_LOAD_RATIO_THRESHOLD`).
    pub heavy_load_ratio: f64,
    /// Seconds for which an overloaded server is left alone (`CS_HEAVY_LOAD_GRACE_PERIOD`).
    pub heavy_load_grace: u32,
    /// Seconds of a maintenance mode, 0 = no end (`CS_MAINTENANCE_MODE_TIMEOUT`).
    pub maintenance_timeout: u32,
    /// Seconds of the maintenance mode of a server that was stopped, 0 = no end
    /// (`CS_TEMP_MAINTENANCE_MODE_TIMEOUT`).
    pub temp_maintenance_timeout: u32,
    /// Days after which an absent server is forgotten, 0 = never (`CS_DAYS_TO_REMOVE_UNUSED`).
    pub days_to_remove_unused: u32,
    /// Space that clients cannot fill (`RESERVE_SPACE`).
    pub reserve_space: ReserveSpace,
    /// Missing chunks that are remembered for the monitoring (`MISSING_LOG_CAPACITY`).
    pub missing_log_capacity: u32,
}

impl Default for ChunkConfig {
    fn default() -> Self {
        ChunkConfig {
            replications_delay_init: 60,
            loop_max_cps: 100_000,
            loop_min_time: 300,
            soft_del_limit: 10,
            hard_del_limit: 25,
            write_rep_limit: ReplicationLimits {
                endangered: 2.0,
                undergoal: 1.0,
                rebalance: 1.0,
                extreme_rebalance: 4.0,
            },
            read_rep_limit: ReplicationLimits {
                endangered: 10.0,
                undergoal: 5.0,
                rebalance: 2.0,
                extreme_rebalance: 5.0,
            },
            unique_mode: UniqueMode::Server,
            replication_topology: ReplicationTopology::Ignore,
            creation_topology: 0,
            acceptable_difference: 1.0,
            queue_length: 1_000_000,
            heavy_load_threshold: 150,
            heavy_load_ratio: 3.0,
            heavy_load_grace: 900,
            maintenance_timeout: 0,
            temp_maintenance_timeout: 1800,
            days_to_remove_unused: 7,
            reserve_space: ReserveSpace::Bytes(0),
            missing_log_capacity: 100_000,
        }
    }
}

impl ChunkConfig {
    /// The options with those that would stop the state machine brought into range.
    #[must_use]
    pub fn checked(mut self) -> Self {
        self.loop_min_time = self.loop_min_time.max(1);
        self.loop_max_cps = self.loop_max_cps.max(1);
        self.soft_del_limit = self.soft_del_limit.max(1);
        self.hard_del_limit = self.hard_del_limit.max(self.soft_del_limit);
        self.queue_length = self.queue_length.max(1);
        self
    }
}
