//! The process around the master: from the command line to the exit code (spec 01 §3).
//!
//! The order of a start: configuration, background (`fork`), log, limits (`limits`), working
//! user (`user`), data directory, umask, lock ([`crate::actions`]), then the [`Service`] starts
//! inside the runtime; when it serves, the starter and systemd (`systemd`) are told, and the
//! service runs on [`Events`] (`signals`) until it stops. Every thread is started after the last
//! fork and after the change of user.

mod fork;
mod limits;
mod service;
mod signals;
mod systemd;
mod user;

use std::io::Write;
use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use mfs_config::{ConfigDirectory, Loaded, MasterConfig};
use rustix::fs::Mode;
use rustix::process::Signal;

pub use service::{Service, StartContext};
pub use signals::{Event, Events, StopFlag};

use crate::actions::Actions;
use crate::cli::{self, Action, Cli, Parsed};
use crate::log;
use crate::terminal::Terminal;
use fork::{Outcome, Side, Starter};
use systemd::Systemd;

/// The exit code of everything that failed.
const FAILED: u8 = 1;

/// Threads for connections. One core is left to the network code of the kernel and to the other threads (jobs, images,
/// keep-alive): measured on two cores shared with the clients, a second thread for connections makes every request
/// dearer, because the two wake each other. Requests that take long leave their thread to others
/// ([`Needs::Long`](crate::client)).
fn workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    cores.saturating_sub(1).max(1)
}

/// The whole program, from the command line of this process to its exit code, around service `S`.
pub fn main<S: Service>() -> ExitCode {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_else(|| "mfsmaster".into());
    let program = program.to_string_lossy();
    match cli::parse(&program, args) {
        Parsed::Version => {
            print(&format!("{}\n", cli::version()));
            ExitCode::SUCCESS
        }
        Parsed::Usage { complaint } => {
            if let Some(complaint) = complaint {
                Terminal::stderr().line(complaint);
            }
            print(&cli::usage(&program));
            ExitCode::from(FAILED)
        }
        Parsed::Run(cli) => run::<S>(&cli),
    }
}

