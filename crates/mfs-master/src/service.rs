//! The master inside the process: start, run, reload, stop, restore (spec 01 §3, §11).

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mfs_config::{
    ChangelogSaveMode, ConfigDirectory, Exports, HostAccounts, Loaded, MasterConfig, Topology,
};
use mfs_meta::Companion;
use mfs_meta::op::Op;
use mfs_store::changelog::{Journal, JournalOptions, SaveMode, Writer};
use mfs_store::lifecycle::{DataDir, StoreOptions};

use crate::chunks::ChunkClock;
use crate::clock::Clock;
use crate::daemon::{Event, Events, Service, StartContext, report_config};
use crate::gate::Gate;
use crate::image::{Images, Snapshot};
use crate::jobs::{self, Jobs};
use crate::loading;
use crate::master::{Master, Parts};
use crate::net::{KeepAlive, Listener, Port, Ports};
use crate::session;
use crate::timers;

/// How long connections may take at a stop to end after their present request.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// How long a stop waits for lines that cannot be written.
const FLUSH_WAIT: Duration = Duration::from_secs(5);

/// A stop that cannot store its image tries again this often...
const STORE_RETRY: Duration = Duration::from_secs(5);

/// ...for so long. Then the process ends with an error: the changelogs have every change that was answered, and a
/// start with `-a` applies them.
const STORE_PATIENCE: Duration = Duration::from_secs(30);

/// The running master.
pub struct Server {
    master: Arc<Master>,
    ports: Ports,
    jobs: Jobs,
    chunk_clock: ChunkClock,
    log_defaults: bool,
    /// Ends when this is dropped.
    _keep_alive: KeepAlive,
}

impl Service for Server {
    async fn start(context: StartContext) -> Result<Server> {
        let config_dir = ConfigDirectory::default();
        let exports = load_exports(&context.config, &config_dir)?;
        exports.require_rules()?;
        tracing::info!("exports file has been loaded");
        let topology = load_topology(&context.config, &config_dir).unwrap_or_default();

        let dir = DataDir::new(&context.data_dir);
        let wall = Clock::starting_at(0).now();
        let (loaded, unfinished) = loading::load(&dir, &context, wall)?;
        // A busy port must not cost the directory its state, so nothing on disk has changed up to here.
        let listeners = Port::ALL
            .into_iter()
            .map(|port| Listener::open(port, &context.config))
            .collect::<Result<Vec<_>, _>>()?;
        ensure!(!context.stop.is_set(), "asked to stop");

        let clock = Clock::continuing(dir.newest_time(&loaded));
        let version = loaded.meta.version();
        let writer = Writer::new(&context.data_dir, context.config.back_logs);
        let journal = Journal::new(writer, version, journal_options(&context.config));
        let gate =
            Gate::new(journal, save_mode(&context.config)).context("can't start a thread")?;

        let begun = dir
            .after_load(
                &loaded,
                &StoreOptions {
                    keep_previous: context.config.back_meta_keep_previous,
                    now: clock.now(),
                    cancel: None,
                    companion: unfinished.file(version).as_deref(),
                },
            )
            .context("can't take over the data directory")?;
        for note in begun.notes {
            tracing::warn!("{note}");
        }
        if loaded.image.path.parent() != Some(context.data_dir.as_path()) {
            gate.journal().loaded_from_elsewhere();
        }
        let renumber = loaded.renumber;
        let log_defaults = context.log_defaults;
        let master = Arc::new(Master::new(Parts {
            meta: loaded.meta,
            unfinished,
            gate,
            clock,
            images: Images::new(dir, begun.stored),
            data_dir: context.data_dir,
            config_dir,
            config: context.config,
            exports,
            topology,
        }));
        first_changes(&master, renumber)?;
        let keep_alive = KeepAlive::start(Arc::clone(&master)).context("can't start a thread")?;
        Ok(Server {
            chunk_clock: ChunkClock::start(Arc::clone(&master)),
            ports: Ports::serve(&master, listeners),
            jobs: Jobs::new(Arc::clone(&master)),
            master,
            log_defaults,
            _keep_alive: keep_alive,
        })
    }

