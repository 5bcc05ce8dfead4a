//! How far the clock of the last run had come: lines that follow must not be older (spec 08 I16).

use std::convert::Infallible;

use mfs_meta::records::ImageSource;

use super::DataDir;
use super::load::Loaded;
use crate::changelog::{Input, probe};

impl DataDir {
    /// The newest time that is known of a loaded state, seconds since the epoch: that of the last line that led to
    /// it, or, when no changelog has that line any more, the newest change of an object. Access and modification
    /// times do not count: clients set them as they like.
    #[must_use]
    pub fn newest_time(&self, loaded: &Loaded) -> u32 {
        let replayed = loaded.replay.as_ref().and_then(|report| report.last_time);
        replayed
            .or_else(|| self.time_of_line(loaded.meta.version().checked_sub(1)?))
            .unwrap_or_else(|| newest_change(&loaded.meta.view()))
    }

    /// The time of a line, if it is the last one of a changelog.
    fn time_of_line(&self, number: u64) -> Option<u32> {
        // Without it there is the image to ask.
        let logs = self.changelogs().ok()?;
        logs.iter().find_map(|log: &Input| {
            let ends = probe(log).ok()?;
            ends.last_time.filter(|_| ends.last == Some(number))
        })
    }
}

fn newest_change(state: &impl ImageSource) -> u32 {
    let mut newest = 0;
    let nodes = state.nodes(|node| {
        newest = newest.max(node.ctime);
        Ok::<_, Infallible>(())
    });
    let freed = state.free_inodes(&mut |_, removed| {
        newest = newest.max(removed);
        Ok::<_, Infallible>(())
    });
    let sessions = state.sessions(&mut |session| {
        newest = newest.max(session.disconnected);
        Ok::<_, Infallible>(())
    });
    for walk in [nodes, freed, sessions] {
        let Ok(()) = walk;
    }
    newest
}
