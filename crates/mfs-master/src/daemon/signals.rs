//! Signals as events of the main loop (spec 01 §6).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SigHandler, SigSet, Signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::systemd::Systemd;

/// Signals without a meaning here that would otherwise end or stop the process.
const IGNORED: [Signal; 7] = [
    Signal::SIGQUIT,
    Signal::SIGPIPE,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGUSR2,
    // A limit of file sizes is an error of the write, which the journal deals with.
    Signal::SIGXFSZ,
];

/// What the main loop is asked for from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1: log what the master is doing.
    Info,
    /// SIGTERM, and SIGINT in the foreground: stop in order. Told once.
    Stop,
}

/// The source of [`Event`]s. It also speaks to systemd: that a reload begins and has ended, that
/// the master stops, and that its main loop is alive (watchdog).
#[derive(Debug)]
pub struct Events {
    signals: mpsc::UnboundedReceiver<Event>,
    systemd: Systemd,
    reloading: bool,
}

/// Whether the master was asked to stop; long steps of the start look at it now and then.
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// True from the moment that SIGTERM (in the foreground also SIGINT) arrived.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets in the signals that whoever started the process had blocked for itself: a master that inherits that
/// could not be stopped. Must be called before there are threads, which inherit it in turn.
pub(super) fn unblock() {
    if let Err(error) = SigSet::empty().thread_set_mask() {
        tracing::warn!(%error, "can't unblock signals");
    }
}

impl Events {
    /// Takes over the signals of the process and forwards them, from now on. Must be called inside
    /// the runtime, which needs a thread beside the caller's.
    pub(super) fn listen(foreground: bool, stop: StopFlag, systemd: Systemd) -> io::Result<Events> {
        for ignored in IGNORED {
            // SAFETY: no handler is installed: the signal is only ignored.
            unsafe { nix::sys::signal::signal(ignored, SigHandler::SigIgn) }?;
        }
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut user = signal(SignalKind::user_defined1())?;
        let mut alarm = signal(SignalKind::alarm())?;
        let mut virtual_alarm = signal(SignalKind::from_raw(libc::SIGVTALRM))?;
        let mut profiling = signal(SignalKind::from_raw(libc::SIGPROF))?;
        let (sender, signals) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    Some(()) = terminate.recv() => Event::Stop,
                    Some(()) = interrupt.recv() => {
                        if !foreground {
                            continue;
                        }
                        Event::Stop
                    }
                    Some(()) = hangup.recv() => Event::Reload,
                    Some(()) = user.recv() => Event::Info,
                    Some(()) = alarm.recv() => { ignored("ALRM"); continue }
                    Some(()) = virtual_alarm.recv() => { ignored("VTALRM"); continue }
                    Some(()) = profiling.recv() => { ignored("PROF"); continue }
                    else => return,
                };
                if event == Event::Stop {
                    if stop.is_set() {
                        continue;
                    }
                    tracing::info!("terminate signal received");
                    stop.set();
                }
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Ok(Events {
            signals,
            systemd,
            reloading: false,
        })
    }

    /// The next event. Whoever gets [`Event::Reload`] comes back only when the reload is done: the
    /// call tells systemd so. As long as someone waits here, the watchdog is content. Safe to drop
    /// and call again (`select!`).
    pub async fn next(&mut self) -> Event {
        if std::mem::take(&mut self.reloading) {
            self.systemd.ready();
        }
        loop {
            tokio::select! {
                event = self.signals.recv() => {
                    // The sender lives as long as the runtime does.
                    let event = event.unwrap_or(Event::Stop);
                    match event {
                        Event::Reload => {
                            self.reloading = true;
                            self.systemd.reloading();
                        }
                        Event::Stop => self.systemd.stopping(),
                        Event::Info => {}
                    }
                    return event;
                }
                () = self.systemd.watchdog_due() => self.systemd.alive(),
            }
        }
    }

    pub(super) fn systemd(&self) -> &Systemd {
        &self.systemd
    }
}

fn ignored(name: &str) {
    tracing::info!("signal {name} received - ignored");
}
