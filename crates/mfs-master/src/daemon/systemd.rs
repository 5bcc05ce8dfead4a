//! What systemd is told over `NOTIFY_SOCKET` (`sd_notify(3)`), in foreground runs. Without the
//! socket all of this does nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior};

/// The service manager that may be listening.
#[derive(Debug)]
pub(super) struct Systemd {
    listens: bool,
    watchdog: Option<Interval>,
}

impl Systemd {
    /// Nobody to tell: a daemon is not the process that systemd started.
    pub(super) fn none() -> Systemd {
        Systemd {
            listens: false,
            watchdog: None,
        }
    }

    /// What the environment says. Must be called inside the runtime.
    pub(super) fn from_environment() -> Systemd {
        let mut micros = 0;
        let watchdog = sd_notify::watchdog_enabled(false, &mut micros).then(|| {
            // Twice in each period, as sd_watchdog_enabled(3) advises.
            let half = Duration::from_micros(micros / 2).max(Duration::from_millis(1));
            let mut interval = tokio::time::interval(half);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Systemd {
            listens: std::env::var_os("NOTIFY_SOCKET").is_some(),
            watchdog,
        }
    }

    /// The master serves, or has taken over a changed configuration.
    pub(super) fn ready(&self) {
        self.tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
    }

    /// A reload begins.
    pub(super) fn reloading(&self) {
        let mut states = vec![NotifyState::Reloading];
        states.extend(NotifyState::monotonic_usec_now().ok());
        self.tell(&states);
    }

    /// The orderly stop begins.
    pub(super) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping]);
    }

    /// The main loop runs.
    pub(super) fn alive(&self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    /// Waits until it is time to say [`Systemd::alive`]; for ever when nobody watches.
    pub(super) async fn watchdog_due(&mut self) {
        match &mut self.watchdog {
            Some(interval) => {
                interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if !self.listens {
            return;
        }
        if let Err(error) = sd_notify::notify(false, states) {
            tracing::warn!(%error, "can't notify systemd");
        }
    }
}