    async fn run(&mut self, events: &mut Events) -> Result<()> {
        let Server {
            master,
            ports,
            jobs,
            log_defaults,
            ..
        } = self;
        let mut periodic = std::pin::pin!(timers::run(&jobs::TABLE, &*jobs, timers::wall_clock));
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Event::Stop => return Ok(()),
                    Event::Reload => reload(master, ports, *log_defaults),
                    Event::Info => tell(master),
                },
                () = &mut periodic => bail!("the periodic jobs have ended"),
            }
        }
    }

    async fn stop(self) -> Result<()> {
        let Server {
            master,
            ports,
            chunk_clock,
            ..
        } = self;
        chunk_clock.stop().await;
        drop(ports);
        let closing = master.connections.close_all("the master stops");
        if tokio::time::timeout(CLOSE_WAIT, closing).await.is_err() {
            tracing::warn!(
                connections = master.connections.len(),
                "connections that do not end are left behind"
            );
        }
        stop_log(&master);
        store_last(&master).await
    }

    fn restore(context: StartContext) -> Result<()> {
        let dir = DataDir::new(&context.data_dir);
        loading::restore(&dir, &context, Clock::starting_at(0).now())
    }
}

impl Server {
    /// The master.
    #[must_use]
    pub fn master(&self) -> &Arc<Master> {
        &self.master
    }

    /// The open ports.
    #[must_use]
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// What SIGHUP does: options, exports, topology, sockets are read again. What cannot be read stays as it
    /// is.
    pub fn reload(&mut self) {
        reload(&self.master, &mut self.ports, self.log_defaults);
    }
}

fn save_mode(config: &MasterConfig) -> SaveMode {
    match config.changelog_save_mode {
        ChangelogSaveMode::Background | ChangelogSaveMode::Write => SaveMode::Written,
        ChangelogSaveMode::Sync => SaveMode::Synced,
    }
}

fn journal_options(config: &MasterConfig) -> JournalOptions {
    JournalOptions {
        mode: save_mode(config),
        preserve_seconds: config.changelog_preserve_seconds,
    }
}

fn log_warnings<T>(loaded: Loaded<T>) -> T {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    loaded.value
}

fn load_exports(config: &MasterConfig, dir: &ConfigDirectory) -> Result<Exports> {
    let located = config.exports_file(dir);
    if let Some(warning) = &located.warning {
        tracing::warn!("{warning}");
    }
    let loaded = Exports::load(&located.file, &HostAccounts).context("can't load exports")?;
    Ok(log_warnings(loaded))
}

/// The topology, or `None` if its file cannot be read, which is told.
fn load_topology(config: &MasterConfig, dir: &ConfigDirectory) -> Option<Topology> {
    let located = config.topology_file(dir);
    if let Some(warning) = &located.warning {
        tracing::warn!("{warning}");
    }
    match Topology::load(&located.file) {
        Ok(loaded) => {
            let topology = log_warnings(loaded);
            tracing::info!("topology file has been loaded");
            Some(topology)
        }
        Err(error) if located.explicit => {
            tracing::error!(%error, "can't load topology");
            None
        }
        Err(_) => {
            tracing::info!("topology file not found - network topology not defined");
            None
        }
    }
}

/// Changes that are due before anything else: the identity of a new file system, ids of edges of an old
/// image.
fn first_changes(master: &Master, renumber: bool) -> Result<()> {
    let version = master.change(|txn| -> Result<u64> {
        if txn.meta().meta_id() == 0 {
            let id = getrandom::u64().context("no random numbers")?.max(1);
            txn.apply(&Op::SetMetaId { id })?;
        }
        if renumber {
            txn.apply(&Op::RenumerateEdges)?;
        }
        Ok(txn.version())
    })?;
    // It is not worth serving when even these lines cannot be written.
    master
        .gate
        .flush_until(version, Instant::now() + FLUSH_WAIT)?;
    Ok(())
}