/// Writes to stdout. Who closed it does not want to know.
fn print(text: &str) {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

/// Carries out a command line.
fn run<S: Service>(cli: &Cli) -> ExitCode {
    if cli.deprecated_d {
        print("option '-d' is deprecated - use '-f' instead\n");
    }
    let terminal = Terminal::stderr();
    signals::unblock();
    let loaded = match MasterConfig::load(cli.config.as_deref(), &ConfigDirectory::default()) {
        Ok(loaded) => loaded,
        Err(error) => {
            terminal.line(error);
            return ExitCode::from(FAILED);
        }
    };
    let starter = if cli.action.serves() && !cli.foreground {
        match fork::daemonize() {
            Ok(Side::Daemon(starter)) => starter,
            Ok(Side::Starter(waiting)) => return report(waiting.outcome(), &terminal),
            Err(error) => {
                terminal.line(format_args!("can't go to the background: {error}"));
                return ExitCode::from(FAILED);
            }
        }
    } else {
        Starter::none()
    };
    let target = match (cli.action.serves(), cli.foreground) {
        (true, false) => log::Target::Syslog {
            ident: ident(&loaded.value).to_owned(),
        },
        (true, true) => log::Target::Foreground,
        (false, _) => log::Target::Terminal,
    };
    log::init(&target, &terminal);
    report_config(&loaded, cli.log_defaults);
    match execute::<S>(cli, loaded.value, terminal, starter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// Logs what there is to say about a configuration that was just read; with `-u` (`log_defaults`)
/// also each option whose default is used.
pub fn report_config(loaded: &Loaded<MasterConfig>, log_defaults: bool) {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if log_defaults {
        for (option, value) in loaded.value.defaults_used() {
            tracing::info!("config: using default value for option '{option}' - '{value}'");
        }
    }
}

/// The starter's last word about the daemon.
fn report(outcome: Outcome, terminal: &Terminal) -> ExitCode {
    match outcome {
        Outcome::Ready => ExitCode::SUCCESS,
        // It has told why.
        Outcome::Failed(_) => ExitCode::from(FAILED),
        Outcome::Died(how) => {
            // Perhaps in the middle of a line.
            terminal.part("");
            terminal.line(format_args!("the mfsmaster daemon {how}"));
            ExitCode::from(FAILED)
        }
    }
}

fn ident(config: &MasterConfig) -> &str {
    match config.syslog_ident.as_str() {
        "" => "mfsmaster",
        ident => ident,
    }
}

/// Everything after the log is set up.
fn execute<S: Service>(
    cli: &Cli,
    config: MasterConfig,
    terminal: Terminal,
    starter: Starter,
) -> Result<()> {
    if cli.action.serves() {
        raise_limits(cli, &config);
    }
    user::drop_root(&config.working_user, &config.working_group)?;
    let data_dir = std::path::absolute(&config.data_path)?;
    if cli.action.serves() {
        if !cli.keep_core_limit {
            limits::allow_core();
        }
        terminal.line(format_args!("working directory: {}", data_dir.display()));
    }
    enter(&data_dir)?;
    rustix::process::umask(Mode::from_raw_mode(config.file_umask & 0o077));

    let actions = Actions {
        dir: &data_dir,
        timeout: cli.lock_timeout,
        terminal: &terminal,
    };
    let lock = match cli.action {
        Action::Stop => return Ok(actions.end(Signal::TERM)?),
        Action::Kill => return Ok(actions.end(Signal::KILL)?),
        Action::Reload => return Ok(actions.reload()?),
        Action::Info => return Ok(actions.info()?),
        Action::Test => return Ok(actions.test()?),
        Action::Restore => actions.lock_to_restore()?,
        Action::Start => actions.lock_to_start()?,
        Action::Restart => actions.lock_to_restart()?,
        Action::TryRestart => actions.lock_to_try_restart()?,
    };
    let context = StartContext {
        foreground: cli.foreground,
        auto_restore: cli.auto_restore,
        ignore_errors: cli.ignore_errors,
        verbosity: cli.verbosity,
        log_defaults: cli.log_defaults,
        stop: StopFlag::default(),
        config,
        data_dir: data_dir.clone(),
        terminal: terminal.clone(),
    };
    let done = if cli.action == Action::Restore {
        S::restore(context)
    } else {
        terminal.line("lockfile created and locked");
        serve::<S>(context, starter)
    };
    // Held until everything that writes into the directory is over.
    drop(lock);
    done
}

/// What is set while the process still has the privileges of root.
fn raise_limits(cli: &Cli, config: &MasterConfig) {
    limits::raise_open_files();
    limits::set_nice_level(config.nice_level);
    if config.lock_memory {
        limits::allow_memory_lock();
    }
    if config.disable_oom_killer {
        limits::disable_oom_killer();
    }
    if !cli.keep_core_limit {
        limits::raise_core_limit();
    }
    if let Err(error) = limits::limit_malloc_arenas(config.limit_glibc_malloc_arenas) {
        tracing::warn!(%error, "can't limit the number of malloc arenas");
    }
}

/// Makes `dir` the working directory.
fn enter(dir: &Path) -> Result<()> {
    std::env::set_current_dir(dir)
        .with_context(|| format!("can't set working directory to {}", dir.display()))
}

/// Runs the service from its start to its stop.
fn serve<S: Service>(context: StartContext, starter: Starter) -> Result<()> {
    if context.config.lock_memory {
        limits::lock_memory();
    }
    let ident = ident(&context.config).to_owned();
    let terminal = context.terminal.clone();
    terminal.line(format_args!("initializing {ident} modules ..."));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .thread_name("mfsmaster")
        .build()
        .context("can't start the threads")?;
    let done = runtime.block_on(async {
        let systemd = if context.foreground {
            Systemd::from_environment()
        } else {
            Systemd::none()
        };
        let stop = context.stop.clone();
        let mut events = Events::listen(context.foreground, stop.clone(), systemd)
            .context("can't handle signals")?;
        let mut service = match S::start(context).await {
            Ok(service) => service,
            Err(error) if stop.is_set() => {
                tracing::info!("stopped before everything was initialized: {error:#}");
                return Ok(());
            }
            Err(error) => {
                tracing::error!("{error:#}");
                anyhow::bail!("error occurred during initialization - exiting");
            }
        };
        tracing::info!("{ident} daemon initialized properly");
        // From here on the data directory is in use: whatever happens, the service is stopped.
        let ran = match starter.ready(&terminal) {
            Ok(()) => {
                events.systemd().ready();
                service.run(&mut events).await
            }
            Err(error) => Err(error).context("can't tell the starter that we serve"),
        };
        events.systemd().stopping();
        if let Err(error) = &ran {
            tracing::error!("{error:#}");
        }
        tracing::info!("exiting ...");
        service.stop().await?;
        ran
    });
    // What is left are connections whose peers are gone and watchers without a purpose.
    runtime.shutdown_background();
    if done.is_ok() {
        tracing::info!("process exited successfully (status:0)");
    }
    done
}
