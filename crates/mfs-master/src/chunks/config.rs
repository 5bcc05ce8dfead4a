//! The settings of the master as chunk management wants them (spec 05 §24, §25).

use std::net::Ipv4Addr;
use std::sync::Arc;

use mfs_chunks::{ChunkConfig, Topology};
use mfs_config::MasterConfig;

/// The options of chunk management.
pub(crate) fn options(config: &MasterConfig) -> ChunkConfig {
    ChunkConfig {
        replications_delay_init: config.replications_delay_init,
        loop_max_cps: config.chunks_loop_max_cps,
        loop_min_time: config.chunks_loop_min_time,
        soft_del_limit: config.chunks_soft_del_limit,
        hard_del_limit: config.chunks_hard_del_limit,
        write_rep_limit: config.chunks_write_rep_limit,
        read_rep_limit: config.chunks_read_rep_limit,
        unique_mode: config.chunks_unique_mode,
        replication_topology: config.replications_respect_topology,
        creation_topology: config.creations_respect_topology,
        acceptable_difference: config.acceptable_percentage_difference,
        queue_length: config.priority_queues_length,
        heavy_load_threshold: config.cs_heavy_load_threshold,
        heavy_load_ratio: config.cs_heavy_load_ratio_threshold,
        heavy_load_grace: config.cs_heavy_load_grace_period,
        maintenance_timeout: config.cs_maintenance_mode_timeout,
        temp_maintenance_timeout: config.cs_temp_maintenance_mode_timeout,
        days_to_remove_unused: config.cs_days_to_remove_unused,
        reserve_space: config.reserve_space,
        missing_log_capacity: config.missing_log_capacity,
    }
}

/// The topology.
pub(crate) fn topology(topology: &mfs_config::Topology) -> Arc<dyn Topology> {
    Arc::new(Racks(topology.clone()))
}

struct Racks(mfs_config::Topology);

impl Topology for Racks {
    fn rack(&self, ip: u32) -> u32 {
        self.0.rack_number(Ipv4Addr::from(ip))
    }

    fn distance(&self, a: u32, b: u32) -> u32 {
        self.0.distance(Ipv4Addr::from(a), Ipv4Addr::from(b))
    }
}