/// SIGHUP: options, exports, topology, sockets. What cannot be read stays as it is.
fn reload(master: &Arc<Master>, ports: &mut Ports, log_defaults: bool) {
    match master.config().reload() {
        Ok(loaded) => {
            report_config(&loaded, log_defaults);
            master.set_config(loaded.value);
        }
        Err(error) => {
            tracing::error!(%error, "can't reload the configuration - keeping the old one");
            return;
        }
    }
    let config = master.config();
    master.gate.set_options(journal_options(&config));
    match load_exports(&config, &master.config_dir) {
        Ok(exports) => {
            master.set_exports(exports);
            let closed = session::close_outdated(master);
            tracing::info!(closed, "exports file has been reloaded");
        }
        Err(error) => tracing::error!("{error:#} - keeping the old ones"),
    }
    if let Some(topology) = load_topology(&config, &master.config_dir) {
        master.set_topology(topology);
    }
    ports.reload(master);
    tracing::info!("configuration reloaded");
}

/// SIGUSR1: what the master is doing.
fn tell(master: &Master) {
    let (version, inodes, chunks, sessions) = {
        let state = master.read();
        let meta = &state.meta;
        let sessions = meta.sessions().count();
        (
            meta.version(),
            meta.node_count(),
            meta.chunk_count(),
            sessions,
        )
    };
    tracing::info!(
        version,
        inodes,
        chunks,
        sessions,
        connections = master.connections.len(),
        lines_safe_below = master.gate.journal().safe(),
        lines_durable_below = master.gate.journal().durable(),
        lines_pending_bytes = master.gate.journal().pending_bytes(),
        image_version = master.images.stored(),
        "state"
    );
}

/// The last lines, and the rotation that save modes 1 and 2 do at a stop (spec 01 §9.2).
fn stop_log(master: &Master) {
    let config = master.config();
    let version = {
        let state = master.state.write();
        if config.changelog_save_mode != ChangelogSaveMode::Background {
            let journal = master.gate.journal();
            journal.push_rotation(config.back_logs, master.images.stored());
        }
        state.meta.version()
    };
    let flushed = tokio::task::block_in_place(|| {
        master
            .gate
            .flush_until(version, Instant::now() + FLUSH_WAIT)
            .and_then(|()| master.gate.journal().flush())
    });
    if let Err(error) = flushed {
        tracing::error!(%error, "the last changes, which nobody was told of, are not in the changelog");
    }
}

/// The image of the clean stop. When it cannot be stored an emergency image is saved, and after some patience
/// the process ends with an error instead of hanging around without ports.
async fn store_last(master: &Master) -> Result<()> {
    let started = Instant::now();
    let mut rescued = false;
    loop {
        let error = match master.images.clean_stop(master).await {
            Ok(stored) => {
                for note in &stored.notes {
                    tracing::warn!("{note}");
                }
                tracing::info!(version = stored.written.header.version, "metadata stored");
                return Ok(());
            }
            Err(error) => error,
        };
        if !rescued {
            rescued = true;
            let snapshot = Snapshot::of(&master.read());
            let now = master.clock.now();
            tokio::task::block_in_place(|| master.images.emergency(&snapshot, now, None));
        }
        if started.elapsed() >= STORE_PATIENCE {
            return Err(error).context(
                "can't store metadata - giving up: all changes are in the changelogs, start with '-a' when the cause is gone",
            );
        }
        tracing::error!(
            %error,
            "can't store metadata - try to make more space - retrying after {} seconds",
            STORE_RETRY.as_secs()
        );
        tokio::time::sleep(STORE_RETRY).await;
    }
}
