//! What a running container uses, and what happens to it.

use crate::container::{Container, legacy_of};
use crate::error::{Error, Result};
use std::time::{Duration, Instant};
use wolffia_cgroup::{Cgroup, Happening, LegacyPlace, Stats, Watch};
use wolffia_state::Operation;

/// One line of `wolffia events`.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Stats(Box<Stats>),
    /// The kernel killed a process of the container for want of memory.
    OutOfMemory,
}

impl Container {
    /// What it uses now.
    ///
    /// # Errors
    /// It is not running, or has no cgroup of its own.
    pub fn stats(&self) -> Result<Stats> {
        self.allow(Operation::Events)?;
        let unified = self.with_cgroup(|cgroup| cgroup.stats())?;
        let legacy = legacy_of(&self.record);
        let mut stats = match (unified, &legacy) {
            (None, None) => return Err(uncounted()),
            (stats, _) => stats.unwrap_or_default(),
        };
        if let Some(place) = legacy {
            place.add_stats(&mut stats);
        }
        Ok(stats)
    }

    /// Calls `tell` with the container's statistics every `interval`, and with what happens in between, until the container ends.
    ///
    /// # Errors
    /// Those of [`Container::stats`], and those of `tell`.
    pub fn events<E: From<Error>>(
        &self,
        interval: Duration,
        mut tell: impl FnMut(Event) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.allow(Operation::Events)?;
        let (cgroup, legacy) = (self.cgroup()?, legacy_of(&self.record));
        let mut watch = self.watch(cgroup.as_ref(), legacy.as_ref())?;
        let mut next = Instant::now() + interval;
        loop {
            match watch.next(next.saturating_duration_since(Instant::now())).map_err(Error::from)? {
                Some(Happening::Empty) => return Ok(()),
                Some(Happening::OutOfMemory) => tell(Event::OutOfMemory)?,
                None => {
                    match self.stats() {
                        Ok(stats) => tell(Event::Stats(Box::new(stats)))?,
                        // It ended just now.
                        Err(Error::Forbidden(_)) => return Ok(()),
                        Err(error) => return Err(error.into()),
                    }
                    next += interval;
                }
            }
        }
    }
}

impl Container {
    fn watch<'a>(&self, cgroup: Option<&'a Cgroup>, legacy: Option<&LegacyPlace>) -> Result<Watch<'a>> {
        let watch = match (cgroup, legacy) {
            (Some(cgroup), _) => cgroup.watch()?,
            (None, Some(_)) => Watch::until(self.init()?.ok_or_else(|| self.vanished())?),
            (None, None) => return Err(uncounted()),
        };
        Ok(match legacy {
            Some(place) => watch.with_legacy(place)?,
            None => watch,
        })
    }
}

fn uncounted() -> Error {
    Error::Usage {
        reason: "the container has no cgroup of its own, so what it uses is not counted".to_owned(),
        cure: "create it where cgroups can be made: `wolffia doctor` says what is missing",
    }
}
