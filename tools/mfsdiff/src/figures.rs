//! Figures of a run.

use std::collections::BTreeMap;

/// Figures of a run.
#[derive(Debug, Default, Clone)]
pub(crate) struct Figures {
    /// Requests sent to each master, and those that succeeded, by message number.
    pub(crate) requests: BTreeMap<u32, (u64, u64)>,
    /// Steps left out because the original would not survive them, by reason.
    pub(crate) guarded: BTreeMap<&'static str, u64>,
    /// Differences that a rule explains, by its name.
    pub(crate) explained: BTreeMap<&'static str, u64>,
    /// Frames that came without having been asked for, or late.
    pub(crate) notices: u64,
}

impl Figures {
    pub(crate) fn total(&self) -> (u64, u64) {
        let sum = |f: fn(&(u64, u64)) -> u64| self.requests.values().map(f).sum();
        (sum(|r| r.0), sum(|r| r.1))
    }

    pub(crate) fn add(&mut self, other: &Figures) {
        for (&message, &(sent, succeeded)) in &other.requests {
            let entry = self.requests.entry(message).or_default();
            entry.0 += sent;
            entry.1 += succeeded;
        }
        for (&reason, &n) in &other.guarded {
            *self.guarded.entry(reason).or_default() += n;
        }
        for (&rule, &n) in &other.explained {
            *self.explained.entry(rule).or_default() += n;
        }
        self.notices += other.notices;
    }

    /// Prints them.
    pub(crate) fn report(&self) {
        let (sent, succeeded) = self.total();
        println!("{:>40} {:>9} {:>9}", "request", "sent", "ok");
        let mut unknown = 0;
        for (&message, &(sent, succeeded)) in &self.requests {
            match mfs_proto::msg::name(message) {
                Some(name) => println!("{name:>40} {sent:>9} {succeeded:>9}"),
                None => unknown += sent,
            }
        }
        println!("{:>40} {unknown:>9}", "unknown messages");
        println!("{:>40} {sent:>9} {succeeded:>9}", "all");
        println!("{:>40} {:>9}", "notices and late answers", self.notices);
        for (reason, count) in &self.guarded {
            println!("not sent: {count:>6} x {reason}");
        }
        for (rule, count) in &self.explained {
            println!("explained: {count:>5} x {rule}");
        }
    }
}
